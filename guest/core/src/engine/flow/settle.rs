//! What becomes of each request: sent, accepted, answered, or decided about by the replay table.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use super::connection_error::ConnectionError;
use super::own_requests::OwnEnd;
use crate::api::errors;
use crate::engine::state::asides::Aside;
use crate::engine::state::connection::ConnectionState;
use crate::engine::state::consequences::{Consequence, Ended};
use crate::engine::state::cursors::Page;
use crate::engine::state::exchanges::Role;
use crate::engine::state::modern::Link;
use crate::engine::state::outbox::Queued;
use crate::engine::state::pause::Paused;
use crate::engine::state::progress_tokens::TaskPart;
use crate::engine::state::requests::{Learn, Origin, Request, RequestKey, RequestState, UnverifiedAnswer};
use crate::engine::state::timers::Timer;
use crate::engine::{Engine, seconds};
use crate::policy::era;
use crate::policy::replay::{Action, Evidence, Facts, decide};
use crate::policy::session_loss::Refusal;
use crate::wire::json;
use crate::wire::spelling;
use crate::{Event, ExchangeId, Level, Method, Output, Transport};

/// How long a cancelled request is remembered, so that its end can be recognised.
pub(crate) const CANCELLED_RUN: Duration = Duration::from_secs(60);
/// How long a response may go on after the answer it carried.
const LINGER: Duration = Duration::from_secs(5);
/// HTTP+SSE: how long the status of a pending POST is awaited after its stream was lost, and the answer on the stream
/// after its POST broke off.
const GRACE: Duration = Duration::from_secs(2);
/// What is known about the end of a request, for the table and for people.
pub(crate) struct End<'a> {
    pub evidence: Evidence,
    pub accepted: bool,
    pub reason: String,
    pub refusal: Option<&'a Refusal>,
}

impl Ended {
    pub fn end(&self) -> End<'_> {
        let refusal = self.refusal.as_ref();
        End { evidence: self.evidence, accepted: self.accepted, reason: self.reason.clone(), refusal }
    }
}

pub(crate) fn new_request(
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
        task: TaskPart::None,
        page: None,
        learn,
        modern: None,
        translated: None,
        state: RequestState::Held,
        wire_id: 0,
        earlier_wire_id: None,
        epoch: 0,
        sent_at: None,
        hold_left: Duration::ZERO,
        hold_shortened: Duration::ZERO,
        paused: Paused::default(),
        replays: 0,
        sent_again: false,
        accepted: false,
        losses: 0,
        turned_away: 0,
        rejections: 0,
        cursor: None,
        retry: None,
        progress: None,
        brought: false,
        answered_alike: false,
        empty_resumes: 0,
        silent: 0,
    }
}

/// The result of a list that has nothing in it.
pub(crate) fn empty_list(method: &str) -> Option<&'static str> {
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
    pub(crate) fn admit(&mut self, request: Request) -> RequestKey {
        let key = RequestKey(self.order());
        if let Some(token) = &request.progress_token {
            self.progress_tokens.add(token, key);
        }
        self.requests.admit(key, request);
        key
    }

    /// Drops everything about a request. What it still has on the network may end by itself for a moment.
    pub(crate) fn forget(&mut self, key: RequestKey) -> Option<Request> {
        let request = self.requests.remove(key)?;
        if let Some(token) = &request.progress_token {
            self.progress_tokens.remove(token, key);
        }
        let in_session = self.session.is(request.epoch);
        self.settings.dropped(key, in_session && (request.is_out() || request.replays > 0));
        for timer in [Timer::Hold(key), Timer::Discover(key), Timer::Listen(key)] {
            self.timers.clear(timer);
        }
        self.clear_sent_timers(key);
        if let Some(exchange) = request.exchange() {
            self.retire(exchange);
        }
        if matches!(request.state, RequestState::Held) && request.is_modern() {
            self.modern.withdraw(key);
        } else if matches!(request.state, RequestState::Held) {
            self.outbox.withdraw(key);
        }
        Some(request)
    }

    /// Nobody waits for this exchange any more: it may end by itself, so that its connection can be used again.
    pub(crate) fn retire(&mut self, exchange: ExchangeId) {
        if self.exchanges.retire(exchange).is_some() {
            self.timers.clear(Timer::Head(exchange));
            self.timers.set(Timer::Linger(exchange), self.now + LINGER);
        }
    }

    /// Sends a request, for the first time or again, under a fresh id.
    pub(crate) fn post_request(&mut self, key: RequestKey) {
        let Some(body) = self.begin_sending(key) else { return };
        self.requests.is_in(key, self.epoch, self.is_translated());
        let Some(sent_at) = self.requests.first_sent(key, self.now) else { return };
        let exchange = if self.is_translated() {
            let Some(outbound) = self.translate_request(key, body) else { return };
            let url = self.post_url();
            self.start(Role::Post(key), Method::Post, &url, outbound.body.into_bytes(), &outbound.headers)
        } else {
            self.post(Role::Post(key), body.into_bytes())
        };
        self.requests.is_sent(key, exchange);
        if self.requests.get(&key).is_some_and(|request| request.origin == Origin::Client) {
            let end = (self.now + self.options.run_timeout).min(sent_at + self.options.run_limit);
            self.timers.set(Timer::Run(key), end);
        }
        if self.session.as_ref().is_some_and(|session| session.transport == Transport::HttpSse) {
            self.timers.set(Timer::Head(exchange), self.now + self.options.response_timeout);
        }
    }

    /// Gives a request a fresh id on the wire, and the text to send. Its hold clock stops.
    pub(crate) fn begin_sending(&mut self, key: RequestKey) -> Option<String> {
        let wire = self.new_wire_id();
        let request = self.requests.get(&key)?;
        let body = json::splice(&request.text, request.id_at.clone(), &wire.to_string());
        let hold_left = self.timers.next_of(Timer::Hold(key)).map(|end| end - self.now);
        self.requests.begins(key, wire, hold_left);
        self.timers.clear(Timer::Hold(key));
        Some(body)
    }

    /// Sends a request whose POST was redirected, and so not taken. Its clocks go on.
    pub(crate) fn post_request_again(&mut self, key: RequestKey) {
        let run = self.timers.next_of(Timer::Run(key));
        self.post_request(key);
        if let Some(run) = run {
            self.timers.set(Timer::Run(key), run);
        }
    }

    /// Something ended without an answer for this request.
    pub(crate) fn settle(&mut self, key: RequestKey, end: End) {
        let Some(request) = self.requests.get(&key) else { return };
        if request.origin != Origin::Client {
            let origin = request.origin;
            self.own_request_ended(key, origin, OwnEnd::Failed(&end));
            return;
        }
        let facts = Facts {
            safe: request.safe,
            cancelled: request.cancelled,
            replays: request.replays,
            losses: request.losses,
            turned_away: request.turned_away,
            rejections: request.rejections,
            can_refresh: self.options.can_refresh_credentials,
        };
        let method = request.method.clone();
        let in_session = self.session.is(request.epoch);
        if end.evidence == Evidence::NotSent {
            self.requests.did_not_leave(key);
        }
        let action = decide(end.evidence, facts);
        if matches!(action, Action::AnswerUnstable | Action::AnswerUnauthorized | Action::AnswerRefused) {
            // This sending of it did not run, so that it changed nothing.
            self.settings.dropped(key, in_session && facts.replays > 0);
        }
        match action {
            Action::Drop => {
                self.forget(key);
            }
            Action::Hold => {
                if end.evidence == Evidence::NotTaken {
                    self.requests.was_turned_away(key);
                }
                self.hold(key);
            }
            Action::NewSession => {
                self.requests.lost_its_session(key);
                self.hold(key);
            }
            Action::AwaitCredentials => {
                self.requests.was_rejected(key);
                self.hold(key);
            }
            Action::Wait { .. } => self.hold(key),
            Action::Replay => {
                let may_be_answered = in_session && self.is_event_stream_open();
                self.requests.is_replayed(key, end.accepted, may_be_answered, self.options.hold_timeout);
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

    /// Stops the clocks of a request that was sent.
    fn clear_sent_timers(&mut self, key: RequestKey) {
        for timer in
            [Timer::Run(key), Timer::OldSession(key), Timer::Grace(key), Timer::Resume(key), Timer::Reopen(key)]
        {
            self.timers.clear(timer);
        }
    }

    /// Back to the queue of the versions without sessions, in its place.
    fn hold_modern(&mut self, key: RequestKey) {
        self.timers.clear(Timer::Listen(key));
        self.modern.enqueue(key);
        if self.requests.get(&key).is_some_and(Request::is_acknowledged_listen) {
            self.timers.clear(Timer::Hold(key));
        }
        if *self.modern.link() == Link::Waiting {
            self.modern_attempt_sooner();
        }
    }

    /// Back to the queue, in its place.
    pub(crate) fn hold(&mut self, key: RequestKey) {
        let Some(left) = self.requests.is_held(key) else { return };
        let modern = self.requests.get(&key).is_some_and(Request::is_modern);
        self.clear_sent_timers(key);
        self.start_hold(key, left);
        if modern {
            return self.hold_modern(key);
        }
        self.requeue(Queued::request(key));
        // Some links are not waited for.
        match self.connection.state().clone() {
            ConnectionState::Idle => {
                let text = "The contact with the server failed for good reason; this request was not sent.";
                self.answer_error(key, errors::UNAVAILABLE, text, None);
            }
            ConnectionState::Credentials(challenge) if !self.timers.is_set(Timer::Credentials) => {
                self.answer_unauthorized(key, challenge.status, &challenge.text);
            }
            // The next attempt may have been planned for nobody.
            ConnectionState::Waiting => self.attempt_sooner(),
            _ => {}
        }
    }

    pub(crate) fn on_hold_over(&mut self, key: RequestKey) {
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
        if request.origin != Origin::Client {
            let origin = request.origin;
            return self.own_request_ended(key, origin, OwnEnd::Late);
        }
        if let RequestState::Verifying(answer) = &request.state {
            let answer = answer.clone();
            return self.answer_stands(key, answer);
        }
        if self.modern_refusal_stands(key) {
            return;
        }
        let Some(request) = self.requests.get(&key) else { return };
        if matches!(request.state, RequestState::Resuming | RequestState::Resumed(_)) {
            let reason = alloc::format!(
                "its stream broke, and {} could not be reached for {}",
                self.server_name(),
                seconds(self.options.hold_timeout)
            );
            if let Some(exchange) = self.exchange_of(key) {
                self.cancel(exchange);
            }
            return self.settle(key, End { evidence: Evidence::Unknown, accepted: true, reason, refusal: None });
        }
        let (method, initialize) = (request.method.clone(), request.state == RequestState::Handshake);
        // The promise of a list is over: it waits like any other request.
        let more = self.requests.promise_is_over(key);
        if !more.is_zero() {
            return self.timers.set(Timer::Hold(key), self.now + more);
        }
        let last = if self.last_error.is_empty() { String::new() } else { alloc::format!(" ({})", self.last_error) };
        let (server, time) = (self.server_name(), seconds(self.options.hold_timeout));
        let text = if initialize {
            alloc::format!(
                "initialize came to nothing: {server} could not be used for {time}{last}. It can be tried again."
            )
        } else {
            alloc::format!(
                "{method} was not sent: {server} could not be used for {time}{last}. It did not run; it can be tried again."
            )
        };
        self.answer_error(key, errors::UNAVAILABLE, &text, None);
        if initialize {
            self.give_up_first_contact();
        }
    }

    pub(crate) fn on_run_over(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        if request.origin != Origin::Client {
            let origin = request.origin;
            return self.own_request_ended(key, origin, OwnEnd::Late);
        }
        let (method, wire, epoch, exchange) =
            (request.method.clone(), request.wire_id, request.epoch, request.exchange());
        // Without a session the end of the exchange tells.
        let mut told = request.is_modern() || self.translates(key);
        if !request.cancelled && !told {
            told = self.can_tell(epoch);
            let text = alloc::format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{wire},"reason":"timed out"}}}}"#
            );
            self.send_aside(Aside { epoch, text, reply: false });
        }
        let text = alloc::format!(
            "{method} was not answered in time (option run-timeout: {} without progress); {}. It may or may not have run.",
            seconds(self.options.run_timeout),
            if told { "the server was told to cancel it" } else { "the server could not be told to cancel it" },
        );
        self.answer_error(key, errors::TIMED_OUT, &text, None);
        if let Some(exchange) = exchange {
            self.cancel(exchange);
        }
    }

    /// HTTP+SSE: the stream that was to bring this request's answer is lost.
    pub(crate) fn stream_lost_under(&mut self, key: RequestKey, reason: &str) {
        let Some(request) = self.requests.get(&key) else { return };
        match request.state {
            // The status that proves that it was not taken may be milliseconds behind the stream's end.
            // And the body that may hold the answer may be under way.
            RequestState::Sent(_) | RequestState::Accepted(Some(_)) => {
                self.timers.set(Timer::Grace(key), self.now + GRACE);
            }
            RequestState::Accepted(_) | RequestState::Verifying(_) | RequestState::PostLost => {
                let accepted = request.state != RequestState::PostLost;
                let reason = reason.to_string();
                self.settle(key, End { evidence: Evidence::Unknown, accepted, reason, refusal: None });
            }
            _ => {}
        }
    }

    /// HTTP+SSE: whether the stream of the session is there, on which answers come.
    fn is_event_stream_open(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.transport == Transport::HttpSse)
            && self.session_may_survive()
    }

    /// HTTP+SSE: the session's stream is gone, and with it the answers to what was sent before and sent again.
    pub(crate) fn forget_earlier_sendings(&mut self) {
        self.requests.forget_earlier_sendings();
    }

    /// HTTP+SSE: a POST broke off, but its answer may still come on the event stream, if that lives. False if it is not
    /// awaited: what is safe is better sent again, whichever answer comes first.
    pub(crate) fn await_on_stream(&mut self, key: RequestKey) -> bool {
        let session = self.session.as_ref().filter(|session| session.transport == Transport::HttpSse);
        let Some(epoch) = session.map(|session| session.epoch).filter(|_| self.session_may_survive()) else {
            return false;
        };
        let Some(request) = self.requests.get(&key) else { return false };
        let replayed = request.safe && request.replays == 0;
        if request.origin != Origin::Client || request.epoch != epoch || request.cancelled || replayed {
            return false;
        }
        self.requests.post_is_lost(key);
        self.timers.set(Timer::Grace(key), self.now + GRACE);
        true
    }

    pub(crate) fn on_grace_over(&mut self, key: RequestKey) {
        let state = self.requests.get(&key).map(|request| request.state.clone());
        let accepted = matches!(state, Some(RequestState::Accepted(_)));
        let reason = match state {
            Some(RequestState::PostLost) => "its connection broke, and no answer came on the event stream",
            _ => "the event stream was lost while the request was being sent",
        };
        if let Some(exchange) = self.exchange_of(key) {
            self.cancel(exchange);
        }
        let reason = reason.to_string();
        self.settle(key, End { evidence: Evidence::Unknown, accepted, reason, refusal: None });
    }

    /// The session of a request with an open POST is over. Its answer still counts, but only a sign of life keeps the POST: a
    /// forwarder may hold the connection of a server that is gone for good.
    pub(crate) fn limit_the_silence(&mut self, key: RequestKey) {
        if !self.options.old_session_timeout.is_zero() && self.exchange_of(key).is_some() {
            self.timers.set(Timer::OldSession(key), self.now + self.options.old_session_timeout);
        }
    }

    pub(crate) fn on_old_session_silent(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        let accepted = !matches!(request.state, RequestState::Sent(_));
        if let Some(exchange) = request.exchange() {
            self.cancel(exchange);
        }
        let reason = alloc::format!(
            "its session was replaced, and nothing came on its connection for {} (option old-session-timeout)",
            seconds(self.options.old_session_timeout)
        );
        self.settle(key, End { evidence: Evidence::Unknown, accepted, reason, refusal: None });
    }

    /// A message came for the request, so that its clock starts anew.
    pub(crate) fn on_request_progress(&mut self, key: RequestKey) {
        let request = self.requests.get(&key).filter(|request| request.origin == Origin::Client);
        // A cancelled one is remembered for a while, and no longer.
        let Some(request) = request.filter(|request| !request.cancelled) else { return };
        let post_lost = request.state == RequestState::PostLost;
        self.requests.brought_something(key);
        if post_lost {
            self.requests.is_accepted(key, None);
            self.timers.clear(Timer::Grace(key));
        }
        let Some(request) = self.requests.get(&key) else { return };
        if let (Some(sent_at), RequestState::Sent(_) | RequestState::Accepted(_) | RequestState::Resumed(_)) =
            (request.sent_at, &request.state)
        {
            let end = (self.now + self.options.run_timeout).min(sent_at + self.options.run_limit);
            self.timers.set(Timer::Run(key), end);
        }
    }

    /// A response with this request's id on the wire. `id_at` is where that id stands in `text`.
    pub(crate) fn on_answer(
        &mut self,
        key: RequestKey,
        text: String,
        id_at: Option<Range<usize>>,
        error: Option<(i64, String)>,
    ) {
        let (mut text, Some(mut id_at)) = (text, id_at) else { return };
        if self.translates(key) && self.on_translated_answer(key, &mut text, &mut id_at) {
            return;
        }
        let Some(request) = self.requests.get(&key) else { return };
        if request.origin != Origin::Client {
            let origin = request.origin;
            return self.own_request_ended(key, origin, OwnEnd::Answered(error));
        }
        text.replace_range(id_at, request.client_id());
        let (epoch, brought) = (request.epoch, request.brought);
        let current = self.session.is(epoch);
        match error {
            // The server speaks no version with sessions any more.
            Some((era::UNSUPPORTED_VERSION, message)) if !brought && current && !self.translates(key) => {
                self.answered_lost(key, &message);
            }
            Some((_, message)) if !brought && !current && self.verification.was_lost_with(epoch, &message) => {
                self.answered_lost(key, &message);
            }
            Some((code, message)) if !brought && current && self.must_verify(Some(&(code, message.clone()))) => {
                self.verify(key, UnverifiedAnswer::Response { text, code, message });
            }
            error => self.deliver(key, text, error.is_none()),
        }
    }

    /// The answer to a request is that its session is gone, in words that no application uses.
    pub(crate) fn answered_lost(&mut self, key: RequestKey, message: &str) {
        let Some(request) = self.requests.get(&key) else { return };
        let current = self.session.is(request.epoch);
        let reason = alloc::format!("the server answered \"{}\"", clip(message));
        if let Some(exchange) = request.exchange() {
            self.retire(exchange);
        }
        let end = End { evidence: Evidence::SessionLost, accepted: false, reason: reason.clone(), refusal: None };
        self.settle(key, end);
        if current {
            self.then(Consequence::Recover(ConnectionError::SessionLost(reason)));
        }
    }

    /// Hands an answer to the client.
    pub(crate) fn deliver(&mut self, key: RequestKey, text: String, success: bool) {
        let Some(request) = self.requests.get(&key) else { return };
        let in_session = self.session.is(request.epoch);
        if !success && in_session && request.replays > 0 {
            // An earlier sending may have run.
            self.settings.in_doubt(key);
        }
        self.settings.answered(key, success, !request.cancelled, in_session);
        let Some(request) = self.forget(key) else { return };
        if self.session.progressed(request.epoch) {
            self.probes.client_was_answered(true);
            self.attempts.succeeded();
            self.credentials.accepted();
            self.told_without_progress = false;
        }
        self.learn(&request, &text, success);
        if !request.cancelled {
            self.emit_message(text);
        }
        // What an old session answered may be outdated, though the client was told of the new one.
        if !in_session && !request.is_modern() && core::mem::take(&mut self.told_without_progress) {
            self.client.lists_changed = true;
        }
        // It was put off while nothing came of the sessions.
        if !request.is_modern() && self.connection.is_ready() {
            self.tell_lists_changed();
        }
    }

    fn learn(&mut self, request: &Request, text: &str, success: bool) {
        if request.learn == Learn::Nothing && request.task == TaskPart::None {
            return;
        }
        let Ok(json::Parsed::One(json::Envelope { result, .. })) = json::parse(text) else { return };
        let result = result.filter(|_| success).map(|result| result.get());
        let token = request.progress_token.as_deref().filter(|_| !request.cancelled);
        self.progress_tokens.server_answered(&request.task, token, result, self.now);
        let (Learn::List { annotations }, Some(result)) = (&request.learn, result) else { return };
        if *annotations {
            self.tool_hints.learn_tools(result);
        }
        if let Some(cursor) = json::next_cursor(result) {
            let page = Page { method: request.method.clone(), cursor: spelling::canonical(cursor) };
            self.cursors.given(page, request.epoch);
        }
    }

    /// Stops an exchange.
    pub(crate) fn cancel(&mut self, exchange: ExchangeId) {
        if self.exchanges.remove(exchange).is_some() {
            self.timers.clear(Timer::Head(exchange));
            self.timers.clear(Timer::Linger(exchange));
            self.outputs.push_back(Output::Cancel(exchange));
        }
    }

    pub(crate) fn handshake_requests(&self) -> Vec<RequestKey> {
        self.requests
            .iter()
            .filter(|(_, request)| request.state == RequestState::Handshake)
            .map(|(key, _)| *key)
            .collect()
    }

    pub(crate) fn is_provisional(&self) -> bool {
        self.client.answered.as_ref().is_some_and(|answered| answered.provisional)
    }

    /// A list that a provisional result promised and the real server does not have.
    pub(crate) fn promised_empty_list(&self, method: &str) -> Option<&'static str> {
        let session = self.session.as_ref()?;
        if !self.client.promised {
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

    pub(crate) fn log_dropped(&mut self, what: &str, why: &str) {
        self.log(Level::Warn, alloc::format!("{what} was dropped: {why}"));
    }
}

/// A server's text, short enough for a sentence.
pub(crate) fn clip(text: &str) -> String {
    crate::text::visible(text, 120)
}
