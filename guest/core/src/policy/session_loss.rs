//! How "the session is gone" and "nobody took it" look in practice.
//!
//! The specification knows one form, 404 to a request that carried a session id. Servers and proxies have others, and the
//! errors of applications speak of sessions too. So only what cannot be an application's words proves a loss; whatever else
//! might mean one is verified, with a list that the server declared and then with an `initialize`, before anything is sent
//! again. No list of spellings has to be complete.

use alloc::string::{String, ToString};
use core::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Transport;
use crate::policy::proxy;
use crate::policy::replay::Evidence;
use crate::wire::spelling;

/// A response that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    pub status: u16,
    /// `WWW-Authenticate`, or empty.
    pub challenge: String,
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub body: String,
}

/// The JSON-RPC error in a refusal's body.
pub(crate) struct BodyError {
    /// It names the request that it answers by an id of the engine's: these are the server's words about that request.
    pub has_own_id: bool,
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
            #[serde(borrow, default)]
            id: Option<&'a RawValue>,
        }
        let body: Body = crate::wire::json::object(crate::wire::json::without_bom(&self.body))?;
        let has_own_id = body.id.is_some_and(|id| spelling::integer(id.get()).is_some());
        let (code, message) = crate::wire::json::error_of(body.error);
        if code == 0 && message.is_empty() {
            return None;
        }
        Some(BodyError { has_own_id, code, message, raw: crate::wire::json::one_line(body.error.get().to_string()) })
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

    /// What this refusal proves about the POST, in a session that was good, that it answers.
    pub fn evidence(&self, transport: Transport, had_session: bool) -> Evidence {
        match self.status {
            _ if proxy::nobody_took_it(self, had_session) => Evidence::NotTaken,
            401 | 403 => Evidence::Unauthorized,
            // 421 and 425: it was not processed (RFC 9110, section 15.5.20; RFC 8470, section 5.2).
            421 | 425 | 429 => Evidence::Busy { retry_after: self.retry_after },
            _ if had_session && self.session_is_gone(transport) => Evidence::SessionLost,
            503 if self.retry_after.is_some() => Evidence::Busy { retry_after: self.retry_after },
            503 if nobody_took_it(&self.body) => Evidence::NotTaken,
            408 | 500.. => Evidence::Unknown,
            _ => Evidence::Refused,
        }
    }

    /// Whether this cannot be an application's answer, and says that the session that the request carried is unknown.
    fn session_is_gone(&self, transport: Transport) -> bool {
        match (self.status, transport, self.error()) {
            (400 | 404, _, Some(error)) => !error.has_own_id && speaks_of_lost_session(&error.message),
            (404, _, None) => true,
            (400, _, None) => TRANSPORT_TEXTS.iter().any(|known| self.body.trim_start().starts_with(known)),
            // supergateway answers so when the session's stream is gone.
            (503, Transport::HttpSse, _) => self.body.contains("No active SSE connection"),
            _ => false,
        }
    }

    /// Whether a refusal that proves no loss may mean one all the same: it is worth a question. What is about the message
    /// alone (its size, type or headers) is none.
    pub fn may_mean_loss(&self) -> bool {
        match (self.status, self.error()) {
            (408 | 413..=415 | 429 | 431 | 500.., _) => false,
            (_, Some(error)) if error.has_own_id => error_may_mean_loss(error.code, &error.message),
            (status, _) => (400..500).contains(&status),
        }
    }
}

/// What HTTP+SSE and Streamable HTTP servers write in plain text, before an application is asked.
const TRANSPORT_TEXTS: [&str; 4] = [
    "No active transport",
    "No transport found for sessionId",
    "Session exists but uses a different transport protocol",
    "session not found",
];

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

/// Whether a JSON-RPC error under a request's own id may mean that its session is gone. It may as well be an application's:
/// tools speak of sessions, transports and initialisation too.
pub(crate) fn error_may_mean_loss(code: i64, message: &str) -> bool {
    let text = message.get(..message.floor_char_boundary(4096)).unwrap_or(message).to_ascii_lowercase();
    code == -32004 || ["session", "transport", "initializ", "initialis"].iter().any(|word| text.contains(word))
}

/// `-32602` is an ordinary parameter error, and what Python SDK servers answer on an HTTP+SSE session that was never
/// initialised: this is their text for it.
pub(crate) const UNINITIALISED_CODE: i64 = -32602;
pub(crate) const UNINITIALISED_TEXT: &str = "Invalid request parameters";

/// Bodies of a 503 that are written before any server was asked: Envoy, HAProxy, nginx, Apache, AWS, http.sys, supergateway.
/// Others are written after a request was passed on, by Envoy, Varnish and Heroku too.
fn nobody_took_it(body: &str) -> bool {
    [
        "no healthy upstream",
        "No server is available to handle this request",
        "<center><h1>503 Service Temporarily Unavailable</h1></center>",
        "No active SSE connection",
        "no available server",
        "due to maintenance downtime or capacity problems",
        "HTTP Error 503. The service is unavailable.",
    ]
    .iter()
    .any(|known| body.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

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
            // Without a session there is none to be gone; what is found no more is an outage, unless the server says so.
            let none = if status == 404 && refusal.error().is_none() { Evidence::NotTaken } else { Evidence::Refused };
            assert_eq!(refusal.evidence(Transport::StreamableHttp, false), none, "{body}");
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
        for status in [421, 425, 429] {
            assert_eq!(evidence(status, ""), Evidence::Busy { retry_after: None });
        }
        assert_eq!(evidence(503, "no healthy upstream"), Evidence::NotTaken);
        assert_eq!(
            evidence(503, "the service is down due to maintenance downtime or capacity problems"),
            Evidence::NotTaken
        );
        assert_eq!(evidence(503, "upstream connect error or disconnect/reset before headers"), Evidence::Unknown);
        assert_eq!(evidence(503, "Guru Meditation"), Evidence::Unknown);
        assert_eq!(evidence(403, "This web app is stopped."), Evidence::NotTaken);
        assert_eq!(evidence(200, "<html>"), Evidence::NotTaken);
        assert_eq!(evidence(200, "{}"), Evidence::Refused);
        assert_eq!(evidence(302, ""), Evidence::NotTaken);
        assert_eq!(evidence(530, "error code: 1033"), Evidence::NotTaken);
        assert_eq!(evidence(503, "upstream reset"), Evidence::Unknown);
        assert_eq!(evidence(500, ""), Evidence::Unknown);
        assert_eq!(evidence(408, ""), Evidence::Unknown);
        assert_eq!(evidence(400, r#"{"error":{"code":-32602,"message":"bad cursor"}}"#), Evidence::Refused);
        assert_eq!(evidence(413, ""), Evidence::Refused);
        let late = Refusal { retry_after: Some(SECOND), ..refusal(503, "") };
        assert_eq!(late.evidence(Transport::StreamableHttp, true), Evidence::Busy { retry_after: Some(SECOND) });
    }

    #[test]
    fn errors_under_a_success_status_are_looked_into_if_they_may_mean_a_loss() {
        for (code, message, may) in [
            (-32600, "Session not found", true),
            (-32004, "Unknown", true),
            (-32603, "Session terminated", true),
            (-32002, "Server not initialized", true),
            (-32000, "browser session not found", true),
            (-32000, "unknown transport type: bus", true),
            (-32600, "no such tool", false),
            (-32602, "bad cursor", false),
        ] {
            assert_eq!(error_may_mean_loss(code, message), may, "{code} {message}");
        }
    }

    #[test]
    fn only_what_no_application_says_proves_a_loss() {
        let http = Transport::StreamableHttp;
        for (status, body, lost, may) in [
            (404, "", true, true),
            (410, "", false, true),
            (401, "Unauthorized: Session not found", false, true),
            (400, r#"{"id":7,"error":{"code":-32602,"message":"missing required argument session_id"}}"#, false, true),
            (400, r#"{"id":7,"error":{"code":-32602,"message":"bad cursor"}}"#, false, false),
            (400, r#"{"id":null,"error":{"code":-32600,"message":"bad cursor"}}"#, false, true),
            (404, r#"{"id":7,"error":{"code":-32601,"message":"no such method"}}"#, false, false),
            (404, r#"{"id":7,"error":{"code":-32001,"message":"Session not found"}}"#, false, true),
            (400, "No transport found for sessionId", true, true),
            (400, "unknown transport type: bus", false, true),
            (413, "session too large", false, false),
            (500, "session not found", false, false),
        ] {
            let refusal = refusal(status, body);
            assert_eq!(refusal.evidence(http, true) == Evidence::SessionLost, lost, "{status} {body}");
            assert_eq!(refusal.may_mean_loss(), may, "{status} {body}");
        }
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
