//! How long the server has been away, and when the client last heard of an attempt to reach it. The versions with sessions and
//! those without have one each.

use crate::Instant;
use crate::api::time::SECOND;
use core::time::Duration;

/// The client hears of attempts at most this often.
const TELL_AGAIN: Duration = SECOND;

/// The server is away, or it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outage {
    since: Option<Instant>,
    /// When the client last heard of an attempt in it.
    told_at: Option<Instant>,
}

impl Outage {
    /// The server is away. False: it was already.
    pub fn begin(&mut self, now: Instant) -> bool {
        let begins = self.since.is_none();
        if begins {
            *self = Self { since: Some(now), told_at: None };
        }
        begins
    }

    /// The server is there. False: it was all the time.
    pub fn end(&mut self) -> bool {
        let ends = self.is_on();
        *self = Self::default();
        ends
    }

    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// How long it has lasted.
    pub fn lasts(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now - since)
    }

    /// Whether the client is to hear of an attempt that is made now; it counts as told then.
    pub fn tells(&mut self, now: Instant) -> bool {
        let tells = self.is_on() && self.told_at.is_none_or(|told| now >= told + TELL_AGAIN);
        if tells {
            self.told_at = Some(now);
        }
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::time::tests::{at, ns};

    #[test]
    fn an_outage_begins_once_and_ends_once() {
        let mut outage = Outage::default();
        assert!(!outage.is_on() && !outage.end() && !outage.tells(at(5)));
        assert_eq!(outage.lasts(at(7)), ns(0));
        assert!(outage.begin(at(10)));
        assert!(!outage.begin(at(15)), "it is the same one");
        assert_eq!((outage.is_on(), outage.lasts(at(30))), (true, ns(20)));
        assert!(outage.end());
        assert!(!outage.is_on() && !outage.end());
    }

    /// A nanosecond before this has passed.
    fn before(duration: Duration) -> Instant {
        at(0) + (duration - ns(1))
    }

    #[test]
    fn attempts_are_told_once_a_second() {
        let mut outage = Outage::default();
        outage.begin(at(0));
        assert!(outage.tells(at(0)));
        assert!(!outage.tells(before(TELL_AGAIN)));
        assert!(outage.tells(at(0) + TELL_AGAIN));
        assert!(!outage.tells(before(2 * TELL_AGAIN)));
        outage.end();
        outage.begin(before(2 * TELL_AGAIN));
        assert!(outage.tells(before(2 * TELL_AGAIN)), "of another outage nothing was told");
    }
}
