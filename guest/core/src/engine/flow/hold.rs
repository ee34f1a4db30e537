//! The hold clock of each request: how long it may wait to be sent, or for its stream to go on. It does not run while the server
//! itself asked for the wait.

use crate::engine::Engine;
use crate::engine::state::requests::RequestKey;
use crate::engine::state::timers::Timer;
use core::time::Duration;

impl Engine {
    /// Starts the clock: the request may wait for so long from now on.
    pub(crate) fn start_hold(&mut self, key: RequestKey, time: Duration) {
        self.timers.set(Timer::Hold(key), self.now + time);
        self.stop_hold_for(key, self.pause.left(self.now));
    }

    /// The server asks for a pause (`Retry-After`): no attempt is made before it is over, and no hold clock runs meanwhile.
    pub(crate) fn server_asks_for_pause(&mut self, pause: Duration) {
        self.attempts.not_before(self.now + pause);
        let more = self.pause.ask(self.now, pause);
        let held: alloc::vec::Vec<_> = self.requests.iter().map(|(key, _)| *key).collect();
        for key in held {
            self.stop_hold_for(key, more);
        }
    }

    fn stop_hold_for(&mut self, key: RequestKey, pause: Duration) {
        if let Some(end) = self.timers.next_of(Timer::Hold(key))
            && let Some(stop) = self.requests.pauses(key, pause)
        {
            self.timers.set(Timer::Hold(key), end + stop);
        }
    }
}
