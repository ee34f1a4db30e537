//! HTTP responses, each read according to the role that its exchange plays.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::connection_error::ConnectionError;
use super::outcome::Outcome;
use crate::engine::Engine;
use crate::engine::state::asides::Aside;
use crate::engine::state::consequences::Consequence;
use crate::engine::state::exchanges::{Exchange, Progress, Reading, Role};
use crate::engine::state::requests::{Origin, Request, RequestKey};
use crate::engine::state::timers::Timer;
use crate::policy::proxy;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::text::visible;
use crate::wire::json::{self, Envelope, Kind, Malformed, Parsed};
use crate::wire::spelling;
use crate::wire::sse::{Item, Parser};
use crate::wire::utf8::from_utf8_lossy;
use crate::{ExchangeId, Failure, Level, Output, Transport, http};

/// The most that is read of a response that is no success.
const MAX_REFUSAL: usize = 64 << 10;
/// How long the body of such a response may take.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

impl Engine {
    pub(crate) fn on_sent(&mut self, id: ExchangeId) {
        if let Some((epoch, text)) = self.exchanges.was_sent(id) {
            self.send_aside(Aside { epoch, text, reply: false });
        }
    }

    pub(crate) fn on_head(&mut self, id: ExchangeId, status: u16, headers: &[(String, Vec<u8>)]) {
        self.on_sent(id);
        // A response has one head, whatever a driver says.
        if !self.exchanges.get(id).is_some_and(|exchange| matches!(exchange.reading, Reading::Head)) {
            return;
        }
        self.timers.clear(Timer::Head(id));
        self.on_sign_of_life(id);
        self.learn_cookies(id, headers);
        let header = |name: &str| {
            headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
        };
        if matches!(status, 301..=303 | 307 | 308) {
            return self.on_redirect(id, status, header("location"));
        }
        let kind = header("content-type").map(http::media_type).unwrap_or_default();
        let success = (200..300).contains(&status);
        if success && self.exchanges.get(id).is_some_and(|exchange| exchange.role == Role::Initialize) {
            self.on_initialize_head(header("mcp-session-id"));
        }
        let coding = header("content-encoding").map(http::content_coding).unwrap_or_default();
        let Some(exchange) = self.exchanges.get(id) else { return };
        let is_get = matches!(exchange.role, Role::Stream | Role::Standalone | Role::Resume(_));
        let is_sse_post = exchange.context.transport == Transport::HttpSse && !is_get;
        let is_json = kind == "application/json";
        let length = header("content-length").and_then(http::content_length);
        // Without a type it may be anything.
        let may_be_json = (is_json || kind.is_empty()) && status != 204;
        let may_be_page = status == 200 && kind == "text/html";
        let reading = match &exchange.role {
            Role::Retired | Role::Delete => Reading::Drain(0),
            _ if success && is_get && kind == "text/event-stream" && status != 204 => {
                Reading::Events(Parser::new(self.options.max_event_bytes))
            }
            _ if !success || is_get => Reading::Refusal(
                Refusal {
                    status,
                    challenge: challenges(headers),
                    retry_after: header("retry-after").and_then(|value| http::retry_after(value, header("date"))),
                    body: String::new(),
                },
                Vec::new(),
                // It may be the answer.
                if is_json { MAX_REFUSAL.max(self.options.max_body_bytes) } else { MAX_REFUSAL },
            ),
            Role::Notify(_) | Role::Initialized | Role::ModernNotify if !may_be_page => Reading::Drain(0),
            _ if kind == "text/event-stream" && status != 204 && !is_sse_post => {
                Reading::Events(Parser::new(self.options.max_event_bytes))
            }
            _ if may_be_json => {
                let limit = self.options.max_body_bytes;
                Reading::Json(Vec::new(), length.map_or(limit, |length| length.min(limit)))
            }
            // HTTP+SSE answers on the stream.
            _ if is_sse_post && !may_be_page || status == 202 || status == 204 => Reading::Drain(0),
            _ => Reading::Refusal(
                Refusal { status, challenge: String::new(), retry_after: None, body: String::new() },
                Vec::new(),
                MAX_REFUSAL,
            ),
        };
        if !coding.is_empty() && !matches!(reading, Reading::Drain(_)) {
            return self.on_compressed(id, reading, status, &coding);
        }
        let (refused, drained) = (matches!(reading, Reading::Refusal(..)), matches!(reading, Reading::Drain(_)));
        self.exchanges.reads(id, reading);
        if refused {
            self.timers.set(Timer::Linger(id), self.now + REFUSAL_TIME);
        } else if drained {
            self.finish_exchange(id, Outcome::Accepted);
        } else {
            if is_sse_post {
                self.timers.set(Timer::Linger(id), self.now + REFUSAL_TIME);
            }
            self.on_stream_open(id);
        }
    }

    /// Something came from the server.
    fn on_sign_of_life(&mut self, id: ExchangeId) {
        self.liveness.heard(self.now);
        if let Some(Exchange { role: Role::Post(key), .. }) = self.exchanges.get(id)
            && self.timers.is_set(Timer::OldSession(*key))
        {
            self.timers.set(Timer::OldSession(*key), self.now + self.options.old_session_timeout);
        }
    }

    /// A body that matters is compressed, though `identity` was asked for, and the host's library did not decode it.
    fn on_compressed(&mut self, id: ExchangeId, reading: Reading, status: u16, coding: &str) {
        let body = alloc::format!(
            "its body is compressed ({coding}), which was not asked for and cannot be read here; switch compression off \
             for this URL"
        );
        let refusal = match reading {
            Reading::Refusal(refusal, _, _) => Refusal { body, ..refusal },
            _ => Refusal { status, challenge: String::new(), retry_after: None, body },
        };
        if matches!(self.exchanges.get(id).map(|exchange| &exchange.role), Some(Role::Standalone)) {
            self.log(Level::Warn, alloc::format!("the server's own stream is not used: {}", refusal.describe()));
        }
        self.outputs.push_back(Output::Cancel(id));
        self.finish_exchange(id, Outcome::Refused(refusal));
    }

    /// A body that matters begins.
    fn on_stream_open(&mut self, id: ExchangeId) {
        let Some(role) = self.exchanges.get(id).map(|exchange| exchange.role.clone()) else { return };
        match role {
            Role::Post(key) | Role::Modern(key) => {
                self.requests.is_accepted(key, Some(id));
            }
            // No longer cut off.
            Role::Resume(key) => self.timers.clear(Timer::Hold(key)),
            Role::Standalone => self.on_standalone_open(),
            _ => {}
        }
    }

    pub(crate) fn on_body(&mut self, id: ExchangeId, bytes: Vec<u8>) {
        self.on_sign_of_life(id);
        let room = self.room_for_body(id, bytes.len());
        let limit = self.options.max_body_bytes;
        match self.exchanges.read(id, bytes, limit, room) {
            Progress::Kept => {}
            Progress::Pointless => self.cancel(id),
            Progress::Whole => self.on_linger_over(id),
            Progress::TooLarge => self.give_up_body(id, "its body", limit, "max-body-bytes"),
            Progress::Items(items) => {
                for item in items {
                    self.on_item(id, item);
                }
            }
        }
    }

    /// Stops reading a body that is too large, or makes the sum of all too large.
    pub(crate) fn give_up_body(&mut self, id: ExchangeId, what: &str, limit: usize, option: &str) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (role, epoch) = (exchange.role.clone(), exchange.context.epoch);
        self.cancel(id);
        let broken = || ConnectionError::Broken(alloc::format!("{what} is over {limit} bytes (option {option})"));
        match role {
            Role::Post(key) | Role::Resume(key) | Role::Modern(key) => {
                let problem = alloc::format!("{what} is over {limit} bytes (option {option})");
                self.answer_too_large(key, &problem, limit);
            }
            Role::Initialize => {
                self.then(Consequence::AttemptFailed(ConnectionError::Fatal(alloc::format!(
                    "the initialize result is over {limit} bytes"
                ))));
            }
            Role::Stream => self.on_stream_over(epoch, broken()),
            Role::Standalone => self.on_standalone_over(false, broken()),
            _ => self.log_dropped("a body", &alloc::format!("it is over {option}")),
        }
    }

    pub(crate) fn on_end(&mut self, id: ExchangeId) {
        self.liveness.heard(self.now);
        let Some(exchange) = self.exchanges.get(id) else { return };
        let is_sse = exchange.context.transport == Transport::HttpSse;
        if exchange.reading == Reading::Head {
            return self.on_failed(id, Failure::Lost, "the connection ended before a response came");
        }
        match self.exchanges.take_reading(id).unwrap_or(Reading::Head) {
            Reading::Head => {}
            Reading::Drain(_) => {
                self.exchange_over(id);
            }
            Reading::Events(parser) => {
                match parser.finish() {
                    // A whole answer frames itself, also without the blank line after it.
                    Some(Item::Event(event)) if event.name.is_empty() && is_response(&event.data) => {
                        self.on_text(id, event.data);
                    }
                    Some(item @ Item::Oversized { .. }) => self.on_item(id, item),
                    _ => {}
                }
                self.finish_exchange(id, Outcome::Ended { clean: true, reason: "the event stream ended" })
            }
            Reading::Refusal(refusal, body, _) => self.on_refusal(id, refusal, body),
            Reading::Json(body, _) if body.trim_ascii().is_empty() => self.on_accepted(id),
            Reading::Json(body, _) if is_sse => {
                // Most say in it that they accept the message; few answer here, and not on the stream.
                let text = from_utf8_lossy(body);
                if is_response(&text) {
                    self.on_text(id, text);
                }
                self.on_accepted(id);
            }
            Reading::Json(body, _) => {
                self.on_text(id, from_utf8_lossy(body));
                let reason = "the response held no answer";
                self.finish_exchange(id, Outcome::Ended { clean: true, reason });
            }
        }
    }

    /// A message was taken, in a response that is over.
    fn on_accepted(&mut self, id: ExchangeId) {
        self.finish_exchange(id, Outcome::Accepted);
        self.exchange_over(id);
    }

    fn on_refusal(&mut self, id: ExchangeId, mut refusal: Refusal, body: Vec<u8>) {
        let text = from_utf8_lossy(body);
        let role = self.exchanges.get(id).map(|exchange| &exchange.role);
        if let Some(Role::Modern(key)) = role {
            let key = *key;
            refusal.body = text;
            // Rejected for headers that have been replaced since, it goes out with the new ones.
            return if matches!(refusal.status, 401 | 403) {
                self.finish_exchange(id, Outcome::Refused(refusal));
            } else {
                self.exchange_over(id);
                self.modern_refused(key, refusal);
            };
        }
        if let Some(Role::ModernOwn(own)) = role {
            let own = own.clone();
            if !matches!(refusal.status, 401 | 403 | 408 | 421 | 425 | 429 | 500..) && is_response(&text) {
                self.on_modern_own_text(id, own, &text);
            }
        }
        if self.is_answer_of_refusal(id, &refusal, &text) {
            self.on_text(id, text);
            self.exchange_over(id);
            return;
        }
        refusal.body = text.get(..text.floor_char_boundary(MAX_REFUSAL)).unwrap_or_default().to_string();
        let only_status = self.exchanges.get(id).is_some_and(|exchange| match exchange.role {
            Role::Notify(_) | Role::Initialized => true,
            Role::Post(_) => exchange.context.transport == Transport::HttpSse,
            _ => false,
        });
        // Some servers call a word or two HTML.
        if refusal.status == 200 && only_status && !proxy::is_page(&refusal.body) {
            return self.on_accepted(id);
        }
        self.finish_exchange(id, Outcome::Refused(refusal));
    }

    /// Whether a response that is no success holds the answer: a JSON-RPC response under the id on the wire of the request, where
    /// the status alone tells nothing better.
    fn is_answer_of_refusal(&self, id: ExchangeId, refusal: &Refusal, text: &str) -> bool {
        let Some(Exchange { role: Role::Post(key), context, .. }) = self.exchanges.get(id) else { return false };
        let asked = context.wire_id.filter(|wire| self.requests.of_wire_id(*wire) == Some(*key));
        let refusal = Refusal { body: text.to_string(), ..refusal.clone() };
        let evidence = refusal.evidence(context.transport, context.had_session);
        let client = self.requests.get(key).is_some_and(|request| request.origin == Origin::Client);
        !(client && self.is_of_other_era(*key, &refusal))
            && asked.is_some()
            && response_id(text) == asked
            && matches!(evidence, Evidence::Unknown | Evidence::Refused)
    }

    pub(crate) fn on_failed(&mut self, id: ExchangeId, failure: Failure, detail: &str) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let is_sse = exchange.context.transport == Transport::HttpSse && !matches!(exchange.role, Role::Stream);
        // Of the host, and longer than what a server may say: it tells how to mend things.
        let detail = visible(detail, 300);
        match self.exchanges.take_reading(id).unwrap_or(Reading::Drain(0)) {
            Reading::Drain(_) => {
                self.exchange_over(id);
            }
            Reading::Refusal(refusal, body, _) => self.on_refusal(id, refusal, body),
            Reading::Json(..) if is_sse => self.on_accepted(id),
            Reading::Events(_) | Reading::Json(..) => {
                let why = if detail.is_empty() { detail } else { alloc::format!(" ({detail})") };
                let reason = alloc::format!("the connection broke while the answer was awaited{why}");
                self.finish_exchange(id, Outcome::Ended { clean: false, reason: &reason });
            }
            Reading::Head => {
                let what = match failure {
                    Failure::Dns => "the name was not found",
                    Failure::Connect | Failure::Tls => "no connection could be made",
                    Failure::Unsendable => "the request could not be sent",
                    Failure::Lost => "the connection broke",
                };
                let reason = if detail.is_empty() { what.to_string() } else { alloc::format!("{what} ({detail})") };
                self.finish_exchange(id, Outcome::Failed { failure, reason: &reason });
            }
        }
    }

    /// The answer did not begin in time.
    pub(crate) fn on_head_late(&mut self, id: ExchangeId) {
        if !self.exchanges.contains(id) {
            return;
        }
        let time = crate::engine::seconds(self.options.response_timeout);
        self.outputs.push_back(Output::Cancel(id));
        self.on_failed(id, Failure::Lost, &alloc::format!("no response began within {time}"));
    }

    /// What is left of a response has had its time.
    pub(crate) fn on_linger_over(&mut self, id: ExchangeId) {
        let Some(reading) = self.exchanges.take_reading(id) else { return };
        match reading {
            Reading::Refusal(refusal, body, _) => {
                self.outputs.push_back(Output::Cancel(id));
                self.on_refusal(id, refusal, body);
            }
            // The body of an HTTP+SSE POST.
            Reading::Json(..) => {
                self.outputs.push_back(Output::Cancel(id));
                self.on_accepted(id);
            }
            _ => self.cancel(id),
        }
    }

    pub(crate) fn exchange_over(&mut self, id: ExchangeId) -> Option<Exchange> {
        self.timers.clear(Timer::Head(id));
        self.timers.clear(Timer::Linger(id));
        let exchange = self.exchanges.remove(id)?;
        if matches!(exchange.role, Role::Delete) {
            self.on_delete_over();
        }
        Some(exchange)
    }

    /// Stops every exchange of the session that is over, but for the POSTs of requests: their outcome counts.
    pub(crate) fn cancel_session_exchanges(&mut self, epoch: u64) {
        let over: Vec<_> = self
            .exchanges
            .iter()
            .filter(|(_, exchange)| {
                exchange.context.epoch == epoch
                    && matches!(
                        exchange.role,
                        Role::Stream | Role::Standalone | Role::Resume(_) | Role::Initialize | Role::Initialized
                    )
            })
            .map(|(id, _)| id)
            .collect();
        for id in over {
            self.cancel(id);
        }
    }

    pub(crate) fn exchange_of(&self, key: RequestKey) -> Option<ExchangeId> {
        self.requests.get(&key).and_then(Request::exchange)
    }
}

/// All challenges on one line, as RFC 9110, section 5.3, allows: a server may send a header for each scheme.
fn challenges(headers: &[(String, Vec<u8>)]) -> String {
    let named = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate")).take(8);
    named.map(|(_, value)| printable(value)).collect::<Vec<_>>().join(", ")
}

fn printable(value: &[u8]) -> String {
    visible(&String::from_utf8_lossy(value), 1024)
}

/// Whether a text of the server is the answer to something, or a batch, which may hold one.
fn is_response(text: &str) -> bool {
    match json::parse(json::without_bom(text)) {
        Ok(Parsed::One(envelope)) => matches!(envelope.kind, Kind::Response { .. }),
        Ok(Parsed::Batch(_)) | Err(Malformed::Batch) => true,
        Err(_) => false,
    }
}

/// The id of a response, if it is one of the engine's.
fn response_id(text: &str) -> Option<u64> {
    match json::parse(json::without_bom(text)) {
        Ok(Parsed::One(Envelope { kind: Kind::Response { id: Some(id) }, .. })) => spelling::integer(id.raw),
        _ => None,
    }
}
