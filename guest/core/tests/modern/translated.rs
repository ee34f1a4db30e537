//! A client of the versions with sessions at a server that speaks none of them.

use std::time::Duration;

use mcp_reconnect_core::{Event, ExchangeId, Failure, Options, SECOND, State, errors};
use serde_json::{Value, json};

use crate::rig::*;

const META: &str = "io.modelcontextprotocol/";

pub fn initialize(rig: &mut Rig) {
    rig.say(json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "clientInfo": {"name": "old", "version": "3"},
        "capabilities": {"elicitation": {}, "tasks": {"list": {}}}}}));
}

/// How a server that speaks only versions without sessions refuses `initialize`.
pub fn refuse(rig: &mut Rig) {
    rig.error("initialize", 400, -32022, json!({"supported": [VERSION], "requested": "2025-06-18"}));
}

pub fn server() -> Value {
    let mut result = discover_result();
    result["capabilities"] = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {},
        "extensions": {"x": {}}, "tasks": {}});
    result["instructions"] = json!("Be kind.");
    result
}

/// A session, as the client sees it, and the exchange of the engine's stream of notifications.
pub fn session() -> (Rig, ExchangeId) {
    session_with(Options::new(URL))
}

pub fn session_with(options: Options) -> (Rig, ExchangeId) {
    let mut rig = Rig::with(options);
    initialize(&mut rig);
    refuse(&mut rig);
    rig.result("server/discover", server());
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let listen = rig.acknowledge(json!({"toolsListChanged": true}));
    rig.take();
    (rig, listen)
}

/// A call that is open: its exchange, its id on the wire, and what was sent.
pub fn call(rig: &mut Rig, id: Value) -> (ExchangeId, Value, Value) {
    let params = json!({"name": "t", "arguments": {"a": 1}, "_meta": {"progressToken": "p"}});
    rig.say(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}));
    let (exchange, wire) = rig.find("tools/call");
    let sent = body(&rig.open[&exchange]);
    (exchange, wire, sent)
}

#[test]
fn initialize_becomes_a_discover() {
    let mut rig = Rig::new();
    initialize(&mut rig);
    refuse(&mut rig);
    let (exchange, _) = rig.find("server/discover");
    let sent = rig.open[&exchange].clone();
    let meta = body(&sent)["params"]["_meta"].clone();
    assert_eq!(meta[format!("{META}protocolVersion")], VERSION);
    assert_eq!(meta[format!("{META}clientInfo")], json!({"name": "old", "version": "3"}));
    assert_eq!(meta[format!("{META}clientCapabilities")], json!({"elicitation": {}}));
    assert_eq!(header(&sent, "mcp-method"), Some("server/discover"));
    rig.result("server/discover", server());
    let told = rig.take();
    assert_eq!(
        told,
        [json!({"jsonrpc": "2.0", "id": "i", "result": {
            "protocolVersion": "2025-06-18", "serverInfo": {"name": "s", "version": "1"}, "instructions": "Be kind.",
            "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true, "listChanged": true}, "logging": {}}
        }})]
    );
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    assert_eq!(rig.engine.status().state, State::Ready);
    assert_eq!(rig.methods(), ["initialize", "server/discover", "subscriptions/listen"]);
    assert!(matches!(rig.events.last(), Some(Event::Connected(info)) if !info.has_session_id));
}

#[test]
fn a_server_that_only_discover_is_known_at_is_found_too() {
    for (status, code) in [(404, -32601), (400, -32600), (405, -32000), (400, -32020)] {
        let mut rig = Rig::new();
        initialize(&mut rig);
        rig.error("initialize", status, code, json!(null));
        // Some refuse the first request of any version.
        rig.error("server/discover", 400, -32022, json!({"supported": [VERSION]}));
        rig.result("server/discover", server());
        assert_eq!(rig.take()[0]["result"]["protocolVersion"], "2025-06-18", "{code}");
    }
}

#[test]
fn a_server_that_discover_is_not_known_at_refused_for_the_first_reason() {
    let mut rig = Rig::new();
    initialize(&mut rig);
    rig.error("initialize", 400, -32602, json!("bad version"));
    rig.error("server/discover", 400, -32000, json!(null));
    // As before there were other versions: perhaps it speaks HTTP+SSE.
    let (exchange, _) = rig.last();
    rig.answer(exchange, 405, "text/plain", "");
    let told = rig.take();
    assert_eq!((&told[0]["id"], &told[0]["error"]["code"]), (&json!("i"), &json!(-32602)));
    // And where it speaks versions that are not known here.
    let mut rig = Rig::new();
    initialize(&mut rig);
    rig.error("initialize", 400, -32022, json!({"supported": ["2031-01-01"]}));
    assert!(!rig.is_open("server/discover"));
}

/// A server of both kinds of versions is spoken to in the one without sessions, each time that it is back.
#[test]
fn discover_comes_first_where_that_is_asked_for() {
    let mut rig = Rig::with(Options::new(URL).with(|o| o.discover_first = true));
    initialize(&mut rig);
    rig.result("server/discover", server());
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    rig.acknowledge(json!({"toolsListChanged": true}));
    assert_eq!(rig.take()[0]["result"]["protocolVersion"], "2025-06-18");
    rig.lose_all(Failure::Lost);
    rig.until_asked();
    rig.result("server/discover", server());
    rig.acknowledge(json!({"toolsListChanged": true}));
    assert!(!rig.methods().contains(&"initialize".to_string()), "{:?}", rig.methods());
}

/// Where it is refused in any way that says nothing of a restart, `initialize` follows, and then the older transport.
#[test]
fn a_server_with_sessions_is_initialized_though_discover_comes_first() {
    for (status, code) in [(400, -32000), (404, -32601), (200, -32601), (405, -32000), (400, -32022)] {
        let mut rig = Rig::with(Options::new(URL).with(|o| o.discover_first = true));
        initialize(&mut rig);
        rig.error("server/discover", status, code, json!(null));
        rig.result(
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}),
        );
        assert_eq!(rig.take()[0]["result"]["protocolVersion"], "2025-06-18", "{status} {code}");
        assert_eq!(rig.methods(), ["server/discover", "initialize"], "{status} {code}");
    }
    let mut rig = Rig::with(Options::new(URL).with(|o| o.discover_first = true));
    initialize(&mut rig);
    for _ in ["server/discover", "initialize"] {
        let (exchange, _) = rig.last();
        rig.answer(exchange, 404, "text/html", "<p>no");
    }
    let (exchange, request) = rig.open.iter().next_back().expect("the older transport is tried");
    assert_eq!(request.method, mcp_reconnect_core::Method::Get, "{exchange:?}");
}

#[test]
fn requests_carry_what_the_session_would_have_known() {
    let (mut rig, _) = session();
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": {"level": "error"}}));
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": 1, "result": {}})]);
    let (exchange, wire, sent) = call(&mut rig, json!(2));
    let meta = &sent["params"]["_meta"];
    assert_eq!(meta["progressToken"], "p");
    assert_eq!(meta[format!("{META}logLevel")], "error");
    assert_eq!(meta[format!("{META}protocolVersion")], VERSION);
    let request = rig.open[&exchange].clone();
    assert_eq!(header(&request, "mcp-name"), Some("t"));
    let versions = request.headers.iter().filter(|(name, _)| name == "mcp-protocol-version");
    assert_eq!(versions.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), [VERSION]);
    rig.head(exchange, 200, "text/event-stream");
    let progress =
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p", "progress": 1}});
    rig.event(exchange, &progress);
    rig.event(exchange, &json!({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}}));
    rig.event(exchange, &json!({"jsonrpc": "2.0", "id": wire, "result": {"resultType": "complete", "content": []}}));
    assert_eq!(
        rig.take(),
        [progress, json!({"jsonrpc": "2.0", "id": 2, "result": {"resultType": "complete", "content": []}})]
    );
    // A request without params.
    rig.say(json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list"}));
    let (exchange, _) = rig.find("tools/list");
    assert_eq!(body(&rig.open[&exchange])["params"]["_meta"][format!("{META}protocolVersion")], VERSION);
    rig.result("tools/list", json!({"resultType": "complete", "tools": []}));
    assert_eq!(rig.take()[0]["id"], 3);
    // What the server does not know.
    rig.say(json!({"jsonrpc": "2.0", "id": 4, "method": "tasks/list"}));
    assert_eq!(rig.take()[0]["error"]["code"], -32601);
    let before = rig.started.len();
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}));
    assert_eq!(rig.started.len(), before);
}

#[test]
fn a_cancellation_ends_the_exchange() {
    let (mut rig, _) = session();
    let (exchange, _, _) = call(&mut rig, json!(1));
    let before = rig.started.len();
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
    assert!(rig.cancelled.contains(&exchange) && rig.started.len() == before && rig.told.is_empty());
}

#[test]
fn notifications_of_the_stream_are_those_of_a_session() {
    let (mut rig, listen) = session();
    let marked = |uri: Value| {
        let mut params = json!({"_meta": {format!("{META}subscriptionId"): 9}});
        if !uri.is_null() {
            params["uri"] = uri;
        }
        params
    };
    rig.event(
        listen,
        &json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": marked(json!(null))}),
    );
    rig.event(
        listen,
        &json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": marked(json!("x:1"))}),
    );
    assert_eq!(
        rig.take(),
        [
            json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}),
            json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x:1"}})
        ]
    );
}

#[test]
fn a_subscription_is_a_stream_with_another_uri() {
    let (mut rig, listen) = session();
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "x:1"}}));
    assert!(rig.cancelled.contains(&listen) && rig.told.is_empty());
    let (exchange, _) = rig.find("subscriptions/listen");
    assert_eq!(body(&rig.open[&exchange])["params"]["notifications"]["resourceSubscriptions"], json!(["x:1"]));
    rig.acknowledge(json!({"toolsListChanged": true, "resourceSubscriptions": ["x:1"]}));
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": 1, "result": {}})]);
    // The same once more needs no other stream.
    rig.say(json!({"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": {"uri": "x:1"}}));
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": 2, "result": {}})]);
    rig.say(json!({"jsonrpc": "2.0", "id": 3, "method": "resources/unsubscribe", "params": {"uri": "x:1"}}));
    let (exchange, _) = rig.find("subscriptions/listen");
    assert_eq!(body(&rig.open[&exchange])["params"]["notifications"]["resourceSubscriptions"], json!(null));
    rig.acknowledge(json!({"toolsListChanged": true}));
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": 3, "result": {}})]);
    rig.say(json!({"jsonrpc": "2.0", "id": 4, "method": "resources/subscribe", "params": {}}));
    assert_eq!(rig.take()[0]["error"]["code"], -32602);
}

#[test]
fn a_subscription_is_answered_whatever_becomes_of_the_stream() {
    // Nothing is left to be told of.
    let mut rig = Rig::new();
    initialize(&mut rig);
    refuse(&mut rig);
    let mut result = server();
    result["capabilities"] = json!({});
    rig.result("server/discover", result);
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "x:1"}}));
    rig.acknowledge(json!({"resourceSubscriptions": ["x:1"]}));
    rig.take();
    rig.say(json!({"jsonrpc": "2.0", "id": 2, "method": "resources/unsubscribe", "params": {"uri": "x:1"}}));
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": 2, "result": {}})]);
    // The stream is opened and never acknowledged.
    let (mut rig, _) = session_with(Options::new(URL).with(|o| {
        o.heartbeat_interval = Duration::ZERO;
        o.listen_check_interval = Duration::ZERO;
    }));
    rig.say(json!({"jsonrpc": "2.0", "id": 3, "method": "resources/subscribe", "params": {"uri": "x:1"}}));
    let (silent, _) = rig.find("subscriptions/listen");
    rig.head(silent, 200, "text/event-stream");
    rig.pass(31 * SECOND);
    assert_eq!(rig.take()[0]["error"]["code"], errors::TIMED_OUT);
    assert!(rig.cancelled.contains(&silent));
    rig.pass(31 * SECOND);
    assert!(rig.is_open("subscriptions/listen"), "it is tried again");
}

#[test]
fn a_server_that_tells_of_nothing_says_so_to_who_subscribes() {
    let mut rig = Rig::new();
    initialize(&mut rig);
    refuse(&mut rig);
    rig.result("server/discover", server());
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    rig.error("subscriptions/listen", 404, -32601, json!(null));
    rig.take();
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "x:1"}}));
    assert_eq!(rig.take()[0]["error"]["code"], -32601);
    let (_, _, _) = call(&mut rig, json!(2));
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert_eq!(rig.take()[0]["id"], 2);
}

#[test]
fn a_restart_is_told_as_one_of_a_session_and_what_was_set_holds() {
    let (mut rig, _) = session();
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "x:1"}}));
    rig.acknowledge(json!({"toolsListChanged": true, "resourceSubscriptions": ["x:1"]}));
    rig.say(json!({"jsonrpc": "2.0", "id": 2, "method": "logging/setLevel", "params": {"level": "error"}}));
    rig.take();
    rig.lose_all(Failure::Lost);
    rig.say(json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "t"}}));
    for _ in 0..3 {
        rig.until_asked();
        rig.lose_all(Failure::Connect);
    }
    rig.until_asked();
    rig.result("server/discover", server());
    let (exchange, _) = rig.find("subscriptions/listen");
    assert_eq!(body(&rig.open[&exchange])["params"]["notifications"]["resourceSubscriptions"], json!(["x:1"]));
    rig.acknowledge(json!({"toolsListChanged": true, "resourceSubscriptions": ["x:1"]}));
    rig.result("tools/call", json!({"resultType": "complete"}));
    let told = rig.take();
    let count = |method: &str| told.iter().filter(|message| message["method"] == method).count();
    assert_eq!(count("notifications/tools/list_changed"), 1, "{told:?}");
    assert_eq!(count("notifications/resources/updated"), 1, "{told:?}");
    assert!(told.iter().any(|message| message["id"] == 3), "{told:?}");
    assert!(!rig.methods().iter().any(|method| method == "resources/subscribe" || method == "logging/setLevel"));
    assert!(rig.events.iter().any(|event| matches!(event, Event::Reconnected { new_session: true, .. })));
    // A call in flight is not run twice.
    let (exchange, _, sent) = call(&mut rig, json!(4));
    assert_eq!(sent["params"]["_meta"][format!("{META}logLevel")], "error");
    rig.fail(exchange, Failure::Lost);
    assert_eq!(rig.take()[0]["error"]["code"], errors::OUTCOME_UNKNOWN);
}

/// Both kinds of client at one server: what one of them finds out counts for the other.
#[test]
fn a_session_that_is_lost_lets_go_of_the_streams_of_the_other_lane() {
    let mut rig = Rig::new();
    rig.discovered();
    let listen = rig.listening(json!("l"));
    initialize(&mut rig);
    refuse(&mut rig);
    if rig.is_open("server/discover") {
        rig.result("server/discover", server());
    }
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let (exchange, ..) = call(&mut rig, json!(1));
    rig.fail(exchange, Failure::Connect);
    assert!(rig.cancelled.contains(&listen), "{:?}", rig.methods());
}

#[test]
fn a_server_with_sessions_that_comes_back_without_is_followed_and_back() {
    let mut rig = Rig::new();
    initialize(&mut rig);
    let legacy = json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}});
    rig.result("initialize", legacy.clone());
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let (exchange, _) = rig.find("notifications/initialized");
    rig.answer(exchange, 202, "text/plain", "");
    rig.take();
    let (exchange, wire, _) = call(&mut rig, json!(1));
    let refusal = json!({"jsonrpc": "2.0", "id": wire, "error": {"code": -32022, "message": "no", "data": {"supported": [VERSION]}}});
    rig.reply(exchange, 400, &refusal);
    assert!(rig.told.is_empty(), "it did not run: {:?}", rig.told);
    refuse(&mut rig);
    rig.result("server/discover", server());
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert!(rig.take().iter().any(|message| message["id"] == 1 && message["result"].is_object()));
    // And back.
    rig.lose_all(Failure::Lost);
    rig.until_asked();
    rig.error("server/discover", 400, -32000, json!(null));
    rig.result("initialize", legacy);
    let (exchange, _) = rig.find("notifications/initialized");
    rig.answer(exchange, 202, "text/plain", "");
    let (exchange, _, sent) = call(&mut rig, json!(2));
    assert_eq!(sent["params"]["_meta"], json!({"progressToken": "p"}));
    rig.fail(exchange, Failure::Lost);
}

#[test]
fn what_the_server_asks_for_in_a_result_the_client_is_asked() {
    let (mut rig, _) = session_with(Options::new(URL).with(|o| {
        o.run_timeout = 10 * SECOND;
        o.hold_timeout = 10 * SECOND;
    }));
    let (_, first, _) = call(&mut rig, json!("c"));
    let asks = json!({"resultType": "input_required", "requestState": "S1",
        "inputRequests": {"confirm": {"method": "elicitation/create", "params": {"message": "Sure?"}}}});
    rig.result("tools/call", asks.clone());
    let question = rig.take().remove(0);
    assert_eq!(
        (&question["method"], &question["params"]),
        (&json!("elicitation/create"), &json!({"message": "Sure?"}))
    );
    // A person thinks for longer than any limit, and the server restarts meanwhile.
    rig.pass(25 * SECOND);
    rig.lose_all(Failure::Lost);
    rig.until_asked();
    rig.result("server/discover", server());
    rig.acknowledge(json!({"toolsListChanged": true}));
    rig.take();
    let answer = json!({"action": "accept", "content": {"ok": true}});
    rig.say(json!({"jsonrpc": "2.0", "id": question["id"], "result": answer}));
    if rig.is_open("server/discover") {
        rig.result("server/discover", server());
    }
    let (exchange, wire) = rig.find("tools/call");
    let sent = body(&rig.open[&exchange]);
    assert_ne!(wire, first);
    assert_eq!(sent["params"]["inputResponses"], json!({"confirm": answer}));
    assert_eq!((&sent["params"]["requestState"], &sent["params"]["arguments"]), (&json!("S1"), &json!({"a": 1})));
    rig.result("tools/call", json!({"resultType": "complete", "content": []}));
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": "c", "result": {"resultType": "complete", "content": []}})]);

    // The client refuses.
    call(&mut rig, json!(2));
    rig.result("tools/call", asks.clone());
    let question = rig.take().remove(0);
    rig.say(json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}}));
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": 2, "error": {"code": -1, "message": "no"}})]);

    // It cancels, and need not answer any more.
    call(&mut rig, json!(3));
    rig.result("tools/call", asks);
    let question = rig.take().remove(0);
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}}));
    let told = rig.take();
    assert_eq!((told.len(), &told[0]["params"]["requestId"]), (1, &question["id"]), "{told:?}");
}

/// The answer that asks comes when something else has shown that the server is gone, and what it asks for cannot be sent any more.
#[test]
fn input_that_is_asked_for_while_the_server_goes_is_asked_for_and_what_it_was_for_has_begun() {
    let (mut rig, _) = session();
    let (exchange, wire, _) = call(&mut rig, json!(1));
    rig.say(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    let (list, _) = rig.find("tools/list");
    rig.answer(list, 503, "text/plain", "upstream connect error");
    assert!(matches!(rig.engine.status().state, State::Waiting | State::Connecting));
    let question = json!({"method": "elicitation/create", "params": {}});
    let asks = json!({"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "s"});
    rig.reply(exchange, 200, &json!({"jsonrpc": "2.0", "id": wire, "result": asks}));
    let told = rig.take();
    assert_eq!(told[0]["method"], "elicitation/create", "{told:?}");
    rig.say(json!({"jsonrpc": "2.0", "id": told[0]["id"], "result": {"action": "accept"}}));
    rig.until_asked();
    let (own, _) = rig.find("server/discover");
    rig.answer(own, 401, "text/plain", "");
    let told = rig.take();
    let error = told.iter().find(|message| message["id"] == 1).expect("it is answered")["error"].clone();
    assert_eq!(error["code"], errors::OUTCOME_UNKNOWN);
    assert!(error["message"].as_str().is_some_and(|text| text.contains("the server had begun it")), "{error}");
}

#[test]
fn progress_does_not_go_back_when_the_input_is_there() {
    let (mut rig, _) = session();
    let mut told = Vec::new();
    let (mut exchange, mut wire, _) = call(&mut rig, json!(1));
    for round in [[1, 5], [2, 6]] {
        rig.head(exchange, 200, "text/event-stream");
        for progress in round {
            let params = json!({"progressToken": "p", "progress": progress});
            rig.event(exchange, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
        }
        let question = json!({"method": "elicitation/create", "params": {}});
        let asks = json!({"resultType": "input_required", "inputRequests": {"q": question}});
        rig.event(exchange, &json!({"jsonrpc": "2.0", "id": wire, "result": asks}));
        let messages = rig.take();
        let asked = messages.last().expect("a question")["id"].clone();
        told.extend(messages.iter().filter_map(|message| message["params"]["progress"].as_u64()));
        rig.say(json!({"jsonrpc": "2.0", "id": asked, "result": {}}));
        (exchange, wire) = rig.find("tools/call");
    }
    assert_eq!(told, [1, 5, 6]);
}

#[test]
fn what_the_client_cannot_be_asked_and_what_never_ends_is_told() {
    let (mut rig, _) = session();
    call(&mut rig, json!(1));
    let ask = |method: &str| json!({"resultType": "input_required", "inputRequests": {"x": {"method": method, "params": {}}}});
    rig.result("tools/call", ask("sampling/createMessage"));
    assert_eq!(rig.take()[0]["error"]["code"], -32021);
    call(&mut rig, json!(2));
    for round in 0..11 {
        rig.result("tools/call", ask("elicitation/create"));
        let told = rig.take().remove(0);
        if round == 10 {
            assert_eq!(told["error"]["code"], errors::HTTP_ERROR);
        } else {
            rig.say(json!({"jsonrpc": "2.0", "id": told["id"], "result": {}}));
        }
    }
    assert!(!rig.is_open("tools/call"));
}

#[test]
fn headers_that_do_not_fit_are_built_anew_here_too() {
    let (mut rig, _) = session();
    call(&mut rig, json!(1));
    rig.error("tools/call", 400, -32020, json!(null));
    let tool = json!({"name": "t", "inputSchema": {"properties": {"a": {"type": "integer", "x-mcp-header": "A"}}}});
    rig.result("tools/list", json!({"resultType": "complete", "tools": [tool]}));
    let (exchange, _) = rig.find("tools/call");
    assert_eq!(header(&rig.open[&exchange], "mcp-param-a"), Some("1"));
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert_eq!(rig.take()[0]["id"], 1);
}

#[test]
fn an_idle_stream_is_let_go_when_the_server_takes_no_connections() {
    let (mut rig, listen) = session();
    for _ in 0..5 {
        rig.bytes(listen, ": alive\n\n");
        rig.pass(SECOND);
        rig.result("server/discover", server());
    }
    rig.pass(SECOND);
    let (own, _) = rig.find("server/discover");
    rig.fail(own, Failure::Connect);
    assert!(rig.cancelled.contains(&listen));
}

fn without_sessions() -> serde_json::Value {
    json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
}

/// Connected to a server of a version with sessions that keeps none and has no standalone stream.
pub fn without_a_stream() -> Rig {
    let mut rig = Rig::with(Options::new(URL));
    initialize(&mut rig);
    rig.result("initialize", without_sessions());
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let (exchange, _) = rig.find("notifications/initialized");
    rig.answer(exchange, 202, "text/plain", "");
    let (get, _) = rig.last();
    rig.answer(get, 405, "text/plain", "");
    rig
}

#[test]
fn a_stream_that_is_refused_in_a_batch_is_not_asked_for_again() {
    let mut rig = without_a_stream();
    let (listen, message) = rig.find("subscriptions/listen");
    let body = json!([{"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such method"}}]);
    rig.head(listen, 200, "text/event-stream");
    rig.event(listen, &body);
    for _ in 0..20 {
        rig.pass(SECOND);
        assert!(!rig.is_open("subscriptions/listen"));
    }
}

#[test]
fn a_stream_whose_place_is_taken_is_asked_for_again_and_so_is_the_session() {
    let mut rig = without_a_stream();
    let (listen, _) = rig.find("subscriptions/listen");
    rig.answer(listen, 409, "text/plain", "");
    // A server with sessions refuses so what names none.
    assert!(rig.is_open("ping"));
    rig.result("ping", json!({}));
    for _ in 0..50 {
        if rig.is_open("subscriptions/listen") {
            return;
        }
        rig.pass(SECOND / 10);
    }
    panic!("the stream is not asked for again");
}

/// The look that falls due while there is no stream is not the last one for a long time.
#[test]
fn a_stream_that_is_opened_again_is_looked_after_as_before() {
    let (mut rig, listen) = session();
    rig.pass(SECOND / 2);
    rig.end(listen);
    rig.pass(SECOND);
    let again = rig.acknowledge(json!({"toolsListChanged": true}));
    assert!(!rig.is_open("server/discover"), "there was nothing to look after: {:?}", rig.methods());
    rig.pass(SECOND);
    let (own, _) = rig.find("server/discover");
    rig.fail(own, Failure::Connect);
    assert!(rig.cancelled.contains(&again));
}

#[test]
fn after_the_stream_ended_in_order_what_must_not_run_twice_waits_for_a_sign_of_life() {
    let (mut rig, listen) = session();
    rig.end(listen);
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t"}}));
    assert!(!rig.is_open("tools/call"));
    rig.result("server/discover", server());
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert_eq!(rig.take()[0]["id"], 1);
}

/// Without a heartbeat nothing is asked while there is no stream.
#[test]
fn looking_after_a_stream_is_no_heartbeat() {
    let (mut rig, listen) = session_with(Options::new(URL).with(|o| o.heartbeat_interval = Duration::ZERO));
    rig.pass(SECOND / 2);
    rig.end(listen);
    rig.pass(9 * SECOND / 10);
    assert!(rig.open.is_empty(), "{:?}", rig.methods());
    rig.pass(SECOND / 5);
    assert!(rig.is_open("subscriptions/listen"));
}

#[test]
fn a_server_without_sessions_and_without_a_stream_is_listened_to_beside() {
    let mut rig = without_a_stream();
    let result = without_sessions();
    let listen = rig.acknowledge(json!({"toolsListChanged": true}));
    rig.take();
    // The server is killed and is back before anybody notices.
    rig.fail(listen, Failure::Lost);
    for _ in 0..50 {
        if rig.is_open("initialize") {
            break;
        }
        rig.pass(SECOND / 10);
    }
    rig.result("initialize", result);
    let (exchange, _) = rig.find("notifications/initialized");
    rig.answer(exchange, 202, "text/plain", "");
    let told = rig.take();
    assert_eq!(told, [json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})]);
}
