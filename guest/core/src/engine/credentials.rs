//! 401 and 403: never a sign of a restart. The host is asked for fresh headers, once; without them the program is told.

use alloc::string::String;
use alloc::vec::Vec;

use super::Engine;
use super::link::{Challenge, Link};
use crate::loss::Refusal;
use crate::options::SECOND;
use crate::request::RequestKey;
use crate::schedule::Timer;
use crate::{Event, Level, Nanos};
/// Between attempts that the server has refused for their credentials, at least.
const CREDENTIALS_PAUSE: Nanos = 10 * SECOND;

impl Engine {
    /// A message was rejected for its credentials.
    pub(super) fn on_unauthorized(&mut self, refusal: &Refusal) {
        let challenge = Challenge { status: refusal.status, text: refusal.challenge.clone() };
        let probing = matches!(self.link, Link::Probing(_));
        if !probing && !matches!(self.link, Link::Ready) {
            return;
        }
        if probing || self.options.can_refresh_credentials {
            self.await_credentials(challenge);
        } else {
            self.emit(Event::CredentialsNeeded { status: challenge.status, challenge: challenge.text });
        }
    }

    pub(super) fn await_credentials(&mut self, challenge: Challenge) {
        self.emit(Event::CredentialsNeeded { status: challenge.status, challenge: challenge.text.clone() });
        self.link = Link::Credentials(challenge);
        self.attempts = self.attempts.saturating_add(1);
        // Fresh headers are asked for once; if they are rejected too, that is said.
        if self.options.can_refresh_credentials && !core::mem::replace(&mut self.asked_for_headers, true) {
            self.timers.set(Timer::Credentials, self.now + self.options.credentials_timeout);
        } else {
            self.on_credentials_over();
        }
    }

    /// Nobody brought other credentials: what waits for them fails, and the server is asked again now and then.
    pub(super) fn on_credentials_over(&mut self) {
        self.timers.clear(Timer::Credentials);
        let Link::Credentials(challenge) = self.link.clone() else { return };
        for key in self.waiting_requests() {
            self.answer_unauthorized(key, challenge.status, &challenge.text);
        }
        if self.program.answered.is_none() {
            self.give_up_first_contact();
        } else {
            let delay = self.next_delay(false).max(CREDENTIALS_PAUSE);
            self.timers.set(Timer::Attempt, self.now + delay);
        }
    }

    /// A request came while credentials are missing: ask again, but not without pause.
    pub(super) fn demand_credentials(&mut self, key: RequestKey) {
        let Link::Credentials(challenge) = self.link.clone() else { return };
        if self.timers.is_set(Timer::Credentials) {
            return;
        }
        if self.now >= self.last_attempt + CREDENTIALS_PAUSE {
            self.attempt();
        } else {
            self.answer_unauthorized(key, challenge.status, &challenge.text);
        }
    }

    pub(super) fn on_headers(&mut self, headers: Vec<(String, String)>) {
        if let Err(error) = Self::check_headers(&headers) {
            self.log(Level::Warn, alloc::format!("the new headers were not taken: {error}"));
            return;
        }
        self.options.headers = headers;
        if matches!(self.link, Link::Credentials(_)) {
            self.timers.clear(Timer::Credentials);
            self.attempt();
        }
    }
}
