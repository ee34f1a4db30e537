//! The HTTP exchanges of one connection: each makes a request, reads its response, and reports both to the engine.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{SelectAll, Stream};
use futures_util::task::AtomicWaker;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::component::wit;
use crate::decode::Decoded;
use crate::http::{HttpClient, RequestBody};
use crate::http_error::{Fault, Route, body_error};

/// The number of an exchange, which the engine has given it.
type Id = u64;

/// What one exchange reads in one turn, in bytes, so that a busy one does not keep the others waiting.
const TURN_BYTES: usize = 256 * 1024;

/// The same before the engine has said whether the body may be read on at all.
const FIRST_TURN_BYTES: usize = 64 * 1024;

/// Room for all headers of a request, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// What an exchange has to tell the engine.
pub(crate) enum Report {
    /// The request's body was handed to the network.
    Sent(Id),
    /// The response's head.
    Response(Id, u16, HeaderMap),
    /// A part of its body.
    Body(Id, Bytes),
    /// It is over.
    End(Id),
    /// It failed.
    Failed(Id, Fault),
}

impl Report {
    /// The report as an input of the engine, which borrows it.
    pub(crate) fn with_input<T>(&self, give: impl FnOnce(wit::Input<'_>) -> T) -> T {
        match self {
            Self::Sent(id) => give(wit::Input::Sent(*id)),
            Self::Response(exchange, status, headers) => {
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
                give(wit::Input::Response(wit::Response { exchange: *exchange, status: *status, headers: &headers }))
            }
            Self::Body(exchange, bytes) => give(wit::Input::Body(wit::Body { exchange: *exchange, bytes })),
            Self::End(id) => give(wit::Input::End(*id)),
            Self::Failed(exchange, (failure, detail)) => {
                give(wit::Input::Failed(wit::Failed { exchange: *exchange, failure: *failure, detail }))
            }
        }
    }

    /// The exchange.
    pub(crate) fn exchange(&self) -> Id {
        match self {
            Self::Sent(id) | Self::Response(id, ..) | Self::Body(id, _) | Self::End(id) | Self::Failed(id, _) => *id,
        }
    }

    /// What it holds of a body, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        if let Self::Body(_, bytes) = self { bytes.len() } else { 0 }
    }

    /// The exchange that is over with this.
    fn over(&self) -> Option<Id> {
        match self {
            Self::End(id) | Self::Failed(id, _) => Some(*id),
            Self::Sent(_) | Self::Response(..) | Self::Body(..) => None,
        }
    }
}

/// Those under way.
pub(crate) struct Exchanges {
    client: HttpClient,
    route: Arc<Route>,
    running: SelectAll<Exchange>,
    shared: HashMap<Id, Arc<Shared>>,
}

impl Exchanges {
    /// None yet, with a server at `url`.
    pub(crate) fn new(client: HttpClient, url: &str) -> Self {
        let route = Arc::new(Route::new(client.clone(), url));
        Self { client, route, running: SelectAll::new(), shared: HashMap::new() }
    }

    /// Makes a request.
    pub(crate) fn start(&mut self, request: wit::Request) {
        let id = request.exchange;
        let shared = Arc::new(Shared::default());
        let sent = SentMark(Arc::clone(&shared));
        let head = head(self.client.clone(), Arc::clone(&self.route), request, sent);
        *shared.stage() = Stage::Head(Box::pin(head));
        self.running.push(Exchange { id, shared: Arc::clone(&shared), begun: false });
        self.shared.insert(id, shared);
    }

    /// Ends one. Nothing more is reported about it.
    pub(crate) fn cancel(&mut self, id: Id) {
        if let Some(shared) = self.shared.remove(&id) {
            shared.end();
        }
    }

    /// Reads no more of its body.
    pub(crate) fn pause(&mut self, id: Id) {
        if let Some(shared) = self.shared.get(&id) {
            shared.paused.store(true, Ordering::Relaxed);
        }
    }

    /// Reads on.
    pub(crate) fn resume(&mut self, id: Id) {
        if let Some(shared) = self.shared.get(&id) {
            shared.paused.store(false, Ordering::Relaxed);
            shared.waker.wake();
        }
    }

    /// Ends all.
    pub(crate) fn clear(&mut self) {
        self.running.clear();
        for (_, shared) in self.shared.drain() {
            shared.end();
        }
    }

    /// What one of them has to report. Pending also where none is under way.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Vec<Report>> {
        match Pin::new(&mut self.running).poll_next(context) {
            Poll::Ready(Some(reports)) => {
                if let Some(over) = reports.last().and_then(Report::over) {
                    self.shared.remove(&over);
                }
                Poll::Ready(reports)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Exchanges {
    /// An exchange that waits for its head holds what it shares with it.
    fn drop(&mut self) {
        self.clear();
    }
}

/// One exchange, which gives its reports.
struct Exchange {
    id: Id,
    shared: Arc<Shared>,
    /// Whether any of the body was read.
    begun: bool,
}

/// What an exchange and who controls it have in common.
#[derive(Default)]
struct Shared {
    stage: Mutex<Stage>,
    paused: AtomicBool,
    sent: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
enum Stage {
    /// It waits for the response's head.
    Head(Pin<Box<dyn Future<Output = Result<Head, Fault>> + Send>>),
    /// It reads the body.
    Body(Decoded),
    /// It is over, or was cancelled.
    #[default]
    Over,
}

impl Shared {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes its connection or stream.
    fn end(&self) {
        *self.stage() = Stage::Over;
        self.waker.wake();
    }
}

impl Stream for Exchange {
    type Item = Vec<Report>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let shared = &this.shared;
        shared.waker.register(context.waker());
        let mut stage = shared.stage();
        let most = if this.begun { TURN_BYTES } else { FIRST_TURN_BYTES };
        let mut read = 0;
        let mut reports = Vec::new();
        loop {
            let next = match &mut *stage {
                Stage::Head(head) => head.as_mut().poll(context).map(|answer| match answer {
                    Ok(Head { status, headers, body }) => {
                        (Report::Response(this.id, status, headers), Some(Stage::Body(body)))
                    }
                    Err(fault) => (Report::Failed(this.id, fault), Some(Stage::Over)),
                }),
                Stage::Body(_) if read >= most || shared.paused.load(Ordering::Relaxed) => Poll::Pending,
                Stage::Body(body) => body.poll_bytes(context).map(|bytes| match bytes {
                    Some(Ok(bytes)) => {
                        read += bytes.len();
                        (Report::Body(this.id, bytes), None)
                    }
                    Some(Err(error)) => (Report::Failed(this.id, body_error(&*error)), Some(Stage::Over)),
                    None => (Report::End(this.id), Some(Stage::Over)),
                }),
                Stage::Over => Poll::Pending,
            };
            // Before what came of it.
            if shared.sent.swap(false, Ordering::Relaxed) {
                reports.push(Report::Sent(this.id));
            }
            let Poll::Ready((report, then)) = next else { break };
            reports.push(report);
            if let Some(then) = then {
                *stage = then;
            }
        }
        this.begun |= read > 0;
        match (reports.is_empty(), &*stage) {
            (false, _) => Poll::Ready(Some(reports)),
            (true, Stage::Over) => Poll::Ready(None),
            (true, _) => Poll::Pending,
        }
    }
}

/// A response whose body is still to be read.
struct Head {
    status: u16,
    headers: HeaderMap,
    body: Decoded,
}

/// Makes the request and waits for the head of its response.
async fn head(client: HttpClient, route: Arc<Route>, request: wit::Request, sent: SentMark) -> Result<Head, Fault> {
    let answer = client.send(outgoing(request, sent)?).await.map_err(|error| route.request_error(&error))?;
    route.judge(answer.status)?;
    let (status, mut headers) = (answer.status, answer.headers);
    let body = Decoded::new(&mut headers, answer.body);
    Ok(Head { status, headers, body })
}

/// The engine's request as the client's.
fn outgoing(request: wit::Request, sent: SentMark) -> Result<Request<RequestBody>, Fault> {
    let unsendable = |why: &str| (wit::Failure::Unsendable, why.to_owned());
    let scheme = if request.https { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", request.authority, request.path);
    let url =
        url.parse().ok().or_else(|| normalised(&url)).ok_or_else(|| unsendable("the host does not accept the URL"))?;
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 4);
    let mut bytes = 0;
    for (name, value) in request.headers {
        bytes += name.len() + value.len();
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(unsendable("the host does not accept one of the request's headers"));
        };
        headers.append(name, value);
    }
    if bytes > MAX_HEADER_BYTES {
        return Err(unsendable("the request's headers are larger than 64 KiB"));
    }
    let body = if request.body.is_empty() {
        sent.set();
        RequestBody::default()
    } else {
        RequestBody::new(request.body, Some(sent))
    };
    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = match request.method {
        wit::Method::Get => Method::GET,
        wit::Method::Post => Method::POST,
        wit::Method::Delete => Method::DELETE,
    };
    *outgoing.uri_mut() = url;
    *outgoing.headers_mut() = headers;
    Ok(outgoing)
}

/// A URL with a name that is not ASCII, as name lookup and HTTP want it (RFC 5891).
fn normalised(url: &str) -> Option<Uri> {
    url::Url::parse(url).ok()?.as_str().parse().ok()
}

/// Tells that the body of an exchange's request was handed to the network.
#[derive(Clone)]
pub(crate) struct SentMark(Arc<Shared>);

impl SentMark {
    /// It was.
    pub(crate) fn set(&self) {
        self.0.sent.store(true, Ordering::Relaxed);
        self.0.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::HttpOptions;

    fn request(authority: &str, path: &str) -> wit::Request {
        wit::Request {
            exchange: 1,
            method: wit::Method::Get,
            https: false,
            authority: authority.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn sent_to(authority: &str, path: &str) -> Result<String, Fault> {
        outgoing(request(authority, path), SentMark(Arc::default())).map(|request| request.uri().to_string())
    }

    /// The server has the request and does not answer: by a cancellation, and with all others, the connection is closed.
    #[tokio::test(flavor = "current_thread")]
    async fn an_exchange_that_is_given_up_closes_its_connection() {
        for cancels in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let authority = listener.local_addr().expect("an address").to_string();
            let url = format!("http://{authority}/mcp");
            let client = HttpClient::new(&HttpOptions::default(), &url).expect("good options");
            let mut exchanges = Exchanges::new(client, &url);
            exchanges.start(request(&authority, "/mcp"));
            let accept = async {
                let mut socket = listener.accept().await.expect("a connection").0;
                assert!(socket.read(&mut [0; 1024]).await.expect("a request") > 0);
                socket
            };
            let report = async {
                loop {
                    let reports = poll_fn(|context| exchanges.poll(context)).await;
                    assert!(reports.iter().all(|report| matches!(report, Report::Sent(1))));
                }
            };
            let mut socket = tokio::select! {
                socket = accept => socket,
                () = report => unreachable!("it has no end"),
            };
            let kept = if cancels {
                exchanges.cancel(1);
                Some(exchanges)
            } else {
                drop(exchanges);
                None
            };
            let read = timeout(Duration::from_secs(10), socket.read(&mut [0; 1])).await.expect("it is closed");
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
            drop(kept);
        }
    }

    #[test]
    fn a_url_goes_out_as_http_takes_it() {
        assert_eq!(sent_to("h:9000", "/mcp?a=b").as_deref(), Ok("http://h:9000/mcp?a=b"));
        assert_eq!(sent_to("[::1]:9000", "/").as_deref(), Ok("http://[::1]:9000/"));
        assert_eq!(sent_to("bücher.example", "/mcp").as_deref(), Ok("http://xn--bcher-kva.example/mcp"));
        assert!(matches!(sent_to("a b", "/"), Err((wit::Failure::Unsendable, _))));
    }
}
