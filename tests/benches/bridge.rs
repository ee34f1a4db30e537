//! What the bridge costs, measured against the same calls made directly, in one run on one machine:
//! `cargo bench --bench bridge`. Prints a Markdown table.
//!
//! The server is a child process of this program (`serve`), as plain as can be, so that it is not what is measured.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::mpsc;

const STARTS: usize = 20;
const CALLS: usize = 2_000;
const MANY_CALLS: usize = 10_000;
const RESTARTS: usize = 8;
const DOWN: Duration = Duration::from_secs(2);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("serve") {
        let port = args[2].parse().expect("serve PORT");
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve(port));
        return;
    }
    println!("| figure | Streamable HTTP | HTTP+SSE |");
    println!("|---|---|---|");
    let http = measure("/mcp");
    let sse = measure("/sse");
    for ((name, http), (_, sse)) in http.into_iter().zip(sse) {
        println!("| {name} | {http} | {sse} |");
    }
    let size = mcp_reconnect::component_wasm().len();
    println!("\nComponent: {} KiB of WebAssembly.", size / 1024);
}

fn measure(path: &str) -> Vec<(&'static str, String)> {
    let port = free_port();
    let mut server = Server::start(port);
    let url = format!("http://127.0.0.1:{port}{path}");

    let mut starts: Vec<_> = (0..STARTS).map(|_| Bridge::start(&url).1).collect();

    let (mut bridge, _) = Bridge::start(&url);
    let mut direct = Direct::new(port);
    let idle = bridge.resident();
    for _ in 0..200 {
        bridge.call();
        direct.call();
    }
    let (mut bridged, mut straight) = (Vec::new(), Vec::new());
    for round in 0..CALLS {
        // A B, B A: neither side always profits from what the other warmed.
        if round % 2 == 0 {
            bridged.push(bridge.call());
            straight.push(direct.call());
        } else {
            straight.push(direct.call());
            bridged.push(bridge.call());
        }
    }
    for _ in 0..MANY_CALLS {
        bridge.call();
    }
    let after = bridge.resident();

    let mut recoveries: Vec<_> = (0..RESTARTS)
        .map(|_| {
            server.kill();
            let id = bridge.send_call();
            std::thread::sleep(DOWN);
            server = Server::start(port);
            let listening = Instant::now();
            bridge.receive(id);
            listening.elapsed()
        })
        .collect();

    vec![
        ("exec → `initialize` answered, median of 20", ms(quantile(&mut starts, 0.5))),
        ("a call, median", ms(quantile(&mut bridged, 0.5))),
        ("a call, p99", ms(quantile(&mut bridged, 0.99))),
        ("the same call made directly, median", ms(quantile(&mut straight, 0.5))),
        ("the same call made directly, p99", ms(quantile(&mut straight, 0.99))),
        ("added by the bridge, median", ms(quantile(&mut bridged, 0.5).saturating_sub(quantile(&mut straight, 0.5)))),
        ("resident memory, idle", format!("{:.1} MB", idle as f64 / 1e6)),
        ("resident memory after 12,200 calls", format!("{:.1} MB", after as f64 / 1e6)),
        ("server listens again → held call answered, median of 8", ms(quantile(&mut recoveries, 0.5))),
        ("the same, worst of 8", ms(quantile(&mut recoveries, 1.0))),
    ]
}

fn quantile(times: &mut [Duration], q: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * q).round() as usize]
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn call_text(id: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/read","params":{{"uri":"bench://{}"}}}}"#,
        "x".repeat(900)
    )
}

/// The command, driven over its pipes.
struct Bridge {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    next: u64,
}

impl Bridge {
    /// Starts it; the time is that from exec to the answer to `initialize`.
    fn start(url: &str) -> (Self, Duration) {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-reconnect"))
            .args(["--log", "off", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut bridge = Self { child, stdin, stdout, next: 1 };
        writeln!(bridge.stdin, "{INITIALIZE}").unwrap();
        bridge.receive(0);
        let time = began.elapsed();
        writeln!(bridge.stdin, "{INITIALIZED}").unwrap();
        (bridge, time)
    }

    fn send_call(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        let mut line = call_text(id);
        line.push('\n');
        self.stdin.write_all(line.as_bytes()).unwrap();
        id
    }

    /// Reads up to the answer to `id`; notifications pass by.
    fn receive(&mut self, id: u64) {
        let wanted = format!("\"id\":{id},");
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the bridge ended");
            if line.contains(&wanted) {
                assert!(line.contains("\"result\""), "{line}");
                return;
            }
        }
    }

    fn call(&mut self) -> Duration {
        let began = Instant::now();
        let id = self.send_call();
        self.receive(id);
        began.elapsed()
    }

    fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same call without a bridge: one kept-alive connection, nothing but the HTTP it takes.
struct Direct {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    url: String,
    next: u64,
}

impl Direct {
    fn new(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { runtime, client, url: format!("http://127.0.0.1:{port}/mcp"), next: 1_000_000 }
    }

    fn call(&mut self) -> Duration {
        self.next += 1;
        let body = call_text(self.next);
        let began = Instant::now();
        let text = self.runtime.block_on(async {
            let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
            request.send().await.unwrap().text().await.unwrap()
        });
        assert!(text.contains("\"result\""));
        began.elapsed()
    }
}

/// The server in a child process, so that it can be killed.
struct Server {
    child: Child,
}

impl Server {
    /// Returns when it listens.
    fn start(port: u16) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "listening");
        Self { child }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Streams = Arc<Mutex<HashMap<String, mpsc::Sender<Bytes>>>>;

async fn serve(port: u16) {
    let app = Router::new()
        .route("/mcp", post(streamable).get(|| async { StatusCode::METHOD_NOT_ALLOWED }).delete(|| async {}))
        .route("/sse", get(stream))
        .route("/messages", post(message))
        .with_state(Streams::default());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    println!("listening");
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |io| drop(io.set_nodelay(true))), app).await.unwrap();
}

/// The answer to a message, if it is a request.
fn answer(text: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(text).unwrap();
    let result = match message["method"].as_str()? {
        "initialize" => {
            r#"{"protocolVersion":"2025-06-18","capabilities":{"resources":{}},"serverInfo":{"name":"bench","version":"1"}}"#
                .to_string()
        }
        "ping" => "{}".to_string(),
        _ => format!(r#"{{"contents":[{{"text":"{}"}}]}}"#, "y".repeat(900)),
    };
    let id = message.get("id")?;
    Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

async fn streamable(headers: HeaderMap, body: String) -> Response {
    let session = format!("session-{}", std::process::id());
    if headers.get("mcp-session-id").is_some_and(|id| id != session.as_str()) {
        return (StatusCode::NOT_FOUND, "session not found").into_response();
    }
    match answer(&body) {
        Some(text) => {
            ([(header::CONTENT_TYPE.as_str(), "application/json"), ("mcp-session-id", &session)], text).into_response()
        }
        None => StatusCode::ACCEPTED.into_response(),
    }
}

async fn stream(State(streams): State<Streams>) -> Response {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(64);
    let id = format!("{}-{}", std::process::id(), streams.lock().unwrap().len());
    sender.send(format!("event: endpoint\ndata: /messages?sessionId={id}\n\n").into()).await.unwrap();
    streams.lock().unwrap().insert(id, sender);
    let events = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|bytes| bytes.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

async fn message(
    State(streams): State<Streams>,
    Query(query): Query<HashMap<String, String>>,
    body: String,
) -> StatusCode {
    let sender = streams.lock().unwrap().get(&query["sessionId"]).cloned();
    let Some(sender) = sender else { return StatusCode::NOT_FOUND };
    if let Some(text) = answer(&body) {
        let _ = sender.send(format!("event: message\ndata: {text}\n\n").into()).await;
    }
    StatusCode::ACCEPTED
}
