//! The way to the server, for requests of these versions: whether it can be reached, which versions it speaks, and when that is
//! tried again. There is no session, so a `server/discover` is all that an attempt is made of.

use alloc::string::String;
use core::time::Duration;

use super::Own;
use crate::api::errors;
use crate::engine::state::consequences::Consequence;
use crate::engine::state::modern::{Era, Link};
use crate::engine::state::timers::Timer;
use crate::engine::{Engine, seconds};
use crate::policy::backoff;
use crate::policy::era::Verdict;
use crate::wire::modern::Discovered;
use crate::{Event, Instant, Level};

impl Engine {
    /// Whether the client uses these versions only, so that events are about them.
    fn modern_is_alone(&self) -> bool {
        self.client.initialize.is_none()
    }

    /// Asks the server whether it is there. What waits to be sent waits for the answer.
    pub(crate) fn check_modern_link(&mut self) {
        if matches!(self.modern.link(), Link::Waiting | Link::Headers | Link::Credentials(_)) {
            return;
        }
        self.modern.link_is(Link::Checking);
        self.ask_modern_server();
    }

    fn ask_modern_server(&mut self) {
        if !self.modern.is_asking() {
            let discover = self.post_modern_own(Own::Discover, "server/discover", "");
            self.modern.attempts_with(discover, self.now);
        }
    }

    /// Something broke on the way; the server may be there all the same.
    pub(crate) fn modern_broken(&mut self, reason: String) {
        self.modern.doubt();
        self.last_error = reason;
        if self.modern_waits() {
            self.check_modern_link();
        }
    }

    /// The server cannot be reached, or something else answers in its place.
    pub(crate) fn modern_unreachable(&mut self, reason: String) {
        self.modern.doubt();
        self.last_error.clone_from(&reason);
        if let Some(exchange) = self.modern.take_question() {
            self.timers.clear(Timer::ModernOwn(exchange));
            self.cancel(exchange);
        }
        if self.modern.is_away(self.now) {
            if self.modern_is_alone() {
                self.headers_are_stale();
            }
            if let Some(info) = self.modern.info().filter(|_| self.modern_is_alone()) {
                let epoch = info.epoch;
                self.emit(Event::Disconnected { epoch, reason: reason.clone() });
            }
        }
        self.let_go_of_listens(&reason);
        self.then(Consequence::Probe);
        if !self.modern_waits() {
            self.modern.link_is(Link::Up);
            return;
        }
        let exhausted = self.options.max_attempts > 0 && self.modern.attempts() >= self.options.max_attempts;
        if exhausted {
            self.fail_modern_queue(&reason);
        }
        let delay = self.modern_delay();
        self.modern.attempt_failed();
        let attempt = self.modern.attempts();
        if self.modern_is_alone() && self.modern.tells_attempt(self.now) {
            self.emit(Event::Reconnecting { attempt, delay, reason });
        }
        self.modern_wait(delay);
    }

    fn modern_wait(&mut self, delay: Duration) {
        self.modern.link_is(Link::Waiting);
        self.timers.set(Timer::ModernAttempt, self.now + delay);
        // Meanwhile, so that the attempt need not wait for them.
        if self.modern.outage().is_on() {
            self.ask_for_headers();
        }
    }

    /// The first request, or the first one after the server was away, waits for headers where the host gives them.
    pub(crate) fn modern_awaits_headers(&mut self) -> bool {
        let asks = self.ask_for_headers();
        if asks {
            self.modern.link_is(Link::Headers);
        }
        asks
    }

    /// The host gave headers, or has none.
    pub(crate) fn modern_headers_came(&mut self) {
        match self.modern.link() {
            Link::Headers => {
                self.modern.link_is(Link::Up);
                if self.modern.outage().is_on() {
                    self.check_modern_link();
                }
            }
            Link::Credentials(_) => {
                self.timers.clear(Timer::ModernCredentials);
                self.modern.link_is(Link::Up);
                self.reopen_listens();
            }
            Link::Up | Link::Checking | Link::Waiting => {}
        }
    }

    /// The delay before the next attempt: short while somebody waits.
    fn modern_delay(&mut self) -> Duration {
        let (base, cap) = (self.options.backoff_base, self.options.backoff_cap);
        let down_for = self.modern.outage().lasts(self.now);
        let delay = if self.modern_client_waits() {
            backoff::waiting_delay(
                &mut self.rng,
                down_for,
                !self.url.is_loopback(),
                self.modern.times_turned_away(),
                cap,
            )
        } else {
            backoff::idle_delay(&mut self.rng, self.modern.attempts(), base, cap)
        };
        delay.max(self.attempts.pause(self.now))
    }

    /// Somebody has begun to wait: the next attempt is made as for those who wait.
    pub(crate) fn modern_attempt_sooner(&mut self) {
        let delay = self.modern_delay();
        let soon = self.attempts.after(self.modern.last_attempt(), delay, self.now);
        let planned = self.timers.next_of(Timer::ModernAttempt).unwrap_or(soon);
        self.timers.set(Timer::ModernAttempt, planned.min(soon));
    }

    pub(crate) fn on_modern_attempt(&mut self) {
        self.timers.clear(Timer::ModernAttempt);
        if *self.modern.link() != Link::Waiting {
            return;
        }
        if !self.modern_waits() {
            self.modern.link_is(Link::Up);
            return;
        }
        if self.modern.outage().is_on() && self.modern_awaits_headers() {
            return;
        }
        self.modern.link_is(Link::Checking);
        self.ask_modern_server();
    }

    /// The server asks for a pause.
    pub(crate) fn modern_pause(&mut self, retry_after: Option<Duration>, reason: String) {
        let cap = self.options.backoff_cap;
        let rest = retry_after.unwrap_or_else(|| {
            backoff::idle_delay(&mut self.rng, self.modern.attempts(), self.options.backoff_base, cap)
        });
        self.modern.attempt_failed();
        self.last_error.clone_from(&reason);
        if retry_after.is_some() {
            self.server_asks_for_pause(rest);
        }
        self.log(Level::Info, alloc::format!("the server asks for a pause of {} ({reason})", seconds(rest)));
        self.modern_wait(rest.max(backoff::FLOOR));
    }

    fn fail_modern_queue(&mut self, reason: &str) {
        let (server, attempts) = (self.server_name(), self.modern.attempts());
        for key in self.modern.take_queue() {
            let method = self.modern_method(key);
            let text = alloc::format!(
                "{method} was not sent: {server} could not be used after {attempts} attempts ({reason}). It did not run."
            );
            self.answer_error(key, errors::UNAVAILABLE, &text, None);
        }
    }

    /// The server answered a discover of the engine's own.
    pub(crate) fn modern_discovered(&mut self, verdict: Verdict, server: Option<Discovered>) {
        match verdict {
            Verdict::Legacy => {
                if self.modern.era() == Era::Modern {
                    self.log(Level::Warn, "the server does not speak a version without sessions any more");
                }
                self.modern.era_is(Era::Legacy);
            }
            _ => self.modern_server_is(server),
        }
        self.era_verified(verdict);
        self.modern_link_is_up();
    }

    /// What the server says of itself.
    pub(crate) fn modern_server_is(&mut self, server: Option<Discovered>) {
        if let Some(server) = server {
            self.modern.server_is(server);
        }
        self.set_era(Era::Modern);
    }

    /// It is known which versions the server speaks.
    pub(crate) fn set_era(&mut self, era: Era) {
        self.modern.era_is(era);
        if era != Era::Modern || self.modern.info().is_some() {
            return;
        }
        self.modern.contact_begins(self.now);
        if let Some(info) = self.modern.info().cloned().filter(|_| self.modern_is_alone()) {
            self.emit(Event::Connected(info));
        }
    }

    /// The server was heard: what waits is sent.
    pub(crate) fn modern_link_is_up(&mut self) {
        let changed = self.modern.reached();
        if self.modern.is_back()
            && let Some(info) = self.modern.info().cloned().filter(|_| self.modern_is_alone())
        {
            self.reconnects += 1;
            self.emit(Event::Reconnected { session: info, new_session: false, server_changed: changed });
        }
        if self.modern.is_up() {
            return;
        }
        self.timers.clear(Timer::ModernAttempt);
        self.timers.clear(Timer::ModernCredentials);
        self.modern.link_is(Link::Up);
        self.reopen_listens();
        if self.connection.is_waiting() {
            self.attempt();
        }
    }

    /// The other lane found the server gone, or there again.
    pub(crate) fn modern_follows(&mut self, up: bool, reason: &str) {
        match (up, self.modern.link()) {
            (false, _) => self.let_go_of_listens(reason),
            (true, Link::Waiting) => self.timers.set(Timer::ModernAttempt, self.now),
            _ => {}
        }
        if !up && self.modern_waits() {
            self.check_modern_link();
        }
    }

    /// Sets the timer of the next question whether the server is there, while something depends on that.
    pub(crate) fn time_modern_liveness(&mut self) {
        if self.modern.meta().is_some()
            && !self.timers.is_set(Timer::ModernLiveness)
            && let Some(due) = self.modern_liveness_due()
        {
            self.timers.set(Timer::ModernLiveness, due.max(self.now));
        }
    }

    fn modern_liveness_due(&self) -> Option<Instant> {
        // The question that is under way has a time of its own.
        if !self.modern.is_up() || self.modern.is_asking() {
            return None;
        }
        let open = self.requests.values().filter(|request| request.is_modern() && request.exchange().is_some());
        let (mut is_open, mut listens) = (false, false);
        for request in open {
            is_open = true;
            listens |= request.is_listen();
        }
        match (is_open, listens) {
            (false, _) => None,
            // Comments on the stream say nothing of new connections.
            (true, true) => Some(self.modern.last_attempt().max(self.modern.since()) + self.listen_check_interval()?),
            (true, false) => {
                Some(self.liveness.heard_at().max(self.modern.last_attempt()) + set(self.options.heartbeat_interval)?)
            }
        }
    }

    /// How often the server is asked whether it takes connections while a stream of its notifications is open; none: never.
    pub(crate) fn listen_check_interval(&self) -> Option<Duration> {
        [self.options.listen_check_interval, self.options.heartbeat_interval].into_iter().filter_map(set).min()
    }

    /// Silence has lasted for long, or a stream is open.
    pub(crate) fn on_modern_liveness(&mut self) {
        let due = self.modern_liveness_due().is_some_and(|due| due <= self.now);
        if due {
            self.ask_modern_server();
        }
    }
}

/// An interval that is not switched off.
fn set(interval: Duration) -> Option<Duration> {
    (!interval.is_zero()).then_some(interval)
}
