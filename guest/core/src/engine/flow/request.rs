//! HTTP requests: how each is built, and what is remembered of it to read its response by.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::engine::Engine;
use crate::engine::state::exchanges::{Context, Role};
use crate::engine::state::handshake::Step;
use crate::engine::state::outbox::Queued;
use crate::engine::state::timers::Timer;
use crate::wire::url::Url;
use crate::{ExchangeId, Level, Method, Output, Transport, http};

/// What stands for the epoch of exchanges that belong to no session.
const NO_EPOCH: u64 = 0;
/// How long a DELETE that nobody waits for may take.
const DELETE_TIME: Duration = Duration::from_secs(5);

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
        let header: Vec<_> = cursor.map(|id| ("last-event-id".to_string(), id.to_string())).into_iter().collect();
        let exchange = self.start(role, Method::Get, &url, Vec::new(), &header);
        self.exchanges.named(exchange, cursor);
        exchange
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
        for (name, value) in http::standard_headers(method) {
            set(name, value);
        }
        let session = self.session.as_ref().filter(|_| {
            !matches!(role, Role::Initialize | Role::Stream)
                && !role.is_modern()
                && extra.iter().all(|(name, _)| name != "mcp-session-id")
        });
        if let Some(session) = session.filter(|session| session.transport == Transport::StreamableHttp) {
            if let Some(id) = &session.id {
                set("mcp-session-id", id);
            }
            // The header came with 2025-06-18; versions are dates, so their order is that of their text.
            let own = extra.iter().any(|(name, _)| name == "mcp-protocol-version");
            if session.server.version.as_str() >= "2025-06-18" && !own {
                set("mcp-protocol-version", &session.server.version);
            }
        }
        headers.extend_from_slice(extra);
        let epoch = match role {
            Role::Initialize | Role::Stream => self.epoch_being_made(),
            _ if role.is_modern() => NO_EPOCH,
            _ => self.epoch,
        };
        self.set_cookies(&mut headers, epoch, url);
        let had_session =
            session.is_some_and(|session| session.transport == Transport::HttpSse || session.id.is_some());
        let session_id = session.and_then(|session| session.id.clone());
        self.learn_secrets(url, session_id.as_deref());
        let wire_id = match &role {
            Role::Post(key) | Role::Modern(key) => self.requests.get(key).map(|request| request.wire_id),
            _ => None,
        };
        let transport = if role.is_modern() { Transport::StreamableHttp } else { self.transport_now() };
        let context = Context { transport, epoch, had_session, wire_id };
        let exchange = self.exchanges.begin(role, context, url.clone(), self.credentials.number());
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

    /// The transport over which something is sent now.
    fn transport_now(&self) -> Transport {
        match (self.connection.handshake(), self.session.as_ref()) {
            (Some(handshake), _) if handshake.step() != Step::Delete => handshake.transport(),
            (_, Some(session)) => session.transport,
            _ => self.transport.unwrap_or(Transport::StreamableHttp),
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
    pub(crate) fn learn_cookies(&mut self, id: ExchangeId, headers: &[(String, Vec<u8>)]) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let of = |wanted: &'static str| {
            headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_slice())
        };
        let date = of("date").next();
        if self.cookies.learn(exchange.context.epoch, of("set-cookie"), &exchange.url, date, self.now) {
            let text = "a cookie of the server's was dropped: it sets too many, or too long ones";
            self.log(Level::Warn, text);
        }
    }
}
