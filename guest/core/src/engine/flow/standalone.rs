//! The standalone GET stream of Streamable HTTP, on which a server speaks unasked. It is optional, and its loss is never the
//! session's.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::connection_error::{ConnectionError, not_the_server};
use super::settle::End;
use crate::Transport;
use crate::api::errors;
use crate::api::time::SECOND;
use crate::engine::Engine;
use crate::engine::state::consequences::Consequence;
use crate::engine::state::exchanges::Role;
use crate::engine::state::requests::RequestState;
use crate::engine::state::timers::Timer;
use crate::policy::backoff;
use crate::policy::proxy;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
/// The delays between openings without a `retry:`.
const STANDALONE_DELAY: Duration = SECOND;
const STANDALONE_CAP: Duration = Duration::from_secs(30);

impl Engine {
    /// Opens the standalone stream, if this transport has one.
    pub(crate) fn open_standalone(&mut self) {
        let Some(session) = self.session.as_ref() else { return };
        let stream = &session.standalone;
        let wanted = session.transport == Transport::StreamableHttp && stream.exchange.is_none() && !stream.absent;
        if !wanted || !self.connection.is_ready() {
            return;
        }
        let cursor = session.standalone.cursor.clone();
        let exchange = if session.own_listen.is_some() {
            self.post_own_listen()
        } else {
            Some(self.get_stream(Role::Standalone, cursor.as_deref()))
        };
        self.session.stream_is(exchange);
    }

    pub(crate) fn on_standalone_open(&mut self) {
        self.session.stream_opened(self.now);
    }

    /// Whether the answer to a request of this epoch that was accepted without one may come on the standalone stream.
    pub(crate) fn standalone_may_answer(&self, epoch: u64) -> bool {
        self.session.as_ref().is_some_and(|session| {
            let stream = &session.standalone;
            let awaited = stream.exchange.is_some() || self.timers.is_set(Timer::Standalone);
            let brings = session.transport == Transport::StreamableHttp && session.own_listen.is_none();
            brings && session.epoch == epoch && !stream.absent && awaited
        })
    }

    /// There is no standalone stream any more: what was to be answered on it is not.
    fn standalone_brings_nothing(&mut self) {
        let waiting: Vec<_> = self
            .requests
            .of_client()
            .filter(|(_, request)| request.state == RequestState::Accepted(None) && request.epoch == self.epoch)
            .map(|(key, _)| *key)
            .collect();
        for key in waiting {
            let reason =
                "the server accepted it without an answer, and no stream is left that could bring one".to_string();
            self.settle(key, End { evidence: Evidence::Unknown, accepted: true, reason, refusal: None });
        }
    }

    /// The standalone stream ended or was refused. Never a session loss by itself.
    pub(crate) fn on_standalone_over(&mut self, clean: bool, cause: ConnectionError) {
        self.session.own_stream_lost();
        // A server ends such a stream when it goes down, also in order.
        let own = self.session.as_ref().and_then(|session| session.own_listen.as_ref());
        if own.is_some_and(|listen| listen.acknowledged) {
            self.liveness.doubt();
        }
        let failures = self.session.stream_over(self.now);
        let Some(session) = self.session.as_ref() else { return };
        let opened = session.standalone.opened;
        let translated = session.translation.is_some();
        let wish = session.standalone.retry.unwrap_or(STANDALONE_DELAY);
        // There is none, or what is said while none is open is kept for nobody, unless events are numbered.
        let keeps = session.standalone.cursor.is_some()
            && matches!(&cause, ConnectionError::Refused(refusal) if for_now(refusal) || proxy::nobody_took_it(refusal, true));
        if matches!(cause, ConnectionError::Refused(_)) && !keeps {
            self.standalone_brings_nothing();
        }
        match cause {
            // 409: a lost stream still holds the place.
            ConnectionError::Refused(refusal) if for_now(&refusal) => {
                let delay = backoff::idle_delay(&mut self.rng, failures, STANDALONE_DELAY, STANDALONE_CAP)
                    .max(refusal.retry_after.unwrap_or_default());
                self.timers.set(Timer::Standalone, self.now + delay);
                // But a stream of the engine's own needs no place: perhaps the server has become one with sessions.
                if self.has_own_listen() && refusal.status == 409 {
                    self.then(Consequence::Probe);
                }
            }
            // It is not the server that says so.
            ConnectionError::Refused(refusal) if proxy::nobody_took_it(&refusal, true) => {
                let delay = backoff::idle_delay(&mut self.rng, failures, STANDALONE_DELAY, STANDALONE_CAP);
                self.timers.set(Timer::Standalone, self.now + delay);
                self.then(Consequence::Recover(ConnectionError::Proxied(not_the_server(&refusal.describe()))));
            }
            // A server of these versions says in JSON-RPC that it has none.
            ConnectionError::Refused(refusal) if translated && refusal.error().is_none() => {
                let delay = backoff::idle_delay(&mut self.rng, failures, STANDALONE_DELAY, STANDALONE_CAP);
                self.timers.set(Timer::Standalone, self.now + delay);
            }
            // There is none. But where there was one, the session may be gone: a ping tells.
            ConnectionError::Refused(refusal) if refusal.status == 405 && self.try_listen_beside() => {}
            ConnectionError::Refused(refusal) => {
                self.session.stream_absent(matches!(refusal.status, 401 | 403));
                self.refuse_subscriptions(errors::METHOD_NOT_FOUND, &refusal.describe());
                if opened && matches!(refusal.status, 400 | 404) {
                    self.then(Consequence::Probe);
                }
            }
            ConnectionError::Unreachable(reason) => {
                self.then(Consequence::Recover(ConnectionError::Unreachable(reason)))
            }
            _ if clean && failures < 3 => {
                self.timers.set(Timer::Standalone, self.now + wish.max(backoff::FLOOR));
            }
            _ if clean => {
                let delay = backoff::idle_delay(&mut self.rng, failures, wish.max(STANDALONE_DELAY), STANDALONE_CAP);
                self.timers.set(Timer::Standalone, self.now + delay.max(wish));
            }
            other => {
                let delay = backoff::idle_delay(&mut self.rng, failures, STANDALONE_DELAY, STANDALONE_CAP);
                self.timers.set(Timer::Standalone, self.now + delay);
                self.then(Consequence::Recover(ConnectionError::Broken(other.reason())));
            }
        }
    }
}

/// Whether the stream is only refused for now.
fn for_now(refusal: &Refusal) -> bool {
    matches!(refusal.status, 409 | 421 | 425 | 429 | 500..)
}
