//! Waits for the browser on the loopback interface (RFC 8252, section 7.3).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcp_reconnect_core::oauth::{CALLBACK_PATH, Page};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How long the last answer may take to reach the browser.
const FAREWELL: Duration = Duration::from_secs(1);

/// A visit of the redirect URI: the query, and where the answer goes.
pub(super) type Visit = (String, oneshot::Sender<Page>);

/// A server for one browser.
#[derive(Debug)]
pub(super) struct Listener {
    port: u16,
    visits: mpsc::Receiver<Visit>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    port: u16,
    visits: mpsc::Sender<Visit>,
}

impl Listener {
    /// Listens on this port, or on a free one for 0: on 127.0.0.1 and, where the same port is free there, on ::1, which
    /// some systems take `localhost` for.
    pub(super) async fn start(port: u16) -> Result<Self, String> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let v4 = v4.map_err(|error| format!("the port {port} of 127.0.0.1 cannot be listened on: {error}"))?;
        let port = v4.local_addr().map_err(|error| error.to_string())?.port();
        let v6 = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await.ok();
        // A few may come at once: the browser's own requests beside the one that counts.
        let (sender, visits) = mpsc::channel(4);
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().fallback(answer).with_state(Shared { port, visits: sender });
        let serve = |listener: TcpListener| {
            let (router, mut stopped) = (router.clone(), stopped.clone());
            tokio::spawn(async move {
                let until = async move {
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                let _ = axum::serve(listener, router).with_graceful_shutdown(until).await;
            })
        };
        let tasks = [Some(v4), v6].into_iter().flatten().map(serve).collect();
        Ok(Self { port, visits, stop, tasks })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The next visit. Cancel safe.
    pub(super) async fn visit(&mut self) -> Option<Visit> {
        self.visits.recv().await
    }

    /// Ends, once the browser has its answer.
    pub(super) async fn stop(mut self) {
        self.visits.close();
        let _ = self.stop.send(true);
        let tasks = std::mem::take(&mut self.tasks);
        let all = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, all).await;
    }
}

/// Only a GET of the redirect URI's path under a name of this machine is looked at: another site's page can have the browser
/// send others, also under that site's name (DNS rebinding).
async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    if request.method() != Method::GET || request.uri().path() != CALLBACK_PATH {
        return page(StatusCode::NOT_FOUND, "There is nothing here.");
    }
    if !is_own_host(request.headers(), shared.port) {
        return page(StatusCode::BAD_REQUEST, "This is not the address that was asked for.");
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (reply, answer) = oneshot::channel();
    if shared.visits.send((query, reply)).await.is_err() {
        return page(StatusCode::GONE, "Nobody waits here any more.");
    }
    match answer.await {
        Ok(Page::Received) => page(StatusCode::OK, "The sign-in has reached mcp-reconnect. You can close this window."),
        Ok(Page::Refused) => {
            page(StatusCode::BAD_REQUEST, "The sign-in has failed. What happened is said where mcp-reconnect runs.")
        }
        Ok(Page::NotExpected) => page(StatusCode::BAD_REQUEST, "This is not the answer that is waited for."),
        Err(_) => page(StatusCode::GONE, "Nobody waits here any more."),
    }
}

fn is_own_host(headers: &HeaderMap, port: u16) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| host.eq_ignore_ascii_case(&format!("{name}:{port}")))
}

/// The pages are always the same: nothing of a request is in them.
fn page(status: StatusCode, text: &'static str) -> Response {
    let mut response = (status, format!(
        "<!doctype html><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>mcp-reconnect</title><p>{text}"
    ))
        .into_response();
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("connection", "close"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(port: u16, start: &str, host: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let request = format!("{start} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn only_the_browser_that_is_waited_for() {
        let mut listener = Listener::start(0).await.unwrap();
        let port = listener.port();
        let own = format!("127.0.0.1:{port}");
        for (start, host, status) in [
            ("GET /", own.as_str(), 404),
            ("GET /favicon.ico", &own, 404),
            ("POST /callback?code=x", &own, 404),
            ("HEAD /callback?code=x", &own, 404),
            ("OPTIONS /callback", &own, 404),
            ("GET /callback/", &own, 404),
            ("GET /callback?code=x", "evil.example", 400),
            ("GET /callback?code=x", &format!("evil.example:{port}"), 400),
            ("GET /callback?code=x", "127.0.0.1", 400),
            ("GET /callback?code=x", "localhost:1", 400),
        ] {
            let text = ask(port, start, host).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{start} {host}: {text}");
            assert!(listener.visits.try_recv().is_err(), "{start} {host}");
        }
        for host in [own.clone(), format!("LOCALHOST:{port}"), format!("[::1]:{port}")] {
            let asked = tokio::spawn(async move { ask(port, "GET /callback?a=%3Cb%3E", &host).await });
            let (query, reply) = listener.visit().await.unwrap();
            assert_eq!(query, "a=%3Cb%3E");
            reply.send(Page::Received).unwrap();
            let text = asked.await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200 ") && !text.contains("%3C") && !text.contains("<b>"), "{text}");
            assert!(text.contains("referrer-policy: no-referrer") && text.contains("no-store"), "{text}");
        }
        listener.stop().await;
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err());
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let first = Listener::start(0).await.unwrap();
        let error = Listener::start(first.port()).await.unwrap_err();
        assert!(error.contains(&first.port().to_string()), "{error}");
        first.stop().await;
    }
}
