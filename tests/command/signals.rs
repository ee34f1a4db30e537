//! Signals, which the command hears of and its component does not.

use rustix::process::Signal;
use serde_json::json;

use crate::support::bridge::{Bridge, text};
use crate::support::script::Script;
use crate::support::servers::{Kind, Server};

/// In the midst of a session, and when the server is away.
fn sigterm_ends_the_bridge(kind: Kind) {
    let mut server = Server::started(kind);
    working(&server).terminate();
    let mut bridge = working(&server);
    let mark = bridge.log_mark();
    server.kill();
    bridge.wait_for_log(mark, &["broke off", "a request failed", "trying again"]);
    bridge.request("tools/call", kind.echo("held"));
    // Answered in the order of reading: now the call has been read too.
    bridge.call("ping", json!({}));
    bridge.terminate();
}

fn working(server: &Server) -> Bridge {
    let mut bridge = Bridge::connected(&[&server.url(), "--log", "debug"]);
    assert!(bridge.tool(server.kind.echo("first")).contains("first"));
    bridge
}

#[test]
fn sigterm_everything_http() {
    sigterm_ends_the_bridge(Kind::EverythingHttp);
}

#[test]
fn sigterm_everything_sse() {
    sigterm_ends_the_bridge(Kind::EverythingSse);
}

#[test]
fn sigterm_python_http() {
    sigterm_ends_the_bridge(Kind::PythonHttp);
}

#[test]
fn sigterm_python_sse() {
    sigterm_ends_the_bridge(Kind::PythonSse);
}

#[test]
fn sigterm_rust_http() {
    sigterm_ends_the_bridge(Kind::RustHttp);
}

#[test]
fn sigterm_rust_sse() {
    sigterm_ends_the_bridge(Kind::RustSse);
}

/// SIGHUP: a new session now, and the old one is given back first.
#[test]
fn a_reconnect_on_demand() {
    let server = Script::http().start();
    let mut bridge = Bridge::connected(&[&server.url()]);
    must_run_once(&mut bridge, "before");
    let mark = bridge.mark();
    bridge.process().signal(Signal::HUP);
    server.wait_for("initialize", 2);
    bridge.wait_for_method(mark, "notifications/tools/list_changed");
    must_run_once(&mut bridge, "after");
    assert_eq!((server.executions("before"), server.executions("after")), (1, 1));
    let order: Vec<_> = server.records().into_iter().map(|record| record.kind).collect();
    let delete = order.iter().position(|kind| kind == "DELETE").expect("the old session is deleted");
    let initialize = order.iter().rposition(|kind| kind == "initialize").expect("just seen");
    assert!(delete < initialize, "{order:?}");
    bridge.finish();
}

fn must_run_once(bridge: &mut Bridge, mark: &str) {
    let call = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": mark}}));
    assert_eq!(text(&bridge.result(&call)), mark);
}
