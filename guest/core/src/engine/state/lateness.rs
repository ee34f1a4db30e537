//! How late the driver is, so that inputs that waited for it are taken before the timers that fell due meanwhile.

use crate::Instant;
use core::time::Duration;

/// So long the timers that are due let inputs go first: those that waited together are taken within it.
const PRECEDENCE: Duration = Duration::from_millis(100);

/// Since when timers are due while inputs keep coming.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Lateness {
    since: Option<Instant>,
}

impl Lateness {
    /// Whether the timers that are `due` are to fire now, after an input was taken. A driver that only lets time pass has nothing
    /// else to tell.
    pub fn may_fire(&mut self, now: Instant, due: bool, only_time_passes: bool) -> bool {
        if !due {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let fire = only_time_passes || now - since >= PRECEDENCE;
        if fire {
            self.since = None;
        }
        fire
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::time::tests::at;

    #[test]
    fn inputs_go_first_for_a_while_and_not_for_ever() {
        let mut lateness = Lateness::default();
        assert!(!lateness.may_fire(at(5), false, false));
        assert!(!lateness.may_fire(at(5), false, true));
        assert!(!lateness.may_fire(at(10), true, false));
        assert!(!lateness.may_fire(at(9) + PRECEDENCE, true, false));
        assert!(lateness.may_fire(at(10) + PRECEDENCE, true, false));
        // The next lateness is counted from its own beginning.
        assert!(!lateness.may_fire(at(10) + 2 * PRECEDENCE, true, false));
        assert!(lateness.may_fire(at(11) + 2 * PRECEDENCE, true, true));
        assert!(!lateness.may_fire(at(10) + 3 * PRECEDENCE, true, false));
        assert!(!lateness.may_fire(at(11) + 3 * PRECEDENCE, false, false));
        assert!(!lateness.may_fire(at(10) + 4 * PRECEDENCE, true, false));
    }
}
