//! What must always be true: the promises, each checked where it could break.

use std::collections::{BTreeMap, BTreeSet};

use mcp_reconnect_core::{ExchangeId, Instant, Method, Request, Transport, errors};
use serde_json::Value;

use super::client::{Answer, DID_NOT_RUN, Tag};
use super::history::{Entry, Verdict, judge};
use super::world::World;

mod alive;
mod converged;
mod delivered;
mod facts;
mod sessions;

pub use delivered::Delivered;
pub use facts::Sending;

/// What the checks remember.
#[derive(Default)]
pub struct Watch {
    /// The engine waits for nothing; that was said.
    pub stuck: bool,
    /// A server asked for rest until then.
    pub rest_until: Instant,
    pub closing: bool,
    /// Some response stream could be resumed.
    event_ids: bool,
    /// Pings that the server has sent in one piece.
    pub flood: usize,
    /// Too many exchanges were open at once; that was said.
    pub crowded: bool,
    /// Since when nothing goes wrong any more.
    pub kind_since: Option<Instant>,
    /// What was asked, sent, executed and answered.
    pub history: Vec<Entry>,
    /// Every POST of each request of the client.
    pub sendings: BTreeMap<Tag, Vec<Sending>>,
    exchanges: BTreeMap<ExchangeId, Tag>,
    /// The requests of the client by their ids on the wire.
    wires: BTreeMap<u64, Tag>,
    /// The first answer to each that reached the engine.
    delivered: BTreeMap<Tag, Delivered>,
    /// Requests whose last exchange is over, and since when.
    over: BTreeMap<Tag, Instant>,
    /// Requests of which the server has reported progress: it has taken them, whatever became of their POSTs.
    reported: BTreeSet<Tag>,
    /// Every status that the engine got.
    pub statuses: BTreeSet<u16>,
    /// Requests whose cancellation was said to be told, and their ids on the wire.
    promised_cancels: Vec<(Tag, u64)>,
    /// Sessions whose id the engine got.
    known_sessions: BTreeSet<String>,
    /// Sessions that the engine has ended, or was told are gone.
    ended_sessions: BTreeSet<String>,
    /// The server has refused a restore for good.
    pub restore_refused: bool,
    /// The engine said that it gives one up.
    pub restore_given_up: bool,
    /// When each session began at the server.
    pub begun: Vec<Instant>,
}

impl World {
    /// An HTTP request of the engine's.
    pub(super) fn check_request(&mut self, id: ExchangeId, request: &Request) {
        // Promise 8: nothing goes anywhere else, and no header is broken.
        if request.authority != "server.test:9000" || request.https {
            self.violate(format!("#{} goes to {}", id.0, request.authority));
        }
        for (name, value) in &request.headers {
            let broken = |text: &str| text.bytes().any(|byte| !(b' '..=b'~').contains(&byte));
            if broken(name) || broken(value) {
                self.violate(format!("#{} has a broken header {name}", id.0));
            }
        }
        for name in ["mcp-session-id", "last-event-id", "accept", "content-type", "cookie"] {
            let times = request.headers.iter().filter(|(other, _)| other == name).count();
            if times > 1 {
                self.violate(format!("#{} has {name} {times} times", id.0));
            }
        }
        self.note_end_of_session(request);
        if request.method != Method::Post {
            return;
        }
        if let Some(tag) = tag_in(&request.body) {
            self.note_sending(id, request, tag);
            self.check_order(tag);
        }
    }

    /// Promise 4: first sendings follow the order of the client's messages.
    fn check_order(&mut self, tag: Tag) {
        if !self.client.first_sent.insert(tag) {
            return;
        }
        if self.client.highest_sent > tag {
            let highest = self.client.highest_sent;
            self.violate(format!("tag {tag} is sent for the first time after tag {highest}"));
        }
        self.client.highest_sent = self.client.highest_sent.max(tag);
    }

    /// A message that a session accepts.
    pub(super) fn check_message(&mut self, sid: &str, method: &str, message: &Value) {
        let stateless = self.server.knobs.stateless;
        let kind = if method.is_empty() { String::from("answer") } else { method.to_string() };
        let Some(session) = self.server.sessions.get_mut(sid) else {
            return;
        };
        session.log.push(kind);
        // Pings and their answers may come at any time.
        let said: Vec<_> =
            session.log.iter().filter(|kind| *kind != "ping" && *kind != "answer").take(3).cloned().collect();
        let id = message["id"].to_string();
        let repeated = !method.is_empty() && id != "null" && !session.ids.insert(id.clone());
        let place = said.len();
        // Promise 3.
        match place {
            1 if method == "initialize" => {}
            _ if method == "ping" || method.is_empty() => {}
            0 => {}
            1 => self.violate(format!("the first message of {sid} is {method}")),
            2 if method == "notifications/initialized" => {}
            // Without sessions what was sent in the last one may arrive in the next.
            2 if stateless => {}
            2 => self.violate(format!("the second message of {sid} is {method}")),
            _ if method == "initialize" => {
                self.violate(format!("{sid} is initialized more than once"));
            }
            _ => {}
        }
        if repeated && !stateless {
            self.violate(format!("the id {id} is used twice in {sid}"));
        }
    }

    /// A notification or question that reaches the client.
    pub(super) fn check_told(&mut self, method: &str, params: &Value) {
        if let Some(session) = params["session"].as_str() {
            let known = &self.client.session;
            // Promise 3: what an old session says means nothing any more.
            if serial(session) < serial(known) {
                let known = known.clone();
                self.violate(format!("{method} of {session} while {known} is the session"));
            }
        }
        if method == "notifications/progress"
            && let Some(tag) = params["progressToken"].as_u64()
        {
            self.watch.reported.insert(tag);
            let dead =
                self.client.asked.get(&tag).is_none_or(|asked| !asked.answers.is_empty() || asked.cancelled.is_some());
            if dead {
                self.violate(format!("progress of tag {tag}, which is not asked"));
            }
        }
    }

    /// An answer that reaches the client.
    pub(super) fn check_answer(&mut self, tag: Tag, answer: &Answer, data: &Value, twins: bool) {
        let asked = self.client.asked[&tag].clone();
        // Promise 1.
        if !asked.answers.is_empty() {
            self.violate(format!("tag {tag} is answered twice: {answer:?}"));
        }
        if asked.cancelled.is_some() && !twins {
            self.violate(format!("tag {tag} was cancelled and is answered: {answer:?}"));
        }
        match answer {
            Answer::Result(result) => {
                if let Some(named) = result["tag"].as_u64()
                    && named != tag
                {
                    self.violate(format!("tag {tag} gets the result of tag {named}"));
                }
            }
            // Among requests with one id nobody knows whose error it is.
            Answer::Error(..) if twins => {}
            Answer::Error(code, text) => self.check_error(tag, *code, text, data),
        }
    }

    /// The replay table, at the end, by a reader of its own.
    pub fn check_history(&mut self) {
        let twins = self.client.twins();
        let history: Vec<_> =
            self.watch.history.iter().filter(|entry| !twins.contains(&tag_of(entry))).cloned().collect();
        for what in judge(&history, !self.watch.closing, true) {
            self.violate(format!("history of {what}"));
        }
    }

    /// An answer, for the history.
    pub(super) fn note_answer(&mut self, tag: Tag, answer: &Answer) {
        let verdict = match answer {
            // Pings and lists that were promised are answered by the engine.
            Answer::Result(result) if result["tag"].is_null() => Verdict::Other,
            Answer::Result(_) => Verdict::Result,
            Answer::Error(code, _) if DID_NOT_RUN.contains(code) => Verdict::DidNotRun,
            Answer::Error(errors::OUTCOME_UNKNOWN, _) => Verdict::Unknown,
            Answer::Error(..) => Verdict::Other,
        };
        self.log(tag, |tag| Entry::Answered { tag, verdict });
    }

    /// Handshakes are no part of the history.
    pub(super) fn log(&mut self, tag: Tag, entry: impl Fn(Tag) -> Entry) {
        if self.client.asked.get(&tag).is_some_and(|asked| asked.method != "initialize") {
            self.watch.history.push(entry(tag));
        }
    }

    /// Promise 2, at the end: no unsafe request ran twice, and no safe one more often than the table allows.
    pub fn check_runs(&mut self) {
        let asked: Vec<_> =
            self.client.asked.iter().map(|(tag, asked)| (*tag, asked.safe, asked.method.clone())).collect();
        for (tag, safe, method) in asked {
            let runs = self.server.runs_of(tag);
            let most = if safe { 2 } else { 1 };
            if runs > most && method != "initialize" {
                self.violate(format!("tag {tag} ({method}) ran {runs} times"));
            }
        }
        let mut notified = self.server.notified.clone();
        notified.sort_unstable();
        if let Some(twice) = notified.windows(2).find(|pair| pair[0] == pair[1]) {
            self.violate(format!("the notification {} was sent twice", twice[0]));
        }
    }

    /// Promise 7: when nothing is asked any more, nothing is kept.
    pub fn check_rest(&mut self) {
        let status = self.engine.status();
        if status.queued > 0 {
            self.violate(format!("{} messages are still queued", status.queued));
        }
        let open = self.open_exchanges();
        // Streams, and as many restores at once as there may be.
        if open > 8 {
            self.violate(format!("{open} exchanges are still open"));
        }
        let size = format!("{:?}", self.engine).len();
        if size > 40_000 + 500 * self.client.asked.len() {
            self.violate(format!("the idle engine is {size} bytes of text"));
        }
    }
}

/// The tag of a message that is no `initialize`. To read the whole message would cost half of a run's time.
fn tag_in(body: &[u8]) -> Option<Tag> {
    let body = std::str::from_utf8(body).ok()?;
    let tag = body.split_once(r#""tag":"#).and_then(|(_, rest)| rest.split([',', '}']).next()?.parse().ok());
    tag.filter(|_| !body.contains(r#""method":"initialize""#))
}

fn tag_of(entry: &Entry) -> Tag {
    match entry {
        Entry::Asked { tag, .. }
        | Entry::Cancelled { tag }
        | Entry::Sent { tag }
        | Entry::Rejected { tag }
        | Entry::Doubtful { tag }
        | Entry::ServerError { tag }
        | Entry::Ran { tag }
        | Entry::Answered { tag, .. } => *tag,
        Entry::NewSession => 0,
    }
}

/// Sessions are numbered in the order in which they began.
fn serial(session: &str) -> u64 {
    session.split_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}
