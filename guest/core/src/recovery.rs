//! What must outlive an engine that fails: what its client was told, and what it is owed. A host keeps it beside the engine, where
//! a failure of that cannot reach it.
//!
//! A failure is a defect of the engine, or a host that gives it too little memory. The host then answers what was in flight
//! ([`Recovery::fail`]) and makes another engine, which goes on from [`Recovery::state`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::errors::{OUTCOME_UNKNOWN, UNAVAILABLE, response};
use crate::wire::json::{self, Envelope, Kind, Params, Parsed};
use crate::wire::spelling;

/// A message of more bytes is read at its ends only, where that is enough, and so much of it.
const LARGE: usize = 64 << 10;
const EDGE: usize = 256;

/// Subscriptions that are remembered.
const MAX_SUBSCRIPTIONS: usize = 10_000;

/// The books of one connection. Give it every message of the client ([`Recovery::from_client`]) before the engine gets it, and every
/// message for the client ([`Recovery::to_client`]) before the client does.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The client's last `initialize`.
    initialize: Option<String>,
    /// What it was answered.
    answer: Option<String>,
    initialized: bool,
    /// Sessions so far.
    sessions: u64,
    /// Requests without an answer, in order.
    pending: BTreeMap<u64, Pending>,
    next: u64,
    /// The server's requests that the client has not answered, by the engine's ids, and the highest of these.
    questions: BTreeSet<u64>,
    last_question: u64,
    log_level: Option<String>,
    subscriptions: BTreeSet<String>,
    /// Failures since `initialize` was sent and not answered.
    failures: u32,
}

/// What a failure means for the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The messages for it, in order.
    pub messages: Vec<String>,
    /// The methods of the requests whose outcome is unknown.
    pub unknown: Vec<String>,
}

#[derive(Debug)]
struct Pending {
    /// As the client spelt it.
    id: String,
    method: String,
    /// How many POSTs the engine had started before it got this request.
    posts: u64,
    /// Of a subscription the URI, of a log level the level, raw.
    subject: Option<String>,
}

/// What another engine goes on from.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct State {
    pub initialize: String,
    pub answer: Option<String>,
    pub initialized: bool,
    pub sessions: u64,
    pub last_question: u64,
    pub log_level: Option<String>,
    pub subscriptions: BTreeSet<String>,
}

impl Recovery {
    /// The books of a connection that is about to be opened.
    pub fn new() -> Self {
        Self::default()
    }

    /// The client sends this message, or a batch of them. `posts`: the number of POSTs that the engine has started so far.
    pub fn from_client(&mut self, text: &str, posts: u64) {
        match json::parse(text) {
            Ok(Parsed::One(envelope)) => self.on_client_envelope(&envelope, text, posts),
            Ok(Parsed::Batch(items)) => {
                for item in items {
                    if let Ok(Parsed::One(envelope)) = json::parse(item) {
                        self.on_client_envelope(&envelope, item, posts);
                    }
                }
            }
            // The engine answers what is none.
            Err(_) => {}
        }
    }

    fn on_client_envelope(&mut self, envelope: &Envelope, text: &str, posts: u64) {
        match &envelope.kind {
            Kind::Request { id, method } => {
                if method == "initialize" {
                    *self = Self {
                        pending: core::mem::take(&mut self.pending),
                        next: self.next,
                        questions: core::mem::take(&mut self.questions),
                        last_question: self.last_question,
                        sessions: self.sessions,
                        initialize: Some(text.to_string()),
                        ..Self::default()
                    };
                } else if self.answer.is_some() {
                    // As the engine takes it.
                    self.initialized = true;
                }
                let raw = |value: Option<&RawValue>| value.map(|value| value.get().to_string());
                let subject = match &**method {
                    "logging/setLevel" => raw(envelope.params.level),
                    "resources/subscribe" | "resources/unsubscribe" => raw(envelope.params.uri),
                    _ => None,
                };
                let pending = Pending { id: id.raw.to_string(), method: method.to_string(), posts, subject };
                self.pending.insert(self.next, pending);
                self.next += 1;
            }
            Kind::Notification { method } if method == "notifications/initialized" => {
                self.initialized = self.initialize.is_some();
            }
            Kind::Notification { method } if method == "notifications/cancelled" => {
                let Some(id) = envelope.params.request_id.map(|id| Params::span(id, text).raw) else { return };
                let id = spelling::canonical(id);
                let is_it =
                    |pending: &Pending| pending.method != "initialize" && spelling::canonical(&pending.id) == id;
                let cancelled = self.pending.iter().rev().find(|(_, pending)| is_it(pending)).map(|(order, _)| *order);
                if let Some(order) = cancelled {
                    self.pending.remove(&order);
                }
            }
            Kind::Notification { .. } => {}
            Kind::Response { id } => {
                if let Some(id) = id.as_ref().and_then(|id| spelling::integer(id.raw)) {
                    self.questions.remove(&id);
                }
            }
        }
    }

    /// The engine has this message for the client.
    pub fn to_client(&mut self, text: &str) {
        // Reading all of a large answer, whose id is mostly at one of its ends, would be a good part of its cost.
        if text.len() > LARGE
            && self.answer.is_some()
            && let Some(id) = id_of_answer(text)
        {
            if let Some(order) = self.pending.iter().find(|(_, pending)| pending.id == id).map(|(order, _)| *order) {
                self.pending.remove(&order);
            }
            return;
        }
        let Ok(Parsed::One(envelope)) = json::parse(text) else { return };
        match &envelope.kind {
            Kind::Response { id: Some(id) } => {
                let answered = self.pending.iter().find(|(_, pending)| pending.id == id.raw).map(|(order, _)| *order);
                let Some(pending) = answered.and_then(|order| self.pending.remove(&order)) else { return };
                let success = envelope.result.is_some();
                match (&*pending.method, pending.subject) {
                    ("initialize", _) => {
                        self.answer = success.then(|| text.to_string());
                        if !success {
                            self.initialize = None;
                        }
                    }
                    ("logging/setLevel", Some(level)) if success => self.log_level = Some(level),
                    ("resources/subscribe", Some(uri)) if success && self.subscriptions.len() < MAX_SUBSCRIPTIONS => {
                        self.subscriptions.insert(uri);
                    }
                    ("resources/unsubscribe", Some(uri)) if success => drop(self.subscriptions.remove(&uri)),
                    _ => {}
                }
            }
            Kind::Response { id: None } => {}
            Kind::Request { id, .. } => {
                if let Some(id) = spelling::integer(id.raw) {
                    self.questions.insert(id);
                    self.last_question = self.last_question.max(id);
                }
            }
            Kind::Notification { method } if method == "notifications/cancelled" => {
                if let Some(id) = envelope.params.request_id.and_then(|id| spelling::integer(id.get())) {
                    self.questions.remove(&id);
                }
            }
            Kind::Notification { .. } => {}
        }
    }

    /// The engine has told of a session with this number.
    pub fn on_session(&mut self, epoch: u64) {
        self.sessions = self.sessions.max(epoch);
    }

    /// The number of the last session, if there was one.
    pub fn session(&self) -> Option<u64> {
        (self.sessions > 0).then_some(self.sessions)
    }

    /// The engine failed when it had started so many POSTs: what the client is to hear. Each request in flight is answered:
    /// with [`OUTCOME_UNKNOWN`] if a POST was started since the engine had it, with [`UNAVAILABLE`] if none was. The server's open
    /// requests are cancelled. An `initialize` without an answer is sent again by the next engine, and answered when that fails too.
    pub fn fail(&mut self, posts: u64) -> Lost {
        let mut lost = Lost::default();
        let waits = self.answer.is_none();
        self.failures += u32::from(waits);
        let again = waits && self.failures < 2;
        for (order, pending) in core::mem::take(&mut self.pending) {
            if pending.method == "initialize" {
                if again {
                    self.pending.insert(order, pending);
                    continue;
                }
                self.initialize = None;
            }
            lost.messages.push(answer(&pending, posts));
            if posts > pending.posts {
                lost.unknown.push(pending.method);
            }
        }
        for id in core::mem::take(&mut self.questions) {
            lost.messages.push(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the server's session ended"}}}}"#
            ));
        }
        lost
    }

    /// What another engine goes on from, for [`crate::Options::recovery`]. `None`: the client has asked for no session.
    pub fn state(&self) -> Option<String> {
        let state = State {
            initialize: self.initialize.clone()?,
            answer: self.answer.clone(),
            initialized: self.initialized,
            sessions: self.sessions,
            last_question: self.last_question,
            log_level: self.log_level.clone(),
            subscriptions: self.subscriptions.clone(),
        };
        serde_json::to_string(&state).ok()
    }
}

/// The id of an answer, where it stands before or behind the result or error and nothing but short members stand beside it there.
/// None: it has to be read.
fn id_of_answer(text: &str) -> Option<&str> {
    let mut rest = text.trim_start().strip_prefix('{')?;
    let mut found = None;
    loop {
        let (key, value) = member(rest)?;
        if matches!(key, "result" | "error") {
            break;
        }
        let scalar = scalar(value)?;
        match key {
            "id" => found = Some(scalar),
            "jsonrpc" => {}
            _ => return None,
        }
        rest = value[scalar.len()..].trim_start().strip_prefix(',')?;
    }
    found.or_else(|| {
        // What ends with a member of the message itself: behind it there is no other closing bracket.
        let tail = &text[text.ceil_char_boundary(text.len().saturating_sub(EDGE))..];
        let at = tail.rfind(r#""id""#)?;
        tail[..at].trim_end().strip_suffix(',')?;
        let (_, value) = member(&tail[at..])?;
        let id = scalar(value)?;
        let mut rest = value[id.len()..].trim_start();
        if let Some(more) = rest.strip_prefix(',') {
            let (key, value) = member(more)?;
            rest = value.strip_prefix(scalar(value).filter(|_| key == "jsonrpc")?)?.trim_start();
        }
        (rest.trim_end() == "}").then_some(id)
    })
}

/// The key of the member that a text begins with, and what follows the colon.
fn member(text: &str) -> Option<(&str, &str)> {
    let (key, rest) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    Some((key, rest.trim_start().strip_prefix(':')?.trim_start()))
}

/// The short string, number or `null` that a text begins with.
fn scalar(text: &str) -> Option<&str> {
    let head = &text.as_bytes()[..text.len().min(EDGE)];
    let length = if head.first() == Some(&b'"') {
        let mut escaped = false;
        1 + head[1..].iter().position(|byte| {
            let end = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            end
        })? + 1
    } else {
        head.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(byte)))?
    };
    (length > 0).then(|| &text[..length])
}

/// The answer to a request that was in flight.
fn answer(pending: &Pending, posts: u64) -> String {
    let method = &pending.method;
    if posts > pending.posts {
        let text = format!(
            "The outcome of {method} is unknown: the transport failed, a defect of mcp-reconnect. It may or may not have run \
             and was not sent again; check before you repeat it."
        );
        let data = format!(r#"{{"method":{},"accepted":false,"sessionChanged":true}}"#, json::quote(method));
        response(&pending.id, OUTCOME_UNKNOWN, &text, Some(&data))
    } else {
        let text = format!(
            "{method} was not sent: the transport failed, a defect of mcp-reconnect. It did not run; it can be tried again."
        );
        response(&pending.id, UNAVAILABLE, &text, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{}}"#;
    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":"i","result":{"protocolVersion":"2025-06-18"}}"#;

    fn request(id: &str, method: &str, params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
    }

    fn connected() -> Recovery {
        let mut books = Recovery::new();
        books.from_client(INITIALIZE, 0);
        books.to_client(ANSWER);
        books
    }

    fn state(books: &Recovery) -> State {
        serde_json::from_str(&books.state().expect("there is a session")).expect("it is its own")
    }

    #[test]
    fn what_was_handed_over_is_unknown_and_the_rest_is_not() {
        let mut books = connected();
        books.from_client(&request("1", "tools/call", "{}"), 2);
        books.from_client(&format!("[{},{}]", request(r#""two""#, "tools/list", "{}"), request("3", "x", "{}")), 3);
        books.from_client(&request("4", "x", "{}"), 3);
        books.to_client(r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
        books.from_client(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4}}"#, 3);
        let Lost { messages: answers, unknown } = books.fail(3);
        assert_eq!(unknown, ["tools/call"]);
        assert_eq!(answers.len(), 2, "{answers:?}");
        assert!(answers[0].contains(r#""id":1,"#) && answers[0].contains("-31001"));
        assert!(answers[1].contains(r#""id":"two","#) && answers[1].contains("-31002"));
        assert!(answers[0].contains("may or may not have run") && answers[1].contains("was not sent"));
        assert_eq!(books.fail(9), Lost::default(), "they are answered once");
    }

    #[test]
    fn only_a_cancellation_of_its_own_id_ends_a_request() {
        let mut books = connected();
        books.from_client(&request("1", "x", "{}"), 1);
        books.from_client(&request("2", "x", "{}"), 1);
        for text in [
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/other","params":{"requestId":1}}"#,
        ] {
            books.from_client(text, 1);
        }
        books.to_client(&request("7", "roots/list", "{}"));
        books.to_client(r#"{"jsonrpc":"2.0","method":"notifications/other","params":{"requestId":7}}"#);
        let messages = books.fail(1).messages;
        assert_eq!(messages.len(), 3, "two requests and a question: {messages:?}");
        // The handshake cannot be cancelled.
        let mut books = Recovery::new();
        books.from_client(INITIALIZE, 0);
        books.from_client(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"i"}}"#, 0);
        assert_eq!(books.fail(1), Lost::default());
        assert_eq!(books.fail(1).messages.len(), 1);
    }

    #[test]
    fn another_initialize_keeps_what_is_owed_and_forgets_what_was_set_up() {
        let mut books = connected();
        books.from_client(&request("1", "logging/setLevel", r#"{"level":"error"}"#), 1);
        books.to_client(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        books.from_client(&request("2", "tools/call", "{}"), 1);
        books.to_client(&request("5", "roots/list", "{}"));
        assert_eq!(books.session(), None);
        books.on_session(2);
        assert_eq!(books.session(), Some(2));
        books.from_client(INITIALIZE, 3);
        let next = state(&books);
        assert_eq!((next.sessions, next.last_question, next.answer, next.log_level), (2, 5, None, None));
        books.from_client(&request("3", "tools/list", "{}"), 3);
        let messages = books.fail(4).messages;
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(messages[0].contains(r#""id":2,"#) && messages[1].contains(r#""id":3,"#));
        assert!(messages[2].contains(r#""requestId":5"#), "{messages:?}");
    }

    #[test]
    fn an_initialize_without_an_answer_has_a_second_chance_and_no_third() {
        let mut books = Recovery::new();
        books.from_client(INITIALIZE, 0);
        books.from_client(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, 0);
        assert_eq!(books.fail(1), Lost::default());
        let next = state(&books);
        assert_eq!((next.answer, next.initialized), (None, true));
        let answers = books.fail(2).messages;
        assert!(answers.len() == 1 && answers[0].contains(r#""id":"i""#), "{answers:?}");
        assert!(books.state().is_none());
    }

    #[test]
    fn the_id_of_a_large_answer_is_found_at_its_ends() {
        let pad = "x".repeat(1000);
        for (text, id) in [
            (format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"pad":"{pad}"}}}}"#), Some("7")),
            (format!(r#" {{ "id" : "a\"b" , "error":{{"pad":"{pad}"}},"jsonrpc":"2.0"}}"#), Some(r#""a\"b""#)),
            (format!(r#"{{"result":{{"pad":"{pad}","id":1}},"jsonrpc":"2.0","id":7}}"#), Some("7")),
            (format!("{{\"result\":{{\"pad\":\"{pad}\"}}, \"id\": \"z\", \"jsonrpc\": \"2.0\" }}\n"), Some("\"z\"")),
            // These have to be read.
            (format!(r#"{{"result":{{"pad":"{pad}","id":1}}}}"#), None),
            (format!(r#"{{"result":{{"pad":"{pad}"}},"id":7,"x":{{"id":1}}}}"#), None),
            (format!(r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":{{"pad":"{pad}"}}}}"#), None),
            (format!(r#"{{"id":{{"id":1}},"result":"{pad}"}}"#), None),
        ] {
            assert_eq!(id_of_answer(&text), id, "{text}");
        }
        let mut books = connected();
        books.from_client(&request("7", "tools/call", "{}"), 1);
        books.to_client(&format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"pad":"{}"}}}}"#, "x".repeat(LARGE)));
        assert_eq!(books.fail(2), Lost::default());
    }

    #[test]
    fn what_the_client_set_up_goes_on() {
        let mut books = connected();
        for (id, method, params) in [
            (1, "logging/setLevel", r#"{"level":"error"}"#),
            (2, "resources/subscribe", r#"{"uri":"a:1"}"#),
            (3, "resources/subscribe", r#"{"uri":"a:2"}"#),
            (4, "resources/unsubscribe", r#"{"uri":"a:1"}"#),
        ] {
            books.from_client(&request(&id.to_string(), method, params), 1);
            books.to_client(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        }
        books.from_client(&request("5", "resources/subscribe", r#"{"uri":"a:3"}"#), 1);
        books.to_client(r#"{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"no"}}"#);
        books.from_client(&request("6", "resources/unsubscribe", r#"{"uri":"a:2"}"#), 1);
        books.to_client(r#"{"jsonrpc":"2.0","id":6,"error":{"code":1,"message":"no"}}"#);
        books.from_client(&request("7", "logging/setLevel", r#"{"level":"debug"}"#), 1);
        books.to_client(r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"no"}}"#);
        books.on_session(3);
        let state = state(&books);
        assert_eq!(state.log_level.as_deref(), Some(r#""error""#));
        assert_eq!(state.subscriptions, BTreeSet::from([r#""a:2""#.to_string()]));
        assert_eq!((state.sessions, state.initialized, state.answer.as_deref()), (3, true, Some(ANSWER)));
    }

    #[test]
    fn so_many_subscriptions_and_no_more() {
        let mut books = connected();
        for id in 1..=MAX_SUBSCRIPTIONS + 1 {
            books.from_client(&request(&id.to_string(), "resources/subscribe", &format!(r#"{{"uri":"a:{id}"}}"#)), 1);
            books.to_client(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        }
        assert_eq!(state(&books).subscriptions.len(), MAX_SUBSCRIPTIONS);
    }

    #[test]
    fn questions_of_the_server_are_cancelled_and_their_numbers_not_used_again() {
        let mut books = connected();
        for id in 1..=3 {
            books.to_client(&request(&id.to_string(), "roots/list", "{}"));
        }
        books.from_client(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 1);
        books.to_client(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
        let messages = books.fail(1).messages;
        assert!(messages.len() == 1 && messages[0].contains(r#""requestId":3"#), "{messages:?}");
        assert_eq!(state(&books).last_question, 3);
    }
}
