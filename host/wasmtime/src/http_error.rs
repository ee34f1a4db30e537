//! What an error of the HTTP client proves, in the codes of `wasi:http`.
//!
//! The component may send a request again only if no byte of it can have arrived, so the codes for errors before the
//! request (name lookup, connecting, TLS) are used for nothing else. All others are [`Error::InternalError`], which proves
//! nothing and carries the text. The codes before the request have no room for a text; where one is needed, it goes into
//! an internal error all the same, behind one of two beginnings that the component knows (`failure.rs` there).

use std::error::Error as StdError;
use std::io;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;
use rustls::AlertDescription;
use wasmtime_wasi_http::Error;

use crate::dns::LookupError;
use crate::http::MAX_HEADERS;
use crate::proxy::Proxy;
use crate::tls::Identity;
use crate::tls_error;

/// The way to the server, which decides what an error means.
pub(crate) struct Route {
    /// The client's certificate.
    pub identity: Arc<Identity>,
    /// The proxy, if there is one.
    pub proxy: Option<Proxy>,
    /// Whether the URL says `https`.
    pub https: bool,
    /// Whether the server ever answered: then certificates and URL are right.
    pub answered: AtomicBool,
}

impl Route {
    /// Why there is no response.
    pub(crate) fn request_error(&self, error: &reqwest::Error) -> Error {
        tracing::debug!("a request failed: {}", explain(error));
        if error.is_builder() {
            return Error::HttpRequestUriInvalid;
        }
        if !error.is_connect() {
            return self.broken(error);
        }
        if let Some(proxy) = &self.proxy
            && let Some(error) = self.proxy_error(proxy, error)
        {
            return error;
        }
        if error.is_timeout() {
            return Error::ConnectionTimeout;
        }
        if let Some(lookup) = find::<LookupError>(error) {
            return Error::DnsError { rcode: Some(lookup.to_string()), info_code: None };
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return handshake(tls_error::explain(tls, self.identity.is_missing()));
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
            // A connection closed during the TLS handshake, as a server that restarts does: not an error of TLS, which waiting
            // would not cure.
            Some(io::ErrorKind::UnexpectedEof) => {
                not_sent(&format!("the connection was closed during the TLS handshake{}", self.suspicion()))
            }
            _ => Error::DestinationUnavailable,
        }
    }

    /// Whether the response comes from the server at all.
    pub(crate) fn judge(&self, status: StatusCode) -> Result<(), Error> {
        match &self.proxy {
            Some(proxy) if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(unauthorized(proxy)),
            _ => {
                self.answered.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// What may be wrong on this side, as long as the server has never answered.
    fn suspicion(&self) -> &'static str {
        if self.answered.load(Ordering::Relaxed) {
            ""
        } else if self.identity.is_missing() {
            "; the server asks for a client certificate, see --client-cert"
        } else if self.identity.was_asked() {
            "; the server asks for a client certificate and may not accept this one"
        } else if self.proxy.is_some() {
            ""
        } else if self.https {
            "; perhaps its URL begins with http://"
        } else {
            "; perhaps its URL begins with https://"
        }
    }

    /// The connection failed after it was made. That proves nothing, unless the server says that it never got to the
    /// request.
    fn broken(&self, error: &reqwest::Error) -> Error {
        if let Some(alert) = identity_alert(error) {
            let alert = rustls::Error::AlertReceived(alert);
            return handshake(tls_error::explain(&alert, self.identity.is_missing()));
        }
        let mut text = reason(error);
        // The client's own words, by which alone these two can be told from others: an answer that it cannot read, and none.
        if text.starts_with("message head is too large") {
            // The client's own limits, of which the first cannot be set.
            text = format!("the head of the answer has over 408 KiB, or over {MAX_HEADERS} headers");
        } else if ["invalid HTTP", "invalid content-length", "received unexpected message"]
            .iter()
            .any(|words| text.starts_with(words))
        {
            text = format!("what the server answers is not HTTP/1.1{}", self.suspicion());
            if !self.https && !self.answered.load(Ordering::Relaxed) {
                text.push_str(", or it speaks HTTP/2 only");
            }
        } else if io_kind(error).is_some() || text.starts_with("connection closed") {
            if io_kind(error) == Some(io::ErrorKind::UnexpectedEof) {
                text = "the connection was closed".to_owned();
            }
            text.push_str(self.suspicion());
        }
        Error::InternalError(Some(text))
    }

    /// What the proxy did. `None`: nothing, the trouble is behind it.
    fn proxy_error(&self, proxy: &Proxy, error: &reqwest::Error) -> Option<Error> {
        let place = &proxy.place;
        // The client's library tells these apart by their words only.
        let tunnel = causes(error).map(ToString::to_string).find(|text| text.starts_with("tunnel error: "));
        let own = match tunnel.as_deref().map(|text| &text["tunnel error: ".len()..]) {
            Some("proxy authorization required") => return Some(unauthorized(proxy)),
            Some("unsuccessful") => {
                return Some(not_sent(&format!("the proxy {place} made no connection to the server")));
            }
            Some("unexpected end of file") => {
                return Some(not_sent(&format!("the proxy {place} closed the connection")));
            }
            Some("failed to create underlying connection") => true,
            Some(_) => false,
            // Without a tunnel the proxy is all that is connected to; through a tunnel, this is the server's TLS.
            None => find::<rustls::Error>(error).is_none(),
        };
        if error.is_timeout() {
            return Some(not_sent(&format!("connecting through the proxy {place} took too long")));
        }
        if !own {
            return None;
        }
        if let Some(lookup) = find::<LookupError>(error) {
            return Some(not_sent(&format!("the name of the proxy {place} was not found: {lookup}")));
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Some(handshake(format!("the proxy {place}: {}", tls_error::explain(tls, false))));
        }
        Some(not_sent(&match io_kind(error) {
            Some(io::ErrorKind::ConnectionRefused) => format!("the proxy {place} refused the connection"),
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                format!("the proxy {place} closed the connection")
            }
            _ => format!("no connection through the proxy {place}: {}", reason(error)),
        }))
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

fn unauthorized(proxy: &Proxy) -> Error {
    let place = &proxy.place;
    let text = match proxy.has_credentials {
        true => format!("the proxy {place} does not accept the user name and password in its URL (407)"),
        false => {
            format!("the proxy {place} demands a user name and password (407); write http://USER:PASSWORD@{place}")
        }
    };
    Error::InternalError(Some(format!("not sent, and waiting will not help: {text}")))
}

/// No byte of the request was sent, and it may be tried again.
fn not_sent(text: &str) -> Error {
    Error::InternalError(Some(format!("not sent: {text}")))
}

/// A failed handshake with its reason, for which `TLS-protocol-error` and `TLS-certificate-error` have no room.
fn handshake(message: String) -> Error {
    Error::TlsAlertReceived { alert_id: None, alert_message: Some(message) }
}

/// The alert by which the server refused the client's certificate, or the lack of one, after the client's part of the
/// handshake. HTTP/2 keeps only its text.
fn identity_alert(error: &reqwest::Error) -> Option<AlertDescription> {
    let told = match find::<rustls::Error>(error) {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        Some(_) => None,
        None => {
            let text = reason(error);
            let name = text.strip_prefix("received fatal alert: ")?;
            (0..=u8::MAX).map(AlertDescription::from).find(|alert| format!("{alert:?}") == name)
        }
    };
    told.filter(|alert| tls_error::is_about_identity(*alert))
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
}
