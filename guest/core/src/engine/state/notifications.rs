//! How notifications and answers of the client fare on their way to the server.

use crate::ExchangeId;

/// The one under way, and what became of those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Notifications {
    /// The one that those behind it wait for.
    under_way: Option<ExchangeId>,
    /// One was refused in a session that lived, and none was taken since.
    refused: bool,
    /// Those for which the queue had no room.
    overflowed: u64,
}

impl Notifications {
    /// This one is sent, and those behind it wait.
    pub fn started(&mut self, exchange: ExchangeId) {
        self.under_way = Some(exchange);
    }

    /// It goes on as another exchange.
    pub fn moved(&mut self, from: ExchangeId, to: ExchangeId) {
        if self.under_way == Some(from) {
            self.under_way = Some(to);
        }
    }

    /// This one is over. True: those behind it waited for it.
    pub fn over(&mut self, exchange: ExchangeId) -> bool {
        let waited = self.under_way == Some(exchange);
        if waited {
            self.under_way = None;
        }
        waited
    }

    /// Nothing waits for the one under way any more.
    pub fn need_not_wait(&mut self) {
        self.under_way = None;
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// One was taken.
    pub fn was_taken(&mut self) {
        self.refused = false;
    }

    /// One was refused in a session that lives.
    pub fn was_refused(&mut self) {
        self.refused = true;
    }

    pub fn are_refused(&self) -> bool {
        self.refused
    }

    /// There was no room for one. Gives how many that were in all, when it is time to say so: a line for each would be the
    /// client's to write without end.
    pub fn overflowed(&mut self) -> Option<u64> {
        self.overflowed = self.overflowed.saturating_add(1);
        self.overflowed.is_power_of_two().then_some(self.overflowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_waited_for_wherever_it_goes() {
        let mut notifications = Notifications::default();
        notifications.started(ExchangeId(1));
        notifications.moved(ExchangeId(2), ExchangeId(3));
        notifications.moved(ExchangeId(1), ExchangeId(4));
        assert!(!notifications.over(ExchangeId(1)) && notifications.is_under_way());
        assert!(notifications.over(ExchangeId(4)) && !notifications.is_under_way());
        notifications.started(ExchangeId(5));
        notifications.need_not_wait();
        assert!(!notifications.over(ExchangeId(5)));
    }

    #[test]
    fn what_was_dropped_is_said_less_and_less_often() {
        let mut notifications = Notifications::default();
        let said: alloc::vec::Vec<_> = (0..20).filter_map(|_| notifications.overflowed()).collect();
        assert_eq!(said, [1, 2, 4, 8, 16]);
        assert!(!notifications.are_refused());
        notifications.was_refused();
        assert!(notifications.are_refused());
        notifications.was_taken();
        assert!(!notifications.are_refused());
    }
}
