//! A client of the versions before at a server that speaks MCP 2026-07-28 only: what the bridge makes of its messages.

use serde_json::{Value, json};

use super::MODERN;
use super::scripted::{self, Modern, good, notification};
use super::support::bridge::{Bridge, text};
use super::support::http::Reply;
use super::support::script::{Call, Outcome};
use super::support::{PATIENCE, poll};

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// A server that takes no `initialize`, as one does that speaks MCP 2026-07-28 only. A hook sees the rest.
fn server(hook: impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static) -> Modern {
    scripted::translating(hook)
}

fn connected(server: &Modern, capabilities: Value) -> Bridge {
    let mut bridge = super::bridge(&server.url(), &[]);
    bridge.initialize(capabilities);
    bridge
}

/// A call, as a legacy client makes it.
fn marked(mark: &str) -> Value {
    json!({"name": "mark", "arguments": {"mark": mark}})
}

fn barrier(bridge: &mut Bridge, mark: &str) {
    assert_eq!(bridge.tool(marked(mark)), mark);
}

#[test]
fn initialize_is_answered_from_discover() {
    for version in ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] {
        let server = server(good);
        let mut bridge = super::bridge(&server.url(), &[]);
        let id = bridge.request(
            "initialize",
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}),
        );
        let result = bridge.result(&id);
        assert_eq!(result["protocolVersion"], version, "{result}");
        assert_eq!(result["serverInfo"]["name"], "scripted", "{result}");
        let capabilities = &result["capabilities"];
        assert_eq!(capabilities["tools"]["listChanged"], true, "{result}");
        assert_eq!(capabilities["resources"], json!({"listChanged": true, "subscribe": true}), "{result}");
        bridge.notify("notifications/initialized", json!({}));
        barrier(&mut bridge, "after");
        assert!(server.records_of("notifications/initialized").is_empty(), "there is nothing of the kind in this era");
        bridge.finish();
    }
}

/// Each request says who the client is and what it can do, as `initialize` said it, and what it says itself stays.
#[test]
fn what_is_added_to_each_request() {
    let server = server(good);
    let mut bridge = connected(&server, json!({"elicitation": {}, "roots": {"listChanged": true}}));
    let mut call = marked("m");
    call["_meta"] = json!({"progressToken": 7, "vendor/key": {"a": 1}});
    bridge.call("tools/call", call);
    let meta = server.wait_for("tools/call", 1).message["params"]["_meta"].clone();
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], MODERN);
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"], json!({"name": "mcp-reconnect-tests", "version": "1"}));
    let capabilities = &meta["io.modelcontextprotocol/clientCapabilities"];
    assert!(capabilities["elicitation"].is_object() && capabilities["roots"].is_object(), "{meta}");
    assert_eq!((&meta["progressToken"], &meta["vendor/key"]), (&json!(7), &json!({"a": 1})), "{meta}");
    assert!(meta.get("io.modelcontextprotocol/logLevel").is_none(), "{meta}");

    // The level is no request there, but a word in each.
    assert_eq!(bridge.call("logging/setLevel", json!({"level": "warning"})), json!({}));
    // No params at all.
    bridge.expect_answer_to(r#""none""#, "tools/list");
    bridge.line(r#"{"jsonrpc":"2.0","id":"none","method":"tools/list"}"#);
    bridge.result(r#""none""#);
    for params in [json!({"_meta": {}}), json!({"cursor": null})] {
        bridge.call("tools/list", params);
    }
    bridge.call("tools/list", json!({}));
    let records = server.records_of("tools/list");
    let meta = &records.last().expect("it was sent").message["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/logLevel"], "warning", "{meta}");
    assert!(server.records_of("logging/setLevel").is_empty());
    bridge.finish();
}

/// To what is no object nothing can be added: it is refused, or sent as if it were an empty one.
#[test]
fn params_that_are_none() {
    let server = server(good);
    let mut bridge = connected(&server, json!({}));
    for params in
        [json!(null), json!([]), json!("x"), json!({"_meta": null}), json!({"_meta": []}), json!({"_meta": 7})]
    {
        let id = bridge.request("tools/list", params);
        bridge.answer(&id);
    }
    barrier(&mut bridge, "after");
    bridge.finish();
}

/// What does not exist there is answered here.
#[test]
fn what_is_answered_here() {
    let server = server(good);
    let mut bridge = connected(&server, json!({}));
    assert_eq!(bridge.call("ping", json!({})), json!({}));
    for method in ["tasks/list", "tasks/get", "tasks/cancel", "tasks/result"] {
        let id = bridge.request(method, json!({"taskId": "t"}));
        assert_eq!(bridge.error(&id)["code"], -32601, "{method}");
    }
    bridge.notify("notifications/roots/list_changed", json!({}));
    barrier(&mut bridge, "after");
    for kind in ["ping", "tasks/list", "tasks/get", "tasks/cancel", "tasks/result", "notifications/roots/list_changed"]
    {
        assert!(server.records_of(kind).is_empty(), "{kind} was sent");
    }
    bridge.finish();
}

/// The server's changes come on a subscription of the bridge's own, and reach the client as they did before.
#[test]
fn changes_come_without_a_subscription() {
    let server = server(good);
    let bridge = connected(&server, json!({}));
    let (wire, stream) = server.stream(0);
    stream.event(&notification(&wire, TOOLS, json!({})));
    let news = bridge.wait_for_method(0, TOOLS);
    assert!(news["params"]["_meta"].is_null(), "{news}");
    // It ends and comes back: the client is told that something may have changed.
    let mark = bridge.mark();
    stream.end();
    server.stream(1);
    bridge.wait_for_method(mark, TOOLS);
    assert!(bridge.messages_of("notifications/subscriptions/acknowledged").is_empty());
    bridge.finish();
}

/// Subscriptions to resources are a set; each change of it is a subscription anew, which is there when the client is answered.
#[test]
fn subscriptions_to_resources() {
    let server = server(good);
    let mut bridge = connected(&server, json!({}));
    let (_, _first) = server.stream(0);
    let asked = |server: &Modern| {
        let last = server.records_of("subscriptions/listen").pop().expect("there is one");
        let mut uris: Vec<_> =
            last.message["params"]["notifications"]["resourceSubscriptions"].as_array().cloned().unwrap_or_default();
        uris.sort_by_key(Value::to_string);
        uris
    };
    bridge.call("resources/subscribe", json!({"uri": "memo://b"}));
    assert_eq!(asked(&server), ["memo://b"]);
    bridge.call("resources/subscribe", json!({"uri": "memo://a"}));
    assert_eq!(asked(&server), ["memo://a", "memo://b"]);
    bridge.call("resources/unsubscribe", json!({"uri": "memo://b"}));
    assert_eq!(asked(&server), ["memo://a"]);
    let number = server.records_of("subscriptions/listen").len() - 1;
    let (wire, stream) = server.stream(number);
    let mark = bridge.mark();
    stream.event(&notification(&wire, UPDATED, json!({"uri": "memo://a"})));
    let news = bridge.wait_for_method(mark, UPDATED);
    assert_eq!(news["params"], json!({"uri": "memo://a"}), "{news}");
    assert!(server.records_of("resources/subscribe").is_empty());
    bridge.finish();
}

/// Asks for `rounds` rounds, each with two questions and a state, and then says what it was answered.
fn asks(rounds: usize) -> impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static {
    move |call, reply| {
        if call.kind != "tools/call" || call.mark() != "asks" {
            return Outcome::Good(reply);
        }
        let params = &call.message["params"];
        let round =
            params["requestState"].as_str().map_or(0, |state| state.rsplit(' ').next().unwrap().parse().unwrap());
        if round < rounds {
            let requests = json!({
                "a name": {"method": "elicitation/create", "params": {"mode": "form", "message": format!("round {round}"), "requestedSchema": {"type": "object", "properties": {}}}},
                "roots": {"method": "roots/list"},
            });
            // What a client must not look into is kept to the byte.
            let state = format!("{{\"é\": \"\\u0041\"}}\u{1F980}  {}", round + 1);
            let result = json!({"resultType": "input_required", "inputRequests": requests, "requestState": state});
            return Outcome::Done(call.result(reply, result));
        }
        let said = json!({"state": params["requestState"], "responses": params["inputResponses"]}).to_string();
        let result = json!({"resultType": "complete", "content": [{"type": "text", "text": said}]});
        Outcome::Done(call.result(reply, result))
    }
}

const ASKED: &str = "elicitation/create";
const ROOTS: &str = "roots/list";

#[test]
fn questions_to_the_user() {
    let server = server(asks(2));
    let mut bridge = connected(&server, json!({"elicitation": {}, "roots": {}}));
    let call = bridge.request("tools/call", marked("asks"));
    let mut mark = 0;
    for round in 0..2 {
        let question = bridge.wait_for_method(mark, ASKED);
        let roots = bridge.wait_for_method(mark, ROOTS);
        assert_eq!(question["params"]["message"], format!("round {round}"));
        assert_ne!(question["id"], roots["id"], "two questions with one id");
        mark = bridge.mark();
        assert_eq!(server.records_of("tools/call").len(), round + 1, "not all is answered yet");
        bridge.respond(&roots, json!({"roots": [{"uri": "file:///x"}]}));
        bridge.respond(&question, json!({"action": "accept", "content": {"n": 1.50}}));
    }
    let said: Value = serde_json::from_str(&text(&bridge.result(&call))).expect("JSON");
    assert_eq!(said["state"], "{\"é\": \"\\u0041\"}\u{1F980}  2");
    let expected =
        json!({"a name": {"action": "accept", "content": {"n": 1.50}}, "roots": {"roots": [{"uri": "file:///x"}]}});
    assert_eq!(said["responses"], expected);
    let mut ids: Vec<_> =
        server.records_of("tools/call").iter().map(|record| record.message["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each round has an id of its own");
    bridge.finish();
}

/// The client cannot, or does not want to.
#[test]
fn a_question_that_is_not_answered() {
    let server = server(asks(1));
    let mut bridge = connected(&server, json!({"elicitation": {}, "roots": {}}));
    let call = bridge.request("tools/call", marked("asks"));
    let question = bridge.wait_for_method(0, ASKED);
    let id = &question["id"];
    bridge.line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-1,"message":"the user is asleep"}}}}"#));
    assert_eq!(bridge.error(&call)["message"], "the user is asleep");
    // The other question is answered too late: it is nobody's any more.
    let roots = bridge.wait_for_method(0, ROOTS);
    bridge.respond(&roots, json!({"roots": []}));
    barrier(&mut bridge, "after");
    assert_eq!(server.records_of("tools/call").len(), 2, "the call was made again");
    assert!(server.records_of("answer").is_empty());
    bridge.finish();
}

#[test]
fn a_question_that_the_client_has_not_declared() {
    let server = server(asks(1));
    let mut bridge = connected(&server, json!({"elicitation": {}}));
    let call = bridge.request("tools/call", marked("asks"));
    let error = bridge.error(&call);
    assert!(error["message"].as_str().is_some_and(|message| message.contains("roots")), "{error}");
    assert!(bridge.messages_of(ROOTS).is_empty());
    barrier(&mut bridge, "after");
    bridge.finish();
}

#[test]
fn questions_without_end() {
    let server = server(asks(1000));
    let mut bridge = connected(&server, json!({"elicitation": {}, "roots": {}}));
    let call = bridge.request("tools/call", marked("asks"));
    let id: Value = serde_json::from_str(&call).expect("ids are JSON");
    let mut mark = 0;
    for _ in 0..20 {
        let next = bridge
            .wait_after(mark, "a question or the end", |message| message["method"] == ASKED || message["id"] == id);
        if next["method"] != ASKED {
            break;
        }
        let roots = bridge.wait_for_method(mark, ROOTS);
        mark = bridge.mark();
        bridge.respond(&next, json!({"action": "decline"}));
        bridge.respond(&roots, json!({"roots": []}));
    }
    bridge.error(&call);
    let rounds = server.records_of("tools/call").len();
    assert!((9..=12).contains(&rounds), "{rounds} rounds");
    bridge.finish();
}

/// The client gives up while the user thinks.
#[test]
fn a_call_that_is_cancelled_while_the_user_is_asked() {
    let server = server(asks(1));
    let mut bridge = connected(&server, json!({"elicitation": {}, "roots": {}}));
    let call = bridge.request("tools/call", marked("asks"));
    let question = bridge.wait_for_method(0, ASKED);
    let roots = bridge.wait_for_method(0, ROOTS);
    bridge.cancel(&call);
    bridge.respond(&question, json!({"action": "accept"}));
    bridge.respond(&roots, json!({"roots": []}));
    barrier(&mut bridge, "after");
    assert_eq!(server.records_of("tools/call").len(), 2, "the call was made again");
    bridge.finish();
}

/// The server goes while the user thinks, and the round after breaks: what may have run is not run again.
#[test]
fn a_restart_while_the_user_is_asked() {
    for breaks in [false, true] {
        let hook = asks(1);
        let mut server = server(move |call, reply| {
            let is_second = call.message["params"]["requestState"].is_string();
            if breaks && is_second { Outcome::Done(reply.reset()) } else { hook(call, reply) }
        });
        let mut bridge = connected(&server, json!({"elicitation": {}, "roots": {}}));
        let call = bridge.request("tools/call", marked("asks"));
        let question = bridge.wait_for_method(0, ASKED);
        let roots = bridge.wait_for_method(0, ROOTS);
        server.down();
        bridge.respond(&question, json!({"action": "accept"}));
        bridge.respond(&roots, json!({"roots": []}));
        server.up();
        let answer = bridge.answer(&call);
        assert_eq!(answer["error"]["code"] == -31001, breaks, "{answer}");
        assert_eq!(server.records_of("tools/call").len(), 2, "breaks: {breaks}");
        bridge.finish();
    }
}

/// A call in flight is lost, a list is asked for again, a call that waits is made: as ever.
#[test]
fn a_restart() {
    let mut server = server(|call, reply| {
        if call.kind == "tools/call" && call.mark() == "lost" && call.before == 0 {
            call.server.executed("lost");
            call.server.keep(reply.hold());
            return Outcome::Done(None);
        }
        Outcome::Good(reply)
    });
    let mut bridge = connected(&server, json!({}));
    let lost = bridge.request("tools/call", marked("lost"));
    server.wait_for("tools/call", 1);
    let mark = bridge.mark();
    server.down();
    assert_eq!(bridge.error(&lost)["code"], -31001);
    let held = bridge.request("tools/call", marked("held"));
    let list = bridge.request("tools/list", json!({}));
    server.up();
    assert_eq!(text(&bridge.result(&held)), "held");
    bridge.result(&list);
    bridge.wait_for_method(mark, TOOLS);
    assert_eq!((server.executions("lost"), server.executions("held")), (1, 1));
    bridge.finish();
}

/// What ends a call is the end of its connection.
#[test]
fn a_cancelled_call() {
    let held = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keep = held.clone();
    let server = server(move |call, reply| {
        if call.kind == "tools/call" && call.mark() == "held" {
            *keep.lock().unwrap() = Some(reply.hold());
            return Outcome::Done(None);
        }
        Outcome::Good(reply)
    });
    let mut bridge = connected(&server, json!({}));
    let call = bridge.request("tools/call", marked("held"));
    let stream = poll("the server holds the call", PATIENCE, || held.lock().unwrap().take());
    bridge.cancel(&call);
    poll("the connection of the cancelled call is closed", PATIENCE, || stream.is_abandoned().then_some(()));
    barrier(&mut bridge, "after");
    assert!(server.records_of("notifications/cancelled").is_empty());
    bridge.finish();
}

/// Answers to nobody's question, and to one that was answered, go nowhere.
#[test]
fn answers_to_no_question() {
    let server = server(asks(1));
    let mut bridge = connected(&server, json!({"elicitation": {}, "roots": {}}));
    bridge.line(r#"{"jsonrpc":"2.0","id":"nobody","result":{}}"#);
    let call = bridge.request("tools/call", marked("asks"));
    let question = bridge.wait_for_method(0, ASKED);
    let roots = bridge.wait_for_method(0, ROOTS);
    bridge.respond(&question, json!({"action": "accept"}));
    bridge.respond(&question, json!({"action": "decline"}));
    bridge.respond(&roots, json!({"roots": []}));
    let said: Value = serde_json::from_str(&text(&bridge.result(&call))).expect("JSON");
    assert_eq!(said["responses"]["a name"]["action"], "accept", "the second answer was taken");
    assert!(server.records_of("answer").is_empty());
    bridge.finish();
}
