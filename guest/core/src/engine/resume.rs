//! Resuming a response stream that broke off: GET with `Last-Event-ID` (MCP 2025-11-25, "Resumability and Redelivery").

use alloc::string::ToString;
use alloc::vec::Vec;

use super::Engine;
use super::delivery::End;
use super::exchange::Role;
use super::link::Link;
use crate::Nanos;
use crate::options::SECOND;
use crate::replay::Evidence;
use crate::request::{Delivery, RequestKey};
use crate::schedule::{self, Timer};
/// Without a `retry:` a broken response stream is resumed after this.
const RESUME_DELAY: Nanos = SECOND;
/// A resumed stream that stays silent is opened again after this, and after up to four times as much later.
const RESUME_SILENCE: Nanos = 15 * SECOND;
/// Resumptions in a row that may end without an event.
const FRUITLESS: u32 = 3;

impl Engine {
    /// The response stream of a request ended before its answer.
    pub(super) fn response_broke_off(&mut self, key: RequestKey, clean: bool, reason: &str) {
        let current = self.session.as_ref().map(|session| session.epoch);
        let Some(request) = self.requests.get_mut(&key) else { return };
        let resumable = request.cursor.is_some() && Some(request.epoch) == current;
        if matches!(request.delivery, Delivery::Resumed(_)) {
            request.fruitless = if request.brought { 0 } else { request.fruitless + 1 };
        }
        let fruitless = request.fruitless;
        self.timers.clear(Timer::Reopen(key));
        if !resumable || fruitless >= FRUITLESS {
            let reason = reason.to_string();
            return self.conclude(key, End { evidence: Evidence::Unknown, accepted: true, reason, refusal: None });
        }
        self.limit_the_cut(key);
        let Some(request) = self.requests.get_mut(&key) else { return };
        request.delivery = Delivery::Resuming;
        let wish = request.retry.unwrap_or(RESUME_DELAY).max(schedule::FLOOR) << fruitless.min(4);
        // `retry:` is obeyed to the letter after an orderly end; after a break everyone comes back at once.
        let jitter = if clean && fruitless == 0 { 0 } else { self.rng.up_to(wish) };
        self.timers.set(Timer::Resume(key), self.now + wish + jitter);
    }

    /// Opens the response stream again where it broke off. While there is no connection it waits for one.
    pub(super) fn resume(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        if request.delivery != Delivery::Resuming || !matches!(self.link, Link::Ready) {
            return;
        }
        let Some(cursor) = request.cursor.clone() else { return };
        let silence = RESUME_SILENCE << request.silent.min(2);
        let exchange = self.get_stream(Role::Resume(key), Some(&cursor));
        if let Some(request) = self.requests.get_mut(&key) {
            request.delivery = Delivery::Resumed(exchange);
            request.brought = false;
        }
        self.timers.set(Timer::Reopen(key), self.now + silence);
    }

    /// A request cut off from its answer waits for the server no longer than one that was never sent.
    fn limit_the_cut(&mut self, key: RequestKey) {
        if !self.timers.is_set(Timer::Hold(key)) {
            self.timers.set(Timer::Hold(key), self.now + self.options.hold_timeout);
        }
    }

    /// The stream could not be opened now. It is asked for again when the link is up, or in a while.
    pub(super) fn resume_later(&mut self, key: RequestKey) {
        self.timers.clear(Timer::Reopen(key));
        self.limit_the_cut(key);
        let Some(request) = self.requests.get_mut(&key) else { return };
        request.delivery = Delivery::Resuming;
        let wish = request.retry.unwrap_or(RESUME_DELAY).max(RESUME_DELAY);
        let delay = wish + self.rng.up_to(wish);
        self.timers.set(Timer::Resume(key), self.now + delay);
    }

    pub(super) fn resume_all(&mut self) {
        let waiting: Vec<_> = self
            .requests
            .iter()
            .filter(|(key, request)| {
                request.delivery == Delivery::Resuming && !self.timers.is_set(Timer::Resume(**key))
            })
            .map(|(key, _)| *key)
            .collect();
        for key in waiting {
            self.resume(key);
        }
    }

    /// A resumed stream is silent. So is a healthy one while a long call runs, and one whose server has forgotten the
    /// call: ask again at growing intervals, until the call's deadline.
    pub(super) fn reopen(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        if let Delivery::Resumed(exchange) = request.delivery {
            self.cancel(exchange);
            if let Some(request) = self.requests.get_mut(&key) {
                request.delivery = Delivery::Resuming;
                request.silent = request.silent.saturating_add(1);
            }
            self.resume(key);
        }
    }

    /// A resumed stream brought something, if only the event it was resumed after.
    pub(super) fn resumed_stream_speaks(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        request.silent = 0;
        self.timers.set(Timer::Reopen(key), self.now + RESUME_SILENCE);
    }
}
