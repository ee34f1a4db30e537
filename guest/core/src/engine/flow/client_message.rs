//! What the client sends: validated, queued in order, and started in order.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::settle;
use crate::api::errors::{self, response};
use crate::engine::Engine;
use crate::engine::state::asides::{Aside, Taken};
use crate::engine::state::connection::ConnectionState;
use crate::engine::state::cursors::Page;
use crate::engine::state::exchanges::{Exchange, Role};
use crate::engine::state::outbox::{Outgoing, Queued};
use crate::engine::state::progress_tokens::{TaskPart, status_params};
use crate::engine::state::requests::{Learn, Origin, Request, RequestKey, RequestState};
use crate::engine::state::session::{Initialize, ServerRequest};
use crate::engine::state::settings::{Change, Full, MAX_SUBSCRIPTION_BYTES, MAX_SUBSCRIPTIONS};
use crate::engine::state::timers::Timer;
use crate::policy::replay;
use crate::wire::json::{self, Envelope, Kind, Malformed, Params, Parsed};
use crate::wire::modern;
use crate::wire::spelling;
use crate::{Instant, Level, SECOND};

/// How long a notification may hold up the messages behind it.
const NOTIFY_HOLD: Duration = SECOND;

impl Engine {
    /// Before a text that was not UTF-8 stands U+FFFD, see [`crate::Input::Message`].
    pub(crate) fn on_client_message(&mut self, text: String) {
        let text = json::without_bom(&text);
        if text.len() > self.options.max_message_bytes {
            let mut scanner = crate::wire::scan::Scanner::new();
            scanner.feed(text.strip_prefix(NOT_UTF8).unwrap_or(text).as_bytes());
            match errors::oversized_message(&scanner.finish(), self.options.max_message_bytes) {
                Some(answer) => self.emit_message(answer),
                None => self.log(Level::Warn, "a notification of the client is over max-message-bytes: dropped"),
            }
            return;
        }
        match json::parse(text) {
            Ok(Parsed::One(envelope)) => self.on_client_envelope(envelope, text),
            Ok(Parsed::Batch(items)) if items.is_empty() => {
                self.emit_message(response("null", errors::INVALID_REQUEST, "An empty batch is no request.", None));
            }
            // Batches are not part of the later versions: each message goes its own way.
            Ok(Parsed::Batch(items)) => {
                for item in items {
                    match json::parse(item) {
                        Ok(Parsed::One(envelope)) => self.on_client_envelope(envelope, item),
                        Ok(Parsed::Batch(_)) => self
                            .on_malformed(Malformed::Envelope { id: None, problem: "a batch stands in a batch" }, item),
                        Err(problem) => self.on_malformed(problem, item),
                    }
                }
            }
            Err(problem) => self.on_malformed(problem, text),
        }
    }

    /// Answers what is no message: under the id of the request that it was to be, if that can be read.
    fn on_malformed(&mut self, problem: Malformed, text: &str) {
        let whole = matches!(problem, Malformed::Envelope { .. });
        let id = || request_id(text.strip_prefix(NOT_UTF8).unwrap_or(text), whole);
        let (id, code, problem) = match problem {
            Malformed::Json(_) if text.starts_with(NOT_UTF8) => {
                (id(), errors::PARSE_ERROR, "This line is not UTF-8.".to_string())
            }
            Malformed::Json(what) => (id(), errors::PARSE_ERROR, alloc::format!("This line is not JSON: {what}.")),
            Malformed::Envelope { id: known, problem } => (
                known.or_else(id),
                errors::INVALID_REQUEST,
                alloc::format!("This is no JSON-RPC 2.0 message: {problem}."),
            ),
            Malformed::Batch => (
                None,
                errors::INVALID_REQUEST,
                alloc::format!("A batch may hold {} messages; none of this one was sent.", json::MAX_BATCH),
            ),
        };
        let answer = response(id.as_deref().unwrap_or("null"), code, &problem, None);
        self.emit_message(answer);
    }

    fn on_client_envelope(&mut self, envelope: Envelope, text: &str) {
        if let Some(text) = envelope.without_null_twin()
            && let Ok(Parsed::One(envelope)) = json::parse(&text)
        {
            return self.on_client_envelope(envelope, &text);
        }
        match envelope.kind {
            Kind::Request { id, method }
                if method != "initialize" && self.on_modern_envelope(&id, &method, text, &envelope.params) => {}
            Kind::Request { id, method } => match &*method {
                "ping" => self.emit_message(alloc::format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.raw)),
                // It belongs to the versions without sessions, which say so in `_meta`.
                "server/discover" => {
                    let text = "server/discover was not sent: its _meta names no protocol version without sessions \
                                (2026-07-28 or later). Send initialize for the others.";
                    self.emit_message(response(id.raw, errors::METHOD_NOT_FOUND, text, None));
                }
                "initialize" => self.on_initialize(text, id.range(), &envelope.params),
                _ if self.client.initialize.is_none() => {
                    let text = alloc::format!("{method} was not sent: the first request must be initialize.");
                    self.emit_message(response(id.raw, errors::INVALID_REQUEST, &text, None));
                }
                _ => {
                    let request = self.client_request(&method, text, id.range(), &envelope.params);
                    let raw =
                        |value: Option<&'_ serde_json::value::RawValue>| value.map(|value| value.get().to_string());
                    let (level, uri) = (raw(envelope.params.level), raw(envelope.params.uri));
                    let change = Change::of(&method, level.as_deref(), uri.as_deref());
                    self.on_request(request, change);
                }
            },
            Kind::Notification { method } => self.on_notification(&method, text, &envelope.params),
            Kind::Response { id: Some(id) } => {
                let asked = spelling::integer(id.raw).and_then(|id| self.inbox.take(id));
                match asked {
                    Some(ServerRequest { input: Some((key, name)), .. }) => self.on_input(key, &name, &envelope),
                    Some(asked) => {
                        let (task, token) = (&asked.task, asked.progress_token.as_deref());
                        if asked.epoch == self.epoch && *task != TaskPart::None {
                            let result = envelope.result.map(|result| result.get());
                            self.progress_tokens.client_answered(task, token, result, self.now);
                        }
                        let text = json::splice(text, id.range(), &asked.id);
                        self.enqueue(Outgoing::Answer { epoch: asked.epoch, text, sendings: 0 });
                    }
                    None if self.client.initialize.is_none() && self.modern.meta().is_some() => {
                        self.on_modern_response()
                    }
                    None => self.log(Level::Debug, "an answer to a question that no session asks any more: dropped"),
                }
            }
            Kind::Response { id: None } => self.log(Level::Warn, "an answer of the client without an id: dropped"),
        }
    }

    /// Takes a request that names a version without sessions, or none that is one. False: it is of the versions with sessions.
    fn on_modern_envelope(&mut self, id: &json::Span, method: &str, text: &str, params: &Params) -> bool {
        match modern::said(params) {
            modern::Said::Nothing => return false,
            modern::Said::Modern(meta) => self.on_modern_request(method, text, id.range(), params, meta),
            modern::Said::NoVersion(version) => self.refuse_version(id.raw, method, &version),
        }
        true
    }

    /// A second `initialize` replaces the session.
    fn on_initialize(&mut self, text: &str, id_at: core::ops::Range<usize>, params: &Params) {
        let version_at = params.protocol_version.map(|value| Params::span(value, text).range());
        let mut request = self.client_request("initialize", text, id_at.clone(), params);
        request.state = RequestState::Handshake;
        if self.refused_for_the_close(&request) {
            return;
        }
        let pending: Vec<_> = self.handshake_requests();
        for key in pending {
            self.answer_error(key, errors::INVALID_REQUEST, "Another initialize took the place of this one.", None);
        }
        if !self.has_room(&request) {
            return;
        }
        let restart = self.client.initialize.is_some();
        self.client.initialize = Some(Initialize { text: text.to_string(), id_at, version_at });
        self.client.answered = None;
        self.client.initialized = false;
        self.client.lists_changed = false;
        self.client.promised = false;
        self.client.negotiated = None;
        self.tool_hints = Default::default();
        self.settings = Default::default();
        self.progress_tokens.forget_tasks();
        let key = self.admit(request);
        self.start_hold(key, self.options.hold_timeout);
        if !self.options.start_timeout.is_zero() {
            self.timers.set(Timer::Start, self.now + self.options.start_timeout);
        }
        if restart {
            self.on_reconnect();
        } else {
            self.attempt();
        }
    }

    fn client_request(&self, method: &str, text: &str, id_at: core::ops::Range<usize>, params: &Params) -> Request {
        let is_list = method.ends_with("/list");
        let learn = if is_list {
            Learn::List { annotations: method == "tools/list" && self.options.trust_annotations }
        } else {
            Learn::Nothing
        };
        let page = params
            .cursor
            .filter(|_| is_list)
            .map(|cursor| Page { method: method.to_string(), cursor: spelling::canonical(cursor.get()) });
        // What the annotations said before the first sending counts, and only while the server is the same.
        let safe = match method {
            "tools/call" => {
                self.options.trust_annotations
                    && params
                        .name
                        .and_then(json::string)
                        .is_some_and(|name| self.tool_hints.tools.get(&name).copied().unwrap_or(false))
            }
            _ => replay::is_safe(method),
        };
        Request {
            progress_token: params.own_progress_token().map(spelling::canonical),
            task: TaskPart::of(method, params.task.map(|task| task.get()), params.task_id.map(|id| id.get())),
            page,
            ..settle::new_request(Origin::Client, method, text.to_string(), id_at, safe, learn)
        }
    }

    fn on_request(&mut self, request: Request, change: Option<Change>) {
        if self.refused_for_the_close(&request) {
            return;
        }
        if !self.has_room(&request) {
            return;
        }
        if let Some(Err(Full)) = change.as_ref().map(|change| self.settings.has_room(change)) {
            let text = alloc::format!(
                "{} was not sent: so many subscriptions are kept already ({MAX_SUBSCRIPTIONS}, or {MAX_SUBSCRIPTION_BYTES} \
                 bytes of URIs, is the most). Unsubscribe from others first.",
                request.method
            );
            return self.emit_message(response(request.client_id(), errors::QUEUE_FULL, &text, None));
        }
        // The client asks for something: it has taken note of the initialize result.
        if self.client.answered.is_some() && !self.client.initialized {
            self.client.initialized = true;
            self.on_client_initialized();
        }
        if let Some(empty) = self.promised_empty_list(&request.method) {
            let id = request.client_id();
            self.emit_message(alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{empty}}}"#));
            return;
        }
        let hold = if self.is_provisional() && settle::empty_list(&request.method).is_some() {
            self.options.start_timeout.min(self.options.hold_timeout)
        } else {
            self.options.hold_timeout
        };
        let key = self.admit(Request { hold_shortened: self.options.hold_timeout - hold, ..request });
        if let Some(change) = change {
            self.settings.asked(key, change);
        }
        self.start_hold(key, hold);
        self.requeue(Queued::request(key));
        self.on_demand(key);
    }

    /// Nothing is taken any more once the close has begun.
    pub(crate) fn refused_for_the_close(&mut self, request: &Request) -> bool {
        if self.closing {
            let text = alloc::format!("{} came after the close; it was not sent.", request.method);
            self.emit_message(response(request.client_id(), errors::CLOSED, &text, None));
        }
        self.closing
    }

    /// Someone waits: an attempt far off is moved nearer, or refused at once if credentials are what is missing.
    fn on_demand(&mut self, key: RequestKey) {
        match self.connection.state() {
            ConnectionState::Waiting => self.attempt_sooner(),
            ConnectionState::Credentials(_) => self.demand_credentials(key),
            _ => {}
        }
    }

    pub(crate) fn has_room(&mut self, request: &Request) -> bool {
        let full = if self.queue_is_full() {
            alloc::format!(
                "{} messages are held or in flight (option max-queue-messages)",
                self.options.max_queue_messages
            )
        } else if self.held_bytes() + request.text.len() > self.options.max_queue_bytes {
            alloc::format!("the messages held or in flight fill {} bytes (option max-queue-bytes)", self.held_bytes())
        } else {
            return true;
        };
        let text = alloc::format!("{} was not sent: {full}. Send it again when others are answered.", request.method);
        self.emit_message(response(request.client_id(), errors::QUEUE_FULL, &text, None));
        false
    }

    fn on_notification(&mut self, method: &str, text: &str, params: &Params) {
        match method {
            "notifications/initialized" => {
                // A client in a hurry says it before it has the result, which then waits for nothing.
                if self.client.initialize.is_some() && !self.client.initialized {
                    self.client.initialized = true;
                    self.on_client_initialized();
                }
            }
            "notifications/cancelled" => {
                if let Some(id) = params.request_id {
                    let at = Params::span(id, text);
                    self.on_cancelled(at.raw, text, at.range());
                }
            }
            "notifications/progress" => {
                let Some(token) = params.progress_token.map(|token| spelling::canonical(token.get())) else { return };
                let epoch = self.epoch;
                if self.inbox.asks_with_token(epoch, &token)
                    || self.progress_tokens.is_of_clients_task(&token, self.now)
                {
                    self.enqueue(Outgoing::Bound { epoch, text: text.to_string() });
                }
            }
            _ if self.client.initialize.is_none() && self.modern.meta().is_some() => {
                self.on_modern_notification(method, text);
            }
            _ if self.client.initialize.is_none() => {
                self.log(Level::Warn, alloc::format!("{method} before initialize: dropped"));
            }
            "notifications/roots/list_changed" => {
                self.outbox.withdraw_roots_changed();
                self.enqueue(Outgoing::RootsChanged(text.to_string()));
            }
            _ => {
                if method == "notifications/tasks/status"
                    && let Some(params) = status_params(text)
                {
                    self.progress_tokens.client_told(params);
                }
                self.enqueue(Outgoing::Notification(text.to_string()));
            }
        }
    }

    /// Queues a notification or response.
    pub(crate) fn enqueue(&mut self, message: Outgoing) {
        if self.connection.has_taken_leave() {
            return self.log_dropped("a notification or answer of the client", "it came after the close");
        }
        let bytes = message.text().map_or(0, str::len);
        if self.queue_is_full() || self.held_bytes() + bytes > self.options.max_queue_bytes {
            if let Some(count) = self.notifications.overflowed() {
                let what = "a notification or answer of the client was dropped";
                self.log(Level::Warn, alloc::format!("the queue is full: {what} ({count} so far)"));
            }
            return;
        }
        let order = self.order();
        let expires = self.now + self.options.hold_timeout;
        self.outbox.put(Queued::note(order, message, Some(expires)));
        self.time_notifications();
    }

    /// Sets the timer of the notification or response in the queue that expires first.
    fn time_notifications(&mut self) {
        match self.outbox.next_expiry() {
            Some(first) => self.timers.set(Timer::NotificationHold, first),
            None => self.timers.clear(Timer::NotificationHold),
        }
    }

    /// Notifications and responses that could not be sent in time mean little later.
    pub(crate) fn drop_late_notifications(&mut self) {
        let time = crate::engine::seconds(self.options.hold_timeout);
        let why = alloc::format!("it could not be sent for {time} (option hold-timeout)");
        self.drop_notifications_until(self.now, &why);
    }

    /// Drops every notification and response that waits.
    pub(crate) fn drop_notifications(&mut self, why: &str) {
        self.drop_notifications_until(Instant::MAX, why);
    }

    fn drop_notifications_until(&mut self, end: Instant, why: &str) {
        let dropped = self.outbox.drop_expired(end);
        if dropped > 0 {
            self.log_dropped(&alloc::format!("a notification or answer of the client ({dropped} of them)"), why);
        }
        self.time_notifications();
    }

    /// Whether so many messages of the client are held or in flight as may be.
    fn queue_is_full(&self) -> bool {
        let (notes, most) = (self.outbox.notes(), self.options.max_queue_messages);
        // Few requests are the engine's own, so that counting the client's is seldom worth it.
        self.requests.len() + notes >= most && self.requests.of_client().count() + notes >= most
    }

    /// Bytes of all messages of the client held or in flight.
    fn held_bytes(&self) -> usize {
        self.requests.client_bytes() + self.outbox.bytes()
    }

    /// Puts a message back where it stood in the client's order.
    pub(crate) fn requeue(&mut self, queued: Queued) {
        let timed = queued.expires.is_some();
        self.outbox.put(queued);
        if timed {
            self.time_notifications();
        }
    }

    /// A request that the client cancels is owed no answer and is never sent again.
    fn on_cancelled(&mut self, id: &str, text: &str, id_at: core::ops::Range<usize>) {
        let found = self
            .requests
            .iter()
            .rev()
            .find(|(_, request)| {
                request.origin == Origin::Client && !request.cancelled && same_id(request.client_id(), id)
            })
            .map(|(key, request)| (*key, request.state.clone(), request.wire_id, request.epoch));
        let Some((key, state, wire, epoch)) = found else { return };
        if self.requests.get(&key).is_some_and(Request::is_modern) || self.translates(key) {
            self.forget_questions(key);
            return self.cancel_modern(key);
        }
        match state {
            // `initialize` cannot be cancelled (MCP, "Cancellation").
            RequestState::Handshake => return,
            RequestState::Held => {
                self.forget(key);
                return;
            }
            _ => {}
        }
        let current = self.session.is(epoch);
        let text = json::splice(text, id_at, &wire.to_string());
        let written = match state {
            RequestState::Sent(exchange) => self.exchanges.get(exchange).is_none_or(|exchange| exchange.sent),
            _ => true,
        };
        self.requests.is_cancelled(key);
        self.timers.set(Timer::Run(key), self.now + super::settle::CANCELLED_RUN);
        if !current {
            return;
        }
        match (written, state) {
            (false, RequestState::Sent(exchange)) => {
                self.exchanges.tell_when_sent(exchange, text);
            }
            _ => self.send_aside(Aside { epoch, text, reply: false }),
        }
    }

    /// Sends what must not wait behind the queue, if it still means something.
    pub(crate) fn send_aside(&mut self, aside: Aside) {
        let current = self.session.is(aside.epoch);
        if !current || self.is_translated() {
            return;
        }
        match (aside.reply, self.asides.push(aside)) {
            (_, Taken::Yes) => self.pump_asides(),
            (true, Taken::No { first: true }) => self.log(
                Level::Warn,
                "the server sends pings, or questions over their limit, faster than it takes the answers: answers were dropped",
            ),
            (true, Taken::No { first: false }) => {}
            (false, Taken::No { .. }) => self.log_dropped("a cancellation", "too many wait for the connection"),
        }
    }

    /// Whether what is told to the server of this session goes out at once.
    pub(crate) fn can_tell(&self, epoch: u64) -> bool {
        let current = self.session.is(epoch);
        current && self.connection.takes_asides()
    }

    fn pump_asides(&mut self) {
        if !self.connection.takes_asides() {
            return;
        }
        while !self.asides.is_empty() {
            let is_reply = |exchange: &Exchange| matches!(&exchange.role, Role::Notify(Queued { message: Outgoing::Aside(aside), .. }) if aside.reply);
            let under_way = self.exchanges.values().filter(|exchange| is_reply(exchange)).count();
            let Some(aside) = self.asides.next(self.epoch, under_way) else { break };
            self.post_notification(Queued::note(0, Outgoing::Aside(aside), None));
        }
    }

    /// Puts a message that was not taken back where it stood.
    pub(crate) fn requeue_unsent(&mut self, queued: Queued) {
        if let Outgoing::Aside(aside) = queued.message {
            return self.send_aside(aside);
        }
        self.requeue(queued);
    }

    /// Starts what can be started, in order.
    pub(crate) fn pump(&mut self) {
        self.pump_modern();
        self.pump_asides();
        self.converge();
        while self.connection.is_ready() {
            let Some(queued) = self.outbox.front() else { break };
            match queued.message {
                Outgoing::Request(key) => {
                    let unsafe_now = self.requests.get(&key).is_some_and(|request| !request.safe);
                    if unsafe_now && self.is_suspect() {
                        self.probe();
                        break;
                    }
                    self.outbox.pop();
                    if self.asks_for_an_outdated_page(key) {
                        let text = "Invalid cursor: it was given by a session that is over. List again from the start.";
                        self.answer_error(key, errors::INVALID_PARAMS, text, None);
                    } else {
                        self.post_request(key);
                    }
                }
                // One that was refused waits until it is known whether its session lives.
                _ if self.notifications.is_under_way() || queued.lost && self.is_verifying() => break,
                _ => {
                    let Some(mut queued) = self.outbox.pop() else { break };
                    let epoch = self.session.as_ref().map_or(0, |session| session.epoch);
                    match queued.message.epoch() {
                        Some(bound) if bound != epoch => {
                            self.log(Level::Debug, "a message for a session that is gone: dropped");
                        }
                        _ if self.is_translated() => {
                            self.log(
                                Level::Debug,
                                "a notification that a server without sessions does not know: dropped",
                            );
                        }
                        _ => {
                            queued.message.is_sent();
                            // What the server refused once holds up nothing behind it.
                            let first = queued.refusals == 0;
                            let exchange = self.post_notification(queued);
                            if first {
                                self.notifications.started(exchange);
                                self.timers.set(Timer::Notify, self.now + NOTIFY_HOLD);
                            }
                        }
                    }
                }
            }
        }
    }

    fn asks_for_an_outdated_page(&self, key: RequestKey) -> bool {
        let page = self.requests.get(&key).and_then(|request| request.page.as_ref());
        page.is_some_and(|page| self.cursors.is_outdated(page, self.epoch))
    }

    /// Whether an unsafe request should wait for a sign of life: a pooled connection may have died in silence, and a
    /// request that dies with it is of unknown outcome.
    fn is_suspect(&self) -> bool {
        let silent = self.liveness.is_silent(self.now, self.heartbeat_interval());
        (self.liveness.is_doubted() || silent) && !self.probes.are_left_to_client()
    }

    /// Where an HTTP+SSE message goes, or the one URL of Streamable HTTP.
    pub(crate) fn post_url(&self) -> crate::wire::url::Url {
        let endpoint = self.session.as_ref().and_then(|session| session.endpoint.as_ref());
        endpoint.unwrap_or(&self.url).clone()
    }
}

/// What stands before a text that was not UTF-8 and was decoded with replacement characters.
const NOT_UTF8: char = '\u{FFFD}';

/// The id of a request that is no valid message. A response has none: its id is that of a question. Unless the text is `whole`,
/// only a method tells which of the two it was to be.
fn request_id(text: &str, whole: bool) -> Option<String> {
    let mut scanner = crate::wire::scan::Scanner::new();
    scanner.feed(text.as_bytes());
    let scanned = scanner.finish();
    let is_request = (whole || scanned.method.is_some()) && !scanned.is_response;
    scanned.id.filter(|id| is_request && !id.contains(NOT_UTF8))
}

/// Whether two raw ids are the same id: strings may be escaped differently.
fn same_id(a: &str, b: &str) -> bool {
    a == b || spelling::canonical(a) == spelling::canonical(b)
}
