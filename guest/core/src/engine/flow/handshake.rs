//! How a session is made: which transport, `initialize`, `notifications/initialized`, and what a new session gets back.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::connection_error::ConnectionError;
use super::server_message::Source;
use super::settle::End;
use crate::engine::Engine;
use crate::engine::state::connection::ConnectionState;
use crate::engine::state::consequences::Consequence;
use crate::engine::state::exchanges::Role;
use crate::engine::state::handshake::{Handshake, Step};
use crate::engine::state::session::{Answered, Server, Session, declare_list_changed};
use crate::engine::state::timers::Timer;
use crate::engine::state::translation::{OwnListen, Translation};
use crate::policy::backoff;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::wire::json::{self, Envelope, Parsed};
use crate::wire::modern;
use crate::wire::url::Url;
use crate::{Event, ExchangeId, Level, Method, SessionInfo, Transport, TransportChoice, http};

/// How long an `endpoint` event may take, at most.
const ENDPOINT_TIME: Duration = Duration::from_secs(10);
/// Detection runs again at most this often.
const DETECT_AGAIN: Duration = Duration::from_secs(60);

impl Engine {
    pub(crate) fn begin_handshake(&mut self) {
        if self.client.initialize.is_none() {
            self.connection.change(ConnectionState::Idle);
            return;
        }
        if self.ask_for_headers() {
            self.connection.change(ConnectionState::Headers);
            return;
        }
        if self.transport.is_none() && self.attempts.in_vain() == 0 && !self.outage.is_on() {
            self.emit(Event::Connecting);
        }
        let transport = match self.options.transport {
            TransportChoice::StreamableHttp => Transport::StreamableHttp,
            TransportChoice::HttpSse => Transport::HttpSse,
            TransportChoice::Auto => self.transport.unwrap_or(Transport::StreamableHttp),
        };
        self.attempts.need_not_initialize();
        // A session that is kept stays the current one until the next stands.
        if self.session.is_none() {
            self.epoch = self.sessions + 1;
        }
        self.cookies.begin(self.sessions + 1);
        self.inbox.clear_early();
        // A redirect is good for the session that it was given to.
        self.url = self.configured_url.clone();
        self.start_transport(transport, None);
    }

    fn start_transport(&mut self, transport: Transport, refused: Option<Refusal>) {
        let epoch = self.sessions + 1;
        let handshake = Handshake::begin(transport, epoch, refused);
        let discovers = self.discovers_next() && handshake.refused().is_none();
        // The role of an exchange is told apart by the connection, so the connection comes first.
        self.handshake_is(handshake.clone());
        match transport {
            Transport::StreamableHttp if discovers => self.discover_instead(handshake),
            Transport::StreamableHttp => {
                let url = self.url.clone();
                self.post_initialize(&url);
            }
            Transport::HttpSse => {
                let exchange = self.get_stream(Role::Stream, None);
                if let Some(handshake) = self.connection.handshake_mut() {
                    handshake.stream_is(exchange);
                }
                self.timers.set(Timer::Endpoint, self.now + ENDPOINT_TIME.min(self.handshake_time()));
            }
        }
    }

    /// Whether the server is asked with `server/discover` before `initialize`.
    fn discovers_next(&self) -> bool {
        self.translates_next || self.options.discover_first
    }

    pub(crate) fn restart_handshake(&mut self) {
        if let Some(handshake) = self.connection.handshake().cloned() {
            self.cancel_session_exchanges(self.epoch_being_made());
            self.start_transport(handshake.transport(), handshake.refused().cloned());
        }
    }

    /// A session is being made, or made in another way.
    pub(crate) fn handshake_is(&mut self, handshake: Handshake) {
        self.connection.change(ConnectionState::Handshake(handshake));
    }

    /// The number of the session that is being made, or of the one there is.
    pub(crate) fn epoch_being_made(&self) -> u64 {
        self.connection.handshake().map(Handshake::epoch).filter(|epoch| *epoch > 0).unwrap_or(self.epoch)
    }

    /// Whether this is the number of a session that is being made while another one is kept.
    pub(crate) fn is_being_made(&self, epoch: u64) -> bool {
        epoch != self.epoch && epoch == self.epoch_being_made()
    }

    pub(crate) fn post_initialize(&mut self, url: &Url) {
        let Some(initialize) = self.client.initialize.clone() else { return };
        let told = self.client.negotiated.clone();
        let wire = self.new_wire_id();
        let body = initialize.to_wire(wire, told.as_deref()).into_bytes();
        let exchange = self.start(Role::Initialize, Method::Post, url, body, &[]);
        if let Some(handshake) = self.connection.handshake_mut() {
            handshake.posted(wire, exchange);
        }
        self.timers.set(Timer::Endpoint, self.now + self.handshake_time());
    }

    /// How long a step of the handshake may take. After a loss the first tries are short, because what they are sent into
    /// may be a hole; a slow server gets its time from the later ones.
    pub(crate) fn handshake_time(&self) -> Duration {
        let limit = self.options.response_timeout;
        // The session that is kept is not looked after meanwhile.
        if self.has_session() {
            return limit.min(self.options.heartbeat_timeout);
        }
        if self.sessions == 0 {
            limit
        } else {
            backoff::doubled(self.options.heartbeat_timeout, self.attempts.in_vain().min(8)).min(limit)
        }
    }

    /// HTTP+SSE: the stream says where to POST. It must be in the origin of the stream (MCP 2024-11-05, "Transports").
    pub(crate) fn on_endpoint(&mut self, stream: ExchangeId, data: &str) {
        if !self.connection.handshake().is_some_and(|handshake| handshake.awaits_endpoint_on(stream)) {
            return self.log(Level::Warn, "a second endpoint event: dropped");
        }
        let endpoint = match self.url.resolve_iri(data.trim()) {
            Ok(endpoint) if endpoint.same_origin(&self.url) => endpoint,
            Ok(endpoint) => {
                let text = alloc::format!(
                    "the endpoint event names another origin ({}://{}), where no message and no header is sent",
                    if endpoint.https() { "https" } else { "http" },
                    endpoint.authority()
                );
                return self.attempt_failed(ConnectionError::Fatal(text));
            }
            Err(problem) => {
                return self.attempt_failed(ConnectionError::Fatal(alloc::format!(
                    "the endpoint event names no URL: {problem}"
                )));
            }
        };
        if let Some(handshake) = self.connection.handshake_mut() {
            handshake.endpoint_is(endpoint.clone());
        }
        self.post_initialize(&endpoint);
    }

    pub(crate) fn on_initialize_head(&mut self, session_id: Option<&[u8]>) {
        let Some(handshake) = self.connection.handshake_mut() else { return };
        // A session of HTTP+SSE is its stream.
        let session_id = session_id.filter(|_| handshake.transport() == Transport::StreamableHttp);
        match session_id.map(http::session_id) {
            None => {}
            Some(Some(id)) => handshake.session_id_is(id),
            Some(None) => self.attempt_failed(ConnectionError::Fatal(
                "the server's session id holds characters that are not allowed".to_string(),
            )),
        }
    }

    /// HTTP+SSE: the POST was taken; the result comes on the stream. Streamable HTTP: no result will come.
    pub(crate) fn on_initialize_accepted(&mut self) {
        let handshake = self.connection.handshake();
        let waits = |handshake: &Handshake| {
            handshake.transport() == Transport::StreamableHttp && handshake.step() == Step::Initialize
        };
        if handshake.is_some_and(waits) {
            self.attempt_failed(ConnectionError::Unusable("initialize was accepted without an answer".to_string()));
        }
    }

    /// Whether this id on the wire is that of the handshake's `initialize`.
    pub(crate) fn is_handshake_answer(&self, wire: u64) -> bool {
        let handshake = self.connection.handshake();
        handshake.is_some_and(|handshake| handshake.step() == Step::Initialize && handshake.wire_id() == wire)
    }

    pub(crate) fn on_initialize_answer(&mut self, text: String) {
        let Some(handshake) = self.connection.handshake().cloned() else { return };
        let text = match handshake.version() {
            Some(_) => match self.as_initialize_answer(&text) {
                Ok(text) => text,
                Err(cause) => return self.on_handshake_outcome(&Role::Initialize, cause),
            },
            None => text,
        };
        let Ok(Parsed::One(envelope)) = json::parse(&text) else { return };
        let result = match envelope {
            Envelope { result: Some(result), .. } => result,
            Envelope { error: Some(error), .. } => {
                let body = alloc::format!(r#"{{"error":{}}}"#, error.get());
                let refusal = Refusal { status: 200, challenge: String::new(), retry_after: None, body };
                let cause = ConnectionError::Refused(refusal);
                if self.try_translation(&cause) {
                    return;
                }
                return self.attempt_failed(cause);
            }
            _ => return,
        };
        let server = match Server::parse(result.get()) {
            Ok(server) => server,
            Err(problem) => return self.attempt_failed(ConnectionError::Fatal(problem.to_string())),
        };
        // A version without sessions cannot be negotiated so, whatever the server says.
        if modern::is_modern(&server.version) && !handshake.is_discover_refused() {
            return self.discover_instead(handshake);
        }
        if self.session.is_some() {
            let reason = if self.last_error.is_empty() { "its session is gone" } else { &self.last_error }.to_string();
            self.disconnected(&reason);
            self.delete_session();
            self.verification.finds_lost();
            self.end_session(&reason);
        }
        self.epoch = handshake.epoch();
        let mut changed = false;
        if let Some(told) = &self.client.answered {
            if told.provisional && server.version > told.server.version {
                return self.attempt_failed(ConnectionError::Incompatible(alloc::format!(
                    "the server speaks {}, the client was promised {}",
                    server.version,
                    told.server.version
                )));
            }
            changed = !told.provisional && told.server != server;
            if let Some(negotiated) = self.client.negotiated.clone()
                && negotiated != server.version
            {
                let text =
                    alloc::format!("the new session speaks {}, the client was told {negotiated}", server.version);
                self.log(Level::Warn, text);
            }
            self.client.lists_changed = true;
        }
        if self.client.negotiated.is_none() || !self.handshake_requests().is_empty() {
            self.client.negotiated = Some(server.version.clone());
        }
        if changed {
            self.distrust_annotations();
        }
        let answer = declare_list_changed(&text, result);
        self.client.answered = Some(Answered { server: server.clone(), provisional: false });
        self.sessions = self.epoch;
        self.detected_at = Some(self.now);
        self.transport = Some(handshake.transport());
        let mut session = Session::new(self.epoch, handshake.transport(), server, self.now);
        session.id = handshake.session_id().map(ToString::to_string);
        session.endpoint = handshake.endpoint().cloned();
        self.translates_next = handshake.version().is_some();
        if let Some(version) = handshake.version().map(ToString::to_string) {
            session.id = None;
            let uris: BTreeSet<_> = self.settings.subscriptions().into_iter().collect();
            session.own_listen = Some(OwnListen { restored: uris.clone(), ..OwnListen::default() });
            session.translation = Some(Translation { version, uris });
        }
        session.server_changed = changed;
        self.session.begin(session);
        self.timers.clear(Timer::Endpoint);
        self.timers.clear(Timer::Start);
        if let Some(exchange) = handshake.exchange() {
            self.retire(exchange);
        }
        self.handshake_is(handshake);
        for key in self.handshake_requests() {
            self.answer_initialize(key, &answer);
        }
        for (epoch, text) in self.inbox.take_early() {
            self.on_server_text(Source { epoch, owner: None, handshake: false }, text);
        }
        if self.client.initialized {
            self.send_initialized();
        } else {
            self.connection.change(ConnectionState::AwaitInitialized);
        }
    }

    /// What the old server said of its tools does not bind the new one.
    fn distrust_annotations(&mut self) {
        self.tool_hints.tools.clear();
        for (key, accepted) in self.requests.distrust_annotations() {
            let reason = "it was sent, and the server that came back is another one".to_string();
            self.settle(key, End { evidence: Evidence::Unknown, accepted, reason, refusal: None });
        }
    }

    fn answer_initialize(&mut self, key: crate::engine::state::requests::RequestKey, answer: &str) {
        let Ok(Parsed::One(Envelope { kind: json::Kind::Response { id: Some(id) }, .. })) = json::parse(answer) else {
            return;
        };
        let Some(request) = self.requests.get(&key) else { return };
        let text = json::splice(answer, id.range(), request.client_id());
        self.deliver(key, text, true);
        self.session.progressed(self.epoch);
        self.attempts.succeeded();
        self.told_without_progress = false;
    }

    /// The client is ready. So is the session, once the server has been told.
    pub(crate) fn on_client_initialized(&mut self) {
        if self.connection.awaits_initialized() {
            self.send_initialized();
        }
    }

    pub(crate) fn send_initialized(&mut self) {
        let transport = self.session.as_ref().map_or(Transport::StreamableHttp, |session| session.transport);
        match self.connection.handshake_mut() {
            Some(handshake) => handshake.awaits_initialized(),
            None => self.handshake_is(Handshake::last_step(transport, self.epoch)),
        }
        if self.is_translated() {
            return self.on_initialized_accepted();
        }
        let text = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let exchange = self.post(Role::Initialized, text.as_bytes().to_vec());
        self.timers.set(Timer::Head(exchange), self.now + self.options.response_timeout);
    }

    pub(crate) fn on_initialized_accepted(&mut self) {
        if self.connection.step() != Some(Step::Initialized) {
            return;
        }
        self.session.is_initialized();
        let Some(session) = self.session.as_ref() else { return };
        self.attempts.new_session_was_not_refused();
        let (info, changed) = (session.info(), session.server_changed);
        self.connection.change(ConnectionState::Ready);
        self.liveness.is_certain();
        self.outage.end();
        self.modern_follows(true, "");
        self.announce(info, changed);
        self.arm_heartbeat();
        if self.probes.were_unanswered() {
            // A session that is just made is known to live: now a ping tells whether pings tell anything.
            let ping = self.post_ping();
            self.probes.check(ping);
        }
        self.open_standalone();
        self.restore();
        self.tell_lists_changed();
    }

    fn announce(&mut self, session: SessionInfo, changed: bool) {
        if core::mem::replace(&mut self.connected, true) {
            self.reconnects += 1;
            self.emit(Event::Reconnected { session, new_session: true, server_changed: changed });
        } else {
            self.emit(Event::Connected(session));
        }
    }

    /// A step of the handshake failed; perhaps the server speaks the other transport.
    pub(crate) fn on_handshake_outcome(&mut self, role: &Role, cause: ConnectionError) {
        let Some(handshake) = self.connection.handshake().cloned() else { return };
        let (step, transport) = (handshake.step(), handshake.transport());
        if step == Step::Delete || step == Step::Initialize && self.try_translation(&cause) {
            return;
        }
        if step == Step::Initialize && self.translation_failed(&cause) {
            return;
        }
        let other = match transport {
            Transport::StreamableHttp => Transport::HttpSse,
            Transport::HttpSse => Transport::StreamableHttp,
        };
        let first_step = matches!(role, Role::Stream) || transport == Transport::StreamableHttp;
        match (&cause, handshake.refused()) {
            (ConnectionError::Refused(refusal), None)
                if first_step
                    && matches!(step, Step::Endpoint | Step::Initialize)
                    && self.may_detect(refusal.status) =>
            {
                self.detected_at = Some(self.now);
                self.cancel_session_exchanges(self.epoch_being_made());
                self.start_transport(other, Some(refusal.clone()));
            }
            // The other transport asks for something, or for patience.
            (ConnectionError::Refused(refusal), Some(_))
                if cause.will_pass() || matches!(refusal.status, 401 | 403) =>
            {
                self.attempt_failed(cause);
            }
            // The other transport is no better: the first refusal tells more than the second.
            (ConnectionError::Refused(_) | ConnectionError::Broken(_) | ConnectionError::Unusable(_), Some(first)) => {
                let second = cause.reason();
                let mut first = first.clone();
                if first.error().is_none() {
                    let said = first.describe();
                    first.body = alloc::format!("as Streamable HTTP it answered {said}; as HTTP+SSE: {second}");
                }
                self.attempt_failed(ConnectionError::Refused(first));
            }
            _ => self.attempt_failed(cause),
        }
    }

    /// A step of the handshake took too long.
    pub(crate) fn on_handshake_late(&mut self) {
        let (role, what) = match self.connection.step() {
            Some(Step::Endpoint) => (Role::Stream, "no endpoint event came in time"),
            _ => (Role::Initialize, "initialize was not answered in time"),
        };
        self.on_handshake_outcome(&role, ConnectionError::Broken(what.to_string()));
    }

    /// The stream of HTTP+SSE ended.
    pub(crate) fn on_stream_over(&mut self, epoch: u64, cause: ConnectionError) {
        match self.connection.state() {
            ConnectionState::Handshake(handshake) if handshake.epoch() == epoch => {
                self.on_handshake_outcome(&Role::Stream, cause);
            }
            _ => {
                let reason = alloc::format!("the event stream is lost: {}", cause.reason());
                self.then(Consequence::StreamLost(reason));
            }
        }
    }

    /// Whether a refusal of a handshake's first step is a reason to try the other transport (MCP 2025-11-25,
    /// "Backwards compatibility"). A known transport is doubted seldom: proxies answer 404 to everything during a deploy.
    fn may_detect(&self, status: u16) -> bool {
        if self.options.transport != TransportChoice::Auto {
            return false;
        }
        match (self.transport, self.detected_at) {
            (None, _) => (400..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 421 | 425 | 429),
            (Some(_), Some(at)) if self.now < at + DETECT_AGAIN => false,
            (Some(_), _) => matches!(status, 400 | 404 | 405),
        }
    }
}
