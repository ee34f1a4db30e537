//! Tells a person on stderr what happens to the connection.

use alloc::string::String;
use core::time::Duration;

use mcp_reconnect_command::event_log::{self as words, Session};
use mcp_reconnect_core::Transport as Name;

use crate::bindings::mcp_reconnect::transport::types::{Event, Level, SessionInfo, Transport};
use crate::log::Log;

/// Turns events into log lines.
pub struct EventLog(words::EventLog);

impl EventLog {
    /// Knows which options give the credentials.
    pub fn new(credentials: String) -> Self {
        Self(words::EventLog::new(credentials))
    }

    /// Tells an event. A message is not told: what it holds is between the client and the server.
    pub fn tell(&mut self, event: &Event, log: &mut Log) {
        let event = match event {
            Event::Message(_) => return,
            Event::Connecting => words::Event::Connecting,
            Event::Connected(info) => words::Event::Connected(session(info)),
            Event::Disconnected(why) => words::Event::Disconnected { reason: &why.reason },
            Event::Suspect(why) => words::Event::Suspect { reason: &why.reason },
            Event::Reconnecting(attempt) => words::Event::Reconnecting {
                attempt: attempt.number,
                delay: Duration::from_nanos(attempt.delay),
                reason: &attempt.reason,
            },
            Event::Reconnected(recovery) => words::Event::Reconnected {
                session: session(&recovery.session),
                new_session: recovery.new_session,
                server_changed: recovery.server_changed,
            },
            Event::CredentialsNeeded(challenge) => {
                words::Event::CredentialsNeeded { status: challenge.status, challenge: &challenge.www_authenticate }
            }
            Event::HeadersNeeded(status) => words::Event::HeadersNeeded { status: *status },
            Event::Replayed(note) => words::Event::Replayed { method: &note.method, reason: &note.reason },
            Event::OutcomeUnknown(note) => {
                words::Event::OutcomeUnknown { method: &note.method, accepted: note.accepted, reason: &note.reason }
            }
            Event::Diagnostic(diagnostic) => {
                let level = match diagnostic.level {
                    Level::Debug => words::Level::Debug,
                    Level::Info => words::Level::Info,
                    // One that this program does not know is nothing to be overlooked.
                    Level::Warn | Level::Other => words::Level::Warn,
                };
                words::Event::Diagnostic { level, text: &diagnostic.text }
            }
            Event::Other(text) => words::Event::Diagnostic { level: words::Level::Debug, text },
        };
        let (level, line) = self.0.tell(&event);
        log.at(level, &line);
    }
}

fn session(info: &SessionInfo) -> Session<'_> {
    Session {
        server_name: &info.server_name,
        server_version: &info.server_version,
        transport: match info.transport {
            Transport::StreamableHttp => Some(Name::StreamableHttp),
            Transport::HttpSse => Some(Name::HttpSse),
            Transport::Other => None,
        },
        protocol_version: &info.protocol_version,
        epoch: info.epoch,
    }
}
