//! Promise 6, after every input.

use mcp_reconnect_core::{Input, SECOND};
use std::time::Duration;

use crate::support::waits;
use crate::support::world::World;

/// More exchanges than requests, at once: streams, notifications, answers and requests of the engine's own.
const AT_ONCE: usize = 64;
/// How long a response may go on after the answer that it brought.
const LINGER: Duration = Duration::from_secs(5);

impl World {
    /// There is a deadline while anything is under way, and it is not too far away.
    pub(in super::super) fn check_alive(&mut self) {
        self.check_decided();
        self.check_crowd();
        if self.watch.stuck {
            return;
        }
        if self.closed {
            let status = self.engine.status();
            if self.engine.deadline().is_some() || status.in_flight + status.queued > 0 {
                self.violate(format!("closed, and something is left: {status:?}"));
                self.watch.stuck = true;
            }
            return;
        }
        let (initialized, rest) = (self.client.said_initialized, self.watch.rest_until);
        if let Some(problem) = waits::problem(&self.engine, &self.options, self.now, initialized, rest) {
            self.watch.stuck = true;
            self.violate(problem);
        }
    }

    /// Whatever a server does unasked, and however much a new session must get back: not all of it at once.
    fn check_crowd(&mut self) {
        let open = self.open_exchanges();
        if open <= AT_ONCE || self.watch.crowded {
            return;
        }
        let in_flight = self.engine.status().in_flight;
        // Each request that timed out is cancelled at the server; and a response may go on for a moment after its answer.
        let recent = self.client.asked.values().filter(|asked| asked.at + LINGER > self.now).count();
        if open > AT_ONCE + recent.max(in_flight as usize) + self.watch.promised_cancels.len() {
            self.watch.crowded = true;
            self.violate(format!("{open} exchanges at once, with {in_flight} requests in flight"));
        }
    }

    /// Takes note of what an input says of the waits that are allowed after it.
    pub(in super::super) fn note_input(&mut self, input: &Input) {
        match input {
            Input::Response { exchange, status, headers } => {
                self.watch.statuses.insert(*status);
                self.note_first_head(*exchange, *status);
                if let Some((_, value)) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after")) {
                    // A date may be as far away as is allowed.
                    let seconds = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()).unwrap_or(300);
                    self.watch.rest_until = self.watch.rest_until.max(self.now + seconds.min(300) * SECOND);
                }
            }
            Input::Message(text) if text.contains(r#""method":"notifications/initialized""#) => {
                self.client.said_initialized = true;
            }
            Input::Message(text) if text.contains(r#""method":"initialize""#) => {
                self.client.said_initialized = false;
            }
            Input::Close => self.watch.closing = true,
            _ => {}
        }
    }
}
