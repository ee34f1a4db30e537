//! What servers of these versions say seldom: redirects, odd members, streams that end in other ways.

use mcp_reconnect_core::{ExchangeId, Input, SECOND, errors};
use serde_json::json;

use crate::rig::*;
use crate::translated::{call, session};

fn redirect(rig: &mut Rig, exchange: ExchangeId) {
    let headers = vec![("location".to_string(), b"/other".to_vec())];
    rig.open.remove(&exchange);
    rig.input(Input::Response { exchange, status: 307, headers });
}

#[test]
fn requests_follow_a_redirect_and_notifications_do_not() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let (exchange, _) = rig.find("tools/call");
    redirect(&mut rig, exchange);
    let (again, _) = rig.find("tools/call");
    assert_eq!((again == exchange, rig.open[&again].path.as_str()), (false, "/other"));
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert_eq!(rig.take().len(), 1);
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/x"}));
    let (exchange, _) = rig.find("notifications/x");
    redirect(&mut rig, exchange);
    assert!(!rig.is_open("notifications/x") && rig.logged("it was redirected"));
    // The engine's own question: whether the server still takes connections.
    rig.listening(json!(2));
    rig.until_asked();
    let (exchange, _) = rig.find("server/discover");
    redirect(&mut rig, exchange);
    assert!(rig.is_open("server/discover"));
}

#[test]
fn what_the_server_cancels_is_named_as_its_client_named_it() {
    let mut rig = Rig::new();
    rig.ask(json!("mine"), "tools/call", json!({"name": "t"}));
    let (exchange, wire) = rig.find("tools/call");
    rig.head(exchange, 200, "text/event-stream");
    let cancelled = |id| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    rig.event(exchange, &cancelled(wire));
    rig.event(exchange, &cancelled(json!("other")));
    assert_eq!(rig.take(), [cancelled(json!("mine")), cancelled(json!("other"))]);
}

#[test]
fn a_tool_that_cannot_be_used_is_left_out_wherever_the_id_stands() {
    let mut rig = Rig::new();
    let tools = r#"[{"name":"good","inputSchema":{}},{"name":"bad","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}}]"#;
    for before in [true, false] {
        rig.ask(json!("list"), "tools/list", json!({}));
        let (exchange, wire) = rig.find("tools/list");
        let result = format!(r#""result":{{"resultType":"complete","tools":{tools}}}"#);
        let text = if before {
            format!(r#"{{"jsonrpc":"2.0","id":{wire},{result}}}"#)
        } else {
            format!(r#"{{{result},"id":{wire},"jsonrpc":"2.0"}}"#)
        };
        rig.answer(exchange, 200, "application/json", &text);
        let told = rig.take().pop().expect("it is answered");
        assert_eq!((&told["id"], told["result"]["tools"].as_array().map(Vec::len)), (&json!("list"), Some(1)));
        assert_eq!(told["result"]["tools"][0]["name"], "good");
    }
}

#[test]
fn a_translated_request_with_params_that_are_no_object_is_not_sent() {
    let (mut rig, _) = session();
    let before = rig.started.len();
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": [1]}));
    assert_eq!(rig.take()[0]["error"]["code"], errors::INVALID_PARAMS);
    assert_eq!(rig.started.len(), before);
}

#[test]
fn a_version_that_is_refused_and_known_all_the_same_is_tried_once_more() {
    let (mut rig, _) = session();
    call(&mut rig, json!(1));
    let refusal = json!({"supported": [VERSION], "requested": VERSION});
    rig.error("tools/call", 200, -32022, refusal.clone());
    assert!(rig.take().is_empty() && rig.is_open("tools/call"));
    rig.error("tools/call", 200, -32022, refusal);
    assert!(!rig.is_open("tools/call"));
}

#[test]
fn the_stream_of_a_translated_session_brings_what_it_brings() {
    let (mut rig, listen) = session();
    for method in ["notifications/prompts/list_changed", "notifications/resources/list_changed", "notifications/x"] {
        rig.event(listen, &json!({"jsonrpc": "2.0", "method": method}));
        assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "method": method})]);
    }
    rig.event(listen, &json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}));
    rig.bytes(listen, "data: nothing\n\n");
    assert!(rig.take().is_empty() && rig.logged("it is not JSON-RPC"));
    // The server may end it so.
    rig.event(listen, &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
    assert!(rig.cancelled.contains(&listen) && !rig.is_open("subscriptions/listen"));
    for _ in 0..50 {
        if rig.is_open("subscriptions/listen") {
            break;
        }
        rig.pass(SECOND / 10);
    }
    // And then have none any more.
    let (listen, wire) = rig.find("subscriptions/listen");
    rig.head(listen, 200, "text/event-stream");
    rig.event(listen, &json!({"jsonrpc": "2.0", "id": wire, "error": {"code": -32601, "message": "no"}}));
    assert!(rig.logged("the server tells of no changes"));
    rig.say(json!({"jsonrpc": "2.0", "id": 5, "method": "resources/subscribe", "params": {"uri": "x:/a"}}));
    assert_eq!(rig.take()[0]["error"]["code"], errors::METHOD_NOT_FOUND);
}
