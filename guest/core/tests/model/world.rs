//! The world around the engine, as a model for the checker: a client, a network, one or two servers, and time.
//!
//! A state is the engine itself together with everything around it. An action is one thing that may happen next. What
//! the world may do without limit is listed first in [`World::actions`]; what it may do seldom has a number in
//! [`Budget`], and these numbers are the bounds of the exploration: within them, every interleaving is explored.

use std::collections::BTreeMap;

use mcp_reconnect_core::{ExchangeId, Failure, Input, MILLISECOND, Nanos, Options, Output, SECOND};
use stateright::{Model, Property};

use crate::audit::{Asked, Audit, Init, Promise};
use crate::completion::{Known, Mood};
use crate::machine::{Fault, Machine};
use crate::server::{Server, Shared, Style, ping};
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
    pub start_timeout: Nanos,
    /// The host answers challenges with fresh headers.
    pub can_refresh: bool,
    /// Follow every state through every mood.
    pub thorough: bool,
    pub fault: Option<Fault>,
    /// The one property to check.
    pub only: Option<&'static str>,
    pub known: Known,
}

/// One thing that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Initialize,
    Initialized,
    Request(Call),
    Cancel(Call),
    Notify,
    Answer(u64),
    /// The client initializes once more.
    Reinitialize,
    Reconnect,
    Probe,
    /// The host gives other headers.
    SetHeaders,
    Close,
    /// The engine's deadline comes.
    Tick,
    /// A minute passes before the engine is called again.
    Doze,
    /// The request is written, but has not arrived.
    Write(u64),
    /// The request arrives at this server, which acts on it.
    Arrive(u64, usize),
    /// The next piece of the response arrives.
    Deliver(u64),
    /// No connection: the request was not sent.
    Refuse(u64),
    /// The connection breaks.
    Break(u64),
    /// The response stream ends early, but in order.
    EndEarly(u64),
    /// An event comes twice.
    Repeat(u64),
    /// A proxy answers 404, and the request went nowhere.
    NotFound(u64),
    /// A proxy answers 503 in words that mean that the request went nowhere.
    Unavailable(u64),
    /// The server or a proxy wants other credentials, and the request went nowhere.
    Unauthorized(u64),
    /// A proxy answers 502 in place of the server, which has the request.
    BadGateway(u64),
    Kill(usize),
    Start(usize),
    /// The server asks the client a question in this session.
    Ask(usize, u8),
    /// The server pings the client in this session.
    Ping(usize, u8),
    /// The server pings the client on the stream of this response.
    PingVia(u64),
}

impl Action {
    /// The exchange that it happens to.
    pub fn exchange(self) -> Option<u64> {
        match self {
            Self::Write(id)
            | Self::Arrive(id, _)
            | Self::Deliver(id)
            | Self::Refuse(id)
            | Self::Break(id)
            | Self::EndEarly(id)
            | Self::Repeat(id)
            | Self::NotFound(id)
            | Self::Unavailable(id)
            | Self::Unauthorized(id)
            | Self::BadGateway(id)
            | Self::PingVia(id) => Some(id),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub machine: Machine,
    pub now: Nanos,
    pub wires: BTreeMap<u64, Wire>,
    pub servers: Vec<Server>,
    pub shared: Shared,
    pub audit: Audit,
    pub left: Budget,
    pub mood: Mood,
    /// Since when it lasts.
    pub since: Nanos,
    /// How often the last call was made.
    pub tries: u8,
}

/// The longest a request is held, in the model.
pub const HOLD: Nanos = 6 * SECOND;
/// The longest a request runs.
pub const RUN: Nanos = 8 * SECOND;
const DOZE: Nanos = 60 * SECOND;

impl World {
    pub fn options(&self) -> Options {
        Options {
            hold_timeout: HOLD,
            run_timeout: RUN,
            run_limit: 2 * RUN,
            heartbeat_interval: 3 * SECOND,
            heartbeat_timeout: SECOND,
            response_timeout: 2 * SECOND,
            backoff_base: 500 * MILLISECOND,
            backoff_cap: SECOND,
            start_timeout: self.start_timeout,
            can_refresh_credentials: self.can_refresh,
            credentials_timeout: SECOND,
            transport: match self.style {
                Style::Sse => mcp_reconnect_core::TransportChoice::HttpSse,
                _ => mcp_reconnect_core::TransportChoice::StreamableHttp,
            },
            ..Options::new("http://mcp.test/mcp")
        }
    }

    fn begin(&self) -> State {
        State {
            machine: Machine::new(self.options(), self.fault),
            now: 0,
            wires: BTreeMap::new(),
            servers: vec![Server::new(); self.servers],
            shared: Shared { next_session: 1, ran: 0, complaint: None },
            audit: Audit::default(),
            left: self.budget,
            mood: Mood::Any,
            since: 0,
            tries: 0,
        }
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
                if faults && wire.open && matches!(wire.said, Said::Stream | Said::Call { .. }) {
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
        if self.ready {
            state.left = Budget::default();
            self.apply(&mut state, Action::Initialize);
            self.settle(&mut state);
            self.apply(&mut state, Action::Initialized);
            self.settle(&mut state);
            assert!(self.fault.is_some() || state.machine.is_ready());
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
                if asked.place == 0 && audit.initialized {
                    actions.push(Action::Request(*call));
                } else if asked.is_open() && state.left.cancels > 0 {
                    actions.push(Action::Cancel(*call));
                }
            }
            if state.left.notifies > 0 && audit.initialized {
                actions.push(Action::Notify);
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
            Property::<Self>::always("6: every wait has an end", |_, state| {
                kept(state, Promise::Ends) && state.is_awake()
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
        let reached: [(&'static str, bool, Reached); 8] = [
            ("an unsafe call was answered", calls, |_, state| state.audit.call(Call::Unsafe).succeeded),
            ("an outcome was unknown", calls && broken, |_, state| state.audit.unknown),
            ("a new session was made", broken || budget.demands > 0, |_, state| state.audit.sessions > 1),
            ("a safe call was sent again", self.calls.contains(&Call::Safe) && broken, |_, state| {
                state.audit.replayed && state.audit.call(Call::Safe).succeeded
            }),
            ("a stream was resumed", calls && self.style == Style::Events && budget.faults > 0, |_, state| {
                state.audit.resumed && state.audit.call(Call::Unsafe).succeeded
            }),
            ("a call was cancelled", budget.cancels > 0, |_, state| state.audit.call(Call::Unsafe).cancelled),
            ("a question was asked", budget.asks > 0, |_, state| !state.audit.questions.is_empty()),
            ("it was closed", budget.closes > 0, |_, state| state.audit.closed),
        ];
        reached
            .into_iter()
            .filter(|(_, wanted, _)| *wanted)
            .map(|(name, _, reached)| Property::<Self>::sometimes(name, reached))
            .collect()
    }

    /// Does what an action says.
    pub fn apply(&self, state: &mut State, action: Action) {
        match action {
            Action::Initialize => {
                state.audit.init = Init::Open;
                self.say(state, INITIALIZE);
            }
            Action::Initialized => {
                state.audit.initialized = true;
                self.say(state, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
            }
            Action::Request(call) => {
                let place = state.audit.next_place();
                state.audit.calls.insert(call, Asked { place, ..Asked::default() });
                state.tries += u8::from(call == Call::Last);
                let (id, method) = (call.id(), call.method());
                self.say(
                    state,
                    &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"name":"x"}}}}"#),
                );
            }
            Action::Cancel(call) => {
                state.left.cancels -= 1;
                state.audit.calls.entry(call).or_default().cancelled = true;
                self.say(
                    state,
                    &format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{}}}}}"#,
                        call.id()
                    ),
                );
            }
            Action::Notify => {
                state.left.notifies -= 1;
                state.audit.notified.0 = state.audit.next_place();
                self.say(state, r#"{"jsonrpc":"2.0","method":"notifications/model"}"#);
            }
            Action::Answer(id) => {
                let audit = &mut state.audit;
                let nonce = audit.questions.remove(&id).or_else(|| audit.late.remove(&id)).unwrap_or_default();
                self.say(state, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"nonce":{nonce}}}}}"#));
            }
            Action::Reinitialize => {
                state.left.demands -= 1;
                state.audit.init = Init::Open;
                state.audit.initialized = false;
                self.say(state, INITIALIZE);
            }
            Action::SetHeaders => {
                state.left.demands -= 1;
                self.input(state, Input::SetHeaders(vec![("authorization".into(), "new".into())]));
            }
            Action::Reconnect => {
                state.left.demands -= 1;
                self.input(state, Input::Reconnect);
            }
            Action::Probe => {
                state.left.demands -= 1;
                self.input(state, Input::Probe);
            }
            Action::Close => {
                state.left.closes -= 1;
                state.audit.closing = true;
                self.input(state, Input::Close);
            }
            Action::Tick => {
                state.left.ticks = state.left.ticks.saturating_sub(1);
                let at = state.machine.deadline().unwrap_or(state.now);
                self.pass_time(state, at);
            }
            Action::Doze => {
                state.left.dozes -= 1;
                self.pass_time(state, state.now + DOZE);
            }
            Action::Kill(number) => self.kill(state, number),
            Action::Start(number) => state.servers[number].up = true,
            Action::Ask(number, session) => {
                state.left.asks -= 1;
                let found = state.servers[number].sessions.get_mut(&session);
                if let Some((stream, piece)) = found.and_then(|found| found.ask(self.style, session)) {
                    state.push(stream, piece);
                }
            }
            Action::Ping(number, session) => {
                state.left.pings -= 1;
                let found = state.servers[number].sessions.get_mut(&session);
                if let Some((stream, piece)) = found.and_then(|found| found.ping(self.style, session)) {
                    state.push(stream, piece);
                }
            }
            Action::PingVia(id) => {
                state.left.pings -= 1;
                if let Some(wire) = state.wires.get_mut(&id) {
                    let at = usize::from(matches!(wire.pieces.front(), Some(Piece::Open { .. })));
                    wire.pieces.insert(at, Piece::Event { id: None, data: ping(), last: false });
                }
            }
            _ => self.apply_network(state, action),
        }
    }

    fn apply_network(&self, state: &mut State, action: Action) {
        match action {
            Action::Write(id) => {
                if let Some(wire) = state.wires.get_mut(&id) {
                    wire.stage = Stage::Going { written: true };
                }
                self.input(state, Input::Sent(ExchangeId(id)));
            }
            Action::Arrive(id, number) => self.arrive(state, id, number),
            Action::Deliver(id) => self.deliver(state, id),
            Action::Refuse(id) => {
                if state.servers.iter().any(|server| server.up) {
                    state.spend_fault();
                }
                state.wires.remove(&id);
                self.fail(state, id, Failure::Connect);
            }
            Action::Break(id) => {
                let free = state.wires.get(&id).is_some_and(|wire| wire.doomed);
                if !free {
                    state.spend_fault();
                }
                self.end(state, id, true);
                self.fail(state, id, Failure::Lost);
            }
            Action::EndEarly(id) => {
                state.spend_fault();
                self.end(state, id, false);
                self.input(state, Input::End(ExchangeId(id)));
            }
            Action::Repeat(id) => {
                state.spend_fault();
                if let Some(wire) = state.wires.get_mut(&id)
                    && let Some(Piece::Event { id, data, .. }) = wire.pieces.front().cloned()
                {
                    let last = false;
                    wire.pieces.push_front(Piece::Event { id, data, last });
                }
            }
            Action::NotFound(id) => self.interpose(state, id, 404, "404 page not found"),
            Action::Unavailable(id) => self.interpose(state, id, 503, "no healthy upstream"),
            Action::Unauthorized(id) => {
                state.audit.rejected = true;
                self.interpose(state, id, 401, "");
            }
            Action::BadGateway(id) => self.interpose(state, id, 502, "<html>"),
            _ => unreachable!("{action:?} is not the network's"),
        }
    }

    fn say(&self, state: &mut State, text: &str) {
        self.input(state, Input::Message(text.into()));
    }

    fn fail(&self, state: &mut State, id: u64, failure: Failure) {
        self.input(state, Input::Failed { exchange: ExchangeId(id), failure, detail: String::new() });
    }

    fn pass_time(&self, state: &mut State, to: Nanos) {
        if to > state.now {
            state.now = to;
            state.audit.now = to;
            state.audit.burst = 0;
        }
        self.input(state, Input::Tick);
    }

    /// A proxy answers in the place of the server.
    fn interpose(&self, state: &mut State, id: u64, status: u16, body: &str) {
        state.spend_fault();
        let Some(wire) = state.wires.get_mut(&id) else {
            return;
        };
        wire.stage = Stage::At { server: 0 };
        wire.pieces = [Piece::Reply { status, session: None, body: body.into() }].into();
        self.deliver(state, id);
    }

    /// The exchange is over for the engine. What is still on the way may arrive all the same.
    fn end(&self, state: &mut State, id: u64, may_arrive: bool) {
        let Some(wire) = state.wires.get_mut(&id) else {
            return;
        };
        let is_going = matches!(wire.stage, Stage::Going { .. });
        if may_arrive && is_going && matches!(wire.said, Said::Call { .. }) {
            wire.orphan = true;
            return;
        }
        state.wires.remove(&id);
        for server in &mut state.servers {
            server.stream_lost(ExchangeId(id));
        }
    }

    fn kill(&self, state: &mut State, number: usize) {
        state.left.kills -= 1;
        state.servers[number].up = false;
        state.servers[number].sessions.clear();
        for wire in state.wires.values_mut() {
            wire.doomed |= wire.stage == Stage::At { server: number };
        }
    }

    fn arrive(&self, state: &mut State, id: u64, number: usize) {
        let Some(wire) = state.wires.get_mut(&id) else {
            return;
        };
        let written = matches!(wire.stage, Stage::Going { written: true });
        wire.stage = Stage::At { server: number };
        let wire = wire.clone();
        let made = state.servers[number].take(self.style, &mut state.shared, ExchangeId(id), &wire);
        if let Some((stream, piece)) = made.aside {
            state.push(stream, piece);
        }
        if wire.orphan {
            state.wires.remove(&id);
            return;
        }
        if let Some(wire) = state.wires.get_mut(&id) {
            wire.pieces.extend(made.pieces);
        }
        if !written {
            self.input(state, Input::Sent(ExchangeId(id)));
        }
    }

    fn deliver(&self, state: &mut State, id: u64) {
        let Some(wire) = state.wires.get_mut(&id) else {
            return;
        };
        let cursor = match wire.pieces.front() {
            Some(Piece::Event { id, .. }) => *id,
            Some(Piece::Open { prime, .. }) => *prime,
            _ => None,
        };
        let over = wire.pieces.front().is_some_and(Wire::is_over);
        let inputs = wire.take(ExchangeId(id));
        if let Some(cursor) = cursor {
            state.audit.on_cursor(cursor);
        }
        if over {
            self.end(state, id, false);
        }
        for input in inputs {
            self.input(state, input);
        }
    }

    /// Hands the engine an input, twice to see that it does the same, and takes what it puts out.
    fn input(&self, state: &mut State, input: Input) {
        let mut twin = state.machine.clone();
        let outputs = state.machine.handle(state.now, input.clone());
        if outputs != twin.handle(state.now, input) || twin != state.machine {
            state.audit.broke(Promise::Determinism, "the same input had another effect");
        }
        for output in &outputs {
            let wire = state.audit.on_output(output, self.style == Style::Stateless);
            match output {
                Output::Start(exchange, _) => {
                    state.wires.extend(wire.map(|wire| (exchange.0, wire)));
                }
                Output::Cancel(exchange) => self.end(state, exchange.0, true),
                Output::Event(_) => {}
            }
        }
    }
}

impl State {
    /// Faults are counted while exploring only.
    fn spend_fault(&mut self) {
        if self.mood == Mood::Any {
            self.left.faults -= 1;
        }
    }

    fn push(&mut self, stream: ExchangeId, piece: Piece) {
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

    /// Whoever waits is waited for.
    fn is_awake(&self) -> bool {
        self.audit.closed || !(self.audit.someone_waits() || self.audit.closing) || self.machine.deadline().is_some()
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"model","version":"1"}}}"#;
