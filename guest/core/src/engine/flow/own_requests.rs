//! The engine's own requests: the ping that finds out whether the connection lives, the list that verifies a session, and
//! what is restored. Each ends within its own time, by one path, [`Engine::own_request_ended`], which tells the connection.
//! They have no progress and are never resumed.

use alloc::string::String;
use core::time::Duration;

use super::connection_error::{ConnectionError, not_the_server};
use super::settle::{self, End};
use crate::api::time::SECOND;
use crate::engine::state::consequences::Consequence;
use crate::engine::state::requests::{Learn, Origin, RequestKey};
use crate::engine::state::timers::Timer;
use crate::engine::{Engine, seconds};
use crate::policy::replay::Evidence;
use crate::policy::session_loss;
use crate::{Event, Transport};

/// What a request of the engine's own came to.
pub(crate) enum OwnEnd<'a> {
    /// A JSON-RPC response, with the code and message of its error if it is one.
    Answered(Option<(i64, String)>),
    /// No response, and what is known instead.
    Failed(&'a End<'a>),
    /// Nothing within its time.
    Late,
}

impl Engine {
    pub(crate) fn post_own(&mut self, origin: Origin, method: &str, params: &str) -> RequestKey {
        let text = if params.is_empty() {
            alloc::format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}"}}"#)
        } else {
            alloc::format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}","params":{params}}}"#)
        };
        let key = self.admit(settle::new_request(origin, method, text, 22..23, true, Learn::Nothing));
        self.post_request(key);
        self.timers.set(Timer::Run(key), self.now + self.options.heartbeat_timeout);
        key
    }

    /// The request that finds out whether the connection lives: a ping, or a list where pings are refused.
    pub(crate) fn post_ping(&mut self) -> RequestKey {
        let list = self.session.as_ref().filter(|session| session.refuses_pings);
        match list.and_then(|session| session.server.list_method()) {
            Some(list) => self.post_own(Origin::Verify, list, ""),
            None => self.post_own(Origin::Ping, "ping", ""),
        }
    }

    /// The one way in which a request of the engine's own ends.
    pub(crate) fn own_request_ended(&mut self, key: RequestKey, origin: Origin, end: OwnEnd) {
        let probing = self.connection.probe() == Some(key);
        if matches!(end, OwnEnd::Late)
            && let Some(exchange) = self.exchange_of(key)
        {
            self.forget(key);
            self.cancel(exchange);
        }
        match origin {
            Origin::Ping | Origin::Verify if self.came_to_nothing(key, origin, probing, &end) => {}
            Origin::Ping => self.ping_ended(key, probing, end),
            Origin::Verify => self.verification_ended(key, probing, end),
            Origin::Restore => self.restore_ended(key, end),
            Origin::Client => {}
        }
    }

    /// Whether a ping or list came to nothing as those before it did, so that something else decides: an `initialize`, or a
    /// request of the client.
    fn came_to_nothing(&mut self, key: RequestKey, origin: Origin, probing: bool, end: &OwnEnd) -> bool {
        let (evidence, reason) = match end {
            OwnEnd::Answered(Some((code, message))) if session_loss::error_may_mean_loss(*code, message) => {
                (Evidence::SessionLost, alloc::format!("the server answered \"{}\"", settle::clip(message)))
            }
            OwnEnd::Failed(End { evidence: Evidence::NotSent, .. }) | OwnEnd::Answered(_) => return false,
            OwnEnd::Failed(end) => (end.evidence, end.reason.clone()),
            OwnEnd::Late => {
                let time = seconds(self.options.heartbeat_timeout);
                (Evidence::Unknown, alloc::format!("nothing was answered for {time}"))
            }
        };
        // Before those who wait are told that the server cannot be used, too.
        let exhausted = self.attempts.are_exhausted(self.options.max_attempts);
        let enough = self.probes.failed(key, origin == Origin::Verify, evidence == Evidence::NotTaken)
            || exhausted && self.someone_waits();
        let Some(session) = self.session.as_ref().filter(|session| session.initialized) else { return false };
        // A busy server is left alone; and where a request of the client met with the like, it has decided.
        if !probing && self.is_busy() && !self.options.heartbeat_strict || self.has_unverified() {
            return false;
        }
        let has_list = session.server.list_method().is_some();
        if evidence == Evidence::SessionLost {
            self.probes.say_lost();
        }
        if self.probes.tell_nothing() {
            // What says that the session is gone is believed, but not time and again.
            if evidence == Evidence::SessionLost && self.is_out_of_patience(SECOND) {
                return false;
            }
            self.forget(key);
            if origin == Origin::Verify || self.probes.are_left_to_client() || !has_list {
                self.leave_to_client(reason);
            } else {
                self.then(Consequence::Verify(reason));
            }
        } else if enough {
            self.forget(key);
            self.answers_stand();
            self.last_error = reason;
            self.then(Consequence::InitializeAgain);
        } else {
            return false;
        }
        true
    }

    /// Neither pings nor lists tell anything of this session, nor of the one before: it goes on, and requests of the client
    /// decide. Now and then it is replaced, lest the client wait for news of a session that died in silence.
    fn leave_to_client(&mut self, reason: String) {
        self.answers_stand();
        let client_failed = self.probes.client_failed();
        let first = if client_failed || self.probes.said_lost() { SECOND } else { self.heartbeat_interval() };
        if self.is_out_of_patience(first) && (client_failed || !self.is_busy()) {
            self.last_error = reason;
            return self.then(Consequence::InitializeAgain);
        }
        if !self.probes.are_left_to_client() {
            self.probes.leave_to_client();
            let epoch = self.epoch;
            self.emit(Event::Suspect { epoch, reason });
        }
        self.then(Consequence::Alive);
    }

    /// Whether a session has lasted long enough without an answer to a ping or list. `first`: how long the first of such sessions
    /// is to last.
    pub(crate) fn is_out_of_patience(&self, first: Duration) -> bool {
        let patience = self.probes.patience(first);
        self.session.as_ref().is_some_and(|session| self.now >= session.since + patience)
    }

    /// A ping or list was limited. That is no reason to keep back what the client asks for, unless the server asks for a pause.
    pub(crate) fn own_was_limited(&mut self, probing: bool, retry_after: Option<Duration>, reason: String) {
        if retry_after.is_some() {
            return self.pause(retry_after, reason);
        }
        if probing {
            self.last_error = reason;
            let delay = self.next_delay(Some(false));
            self.attempts.failed();
            self.wait(delay);
        }
    }

    fn ping_ended(&mut self, key: RequestKey, probing: bool, end: OwnEnd) {
        self.forget(key);
        match end {
            // A server that answers a ping with an error is alive, unless the error may mean that the session is not.
            OwnEnd::Answered(Some((code, message))) if session_loss::error_may_mean_loss(code, &message) => {
                self.then(Consequence::Verify(alloc::format!("a ping was answered \"{}\"", settle::clip(&message))));
            }
            OwnEnd::Answered(_) => {
                self.probes.answered();
                self.pings.answered();
                self.then(Consequence::Alive);
            }
            OwnEnd::Late => {
                let reason = alloc::format!("a ping went unanswered for {}", seconds(self.options.heartbeat_timeout));
                // The last one went unanswered too, and led to this session: perhaps it is pings that are not answered.
                if self.pings_are_not_heard() && (!self.is_busy() || self.options.heartbeat_strict) {
                    self.then(Consequence::Verify(reason));
                } else {
                    self.pings.missed();
                    self.then(Consequence::Unanswered { probing, reason });
                }
            }
            OwnEnd::Failed(end) => self.ping_failed(probing, end),
        }
    }

    /// Whether no ping was answered since one was missed, in this session or the one before, and a list can be asked for.
    fn pings_are_not_heard(&self) -> bool {
        let has_list = self.session.as_ref().is_some_and(|session| {
            session.initialized && !session.refuses_pings && session.server.list_method().is_some()
        });
        self.pings.was_missed() && has_list
    }

    fn ping_failed(&mut self, probing: bool, end: &End) {
        let reason = end.reason.clone();
        let unheard = self.pings_are_not_heard();
        if let Some(refusal) = end.refusal {
            if end.evidence == Evidence::NotTaken {
                let cause = ConnectionError::Proxied(not_the_server(&reason));
                return self.then(if probing {
                    Consequence::AttemptFailed(cause)
                } else {
                    Consequence::Recover(cause)
                });
            }
            let missed = self.pings.refused();
            return match end.evidence {
                Evidence::Busy { retry_after } => self.then(Consequence::Limited { probing, retry_after, reason }),
                // Without a list nothing tells a server that refuses pings from one that lost its session twice in a row.
                _ if missed && !unheard && self.has_session() && refusal.status < 500 => {
                    self.session.refuses_pings();
                    self.then(Consequence::Alive);
                }
                Evidence::SessionLost if unheard => self.then(Consequence::Verify(reason)),
                Evidence::SessionLost => self.then(Consequence::Recover(ConnectionError::SessionLost(reason))),
                Evidence::Refused => self.then(Consequence::Verify(reason)),
                // Fresh headers come first. With them, or without any to be had, a new session may be granted: then it was the
                // old one that is unknown.
                Evidence::Unauthorized if self.options.can_refresh_credentials && !self.asked_lately() => {
                    self.then(Consequence::Unauthorized(refusal.clone()));
                }
                Evidence::Unauthorized if unheard => self.then(Consequence::Verify(reason)),
                Evidence::Unauthorized if self.has_unverified() => self.then(Consequence::Verify(reason)),
                Evidence::Unauthorized => self.then(Consequence::InitializeAgain),
                _ if self.pings.are_refused() => self.then(Consequence::Verify(reason)),
                _ if probing => self.then(Consequence::AttemptFailed(ConnectionError::Refused(refusal.clone()))),
                _ => self.then(Consequence::Recover(ConnectionError::Broken(reason))),
            };
        }
        match end.evidence {
            Evidence::NotSent if probing => self.then(Consequence::AttemptFailed(ConnectionError::Unreachable(reason))),
            Evidence::NotSent => self.then(Consequence::Recover(ConnectionError::Unreachable(reason))),
            Evidence::SessionLost if unheard => self.then(Consequence::Verify(reason)),
            Evidence::SessionLost => {
                self.pings.missed();
                self.then(Consequence::Recover(ConnectionError::SessionLost(reason)));
            }
            // The event stream looks open, but nobody takes the ping: not even a reset comes from a host that vanished.
            _ if probing
                && self.transport == Some(Transport::HttpSse)
                && (!self.is_busy() || self.options.heartbeat_strict) =>
            {
                self.then(Consequence::Unresponsive(reason));
            }
            _ => {
                // Whoever breaks off the answers to pings may answer a list.
                if self.pings.broke_off() {
                    self.then(Consequence::Verify(reason));
                } else if probing {
                    self.then(Consequence::AttemptFailed(ConnectionError::Broken(reason)));
                } else {
                    self.then(Consequence::Recover(ConnectionError::Broken(reason)));
                }
            }
        }
    }

    fn restore_ended(&mut self, key: RequestKey, end: OwnEnd) {
        let end = match end {
            OwnEnd::Late => return self.restore_late(key),
            OwnEnd::Answered(Some((code, message))) if session_loss::error_may_mean_loss(code, &message) => {
                let reason = alloc::format!("the server answered \"{}\"", settle::clip(&message));
                let end =
                    End { evidence: Evidence::SessionLost, accepted: false, reason: reason.clone(), refusal: None };
                self.restore_failed(key, &end);
                return self.restore_may_mean_loss(reason);
            }
            OwnEnd::Answered(error) => return self.restore_answered(key, error),
            OwnEnd::Failed(end) => end,
        };
        self.restore_failed(key, end);
        let reason = end.reason.clone();
        match (end.evidence, end.refusal) {
            // The server is there, and says how it wants to be treated.
            (Evidence::Busy { .. }, _) => {}
            (Evidence::Refused, Some(refusal)) if refusal.error().is_some_and(|error| error.has_own_id) => {}
            (Evidence::SessionLost | Evidence::Refused | Evidence::Unauthorized, _) => {
                self.restore_may_mean_loss(reason)
            }
            (Evidence::NotTaken, _) => {
                self.then(Consequence::Recover(ConnectionError::Proxied(not_the_server(&reason))))
            }
            (Evidence::NotSent, _) => self.then(Consequence::Recover(ConnectionError::Unreachable(reason))),
            // Where a new session is the only way to tell, it is not made for each of them.
            (Evidence::Unknown, None) if self.session_may_survive() || self.settings.session_is_lost(self.now) => {
                self.then(Consequence::Recover(ConnectionError::Broken(reason)));
            }
            (Evidence::Unknown, _) => self.then(Consequence::Ping),
        }
    }

    /// Without a list to ask for, only a new session tells; a server that refuses the restores of each is not given one after the
    /// other.
    fn restore_may_mean_loss(&mut self, reason: String) {
        let has_list = self.session.as_ref().is_some_and(|session| session.server.list_method().is_some());
        if has_list && !self.probes.lists_tell_nothing() || self.settings.session_is_lost(self.now) {
            self.then(Consequence::Verify(reason));
        }
    }
}
