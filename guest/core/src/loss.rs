//! How "the session is gone" and "nobody took it" look in practice.
//!
//! The specification knows one form, 404 to a request that carried a session id. Servers and proxies have others.

use alloc::string::{String, ToString};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::replay::Evidence;
use crate::{Nanos, Transport};

/// A response that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    pub status: u16,
    /// `WWW-Authenticate`, or empty.
    pub challenge: String,
    pub retry_after: Option<Nanos>,
    /// The beginning of the body.
    pub body: String,
}

/// The JSON-RPC error in a refusal's body.
pub(crate) struct BodyError {
    pub code: i64,
    pub message: String,
    /// The error object as it came.
    pub raw: String,
}

impl Refusal {
    /// The JSON-RPC error in the body, if it is one.
    pub fn error(&self) -> Option<BodyError> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            error: &'a RawValue,
        }
        let body: Body = serde_json::from_str(&self.body).ok()?;
        let (code, message) = crate::json::error_of(body.error);
        if code == 0 && message.is_empty() {
            return None;
        }
        Some(BodyError { code, message, raw: crate::json::one_line(body.error.get().to_string()) })
    }

    /// The status and what can be shown of the body.
    pub fn describe(&self) -> String {
        let text = match self.error() {
            Some(error) => error.message,
            None if self.body.trim_start().starts_with('<') => String::from("an HTML page"),
            None => self.body.trim().to_string(),
        };
        let text = crate::text::visible(&text, 200);
        if text.is_empty() {
            alloc::format!("HTTP {}", self.status)
        } else {
            alloc::format!("HTTP {}: {text}", self.status)
        }
    }

    /// What this refusal proves about the POST that it answers.
    pub fn evidence(&self, transport: Transport, had_session: bool) -> Evidence {
        match self.status {
            401 | 403 => Evidence::Unauthorized,
            429 => Evidence::Busy { retry_after: self.retry_after },
            _ if had_session && self.session_is_gone(transport) => Evidence::SessionLost,
            503 if self.retry_after.is_some() || nobody_took_it(&self.body) => {
                Evidence::Busy { retry_after: self.retry_after }
            }
            408 | 500.. => Evidence::Unknown,
            _ => Evidence::Refused,
        }
    }

    /// Whether the session that the request carried is unknown to the server.
    fn session_is_gone(&self, transport: Transport) -> bool {
        match (self.status, transport) {
            (404, _) => true,
            (400, _) => speaks_of_lost_session(&self.body),
            // supergateway answers so when the session's stream is gone.
            (503, Transport::HttpSse) => self.body.contains("No active SSE connection"),
            _ => false,
        }
    }
}

/// Whether the text of an error says that the session is not known.
pub(crate) fn speaks_of_lost_session(text: &str) -> bool {
    let text = text.get(..text.floor_char_boundary(4096)).unwrap_or(text).to_ascii_lowercase();
    let session = text.contains("session") || text.contains("transport");
    text.contains("not initialized")
        || session
            && [
                "not found",
                "no valid",
                "invalid",
                "unknown",
                "expired",
                "no active",
                "missing",
                "different transport",
                "terminated",
                "could not find",
            ]
            .iter()
            .any(|word| text.contains(word))
}

/// Whether a JSON-RPC error that came with a success status says so. The codes of applications are taken for it only with
/// the very texts that are known: an error of a tool may speak of sessions too.
pub(crate) fn error_is_session_loss(code: i64, message: &str) -> bool {
    match code {
        -32600 | -32004 => speaks_of_lost_session(message),
        -32000 | -32001 => [
            "Session not found",
            "Bad Request: No valid session ID provided",
            "Bad Request: Server not initialized",
            "Server not initialized",
            "Unknown session",
        ]
        .contains(&message),
        _ => false,
    }
}

/// `-32602` is an ordinary parameter error, and what Python SDK servers answer on an HTTP+SSE session that was never
/// initialised: this is their text for it.
pub(crate) const UNINITIALISED_CODE: i64 = -32602;
pub(crate) const UNINITIALISED_TEXT: &str = "Invalid request parameters";

/// Bodies of a 503 that are written before any server was asked: Envoy, HAProxy, nginx, AWS, supergateway.
fn nobody_took_it(body: &str) -> bool {
    [
        "no healthy upstream",
        "No server is available to handle this request",
        "<center><h1>503 Service Temporarily Unavailable</h1></center>",
        "No active SSE connection",
        "no available server",
    ]
    .iter()
    .any(|known| body.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal { status, challenge: String::new(), retry_after: None, body: body.into() }
    }

    #[test]
    fn every_known_spelling_on_streamable_http() {
        for (status, body) in [
            (400, r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#),
            (404, r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#),
            (
                400,
                r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}"#,
            ),
            (404, r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}"#),
            (404, "session not found"),
            (404, "404 page not found"),
            (400, "Session exists but uses a different transport protocol"),
        ] {
            let refusal = refusal(status, body);
            assert_eq!(refusal.evidence(Transport::StreamableHttp, true), Evidence::SessionLost, "{body}");
            assert_eq!(refusal.evidence(Transport::StreamableHttp, false), Evidence::Refused, "{body}");
        }
    }

    #[test]
    fn every_known_spelling_on_http_sse() {
        for (status, body) in [
            (404, "Could not find session"),
            (404, ""),
            (400, "Session exists but uses a different transport protocol"),
            (503, "<html><body>No active SSE connection</body></html>"),
            (400, "No active transport"),
        ] {
            assert_eq!(refusal(status, body).evidence(Transport::HttpSse, true), Evidence::SessionLost, "{body}");
        }
    }

    #[test]
    fn the_rest_of_the_table() {
        let evidence = |status, body| refusal(status, body).evidence(Transport::StreamableHttp, true);
        assert_eq!(evidence(401, ""), Evidence::Unauthorized);
        assert_eq!(evidence(403, ""), Evidence::Unauthorized);
        assert_eq!(evidence(429, ""), Evidence::Busy { retry_after: None });
        assert_eq!(evidence(503, "no healthy upstream"), Evidence::Busy { retry_after: None });
        assert_eq!(evidence(503, "upstream reset"), Evidence::Unknown);
        assert_eq!(evidence(500, ""), Evidence::Unknown);
        assert_eq!(evidence(408, ""), Evidence::Unknown);
        assert_eq!(evidence(400, r#"{"error":{"code":-32602,"message":"bad cursor"}}"#), Evidence::Refused);
        assert_eq!(evidence(413, ""), Evidence::Refused);
        let late = Refusal { retry_after: Some(7), ..refusal(503, "") };
        assert_eq!(late.evidence(Transport::StreamableHttp, true), Evidence::Busy { retry_after: Some(7) });
    }

    #[test]
    fn errors_under_a_success_status() {
        assert!(error_is_session_loss(-32600, "Session not found"));
        assert!(error_is_session_loss(-32004, "Unknown session"));
        assert!(!error_is_session_loss(-32603, "Session not found"));
        assert!(!error_is_session_loss(-32600, "no such tool"));
        assert!(error_is_session_loss(-32001, "Session not found"));
        assert!(!error_is_session_loss(-32000, "browser session not found"));
    }

    #[test]
    fn not_every_complaint_is_about_the_session() {
        for text in ["invalid cursor", "missing parameter", "tool not found", "the session is fine", "your transport"] {
            assert!(!speaks_of_lost_session(text), "{text}");
        }
        assert!(speaks_of_lost_session("Server not initialized"));
    }

    #[test]
    fn an_error_in_a_body_is_one_if_it_has_a_code_or_a_message() {
        for (error, shown) in [
            (r#"{"code":-32602,"message":""}"#, Some("")),
            (r#"{"code":0,"message":"no"}"#, Some("no")),
            (r#"{"code":-1,"message":"no"}"#, Some("no")),
            ("{}", None),
            ("\"no\"", None),
        ] {
            let refusal = refusal(400, &alloc::format!(r#"{{"error":{error}}}"#));
            let told = refusal.error();
            assert_eq!(told.as_ref().map(|error| error.message.as_str()), shown, "{error}");
            assert!(told.is_none_or(|told| told.raw == error));
        }
    }

    #[test]
    fn a_refusal_is_shown_short_and_clean() {
        assert_eq!(refusal(502, "<html>").describe(), "HTTP 502: an HTML page");
        assert_eq!(refusal(404, "").describe(), "HTTP 404");
        assert_eq!(refusal(400, "a\u{1b}[31m\nb").describe(), "HTTP 400: a\u{fffd}[31m\u{fffd}b");
    }
}
