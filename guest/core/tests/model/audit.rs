//! The promises, watched from outside: what the engine starts and says is held against what it was told.

use std::collections::BTreeMap;

use mcp_reconnect_core::{Event, Instant, Method, Output, Request};
use serde_json::Value;

use crate::server::{ACKNOWLEDGED, SUBSCRIPTION};
use crate::wire::{Call, Cursor, Said, Wire};

/// The promises of `docs/design.md` that are watched, and what is needed for them to mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// 1: exactly one answer, and the right one.
    OneAnswer,
    /// 2: at most one execution of what is not safe.
    OneExecution,
    /// 3: `initialize`, `initialized`, and nothing of an old session.
    CleanSession,
    /// 4: POSTs start in the client's order, and nothing waits for another's answer.
    Order,
    /// 5: until `close`, there is always another attempt.
    AnotherAttempt,
    /// 6: every wait has an end.
    Ends,
    /// 8: nothing goes elsewhere.
    Origin,
    /// 9: same inputs, same outputs.
    Determinism,
}

/// What the client knows of one of its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Its place in the client's order; 0 if it was not sent.
    pub place: u8,
    pub cancelled: bool,
    pub answers: u8,
    /// The answer was the server's result.
    pub succeeded: bool,
    /// The answer was an error of this code.
    pub code: i64,
    pub answered_at: Instant,
    /// POSTs of it that were started.
    pub posts: u8,
    /// The session and id of its last POST.
    pub posted: (u8, u64),
}

impl Asked {
    /// It failed with this code, just now.
    pub fn failed(&self, code: i64, now: Instant) -> bool {
        self.answers > 0 && self.code == code && self.answered_at == now
    }

    pub fn is_open(&self) -> bool {
        self.place > 0 && self.answers == 0 && !self.cancelled
    }
}

/// Where the client's `initialize` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Init {
    #[default]
    Unsent,
    Open,
    Answered,
    Refused,
}

/// Where the client's `subscriptions/listen` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Listen {
    #[default]
    Unsent,
    Open,
    Acknowledged,
    /// It was answered: with an error, or at the close.
    Over,
}

/// The client's id of it.
pub const LISTEN_ID: &str = "\"l\"";

/// Everything that is remembered to judge by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Audit {
    pub init: Init,
    /// The client's stream of notifications.
    pub listen: Listen,
    /// Changes that it was told of there.
    pub changes: u8,
    /// The client has sent `notifications/initialized`.
    pub initialized: bool,
    pub calls: BTreeMap<Call, Asked>,
    pub places: u8,
    /// The client's notification: its place, and whether it was posted.
    pub notified: (u8, bool),
    /// Open questions: the client's id, and the session that asks.
    pub questions: BTreeMap<u64, u8>,
    /// Questions that were taken back; the client's answer may have crossed that.
    pub late: BTreeMap<u64, u8>,
    last_question: u64,
    /// The newest session that a request was made in.
    newest: u8,
    last_wire: u64,
    /// The last event of each stream that the engine was given.
    cursors: BTreeMap<(u8, u8), u8>,
    /// Exchanges started since time passed.
    pub burst: u8,
    pub closing: bool,
    /// Credentials were rejected, so that a pause is in order.
    pub rejected: bool,
    pub now: Instant,
    pub closed: bool,
    /// What has happened, to see that the model is not vacuous.
    pub replayed: bool,
    pub unknown: bool,
    pub sessions: u8,
    pub resumed: bool,
    pub restored: bool,
    /// The first broken promise.
    pub broken: Option<(Promise, String)>,
}

/// More exchanges at one instant than any plan asks for.
const BURST: u8 = 24;
/// And so many more for each setting that is restored.
const OF_A_SETTING: u8 = 6;

impl Audit {
    pub fn call(&self, call: Call) -> Asked {
        self.calls.get(&call).copied().unwrap_or_default()
    }

    pub fn broke(&mut self, promise: Promise, how: impl Into<String>) {
        self.broken.get_or_insert((promise, how.into()));
    }

    pub fn someone_waits(&self) -> bool {
        self.init == Init::Open || self.calls.values().any(Asked::is_open)
    }

    /// Whether the server must have what this call sets up: nothing if that is anybody's guess.
    pub fn wants(&self, call: Call) -> Option<bool> {
        let (asked, taken_back) = (self.call(call), self.call(Call::Unsubscribe));
        match asked.place {
            0 => Some(false),
            _ if call == Call::Subscribe && taken_back.place > 0 => taken_back.succeeded.then_some(false),
            _ => asked.succeeded.then_some(true),
        }
    }

    /// The newest session that a request was made in.
    pub fn newest(&self) -> u8 {
        self.newest
    }

    pub fn next_place(&mut self) -> u8 {
        self.places += 1;
        self.places
    }

    /// An event of a stream was delivered.
    pub fn on_cursor(&mut self, cursor: Cursor) {
        self.cursors.insert((cursor.session, cursor.stream), cursor.event);
    }

    /// Judges an output of the engine. An exchange that it starts is given back.
    pub fn on_output(&mut self, output: &Output, sessionless: bool) -> Option<Wire> {
        if self.closed {
            self.broke(Promise::Ends, "something came after Closed");
        }
        match output {
            Output::Start(_, request) => self.on_start(request, sessionless),
            Output::Cancel(_) => None,
            Output::Pause(_) | Output::Resume(_) => {
                self.broke(Promise::Determinism, "a small body has to wait");
                None
            }
            Output::Event(event) => {
                self.on_event(event);
                None
            }
        }
    }

    fn on_start(&mut self, request: &Request, sessionless: bool) -> Option<Wire> {
        self.burst += 1;
        let restored = self.calls.keys().filter(|call| call.sets_up()).count() as u8;
        if self.burst > BURST + restored * OF_A_SETTING {
            self.broke(Promise::Ends, "exchanges are started without pause");
        }
        if request.authority != "mcp.test" {
            self.broke(Promise::Origin, "a request goes elsewhere");
        }
        let wire = match Wire::read(request) {
            Ok(wire) => wire,
            Err(problem) => {
                self.broke(Promise::CleanSession, problem);
                return None;
            }
        };
        let streamable = request.path == "/mcp";
        match (&wire.said, wire.session) {
            (Said::Initialize { .. }, Some(_)) if streamable => {
                self.broke(Promise::CleanSession, "initialize carries a session that is over")
            }
            // A session takes the place of the one before when it stands, and one that does not is deleted.
            (Said::Initialize { .. } | Said::Delete, Some(_)) => {}
            (_, Some(session)) if session < self.newest => {
                self.broke(Promise::CleanSession, "an old session's id is used after a new one's")
            }
            (_, Some(session)) => self.newest = session,
            (Said::Initialize { .. }, None) => {}
            (Said::Stream, None) if request.method == Method::Get => {}
            (_, None) if sessionless => {}
            (_, None) => self.broke(Promise::CleanSession, "a message belongs to no session"),
        }
        if let Some(cursor) = wire.cursor {
            let known = self.cursors.get(&(cursor.session, cursor.stream)) == Some(&cursor.event);
            if wire.session != Some(cursor.session) {
                self.broke(Promise::CleanSession, "an old session's event id reaches a new one");
            } else if !known {
                self.broke(Promise::CleanSession, "a stream is resumed from another place than its last event");
            }
            self.resumed |= cursor.stream > 0;
        }
        self.on_said(&wire);
        Some(wire)
    }

    fn on_said(&mut self, wire: &Wire) {
        self.restored |= wire.is_restore();
        let session = wire.session.unwrap_or_default();
        match &wire.said {
            Said::Initialize { wire } | Said::Own { wire, .. } => self.on_wire_id(*wire),
            Said::Call { call, wire } => {
                self.on_wire_id(*wire);
                let mut asked = self.call(*call);
                if asked.cancelled {
                    self.broke(Promise::OneExecution, "a request was sent after its cancellation");
                }
                if asked.answers > 0 {
                    self.broke(Promise::OneExecution, "a request was sent after its answer");
                }
                if asked.posts == 0 {
                    self.on_first_post(asked.place);
                }
                asked.posts += 1;
                asked.posted = (session, *wire);
                self.calls.insert(*call, asked);
            }
            Said::Cancelled { wire } => {
                let known = self.calls.values().any(|asked| asked.posted == (session, *wire));
                if !known {
                    self.broke(Promise::CleanSession, "a cancellation names no request of its session");
                }
            }
            Said::Notification => {
                if self.notified.1 {
                    return;
                }
                self.notified.1 = true;
                self.on_first_post(self.notified.0);
            }
            _ => {}
        }
    }

    fn on_wire_id(&mut self, id: u64) {
        // The engine counts, so that a fresh id is a larger one.
        if id <= self.last_wire {
            self.broke(Promise::CleanSession, "an id on the wire is used again");
        }
        self.last_wire = self.last_wire.max(id);
    }

    /// Everything that the client sent earlier must have been started, or be settled.
    fn on_first_post(&mut self, place: u8) {
        let overtaken = self.calls.values().any(|asked| asked.is_open() && asked.posts == 0 && asked.place < place);
        let notified = self.notified;
        if overtaken || (notified.0 > 0 && !notified.1 && notified.0 < place) {
            self.broke(Promise::Order, "a message overtook an earlier one");
        }
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Message(text) => self.on_message(text),
            Event::Connected(_) | Event::Reconnected { new_session: true, .. } => {
                self.sessions = self.sessions.saturating_add(1);
                let newest = self.newest;
                if self.questions.values().any(|session| *session < newest) {
                    self.broke(Promise::CleanSession, "a question outlived the session that asked it");
                }
            }
            // One that waited for its hold time, or was refused too often, is given up, and that is said.
            Event::Diagnostic { text, .. } if text.contains("a notification or answer of the client") => {
                self.notified.1 = true;
            }
            Event::Replayed { .. } => self.replayed = true,
            Event::OutcomeUnknown { .. } => self.unknown = true,
            Event::Closed => {
                self.closed = true;
                if self.someone_waits() {
                    self.broke(Promise::OneAnswer, "Closed came before an answer");
                }
            }
            _ => {}
        }
    }

    fn on_message(&mut self, text: &str) {
        let json: Value = match serde_json::from_str(text) {
            Ok(json) => json,
            Err(_) => return self.broke(Promise::OneAnswer, "a message is no JSON"),
        };
        match json["method"].as_str() {
            Some("elicitation/create") => {
                let (Some(id), Some(session)) = (json["id"].as_u64(), json["params"]["nonce"].as_u64()) else {
                    return self.broke(Promise::CleanSession, "a question was spoilt");
                };
                if id <= self.last_question {
                    self.broke(Promise::CleanSession, "a question's id is used again");
                }
                if (session as u8) < self.newest {
                    self.broke(Promise::CleanSession, "a question of an old session came late");
                }
                self.last_question = id;
                self.questions.insert(id, session as u8);
            }
            Some("notifications/cancelled") => {
                let id = json["params"]["requestId"].as_u64().unwrap_or_default();
                match self.questions.remove(&id) {
                    Some(session) => {
                        self.late.insert(id, session);
                    }
                    None => self.broke(Promise::CleanSession, "no question of that id is open"),
                }
            }
            Some(ACKNOWLEDGED) => {
                if self.listen != Listen::Open || !of_the_listen(&json) {
                    self.broke(Promise::OneAnswer, "a stream that is not open was acknowledged");
                }
                self.listen = Listen::Acknowledged;
            }
            Some("notifications/tools/list_changed") if of_the_listen(&json) => {
                if self.listen != Listen::Acknowledged {
                    self.broke(Promise::OneAnswer, "a change was told on a stream that is not open");
                }
                self.changes = self.changes.saturating_add(1);
            }
            Some(_) => {}
            None => self.on_answer(text, &json),
        }
    }

    fn on_answer(&mut self, text: &str, json: &Value) {
        let has_id = |id: &str| text.contains(&format!(r#""id":{id},"#));
        if has_id("1") {
            if self.init != Init::Open {
                self.broke(Promise::OneAnswer, "initialize was answered twice");
            }
            self.init = if json.get("result").is_some() { Init::Answered } else { Init::Refused };
            return;
        }
        if has_id(LISTEN_ID) {
            if !matches!(self.listen, Listen::Open | Listen::Acknowledged) {
                self.broke(Promise::OneAnswer, "a stream was ended that is not open");
            }
            self.listen = Listen::Over;
            return;
        }
        let found = self.calls.iter().find(|(call, _)| has_id(call.id())).map(|(call, asked)| (*call, *asked));
        let Some((call, mut asked)) = found else {
            return self.broke(Promise::OneAnswer, "an answer to nothing that was asked");
        };
        if asked.answers > 0 {
            self.broke(Promise::OneAnswer, "a request was answered twice");
        }
        if asked.cancelled {
            self.broke(Promise::OneAnswer, "a request was answered after its cancellation");
        }
        asked.answers += 1;
        asked.answered_at = self.now;
        if let Some(result) = json.get("result") {
            asked.succeeded = true;
            if result["of"].as_str() != Some(call.method()) {
                self.broke(Promise::OneAnswer, "a request got another one's answer");
            }
        } else {
            asked.code = json["error"]["code"].as_i64().unwrap_or_default();
        }
        self.calls.insert(call, asked);
    }
}

/// Whether a notification belongs to the client's stream.
fn of_the_listen(message: &Value) -> bool {
    message["params"]["_meta"][SUBSCRIPTION] == "l"
}
