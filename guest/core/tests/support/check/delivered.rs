//! An answer that reached the engine in time is what the client gets.

use mcp_reconnect_core::{ExchangeId, Instant, State, errors};
use serde_json::Value;
use std::time::Duration;

use super::{Answer, Entry};
use crate::support::client::Tag;
use crate::support::world::World;

/// A response of the server that the engine got.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// When it was there to be read.
    at: Instant,
    answer: Answer,
}

/// A request whose exchange is over and brought nothing waits no longer than this for a decision.
const DECISION: Duration = Duration::from_secs(30);

impl World {
    /// Whole events, or a whole body, have reached the engine.
    pub(in super::super) fn note_delivered(&mut self, exchange: ExchangeId, got: &[u8]) {
        let _: ExchangeId = exchange;
        let text = String::from_utf8_lossy(got);
        for line in text.lines() {
            let json = line.trim_start_matches('\u{feff}').trim_start_matches("data:").trim();
            if !json.contains(r#""result":"#) && !json.contains(r#""error":{"#) {
                continue;
            }
            let Ok(value) = serde_json::from_str::<Value>(json) else { continue };
            match value {
                Value::Array(all) => all.iter().for_each(|one| self.note_response(one)),
                one => self.note_response(&one),
            }
        }
    }

    fn note_response(&mut self, response: &Value) {
        let id = &response["id"];
        let wire = id.as_u64().or(id.as_f64().map(|id| id as u64)).or(id.as_str().and_then(|id| id.parse().ok()));
        let Some(tag) = wire.and_then(|wire| self.watch.wires.get(&wire)).copied() else { return };
        if response.get("result").is_none() {
            let sending = self.watch.sendings.get_mut(&tag);
            for sending in sending.into_iter().flatten().filter(|sending| Some(sending.wire) == wire) {
                sending.denied = true;
            }
            self.log(tag, |tag| Entry::ServerError { tag });
        }
        // A refusal of what was not looked at is no answer.
        if self.server.runs_of(tag) == 0 {
            return;
        }
        let answer = match response.get("result") {
            Some(result) => Answer::Result(result.clone()),
            None => Answer::Error(
                response["error"]["code"].as_i64().unwrap_or(0),
                response["error"]["message"].as_str().unwrap_or("").to_string(),
            ),
        };
        let at = self.due;
        self.watch.delivered.entry(tag).or_insert(Delivered { at, answer });
    }

    /// The exchange of a request is over.
    pub(in super::super) fn note_over(&mut self, exchange: ExchangeId) {
        if let Some(tag) = self.watch.exchanges.get(&exchange) {
            self.watch.over.insert(*tag, self.now);
        }
    }

    /// Requests whose answer cannot come any more are decided about. On HTTP+SSE, and where a stream can be resumed, it can.
    pub(super) fn check_decided(&mut self) {
        self.watch.event_ids |= self.server.knobs.event_ids;
        if self.watch.over.is_empty() || self.watch.event_ids || self.closed {
            return;
        }
        let status = self.engine.status();
        let http = status.session.as_ref().is_some_and(|session| session.transport == super::Transport::StreamableHttp);
        // A stream of the session's own may bring it yet.
        if !http || status.state != State::Ready || status.queued > 0 || self.listens() {
            return;
        }
        let late: Vec<Tag> =
            self.watch.over.iter().filter(|(_, at)| self.now > **at + DECISION).map(|(tag, _)| *tag).collect();
        for tag in late {
            self.watch.over.remove(&tag);
            if self.client.twins().contains(&tag) {
                continue;
            }
            let asked = &self.client.asked[&tag];
            if asked.answers.is_empty() && asked.cancelled.is_none() {
                self.violate(format!("the exchange of tag {tag} is over without an answer, and nobody decides"));
            }
        }
    }

    /// At the end: every answer that was there in time was handed on.
    pub fn check_delivered(&mut self) {
        for (tag, delivered) in std::mem::take(&mut self.watch.delivered) {
            let asked = &self.client.asked[&tag];
            let Some((at, answer)) = asked.answers.first() else { continue };
            let late = *at < delivered.at || asked.cancelled.is_some() || asked.method == "initialize";
            let same = match (&delivered.answer, answer) {
                (Answer::Result(_), Answer::Result(_)) => true,
                (one, other) => one == other,
            };
            let limits = [errors::TOO_LARGE, errors::CLOSED];
            let limited = matches!(answer, Answer::Error(code, _) if limits.contains(code));
            if !late && !same && !limited {
                let (answer, real) = (format!("{answer:?}"), format!("{:?}", delivered.answer));
                self.violate(format!("tag {tag} got {answer}, and the server had answered {real}"));
            }
        }
    }
}
