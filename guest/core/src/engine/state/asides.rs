//! Messages that the engine sends beside the client's, and that wait for nothing: answers to a server's pings, refusals of
//! its questions, and cancellations. They count as nobody's messages, and have bounds of their own, because a server can
//! cause as many of them as it likes.

use alloc::collections::VecDeque;
use alloc::string::String;

/// Answers that wait for those before them, or for the connection.
const MAX_REPLIES: usize = 64;
/// Cancellations that wait for the connection.
const MAX_CANCELLATIONS: usize = 1024;
/// The most bytes of either.
const MAX_BYTES: usize = 1 << 20;
/// Answers under way at once.
pub(crate) const MAX_UNDER_WAY: usize = 4;

/// Such a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Aside {
    /// The session that it belongs to.
    pub epoch: u64,
    pub text: String,
    /// It answers the server, and so do only a few at once.
    pub reply: bool,
}

/// Whether a message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// There were too many. `first`: that was not so before.
    No {
        first: bool,
    },
}

/// Those that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Asides {
    replies: VecDeque<Aside>,
    cancellations: VecDeque<Aside>,
    reply_bytes: usize,
    cancellation_bytes: usize,
    /// Answers are being dropped.
    flooded: bool,
}

impl Asides {
    /// Takes a message. An answer that waits already is not taken twice.
    pub fn push(&mut self, aside: Aside) -> Taken {
        let (queue, bytes, most) = if aside.reply {
            (&mut self.replies, &mut self.reply_bytes, MAX_REPLIES)
        } else {
            (&mut self.cancellations, &mut self.cancellation_bytes, MAX_CANCELLATIONS)
        };
        if aside.reply && queue.contains(&aside) {
            return Taken::Yes;
        }
        if queue.len() >= most || *bytes + aside.text.len() > MAX_BYTES {
            return Taken::No { first: !(aside.reply && core::mem::replace(&mut self.flooded, true)) };
        }
        *bytes += aside.text.len();
        queue.push_back(aside);
        Taken::Yes
    }

    /// The next one to send in the session of this epoch, while so many answers are under way. Those of other sessions are
    /// dropped.
    pub fn next(&mut self, epoch: u64, replies_under_way: usize) -> Option<Aside> {
        while let Some(aside) = self.cancellations.pop_front() {
            self.cancellation_bytes -= aside.text.len();
            if aside.epoch == epoch {
                return Some(aside);
            }
        }
        if replies_under_way >= MAX_UNDER_WAY {
            return None;
        }
        while let Some(aside) = self.replies.pop_front() {
            self.reply_bytes -= aside.text.len();
            self.flooded &= !self.replies.is_empty();
            if aside.epoch == epoch {
                return Some(aside);
            }
        }
        None
    }

    /// The session that they belonged to is over.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.cancellations.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn aside(epoch: u64, text: &str, reply: bool) -> Aside {
        Aside { epoch, text: text.into(), reply }
    }

    #[test]
    fn a_few_answers_are_under_way_at_once_and_cancellations_do_not_wait_for_them() {
        let mut asides = Asides::default();
        asides.push(aside(1, "pong", true));
        asides.push(aside(1, "cancelled", false));
        assert_eq!(asides.next(1, MAX_UNDER_WAY), Some(aside(1, "cancelled", false)));
        assert_eq!(asides.next(1, MAX_UNDER_WAY), None);
        assert!(!asides.is_empty());
        assert_eq!(asides.next(1, MAX_UNDER_WAY - 1), Some(aside(1, "pong", true)));
        assert!(asides.is_empty() && asides == Asides::default());
    }

    #[test]
    fn what_belongs_to_another_session_is_dropped() {
        let mut asides = Asides::default();
        for reply in [true, false] {
            asides.push(aside(1, "old", reply));
            asides.push(aside(2, "new", reply));
        }
        assert_eq!(asides.next(2, 0), Some(aside(2, "new", false)));
        assert_eq!(asides.next(2, 0), Some(aside(2, "new", true)));
        assert_eq!(asides.next(2, 0), None);
        assert_eq!(asides, Asides::default());
    }

    #[test]
    fn too_many_are_dropped_and_that_is_told_once_per_flood() {
        let mut asides = Asides::default();
        for flood in 0..2 {
            for number in 0..MAX_REPLIES {
                assert_eq!(asides.push(aside(1, &format!("{flood} {number}"), true)), Taken::Yes);
                assert_eq!(asides.push(aside(1, &format!("{flood} {number}"), true)), Taken::Yes);
            }
            assert_eq!(asides.push(aside(1, "more", true)), Taken::No { first: true });
            assert_eq!(asides.push(aside(1, "more", true)), Taken::No { first: false });
            while asides.next(1, 0).is_some() {}
        }
        for number in 0..MAX_CANCELLATIONS {
            assert_eq!(asides.push(aside(1, &format!("{number}"), false)), Taken::Yes);
        }
        assert_eq!(asides.push(aside(1, "more", false)), Taken::No { first: true });
    }

    #[test]
    fn their_bytes_are_bounded() {
        for reply in [true, false] {
            let mut asides = Asides::default();
            assert_eq!(asides.push(aside(1, &"a".repeat(MAX_BYTES), reply)), Taken::Yes);
            assert_eq!(asides.push(aside(1, "b", reply)), Taken::No { first: true });
            assert!(asides.next(1, 0).is_some());
            assert_eq!(asides.push(aside(1, "b", reply)), Taken::Yes);
        }
    }

    #[test]
    fn a_flood_lasts_until_all_answers_that_waited_are_sent() {
        let mut asides = Asides::default();
        for number in 0..MAX_REPLIES {
            asides.push(aside(1, &format!("{number}"), true));
        }
        assert_eq!(asides.push(aside(1, "more", true)), Taken::No { first: true });
        assert!(asides.next(1, 0).is_some());
        assert_eq!(asides.push(aside(1, "in time", true)), Taken::Yes);
        assert_eq!(asides.push(aside(1, "more", true)), Taken::No { first: false }, "it is the same one");
        asides.clear();
        assert_eq!(asides, Asides::default());
    }
}
