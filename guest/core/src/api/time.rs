//! Time as the driver tells it. A span is a [`Duration`]; a point is an [`Instant`], since `std`'s own cannot be made up, and the
//! engine reads no clock.

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// One second.
pub const SECOND: Duration = Duration::from_secs(1);
/// One millisecond.
pub const MILLISECOND: Duration = Duration::from_millis(1);

/// A point on the driver's monotonic clock, which may begin anywhere. Sums and differences end at the ends of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The first point of the clock.
    pub const ZERO: Self = Self(0);
    /// The last point of the clock: 584 years after the first.
    pub const MAX: Self = Self(u64::MAX);

    /// The point so many nanoseconds after the first.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The nanoseconds since the first point.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

/// A duration in nanoseconds; one over 584 years counts as that.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The point so many nanoseconds after the first.
    pub(crate) const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    /// So many nanoseconds.
    pub(crate) const fn ns(nanos: u64) -> Duration {
        Duration::from_nanos(nanos)
    }

    #[test]
    fn sums_and_differences_end_at_the_ends_of_the_clock() {
        assert_eq!(at(5) + ns(7), at(12));
        assert_eq!(Instant::MAX + ns(1), Instant::MAX);
        assert_eq!(at(1) + Duration::MAX, Instant::MAX);
        assert_eq!(at(12) - at(5), ns(7));
        assert_eq!(at(5) - at(12), Duration::ZERO);
        assert_eq!((at(12) - ns(5), at(5) - ns(12)), (at(7), Instant::ZERO));
        let mut point = at(5);
        point += ns(7);
        assert_eq!(point, at(12));
        assert_eq!((nanos(Duration::MAX), nanos(SECOND)), (u64::MAX, 1_000_000_000));
    }
}
