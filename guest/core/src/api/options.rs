//! What a host can set on an engine, with the defaults.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::api::time::{Instant, MILLISECOND, SECOND};

/// No duration is longer: 146 years, so that the sum of an instant and two durations is one.
pub(crate) const LONGEST: Duration = Duration::from_nanos(u64::MAX / 4);
/// The engine's clock stands still from here on: after 292 years.
pub(crate) const LAST_INSTANT: Instant = Instant::from_nanos(u64::MAX / 2);
/// No step of the backoff is shorter, or a server that is down would be called without a pause.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(10);

/// What can be addressed, in bytes: 4 GiB where the engine is WebAssembly.
const ADDRESSABLE: usize = usize::MAX;
/// What the engine needs whatever is set, a third of it.
const CONSTANT: usize = 6 << 20;

/// Which transport to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportChoice {
    /// Streamable HTTP first, HTTP+SSE where the server refuses it (MCP 2025-11-25, "Backwards compatibility").
    #[default]
    Auto,
    /// Streamable HTTP (2025-03-26 and later) only.
    StreamableHttp,
    /// HTTP+SSE (2024-11-05) only.
    HttpSse,
}

/// Everything that can be set. Durations over 146 years count as that; [`Options::new`] gives the
/// defaults named at each field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Options {
    /// The MCP endpoint (Streamable HTTP) or the SSE URL (HTTP+SSE): absolute, `http` or `https`, no user info.
    pub url: String,
    /// Headers for every request to the origin of [`Options::url`].
    pub headers: Vec<(String, String)>,
    /// Which transport to speak. Default: detect.
    pub transport: TransportChoice,
    /// Ask the server with `server/discover` before `initialize`. Where it speaks a version without sessions (MCP 2026-07-28 and
    /// later), a client of an earlier version is translated to it, also if the server speaks the client's version too. Default: no.
    pub discover_first: bool,
    /// Believe the server's tool annotations (`readOnlyHint`, `idempotentHint`) when deciding whether a `tools/call`
    /// may be sent again. Default: no.
    pub trust_annotations: bool,
    /// Tell the client of connection changes with `notifications/message` too, so that the model and the person above
    /// it see them. Default: no.
    pub notify_client: bool,
    /// The host answers [`crate::Event::HeadersNeeded`] with fresh headers when a request was rejected; the request waits
    /// for them for [`Options::credentials_timeout`] instead of failing at once. Default: no.
    pub can_refresh_credentials: bool,
    /// How long a rejected request waits for fresh headers. Default: 15 s.
    pub credentials_timeout: Duration,
    /// The host answers [`crate::Event::HeadersNeeded`] with fresh headers for each new session too, and a session is begun
    /// without them only after this time; 0: no session waits. Default: 0.
    pub connect_headers_timeout: Duration,
    /// Silence after which a `ping` is sent; 0 switches the heartbeat off. Default: 30 s.
    pub heartbeat_interval: Duration,
    /// While a stream of notifications of a version without sessions (`subscriptions/listen`) is open, the server is asked at least
    /// so often whether it takes connections: one that goes down takes none any more and waits for its streams to end. 0 leaves
    /// it to [`Options::heartbeat_interval`]. Default: 1 s.
    pub listen_check_interval: Duration,
    /// How long a `ping` may stay unanswered. Default: 10 s.
    pub heartbeat_timeout: Duration,
    /// An unanswered ping ends the connection even while a request is in flight. Default: no.
    pub heartbeat_strict: bool,
    /// How long a request may wait to be sent. Default: 3 min.
    pub hold_timeout: Duration,
    /// How long a request that was sent may run without progress. Default: 1 h.
    pub run_timeout: Duration,
    /// How long a request may run in all, whatever progress is reported. Default: 24 h.
    pub run_limit: Duration,
    /// How long the response to a request that was sent in a session that has been replaced since may be silent: no byte of it
    /// arrives. Its connection may be one that something on the way keeps open though nobody will answer any more. 0 leaves it
    /// to [`Options::run_timeout`]. Default: 5 min.
    pub old_session_timeout: Duration,
    /// How long the server may take to begin its answer to `initialize`, a notification, or an HTTP+SSE POST; also the
    /// wait for the `endpoint` event is bounded by it (and by 10 s). Default: 30 s.
    pub response_timeout: Duration,
    /// The first step of the backoff, at least 10 ms: less counts as that. Default: 500 ms.
    pub backoff_base: Duration,
    /// The largest step of the backoff, at least 10 ms. Default: 30 s.
    pub backoff_cap: Duration,
    /// Attempts to reconnect before held requests are failed; 0 means no limit. Default: 0.
    pub max_attempts: u32,
    /// How long an `initialize` waits for a server that is down before it gets a provisional result; 0 switches
    /// provisional results off. Default: 20 s.
    pub start_timeout: Duration,
    /// The most messages held or in flight at once. Default: 1024.
    pub max_queue_messages: usize,
    /// The most bytes of messages held or in flight at once. Default: 128 MiB.
    pub max_queue_bytes: usize,
    /// The largest message from the client, in bytes. Default: 64 MiB.
    pub max_message_bytes: usize,
    /// The largest server-sent event, in bytes. Default: 16 MiB.
    pub max_event_bytes: usize,
    /// The largest JSON body of a response, in bytes. Default: 64 MiB.
    pub max_body_bytes: usize,
    /// The most bytes of bodies and events that are being read at once: see [`crate::Output::Pause`]. Less than
    /// [`Options::max_body_bytes`] or [`Options::max_event_bytes`] counts as that. Default: 128 MiB.
    pub max_total_body_bytes: usize,
    /// What [`crate::Recovery::state`] gives, for an engine that takes the place of one that failed. Default: none.
    pub recovery: Option<String>,
}

impl Options {
    /// The defaults, for a server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            transport: TransportChoice::Auto,
            discover_first: false,
            trust_annotations: false,
            notify_client: false,
            can_refresh_credentials: false,
            credentials_timeout: 15 * SECOND,
            connect_headers_timeout: Duration::ZERO,
            heartbeat_interval: 30 * SECOND,
            listen_check_interval: SECOND,
            heartbeat_timeout: 10 * SECOND,
            heartbeat_strict: false,
            hold_timeout: 180 * SECOND,
            run_timeout: 3600 * SECOND,
            run_limit: 86_400 * SECOND,
            old_session_timeout: 300 * SECOND,
            response_timeout: 30 * SECOND,
            backoff_base: 500 * MILLISECOND,
            backoff_cap: 30 * SECOND,
            max_attempts: 0,
            start_timeout: 20 * SECOND,
            max_queue_messages: 1024,
            max_queue_bytes: 128 << 20,
            max_message_bytes: 64 << 20,
            max_event_bytes: 16 << 20,
            max_body_bytes: 64 << 20,
            max_total_body_bytes: 128 << 20,
            recovery: None,
        }
    }

    /// The same, changed.
    ///
    /// ```
    /// use mcp_reconnect_core::{Options, SECOND};
    ///
    /// let options = Options::new("http://127.0.0.1:9000/mcp").with(|options| options.heartbeat_interval = 15 * SECOND);
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same with every duration where it can be added to an instant, and with sizes that fit into memory.
    pub(crate) fn bounded(mut self) -> Self {
        for duration in [
            &mut self.credentials_timeout,
            &mut self.connect_headers_timeout,
            &mut self.heartbeat_interval,
            &mut self.listen_check_interval,
            &mut self.heartbeat_timeout,
            &mut self.hold_timeout,
            &mut self.run_timeout,
            &mut self.run_limit,
            &mut self.old_session_timeout,
            &mut self.response_timeout,
            &mut self.start_timeout,
        ] {
            *duration = (*duration).min(LONGEST);
        }
        self.backoff_base = self.backoff_base.clamp(SHORTEST_BACKOFF, LONGEST);
        self.backoff_cap = self.backoff_cap.clamp(SHORTEST_BACKOFF, LONGEST);
        self.max_total_body_bytes = self.max_total_body_bytes.max(self.max_body_bytes).max(self.max_event_bytes);
        fit(
            [
                &mut self.max_queue_bytes,
                &mut self.max_message_bytes,
                &mut self.max_event_bytes,
                &mut self.max_total_body_bytes,
            ],
            ADDRESSABLE / 3 - CONSTANT,
        );
        self.max_body_bytes = self.max_body_bytes.min(self.max_total_body_bytes);
        self.max_event_bytes = self.max_event_bytes.min(self.max_total_body_bytes);
        self
    }
}

/// Lowers the largest of these sizes, as far as their sum is over `most`.
fn fit(mut sizes: [&mut usize; 4], most: usize) {
    sizes.sort();
    let mut left = most;
    let mut others = sizes.len();
    for size in sizes {
        *size = (*size).min(left / others);
        left -= *size;
        others -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_lowered_from_the_largest_on() {
        for (given, fitted) in [
            ([1, 2, 3, 4], [1, 2, 3, 4]),
            ([10, 20, 30, 41], [10, 20, 30, 40]),
            ([1000, 5, 1000, 10], [42, 5, 43, 10]),
            ([usize::MAX; 4], [25; 4]),
        ] {
            let [mut a, mut b, mut c, mut d] = given;
            fit([&mut a, &mut b, &mut c, &mut d], 100);
            assert_eq!([a, b, c, d], fitted, "{given:?}");
        }
    }

    #[test]
    fn one_body_may_take_all_that_is_for_bodies() {
        let options = Options { max_body_bytes: 500 << 20, ..Options::new("") }.bounded();
        assert_eq!((options.max_body_bytes, options.max_total_body_bytes), (500 << 20, 500 << 20));
        let options = Options { max_total_body_bytes: 1, ..Options::new("") }.bounded();
        assert_eq!((options.max_body_bytes, options.max_total_body_bytes), (64 << 20, 64 << 20));
    }
}
