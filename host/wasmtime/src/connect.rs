//! How a connection to the server is made: name lookup, TCP, a proxy, TLS.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use http::uri::{Scheme, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::dns::Resolver;
use crate::proxy::Proxy;

type BoxError = Box<dyn Error + Send + Sync>;

/// Both directions of a connection.
pub(crate) trait Stream: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Stream for T {}

/// A connection that is ready for HTTP.
pub(crate) struct Connection {
    pub io: Box<dyn Stream>,
    /// The server has chosen HTTP/2 (RFC 7301).
    pub is_http2: bool,
    /// The address that it leads to, if no proxy stands between.
    pub address: Option<IpAddr>,
}

/// Connecting took too long.
#[derive(Debug)]
pub(crate) struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("connecting timed out")
    }
}

impl Error for TimedOut {}

/// Makes connections to one server.
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
    /// With the TLS of the connection to the proxy itself.
    proxy: Option<(Proxy, TlsConnector)>,
    timeout: Duration,
    agent: HeaderValue,
}

impl Connector {
    /// `timeout` bounds all that comes before the first request, in one.
    pub(crate) fn new(
        resolver: Resolver,
        tls: ClientConfig,
        proxy: Option<Proxy>,
        timeout: Duration,
        agent: HeaderValue,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        // What finds a peer that is gone without a word: 15 s of silence, then three probes, also under unacknowledged data.
        tcp.set_keepalive(Some(Duration::from_secs(15)));
        tcp.set_keepalive_interval(Some(Duration::from_secs(5)));
        tcp.set_keepalive_retries(Some(3));
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        tcp.set_tcp_user_timeout(Some(Duration::from_secs(30)));
        let proxy = proxy.map(|proxy| {
            let mut tls = tls.clone();
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            (proxy, Arc::new(tls).into())
        });
        Self { tcp, tls: Arc::new(tls).into(), proxy, timeout, agent }
    }

    /// Makes a connection for requests to this URL.
    pub(crate) async fn connect(&self, url: &Uri) -> Result<Connection, BoxError> {
        match tokio::time::timeout(self.timeout, self.attempt(url)).await {
            Ok(result) => result,
            Err(_) => Err(TimedOut.into()),
        }
    }

    async fn attempt(&self, url: &Uri) -> Result<Connection, BoxError> {
        let is_secure = url.scheme() == Some(&Scheme::HTTPS);
        let Some((proxy, tls)) = &self.proxy else {
            let tcp = self.tcp.clone().call(url.clone()).await?;
            let address = tcp.inner().peer_addr().ok().map(|address| address.ip());
            return match is_secure {
                true => secure(&self.tls, url, tcp.into_inner(), address).await,
                false => Ok(Connection { io: Box::new(tcp), is_http2: false, address }),
            };
        };
        let to_proxy = ToProxy { tcp: self.tcp.clone(), tls: tls.clone() };
        let io = if proxy.is_socks() {
            let mut socks = SocksV5::new(proxy.url(), to_proxy).local_dns(proxy.resolves_names_here());
            if let Some((user, password)) = proxy.user_and_password() {
                socks = socks.with_auth(user, password);
            }
            socks.call(url.clone()).await?
        } else if is_secure {
            let mut tunnel = Tunnel::new(proxy.url(), to_proxy);
            if let Some(credentials) = proxy.authorization() {
                tunnel = tunnel.with_auth(credentials);
            }
            let headers = HeaderMap::from_iter([(USER_AGENT, self.agent.clone())]);
            tunnel.with_headers(headers).call(url.clone()).await?
        } else {
            { to_proxy }.call(proxy.url()).await?
        };
        match is_secure {
            true => secure(&self.tls, url, TokioIo::new(io), None).await,
            false => Ok(Connection { io, is_http2: false, address: None }),
        }
    }
}

/// Makes the TLS handshake with the server of a URL.
async fn secure<T>(tls: &TlsConnector, url: &Uri, io: T, address: Option<IpAddr>) -> Result<Connection, BoxError>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let io = tls.connect(server_name(url)?, io).await?;
    let is_http2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Connection { io: Box::new(TokioIo::new(io)), is_http2, address })
}

fn server_name(url: &Uri) -> Result<ServerName<'static>, BoxError> {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    Ok(ServerName::try_from(host.to_owned())?)
}

/// Connects to a proxy, by TLS where its URL says `https`.
struct ToProxy {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
}

impl Service<Uri> for ToProxy {
    type Response = Box<dyn Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let (mut tcp, tls) = (self.tcp.clone(), self.tls.clone());
        Box::pin(async move {
            let io = tcp.call(proxy.clone()).await?;
            if proxy.scheme() != Some(&Scheme::HTTPS) {
                return Ok(Box::new(io) as Box<dyn Stream>);
            }
            Ok(secure(&tls, &proxy, io.into_inner(), None).await?.io)
        })
    }
}
