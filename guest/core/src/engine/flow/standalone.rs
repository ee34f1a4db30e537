//! The standalone GET stream of Streamable HTTP, on which a server speaks unasked. It is optional, and its loss is never the
//! session's.

use super::reconnect::{ConnectionError, ConnectionState, not_the_server};
use super::response::Role;
use crate::api::options::SECOND;
use crate::engine::Engine;
use crate::engine::state::timers::Timer;
use crate::policy::backoff;
use crate::policy::proxy;
use crate::{Nanos, Transport};
/// The delays between openings without a `retry:`.
const STANDALONE_DELAY: Nanos = SECOND;
const STANDALONE_CAP: Nanos = 30 * SECOND;
/// A stream that lasted this long was no failure.
const HEALTHY: Nanos = 10 * SECOND;

impl Engine {
    /// Opens the standalone stream, if this transport has one.
    pub(crate) fn open_standalone(&mut self) {
        let Some(session) = &self.session else { return };
        let stream = &session.standalone;
        let wanted = session.transport == Transport::StreamableHttp && stream.exchange.is_none() && !stream.absent;
        if !wanted || !matches!(self.connection, ConnectionState::Ready) {
            return;
        }
        let cursor = session.standalone.cursor.clone();
        let exchange = self.get_stream(Role::Standalone, cursor.as_deref());
        if let Some(session) = &mut self.session {
            session.standalone.exchange = Some(exchange);
        }
    }

    /// Whether no standalone stream is open, on which an answer could come.
    pub(crate) fn has_no_stream(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.standalone.opened_at.is_none())
    }

    pub(crate) fn on_standalone_open(&mut self) {
        if let Some(session) = &mut self.session {
            session.standalone.opened = true;
            session.standalone.opened_at = Some(self.now);
        }
    }

    /// The standalone stream ended or was refused. Never a session loss by itself.
    pub(crate) fn on_standalone_over(&mut self, clean: bool, cause: ConnectionError) {
        let Some(session) = &mut self.session else { return };
        let stream = &mut session.standalone;
        stream.exchange = None;
        let lasted = stream.opened_at.take().is_some_and(|at| self.now - at >= HEALTHY);
        stream.failures = if lasted { 1 } else { stream.failures.saturating_add(1) };
        let (failures, opened) = (stream.failures, stream.opened);
        let wish = stream.retry.unwrap_or(STANDALONE_DELAY);
        match cause {
            // 409: a lost stream still holds the place.
            ConnectionError::Refused(refusal) if matches!(refusal.status, 409 | 429 | 500..) => {
                let delay = backoff::idle_delay(&mut self.rng, failures, STANDALONE_DELAY, STANDALONE_CAP)
                    .max(refusal.retry_after.unwrap_or(0));
                self.timers.set(Timer::Standalone, self.now + delay);
            }
            // It is not the server that says so.
            ConnectionError::Refused(refusal) if proxy::nobody_took_it(&refusal, true) => {
                let delay = backoff::idle_delay(&mut self.rng, failures, STANDALONE_DELAY, STANDALONE_CAP);
                self.timers.set(Timer::Standalone, self.now + delay);
                self.recover(ConnectionError::Unusable(not_the_server(&refusal.describe())));
            }
            // There is none. But where there was one, the session may be gone: a ping tells.
            ConnectionError::Refused(refusal) => {
                stream.absent = true;
                stream.denied = matches!(refusal.status, 401 | 403);
                if opened && matches!(refusal.status, 400 | 404) {
                    self.probe_soon();
                }
            }
            ConnectionError::Unreachable(reason) => self.recover(ConnectionError::Unreachable(reason)),
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
                self.recover(ConnectionError::Broken(other.reason()));
            }
        }
    }
}
