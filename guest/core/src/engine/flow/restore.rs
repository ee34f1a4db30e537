//! What a new session gets back, what the client is told of it, and what it was promised before there was one.

use alloc::string::{String, ToString};
use core::time::Duration;

use super::settle::End;
use crate::Level;
use crate::api::time::SECOND;
use crate::engine::Engine;
use crate::engine::state::requests::{Origin, RequestKey};
use crate::engine::state::session::{Answered, Server};
use crate::engine::state::settings::Change;
use crate::engine::state::timers::Timer;
use crate::policy::backoff;
use crate::policy::replay::Evidence;
use crate::wire::json;

/// Restores under way at once.
const MAX_RESTORES: usize = 4;
/// The pause after a restore that came to nothing: the first, and the longest.
const RESTORE_DELAY: Duration = SECOND;
const RESTORE_CAP: Duration = Duration::from_secs(60);

impl Engine {
    /// A new session is to get what the client set up in the old ones.
    pub(crate) fn restore(&mut self) {
        let logging = self.session.as_ref().is_some_and(|session| session.server.logging);
        self.timers.clear(Timer::Restore);
        if self.is_translated() {
            return self.settings.begin_translated_session();
        }
        self.settings.begin_session(logging);
    }

    /// Asks for what the client was told it has and the server may not hold, a few at a time. Nothing waits for it.
    pub(crate) fn converge(&mut self) {
        if !self.connection.is_ready() || self.closing {
            return;
        }
        // What changed while a subscription did not hold was told to nobody.
        while let Some(uri) = self.settings.take_update() {
            self.emit_message(alloc::format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":{uri}}}}}"#
            ));
        }
        // What is translated goes with every message, and needs no restoring.
        if self.timers.is_set(Timer::Restore) || self.is_translated() {
            return;
        }
        while self.settings.under_way() < MAX_RESTORES
            && let Some(change) = self.settings.next_due()
        {
            let (method, params) = change.request();
            let key = self.post_own(Origin::Restore, method, &params);
            self.settings.started(key, change);
        }
    }

    /// The server answered a restore.
    pub(crate) fn restore_answered(&mut self, key: RequestKey, error: Option<(i64, String)>) {
        match error {
            None => self.settings.confirmed(key),
            Some((_, message)) => {
                let message = super::settle::clip(&message);
                if let Some(change) = self.settings.refused(key) {
                    self.restore_given_up(&change, &alloc::format!("the server answered \"{message}\""));
                }
            }
        }
        self.forget(key);
    }

    /// A restore came to nothing. It is due again after a pause, unless the server refused it itself or something did so too
    /// often.
    pub(crate) fn restore_failed(&mut self, key: RequestKey, end: &End) {
        if end.evidence == Evidence::Refused && end.refusal.is_some_and(|refusal| refusal.error().is_some()) {
            if let Some(change) = self.settings.refused(key) {
                self.restore_given_up(&change, &end.reason);
            }
            self.forget(key);
            return;
        }
        let (refused, rest) = match end.evidence {
            Evidence::SessionLost | Evidence::Refused | Evidence::Unauthorized => (true, None),
            Evidence::Busy { retry_after } => (false, retry_after),
            Evidence::NotSent | Evidence::NotTaken | Evidence::Unknown => (false, None),
        };
        if let Some(change) = self.settings.failed(key, refused) {
            self.restore_given_up(&change, &end.reason);
        }
        self.forget(key);
        // Those that were under way together fail together.
        if !self.timers.is_set(Timer::Restore) {
            let before = self.settings.put_off();
            if before == 0 {
                let text = alloc::format!(
                    "a subscription or the log level could not be restored yet ({}); it is tried again",
                    end.reason
                );
                self.log(Level::Info, text);
            }
            let delay =
                backoff::idle_delay(&mut self.rng, before, RESTORE_DELAY, RESTORE_CAP).max(rest.unwrap_or_default());
            self.timers.set(Timer::Restore, self.now + delay);
        }
    }

    /// A restore was not answered in time. The tries that follow would keep the heartbeat silent, where their POSTs are taken and
    /// never answered: a ping tells whether anything is.
    pub(crate) fn restore_late(&mut self, key: RequestKey) {
        let exchange = self.exchange_of(key);
        let reason = "it was not confirmed in time".to_string();
        self.restore_failed(key, &End { evidence: Evidence::Unknown, accepted: false, reason, refusal: None });
        if let Some(exchange) = exchange {
            self.cancel(exchange);
        }
        let pinging = self.requests.values().any(|request| request.origin == Origin::Ping);
        if self.connection.is_ready() && !pinging {
            self.post_ping();
        }
    }

    fn restore_given_up(&mut self, change: &Change, reason: &str) {
        let text = alloc::format!(
            "{} could not be restored ({reason}): it is given up for this session. Set it again to have it.",
            change.describe()
        );
        self.log(Level::Warn, text);
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
        if !self.outage.is_on() {
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
        self.client.negotiated = Some(version.clone());
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
