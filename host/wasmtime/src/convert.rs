//! From the component's types to the library's.

use std::time::Duration;

use crate::component::wit;
use crate::{Event, Level, SessionInfo, State, Status, Transport};

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        match event {
            wit::Event::Message(text) => Self::Message(text),
            wit::Event::Connecting => Self::Connecting,
            wit::Event::Connected(session) => Self::Connected(session.into()),
            wit::Event::Disconnected(wit::EpochReason { epoch, reason }) => Self::Disconnected { epoch, reason },
            wit::Event::Suspect(wit::EpochReason { epoch, reason }) => Self::Suspect { epoch, reason },
            wit::Event::Reconnecting(wit::Attempt { number, delay, reason }) => {
                Self::Reconnecting { attempt: number, delay: Duration::from_nanos(delay), reason }
            }
            wit::Event::Reconnected(wit::Recovery { session, new_session, server_changed }) => {
                Self::Reconnected { session: session.into(), new_session, server_changed }
            }
            wit::Event::CredentialsNeeded(wit::Challenge { status, www_authenticate }) => {
                Self::CredentialsNeeded { status, challenge: www_authenticate }
            }
            wit::Event::HeadersNeeded(status) => Self::HeadersNeeded { status },
            wit::Event::Replayed(wit::RequestNote { method, accepted, reason }) => {
                Self::Replayed { method, accepted, reason }
            }
            wit::Event::OutcomeUnknown(wit::RequestNote { method, accepted, reason }) => {
                Self::OutcomeUnknown { method, accepted, reason }
            }
            wit::Event::Diagnostic(wit::Diagnostic { level, text }) => {
                let level = match level {
                    wit::Level::Debug => Level::Debug,
                    wit::Level::Info => Level::Info,
                    wit::Level::Warn => Level::Warn,
                };
                Self::Diagnostic { level, text }
            }
            wit::Event::Other(json) => Self::Other(json),
        }
    }
}

impl From<wit::SessionInfo> for SessionInfo {
    fn from(session: wit::SessionInfo) -> Self {
        Self {
            epoch: session.epoch,
            transport: match session.transport {
                wit::Transport::StreamableHttp => Transport::StreamableHttp,
                wit::Transport::HttpSse => Transport::HttpSse,
            },
            protocol_version: session.protocol_version,
            server_name: session.server_name,
            server_version: session.server_version,
            has_session_id: session.has_session_id,
        }
    }
}

impl From<wit::Status> for Status {
    fn from(status: wit::Status) -> Self {
        Self {
            state: match status.state {
                wit::State::Idle => State::Idle,
                wit::State::Connecting => State::Connecting,
                wit::State::Ready => State::Ready,
                wit::State::Waiting => State::Waiting,
                wit::State::NeedsCredentials => State::NeedsCredentials,
                wit::State::Closed => State::Closed,
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
