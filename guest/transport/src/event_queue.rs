//! The events that the caller has not taken.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::bindings::exports::mcp_reconnect::transport::client::Event;

/// Messages that are given at once are together no larger than this, in bytes, after the first.
const TOGETHER: usize = 1 << 20;

/// A queue of events. Those that `send` has left are counted, since a caller may send without end; all others come of
/// `receive`, which stops while there are any, or of calls that add a few.
pub struct EventQueue {
    queue: VecDeque<Item>,
    /// What is counted in the queue.
    messages: usize,
    bytes: usize,
    /// Bytes of all messages in the queue.
    all_bytes: usize,
    /// When it is full.
    max_messages: usize,
    max_bytes: usize,
}

struct Item {
    event: Event,
    is_counted: bool,
}

impl EventQueue {
    /// Nothing waits yet.
    pub fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { queue: VecDeque::new(), messages: 0, bytes: 0, all_bytes: 0, max_messages, max_bytes }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// How many of the events that `send` has left still wait, when they are too many for another `send`.
    pub fn full(&self) -> Option<usize> {
        (self.messages >= self.max_messages || self.bytes >= self.max_bytes).then_some(self.messages)
    }

    /// Whether there is as much as is given at once.
    pub fn is_plenty(&self) -> bool {
        self.all_bytes >= TOGETHER
    }

    /// Adds an event.
    pub fn push(&mut self, event: Event) {
        self.all_bytes += size(&event);
        self.queue.push_back(Item { event, is_counted: false });
    }

    /// Counts the events from this place in the queue on: a `send` has left them.
    pub fn count_from(&mut self, place: usize) {
        for item in self.queue.iter_mut().skip(place) {
            item.is_counted = true;
            self.messages += 1;
            self.bytes += size(&item.event);
        }
    }

    /// The next events: at most `max`, any number for zero, and after the first no more than [`TOGETHER`].
    pub fn take(&mut self, max: u32) -> Vec<Event> {
        let most = if max == 0 { self.queue.len() } else { self.queue.len().min(max as usize) };
        let mut bytes = 0;
        let sizes = self.queue.iter().take(most).map(|item| size(&item.event));
        let fitting = sizes.take_while(|size| {
            bytes += size;
            bytes <= TOGETHER
        });
        let count = fitting.count().max(1).min(most);
        let mut events = Vec::with_capacity(count);
        for item in self.queue.drain(..count) {
            let size = size(&item.event);
            self.all_bytes -= size;
            if item.is_counted {
                self.messages -= 1;
                self.bytes -= size;
            }
            events.push(item.event);
        }
        events
    }
}

/// What an event takes in memory beside a constant.
fn size(event: &Event) -> usize {
    match event {
        Event::Message(text) => text.len(),
        _ => 0,
    }
}
