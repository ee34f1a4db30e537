//! Streams of notifications (`subscriptions/listen`). No client opens one again by itself: a stream that is lost, or that the
//! server ends before a restart, is opened again here, without the client's hearing of it, and then everything that it tells of
//! is said to have changed.

use alloc::string::ToString;
use core::time::Duration;

use crate::Level;
use crate::engine::Engine;
use crate::engine::flow::settle;
use crate::engine::state::requests::{Request, RequestKey, RequestState};
use crate::engine::state::timers::Timer;
use crate::policy::backoff;
use crate::wire::json::{self, Params};
use crate::wire::modern::{Filter, SUBSCRIPTION_KEY};
use crate::wire::spelling;

/// A stream that lasted this long was no failure.
const HEALTHY: Duration = Duration::from_secs(10);

impl Engine {
    /// A stream ended, however it did: it is opened again, at once if it had lasted.
    pub(crate) fn listen_lost(&mut self, key: RequestKey, why: &str) {
        // A server ends its streams when it goes down, also in order.
        self.modern.doubt();
        let exchange = self.exchange_of(key);
        if let Some(exchange) = exchange {
            self.cancel(exchange);
        }
        let (now, base, cap) = (self.now, self.options.backoff_base, self.options.backoff_cap);
        let Some(left) = self.requests.is_held(key) else { return };
        let Some(listen) = self.listen_of(key) else { return };
        let lasted = core::mem::take(&mut listen.acknowledged) && now - listen.opened_at >= HEALTHY;
        listen.failures = if lasted { 0 } else { listen.failures.saturating_add(1) };
        let (failures, told) = (listen.failures, listen.told.is_some());
        let delay =
            if failures == 0 { Duration::ZERO } else { backoff::idle_delay(&mut self.rng, failures - 1, base, cap) };
        self.timers.set(Timer::Listen(key), now + delay);
        // The client that has its acknowledgement waits for nothing.
        if !told && !self.timers.is_set(Timer::Hold(key)) {
            self.start_hold(key, left);
        }
        self.log(Level::Info, alloc::format!("a stream of notifications was lost ({why}): it is opened again"));
    }

    /// It is time to open a stream again, or its acknowledgement should have come.
    pub(crate) fn on_listen_timer(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        if request.state == RequestState::Held {
            if self.modern.is_up() && !self.modern.is_queued(key) {
                self.post_modern(key);
            }
            return;
        }
        let time = crate::engine::seconds(self.options.response_timeout);
        self.listen_lost(key, &alloc::format!("it was not acknowledged within {time}"));
        self.modern_broken("subscriptions/listen was not acknowledged".to_string());
    }

    /// The server can be reached: streams come before the requests that waited.
    pub(crate) fn reopen_listens(&mut self) {
        for key in self.listens() {
            let held = self.requests.get(&key).is_some_and(|request| request.state == RequestState::Held);
            if held && self.modern.is_up() {
                self.modern.withdraw(key);
                self.timers.clear(Timer::Listen(key));
                self.post_modern(key);
            }
        }
    }

    /// The server refuses connections: an open stream would only hold up its end.
    pub(crate) fn let_go_of_listens(&mut self, why: &str) {
        for key in self.listens() {
            if self.exchange_of(key).is_some() {
                self.listen_lost(key, why);
            }
        }
    }

    /// A notification on such a stream.
    pub(crate) fn on_listen_notification(&mut self, key: RequestKey, method: &str, text: &str, params: &Params) {
        match method {
            "notifications/subscriptions/acknowledged" => self.on_acknowledged(key, text, params),
            // Some servers end a stream so.
            "notifications/cancelled" => self.listen_lost(key, "the server cancelled it"),
            _ => {
                let text = self.under_client_id(key, text, params);
                self.emit_message(text);
            }
        }
    }

    fn on_acknowledged(&mut self, key: RequestKey, text: &str, params: &Params) {
        let filter = Filter::parse(params.notifications.map_or("", |raw| raw.get()));
        let Some(listen) = self.listen_of(key) else { return };
        if core::mem::replace(&mut listen.acknowledged, true) {
            return self.log(Level::Warn, "a second acknowledgement of one stream of notifications: dropped");
        }
        let told = listen.told.clone();
        if told.is_none() {
            listen.told = Some(filter.clone());
        }
        for timer in [Timer::Listen(key), Timer::Hold(key), Timer::ModernLiveness] {
            self.timers.clear(timer);
        }
        self.set_era(crate::engine::state::modern::Era::Modern);
        self.modern.server_answered();
        self.modern_link_is_up();
        let Some(told) = told else {
            let text = self.under_client_id(key, text, params);
            return self.emit_message(text);
        };
        let missing = told.missing_in(&filter);
        if !missing.is_empty() {
            let what = settle::clip(&missing.join(", "));
            self.log(Level::Warn, alloc::format!("since its restart the server does not tell of everything: {what}"));
        }
        let meta = self.subscription_meta(key);
        for changed in told.and(&filter).all_changed(&meta) {
            self.emit_message(changed);
        }
    }

    fn listen_of(&mut self, key: RequestKey) -> Option<&mut crate::engine::state::modern::Listen> {
        self.requests.modern(key)?.listen.as_mut()
    }

    /// A notification with the client's id in the place of the one on the wire.
    fn under_client_id(&self, key: RequestKey, text: &str, params: &Params) -> alloc::string::String {
        let Some(request) = self.requests.get(&key) else { return text.to_string() };
        let id = params.meta.and_then(|meta| json::member(meta.get(), SUBSCRIPTION_KEY));
        match id {
            Some(id) if spelling::integer(id.get()) == Some(request.wire_id) => {
                json::splice(text, Params::span(id, text).range(), request.client_id())
            }
            _ => text.to_string(),
        }
    }

    /// The connection is closed by the client: its streams end in the orderly way.
    pub(crate) fn end_listens(&mut self) {
        for key in self.listens() {
            if self.requests.get(&key).is_some_and(Request::is_acknowledged_listen) {
                let meta = self.subscription_meta(key);
                let Some(request) = self.forget(key) else { continue };
                let id = request.client_id();
                self.emit_message(alloc::format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{meta}}}}}"#
                ));
            }
        }
    }
}
