//! The delays between attempts, and the randomness that spreads them.

use crate::api::options::LONGEST;
use crate::api::time::SECOND;
use crate::api::time::nanos;
use core::time::Duration;

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
    fn number(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * (u128::from(limit) + 1)) >> 64) as u64
    }

    /// A duration up to this one, to the nanosecond.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.number(nanos(longest)))
    }
}

/// A duration doubled so many times, at most [`LONGEST`]: a shift would lose the bits that leave it at the top.
pub(crate) fn doubled(duration: Duration, times: u32) -> Duration {
    let factor = 1u64.checked_shl(times).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos(duration).saturating_mul(factor)).min(LONGEST)
}

/// No attempt follows a failed one sooner than this, unless a request waits.
pub(crate) const FLOOR: Duration = Duration::from_millis(100);
/// While a request waits, attempts are at most this far apart, unless they are known to be of little use.
const WAITING_CAP: Duration = SECOND;
/// While a request waits, sessions that nothing comes of are at most this far apart.
const UNPRODUCTIVE_CAP: Duration = Duration::from_secs(4);
/// While a request waits, attempts are at least half this far apart.
const WAITING_FLOOR: Duration = Duration::from_millis(50);
/// The same for a server on another machine, once it has been away for [`HURRY`].
const REMOTE_FLOOR: Duration = Duration::from_millis(500);
/// For so long a server on another machine is asked as often as one on this.
const HURRY: Duration = SECOND;

/// The delay before attempt `attempt` (from 0) when nobody waits: full jitter over a doubling, capped window.
pub(crate) fn idle_delay(rng: &mut Rng, attempt: u32, base: Duration, cap: Duration) -> Duration {
    let window = doubled(base, attempt).min(cap);
    let floor = FLOOR.min(window);
    floor + rng.up_to(window - floor)
}

/// The delay while a request waits: in proportion to how long the server has been away, so that a short restart is
/// noticed within milliseconds and a long one is not hammered; never more than a second.
///
/// A server on another machine may have many who wait for it: after the first second it is asked at most four times a second.
///
/// `unproductive` counts sessions in a row that nothing came of: each doubles the delay, up to 4 seconds or `cap`.
pub(crate) fn waiting_delay(
    rng: &mut Rng,
    down_for: Duration,
    remote: bool,
    unproductive: u32,
    cap: Duration,
) -> Duration {
    let floor = if remote && down_for >= HURRY { REMOTE_FLOOR } else { WAITING_FLOOR };
    let window = (down_for / 32).min(WAITING_CAP).max(doubled(floor, unproductive).min(UNPRODUCTIVE_CAP).min(cap));
    window / 2 + rng.up_to(window / 2)
}

/// The delay while a request waits and the server answers, but with what is of no use: it is there, and hurry is of none. The
/// longer it lasts, the longer the delay, up to `cap`.
pub(crate) fn refused_delay(
    rng: &mut Rng,
    attempt: u32,
    base: Duration,
    down_for: Duration,
    cap: Duration,
) -> Duration {
    let most = (down_for / 4).min(cap).max(WAITING_CAP);
    let window = doubled(base, attempt).clamp(FLOOR, most);
    window / 2 + rng.up_to(window / 2)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::MILLISECOND;

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
            assert!((25 * MILLISECOND..=50 * MILLISECOND).contains(&waiting_delay(
                &mut rng,
                Duration::ZERO,
                false,
                0,
                30 * SECOND
            )));
            assert!(waiting_delay(&mut rng, 2 * SECOND, false, 0, 30 * SECOND) <= 63 * MILLISECOND);
            assert!((500 * MILLISECOND..=SECOND).contains(&waiting_delay(
                &mut rng,
                3600 * SECOND,
                false,
                0,
                30 * SECOND
            )));
            assert!((200 * MILLISECOND..=400 * MILLISECOND).contains(&waiting_delay(
                &mut rng,
                Duration::ZERO,
                false,
                3,
                30 * SECOND
            )));
            assert!((2 * SECOND..=4 * SECOND).contains(&waiting_delay(
                &mut rng,
                Duration::ZERO,
                false,
                40,
                30 * SECOND
            )));
            assert!(waiting_delay(&mut rng, Duration::ZERO, false, 40, 2 * SECOND) <= 2 * SECOND);
        }
    }

    #[test]
    fn a_remote_server_is_asked_four_times_a_second_after_the_first() {
        let mut rng = Rng::new(7);
        let mut delay = |down_for| waiting_delay(&mut rng, down_for, true, 0, 30 * SECOND);
        for _ in 0..200 {
            assert!((25 * MILLISECOND..=50 * MILLISECOND).contains(&delay(999 * MILLISECOND)));
            assert!((250 * MILLISECOND..=500 * MILLISECOND).contains(&delay(SECOND)));
            assert!((500 * MILLISECOND..=SECOND).contains(&delay(3600 * SECOND)));
        }
    }

    #[test]
    fn a_server_that_answers_with_nothing_of_use_is_not_hurried() {
        let mut rng = Rng::new(7);
        let ms = |from: u32, to: u32| from * MILLISECOND..=to * MILLISECOND;
        for (attempt, base, down_for, range) in [
            (0, 500, 0, ms(250, 500)),
            (1, 500, 0, ms(500, 1000)),
            (9, 500, 0, ms(500, 1000)),
            (u32::MAX, 500, 0, ms(500, 1000)),
            (0, 1, 0, ms(50, 100)),
            (3, 25, 0, ms(100, 200)),
            (9, 500, 40, ms(5000, 10_000)),
            (9, 500, 3600, ms(15_000, 30_000)),
        ] {
            let delays: BTreeSet<_> = (0..200)
                .map(|_| refused_delay(&mut rng, attempt, base * MILLISECOND, down_for * SECOND, 30 * SECOND))
                .collect();
            assert!(delays.iter().all(|delay| range.contains(delay)), "{attempt} {base} {delays:?}");
            let (least, most) = (delays.first().unwrap(), delays.last().unwrap());
            assert!((*most - *least) * 10 > (*range.end() - *range.start()) * 9, "they are spread over the range");
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

    /// Every number of doublings, on durations with their highest bit at every place.
    #[test]
    fn doubling_loses_nothing() {
        for bits in 0..64 {
            for duration in [1u64 << bits, (1u64 << bits) - 1, u64::MAX >> bits] {
                for times in (0..=130).chain([u32::MAX - 1, u32::MAX]) {
                    let exact = u128::from(duration) << times.min(64);
                    let expected = exact.min(LONGEST.as_nanos()) as u64;
                    let doubled = doubled(Duration::from_nanos(duration), times);
                    assert_eq!(doubled, Duration::from_nanos(expected), "{duration} {times}");
                }
            }
        }
    }

    #[test]
    fn random_numbers_reach_both_ends() {
        let mut rng = Rng::new(1);
        let drawn: BTreeSet<_> = (0..200).map(|_| rng.number(3)).collect();
        assert_eq!(drawn.into_iter().collect::<alloc::vec::Vec<_>>(), [0, 1, 2, 3]);
    }
}
