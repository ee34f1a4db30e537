//! What an error of `wasi:http` means, and says.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use mcp_reconnect_core::Failure;

use crate::bindings::wasi::http::types::ErrorCode;

/// Beginnings of an internal error's text by which our own hosts say more than `wasi:http` has codes with a text for: no
/// byte of the request was sent.
const NOT_SENT: &str = "not sent: ";
/// The same, and trying again soon will not help: a proxy that demands a password, say.
const REJECTED: &str = "not sent, and waiting will not help: ";

/// What a server says that is offered no protocol that it speaks. The HTTP clients of most runtimes offer HTTP/1.1.
const HTTP_2_ONLY: &str = "the server speaks none of the protocols that the host offers, probably HTTP/2 only; have it, or a proxy \
                           before it, offer HTTP/1.1 too";

/// Of an answer that cannot be read, by whom nothing more is known.
const PERHAPS_HTTP_2: &str = "if it speaks HTTP/2 only, have it, or a proxy before it, offer HTTP/1.1 too";

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
                // RFC 7301, section 3.2.
                (None, Some(120)) => HTTP_2_ONLY.to_owned(),
                (None, Some(id)) => format!("TLS alert {id}"),
                (None, None) => "TLS alert".to_owned(),
            };
        }
        ErrorCode::HttpRequestDenied => "the host denies the request",
        ErrorCode::HttpRequestUriInvalid => "the host does not accept the URL",
        ErrorCode::HttpRequestUriTooLong => "the URL is too long",
        ErrorCode::HttpResponseIncomplete => "the response was cut off",
        ErrorCode::HttpResponseTimeout => "the response timed out",
        ErrorCode::HttpProtocolError => {
            return format!("the connection broke, or its other end does not speak HTTP/1.1 ({PERHAPS_HTTP_2})");
        }
        ErrorCode::InternalError(Some(text)) => {
            let plain = text.strip_prefix(REJECTED).or_else(|| text.strip_prefix(NOT_SENT)).unwrap_or(text);
            // Of Node's parser, under jco.
            if plain.contains("Parse Error: Expected HTTP/") {
                return format!("{plain} ({PERHAPS_HTTP_2})");
            }
            return plain.to_owned();
        }
        ErrorCode::InternalError(None) => "the host failed",
        other => return format!("{other:?}"),
    };
    text.to_owned()
}
