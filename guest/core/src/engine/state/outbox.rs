//! Messages of the client that wait to be sent, in its order.

use alloc::collections::VecDeque;
use alloc::string::String;

use crate::Instant;
use crate::engine::state::asides::Aside;
use crate::engine::state::requests::RequestKey;

/// A message of the client that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queued {
    /// Its place in the order of the client's messages.
    pub order: u64,
    pub message: Outgoing,
    /// When it is given up, if it is: requests have a timer each.
    pub expires: Option<Instant>,
    /// How often it was sent and refused.
    pub refusals: u32,
    /// It was refused as for a session that is gone.
    pub lost: bool,
}

impl Queued {
    pub fn request(key: RequestKey) -> Self {
        Self { order: key.0, message: Outgoing::Request(key), expires: None, refusals: 0, lost: false }
    }

    pub fn note(order: u64, message: Outgoing, expires: Option<Instant>) -> Self {
        Self { order, message, expires, refusals: 0, lost: false }
    }
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outgoing {
    /// A request; what it is stands in the table of requests.
    Request(RequestKey),
    /// A notification that any session understands.
    Notification(String),
    /// `notifications/roots/list_changed`: one is as good as many.
    RootsChanged(String),
    /// A notification or response that means something only in this epoch.
    Bound { epoch: u64, text: String },
    /// A message of the engine's own; it never stands in the queue.
    Aside(Aside),
    /// The answer to a question that was asked in this epoch, and how often it was sent. The id makes it the same answer however
    /// often it arrives.
    Answer { epoch: u64, text: String, sendings: u32 },
}

/// How often an answer of the client is sent while it is not known whether it arrived.
const MAX_ANSWER_SENDINGS: u32 = 4;

impl Outgoing {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Request(_) => None,
            Self::Notification(text)
            | Self::RootsChanged(text)
            | Self::Bound { text, .. }
            | Self::Aside(Aside { text, .. })
            | Self::Answer { text, .. } => Some(text),
        }
    }

    /// The one epoch in which it means something.
    pub fn epoch(&self) -> Option<u64> {
        match self {
            Self::Bound { epoch, .. } | Self::Answer { epoch, .. } | Self::Aside(Aside { epoch, .. }) => Some(*epoch),
            Self::Request(_) | Self::Notification(_) | Self::RootsChanged(_) => None,
        }
    }

    /// It is being sent.
    pub fn is_sent(&mut self) {
        if let Self::Answer { sendings, .. } = self {
            *sendings += 1;
        }
    }

    /// Whether it may be sent again although it may have arrived.
    pub fn may_repeat(&self) -> bool {
        matches!(self, Self::Answer { sendings, .. } if *sendings < MAX_ANSWER_SENDINGS)
    }

    fn bytes(&self) -> usize {
        self.text().map_or(0, str::len)
    }
}

/// The queue.
///
/// Invariants: the messages stand in the client's order; `notes` and `bytes` are the number and the size of those that are no
/// requests, which are counted in their own table; the engine's own messages never stand in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    notes: usize,
    bytes: usize,
}

impl Outbox {
    /// Puts a message in its place.
    pub fn put(&mut self, queued: Queued) {
        debug_assert!(!matches!(queued.message, Outgoing::Aside(_)));
        self.notes += usize::from(!matches!(queued.message, Outgoing::Request(_)));
        self.bytes += queued.message.bytes();
        let at = self.queue.partition_point(|other| other.order <= queued.order);
        self.queue.insert(at, queued);
    }

    pub fn front(&self) -> Option<&Queued> {
        self.queue.front()
    }

    /// Takes the first message.
    pub fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.notes -= usize::from(!matches!(queued.message, Outgoing::Request(_)));
        self.bytes -= queued.message.bytes();
        Some(queued)
    }

    /// A request is not to be sent any more.
    pub fn withdraw(&mut self, key: RequestKey) {
        self.drop_where(|queued| queued.message == Outgoing::Request(key));
    }

    /// Drops what a later `roots/list_changed` says again.
    pub fn withdraw_roots_changed(&mut self) {
        self.drop_where(|queued| matches!(queued.message, Outgoing::RootsChanged(_)));
    }

    /// Drops the notifications and responses that expire until then; gives their number.
    pub fn drop_expired(&mut self, until: Instant) -> usize {
        self.drop_where(|queued| queued.expires.is_some_and(|at| at <= until))
    }

    fn drop_where(&mut self, drops: impl Fn(&Queued) -> bool) -> usize {
        let before = self.queue.len();
        self.queue.retain(|queued| {
            let dropped = drops(queued);
            if dropped {
                self.notes -= usize::from(!matches!(queued.message, Outgoing::Request(_)));
                self.bytes -= queued.message.bytes();
            }
            !dropped
        });
        before - self.queue.len()
    }

    /// When the first of the notifications and responses expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.queue.iter().filter_map(|queued| queued.expires).min()
    }

    /// How many of the messages are no requests.
    pub fn notes(&self) -> usize {
        self.notes
    }

    /// The size of those.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;
    use crate::api::time::tests::at;

    fn note(order: u64, text: &str, expires: u64) -> Queued {
        Queued::note(order, Outgoing::Notification(text.to_string()), Some(at(expires)))
    }

    /// The invariants, and the places of the messages in the client's order.
    fn orders(outbox: &Outbox) -> Vec<u64> {
        let notes = outbox.queue.iter().filter(|queued| queued.message.text().is_some());
        assert_eq!(outbox.notes(), notes.clone().count());
        assert_eq!(outbox.bytes(), notes.map(|queued| queued.message.bytes()).sum::<usize>());
        let orders: Vec<_> = outbox.queue.iter().map(|queued| queued.order).collect();
        assert!(orders.is_sorted());
        orders
    }

    #[test]
    fn what_comes_back_takes_its_place() {
        let mut outbox = Outbox::default();
        for order in [5, 2, 9] {
            outbox.put(note(order, "text", 100));
        }
        outbox.put(Queued::request(RequestKey(4)));
        assert_eq!(orders(&outbox), [2, 4, 5, 9]);
        let first = outbox.pop().unwrap();
        assert_eq!(orders(&outbox), [4, 5, 9]);
        outbox.put(first);
        assert_eq!(orders(&outbox), [2, 4, 5, 9]);
        assert_eq!(outbox.front().map(|queued| queued.order), Some(2));
        assert_eq!((outbox.len(), outbox.notes(), outbox.bytes()), (4, 3, 12));
        while outbox.pop().is_some() {
            orders(&outbox);
        }
        assert_eq!(outbox, Outbox::default());
    }

    #[test]
    fn notifications_expire_and_requests_do_not() {
        let mut outbox = Outbox::default();
        outbox.put(Queued::request(RequestKey(1)));
        assert_eq!(outbox.next_expiry(), None);
        outbox.put(note(2, "a", 20));
        outbox.put(note(3, "bc", 10));
        assert_eq!(outbox.next_expiry(), Some(at(10)));
        assert_eq!(outbox.drop_expired(at(9)), 0);
        assert_eq!(outbox.drop_expired(at(10)), 1);
        assert_eq!(orders(&outbox), [1, 2]);
        assert_eq!(outbox.drop_expired(Instant::MAX), 1);
        assert_eq!(orders(&outbox), [1]);
        outbox.withdraw(RequestKey(2));
        assert!(!outbox.is_empty());
        outbox.withdraw(RequestKey(1));
        assert!(outbox.is_empty());
    }

    #[test]
    fn one_change_of_roots_is_as_good_as_many() {
        let mut outbox = Outbox::default();
        outbox.put(Queued::note(1, Outgoing::RootsChanged("first".to_string()), Some(at(50))));
        outbox.put(note(2, "other", 50));
        outbox.withdraw_roots_changed();
        outbox.put(Queued::note(3, Outgoing::RootsChanged("second".to_string()), Some(at(50))));
        assert_eq!(orders(&outbox), [2, 3]);
    }

    #[test]
    fn an_answer_may_be_repeated_a_few_times_and_a_notification_never() {
        let mut answer = Outgoing::Answer { epoch: 1, text: String::new(), sendings: 0 };
        for sendings in 0..6 {
            assert_eq!(answer.may_repeat(), sendings < MAX_ANSWER_SENDINGS);
            answer.is_sent();
        }
        let mut notification = Outgoing::Notification(String::new());
        notification.is_sent();
        assert!(!notification.may_repeat());
        assert_eq!((answer.epoch(), notification.epoch()), (Some(1), None));
    }
}
