//! HTTP as this host does it: connections that are used again, one way to the server, no redirects, no cookies, and errors by which
//! it can be told whether a request was sent.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use url::Url;

use crate::OpenError;
use crate::connect::{Connector, TimedOut};
use crate::dns::{self, Family, Resolver};
use crate::exchange::SentMark;
use crate::http_options::HttpOptions;
use crate::pool::{Http1, Http2, Origin, Pool, Pooled};
use crate::proxy::Proxy;
use crate::tls::{self, Identity};

/// Request bodies leave in pieces of this size, the first together with the headers.
const PIECE_BYTES: usize = 256 * 1024;

/// The most headers of a response.
pub(crate) const MAX_HEADERS: usize = 1000;

/// A request that got no answer for so long before it was given up leaves a connection behind that may be of no use any more.
const HUNG: Duration = Duration::from_secs(2);

/// How often a request goes out again that the server has said it did not process (RFC 9113, section 8.7).
const MAX_REFUSED: u32 = 2;

/// A client for one server. Clones share its connections.
#[derive(Clone)]
pub(crate) struct HttpClient(Arc<Inner>);

struct Inner {
    connector: Connector,
    pool: Arc<Pool>,
    family: Arc<Family>,
    identity: Arc<Identity>,
    proxy: Option<Proxy>,
    agent: HeaderValue,
}

impl HttpClient {
    /// A client for a server at `url`.
    pub(crate) fn new(options: &HttpOptions, url: &str) -> Result<Self, OpenError> {
        Self::build(options, url, false)
    }

    /// A client for an authorization server at `url`, which the MCP server named. With `public_only` no name may lead to an
    /// address of a private network; the address that was looked at is the one that is connected to.
    #[cfg(feature = "oauth")]
    pub(crate) fn for_oauth(options: &HttpOptions, url: &str, public_only: bool) -> Result<Self, OpenError> {
        Self::build(options, url, public_only)
    }

    fn build(options: &HttpOptions, url: &str, public_only: bool) -> Result<Self, OpenError> {
        let tls = tls::Setup::new(options)?;
        // What is wrong with the URL is for the engine to say.
        let url = Url::parse(url).ok();
        let proxy = url.as_ref().map(|url| Proxy::find(options, url)).transpose()?.flatten();
        let addresses = match &url {
            Some(url) => dns::overrides(&options.addresses, url, proxy.as_ref())?,
            None => Vec::new(),
        };
        let timeout = options.connect_timeout.unwrap_or(Duration::from_secs(10));
        let family = Arc::<Family>::default();
        let public_only = public_only && proxy.is_none();
        let resolver = Resolver { public_only, family: Arc::clone(&family), addresses: Arc::new(addresses) };
        let agent = HeaderValue::from_static(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        let connector = Connector::new(resolver, tls.config, proxy.clone(), timeout, agent.clone());
        let pool = Arc::<Pool>::default();
        Ok(Self(Arc::new(Inner { connector, pool, family, identity: tls.identity, proxy, agent })))
    }

    /// The proxy that stands between, if there is one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.0.proxy.as_ref()
    }

    /// What is known of client certificates.
    pub(crate) fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Makes a request, whose URL names scheme and host; gives its response as soon as there is a head. Dropping the future ends the
    /// exchange.
    pub(crate) async fn send(&self, mut request: Request<RequestBody>) -> Result<Answer, SendError> {
        let url = request.uri().clone();
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert_with(|| self.0.agent.clone());
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let origin = Origin::of(&url);
        let mut refused = 0;
        loop {
            let pooled = self.0.pool.take(&origin);
            let is_used = pooled.is_some();
            let connection = match pooled {
                Some(pooled) => pooled,
                None => self.connect(&url).await?,
            };
            let refusal = match connection {
                Pooled::Http1(connection) => self.send_by_http1(connection, request, &url).await,
                Pooled::Http2(connection) => self.send_by_http2(connection, request, &url).await,
            };
            request = match refusal {
                Ok(answer) => return Ok(answer),
                // It was closed while nobody used it.
                Err(Refusal::Unsent(request, _)) if is_used => request,
                Err(Refusal::Unsent(_, error)) => return Err(SendError::Unsent(error)),
                Err(Refusal::Unprocessed(request, _)) if refused < MAX_REFUSED => {
                    refused += 1;
                    request
                }
                Err(Refusal::Unprocessed(_, error) | Refusal::Broken(error)) => return Err(SendError::Broken(error)),
            }
        }
    }

    async fn connect(&self, url: &Uri) -> Result<Pooled, SendError> {
        let connection = self.0.connector.connect(url).await.map_err(SendError::from_connector)?;
        let address = connection.address;
        if connection.is_http2 {
            let made = http2::handshake(TokioExecutor::new(), connection.io).await;
            let (sender, connection) = made.map_err(|error| SendError::Connect(error.into()))?;
            tokio::spawn(async move {
                let _ = connection.await;
            });
            return Ok(Pooled::Http2(self.0.pool.share(Origin::of(url), sender, address)));
        }
        let made = http1::Builder::new().max_headers(MAX_HEADERS).handshake(connection.io).await;
        let (sender, connection) = made.map_err(|error| SendError::Connect(error.into()))?;
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(Pooled::Http1(Http1 { origin: Origin::of(url), sender, address }))
    }

    async fn send_by_http1(
        &self,
        mut connection: Http1,
        mut request: Request<RequestBody>,
        url: &Uri,
    ) -> Result<Answer, Refusal> {
        request.headers_mut().insert(HOST, host(url));
        // Without a tunnel the proxy is told where the request goes (RFC 9112, section 3.2.2).
        match self.proxy().filter(|proxy| url.scheme() == Some(&Scheme::HTTP) && !proxy.is_socks()) {
            Some(proxy) => {
                if let Some(credentials) = proxy.authorization() {
                    request.headers_mut().insert(PROXY_AUTHORIZATION, credentials);
                }
                *request.uri_mut() = url.clone();
            }
            None => {
                let path = url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
                *request.uri_mut() = Uri::from(path);
            }
        }
        match connection.sender.try_send_request(request).await {
            Ok(response) => Ok(self.answer(response, connection.address, Kept::Http1(connection))),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Refusal::Unsent(request, error.into_error()),
                None => Refusal::Broken(error.into_error()),
            }),
        }
    }

    async fn send_by_http2(
        &self,
        connection: Http2,
        mut request: Request<RequestBody>,
        url: &Uri,
    ) -> Result<Answer, Refusal> {
        request.headers_mut().remove(HOST);
        *request.uri_mut() = url.clone();
        *request.version_mut() = Version::HTTP_2;
        let again = request.clone();
        let mut sender = connection.sender.clone();
        let mut waiting = Waiting { client: self, connection, since: Instant::now(), answered: false };
        let result = sender.try_send_request(request).await;
        waiting.answered = true;
        match result {
            Ok(response) => {
                let connection = waiting.connection.clone();
                Ok(self.answer(response, connection.address, Kept::Http2(connection)))
            }
            Err(mut error) => {
                let is_unsent = error.take_message().is_some();
                let error = error.into_error();
                let refusal = match (is_unsent, is_unprocessed(&error)) {
                    (true, _) => Refusal::Unsent(again, error),
                    (false, true) => Refusal::Unprocessed(again, error),
                    (false, false) => return Err(Refusal::Broken(error)),
                };
                // Another one takes its place.
                self.0.pool.forget(&waiting.connection);
                Err(refusal)
            }
        }
    }

    fn answer(&self, response: http::Response<Incoming>, address: Option<IpAddr>, kept: Kept) -> Answer {
        if let Some(address) = address {
            self.0.family.answered(address);
        }
        let (head, incoming) = response.into_parts();
        let body = AnswerBody { incoming, kept: Some((kept, Arc::clone(&self.0.pool))) };
        Answer { status: head.status.as_u16(), version: head.version, headers: head.headers, body }
    }
}

impl fmt::Debug for HttpClient {
    /// Without what may be secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// A request on its way to its answer over HTTP/2. One that is given up before that, after some time, may have met a connection that
/// lives and takes nothing any more (its flow control has run dry, a proxy has forgotten it). HTTP/1.1 closes the connection of such
/// a request; that of HTTP/2 is used for no more.
struct Waiting<'a> {
    client: &'a HttpClient,
    connection: Http2,
    since: Instant,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered && self.since.elapsed() >= HUNG {
            self.client.0.pool.forget(&self.connection);
        }
    }
}

/// Why a connection gave no response.
enum Refusal {
    /// No byte of the request was written.
    Unsent(Request<RequestBody>, hyper::Error),
    /// The server says that it has done nothing about it.
    Unprocessed(Request<RequestBody>, hyper::Error),
    /// Nothing is known.
    Broken(hyper::Error),
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Connecting took too long.
    TimedOut,
    /// No connection could be made.
    Connect(Box<dyn Error + Send + Sync>),
    /// A new connection was closed before any byte of the request was written.
    Unsent(hyper::Error),
    /// Anything else: the request may have arrived.
    Broken(hyper::Error),
}

impl SendError {
    fn from_connector(error: Box<dyn Error + Send + Sync>) -> Self {
        if error.is::<TimedOut>() { Self::TimedOut } else { Self::Connect(error) }
    }

    /// What the network's library says.
    pub(crate) fn cause(&self) -> &(dyn Error + 'static) {
        match self {
            Self::TimedOut => &TimedOut,
            Self::Connect(error) => &**error,
            Self::Unsent(error) | Self::Broken(error) => error,
        }
    }
}

/// Whether the server says that it has done nothing about a request (RFC 9113, sections 6.8 and 8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>()) else { return false };
    let reason = error.reason();
    error.is_remote()
        && (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
            || error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
}

/// `Host`, without the scheme's own port (RFC 9110, section 7.2).
fn host(url: &Uri) -> HeaderValue {
    let host = url.host().unwrap_or_default();
    let own = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    match url.port_u16().filter(|port| *port != own) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
        None => HeaderValue::try_from(host),
    }
    // The URL was parsed.
    .unwrap_or(HeaderValue::from_static(""))
}

/// A request of a caller's own.
///
/// # Errors
///
/// Which part of it HTTP does not allow, for people.
pub(crate) fn request(
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> Result<Request<RequestBody>, String> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| "the method is not one of HTTP")?;
    // As the URL is read everywhere else: without a fragment, and with what is not ASCII escaped.
    let mut url = Url::parse(url).map_err(|_| "the URL is not one")?;
    url.set_fragment(None);
    let mut request = Request::new(RequestBody::new(body, None));
    *request.method_mut() = method;
    *request.uri_mut() = url.as_str().parse().map_err(|_| "the URL is not one")?;
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err("a header holds what HTTP does not allow".to_owned());
        };
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// The body of a request, which tells when it was taken.
#[derive(Clone, Default)]
pub(crate) struct RequestBody {
    rest: Bytes,
    sent: Option<SentMark>,
}

impl RequestBody {
    /// A body of these bytes.
    pub(crate) fn new(bytes: impl Into<Bytes>, sent: Option<SentMark>) -> Self {
        let rest = bytes.into();
        Self { rest, sent }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(next);
        if self.rest.is_empty()
            && let Some(sent) = self.sent.take()
        {
            sent.set();
        }
        Poll::Ready((next > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// The head of a response, and what follows.
pub(crate) struct Answer {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: AnswerBody,
}

/// What a body came by, kept until its end.
enum Kept {
    Http1(Http1),
    Http2(#[allow(dead_code, reason = "counted among its users")] Http2),
}

/// The body of a response, as it comes.
pub(crate) struct AnswerBody {
    incoming: Incoming,
    kept: Option<(Kept, Arc<Pool>)>,
}

impl AnswerBody {
    /// Its next bytes; none at its end.
    pub(crate) fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(error)) => {
                    self.kept = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.give_back();
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Leaves the connection to the next request.
    fn give_back(&mut self) {
        let Some((Kept::Http1(mut connection), pool)) = self.kept.take() else { return };
        if connection.sender.is_ready() {
            pool.put(connection);
        } else if !connection.sender.is_closed() {
            tokio::spawn(async move {
                if connection.sender.ready().await.is_ok() {
                    pool.put(connection);
                }
            });
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_refused() {
        let url = "https://jarvis.internal/mcp";
        let options = HttpOptions::default;
        for options in [
            options().proxy("::"),
            options().ca_certificates("no PEM"),
            options().client_certificate("no PEM", "no PEM"),
            options().addresses("other.internal", 443, [[127, 0, 0, 1].into()]),
        ] {
            assert!(matches!(HttpClient::new(&options, url), Err(OpenError::InvalidOption(_))), "{options:?}");
        }
    }

    #[test]
    fn the_port_of_the_scheme_is_not_named() {
        for (url, expected) in [
            ("http://h:80/mcp", "h"),
            ("https://h:443/mcp", "h"),
            ("http://h:443/mcp", "h:443"),
            ("https://h/mcp", "h"),
            ("http://[::1]:9000/mcp", "[::1]:9000"),
        ] {
            assert_eq!(host(&url.parse().expect("a URL")), expected, "{url}");
        }
    }
}
