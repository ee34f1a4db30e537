//! How requests of these versions are sent: their headers, and what the engine asks by itself.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Own;
use crate::engine::Engine;
use crate::engine::state::exchanges::Role;
use crate::engine::state::requests::RequestKey;
use crate::engine::state::timers::Timer;
use crate::wire::json::{self, Parsed};
use crate::wire::modern::{self, CAPABILITIES_KEY, CLIENT_KEY, VERSION_KEY};
use crate::{ExchangeId, Method};

impl Engine {
    /// Sends what waits, in order, while the server can be reached.
    pub(crate) fn pump_modern(&mut self) {
        if self.modern.is_up() && self.modern.outage().is_on() && self.modern.queued() > 0 {
            self.modern_awaits_headers();
        }
        while self.modern.is_up()
            && let Some(key) = self.modern.first_in_queue()
        {
            let Some(request) = self.requests.get(&key) else {
                self.modern.take_first_in_queue();
                continue;
            };
            if !request.safe && self.modern_is_suspect() {
                self.check_modern_link();
                break;
            }
            self.modern.take_first_in_queue();
            self.post_modern(key);
        }
        self.time_modern_liveness();
    }

    /// Whether a request that must not run twice waits for a sign of life first.
    fn modern_is_suspect(&self) -> bool {
        let interval = self.heartbeat_interval();
        self.modern.is_doubted() || self.modern.info().is_some() && self.liveness.is_silent(self.now, interval)
    }

    /// Sends a request, for the first time or again, under a fresh id.
    pub(crate) fn post_modern(&mut self, key: RequestKey) {
        let Some(body) = self.begin_sending(key) else { return };
        let headers = self.modern_headers(key);
        let url = self.url.clone();
        let exchange = self.start(Role::Modern(key), Method::Post, &url, body.into_bytes(), &headers);
        let now = self.now;
        self.requests.is_sent(key, exchange);
        let Some(sent_at) = self.requests.first_sent(key, now) else { return };
        if let Some(listen) = self.requests.modern(key).and_then(|part| part.listen.as_mut()) {
            listen.acknowledged = false;
            listen.opened_at = now;
            self.timers.set(Timer::Listen(key), now + self.options.response_timeout);
        } else {
            let end = (now + self.options.run_timeout).min(sent_at + self.options.run_limit);
            self.timers.set(Timer::Run(key), end);
        }
    }

    /// The headers that repeat what is in a request.
    fn modern_headers(&self, key: RequestKey) -> Vec<(String, String)> {
        let Some(request) = self.requests.get(&key) else { return Vec::new() };
        let Some(part) = &request.modern else { return Vec::new() };
        let mut headers = modern::headers(&part.version, &request.method);
        if let Some(name) = &part.name {
            headers.push(("mcp-name".to_string(), name.clone()));
        }
        if request.method == "tools/call" {
            headers.extend(self.param_headers(&request.text));
        }
        headers
    }

    /// The headers that repeat arguments of a `tools/call`.
    pub(crate) fn param_headers(&self, text: &str) -> Vec<(String, String)> {
        if self.modern.tools.is_empty() {
            return Vec::new();
        }
        let Ok(Parsed::One(envelope)) = json::parse(text) else { return Vec::new() };
        let params = &envelope.params;
        let (Some(tool), Some(arguments)) = (params.name.and_then(json::string), params.arguments) else {
            return Vec::new();
        };
        modern::param_headers(self.modern.tools.of(&tool), arguments.get())
    }

    /// Asks something for the engine itself, as the client would.
    pub(crate) fn post_modern_own(&mut self, own: Own, method: &str, params: &str) -> ExchangeId {
        let meta = self.modern.meta().cloned().unwrap_or_default();
        let version = if meta.version.is_empty() { modern::FIRST } else { &meta.version };
        let client = meta.client.map(|client| alloc::format!(r#","{CLIENT_KEY}":{client}"#)).unwrap_or_default();
        let wire = self.new_wire_id();
        let meta = alloc::format!(r#""{VERSION_KEY}":"{version}","{CAPABILITIES_KEY}":{{}}{client}"#);
        let body = modern::request(wire, method, params, &meta);
        let headers = modern::headers(version, method);
        let url = self.url.clone();
        let exchange = self.start(Role::ModernOwn(own), Method::Post, &url, body.into_bytes(), &headers);
        self.timers.set(Timer::ModernOwn(exchange), self.now + self.options.heartbeat_timeout);
        exchange
    }

    /// A question of the engine's own was redirected: it is asked at the new place.
    pub(crate) fn redirected_own(&mut self, id: ExchangeId, own: Own) {
        self.timers.clear(Timer::ModernOwn(id));
        match own {
            Own::Discover => {
                let discover = self.post_modern_own(Own::Discover, "server/discover", "");
                self.modern.asks(discover);
            }
            Own::Tools(key, _) => {
                self.post_modern_own(Own::Tools(key, 0), "tools/list", "");
            }
        }
    }

    /// The request goes out once more as it is, because its exchange was redirected.
    pub(crate) fn post_modern_again(&mut self, key: RequestKey) {
        let run = self.timers.next_of(Timer::Run(key));
        self.post_modern(key);
        if let Some(run) = run {
            self.timers.set(Timer::Run(key), run);
        }
    }
}
