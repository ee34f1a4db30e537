//! The connection to the server, and the one way back to it: whatever went wrong, [`Engine::recover`] or
//! [`Engine::attempt_failed`] decides when the next attempt is made, and [`Engine::attempt`] makes it: a ping where the
//! session may have survived, a new handshake where it has not.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::connection_error::ConnectionError;
use super::settle::End;
use crate::api::errors;
use crate::api::time::SECOND;
use crate::engine::state::connection::{Challenge, ConnectionState};
use crate::engine::state::consequences::Consequence;
use crate::engine::state::exchanges::Role;
use crate::engine::state::handshake::{Handshake, Step};
use crate::engine::state::requests::{Origin, RequestKey, RequestState};
use crate::engine::state::timers::Timer;
use crate::engine::{Engine, seconds};
use crate::policy::backoff;
use crate::policy::proxy;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::{Event, ExchangeId, Level, Transport};

/// How long the DELETE before a new session may take.
const DELETE_TIME: Duration = SECOND;

impl Engine {
    /// What is dealt with now means this for the connection.
    pub(crate) fn then(&mut self, consequence: Consequence) {
        self.consequences.add(consequence);
    }

    /// Acts on what an event meant for the connection, when it is dealt with.
    pub(crate) fn act(&mut self) {
        while let Some(consequence) = self.consequences.next() {
            match consequence {
                Consequence::Recover(cause) => self.recover(cause),
                Consequence::AttemptFailed(cause) => self.attempt_failed(cause),
                Consequence::StreamLost(reason) => self.stream_lost(reason),
                Consequence::Unanswered { probing, reason } => self.ping_unanswered(probing, reason),
                Consequence::Unresponsive(reason) => self.unresponsive(reason),
                Consequence::InitializeAgain => self.initialize_again(),
                Consequence::Pause { retry_after, reason } => self.pause(retry_after, reason),
                Consequence::Limited { probing, retry_after, reason } => {
                    self.own_was_limited(probing, retry_after, reason);
                }
                Consequence::Unauthorized(refusal) => self.on_unauthorized(&refusal),
                Consequence::Probe => self.probe_soon(),
                Consequence::Ping => self.ping_soon(),
                Consequence::Verify(reason) => self.verify_session(reason),
                Consequence::Alive => self.alive(),
                Consequence::Settle(key, ended) => self.settle(key, ended.end()),
                Consequence::SettleAccepted(key, ended) => {
                    if self.requests.get(&key).is_some_and(|request| request.state == RequestState::Accepted(None)) {
                        self.settle(key, ended.end());
                    }
                }
                Consequence::BrokeOff { key, clean, reason } => self.response_broke_off(key, clean, &reason),
            }
        }
    }

    /// Something went wrong in the current session.
    pub(crate) fn recover(&mut self, cause: ConnectionError) {
        self.liveness.doubt();
        let lost = matches!(cause, ConnectionError::SessionLost(_));
        match self.connection.state() {
            ConnectionState::Ready | ConnectionState::AwaitInitialized => {}
            ConnectionState::Probing(_) if lost => {}
            // Another session is being made while this one is kept: it need not be kept any more.
            ConnectionState::Handshake(_) if lost && self.has_session() => {
                let reason = cause.reason();
                self.disconnected(&reason);
                return self.end_session(&reason);
            }
            // The way back is under way already.
            _ => return,
        }
        let reason = cause.reason();
        self.last_error = reason.clone();
        if self.closing {
            self.finish_close();
            return;
        }
        if matches!(cause, ConnectionError::Broken(_)) && self.session_may_survive() {
            if self.probes.are_left_to_client() {
                // Nothing but an `initialize` can tell, and not too many of them.
                if self.is_out_of_patience(SECOND) {
                    self.initialize_again();
                }
            } else if self.someone_waits() {
                self.probe();
            } else {
                let delay = self.next_delay(None);
                self.wait(delay);
            }
            return;
        }
        self.disconnected(&reason);
        if lost || !self.session_may_survive() {
            self.end_session(&reason);
        }
        // A server that says that the session is gone is there; but one that says so again and again is not asked
        // without pause.
        if lost && self.attempts.session_was_lost() {
            self.attempts.failed();
            self.tell_attempt(Duration::ZERO, reason);
            self.connection.change(ConnectionState::Waiting);
            self.attempt();
        } else {
            self.schedule(&cause);
        }
    }

    /// The stream of HTTP+SSE ended, and with it the session.
    fn stream_lost(&mut self, reason: String) {
        match self.connection.state() {
            ConnectionState::Probing(_) => self.recover(ConnectionError::SessionLost(reason)),
            // The next attempt has its time already; but the session ends now.
            ConnectionState::Waiting
            | ConnectionState::Headers
            | ConnectionState::Credentials(_)
            | ConnectionState::Handshake(_) => {
                self.disconnected(&reason);
                self.end_session(&reason);
            }
            _ => self.recover(ConnectionError::Broken(reason)),
        }
    }

    /// Whether the server may still know the session.
    pub(crate) fn session_may_survive(&self) -> bool {
        let Some(session) = self.session.as_ref() else { return false };
        match session.transport {
            Transport::StreamableHttp => session.id.is_some(),
            Transport::HttpSse => self
                .exchanges
                .values()
                .any(|exchange| exchange.role == Role::Stream && exchange.context.epoch == session.epoch),
        }
    }

    /// The server takes messages and answers none of them: the session is given up.
    pub(crate) fn unresponsive(&mut self, reason: String) {
        if !(self.connection.is_ready() || self.connection.is_probing()) {
            return;
        }
        self.last_error = reason.clone();
        if self.closing {
            self.finish_close();
            return;
        }
        self.disconnected(&reason);
        let out: Vec<_> = self
            .requests
            .of_client()
            .filter(|(_, request)| request.is_out() && request.epoch == self.epoch)
            .map(|(key, request)| (*key, matches!(request.state, RequestState::Sent(_) | RequestState::PostLost)))
            .collect();
        // The session ends first, so that what is said of its requests is true.
        let delete = self.delete_session();
        self.end_session(&reason);
        for (key, unacknowledged) in out {
            if let Some(exchange) = self.exchange_of(key) {
                self.cancel(exchange);
            }
            let reason = reason.clone();
            self.settle(key, End { evidence: Evidence::Unknown, accepted: !unacknowledged, reason, refusal: None });
        }
        self.attempts.failed();
        self.tell_attempt(Duration::ZERO, reason);
        self.begin_after(delete);
    }

    /// Makes a new session, once the server has heard of the end of the old one or has had the time to.
    fn begin_after(&mut self, delete: Option<ExchangeId>) {
        match delete {
            Some(_) => {
                self.handshake_is(Handshake::after_delete());
                self.timers.set(Timer::Delete, self.now + DELETE_TIME);
            }
            None => {
                self.connection.change(ConnectionState::Waiting);
                self.attempt();
            }
        }
    }

    /// This request of the engine's own finds out whether the session lives.
    pub(crate) fn probes_with(&mut self, key: RequestKey) {
        self.connection.change(ConnectionState::Probing(key));
    }

    /// Messages may flow in the session.
    pub(crate) fn session_is_ready(&mut self) {
        self.connection.change(ConnectionState::Ready);
    }

    /// The session waits for the client's `initialized`.
    pub(crate) fn session_awaits_client(&mut self) {
        self.connection.change(ConnectionState::AwaitInitialized);
    }

    /// The server wants other credentials, and gets no attempt without them for a while.
    pub(crate) fn lacks_credentials(&mut self, challenge: Challenge) {
        self.connection.change(ConnectionState::Credentials(challenge));
    }

    /// An engine takes the place of one that failed: its first attempt is made at once.
    pub(crate) fn begin_again(&mut self) {
        self.connection.change(ConnectionState::Waiting);
        self.timers.set(Timer::Attempt, self.now);
    }

    /// An attempt came to nothing.
    pub(crate) fn attempt_failed(&mut self, cause: ConnectionError) {
        match self.connection.state() {
            ConnectionState::Handshake(_) | ConnectionState::AwaitInitialized => {
                self.cancel_session_exchanges(self.epoch_being_made());
            }
            &ConnectionState::Probing(ping) => {
                let exchange = self.exchange_of(ping);
                self.forget(ping);
                if let Some(exchange) = exchange {
                    self.cancel(exchange);
                }
            }
            _ => return,
        }
        self.timers.clear(Timer::Endpoint);
        self.inbox.clear_early();
        let reason = cause.reason();
        self.last_error = reason.clone();
        if self.closing {
            self.finish_close();
            return;
        }
        if self.connection.is_unready() {
            self.handshake_failed(&cause, &reason);
        }
        if let ConnectionError::Refused(refusal) = &cause
            && matches!(refusal.status, 401 | 403)
            && !proxy::has_no_server(refusal)
        {
            // It was made to verify what a request was answered: that is the answer, and others may still be granted.
            if !self.outage.is_on() && self.verifies_rejections() {
                self.connection.change(ConnectionState::Ready);
                self.answers_stand();
                self.arm_heartbeat();
                return;
            }
            let challenge = Challenge { status: refusal.status, text: refusal.challenge.clone() };
            return self.await_credentials(challenge);
        }
        if self.client.answered.is_none() && !cause.will_pass() {
            return self.fail_first_contact(&cause);
        }
        self.disconnected(&reason);
        if self.attempts.are_exhausted(self.options.max_attempts) || matches!(cause, ConnectionError::Incompatible(_)) {
            self.fail_held(&reason);
        }
        if self.attempts.sessions_are_refused() {
            self.fail_unstable();
        }
        self.schedule(&cause);
    }

    /// What a handshake that came to nothing leaves behind.
    fn handshake_failed(&mut self, cause: &ConnectionError, reason: &str) {
        let refused = matches!(cause, ConnectionError::Refused(refusal) if !proxy::nobody_took_it(refusal, true));
        self.delete_unready(Some(cause));
        if self.has_session() {
            // The session of before was kept. That no other can be had says that it lives; that the server is away says nothing.
            let away = matches!(cause, ConnectionError::Unreachable(_) | ConnectionError::Broken(_));
            let unauthorized =
                matches!(cause, ConnectionError::Refused(refusal) if matches!(refusal.status, 401 | 403));
            if !(away || unauthorized && !self.outage.is_on() && self.verifies_rejections()) {
                self.answers_stand();
            }
        } else if matches!(cause, ConnectionError::Unreachable(_)) && self.session_may_survive() {
            // Nothing was sent in it: it is as good as before. What was refused before was refused by a server that went away.
            self.attempts.new_session_was_not_refused();
        } else if self.session.is_some() {
            // It broke after its result: the session is of no use, to the server either.
            self.attempts.new_session_failed(refused);
            self.end_session(reason);
        }
    }

    /// Sessions are granted and at once not known: the requests that wait for one are told.
    fn fail_unstable(&mut self) {
        let text = alloc::format!(
            "{} grants sessions and does not know them in the next request: a load balancer before several servers needs \
             session affinity.",
            self.server_name()
        );
        self.log(Level::Warn, text.clone());
        for key in self.waiting_requests() {
            let method = self.requests.get(&key).map_or_else(String::new, |request| request.method.clone());
            let text = if method == "initialize" {
                alloc::format!("initialize came to nothing: {text}")
            } else {
                alloc::format!("{method} was not sent; it did not run. {text}")
            };
            self.answer_error(key, errors::SESSION_UNSTABLE, &text, None);
        }
    }

    /// Makes another session; the one there is stays until that stands.
    pub(crate) fn initialize_again(&mut self) {
        if self.closing {
            return self.finish_close();
        }
        // One is under way.
        if matches!(self.connection.state(), ConnectionState::Handshake(_) | ConnectionState::Headers) {
            return;
        }
        self.pings.forgive_refusals();
        self.attempts.initialize_next();
        self.attempt();
    }

    /// Sets the time of the next attempt and tells the client.
    fn schedule(&mut self, cause: &ConnectionError) {
        if let ConnectionError::Refused(Refusal { retry_after: Some(rest), .. }) = cause {
            self.server_asks_for_pause(*rest);
        }
        let delay = match cause {
            ConnectionError::Refused(refusal) => {
                let passes = matches!(refusal.status, 404 | 429 | 500..) || proxy::nobody_took_it(refusal, true);
                self.next_delay(Some(!passes))
            }
            ConnectionError::Proxied(_) => self.next_delay(Some(false)),
            ConnectionError::Unusable(_) => self.next_delay(Some(true)),
            _ => self.next_delay(None),
        };
        self.attempts.failed();
        self.tell_attempt(delay, cause.reason());
        self.wait(delay);
    }

    fn tell_attempt(&mut self, delay: Duration, reason: String) {
        if self.outage.tells(self.now) {
            let attempt = self.attempts.in_vain();
            self.emit(Event::Reconnecting { attempt, delay, reason });
        }
    }

    pub(crate) fn wait(&mut self, delay: Duration) {
        self.connection.change(ConnectionState::Waiting);
        self.timers.set(Timer::Attempt, self.now + delay);
        // Meanwhile, so that the attempt need not wait for them.
        if self.outage.is_on() {
            self.ask_for_headers();
        }
    }

    /// `refused`: the last attempt was answered, with nothing of use; and whether that is likely to last (a proxy whose server is
    /// away is not).
    pub(crate) fn next_delay(&mut self, refused: Option<bool>) -> Duration {
        let (base, cap) = (self.options.backoff_base, self.options.backoff_cap);
        let delay = match (self.someone_waits(), refused) {
            (false, _) => backoff::idle_delay(&mut self.rng, self.attempts.in_vain(), base, cap),
            (true, Some(lasting)) => {
                let down_for = if lasting { self.outage.lasts(self.now) } else { Duration::ZERO };
                backoff::refused_delay(&mut self.rng, self.attempts.in_vain(), base, down_for, cap)
            }
            (true, None) => self.waiting_delay(),
        };
        delay.max(self.attempts.pause(self.now))
    }

    /// The delay between attempts while a request waits. It grows with the outage, and with sessions that nothing comes of:
    /// behind a balancer without stickiness every handshake succeeds.
    fn waiting_delay(&mut self) -> Duration {
        let down_for = self.outage.lasts(self.now);
        let remote = !self.url.is_loopback();
        backoff::waiting_delay(&mut self.rng, down_for, remote, self.attempts.unproductive(), self.options.backoff_cap)
    }

    /// Somebody has begun to wait: the next attempt is made as for those who wait.
    pub(crate) fn attempt_sooner(&mut self) {
        let delay = self.waiting_delay();
        let soon = self.attempts.after(self.attempts.last(), delay, self.now);
        if self.connection.is_waiting() {
            let planned = self.timers.next_of(Timer::Attempt).unwrap_or(soon);
            self.timers.set(Timer::Attempt, planned.min(soon));
        }
    }

    pub(crate) fn someone_waits(&self) -> bool {
        self.requests.values().any(|request| {
            request.origin == Origin::Client
                && !request.is_modern()
                && matches!(
                    request.state,
                    RequestState::Held | RequestState::Handshake | RequestState::Resuming | RequestState::Verifying(_)
                )
        })
    }

    /// Makes an attempt now.
    pub(crate) fn attempt(&mut self) {
        self.timers.clear(Timer::Attempt);
        self.attempts.made(self.now);
        // They were rejected a while ago; perhaps somebody has logged in since.
        if self.connection.challenge().is_some() && self.ask_for_headers() {
            self.connection.change(ConnectionState::Headers);
            return;
        }
        let to_be_initialized = self.session.as_ref().is_some_and(|session| !session.initialized);
        if to_be_initialized && self.client.initialized {
            self.send_initialized();
        } else if self.session.is_some() && !self.attempts.next_initializes() {
            self.probe();
        } else {
            self.begin_handshake();
        }
    }

    /// A new session, because the host or the client wants one.
    pub(crate) fn on_reconnect(&mut self) {
        if self.modern.meta().is_some() && !self.closing {
            self.let_go_of_listens("a new connection was asked for");
            self.check_modern_link();
        }
        if self.client.initialize.is_none() || self.closing {
            return;
        }
        let reason = "a new session was asked for".to_string();
        if self.connection.handshake().is_some() {
            self.cancel_session_exchanges(self.epoch_being_made());
        }
        self.timers.clear(Timer::Endpoint);
        self.timers.clear(Timer::Attempt);
        let mut delete = None;
        if self.session.is_some() {
            if !self.outage.is_on() || self.connection.is_unready() {
                delete = self.delete_session();
            }
            self.disconnected(&reason);
            self.end_session(&reason);
        } else {
            self.delete_unready(None);
        }
        self.begin_after(delete);
    }

    /// The DELETE of the old session is answered, or has had its time.
    pub(crate) fn on_delete_over(&mut self) {
        self.timers.clear(Timer::Delete);
        match self.connection.state() {
            ConnectionState::Closing => self.closed(),
            ConnectionState::Handshake(handshake) if handshake.step() == Step::Delete => self.begin_handshake(),
            _ => {}
        }
    }

    /// Tells the client that the connection is lost, once.
    pub(crate) fn disconnected(&mut self, reason: &str) {
        if !self.outage.begin(self.now) {
            return;
        }
        self.modern_follows(false, reason);
        self.let_go_of_own_listen();
        if let Some(session) = self.session.as_ref() {
            // The client never heard of one that was not ready yet.
            let (epoch, known) = (session.epoch, session.initialized);
            if known {
                self.emit(Event::Disconnected { epoch, reason: reason.to_string() });
            }
            self.headers_are_stale();
            self.ask_for_headers();
        }
    }

    /// Forgets the session, and settles what depended on it.
    pub(crate) fn end_session(&mut self, reason: &str) {
        let verified_loss = self.verification.takes_found_lost();
        let Some(session) = self.session.take() else { return };
        self.cookies.end(session.epoch);
        self.probes.session_over();
        self.attempts.session_over(session.progress);
        self.cancel_session_exchanges(session.epoch);
        for timer in [Timer::Heartbeat, Timer::Standalone, Timer::OwnListen, Timer::Notify] {
            self.timers.clear(timer);
        }
        self.notifications.need_not_wait();
        self.asides.clear();
        self.forget_earlier_sendings();
        self.progress_tokens.end_session();
        // The server's questions died with it. A late answer must not reach a question of the next session.
        for id in self.inbox.session_over(session.epoch) {
            self.emit_message(alloc::format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the server's session ended"}}}}"#
            ));
        }
        let own: Vec<_> =
            self.requests.iter().filter(|(_, request)| request.origin != Origin::Client).map(|(key, _)| *key).collect();
        for key in own {
            let exchange = self.exchange_of(key);
            self.forget(key);
            if let Some(exchange) = exchange {
                self.cancel(exchange);
            }
        }
        let keys: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, request)| request.is_out() && request.epoch == session.epoch)
            .map(|(key, request)| (*key, request.state.clone()))
            .map(|(key, state)| {
                let lost = matches!(&state, RequestState::Verifying(answer) if verified_loss && self.answer_meant_loss(key, answer));
                (key, state, lost)
            })
            .collect();
        self.verification.session_over();
        for (key, state, lost) in keys {
            let end = |evidence, accepted| End { evidence, accepted, reason: reason.to_string(), refusal: None };
            match state {
                RequestState::Verifying(answer) if lost => {
                    self.verification.meant_loss(session.epoch, answer.said());
                    self.settle(key, end(Evidence::SessionLost, false));
                }
                RequestState::Verifying(answer) => self.answer_stands(key, answer),
                _ if session.transport == Transport::HttpSse => self.stream_lost_under(key, reason),
                RequestState::Resuming | RequestState::Resumed(_) | RequestState::Accepted(None) => {
                    self.settle(key, end(Evidence::Unknown, true));
                }
                // Open POSTs of the old session still count, for as long as there is a sign of life in them.
                _ => self.limit_the_silence(key),
            }
        }
    }

    /// The server asks for a pause (429, 503 with `Retry-After`). The session is kept.
    pub(crate) fn pause(&mut self, retry_after: Option<Duration>, reason: String) {
        if !(self.connection.is_ready() || self.connection.is_probing()) {
            return;
        }
        let asked_for = retry_after.is_some();
        let rest = retry_after.unwrap_or_else(|| {
            let cap = self.options.backoff_cap;
            backoff::idle_delay(&mut self.rng, self.attempts.in_vain(), self.options.backoff_base, cap)
        });
        self.attempts.failed();
        self.last_error = reason.clone();
        if asked_for {
            self.server_asks_for_pause(rest);
        } else {
            self.attempts.not_before(self.now + rest);
        }
        self.log(Level::Info, alloc::format!("the server asks for a pause of {} ({reason})", seconds(rest)));
        self.wait(rest.max(backoff::FLOOR));
    }

    /// Requests that wait for a connection.
    pub(crate) fn waiting_requests(&self) -> Vec<RequestKey> {
        self.requests
            .of_client()
            .filter(|(_, request)| {
                !request.is_modern() && matches!(request.state, RequestState::Held | RequestState::Handshake)
            })
            .map(|(key, _)| *key)
            .collect()
    }

    fn fail_held(&mut self, reason: &str) {
        for key in self.waiting_requests() {
            let method = self.requests.get(&key).map_or_else(String::new, |request| request.method.clone());
            let (server, attempts) = (self.server_name(), self.attempts.in_vain());
            let text = if method == "initialize" {
                alloc::format!(
                    "initialize came to nothing: {server} could not be used after {attempts} attempts ({reason})."
                )
            } else {
                alloc::format!(
                    "{method} was not sent: {server} could not be used after {attempts} attempts ({reason}). It did not run."
                )
            };
            self.answer_error(key, errors::UNAVAILABLE, &text, None);
        }
    }

    /// The first contact failed in a way that will not pass by itself: the client is told, and may initialize again.
    fn fail_first_contact(&mut self, cause: &ConnectionError) {
        for key in self.waiting_requests() {
            let end = match cause {
                ConnectionError::Refused(refusal) => End {
                    evidence: Evidence::Refused,
                    accepted: false,
                    reason: if proxy::is_page(&refusal.body) && refusal.status == 200 {
                        alloc::format!(
                            "{}, where MCP was expected; check the URL, and whether a login or a proxy stands before \
                             the server",
                            refusal.describe()
                        )
                    } else {
                        refusal.describe()
                    },
                    refusal: Some(refusal),
                },
                other => End { evidence: Evidence::Refused, accepted: false, reason: other.reason(), refusal: None },
            };
            self.settle(key, end);
        }
        self.give_up_first_contact();
    }

    pub(crate) fn give_up_first_contact(&mut self) {
        self.cancel_session_exchanges(self.epoch_being_made());
        self.delete_unready(None);
        self.cookies.end(self.epoch_being_made());
        self.session.take();
        for timer in [Timer::Attempt, Timer::Start, Timer::Endpoint, Timer::Delete] {
            self.timers.clear(timer);
        }
        self.headers_are_stale();
        for key in self.waiting_requests() {
            let text = "The first contact with the server failed; this request was not sent.";
            self.answer_error(key, errors::UNAVAILABLE, text, None);
        }
        self.drop_notifications("the first contact with the server failed");
        self.client.initialize = None;
        self.outage.end();
        self.attempts.succeeded();
        self.attempts.need_not_initialize();
        self.connection.change(ConnectionState::Idle);
    }
}
