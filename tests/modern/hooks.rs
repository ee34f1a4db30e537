//! `--on-event` in MCP 2026-07-28: what a hook hears of a restart while a client listens, and what it is told of a server without
//! sessions.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::servers::{Kind, Server};
use super::support::bridge::{Bridge, VERSION, text};
use super::support::{PATIENCE, poll, scratch_file};
use super::{MODERN, acknowledged, bridge, listen, modern, tool};

/// A file that a hook writes to.
struct Heard(PathBuf);

impl Heard {
    fn new() -> Self {
        Self(scratch_file("heard"))
    }

    fn command(&self) -> String {
        format!("cat >> '{}'", self.0.display())
    }

    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        // The last line may be half written.
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.map(|line| serde_json::from_str(line).expect("an event is one line of JSON")).collect()
    }

    /// Waits for an event of this name, and gives the first.
    fn wait_for(&self, wanted: &str) -> Value {
        poll(wanted, PATIENCE, || self.events().into_iter().find(|event| event["hook_event_name"] == wanted))
    }

    fn names(&self) -> Vec<String> {
        self.events().iter().filter_map(|event| event["hook_event_name"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the hook heard: {:#?}", self.events());
        }
        let _ = std::fs::remove_file(&self.0);
    }
}

fn must_be(event: &Value, fields: Value) {
    for (key, value) in fields.as_object().expect("an object") {
        assert_eq!(&event[key], value, "{key} of {event}");
    }
}

/// Killed while a call runs and a subscription is open.
fn a_restart_as_the_hook_hears_it(kind: Kind, name: &str) {
    let heard = Heard::new();
    let mut server = Server::started(kind);
    let mut bridge = bridge(&server.url(), &["--on-event", &heard.command()]);
    bridge.call("server/discover", modern(json!({})));
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, r#""listen-1""#);
    let about = json!({
        "epoch": 1,
        "transport": "http",
        "protocol_version": MODERN,
        "server_name": name,
        "server_url": server.url(),
    });
    must_be(&heard.wait_for("McpServerConnected"), about.clone());

    let lost = bridge.request("tools/call", tool("slow", json!({"seconds": 600, "mark": "in-flight"})));
    server.wait_for_mark("slow in-flight", 1);
    let mark = bridge.mark();
    server.kill();
    assert_eq!(bridge.error(&lost)["code"], -31001);
    let unknown = heard.wait_for("McpRequestOutcomeUnknown");
    must_be(&unknown, json!({"method": "tools/call"}));
    assert!(unknown["accepted"].is_boolean() && unknown["reason"].is_string(), "{unknown}");
    let disconnected = heard.wait_for("McpServerDisconnected");
    must_be(&disconnected, json!({"epoch": 1}));
    assert!(disconnected["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{disconnected}");
    let reconnecting = heard.wait_for("McpServerReconnecting");
    assert!(reconnecting["attempt"].is_u64() && reconnecting["next_delay_ms"].is_u64(), "{reconnecting}");
    assert!(!heard.names().contains(&"McpServerReconnected".to_owned()), "it is still away");

    server.start();
    let reconnected = heard.wait_for("McpServerReconnected");
    must_be(&reconnected, about);
    must_be(&reconnected, json!({"new_session": false, "server_changed": false}));
    bridge.wait_for_method(mark, "notifications/resources/updated");
    assert_eq!(text(&bridge.call("tools/call", tool("echo", json!({"text": "after"})))), "Echo: after");
    let numbers: Vec<_> = heard.events().iter().filter_map(|event| event["sequence"].as_u64()).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
    bridge.cancel(r#""listen-1""#);
    bridge.finish();
}

#[test]
fn a_restart_of_the_python_sdk() {
    a_restart_as_the_hook_hears_it(Kind::Python, "python-modern");
}

#[test]
fn a_restart_of_the_typescript_sdk() {
    a_restart_as_the_hook_hears_it(Kind::TypeScriptOnly, "typescript-modern");
}

#[test]
fn a_restart_of_the_rust_sdk() {
    a_restart_as_the_hook_hears_it(Kind::Rust, "rust-modern");
}

/// Another server comes back in the place of the one that went.
#[test]
fn a_server_that_has_changed() {
    let heard = Heard::new();
    let mut server = Server::started(Kind::Python);
    let mut bridge = bridge(&server.url(), &["--on-event", &heard.command(), "--event", "McpServerReconnected"]);
    bridge.call("server/discover", modern(json!({})));
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, r#""listen-1""#);
    server.kill();
    bridge.wait_for_log(0, &["trying again"]);
    server.kind = Kind::TypeScriptOnly;
    server.start();
    let reconnected = heard.wait_for("McpServerReconnected");
    must_be(
        &reconnected,
        json!({"epoch": 2, "server_name": "typescript-modern", "new_session": false, "server_changed": true}),
    );
    assert_eq!(heard.names(), ["McpServerReconnected"], "one event was asked for");
    bridge.cancel(r#""listen-1""#);
    bridge.finish();
}

/// The session that a translated client has is told of as any other.
#[test]
fn a_translated_client() {
    let heard = Heard::new();
    let mut server = Server::started(Kind::TypeScriptOnly);
    let mut bridge = Bridge::connected(&[&server.url(), "--on-event", &heard.command()]);
    let about = json!({"transport": "http", "protocol_version": VERSION, "server_name": "typescript-modern"});
    must_be(&heard.wait_for("McpServerConnected"), about.clone());
    server.kill();
    heard.wait_for("McpServerDisconnected");
    heard.wait_for("McpServerReconnecting");
    server.start();
    let reconnected = heard.wait_for("McpServerReconnected");
    must_be(&reconnected, about);
    must_be(&reconnected, json!({"epoch": 2, "new_session": true, "server_changed": false}));
    assert_eq!(bridge.tool(json!({"name": "echo", "arguments": {"text": "after"}})), "Echo: after");
    bridge.finish();
}
