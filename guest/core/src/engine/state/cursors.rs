//! The pagination cursors that were given out, each with the epoch of the session that gave it: a cursor means nothing in
//! another session (MCP, "Pagination").

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

/// The most cursors that are remembered; the oldest is forgotten first.
const MAX_CURSORS: usize = 1024;
/// The most bytes of them.
const MAX_BYTES: usize = 1 << 20;

/// A page of a list: the list's method, and the cursor as raw JSON in one spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Page {
    pub method: String,
    pub cursor: String,
}

impl Page {
    fn bytes(&self) -> usize {
        self.method.len() + self.cursor.len()
    }
}

/// The cursors that were given out lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Cursors {
    epochs: BTreeMap<Page, u64>,
    order: VecDeque<Page>,
    bytes: usize,
}

impl Cursors {
    /// The list result of a session of this epoch names a next page.
    pub fn given(&mut self, page: Page, epoch: u64) {
        if page.bytes() > MAX_BYTES {
            return;
        }
        if let Some(known) = self.epochs.get_mut(&page) {
            *known = epoch.max(*known);
            return;
        }
        while self.order.len() >= MAX_CURSORS || self.bytes + page.bytes() > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= oldest.bytes();
            self.epochs.remove(&oldest);
        }
        self.bytes += page.bytes();
        self.order.push_back(page.clone());
        self.epochs.insert(page, epoch);
    }

    /// Whether the cursor was given by a session before this epoch, and not again since.
    pub fn is_outdated(&self, page: &Page, epoch: u64) -> bool {
        self.epochs.get(page).is_some_and(|known| *known < epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(cursor: impl Into<String>) -> Page {
        Page { method: "tools/list".into(), cursor: cursor.into() }
    }

    #[test]
    fn a_cursor_is_good_in_the_session_that_gave_it_last() {
        let mut cursors = Cursors::default();
        cursors.given(page("1"), 1);
        assert!(!cursors.is_outdated(&page("1"), 1));
        assert!(cursors.is_outdated(&page("1"), 2));
        assert!(!cursors.is_outdated(&page("2"), 2));
        assert!(!cursors.is_outdated(&Page { method: "prompts/list".into(), ..page("1") }, 2));
        cursors.given(page("1"), 2);
        assert!(!cursors.is_outdated(&page("1"), 2));
        // A late answer of the old session takes nothing back.
        cursors.given(page("1"), 1);
        assert!(!cursors.is_outdated(&page("1"), 2));
    }

    #[test]
    fn cursors_are_bounded_in_number_and_bytes() {
        let mut cursors = Cursors::default();
        for number in 0..=MAX_CURSORS {
            cursors.given(page(alloc::format!("{number}")), 1);
        }
        assert_eq!((cursors.epochs.len(), cursors.order.len()), (MAX_CURSORS, MAX_CURSORS));
        assert!(!cursors.is_outdated(&page("0"), 2) && cursors.is_outdated(&page("1"), 2));
        cursors.given(page("x".repeat(MAX_BYTES - "tools/list".len())), 1);
        assert_eq!((cursors.epochs.len(), cursors.bytes), (1, MAX_BYTES));
        cursors.given(page("y".repeat(MAX_BYTES)), 1);
        assert_eq!(cursors.epochs.len(), 1);
        cursors.given(page("z"), 1);
        assert_eq!((cursors.epochs.len(), cursors.bytes), (1, "tools/listz".len()));
        // Both of them fill it to the last byte.
        cursors.given(page("x".repeat(MAX_BYTES - 2 * "tools/list".len() - 1)), 1);
        assert_eq!((cursors.epochs.len(), cursors.bytes), (2, MAX_BYTES));
    }
}
