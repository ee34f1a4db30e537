//! Whether a session lives, where an answer leaves that open: an error of an application may speak of sessions, and a server
//! may refuse a dead session in words that nobody foresaw.
//!
//! First a list that the server declared is asked for (`ping` would not do: an uninitialised session of some servers answers
//! it). If that fails in a like manner, an `initialize` decides, with the old session kept until the new one stands. If the
//! session proves alive, what the server said is the answer.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::connection_error::{ConnectionError, not_the_server};
use super::own_requests::OwnEnd;
use super::settle::End;
use crate::engine::Engine;
use crate::engine::state::connection::ConnectionState;
use crate::engine::state::consequences::Consequence;
use crate::engine::state::requests::{Origin, RequestKey, RequestState, UnverifiedAnswer};
use crate::engine::state::timers::Timer;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::{self, Refusal};

impl Engine {
    /// Whether this error, under a request's own id, may mean that the session is gone or was never initialised.
    pub(crate) fn must_verify(&self, error: Option<&(i64, String)>) -> bool {
        let (Some((code, message)), Some(session)) = (error, self.session.as_ref()) else { return false };
        // There is no session that could be gone.
        if session.translation.is_some() {
            return false;
        }
        if *code == session_loss::UNINITIALISED_CODE && !session_loss::error_may_mean_loss(*code, message) {
            let first = !session.verified && !session.progress;
            let known_text = message == session_loss::UNINITIALISED_TEXT && !session.is_known_answer(message, self.now);
            return (first || known_text) && session.server.list_method().is_some();
        }
        session_loss::error_may_mean_loss(*code, message) && !session.is_known_answer(message, self.now)
    }

    /// Whether a refusal of a client's request in the current session is looked into before it is the answer.
    pub(crate) fn must_verify_refusal(&self, key: RequestKey, refusal: &Refusal, evidence: Evidence) -> bool {
        let (Some(session), Some(request)) = (self.session.as_ref(), self.requests.get(&key)) else { return false };
        let asks = match evidence {
            // Fresh headers come first, where there are any to be had: it waits for them, asked for already or not.
            Evidence::Unauthorized => !self.options.can_refresh_credentials || request.rejections > 0,
            Evidence::Refused => true,
            _ => false,
        };
        asks && session.initialized
            && self.session_may_survive()
            && refusal.may_mean_loss()
            && !session.is_known_answer(&refusal.body, self.now)
    }

    /// Keeps what a request was answered with until it is known whether the session lives.
    pub(crate) fn verify(&mut self, key: RequestKey, answer: UnverifiedAnswer) {
        let said = answer.said().to_string();
        let Some(request) = self.requests.get(&key) else { return };
        let exchange = request.exchange();
        self.requests.is_verifying(key, answer);
        for timer in [Timer::Run(key), Timer::Grace(key), Timer::Resume(key), Timer::Reopen(key)] {
            self.timers.clear(timer);
        }
        self.timers.set(Timer::Hold(key), self.now + self.options.hold_timeout);
        if let Some(exchange) = exchange {
            self.retire(exchange);
        }
        self.then(Consequence::Verify(alloc::format!("the server answered \"{}\"", super::settle::clip(&said))));
    }

    /// Finds out whether the server still knows the session.
    pub(crate) fn verify_session(&mut self, reason: String) {
        let Some(session) = self.session.as_ref() else { return };
        let list = session.server.list_method().filter(|_| session.initialized);
        match (self.connection.state(), list) {
            (ConnectionState::Ready, Some(_)) if self.is_verifying() => {}
            (ConnectionState::Ready, Some(list)) => {
                self.post_own(Origin::Verify, list, "");
            }
            (ConnectionState::Probing(_), Some(list)) => {
                let key = self.post_own(Origin::Verify, list, "");
                self.probes_with(key);
            }
            (ConnectionState::Ready | ConnectionState::Probing(_), None) => {
                self.last_error = reason;
                // Without a list nothing but an `initialize` tells.
                self.unverified_is_alike();
                self.initialize_again();
            }
            // The way back is under way, and tells.
            _ => {}
        }
    }

    /// Whether an `initialize` is to verify requests that were all rejected for their credentials.
    pub(crate) fn verifies_rejections(&self) -> bool {
        let rejected = |answer: &UnverifiedAnswer| answer.is_like_refusal(401) || answer.is_like_refusal(403);
        let answers = self.unverified();
        self.has_session() && !answers.is_empty() && answers.iter().all(|(_, answer)| rejected(answer))
    }

    /// Whether a list is under way that tells whether the session lives.
    pub(crate) fn is_verifying(&self) -> bool {
        self.requests.values().any(|request| request.origin == Origin::Verify)
    }

    /// The list of a verification was answered, or not.
    pub(crate) fn verification_ended(&mut self, key: RequestKey, probing: bool, end: OwnEnd) {
        self.forget(key);
        match end {
            OwnEnd::Answered(None) => self.session_lives(),
            OwnEnd::Answered(Some((code, message))) => {
                let reason = alloc::format!("the server answered \"{}\"", super::settle::clip(&message));
                let answer = UnverifiedAnswer::Response { text: String::new(), code, message: message.clone() };
                self.answers_stand_unless_like(answer);
                if code == session_loss::UNINITIALISED_CODE {
                    self.verification.finds_lost();
                    self.then(Consequence::Recover(ConnectionError::SessionLost(reason)));
                } else if session_loss::error_may_mean_loss(code, &message) {
                    self.last_error = reason;
                    self.then(Consequence::InitializeAgain);
                } else {
                    self.session_lives();
                }
            }
            OwnEnd::Failed(End { evidence: Evidence::Busy { retry_after }, reason, .. }) => {
                self.answers_stand();
                self.then(Consequence::Limited { probing, retry_after: *retry_after, reason: reason.clone() });
            }
            OwnEnd::Failed(End { evidence: Evidence::NotTaken, reason, .. }) => {
                let cause = ConnectionError::Proxied(not_the_server(reason));
                self.then(if probing { Consequence::AttemptFailed(cause) } else { Consequence::Recover(cause) })
            }
            OwnEnd::Failed(End { refusal: Some(refusal), evidence, reason, .. }) => {
                self.answers_stand_unless_like(UnverifiedAnswer::Refusal((*refusal).clone()));
                if *evidence == Evidence::SessionLost {
                    self.verification.finds_lost();
                    self.then(Consequence::Recover(ConnectionError::SessionLost(reason.clone())));
                } else {
                    self.last_error.clone_from(reason);
                    self.then(Consequence::InitializeAgain);
                }
            }
            OwnEnd::Failed(End { evidence: Evidence::NotSent, reason, .. }) => {
                let cause = ConnectionError::Unreachable(reason.clone());
                self.then(if probing { Consequence::AttemptFailed(cause) } else { Consequence::Recover(cause) })
            }
            OwnEnd::Failed(end) => {
                let last = self.verification.broke_off();
                let cause = ConnectionError::Broken(end.reason.clone());
                // Taken and not answered, or broken off again and again: only another session tells.
                if end.accepted || last {
                    self.answers_stand();
                    self.last_error.clone_from(&end.reason);
                    self.then(Consequence::InitializeAgain);
                } else if probing {
                    self.then(Consequence::AttemptFailed(cause));
                } else {
                    self.then(Consequence::Recover(cause));
                }
            }
            OwnEnd::Late => {
                self.answers_stand();
                let time = crate::engine::seconds(self.options.heartbeat_timeout);
                self.then(Consequence::Unanswered {
                    probing,
                    reason: alloc::format!("a list went unanswered for {time}"),
                });
            }
        }
    }

    fn session_lives(&mut self) {
        self.session.is_verified();
        if self.pings.was_missed() {
            self.session.refuses_pings();
        }
        self.probes.list_was_answered();
        self.pings.forgive_refusals();
        self.answers_stand();
        self.then(Consequence::Alive);
    }

    /// What the server said is the answer, unless the list failed in a like manner.
    fn answers_stand_unless_like(&mut self, list: UnverifiedAnswer) {
        for (key, answer) in self.unverified() {
            if !answer.is_like(&list) {
                self.answer_stands(key, answer);
            }
        }
        self.unverified_is_alike();
        self.verification.list_failed(list);
    }

    /// A new session proves that what the requests that wait were answered with meant the loss of this one.
    fn unverified_is_alike(&mut self) {
        self.requests.unverified_is_alike();
    }

    /// Whether a request was answered with words that turned out to mean that the session is gone.
    pub(crate) fn answer_meant_loss(&self, key: RequestKey, answer: &UnverifiedAnswer) -> bool {
        // It may have come when the list had failed already.
        self.verification.list_failed_like(answer)
            || self.requests.iter().any(|(other, request)| match &request.state {
                RequestState::Verifying(known) => {
                    request.answered_alike && (*other == key || known.said() == answer.said())
                }
                _ => false,
            })
    }

    /// The session lives, or nothing more can be found out: what the server said is the answer.
    pub(crate) fn answers_stand(&mut self) {
        self.verification.is_over();
        for (key, answer) in self.unverified() {
            self.session.know_answer(answer.said(), self.now);
            self.answer_stands(key, answer);
        }
    }

    pub(crate) fn answer_stands(&mut self, key: RequestKey, answer: UnverifiedAnswer) {
        match answer {
            UnverifiedAnswer::Response { text, .. } => self.deliver(key, text, false),
            UnverifiedAnswer::Refusal(refusal) => {
                let evidence = match refusal.status {
                    401 | 403 => Evidence::Unauthorized,
                    _ => Evidence::Refused,
                };
                let reason = refusal.describe();
                self.settle(key, End { evidence, accepted: false, reason, refusal: Some(&refusal) });
                if evidence == Evidence::Unauthorized {
                    self.then(Consequence::Unauthorized(refusal));
                }
            }
        }
    }

    fn unverified(&self) -> Vec<(RequestKey, UnverifiedAnswer)> {
        self.requests
            .iter()
            .filter_map(|(key, request)| match &request.state {
                RequestState::Verifying(answer) => Some((*key, answer.clone())),
                _ => None,
            })
            .collect()
    }

    /// Answers wait to be verified, and nothing verifies them: it was broken off.
    pub(crate) fn verify_what_waits(&mut self) {
        if self.has_unverified() {
            self.verify_session("an answer of the server is to be verified".to_string());
        }
    }

    /// Whether an answer waits to be verified.
    pub(crate) fn has_unverified(&self) -> bool {
        self.requests.values().any(|request| matches!(request.state, RequestState::Verifying(_)))
    }
}
