//! The pause that the server asked for with `Retry-After`: while it lasts, no hold clock runs.

use crate::Instant;
use core::time::Duration;

/// Of the pauses that a server asks for, a request waits so long in all without its hold clock running: a server that asks for
/// ever is given up.
const MAX_PAUSES: Duration = Duration::from_secs(300);

/// The end of the pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pause {
    until: Instant,
}

impl Pause {
    /// The server asks for a pause of so long. Gives what that is more than what it asked for before.
    pub fn ask(&mut self, now: Instant, pause: Duration) -> Duration {
        let before = self.left(now);
        self.until = self.until.max(now + pause);
        self.left(now) - before
    }

    /// How long it lasts from now on.
    pub fn left(&self, now: Instant) -> Duration {
        self.until - now
    }
}

/// How long a request has waited, in pauses, without its hold clock running.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Paused {
    sum: Duration,
}

impl Paused {
    /// Takes note of a pause; gives by how much the clock stops for it.
    pub fn add(&mut self, pause: Duration) -> Duration {
        let stop = pause.min(MAX_PAUSES - self.sum);
        self.sum += stop;
        stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::time::tests::{at, ns};

    #[test]
    fn a_pause_is_as_long_as_the_longest_that_was_asked_for() {
        let mut pause = Pause::default();
        assert_eq!((pause.ask(at(100), ns(50)), pause.left(at(100))), (ns(50), ns(50)));
        assert_eq!((pause.ask(at(110), ns(30)), pause.left(at(110))), (ns(0), ns(40)));
        assert_eq!((pause.ask(at(120), ns(40)), pause.left(at(120))), (ns(10), ns(40)));
        assert_eq!((pause.left(at(160)), pause.left(at(500))), (ns(0), ns(0)));
        assert_eq!(pause.ask(at(500), ns(7)), ns(7));
    }

    #[test]
    fn the_clock_of_a_request_stops_for_so_long_in_all() {
        let mut paused = Paused::default();
        assert_eq!(paused.add(MAX_PAUSES - ns(5)), MAX_PAUSES - ns(5));
        assert_eq!((paused.add(ns(7)), paused.add(ns(1)), paused.add(ns(0))), (ns(5), ns(0), ns(0)));
    }
}
