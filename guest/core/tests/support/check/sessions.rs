//! How many sessions the engine holds at the server, and how often it makes new ones.

use mcp_reconnect_core::{ExchangeId, Instant, Method, Request};
use std::time::Duration;

use crate::support::world::World;

/// A session in use, and one that is made to see whether the old one is lost.
const AT_ONCE: usize = 2;
/// A server that is well, and nobody who asks for sessions: so many may be begun in an hour all the same.
pub const AN_HOUR: usize = 20;
pub const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// The engine learns of a session: only those that it knows of can it end.
    pub(in super::super) fn note_session(&mut self, _exchange: ExchangeId, sid: &str) {
        self.watch.known_sessions.insert(sid.to_string());
        let alive: Vec<_> = self
            .watch
            .known_sessions
            .iter()
            .filter(|sid| self.server.alive(sid) && !self.watch.ended_sessions.contains(*sid))
            .cloned()
            .collect();
        // What was given up while the server was away could not be deleted, and may have outlived that.
        if alive.len() > AT_ONCE && !(self.server.knobs.durable && self.server.generation > 1) {
            self.violate(format!("{} sessions are left open: {}", alive.len(), alive.join(", ")));
        }
    }

    /// A DELETE, or a refusal that says that the session is gone, ends it as far as the engine can know.
    pub(super) fn note_end_of_session(&mut self, request: &Request) {
        if request.method != Method::Delete {
            return;
        }
        if let Some((_, sid)) = request.headers.iter().find(|(name, _)| name == "mcp-session-id") {
            self.watch.ended_sessions.insert(sid.clone());
        }
    }

    pub(in super::super) fn note_refused_session(&mut self, exchange: ExchangeId, status: u16) {
        if status < 400 {
            return;
        }
        let Some(conn) = self.net.conns.get(&exchange) else { return };
        if let Some((_, sid)) = conn.request.headers.iter().find(|(name, _)| name == "mcp-session-id") {
            self.watch.ended_sessions.insert(sid.clone());
        }
    }

    /// A while in which the world is kind and nobody asks for a session.
    pub fn check_churn(&mut self, from: Instant) {
        let hours = ((self.now - from).as_secs() / HOUR.as_secs() + 1) as usize;
        let begun = self.watch.begun.iter().filter(|at| **at >= from).count();
        if begun > AN_HOUR * hours {
            self.violate(format!("{begun} sessions in {} s without a cause", (self.now - from).as_secs()));
        }
    }
}
