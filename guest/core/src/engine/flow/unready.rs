//! Sessions that are given up before they were ready: the server is told, or it keeps one for each attempt.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::reconnect::{ConnectionError, ConnectionState};
use super::response::Role;
use crate::engine::Engine;
use crate::policy::replay::Evidence;
use crate::{Method, Transport};

impl Engine {
    /// Whether a session is being made.
    pub(crate) fn is_unready(&self) -> bool {
        matches!(self.connection, ConnectionState::Handshake(_) | ConnectionState::AwaitInitialized)
    }

    /// The session that is being made is given up: it is deleted, unless the server does not know it or cannot be reached.
    /// Nothing waits for the answer.
    pub(crate) fn delete_unready(&mut self, cause: Option<&ConnectionError>) {
        if !self.is_unready() {
            return;
        }
        // Known before the result has come.
        let early = match &mut self.connection {
            ConnectionState::Handshake(handshake) if handshake.transport == Transport::StreamableHttp => {
                handshake.session_id.take()
            }
            _ => None,
        };
        let pointless = match cause {
            Some(ConnectionError::SessionLost(_) | ConnectionError::Unreachable(_)) => true,
            Some(ConnectionError::Refused(refusal)) => {
                refusal.evidence(Transport::StreamableHttp, true) == Evidence::SessionLost
            }
            _ => false,
        };
        if pointless {
            return;
        }
        let exchange = match (self.delete_session(), early) {
            (Some(exchange), _) => Some(exchange),
            (None, Some(id)) if self.session.is_none() => {
                let url = self.url.clone();
                let session = [("mcp-session-id".to_string(), id)];
                Some(self.start(Role::Delete, Method::Delete, &url, Vec::new(), &session))
            }
            _ => None,
        };
        if let Some(exchange) = exchange {
            self.retire(exchange);
        }
    }
}
