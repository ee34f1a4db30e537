//! How long things wait, and in what order they go on.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scripted::{self, good};
use super::support::bridge::{Bridge, text};
use super::support::http::Stream;
use super::support::script::Outcome;
use super::support::{PATIENCE, poll};
use super::{SUBSCRIPTION, acknowledged, barrier, bridge, listen, modern, told, tool};

const TOOLS: &str = "notifications/tools/list_changed";

/// A server that does not come back in time.
#[test]
fn the_hold_timeout() {
    let mut server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &["--hold-timeout", "500ms"]);
    bridge.call("server/discover", modern(json!({})));
    server.down();
    let call = bridge.request("tools/call", tool("mark", json!({"mark": "late"})));
    assert_eq!(bridge.error(&call)["code"], -31002);
    server.up();
    barrier(&mut bridge, "after");
    assert_eq!(server.executions("late"), 0);
    bridge.finish();
}

/// A call that hangs ends by the request's timeout, a subscription never does.
#[test]
fn the_request_timeout() {
    let held: Arc<Mutex<Vec<Stream>>> = Arc::default();
    let keep = held.clone();
    let server = scripted::server(move |call, reply| {
        if call.kind == "tools/call" && call.mark() == "hangs" {
            keep.lock().unwrap().push(reply.hold());
            return Outcome::Done(None);
        }
        Outcome::Good(reply)
    });
    let mut bridge = bridge(&server.url(), &["--request-timeout", "300ms"]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    for number in 0..3 {
        let call = bridge.request("tools/call", tool("mark", json!({"mark": "hangs"})));
        let error = bridge.error(&call);
        assert!(error["code"].as_i64().is_some_and(|code| (-31999..=-31000).contains(&code)), "{error}");
        let stream = poll("the call was held", PATIENCE, || held.lock().unwrap().pop());
        poll(&format!("call {number} is let go"), PATIENCE, || stream.is_abandoned().then_some(()));
    }
    assert!(!bridge.is_answered("5"), "a subscription is no request that runs too long");
    assert_eq!(server.records_of("subscriptions/listen").len(), 1, "it was opened again");
    bridge.cancel("5");
    bridge.finish();
}

/// Who comes back hears of what changes from then on: subscriptions are opened before what waited is sent.
#[test]
fn subscriptions_before_requests() {
    let mut server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    server.down();
    let held: Vec<_> =
        (0..3).map(|n| bridge.request("tools/call", tool("mark", json!({"mark": format!("h{n}")})))).collect();
    bridge.wait_for_log(0, &["trying again"]);
    server.up();
    for (number, call) in held.iter().enumerate() {
        assert_eq!(text(&bridge.result(call)), format!("h{number}"));
    }
    let mut records = server.records();
    // They arrive on connections of their own; the ids say in which order they were sent.
    records.sort_by_key(|record| record.message["id"].as_u64());
    let kinds: Vec<_> =
        records.iter().map(|record| record.kind.as_str()).filter(|kind| *kind != "server/discover").collect();
    assert_eq!(kinds[..3], ["subscriptions/listen", "subscriptions/listen", "tools/call"], "{kinds:?}");
    bridge.cancel("5");
    bridge.finish();
}

/// A server that ends each subscription at once is asked again, and not in a circle without end.
#[test]
fn a_server_that_ends_every_subscription() {
    let server = scripted::server(|call, reply| {
        if call.kind != "subscriptions/listen" {
            return Outcome::Good(reply);
        }
        let meta = json!({SUBSCRIPTION: call.message["id"]});
        Outcome::Done(call.result(reply, json!({"resultType": "complete", "_meta": meta})))
    });
    let mut bridge = bridge(&server.url(), &[]);
    let begin = Instant::now();
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    server.wait_for("subscriptions/listen", 4);
    assert!(begin.elapsed() > Duration::from_millis(500), "four times in {:?}", begin.elapsed());
    barrier(&mut bridge, "meanwhile");
    bridge.cancel("5");
    bridge.finish();
}

/// The server takes no connections any more and goes on with what it has, which is our subscription, and comments on it: it
/// must be let go, although nobody calls.
#[test]
fn comments_do_not_hide_a_server_that_ends() {
    let mut server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &["--heartbeat", "300ms"]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    let (_, stream) = server.stream(0);
    server.refuse();
    poll("the subscription is let go", PATIENCE, || {
        stream.raw(b": still here\n\n");
        stream.is_abandoned().then_some(())
    });
    drop(stream);
    server.up();
    bridge.wait_for_method(0, TOOLS);
    bridge.cancel("5");
    bridge.finish();
}

/// The same with a call, which is what tells.
#[test]
fn a_refused_call_ends_the_subscriptions() {
    let mut server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    bridge.request_as("6", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    acknowledged(&bridge, "6");
    let streams = [server.stream(0).1, server.stream(1).1];
    server.refuse();
    let call = bridge.request("tools/call", tool("mark", json!({"mark": "held"})));
    for stream in &streams {
        poll("the subscription is let go", PATIENCE, || stream.is_abandoned().then_some(()));
    }
    assert!(!bridge.is_answered(&call));
    drop(streams);
    server.up();
    assert_eq!(text(&bridge.result(&call)), "held");
    for id in [5, 6] {
        let is_news = |message: &Value| message["method"] == TOOLS && message["params"]["_meta"][SUBSCRIPTION] == id;
        bridge.wait_for("the news of a subscription", is_news);
    }
    barrier(&mut bridge, "after");
    for id in ["5", "6"] {
        assert_eq!(told(&bridge, 0, id), ["notifications/subscriptions/acknowledged", TOOLS]);
        bridge.cancel(id);
    }
    bridge.finish();
}

#[test]
fn the_end_of_stdin() {
    the_client_ends(Bridge::finish);
}

/// The bridge ends with subscriptions open and a call in flight: each has its answer, and the server is told by the closed
/// connections.
pub fn the_client_ends(end: impl FnOnce(Bridge)) {
    let held: Arc<Mutex<Option<Stream>>> = Arc::default();
    let keep = held.clone();
    let server = scripted::server(move |call, reply| {
        if call.kind == "tools/call" {
            *keep.lock().unwrap() = Some(reply.hold());
            return Outcome::Done(None);
        }
        Outcome::Good(reply)
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    bridge.request("tools/call", tool("mark", json!({"mark": "m"})));
    server.wait_for("tools/call", 1);
    let (_, stream) = server.stream(0);
    end(bridge);
    poll("the subscription is let go", PATIENCE, || stream.is_abandoned().then_some(()));
    assert!(server.records_of("DELETE").is_empty());
}
