//! What can be set before a connection is opened.

use std::fmt;
use std::time::Duration;

use crate::HttpOptions;

/// Which transport of the MCP specification to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportChoice {
    /// Streamable HTTP, and HTTP+SSE where the server refuses it.
    #[default]
    Auto,
    /// Streamable HTTP (2025-03-26 and later) only.
    StreamableHttp,
    /// HTTP+SSE (2024-11-05) only.
    HttpSse,
}

/// How to connect. What is not set keeps the default named at each method.
///
/// ```
/// use std::time::Duration;
/// let options = mcp_reconnect::Options::new("https://jarvis.internal/mcp")
///     .header("Authorization", "Bearer secret")
///     .heartbeat(Some(Duration::from_secs(15)))
///     .backoff(Duration::from_millis(200), Duration::from_secs(10));
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) http: HttpOptions,
    pub(crate) settings: Settings,
}

/// What was set, and only that: the defaults are the component's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub transport: Option<TransportChoice>,
    pub notify_client: Option<bool>,
    pub discover_first: Option<bool>,
    pub trust_annotations: Option<bool>,
    pub credentials_timeout: Option<Duration>,
    pub connect_headers_timeout: Option<Duration>,
    pub heartbeat_interval: Option<Duration>,
    pub listen_check_interval: Option<Duration>,
    pub heartbeat_timeout: Option<Duration>,
    pub heartbeat_strict: Option<bool>,
    pub hold_timeout: Option<Duration>,
    pub run_timeout: Option<Duration>,
    pub run_limit: Option<Duration>,
    pub old_session_timeout: Option<Duration>,
    pub response_timeout: Option<Duration>,
    pub backoff: Option<(Duration, Duration)>,
    pub max_attempts: Option<u32>,
    pub start_timeout: Option<Duration>,
    pub max_queue: Option<(u32, u64)>,
    pub max_message_bytes: Option<u64>,
    pub max_event_bytes: Option<u64>,
    pub max_body_bytes: Option<u64>,
    pub max_total_body_bytes: Option<u64>,
}

impl Options {
    /// The defaults, for a server at this absolute `http` or `https` URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new(), http: HttpOptions::default(), settings: Settings::default() }
    }

    /// Adds a header to every request to the URL's origin, and to no other.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds headers, like [`Options::header`].
    pub fn headers<N: Into<String>, V: Into<String>>(mut self, headers: impl IntoIterator<Item = (N, V)>) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// How requests reach the network: proxies, certificates. Default: [`HttpOptions::default`].
    pub fn http(mut self, http: HttpOptions) -> Self {
        self.http = http;
        self
    }

    /// Which transport to speak. Default: [`TransportChoice::Auto`].
    pub fn transport(mut self, choice: TransportChoice) -> Self {
        self.settings.transport = Some(choice);
        self
    }

    /// Tell the client of connection changes with `notifications/message` too, so that the model and the person above it
    /// see them. Default: no.
    pub fn notify_client(mut self, notify: bool) -> Self {
        self.settings.notify_client = Some(notify);
        self
    }

    /// Ask the server with `server/discover` before `initialize`. Where it speaks a version without sessions (MCP 2026-07-28 and
    /// later), a client of an earlier version is translated to it, also if the server speaks the client's version too.
    /// Default: false.
    pub fn discover_first(mut self, first: bool) -> Self {
        self.settings.discover_first = Some(first);
        self
    }

    /// Believe the server's tool annotations when deciding whether a `tools/call` may be sent again. Default: false.
    pub fn trust_annotations(mut self, trust: bool) -> Self {
        self.settings.trust_annotations = Some(trust);
        self
    }

    /// How long a rejected request waits for the client to answer [`crate::Event::HeadersNeeded`] with
    /// [`crate::Sender::set_headers`]. `None`: the client does not, and such a request fails at once. Default: `None`.
    pub fn credentials_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.credentials_timeout = Some(timeout.unwrap_or_default());
        self
    }

    /// How long each new session, the first one too, waits for the client to answer [`crate::Event::HeadersNeeded`] with
    /// [`crate::Sender::set_headers`] before it is begun with the headers there are. For tokens that are made when they are
    /// needed. `None`: no session waits. Default: `None`.
    pub fn connect_headers_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.connect_headers_timeout = Some(timeout.unwrap_or_default());
        self
    }

    /// Silence after which a `ping` is sent; `None`: never. Default: 30 s.
    pub fn heartbeat(mut self, interval: Option<Duration>) -> Self {
        self.settings.heartbeat_interval = Some(interval.unwrap_or_default());
        self
    }

    /// How often the server is asked whether it takes connections while a stream of notifications of a version without sessions
    /// (`subscriptions/listen`) is open: one that goes down takes none any more and waits for its streams to end. `None`: as
    /// often as the heartbeat. Default: 1 s.
    pub fn listen_check(mut self, interval: Option<Duration>) -> Self {
        self.settings.listen_check_interval = Some(interval.unwrap_or_default());
        self
    }

    /// How long a `ping` may stay unanswered. Default: 10 s.
    pub fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.settings.heartbeat_timeout = Some(timeout);
        self
    }

    /// An unanswered ping ends the connection even while a request is in flight. Default: false.
    pub fn heartbeat_strict(mut self, strict: bool) -> Self {
        self.settings.heartbeat_strict = Some(strict);
        self
    }

    /// How long a request may wait to be sent. Default: 3 min.
    pub fn hold_timeout(mut self, timeout: Duration) -> Self {
        self.settings.hold_timeout = Some(timeout);
        self
    }

    /// How long a request that was sent may run without progress. Default: 1 h.
    pub fn run_timeout(mut self, timeout: Duration) -> Self {
        self.settings.run_timeout = Some(timeout);
        self
    }

    /// How long a request may run in all. Default: 24 h.
    pub fn run_limit(mut self, limit: Duration) -> Self {
        self.settings.run_limit = Some(limit);
        self
    }

    /// How long the response to a request that was sent in a session that has been replaced since may be silent before its outcome
    /// counts as unknown; zero: as long as any request may run. Default: 5 min.
    pub fn old_session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.old_session_timeout = Some(timeout);
        self
    }

    /// How long the server may take to begin its answer to `initialize`, to a notification and to an HTTP+SSE POST.
    /// Default: 30 s.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.settings.response_timeout = Some(timeout);
        self
    }

    /// The first and the largest step of the backoff. Default: 500 ms and 30 s.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.settings.backoff = Some((base, cap));
        self
    }

    /// Attempts to reconnect before held requests are failed; 0: no limit. Default: 0.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = Some(attempts);
        self
    }

    /// How long an `initialize` waits for a server that is down before it gets a provisional result; `None`: it gets
    /// none. Default: 20 s.
    pub fn start_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.start_timeout = Some(timeout.unwrap_or_default());
        self
    }

    /// The most messages, and bytes of them, held or in flight at once. Default: 1024 and 128 MiB.
    pub fn max_queue(mut self, messages: u32, bytes: u64) -> Self {
        self.settings.max_queue = Some((messages, bytes));
        self
    }

    /// The largest message from the client, in bytes. Default: 64 MiB.
    pub fn max_message_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_message_bytes = Some(bytes);
        self
    }

    /// The largest server-sent event, in bytes. Default: 16 MiB.
    pub fn max_event_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_event_bytes = Some(bytes);
        self
    }

    /// The largest JSON body of a response, in bytes. Default: 64 MiB.
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_body_bytes = Some(bytes);
        self
    }

    /// The most bytes of bodies and events that are being read at once. Past it the large ones wait for the oldest. Less than
    /// [`Options::max_body_bytes`] or [`Options::max_event_bytes`] counts as that. Default: 128 MiB.
    pub fn max_total_body_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_total_body_bytes = Some(bytes);
        self
    }
}

impl fmt::Debug for Options {
    /// Leaves out the values of headers, which are often secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("Options")
            .field("url", &self.url)
            .field("headers", &names)
            .field("http", &self.http)
            .field("settings", &self.settings)
            .finish()
    }
}
