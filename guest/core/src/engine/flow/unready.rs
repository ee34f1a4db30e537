//! Sessions that are given up before they were ready: the server is told, or it keeps one for each attempt.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::connection_error::ConnectionError;
use crate::engine::Engine;
use crate::engine::state::exchanges::Role;
use crate::{Method, Transport};

impl Engine {
    /// The session that is being made is given up: it is deleted, unless the server cannot be reached.
    /// Nothing waits for the answer.
    pub(crate) fn delete_unready(&mut self, cause: Option<&ConnectionError>) {
        if !self.connection.is_unready() {
            return;
        }
        // Known before the result has come.
        let early = match self.connection.handshake_mut() {
            Some(handshake) if handshake.transport() == Transport::StreamableHttp => handshake.take_session_id(),
            _ => None,
        };
        // Behind a load balancer without affinity the node that does not know it is not the one that made it: a refusal proves
        // nothing here.
        let pointless = matches!(cause, Some(ConnectionError::SessionLost(_) | ConnectionError::Unreachable(_)));
        if pointless {
            return;
        }
        // A session that was good is kept while another one is made.
        let made = if self.has_session() { None } else { self.delete_session() };
        if let (None, Some(id)) = (made, early) {
            let url = self.url.clone();
            let session = [("mcp-session-id".to_string(), id)];
            let exchange = self.start(Role::Delete, Method::Delete, &url, Vec::new(), &session);
            self.limit_delete(exchange);
        }
    }
}
