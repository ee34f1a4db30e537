//! Servers that say nothing: frozen, behind a network that drops everything, or busy. And much traffic at once, and what a
//! user does by signals meanwhile. Real servers, both transports.

#[path = "liveness/herd.rs"]
mod herd;
mod support;

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mcp_reconnect::{HttpOptions, Options, connect};
use rustix::process::Signal;
use serde_json::json;
use socket2::SockRef;
use support::bridge::{Bridge, text};
use support::hole::Hole;
use support::script::Script;
use support::servers::{Kind, Server};
use support::{poll, scratch_file};

/// The heartbeat of these tests.
const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);
const HEARTBEAT: [&str; 4] = ["--heartbeat", "1s", "--heartbeat-timeout", "1s"];
/// What a machine that is busy with other tests may add to a time.
const SLACK: Duration = Duration::from_secs(3);
const OUTCOME_UNKNOWN: i64 = -31001;

/// Makes a test of each case for both transports.
macro_rules! both {
    ($($case:ident: $http:ident, $sse:ident;)*) => {
        $(mod $case {
            use super::*;
            #[test] fn http() { super::$case(Kind::$http); }
            #[test] fn sse() { super::$case(Kind::$sse); }
        })*
    };
}

both! {
    a_frozen_server_is_noticed_and_thaws: PythonHttp, EverythingSse;
    a_frozen_server_is_noticed_and_replaced: EverythingHttp, PythonSse;
    a_black_hole_is_noticed_and_heals: EverythingHttp, PythonSse;
    a_black_hole_is_noticed_and_the_server_replaced: RustHttp, RustSse;
    a_busy_server_is_suspected_and_left_alone: PythonHttp, PythonSse;
    a_strict_heartbeat_ends_a_busy_session: PythonHttp, PythonSse;
    a_hang_up_in_the_middle_of_calls: PythonHttp, PythonSse;
    a_thousand_calls_at_once: RustHttp, RustSse;
    the_status_during_an_outage: RustHttp, RustSse;
}

fn path(kind: Kind) -> &'static str {
    if kind.is_sse() { "sse" } else { "mcp" }
}

/// A bridge that has answered a call.
fn working(kind: Kind, url: &str, options: &[&str]) -> Bridge {
    let mut bridge = Bridge::connected(&[&[url, "--log", "debug"], options].concat());
    must_echo(&mut bridge, kind, "first");
    bridge
}

fn must_echo(bridge: &mut Bridge, kind: Kind, words: &str) {
    let said = bridge.tool(kind.echo(words));
    assert!(said.contains(words), "{said:?}");
}

/// Silence with nothing in flight: `disconnected` comes in interval + timeout.
fn must_notice(bridge: &Bridge, silence: impl FnOnce()) {
    let mark = bridge.log_mark();
    let start = Instant::now();
    silence();
    bridge.wait_for_log(mark, &["disconnected: "]);
    let took = start.elapsed();
    assert!(took < INTERVAL + TIMEOUT + SLACK, "noticed after {took:?} only");
}

/// A file that is not there, for [`block`]. Removed with the value.
struct Release(PathBuf);

impl Release {
    fn new() -> Self {
        Self(scratch_file("release"))
    }

    /// Lets the server go on.
    fn now(&self) {
        std::fs::write(&self.0, "").expect("the build folder is writable");
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A call that blocks the whole server until the file is there, and is running now.
fn block(bridge: &mut Bridge, server: &Server, release: &Path, mark: &str) -> String {
    let call =
        bridge.request("tools/call", json!({"name": "block_until", "arguments": {"path": release, "mark": mark}}));
    server.wait_for_mark(&format!("block {mark}"), 1);
    call
}

fn a_frozen_server_is_noticed_and_thaws(kind: Kind) {
    let server = Server::started(kind);
    let mut bridge = working(kind, &server.url(), &HEARTBEAT);
    must_notice(&bridge, || server.signal(Signal::STOP));
    let held = bridge.request("tools/call", kind.echo("held"));
    server.signal(Signal::CONT);
    assert!(text(&bridge.result(&held)).contains("held"));
    must_echo(&mut bridge, kind, "after");
    bridge.finish();
}

fn a_frozen_server_is_noticed_and_replaced(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(kind, &server.url(), &HEARTBEAT);
    must_notice(&bridge, || server.signal(Signal::STOP));
    let held = bridge.request("tools/call", kind.echo("held"));
    server.restart();
    assert!(text(&bridge.result(&held)).contains("held"));
    must_echo(&mut bridge, kind, "after");
    bridge.finish();
}

fn a_black_hole_is_noticed_and_heals(kind: Kind) {
    let server = Server::started(kind);
    let hole = Hole::before(server.port());
    let mut bridge = working(kind, &hole.url(path(kind)), &HEARTBEAT);
    must_notice(&bridge, || hole.swallow());
    let held = bridge.request("tools/call", kind.echo("held"));
    hole.heal();
    assert!(text(&bridge.result(&held)).contains("held"));
    must_echo(&mut bridge, kind, "after");
    bridge.finish();
}

fn a_black_hole_is_noticed_and_the_server_replaced(kind: Kind) {
    let mut server = Server::started(kind);
    let hole = Hole::before(server.port());
    let mut bridge = working(kind, &hole.url(path(kind)), &HEARTBEAT);
    must_notice(&bridge, || hole.swallow());
    let held = bridge.request("tools/call", kind.echo("held"));
    server.restart();
    hole.heal();
    assert!(text(&bridge.result(&held)).contains("held"));
    must_echo(&mut bridge, kind, "after");
    bridge.finish();
}

/// The tool blocks the server's event loop for longer than interval + timeout, so that pings go unanswered, twice.
fn a_busy_server_is_suspected_and_left_alone(kind: Kind) {
    let server = Server::started(kind);
    let mut bridge = working(kind, &server.url(), &HEARTBEAT);
    let release = Release::new();
    let mark = bridge.log_mark();
    let call = block(&mut bridge, &server, &release.0, "busy");
    let start = Instant::now();
    bridge.wait_for_log(mark, &["no sign of life from the server"]);
    let took = start.elapsed();
    assert!(took < INTERVAL + TIMEOUT + SLACK, "suspected after {took:?} only");
    let mark = bridge.log_mark();
    bridge.wait_for_log(mark, &["no sign of life from the server"]);
    assert!(!bridge.is_answered(&call));
    release.now();
    assert_eq!(text(&bridge.result(&call)), "released: busy");
    must_echo(&mut bridge, kind, "after");
    assert_eq!(server.count("block busy"), 1);
    assert!(!bridge.stderr().contains("disconnected"), "the session was given up:\n{}", bridge.stderr());
    bridge.finish();
}

fn a_strict_heartbeat_ends_a_busy_session(kind: Kind) {
    let server = Server::started(kind);
    let mut bridge = working(kind, &server.url(), &[&HEARTBEAT[..], &["--heartbeat-strict"]].concat());
    let release = Release::new();
    let mut call = String::new();
    must_notice_during(&mut bridge, |bridge| call = block(bridge, &server, &release.0, "busy"));
    let error = bridge.error(&call);
    assert_eq!(error["code"], OUTCOME_UNKNOWN, "{error}");
    release.now();
    must_echo(&mut bridge, kind, "after");
    assert_eq!(server.count("block busy"), 1);
    bridge.finish();
}

fn must_notice_during(bridge: &mut Bridge, silence: impl FnOnce(&mut Bridge)) {
    let mark = bridge.log_mark();
    silence(bridge);
    let start = Instant::now();
    bridge.wait_for_log(mark, &["disconnected: "]);
    let took = start.elapsed();
    assert!(took < INTERVAL + TIMEOUT + SLACK, "noticed after {took:?} only");
}

/// SIGHUP while a call that must not run twice and a request that may do are under way: one answer each, and a new session.
fn a_hang_up_in_the_middle_of_calls(kind: Kind) {
    let server = Server::started(kind);
    let mut bridge = working(kind, &server.url(), &["--heartbeat", "off"]);
    let release = Release::new();
    let unsafe_call = block(&mut bridge, &server, &release.0, "hang-up");
    // The server reads it when it is free again.
    let list = bridge.request("tools/list", json!({}));
    // Answered without the server, in the order of reading: now the list has been read too.
    bridge.refused("hello");
    let mark = bridge.log_mark();
    bridge.process().signal(Signal::HUP);
    bridge.wait_for_log(mark, &["a new session was asked for"]);
    release.now();
    assert!(bridge.result(&list)["tools"].is_array());
    let answer = bridge.answer(&unsafe_call);
    match answer.get("result") {
        // The answer of the old session came in time.
        Some(result) => assert_eq!(text(result), "released: hang-up"),
        None => assert_eq!(answer["error"]["code"], OUTCOME_UNKNOWN, "{answer}"),
    }
    must_echo(&mut bridge, kind, "after");
    bridge.wait_for_log(mark, &["new session"]);
    assert_eq!(server.count("block hang-up"), 1);
    bridge.finish();
}

/// A thousand calls, none of which waits for another: each has its own answer. (Node.js and Python's server close a connection
/// that was idle for 5 s. On a busy machine a call can fall into that, and then nobody knows whether it ran.)
fn a_thousand_calls_at_once(kind: Kind) {
    const CALLS: usize = 1000;
    /// Long enough for an interpreter on a busy machine; a call that waits for another's timeout takes longer.
    const BOUND: Duration = Duration::from_secs(60);
    let server = Server::started(kind);
    let mut bridge = working(kind, &server.url(), &[]);
    let from = bridge.mark();
    let ids: BTreeSet<String> =
        (0..CALLS).map(|n| bridge.request("tools/call", kind.echo(&format!("call-{n}-")))).collect();
    poll("a thousand answers", BOUND, || (bridge.mark() >= from + CALLS).then_some(()));
    let mut seen = BTreeSet::new();
    for message in bridge.messages().split_off(from) {
        let Some(result) = message.get("result") else { panic!("no result: {message}") };
        let said = text(result);
        let number = said.split("call-").nth(1).and_then(|rest| rest.split('-').next()).map(str::to_owned);
        assert!(seen.insert(number.expect("the words of a call")), "{said} came twice");
        assert!(ids.contains(&message["id"].to_string()), "{message}");
    }
    assert_eq!(seen.len(), CALLS);
    must_echo(&mut bridge, kind, "after");
    bridge.finish();
}

/// SIGUSR1 while the server is away.
fn the_status_during_an_outage(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(kind, &server.url(), &[]);
    let status = |bridge: &mut Bridge, words: &[&str]| {
        let mark = bridge.log_mark();
        bridge.process().signal(Signal::USR1);
        bridge.wait_for_log(mark, &["status: "]);
        let log = bridge.stderr();
        let line = log.lines().skip(mark).find(|line| line.contains("status: ")).expect("just seen").to_owned();
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    };
    status(&mut bridge, &["ready", "session 1", "0 in flight", "0 reconnects"]);
    let mark = bridge.log_mark();
    server.kill();
    bridge.wait_for_log(mark, &["disconnected", "trying again"]);
    let held = bridge.request("tools/call", kind.echo("held"));
    bridge.wait_for_log(mark, &["connection refused"]);
    // Answered without the server, in the order of reading: now the call has been read too.
    bridge.refused("hello");
    status(&mut bridge, &["1 queued", "1 in flight", "last error: no connection could be made"]);
    server.start();
    assert!(text(&bridge.result(&held)).contains("held"));
    status(&mut bridge, &["ready", "session 2", "0 in flight", "1 reconnects"]);
    bridge.finish();
}

/// What finds a peer that vanished under a call, where pings prove nothing: the options of the very sockets in use.
#[tokio::test]
async fn sockets_notice_that_their_peer_is_gone() {
    let server = Script::http().start();
    let options = Options::new(server.url()).http(HttpOptions::default().no_proxy());
    let (sender, mut receiver) = connect(options).await.expect("valid options");
    let params =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    sender.send(message.to_string()).await.expect("open");
    while !matches!(receiver.receive().await.expect("open"), mcp_reconnect::Event::Message(_)) {}
    sender.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await.expect("open");
    let (server, port) = tokio::task::spawn_blocking(move || {
        server.wait_for("GET", 1);
        let port = server.url().rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        (server, port.expect("the URL has a port"))
    })
    .await
    .expect("the stream is opened");
    let sockets = sockets_to(port, |socket| {
        assert!(socket.keepalive().unwrap(), "no keep-alive");
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(15));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
        assert!(socket.tcp_nodelay().unwrap());
    });
    assert!(sockets >= 1, "no connection to the server was found");
    sender.close().await;
    while receiver.receive().await.is_some() {}
    drop(server);
}

/// Looks at each socket of this process that is connected to a port; gives their number.
fn sockets_to(port: u16, judge: impl Fn(&SockRef<'_>)) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir("/proc/self/fd").expect("Linux has /proc") {
        let Some(number) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse().ok()) else { continue };
        // SAFETY: it is only asked what it is; should another thread close it meanwhile, the answer is an error.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let socket = SockRef::from(&descriptor);
        let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
        if peer.is_some_and(|peer| peer.port() == port) {
            judge(&socket);
            found += 1;
        }
    }
    found
}
