//! The interface `types`: the resource `options`, and the engine's vocabulary in that of the interfaces.
//!
//! Both components compile this file, each against bindings of its own.

use alloc::string::{String, ToString};
use core::cell::RefCell;
use core::time::Duration;

use mcp_reconnect_core as engine;

use crate::bindings::exports::mcp_reconnect::transport::types as wit;

/// The resource `options`.
pub struct OptionsResource(RefCell<engine::Options>);

impl OptionsResource {
    /// The options of a caller that gives them away.
    pub fn take(options: wit::Options) -> engine::Options {
        options.into_inner::<Self>().0.into_inner()
    }
}

impl wit::GuestOptions for OptionsResource {
    fn new(url: String) -> Self {
        Self(RefCell::new(engine::Options::new(url)))
    }

    fn set_headers(&self, headers: wit::Headers) {
        self.0.borrow_mut().headers = headers;
    }

    fn set_transport(&self, choice: wit::TransportChoice) {
        self.0.borrow_mut().transport = match choice {
            wit::TransportChoice::Auto => engine::TransportChoice::Auto,
            wit::TransportChoice::StreamableHttp => engine::TransportChoice::StreamableHttp,
            wit::TransportChoice::HttpSse => engine::TransportChoice::HttpSse,
        };
    }

    fn set_notify_client(&self, notify: bool) {
        self.0.borrow_mut().notify_client = notify;
    }

    fn set_discover_first(&self, first: bool) {
        self.0.borrow_mut().discover_first = first;
    }

    fn set_trust_annotations(&self, trust: bool) {
        self.0.borrow_mut().trust_annotations = trust;
    }

    fn set_credentials_timeout(&self, timeout: wit::Duration) {
        let mut options = self.0.borrow_mut();
        options.can_refresh_credentials = timeout > 0;
        if timeout > 0 {
            options.credentials_timeout = Duration::from_nanos(timeout);
        }
    }

    fn set_connect_headers_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().connect_headers_timeout = Duration::from_nanos(timeout);
    }

    fn set_heartbeat_interval(&self, interval: wit::Duration) {
        self.0.borrow_mut().heartbeat_interval = Duration::from_nanos(interval);
    }

    fn set_listen_check_interval(&self, interval: wit::Duration) {
        self.0.borrow_mut().listen_check_interval = Duration::from_nanos(interval);
    }

    fn set_heartbeat_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().heartbeat_timeout = Duration::from_nanos(timeout);
    }

    fn set_heartbeat_strict(&self, strict: bool) {
        self.0.borrow_mut().heartbeat_strict = strict;
    }

    fn set_hold_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().hold_timeout = Duration::from_nanos(timeout);
    }

    fn set_run_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().run_timeout = Duration::from_nanos(timeout);
    }

    fn set_old_session_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().old_session_timeout = Duration::from_nanos(timeout);
    }

    fn set_run_limit(&self, limit: wit::Duration) {
        self.0.borrow_mut().run_limit = Duration::from_nanos(limit);
    }

    fn set_response_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().response_timeout = Duration::from_nanos(timeout);
    }

    fn set_backoff(&self, base: wit::Duration, cap: wit::Duration) {
        let mut options = self.0.borrow_mut();
        options.backoff_base = Duration::from_nanos(base);
        options.backoff_cap = Duration::from_nanos(cap);
    }

    fn set_max_attempts(&self, attempts: u32) {
        self.0.borrow_mut().max_attempts = attempts;
    }

    fn set_start_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().start_timeout = Duration::from_nanos(timeout);
    }

    fn set_max_queue(&self, messages: u32, bytes: u64) {
        let mut options = self.0.borrow_mut();
        options.max_queue_messages = size(messages.into());
        options.max_queue_bytes = size(bytes);
    }

    fn set_max_message_bytes(&self, bytes: u64) {
        self.0.borrow_mut().max_message_bytes = size(bytes);
    }

    fn set_max_event_bytes(&self, bytes: u64) {
        self.0.borrow_mut().max_event_bytes = size(bytes);
    }

    fn set_max_body_bytes(&self, bytes: u64) {
        self.0.borrow_mut().max_body_bytes = size(bytes);
    }

    fn set_max_total_body_bytes(&self, bytes: u64) {
        self.0.borrow_mut().max_total_body_bytes = size(bytes);
    }

    fn set_recovery(&self, state: String) {
        #[cfg(feature = "faults")]
        crate::faults::on_message(&state);
        self.0.borrow_mut().recovery = Some(state);
    }
}

/// A duration in the unit of the interfaces; one over 584 years counts as that.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// An event for the caller. `None` for the last one, which each interface tells in its own way.
pub fn event(event: engine::Event) -> Option<wit::Event> {
    Some(match event {
        engine::Event::Message(text) => wit::Event::Message(text),
        engine::Event::Connecting => wit::Event::Connecting,
        engine::Event::Connected(session) => wit::Event::Connected(session_info(session)),
        engine::Event::Disconnected { epoch, reason } => {
            wit::Event::Disconnected(wit::SessionProblem { epoch, reason })
        }
        engine::Event::Suspect { epoch, reason } => wit::Event::Suspect(wit::SessionProblem { epoch, reason }),
        engine::Event::Reconnecting { attempt, delay, reason } => {
            wit::Event::Reconnecting(wit::Attempt { number: attempt, delay: nanos(delay), reason })
        }
        engine::Event::Reconnected { session, new_session, server_changed } => {
            wit::Event::Reconnected(wit::Recovery { session: session_info(session), new_session, server_changed })
        }
        engine::Event::CredentialsNeeded { status, challenge } => {
            wit::Event::CredentialsNeeded(wit::Challenge { status, www_authenticate: challenge })
        }
        engine::Event::HeadersNeeded { status } => wit::Event::HeadersNeeded(status),
        engine::Event::Replayed { method, accepted, reason } => {
            wit::Event::Replayed(wit::RequestReport { method, accepted, reason })
        }
        engine::Event::OutcomeUnknown { method, accepted, reason } => {
            wit::Event::OutcomeUnknown(wit::RequestReport { method, accepted, reason })
        }
        engine::Event::Diagnostic { level, text } => {
            let level = match level {
                engine::Level::Debug => wit::Level::Debug,
                engine::Level::Info => wit::Level::Info,
                engine::Level::Warn => wit::Level::Warn,
                _ => wit::Level::Other,
            };
            wit::Event::Diagnostic(wit::Diagnostic { level, text })
        }
        engine::Event::Closed => return None,
        // One that this interface has no case for yet.
        _ => wit::Event::Other("{}".to_string()),
    })
}

/// A session for the caller.
pub fn session_info(session: engine::SessionInfo) -> wit::SessionInfo {
    wit::SessionInfo {
        epoch: session.epoch,
        transport: match session.transport {
            engine::Transport::StreamableHttp => wit::Transport::StreamableHttp,
            engine::Transport::HttpSse => wit::Transport::HttpSse,
            _ => wit::Transport::Other,
        },
        protocol_version: session.protocol_version,
        server_name: session.server_name,
        server_version: session.server_version,
        has_session_id: session.has_session_id,
    }
}

/// A snapshot for the caller.
pub fn status(status: engine::Status, now: engine::Instant) -> wit::Status {
    wit::Status {
        state: match status.state {
            engine::State::Idle => wit::State::Idle,
            engine::State::Connecting => wit::State::Connecting,
            engine::State::Ready => wit::State::Ready,
            engine::State::Waiting => wit::State::Waiting,
            engine::State::NeedsCredentials => wit::State::NeedsCredentials,
            engine::State::Closed => wit::State::Closed,
            _ => wit::State::Other,
        },
        session: status.session.map(session_info),
        session_age: status.session_since.map_or(0, |since| nanos(now - since)),
        queued: status.queued,
        in_flight: status.in_flight,
        reconnects: status.reconnects,
        replays: status.replays,
        last_error: status.last_error,
    }
}

/// Why options were refused, for the caller.
pub fn open_error(error: engine::OptionsError) -> wit::OpenError {
    match error {
        engine::OptionsError::Url(problem) => wit::OpenError::InvalidUrl(problem.to_string()),
        engine::OptionsError::Header(problem) => wit::OpenError::InvalidHeader(problem.to_string()),
        other => wit::OpenError::Other(other.to_string()),
    }
}
