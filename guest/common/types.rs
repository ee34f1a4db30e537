//! The interface `types`: the resource `options`, and the engine's vocabulary in that of the interfaces.
//!
//! Both components compile this file, each against bindings of its own.

use alloc::string::String;
use core::cell::RefCell;

use mcp_reconnect_core as core_;

use crate::bindings::exports::mcp_reconnect::transport::types as wit;

/// The resource `options`.
pub struct OptionsResource(RefCell<core_::Options>);

impl OptionsResource {
    /// The options of a caller that gives them away.
    pub fn take(options: wit::Options) -> core_::Options {
        options.into_inner::<Self>().0.into_inner()
    }
}

impl wit::GuestOptions for OptionsResource {
    fn new(url: String) -> Self {
        Self(RefCell::new(core_::Options::new(url)))
    }

    fn set_headers(&self, headers: wit::Headers) {
        self.0.borrow_mut().headers = headers;
    }

    fn set_transport(&self, choice: wit::TransportChoice) {
        self.0.borrow_mut().transport = match choice {
            wit::TransportChoice::Auto => core_::TransportChoice::Auto,
            wit::TransportChoice::StreamableHttp => core_::TransportChoice::StreamableHttp,
            wit::TransportChoice::HttpSse => core_::TransportChoice::HttpSse,
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
            options.credentials_timeout = timeout;
        }
    }

    fn set_connect_headers_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().connect_headers_timeout = timeout;
    }

    fn set_heartbeat_interval(&self, interval: wit::Duration) {
        self.0.borrow_mut().heartbeat_interval = interval;
    }

    fn set_listen_check_interval(&self, interval: wit::Duration) {
        self.0.borrow_mut().listen_check_interval = interval;
    }

    fn set_heartbeat_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().heartbeat_timeout = timeout;
    }

    fn set_heartbeat_strict(&self, strict: bool) {
        self.0.borrow_mut().heartbeat_strict = strict;
    }

    fn set_hold_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().hold_timeout = timeout;
    }

    fn set_run_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().run_timeout = timeout;
    }

    fn set_old_session_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().old_session_timeout = timeout;
    }

    fn set_run_limit(&self, limit: wit::Duration) {
        self.0.borrow_mut().run_limit = limit;
    }

    fn set_response_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().response_timeout = timeout;
    }

    fn set_backoff(&self, base: wit::Duration, cap: wit::Duration) {
        let mut options = self.0.borrow_mut();
        options.backoff_base = base;
        options.backoff_cap = cap;
    }

    fn set_max_attempts(&self, attempts: u32) {
        self.0.borrow_mut().max_attempts = attempts;
    }

    fn set_start_timeout(&self, timeout: wit::Duration) {
        self.0.borrow_mut().start_timeout = timeout;
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

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// An event for the caller. `None` for the last one, which each interface tells in its own way.
pub fn event(event: core_::Event) -> Option<wit::Event> {
    Some(match event {
        core_::Event::Message(text) => wit::Event::Message(text),
        core_::Event::Connecting => wit::Event::Connecting,
        core_::Event::Connected(session) => wit::Event::Connected(session_info(session)),
        core_::Event::Disconnected { epoch, reason } => wit::Event::Disconnected(wit::EpochReason { epoch, reason }),
        core_::Event::Suspect { epoch, reason } => wit::Event::Suspect(wit::EpochReason { epoch, reason }),
        core_::Event::Reconnecting { attempt, delay, reason } => {
            wit::Event::Reconnecting(wit::Attempt { number: attempt, delay, reason })
        }
        core_::Event::Reconnected { session, new_session, server_changed } => {
            wit::Event::Reconnected(wit::Recovery { session: session_info(session), new_session, server_changed })
        }
        core_::Event::CredentialsNeeded { status, challenge } => {
            wit::Event::CredentialsNeeded(wit::Challenge { status, www_authenticate: challenge })
        }
        core_::Event::HeadersNeeded { status } => wit::Event::HeadersNeeded(status),
        core_::Event::Replayed { method, accepted, reason } => {
            wit::Event::Replayed(wit::RequestNote { method, accepted, reason })
        }
        core_::Event::OutcomeUnknown { method, accepted, reason } => {
            wit::Event::OutcomeUnknown(wit::RequestNote { method, accepted, reason })
        }
        core_::Event::Diagnostic { level, text } => {
            let level = match level {
                core_::Level::Debug => wit::Level::Debug,
                core_::Level::Info => wit::Level::Info,
                core_::Level::Warn => wit::Level::Warn,
            };
            wit::Event::Diagnostic(wit::Diagnostic { level, text })
        }
        core_::Event::Closed => return None,
    })
}

/// A session for the caller.
pub fn session_info(session: core_::SessionInfo) -> wit::SessionInfo {
    wit::SessionInfo {
        epoch: session.epoch,
        transport: match session.transport {
            core_::Transport::StreamableHttp => wit::Transport::StreamableHttp,
            core_::Transport::HttpSse => wit::Transport::HttpSse,
        },
        protocol_version: session.protocol_version,
        server_name: session.server_name,
        server_version: session.server_version,
        has_session_id: session.has_session_id,
    }
}

/// A snapshot for the caller.
pub fn status(status: core_::Status, now: core_::Nanos) -> wit::Status {
    wit::Status {
        state: match status.state {
            core_::State::Idle => wit::State::Idle,
            core_::State::Connecting => wit::State::Connecting,
            core_::State::Ready => wit::State::Ready,
            core_::State::Waiting => wit::State::Waiting,
            core_::State::NeedsCredentials => wit::State::NeedsCredentials,
            core_::State::Closed => wit::State::Closed,
        },
        session: status.session.map(session_info),
        session_age: status.session_since.map_or(0, |since| now.saturating_sub(since)),
        queued: status.queued,
        in_flight: status.in_flight,
        reconnects: status.reconnects,
        replays: status.replays,
        last_error: status.last_error,
    }
}

/// Why options were refused, for the caller.
pub fn open_error(error: core_::OptionsError) -> wit::OpenError {
    match error {
        core_::OptionsError::Url(text) => wit::OpenError::InvalidUrl(text),
        core_::OptionsError::Header(text) => wit::OpenError::InvalidHeader(text),
        core_::OptionsError::Limit(text) => wit::OpenError::Other(text),
    }
}
