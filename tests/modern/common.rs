//! What the tests of MCP 2026-07-28 share.

use super::support::bridge::{Bridge, text};
use serde_json::{Value, json};

/// The version that this is about.
pub const MODERN: &str = "2026-07-28";

/// The key of a request's or notification's `_meta` under which its subscription's id stands.
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// `params` with what a modern client adds to every request.
pub fn modern(params: Value) -> Value {
    with_meta(params, json!({}))
}

/// The same, with more in `_meta`.
pub fn with_meta(mut params: Value, more: Value) -> Value {
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
pub fn tool(name: &str, arguments: Value) -> Value {
    modern(json!({"name": name, "arguments": arguments}))
}

/// Parameters of a modern `subscriptions/listen` to changes of the tools and of these resources.
pub fn listen(uris: &[&str]) -> Value {
    modern(json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": uris}}))
}

/// A bridge that has said nothing yet.
pub fn bridge(url: &str, options: &[&str]) -> Bridge {
    let mut arguments = vec![url, "--log", "debug"];
    arguments.extend_from_slice(options);
    Bridge::start(&arguments)
}

/// Waits for the acknowledgement of a subscription; `id` as JSON text.
pub fn acknowledged(bridge: &Bridge, id: &str) -> Value {
    let id: Value = serde_json::from_str(id).expect("an id");
    bridge.wait_for("an acknowledgement", |message| {
        message["method"] == "notifications/subscriptions/acknowledged"
            && message["params"]["_meta"][SUBSCRIPTION] == id
    })
}

/// Calls the scripted server's tool, and waits for the answer: what was on its way before has come by then.
pub fn barrier(bridge: &mut Bridge, mark: &str) {
    let answer = bridge.call("tools/call", tool("mark", json!({"mark": mark})));
    assert_eq!(text(&answer), mark);
}

/// The methods of what the bridge said for a subscription after a mark, acknowledgements included.
pub fn told(bridge: &Bridge, mark: usize, id: &str) -> Vec<String> {
    let id: Value = serde_json::from_str(id).expect("an id");
    let messages = bridge.messages();
    let of = messages.iter().skip(mark).filter(|message| message["params"]["_meta"][SUBSCRIPTION] == id);
    of.map(|message| message["method"].as_str().unwrap_or_default().to_owned()).collect()
}
