//! Requests of MCP 2026-07-28 at real servers: what happens to them at a restart, and their headers.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::servers::{Kind, Server};
use super::support::bridge::{Bridge, text};
use super::support::command;
use super::support::process::Process;
use super::{bridge, modern, tool};

/// A key that outlives the process.
const KEY: [&str; 2] = ["--key", "one key for all processes, 32 bytes"];

fn route(bridge: &mut Bridge, region: &str, mark: &str) -> String {
    text(&bridge.call("tools/call", tool("route", json!({"region": region, "mark": mark}))))
}

/// The state is the client's to bring back: to a new process as well, if that can read it.
#[test]
fn a_flow_of_several_rounds_outlives_its_server() {
    for kind in [Kind::Python, Kind::TypeScript, Kind::FastMcp] {
        let mut server = Server::with(kind, &KEY);
        let mut bridge = bridge(&server.url(), &[]);
        let asked = bridge.call("tools/call", tool("confirm", json!({"mark": "m"})));
        assert_eq!(asked["resultType"], "input_required", "{kind:?}: {asked}");
        server.restart();
        let done = bridge.call("tools/call", answered(&asked));
        assert_eq!(text(&done), "confirmed: m", "{kind:?}");
        assert_eq!((server.count("asked m"), server.count("confirmed m")), (1, 1), "{kind:?}");
        bridge.finish();
    }
}

/// A server that cannot read its predecessor's state says so, and the client hears that. The flow does not begin anew.
#[test]
fn a_flow_whose_state_the_new_server_cannot_read() {
    for kind in [Kind::Python, Kind::TypeScript] {
        let mut server = Server::started(kind);
        let mut bridge = bridge(&server.url(), &[]);
        let asked = bridge.call("tools/call", tool("confirm", json!({"mark": "m"})));
        server.restart();
        let call = bridge.request("tools/call", answered(&asked));
        let error = bridge.error(&call);
        assert_eq!(error["code"], -32602, "{kind:?}: {error}");
        assert_eq!(error["data"]["reason"], "invalid_request_state", "{kind:?}: {error}");
        assert_eq!((server.count("asked m"), server.count("confirmed m")), (1, 0), "{kind:?}");
        bridge.finish();
    }
}

/// The second round of `confirm`.
fn answered(asked: &Value) -> Value {
    let mut params = tool("confirm", json!({"mark": "m"}));
    params["inputResponses"] = json!({"confirm": {"action": "accept", "content": {"confirm": true}}});
    params["requestState"] = asked["requestState"].clone();
    params
}

/// What is safe to repeat is repeated; the server is stopped, so that it cannot answer before it is killed.
#[test]
fn a_list_in_flight_is_answered() {
    for kind in [Kind::Python, Kind::TypeScriptOnly] {
        let mut server = Server::started(kind);
        let mut bridge = bridge(&server.url(), &[]);
        bridge.call("server/discover", modern(json!({})));
        server.signal(Signal::STOP);
        let list = bridge.request("tools/list", modern(json!({})));
        let read = bridge.request("resources/read", modern(json!({"uri": "memo://note"})));
        server.kill();
        server.start();
        assert!(bridge.result(&list)["tools"].as_array().is_some_and(|tools| tools.len() > 5), "{kind:?}");
        assert_eq!(bridge.result(&read)["contents"][0]["text"], "a note", "{kind:?}");
        bridge.finish();
    }
}

/// The new process wants a header that the old one did not know.
#[test]
fn a_header_that_a_restart_brings() {
    let mut server = Server::started(Kind::TypeScriptOnly);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("tools/list", modern(json!({})));
    assert_eq!(route(&mut bridge, "north", "first"), "routed to north");
    for (header, mark) in [("Region", "second"), ("Zone", "third")] {
        server.kill();
        server.options = vec!["--header", header];
        server.start();
        assert_eq!(route(&mut bridge, "south", mark), "routed to south");
        assert_eq!(server.count(&format!("route {mark}")), 1);
    }
    server.kill();
    server.options.clear();
    server.start();
    assert_eq!(route(&mut bridge, "west", "last"), "routed to west");
    bridge.finish();
}

/// Nobody has listed the tools.
#[test]
fn a_header_that_nobody_has_asked_for_yet() {
    let server = Server::with(Kind::TypeScriptOnly, &["--header", "Region"]);
    let mut bridge = bridge(&server.url(), &[]);
    assert_eq!(route(&mut bridge, "north", "first"), "routed to north");
    assert_eq!(server.count("route first"), 1);
    bridge.finish();
}

/// A real server compares the headers with the body.
#[test]
fn values_that_no_header_can_hold() {
    let server = Server::with(Kind::TypeScriptOnly, &["--header", "Region"]);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("tools/list", modern(json!({})));
    for region in
        ["Zürich", " padded ", "", "=?base64?eA==?=", "one\r\nmcp-method: tools/list", "a\tb", "世界", "\u{7f}"]
    {
        assert_eq!(route(&mut bridge, region, "m"), format!("routed to {region}"));
    }
    // What has such a name is not there, which is another error than that of a header.
    for name in ["schön", " ", "a\nb", "=?base64?eA==?="] {
        let call = bridge.request("tools/call", tool(name, json!({})));
        let answer = bridge.answer(&call);
        assert!(answer["error"]["code"] != -32020, "{name:?}: {answer}");
        let read = bridge.request("resources/read", modern(json!({"uri": format!("memo://{name}")})));
        let answer = bridge.answer(&read);
        assert!(answer["error"]["code"] != -32020, "{name:?}: {answer}");
    }
    bridge.finish();
}

/// What the protocol says in headers is not the user's to say.
#[test]
fn headers_of_the_protocol_cannot_be_configured() {
    for name in ["Mcp-Method", "mcp-name", "Mcp-Param-Region", "MCP-PARAM-X", "MCP-Protocol-Version", "Mcp-Session-Id"]
    {
        let mut process = Process::start(command().args(["http://127.0.0.1:9/mcp", "--header", &format!("{name}: x")]));
        let (status, _) = process.wait(super::support::PATIENCE).expect("it does not even start");
        assert!(!status.success(), "{name} was taken");
        let said = process.stderr.text().to_ascii_lowercase();
        assert!(said.contains(&name.to_ascii_lowercase()), "{name}: {said}");
    }
}
