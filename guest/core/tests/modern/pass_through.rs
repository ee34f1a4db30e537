//! Requests pass through as they came, with the headers that repeat what is in them.

use mcp_reconnect_core::{Input, Instant, Method, Options, SECOND};
use serde_json::{Value, json};

use crate::rig::*;

#[test]
fn a_request_goes_out_as_it_came_but_for_its_id() {
    let mut rig = Rig::new();
    let text = r#"{"params" : {"name":"add","arguments":{"a":1},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","x":"ü"}},"id":"call-1","method":"tools/call","jsonrpc":"2.0"}"#;
    rig.input(Input::Message(text.to_string()));
    let (exchange, sent) = rig.started[0].clone();
    let wire = body(&sent)["id"].clone();
    assert_eq!(String::from_utf8(sent.body.clone()).unwrap(), text.replace("\"call-1\"", &wire.to_string()));
    assert_eq!((sent.method, sent.path.as_str()), (Method::Post, "/mcp"));
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "add"),
        ("accept", "application/json, text/event-stream"),
    ] {
        assert_eq!(header(&sent, name), Some(value), "{name}");
    }
    assert_eq!((header(&sent, "mcp-session-id"), header(&sent, "last-event-id")), (None, None));
    rig.reply(exchange, 200, &json!({"jsonrpc": "2.0", "id": wire, "result": {"resultType": "complete"}}));
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": "call-1", "result": {"resultType": "complete"}})]);
    // Nothing is asked beside it, also later.
    rig.pass(600 * SECOND);
    assert_eq!(rig.started.len(), 1);
}

#[test]
fn names_are_encoded_where_a_header_would_not_carry_them() {
    for (method, params, name) in [
        ("tools/call", json!({"name": "grüß"}), Some("=?base64?Z3LDvMOf?=")),
        ("prompts/get", json!({"name": " p"}), Some("=?base64?IHA=?=")),
        ("resources/read", json!({"uri": "file:///a b"}), Some("file:///a b")),
        ("tasks/get", json!({"taskId": "t1"}), Some("t1")),
        ("tools/list", json!({"name": "no"}), None),
        ("tools/call", json!({"name": 7}), None),
    ] {
        let mut rig = Rig::new();
        rig.ask(json!(1), method, params);
        assert_eq!(header(&rig.started[0].1, "mcp-name"), name, "{method}");
    }
}

#[test]
fn both_lanes_are_open_at_once_and_equal_ids_do_not_meet() {
    let mut rig = Rig::new();
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}}));
    rig.ask(json!(1), "tools/list", json!({}));
    let (legacy, modern) = (rig.find("initialize"), rig.find("tools/list"));
    let tools = json!({"resultType": "complete", "tools": []});
    rig.reply(modern.0, 200, &json!({"jsonrpc": "2.0", "id": modern.1, "result": tools}));
    assert_eq!(rig.take()[0]["result"]["tools"], json!([]));
    let info = json!({"name": "s", "version": "1"});
    let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info});
    rig.reply(legacy.0, 200, &json!({"jsonrpc": "2.0", "id": legacy.1, "result": result}));
    assert_eq!(rig.take()[0]["result"]["protocolVersion"], "2025-11-25");
}

#[test]
fn a_stream_brings_progress_and_the_answer() {
    let mut rig = Rig::new();
    rig.ask(json!("a"), "tools/call", json!({"name": "slow", "_meta": {"progressToken": "p"}}));
    let (exchange, wire) = rig.last();
    rig.head(exchange, 200, "text/event-stream");
    rig.bytes(exchange, ": comment\n\n");
    let params = json!({"progressToken": "p", "progress": 1});
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
    rig.event(exchange, &progress);
    rig.event(exchange, &json!({"jsonrpc": "2.0", "id": 99, "method": "sampling/createMessage", "params": {}}));
    rig.event(exchange, &json!({"jsonrpc": "2.0", "id": wire, "result": {"resultType": "complete"}}));
    assert_eq!(rig.take(), [progress, json!({"jsonrpc": "2.0", "id": "a", "result": {"resultType": "complete"}})]);
    assert!(rig.logged("sampling/createMessage"), "{:?}", rig.events);
}

#[test]
fn errors_of_the_server_pass_whatever_their_status() {
    let cases = [(400, -32602), (404, -32601), (400, -32021), (400, -32022), (200, -32603), (500, -32603), (410, -1)];
    for (status, code) in cases {
        let mut rig = Rig::new();
        rig.discovered();
        rig.ask(json!(7), "tools/call", json!({"name": "t"}));
        rig.error("tools/call", status, code, json!({"supported": [VERSION]}));
        let told = rig.take();
        assert_eq!((told.len(), &told[0]["id"], &told[0]["error"]["code"]), (1, &json!(7), &json!(code)), "{status}");
        assert_eq!(told[0]["error"]["data"]["supported"][0], VERSION);
    }
}

#[test]
fn a_cancelled_request_ends_its_exchange_and_nothing_is_posted() {
    let mut rig = Rig::new();
    rig.ask(json!("a"), "tools/call", json!({"name": "slow"}));
    let (exchange, _) = rig.last();
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "a"}}));
    assert_eq!((rig.cancelled.as_slice(), rig.started.len(), rig.told.len()), ([exchange].as_slice(), 1, 0));
    assert_eq!(rig.engine.status().in_flight, 0);
}

/// A tool with an argument that this header repeats.
fn tool(name: &str, header: &str) -> Value {
    json!({"name": name,
        "inputSchema": {"type": "object", "properties": {"r": {"type": "string", "x-mcp-header": header}}}})
}

#[test]
fn arguments_are_repeated_in_headers_as_the_tool_says() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/list", json!({}));
    let tools = json!([tool("good", "Region"), tool("bad", "a b")]);
    rig.result("tools/list", json!({"resultType": "complete", "tools": tools}));
    let told = rig.take();
    assert_eq!(told[0]["result"]["tools"], json!([tool("good", "Region")]));
    assert_eq!(told[0]["id"], 1);
    assert!(rig.logged("the tool bad is left out"), "{:?}", rig.events);
    rig.ask(json!(2), "tools/call", json!({"name": "good", "arguments": {"r": "eu"}}));
    assert_eq!(header(&rig.started[1].1, "mcp-param-region"), Some("eu"));
    // Not a line for each of very many.
    rig.ask(json!(3), "tools/list", json!({}));
    let tools: Vec<_> = (0..40).map(|number| tool(&format!("bad{number}"), "a b")).collect();
    rig.result("tools/list", json!({"tools": tools}));
    assert!(rig.logged("24 more tools"), "{:?}", rig.events);
    // A user's header of that name would contradict it.
    for name in ["Mcp-Param-Region", "mcp-name", "MCP-Method", "mcp-protocol-version"] {
        let options = Options::new(URL).with(|o| o.headers = vec![(name.into(), "x".into())]);
        assert!(mcp_reconnect_core::Engine::new(options, 1, Instant::ZERO).is_err(), "{name}");
    }
}

#[test]
fn headers_that_do_not_fit_any_more_are_built_anew_once() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t", "arguments": {"r": "eu"}}));
    rig.error("tools/call", 400, -32020, json!(null));
    rig.result("tools/list", json!({"resultType": "complete", "tools": [], "nextCursor": "2"}));
    assert_eq!(body(&rig.started.last().unwrap().1)["params"]["cursor"], "2");
    rig.result("tools/list", json!({"resultType": "complete", "tools": [tool("t", "R")]}));
    let again = rig.started.last().unwrap().1.clone();
    assert_eq!((header(&again, "mcp-param-r"), header(&again, "mcp-method")), (Some("eu"), Some("tools/call")));
    // The same once more is the answer.
    rig.error("tools/call", 400, -32020, json!(null));
    assert_eq!(rig.take()[0]["error"]["code"], -32020);
    assert!(rig.open.is_empty());
}

#[test]
fn more_tools_with_headers_than_are_kept_are_said() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/list", json!({}));
    let tools: Vec<Value> = (0..1025).map(|number| tool(&format!("t{number}"), "R")).collect();
    rig.result("tools/list", json!({"tools": tools}));
    assert_eq!(rig.take()[0]["result"]["tools"].as_array().unwrap().len(), 1025);
    assert!(rig.logged("more than 1024 tools"), "{:?}", rig.events);
}

#[test]
fn what_is_no_version_is_refused_and_older_versions_are_of_the_other_lane() {
    for (version, code) in
        [(json!("next"), -32602), (json!(7), -32602), (json!("2026-7-28"), -32602), (json!("2025-11-25"), -32600)]
    {
        let mut rig = Rig::new();
        let mut message = request(json!(1), "tools/list", json!({}));
        message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = version.clone();
        rig.say(message);
        assert_eq!(rig.take()[0]["error"]["code"], code, "{version}");
        assert!(rig.started.is_empty());
    }
    // A discover without a version, and without params.
    for params in [json!({"_meta": {}}), json!({"_meta": 7}), json!([]), json!(null)] {
        let mut rig = Rig::new();
        rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": params}));
        assert_eq!(rig.take()[0]["error"]["code"], -32601);
        assert!(rig.started.is_empty());
    }
}

#[test]
fn what_a_client_of_these_versions_should_not_send_is_dropped_or_passed_on() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.say(json!({"jsonrpc": "2.0", "id": 5, "result": {}}));
    assert!(rig.logged("a response of the client was dropped"), "{:?}", rig.events);
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/custom", "params": {}}));
    let sent = &rig.started.last().unwrap().1;
    assert_eq!(header(sent, "mcp-method"), Some("notifications/custom"));
    assert_eq!(header(sent, "mcp-protocol-version"), Some(VERSION));
    let (exchange, _) = rig.last();
    rig.answer(exchange, 400, "text/plain", "");
    assert!(rig.logged("was not taken"), "{:?}", rig.events);
    assert!(rig.take().is_empty());
}
