//! What a new session gets back, what the client is told of it, and what it was promised before there was one.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::Level;
use crate::api::options::SECOND;
use crate::engine::Engine;
use crate::engine::state::requests::Origin;
use crate::engine::state::session::{Answered, Server};
use crate::engine::state::timers::Timer;
use crate::wire::json;

impl Engine {
    /// Gives the new session what the old one had. Nothing waits for it.
    pub(crate) fn restore(&mut self) {
        let Some(server) = self.session.as_ref().map(|session| session.server.clone()) else { return };
        if self.reconnects == 0 {
            return;
        }
        if server.logging
            && let Some(level) = self.restorable.log_level.clone()
        {
            self.post_own(Origin::Restore, "logging/setLevel", &alloc::format!(r#"{{"level":{level}}}"#));
        }
        let subscriptions: Vec<_> = self.restorable.subscriptions.iter().cloned().collect();
        for uri in subscriptions {
            self.post_own(Origin::Restore, "resources/subscribe", &alloc::format!(r#"{{"uri":{uri}}}"#));
            // What changed in the gap was told to nobody.
            self.emit_message(alloc::format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":{uri}}}}}"#
            ));
        }
    }

    /// The lists of a new session may be other ones. A session that nothing came of is not worth telling about twice.
    pub(crate) fn tell_lists_changed(&mut self) {
        if !core::mem::take(&mut self.client.lists_changed) {
            return;
        }
        if core::mem::replace(&mut self.told_without_progress, true) {
            self.client.lists_changed = true;
            return;
        }
        let Some(server) = self.session.as_ref().map(|session| session.server.clone()) else { return };
        let promised = Server { tools: true, prompts: true, resources: true, ..Server::default() };
        let lists = if self.client.promised { promised } else { server };
        for method in lists.list_changes() {
            self.emit_message(alloc::format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
        }
    }

    /// The server is not there and `initialize` has waited for long enough: the client gets a result that promises
    /// lists, and hears that they changed once the server is there.
    pub(crate) fn answer_provisionally(&mut self) {
        if self.client.initialize.is_none() || self.handshake_requests().is_empty() {
            return;
        }
        if self.down.is_none() {
            self.timers.set(Timer::Start, self.now + SECOND);
            return;
        }
        self.promise_lists("The server cannot be reached yet. Its tools appear when it can.");
    }

    /// Answers `initialize` without the server, with these instructions for the model.
    pub(crate) fn promise_lists(&mut self, instructions: &str) {
        let pending = self.handshake_requests();
        let Some(initialize) = self.client.initialize.clone() else { return };
        if pending.is_empty() {
            return;
        }
        self.timers.clear(Timer::Start);
        let version = initialize.version();
        let version = if version.is_empty() { "2025-11-25".to_string() } else { version };
        self.client.answered =
            Some(Answered { server: Server { version: version.clone(), ..Server::default() }, provisional: true });
        self.client.promised = true;
        for key in pending {
            let Some(request) = self.forget(key) else { continue };
            self.emit_message(alloc::format!(
                concat!(
                    r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":{},"capabilities":{{"#,
                    r#""tools":{{"listChanged":true}},"prompts":{{"listChanged":true}},"#,
                    r#""resources":{{"listChanged":true,"subscribe":true}},"logging":{{}}}},"#,
                    r#""serverInfo":{{"name":"mcp-reconnect","version":"{}"}},"#,
                    r#""instructions":{}}}}}"#
                ),
                request.client_id(),
                json::quote(&version),
                env!("CARGO_PKG_VERSION"),
                json::quote(instructions),
            ));
        }
        let server = self.server_name();
        self.log(Level::Warn, alloc::format!("{server} cannot be used yet: initialize was answered provisionally"));
    }
}
