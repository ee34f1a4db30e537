//! HTTP: requests are built here, and responses read, each according to the role its exchange plays.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::client_message::{Outgoing, Queued};
use super::outcome::Outcome;
use super::reconnect::{ConnectionError, ConnectionState};
use super::settle::End;
use crate::api::options::SECOND;
use crate::engine::Engine;
use crate::engine::state::requests::{Request, RequestKey, RequestState};
use crate::engine::state::timers::Timer;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::wire::buffer::append;
use crate::wire::sse::Parser;
use crate::wire::url::Url;
use crate::wire::utf8::from_utf8;
use crate::{ExchangeId, Failure, Level, Method, Nanos, Output, Transport, http};

/// The most that is read of a response that is no success.
const MAX_REFUSAL: usize = 64 << 10;
/// How long the body of such a response may take.
const REFUSAL_TIME: Nanos = 2 * SECOND;
/// Redirects in a row that are followed.
const MAX_REDIRECTS: u32 = 5;

/// An HTTP request under way and its response.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    pub role: Role,
    pub epoch: u64,
    /// Its body was written, or answered, which proves the same.
    pub sent: bool,
    /// It carried a session.
    pub had_session: bool,
    /// How often the host had given headers when it was started.
    pub headers_given: u64,
    /// A notification about this exchange's request that must not overtake it.
    pub cancel_after: Option<String>,
    reading: Reading,
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
    Refusal(Refusal, Vec<u8>),
    /// Nothing in it matters; the count bounds it.
    Drain(usize),
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

    /// A message that belongs to the current session and waits for nothing.
    pub(crate) fn post_aside(&mut self, text: String) {
        let epoch = self.epoch;
        self.post_notification(Queued { order: 0, message: Outgoing::Bound { epoch, text } });
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
        Some(self.start(Role::Delete, Method::Delete, &url, Vec::new(), &[]))
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
        match method {
            Method::Post => {
                set("accept", "application/json, text/event-stream");
                set("content-type", "application/json");
            }
            Method::Get => set("accept", "text/event-stream"),
            Method::Delete => {}
        }
        let session = self.session.as_ref().filter(|_| !matches!(role, Role::Initialize | Role::Stream));
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
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        let had_session =
            session.is_some_and(|session| session.transport == Transport::HttpSse || session.id.is_some());
        self.exchanges.insert(
            exchange,
            Exchange {
                role,
                epoch: self.epoch,
                sent: false,
                had_session,
                headers_given: self.headers_given,
                cancel_after: None,
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
            let epoch = exchange.epoch;
            self.send_aside(text, epoch);
        }
    }

    pub(crate) fn on_head(&mut self, id: ExchangeId, status: u16, headers: &[(String, Vec<u8>)]) {
        self.on_sent(id);
        if !self.exchanges.contains_key(&id) {
            return;
        }
        self.timers.clear(Timer::Head(id));
        self.heard_at = self.now;
        let header = |name: &str| {
            headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
        };
        if matches!(status, 301..=303 | 307 | 308) {
            return self.on_redirect(id, status, header("location"));
        }
        let kind = header("content-type").map(http::media_type).unwrap_or_default();
        let success = (200..300).contains(&status);
        let Some(exchange) = self.exchanges.get(&id) else { return };
        let is_get = matches!(exchange.role, Role::Stream | Role::Standalone | Role::Resume(_));
        let is_sse_post = self.speaks_sse();
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
            ),
            // HTTP+SSE answers on the stream; the status is all that counts here.
            _ if is_sse_post => Reading::Drain(0),
            Role::Notify(_) | Role::Initialized => Reading::Drain(0),
            _ if kind == "text/event-stream" => Reading::Events(Parser::new(self.options.max_event_bytes)),
            _ if status == 202 || status == 204 => Reading::Drain(0),
            _ if kind == "application/json" || kind.is_empty() => {
                let limit = self.options.max_body_bytes;
                let length = header("content-length").and_then(http::content_length);
                Reading::Json(Vec::new(), length.map_or(limit, |length| length.min(limit)))
            }
            _ => Reading::Refusal(
                Refusal { status, challenge: String::new(), retry_after: None, body: String::new() },
                Vec::new(),
            ),
        };
        let (refused, drained) = (matches!(reading, Reading::Refusal(..)), matches!(reading, Reading::Drain(_)));
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.reading = reading;
        }
        if refused {
            self.timers.set(Timer::Linger(id), self.now + REFUSAL_TIME);
        } else if drained {
            self.finish_exchange(id, Outcome::Accepted);
        } else {
            self.on_stream_open(id, header("mcp-session-id"));
        }
    }

    /// A body that matters begins.
    fn on_stream_open(&mut self, id: ExchangeId, session_id: Option<&[u8]>) {
        let Some(role) = self.exchanges.get(&id).map(|exchange| exchange.role.clone()) else { return };
        match role {
            Role::Initialize => self.on_initialize_head(session_id),
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
        let (role, had_session) = (exchange.role.clone(), exchange.had_session);
        let target = location
            .and_then(|location| core::str::from_utf8(location).ok())
            .and_then(|location| self.post_url().resolve(location).ok());
        // Where HTTP+SSE messages go is said by the stream, and by nothing else.
        let is_sse_post = !matches!(role, Role::Stream) && self.speaks_sse();
        match target {
            Some(target)
                if matches!(status, 307 | 308)
                    && target.same_origin(&self.url)
                    && self.redirects < MAX_REDIRECTS
                    && !is_sse_post =>
            {
                self.redirects += 1;
                self.log(Level::Info, alloc::format!("the server redirects to {}", target.path_and_query()));
                self.url = target;
                self.cancel(id);
                self.restart(role);
            }
            target => {
                let to = target.map_or_else(
                    || "to nowhere".to_string(),
                    |url| {
                        let scheme = if url.https() { "https" } else { "http" };
                        alloc::format!("to {scheme}://{}{}", url.authority(), clip_path(url.path_and_query()))
                    },
                );
                let body = alloc::format!(
                    "it redirects {to}, which is not followed (only 307 and 308 inside one origin are); use the final URL"
                );
                let refusal = Refusal { status, challenge: String::new(), retry_after: None, body };
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.had_session = had_session;
                    exchange.reading = Reading::Drain(0);
                }
                self.finish_exchange(id, Outcome::Refused(refusal));
            }
        }
    }

    /// Whether what is sent now is sent over HTTP+SSE.
    fn speaks_sse(&self) -> bool {
        match &self.connection {
            ConnectionState::Handshake(handshake) => handshake.transport == Transport::HttpSse,
            _ => self.transport == Some(Transport::HttpSse),
        }
    }

    /// Does again what was redirected.
    fn restart(&mut self, role: Role) {
        match role {
            Role::Post(key) => {
                let reason = "it was redirected".to_string();
                self.settle(key, End { evidence: Evidence::NotSent, accepted: false, reason, refusal: None });
            }
            Role::Notify(queued) => {
                self.notifying = None;
                self.held_bytes += queued.message.text().map_or(0, str::len);
                self.requeue(queued);
            }
            Role::Resume(key) => {
                if let Some(request) = self.requests.get_mut(&key) {
                    request.state = RequestState::Resuming;
                }
                self.resume(key);
            }
            Role::Standalone => self.open_standalone(),
            Role::Initialize | Role::Stream => self.restart_handshake(),
            Role::Initialized => self.send_initialized(),
            Role::Delete | Role::Retired => {}
        }
    }

    pub(crate) fn on_body(&mut self, id: ExchangeId, bytes: Vec<u8>) {
        self.heard_at = self.now;
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        match &mut exchange.reading {
            Reading::Head => {}
            Reading::Drain(read) => {
                *read += bytes.len();
                if *read > MAX_REFUSAL {
                    self.cancel(id);
                }
            }
            Reading::Refusal(_, body) => {
                body.extend_from_slice(&bytes[..bytes.len().min(MAX_REFUSAL - body.len())]);
                if body.len() == MAX_REFUSAL {
                    self.on_linger_over(id);
                }
            }
            Reading::Json(body, most) => {
                if body.len() + bytes.len() > self.options.max_body_bytes {
                    self.on_body_too_large(id);
                } else if body.is_empty() {
                    *body = bytes;
                } else {
                    if body.len() + bytes.len() > *most {
                        // Some hosts decode bodies, and give the length that they had before.
                        *most = self.options.max_body_bytes;
                    }
                    append(body, &bytes, *most);
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

    fn on_body_too_large(&mut self, id: ExchangeId) {
        let limit = self.options.max_body_bytes;
        let Some(role) = self.exchanges.get(&id).map(|exchange| exchange.role.clone()) else { return };
        self.cancel(id);
        match role {
            Role::Post(key) => self.answer_too_large(key, "its body", limit, "max-body-bytes"),
            Role::Initialize => {
                self.attempt_failed(ConnectionError::Fatal(alloc::format!(
                    "the initialize result is over {limit} bytes"
                )));
            }
            _ => self.log_dropped("a body", "it is over max-body-bytes"),
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
            Reading::Events(_) => {
                self.finish_exchange(id, Outcome::Ended { clean: true, reason: "the event stream ended" })
            }
            Reading::Refusal(refusal, body) => self.on_refusal(id, refusal, &body),
            Reading::Json(body, _) if body.trim_ascii().is_empty() => {
                self.finish_exchange(id, Outcome::Accepted);
                self.exchange_over(id);
            }
            Reading::Json(body, _) => {
                match from_utf8(body) {
                    Ok(text) => self.on_text(id, text),
                    Err(_) => self.log_dropped("a body", "it is not UTF-8"),
                }
                let reason = "the response held no answer";
                self.finish_exchange(id, Outcome::Ended { clean: true, reason });
            }
        }
    }

    fn on_refusal(&mut self, id: ExchangeId, mut refusal: Refusal, body: &[u8]) {
        refusal.body = String::from_utf8_lossy(body).into_owned();
        self.finish_exchange(id, Outcome::Refused(refusal));
    }

    pub(crate) fn on_failed(&mut self, id: ExchangeId, failure: Failure, detail: &str) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        // Of the host, and longer than what a server may say: it tells how to mend things.
        let detail: String = detail.chars().filter(|c| !c.is_control()).take(300).collect();
        let reading = core::mem::replace(&mut exchange.reading, Reading::Drain(0));
        match reading {
            Reading::Drain(_) => {
                self.exchange_over(id);
            }
            Reading::Refusal(refusal, body) => self.on_refusal(id, refusal, &body),
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
            Reading::Refusal(refusal, body) => {
                self.outputs.push_back(Output::Cancel(id));
                self.on_refusal(id, refusal, &body);
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
    pub(crate) fn cancel_session_exchanges(&mut self) {
        let over: Vec<_> = self
            .exchanges
            .iter()
            .filter(|(_, exchange)| {
                matches!(
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
    String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).take(1024).collect()
}

/// A path for people: the query may hold a secret.
fn clip_path(path: &str) -> &str {
    path.split('?').next().unwrap_or("/")
}
