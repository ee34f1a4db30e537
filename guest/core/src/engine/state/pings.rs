//! The pings in a row that came to nothing, by the way in which they did. They are counted across sessions: a server, or a proxy
//! before it, may treat pings unlike everything else.

/// Pings in a row that may be refused before the session is verified.
const MAX_REFUSED: u32 = 2;
/// Pings in a row that may break off before a list is asked for in their place.
const MAX_BROKEN: u32 = 3;

/// What became of the last ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pings {
    /// In a row that were refused.
    refused: u32,
    /// In a row that broke off.
    broken: u32,
    /// One was refused or not answered, and none was answered since.
    missed: bool,
}

impl Pings {
    /// One was answered.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// One was refused. True: one was missed before it.
    pub fn refused(&mut self) -> bool {
        self.refused = self.refused.saturating_add(1);
        core::mem::replace(&mut self.missed, true)
    }

    /// One broke off. True: so many did in a row that a list is to be asked for; that counts as missed.
    pub fn broke_off(&mut self) -> bool {
        self.broken = self.broken.saturating_add(1);
        let list = self.broken.is_multiple_of(MAX_BROKEN);
        self.missed |= list;
        list
    }

    /// One was not answered in time, or its session was lost.
    pub fn missed(&mut self) {
        self.missed = true;
    }

    /// Something else tells of the session: refusals are counted anew.
    pub fn forgive_refusals(&mut self) {
        self.refused = 0;
    }

    /// Whether one was missed and none was answered since.
    pub fn was_missed(&self) -> bool {
        self.missed
    }

    /// Whether as many were refused in a row as may be.
    pub fn are_refused(&self) -> bool {
        self.refused >= MAX_REFUSED
    }

    /// Whether more were: perhaps it is pings that the server does not want.
    pub fn are_refused_again(&self) -> bool {
        self.refused > MAX_REFUSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_add_up_until_something_else_tells() {
        let mut pings = Pings::default();
        assert!(!pings.refused(), "none was missed before");
        assert!(pings.was_missed() && !pings.are_refused());
        assert!(pings.refused());
        assert!(pings.are_refused() && !pings.are_refused_again());
        pings.refused();
        assert!(pings.are_refused_again());
        pings.forgive_refusals();
        assert!(!pings.are_refused() && pings.was_missed());
        pings.answered();
        assert!(!pings.was_missed());
        pings.missed();
        assert!(pings.refused(), "the one before was missed");
    }

    #[test]
    fn every_third_that_breaks_off_asks_for_a_list() {
        let mut pings = Pings::default();
        let asks: alloc::vec::Vec<_> = (0..6).map(|_| pings.broke_off()).collect();
        assert_eq!(asks, [false, false, true, false, false, true]);
        let mut pings = Pings::default();
        pings.broke_off();
        assert!(!pings.was_missed(), "one alone says nothing");
        pings.answered();
        assert!(!pings.broke_off() && !pings.broke_off() && pings.broke_off() && pings.was_missed());
    }
}
