//! Signs of life: the heartbeat, the ping that decides whether a session survived, and what the engine's own requests come
//! to.

use alloc::string::{String, ToString};

use super::reconnect::{ConnectionError, ConnectionState, not_the_server};
use super::settle::{self, End};
use crate::api::options::SECOND;
use crate::engine::state::requests::{Origin, RequestKey, RequestState};
use crate::engine::state::timers::Timer;
use crate::engine::{Engine, seconds};
use crate::policy::replay::Evidence;
use crate::policy::session_loss;
use crate::{Event, Level, Nanos, Transport};
/// A probe on request is given this long.
const PROBE_TIME: Nanos = 5 * SECOND;

impl Engine {
    pub(crate) fn on_probe(&mut self) {
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
        let ping = self.post_own(Origin::Ping, "ping", "");
        self.connection = ConnectionState::Probing(ping);
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
        let due = self.heard_at + self.options.heartbeat_interval;
        let pinging = self.requests.values().any(|request| request.origin == Origin::Ping);
        if due > self.now {
            self.timers.set(Timer::Heartbeat, due);
        } else {
            if !pinging {
                self.post_own(Origin::Ping, "ping", "");
            }
            self.arm_heartbeat();
        }
    }

    /// A request of the engine's own came to nothing. The link's own reaction to the cause follows after this.
    pub(crate) fn settle_own(&mut self, key: RequestKey, origin: Origin, end: &End) {
        let probing = self.connection == ConnectionState::Probing(key);
        match origin {
            Origin::Ping if probing => match end.evidence {
                Evidence::SessionLost | Evidence::Unauthorized | Evidence::Busy { .. } => {
                    self.forget(key);
                }
                Evidence::Refused => self.ping_refused(key, end.reason.clone()),
                Evidence::NotTaken => self.attempt_failed(ConnectionError::Unusable(not_the_server(&end.reason))),
                Evidence::NotSent => self.attempt_failed(ConnectionError::Unreachable(end.reason.clone())),
                // The event stream looks open, but nobody takes the ping: not even a reset comes from a host that vanished.
                Evidence::Unknown
                    if end.refusal.is_none()
                        && self.transport == Some(Transport::HttpSse)
                        && (!self.is_busy() || self.options.heartbeat_strict) =>
                {
                    self.forget(key);
                    self.unresponsive(end.reason.clone());
                }
                Evidence::Unknown => self.attempt_failed(match end.refusal {
                    Some(refusal) => ConnectionError::Refused(refusal.clone()),
                    None => ConnectionError::Broken(end.reason.clone()),
                }),
            },
            Origin::Ping if end.evidence == Evidence::Refused => self.ping_refused(key, end.reason.clone()),
            Origin::Ping | Origin::Client => {
                self.forget(key);
            }
            // What is restored is safe to repeat.
            Origin::Restore if end.evidence == Evidence::Unknown && self.replay_own(key) => {}
            Origin::Restore => {
                let method = self.forget(key).map_or_else(String::new, |request| request.method);
                self.log(Level::Warn, alloc::format!("{method} could not be restored: {}", end.reason));
            }
            Origin::Verify(_) => {
                self.forget(key);
                self.verified(end.evidence != Evidence::SessionLost);
            }
        }
    }

    /// Queues a request of the engine's own once more. False if that was done before.
    fn replay_own(&mut self, key: RequestKey) -> bool {
        let hold = self.options.hold_timeout;
        let Some(request) = self.requests.get_mut(&key).filter(|request| request.replays == 0) else { return false };
        request.replays = 1;
        request.hold_left = hold;
        self.hold(key);
        true
    }

    /// A ping was refused by HTTP: what answers may be another server than the one that made the session. A new session
    /// tells; but a server that refuses the pings of that one too refuses them all, and is alive.
    fn ping_refused(&mut self, key: RequestKey, reason: String) {
        self.forget(key);
        if core::mem::replace(&mut self.pings_refused, true) {
            self.alive();
        } else {
            self.recover(ConnectionError::SessionLost(reason));
        }
    }

    pub(crate) fn on_own_answer(&mut self, key: RequestKey, origin: Origin, error: Option<(i64, String)>) {
        let method = self.forget(key).map_or_else(String::new, |request| request.method);
        match (origin, error) {
            // A server that answers a ping with an error is alive.
            (Origin::Ping, _) => {
                self.pings_refused = false;
                self.alive();
            }
            (Origin::Verify(_), Some((session_loss::UNINITIALISED_CODE, _))) => {
                self.verified(false);
                self.recover(ConnectionError::SessionLost(
                    "the server says that the session was never initialised".to_string(),
                ));
            }
            (Origin::Verify(_), _) => {
                if let Some(session) = &mut self.session {
                    session.verified = true;
                }
                self.verified(true);
            }
            (Origin::Restore, Some((_, message))) => {
                let message = settle::clip(&message);
                self.log(
                    Level::Warn,
                    alloc::format!("{method} could not be restored: the server answered \"{message}\""),
                );
            }
            (Origin::Restore | Origin::Client, _) => {}
        }
    }

    /// Whether the server works on something for the client.
    fn is_busy(&self) -> bool {
        self.client_requests().any(|(_, request)| {
            let verifying = matches!(request.state, RequestState::Verifying(_));
            !request.cancelled && request.is_out() && !verifying
        })
    }

    /// Silence: a busy server is left alone, unless it is to be strict; otherwise the session is given up.
    fn ping_unanswered(&mut self, probing: bool, reason: String) {
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

    /// A request of the engine's own was not answered in time.
    pub(crate) fn on_own_late(&mut self, key: RequestKey, origin: Origin) {
        let probing = self.connection == ConnectionState::Probing(key);
        let exchange = self.exchange_of(key);
        self.forget(key);
        if let Some(exchange) = exchange {
            self.cancel(exchange);
        }
        match origin {
            Origin::Ping => {
                let reason = alloc::format!("a ping went unanswered for {}", seconds(self.options.heartbeat_timeout));
                self.ping_unanswered(probing, reason);
            }
            Origin::Verify(_) => self.verified(true),
            Origin::Restore => self.log(Level::Warn, "a restored subscription or log level was not confirmed in time"),
            Origin::Client => {}
        }
    }
}
