//! Notices that the machine slept. The clock of all timers stops meanwhile, so no heartbeat comes due, and the server or a
//! box on the way has often forgotten the connection.

use std::time::Duration;

/// How often to look.
const PACE: Duration = Duration::from_secs(2);
/// A sleep is longer than this; less is the noise of reading two clocks.
const SHORTEST: Duration = Duration::from_secs(1);

/// Watches for sleeps from its creation on.
pub struct SleepWatch<D> {
    /// By how much the clock that runs through sleep is ahead of the one that stops. Only its growth means something.
    drift: D,
    seen: Duration,
    pace: Duration,
}

impl SleepWatch<fn() -> Duration> {
    /// Watches this machine.
    pub fn new() -> Self {
        Self::with(drift, PACE)
    }
}

impl<D: Fn() -> Duration> SleepWatch<D> {
    fn with(drift: D, pace: Duration) -> Self {
        Self { seen: drift(), drift, pace }
    }

    /// Resolves after the machine woke up, with how long it slept. Cancel safe.
    pub async fn woke(&mut self) -> Duration {
        loop {
            let now = (self.drift)();
            let slept = now.saturating_sub(self.seen);
            self.seen = now;
            if slept > SHORTEST {
                return slept;
            }
            tokio::time::sleep(self.pace).await;
        }
    }
}

#[cfg(target_os = "linux")]
fn drift() -> Duration {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let duration = |time: Timespec| {
        Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
    };
    duration(clock_gettime(ClockId::Boottime)).saturating_sub(duration(clock_gettime(ClockId::Monotonic)))
}

/// Elsewhere the calendar is the clock that runs through sleep. A correction of it is taken for a sleep, which costs a
/// ping.
#[cfg(not(target_os = "linux"))]
fn drift() -> Duration {
    use std::sync::OnceLock;
    use std::time::{Instant, SystemTime, UNIX_EPOCH};
    static START: OnceLock<Instant> = OnceLock::new();
    let calendar = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    calendar.saturating_sub(START.get_or_init(Instant::now).elapsed())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_jump_is_a_sleep_and_noise_is_not() {
        // How far the clocks have drifted apart, each time they are read.
        let drifts = [5000, 5000, 5900, 5800, 6700, 66_700, 66_700, 69_000].map(Duration::from_millis);
        let reads = Cell::new(0);
        let drift = || {
            reads.set(reads.get() + 1);
            drifts[reads.get() - 1]
        };
        let mut watch = SleepWatch::with(drift, Duration::from_millis(1));
        assert_eq!(watch.woke().await, Duration::from_secs(60));
        assert_eq!(watch.woke().await, Duration::from_millis(2300));
    }

    #[test]
    fn an_awake_machine_does_not_drift() {
        let before = drift();
        std::thread::sleep(Duration::from_millis(50));
        assert!(drift().abs_diff(before) < Duration::from_millis(40));
    }
}
