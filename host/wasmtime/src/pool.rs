//! The connections of one client that are open and carry no request, or may carry one more.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper::client::conn::{http1, http2};

use crate::http::RequestBody;

/// How long a connection waits for another request. Node.js and uvicorn hang up after 5 s without one; a request that meets the
/// hang-up has an unknown outcome.
const IDLE: Duration = Duration::from_secs(4);

/// Where a connection leads to (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(Option<Scheme>, Option<Authority>);

impl Origin {
    /// That of a URL.
    pub(crate) fn of(url: &Uri) -> Self {
        Self(url.scheme().cloned(), url.authority().cloned())
    }
}

/// A connection of HTTP/1.1 without a request.
pub(crate) struct Http1 {
    pub origin: Origin,
    pub sender: http1::SendRequest<RequestBody>,
    pub address: Option<IpAddr>,
}

/// A connection of HTTP/2, which takes requests at any time.
#[derive(Clone)]
pub(crate) struct Http2 {
    pub origin: Origin,
    pub sender: http2::SendRequest<RequestBody>,
    pub address: Option<IpAddr>,
    /// Shared by all its requests, and the pool.
    users: Arc<()>,
}

impl Http2 {
    /// Whether no request uses it.
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }
}

/// A connection for a request.
pub(crate) enum Pooled {
    Http1(Http1),
    Http2(Http2),
}

/// The pool. It is used by the requests of one client.
#[derive(Default)]
pub(crate) struct Pool(Mutex<State>);

#[derive(Default)]
struct State {
    /// The one that waits longest is the first.
    idle: Vec<(Http1, Instant)>,
    http2: Option<(Http2, Instant)>,
    /// A task looks for connections that have waited too long.
    is_swept: bool,
}

impl Pool {
    /// A connection that leads there and seems to be alive: the one that was used last.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Pooled> {
        let mut state = self.state();
        if let Some((http2, used)) = &mut state.http2
            && http2.origin == *origin
        {
            if http2.sender.is_ready() {
                *used = Instant::now();
                return Some(Pooled::Http2(http2.clone()));
            }
            state.http2 = None;
        }
        while let Some(last) = state.idle.iter().rposition(|(http1, _)| http1.origin == *origin) {
            let (http1, since) = state.idle.remove(last);
            if since.elapsed() < IDLE && http1.sender.is_ready() {
                return Some(Pooled::Http1(http1));
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(self: &Arc<Self>, http1: Http1) {
        if http1.sender.is_closed() {
            return;
        }
        self.state().idle.push((http1, Instant::now()));
        self.sweep();
    }

    /// Keeps a connection of HTTP/2 for all that follow.
    pub(crate) fn share(
        self: &Arc<Self>,
        origin: Origin,
        sender: http2::SendRequest<RequestBody>,
        address: Option<IpAddr>,
    ) -> Http2 {
        let http2 = Http2 { origin, sender, address, users: Arc::default() };
        self.state().http2 = Some((http2.clone(), Instant::now()));
        self.sweep();
        http2
    }

    /// Gives this connection to no more requests.
    pub(crate) fn forget(&self, http2: &Http2) {
        let mut state = self.state();
        if state.http2.as_ref().is_some_and(|(shared, _)| Arc::ptr_eq(&shared.users, &http2.users)) {
            state.http2 = None;
        }
    }

    /// Has connections that have waited too long closed.
    fn sweep(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.state().is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes those. Tells when to look again.
    fn close_idle(&self) -> Option<Instant> {
        let mut state = self.state();
        let now = Instant::now();
        state.idle.retain(|(http1, since)| now.duration_since(*since) < IDLE && !http1.sender.is_closed());
        if state.http2.as_ref().is_some_and(|(http2, used)| {
            http2.sender.is_closed() || now.duration_since(*used) >= IDLE && http2.is_unused()
        }) {
            state.http2 = None;
        }
        let oldest = state.idle.first().map(|(_, since)| *since + IDLE);
        let next = oldest.or_else(|| state.http2.is_some().then(|| now + IDLE));
        state.is_swept = next.is_some();
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.close_idle()) {
        tokio::time::sleep_until(next.into()).await;
    }
}
