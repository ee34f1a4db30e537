//! When things happen: the one table of timers.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::engine::state::requests::RequestKey;
use crate::{ExchangeId, Instant};

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
    /// A request was sent in a session that has been replaced, and its response has been silent for too long.
    OldSession(RequestKey),
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
    /// A notification or response of the client was held for too long.
    NotificationHold,
    /// The `endpoint` event should have come.
    Endpoint,
    /// `initialize` has waited for a server that is down for long enough.
    Start,
    /// A `server/discover` of the client has waited for as long as clients do.
    Discover(RequestKey),
    /// A stream of notifications is to be opened again, or should have been acknowledged.
    Listen(RequestKey),
    /// The engine's own stream of notifications should have been acknowledged.
    OwnListen,
    /// Versions without sessions: the next attempt to reach the server.
    ModernAttempt,
    /// Versions without sessions: the server is to be asked whether it is there.
    ModernLiveness,
    /// Versions without sessions: a question of the engine's own should have been answered.
    ModernOwn(ExchangeId),
    /// Versions without sessions: rejected requests have waited for fresh credentials for long enough.
    ModernCredentials,
    /// A rejected request has waited for fresh credentials for long enough.
    Credentials,
    /// A new session has waited for fresh headers for long enough.
    Headers,
    /// Subscriptions and the log level are to be restored, after a pause.
    Restore,
    /// A DELETE before a new session has taken long enough.
    Delete,
    /// Draining before the close has taken long enough.
    Drain,
    /// The body that is read while others wait has brought nothing for long enough.
    Bodies,
}

/// The table of timers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    times: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets a timer; an earlier setting of it is forgotten.
    pub fn set(&mut self, timer: Timer, at: Instant) {
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

    pub fn next_of(&self, timer: Timer) -> Option<Instant> {
        self.times.get(&timer).copied()
    }

    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes a timer that is due.
    pub fn pop(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::time::tests::at;

    #[test]
    fn timers_come_in_order_and_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Heartbeat, at(30));
        timers.set(Timer::Attempt, at(20));
        timers.set(Timer::Heartbeat, at(10));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(25)), Some(Timer::Heartbeat));
        assert_eq!(timers.pop(at(25)), Some(Timer::Attempt));
        assert_eq!(timers.pop(at(25)), None);
        assert_eq!(timers.next(), None);
    }
}
