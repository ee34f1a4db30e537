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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::exchanges::{Context, Reading, Role};
    use crate::engine::state::requests::RequestKey;
    use crate::{Instant, Options, Transport};

    const URL: &str = "http://server.test/mcp";
    /// Of all bodies together.
    const BOUND: usize = 1 << 20;

    fn engine() -> Engine {
        let mut engine = Engine::new(Options::new(URL), 1, Instant::ZERO).expect("options are valid");
        // Less than may be asked for.
        engine.options.max_total_body_bytes = BOUND;
        engine.options.max_event_bytes = BOUND;
        engine
    }

    /// A body of which so much is held, and which may become so long.
    fn body(engine: &mut Engine, held: usize, most: usize) -> ExchangeId {
        let context = Context { transport: Transport::StreamableHttp, epoch: 0, had_session: false, wire_id: None };
        let key = RequestKey(engine.exchanges.next_id().0);
        let url = crate::wire::url::Url::parse(URL).expect("it is one");
        let id = engine.exchanges.begin(Role::Modern(key), context, url, 0);
        engine.exchanges.reads(id, Reading::Json(alloc::vec![0; held], most));
        id
    }

    fn is_paused(engine: &Engine, id: ExchangeId) -> bool {
        engine.exchanges.get(id).expect("it is under way").paused
    }

    #[test]
    fn a_body_has_all_room_until_it_is_large_and_then_what_others_leave() {
        let mut engine = engine();
        let id = body(&mut engine, 1000, BOUND);
        assert_eq!(engine.room_for_body(id, LARGE - 1001), usize::MAX);
        assert!(!engine.bodies.large);
        assert_eq!(engine.room_for_body(id, LARGE - 1000), BOUND);
        assert!(engine.bodies.large);
        assert_eq!(engine.room_for_body(id, BOUND), BOUND);
        body(&mut engine, LARGE + 5000, BOUND);
        assert_eq!(engine.room_for_body(id, BOUND), BOUND - 5000);
    }

    #[test]
    fn what_a_body_brings_that_is_read_renews_the_patience_with_it() {
        let mut engine = engine();
        let (read, waits) = (body(&mut engine, LARGE, BOUND), body(&mut engine, LARGE, BOUND));
        engine.room_for_body(read, 1);
        assert!(!engine.timers.is_set(Timer::Bodies), "nobody waits");
        engine.balance_bodies();
        assert_eq!((is_paused(&engine, read), is_paused(&engine, waits)), (false, true));
        let first = engine.timers.next_of(Timer::Bodies);
        assert_eq!(first, Some(Instant::ZERO + PATIENCE));
        engine.now = Instant::ZERO + PATIENCE / 2;
        // What is on its way when it is told to wait counts for nothing.
        engine.room_for_body(waits, 1);
        engine.balance_bodies();
        assert_eq!(engine.timers.next_of(Timer::Bodies), first);
        engine.room_for_body(read, 1);
        assert_eq!(engine.timers.next_of(Timer::Bodies), Some(Instant::ZERO + PATIENCE / 2 + PATIENCE));
    }

    #[test]
    fn bodies_are_read_side_by_side_while_seven_eighths_hold_what_may_come_of_the_first() {
        for (over, waits) in [(0, false), (1, true)] {
            let mut engine = engine();
            let first = body(&mut engine, LARGE, LARGE + BOUND - BOUND / 8 + over);
            let second = body(&mut engine, LARGE, BOUND);
            engine.room_for_body(first, 1);
            engine.balance_bodies();
            assert_eq!((is_paused(&engine, first), is_paused(&engine, second)), (false, waits), "{over}");
            assert_eq!(engine.timers.is_set(Timer::Bodies), waits);
        }
    }

    #[test]
    fn one_more_body_is_read_for_each_that_stalls_until_there_is_room() {
        let mut engine = engine();
        let bodies: Vec<ExchangeId> = (0..3).map(|_| body(&mut engine, LARGE, BOUND)).collect();
        engine.room_for_body(bodies[0], 1);
        for read in 1..=3 {
            engine.balance_bodies();
            let waiting = bodies.iter().filter(|id| is_paused(&engine, **id)).count();
            assert_eq!(waiting, 3 - read);
            engine.on_body_stalled();
        }
        // The first is alone, and then another comes: it waits again.
        engine.exchanges.remove(bodies[1]);
        engine.exchanges.remove(bodies[2]);
        engine.balance_bodies();
        assert!(!engine.timers.is_set(Timer::Bodies));
        let other = body(&mut engine, LARGE, BOUND);
        engine.balance_bodies();
        assert!(is_paused(&engine, other));
    }

    #[test]
    fn the_largest_is_given_up_only_when_more_is_held_than_may_be() {
        for (over, left) in [(0, 2), (1, 1)] {
            let mut engine = engine();
            let large = body(&mut engine, LARGE + BOUND - 1000 + over, 2 * BOUND);
            let small = body(&mut engine, LARGE + 1000, 2 * BOUND);
            engine.room_for_body(large, 1);
            engine.balance_bodies();
            assert_eq!(engine.exchanges.values().count(), left);
            assert!(engine.exchanges.contains(small));
        }
    }
}
