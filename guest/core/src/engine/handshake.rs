//! How a session is made: which transport, `initialize`, `notifications/initialized`, and what a new session gets back.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Engine;
use super::delivery::End;
use super::exchange::Role;
use super::link::{Link, Trouble};
use super::server::Source;
use crate::json::{self, Envelope, Parsed};
use crate::loss::Refusal;
use crate::options::SECOND;
use crate::replay::Evidence;
use crate::request::{Delivery, Origin};
use crate::schedule::Timer;
use crate::session::{Answered, Server, Session, Standalone, declare_list_changed};
use crate::url::Url;
use crate::{Event, ExchangeId, Level, Method, Nanos, SessionInfo, Transport, TransportChoice, http};

/// An attempt to make a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handshake {
    pub transport: Transport,
    pub step: Step,
    /// The id of `initialize` on the wire.
    pub wire: u64,
    /// The exchange of the step.
    exchange: Option<ExchangeId>,
    /// HTTP+SSE: the stream, and where it says to POST.
    stream: Option<ExchangeId>,
    endpoint: Option<Url>,
    session_id: Option<String>,
    /// What the other transport was refused with, if it was tried first.
    refused: Option<Refusal>,
    changed: bool,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The DELETE of the old session.
    Goodbye,
    /// HTTP+SSE: the `endpoint` event is awaited.
    Endpoint,
    /// The initialize result is awaited.
    Initialize,
    /// The server is to take `notifications/initialized`.
    Initialized,
}

/// How long an `endpoint` event may take, at most.
const ENDPOINT_TIME: Nanos = 10 * SECOND;
/// Detection runs again at most this often.
const DETECT_AGAIN: Nanos = 60 * SECOND;

impl Handshake {
    fn new(transport: Transport, step: Step) -> Self {
        Self {
            transport,
            step,
            wire: 0,
            exchange: None,
            stream: None,
            endpoint: None,
            session_id: None,
            refused: None,
            changed: false,
        }
    }

    pub fn after_goodbye() -> Self {
        Self::new(Transport::StreamableHttp, Step::Goodbye)
    }
}

impl Engine {
    pub(super) fn begin_handshake(&mut self) {
        if self.program.initialize.is_none() {
            self.link = Link::Idle;
            return;
        }
        if self.ask_for_headers() {
            self.link = Link::Headers;
            return;
        }
        if self.transport.is_none() && self.attempts == 0 && self.down.is_none() {
            self.emit(Event::Connecting);
        }
        let transport = match self.options.transport {
            TransportChoice::StreamableHttp => Transport::StreamableHttp,
            TransportChoice::HttpSse => Transport::HttpSse,
            TransportChoice::Auto => self.transport.unwrap_or(Transport::StreamableHttp),
        };
        self.epoch = self.sessions + 1;
        self.early.clear();
        // A redirect is good for the session that it was given to.
        self.url = self.configured_url.clone();
        self.shake_hands(transport, None);
    }

    fn shake_hands(&mut self, transport: Transport, refused: Option<Refusal>) {
        let mut handshake = Handshake { refused, ..Handshake::new(transport, Step::Initialize) };
        match transport {
            Transport::StreamableHttp => {
                self.link = Link::Handshake(handshake);
                let url = self.url.clone();
                self.post_initialize(&url);
            }
            Transport::HttpSse => {
                handshake.step = Step::Endpoint;
                // The role is told apart by the link, so the link comes first.
                self.link = Link::Handshake(handshake);
                let exchange = self.get_stream(Role::Stream, None);
                if let Link::Handshake(handshake) = &mut self.link {
                    handshake.stream = Some(exchange);
                }
                self.timers.set(Timer::Endpoint, self.now + ENDPOINT_TIME.min(self.handshake_time()));
            }
        }
    }

    pub(super) fn restart_handshake(&mut self) {
        if let Link::Handshake(Handshake { transport, refused, .. }) = self.link.clone() {
            self.cancel_session_exchanges();
            self.shake_hands(transport, refused);
        }
    }

    fn post_initialize(&mut self, url: &Url) {
        let Some(initialize) = self.program.initialize.clone() else { return };
        let told = self.program.answered.as_ref().map(|answered| answered.server.version.clone());
        let wire = self.wire_id();
        let body = initialize.to_wire(wire, told.as_deref()).into_bytes();
        let exchange = self.start(Role::Initialize, Method::Post, url, body, &[]);
        if let Link::Handshake(handshake) = &mut self.link {
            handshake.wire = wire;
            handshake.step = Step::Initialize;
            handshake.exchange = Some(exchange);
        }
        self.timers.set(Timer::Endpoint, self.now + self.handshake_time());
    }

    /// How long a step of the handshake may take. After a loss the first tries are short, because what they are sent into
    /// may be a hole; a slow server gets its time from the later ones.
    fn handshake_time(&self) -> Nanos {
        let limit = self.options.response_timeout;
        if self.sessions == 0 { limit } else { (self.options.heartbeat_timeout << self.attempts.min(8)).min(limit) }
    }

    /// HTTP+SSE: the stream says where to POST. It must be in the origin of the stream (MCP 2024-11-05, "Transports").
    pub(super) fn on_endpoint(&mut self, stream: ExchangeId, data: &str) {
        match &mut self.link {
            Link::Handshake(handshake) if handshake.step == Step::Endpoint && handshake.stream == Some(stream) => {}
            _ => return self.log(Level::Warn, "a second endpoint event: dropped"),
        }
        let endpoint = match self.url.resolve(data.trim()) {
            Ok(endpoint) if endpoint.same_origin(&self.url) => endpoint,
            Ok(endpoint) => {
                let text = alloc::format!(
                    "the endpoint event names another origin ({}://{}), where no message and no header is sent",
                    if endpoint.https() { "https" } else { "http" },
                    endpoint.authority()
                );
                return self.attempt_failed(Trouble::Fatal(text));
            }
            Err(problem) => {
                return self
                    .attempt_failed(Trouble::Fatal(alloc::format!("the endpoint event names no URL: {problem}")));
            }
        };
        if let Link::Handshake(handshake) = &mut self.link {
            handshake.endpoint = Some(endpoint.clone());
        }
        self.post_initialize(&endpoint);
    }

    pub(super) fn on_initialize_head(&mut self, session_id: Option<&[u8]>) {
        let Link::Handshake(handshake) = &mut self.link else { return };
        match session_id.map(http::session_id) {
            None => {}
            Some(Some(id)) => handshake.session_id = Some(id),
            Some(None) => self.attempt_failed(Trouble::Fatal(
                "the server's session id holds characters that are not allowed".to_string(),
            )),
        }
    }

    /// HTTP+SSE: the POST was taken; the result comes on the stream. Streamable HTTP: no result will come.
    pub(super) fn on_initialize_accepted(&mut self) {
        if let Link::Handshake(Handshake { transport: Transport::StreamableHttp, step: Step::Initialize, .. }) =
            self.link
        {
            self.attempt_failed(Trouble::Useless("initialize was accepted without an answer".to_string()));
        }
    }

    /// Whether this id on the wire is that of the handshake's `initialize`.
    pub(super) fn is_handshake_answer(&self, wire: u64) -> bool {
        matches!(&self.link, Link::Handshake(handshake) if handshake.step == Step::Initialize && handshake.wire == wire)
    }

    pub(super) fn on_initialize_answer(&mut self, text: String) {
        let Link::Handshake(handshake) = self.link.clone() else { return };
        let Ok(Parsed::One(envelope)) = json::parse(&text) else { return };
        let result = match envelope {
            Envelope { result: Some(result), .. } => result,
            Envelope { error: Some(error), .. } => {
                let body = alloc::format!(r#"{{"error":{}}}"#, error.get());
                let refusal = Refusal { status: 200, challenge: String::new(), retry_after: None, body };
                return self.attempt_failed(Trouble::Refused(refusal));
            }
            _ => return,
        };
        let server = match Server::parse(result.get()) {
            Ok(server) => server,
            Err(problem) => return self.attempt_failed(Trouble::Fatal(problem)),
        };
        let mut changed = false;
        if let Some(told) = &self.program.answered {
            if told.provisional && server.version > told.server.version {
                return self.attempt_failed(Trouble::Incompatible(alloc::format!(
                    "the server speaks {}, the program was promised {}",
                    server.version,
                    told.server.version
                )));
            }
            changed = !told.provisional && told.server != server;
            if told.server.version != server.version {
                let text = alloc::format!(
                    "the new session speaks {}, the program was told {}",
                    server.version,
                    told.server.version
                );
                self.log(Level::Warn, text);
            }
            self.program.lists_changed = true;
        }
        if changed {
            self.distrust_annotations();
        }
        let answer = declare_list_changed(&text, result);
        self.program.answered = Some(Answered { server: server.clone(), provisional: false });
        self.sessions = self.epoch;
        self.detected_at = Some(self.now);
        self.transport = Some(handshake.transport);
        self.session = Some(Session {
            epoch: self.epoch,
            transport: handshake.transport,
            id: handshake.session_id.clone(),
            endpoint: handshake.endpoint.clone(),
            server,
            since: self.now,
            initialized: false,
            progress: false,
            standalone: Standalone::default(),
            verified: false,
        });
        self.timers.clear(Timer::Endpoint);
        self.timers.clear(Timer::Start);
        if let Some(exchange) = handshake.exchange {
            self.retire(exchange);
        }
        self.link = Link::Handshake(Handshake { changed, ..handshake });
        for key in self.handshake_requests() {
            self.answer_initialize(key, &answer);
        }
        for (epoch, text) in core::mem::take(&mut self.early) {
            self.on_server_text(Source { epoch, owner: None, handshake: false }, text);
        }
        if self.program.initialized {
            self.send_initialized();
        } else {
            self.link = Link::AwaitInitialized;
        }
    }

    /// What the old server said of its tools does not bind the new one.
    fn distrust_annotations(&mut self) {
        self.restorable.tools.clear();
        let mut sent = Vec::new();
        for (key, request) in &mut self.requests {
            if request.method == "tools/call" && request.safe && request.origin == Origin::Program {
                request.safe = false;
                if request.delivery == Delivery::Held && request.replays > 0 {
                    sent.push((*key, request.accepted));
                }
            }
        }
        for (key, accepted) in sent {
            let reason = "it was sent, and the server that came back is another one".to_string();
            self.conclude(key, End { evidence: Evidence::Unknown, accepted, reason, refusal: None });
        }
    }

    fn answer_initialize(&mut self, key: crate::request::RequestKey, answer: &str) {
        let Ok(Parsed::One(Envelope { kind: json::Kind::Response { id: Some(id) }, .. })) = json::parse(answer) else {
            return;
        };
        let Some(request) = self.requests.get(&key) else { return };
        let text = json::splice(answer, id.range(), request.client_id());
        self.deliver(key, text, true);
        if let Some(session) = &mut self.session {
            session.progress = true;
        }
        self.attempts = 0;
        self.told_without_progress = false;
    }

    /// The program is ready. So is the session, once the server has been told.
    pub(super) fn on_program_initialized(&mut self) {
        if matches!(self.link, Link::AwaitInitialized) {
            self.send_initialized();
        }
    }

    pub(super) fn send_initialized(&mut self) {
        let transport = self.session.as_ref().map_or(Transport::StreamableHttp, |session| session.transport);
        let mut handshake = match &self.link {
            Link::Handshake(handshake) => handshake.clone(),
            _ => Handshake::new(transport, Step::Initialized),
        };
        handshake.step = Step::Initialized;
        self.link = Link::Handshake(handshake);
        let text = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let exchange = self.post(Role::Initialized, text.as_bytes().to_vec());
        self.timers.set(Timer::Head(exchange), self.now + self.options.response_timeout);
    }

    pub(super) fn on_initialized_accepted(&mut self) {
        let Link::Handshake(Handshake { step: Step::Initialized, changed, .. }) = self.link else { return };
        let Some(session) = &mut self.session else { return };
        session.initialized = true;
        let info = session.info();
        self.link = Link::Ready;
        self.doubt = false;
        self.down = None;
        self.redirects = 0;
        self.announce(info, changed);
        self.arm_heartbeat();
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
    pub(super) fn on_handshake_outcome(&mut self, role: &Role, trouble: Trouble) {
        let Link::Handshake(handshake) = self.link.clone() else { return };
        if handshake.step == Step::Goodbye {
            return;
        }
        let other = match handshake.transport {
            Transport::StreamableHttp => Transport::HttpSse,
            Transport::HttpSse => Transport::StreamableHttp,
        };
        let first_step = matches!(role, Role::Stream) || handshake.transport == Transport::StreamableHttp;
        match (&trouble, &handshake.refused) {
            (Trouble::Refused(refusal), None)
                if first_step
                    && matches!(handshake.step, Step::Endpoint | Step::Initialize)
                    && self.may_detect(refusal.status) =>
            {
                self.detected_at = Some(self.now);
                self.cancel_session_exchanges();
                self.shake_hands(other, Some(refusal.clone()));
            }
            // The other transport asks for something, or for patience.
            (Trouble::Refused(refusal), Some(_)) if trouble.will_pass() || matches!(refusal.status, 401 | 403) => {
                self.attempt_failed(trouble);
            }
            // The other transport is no better: the first refusal tells more than the second.
            (Trouble::Refused(_) | Trouble::Broken(_) | Trouble::Useless(_), Some(first)) => {
                let second = trouble.reason();
                let mut first = first.clone();
                if first.error().is_none() {
                    let said = first.describe();
                    first.body = alloc::format!("as Streamable HTTP it answered {said}; as HTTP+SSE: {second}");
                }
                self.attempt_failed(Trouble::Refused(first));
            }
            _ => self.attempt_failed(trouble),
        }
    }

    /// A step of the handshake took too long.
    pub(super) fn on_handshake_late(&mut self) {
        let (role, what) = match &self.link {
            Link::Handshake(Handshake { step: Step::Endpoint, .. }) => (Role::Stream, "no endpoint event came in time"),
            _ => (Role::Initialize, "initialize was not answered in time"),
        };
        self.on_handshake_outcome(&role, Trouble::Broken(what.to_string()));
    }

    /// The stream of HTTP+SSE ended.
    pub(super) fn on_stream_over(&mut self, trouble: Trouble) {
        match &self.link {
            Link::Handshake(_) => self.on_handshake_outcome(&Role::Stream, trouble),
            _ => {
                let reason = alloc::format!("the event stream is lost: {}", trouble.reason());
                match self.link {
                    Link::Probing(_) => self.recover(Trouble::SessionLost(reason)),
                    // The next attempt has its time already; but the session ends now.
                    Link::Waiting | Link::Headers | Link::Credentials(_) => {
                        self.disconnected(&reason);
                        self.end_session(&reason);
                    }
                    _ => self.recover(Trouble::Broken(reason)),
                }
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
            (None, _) => (400..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 429),
            (Some(_), Some(at)) if self.now < at + DETECT_AGAIN => false,
            (Some(_), _) => matches!(status, 400 | 404 | 405),
        }
    }
}
