//! The client above the engine: it asks, answers questions, and counts what it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mcp_reconnect_core::{Event, Input, Instant};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::world::{Happening, World};
use super::{MILLISECOND, errors};

/// Under what the client counts a message; it travels in the message.
pub type Tag = u64;

/// What a request got.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Result(Value),
    Error(i64, String),
}

impl Answer {
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Result(_) => None,
            Self::Error(code, _) => Some(*code),
        }
    }
}

/// A request of the client.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    /// Its id, as it was spelt.
    pub id: String,
    pub method: String,
    pub params: String,
    /// It may run twice.
    pub safe: bool,
    pub cancelled: Option<Instant>,
    pub answers: Vec<(Instant, Answer)>,
}

#[derive(Default)]
pub struct Client {
    pub asked: BTreeMap<Tag, Asked>,
    by_id: BTreeMap<String, Vec<Tag>>,
    next: Tag,
    /// Every notification and request of the server, as it came.
    pub heard: Vec<(Instant, String)>,
    /// It says `initialized` as soon as `initialize` is answered, unless this is set.
    pub silent: bool,
    /// Where the last list ended.
    pub cursor: Option<String>,
    /// It has said `initialized` since its last `initialize`.
    pub said_initialized: bool,
    /// It does not answer questions.
    pub mute: bool,
    /// It answers questions even after they were cancelled.
    pub stubborn: bool,
    /// The annotations of tools count: one of them only reads.
    pub trusts: bool,
    /// Its host brings fresh headers when they are asked for.
    pub refreshes: bool,
    /// How long it thinks.
    pub thinks: Duration,
    /// Questions it was asked and told to drop.
    pub dropped: Vec<String>,
    /// The initialize result it got last.
    pub initialized_with: Option<Value>,
    /// The name of the session that the engine announced last.
    pub session: String,
    /// It sends `initialize` again when that failed.
    pub tries_again: bool,
    /// Ids are spelt in odd ways.
    pub odd_ids: bool,
    /// What the engine has sent at least once.
    pub first_sent: BTreeSet<Tag>,
    pub highest_sent: Tag,
    /// Every answer, as it came.
    pub raw: Vec<String>,
    /// The codes of errors that name no request.
    pub nulls: Vec<i64>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Value,
}

/// Keeps `null` apart from an absent member.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// The version that the client asks for.
pub const VERSION: &str = "2025-11-25";

impl Client {
    /// Requests that share their id with another one: whose an error is cannot be told.
    pub fn twins(&self) -> BTreeSet<Tag> {
        self.by_id.values().filter(|tags| tags.len() > 1).flatten().copied().collect()
    }

    /// A tag for a message that the test writes itself.
    pub fn reserve(&mut self) -> Tag {
        self.next += 1;
        self.next
    }
}

impl World {
    /// `initialize`; `initialized` follows by itself.
    pub fn initialize(&mut self) -> Tag {
        let params = format!(
            r#"{{"protocolVersion":"{VERSION}","capabilities":{{"elicitation":{{}}}},"clientInfo":{{"name":"test","version":"1"}},"tag":$TAG}}"#
        );
        self.ask("initialize", &params)
    }

    /// A request with these params, in which `$TAG` is its tag.
    pub fn ask(&mut self, method: &str, params: &str) -> Tag {
        let (tag, text) = self.request(method, params);
        self.note(|| format!("client → {text}"));
        self.input(Input::Message(text));
        tag
    }

    /// The same with an id of the test's choice.
    pub fn ask_as(&mut self, id: &str, method: &str, params: &str) -> Tag {
        let (tag, text) = self.request_as(Some(id), method, params);
        self.note(|| format!("client → {text}"));
        self.input(Input::Message(text));
        tag
    }

    /// `tools/call`.
    pub fn call(&mut self, tool: &str, ms: u64) -> Tag {
        self.ask("tools/call", &call_params(tool, ms, 0))
    }

    /// The text of a request, registered.
    pub fn request(&mut self, method: &str, params: &str) -> (Tag, String) {
        self.request_as(None, method, params)
    }

    fn request_as(&mut self, id: Option<&str>, method: &str, params: &str) -> (Tag, String) {
        self.client.next += 1;
        let tag = self.client.next;
        let id = match (id, self.client.odd_ids) {
            (Some(id), _) => id.to_string(),
            (None, false) => tag.to_string(),
            (None, true) => match tag % 5 {
                0 => format!("{}", 9_007_199_254_740_993u64 + tag),
                1 => format!("{tag}.0"),
                2 => format!("\"\\u0061-{tag}\""),
                3 => format!("\"id {tag}\""),
                _ => format!("-{tag}"),
            },
        };
        let params = params.replace("$TAG", &tag.to_string());
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        self.client.asked.insert(
            tag,
            Asked {
                at: self.now,
                id: id.clone(),
                method: method.to_string(),
                params: params.clone(),
                safe: method != "tools/call" && method != "custom/act"
                    || self.client.trusts && params.contains(r#""name":"read""#),
                cancelled: None,
                answers: Vec::new(),
            },
        );
        self.client.by_id.entry(id).or_default().push(tag);
        let safe = self.client.asked[&tag].safe;
        self.log(tag, |tag| super::history::Entry::Asked { tag, safe });
        (tag, text)
    }

    /// Answers to this id belong to this tag.
    pub fn claim(&mut self, id: &str, tag: Tag) {
        self.client.by_id.insert(id.to_string(), vec![tag]);
    }

    /// A notification that the server counts.
    pub fn notify(&mut self, method: &str) -> Tag {
        self.client.next += 1;
        let tag = self.client.next;
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"tag":{tag}}}}}"#);
        self.note(|| format!("client → {text}"));
        self.input(Input::Message(text));
        tag
    }

    /// The client sends this text.
    pub fn say(&mut self, text: &str) {
        self.note(|| format!("client → {text}"));
        self.input(Input::Message(text.to_string()));
    }

    /// The client cancels a request.
    pub fn cancel(&mut self, tag: Tag) {
        let Some(asked) = self.client.asked.get_mut(&tag) else {
            return;
        };
        if !asked.answers.is_empty() {
            return;
        }
        asked.cancelled = Some(self.now);
        let id = asked.id.clone();
        self.log(tag, |tag| super::history::Entry::Cancelled { tag });
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"no more"}}}}"#,
            id
        );
        self.note(|| format!("client → {text}"));
        self.input(Input::Message(text));
    }

    /// The one answer of a request, if it came.
    pub fn answer(&self, tag: Tag) -> Option<&Answer> {
        self.client.asked[&tag].answers.first().map(|(_, answer)| answer)
    }

    /// Whether a request has a result.
    pub fn has_result(&self, tag: Tag) -> bool {
        matches!(self.answer(tag), Some(Answer::Result(_)))
    }

    /// The code of the error that a request has.
    pub fn error(&self, tag: Tag) -> Option<i64> {
        self.answer(tag).and_then(Answer::code)
    }

    /// Waits for the answer of a request.
    #[track_caller]
    pub fn wait(&mut self, tag: Tag, limit: Duration) -> Answer {
        self.run_until(limit, |world| world.answer(tag).is_some());
        self.answer(tag).cloned().unwrap_or_else(|| panic!("tag {tag} was not answered in time\n{}", self.story()))
    }

    /// Notifications and questions that hold `part`.
    pub fn heard(&self, part: &str) -> Vec<&(Instant, String)> {
        self.client.heard.iter().filter(|(_, text)| text.contains(part)).collect()
    }

    /// Requests that are owed an answer.
    pub fn unanswered(&self) -> Vec<Tag> {
        self.client
            .asked
            .iter()
            .filter(|(_, asked)| asked.answers.is_empty() && asked.cancelled.is_none())
            .map(|(tag, _)| *tag)
            .collect()
    }

    /// Whether the newest `initialize` has its result.
    pub fn is_initialized(&self) -> bool {
        let newest = self.client.asked.values().rev().find(|asked| asked.method == "initialize");
        newest.is_some_and(|asked| matches!(asked.answers.first(), Some((_, Answer::Result(_)))))
    }

    /// A message for the client.
    pub(super) fn hear(&mut self, text: String) {
        self.note(|| {
            let short: String = text.chars().take(240).collect();
            format!("client ← {short}")
        });
        if text.contains(['\n', '\r']) {
            self.violate("a message is not on one line");
        }
        let parsed: Result<Envelope, _> = serde_json::from_str(&text);
        let Ok(envelope) = parsed else {
            return self.violate(format!("the client got no JSON: {text}"));
        };
        match (&envelope.method, envelope.id) {
            (None, Some(id)) => {
                self.hear_answer(id.get(), &envelope);
                self.client.raw.push(text);
            }
            (None, None) => self.violate(format!("an answer without an id: {text}")),
            (Some(method), id) => {
                self.check_told(method, &envelope.params);
                let (method, id) = (method.clone(), id.map(|id| id.get().to_string()));
                let params = envelope.params;
                self.client.heard.push((self.now, text));
                if let Some(id) = id {
                    self.hear_question(&id, &params);
                } else if method == "notifications/cancelled" {
                    self.client.dropped.push(params["requestId"].to_string());
                }
            }
        }
    }

    fn hear_question(&mut self, id: &str, params: &Value) {
        if self.client.mute {
            return;
        }
        let nonce = &params["nonce"];
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"nonce":{nonce}}}}}"#);
        self.after(self.client.thinks.max(MILLISECOND), Happening::Reply(id.to_string(), text));
    }

    fn hear_answer(&mut self, id: &str, envelope: &Envelope) {
        let answer = match envelope.result {
            Some(result) => Answer::Result(serde_json::from_str(result.get()).expect("it was parsed")),
            None => Answer::Error(
                envelope.error["code"].as_i64().unwrap_or(0),
                envelope.error["message"].as_str().unwrap_or("").to_string(),
            ),
        };
        // Among requests with the same id an answer belongs to the one whose tag it carries, or to the first.
        let tags = self.client.by_id.get(id).cloned().unwrap_or_default();
        let named = match &answer {
            Answer::Result(result) => result["tag"].as_u64(),
            Answer::Error(..) => None,
        };
        let open = |tag: &&Tag| {
            let asked = &self.client.asked[tag];
            asked.answers.is_empty() && asked.cancelled.is_none()
        };
        // An error names no request: among those with one id it was perhaps another one's.
        if let Some(named) = named.filter(|named| tags.contains(named) && tags.len() > 1)
            && let Some(other) = tags.iter().find(open).copied().filter(|other| *other != named)
            && matches!(self.client.asked[&named].answers.first(), Some((_, Answer::Error(..))))
        {
            let answers = std::mem::take(&mut self.client.asked.get_mut(&named).expect("it was asked").answers);
            self.client.asked.get_mut(&other).expect("it was asked").answers = answers;
        }
        let open = |tag: &&Tag| {
            let asked = &self.client.asked[tag];
            asked.answers.is_empty() && asked.cancelled.is_none()
        };
        let Some(tag) =
            tags.iter().find(|tag| named == Some(**tag)).or_else(|| tags.iter().find(open)).or(tags.first()).copied()
        else {
            match (id, &answer) {
                ("null", Answer::Error(code, _)) => self.client.nulls.push(*code),
                _ => self.violate(format!("an answer to the id {id}, which was never asked")),
            }
            return;
        };
        if let Answer::Result(result) = &answer
            && let Some(cursor) = result["nextCursor"].as_str()
        {
            self.client.cursor = Some(cursor.to_string());
        }
        let twins = tags.len() > 1;
        self.note_answer(tag, &answer);
        self.check_answer(tag, &answer, &envelope.error["data"], twins);
        let now = self.now;
        let asked = self.client.asked.get_mut(&tag).expect("it was asked");
        asked.answers.push((now, answer.clone()));
        if asked.method != "initialize" {
            return;
        }
        let Answer::Result(result) = answer else {
            // Only the newest one counts.
            let newest = !self.client.asked.range(tag + 1..).any(|(_, asked)| asked.method == "initialize");
            if self.client.tries_again && newest && !self.watch.closing {
                self.after(1500 * MILLISECOND, Happening::Initialize);
            }
            return;
        };
        {
            self.client.initialized_with = Some(result);
            if !self.client.silent {
                self.after(
                    MILLISECOND,
                    Happening::Say(String::from(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)),
                );
            }
        }
    }

    pub(super) fn on_event(&mut self, event: &Event) {
        if matches!(event, Event::Connected(_) | Event::Reconnected { new_session: true, .. }) {
            self.watch.history.push(super::history::Entry::NewSession);
        }
        if matches!(event, Event::Connected(_) | Event::Reconnected { .. }) {
            self.client.session = self.server.current.clone();
        }
        if let Event::Diagnostic { text, .. } = event {
            self.watch.restore_given_up |= text.contains("could not be restored") && text.contains("it is given up");
        }
        if self.client.refreshes && matches!(event, Event::HeadersNeeded { .. }) {
            self.after(200 * MILLISECOND, Happening::Act(super::plan::Act::Headers));
        }
    }
}

/// The params of a `tools/call`.
pub fn call_params(tool: &str, ms: u64, step: u64) -> String {
    format!(
        r#"{{"name":"{tool}","arguments":{{"tag":$TAG,"ms":{ms},"step":{step}}},"_meta":{{"progressToken":$TAG}}}}"#
    )
}

/// The codes of errors that say that the request did not run.
pub const DID_NOT_RUN: [i64; 4] =
    [errors::UNAVAILABLE, errors::UNAUTHORIZED, errors::QUEUE_FULL, errors::SESSION_UNSTABLE];
