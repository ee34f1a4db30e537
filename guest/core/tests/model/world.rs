//! The world around the engine, as a model for the checker: a client, a network, one or two servers, and time.
//!
//! A state is the engine itself together with everything around it. An action is one thing that may happen next. What
//! the world may do without limit is listed first in [`World::actions`]; what it may do seldom has a number in
//! [`Budget`], and these numbers are the bounds of the exploration: within them, every interleaving is explored.

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_reconnect_core::{ExchangeId, Instant, MILLISECOND, Options, SECOND};
use stateright::{Model, Property};

use crate::action::Action;
use crate::audit::{Audit, Init, Promise};
use crate::completion::{Known, Mood};
use crate::machine::{Fault, Machine};
use crate::server::{INITIALIZED, Server, Shared, Style, WITH_SETTINGS};
use crate::wire::{Call, Piece, Said, Stage, Wire};

/// How often something may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Times that a server is killed; all its sessions die, and it can be started again.
    pub kills: u8,
    /// Things that the network does wrong.
    pub faults: u8,
    /// Times that time passes up to the engine's deadline while something else might happen.
    pub ticks: u8,
    /// Times that a minute passes at once.
    pub dozes: u8,
    /// Requests that the client cancels.
    pub cancels: u8,
    /// Questions that a server asks.
    pub asks: u8,
    /// Pings of a server.
    pub pings: u8,
    /// Notifications of the client.
    pub notifies: u8,
    /// Times that the client or host demands a new session, or a probe.
    pub demands: u8,
    /// Whether the client may close.
    pub closes: u8,
    /// Whether the client may open a stream of notifications.
    pub listens: u8,
}

/// One run of the checker.
pub struct World {
    pub style: Style,
    pub servers: usize,
    /// A load balancer sends any request to any server.
    pub balanced: bool,
    /// The exploration begins with a session that is up.
    pub ready: bool,
    /// The calls that the client makes.
    pub calls: &'static [Call],
    pub budget: Budget,
    /// A server that is not there is stood in for after this, if it is not 0.
    pub start_timeout: Duration,
    /// The host answers challenges with fresh headers.
    pub can_refresh: bool,
    /// So many times as many states as usual are followed through the moods of which it is not every one.
    pub density: u64,
    pub fault: Option<Fault>,
    /// The one property to check.
    pub only: Option<&'static str>,
    pub known: Known,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub machine: Machine,
    pub now: Instant,
    pub wires: BTreeMap<u64, Wire>,
    pub servers: Vec<Server>,
    pub shared: Shared,
    pub audit: Audit,
    pub left: Budget,
    pub mood: Mood,
    /// Since when it lasts.
    pub since: Instant,
    /// How often the last call was made.
    pub tries: u8,
}

/// The longest a request is held, in the model.
pub const HOLD: Duration = Duration::from_secs(6);
/// The longest a request runs.
pub const RUN: Duration = Duration::from_secs(8);

impl World {
    pub fn options(&self) -> Options {
        Options::new("http://mcp.test/mcp").with(|o| {
            o.hold_timeout = HOLD;
            o.run_timeout = RUN;
            o.run_limit = 2 * RUN;
            o.heartbeat_interval = 3 * SECOND;
            o.heartbeat_timeout = SECOND;
            o.response_timeout = 2 * SECOND;
            o.backoff_base = 500 * MILLISECOND;
            o.backoff_cap = SECOND;
            o.start_timeout = self.start_timeout;
            o.can_refresh_credentials = self.can_refresh;
            o.credentials_timeout = SECOND;
            o.transport = match self.style {
                Style::Sse => mcp_reconnect_core::TransportChoice::HttpSse,
                _ => mcp_reconnect_core::TransportChoice::StreamableHttp,
            };
        })
    }

    fn begin(&self) -> State {
        let initialized = if self.sets_up() { WITH_SETTINGS } else { INITIALIZED };
        State {
            machine: Machine::new(self.options(), self.fault),
            now: Instant::ZERO,
            wires: BTreeMap::new(),
            servers: vec![Server::new(); self.servers],
            shared: Shared { next_session: 1, initialized, ran: 0, complaint: None },
            audit: Audit::default(),
            left: self.budget,
            mood: Mood::Any,
            since: Instant::ZERO,
            tries: 0,
        }
    }

    /// Whether the client sets something up at the server.
    fn sets_up(&self) -> bool {
        self.calls.iter().any(|call| call.sets_up())
    }

    /// What may happen to this exchange.
    fn network_actions(&self, state: &State, id: u64, wire: &Wire, actions: &mut Vec<Action>) {
        let faults = state.left.faults > 0;
        let is_call = matches!(wire.said, Said::Call { .. });
        match wire.stage {
            Stage::Going { written } => {
                for (number, server) in state.servers.iter().enumerate() {
                    if server.up && (self.balanced || number == 0) {
                        actions.push(Action::Arrive(id, number));
                    }
                }
                if wire.orphan {
                    return;
                }
                if is_call && !written && state.left.cancels > 0 {
                    actions.push(Action::Write(id));
                }
                let all_down = state.servers.iter().all(|server| !server.up);
                if !written && (all_down || faults) {
                    actions.push(Action::Refuse(id));
                }
                if faults {
                    actions.push(Action::Break(id));
                    actions.push(Action::NotFound(id));
                    actions.push(Action::Unavailable(id));
                    actions.push(Action::Unauthorized(id));
                }
            }
            Stage::At { .. } => {
                if !wire.pieces.is_empty() {
                    actions.push(Action::Deliver(id));
                }
                if faults || wire.doomed {
                    actions.push(Action::Break(id));
                }
                if faults && wire.open && (wire.is_listen() || matches!(wire.said, Said::Stream | Said::Call { .. })) {
                    actions.push(Action::EndEarly(id));
                }
                if faults && !wire.open && matches!(wire.pieces.front(), Some(Piece::Reply { status: 200, .. })) {
                    actions.push(Action::BadGateway(id));
                }
                if state.left.pings > 0 && matches!(wire.pieces.back(), Some(Piece::Event { last: true, .. })) {
                    actions.push(Action::PingVia(id));
                }
                if faults && matches!(wire.pieces.front(), Some(Piece::Event { .. })) {
                    actions.push(Action::Repeat(id));
                }
            }
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = self.begin();
        if self.style == Style::Modern {
            // There is nothing to begin with.
            state.audit.init = Init::Answered;
            state.audit.initialized = true;
        }
        if self.ready {
            state.left = Budget::default();
            if self.style != Style::Modern {
                self.apply(&mut state, Action::Initialize);
                self.settle(&mut state);
                self.apply(&mut state, Action::Initialized);
            }
            self.settle(&mut state);
            assert!(self.fault.is_some() || self.style == Style::Modern || state.machine.is_ready());
            state.left = self.budget;
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let audit = &state.audit;
        if audit.broken.is_some() || audit.closed {
            return;
        }
        if !audit.closing {
            match audit.init {
                Init::Unsent => actions.push(Action::Initialize),
                Init::Answered if !audit.initialized => actions.push(Action::Initialized),
                _ => {}
            }
            for call in self.calls {
                let asked = audit.call(*call);
                let may_ask = *call != Call::Unsubscribe || audit.call(Call::Subscribe).answers > 0;
                if asked.place == 0 && audit.initialized && may_ask {
                    actions.push(Action::Request(*call));
                } else if asked.is_open() && state.left.cancels > 0 {
                    actions.push(Action::Cancel(*call));
                }
            }
            if state.left.notifies > 0 && audit.initialized {
                actions.push(Action::Notify);
            }
            if state.left.listens > 0 {
                actions.push(Action::Listen);
            }
            actions.extend(audit.questions.keys().chain(audit.late.keys()).map(|id| Action::Answer(*id)));
            if state.left.demands > 0 {
                actions.extend([Action::Reconnect, Action::Probe, Action::SetHeaders]);
                if audit.init == Init::Answered {
                    actions.push(Action::Reinitialize);
                }
            }
            if state.left.closes > 0 {
                actions.push(Action::Close);
            }
        }
        for (id, wire) in &state.wires {
            self.network_actions(state, *id, wire, actions);
        }
        for (number, server) in state.servers.iter().enumerate() {
            match server.up {
                true if state.left.kills > 0 => actions.push(Action::Kill(number)),
                false => actions.push(Action::Start(number)),
                _ => {}
            }
            for (session, found) in &server.sessions {
                if found.stream.is_some() && state.left.asks > 0 {
                    actions.push(Action::Ask(number, *session));
                }
                if found.stream.is_some() && state.left.pings > 0 {
                    actions.push(Action::Ping(number, *session));
                }
            }
        }
        if state.left.ticks > 0 && state.machine.deadline().is_some() {
            actions.push(Action::Tick);
        }
        if state.left.dozes > 0 {
            actions.push(Action::Doze);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.apply(&mut state, action);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn kept(state: &State, promise: Promise) -> bool {
            !matches!(&state.audit.broken, Some((broken, _)) if *broken == promise)
        }
        let mut properties = vec![
            Property::<Self>::always("1: exactly one answer", |world, state| {
                kept(state, Promise::OneAnswer) && world.is_answered(state)
            }),
            Property::<Self>::always("2: at most one execution", |_, state| {
                kept(state, Promise::OneExecution) && state.shared.ran <= 1
            }),
            Property::<Self>::always("3: clean sessions", |_, state| {
                kept(state, Promise::CleanSession) && state.shared.complaint.is_none()
            }),
            Property::<Self>::always("4: order", |_, state| kept(state, Promise::Order) && state.flows()),
            Property::<Self>::always("5: always another attempt", |world, state| {
                kept(state, Promise::AnotherAttempt) && world.recovers(state)
            }),
            Property::<Self>::always("6: every wait has an end", |world, state| {
                kept(state, Promise::Ends) && state.is_awake(&world.options())
            }),
            Property::<Self>::always("8: nothing goes elsewhere", |_, state| kept(state, Promise::Origin)),
            Property::<Self>::always("9: determinism", |_, state| kept(state, Promise::Determinism)),
        ];
        properties.extend(self.reached());
        properties.retain(|property| self.only.is_none_or(|only| property.name == only));
        properties
    }
}

impl World {
    /// What must be reached somewhere, or the exploration says nothing.
    fn reached(&self) -> Vec<Property<Self>> {
        type Reached = fn(&World, &State) -> bool;
        let budget = self.budget;
        let broken = budget.faults > 0 || budget.kills > 0;
        let calls = self.calls.contains(&Call::Unsafe);
        let sets_up = self.sets_up();
        let reached: [(&'static str, bool, Reached); 10] = [
            ("an unsafe call was answered", calls, |_, state| state.audit.call(Call::Unsafe).succeeded),
            ("an outcome was unknown", calls && broken, |_, state| state.audit.unknown),
            ("a new session was made", self.style != Style::Modern && (broken || budget.demands > 0), |_, state| {
                state.audit.sessions > 1
            }),
            ("a stream was opened again", budget.listens > 0 && broken, |_, state| state.audit.changes > 0),
            ("a safe call was sent again", self.calls.contains(&Call::Safe) && broken, |_, state| {
                state.audit.replayed && state.audit.call(Call::Safe).succeeded
            }),
            ("a stream was resumed", calls && self.style == Style::Events && budget.faults > 0, |_, state| {
                state.audit.resumed && state.audit.call(Call::Unsafe).succeeded
            }),
            ("what the client set up was restored", sets_up && budget.kills > 0, |_, state| state.audit.restored),
            ("a call was cancelled", budget.cancels > 0, |_, state| {
                state.audit.calls.values().any(|asked| asked.cancelled)
            }),
            ("a question was asked", budget.asks > 0, |_, state| !state.audit.questions.is_empty()),
            ("it was closed", budget.closes > 0, |_, state| state.audit.closed),
        ];
        reached
            .into_iter()
            .filter(|(_, wanted, _)| *wanted)
            .map(|(name, _, reached)| Property::<Self>::sometimes(name, reached))
            .collect()
    }
}

impl State {
    /// Faults are counted while exploring only.
    pub fn spend_fault(&mut self) {
        if self.mood == Mood::Any {
            self.left.faults -= 1;
        }
    }

    pub fn push(&mut self, stream: ExchangeId, piece: Piece) {
        if let Some(wire) = self.wires.get_mut(&stream.0) {
            wire.pieces.push_back(piece);
        }
    }

    /// Nothing waits for another request's answer: what is queued while there is a session waits for a notification, a
    /// ping or the handshake.
    fn flows(&self) -> bool {
        let waits_for = |wire: &Wire| match wire.said {
            _ if wire.orphan => false,
            Said::Own { .. }
            | Said::Notification
            | Said::Answer { .. }
            | Said::Pong
            | Said::Cancelled { .. }
            | Said::Initialized => true,
            // HTTP+SSE: the answer to a ping is on the way, or never will be.
            Said::Stream => !wire.pieces.is_empty() || wire.doomed,
            _ => false,
        };
        self.audit.closed
            || !self.audit.initialized
            || !self.machine.is_ready()
            || self.machine.queued() == 0
            || self.wires.values().any(waits_for)
    }

    /// Whoever waits is waited for, and no longer than an option allows.
    fn is_awake(&self, options: &Options) -> bool {
        self.audit.closed
            || (!(self.audit.someone_waits() || self.audit.closing) || self.machine.deadline().is_some())
                && self.machine.waits_badly(options, self.now, self.audit.initialized).is_none()
    }
}
