//! The engine's own stream of notifications, in the place of the standalone stream: of a translated session, and of one with a
//! server that keeps no sessions and has no standalone stream, where nothing else tells of a restart.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::api::errors;
use crate::engine::Engine;
use crate::engine::flow::connection_error::ConnectionError;
use crate::engine::state::current::Acknowledged;
use crate::engine::state::exchanges::Role;
use crate::engine::state::requests::{RequestKey, RequestState};
use crate::engine::state::timers::Timer;
use crate::wire::json::{self, Kind, Parsed};
use crate::wire::modern::{self, Filter};
use crate::wire::spelling;
use crate::{ExchangeId, Level, Method};

impl Engine {
    /// Whether the place of the standalone stream is taken by a stream of the engine's own.
    pub(crate) fn has_own_listen(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.own_listen.is_some())
    }

    /// Opens the stream. `None`: there is nothing to hear.
    pub(crate) fn post_own_listen(&mut self) -> Option<ExchangeId> {
        let session = self.session.as_ref()?;
        let mut filter = Filter {
            tools: session.server.tools,
            prompts: session.server.prompts,
            resources: session.server.resources,
            ..Filter::default()
        };
        if let Some(translation) = &session.translation {
            filter.uris.clone_from(&translation.uris);
        }
        if filter.is_empty() {
            return None;
        }
        self.session.own_stream_asks(filter.clone());
        let meta = self.translated_meta();
        let wire = self.new_wire_id();
        let members = alloc::format!(r#""notifications":{},"#, filter.text());
        let body = modern::request(wire, "subscriptions/listen", &members, &meta);
        let headers = modern::headers(modern::FIRST, "subscriptions/listen");
        let url = self.url.clone();
        let exchange = self.start(Role::Standalone, Method::Post, &url, body.into_bytes(), &headers);
        self.timers.set(Timer::OwnListen, self.now + self.options.response_timeout);
        Some(exchange)
    }

    /// The stream should have been acknowledged.
    pub(crate) fn on_own_listen_late(&mut self) {
        let Some(session) = self.session.as_ref().filter(|session| session.own_listen.is_some()) else { return };
        let Some(exchange) = session.standalone.exchange else { return };
        self.cancel(exchange);
        let time = crate::engine::seconds(self.options.response_timeout);
        let why = alloc::format!("its stream of notifications was not acknowledged within {time}");
        self.refuse_subscriptions(errors::TIMED_OUT, &why);
        self.on_standalone_over(true, ConnectionError::Unusable(why));
    }

    /// A JSON text on the stream.
    pub(crate) fn on_own_listen_text(&mut self, id: ExchangeId, text: &str) {
        let envelope = match json::parse(json::without_bom(text)) {
            Ok(Parsed::One(envelope)) => envelope,
            // A server with sessions may have it: 2025-03-26 knows batches.
            Ok(Parsed::Batch(items)) if !items.is_empty() => {
                for item in items.into_iter().filter(|item| !item.starts_with('[')) {
                    self.on_own_listen_text(id, item);
                }
                return;
            }
            _ => return self.log_dropped("a message of the server", "it is not JSON-RPC"),
        };
        let Kind::Notification { method } = &envelope.kind else {
            if let Some(error) = envelope.error {
                let (_, message) = json::error_of(error);
                self.cancel(id);
                return self.own_listen_refused(&message);
            }
            // The end of the stream, or a question, which servers of these versions do not ask.
            return self.log(Level::Debug, "a message on the stream of notifications that is none: dropped");
        };
        let raw_uri = envelope.params.uri.map(|uri| uri.get());
        match &**method {
            "notifications/subscriptions/acknowledged" => {
                let filter = Filter::parse(envelope.params.notifications.map_or("", |raw| raw.get()));
                self.on_own_acknowledged(filter);
            }
            "notifications/cancelled" => {
                self.cancel(id);
                self.on_standalone_over(true, ConnectionError::Unusable("the server cancelled it".to_string()));
            }
            // Without the mark of the stream, which the client knows nothing of.
            "notifications/resources/updated" => {
                if let Some(uri) = raw_uri {
                    self.tell_updated(uri);
                }
            }
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => {
                self.emit_message(alloc::format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
            }
            _ => self.emit_message(text.to_string()),
        }
    }

    /// The server cannot be reached: the stream would only hold up the end of one that goes down.
    pub(crate) fn let_go_of_own_listen(&mut self) {
        let Some(session) = self.session.as_ref().filter(|session| session.own_listen.is_some()) else { return };
        let exchange = session.standalone.exchange;
        self.session.stream_is(None);
        self.session.own_stream_lost();
        if let Some(exchange) = exchange {
            self.cancel(exchange);
        }
    }

    /// The server has no such stream, or none for this client.
    fn own_listen_refused(&mut self, message: &str) {
        self.session.stream_absent(false);
        let why = crate::engine::flow::settle::clip(message);
        if self.is_translated() {
            self.log(Level::Warn, alloc::format!("the server tells of no changes: it answered \"{why}\""));
        }
        self.refuse_subscriptions(errors::METHOD_NOT_FOUND, &why);
    }

    fn tell_updated(&mut self, uri: &str) {
        self.emit_message(alloc::format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":{uri}}}}}"#
        ));
    }

    fn on_own_acknowledged(&mut self, filter: Filter) {
        let Some(Acknowledged { asked, missed, restored }) = self.session.own_stream_acknowledged() else { return };
        self.timers.clear(Timer::OwnListen);
        let missing = asked.missing_in(&filter);
        if !missing.is_empty() {
            let what = crate::engine::flow::settle::clip(&missing.join(", "));
            self.log(Level::Info, alloc::format!("the server does not tell of everything that it could: {what}"));
        }
        if missed {
            for changed in filter.all_changed("") {
                self.emit_message(changed);
            }
        } else {
            for uri in restored.intersection(&filter.uris) {
                self.tell_updated(uri);
            }
        }
        for key in self.waiting_subscriptions() {
            self.answer_here(key);
        }
    }

    /// A subscription of the client's: the stream is opened with other URIs, and the answer is its acknowledgement.
    pub(crate) fn translate_subscription(&mut self, key: RequestKey, subscribe: bool) {
        let uri = self.requests.get(&key).and_then(|request| match json::parse(&request.text) {
            Ok(Parsed::One(envelope)) => envelope.params.uri.map(|uri| spelling::canonical(uri.get())),
            _ => None,
        });
        let Some(uri) = uri.filter(|uri| uri.starts_with('"')) else {
            let text = "The params hold no uri.";
            return self.answer_error(key, errors::INVALID_PARAMS, text, None);
        };
        self.requests.is_accepted(key, None);
        if !self.session.subscribe(uri, subscribe) {
            return;
        }
        let Some(session) = self.session.as_ref() else { return };
        let (Some(translation), Some(listen)) = (&session.translation, &session.own_listen) else { return };
        let (open, absent) = (session.standalone.exchange, session.standalone.absent);
        let fits = listen.asked.uris == translation.uris;
        match (fits, open, absent) {
            (_, _, true) => self.refuse_subscriptions(errors::METHOD_NOT_FOUND, "it tells of no changes"),
            (true, Some(_), _) if listen.acknowledged => self.answer_here(key),
            (true, Some(_), _) => {}
            (false, Some(exchange), _) => {
                self.cancel(exchange);
                self.session.stream_is(None);
                self.open_for_subscription(key);
            }
            (_, None, _) => self.open_for_subscription(key),
        }
    }

    /// Opens the stream that a subscription waits for; where nothing is left to hear, there is none to wait for.
    fn open_for_subscription(&mut self, key: RequestKey) {
        self.timers.clear(Timer::Standalone);
        self.open_standalone();
        if self.session.as_ref().is_some_and(|session| session.standalone.exchange.is_none()) {
            self.answer_here(key);
        }
    }

    /// The server has no such stream, or it did not come about.
    pub(crate) fn refuse_subscriptions(&mut self, code: i64, why: &str) {
        for key in self.waiting_subscriptions() {
            let text = alloc::format!("The server cannot be subscribed to: {why}.");
            self.answer_error(key, code, &text, None);
        }
    }

    fn waiting_subscriptions(&self) -> Vec<RequestKey> {
        if !self.is_translated() {
            return Vec::new();
        }
        let waits = |method: &str| matches!(method, "resources/subscribe" | "resources/unsubscribe");
        self.requests
            .iter()
            .filter(|(_, request)| {
                request.state == RequestState::Accepted(None) && request.epoch == self.epoch && waits(&request.method)
            })
            .map(|(key, _)| *key)
            .collect()
    }

    /// A server without sessions and without a standalone stream may have a stream of the versions without sessions, which is all
    /// that tells of a restart there. True: it is tried.
    pub(crate) fn try_listen_beside(&mut self) -> bool {
        let Some(session) = self.session.as_ref() else { return false };
        let told = |server: &crate::engine::state::session::Server| server.tools || server.prompts || server.resources;
        if session.id.is_some()
            || session.translation.is_some()
            || session.own_listen.is_some()
            || session.transport != crate::Transport::StreamableHttp
            || !told(&session.server)
        {
            return false;
        }
        self.session.listens();
        self.open_standalone();
        true
    }
}
