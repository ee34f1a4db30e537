//! Signs of life: the heartbeat, and the ping that decides whether a session survived.

use alloc::string::String;

use super::own_requests::MAX_REFUSED_PINGS;
use super::reconnect::ConnectionState;
use crate::api::options::SECOND;
use crate::engine::Engine;
use crate::engine::state::requests::{Origin, RequestState};
use crate::engine::state::timers::Timer;
use crate::{Event, Nanos};

/// A probe on request is given this long.
const PROBE_TIME: Nanos = 5 * SECOND;

impl Engine {
    pub(crate) fn on_probe(&mut self) {
        if self.modern.info.is_some() {
            self.check_modern_link();
        }
        match self.connection {
            ConnectionState::Ready => {
                self.probe();
                if let ConnectionState::Probing(ping) = self.connection {
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
        self.last_attempt = self.now;
        let list = self.session.as_ref().and_then(|session| session.server.list_method());
        let key = match list {
            // Pings are put off again and again: perhaps it is pings that the server does not want.
            Some(list) if self.refused_pings > MAX_REFUSED_PINGS => self.post_own(Origin::Verify, list, ""),
            _ => self.post_ping(),
        };
        self.connection = ConnectionState::Probing(key);
    }

    pub(crate) fn probe_soon(&mut self) {
        if matches!(self.connection, ConnectionState::Ready) {
            self.probe();
        }
    }

    /// A sign of life in answer to a ping.
    pub(crate) fn alive(&mut self) {
        self.suspect = false;
        if !matches!(self.connection, ConnectionState::Probing(_)) {
            return;
        }
        if !self.session.as_ref().is_some_and(|session| session.initialized) {
            self.down = None;
            self.connection = ConnectionState::AwaitInitialized;
            if self.client.initialized {
                self.send_initialized();
            }
            return;
        }
        self.connection = ConnectionState::Ready;
        self.modern_follows(true, "");
        if self.down.take().is_some()
            && let Some(session) = &self.session
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

    pub(crate) fn arm_heartbeat(&mut self) {
        if self.options.heartbeat_interval > 0 {
            self.timers.set(Timer::Heartbeat, self.now + self.options.heartbeat_interval);
        }
    }

    pub(crate) fn on_heartbeat(&mut self) {
        if !matches!(self.connection, ConnectionState::Ready) {
            return;
        }
        let mut due = self.heard_at + self.options.heartbeat_interval;
        // An open stream brings comments, and holds up a server that goes down and takes no connections any more.
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.own_listen.is_some() && session.standalone.exchange.is_some())
        {
            due = due.min(self.now);
        }
        let pinging = self.requests.values().any(|request| request.origin == Origin::Ping);
        if due > self.now {
            self.timers.set(Timer::Heartbeat, due);
        } else {
            if !pinging {
                self.post_ping();
            }
            self.arm_heartbeat();
        }
    }

    /// Whether the server works on something for the client in this session.
    pub(crate) fn is_busy(&self) -> bool {
        self.client_requests().any(|(_, request)| {
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
            self.connection = ConnectionState::Waiting;
            self.probe();
        }
    }
}
