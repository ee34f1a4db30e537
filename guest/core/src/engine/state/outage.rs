//! How long the server has been away, and when the client last heard of an attempt to reach it. The versions with sessions and
//! those without have one each.

use crate::Nanos;
use crate::api::options::SECOND;

/// The client hears of attempts at most this often.
const TELL_AGAIN: Nanos = SECOND;

/// The server is away, or it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outage {
    since: Option<Nanos>,
    /// When the client last heard of an attempt in it.
    told_at: Option<Nanos>,
}

impl Outage {
    /// The server is away. False: it was already.
    pub fn begin(&mut self, now: Nanos) -> bool {
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
    pub fn lasts(&self, now: Nanos) -> Nanos {
        self.since.map_or(0, |since| now - since)
    }

    /// Whether the client is to hear of an attempt that is made now; it counts as told then.
    pub fn tells(&mut self, now: Nanos) -> bool {
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

    #[test]
    fn an_outage_begins_once_and_ends_once() {
        let mut outage = Outage::default();
        assert!(!outage.is_on() && !outage.end() && !outage.tells(5));
        assert_eq!(outage.lasts(7), 0);
        assert!(outage.begin(10));
        assert!(!outage.begin(15), "it is the same one");
        assert_eq!((outage.is_on(), outage.lasts(30)), (true, 20));
        assert!(outage.end());
        assert!(!outage.is_on() && !outage.end());
    }

    #[test]
    fn attempts_are_told_once_a_second() {
        let mut outage = Outage::default();
        outage.begin(0);
        assert!(outage.tells(0));
        assert!(!outage.tells(TELL_AGAIN - 1));
        assert!(outage.tells(TELL_AGAIN));
        assert!(!outage.tells(2 * TELL_AGAIN - 1));
        outage.end();
        outage.begin(2 * TELL_AGAIN - 1);
        assert!(outage.tells(2 * TELL_AGAIN - 1), "of another outage nothing was told");
    }
}
