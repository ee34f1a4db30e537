//! Signs of life: the heartbeat, and the ping that decides whether a session survived.

use alloc::string::String;
use core::time::Duration;

use crate::Event;
use crate::engine::Engine;
use crate::engine::state::connection::ConnectionState;
use crate::engine::state::requests::{Origin, RequestState};
use crate::engine::state::timers::Timer;

/// A probe on request is given this long.
const PROBE_TIME: Duration = Duration::from_secs(5);

impl Engine {
    pub(crate) fn on_probe(&mut self) {
        if self.modern.info().is_some() {
            self.check_modern_link();
        }
        match self.connection.state() {
            ConnectionState::Ready => {
                self.probe();
                if let Some(ping) = self.connection.probe() {
                    let time = self.options.heartbeat_timeout.min(PROBE_TIME);
                    self.timers.set(Timer::Run(ping), self.now + time);
                }
            }
            ConnectionState::Waiting => self.attempt(),
            _ => {}
        }
    }

    /// Finds out whether the session lives.
    pub(crate) fn probe(&mut self) {
        self.timers.clear(Timer::Attempt);
        self.attempts.made(self.now);
        let session = self.session.as_ref().filter(|session| session.initialized);
        let list = session.and_then(|session| session.server.list_method());
        let key = match list {
            // Pings are put off again and again: perhaps it is pings that the server does not want.
            Some(list) if self.pings.are_refused_again() => self.post_own(Origin::Verify, list, ""),
            _ => self.post_ping(),
        };
        self.probes_with(key);
    }

    pub(crate) fn probe_soon(&mut self) {
        if self.connection.is_ready() {
            self.probe();
        }
    }

    /// What was answered leaves the session open: a ping tells, and nothing but what must not run twice waits for it.
    pub(crate) fn ping_soon(&mut self) {
        self.liveness.doubt();
        if self.connection.is_ready() && !self.is_pinging() {
            self.post_ping();
        }
    }

    /// Whether a request of the engine's own is under way that tells whether the session lives.
    fn is_pinging(&self) -> bool {
        self.requests.values().any(|request| matches!(request.origin, Origin::Ping | Origin::Verify))
    }

    /// A sign of life in answer to a ping.
    pub(crate) fn alive(&mut self) {
        self.liveness.is_certain();
        if !self.connection.is_probing() {
            return;
        }
        if !self.session.as_ref().is_some_and(|session| session.initialized) {
            self.outage.end();
            self.session_awaits_client();
            if self.client.initialized {
                self.send_initialized();
            }
            return;
        }
        self.session_is_ready();
        self.modern_follows(true, "");
        if self.outage.end()
            && let Some(session) = self.session.as_ref()
        {
            let session = session.info();
            self.emit(Event::Reconnected { session, new_session: false, server_changed: false });
        }
        self.arm_heartbeat();
        if !self.timers.is_set(Timer::Standalone) {
            self.open_standalone();
        }
        self.resume_all();
        self.verify_what_waits();
    }

    /// Silence of so long is looked into, if only before something is sent that must not run twice.
    pub(crate) fn heartbeat_interval(&self) -> Duration {
        match self.options.heartbeat_interval {
            Duration::ZERO => crate::Options::new("").heartbeat_interval,
            interval => interval,
        }
    }

    fn has_open_listen(&self) -> bool {
        self.has_own_listen() && self.session.as_ref().is_some_and(|session| session.standalone.exchange.is_some())
    }

    pub(crate) fn arm_heartbeat(&mut self) {
        let mut interval = self.options.heartbeat_interval;
        if self.has_own_listen() {
            interval = self.listen_check_interval().unwrap_or_default();
        }
        if !interval.is_zero() {
            self.timers.set(Timer::Heartbeat, self.now + interval);
        }
    }

    pub(crate) fn on_heartbeat(&mut self) {
        if !self.connection.is_ready() {
            return;
        }
        let interval = self.options.heartbeat_interval;
        let silence = (!interval.is_zero()).then(|| self.liveness.heard_at() + interval);
        // Comments on an open stream are signs of life, and say nothing of new connections.
        let due = if self.has_open_listen() { Some(self.now) } else { silence };
        if due.is_some_and(|due| due <= self.now) && !self.is_pinging() {
            self.post_ping();
        }
        self.arm_heartbeat();
        if let Some(at) = silence.filter(|at| *at > self.now)
            && self.timers.next_of(Timer::Heartbeat).is_some_and(|planned| at < planned)
        {
            self.timers.set(Timer::Heartbeat, at);
        }
    }

    /// Whether the server works on something for the client in this session.
    pub(crate) fn is_busy(&self) -> bool {
        self.requests.of_client().any(|(_, request)| {
            let verifying = matches!(request.state, RequestState::Verifying(_));
            !request.cancelled && request.is_out() && request.epoch == self.epoch && !verifying
        })
    }

    /// Silence: a busy server is left alone, unless it is to be strict; otherwise the session is given up.
    pub(crate) fn ping_unanswered(&mut self, probing: bool, reason: String) {
        if !self.is_busy() || self.options.heartbeat_strict {
            return self.unresponsive(reason);
        }
        let epoch = self.epoch;
        self.emit(Event::Suspect { epoch, reason });
        if probing {
            self.probe();
        }
    }
}
