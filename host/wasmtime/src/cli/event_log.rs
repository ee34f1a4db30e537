//! Tells a person on stderr what happens to the connection.

use mcp_reconnect::{Event, Level, SessionInfo, State, Status, Transport};
use mcp_reconnect_command::event_log::{self as words, Session, Short};

/// Turns events into log lines.
#[derive(Debug)]
pub struct EventLog(words::EventLog);

impl EventLog {
    /// Knows which options give the credentials.
    pub fn new(credentials: String) -> Self {
        Self(words::EventLog::new(credentials))
    }

    /// Tells an event. A message is not told: what it holds is between the client and the server.
    pub fn tell(&mut self, event: &Event) {
        let event = match event {
            Event::Message(_) => return,
            Event::Connecting => words::Event::Connecting,
            Event::Connected(info) => words::Event::Connected(session(info)),
            Event::Disconnected { reason, .. } => words::Event::Disconnected { reason },
            Event::Suspect { reason, .. } => words::Event::Suspect { reason },
            Event::Reconnecting { attempt, delay, reason } => {
                words::Event::Reconnecting { attempt: *attempt, delay: *delay, reason }
            }
            Event::Reconnected { session: info, new_session, server_changed } => words::Event::Reconnected {
                session: session(info),
                new_session: *new_session,
                server_changed: *server_changed,
            },
            Event::CredentialsNeeded { status, challenge } => {
                words::Event::CredentialsNeeded { status: *status, challenge }
            }
            Event::HeadersNeeded { status } => words::Event::HeadersNeeded { status: *status },
            Event::Replayed { method, reason, .. } => words::Event::Replayed { method, reason },
            Event::OutcomeUnknown { method, accepted, reason } => {
                words::Event::OutcomeUnknown { method, accepted: *accepted, reason }
            }
            Event::Diagnostic { level, text } => words::Event::Diagnostic { level: severity(*level), text },
            other => return tracing::debug!("{other:?}"),
        };
        match self.0.tell(&event) {
            (words::Level::Error, line) => tracing::error!("{line}"),
            (words::Level::Warn, line) => tracing::warn!("{line}"),
            (words::Level::Info, line) => tracing::info!("{line}"),
            (words::Level::Debug, line) => tracing::debug!("{line}"),
        }
    }
}

/// The status as one line.
pub fn status(status: &Status) -> String {
    let state = match status.state {
        State::Idle => "idle, the client has not sent initialize",
        State::Connecting => "connecting",
        State::Ready => "ready",
        State::Waiting => "waiting for the next attempt",
        State::NeedsCredentials => "waiting for other credentials",
        State::Closed => "closed",
        _ => "in a state newer than this program",
    };
    let session = match &status.session {
        Some(info) => format!("{} for {}", session(info), Short(status.session_age)),
        None => "no session".into(),
    };
    let error = if status.last_error.is_empty() { "none" } else { &status.last_error };
    format!(
        "status: {state}; {session}; {} queued, {} in flight, {} reconnects, {} replays; last error: {error}",
        status.queued, status.in_flight, status.reconnects, status.replays
    )
}

fn session(info: &SessionInfo) -> Session<'_> {
    Session {
        server_name: &info.server_name,
        server_version: &info.server_version,
        transport: match info.transport {
            Transport::StreamableHttp => Some(mcp_reconnect_core::Transport::StreamableHttp),
            Transport::HttpSse => Some(mcp_reconnect_core::Transport::HttpSse),
            _ => None,
        },
        protocol_version: &info.protocol_version,
        epoch: info.epoch,
    }
}

fn severity(level: Level) -> words::Level {
    match level {
        Level::Error => words::Level::Error,
        Level::Info => words::Level::Info,
        Level::Debug => words::Level::Debug,
        _ => words::Level::Warn,
    }
}
