//! What belongs to a session and what outlives it: identities, state, the goodbye.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::support::script::{Outcome, Script};
use super::{begin, connected, deliveries, must_run_once};

fn note(data: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": data}})
}

fn question(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"})
}

/// An old stream that lingers has nothing more to say to the client.
#[test]
fn notifications_of_an_old_session_are_dropped() {
    for script in [Script::http(), Script::sse()] {
        let server = script.start();
        let mut bridge = connected(&server, &[]);
        must_run_once(&server, &mut bridge, "before");
        server.push(&note("current"));
        bridge.wait_for_method(0, "notifications/message");
        server.forget_sessions();
        must_run_once(&server, &mut bridge, "after");
        server.push_to_old(&note("old"));
        server.push_to_old(&question(5));
        server.push(&note("new"));
        bridge.wait_for("the new notification", |message| message["params"]["data"] == "new");
        must_run_once(&server, &mut bridge, "later");
        assert!(bridge.messages().iter().all(|message| message["params"]["data"] != "old"));
        assert!(bridge.messages_of("roots/list").is_empty());
        bridge.finish();
    }
}

/// SDKs count their own requests from 0 in every session. The client must be able to tell them apart, is told that the old
/// one is dead, and its late answer to that reaches nobody. (The scripted server checks that nothing unasked is answered.)
#[test]
fn questions_of_the_server_are_unique_across_sessions() {
    for script in [Script::http(), Script::sse()] {
        let server = script.start();
        let mut bridge = connected(&server, &[]);
        server.push(&question(0));
        let first = bridge.wait_for_method(0, "roots/list");
        let mark = bridge.mark();
        server.forget_sessions();
        must_run_once(&server, &mut bridge, "after");
        let cancelled = bridge.wait_for_method(mark, "notifications/cancelled");
        assert_eq!(cancelled["params"]["requestId"], first["id"]);
        server.push(&question(0));
        let second = bridge.wait_for_method(mark, "roots/list");
        assert_ne!(first["id"], second["id"]);
        bridge.respond(&first, json!({"roots": [{"uri": "file:///old"}]}));
        bridge.respond(&second, json!({"roots": [{"uri": "file:///new"}]}));
        let answer = server.wait_for("answer", 1);
        assert_eq!(answer.message["id"], 0);
        assert_eq!(answer.message["result"]["roots"][0]["uri"], "file:///new");
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(server.records_of("answer").len(), 1);
        bridge.finish();
    }
}

/// The server takes a question back: the client hears the id under which it knows the question.
#[test]
fn a_question_that_is_taken_back() {
    let server = Script::http().start();
    let bridge = connected(&server, &[]);
    server.push(&json!({"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {}}));
    let asked = bridge.wait_for_method(0, "sampling/createMessage");
    server.push(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "q"}}));
    let cancelled = bridge.wait_for_method(0, "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    bridge.finish();
}

/// Log level and subscriptions come back, the last word counts, and the handshake comes first (the server checks that).
#[test]
fn state_is_restored() {
    for script in [Script::http(), Script::sse()] {
        let server = script.start();
        let mut bridge = connected(&server, &[]);
        for level in ["debug", "error"] {
            bridge.call("logging/setLevel", json!({"level": level}));
        }
        for uri in ["memo://a", "memo://b"] {
            bridge.call("resources/subscribe", json!({"uri": uri}));
        }
        bridge.call("resources/unsubscribe", json!({"uri": "memo://a"}));
        let mark = bridge.mark();
        server.forget_sessions();
        must_run_once(&server, &mut bridge, "after");
        assert_eq!(server.wait_for("logging/setLevel", 3).message["params"]["level"], "error");
        assert_eq!(server.wait_for("resources/subscribe", 3).message["params"]["uri"], "memo://b");
        for list in ["tools", "prompts", "resources"] {
            bridge.wait_for_method(mark, &format!("notifications/{list}/list_changed"));
        }
        let updated = bridge.wait_for_method(mark, "notifications/resources/updated");
        assert_eq!(updated["params"]["uri"], "memo://b");
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(server.records_of("logging/setLevel").len(), 3);
        assert_eq!(server.records_of("resources/subscribe").len(), 3);
        bridge.finish();
    }
}

/// Only lists that the server has are announced as changed, and the client's own handshake is what the server is told.
#[test]
fn the_handshake_is_repeated_faithfully() {
    let server = Script::http().capabilities(json!({"tools": {}})).start();
    let mut bridge = super::Bridge::start(&[&server.url()]);
    let result = bridge.initialize(json!({"roots": {"listChanged": true}, "sampling": {}}));
    assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}));
    let mark = bridge.mark();
    server.forget_sessions();
    must_run_once(&server, &mut bridge, "after");
    bridge.wait_for_method(mark, "notifications/tools/list_changed");
    let (first, second) = (server.wait_for("initialize", 1), server.wait_for("initialize", 2));
    assert_eq!(first.message["params"], second.message["params"]);
    assert_eq!(server.records_of("notifications/initialized").len(), 2);
    must_run_once(&server, &mut bridge, "later");
    assert!(bridge.messages_of("notifications/prompts/list_changed").is_empty());
    assert!(bridge.messages_of("notifications/resources/list_changed").is_empty());
    bridge.finish();
}

/// The server is away for longer than a client waits for `initialize`: a provisional result, and everything real as soon as the
/// server comes.
#[test]
fn a_provisional_start() {
    for script in [Script::http(), Script::sse()] {
        let mut server = script.reserve();
        let mut bridge = super::Bridge::start(&[&server.url(), "--start-timeout", "1s"]);
        let result = bridge.initialize(json!({}));
        assert_eq!(result["protocolVersion"], super::support::bridge::VERSION);
        assert_eq!(result["capabilities"]["tools"]["listChanged"], true, "{result}");
        let list = bridge.request("tools/list", json!({}));
        let call = begin(&mut bridge, "early");
        assert!(!bridge.is_answered(&list) && !bridge.is_answered(&call));
        let mark = bridge.mark();
        server.up();
        super::must_have_run_once(&server, &bridge, &call, "early");
        assert_eq!(bridge.result(&list)["tools"][0]["name"], "mark");
        bridge.wait_for_method(mark, "notifications/tools/list_changed");
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(server.records_of("initialize").len(), 1);
        bridge.finish();
    }
}

/// npm mcp-proxy speaks before the handshake is over.
#[test]
fn a_notification_before_the_handshake() {
    let server = Script::sse()
        .on(|call, reply| {
            if call.kind == "initialize" {
                call.server.push(&note("early"));
            }
            Outcome::Good(reply)
        })
        .start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "one");
    bridge.finish();
}

#[test]
fn the_goodbye() {
    // A session that lives is deleted.
    let server = Script::http().start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "one");
    let session = server.wait_for("tools/call", 1).session;
    bridge.finish();
    assert_eq!(server.wait_for("DELETE", 1).session, session);
    // Where there is none, nothing is.
    for script in [Script::http().stateless(), Script::sse()] {
        let server = script.start();
        let mut bridge = connected(&server, &[]);
        must_run_once(&server, &mut bridge, "one");
        bridge.finish();
        assert!(server.records_of("DELETE").is_empty());
    }
    // A server that does not answer delays nobody; `finish` measures it.
    let server = Script::http()
        .on(|call, reply| match call.kind {
            "DELETE" => {
                call.server.keep(reply.hold());
                Outcome::Done(None)
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "one");
    bridge.finish();
}

/// What is unsent or unanswered at the end is answered with an error; `finish` balances the books.
#[test]
fn the_goodbye_with_requests_in_flight() {
    for script in [Script::http(), Script::sse()] {
        let mut server = script
            .on(|call, reply| match call.mark() {
                "held" => {
                    call.server.keep(reply.hold());
                    Outcome::Done(None)
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &[]);
        begin(&mut bridge, "held");
        server.wait_for("tools/call", 1);
        server.down();
        begin(&mut bridge, "unsent");
        bridge.finish();
        assert_eq!(deliveries(&server, "unsent"), 0);
    }
}

/// One re-initialise at a time, whatever number of requests lose their session together.
#[test]
fn many_requests_lose_one_session() {
    for script in [Script::http(), Script::sse()] {
        let server = script.start();
        let mut bridge = connected(&server, &[]);
        server.forget_sessions();
        let calls: Vec<_> = (0..20).map(|n| begin(&mut bridge, &format!("call-{n}"))).collect();
        for (n, call) in calls.iter().enumerate() {
            super::must_have_run_once(&server, &bridge, call, &format!("call-{n}"));
        }
        assert_eq!(server.records_of("initialize").len(), 2);
        bridge.finish();
    }
}

/// An answer of the old session that comes late is still the answer.
#[test]
fn a_late_answer_of_the_old_session_counts() {
    let release = Arc::new(AtomicBool::new(false));
    let released = release.clone();
    let server = Script::http()
        .on(move |call, reply| {
            if call.mark() != "slow" {
                return Outcome::Good(reply);
            }
            super::support::poll("the test lets the answer go", super::support::PATIENCE, || {
                released.load(Ordering::SeqCst).then_some(())
            });
            call.server.executed("slow");
            Outcome::Done(call.result(reply, json!({"content": [{"type": "text", "text": "slow"}]})))
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let slow = begin(&mut bridge, "slow");
    server.wait_for("tools/call", 1);
    server.forget_sessions();
    must_run_once(&server, &mut bridge, "after");
    assert_eq!(server.records_of("initialize").len(), 2);
    release.store(true, Ordering::SeqCst);
    super::must_have_run_once(&server, &bridge, &slow, "slow");
    assert_eq!(deliveries(&server, "slow"), 1);
    bridge.finish();
}
