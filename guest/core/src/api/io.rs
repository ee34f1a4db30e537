//! The vocabulary between the engine and its driver: [`Input`], [`Output`], [`Event`].

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::Instant;

/// Names one HTTP exchange (a request and its response). Unique for the life of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// What a driver tells the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The client sends a JSON-RPC message (or a batch of them). Bytes that are not UTF-8 are given with U+FFFD in their places
    /// and one more before the whole: they are answered with an error, under their id where it can be read.
    Message(String),
    /// Nothing but time passes: call when [`crate::Engine::deadline`] is reached.
    Tick,
    /// The client gave other headers; they hold from the next request on.
    SetHeaders(Vec<(String, String)>),
    /// What a person can do so that there will be other headers, or that nothing can be done any more: see [`SignIn`].
    SignIn(Option<SignIn>),
    /// The client wants a new session now.
    Reconnect,
    /// The host suspects that the connection is dead (woke from sleep, network changed): find out now.
    Probe,
    /// The client is done: drain, say delete, close.
    Close,
    /// The body of the exchange's request was handed to the network completely.
    Sent(ExchangeId),
    /// Status and headers of the response arrived. Header names may be in any case.
    Response {
        /// The exchange.
        exchange: ExchangeId,
        /// The HTTP status.
        status: u16,
        /// The headers, in order.
        headers: Vec<(String, Vec<u8>)>,
    },
    /// Bytes of the response's body, after [`Input::Response`].
    Body {
        /// The exchange.
        exchange: ExchangeId,
        /// The bytes; any split is allowed.
        bytes: Vec<u8>,
    },
    /// The body ended as it should. The exchange is over.
    End(ExchangeId),
    /// The exchange failed, before or after [`Input::Response`]. The exchange is over.
    Failed {
        /// The exchange.
        exchange: ExchangeId,
        /// What the driver can prove.
        failure: Failure,
        /// For people: what the network stack said. No secrets.
        detail: String,
    },
}

/// Credentials that only a person can give. As long as the engine knows of it, a request that is rejected for its credentials
/// fails with an error that says so (`data.command`, `data.url`), and an `initialize` is answered provisionally, as for a server that is away,
/// once [`crate::Options::credentials_timeout`] is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignIn {
    /// A command for a shell that begins it. No secrets.
    pub command: String,
    /// What to open in a browser, if it has begun.
    pub url: Option<String>,
}

/// What is known about an exchange that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// Provably no byte of the request was sent: name not found.
    Dns,
    /// Provably no byte of the request was sent: connection refused, unreachable, or connecting took too long.
    Connect,
    /// Provably no byte of the request was sent, and waiting will hardly help: the TLS handshake failed (a bad
    /// certificate, say), or a proxy demands a password.
    Tls,
    /// Anything else: the request may have arrived.
    Lost,
    /// The driver refused to send it (a header or URL the platform does not allow). Trying again cannot help.
    Unsendable,
}

/// The HTTP method of a [`Request`]. There will be no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
}

/// An HTTP request for the driver to make. Redirects must not be followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Whether the scheme is `https`.
    pub https: bool,
    /// Host and port as in the URL.
    pub authority: String,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// All headers but `host` and `content-length`, validated.
    pub headers: Vec<(String, String)>,
    /// The body; empty for GET and DELETE.
    pub body: Vec<u8>,
}

/// What the engine wants of its driver, which must do all of it: another one would be a breaking change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Make this request and report it under this name.
    Start(ExchangeId, Request),
    /// Stop this exchange (close its connection or stream). Nothing about it is to be reported any more.
    Cancel(ExchangeId),
    /// Give this to the client.
    Event(Event),
    /// Read no more of this exchange's body until [`Output::Resume`]: what is being read at once has reached
    /// [`crate::Options::max_total_body_bytes`]. What was read already is to be reported. A driver that goes on is not
    /// punished for a few bytes; past the bound the largest body is given up.
    Pause(ExchangeId),
    /// Read on. Only after [`Output::Pause`].
    Resume(ExchangeId),
}

/// The transport in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Streamable HTTP (2025-03-26 and later).
    StreamableHttp,
    /// HTTP+SSE (2024-11-05).
    HttpSse,
}

/// How grave a [`Event::Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// Of interest when searching a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Something was dropped or changed.
    Warn,
}

/// What the client hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A JSON-RPC message for the client, on one line.
    Message(String),
    /// The first contact with the server begins.
    Connecting,
    /// The first session is ready.
    Connected(SessionInfo),
    /// The connection or its session is lost.
    Disconnected {
        /// The epoch that ended.
        epoch: u64,
        /// Why, for people.
        reason: String,
    },
    /// A ping went unanswered while a request is in flight: the server is busy, or gone.
    Suspect {
        /// The epoch.
        epoch: u64,
        /// Why, for people.
        reason: String,
    },
    /// An attempt to reconnect comes after a delay.
    Reconnecting {
        /// 1 for the first attempt since the last progress.
        attempt: u32,
        /// How long until it is made.
        delay: Duration,
        /// Why the last one failed, for people.
        reason: String,
    },
    /// Work goes on.
    Reconnected {
        /// The session.
        session: SessionInfo,
        /// Whether the session is a new one.
        new_session: bool,
        /// Whether the server's info, version, capabilities or instructions differ from those of the last session.
        server_changed: bool,
    },
    /// The server wants other credentials (401 or 403).
    CredentialsNeeded {
        /// The HTTP status.
        status: u16,
        /// The `WWW-Authenticate` header, or empty.
        challenge: String,
    },
    /// [`Input::SetHeaders`] is awaited: see [`crate::Options::connect_headers_timeout`] and
    /// [`crate::Options::can_refresh_credentials`].
    HeadersNeeded {
        /// The HTTP status, 401 or 403, that the headers in use were rejected with. `None`: a session is to be made.
        status: Option<u16>,
    },
    /// A request that may or may not have run is sent again, because it is safe.
    Replayed {
        /// The request's method.
        method: String,
        /// Whether the server had accepted it.
        accepted: bool,
        /// Why, for people.
        reason: String,
    },
    /// A request was answered with the outcome-unknown error.
    OutcomeUnknown {
        /// The request's method.
        method: String,
        /// Whether the server had accepted it.
        accepted: bool,
        /// Why, for people.
        reason: String,
    },
    /// Something a person may want in a log. No secrets.
    Diagnostic {
        /// How grave.
        level: Level,
        /// What, for people.
        text: String,
    },
    /// The last event.
    Closed,
}

/// A session, for people and logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Counts sessions of this engine, from 1.
    pub epoch: u64,
    /// The transport.
    pub transport: Transport,
    /// The negotiated protocol version.
    pub protocol_version: String,
    /// `serverInfo.name`, or empty.
    pub server_name: String,
    /// `serverInfo.version`, or empty.
    pub server_version: String,
    /// Whether the server gave a session id. The id itself is a secret and never shown.
    pub has_session_id: bool,
}

/// What the connection is doing, for [`crate::Engine::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing asked of it yet.
    Idle,
    /// Connecting or initialising.
    Connecting,
    /// A session is up.
    Ready,
    /// Waiting for the next attempt.
    Waiting,
    /// Waiting for other credentials.
    NeedsCredentials,
    /// Closing or closed.
    Closed,
}

/// A snapshot of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The current session, if there is one.
    pub session: Option<SessionInfo>,
    /// When the current session became ready (the driver's clock).
    pub session_since: Option<Instant>,
    /// Messages waiting to be sent.
    pub queued: u32,
    /// Requests of the client that wait for their answer, queued ones included.
    pub in_flight: u32,
    /// Sessions begun after the first.
    pub reconnects: u64,
    /// Requests sent a second time.
    pub replays: u64,
    /// The last failure, or empty.
    pub last_error: String,
}
