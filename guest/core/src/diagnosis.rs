//! How a server treats sessions and streams: the requests that find out, and what their answers show.
//!
//! An engine hides all of this from its program. A [`Survey`] asks on purpose, in a session of its own: it builds each
//! [`Request`], the host makes it and collects the response in an [`Answer`], and the answer is judged by the very tables
//! that the engine decides by. Like the engine it does no I/O.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json::{self, Envelope, Kind, Parsed};
use crate::loss::{self, Refusal};
use crate::replay::Evidence;
use crate::sse::{Item, Parser};
use crate::url::Url;
use crate::{Method, Request, Transport, http};

/// The newest protocol version that is spoken here, which a survey offers.
pub const NEWEST_VERSION: &str = "2025-11-25";
/// The most that is read of a response that is no event stream, in bytes.
const MAX_BODY: usize = 64 << 10;
/// The largest event that is read, in bytes. Larger ones are skipped.
const MAX_EVENT: usize = 1 << 20;
/// Redirects that are followed.
const MAX_REDIRECTS: u32 = 5;
/// How many characters of a session's id a made-up one differs in.
const MADE_UP: usize = 8;

/// The text of an `initialize` request of a client without capabilities, with the id 1.
pub fn initialize(client: &str, version: &str) -> String {
    alloc::format!(
        concat!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{}","#,
            r#""capabilities":{{}},"clientInfo":{{"name":{},"version":{}}}}}}}"#
        ),
        NEWEST_VERSION,
        json::quote(client),
        json::quote(version),
    )
}

/// A response as it comes in, with the parts that mean something.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    location: Option<String>,
    session_id: Option<String>,
    challenge: String,
    retry_after: Option<crate::Nanos>,
    body: Vec<u8>,
    events: Option<Parser>,
    event_ids: Vec<String>,
    endpoint: Option<String>,
    /// The JSON-RPC response in it, if it brought one.
    reply: Option<Reply>,
}

/// A JSON-RPC response.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    Result,
    Error { code: i64, message: String },
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            body: Vec::new(),
            events,
            event_ids: Vec::new(),
            endpoint: None,
            reply: None,
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
                        "" | "message" => self.reply = self.reply.take().or_else(|| reply_in(&event.data)),
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
            self.reply = core::str::from_utf8(&self.body).ok().and_then(reply_in);
        }
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
                let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
                alloc::format!("HTTP {}, JSON-RPC error {code}: {message}", self.status)
            }
            Some(Reply::Result) => alloc::format!("HTTP {} with a result", self.status),
            None => self.refusal().describe(),
        }
    }

    fn refusal(&self) -> Refusal {
        Refusal {
            status: self.status,
            challenge: self.challenge.clone(),
            retry_after: self.retry_after,
            body: String::from_utf8_lossy(&self.body).into_owned(),
        }
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

/// What an answer to a session id that the server never gave means to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadSession {
    /// That the session is lost: a new one is made, and the request is sent again.
    Recognised,
    /// The server does not look at session ids: there is nothing that could be lost.
    Ignored,
    /// The server takes the message in silence. On HTTP+SSE a lost session shows in its stream, on Streamable HTTP the next
    /// ping finds out.
    Silent,
    /// Other credentials are wanted.
    Unauthorized,
    /// Come back later.
    Busy,
    /// An error of the server that says nothing of the session: the request's outcome is taken to be unknown.
    Unclear,
    /// An error that does not say that the session is lost: it is passed on to the client, and the session is kept.
    NotRecognised,
}

impl DeadSession {
    /// A word for it, as in `--json`: stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recognised => "recognised",
            Self::Ignored => "ignored",
            Self::Silent => "silent",
            Self::Unauthorized => "unauthorized",
            Self::Busy => "busy",
            Self::Unclear => "unclear",
            Self::NotRecognised => "not-recognised",
        }
    }
}

/// What became of a stream that was asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// The answer after the named event was given again.
    Replayed,
    /// The stream was opened; nothing came after the named event.
    Accepted,
    /// It was refused.
    Refused,
}

impl Resumption {
    /// A word for it, as in `--json`: stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

/// A session of its own on a server, to ask with. Every request but the first needs what earlier answers taught:
/// [`Survey::opened`] first.
#[derive(Clone, Debug)]
pub struct Survey {
    url: Url,
    headers: Vec<(String, String)>,
    transport: Transport,
    version: String,
    session: Option<String>,
    endpoint: Option<Url>,
    redirects: u32,
    /// The id of the last request.
    id: u64,
}

impl Survey {
    /// A survey of the server at `url`, whose transport and protocol version an engine has found. An error says what is
    /// wrong with the URL.
    pub fn new(url: &str, headers: Vec<(String, String)>, transport: Transport, version: &str) -> Result<Self, String> {
        let url = Url::parse(url)?;
        let version = version.into();
        Ok(Self { url, headers, transport, version, session: None, endpoint: None, redirects: 0, id: 1 })
    }

    /// What opens the session: the POST of [`initialize`], or the GET of the HTTP+SSE stream, which has to stay open until
    /// the survey is over.
    pub fn open(&self, initialize: &str) -> Request {
        match self.transport {
            Transport::StreamableHttp => self.request(Method::Post, &self.url, initialize, &[]),
            Transport::HttpSse => self.request(Method::Get, &self.url, "", &[]),
        }
    }

    /// Whether the answer is a redirect that the engine would follow (307 or 308 inside the origin). Then the request is to
    /// be built and made again.
    pub fn redirected(&mut self, answer: &Answer) -> bool {
        let target = answer.location.as_deref().and_then(|location| self.url.resolve(location).ok());
        match target {
            Some(target)
                if matches!(answer.status, 307 | 308)
                    && target.same_origin(&self.url)
                    && self.redirects < MAX_REDIRECTS =>
            {
                self.redirects += 1;
                self.url = target;
                true
            }
            _ => false,
        }
    }

    /// Learns from the answer to [`Survey::open`]. An error says why there is no session.
    pub fn opened(&mut self, answer: &Answer) -> Result<(), String> {
        match self.transport {
            Transport::StreamableHttp if answer.is_result() => {
                self.session = answer.session_id.clone();
                Ok(())
            }
            Transport::HttpSse => {
                let endpoint = answer.endpoint.as_deref().ok_or_else(|| answer.describe())?;
                let endpoint = self.url.resolve(endpoint.trim())?;
                if !endpoint.same_origin(&self.url) {
                    return Err("the endpoint is in another origin".to_string());
                }
                self.endpoint = Some(endpoint);
                Ok(())
            }
            Transport::StreamableHttp => Err(answer.describe()),
        }
    }

    /// Whether the server gave the session an id.
    pub fn has_session_id(&self) -> bool {
        self.session.is_some()
    }

    /// HTTP+SSE: the POST of [`initialize`] to the endpoint; its answer comes on the stream. `None` on Streamable HTTP,
    /// where it was made already.
    pub fn initialize(&self, initialize: &str) -> Option<Request> {
        self.endpoint.as_ref().map(|endpoint| self.request(Method::Post, endpoint, initialize, &[]))
    }

    /// `notifications/initialized`, which ends the handshake.
    pub fn initialized(&self) -> Request {
        let text = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        self.request(Method::Post, self.post_url(), text, &self.session_headers(self.session.as_deref()))
    }

    /// A `ping`. On HTTP+SSE its answer comes on the stream.
    pub fn ping(&mut self) -> Request {
        self.id += 1;
        let text = ping(self.id);
        self.request(Method::Post, self.post_url(), &text, &self.session_headers(self.session.as_deref()))
    }

    /// A `ping` in a session that the server never gave, with an id of the form of its own. `None`: it gives no ids.
    pub fn ping_dead_session(&self) -> Option<Request> {
        match self.transport {
            Transport::StreamableHttp => {
                let session = made_up(self.session.as_deref()?);
                Some(self.request(Method::Post, &self.url, &ping(1), &self.session_headers(Some(&session))))
            }
            Transport::HttpSse => {
                let endpoint = self.url.resolve(&made_up_endpoint(self.endpoint.as_ref()?)?).ok()?;
                Some(self.request(Method::Post, &endpoint, &ping(1), &[]))
            }
        }
    }

    /// The GET of the standalone event stream. `None` on HTTP+SSE, which is nothing but such a stream.
    pub fn event_stream(&self) -> Option<Request> {
        (self.transport == Transport::StreamableHttp)
            .then(|| self.request(Method::Get, &self.url, "", &self.session_headers(self.session.as_deref())))
    }

    /// The GET that asks for what came after the first event of `answer` that had an id. `None`: none had one.
    pub fn resume(&self, answer: &Answer) -> Option<Request> {
        let id = answer.event_ids.first()?;
        let mut headers = self.session_headers(self.session.as_deref());
        headers.push(("last-event-id".to_string(), id.clone()));
        (self.transport == Transport::StreamableHttp).then(|| self.request(Method::Get, &self.url, "", &headers))
    }

    /// The DELETE that ends the session. `None`: it has no id, or ends with its stream.
    pub fn goodbye(&self) -> Option<Request> {
        let session = self.session.as_deref()?;
        Some(self.request(Method::Delete, &self.url, "", &self.session_headers(Some(session))))
    }

    /// What the answer to [`Survey::ping_dead_session`] means to the engine. `None`: none came in time.
    pub fn judge_dead_session(&self, answer: Option<&Answer>) -> DeadSession {
        let Some(answer) = answer else { return DeadSession::Silent };
        if !(200..300).contains(&answer.status) {
            return match answer.refusal().evidence(self.transport, true) {
                Evidence::SessionLost => DeadSession::Recognised,
                Evidence::Unauthorized => DeadSession::Unauthorized,
                Evidence::Busy { .. } => DeadSession::Busy,
                Evidence::Unknown | Evidence::NotSent => DeadSession::Unclear,
                Evidence::Refused => DeadSession::NotRecognised,
            };
        }
        match &answer.reply {
            _ if self.transport == Transport::HttpSse => DeadSession::Silent,
            Some(Reply::Result) => DeadSession::Ignored,
            Some(Reply::Error { code, message }) if loss::error_is_session_loss(*code, message) => {
                DeadSession::Recognised
            }
            Some(Reply::Error { .. }) => DeadSession::NotRecognised,
            None => DeadSession::Silent,
        }
    }

    /// What the answer to [`Survey::resume`] means.
    pub fn judge_resume(&self, answer: &Answer) -> Resumption {
        match (&answer.reply, answer.is_event_stream()) {
            (Some(Reply::Result), true) => Resumption::Replayed,
            (_, true) => Resumption::Accepted,
            (_, false) => Resumption::Refused,
        }
    }

    fn post_url(&self) -> &Url {
        self.endpoint.as_ref().unwrap_or(&self.url)
    }

    fn session_headers(&self, session: Option<&str>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if self.transport == Transport::StreamableHttp {
            if let Some(session) = session {
                headers.push(("mcp-session-id".to_string(), session.to_string()));
            }
            // As the engine does it: the header came with 2025-06-18.
            if self.version.as_str() >= "2025-06-18" {
                headers.push(("mcp-protocol-version".to_string(), self.version.clone()));
            }
        }
        headers
    }

    fn request(&self, method: Method, url: &Url, body: &str, extra: &[(String, String)]) -> Request {
        let mut headers = self.headers.clone();
        let mut set = |name: &str, value: &str| headers.push((name.to_string(), value.to_string()));
        match method {
            Method::Post => {
                set("accept", "application/json, text/event-stream");
                set("content-type", "application/json");
            }
            Method::Get => set("accept", "text/event-stream"),
            Method::Delete => {}
        }
        headers.extend_from_slice(extra);
        Request {
            method,
            https: url.https(),
            authority: url.authority().to_string(),
            path: url.path_and_query().to_string(),
            headers,
            body: body.as_bytes().to_vec(),
        }
    }
}

fn ping(id: u64) -> String {
    alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

/// An id of the same form as `id` that is another one. Its last letters and digits differ, so that what is fixed in the
/// form (the version in a UUID) stays.
fn made_up(id: &str) -> String {
    let mut changed = 0;
    let mut reversed: Vec<char> = Vec::new();
    for c in id.chars().rev() {
        let other = if changed < MADE_UP { turned(c) } else { c };
        changed += usize::from(other != c);
        reversed.push(other);
    }
    if changed == 0 {
        reversed.insert(0, '0');
    }
    reversed.into_iter().rev().collect()
}

/// Another character of the same sort: a digit, a hexadecimal letter, another letter.
fn turned(c: char) -> char {
    let turn = |first: u8, count: u8, by: u8| char::from(first + (c as u8 - first + by) % count);
    match c {
        '0'..='9' => turn(b'0', 10, 5),
        'a'..='f' => turn(b'a', 6, 3),
        'A'..='F' => turn(b'A', 6, 3),
        'g'..='z' => turn(b'g', 20, 10),
        'G'..='Z' => turn(b'G', 20, 10),
        _ => c,
    }
}

/// The endpoint with a made-up session, or none where it names no session that can be told.
fn made_up_endpoint(endpoint: &Url) -> Option<String> {
    let whole = endpoint.path_and_query();
    let Some((path, query)) = whole.split_once('?') else {
        let (folder, last) = whole.rsplit_once('/')?;
        return (last.len() >= MADE_UP).then(|| alloc::format!("{folder}/{}", made_up(last)));
    };
    let parts: Vec<&str> = query.split('&').collect();
    let value = |part: &str| part.split_once('=').map_or(0, |(_, value)| value.len());
    let names_session =
        |part: &&&str| part.split('=').next().is_some_and(|name| name.to_ascii_lowercase().contains("session"));
    let chosen = parts.iter().find(names_session).or_else(|| parts.iter().max_by_key(|part| value(part)))?;
    let parts: Vec<String> = parts
        .iter()
        .map(|part| match part.split_once('=') {
            Some((name, value)) if part == chosen => alloc::format!("{name}={}", made_up(value)),
            _ => (*part).to_string(),
        })
        .collect();
    Some(alloc::format!("{path}?{}", parts.join("&")))
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

    fn survey(transport: Transport) -> Survey {
        Survey::new("http://h/mcp", Vec::new(), transport, NEWEST_VERSION).unwrap()
    }

    fn opened() -> Survey {
        let mut survey = survey(Transport::StreamableHttp);
        let headers = [
            ("mcp-session-id".to_string(), b"6f1c0a52-9d1b-4b41-8a54-0f4a2f5e7c11".to_vec()),
            ("content-type".to_string(), b"application/json".to_vec()),
        ];
        let mut answer = Answer::new(200, &headers);
        answer.feed(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        answer.end();
        survey.opened(&answer).unwrap();
        survey
    }

    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_made_up_id_has_the_form_of_a_real_one() {
        for id in ["6f1c0a52-9d1b-4b41-8a54-0f4a2f5e7c11", "0F4A2F5E7C11", "abcXYZ_-9", "7", "~~~"] {
            let other = made_up(id);
            assert_ne!(id, other);
            let sort = |c: char| (c.is_ascii_digit(), c.is_ascii_hexdigit(), c.is_ascii_uppercase(), c == '-');
            assert!(id.chars().zip(other.chars()).all(|(a, b)| sort(a) == sort(b)), "{id} {other}");
        }
        assert!(made_up("6f1c0a52-9d1b-4b41-8a54-0f4a2f5e7c11").starts_with("6f1c0a52-9d1b-4b41-8a54-0f4a"));
    }

    #[test]
    fn a_made_up_endpoint_differs_in_its_session_only() {
        let endpoint = |path: &str| made_up_endpoint(&Url::parse(&alloc::format!("http://h{path}")).unwrap());
        assert_eq!(endpoint("/message?sessionId=12345678&t=sse").as_deref(), Some("/message?sessionId=67890123&t=sse"));
        assert_eq!(endpoint("/m?x=1&token=12345678").as_deref(), Some("/m?x=1&token=67890123"));
        assert_eq!(endpoint("/messages/12345678").as_deref(), Some("/messages/67890123"));
        assert_eq!(endpoint("/m"), None);
    }

    #[test]
    fn the_requests_of_a_session_carry_it() {
        let mut survey = opened();
        let real = header(&survey.ping(), "mcp-session-id").map(ToString::to_string);
        assert!(real.is_some());
        assert_eq!(header(&survey.goodbye().unwrap(), "mcp-session-id"), real.as_deref());
        assert_eq!(header(&survey.event_stream().unwrap(), "mcp-session-id"), real.as_deref());
        assert_eq!(header(&survey.initialized(), "mcp-protocol-version"), Some(NEWEST_VERSION));
        let dead = survey.ping_dead_session().unwrap();
        assert!(header(&dead, "mcp-session-id").is_some_and(|id| Some(id) != real.as_deref()));
        assert!(super::tests::survey(Transport::StreamableHttp).ping_dead_session().is_none());
    }

    #[test]
    fn every_answer_to_a_dead_session_has_its_meaning() {
        use DeadSession::*;
        let survey = opened();
        let json = "application/json";
        for (status, kind, body, meaning) in [
            (
                404,
                json,
                r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#,
                Recognised,
            ),
            (
                400,
                json,
                r#"{"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
                Recognised,
            ),
            (400, json, r#"{"error":{"code":-32602,"message":"bad cursor"}}"#, NotRecognised),
            (
                200,
                json,
                r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":2}"#,
                Recognised,
            ),
            (200, json, r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"no"},"id":2}"#, NotRecognised),
            (200, json, r#"{"jsonrpc":"2.0","result":{},"id":2}"#, Ignored),
            (202, "", "", Silent),
            (401, "", "", Unauthorized),
            (429, "", "", Busy),
            (500, "text/html", "<html>", Unclear),
        ] {
            let answer = answer(status, kind, body);
            assert_eq!(survey.judge_dead_session(Some(&answer)), meaning, "{status} {body}");
        }
        assert_eq!(survey.judge_dead_session(None), Silent);
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
    fn a_stream_is_read_until_its_answer() {
        let mut stream = Answer::new(200, &[("content-type".into(), b"text/event-stream".to_vec())]);
        stream.feed(b"id: 1\ndata:\n\n");
        assert!(stream.has_event_ids() && !stream.is_enough());
        stream.feed(b"id: 2\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n");
        assert!(stream.is_enough() && stream.is_result());
        let mut next = stream.clone();
        next.await_next();
        assert!(!next.is_enough());
        let survey = opened();
        assert_eq!(header(&survey.resume(&stream).unwrap(), "last-event-id"), Some("1"));
        assert_eq!(survey.judge_resume(&stream), Resumption::Replayed);
        assert_eq!(survey.judge_resume(&answer(405, "", "")), Resumption::Refused);
        assert_eq!(survey.judge_resume(&answer(200, "text/event-stream", "")), Resumption::Accepted);
    }

    #[test]
    fn a_stream_names_its_endpoint_in_its_own_origin() {
        let mut survey = survey(Transport::HttpSse);
        let of = |data: &str| answer(200, "text/event-stream", &alloc::format!("event: endpoint\ndata: {data}\n\n"));
        assert!(survey.opened(&of("http://other/x")).is_err());
        survey.opened(&of("/message?sessionId=12345678")).unwrap();
        assert_eq!(survey.ping_dead_session().unwrap().path, "/message?sessionId=67890123");
        assert_eq!(survey.initialize("{}").unwrap().path, "/message?sessionId=12345678");
        let (one, two) = (survey.ping(), survey.ping());
        assert!(one.path == "/message?sessionId=12345678" && one.body != two.body);
        assert!(survey.goodbye().is_none() && survey.event_stream().is_none());
    }

    #[test]
    fn redirects_stay_in_the_origin() {
        let mut survey = survey(Transport::StreamableHttp);
        let to = |location: &str| Answer::new(307, &[("location".into(), location.as_bytes().to_vec())]);
        assert!(!survey.redirected(&to("https://other/mcp")));
        assert!(survey.redirected(&to("/mcp/")));
        assert_eq!(survey.ping().path, "/mcp/");
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
