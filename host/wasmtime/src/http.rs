//! How the component's requests reach the network: a pooled client behind `wasi:http/outgoing-handler`.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::OpenError;
use crate::dns::{self, Family, Resolver};
use crate::http_error::{Route, response_error};
use crate::http_options::HttpOptions;
use crate::proxy::Proxy;
use crate::tls;

/// A request body up to this size is gathered before it is sent, so that it leaves in one piece with its headers.
const GATHER_BYTES: u64 = 256 * 1024;

/// The most headers of a response.
pub(crate) const MAX_HEADERS: usize = 1000;

/// A request that got no answer for so long before it was given up leaves a connection behind that may be of no use any more.
const HUNG: Duration = Duration::from_secs(2);

/// The connections of one [`crate::connect`]. Clones share them.
#[derive(Clone)]
pub(crate) struct HttpClient {
    connections: Arc<Connections>,
    route: Arc<Route>,
    posts: Arc<AtomicU64>,
}

/// A pool of connections, and how to get another one.
struct Connections {
    family: Arc<Family>,
    client: Mutex<Client>,
    make: Box<dyn Fn() -> reqwest::Result<Client> + Send + Sync>,
}

impl Connections {
    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on requests get connections of their own. Those that are out keep theirs.
    fn renew(&self) {
        if let Ok(client) = (self.make)() {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        }
    }
}

/// A request on its way to its answer. One that is given up before that, after some time, may have met a connection of HTTP/2 that
/// lives and takes nothing any more (its flow control has run dry, a proxy has forgotten it): HTTP/1.1 closes the connection of such
/// a request, HTTP/2 would use it for all that follow.
struct Waiting {
    connections: Arc<Connections>,
    since: Instant,
    answered: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered && self.since.elapsed() >= HUNG {
            self.connections.renew();
        }
    }
}

impl HttpClient {
    /// A client for a server at `url`.
    pub(crate) fn new(options: &HttpOptions, url: &str) -> Result<Self, OpenError> {
        Self::with_resolver(options, url, false)
    }

    /// The client for single requests of [`crate::probe`].
    pub(crate) fn client(&self) -> Client {
        self.connections.client()
    }

    /// A client that gives the bodies of responses as they come, compressed ones too.
    pub(crate) fn undecoded(options: &HttpOptions, url: &str) -> Result<Self, OpenError> {
        Self::build(options, url, false, true)
    }

    /// A client for an authorization server at `url`, which the MCP server named. With `public_only` no name may lead to an
    /// address of a private network; the address that was looked at is the one that is connected to.
    #[cfg(feature = "oauth")]
    pub(crate) fn for_oauth(options: &HttpOptions, url: &str, public_only: bool) -> Result<Self, OpenError> {
        Self::with_resolver(options, url, public_only)
    }

    fn with_resolver(options: &HttpOptions, url: &str, public_only: bool) -> Result<Self, OpenError> {
        Self::build(options, url, public_only, false)
    }

    fn build(options: &HttpOptions, url: &str, public_only: bool, undecoded: bool) -> Result<Self, OpenError> {
        let invalid = |error: reqwest::Error| OpenError::InvalidOption(crate::http_error::chain(&error));
        let tls = tls::Setup::new(options)?;
        // What is wrong with the URL is for the component to say.
        let url = Url::parse(url).ok();
        let proxy = url.as_ref().map(|url| Proxy::find(options, url)).transpose()?.flatten();
        let through = proxy.as_ref().map(Proxy::for_client).transpose().map_err(invalid)?;
        let addresses = match &url {
            Some(url) => dns::overrides(&options.addresses, url, proxy.as_ref())?,
            None => Vec::new(),
        };
        let connect_timeout = options.connect_timeout.unwrap_or(Duration::from_secs(10));
        let public_only = public_only && proxy.is_none();
        let family = Arc::<Family>::default();
        let known = Arc::clone(&family);
        let make = move || {
            let mut builder = Client::builder()
                .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
                .tls_backend_preconfigured(tls.config.clone())
                .dns_resolver(Resolver { public_only, family: Arc::clone(&known) })
                // The component decides what a redirect means, and whether it may be followed.
                .redirect(Policy::none())
                .referer(false)
                .connect_timeout(connect_timeout)
                .tcp_nodelay(true)
                .http1_max_headers(MAX_HEADERS)
                // What finds a peer that is gone without a word: 15 s of silence, then three probes, also under unacknowledged data.
                .tcp_keepalive(Duration::from_secs(15))
                .tcp_keepalive_interval(Duration::from_secs(5))
                .tcp_keepalive_retries(3)
                // Node.js and uvicorn hang up after 5 s without a request; one that meets the hang-up has an unknown outcome.
                .pool_idle_timeout(Duration::from_secs(4))
                .no_proxy();
            #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
            {
                builder = builder.tcp_user_timeout(Duration::from_secs(30));
            }
            if undecoded {
                builder = builder.no_gzip().no_deflate().no_brotli();
            }
            if let Some(proxy) = &through {
                builder = builder.proxy(proxy.clone());
            }
            for (host, addresses) in &addresses {
                builder = builder.resolve_to_addrs(host, addresses);
            }
            builder.build()
        };
        let https = url.is_some_and(|url| url.scheme() == "https");
        let route = Arc::new(Route { identity: tls.identity, proxy, https, answered: AtomicBool::new(false) });
        let client = Mutex::new(make().map_err(invalid)?);
        let connections = Arc::new(Connections { family, client, make: Box::new(make) });
        Ok(Self { connections, route, posts: Arc::default() })
    }

    /// How many POSTs the component has asked for.
    pub(crate) fn posts(&self) -> u64 {
        self.posts.load(Ordering::Relaxed)
    }
}

type Background = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for HttpClient {
    /// The client sets it, as the protocol in use wants it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Background,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Background), Error>> + Send> {
        if request.method() == http::Method::POST {
            self.posts.fetch_add(1, Ordering::Relaxed);
        }
        let (connections, route) = (Arc::clone(&self.connections), Arc::clone(&self.route));
        Box::new(async move {
            let request = outgoing(request).await?;
            let client = connections.client();
            let mut waiting = Waiting { connections, since: Instant::now(), answered: false };
            let response = client.execute(request).await;
            waiting.answered = true;
            let response = response.map_err(|error| route.request_error(&error))?;
            if let Some(from) = response.remote_addr() {
                waiting.connections.family.answered(from.ip());
            }
            route.judge(response.status())?;
            let response = http::Response::<reqwest::Body>::from(response)
                .map(|body| body.map_err(|error| response_error(&error)).boxed_unsync());
            Ok((response, Box::new(async { Ok(()) }) as Background))
        })
    }
}

/// The component's request as the client's.
async fn outgoing(request: http::Request<WasiBody>) -> Result<reqwest::Request, Error> {
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let mut outgoing = reqwest::Request::new(parts.method, url);
    if !body.is_end_stream() {
        let length = parts.headers.get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        *outgoing.body_mut() = Some(match length {
            // The component cannot have written more: the length is checked on its way here.
            Some(length) if length <= GATHER_BYTES => body.collect().await?.to_bytes().into(),
            _ => reqwest::Body::wrap(SharedBody(Mutex::new(body))),
        });
    }
    *outgoing.headers_mut() = parts.headers;
    Ok(outgoing)
}

/// A body that may be shared between threads, as the client wants it; it is only ever polled by one.
struct SharedBody(Mutex<WasiBody>);

impl Body for SharedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let body = self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        Pin::new(body).poll_frame(context)
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
}
