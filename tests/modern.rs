//! MCP 2026-07-28 on real software: the official SDKs' servers and clients of both eras, killed, restarted and replaced under
//! the built command; and a scripted modern server for what no real one does.

mod support;

#[path = "modern/credentials.rs"]
mod credentials;
#[path = "modern/eras.rs"]
mod eras;
#[path = "modern/hooks.rs"]
mod hooks;
#[path = "modern/hostile.rs"]
mod hostile;
#[path = "modern/matrix.rs"]
mod matrix;
#[path = "modern/requests.rs"]
mod requests;
#[path = "modern/scripted.rs"]
mod scripted;
#[path = "modern/servers.rs"]
mod servers;
#[path = "modern/streams.rs"]
mod streams;
#[path = "modern/subscriptions.rs"]
mod subscriptions;
#[path = "modern/translated.rs"]
mod translated;
#[path = "modern/waits.rs"]
mod waits;

use serde_json::{Value, json};
use support::bridge::{Bridge, text};

/// The version that this is about.
const MODERN: &str = "2026-07-28";

/// The key of a request's or notification's `_meta` under which its subscription's id stands.
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// `params` with what a modern client adds to every request.
fn modern(params: Value) -> Value {
    with_meta(params, json!({}))
}

/// The same, with more in `_meta`.
fn with_meta(mut params: Value, more: Value) -> Value {
    let mut meta = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "mcp-reconnect-tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    });
    for (key, value) in more.as_object().expect("an object") {
        meta[key] = value.clone();
    }
    params["_meta"] = meta;
    params
}

/// Parameters of a modern `tools/call`.
fn tool(name: &str, arguments: Value) -> Value {
    modern(json!({"name": name, "arguments": arguments}))
}

/// Parameters of a modern `subscriptions/listen` to changes of the tools and of these resources.
fn listen(uris: &[&str]) -> Value {
    modern(json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": uris}}))
}

/// A bridge that has said nothing yet.
fn bridge(url: &str, options: &[&str]) -> Bridge {
    let mut arguments = vec![url, "--log", "debug"];
    arguments.extend_from_slice(options);
    Bridge::start(&arguments)
}

/// Waits for the acknowledgement of a subscription; `id` as JSON text.
fn acknowledged(bridge: &Bridge, id: &str) -> Value {
    let id: Value = serde_json::from_str(id).expect("an id");
    bridge.wait_for("an acknowledgement", |message| {
        message["method"] == "notifications/subscriptions/acknowledged"
            && message["params"]["_meta"][SUBSCRIPTION] == id
    })
}

/// Calls the scripted server's tool, and waits for the answer: what was on its way before has come by then.
fn barrier(bridge: &mut Bridge, mark: &str) {
    let answer = bridge.call("tools/call", tool("mark", json!({"mark": mark})));
    assert_eq!(text(&answer), mark);
}

/// The methods of what the bridge said for a subscription after a mark, acknowledgements included.
fn told(bridge: &Bridge, mark: usize, id: &str) -> Vec<String> {
    let id: Value = serde_json::from_str(id).expect("an id");
    let messages = bridge.messages();
    let of = messages.iter().skip(mark).filter(|message| message["params"]["_meta"][SUBSCRIPTION] == id);
    of.map(|message| message["method"].as_str().unwrap_or_default().to_owned()).collect()
}
