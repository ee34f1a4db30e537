//! A response, read as far as it matters.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::policy::era;
use crate::policy::session_loss::Refusal;
use crate::wire::http;
use crate::wire::json::{self, Envelope, Kind, Parsed};
use crate::wire::modern;
use crate::wire::sse::{Item, Parser};

/// The most that is read of a response that is no event stream, in bytes.
const MAX_BODY: usize = 64 << 10;
/// The largest event that is read, in bytes. Larger ones are skipped.
const MAX_EVENT: usize = 1 << 20;

/// The most cookies that are looked at.
const MAX_COOKIES: usize = 50;

/// A response as it comes in, with the parts that mean something.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) session_id: Option<String>,
    challenge: String,
    retry_after: Option<Duration>,
    /// `Content-Encoding`, unless it says that there is none.
    coding: Option<String>,
    pub(super) cookies: Vec<Vec<u8>>,
    body: Vec<u8>,
    events: Option<Parser>,
    pub(super) event_ids: Vec<String>,
    pub(super) endpoint: Option<String>,
    /// The JSON-RPC response in it, if it brought one.
    pub(super) reply: Option<Reply>,
    /// The versions without sessions that it names, as the answer to [`super::Survey::discover`].
    pub(super) versions: Vec<String>,
}

/// A JSON-RPC response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Result,
    Error { code: i64, message: String },
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyKind {
    /// Nothing.
    Empty,
    /// A JSON-RPC response.
    JsonRpc,
    /// Other JSON.
    Json,
    /// Server-sent events without a JSON-RPC response.
    Events,
    /// An HTML page.
    Html,
    /// Anything else.
    Text,
}

impl BodyKind {
    /// A word for it, as in `--json`: stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::JsonRpc => "json-rpc",
            Self::Json => "json",
            Self::Events => "events",
            Self::Html => "html",
            Self::Text => "text",
        }
    }
}

impl Answer {
    /// A response of which only the head is known. Header names may be in any case.
    pub fn new(status: u16, headers: &[(String, Vec<u8>)]) -> Self {
        let header = |name: &str| {
            headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
        };
        let text =
            |name: &str| header(name).and_then(|value| core::str::from_utf8(value).ok()).map(ToString::to_string);
        let kind = header("content-type").map(http::media_type).unwrap_or_default();
        let events = (kind == "text/event-stream" && (200..300).contains(&status)).then(|| Parser::new(MAX_EVENT));
        Self {
            status,
            location: text("location"),
            session_id: header("mcp-session-id").and_then(http::session_id),
            challenge: text("www-authenticate").unwrap_or_default(),
            retry_after: header("retry-after").and_then(|value| http::retry_after(value, header("date"))),
            coding: text("content-encoding").filter(|coding| !matches!(coding.trim(), "" | "identity")),
            cookies: headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
                .map(|(_, value)| value.clone())
                .take(MAX_COOKIES)
                .collect(),
            body: Vec::new(),
            events,
            event_ids: Vec::new(),
            endpoint: None,
            reply: None,
            versions: Vec::new(),
        }
    }

    /// The next bytes of its body, in any pieces.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Some(parser) = &mut self.events else {
            self.body.extend_from_slice(&bytes[..bytes.len().min(MAX_BODY - self.body.len())]);
            return;
        };
        let mut items = Vec::new();
        parser.feed(bytes, &mut items);
        for item in items {
            match item {
                Item::Id(id) => self.note_id(id),
                Item::Retry(_) | Item::Oversized { .. } => {}
                Item::Event(event) => {
                    if let Some(id) = event.id {
                        self.note_id(id);
                    }
                    match event.name.as_str() {
                        "endpoint" => self.endpoint = Some(event.data),
                        "" if self.reply.is_none() => {
                            self.reply = reply_in(&event.data);
                            self.versions = versions_in(&event.data);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn note_id(&mut self, id: String) {
        let usable = !id.is_empty() && id.len() <= 1024 && http::header_value_ok(&id);
        if usable && self.event_ids.len() < 16 {
            self.event_ids.push(id);
        }
    }

    /// The body is complete, or no more of it will be read.
    pub fn end(&mut self) {
        if self.events.is_none() {
            let text = core::str::from_utf8(&self.body).unwrap_or_default();
            self.reply = reply_in(text);
            self.versions = versions_in(text);
        }
    }

    /// The versions without sessions that the server speaks, as the answer to [`super::Survey::discover`] names them.
    pub fn versions_without_sessions(&self) -> &[String] {
        &self.versions
    }

    /// Whether everything that matters has come: the rest need not be read.
    pub fn is_enough(&self) -> bool {
        match self.events {
            Some(_) => self.reply.is_some() || self.endpoint.is_some(),
            None => self.body.len() >= MAX_BODY,
        }
    }

    /// What has come is dealt with: [`Answer::is_enough`] is about the next message of the stream.
    pub fn await_next(&mut self) {
        self.reply = None;
        self.endpoint = None;
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether it turns a request away for now (429, 503) without saying when to come back. With a `Retry-After` that can be read, the
    /// engine holds requests for that time, and none has an unknown outcome.
    pub fn lacks_retry_after(&self) -> bool {
        matches!(self.status, 429 | 503) && self.retry_after.is_none()
    }

    /// How its body is compressed, though nobody asked for that: its `Content-Encoding`. `None`: it is not.
    pub fn coding(&self) -> Option<&str> {
        self.coding.as_deref()
    }

    /// The names of the cookies that it sets. Their values may be secrets.
    pub fn cookie_names(&self) -> impl Iterator<Item = &str> {
        let lines = self.cookies.iter().filter_map(|line| core::str::from_utf8(line).ok());
        lines.filter_map(|line| line.split(';').next()?.split_once('=')).map(|(name, _)| name.trim())
    }

    /// Whether it is a JSON-RPC error, whatever the status: the words of an MCP server.
    pub fn is_error(&self) -> bool {
        matches!(self.reply, Some(Reply::Error { .. }))
    }

    /// Whether it is a stream of server-sent events.
    pub fn is_event_stream(&self) -> bool {
        self.events.is_some()
    }

    /// Whether one of its events carried an id, so that the stream may be resumable.
    pub fn has_event_ids(&self) -> bool {
        !self.event_ids.is_empty()
    }

    /// Whether it is a success with a JSON-RPC result.
    pub fn is_result(&self) -> bool {
        (200..300).contains(&self.status) && self.reply == Some(Reply::Result)
    }

    /// What its body is.
    pub fn body_kind(&self) -> BodyKind {
        let body = self.body.trim_ascii();
        match (&self.reply, &self.events) {
            (Some(_), _) => BodyKind::JsonRpc,
            (None, Some(_)) => BodyKind::Events,
            (None, None) if body.is_empty() => BodyKind::Empty,
            (None, None) if body.starts_with(b"<") => BodyKind::Html,
            (None, None) if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => BodyKind::Json,
            (None, None) => BodyKind::Text,
        }
    }

    /// It in a few words for people, with the beginning of what its body says.
    pub fn describe(&self) -> String {
        match &self.reply {
            Some(Reply::Error { code, message }) => {
                let message = crate::text::visible(message, 200);
                alloc::format!("HTTP {}, JSON-RPC error {code}: {message}", self.status)
            }
            Some(Reply::Result) => alloc::format!("HTTP {} with a result", self.status),
            None => self.refusal().describe(),
        }
    }

    pub(super) fn refusal(&self) -> Refusal {
        Refusal {
            status: self.status,
            challenge: self.challenge.clone(),
            retry_after: self.retry_after,
            body: String::from_utf8_lossy(&self.body).into_owned(),
        }
    }
}

/// The versions without sessions that a response to `server/discover` names: in its result, or in the error that says which
/// ones are supported.
fn versions_in(text: &str) -> Vec<String> {
    match json::parse(json::without_bom(text)) {
        Ok(Parsed::One(Envelope { result: Some(result), .. })) => {
            modern::discovered(result.get()).map(|server| server.versions).unwrap_or_default()
        }
        Ok(Parsed::One(Envelope { error: Some(error), .. })) => era::supported(error.get()),
        _ => Vec::new(),
    }
}

/// The JSON-RPC response that a text is.
fn reply_in(text: &str) -> Option<Reply> {
    let Ok(Parsed::One(Envelope { kind: Kind::Response { .. }, error, .. })) = json::parse(text) else {
        // Errors of some servers lack the `jsonrpc` member or the id.
        let refusal = Refusal { status: 0, challenge: String::new(), retry_after: None, body: text.to_string() };
        return refusal.error().map(|error| Reply::Error { code: error.code, message: error.message });
    };
    Some(match error.map(json::error_of) {
        Some((code, message)) => Reply::Error { code, message },
        None => Reply::Result,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> Answer {
        let mut answer = Answer::new(status, &[("Content-Type".into(), kind.as_bytes().to_vec())]);
        answer.feed(body.as_bytes());
        answer.end();
        answer
    }

    #[test]
    fn bodies() {
        for (kind, body, expected) in [
            ("", "", BodyKind::Empty),
            ("text/html", " <!doctype html>", BodyKind::Html),
            ("application/json", r#"{"detail":"Not Found"}"#, BodyKind::Json),
            ("application/json", r#"{"error":{"code":-32001,"message":"x"}}"#, BodyKind::JsonRpc),
            ("text/plain", "Session not found", BodyKind::Text),
            ("text/event-stream", ": hello\n\n", BodyKind::Events),
        ] {
            assert_eq!(answer(200, kind, body).body_kind(), expected, "{body}");
        }
    }

    #[test]
    fn what_an_answer_is_for_people() {
        for (status, body, text) in [
            (200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "HTTP 200 with a result"),
            (
                400,
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"no\u0007"}}"#,
                "HTTP 400, JSON-RPC error -32600: no",
            ),
            (502, "<html>", "HTTP 502"),
        ] {
            let answer = answer(status, "application/json", body);
            assert_eq!(answer.status(), status);
            assert!(answer.describe().starts_with(text), "{}", answer.describe());
            assert_eq!(answer.is_result(), status == 200);
        }
        assert!(!answer(500, "", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).is_result());
        assert!(!answer(200, "", r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#).is_result());
        use BodyKind::{Empty, Events, Html, Json, JsonRpc, Text};
        let names = [Empty, JsonRpc, Json, Events, Html, Text].map(BodyKind::name);
        assert_eq!(names, ["empty", "json-rpc", "json", "events", "html", "text"]);
    }

    #[test]
    fn the_first_answer_of_a_stream_counts_and_16_ids_of_its_events() {
        let mut stream = Answer::new(200, &[("content-type".into(), b"text/event-stream".to_vec())]);
        assert!(!stream.has_event_ids());
        for id in ["", &"x".repeat(1025), "\u{e9}"] {
            stream.feed(alloc::format!("id: {id}\ndata:\n\n").as_bytes());
        }
        assert!(!stream.has_event_ids(), "{:?}", stream.event_ids);
        stream.feed(b"id: a\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");
        stream.feed(b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"\"}}\n\n");
        assert!(stream.is_result() && stream.has_event_ids());
        for id in 0..20 {
            stream.feed(alloc::format!("id: {id}\n\n").as_bytes());
        }
        assert_eq!((stream.event_ids.len(), &*stream.event_ids[0]), (16, "a"));
    }

    #[test]
    fn who_turns_away_for_now_should_say_until_when() {
        const WHEN: &str = "Wed, 21 Oct 2026 07:28:00 GMT";
        let lacks = |status: u16, headers: &[(&str, &str)]| {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
            Answer::new(status, &headers).lacks_retry_after()
        };
        for status in [429, 503] {
            for bad in [&[][..], &[("retry-after", "")], &[("retry-after", "soon")], &[("retry-after", WHEN)]] {
                assert!(lacks(status, bad), "{status} {bad:?}");
            }
            // A date counts from the server's own, as the engine has no clock.
            for good in [&[("Retry-After", "0")][..], &[("retry-after", "7")], &[("retry-after", WHEN), ("date", WHEN)]]
            {
                assert!(!lacks(status, good), "{status} {good:?}");
            }
        }
        for status in [200, 202, 401, 404, 408, 500, 502, 504] {
            assert!(!lacks(status, &[]), "{status}");
        }
    }

    #[test]
    fn hostile_bodies_are_bounded() {
        let mut answer = Answer::new(400, &[]);
        for _ in 0..64 {
            answer.feed(&[b'x'; 4096]);
        }
        assert!(answer.is_enough() && answer.body.len() == MAX_BODY);
    }
}
