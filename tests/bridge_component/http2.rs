//! The HTTP clients of stock runtimes speak HTTP/1.1. A server that speaks HTTP/2 too is as good as any; one that speaks nothing else
//! cannot be used, and the error says so.

use serde_json::json;

use super::restart::support::bridge::{Bridge, text};
use super::restart::support::servers::{Kind, Server};
use super::restart::support::tls::{Authority, Front, Purpose};
use super::{jco, restart};

/// jco: Node's `fetch`, which can be given an authority.
#[test]
fn a_server_that_speaks_both_under_jco() {
    let (authority, kind) = (Authority::new("of jco"), Kind::EverythingHttp);
    let server = Server::started(kind);
    let front = Front::start(&authority.certify(&["127.0.0.1"], Purpose::Server), server.port(), &[]);
    let mut command = jco();
    command.arg(format!("https://127.0.0.1:{}/mcp", front.port()));
    let mut bridge = Bridge::command(command.env("NODE_EXTRA_CA_CERTS", authority.file.path()));
    bridge.initialize(json!({}));
    let call = bridge.request("tools/call", kind.echo("hello"));
    assert!(text(&bridge.result(&call)).contains("hello"));
    let requests = front.requests();
    assert!(!requests.is_empty() && requests.iter().all(|line| line.starts_with("1.1 ")), "{requests:?}");
    bridge.finish();
}

#[test]
fn a_server_that_speaks_http_2_only_under_jco() {
    let authority = Authority::new("of jco");
    let front = Front::start(&authority.certify(&["127.0.0.1"], Purpose::Server), 9, &[("HTTP_2", "1")]);
    let mut command = jco();
    command.arg(format!("https://127.0.0.1:{}/mcp", front.port()));
    must_say_so(command.env("NODE_EXTRA_CA_CERTS", authority.file.path()));
}

/// Wasmtime has authorities of its own: here without TLS.
#[test]
fn a_server_that_speaks_http_2_only() {
    let front = Front::start(&Authority::new("").certify(&["127.0.0.1"], Purpose::Server), 9, &[("PLAIN", "1")]);
    let mut command = restart::support::command();
    must_say_so(command.arg(format!("http://127.0.0.1:{}/mcp", front.port())));
}

fn must_say_so(command: &mut std::process::Command) {
    let mut bridge = Bridge::command(command.args(["--start-timeout", "off", "--hold-timeout", "1s"]));
    let initialize = bridge.begin_initialize(json!({}));
    let error = bridge.error(&initialize);
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("HTTP/2 only") && message.contains("offer HTTP/1.1"), "{error}");
    bridge.finish();
}
