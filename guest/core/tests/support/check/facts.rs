//! What the engine says in an error is held against the facts of the world.

use mcp_reconnect_core::{ExchangeId, Failure, Instant, Request, errors};
use serde_json::Value;
use std::time::Duration;

use super::Entry;
use crate::support::client::{DID_NOT_RUN, Tag};
use crate::support::world::World;

/// One POST of a request of the client.
#[derive(Clone, Debug)]
pub struct Sending {
    pub exchange: ExchangeId,
    /// Its id on the wire.
    pub wire: u64,
    /// The engine's session then.
    pub epoch: u64,
    pub at: Instant,
    /// The status that the engine got.
    pub status: Option<u16>,
    pub failure: Option<Failure>,
    /// The answer to it was an error.
    pub denied: bool,
}

impl Sending {
    fn provably_not_sent(&self) -> bool {
        matches!(self.failure, Some(Failure::Connect | Failure::Dns | Failure::Tls | Failure::Unsendable))
    }

    fn accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status)) && !self.denied
    }
}

impl World {
    /// A POST of a request with a tag begins.
    pub(super) fn note_sending(&mut self, exchange: ExchangeId, request: &Request, tag: Tag) {
        let body = String::from_utf8_lossy(&request.body);
        let wire = body.split_once(r#""id":"#).and_then(|(_, rest)| rest.split([',', '}']).next()?.parse().ok());
        let Some(wire) = wire else { return };
        let epoch = self.engine.status().session.map_or(0, |session| session.epoch);
        let sending = Sending { exchange, wire, epoch, at: self.now, status: None, failure: None, denied: false };
        self.watch.sendings.entry(tag).or_default().push(sending);
        self.watch.exchanges.insert(exchange, tag);
        self.log(tag, |tag| Entry::Sent { tag });
        self.watch.wires.insert(wire, tag);
        self.watch.over.remove(&tag);
    }

    fn sending_on(&mut self, exchange: ExchangeId) -> Option<&mut Sending> {
        let tag = self.watch.exchanges.get(&exchange)?;
        self.watch.sendings.get_mut(tag)?.iter_mut().rev().find(|sending| sending.exchange == exchange)
    }

    /// A test may say more heads of one response, and the first one counts.
    pub(super) fn note_first_head(&mut self, exchange: ExchangeId, status: u16) {
        if let Some(sending) = self.sending_on(exchange) {
            sending.status.get_or_insert(status);
        }
    }

    /// The engine gets the head of a response.
    pub(in super::super) fn note_head(&mut self, exchange: ExchangeId, status: u16, rest: bool) {
        if let Some(tag) = self.watch.exchanges.get(&exchange).copied() {
            match status {
                200..300 => {}
                // What the server will have to say of it is not known yet; most of it means that nothing was done.
                503 if rest => self.log(tag, |tag| Entry::Rejected { tag }),
                408 | 500.. => self.log(tag, |tag| Entry::Doubtful { tag }),
                _ => self.log(tag, |tag| Entry::Rejected { tag }),
            }
        }
        if matches!(status, 400 | 401 | 403..=407 | 409..=420 | 422)
            && let Some(conn) = self.net.conns.get(&exchange)
        {
            let line = crate::support::net::line(&conn.request);
            self.watch.restore_refused |=
                ["own resources/subscribe", "own resources/unsubscribe", "own logging/setLevel"]
                    .iter()
                    .any(|part| crate::support::net::is_about(&line, part));
        }
        if let Some(sending) = self.sending_on(exchange) {
            sending.status = Some(status);
        }
    }

    pub(in super::super) fn note_failure(&mut self, exchange: ExchangeId, failure: Failure) {
        if let Some(sending) = self.sending_on(exchange) {
            sending.failure = Some(failure);
            if sending.provably_not_sent() {
                let tag = self.watch.exchanges[&exchange];
                self.log(tag, |tag| Entry::Rejected { tag });
            }
        }
    }

    /// The body of a response is complete: some of a 503 say that nobody took the request.
    pub(in super::super) fn note_refusal(&mut self, exchange: ExchangeId, body: &[u8]) {
        let body = String::from_utf8_lossy(body);
        if let Some(tag) = self.watch.exchanges.get(&exchange).copied()
            && self.sending_on(exchange).is_some_and(|sending| sending.status == Some(503))
            && body.contains("No active SSE connection")
        {
            self.log(tag, |tag| Entry::Rejected { tag });
        }
    }

    /// An error of the engine's own, or the server's.
    pub(super) fn check_error(&mut self, tag: Tag, code: i64, text: &str, data: &Value) {
        let sendings = self.watch.sendings.get(&tag).cloned().unwrap_or_default();
        let runs = self.server.runs_of(tag);
        let mut wrong: Vec<String> = Vec::new();
        // An `initialize` that came to nothing may have been taken.
        let denies = DID_NOT_RUN.contains(&code) && self.client.asked[&tag].method != "initialize";
        if (denies || text.contains("did not run")) && runs > 0 {
            wrong.push(format!("it ran {runs} times"));
        }
        let asked_at = self.client.asked[&tag].at;
        if let Some(time) = time_after(text, "could not be used for ").or(time_after(text, "could not be reached for "))
        {
            if self.now - asked_at < time {
                wrong.push(format!("it was asked only {} ms ago", (self.now - asked_at).as_millis()));
            }
            if let Some(kind) = self.watch.kind_since
                && self.now > kind + time
            {
                wrong.push(format!("the server has been well for {} ms", (self.now - kind).as_millis()));
            }
        }
        match code {
            errors::OUTCOME_UNKNOWN => self.check_unknown(tag, &sendings, text, data, &mut wrong),
            errors::TIMED_OUT => {
                let since = self.now - sendings.first().map_or(asked_at, |first| first.at);
                let time = time_after(text, "run-timeout: ").unwrap_or_default().min(self.options.run_limit);
                if since < time {
                    wrong.push(format!("it was sent only {} ms ago", since.as_millis()));
                }
                if text.contains("the server was told to cancel it")
                    && let Some(last) = sendings.last()
                {
                    self.watch.promised_cancels.push((tag, last.wire));
                }
            }
            errors::UNAUTHORIZED => {
                let status = data["status"].as_u64().unwrap_or(0) as u16;
                if !self.watch.statuses.contains(&status) {
                    wrong.push(format!("nobody answered {status}"));
                }
            }
            errors::TOO_LARGE if text.contains("The request ran") && runs == 0 => {
                wrong.push(String::from("it did not run"));
            }
            errors::QUEUE_FULL if !sendings.is_empty() => wrong.push(String::from("it was sent")),
            errors::HTTP_ERROR => {
                if let Some(status) = data["status"].as_u64()
                    && !self.watch.statuses.contains(&(status as u16))
                {
                    wrong.push(format!("nobody answered {status}"));
                }
            }
            errors::SESSION_UNSTABLE if sendings.len() < 2 && text.contains("lost its session twice") => {
                wrong.push(String::from("it was sent once"))
            }
            errors::CLOSED if !self.watch.closing => wrong.push(String::from("nobody closed")),
            _ => {}
        }
        for what in wrong {
            self.violate(format!("tag {tag} got {code} \"{text}\" {data}, but {what}"));
        }
    }

    fn check_unknown(&self, tag: Tag, sendings: &[Sending], text: &str, data: &Value, wrong: &mut Vec<String>) {
        let Some(last) = sendings.last() else {
            return wrong.push(String::from("it was never sent"));
        };
        if sendings.iter().all(Sending::provably_not_sent) {
            wrong.push(String::from("every sending provably failed before it was sent"));
        }
        let accepted = sendings.iter().any(Sending::accepted);
        if data["accepted"] == true && !accepted && !self.watch.reported.contains(&tag) {
            wrong.push(String::from("no sending was accepted"));
        }
        if data["accepted"] == false && last.accepted() {
            wrong.push(String::from("its last sending was accepted"));
        }
        // What a close leaves of a session is of no use to the client.
        let changed =
            self.watch.closing || self.engine.status().session.is_none_or(|session| session.epoch != last.epoch);
        // A driver that was late lets all that fell due meanwhile happen in one input.
        if data["sessionChanged"] == false && changed && self.now != self.asleep_until {
            wrong.push(String::from("the session has changed"));
        }
        if data["sessionChanged"] == true && !changed {
            wrong.push(String::from("the session is the same"));
        }
        let sent = sendings.iter().filter(|sending| !sending.provably_not_sent()).count();
        if text.contains("was sent again once") && sent < 2 {
            wrong.push(String::from("it was sent once"));
        }
    }

    /// At the end: what errors said of the future has come true.
    pub fn check_facts(&mut self) {
        for (tag, wire) in std::mem::take(&mut self.watch.promised_cancels) {
            let needle = format!(r#""requestId":{wire}"#);
            let told = self.net.started.iter().any(|started| {
                let body = started.body();
                body.contains("notifications/cancelled")
                    && (body.contains(&format!("{needle},")) || body.contains(&format!("{needle}}}")))
            });
            if !told {
                self.violate(format!("tag {tag} was said to be cancelled at the server, and no cancellation was sent"));
            }
        }
        let denied: Vec<_> = self
            .client
            .asked
            .iter()
            .filter_map(|(tag, asked)| match asked.answers.first() {
                Some((_, super::Answer::Error(code, text)))
                    if DID_NOT_RUN.contains(code) && asked.method != "initialize" || text.contains("did not run") =>
                {
                    Some((*tag, text.clone()))
                }
                _ => None,
            })
            .collect();
        let twins = self.client.twins();
        for (tag, text) in denied {
            if self.server.runs_of(tag) > 0 && !twins.contains(&tag) {
                self.violate(format!("tag {tag} was said not to have run, and ran afterwards: {text}"));
            }
        }
    }
}

/// The duration in a text after these words, as the engine spells it.
fn time_after(text: &str, words: &str) -> Option<Duration> {
    let rest = text.split_once(words)?.1;
    let (number, unit) = rest.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    if unit.starts_with("ms") {
        Some(Duration::from_millis(number))
    } else if unit.starts_with('s') {
        Some(Duration::from_secs(number))
    } else {
        None
    }
}
