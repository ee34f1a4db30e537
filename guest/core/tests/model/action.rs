//! What may happen in the world, and how it does.

use mcp_reconnect_core::{ExchangeId, Failure, Input, Instant, Output};
use std::time::Duration;

use crate::audit::{Asked, Init, LISTEN_ID, Listen, Promise};
use crate::server::{LISTEN, Style, ping};
use crate::wire::{Call, Piece, Said, Stage, Wire};
use crate::world::{State, World};

const DOZE: Duration = Duration::from_secs(60);

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"model","version":"1"}}}"#;

const META: &str = r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"model","version":"1"}}"#;

/// One thing that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Initialize,
    Initialized,
    Request(Call),
    Cancel(Call),
    Notify,
    /// The client opens a stream of notifications.
    Listen,
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

impl World {
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
                let (id, method, params) = (call.id(), call.method(), call.params());
                let meta = self.meta();
                self.say(
                    state,
                    &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{meta}}}}}"#),
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
            Action::Listen => {
                state.left.listens -= 1;
                state.audit.listen = Listen::Open;
                let params = format!(r#"{{"notifications":{{"toolsListChanged":true}}{}}}"#, self.meta());
                self.say(
                    state,
                    &format!(r#"{{"jsonrpc":"2.0","id":{LISTEN_ID},"method":"{LISTEN}","params":{params}}}"#),
                );
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

    /// What a client of a version without sessions says of itself with each request.
    fn meta(&self) -> &'static str {
        if self.style == Style::Modern { META } else { "" }
    }

    fn say(&self, state: &mut State, text: &str) {
        self.input(state, Input::Message(text.into()));
    }

    fn fail(&self, state: &mut State, id: u64, failure: Failure) {
        self.input(state, Input::Failed { exchange: ExchangeId(id), failure, detail: String::new() });
    }

    pub fn pass_time(&self, state: &mut State, to: Instant) {
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
    pub fn end(&self, state: &mut State, id: u64, may_arrive: bool) {
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

    pub fn kill(&self, state: &mut State, number: usize) {
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
    pub fn input(&self, state: &mut State, input: Input) {
        let mut twin = state.machine.clone();
        let outputs = state.machine.handle(state.now, input.clone());
        if outputs != twin.handle(state.now, input) || twin != state.machine {
            state.audit.broke(Promise::Determinism, "the same input had another effect");
        }
        for output in &outputs {
            let wire = state.audit.on_output(output, self.style.is_sessionless());
            match output {
                Output::Start(exchange, _) => {
                    state.wires.extend(wire.map(|wire| (exchange.0, wire)));
                }
                Output::Cancel(exchange) => self.end(state, exchange.0, true),
                Output::Event(_) | Output::Pause(_) | Output::Resume(_) => {}
            }
        }
    }
}
