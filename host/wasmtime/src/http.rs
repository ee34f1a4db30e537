//! How the component's requests reach the network: a pooled client behind `wasi:http/outgoing-handler`.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Url};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::OpenError;
use crate::dns::Resolver;
use crate::http_error::{request_error, response_error};
use crate::tls;

/// How requests reach the network.
#[derive(Clone, Default)]
pub struct HttpOptions {
    pub(crate) proxy: ProxyChoice,
    pub(crate) ca_certificates: Vec<Vec<u8>>,
    connect_timeout: Option<Duration>,
}

#[derive(Clone, Default)]
pub(crate) enum ProxyChoice {
    #[default]
    Environment,
    None,
    Url(String),
}

impl HttpOptions {
    /// The proxy for all requests, as a URL (`http`, `https`). Default: what the environment says (`HTTPS_PROXY`,
    /// `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), and none for this machine itself.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = ProxyChoice::Url(url.into());
        self
    }

    /// No proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxyChoice::None;
        self
    }

    /// Trusts these certificate authorities too, in PEM. Default: those of the system (or of `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR`).
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates.push(pem.into());
        self
    }

    /// How long a connection may take to be made: name lookup, TCP, proxy and TLS. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }
}

impl fmt::Debug for HttpOptions {
    /// Leaves out the proxy's URL, which may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = match self.proxy {
            ProxyChoice::Environment => "environment",
            ProxyChoice::None => "none",
            ProxyChoice::Url(_) => "set",
        };
        formatter
            .debug_struct("HttpOptions")
            .field("proxy", &proxy)
            .field("ca_certificates", &self.ca_certificates.len())
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

/// A request body up to this size is gathered before it is sent, so that it leaves in one piece with its headers.
const GATHER_BYTES: u64 = 256 * 1024;

/// The connections of one [`crate::connect`].
pub(crate) struct HttpClient(pub(crate) Client);

impl HttpClient {
    /// A client for a server at `url`.
    pub(crate) fn new(options: &HttpOptions, url: &str) -> Result<Self, OpenError> {
        let invalid = |error: reqwest::Error| OpenError::InvalidOption(crate::http_error::chain(&error));
        let mut builder = Client::builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls::config(&options.ca_certificates)?)
            .dns_resolver(Resolver)
            // The component decides what a redirect means, and whether it may be followed.
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(options.connect_timeout.unwrap_or(Duration::from_secs(10)))
            .tcp_nodelay(true)
            // What finds a peer that is gone without a word: 15 s of silence, then three probes, also under unacknowledged data.
            .tcp_keepalive(Duration::from_secs(15))
            .tcp_keepalive_interval(Duration::from_secs(5))
            .tcp_keepalive_retries(3)
            // A long idle connection may be stale, and a request lost on it has an unknown outcome.
            .pool_idle_timeout(Duration::from_secs(30));
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        {
            builder = builder.tcp_user_timeout(Duration::from_secs(30));
        }
        builder = match &options.proxy {
            ProxyChoice::Environment if is_loopback(url) => builder.no_proxy(),
            ProxyChoice::Environment => builder,
            ProxyChoice::None => builder.no_proxy(),
            ProxyChoice::Url(proxy) => builder.no_proxy().proxy(Proxy::all(proxy).map_err(invalid)?),
        };
        Ok(Self(builder.build().map_err(invalid)?))
    }
}

/// Whether the URL names this machine. What else is wrong with it is for the component to say.
pub(crate) fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
        let client = self.0.clone();
        Box::new(async move {
            let request = outgoing(request).await?;
            let response = client.execute(request).await.map_err(|error| request_error(&error))?;
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
    fn this_machine_is_never_proxied() {
        for url in ["http://localhost:1/x", "https://a.localhost/", "http://127.3.2.1/", "http://[::1]:80/mcp"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["http://localhost.example/", "http://10.0.0.1/", "http://[2001:db8::1]/", "nonsense"] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn options_are_shown_without_passwords() {
        let shown = format!("{:?}", HttpOptions::default().proxy("http://me:secret@proxy.internal"));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn wrong_options_are_refused() {
        let url = "https://jarvis.internal/mcp";
        for options in [HttpOptions::default().proxy("::"), HttpOptions::default().ca_certificates("no PEM")] {
            assert!(matches!(HttpClient::new(&options, url), Err(OpenError::InvalidOption(_))));
        }
    }
}
