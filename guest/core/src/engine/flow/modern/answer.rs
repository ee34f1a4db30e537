//! What the server says in the response to a request of these versions.

use alloc::string::{String, ToString};
use core::ops::Range;

use super::Own;
use crate::engine::Engine;
use crate::engine::flow::settle::{self, End};
use crate::engine::state::modern::Era;
use crate::engine::state::requests::RequestKey;
use crate::policy::era::{self, Verdict};
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::wire::json::{self, Envelope, Kind, Params, Parsed};
use crate::wire::modern::{self, SUBSCRIPTION_KEY};
use crate::wire::spelling;
use crate::{ExchangeId, Level};

/// Pages of tools that are read to build the headers of one request.
const MAX_PAGES: u32 = 32;

/// So many tools that cannot be used are named for each page.
const MAX_REMOVED_SAID: usize = 16;

impl Engine {
    /// A JSON text of the server in the response to a request of the client.
    pub(crate) fn on_modern_text(&mut self, id: ExchangeId, key: RequestKey, text: String) {
        let text = match text.strip_prefix('\u{FEFF}') {
            Some(after) => after.to_string(),
            None => text,
        };
        let Ok(Parsed::One(envelope)) = json::parse(&text) else {
            return self.log_dropped("a message of the server", "it is not one JSON-RPC message");
        };
        if let Some(tidy) = envelope.without_null_twin() {
            return self.on_modern_text(id, key, tidy);
        }
        match &envelope.kind {
            Kind::Response { id: Some(answered) } if self.is_wire_id(key, answered.raw) => {
                self.on_modern_answer(key, &text, answered.range(), &envelope);
            }
            // An error that names no request is about the one whose response it stands in.
            Kind::Response { .. } if envelope.error.is_some() => {
                let refusal = Refusal { status: 200, challenge: String::new(), retry_after: None, body: text };
                self.modern_refused(key, refusal);
                self.cancel(id);
            }
            Kind::Response { .. } => self.log(Level::Debug, "an answer to nothing that is asked: dropped"),
            Kind::Request { method, .. } => {
                let what = alloc::format!("the server's request {}", settle::clip(method));
                self.log_dropped(&what, "servers of versions without sessions ask in results");
            }
            Kind::Notification { method } => self.on_modern_server_notification(key, method, &text, &envelope.params),
        }
    }

    fn is_wire_id(&self, key: RequestKey, raw: &str) -> bool {
        let wire = self.requests.get(&key).map(|request| request.wire_id);
        wire.is_some() && spelling::integer(raw) == wire
    }

    /// A response under the request's own id.
    pub(crate) fn on_modern_answer(&mut self, key: RequestKey, text: &str, id_at: Range<usize>, envelope: &Envelope) {
        let error = envelope.error.map(json::error_of);
        let Some(request) = self.requests.get(&key) else { return };
        let (method, listens) = (request.method.clone(), request.is_listen());
        let verdict = match (&error, envelope.error, envelope.result) {
            (Some((code, _)), Some(error), _) => era::of_error(*code, error.get()),
            (_, _, Some(result)) if method == "server/discover" => era::of_result(result.get()),
            _ => Verdict::None,
        };
        if method == "server/discover" {
            return match verdict {
                Verdict::Legacy => {
                    self.modern_discovered(Verdict::Legacy, None);
                    self.answer_discover_unknown(key);
                }
                _ => {
                    let server = envelope.result.and_then(|result| modern::discovered(result.get()));
                    self.modern_server_is(server);
                    self.deliver_modern(key, text, id_at, error.is_none());
                }
            };
        }
        if verdict == Verdict::Modern {
            self.set_era(Era::Modern);
        }
        match error {
            Some((era::HEADER_MISMATCH, _)) if self.rebuild_headers(key) => return,
            Some(_) => {}
            // The server ends the stream in an orderly way, as before a restart.
            None if listens => return self.listen_lost(key, "the server ended it"),
            None => self.on_modern_result(envelope),
        }
        if error.is_none()
            && let Some(edited) = self.edited_tools(&method, key, envelope)
        {
            let at = envelope.result.map_or(0..0, |result| Params::span(result, text).range());
            let (text, id_at) = splice_beside(text, at, &edited, id_at);
            return self.deliver_modern(key, &text, id_at, true);
        }
        self.deliver_modern(key, text, id_at, error.is_none());
    }

    /// A result shows that the server speaks the request's version, unless it is one that executes whatever it gets.
    fn on_modern_result(&mut self, envelope: &Envelope) {
        let knows = self.modern.era() == Era::Modern
            || envelope.result.is_some_and(|result| json::member(result.get(), "resultType").is_some());
        if knows {
            self.set_era(Era::Modern);
        }
    }

    /// Learns from a page of tools. Gives the result without the tools that cannot be used, if there are any.
    fn edited_tools(&mut self, method: &str, key: RequestKey, envelope: &Envelope) -> Option<String> {
        if method != "tools/list" {
            return None;
        }
        let first = self.asks_for_the_first_page(key);
        self.learn_tools_page(envelope.result?.get(), first)
    }

    pub(crate) fn asks_for_the_first_page(&self, key: RequestKey) -> bool {
        let text = self.requests.get(&key).map_or("", |request| &request.text);
        !matches!(json::parse(text), Ok(Parsed::One(asked)) if asked.params.cursor.is_some())
    }

    pub(crate) fn learn_tools_page(&mut self, result: &str, first: bool) -> Option<String> {
        let mut page = modern::tools_page(result);
        let edited = page.edited.take();
        let removed = core::mem::take(&mut page.removed);
        for (tool, reason) in removed.iter().take(MAX_REMOVED_SAID) {
            let tool = settle::clip(tool);
            self.log(Level::Warn, alloc::format!("the tool {tool} is left out of the list: {}", settle::clip(reason)));
        }
        if let Some(more @ 1..) = removed.len().checked_sub(MAX_REMOVED_SAID) {
            self.log(Level::Warn, alloc::format!("{more} more tools are left out of the list for such reasons"));
        }
        if !self.modern.tools.learn(page, first) {
            self.log(
                Level::Warn,
                "more than 1024 tools (or 1 MiB of names) have arguments that headers repeat: calls of the others go without them",
            );
        }
        edited
    }

    /// Hands a response to the client.
    fn deliver_modern(&mut self, key: RequestKey, text: &str, id_at: Range<usize>, success: bool) {
        let Some(request) = self.requests.get(&key) else { return };
        let exchange = request.exchange();
        let text = json::splice(text, id_at, request.client_id());
        self.credentials.accepted();
        self.modern.server_answered();
        self.modern_link_is_up();
        self.deliver(key, text, success);
        if let Some(exchange) = exchange {
            self.retire(exchange);
        }
    }

    fn on_modern_server_notification(&mut self, key: RequestKey, method: &str, text: &str, params: &Params) {
        if self.requests.get(&key).is_some_and(crate::engine::state::requests::Request::is_listen) {
            return self.on_listen_notification(key, method, text, params);
        }
        self.on_request_progress(key);
        if method == "notifications/progress"
            && self.requests.contains(key)
            && !self.requests.progress_goes_on(key, params.progress())
        {
            return self.log(Level::Debug, "progress that is no more than what was told before: dropped");
        }
        match (self.requests.get(&key), params.request_id.filter(|_| method == "notifications/cancelled")) {
            (Some(request), Some(id)) if spelling::integer(id.get()) == Some(request.wire_id) => {
                let text = json::splice(text, Params::span(id, text).range(), request.client_id());
                self.emit_message(text);
            }
            _ => self.emit_message(text.to_string()),
        }
    }

    /// The server says that headers do not fit the message: perhaps the tool has other ones since a restart. True: the list of
    /// tools is asked for, and the request is sent once more.
    fn rebuild_headers(&mut self, key: RequestKey) -> bool {
        if self.requests.get(&key).is_none_or(|request| request.method != "tools/call") {
            return false;
        }
        let Some(part) = self.requests.modern(key).filter(|part| !part.rebuilt) else { return false };
        part.rebuilt = true;
        let exchange = self.exchange_of(key);
        self.requests.awaits_other_sending(key);
        if let Some(exchange) = exchange {
            self.retire(exchange);
        }
        self.log(Level::Info, "a header does not fit the tool: the list of tools is read again");
        self.post_modern_own(Own::Tools(key, 0), "tools/list", "");
        true
    }

    /// A JSON text in the response to a question of the engine's own.
    pub(crate) fn on_modern_own_text(&mut self, id: ExchangeId, own: Own, text: &str) {
        let Ok(Parsed::One(envelope)) = json::parse(json::without_bom(text)) else { return };
        if !matches!(envelope.kind, Kind::Response { .. }) {
            return;
        }
        let verdict = match (envelope.result, envelope.error) {
            (Some(result), _) => era::of_result(result.get()),
            (_, Some(error)) => era::of_error(json::error_of(error).0, error.get()),
            _ => return,
        };
        match own {
            Own::Discover => {
                let server = envelope.result.and_then(|result| modern::discovered(result.get()));
                self.cancel_own(id);
                self.modern_discovered(verdict, server);
            }
            Own::Tools(key, page) => {
                self.cancel_own(id);
                let result = envelope.result.map(|result| result.get());
                if let Some(result) = result {
                    self.learn_tools_page(result, page == 0);
                }
                match result.and_then(json::next_cursor).filter(|_| page + 1 < MAX_PAGES) {
                    Some(cursor) => {
                        let params = alloc::format!("\"cursor\":{cursor},");
                        self.post_modern_own(Own::Tools(key, page + 1), "tools/list", &params);
                    }
                    None => self.send_with_other_headers(key),
                }
            }
        }
    }

    /// The list of tools was read, or could not be: the request goes out once more.
    pub(crate) fn send_with_other_headers(&mut self, key: RequestKey) {
        let reason = "its headers did not fit".to_string();
        self.settle(key, End { evidence: Evidence::NotSent, accepted: false, reason, refusal: None });
    }

    /// A question of the engine's own has its answer.
    fn cancel_own(&mut self, id: ExchangeId) {
        self.timers.clear(crate::engine::state::timers::Timer::ModernOwn(id));
        self.modern.question_over(id);
        self.retire(id);
    }

    /// The member of `_meta` that names a stream of notifications to the client.
    pub(crate) fn subscription_meta(&self, key: RequestKey) -> String {
        let id = self.requests.get(&key).map_or("null", |request| request.client_id());
        alloc::format!(r#"{{"{SUBSCRIPTION_KEY}":{id}}}"#)
    }
}

/// `text` with `with` in place of the range `at`, and where the range `beside` stands then.
pub(crate) fn splice_beside(text: &str, at: Range<usize>, with: &str, beside: Range<usize>) -> (String, Range<usize>) {
    let edited = json::splice(text, at.clone(), with);
    let moved = if beside.start >= at.end {
        let shift = |place: usize| place - at.len() + with.len();
        shift(beside.start)..shift(beside.end)
    } else {
        beside
    };
    (edited, moved)
}
