//! What a client hears from a connection.

use std::fmt;
use std::time::Duration;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A JSON-RPC message for the client, on one line.
    Message(String),
    /// The first contact with the server begins.
    Connecting,
    /// The first session is ready. In a version without sessions (MCP 2026-07-28): the server has shown that it speaks such a version.
    Connected(SessionInfo),
    /// The connection or its session is lost. Without sessions: the server cannot be reached.
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
        /// Whether the session is a new one. False without sessions.
        new_session: bool,
        /// Whether the server's info, version, capabilities or instructions differ from those of the last session.
        server_changed: bool,
    },
    /// The server wants other credentials. Where [`crate::Sender::set_headers`] can help, [`Event::HeadersNeeded`] follows.
    CredentialsNeeded {
        /// The HTTP status, 401 or 403.
        status: u16,
        /// The `WWW-Authenticate` header, or empty.
        challenge: String,
    },
    /// [`crate::Sender::set_headers`] is awaited, by a rejected request ([`crate::Options::credentials_timeout`]) or a new
    /// session ([`crate::Options::connect_headers_timeout`]). Give the old headers again where there are no others: then
    /// nothing waits any longer. It is given once for each wait; for a new session as soon as the old one is lost, and
    /// again each minute that the server is away.
    HeadersNeeded {
        /// The HTTP status, 401 or 403, that the headers in use were rejected with. `None`: a session is to be made, or, in a version
        /// without sessions, the first request or the first one after the server was away.
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
    /// A line for a log. It holds no secrets.
    Diagnostic {
        /// Its severity.
        level: Level,
        /// What, for people.
        text: String,
    },
    /// An event newer than this library, as JSON.
    Other(String),
}

/// The severity of an [`Event::Diagnostic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Of interest when searching a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Something was dropped or changed.
    Warn,
    /// The connection cannot go on: a defect of this library.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// A transport of the MCP specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Streamable HTTP (2025-03-26 and later).
    StreamableHttp,
    /// HTTP+SSE (2024-11-05).
    HttpSse,
    /// One newer than this library.
    Other,
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::StreamableHttp => "Streamable HTTP",
            Self::HttpSse => "HTTP+SSE",
            Self::Other => "another transport",
        })
    }
}

/// A session, for people and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Counts the sessions of this connection, from 1. Without sessions it is counted up when the server describes itself differently.
    pub epoch: u64,
    /// The transport.
    pub transport: Transport,
    /// The negotiated protocol version. Without sessions: that which the client's requests name.
    pub protocol_version: String,
    /// The server's name, or empty.
    pub server_name: String,
    /// The server's version, or empty.
    pub server_version: String,
    /// Whether the server gave a session id. The id is a secret and not shown.
    pub has_session_id: bool,
}

/// What a connection is doing.
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
    /// One newer than this library.
    Other,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::NeedsCredentials => "needs credentials",
            Self::Closed => "closed",
            Self::Other => "another state",
        })
    }
}

/// A snapshot of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The current session, if there is one.
    pub session: Option<SessionInfo>,
    /// How long the current session has been up, or zero.
    pub session_age: Duration,
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
