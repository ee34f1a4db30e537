//! What a client of these versions sends.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use crate::api::errors::{self, response};
use crate::engine::Engine;
use crate::engine::flow::settle;
use crate::engine::state::exchanges::Role;
use crate::engine::state::modern::{Era, Link, Listen, ModernPart};
use crate::engine::state::requests::{Learn, Origin, Request, RequestKey, RequestState};
use crate::engine::state::timers::Timer;
use crate::policy::replay;
use crate::wire::json::{self, Params};
use crate::wire::modern::{self, Meta};
use crate::wire::spelling;
use crate::{Event, Level, Method};

/// A `server/discover` is answered within this time whatever the server does: clients give up after 10 s, and then take the
/// transport for one that knows nothing of it.
const DISCOVER_TIME: Duration = Duration::from_secs(8);

impl Engine {
    pub(crate) fn on_modern_request(
        &mut self,
        method: &str,
        text: &str,
        id_at: Range<usize>,
        params: &Params,
        meta: Meta,
    ) {
        let request = self.modern_request(method, text, id_at, params, &meta);
        if self.refused_for_the_close(&request) || !self.has_room(&request) {
            return;
        }
        let is_first = self.modern.client_speaks(meta);
        if is_first && self.client.initialize.is_none() && self.modern.info().is_none() {
            self.emit(Event::Connecting);
        }
        if is_first && self.session.is_none() {
            self.modern_awaits_headers();
        }
        let key = self.admit(request);
        self.start_hold(key, self.options.hold_timeout);
        if method == "server/discover" {
            let time = if self.options.start_timeout.is_zero() { DISCOVER_TIME } else { self.options.start_timeout };
            self.timers.set(Timer::Discover(key), self.now + time.min(DISCOVER_TIME));
        }
        self.modern.enqueue(key);
        if *self.modern.link() == Link::Waiting {
            self.modern_attempt_sooner();
        }
    }

    fn modern_request(&self, method: &str, text: &str, id_at: Range<usize>, params: &Params, meta: &Meta) -> Request {
        let annotations = method == "tools/list" && self.options.trust_annotations;
        let continued = params.input_responses.is_some() || params.request_state.is_some();
        let trusted = || {
            self.options.trust_annotations
                && params
                    .name
                    .and_then(json::string)
                    .is_some_and(|name| self.tool_hints.tools.get(&name).copied().unwrap_or(false))
        };
        let safe = match method {
            "tools/call" => !continued && trusted(),
            _ => replay::is_safe_without_session(method, continued),
        };
        let listen = (method == "subscriptions/listen").then(Listen::default);
        let part = ModernPart {
            version: meta.version.clone(),
            name: modern::name_header(method, params),
            listen,
            ..ModernPart::default()
        };
        let learn = if annotations { Learn::List { annotations } } else { Learn::Nothing };
        Request {
            progress_token: params.own_progress_token().map(spelling::canonical),
            modern: Some(part),
            ..settle::new_request(Origin::Client, method, text.to_string(), id_at, safe, learn)
        }
    }

    /// The discover of the client has waited for as long as clients do: whatever the server speaks, they go on without.
    pub(crate) fn on_discover_late(&mut self, key: RequestKey) {
        let exchange = self.exchange_of(key);
        self.answer_discover_unknown(key);
        if let Some(exchange) = exchange {
            self.cancel(exchange);
        }
    }

    /// What a server answers that does not know the method, which is what clients understand: they go on with `initialize`.
    pub(crate) fn answer_discover_unknown(&mut self, key: RequestKey) {
        let text = if self.modern.era() == Era::Legacy {
            "Method not found: the server speaks only versions with a session (up to 2025-11-25). Send initialize."
        } else {
            "Method not found: the server did not say whether it speaks a version without sessions. Send initialize."
        };
        self.answer_error(key, errors::METHOD_NOT_FOUND, text, None);
    }

    /// A request of the client that says a version that is none.
    pub(crate) fn refuse_version(&mut self, id: &str, method: &str, version: &str) {
        let text = alloc::format!(
            "{method} was not sent: the protocol version in its _meta, {version}, is no version (a date such as {} is).",
            modern::FIRST
        );
        self.emit_message(response(id, errors::INVALID_PARAMS, &text, None));
    }

    /// The client cancels a request: the server hears of it by the end of the exchange ("Cancellation").
    pub(crate) fn cancel_modern(&mut self, key: RequestKey) {
        let exchange = self.exchange_of(key);
        self.forget(key);
        if let Some(exchange) = exchange {
            self.cancel(exchange);
        }
    }

    /// A notification of a client without a session. The versions define none; it is passed on, once.
    pub(crate) fn on_modern_notification(&mut self, method: &str, text: &str) {
        let Some(meta) = self.modern.meta() else { return };
        if !self.modern.is_up() {
            return self.log_dropped(method, "the server cannot be reached");
        }
        let headers = modern::headers(&meta.version, method);
        let url = self.url.clone();
        let body = text.as_bytes().to_vec();
        let exchange = self.start(Role::ModernNotify, Method::Post, &url, body, &headers);
        self.timers.set(Timer::Head(exchange), self.now + self.options.response_timeout);
    }

    /// A response of a client that nothing was asked: servers of these versions ask in results.
    pub(crate) fn on_modern_response(&mut self) {
        self.log(Level::Warn, "a response of the client was dropped: versions without sessions know none");
    }

    /// Requests of these versions that are owed an answer, without the streams of notifications.
    pub(crate) fn modern_in_flight(&self) -> bool {
        self.requests.of_client().any(|(_, request)| request.is_out() && request.is_modern() && !request.is_listen())
    }

    /// The streams of notifications that the client opened.
    pub(crate) fn listens(&self) -> Vec<RequestKey> {
        self.requests.of_client().filter(|(_, request)| request.is_listen()).map(|(key, _)| *key).collect()
    }

    /// Whether anything waits for the server to be reached.
    pub(crate) fn modern_waits(&self) -> bool {
        let is_lost = |request: &Request| request.is_listen() && request.state == RequestState::Held;
        self.modern_client_waits() || self.requests.of_client().any(|(_, request)| is_lost(request))
    }

    /// Whether there is anything that the server may still answer.
    pub(crate) fn modern_awaits_something(&self) -> bool {
        self.modern.is_asking() || self.requests.of_client().any(|(_, request)| request.is_modern())
    }

    /// Whether the client waits for something that the server has to be reached for. It does not know of lost streams.
    pub(crate) fn modern_client_waits(&self) -> bool {
        self.modern.queued() > 0 || self.requests.of_client().any(|(_, request)| request.is_unverified())
    }

    pub(crate) fn modern_method(&self, key: RequestKey) -> String {
        self.requests.get(&key).map_or_else(String::new, |request| request.method.clone())
    }
}
