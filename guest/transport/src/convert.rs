//! Between the engine's vocabulary and that of the interfaces.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use mcp_reconnect_core as core_;
use mcp_reconnect_core::Failure;

use crate::bindings::exports::mcp_reconnect::transport::client as wit;
use crate::bindings::wasi::http::types::ErrorCode;

/// Beginnings of an internal error's text by which our own hosts say more than `wasi:http` has codes with a text for: no
/// byte of the request was sent.
const NOT_SENT: &str = "not sent: ";
/// The same, and trying again soon will not help: a proxy that demands a password, say.
const REJECTED: &str = "not sent, and waiting will not help: ";

/// What an error proves. "Not sent" is believed of errors that precede the request only; all others leave it open.
pub fn failure(code: &ErrorCode) -> Failure {
    match code {
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) => Failure::Dns,
        ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout => Failure::Connect,
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => Failure::Tls,
        ErrorCode::InternalError(Some(text)) if text.starts_with(REJECTED) => Failure::Tls,
        ErrorCode::InternalError(Some(text)) if text.starts_with(NOT_SENT) => Failure::Connect,
        ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_) => Failure::Unsendable,
        _ => Failure::Lost,
    }
}

/// An error in words.
pub fn describe(code: &ErrorCode) -> String {
    let text = match code {
        ErrorCode::DnsTimeout => "the name lookup timed out",
        ErrorCode::DnsError(error) => {
            return match &error.rcode {
                Some(rcode) => format!("the name lookup failed: {rcode}"),
                None => "the name lookup failed".to_owned(),
            };
        }
        ErrorCode::DestinationNotFound => "destination not found",
        ErrorCode::DestinationUnavailable => "destination unavailable",
        ErrorCode::DestinationIpProhibited => "the destination's address is prohibited",
        ErrorCode::DestinationIpUnroutable => "no route to the destination",
        ErrorCode::ConnectionRefused => "connection refused",
        ErrorCode::ConnectionTerminated => "the connection was closed or reset",
        ErrorCode::ConnectionTimeout => "connecting timed out",
        ErrorCode::ConnectionReadTimeout => "reading timed out",
        ErrorCode::ConnectionWriteTimeout => "writing timed out",
        ErrorCode::ConnectionLimitReached => "too many connections",
        ErrorCode::TlsProtocolError => "the TLS handshake failed",
        ErrorCode::TlsCertificateError => "the server's TLS certificate was not accepted",
        ErrorCode::TlsAlertReceived(alert) => {
            return match (&alert.alert_message, alert.alert_id) {
                (Some(message), _) => message.clone(),
                (None, Some(id)) => format!("TLS alert {id}"),
                (None, None) => "TLS alert".to_owned(),
            };
        }
        ErrorCode::HttpRequestDenied => "the host denies the request",
        ErrorCode::HttpRequestUriInvalid => "the host does not accept the URL",
        ErrorCode::HttpRequestUriTooLong => "the URL is too long",
        ErrorCode::HttpResponseIncomplete => "the response was cut off",
        ErrorCode::HttpResponseTimeout => "the response timed out",
        ErrorCode::HttpProtocolError => "the connection broke, or its other end does not speak HTTP",
        ErrorCode::InternalError(Some(text)) => {
            let plain = text.strip_prefix(REJECTED).or_else(|| text.strip_prefix(NOT_SENT)).unwrap_or(text);
            return plain.to_owned();
        }
        ErrorCode::InternalError(None) => "the host failed",
        other => return format!("{other:?}"),
    };
    text.to_owned()
}

/// An event for the caller. `None` for the last one, which `receive` tells in its own way.
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
