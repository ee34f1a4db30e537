//! The attempts to reach the server: how many in a row came to nothing, when the last one was, when the next one may be, and
//! what that one is.

use crate::Instant;
use core::time::Duration;

/// Sessions in a row whose `notifications/initialized` may be refused before that is said to those who wait.
const MAX_REFUSED_SESSIONS: u32 = 2;

/// The attempts of the versions with sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attempts {
    /// Since the last progress.
    in_vain: u32,
    /// Sessions in a row that ended before a request of the client was answered.
    unproductive: u32,
    /// Sessions in a row whose `notifications/initialized` was refused.
    refused: u32,
    last: Instant,
    /// The server asked for a pause until then.
    not_before: Instant,
    /// The next one is an `initialize`, though there is a session.
    initializes: bool,
}

impl Attempts {
    /// How many in a row came to nothing.
    pub fn in_vain(&self) -> u32 {
        self.in_vain
    }

    /// Sessions in a row that nothing came of.
    pub fn unproductive(&self) -> u32 {
        self.unproductive
    }

    /// One is made now.
    pub fn made(&mut self, now: Instant) {
        self.last = now;
    }

    /// When the last one was made.
    pub fn last(&self) -> Instant {
        self.last
    }

    /// One came to nothing, or something that counts as one.
    pub fn failed(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// Whether so many in a row came to nothing (0: any number may).
    pub fn are_exhausted(&self, most: u32) -> bool {
        most > 0 && self.in_vain >= most
    }

    /// Something came of one: the next ones are counted from there.
    pub fn succeeded(&mut self) {
        self.in_vain = 0;
    }

    /// The server is there and says that the session is gone: that is no attempt in vain, unless it says so again and again. True:
    /// the next one need not wait.
    pub fn session_was_lost(&mut self) -> bool {
        self.in_vain = self.in_vain.min(self.unproductive);
        self.unproductive == 0
    }

    /// A session ended; whether a request of the client was answered in it.
    pub fn session_over(&mut self, productive: bool) {
        self.unproductive = if productive { 0 } else { self.unproductive.saturating_add(1) };
    }

    /// A session was made and at once refused, or failed in another way.
    pub fn new_session_failed(&mut self, refused: bool) {
        self.refused = if refused { self.refused.saturating_add(1) } else { 0 };
    }

    /// A session was taken, or its server went away.
    pub fn new_session_was_not_refused(&mut self) {
        self.refused = 0;
    }

    /// Whether session after session is granted and then not known.
    pub fn sessions_are_refused(&self) -> bool {
        self.refused >= MAX_REFUSED_SESSIONS
    }

    /// The next one makes a session, whether there is one or not.
    pub fn initialize_next(&mut self) {
        self.initializes = true;
    }

    /// A session is being made, or none is wanted.
    pub fn need_not_initialize(&mut self) {
        self.initializes = false;
    }

    pub fn next_initializes(&self) -> bool {
        self.initializes
    }

    /// The server asks for no attempt before this.
    pub fn not_before(&mut self, at: Instant) {
        self.not_before = at;
    }

    /// How long the next one has to wait at least.
    pub fn pause(&self, now: Instant) -> Duration {
        self.not_before - now
    }

    /// The time of the next one, if so much is to lie between it and this one.
    pub fn after(&self, last: Instant, delay: Duration, now: Instant) -> Instant {
        (last + delay).max(now).max(self.not_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::time::tests::{at, ns};

    #[test]
    fn attempts_are_counted_from_the_last_progress() {
        let mut attempts = Attempts::default();
        for made in 1..=3 {
            assert!(!attempts.are_exhausted(3));
            attempts.failed();
            assert_eq!(attempts.in_vain(), made);
        }
        assert!(attempts.are_exhausted(3) && attempts.are_exhausted(2) && !attempts.are_exhausted(4));
        assert!(!attempts.are_exhausted(0), "0 is without limit");
        attempts.succeeded();
        assert_eq!(attempts.in_vain(), 0);
    }

    #[test]
    fn a_lost_session_costs_nothing_unless_nothing_comes_of_sessions() {
        let mut attempts = Attempts::default();
        (0..5).for_each(|_| attempts.failed());
        assert!(attempts.session_was_lost());
        assert_eq!(attempts.in_vain(), 0);
        (0..5).for_each(|_| attempts.failed());
        attempts.session_over(false);
        attempts.session_over(false);
        assert_eq!(attempts.unproductive(), 2);
        assert!(!attempts.session_was_lost());
        assert_eq!(attempts.in_vain(), 2);
        attempts.session_over(true);
        assert_eq!(attempts.unproductive(), 0);
        assert!(attempts.session_was_lost());
    }

    #[test]
    fn two_sessions_refused_in_a_row_are_too_many() {
        let mut attempts = Attempts::default();
        attempts.new_session_failed(true);
        attempts.new_session_failed(false);
        attempts.new_session_failed(true);
        assert!(!attempts.sessions_are_refused());
        attempts.new_session_failed(true);
        assert!(attempts.sessions_are_refused());
        attempts.new_session_was_not_refused();
        assert!(!attempts.sessions_are_refused());
    }

    #[test]
    fn the_next_one_respects_the_last_and_the_pause() {
        let mut attempts = Attempts::default();
        attempts.made(at(100));
        assert_eq!((attempts.last(), attempts.pause(at(100))), (at(100), ns(0)));
        assert_eq!(attempts.after(at(100), ns(50), at(120)), at(150));
        assert_eq!(attempts.after(at(100), ns(50), at(170)), at(170));
        attempts.not_before(at(200));
        assert_eq!(
            (attempts.after(at(100), ns(50), at(170)), attempts.pause(at(170)), attempts.pause(at(201))),
            (at(200), ns(30), ns(0))
        );
        assert!(!attempts.next_initializes());
        attempts.initialize_next();
        assert!(attempts.next_initializes());
        attempts.need_not_initialize();
        assert!(!attempts.next_initializes());
    }
}
