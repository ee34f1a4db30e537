//! What a new session gets back, what the program is told of it, and what it was promised before there was one.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::Engine;
use crate::options::SECOND;
use crate::request::Origin;
use crate::schedule::Timer;
use crate::session::{Answered, Server};
use crate::{Level, json};

impl Engine {
    /// Gives the new session what the old one had. Nothing waits for it.
    pub(super) fn restore(&mut self) {
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
    pub(super) fn tell_lists_changed(&mut self) {
        if !core::mem::take(&mut self.program.lists_changed) {
            return;
        }
        if core::mem::replace(&mut self.told_without_progress, true) {
            self.program.lists_changed = true;
            return;
        }
        let Some(server) = self.session.as_ref().map(|session| session.server.clone()) else { return };
        let promised = Server { tools: true, prompts: true, resources: true, ..Server::default() };
        let lists = if self.program.promised { promised } else { server };
        for method in lists.list_changes() {
            self.emit_message(alloc::format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
        }
    }

    /// The server is not there and `initialize` has waited for long enough: the program gets a result that promises
    /// lists, and hears that they changed once the server is there.
    pub(super) fn answer_provisionally(&mut self) {
        let pending = self.handshake_requests();
        let Some(initialize) = self.program.initialize.clone() else { return };
        if pending.is_empty() {
            return;
        }
        if self.down.is_none() {
            self.timers.set(Timer::Start, self.now + SECOND);
            return;
        }
        let version = initialize.version();
        let version = if version.is_empty() { "2025-11-25".to_string() } else { version };
        self.program.answered =
            Some(Answered { server: Server { version: version.clone(), ..Server::default() }, provisional: true });
        self.program.promised = true;
        for key in pending {
            let Some(request) = self.forget(key) else { continue };
            self.emit_message(alloc::format!(
                concat!(
                    r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":{},"capabilities":{{"#,
                    r#""tools":{{"listChanged":true}},"prompts":{{"listChanged":true}},"#,
                    r#""resources":{{"listChanged":true,"subscribe":true}},"logging":{{}}}},"#,
                    r#""serverInfo":{{"name":"mcp-reconnect","version":"{}"}},"#,
                    r#""instructions":"The server cannot be reached yet. Its tools appear when it can."}}}}"#
                ),
                request.client_id(),
                json::quote(&version),
                env!("CARGO_PKG_VERSION"),
            ));
        }
        let server = self.server_name();
        self.log(Level::Warn, alloc::format!("{server} is not there yet: initialize was answered provisionally"));
    }
}
