//! Promise 6, after every input: whoever waits is waited for, and no longer than an option allows.

use mcp_reconnect_core::{Input, Nanos, SECOND, State, Status};

use crate::support::world::World;

/// The longest `Retry-After` that is obeyed.
const LONGEST_REST: Nanos = 300 * SECOND;
/// Waits of the engine that no option sets: the `endpoint` event, the pause after a rejection.
const OWN_WAIT: Nanos = 10 * SECOND;
/// So long a cancelled request is remembered.
const CANCELLED: Nanos = 60 * SECOND;

impl World {
    /// There is a deadline while anything is under way, and it is not too far away.
    pub(in super::super) fn check_alive(&mut self) {
        self.check_decided();
        if self.watch.stuck {
            return;
        }
        let status = self.engine.status();
        let deadline = self.engine.deadline();
        if self.closed {
            if deadline.is_some() || status.in_flight + status.queued > 0 {
                self.violate(format!("closed, and something is left: {status:?}"));
                self.watch.stuck = true;
            }
            return;
        }
        let works = status.queued > 0 || status.in_flight > 0 || !matches!(status.state, State::Ready | State::Idle);
        let (longest, what) = self.longest_wait(&status);
        let problem = match deadline {
            None if works || self.beats(&status) => String::from("nothing is waited for"),
            Some(at) if at > self.now.saturating_add(longest) => {
                format!("the next deadline is {} ms away, {what} allows {}", (at - self.now) / 1_000_000, longest / 1_000_000)
            }
            _ => return,
        };
        self.watch.stuck = true;
        self.violate(format!(
            "{problem}: {:?}, session {}, {} queued, {} in flight",
            status.state,
            status.session.map_or(0, |session| session.epoch),
            status.queued,
            status.in_flight
        ));
    }

    /// A session in use and a heartbeat: the next sign of life has its time.
    fn beats(&self, status: &Status) -> bool {
        self.options.heartbeat_interval > 0
            && status.session.is_some()
            && status.state == State::Ready
            && self.server_is_told()
    }

    /// The client has said `initialized`: until then nothing but a ping may be sent, and nothing is lost by waiting.
    fn server_is_told(&self) -> bool {
        self.client.said_initialized
    }

    /// The longest wait that an option allows in this state, and the options that do.
    fn longest_wait(&self, status: &Status) -> (Nanos, &'static str) {
        let options = &self.options;
        match status.state {
            State::Ready | State::Idle if self.beats(status) => {
                (options.heartbeat_interval.max(options.heartbeat_timeout), "the heartbeat")
            }
            State::Ready | State::Idle => (
                options.run_timeout.max(options.hold_timeout).max(options.heartbeat_timeout).max(CANCELLED),
                "run-timeout or hold-timeout",
            ),
            State::Connecting => (
                options
                    .response_timeout
                    .max(options.connect_headers_timeout)
                    .max(options.heartbeat_timeout)
                    .max(OWN_WAIT),
                "response-timeout, heartbeat-timeout or connect-headers-timeout",
            ),
            State::Waiting => (
                options.backoff_cap.max(self.watch.rest_until.saturating_sub(self.now).min(LONGEST_REST)),
                "backoff-cap or the server",
            ),
            State::NeedsCredentials => (
                options
                    .credentials_timeout
                    .max(options.backoff_cap)
                    .max(OWN_WAIT)
                    .max(self.watch.rest_until.saturating_sub(self.now).min(LONGEST_REST)),
                "credentials-timeout or backoff-cap",
            ),
            State::Closed => (SECOND, "a close"),
        }
    }

    /// Takes note of what an input says of the waits that are allowed after it.
    pub(in super::super) fn note_input(&mut self, input: &Input) {
        match input {
            Input::Response { headers, .. } => {
                let rest = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
                let seconds = rest.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
                if let Some(seconds) = seconds {
                    self.watch.rest_until = self.watch.rest_until.max(self.now + seconds * SECOND);
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
