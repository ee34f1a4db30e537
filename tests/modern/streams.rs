//! What no real server or client does, or does only seldom: the scripted server says it byte by byte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::scripted::{self, Modern, acknowledgement, decoded, good, notification};
use super::support::bridge::{Bridge, text};
use super::support::http::{Reply, Stream};
use super::support::script::{Call, Outcome};
use super::support::{PATIENCE, poll};
use super::{MODERN, SUBSCRIPTION, acknowledged, barrier, bridge, listen, modern, told, tool, with_meta};

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// How often the client sees a method.
fn count(bridge: &Bridge, method: &str) -> usize {
    bridge.messages_of(method).len()
}

/// The ids on the wire of all requests of a kind.
fn wire_ids(server: &Modern, kind: &str) -> Vec<String> {
    server.records_of(kind).iter().map(|record| record.message["id"].to_string()).collect()
}

// ---- What the client says.

/// Whatever is not of this era is of the other one, in which nothing goes before `initialize`. None of it may reach the server
/// as if it were of this era.
#[test]
fn meta_that_is_none() {
    let server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    let version = "io.modelcontextprotocol/protocolVersion";
    let metas = [
        json!(null),
        json!("2026-07-28"),
        json!({}),
        json!({version: null}),
        json!({version: 20_260_728}),
        json!({version: {"date": MODERN}}),
        json!({version: [MODERN]}),
        json!({version: ""}),
        json!({version: "banana"}),
        json!({version: "2026-7-28"}),
        json!({version: "2026-07-28 "}),
        json!({version: " 2026-07-28"}),
        json!({version: "2026-07-28\r\nx: y"}),
        json!({version: "2026-07-28x"}),
        json!({version: "9999"}),
        json!({version: "draft"}),
        json!({version: "２０２６-０７-２８"}),
        json!({version: "2026-07-27"}),
        json!({version: "2025-11-25"}),
    ];
    for meta in metas {
        let id = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": "m"}, "_meta": meta}));
        let error = bridge.error(&id);
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{meta}: {error}");
    }
    for params in ["[]", "null", r#""text""#, "7", "[{\"_meta\":{}}]"] {
        let id = format!(r#""{}""#, params.len());
        bridge.expect_answer_to(&id, "tools/call");
        bridge.line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#));
        bridge.error(&id);
    }
    assert_eq!(server.executions("m"), 0);
    barrier(&mut bridge, "after all that");
    bridge.finish();
}

/// A list is no object, whatever is in it.
#[test]
fn meta_that_is_a_list() {
    let server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    for meta in [json!([MODERN]), json!([MODERN, {"name": "c"}, {}]), json!([null, MODERN]), json!([[MODERN]])] {
        let id = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": "m"}, "_meta": meta}));
        bridge.error(&id);
    }
    assert_eq!(server.executions("m"), 0);
    barrier(&mut bridge, "after");
    bridge.finish();
}

/// A later version is the server's to refuse; its answer and the version come and go as they are.
#[test]
fn a_version_of_the_future() {
    let server = scripted::server(|call, reply| {
        if call.message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == MODERN {
            return Outcome::Good(reply);
        }
        let mut error = call.error(-32022, "Unsupported protocol version");
        error["error"]["data"] = json!({"supported": [MODERN], "requested": call.http.header("mcp-protocol-version")});
        Outcome::Done(reply.json(400, &error))
    });
    let mut bridge = bridge(&server.url(), &[]);
    let mut params = modern(json!({}));
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2027-03-01");
    for method in ["tools/list", "server/discover"] {
        let id = bridge.request(method, params.clone());
        let error = bridge.error(&id);
        assert_eq!(error["code"], -32022, "{method}: {error}");
        assert_eq!(error["data"], json!({"supported": [MODERN], "requested": "2027-03-01"}), "{method}");
    }
    barrier(&mut bridge, "after");
    bridge.finish();
}

/// The server complains about what else is missing; that is for the client.
#[test]
fn capabilities_that_are_missing() {
    let server = scripted::server(|call, reply| {
        if call.message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"].is_object() {
            return Outcome::Good(reply);
        }
        Outcome::Done(reply.json(400, &call.error(-32602, "clientCapabilities is missing")))
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("server/discover", modern(json!({})));
    let mut params = tool("mark", json!({"mark": "m"}));
    params["_meta"].as_object_mut().unwrap().remove("io.modelcontextprotocol/clientCapabilities");
    let id = bridge.request("tools/call", params);
    assert_eq!(bridge.error(&id)["message"], "clientCapabilities is missing");
    bridge.finish();
}

/// The server has asked nothing.
#[test]
fn a_response_from_the_client() {
    let server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("server/discover", modern(json!({})));
    let log = bridge.log_mark();
    bridge.line(r#"{"jsonrpc":"2.0","id":"nobody","result":{"action":"accept"}}"#);
    bridge.line(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}"#);
    barrier(&mut bridge, "after");
    assert!(server.records_of("answer").is_empty(), "it was sent to the server");
    assert!(bridge.log_mark() > log, "nothing was said about it");
    bridge.finish();
}

/// Names and URIs that no header can hold.
#[test]
fn names_in_headers() {
    let server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    let names = [
        "plain",
        "two words",
        "Grüße",
        "世界",
        " edge",
        "edge ",
        "\ttab",
        "in\tside",
        "line\nbreak",
        "line\r\nmcp-method: x",
        "",
        "=?base64?eA==?=",
        "=?base64?",
        "=?utf-8?q?x?=",
        "\u{0}",
        "\u{7f}",
        "a,b;c=\"d\"",
        "%20",
        "🦀",
    ];
    for name in names {
        bridge.call("tools/call", tool(name, json!({"mark": "m"})));
        bridge.call("resources/read", modern(json!({"uri": format!("memo://{name}")})));
        bridge.call("prompts/get", modern(json!({"name": name})));
    }
    // The server itself has compared them; here is how they were written.
    let sent: Vec<_> = server
        .records_of("tools/call")
        .iter()
        .map(|record| record.http.header("mcp-name").map(str::to_owned))
        .collect();
    for (name, sent) in names.iter().zip(sent) {
        let sent = sent.unwrap_or_else(|| panic!("{name:?} without Mcp-Name"));
        assert_eq!(decoded(&sent), *name);
        let is_plain = name.bytes().all(|byte| (0x20..0x7f).contains(&byte))
            && name.trim() == *name
            && !(name.starts_with("=?base64?") && name.ends_with("?="));
        if is_plain {
            assert_eq!(sent, *name, "what a header can hold goes as it is");
        } else if !name.contains('\t') {
            assert!(sent.starts_with("=?base64?"), "{name:?} was sent as {sent:?}");
        }
    }
    bridge.finish();
}

/// What ends the request is that its connection ends; there is no message for it.
#[test]
fn a_cancelled_call() {
    let held: Arc<Mutex<Option<Stream>>> = Arc::default();
    let keep = held.clone();
    let server = scripted::server(move |call, reply| {
        if call.kind == "tools/call" && call.mark() == "held" {
            let stream = reply.events(&[]);
            stream.raw(b": hello\n\n");
            *keep.lock().unwrap() = Some(stream);
            return Outcome::Done(None);
        }
        Outcome::Good(reply)
    });
    let mut bridge = bridge(&server.url(), &[]);
    let call = bridge.request("tools/call", tool("mark", json!({"mark": "held"})));
    server.wait_for("tools/call", 1);
    let stream = poll("the server holds the call", PATIENCE, || held.lock().unwrap().take());
    bridge.cancel(&call);
    poll("the connection of the cancelled call is closed", PATIENCE, || stream.is_abandoned().then_some(()));
    barrier(&mut bridge, "after");
    assert!(server.records_of("notifications/cancelled").is_empty(), "the cancellation was sent as a message");
    assert!(!bridge.is_answered(&call), "a cancelled request was answered");
    bridge.finish();
}

/// A request that waits for a server that is away is cancelled: it is never sent.
#[test]
fn a_cancelled_call_that_waits() {
    let mut server = scripted::reserved(good);
    let mut bridge = bridge(&server.url(), &[]);
    let call = bridge.request("tools/call", tool("mark", json!({"mark": "cancelled"})));
    bridge.wait_for_log(0, &["trying again"]);
    bridge.cancel(&call);
    let kept = bridge.request("tools/call", tool("mark", json!({"mark": "kept"})));
    server.up();
    assert_eq!(text(&bridge.result(&kept)), "kept");
    assert_eq!(server.executions("cancelled"), 0);
    bridge.finish();
}

/// Nothing of the other era: no session, no GET, no DELETE, no `initialize`, no `ping`. The server tempts the client.
#[test]
fn nothing_of_the_other_era() {
    let server = scripted::server(|call, reply| {
        if call.kind != "tools/list" {
            return Outcome::Good(reply);
        }
        let list = call.response(json!({"resultType": "complete", "tools": []})).to_string();
        let headers = [("mcp-session-id", "a-session"), ("content-type", "application/json")];
        Outcome::Done(reply.send(200, &headers, list.as_bytes()))
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("server/discover", modern(json!({})));
    for _ in 0..3 {
        bridge.call("tools/list", modern(json!({})));
    }
    barrier(&mut bridge, "after");
    bridge.line(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    barrier(&mut bridge, "after a notification of the other era");
    let records = server.records();
    bridge.finish();
    let wrong = ["GET", "DELETE", "initialize", "ping"];
    assert!(records.iter().all(|record| !wrong.contains(&record.kind.as_str())), "{records:?}");
    assert!(server.records_of("DELETE").is_empty(), "there is no session to be ended");
}

// ---- What the server says.

/// There are no requests of a server in this era: they are dropped, said, and not answered.
#[test]
fn a_request_of_the_server() {
    let server = scripted::server(|call, reply| {
        if call.kind != "tools/call" || call.mark() != "asks" {
            return Outcome::Good(reply);
        }
        let stream = reply.events(&[]);
        stream
            .event(&json!({"jsonrpc": "2.0", "id": "s1", "method": "elicitation/create", "params": {"message": "?"}}));
        stream.event(&json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}));
        stream.event(&json!({"jsonrpc": "2.0", "id": call.message["id"], "method": "roots/list"}));
        stream.event(&call.response(json!({"resultType": "complete", "content": [{"type": "text", "text": "asked"}]})));
        stream.end();
        Outcome::Done(None)
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, r#""listen-1""#);
    let log = bridge.log_mark();
    let answer = bridge.call("tools/call", tool("mark", json!({"mark": "asks"})));
    assert_eq!(text(&answer), "asked");
    let (id, stream) = server.stream(0);
    stream.event(&json!({"jsonrpc": "2.0", "id": "s2", "method": "sampling/createMessage", "params": {}}));
    stream.event(&notification(&id, TOOLS, json!({})));
    bridge.wait_for_method(0, TOOLS);
    barrier(&mut bridge, "after");
    for method in ["elicitation/create", "ping", "roots/list", "sampling/createMessage"] {
        assert_eq!(count(&bridge, method), 0, "{method} reached the client");
    }
    assert!(server.records_of("answer").is_empty(), "it was answered");
    bridge.wait_for_log(log, &["elicitation/create"]);
    bridge.cancel(r#""listen-1""#);
    bridge.finish();
}

/// The ids in what the server says are the client's, whatever they were on the wire.
#[test]
fn ids_are_the_clients() {
    let server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    let ids = ["1", "9007199254740991", "-5", r#""1""#, r#""""#, r#""\u0041\"x""#, r#""listen-1""#];
    for (number, id) in ids.iter().enumerate() {
        bridge.request_as(id, "subscriptions/listen", listen(&[]));
        let (wire, stream) = server.stream(number);
        assert_ne!(wire, Value::Null);
        stream.event(&notification(&wire, TOOLS, json!({})));
        let value: Value = serde_json::from_str(id).unwrap();
        bridge.wait_for("a change", |message| {
            message["method"] == TOOLS && message["params"]["_meta"][SUBSCRIPTION] == value
        });
        bridge.cancel(id);
        poll("the cancelled subscription is closed", PATIENCE, || stream.is_abandoned().then_some(()));
    }
    for id in ids {
        bridge.request_as(id, "tools/list", modern(json!({})));
        bridge.result(id);
    }
    let mut wire = wire_ids(&server, "subscriptions/listen");
    wire.append(&mut wire_ids(&server, "tools/list"));
    let all = wire.len();
    wire.sort();
    wire.dedup();
    assert_eq!(wire.len(), all, "an id was used twice: {wire:?}");
    bridge.finish();
}

/// What each way to end a subscription's stream leads to.
fn ended_by(end: impl FnOnce(&mut Modern, Value, Stream)) {
    let mut server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    let id = r#""listen-1""#;
    bridge.request_as(id, "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, id);
    let (wire, stream) = server.stream(0);
    let mark = bridge.mark();
    end(&mut server, wire.clone(), stream);
    let (again, stream) = server.stream(1);
    assert_ne!(again, wire, "a subscription that is opened again has an id of its own");
    for method in [TOOLS, UPDATED] {
        bridge.wait_after(mark, method, |message| message["method"] == method);
    }
    stream.event(&notification(&again, "notifications/resources/updated", json!({"uri": "memo://note"})));
    bridge.wait_after(mark, "the server's own change", {
        let mut seen = 0;
        move |message| {
            seen += usize::from(message["method"] == UPDATED);
            seen == 2
        }
    });
    barrier(&mut bridge, "after");
    let mut told = told(&bridge, mark, id);
    told.sort();
    assert_eq!(
        told,
        [UPDATED, UPDATED, TOOLS],
        "one change for what each end of a stream may have hidden, and the server's"
    );
    assert!(!bridge.is_answered(id), "the client was told that its subscription has ended");
    assert_eq!(count(&bridge, "notifications/cancelled"), 0);
    let asked: Vec<_> =
        server.records_of("subscriptions/listen").iter().map(|record| record.message["params"].clone()).collect();
    assert_eq!(asked, [listen(&["memo://note"]), listen(&["memo://note"])], "the same is asked for again");
    bridge.cancel(id);
    poll("the cancelled subscription is closed", PATIENCE, || stream.is_abandoned().then_some(()));
    bridge.finish();
}

#[test]
fn a_subscription_that_ends_gracefully() {
    ended_by(|_, wire, stream| {
        let meta = json!({SUBSCRIPTION: wire});
        stream.event(&json!({"jsonrpc": "2.0", "id": wire, "result": {"resultType": "complete", "_meta": meta}}));
        stream.end();
    });
}

#[test]
fn a_subscription_that_ends_by_a_cancellation() {
    ended_by(|_, wire, stream| {
        stream.event(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": wire}}));
        stream.end();
    });
}

#[test]
fn a_subscription_whose_stream_just_ends() {
    ended_by(|_, _, stream| stream.end());
}

#[test]
fn a_subscription_whose_connection_breaks() {
    ended_by(|_, _, stream| drop(stream));
}

#[test]
fn a_subscription_whose_connection_is_reset() {
    ended_by(|_, _, stream| stream.reset());
}

#[test]
fn a_subscription_whose_server_is_down() {
    ended_by(|server, _, stream| {
        drop(stream);
        server.down();
        server.up();
    });
}

/// The first acknowledgement counts.
#[test]
fn an_acknowledgement_that_comes_twice() {
    let server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as("5", "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, "5");
    let (wire, stream) = server.stream(0);
    let less = json!({"notifications": {"toolsListChanged": true}});
    stream.event(&notification(&wire, "notifications/subscriptions/acknowledged", less));
    stream.event(&notification(&wire, TOOLS, json!({})));
    bridge.wait_for_method(0, TOOLS);
    barrier(&mut bridge, "after");
    assert_eq!(count(&bridge, "notifications/subscriptions/acknowledged"), 1);
    bridge.cancel("5");
    bridge.finish();
}

/// The one that never came is owed to the client, and comes from the next stream.
#[test]
fn an_acknowledgement_that_never_comes() {
    let opened = AtomicUsize::new(0);
    let first: Arc<Mutex<Option<Stream>>> = Arc::default();
    let keep = first.clone();
    let server = scripted::server(move |call, reply| {
        if call.kind != "subscriptions/listen" || opened.fetch_add(1, Ordering::SeqCst) > 0 {
            return Outcome::Good(reply);
        }
        let stream = reply.events(&[]);
        stream.raw(b": nothing to say\n\n");
        *keep.lock().unwrap() = Some(stream);
        Outcome::Done(None)
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as("5", "subscriptions/listen", listen(&["memo://note"]));
    let stream = poll("the first stream is open", PATIENCE, || first.lock().unwrap().take());
    barrier(&mut bridge, "meanwhile");
    assert_eq!(count(&bridge, "notifications/subscriptions/acknowledged"), 0);
    stream.end();
    acknowledged(&bridge, "5");
    barrier(&mut bridge, "after");
    assert_eq!(count(&bridge, "notifications/subscriptions/acknowledged"), 1);
    bridge.cancel("5");
    bridge.finish();
}

/// The server honours less than before: the client is told of changes of what is left only.
#[test]
fn an_acknowledgement_of_less() {
    let opened = AtomicUsize::new(0);
    let server = scripted::server({
        move |call, reply| {
            if call.kind != "subscriptions/listen" || opened.fetch_add(1, Ordering::SeqCst) == 0 {
                return Outcome::Good(reply);
            }
            let stream = reply.events(&[]);
            let mut less = acknowledgement(call);
            less["params"]["notifications"] = json!({"toolsListChanged": true});
            stream.event(&less);
            call.server.keep(stream);
            Outcome::Done(None)
        }
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as("5", "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, "5");
    server.stream(0).1.end();
    bridge.wait_for_method(0, TOOLS);
    barrier(&mut bridge, "after");
    assert_eq!(told(&bridge, 0, "5"), ["notifications/subscriptions/acknowledged", TOOLS]);
    bridge.cancel("5");
    bridge.finish();
}

/// A subscription that the server refuses, at once or when it is opened again, is answered with the refusal.
#[test]
fn a_subscription_that_is_refused() {
    let opened = AtomicUsize::new(0);
    let server = scripted::server(move |call, reply| {
        if call.kind != "subscriptions/listen" || opened.fetch_add(1, Ordering::SeqCst) == 0 {
            return Outcome::Good(reply);
        }
        Outcome::Done(reply.json(200, &call.error(-32603, "Subscription limit reached")))
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    bridge.request_as("6", "subscriptions/listen", listen(&[]));
    assert_eq!(bridge.error("6")["message"], "Subscription limit reached");
    assert!(!bridge.is_answered("5"));
    server.stream(0).1.end();
    assert_eq!(bridge.error("5")["message"], "Subscription limit reached");
    barrier(&mut bridge, "after");
    assert_eq!(server.records_of("subscriptions/listen").len(), 3, "what was refused was asked for again");
    bridge.finish();
}

// ---- What may be sent again.

/// Breaks the connection of the first request of a kind, after it was read.
fn breaks_first(kind: &'static str) -> impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static {
    move |call, reply| {
        if call.kind == kind && call.before == 0 {
            return Outcome::Done(reply.reset());
        }
        Outcome::Good(reply)
    }
}

#[test]
fn what_is_safe_is_sent_again_with_another_id() {
    let cases = [
        ("tools/list", json!({})),
        ("server/discover", json!({})),
        ("resources/read", json!({"uri": "memo://note"})),
        ("prompts/get", json!({"name": "greet"})),
    ];
    for (method, params) in cases {
        let server = scripted::server(breaks_first(method));
        let mut bridge = bridge(&server.url(), &[]);
        bridge.call(method, modern(params));
        let mut ids = wire_ids(&server, method);
        // `server/discover` is also how the bridge itself asks whether the server is there.
        assert!(ids.len() == 2 || method == "server/discover", "{method}: {ids:?}");
        ids.sort();
        let sent = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), sent, "{method} was sent again with its old id");
        bridge.finish();
    }
}

#[test]
fn what_may_have_run_is_not_sent_again() {
    let mut stateful = modern(json!({"uri": "memo://note", "requestState": "one"}));
    stateful["name"] = json!("mark");
    let mut answered = tool("look", json!({"mark": "m"}));
    answered["inputResponses"] = json!({"a": {"action": "accept"}});
    let cases = [
        ("tools/call", tool("mark", json!({"mark": "m"}))),
        ("tools/call", answered),
        ("completion/complete", stateful),
        ("vendor/whatever", modern(json!({}))),
    ];
    for (method, params) in cases {
        let server = scripted::server(breaks_first(method));
        let mut bridge = bridge(&server.url(), &["--trust-annotations"]);
        let id = bridge.request(method, params);
        assert_eq!(bridge.error(&id)["code"], -31001, "{method}");
        barrier(&mut bridge, "after");
        let sent = server
            .records_of(method)
            .iter()
            .filter(|record| record.message["params"]["arguments"]["mark"] != "after")
            .count();
        assert_eq!(sent, 1, "{method} was sent again");
        bridge.finish();
    }
}

/// `readOnlyHint` is believed if the user says so, but never for a later round, whose state may be good for one time only.
#[test]
fn annotations_that_are_trusted() {
    let tools = json!([{"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}]);
    for (is_round_two, sent) in [(false, 2), (true, 1)] {
        let tools = tools.clone();
        let server = scripted::server(move |call, reply| match call.kind {
            "tools/list" => Outcome::Done(call.result(reply, json!({"resultType": "complete", "tools": tools}))),
            "tools/call" if call.before == 0 => Outcome::Done(reply.reset()),
            _ => Outcome::Good(reply),
        });
        let mut bridge = bridge(&server.url(), &["--trust-annotations"]);
        bridge.call("tools/list", modern(json!({})));
        let mut params = tool("look", json!({"mark": "m"}));
        if is_round_two {
            params["requestState"] = json!("one");
        }
        let id = bridge.request("tools/call", params);
        let answer = bridge.answer(&id);
        assert_eq!(answer["error"]["code"] == -31001, is_round_two, "{answer}");
        assert_eq!(server.records_of("tools/call").len(), sent);
        bridge.finish();
    }
}

/// A stream that breaks takes the answer with it, also after it has begun; a stream that ends well without one is no better.
#[test]
fn a_stream_that_ends_without_the_answer() {
    for is_clean in [true, false] {
        let server = scripted::server(move |call, reply| {
            if call.before > 0 || call.kind == "server/discover" {
                return Outcome::Good(reply);
            }
            let stream = reply.events(&[]);
            stream.raw(b": hello\n\n");
            if is_clean {
                stream.end();
            } else {
                stream.reset();
            }
            Outcome::Done(None)
        });
        let mut bridge = bridge(&server.url(), &[]);
        bridge.call("tools/list", modern(json!({})));
        let call = bridge.request("tools/call", tool("mark", json!({"mark": "m"})));
        assert_eq!(bridge.error(&call)["code"], -31001, "clean: {is_clean}");
        assert_eq!(server.records_of("tools/call").len(), 1);
        bridge.finish();
    }
}

/// The second try counts from the beginning; the client has heard that already.
#[test]
fn progress_never_goes_back() {
    let server = scripted::server(|call, reply| {
        if call.kind != "resources/read" {
            return Outcome::Good(reply);
        }
        let token = &call.message["params"]["_meta"]["progressToken"];
        let stream = reply.events(&[]);
        for progress in 1..=(3 + 2 * call.before) {
            let params = json!({"progressToken": token, "progress": progress});
            stream.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
        }
        if call.before == 0 {
            stream.reset();
        } else {
            stream.event(&call.response(json!({"resultType": "complete", "contents": []})));
            stream.end();
        }
        Outcome::Done(None)
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("resources/read", with_meta(json!({"uri": "memo://note"}), json!({"progressToken": "p"})));
    let progress: Vec<_> = bridge
        .messages_of("notifications/progress")
        .iter()
        .map(|message| message["params"]["progress"].as_f64())
        .collect();
    assert!(progress.is_sorted_by(|a, b| a < b), "{progress:?}");
    assert_eq!(progress.last(), Some(&Some(5.0)), "{progress:?}");
    bridge.finish();
}

/// The server took it not: it is sent when the server can.
#[test]
fn a_server_that_is_busy() {
    for status in [429, 503] {
        let server = scripted::server(move |call, reply| {
            if call.kind == "tools/call" && call.before == 0 {
                return Outcome::Done(reply.send(status, &[("retry-after", "0")], b"later"));
            }
            Outcome::Good(reply)
        });
        let mut bridge = bridge(&server.url(), &[]);
        barrier(&mut bridge, "once");
        assert_eq!(server.executions("once"), 1, "{status}");
        bridge.finish();
    }
}

/// These are answers: no session is lost, no era has changed, nothing is sent again.
#[test]
fn errors_that_are_the_servers_answer() {
    let cases =
        [(404, -32601), (400, -32602), (400, -32021), (200, -32603), (400, -32600), (400, -32000), (200, -32001)];
    for (status, code) in cases {
        let server = scripted::server(move |call, reply| {
            if call.kind == "tools/call" && call.mark() == "wrong" {
                return Outcome::Done(reply.json(status, &call.error(code, "the server's words")));
            }
            Outcome::Good(reply)
        });
        let mut bridge = bridge(&server.url(), &[]);
        bridge.call("server/discover", modern(json!({})));
        let id = bridge.request("tools/call", tool("mark", json!({"mark": "wrong"})));
        let error = bridge.error(&id);
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!(code), &json!("the server's words")),
            "{status} {code}"
        );
        barrier(&mut bridge, "after");
        assert_eq!(server.records_of("tools/call").len(), 2, "{status} {code}: sent again");
        assert!(server.records_of("initialize").is_empty(), "{status} {code}: taken for a legacy server");
        bridge.finish();
    }
}

/// A router without its route, as while a deployment goes on.
#[test]
fn a_route_that_is_not_there_yet() {
    let server = scripted::server(|call, reply| {
        if call.kind == "tools/call" && call.before < 2 {
            return Outcome::Done(reply.text(404, "text/html", "<html>no such page</html>"));
        }
        Outcome::Good(reply)
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("server/discover", modern(json!({})));
    barrier(&mut bridge, "once");
    assert_eq!(server.executions("once"), 1);
    bridge.finish();
}

// ---- `server/discover` whatever the server does.

/// None of these says which era it is: the client is answered before it gives up.
fn undecided(hook: impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static) {
    let server = scripted::server(hook);
    let mut bridge = bridge(&server.url(), &[]);
    let begin = std::time::Instant::now();
    let probe = bridge.request("server/discover", modern(json!({})));
    assert_eq!(bridge.error(&probe)["code"], -32601);
    assert!(begin.elapsed() < std::time::Duration::from_secs(10), "the client has given up: {:?}", begin.elapsed());
    assert!(server.records_of("initialize").is_empty(), "the server has not said that it is a legacy one");
    bridge.finish();
}

#[test]
fn discover_at_a_server_that_says_nothing() {
    let held: Mutex<Vec<Stream>> = Mutex::default();
    undecided(move |_, reply| {
        held.lock().unwrap().push(reply.hold());
        Outcome::Done(None)
    });
}

#[test]
fn discover_at_a_server_that_is_unwell() {
    undecided(|call, reply| Outcome::Done(reply.empty([500, 502, 503, 504][call.before % 4])));
}

/// After a time of errors, the right answer is the one that counts.
#[test]
fn discover_at_a_server_that_comes_round() {
    let server = scripted::server(|call, reply| match (call.kind, call.before) {
        ("server/discover", 0) => Outcome::Done(reply.empty(503)),
        ("server/discover", 1) => Outcome::Done(reply.empty(500)),
        _ => Outcome::Good(reply),
    });
    let mut bridge = bridge(&server.url(), &[]);
    assert_eq!(bridge.call("server/discover", modern(json!({})))["supportedVersions"], json!([MODERN]));
    bridge.finish();
}

// ---- Liveness.

/// A subscription that is silent is asked after in the words of the era; comments are words enough.
#[test]
fn a_silent_subscription() {
    let server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &["--heartbeat", "200ms"]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    server.wait_for("server/discover", 2);
    barrier(&mut bridge, "after");
    assert!(server.records_of("ping").is_empty(), "there is no ping in this era");
    bridge.cancel("5");
    bridge.finish();
}

/// A silent connection that is dead: the heartbeat finds out, and the subscription is opened again.
#[test]
fn a_subscription_whose_server_hangs() {
    let server = scripted::server(|call, reply| {
        if call.kind == "server/discover" && call.before == 0 {
            call.server.keep(reply.hold());
            return Outcome::Done(None);
        }
        Outcome::Good(reply)
    });
    let mut bridge = bridge(&server.url(), &["--heartbeat", "200ms", "--heartbeat-timeout", "200ms"]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    let (_, first) = server.stream(0);
    let (_, _second) = server.stream(1);
    poll("the silent stream is let go", PATIENCE, || first.is_abandoned().then_some(()));
    bridge.wait_for_method(0, TOOLS);
    bridge.cancel("5");
    bridge.finish();
}

// ---- Tools with headers.

/// A tool with an argument that is mirrored.
fn mirrored(name: &str, header: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"mark": {"type": "string"}, "where": {"type": "string", "x-mcp-header": header}}});
    json!({"name": name, "inputSchema": schema})
}

/// Answers lists with what `tools` gives for a cursor, and calls only if they carry the header `Mcp-Param-Where`.
fn wants_headers(
    pages: impl Fn(Option<&str>) -> Value + Send + Sync + 'static,
) -> impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static {
    move |call, reply| match call.kind {
        "tools/list" => {
            let mut page = pages(call.message["params"]["cursor"].as_str());
            page["resultType"] = json!("complete");
            Outcome::Done(call.result(reply, page))
        }
        "tools/call" => {
            let wanted = call.message["params"]["arguments"]["where"].as_str();
            if call.http.header("mcp-param-where").map(decoded).as_deref() == wanted {
                return Outcome::Good(reply);
            }
            Outcome::Done(reply.json(400, &call.error(-32020, "Mcp-Param-Where differs from the body")))
        }
        _ => Outcome::Good(reply),
    }
}

fn call_there(bridge: &mut Bridge, name: &str) -> Value {
    let id = bridge.request("tools/call", tool(name, json!({"mark": "m", "where": "here"})));
    bridge.answer(&id)
}

/// One tool too many for what the bridge keeps: the list is whole, the calls whose headers it knows have them, and for the rest
/// the server's error is the answer.
#[test]
fn more_tools_with_headers_than_are_kept() {
    let tools: Vec<_> = (0..1025).map(|number| mirrored(&format!("tool-{number}"), "Where")).collect();
    let server = scripted::server(wants_headers(move |_| json!({"tools": tools})));
    let mut bridge = bridge(&server.url(), &[]);
    let list = bridge.call("tools/list", modern(json!({})));
    assert_eq!(list["tools"].as_array().map(Vec::len), Some(1025), "a tool was lost");
    bridge.wait_for_log(0, &["1024", "1,024", "1025", "1,025"]);
    for name in ["tool-0", "tool-500"] {
        let answer = call_there(&mut bridge, name);
        assert_eq!(text(&answer["result"]), "m", "{name}");
    }
    let answer = call_there(&mut bridge, "tool-1024");
    assert!(answer["result"].is_object() || answer["error"]["code"] == -32020, "{answer}");
    let calls =
        server.records_of("tools/call").iter().filter(|record| record.message["params"]["name"] == "tool-1024").count();
    assert!(calls <= 2, "tried {calls} times");
    bridge.finish();
}

/// The pages of one list belong together; the first page of the next begins anew.
#[test]
fn pages_of_tools_with_headers() {
    let lists = Arc::new(AtomicUsize::new(0));
    let server = scripted::server(wants_headers(move |cursor| match cursor {
        None => {
            let name = if lists.fetch_add(1, Ordering::SeqCst) == 0 { "first" } else { "other" };
            json!({"tools": [mirrored(name, "Where")], "nextCursor": "two"})
        }
        Some(_) => json!({"tools": [mirrored("second", "Where")]}),
    }));
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("tools/list", modern(json!({})));
    bridge.call("tools/list", modern(json!({"cursor": "two"})));
    for name in ["first", "second"] {
        let answer = call_there(&mut bridge, name);
        assert_eq!(text(&answer["result"]), "m", "{name}");
    }
    assert_eq!(server.records_of("tools/call").len(), 2, "a call was made without its header first");
    // A value that is absent or null has no header.
    for arguments in [json!({"mark": "m"}), json!({"mark": "m", "where": null})] {
        bridge.call("tools/call", tool("first", arguments));
    }
    bridge.finish();
}

/// The server refuses a header for ever: one look at the list, one more try, and then its error.
#[test]
fn a_header_that_is_never_right() {
    let server = scripted::server(|call, reply| {
        if call.kind == "tools/call" {
            return Outcome::Done(reply.json(400, &call.error(-32020, "never right")));
        }
        Outcome::Good(reply)
    });
    let mut bridge = bridge(&server.url(), &[]);
    let answer = call_there(&mut bridge, "mark");
    assert_eq!(answer["error"]["message"], "never right", "{answer}");
    assert!(server.records_of("tools/call").len() <= 2);
    assert!(server.records_of("tools/list").len() <= 1);
    bridge.finish();
}

/// A tool whose annotation no client can follow is taken out of the list, and that is said.
#[test]
fn tools_whose_headers_are_none() {
    let nested = json!({"type": "object", "properties": {"in": {"type": "object", "properties": {"mark": {"type": "string"}, "deep": {"type": "string", "x-mcp-header": "Deep"}}}}});
    let items = json!({"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string", "x-mcp-header": "In"}}}});
    let twice = json!({"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "Same"}, "b": {"type": "string", "x-mcp-header": "SAME"}}});
    let bad = |name: &str, schema: Value| json!({"name": name, "inputSchema": schema});
    let tools = json!([
        mirrored("good", "Where"),
        mirrored("bad-empty", ""),
        mirrored("bad-space", "My Where"),
        mirrored("bad-colon", "A:B"),
        mirrored("bad-line", "A\r\nB"),
        mirrored("bad-letter", "Où"),
        bad("bad-items", items),
        bad("bad-twice", twice),
        bad("bad-type", json!({"type": "object", "properties": {"x": {"type": "number", "x-mcp-header": "X"}}})),
        bad("bad-value", json!({"type": "object", "properties": {"x": {"type": "string", "x-mcp-header": 7}}})),
        bad("nested", nested),
    ]);
    let server =
        scripted::server(wants_headers(move |_| json!({"tools": tools, "ttlMs": 5, "more": {"kept": [1, 2.50]}})));
    let mut bridge = bridge(&server.url(), &[]);
    let list = bridge.call("tools/list", modern(json!({})));
    let names: Vec<_> = list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["good", "nested"]);
    assert_eq!(
        (&list["ttlMs"], &list["more"]),
        (&json!(5), &json!({"kept": [1, 2.50]})),
        "the rest of the list was changed"
    );
    for name in [
        "bad-empty",
        "bad-space",
        "bad-colon",
        "bad-line",
        "bad-letter",
        "bad-items",
        "bad-twice",
        "bad-type",
        "bad-value",
    ] {
        bridge.wait_for_log(0, &[name]);
    }
    bridge.call("tools/call", tool("nested", json!({"in": {"deep": "Grüße", "mark": "m"}})));
    let call = server.wait_for("tools/call", 1);
    assert_eq!(call.http.header("mcp-param-deep").map(decoded).as_deref(), Some("Grüße"));
    bridge.finish();
}
