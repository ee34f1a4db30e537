//! What becomes of each request: sent, accepted, answered, or decided about by the replay table.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use super::exchange::Role;
use super::link::{Link, Trouble};
use super::program::{Outgoing, Queued};
use super::{Engine, seconds};
use crate::errors;
use crate::loss::{self, Refusal};
use crate::options::SECOND;
use crate::replay::{Action, Evidence, Facts, decide};
use crate::request::{Delivery, Learn, Origin, Request, RequestKey};
use crate::schedule::Timer;
use crate::{Event, ExchangeId, Level, Nanos, Output, Transport, json};

/// How long a cancelled request is remembered, so that its end can be recognised.
pub(super) const CANCELLED_RUN: Nanos = 60 * SECOND;
/// How long a response may go on after the answer it carried.
const LINGER: Nanos = 5 * SECOND;
/// HTTP+SSE: how long the status of a pending POST is awaited after its stream was lost, and the answer on the stream
/// after its POST broke off.
const GRACE: Nanos = 2 * SECOND;
/// What is known about the end of a request, for the table and for people.
pub(super) struct End<'a> {
    pub evidence: Evidence,
    pub accepted: bool,
    pub reason: String,
    pub refusal: Option<&'a Refusal>,
}

pub(super) fn new_request(
    origin: Origin,
    method: &str,
    text: String,
    id_at: Range<usize>,
    safe: bool,
    learn: Learn,
) -> Request {
    Request {
        origin,
        method: method.to_string(),
        text,
        id_at,
        safe,
        cancelled: false,
        progress_token: None,
        learn,
        delivery: Delivery::Held,
        wire: 0,
        epoch: 0,
        sent_at: None,
        hold_left: 0,
        replays: 0,
        accepted: false,
        losses: 0,
        rejections: 0,
        cursor: None,
        retry: None,
        brought: false,
        fruitless: 0,
        silent: 0,
    }
}

/// The result of a list that has nothing in it.
pub(super) fn empty_list(method: &str) -> Option<&'static str> {
    Some(match method {
        "tools/list" => r#"{"tools":[]}"#,
        "prompts/list" => r#"{"prompts":[]}"#,
        "resources/list" => r#"{"resources":[]}"#,
        "resources/templates/list" => r#"{"resourceTemplates":[]}"#,
        _ => return None,
    })
}

impl Engine {
    /// Takes a request into the table.
    pub(super) fn admit(&mut self, request: Request) -> RequestKey {
        let key = RequestKey(self.order());
        self.held_bytes += request.text.len();
        if let Some(token) = &request.progress_token {
            self.progress_tokens.insert(token.clone(), key);
        }
        self.requests.insert(key, request);
        key
    }

    /// Drops everything about a request. What it still has on the network may end by itself for a moment.
    pub(super) fn forget(&mut self, key: RequestKey) -> Option<Request> {
        let request = self.requests.remove(&key)?;
        self.held_bytes -= request.text.len().min(self.held_bytes);
        self.wire.remove(&request.wire);
        if let Some(token) = &request.progress_token
            && self.progress_tokens.get(token) == Some(&key)
        {
            self.progress_tokens.remove(token);
        }
        for timer in [Timer::Hold(key), Timer::Run(key), Timer::Grace(key), Timer::Resume(key), Timer::Reopen(key)] {
            self.timers.clear(timer);
        }
        if let Some(exchange) = request.exchange() {
            self.retire(exchange);
        }
        if matches!(request.delivery, Delivery::Held) {
            self.outbox.retain(|queued| queued.message != Outgoing::Request(key));
        }
        Some(request)
    }

    /// Nobody waits for this exchange any more: it may end by itself, so that its connection can be used again.
    pub(super) fn retire(&mut self, exchange: ExchangeId) {
        if let Some(found) = self.exchanges.get_mut(&exchange) {
            found.role = Role::Retired;
            self.timers.clear(Timer::Head(exchange));
            self.timers.set(Timer::Linger(exchange), self.now + LINGER);
        }
    }

    /// Sends a request, for the first time or again, under a fresh id.
    pub(super) fn post_request(&mut self, key: RequestKey) {
        let wire = self.wire_id();
        let Some(request) = self.requests.get_mut(&key) else { return };
        let body = json::splice(&request.text, request.id_at.clone(), &wire.to_string());
        self.wire.remove(&request.wire);
        request.wire = wire;
        request.epoch = self.epoch;
        request.cursor = None;
        request.brought = false;
        request.fruitless = 0;
        request.silent = 0;
        if let Some(hold_end) = self.timers.next_of(Timer::Hold(key)) {
            request.hold_left = hold_end.saturating_sub(self.now);
        }
        let sent_at = *request.sent_at.get_or_insert(self.now);
        let is_program = request.origin == Origin::Program;
        self.wire.insert(wire, key);
        let exchange = self.post(Role::Post(key), body.into_bytes());
        if let Some(request) = self.requests.get_mut(&key) {
            request.delivery = Delivery::Sent(exchange);
        }
        self.timers.clear(Timer::Hold(key));
        if is_program {
            let end = (self.now + self.options.run_timeout).min(sent_at + self.options.run_limit);
            self.timers.set(Timer::Run(key), end);
        }
        if self.session.as_ref().is_some_and(|session| session.transport == Transport::HttpSse) {
            self.timers.set(Timer::Head(exchange), self.now + self.options.response_timeout);
        }
    }

    /// A request of the engine's own.
    pub(super) fn post_own(&mut self, origin: Origin, method: &str, params: &str) -> RequestKey {
        let text = if params.is_empty() {
            alloc::format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}"}}"#)
        } else {
            alloc::format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}","params":{params}}}"#)
        };
        let key = self.admit(new_request(origin, method, text, 22..23, true, Learn::Nothing));
        self.post_request(key);
        self.timers.set(Timer::Run(key), self.now + self.options.heartbeat_timeout);
        key
    }

    /// Something ended without an answer for this request.
    pub(super) fn conclude(&mut self, key: RequestKey, end: End) {
        let Some(request) = self.requests.get(&key) else { return };
        if request.origin != Origin::Program {
            self.conclude_own(key, request.origin, &end);
            return;
        }
        let facts = Facts {
            safe: request.safe,
            cancelled: request.cancelled,
            replays: request.replays,
            losses: request.losses,
            rejections: request.rejections,
            can_refresh: self.options.can_refresh_credentials,
        };
        let method = request.method.clone();
        match decide(end.evidence, facts) {
            Action::Drop => {
                self.forget(key);
            }
            Action::Hold => self.hold(key),
            Action::NewSession => {
                if let Some(request) = self.requests.get_mut(&key) {
                    request.losses += 1;
                }
                self.hold(key);
            }
            Action::AwaitCredentials => {
                if let Some(request) = self.requests.get_mut(&key) {
                    request.rejections += 1;
                }
                self.hold(key);
            }
            Action::Wait { .. } => self.hold(key),
            Action::Replay => {
                if let Some(request) = self.requests.get_mut(&key) {
                    request.replays += 1;
                    request.accepted = end.accepted;
                    request.hold_left = self.options.hold_timeout;
                }
                self.replays += 1;
                self.emit(Event::Replayed { method, accepted: end.accepted, reason: end.reason });
                self.hold(key);
            }
            Action::AnswerUnknown => self.answer_unknown(key, end.accepted, end.reason),
            Action::AnswerUnstable => {
                let text = alloc::format!(
                    "{method} lost its session twice, so it was given up; it did not run. Sessions of {} do not stick: \
                     a load balancer before several servers needs session affinity.",
                    self.server_name()
                );
                self.answer_error(key, errors::SESSION_UNSTABLE, &text, None);
            }
            Action::AnswerUnauthorized => {
                let (status, challenge) =
                    end.refusal.map_or((401, String::new()), |refusal| (refusal.status, refusal.challenge.clone()));
                self.answer_unauthorized(key, status, &challenge);
            }
            Action::AnswerRefused => self.answer_refused(key, &end),
        }
    }

    /// Back to the queue, in its place.
    pub(super) fn hold(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        self.wire.remove(&request.wire);
        request.delivery = Delivery::Held;
        for timer in [Timer::Run(key), Timer::Grace(key), Timer::Resume(key), Timer::Reopen(key)] {
            self.timers.clear(timer);
        }
        let left = request.hold_left;
        self.timers.set(Timer::Hold(key), self.now + left);
        self.requeue(Queued { order: key.0, message: Outgoing::Request(key) });
        // Some links are not waited for.
        match self.link.clone() {
            Link::Idle => {
                let text = "The contact with the server failed for good reason; this request was not sent.";
                self.answer_error(key, errors::UNAVAILABLE, text, None);
            }
            Link::Credentials(challenge) if !self.timers.is_set(Timer::Credentials) => {
                self.answer_unauthorized(key, challenge.status, &challenge.text);
            }
            // The next attempt may have been planned for nobody.
            Link::Waiting => self.hurry(),
            _ => {}
        }
    }

    pub(super) fn on_hold_over(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        if self.is_provisional()
            && let Some(empty) = empty_list(&request.method)
        {
            if let Some(request) = self.forget(key) {
                let id = request.client_id();
                self.emit_message(alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{empty}}}"#));
            }
            return;
        }
        if request.origin != Origin::Program {
            self.forget(key);
            return;
        }
        if matches!(request.delivery, Delivery::Resuming | Delivery::Resumed(_)) {
            let reason = alloc::format!(
                "its stream broke, and {} could not be reached for {}",
                self.server_name(),
                seconds(self.options.hold_timeout)
            );
            if let Some(exchange) = self.exchange_of(key) {
                self.cancel(exchange);
            }
            return self.conclude(key, End { evidence: Evidence::Unknown, accepted: true, reason, refusal: None });
        }
        let method = request.method.clone();
        let initialize = request.delivery == Delivery::Handshake;
        let last = if self.last_error.is_empty() { String::new() } else { alloc::format!(" ({})", self.last_error) };
        let text = alloc::format!(
            "{method} was not sent: {} could not be used for {}{last}. It did not run; it can be tried again.",
            self.server_name(),
            seconds(self.options.hold_timeout),
        );
        self.answer_error(key, errors::UNAVAILABLE, &text, None);
        if initialize {
            self.give_up_first_contact();
        }
    }

    pub(super) fn on_run_over(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        if request.origin != Origin::Program {
            let origin = request.origin;
            return self.on_own_late(key, origin);
        }
        let (method, wire, epoch, exchange) = (request.method.clone(), request.wire, request.epoch, request.exchange());
        if !request.cancelled {
            let text = alloc::format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{wire},"reason":"timed out"}}}}"#
            );
            self.send_aside(text, epoch);
        }
        let text = alloc::format!(
            "{method} was not answered in time (option run-timeout: {} without progress); the server was told to cancel \
             it. It may or may not have run.",
            seconds(self.options.run_timeout),
        );
        self.answer_error(key, errors::TIMED_OUT, &text, None);
        if let Some(exchange) = exchange {
            self.cancel(exchange);
        }
    }

    /// HTTP+SSE: the stream that was to bring this request's answer is lost.
    pub(super) fn stream_lost_under(&mut self, key: RequestKey, reason: &str) {
        let Some(request) = self.requests.get(&key) else { return };
        match request.delivery {
            // The status that proves that it was not taken may be milliseconds behind the stream's end.
            Delivery::Sent(_) => self.timers.set(Timer::Grace(key), self.now + GRACE),
            Delivery::Accepted(_) | Delivery::Verifying(_) | Delivery::Adrift => {
                let accepted = request.delivery != Delivery::Adrift;
                let reason = reason.to_string();
                self.conclude(key, End { evidence: Evidence::Unknown, accepted, reason, refusal: None });
            }
            _ => {}
        }
    }

    /// HTTP+SSE: a POST broke off, but its answer may still come on the event stream, if that lives. False if it is not
    /// awaited: what is safe is better sent again.
    pub(super) fn await_on_stream(&mut self, key: RequestKey) -> bool {
        let session = self.session.as_ref().filter(|session| session.transport == Transport::HttpSse);
        let Some(epoch) = session.map(|session| session.epoch).filter(|_| self.session_may_survive()) else {
            return false;
        };
        let Some(request) = self.requests.get_mut(&key) else { return false };
        let replayed = request.safe && request.replays == 0;
        if request.origin != Origin::Program || request.epoch != epoch || request.cancelled || replayed {
            return false;
        }
        request.delivery = Delivery::Adrift;
        self.timers.set(Timer::Grace(key), self.now + GRACE);
        true
    }

    pub(super) fn on_grace_over(&mut self, key: RequestKey) {
        let reason = match self.requests.get(&key).map(|request| &request.delivery) {
            Some(Delivery::Adrift) => "its connection broke, and no answer came on the event stream",
            _ => "the event stream was lost while the request was being sent",
        };
        if let Some(exchange) = self.exchange_of(key) {
            self.cancel(exchange);
        }
        let reason = reason.to_string();
        self.conclude(key, End { evidence: Evidence::Unknown, accepted: false, reason, refusal: None });
    }

    /// A message came for the request, so that its clock starts anew.
    pub(super) fn on_request_progress(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        request.brought = true;
        if request.delivery == Delivery::Adrift {
            request.delivery = Delivery::Accepted(None);
            self.timers.clear(Timer::Grace(key));
        }
        if let (Some(sent_at), Delivery::Sent(_) | Delivery::Accepted(_) | Delivery::Resumed(_)) =
            (request.sent_at, &request.delivery)
        {
            let end = (self.now + self.options.run_timeout).min(sent_at + self.options.run_limit);
            self.timers.set(Timer::Run(key), end);
        }
    }

    /// A response with this request's id on the wire. `id_at` is where that id stands in `text`.
    pub(super) fn on_answer(
        &mut self,
        key: RequestKey,
        text: String,
        id_at: Option<Range<usize>>,
        error: Option<(i64, String)>,
    ) {
        let Some(request) = self.requests.get(&key) else { return };
        let (origin, epoch) = (request.origin, request.epoch);
        let current = self.session.as_ref().is_some_and(|session| session.epoch == epoch);
        if let Some((code, message)) = &error
            && !request.brought
            && loss::error_is_session_loss(*code, message)
        {
            let reason = alloc::format!("the server answered \"{}\"", clip(message));
            if let Some(exchange) = self.requests.get(&key).and_then(Request::exchange) {
                self.retire(exchange);
            }
            self.conclude(
                key,
                End { evidence: Evidence::SessionLost, accepted: false, reason: reason.clone(), refusal: None },
            );
            if current {
                self.recover(Trouble::SessionLost(reason));
            }
            return;
        }
        if origin != Origin::Program {
            return self.on_own_answer(key, origin, error);
        }
        let text = match id_at {
            Some(id_at) => {
                let mut text = text;
                // Of no more room than is needed: it may be huge.
                text.reserve_exact(request.client_id().len().saturating_sub(id_at.len()));
                text.replace_range(id_at, request.client_id());
                text
            }
            None => return,
        };
        if current && self.must_verify(error.as_ref()) {
            return self.verify(key, text);
        }
        self.deliver(key, text, error.is_none());
    }

    /// Hands an answer to the program.
    pub(super) fn deliver(&mut self, key: RequestKey, text: String, success: bool) {
        let Some(request) = self.forget(key) else { return };
        if let Some(session) = self.session.as_mut().filter(|session| session.epoch == request.epoch) {
            session.progress = true;
            self.attempts = 0;
            self.redirects = 0;
            self.asked_for_headers = None;
            self.told_without_progress = false;
        }
        if success {
            self.learn(&request.learn, &text);
        }
        if !request.cancelled {
            self.emit_message(text);
        }
    }

    fn learn(&mut self, learn: &Learn, text: &str) {
        match learn {
            Learn::Nothing => {}
            Learn::Tools => {
                if let Ok(json::Parsed::One(json::Envelope { result: Some(result), .. })) = json::parse(text) {
                    self.restorable.learn_tools(result.get());
                }
            }
            Learn::LogLevel(level) => self.restorable.log_level = Some(level.clone()),
            Learn::Subscribed(uri) => {
                self.restorable.subscriptions.insert(uri.clone());
            }
            Learn::Unsubscribed(uri) => {
                self.restorable.subscriptions.remove(uri);
            }
        }
    }

    /// Stops an exchange.
    pub(super) fn cancel(&mut self, exchange: ExchangeId) {
        if self.exchanges.remove(&exchange).is_some() {
            self.timers.clear(Timer::Head(exchange));
            self.timers.clear(Timer::Linger(exchange));
            self.outputs.push_back(Output::Cancel(exchange));
        }
    }

    pub(super) fn handshake_requests(&self) -> Vec<RequestKey> {
        self.requests
            .iter()
            .filter(|(_, request)| request.delivery == Delivery::Handshake)
            .map(|(key, _)| *key)
            .collect()
    }

    pub(super) fn is_provisional(&self) -> bool {
        self.program.answered.as_ref().is_some_and(|answered| answered.provisional)
    }

    /// A list that a provisional result promised and the real server does not have.
    pub(super) fn promised_empty_list(&self, method: &str) -> Option<&'static str> {
        let session = self.session.as_ref()?;
        if !self.program.promised {
            return None;
        }
        let server = &session.server;
        let has = match method {
            "tools/list" => server.tools,
            "prompts/list" => server.prompts,
            "resources/list" | "resources/templates/list" => server.resources,
            _ => return None,
        };
        if has { None } else { empty_list(method) }
    }

    pub(super) fn log_dropped(&mut self, what: &str, why: &str) {
        self.log(Level::Warn, alloc::format!("{what} was dropped: {why}"));
    }
}

/// A server's text, short enough for a sentence.
pub(super) fn clip(text: &str) -> String {
    crate::text::visible(text, 120)
}
