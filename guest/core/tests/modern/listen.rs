//! Streams of notifications survive the server.

use std::time::Duration;

use mcp_reconnect_core::{Failure, Input, Options, SECOND, errors};
use serde_json::{Value, json};

use crate::rig::*;

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

fn changed(id: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": {SUBSCRIPTION: id}}})
}

#[test]
fn notifications_carry_the_clients_id() {
    for id in [json!("listen-1"), json!(7), json!("7")] {
        let mut rig = Rig::new();
        let exchange = rig.listening(id.clone());
        assert_eq!(rig.take(), [acknowledgement(&id, json!({"toolsListChanged": true}))]);
        let wire = rig.find("subscriptions/listen").1;
        rig.event(exchange, &changed(wire.clone()));
        rig.event(exchange, &changed(json!(wire.to_string())));
        assert_eq!(rig.take(), [changed(id.clone()), changed(id)]);
        // It is nothing that runs.
        assert_eq!(rig.engine.status().in_flight, 0);
        rig.pass(29 * SECOND);
        assert!(rig.take().is_empty());
    }
}

#[test]
fn a_lost_stream_is_opened_again_and_everything_it_tells_of_has_changed_once() {
    for way in 0..4 {
        let mut rig = Rig::new();
        rig.discovered();
        let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["x:1", "x:2"]});
        rig.ask(json!("L"), "subscriptions/listen", json!({"notifications": wanted}));
        let exchange = rig.acknowledge(wanted);
        rig.take();
        rig.now += 11 * SECOND;
        let wire = rig.find("subscriptions/listen").1;
        match way {
            0 => rig.fail(exchange, Failure::Lost),
            1 => rig.end(exchange),
            2 => rig.event(exchange, &json!({"jsonrpc": "2.0", "id": wire, "result": {"resultType": "complete"}})),
            _ => {
                let params = json!({"requestId": wire});
                rig.event(exchange, &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}));
            }
        }
        if way == 0 {
            rig.result("server/discover", discover_result());
        }
        rig.pass(Duration::from_nanos(1));
        assert!(rig.take().is_empty(), "the client hears nothing of it");
        let again = rig.find("subscriptions/listen").1;
        assert_ne!(again, wire);
        rig.acknowledge(json!({"toolsListChanged": true, "resourceSubscriptions": ["x:1"]}));
        let told = rig.take();
        assert_eq!(told[0], changed(json!("L")));
        assert_eq!(
            (&told[1]["method"], &told[1]["params"]["uri"]),
            (&json!("notifications/resources/updated"), &json!("x:1"))
        );
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(rig.logged("does not tell of everything"), "{:?}", rig.events);
    }
}

#[test]
fn a_refused_connection_lets_go_of_the_stream_at_once() {
    let mut rig = Rig::new();
    rig.discovered();
    let listen = rig.listening(json!(1));
    rig.take();
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    let (call, _) = rig.find("tools/call");
    rig.fail(call, Failure::Connect);
    assert!(rig.cancelled.contains(&listen), "the server that goes down waits for it");
    // The streams come first, then what waits.
    rig.until_asked();
    let before = rig.started.len();
    rig.result("server/discover", discover_result());
    assert_eq!(rig.methods()[before..], ["subscriptions/listen", "tools/call"]);
    rig.acknowledge(json!({"toolsListChanged": true}));
    assert_eq!(rig.take(), [changed(json!(1))]);
}

#[test]
fn an_idle_stream_is_let_go_when_the_server_takes_no_connections() {
    let mut rig = Rig::new();
    rig.discovered();
    let listen = rig.listening(json!(1));
    // Comments are a sign of life, and say nothing of new connections.
    for _ in 0..5 {
        rig.bytes(listen, ": alive\n\n");
        rig.pass(SECOND);
        rig.result("server/discover", discover_result());
    }
    rig.pass(SECOND);
    let (own, _) = rig.find("server/discover");
    rig.fail(own, Failure::Connect);
    assert!(rig.cancelled.contains(&listen));
}

#[test]
fn how_often_the_server_is_asked_while_a_stream_is_open_can_be_set() {
    for (check, heartbeat, expected) in
        [(7, 30, Some(7)), (7, 3, Some(3)), (0, 30, Some(30)), (7, 0, Some(7)), (0, 0, None)]
    {
        let options = Options::new(URL);
        let (listen_check_interval, heartbeat_interval) = (check * SECOND, heartbeat * SECOND);
        let mut rig = Rig::with(options.with(|o| {
            o.listen_check_interval = listen_check_interval;
            o.heartbeat_interval = heartbeat_interval;
        }));
        rig.discovered();
        rig.listening(json!(1));
        rig.pass(expected.map_or(3600, |seconds| seconds - 1) * SECOND);
        assert!(!rig.is_open("server/discover"), "{check} {heartbeat}");
        rig.pass(SECOND);
        assert_eq!(rig.is_open("server/discover"), expected.is_some(), "{check} {heartbeat}");
    }
}

/// So does a server that goes down: a call that is sent into that would have an unknown outcome.
#[test]
fn after_a_stream_ended_in_order_what_must_not_run_twice_waits_for_a_sign_of_life() {
    let mut rig = Rig::new();
    rig.discovered();
    let listen = rig.listening(json!(1));
    rig.end(listen);
    rig.ask(json!(2), "tools/list", json!({}));
    assert!(rig.is_open("tools/list"));
    rig.ask(json!(3), "tools/call", json!({"name": "t"}));
    assert!(!rig.is_open("tools/call"));
    let (own, _) = rig.find("server/discover");
    rig.fail(own, Failure::Connect);
    rig.until_asked();
    rig.result("server/discover", discover_result());
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert!(rig.take().iter().any(|message| message["id"] == 3 && message["result"].is_object()));
}

#[test]
fn a_stream_that_cannot_be_opened_for_its_credentials_is_not_forgotten() {
    let mut rig = Rig::new();
    rig.discovered();
    let listen = rig.listening(json!("L"));
    rig.take();
    rig.fail(listen, Failure::Lost);
    // Its time to be opened again comes while the server is asked.
    rig.pass(SECOND);
    let (own, _) = rig.find("server/discover");
    rig.answer(own, 401, "text/plain", "");
    let (listen, _) = rig.find("subscriptions/listen");
    rig.answer(listen, 401, "text/plain", "");
    let told = rig.take();
    assert_eq!((&told[0]["id"], &told[0]["error"]["code"]), (&json!("L"), &json!(errors::UNAUTHORIZED)), "{told:?}");
}

#[test]
fn what_the_server_answers_instead_ends_the_stream_for_the_client() {
    let mut rig = Rig::new();
    rig.discovered();
    let listen = rig.listening(json!("L"));
    rig.take();
    rig.now += 11 * SECOND;
    rig.end(listen);
    rig.pass(Duration::from_nanos(1));
    rig.error("subscriptions/listen", 200, -32603, json!("Subscription limit reached"));
    let told = rig.take();
    assert_eq!((told.len(), &told[0]["id"], &told[0]["error"]["code"]), (1, &json!("L"), &json!(-32603)));
    rig.pass(60 * SECOND);
    assert!(!rig.is_open("subscriptions/listen"));
}

#[test]
fn a_stream_that_never_lasts_is_opened_with_growing_pauses() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let end = rig.now + 600 * SECOND;
    let mut acknowledged = 0;
    while rig.now < end {
        if rig.is_open("subscriptions/listen") {
            let exchange = rig.acknowledge(json!({"toolsListChanged": true}));
            acknowledged += 1;
            rig.end(exchange);
        }
        if rig.is_open("server/discover") {
            rig.result("server/discover", discover_result());
        }
        rig.pass(SECOND / 4);
    }
    assert!((10..50).contains(&acknowledged), "{acknowledged} in ten minutes");
}

#[test]
fn an_acknowledgement_that_comes_twice_is_dropped_and_one_that_never_comes_is_not_waited_for() {
    let mut rig = Rig::new();
    let listen = rig.listening(json!(1));
    let wire = rig.find("subscriptions/listen").1;
    rig.take();
    rig.event(listen, &acknowledgement(&wire, json!({"toolsListChanged": true})));
    assert!(rig.take().is_empty() && rig.logged("a second acknowledgement"));

    let mut rig = Rig::with(Options::new(URL).with(|o| {
        o.heartbeat_interval = Duration::ZERO;
        o.listen_check_interval = Duration::ZERO;
    }));
    rig.discovered();
    rig.ask(json!(1), "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let (silent, _) = rig.find("subscriptions/listen");
    rig.head(silent, 200, "text/event-stream");
    rig.pass(31 * SECOND);
    assert!(rig.cancelled.contains(&silent) && rig.logged("was not acknowledged within 30 s"), "{:?}", rig.events);
}

#[test]
fn the_client_ends_a_stream_by_cancelling_it_and_a_close_ends_it_in_order() {
    let mut rig = Rig::new();
    let listen = rig.listening(json!("L"));
    rig.take();
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "L"}}));
    assert!(rig.cancelled.contains(&listen) && rig.take().is_empty());
    rig.pass(60 * SECOND);
    assert_eq!(rig.methods(), ["subscriptions/listen"]);

    let mut rig = Rig::new();
    rig.listening(json!("L"));
    rig.take();
    rig.input(Input::Close);
    rig.pass(SECOND);
    let result = json!({"resultType": "complete", "_meta": {SUBSCRIPTION: "L"}});
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": "L", "result": result})]);
    assert!(rig.open.is_empty() && rig.engine.is_closed());
}
