//! Single requests: ids, order, cancelling, side by side.

use serde_json::{Value, json};

use super::support::bridge::text;
use super::support::script::{Outcome, Script};
use super::{begin, connected, deliveries, marked, must_have_run_once, must_run_once, take_down};

/// Nothing of a message is touched but its id, and the answer comes back under the client's exact bytes.
#[test]
fn messages_pass_byte_for_byte() {
    const RESULT: &str = r#"{ "z":1.0, "a" : 12345678901234567890123, "text":"\u0041\/é",  "a":2 }"#;
    for script in [Script::http(), Script::sse()] {
        let server = script
            .on(|call, reply| {
                if call.kind != "x/raw" {
                    return Outcome::Good(reply);
                }
                let answer = format!(r#"{{ "result" : {RESULT} , "id":{} ,"jsonrpc":"2.0"}}"#, call.message["id"]);
                if call.http.target.starts_with("/message") {
                    let next = reply.empty(202);
                    call.server.with_stream(|stream| stream.raw(format!("data: {answer}\n\n").as_bytes()));
                    return Outcome::Done(next);
                }
                Outcome::Done(reply.text(200, "application/json", &answer))
            })
            .start();
        let mut bridge = connected(&server, &[]);
        let params = r#"{ "b" : 1E+2, "a":[ 1 , 2.50 ],"id":"not this", "é":"\u00e9\n\ud83e\udd80", "n":9007199254740993, "b":0 }"#;
        let id = r#""esc\u0061ped \/ \"id\"""#;
        bridge.expect_answer_to(id, "x/raw");
        bridge.line(&format!(r#"{{ "params" : {params} , "id" : {id}, "method":"x\/raw","jsonrpc":"2.0"}}"#));
        let answer = bridge.answer_text(id, super::support::PATIENCE).expect("an answer under the exact id");
        assert!(answer.contains(RESULT), "{answer}");
        let seen = server.wait_for("x/raw", 1);
        let body = String::from_utf8(seen.http.body).expect("UTF-8");
        let wire = &seen.message["id"];
        assert!(wire.as_u64().is_some_and(|id| id < 1 << 31), "the id on the wire is a small integer: {wire}");
        assert_eq!(body, format!(r#"{{ "params" : {params} , "id" : {wire}, "method":"x\/raw","jsonrpc":"2.0"}}"#));
        bridge.finish();
    }
}

#[test]
fn every_kind_of_id() {
    let ids = [
        "0",
        "-1",
        "1.0",
        "1e3",
        "9007199254740993",
        "-9223372036854775809",
        "123456789012345678901234567890",
        r#""""#,
        r#""1""#,
        r#""esc\u0061ped""#,
        r#""esc\u0061ped""#,
        r#""escaped""#,
        "\"\u{1F980}\"",
        r#""\ud83e\udd80""#,
        r#""a\"b""#,
        "7",
        "7",
    ];
    for script in [Script::http(), Script::http().events(), Script::sse()] {
        let server = script.start();
        let mut bridge = connected(&server, &[]);
        for id in ids {
            bridge.request_as(id, "tools/call", marked("id"));
        }
        for id in ids {
            assert!(bridge.answer_text(id, super::support::PATIENCE).is_some(), "no answer under the id {id}");
        }
        server.wait_until("every request", |records| {
            (records.iter().filter(|record| record.kind == "tools/call").count() == ids.len()).then_some(())
        });
        // Two requests under one id are two requests: wait for both answers before the books are balanced.
        bridge.call("tools/list", json!({}));
        for twice in ["7", r#""esc\u0061ped""#] {
            bridge.wait_for_answers(twice, 2);
        }
        bridge.finish();
    }
}

/// Held behind nobody: a request that takes long does not keep the others waiting.
#[test]
fn requests_run_side_by_side() {
    for script in [Script::http(), Script::http().events(), Script::sse()] {
        let server = script
            .on(|call, reply| match call.mark() {
                "slow" => {
                    call.server.keep(reply.hold());
                    Outcome::Done(None)
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &[]);
        let slow = begin(&mut bridge, "slow");
        server.wait_for("tools/call", 1);
        for n in 0..10 {
            must_run_once(&server, &mut bridge, &format!("fast-{n}"));
        }
        assert!(!bridge.is_answered(&slow));
        bridge.finish();
    }
}

/// Cancelled before it was sent: it never is. Cancelled after: the server hears it under its own id, and it is never sent again.
#[test]
fn cancelled_requests() {
    for script in [Script::http(), Script::sse()] {
        let mut server = script
            .on(|call, reply| match call.mark() {
                "sent" => {
                    call.server.keep(reply.hold());
                    Outcome::Done(None)
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &["--trust-annotations"]);
        let sent = begin(&mut bridge, "sent");
        let call = server.wait_for("tools/call", 1);
        bridge.cancel(&sent);
        let cancelled = server.wait_for("notifications/cancelled", 1);
        assert_eq!(cancelled.message["params"]["requestId"], call.message["id"]);
        assert_eq!(cancelled.message["params"]["reason"], "test");
        take_down(&mut server, &mut bridge);
        let held = begin(&mut bridge, "held");
        let safe = bridge.request("resources/read", json!({"uri": "memo://held"}));
        bridge.cancel(&held);
        bridge.cancel(&safe);
        let kept = begin(&mut bridge, "kept");
        server.up();
        must_have_run_once(&server, &bridge, &kept, "kept");
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(deliveries(&server, "sent"), 1);
        assert_eq!(deliveries(&server, "held"), 0);
        assert!(server.records_of("resources/read").is_empty());
        assert_eq!(server.records_of("notifications/cancelled").len(), 1, "nobody else hears of requests never sent");
        bridge.finish();
    }
}

/// A safe request that was cancelled in flight is not sent again either when the connection breaks.
#[test]
fn a_cancelled_safe_request_is_not_repeated() {
    let mut server = Script::http()
        .on(|call, reply| match call.kind {
            "resources/read" => {
                call.server.keep(reply.hold());
                Outcome::Done(None)
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let read = bridge.request("resources/read", json!({"uri": "memo://note"}));
    server.wait_for("resources/read", 1);
    bridge.cancel(&read);
    server.wait_for("notifications/cancelled", 1);
    take_down(&mut server, &mut bridge);
    server.up();
    must_run_once(&server, &mut bridge, "later");
    assert_eq!(server.records_of("resources/read").len(), 1);
    bridge.finish();
}

/// Notifications arrive in the order in which they were written, and before the requests written after them are begun.
#[test]
fn notifications_keep_their_order() {
    for script in [Script::http(), Script::sse()] {
        let server = script.start();
        let mut bridge = connected(&server, &[]);
        for n in 0..30 {
            bridge.notify("notifications/x", json!({"n": n}));
        }
        must_run_once(&server, &mut bridge, "later");
        server.wait_for("notifications/x", 30);
        let seen: Vec<_> =
            server.records_of("notifications/x").iter().map(|note| note.message["params"]["n"].clone()).collect();
        assert_eq!(seen, (0..30).map(Value::from).collect::<Vec<_>>());
        bridge.finish();
    }
}

/// While the server is away notifications are held, at most once each; of `roots/list_changed` one is enough.
#[test]
fn notifications_while_the_server_is_away() {
    let mut server = Script::http().start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "before");
    take_down(&mut server, &mut bridge);
    for n in 0..5 {
        bridge.notify("notifications/x", json!({"n": n}));
        bridge.notify("notifications/roots/list_changed", json!({}));
    }
    let call = begin(&mut bridge, "held");
    server.up();
    must_have_run_once(&server, &bridge, &call, "held");
    must_run_once(&server, &mut bridge, "later");
    let seen: Vec<_> =
        server.records_of("notifications/x").iter().map(|note| note.message["params"]["n"].clone()).collect();
    assert!(seen.is_sorted_by(|a, b| a.as_i64() < b.as_i64()), "{seen:?}");
    assert_eq!(server.records_of("notifications/roots/list_changed").len(), 1);
    bridge.finish();
}

/// The client's own pings are answered here, also while the server is away.
#[test]
fn client_pings() {
    let mut server = Script::http().start();
    let mut bridge = connected(&server, &[]);
    assert_eq!(bridge.call("ping", json!({})), json!({}));
    server.down();
    assert_eq!(bridge.call("ping", json!({})), json!({}));
    bridge.finish();
}

/// A client of the modern era probes first; it is told that this is a legacy connection, without asking the server.
#[test]
fn the_modern_probe() {
    let server = Script::http().start();
    let mut bridge = super::Bridge::start(&[&server.url()]);
    let probe = bridge.request("server/discover", json!({}));
    assert_eq!(bridge.error(&probe)["code"], -32601);
    bridge.initialize(json!({}));
    must_run_once(&server, &mut bridge, "after");
    assert!(server.records_of("server/discover").is_empty());
    bridge.finish();
}

/// A batch (2025-03-26 had them) is answered one by one.
#[test]
fn batches_are_unpacked() {
    let server = Script::http().start();
    let mut bridge = connected(&server, &[]);
    bridge.expect_answer_to("\"a\"", "tools/call");
    bridge.expect_answer_to("\"b\"", "ping");
    bridge.line(&format!(
        r#"[{{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{}}},{{"jsonrpc":"2.0","method":"notifications/x"}},{{"jsonrpc":"2.0","id":"b","method":"ping"}}]"#,
        marked("batch")
    ));
    assert_eq!(text(&bridge.result("\"a\"")), "batch");
    assert_eq!(bridge.result("\"b\""), json!({}));
    server.wait_for("notifications/x", 1);
    assert_eq!(bridge.refused("[]")["error"]["code"], -32600);
    bridge.finish();
}
