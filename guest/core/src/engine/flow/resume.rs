//! Resuming a response stream that broke off: GET with `Last-Event-ID` (MCP 2025-11-25, "Resumability and Redelivery").

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::settle::End;
use crate::api::time::SECOND;
use crate::engine::Engine;
use crate::engine::state::exchanges::Role;
use crate::engine::state::requests::{Origin, RequestKey, RequestState};
use crate::engine::state::timers::Timer;
use crate::policy::backoff;
use crate::policy::replay::Evidence;
/// Without a `retry:` a broken response stream is resumed after this.
const RESUME_DELAY: Duration = SECOND;
/// A resumed stream that stays silent is opened again after this, and after up to four times as much later.
const RESUME_SILENCE: Duration = Duration::from_secs(15);
/// Resumptions in a row that may end without an event.
const MAX_EMPTY_RESUMES: u32 = 3;

impl Engine {
    /// The response stream of a request ended before its answer.
    pub(crate) fn response_broke_off(&mut self, key: RequestKey, clean: bool, reason: &str) {
        let current = self.session.as_ref().map(|session| session.epoch);
        let empty_resumes = self.requests.stream_ended(key);
        let Some(request) = self.requests.get(&key) else { return };
        // The engine's own requests are not worth it: they are sent anew.
        let resumable = request.origin == Origin::Client && request.cursor.is_some() && Some(request.epoch) == current;
        let retry = request.retry;
        self.timers.clear(Timer::Reopen(key));
        if !resumable || empty_resumes >= MAX_EMPTY_RESUMES {
            let reason = reason.to_string();
            return self.settle(key, End { evidence: Evidence::Unknown, accepted: true, reason, refusal: None });
        }
        self.requests.is_resuming(key);
        let asked = retry.is_some();
        let wish = backoff::doubled(retry.unwrap_or(RESUME_DELAY).max(backoff::FLOOR), empty_resumes.min(4));
        // `retry:` is obeyed to the letter after an orderly end; after a break everyone comes back at once.
        let jitter = if clean && empty_resumes == 0 { Duration::ZERO } else { self.rng.up_to(wish) };
        self.timers.set(Timer::Resume(key), self.now + wish + jitter);
        self.limit_the_cut(key, if asked { wish + jitter } else { Duration::ZERO });
    }

    /// Opens the response stream again where it broke off. While there is no connection it waits for one.
    pub(crate) fn resume(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        if request.state != RequestState::Resuming || !self.connection.is_ready() {
            return;
        }
        let Some(cursor) = request.cursor.clone() else { return };
        let silence = backoff::doubled(RESUME_SILENCE, request.silent.min(2));
        let exchange = self.get_stream(Role::Resume(key), Some(&cursor));
        self.requests.is_resumed(key, exchange);
        self.timers.set(Timer::Reopen(key), self.now + silence);
    }

    /// A request cut off from its answer waits for the server no longer than one that was never sent, apart from the time that
    /// the server asked for by `retry:`.
    fn limit_the_cut(&mut self, key: RequestKey, asked_for: Duration) {
        if !self.timers.is_set(Timer::Hold(key)) {
            self.start_hold(key, self.options.hold_timeout);
        }
        if let Some(end) = self.timers.next_of(Timer::Hold(key)) {
            self.timers.set(Timer::Hold(key), end + asked_for);
        }
    }

    /// The stream could not be opened now. It is asked for again when the connection is up, or in a while.
    pub(crate) fn resume_later(&mut self, key: RequestKey) {
        self.timers.clear(Timer::Reopen(key));
        let Some(request) = self.requests.get(&key) else { return };
        let asked = request.retry.is_some();
        let wish = request.retry.unwrap_or(RESUME_DELAY).max(RESUME_DELAY);
        self.requests.is_resuming(key);
        let delay = wish + self.rng.up_to(wish);
        self.timers.set(Timer::Resume(key), self.now + delay);
        self.limit_the_cut(key, if asked { delay } else { Duration::ZERO });
    }

    pub(crate) fn resume_all(&mut self) {
        let waiting: Vec<_> = self
            .requests
            .iter()
            .filter(|(key, request)| {
                request.state == RequestState::Resuming && !self.timers.is_set(Timer::Resume(**key))
            })
            .map(|(key, _)| *key)
            .collect();
        for key in waiting {
            self.resume(key);
        }
    }

    /// A resumed stream is silent. So is a healthy one while a long call runs, and one whose server has forgotten the
    /// call: ask again at growing intervals, until the call's deadline.
    pub(crate) fn reopen(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        if let RequestState::Resumed(exchange) = request.state {
            self.cancel(exchange);
            self.requests.stream_was_silent(key);
            self.limit_the_cut(key, Duration::ZERO);
            self.resume(key);
        }
    }

    /// A resumed stream brought something, if only the event it was resumed after.
    pub(crate) fn resumed_stream_speaks(&mut self, key: RequestKey) {
        if !self.requests.contains(key) {
            return;
        }
        self.requests.stream_speaks(key);
        self.timers.set(Timer::Reopen(key), self.now + RESUME_SILENCE);
    }
}
