//! Single HTTP requests and TLS handshakes, made the way a connection with the same [`HttpOptions`] makes its own: the same
//! proxies, certificates and name lookup. For programs that find out how a server behaves, as `mcp-reconnect check` does;
//! what to ask, and what an answer means, says `mcp_reconnect_core::diagnosis`.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use url::Url;

use crate::decode::Decoded;
use crate::http::{self, HttpClient};
use crate::http_error::reason;
use crate::proxy::Proxy;
use crate::{HttpOptions, OpenError, dns, tls};

/// A client for single requests.
#[derive(Clone, Debug)]
pub struct Probe {
    client: HttpClient,
    decodes: bool,
}

/// A response whose body is still to be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The version of HTTP, as `HTTP/1.1`.
    pub version: String,
    body: Decoded,
}

impl Probe {
    /// A client for a server at `url`.
    ///
    /// # Errors
    ///
    /// [`OpenError::InvalidOption`] and [`OpenError::Component`], as [`crate::connect`].
    pub fn new(options: &HttpOptions, url: &str) -> Result<Self, OpenError> {
        HttpClient::new(options, url).map(|client| Self { client, decodes: true })
    }

    /// The same, whose responses are given as they come: a `Content-Encoding` stays, and the body is not decoded.
    ///
    /// # Errors
    ///
    /// As [`Probe::new`].
    pub fn undecoded(options: &HttpOptions, url: &str) -> Result<Self, OpenError> {
        HttpClient::new(options, url).map(|client| Self { client, decodes: false })
    }

    /// Makes one request and waits for the head of its response, without a bound on time. Redirects are not followed.
    ///
    /// # Errors
    ///
    /// Why there is no response, for people, without the URL.
    pub async fn request(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: Vec<u8>,
    ) -> Result<Response, String> {
        let request = http::request(method, url, headers, body)?;
        let answer = self.client.send(request).await.map_err(|error| reason(error.cause()))?;
        let (status, version, mut headers) = (answer.status, format!("{:?}", answer.version), answer.headers);
        let body = if self.decodes { Decoded::new(&mut headers, answer.body) } else { Decoded::Plain(answer.body) };
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        Ok(Response { status, headers, version, body })
    }
}

impl Response {
    /// The next bytes of the body; `None` at its end. Cancelling it loses nothing.
    ///
    /// # Errors
    ///
    /// Why the body broke off, for people.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, String> {
        let bytes = poll_fn(|context| self.body.poll_bytes(context)).await.transpose();
        bytes.map(|bytes| bytes.map(|bytes| bytes.to_vec())).map_err(|error| reason(&*error))
    }
}

/// What a TLS handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFacts {
    /// The version, as `TLS 1.3`.
    pub version: String,
    /// The application protocol (ALPN), as `h2`; `None` where the server chose none.
    pub alpn: Option<String>,
    /// The cipher suite, by its name in rustls.
    pub cipher_suite: String,
    /// The server's certificate, DER.
    pub certificate: Vec<u8>,
}

/// Makes a TLS handshake with the server at `url` and hangs up. `None` where there is nothing to see: the URL is not
/// `https`, or a proxy stands between.
///
/// # Errors
///
/// What went wrong, for people.
pub async fn tls_facts(options: &HttpOptions, url: &str, limit: Duration) -> Result<Option<TlsFacts>, String> {
    let url = Url::parse(url).map_err(|_| "the URL is not one".to_owned())?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(None) };
    if url.scheme() != "https" {
        return Ok(None);
    }
    if Proxy::find(options, &url).map_err(|error| error.to_string())?.is_some() {
        return Ok(None);
    }
    let config = tls::Setup::new(options).map_err(|error| error.to_string())?.config;
    let given = dns::overrides(&options.addresses, &url, None).map_err(|error| error.to_string())?;
    let given = given.into_iter().flat_map(|(_, addresses)| addresses).map(|address| (address.ip(), port).into());
    let given: Vec<SocketAddr> = given.collect();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    // The blocking calls are bounded, so that an abandoned thread ends soon.
    tokio::task::spawn_blocking(move || handshake(&host, port, &given, config, Instant::now() + limit))
        .await
        .map_err(|error| error.to_string())?
        .map(Some)
}

/// `given` takes the place of a name lookup.
fn handshake(
    host: &str,
    port: u16,
    given: &[SocketAddr],
    config: rustls::ClientConfig,
    end: Instant,
) -> Result<TlsFacts, String> {
    let left = || end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let name = ServerName::try_from(host.to_owned()).map_err(|_| "the host's name cannot be in a certificate")?;
    let addresses = match given {
        [] => (host, port).to_socket_addrs().map_err(|error| error.to_string())?.collect(),
        given => given.to_vec(),
    };
    let mut socket = Err("the name has no address".to_owned());
    for address in addresses {
        socket = TcpStream::connect_timeout(&address, left()).map_err(|error| error.to_string());
        if socket.is_ok() {
            break;
        }
    }
    let mut socket = socket?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        let timeout = Some(left());
        socket.set_read_timeout(timeout).and_then(|()| socket.set_write_timeout(timeout)).map_err(|e| e.to_string())?;
        connection.complete_io(&mut socket).map_err(|error| error.to_string())?;
        if Instant::now() >= end {
            return Err("the handshake took too long".to_owned());
        }
    }
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        other => format!("{other:?}"),
    };
    let facts = TlsFacts {
        version,
        alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        cipher_suite: connection
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        certificate: connection.peer_certificates().and_then(<[_]>::first).map(|der| der.to_vec()).unwrap_or_default(),
    };
    connection.send_close_notify();
    // The answer is known; nobody waits for the farewell.
    let _ = connection.complete_io(&mut socket);
    Ok(facts)
}
