//! What an error of the HTTP client proves, in the codes of `wasi:http`.
//!
//! The component may send a request again only if no byte of it can have arrived, so the codes for errors before the
//! request (name lookup, connecting, TLS) are used for nothing else. All others are [`Error::InternalError`], which proves
//! nothing and carries the text.

use std::error::Error as StdError;
use std::io;
use std::iter;

use rustls::CertificateError;
use wasmtime_wasi_http::Error;

use crate::dns::LookupError;

/// Why there is no response.
pub(crate) fn request_error(error: &reqwest::Error) -> Error {
    tracing::debug!("a request failed: {}", explain(error));
    if error.is_builder() {
        return Error::HttpRequestUriInvalid;
    }
    if !error.is_connect() {
        return Error::InternalError(Some(reason(error)));
    }
    if error.is_timeout() {
        return Error::ConnectionTimeout;
    }
    if let Some(lookup) = find::<LookupError>(error) {
        return Error::DnsError { rcode: Some(lookup.to_string()), info_code: None };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return tls_error(tls);
    }
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => Error::ConnectionRefused,
        Some(io::ErrorKind::TimedOut) => Error::ConnectionTimeout,
        Some(
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable,
        ) => Error::DestinationIpUnroutable,
        // A proxy's refusal, or a connection closed during the TLS handshake, as a server that restarts does: not an error of
        // TLS, which waiting would not cure.
        _ => Error::DestinationUnavailable,
    }
}

/// Why a response's body broke off.
pub(crate) fn response_error(error: &reqwest::Error) -> Error {
    tracing::debug!("a response broke off: {}", explain(error));
    match io_kind(error) {
        Some(io::ErrorKind::UnexpectedEof) => Error::HttpResponseIncomplete,
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => Error::ConnectionTerminated,
        _ => Error::InternalError(Some(reason(error))),
    }
}

fn tls_error(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::AlertReceived(alert) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("the server refused the handshake: {alert:?}")),
        },
        rustls::Error::InvalidCertificate(reason) => {
            handshake(format!("the server's certificate was not accepted: {}", certificate_error(reason)))
        }
        _ => handshake(error.to_string()),
    }
}

fn certificate_error(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".to_owned()
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted here".to_owned(),
        CertificateError::Revoked => "it has been revoked".to_owned(),
        other => other.to_string(),
    }
}

/// A failed handshake with its reason, for which `TLS-protocol-error` and `TLS-certificate-error` have no room.
fn handshake(message: String) -> Error {
    Error::TlsAlertReceived { alert_id: None, alert_message: Some(message) }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// The causes of an error of the client, without its own text: that names the URL, in whose query HTTP+SSE servers put
/// the session's id.
fn explain(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| kind(error).to_owned(), chain)
}

/// The innermost cause, which is what a person can use.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return kind(error).to_owned() };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What can be said of an error that has no cause.
fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "it took too long"
    } else if error.is_body() || error.is_decode() {
        "the body broke off"
    } else {
        "the exchange failed"
    }
}

/// The first cause of this type.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The first kind that says something: an [`io::Error`] that only wraps another is of no particular kind.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    causes(error)
        .filter_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()))
        .find(|kind| *kind != io::ErrorKind::Other)
}

/// The error and all its causes, what an [`io::Error`] wraps included: it names not that as its source, but the source
/// of that.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |error| {
        let error: &'a (dyn StdError + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_inside_io_errors() {
        let inner = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        let outer = io::Error::other(inner);
        assert_eq!(find::<rustls::Error>(&outer), Some(&rustls::Error::DecryptError));
        assert!(find::<LookupError>(&outer).is_none());
        assert_eq!(io_kind(&outer), Some(io::ErrorKind::InvalidData));
    }

    #[test]
    fn tls_errors_keep_their_words() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let Error::TlsAlertReceived { alert_id: None, alert_message: Some(text) } = tls_error(&expired) else {
            panic!("not a TLS error");
        };
        assert!(text.contains("expired"), "{text}");
    }
}
