//! The pause that the server asked for with `Retry-After`: while it lasts, no hold clock runs.

use crate::Nanos;
use crate::api::options::SECOND;

/// Of the pauses that a server asks for, a request waits so long in all without its hold clock running: a server that asks for
/// ever is given up.
const MAX_PAUSES: Nanos = 300 * SECOND;

/// The end of the pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pause {
    until: Nanos,
}

impl Pause {
    /// The server asks for a pause of so long. Gives what that is more than what it asked for before.
    pub fn ask(&mut self, now: Nanos, pause: Nanos) -> Nanos {
        let before = self.left(now);
        self.until = self.until.max(now.saturating_add(pause));
        self.left(now) - before
    }

    /// How long it lasts from now on.
    pub fn left(&self, now: Nanos) -> Nanos {
        self.until.saturating_sub(now)
    }
}

/// How long a request has waited, in pauses, without its hold clock running.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Paused {
    sum: Nanos,
}

impl Paused {
    /// Takes note of a pause; gives by how much the clock stops for it.
    pub fn add(&mut self, pause: Nanos) -> Nanos {
        let stop = pause.min(MAX_PAUSES - self.sum);
        self.sum += stop;
        stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_as_long_as_the_longest_that_was_asked_for() {
        let mut pause = Pause::default();
        assert_eq!((pause.ask(100, 50), pause.left(100)), (50, 50));
        assert_eq!((pause.ask(110, 30), pause.left(110)), (0, 40));
        assert_eq!((pause.ask(120, 40), pause.left(120)), (10, 40));
        assert_eq!((pause.left(160), pause.left(500)), (0, 0));
        assert_eq!(pause.ask(500, 7), 7);
    }

    #[test]
    fn the_clock_of_a_request_stops_for_so_long_in_all() {
        let mut paused = Paused::default();
        assert_eq!(paused.add(MAX_PAUSES - 5), MAX_PAUSES - 5);
        assert_eq!((paused.add(7), paused.add(1), paused.add(0)), (5, 0, 0));
    }
}
