//! From the component's types to the library's.

use std::time::Duration;

use crate::component::types;
use crate::{Event, Level, SessionInfo, State, Status, Transport};

impl From<types::Event> for Event {
    fn from(event: types::Event) -> Self {
        match event {
            types::Event::Message(text) => Self::Message(text),
            types::Event::Connecting => Self::Connecting,
            types::Event::Connected(session) => Self::Connected(session.into()),
            types::Event::Disconnected(types::SessionProblem { epoch, reason }) => Self::Disconnected { epoch, reason },
            types::Event::Suspect(types::SessionProblem { epoch, reason }) => Self::Suspect { epoch, reason },
            types::Event::Reconnecting(types::Attempt { number, delay, reason }) => {
                Self::Reconnecting { attempt: number, delay: Duration::from_nanos(delay), reason }
            }
            types::Event::Reconnected(types::Recovery { session, new_session, server_changed }) => {
                Self::Reconnected { session: session.into(), new_session, server_changed }
            }
            types::Event::CredentialsNeeded(types::Challenge { status, www_authenticate }) => {
                Self::CredentialsNeeded { status, challenge: www_authenticate }
            }
            types::Event::HeadersNeeded(status) => Self::HeadersNeeded { status },
            types::Event::Replayed(types::RequestReport { method, accepted, reason }) => {
                Self::Replayed { method, accepted, reason }
            }
            types::Event::OutcomeUnknown(types::RequestReport { method, accepted, reason }) => {
                Self::OutcomeUnknown { method, accepted, reason }
            }
            types::Event::Diagnostic(types::Diagnostic { level, text }) => {
                let level = match level {
                    types::Level::Debug => Level::Debug,
                    types::Level::Info => Level::Info,
                    // One that this library does not know is nothing to be overlooked.
                    types::Level::Warn | types::Level::Other => Level::Warn,
                };
                Self::Diagnostic { level, text }
            }
            types::Event::Other(json) => Self::Other(json),
        }
    }
}

impl From<types::SessionInfo> for SessionInfo {
    fn from(session: types::SessionInfo) -> Self {
        Self {
            epoch: session.epoch,
            transport: match session.transport {
                types::Transport::StreamableHttp => Transport::StreamableHttp,
                types::Transport::HttpSse => Transport::HttpSse,
                types::Transport::Other => Transport::Other,
            },
            protocol_version: session.protocol_version,
            server_name: session.server_name,
            server_version: session.server_version,
            has_session_id: session.has_session_id,
        }
    }
}

impl From<types::Status> for Status {
    fn from(status: types::Status) -> Self {
        Self {
            state: match status.state {
                types::State::Idle => State::Idle,
                types::State::Connecting => State::Connecting,
                types::State::Ready => State::Ready,
                types::State::Waiting => State::Waiting,
                types::State::NeedsCredentials => State::NeedsCredentials,
                types::State::Closed => State::Closed,
                types::State::Other => State::Other,
            },
            session: status.session.map(SessionInfo::from),
            session_age: Duration::from_nanos(status.session_age),
            queued: status.queued,
            in_flight: status.in_flight,
            reconnects: status.reconnects,
            replays: status.replays,
            last_error: status.last_error,
        }
    }
}
