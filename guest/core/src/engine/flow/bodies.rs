//! The bound on all bodies together: past it the large ones wait for the oldest of them.

use alloc::vec::Vec;
use core::time::Duration;

use crate::engine::Engine;
use crate::engine::state::timers::Timer;
use crate::{ExchangeId, Output};

/// A body of which less is held never waits: most are smaller, and those that answer pings must not wait. So much of each body is
/// not counted, so that the beginnings of those that wait take no room from the one that is read.
const LARGE: usize = 64 << 10;
/// How long the body that the others wait for may bring nothing, before one more is read beside it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of the bodies that are being read, beside what each exchange knows of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bodies {
    /// Some may be large: only then is anything to be weighed.
    large: bool,
    /// Bodies that brought nothing while others waited for them.
    stalled: usize,
}

impl Engine {
    /// So many bytes of this body have come: gives the memory that its buffer may still take.
    pub(crate) fn room_for_body(&mut self, id: ExchangeId, bytes: usize) -> usize {
        let Some(exchange) = self.exchanges.get(id) else { return 0 };
        if exchange.held() + bytes < LARGE {
            return usize::MAX;
        }
        self.bodies.large = true;
        if !exchange.paused && self.timers.is_set(Timer::Bodies) {
            self.timers.set(Timer::Bodies, self.now + PATIENCE);
        }
        let reserved: usize = self.exchanges.values().map(|exchange| counted(exchange.reserved())).sum();
        self.options.max_total_body_bytes.saturating_sub(reserved)
    }

    /// Has large bodies wait, or read on, as the bound on all of them says.
    ///
    /// While there is room for all that may come of the oldest, the others are read too. When there is not, it is read alone:
    /// it ends, by itself or by a limit of its own, and makes room for the next.
    pub(crate) fn balance_bodies(&mut self) {
        if !self.bodies.large {
            return;
        }
        self.give_up_the_largest();
        let bound = self.options.max_total_body_bytes;
        let large: Vec<ExchangeId> =
            self.exchanges.iter().filter(|(_, exchange)| exchange.held() >= LARGE).map(|(id, _)| id).collect();
        let reserved: usize = self.exchanges.values().map(|exchange| counted(exchange.reserved())).sum();
        let first = large.first().and_then(|id| self.exchanges.get(*id));
        let outstanding = first.map_or(0, |exchange| exchange.outstanding(self.options.max_event_bytes));
        // An eighth is for what comes between an order to a driver and its effect.
        let crowded = large.len() > 1 && reserved.saturating_add(outstanding) > bound - bound / 8;
        if !crowded {
            self.bodies.stalled = 0;
        }
        let reading = if crowded { &large[..(1 + self.bodies.stalled).min(large.len())] } else { &large[..] };
        let waiting = reading.len() < large.len();
        let all: Vec<_> = self.exchanges.iter().map(|(id, exchange)| (id, exchange.held() >= LARGE)).collect();
        for (id, large) in all {
            let pause = large && !reading.contains(&id);
            if self.exchanges.pause(id, pause) {
                self.outputs.push_back(if pause { Output::Pause(id) } else { Output::Resume(id) });
            }
        }
        self.bodies.large = !large.is_empty();
        if !waiting {
            self.timers.clear(Timer::Bodies);
        } else if !self.timers.is_set(Timer::Bodies) {
            self.timers.set(Timer::Bodies, self.now + PATIENCE);
        }
    }

    /// The body that the others wait for brings nothing: the next one is read beside it.
    pub(crate) fn on_body_stalled(&mut self) {
        self.bodies.stalled = self.bodies.stalled.saturating_add(1);
    }

    /// More is held than may be, and waiting makes no room: bodies that are read side by side because each of them stalled, or
    /// many small ones.
    fn give_up_the_largest(&mut self) {
        let bound = self.options.max_total_body_bytes;
        while self.exchanges.values().map(|exchange| counted(exchange.held())).sum::<usize>() > bound {
            let largest = self.exchanges.iter().max_by_key(|(_, exchange)| exchange.held()).map(|(id, _)| id);
            let Some(largest) = largest else { return };
            self.give_up_body(largest, "its body, with those that are read beside it,", bound, "max-total-body-bytes");
        }
    }
}

/// What counts of so many bytes of a body.
fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(LARGE)
}
