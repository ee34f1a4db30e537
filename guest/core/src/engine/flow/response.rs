//! HTTP: requests are built here, and responses read, each according to the role its exchange plays.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::client_message::Queued;
use super::handshake::Step;
use super::outcome::Outcome;
use super::reconnect::{ConnectionError, ConnectionState};
use super::settle::End;
use crate::api::options::SECOND;
use crate::engine::Engine;
use crate::engine::state::asides::Aside;
use crate::engine::state::requests::{Request, RequestKey, RequestState};
use crate::engine::state::timers::Timer;
use crate::policy::proxy;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::text::visible;
use crate::wire::buffer::append;
use crate::wire::json::{self, Envelope, Kind, Malformed, Parsed};
use crate::wire::sse::{Item, Parser};
use crate::wire::url::Url;
use crate::wire::utf8::from_utf8_lossy;
use crate::{ExchangeId, Failure, Level, Method, Nanos, Output, Transport, http};

/// The most that is read of a response that is no success.
const MAX_REFUSAL: usize = 64 << 10;
/// How long the body of such a response may take.
const REFUSAL_TIME: Nanos = 2 * SECOND;
/// How long a DELETE that nobody waits for may take.
const DELETE_TIME: Nanos = 5 * SECOND;
/// Redirects in a row that are followed.
const MAX_REDIRECTS: u32 = 5;

/// An HTTP request under way and its response.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    pub role: Role,
    pub context: Context,
    /// Where it was sent.
    url: Url,
    /// How many redirects led to it.
    redirects: u32,
    /// Its body was written, or answered, which proves the same.
    pub sent: bool,
    /// How often the host had given headers when it was started.
    pub headers_given: u64,
    /// A notification about this exchange's request that must not overtake it.
    pub cancel_after: Option<String>,
    /// The driver was told to read no more of it for now.
    pub paused: bool,
    reading: Reading,
}

/// What its response is read by: that of the moment when it was sent, whatever the connection has become since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Context {
    pub transport: Transport,
    pub epoch: u64,
    /// It carried a session.
    pub had_session: bool,
    /// The id on the wire of the request that it posts.
    pub wire_id: Option<u64>,
}

/// What an exchange is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// The POST of a handshake's `initialize`.
    Initialize,
    /// The POST of `notifications/initialized`.
    Initialized,
    /// The GET of HTTP+SSE, on which everything comes.
    Stream,
    /// A request's POST.
    Post(RequestKey),
    /// The GET that resumes a request's response stream.
    Resume(RequestKey),
    /// A notification's or a response's POST.
    Notify(Queued),
    /// The standalone GET stream of Streamable HTTP.
    Standalone,
    /// The DELETE of a session.
    Delete,
    /// Nobody waits for it any more.
    Retired,
}

/// How far the response has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reading {
    Head,
    Events(Parser),
    /// What has come, and the most that can come in all.
    Json(Vec<u8>, usize),
    /// What has come of the body, and the most that is read of it.
    Refusal(Refusal, Vec<u8>, usize),
    /// Nothing in it matters; the count bounds it.
    Drain(usize),
}

impl Exchange {
    /// What is held of a body that is being read, in bytes.
    pub fn held(&self) -> usize {
        match &self.reading {
            Reading::Json(body, _) | Reading::Refusal(_, body, _) => body.len(),
            Reading::Events(parser) => parser.held(),
            Reading::Head | Reading::Drain(_) => 0,
        }
    }

    /// The memory in which it is held.
    pub fn reserved(&self) -> usize {
        match &self.reading {
            Reading::Json(body, _) | Reading::Refusal(_, body, _) => body.capacity(),
            Reading::Events(parser) => parser.reserved(),
            Reading::Head | Reading::Drain(_) => 0,
        }
    }

    /// The memory that it may still need.
    pub fn outstanding(&self, max_event_bytes: usize) -> usize {
        match &self.reading {
            Reading::Json(body, most) | Reading::Refusal(_, body, most) => most.saturating_sub(body.capacity()),
            Reading::Events(parser) => max_event_bytes.saturating_sub(parser.reserved()),
            Reading::Head | Reading::Drain(_) => 0,
        }
    }
}

impl Engine {
    /// Starts a POST to the session.
    pub(crate) fn post(&mut self, role: Role, body: Vec<u8>) -> ExchangeId {
        let url = self.post_url();
        self.start(role, Method::Post, &url, body, &[])
    }

    pub(crate) fn post_notification(&mut self, queued: Queued) -> ExchangeId {
        let body = queued.message.text().unwrap_or_default().as_bytes().to_vec();
        let exchange = self.post(Role::Notify(queued), body);
        self.timers.set(Timer::Head(exchange), self.now + self.options.response_timeout);
        exchange
    }

    /// Starts a GET of a stream.
    pub(crate) fn get_stream(&mut self, role: Role, cursor: Option<&str>) -> ExchangeId {
        let url = self.url.clone();
        let cursor: Vec<_> = cursor.map(|id| ("last-event-id".to_string(), id.to_string())).into_iter().collect();
        self.start(role, Method::Get, &url, Vec::new(), &cursor)
    }

    /// Ends the session on the server, where there is a way.
    pub(crate) fn delete_session(&mut self) -> Option<ExchangeId> {
        let session = self.session.as_ref()?;
        if session.transport != Transport::StreamableHttp || session.id.is_none() {
            return None;
        }
        let url = self.url.clone();
        let exchange = self.start(Role::Delete, Method::Delete, &url, Vec::new(), &[]);
        self.limit_delete(exchange);
        Some(exchange)
    }

    /// Nobody need wait for the answer to a DELETE, but it must end.
    pub(crate) fn limit_delete(&mut self, exchange: ExchangeId) {
        self.timers.set(Timer::Head(exchange), self.now + DELETE_TIME);
    }

    pub(crate) fn start(
        &mut self,
        role: Role,
        method: Method,
        url: &Url,
        body: Vec<u8>,
        extra: &[(String, String)],
    ) -> ExchangeId {
        let mut headers = self.options.headers.clone();
        let mut set = |name: &str, value: &str| headers.push((name.to_string(), value.to_string()));
        // Streams that are compressed are held back by what compresses them.
        set("accept-encoding", "identity");
        match method {
            Method::Post => {
                set("accept", "application/json, text/event-stream");
                set("content-type", "application/json");
            }
            Method::Get => set("accept", "text/event-stream"),
            Method::Delete => {}
        }
        let session = self.session.as_ref().filter(|_| {
            !matches!(role, Role::Initialize | Role::Stream) && extra.iter().all(|(name, _)| name != "mcp-session-id")
        });
        if let Some(session) = session.filter(|session| session.transport == Transport::StreamableHttp) {
            if let Some(id) = &session.id {
                set("mcp-session-id", id);
            }
            // The header came with 2025-06-18; versions are dates, so their order is that of their text.
            if session.server.version.as_str() >= "2025-06-18" {
                set("mcp-protocol-version", &session.server.version);
            }
        }
        headers.extend_from_slice(extra);
        let epoch = match role {
            Role::Initialize | Role::Stream => self.epoch_being_made(),
            _ => self.epoch,
        };
        self.set_cookies(&mut headers, epoch, url);
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        let had_session =
            session.is_some_and(|session| session.transport == Transport::HttpSse || session.id.is_some());
        let session_id = session.and_then(|session| session.id.clone());
        self.learn_secrets(url, session_id.as_deref());
        let wire_id = match &role {
            Role::Post(key) => self.requests.get(key).map(|request| request.wire_id),
            _ => None,
        };
        let context = Context { transport: self.transport_now(), epoch, had_session, wire_id };
        self.exchanges.insert(
            exchange,
            Exchange {
                role,
                context,
                url: url.clone(),
                redirects: 0,
                sent: false,
                headers_given: self.headers_given,
                cancel_after: None,
                paused: false,
                reading: Reading::Head,
            },
        );
        self.outputs.push_back(Output::Start(
            exchange,
            crate::Request {
                method,
                https: url.https(),
                authority: url.authority().to_string(),
                path: url.path_and_query().to_string(),
                headers,
                body,
            },
        ));
        exchange
    }

    pub(crate) fn on_sent(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.sent = true;
        if let Some(text) = exchange.cancel_after.take() {
            let epoch = exchange.context.epoch;
            self.send_aside(Aside { epoch, text, reply: false });
        }
    }

    /// Adds the session's cookies to the headers of a request to `url`, in the one `Cookie` header that there may be.
    fn set_cookies(&self, headers: &mut Vec<(String, String)>, epoch: u64, url: &Url) {
        let is_cookie = |name: &str| name.eq_ignore_ascii_case("cookie");
        let own: Vec<_> = headers.iter().filter(|(name, _)| is_cookie(name)).map(|(_, value)| value.as_str()).collect();
        let own = own.join("; ");
        if let Some(value) = self.cookies.header(epoch, url, &own, self.now) {
            headers.retain(|(name, _)| !is_cookie(name));
            headers.push(("cookie".to_string(), value));
        }
    }

    /// Takes the cookies of a response.
    fn learn_cookies(&mut self, id: ExchangeId, headers: &[(String, Vec<u8>)]) {
        let Some(exchange) = self.exchanges.get(&id) else { return };
        let of = |wanted: &'static str| {
            headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_slice())
        };
        let date = of("date").next();
        if self.cookies.learn(exchange.context.epoch, of("set-cookie"), &exchange.url, date, self.now) {
            let text = "a cookie of the server's was dropped: it sets too many, or too long ones";
            self.log(Level::Warn, text);
        }
    }

    pub(crate) fn on_head(&mut self, id: ExchangeId, status: u16, headers: &[(String, Vec<u8>)]) {
        self.on_sent(id);
        if !self.exchanges.contains_key(&id) {
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
        if success && self.exchanges.get(&id).is_some_and(|exchange| exchange.role == Role::Initialize) {
            self.on_initialize_head(header("mcp-session-id"));
        }
        let coding = header("content-encoding").map(http::content_coding).unwrap_or_default();
        let Some(exchange) = self.exchanges.get(&id) else { return };
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
            Role::Notify(_) | Role::Initialized if !may_be_page => Reading::Drain(0),
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
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.reading = reading;
        }
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
        self.heard_at = self.now;
        if let Some(Exchange { role: Role::Post(key), .. }) = self.exchanges.get(&id)
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
        if matches!(self.exchanges.get(&id).map(|exchange| &exchange.role), Some(Role::Standalone)) {
            self.log(Level::Warn, alloc::format!("the server's own stream is not used: {}", refusal.describe()));
        }
        self.outputs.push_back(Output::Cancel(id));
        self.finish_exchange(id, Outcome::Refused(refusal));
    }

    /// A body that matters begins.
    fn on_stream_open(&mut self, id: ExchangeId) {
        let Some(role) = self.exchanges.get(&id).map(|exchange| exchange.role.clone()) else { return };
        match role {
            Role::Post(key) => {
                if let Some(request) = self.requests.get_mut(&key) {
                    request.state = RequestState::Accepted(Some(id));
                }
            }
            // No longer cut off.
            Role::Resume(key) => self.timers.clear(Timer::Hold(key)),
            Role::Standalone => self.on_standalone_open(),
            _ => {}
        }
    }

    /// Redirects stay inside the origin and keep the method (307, 308). Anything else is refused: it would carry the
    /// user's headers to a stranger, or turn a POST into a GET.
    fn on_redirect(&mut self, id: ExchangeId, status: u16, location: Option<&[u8]>) {
        let Some(exchange) = self.exchanges.get(&id) else { return };
        let (role, context, url, redirects) =
            (exchange.role.clone(), exchange.context, exchange.url.clone(), exchange.redirects);
        let target = location
            .and_then(|location| core::str::from_utf8(location).ok())
            .and_then(|location| url.resolve(location).ok());
        // Where HTTP+SSE messages go is said by the stream, and by nothing else.
        let is_sse_post = !matches!(role, Role::Stream) && context.transport == Transport::HttpSse;
        match target {
            Some(target)
                if matches!(status, 307 | 308)
                    && target.same_origin(&self.url)
                    && redirects < MAX_REDIRECTS
                    && !is_sse_post =>
            {
                self.log(Level::Info, alloc::format!("the server redirects to {}", clip_path(target.path_and_query())));
                // Others that were sent to the same place may have been redirected before; those of an old session tell nothing.
                if context.epoch == self.epoch && url == self.url {
                    self.url = target;
                }
                self.cancel(id);
                let next = self.next_exchange;
                self.restart(id, role, context.epoch);
                for exchange in self.exchanges.range_mut(ExchangeId(next)..).map(|(_, exchange)| exchange) {
                    exchange.redirects = redirects + 1;
                }
            }
            target => {
                let circle =
                    redirects >= MAX_REDIRECTS && target.as_ref().is_some_and(|target| target.same_origin(&url));
                let to = target.map_or_else(
                    || "to nowhere".to_string(),
                    |url| {
                        let scheme = if url.https() { "https" } else { "http" };
                        alloc::format!("to {scheme}://{}{}", url.authority(), clip_path(url.path_and_query()))
                    },
                );
                let redirects = if circle { proxy::REDIRECTED_TOO_OFTEN } else { "it redirects" };
                let body = alloc::format!(
                    "{redirects} {to}, which is not followed (only 307 and 308 inside one origin are); use the final URL"
                );
                let refusal = Refusal { status, challenge: String::new(), retry_after: None, body };
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.reading = Reading::Drain(0);
                }
                self.finish_exchange(id, Outcome::Refused(refusal));
            }
        }
    }

    /// The transport over which something is sent now.
    fn transport_now(&self) -> Transport {
        match (&self.connection, &self.session) {
            (ConnectionState::Handshake(handshake), _) if handshake.step != Step::Delete => handshake.transport,
            (_, Some(session)) => session.transport,
            _ => self.transport.unwrap_or(Transport::StreamableHttp),
        }
    }

    /// Does again what was redirected, at once if the connection that it was sent on is up.
    fn restart(&mut self, id: ExchangeId, role: Role, epoch: u64) {
        let up = matches!(self.connection, ConnectionState::Ready) && epoch == self.epoch;
        match role {
            Role::Post(key) if up || self.connection == ConnectionState::Probing(key) => self.post_request_again(key),
            Role::Notify(queued) if up => {
                let exchange = self.post_notification(queued);
                if self.notifying == Some(id) {
                    self.notifying = Some(exchange);
                }
            }
            Role::Post(key) => {
                let reason = "it was redirected".to_string();
                self.settle(key, End { evidence: Evidence::NotSent, accepted: false, reason, refusal: None });
            }
            Role::Notify(queued) => {
                self.notification_over(id);
                self.requeue_unsent(queued);
            }
            Role::Resume(key) => {
                if let Some(request) = self.requests.get_mut(&key) {
                    request.state = RequestState::Resuming;
                }
                self.resume(key);
            }
            Role::Standalone => {
                if let Some(session) = self.session.as_mut().filter(|session| session.epoch == epoch) {
                    session.standalone.exchange = None;
                }
                self.open_standalone();
            }
            Role::Initialize | Role::Stream => self.restart_handshake(),
            Role::Initialized => self.send_initialized(),
            Role::Delete | Role::Retired => {}
        }
    }

    pub(crate) fn on_body(&mut self, id: ExchangeId, bytes: Vec<u8>) {
        self.on_sign_of_life(id);
        let room = self.room_for_body(id, bytes.len());
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        match &mut exchange.reading {
            Reading::Head => {}
            Reading::Drain(read) => {
                *read += bytes.len();
                if *read > MAX_REFUSAL {
                    self.cancel(id);
                }
            }
            Reading::Refusal(_, body, most) => {
                body.extend_from_slice(&bytes[..bytes.len().min(*most - body.len())]);
                if body.len() == *most {
                    self.on_linger_over(id);
                }
            }
            Reading::Json(body, most) => {
                if body.len() + bytes.len() > self.options.max_body_bytes {
                    let limit = self.options.max_body_bytes;
                    self.give_up_body(id, "its body", limit, "max-body-bytes");
                } else if body.is_empty() {
                    *body = bytes;
                } else {
                    if body.len() + bytes.len() > *most {
                        // Some hosts decode bodies, and give the length that they had before.
                        *most = self.options.max_body_bytes;
                    }
                    append(body, &bytes, (*most).min(body.capacity().saturating_add(room)));
                }
            }
            Reading::Events(parser) => {
                let mut items = Vec::new();
                parser.feed(&bytes, &mut items);
                for item in items {
                    self.on_item(id, item);
                }
            }
        }
    }

    /// Stops reading a body that is too large, or makes the sum of all too large.
    pub(crate) fn give_up_body(&mut self, id: ExchangeId, what: &str, limit: usize, option: &str) {
        let Some(exchange) = self.exchanges.get(&id) else { return };
        let (role, epoch) = (exchange.role.clone(), exchange.context.epoch);
        self.cancel(id);
        let broken = || ConnectionError::Broken(alloc::format!("{what} is over {limit} bytes (option {option})"));
        match role {
            Role::Post(key) | Role::Resume(key) => {
                let problem = alloc::format!("{what} is over {limit} bytes (option {option})");
                self.answer_too_large(key, &problem, limit);
            }
            Role::Initialize => {
                self.attempt_failed(ConnectionError::Fatal(alloc::format!(
                    "the initialize result is over {limit} bytes"
                )));
            }
            Role::Stream => self.on_stream_over(epoch, broken()),
            Role::Standalone => self.on_standalone_over(false, broken()),
            _ => self.log_dropped("a body", &alloc::format!("it is over {option}")),
        }
    }

    pub(crate) fn on_end(&mut self, id: ExchangeId) {
        self.heard_at = self.now;
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if exchange.reading == Reading::Head {
            return self.on_failed(id, Failure::Lost, "the connection ended before a response came");
        }
        match core::mem::replace(&mut exchange.reading, Reading::Drain(0)) {
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
            Reading::Json(body, _) if exchange.context.transport == Transport::HttpSse => {
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
        if self.is_answer_of_refusal(id, &refusal, &text) {
            self.on_text(id, text);
            self.exchange_over(id);
            return;
        }
        refusal.body = text.get(..text.floor_char_boundary(MAX_REFUSAL)).unwrap_or_default().to_string();
        let only_status = self.exchanges.get(&id).is_some_and(|exchange| match exchange.role {
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
        let Some(Exchange { role: Role::Post(key), context, .. }) = self.exchanges.get(&id) else { return false };
        let asked = context.wire_id.filter(|wire| self.wire_ids.get(wire) == Some(key));
        let refusal = Refusal { body: text.to_string(), ..refusal.clone() };
        let evidence = refusal.evidence(context.transport, context.had_session);
        asked.is_some() && response_id(text) == asked && matches!(evidence, Evidence::Unknown | Evidence::Refused)
    }

    pub(crate) fn on_failed(&mut self, id: ExchangeId, failure: Failure, detail: &str) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        // Of the host, and longer than what a server may say: it tells how to mend things.
        let detail = visible(detail, 300);
        let reading = core::mem::replace(&mut exchange.reading, Reading::Drain(0));
        let is_sse = exchange.context.transport == Transport::HttpSse && !matches!(exchange.role, Role::Stream);
        match reading {
            Reading::Drain(_) => {
                self.exchange_over(id);
            }
            Reading::Refusal(refusal, body, _) => self.on_refusal(id, refusal, body),
            Reading::Json(..) if is_sse => self.on_accepted(id),
            Reading::Events(_) | Reading::Json(..) => {
                let reason = alloc::format!("the connection broke while the answer was awaited ({detail})");
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
        if !self.exchanges.contains_key(&id) {
            return;
        }
        let time = crate::engine::seconds(self.options.response_timeout);
        self.outputs.push_back(Output::Cancel(id));
        self.on_failed(id, Failure::Lost, &alloc::format!("no response began within {time}"));
    }

    /// What is left of a response has had its time.
    pub(crate) fn on_linger_over(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        match core::mem::replace(&mut exchange.reading, Reading::Drain(0)) {
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
        let exchange = self.exchanges.remove(&id)?;
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
            .map(|(id, _)| *id)
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
        Ok(Parsed::One(Envelope { kind: Kind::Response { id: Some(id) }, .. })) => json::integer(id.raw),
        _ => None,
    }
}

/// A path for people: the query may hold a secret.
fn clip_path(path: &str) -> &str {
    path.split('?').next().unwrap_or("/")
}
