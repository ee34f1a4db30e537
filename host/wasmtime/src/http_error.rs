//! What an error of the HTTP client proves, and says.
//!
//! The engine may send a request again only if no byte of it can have arrived, so [`Failure::Dns`], [`Failure::Connect`] and
//! [`Failure::Tls`] are used for errors before the request alone. All others are [`Failure::Lost`], which proves nothing.

use std::error::Error as StdError;
use std::io;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::AlertDescription;

use crate::component::wit::Failure;
use crate::dns::LookupError;
use crate::http::{HttpClient, MAX_HEADERS, SendError};
use crate::proxy::Proxy;
use crate::tls_error;

/// What is known of an exchange that failed, and what to say of it.
pub(crate) type Fault = (Failure, String);

/// The way to the server, which decides what an error means.
pub(crate) struct Route {
    client: HttpClient,
    /// Whether the URL says `https`.
    https: bool,
    /// Whether the server ever answered: then certificates and URL are right.
    answered: AtomicBool,
}

impl Route {
    /// The way to a server at `url`, by this client.
    pub(crate) fn new(client: HttpClient, url: &str) -> Self {
        let https = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        Self { client, https, answered: AtomicBool::new(false) }
    }

    /// Why there is no response.
    pub(crate) fn request_error(&self, error: &SendError) -> Fault {
        tracing::debug!("a request failed: {}", chain(error.cause()));
        let cause = match error {
            SendError::Broken(error) => return self.broken(error),
            SendError::Unsent(_) => return not_sent(&format!("the connection was closed{}", self.suspicion())),
            SendError::TimedOut | SendError::Connect(_) => error.cause(),
        };
        let timed_out = matches!(error, SendError::TimedOut);
        if let Some(proxy) = self.client.proxy()
            && let Some(fault) = self.proxy_error(proxy, cause, timed_out)
        {
            return fault;
        }
        if timed_out {
            return not_sent("connecting timed out");
        }
        if let Some(lookup) = find::<LookupError>(cause) {
            return (Failure::Dns, format!("the name lookup failed: {lookup}"));
        }
        if let Some(tls) = find::<rustls::Error>(cause) {
            return handshake(tls_error::explain(tls, self.client.identity().is_missing()));
        }
        match io_kind(cause) {
            Some(io::ErrorKind::ConnectionRefused) => not_sent("connection refused"),
            Some(io::ErrorKind::TimedOut) => not_sent("connecting timed out"),
            Some(
                io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::AddrNotAvailable,
            ) => not_sent("no route to the destination"),
            // A connection closed during the TLS handshake, as a server that restarts does: not an error of TLS, which waiting
            // would not cure.
            Some(io::ErrorKind::UnexpectedEof) => {
                not_sent(&format!("the connection was closed during the TLS handshake{}", self.suspicion()))
            }
            _ => not_sent("destination unavailable"),
        }
    }

    /// Whether the response comes from the server at all.
    pub(crate) fn judge(&self, status: u16) -> Result<(), Fault> {
        match self.client.proxy() {
            // Proxy Authentication Required.
            Some(proxy) if status == 407 => Err(unauthorized(proxy)),
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
        } else if self.client.identity().is_missing() {
            "; the server asks for a client certificate, see --client-cert"
        } else if self.client.identity().was_asked() {
            "; the server asks for a client certificate and may not accept this one"
        } else if self.client.proxy().is_some() {
            ""
        } else if self.https {
            "; perhaps its URL begins with http://"
        } else {
            "; perhaps its URL begins with https://"
        }
    }

    /// The connection failed after it was made. That proves nothing, unless the server says that it never got to the
    /// request.
    fn broken(&self, error: &hyper::Error) -> Fault {
        if let Some(alert) = identity_alert(error) {
            let alert = rustls::Error::AlertReceived(alert);
            return handshake(tls_error::explain(&alert, self.client.identity().is_missing()));
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
        (Failure::Lost, text)
    }

    /// What the proxy did. `None`: nothing, the trouble is behind it.
    fn proxy_error(&self, proxy: &Proxy, error: &(dyn StdError + 'static), timed_out: bool) -> Option<Fault> {
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
        if timed_out {
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
pub(crate) fn body_error(error: &(dyn StdError + 'static)) -> Fault {
    tracing::debug!("a response broke off: {}", chain(error));
    let text = match io_kind(error) {
        Some(io::ErrorKind::UnexpectedEof) => "the response was cut off".to_owned(),
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => {
            "the connection was closed or reset".to_owned()
        }
        _ => reason(error),
    };
    (Failure::Lost, text)
}

fn unauthorized(proxy: &Proxy) -> Fault {
    let place = &proxy.place;
    let text = match proxy.has_credentials {
        true => format!("the proxy {place} does not accept the user name and password in its URL (407)"),
        false => {
            format!("the proxy {place} demands a user name and password (407); write http://USER:PASSWORD@{place}")
        }
    };
    (Failure::Tls, text)
}

/// No byte of the request was sent, and it may be tried again.
fn not_sent(text: &str) -> Fault {
    (Failure::Connect, text.to_owned())
}

/// A failed handshake with its reason.
fn handshake(message: String) -> Fault {
    (Failure::Tls, message)
}

/// The alert by which the server refused the client's certificate, or the lack of one, after the client's part of the
/// handshake. HTTP/2 keeps only its text.
fn identity_alert(error: &(dyn StdError + 'static)) -> Option<AlertDescription> {
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

/// The innermost cause, which is what a person can use.
pub(crate) fn reason(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
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
