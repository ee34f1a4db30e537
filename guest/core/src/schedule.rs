//! When things happen: the one table of timers, the delays between attempts, and the engine's randomness.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::options::{MILLISECOND, SECOND};
use crate::request::RequestKey;
use crate::{ExchangeId, Nanos};

/// Everything that waits for a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The next attempt to connect, or to find out whether the session lives.
    Attempt,
    /// Silence has lasted for the heartbeat interval, perhaps.
    Heartbeat,
    /// A request was held for too long.
    Hold(RequestKey),
    /// A request ran for too long.
    Run(RequestKey),
    /// The answer to this exchange should have begun.
    Head(ExchangeId),
    /// What is left of this exchange is of no use: let it end by itself until then.
    Linger(ExchangeId),
    /// HTTP+SSE: the stream was lost while this request's POST was pending, or the POST while the stream lives; the status,
    /// or the answer on the stream, is awaited until then.
    Grace(RequestKey),
    /// A request's response stream is to be resumed.
    Resume(RequestKey),
    /// A resumed stream is silent: open it again.
    Reopen(RequestKey),
    /// The standalone stream is to be opened (again).
    Standalone,
    /// The notification under way has held up those behind it for long enough.
    Notify,
    /// The `endpoint` event should have come.
    Endpoint,
    /// `initialize` has waited for a server that is down for long enough.
    Start,
    /// A rejected request has waited for fresh credentials for long enough.
    Credentials,
    /// A new session has waited for fresh headers for long enough.
    Headers,
    /// A DELETE before a new session has taken long enough.
    Goodbye,
    /// Draining before the close has taken long enough.
    Drain,
    /// The body that is read while others wait has brought nothing for long enough.
    Bodies,
}

/// The table of timers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Nanos, Timer)>,
    times: BTreeMap<Timer, Nanos>,
}

impl Timers {
    /// Sets a timer; an earlier setting of it is forgotten.
    pub fn set(&mut self, timer: Timer, at: Nanos) {
        self.clear(timer);
        self.times.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.times.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub fn is_set(&self, timer: Timer) -> bool {
        self.times.contains_key(&timer)
    }

    pub fn next_of(&self, timer: Timer) -> Option<Nanos> {
        self.times.get(&timer).copied()
    }

    pub fn next(&self) -> Option<Nanos> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes a timer that is due.
    pub fn pop(&mut self, now: Nanos) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough for jitter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..=limit`, by the high half of a product (the bias is below 2⁻³² for delays).
    pub fn up_to(&mut self, limit: Nanos) -> Nanos {
        ((u128::from(self.next()) * (u128::from(limit) + 1)) >> 64) as Nanos
    }
}

/// No attempt follows a failed one sooner than this, unless a request waits.
pub(crate) const FLOOR: Nanos = 100 * MILLISECOND;
/// While a request waits, attempts are at most this far apart.
const WAITING_CAP: Nanos = SECOND;
/// While a request waits, attempts are at least half this far apart.
const WAITING_FLOOR: Nanos = 50 * MILLISECOND;

/// The delay before attempt `attempt` (from 0) when nobody waits: full jitter over a doubling, capped window.
pub(crate) fn idle_delay(rng: &mut Rng, attempt: u32, base: Nanos, cap: Nanos) -> Nanos {
    let window = base.saturating_mul(1u64 << attempt.min(32)).min(cap);
    let floor = FLOOR.min(window);
    floor + rng.up_to(window - floor)
}

/// The delay while a request waits: in proportion to how long the server has been away, so that a short restart is
/// noticed within milliseconds and a long one is not hammered; never more than a second.
///
/// `barren` counts sessions in a row that nothing came of: each doubles the delay.
pub(crate) fn waiting_delay(rng: &mut Rng, down_for: Nanos, barren: u32) -> Nanos {
    let window = (down_for / 32).max(WAITING_FLOOR << barren.min(8)).min(WAITING_CAP);
    window / 2 + rng.up_to(window / 2)
}

/// The delay while a request waits and the server answers, but with what is of no use: it is there, and hurry is of none.
pub(crate) fn refused_delay(rng: &mut Rng, attempt: u32, base: Nanos) -> Nanos {
    let window = base.saturating_mul(1u64 << attempt.min(32)).clamp(FLOOR, WAITING_CAP);
    window / 2 + rng.up_to(window / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_order_and_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Heartbeat, 30);
        timers.set(Timer::Attempt, 20);
        timers.set(Timer::Heartbeat, 10);
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.pop(9), None);
        assert_eq!(timers.pop(25), Some(Timer::Heartbeat));
        assert_eq!(timers.pop(25), Some(Timer::Attempt));
        assert_eq!(timers.pop(25), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn idle_delays_are_jittered_between_floor_and_cap() {
        let mut rng = Rng::new(7);
        let mut seen = BTreeSet::new();
        for attempt in 0..200 {
            let delay = idle_delay(&mut rng, attempt, 500 * MILLISECOND, 30 * SECOND);
            assert!((FLOOR..=30 * SECOND).contains(&delay));
            if attempt == 0 {
                assert!(delay <= 500 * MILLISECOND);
            }
            seen.insert(delay);
        }
        assert!(seen.len() > 150);
        assert!(*seen.last().unwrap() > 28 * SECOND);
    }

    #[test]
    fn waiting_delays_follow_the_outage() {
        let mut rng = Rng::new(7);
        for _ in 0..200 {
            assert!((25 * MILLISECOND..=50 * MILLISECOND).contains(&waiting_delay(&mut rng, 0, 0)));
            assert!(waiting_delay(&mut rng, 2 * SECOND, 0) <= 63 * MILLISECOND);
            assert!((500 * MILLISECOND..=SECOND).contains(&waiting_delay(&mut rng, 3600 * SECOND, 0)));
            assert!((200 * MILLISECOND..=400 * MILLISECOND).contains(&waiting_delay(&mut rng, 0, 3)));
        }
    }

    #[test]
    fn a_server_that_answers_with_nothing_of_use_is_not_hurried() {
        let mut rng = Rng::new(7);
        let ms = |from: u64, to: u64| from * MILLISECOND..=to * MILLISECOND;
        for (attempt, base, range) in [
            (0, 500, ms(250, 500)),
            (1, 500, ms(500, 1000)),
            (9, 500, ms(500, 1000)),
            (u32::MAX, 500, ms(500, 1000)),
            (0, 1, ms(50, 100)),
            (3, 25, ms(100, 200)),
        ] {
            let delays: BTreeSet<_> = (0..200).map(|_| refused_delay(&mut rng, attempt, base * MILLISECOND)).collect();
            assert!(delays.iter().all(|delay| range.contains(delay)), "{attempt} {base} {delays:?}");
            let (least, most) = (delays.first().unwrap(), delays.last().unwrap());
            assert!((most - least) * 10 > (range.end() - range.start()) * 9, "they are spread over the range");
        }
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The reference implementation's first outputs for the seed 1234567.
        let mut rng = Rng::new(1_234_567);
        let drawn = [rng.next(), rng.next(), rng.next(), rng.next(), rng.next()];
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn random_numbers_reach_both_ends() {
        let mut rng = Rng::new(1);
        let drawn: BTreeSet<_> = (0..200).map(|_| rng.up_to(3)).collect();
        assert_eq!(drawn.into_iter().collect::<alloc::vec::Vec<_>>(), [0, 1, 2, 3]);
    }
}
