//! Whether the server is known to be alive: when it was last heard, and whether something broke since.

use crate::Instant;
use core::time::Duration;

/// What is known of the connection's life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Liveness {
    heard_at: Instant,
    /// Something broke since the last sign of life: a request that must not run twice waits for a ping.
    doubted: bool,
}

impl Liveness {
    /// That of a connection which begins now.
    pub fn new(now: Instant) -> Self {
        Self { heard_at: now, doubted: false }
    }

    /// Bytes came from the server. They may have been on their way for long, so a doubt stays.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    pub fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Whether nothing has come for longer than this.
    pub fn is_silent(&self, now: Instant, interval: Duration) -> bool {
        now - self.heard_at > interval
    }

    /// Something broke on the way.
    pub fn doubt(&mut self) {
        self.doubted = true;
    }

    /// A sign of life in answer to what was asked after the doubt.
    pub fn is_certain(&mut self) {
        self.doubted = false;
    }

    pub fn is_doubted(&self) -> bool {
        self.doubted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::time::tests::{at, ns};

    #[test]
    fn silence_is_longer_than_the_interval() {
        let mut liveness = Liveness::new(at(10));
        assert!(!liveness.is_silent(at(15), ns(5)));
        assert!(liveness.is_silent(at(16), ns(5)));
        liveness.heard(at(20));
        assert_eq!(liveness.heard_at(), at(20));
        assert!(!liveness.is_silent(at(10), ns(5)), "a clock that stands back is no silence");
    }

    #[test]
    fn only_an_answer_ends_a_doubt() {
        let mut liveness = Liveness::new(at(0));
        assert!(!liveness.is_doubted());
        liveness.doubt();
        liveness.heard(at(5));
        assert!(liveness.is_doubted());
        liveness.is_certain();
        assert!(!liveness.is_doubted());
    }
}
