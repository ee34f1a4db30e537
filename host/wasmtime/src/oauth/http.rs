//! OAuth's own HTTP: nothing of the user's headers, no cookies, no redirects, and no private address that a server could name.

use std::future::poll_fn;
use std::net::{IpAddr, ToSocketAddrs};

use mcp_reconnect_core::oauth::{Method, Request, Response, is_private};
use tokio::sync::OnceCell;
use url::Url;

use crate::HttpOptions;
use crate::decode::Decoded;
use crate::dns::is_private_address;
use crate::http::{self, HttpClient};
use crate::http_error::reason;

/// What makes the requests.
#[derive(Debug)]
pub(super) struct Http {
    options: HttpOptions,
    server: Url,
    /// Whether the MCP server itself is at a private address, so that others may be.
    private: OnceCell<bool>,
}

/// Why a request came to nothing.
pub(super) struct Failed {
    pub detail: String,
    pub for_good: bool,
}

impl Http {
    pub(super) fn new(options: HttpOptions, server: &str) -> Result<Self, String> {
        let server = Url::parse(server).map_err(|error| error.to_string())?;
        Ok(Self { options, server, private: OnceCell::new() })
    }

    pub(super) async fn send(&self, request: Request) -> Result<Response, Failed> {
        let limit = request.timeout;
        match tokio::time::timeout(limit, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(Failed { detail: format!("no answer within {} s", limit.as_secs()), for_good: false }),
        }
    }

    async fn exchange(&self, request: Request) -> Result<Response, Failed> {
        let broken = |detail: String| Failed { detail, for_good: false };
        let refused = |detail: String| Failed { detail, for_good: true };
        let url = Url::parse(&request.url).map_err(|_| refused("its URL is not one".to_owned()))?;
        let same_origin = url.origin() == self.server.origin();
        let public_only = !same_origin && !self.server_is_private().await;
        if public_only && literal(&url).is_some_and(is_private) {
            return Err(refused("its address is in a private network".to_owned()));
        }
        let mut options = self.options.clone();
        if !same_origin {
            // These are about the MCP server, and its certificate is for nobody else.
            options.addresses.clear();
            options.client_certificate = None;
        }
        let client = HttpClient::for_oauth(&options, &request.url, public_only).map_err(|e| refused(e.to_string()))?;
        let (method, body) = match request.method {
            Method::Get => ("GET", Vec::new()),
            Method::Post => ("POST", request.body.0.into()),
        };
        let headers: Vec<_> = request.headers.into_iter().map(|(name, value)| (name, value.0)).collect();
        let outgoing = http::request(method, &request.url, &headers, body).map_err(refused)?;
        let answer = client.send(outgoing).await.map_err(|error| match is_private_address(error.cause()) {
            true => refused("its name leads to an address in a private network".to_owned()),
            false => broken(reason(error.cause())),
        })?;
        let (status, mut headers) = (answer.status, answer.headers);
        // An event stream has no end, and nothing but its head is wanted.
        let endless = headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let mut pieces = Decoded::new(&mut headers, answer.body);
        let headers = headers.iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let headers = headers.collect();
        let mut body = Vec::new();
        if endless {
            return Ok(Response { status, headers, body });
        }
        while let Some(bytes) = poll_fn(|context| pieces.poll_bytes(context)).await {
            let bytes = bytes.map_err(|error| broken(reason(&*error)))?;
            if body.len() + bytes.len() > request.max_body {
                return Err(refused(format!("its answer is over {} bytes", request.max_body)));
            }
            body.extend_from_slice(&bytes);
        }
        Ok(Response { status, headers, body })
    }

    /// Where the user chose a server in a private network, the others may be there too.
    async fn server_is_private(&self) -> bool {
        let look = || async {
            let (Some(host), Some(port)) = (self.server.host_str(), self.server.port_or_known_default()) else {
                return false;
            };
            if let Some(address) = literal(&self.server) {
                return is_private(address);
            }
            let name = (host.to_owned(), port);
            let found = tokio::task::spawn_blocking(move || name.to_socket_addrs());
            let found = found.await.ok().and_then(Result::ok);
            found.is_some_and(|mut addresses| addresses.any(|address| is_private(address.ip())))
        };
        *self.private.get_or_init(look).await
    }
}

/// The address in a URL that has one in place of a name.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use mcp_reconnect_core::oauth::RequestId;

    use super::*;

    fn get(url: &str) -> Request {
        Request {
            id: RequestId(1),
            method: Method::Get,
            url: url.to_owned(),
            headers: Vec::new(),
            body: String::new().into(),
            max_body: 1000,
            timeout: Duration::from_secs(10),
        }
    }

    /// Answers one connection with these bytes.
    fn serve(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    /// Nothing listens at these places, so that a request that was made would fail in another way: not for good.
    #[tokio::test]
    async fn no_address_of_a_private_network_for_a_public_server() {
        let http = Http::new(HttpOptions::default().no_proxy(), "https://93.184.216.34/mcp").unwrap();
        for url in [
            "https://127.0.0.1:1/x",
            "https://[::1]:1/x",
            "https://169.254.169.254/latest",
            "https://10.0.0.1/x",
            // A name, whose address is looked at when it is known.
            "https://localhost:1/x",
        ] {
            let failed = http.send(get(url)).await.expect_err("it is refused");
            assert!(failed.for_good && failed.detail.contains("private network"), "{url}: {}", failed.detail);
        }
        let own = Http::new(HttpOptions::default(), "http://localhost:1/mcp").unwrap();
        let failed = own.send(get("http://127.0.0.1:1/x")).await.expect_err("nobody listens");
        assert!(!failed.for_good, "{}", failed.detail);
    }

    #[tokio::test]
    async fn a_redirect_is_given_and_not_followed() {
        let port = serve("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
        let http = Http::new(HttpOptions::default(), &format!("http://127.0.0.1:{port}/mcp")).unwrap();
        let response = http.send(get(&format!("http://127.0.0.1:{port}/x"))).await.ok().expect("an answer");
        assert_eq!(response.status, 302);
    }

    #[tokio::test]
    async fn an_answer_is_bounded_and_an_event_stream_not_read() {
        let port = serve("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n0123456789");
        let http = Http::new(HttpOptions::default(), &format!("http://127.0.0.1:{port}/mcp")).unwrap();
        let failed =
            http.send(Request { max_body: 5, ..get(&format!("http://127.0.0.1:{port}/x")) }).await.err().unwrap();
        assert!(failed.for_good && failed.detail.contains("5 bytes"), "{}", failed.detail);
        let port = serve("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: for ever\n\n");
        let response = http.send(get(&format!("http://127.0.0.1:{port}/x"))).await.ok().expect("an answer");
        assert!(response.body.is_empty());
    }
}
