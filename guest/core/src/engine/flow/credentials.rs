//! 401 and 403: never a sign of a restart. The host is asked for fresh headers, once; without them the client is told.
//! A host that wants it is also asked before each new session.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::settle::End;
use crate::engine::Engine;
use crate::engine::state::connection::Challenge;
use crate::engine::state::exchanges::Role;
use crate::engine::state::requests::{Origin, RequestKey};
use crate::engine::state::timers::Timer;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::{Event, ExchangeId, Level};

/// Between attempts that the server has refused for their credentials, at least.
const CREDENTIALS_PAUSE: Duration = Duration::from_secs(10);

impl Engine {
    /// A message was rejected for its credentials.
    pub(crate) fn on_unauthorized(&mut self, refusal: &Refusal) {
        let challenge = Challenge { status: refusal.status, text: refusal.challenge.clone() };
        let probing = self.connection.is_probing();
        if !probing && !self.connection.is_ready() {
            return;
        }
        // A request that is rejected with fresh headers too fails alone: it may be the only one that they are not enough for.
        if probing || (self.options.can_refresh_credentials && !self.asked_lately()) {
            self.await_credentials(challenge);
        } else {
            self.emit(Event::CredentialsNeeded { status: challenge.status, challenge: challenge.text });
        }
    }

    pub(crate) fn await_credentials(&mut self, challenge: Challenge) {
        let status = challenge.status;
        self.emit(Event::CredentialsNeeded { status: challenge.status, challenge: challenge.text.clone() });
        self.lacks_credentials(challenge);
        self.attempts.failed();
        // Fresh headers are asked for once; if they are rejected too, that is said.
        if self.options.can_refresh_credentials && !self.asked_lately() {
            self.credentials.rejected(self.now);
            self.timers.set(Timer::Credentials, self.now + self.options.credentials_timeout);
            self.request_headers(status);
        } else {
            self.on_credentials_over();
        }
    }

    /// Asks the host for headers in the place of those that were rejected with this status.
    pub(crate) fn request_headers(&mut self, status: u16) {
        if self.credentials.ask() {
            self.emit(Event::HeadersNeeded { status: Some(status) });
        }
    }

    /// Whether fresh headers were asked for because the old ones were rejected, and the server has taken none since; for as long
    /// as they may be the same.
    pub(crate) fn asked_lately(&self) -> bool {
        self.credentials.were_rejected_lately(self.now)
    }

    /// Nobody brought other credentials: what waits for them fails, and the server is asked again now and then.
    pub(crate) fn on_credentials_over(&mut self) {
        self.timers.clear(Timer::Credentials);
        let Some(challenge) = self.connection.challenge().cloned() else { return };
        self.headers_are_stale();
        // A person may take hours; a client does not wait for so long.
        if let Some(sign_in) = self.credentials.sign_in()
            && self.client.answered.is_none()
            && !self.options.start_timeout.is_zero()
        {
            let command = sign_in.command.clone();
            self.promise_lists(&alloc::format!(
                "A person has to sign in to this server first, with the command: {command}. Its tools appear then."
            ));
        }
        for key in self.waiting_requests() {
            self.answer_unauthorized(key, challenge.status, &challenge.text);
        }
        if self.client.answered.is_none() {
            self.give_up_first_contact();
        } else {
            let delay = self.next_delay(None).max(CREDENTIALS_PAUSE);
            self.timers.set(Timer::Attempt, self.now + delay);
        }
    }

    /// A request came while credentials are missing: ask again, but not without pause.
    pub(crate) fn demand_credentials(&mut self, key: RequestKey) {
        let Some(challenge) = self.connection.challenge().cloned() else { return };
        if self.timers.is_set(Timer::Credentials) {
            return;
        }
        if self.now >= self.attempts.last() + CREDENTIALS_PAUSE {
            self.attempt();
        } else {
            self.answer_unauthorized(key, challenge.status, &challenge.text);
        }
    }

    pub(crate) fn on_headers(&mut self, headers: Vec<(String, String)>) {
        if let Err(error) = Self::check_headers(&headers) {
            self.log(Level::Warn, alloc::format!("the new headers were not taken: {error}"));
            return;
        }
        self.options.headers = headers;
        self.credentials.given();
        self.settings.try_again();
        if self.session.stream_may_be_granted() {
            self.open_standalone();
        }
        self.headers_are_fresh();
    }

    /// A message was rejected for headers that have been replaced since: it is sent with the new ones. False: it is none that
    /// can be.
    pub(crate) fn try_new_headers(&mut self, exchange: ExchangeId, role: &Role) -> bool {
        match role {
            Role::Modern(key) | Role::Post(key)
                if self.requests.get(key).is_some_and(|request| request.origin == Origin::Client) =>
            {
                let reason = "its headers were replaced meanwhile".to_string();
                self.settle(*key, End { evidence: Evidence::NotSent, accepted: false, reason, refusal: None });
                true
            }
            Role::Notify(queued) if !self.closing => {
                self.notification_over(exchange);
                self.requeue_unsent(queued.clone());
                true
            }
            _ => false,
        }
    }

    /// The host did not say in time what it was asked for.
    pub(crate) fn on_headers_late(&mut self) {
        self.log(Level::Warn, "no fresh headers came in time for the new session: it is begun with the old ones");
        self.headers_are_fresh();
    }

    fn headers_are_fresh(&mut self) {
        self.timers.clear(Timer::Headers);
        self.credentials.are_fresh_at(self.now);
        self.modern_headers_came();
        if self.connection.awaits_headers() {
            self.timers.clear(Timer::Credentials);
            self.attempt();
        }
    }

    pub(crate) fn headers_are_stale(&mut self) {
        self.timers.clear(Timer::Headers);
        self.credentials.are_stale();
    }

    /// Asks for the headers of a new session, where the host gives them and there are no fresh ones. True: they are to be
    /// waited for.
    pub(crate) fn ask_for_headers(&mut self) -> bool {
        if self.options.connect_headers_timeout.is_zero() || self.closing || self.credentials.are_fresh(self.now) {
            return false;
        }
        if !self.timers.is_set(Timer::Headers) {
            self.timers.set(Timer::Headers, self.now + self.options.connect_headers_timeout);
        }
        if self.credentials.ask() {
            self.emit(Event::HeadersNeeded { status: None });
        }
        true
    }
}
