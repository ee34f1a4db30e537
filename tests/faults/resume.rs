//! Streams that end in the middle of a call and are resumed with `Last-Event-ID`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::bridge::text;
use super::support::http::Stream;
use super::support::script::{Call, Outcome, Script};
use super::{OUTCOME_UNKNOWN, begin, connected, deliveries, must_fail, must_run_once};

/// A server that answers a call with a priming event, `retry: 500` and the end, and the rest on a GET with the cursor.
fn polling(answer: impl Fn(&Call<'_>, &Stream, &Value) + Send + Sync + 'static) -> Script {
    let pending: Arc<Mutex<Value>> = Arc::default();
    Script::http().on(move |call, reply| {
        if call.kind == "tools/call" && call.mark() == "resumed" {
            *pending.lock().unwrap() = call.response(json!({"content": [{"type": "text", "text": "resumed"}]}));
            let stream = reply.events(&[]);
            stream.raw(b"id: call-1\nretry: 500\ndata:\n\n");
            stream.end();
            return Outcome::Done(None);
        }
        if call.kind == "GET" && call.http.header("last-event-id").is_some_and(|id| id.starts_with("call-")) {
            let stream = reply.events(&[]);
            answer(call, &stream, &pending.lock().unwrap());
            stream.end();
            return Outcome::Done(None);
        }
        Outcome::Good(reply)
    })
}

/// The GETs that carried a cursor.
fn cursors(server: &super::Fault) -> Vec<String> {
    let gets = server.records_of("GET");
    gets.iter().filter_map(|get| get.http.header("last-event-id").map(str::to_owned)).collect()
}

#[test]
fn a_call_is_resumed_after_exactly_the_retry_time() {
    let server = polling(|_, stream, answer| {
        stream.event_with_id("call-2", answer);
    })
    .start();
    let mut bridge = connected(&server, &[]);
    let call = begin(&mut bridge, "resumed");
    assert_eq!(text(&bridge.result(&call)), "resumed");
    assert_eq!(cursors(&server), ["call-1"]);
    let post = server.wait_for("tools/call", 1);
    let get = server.wait_until("the GET", |records| {
        records.iter().find(|record| record.http.header("last-event-id").is_some()).cloned()
    });
    assert_eq!(get.session, post.session);
    let waited = get.http.at - post.http.at;
    assert!((Duration::from_millis(450)..Duration::from_millis(1000)).contains(&waited), "{waited:?}");
    assert_eq!(deliveries(&server, "resumed"), 1);
    must_run_once(&server, &mut bridge, "later");
    bridge.finish();
}

#[test]
fn the_cursor_moves_on() {
    let server = polling(|call, stream, answer| match call.http.header("last-event-id") {
        Some("call-1") => {
            stream.raw(b"id: call-2\nretry: 100\ndata:\n\n");
        }
        Some("call-2") => {
            stream.event_with_id("call-3", answer);
        }
        other => panic!("the cursor is {other:?}"),
    })
    .start();
    let mut bridge = connected(&server, &[]);
    let call = begin(&mut bridge, "resumed");
    assert_eq!(text(&bridge.result(&call)), "resumed");
    assert_eq!(cursors(&server), ["call-1", "call-2"]);
    bridge.finish();
}

/// rmcp repeats the event that the cursor names: the client must not hear it twice.
#[test]
fn a_repeated_event_is_dropped() {
    let note =
        |n: u32| json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": n}});
    let pending: Arc<Mutex<Value>> = Arc::default();
    let server = Script::http()
        .on(move |call, reply| {
            if call.mark() == "resumed" {
                *pending.lock().unwrap() = call.response(json!({"content": [{"type": "text", "text": "resumed"}]}));
                let stream = reply.events(&[]);
                stream.raw(b"retry: 100\n\n");
                stream.event_with_id("call-1", &note(1));
                stream.event_with_id("call-2", &note(2));
                stream.end();
                return Outcome::Done(None);
            }
            if call.http.header("last-event-id") == Some("call-2") {
                let stream = reply.events(&[]);
                stream.event_with_id("call-2", &note(2));
                stream.event_with_id("call-3", &note(3));
                stream.event_with_id("call-4", &pending.lock().unwrap());
                stream.end();
                return Outcome::Done(None);
            }
            Outcome::Good(reply)
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let call = begin(&mut bridge, "resumed");
    assert_eq!(text(&bridge.result(&call)), "resumed");
    let heard: Vec<_> =
        bridge.messages_of("notifications/message").iter().map(|note| note["params"]["data"].clone()).collect();
    assert_eq!(heard, [1, 2, 3]);
    bridge.finish();
}

/// Python without an event store answers 500, others 400: the outcome is unknown, and the session lives.
#[test]
fn a_resume_that_is_refused() {
    for status in [500, 400, 405] {
        let server = Script::http()
            .on(move |call, reply| {
                if call.mark() == "resumed" {
                    let stream = reply.events(&[]);
                    stream.raw(b"id: call-1\nretry: 100\ndata:\n\n");
                    stream.end();
                    return Outcome::Done(None);
                }
                match call.http.header("last-event-id") {
                    Some(_) => Outcome::Done(reply.text(status, "text/plain", "no event store")),
                    None => Outcome::Good(reply),
                }
            })
            .start();
        let mut bridge = connected(&server, &[]);
        let call = begin(&mut bridge, "resumed");
        must_fail(&bridge, &call, OUTCOME_UNKNOWN);
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(deliveries(&server, "resumed"), 1);
        assert_eq!(server.records_of("initialize").len(), 1, "{status}");
        bridge.finish();
    }
}

/// rmcp and Python answer an unknown cursor with 200 and an instant end: a naive loop spins on it.
#[test]
fn a_resume_that_ends_at_once_does_not_spin() {
    let server = polling(|_, _, _| {}).start();
    let mut bridge = connected(&server, &[]);
    let call = begin(&mut bridge, "resumed");
    must_fail(&bridge, &call, OUTCOME_UNKNOWN);
    assert!((1..=4).contains(&cursors(&server).len()), "{:?}", cursors(&server));
    assert_eq!(deliveries(&server, "resumed"), 1);
    bridge.finish();
}

/// TypeScript servers answer an unknown cursor with an open, silent stream, and so does a healthy server whose tool takes its
/// time: the request's own deadline ends the wait.
#[test]
fn a_resume_that_is_silent() {
    let server = Script::http()
        .on(|call, reply| {
            if call.mark() == "resumed" {
                let stream = reply.events(&[]);
                stream.raw(b"id: call-1\nretry: 100\ndata:\n\n");
                stream.end();
                return Outcome::Done(None);
            }
            if call.http.header("last-event-id").is_some() {
                call.server.keep(reply.events(&[]));
                return Outcome::Done(None);
            }
            Outcome::Good(reply)
        })
        .start();
    let mut bridge = connected(&server, &["--request-timeout", "2s"]);
    let call = begin(&mut bridge, "resumed");
    must_run_once(&server, &mut bridge, "beside it");
    must_fail(&bridge, &call, super::TIMED_OUT);
    assert_eq!(cursors(&server), ["call-1"]);
    assert_eq!(deliveries(&server, "resumed"), 1);
    bridge.finish();
}

/// The server restarts before the resume: the old cursor never reaches the new session.
#[test]
fn a_cursor_never_reaches_a_new_session() {
    let mut server = Script::http()
        .on(|call, reply| {
            if call.mark() == "lost" {
                let stream = reply.events(&[]);
                stream.raw(b"id: call-1\nretry: 100\ndata:\n\n");
                // Broken by the restart.
                call.server.keep(stream);
                return Outcome::Done(None);
            }
            Outcome::Good(reply)
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let call = begin(&mut bridge, "lost");
    let old = server.wait_for("tools/call", 1).session;
    server.restart();
    must_fail(&bridge, &call, OUTCOME_UNKNOWN);
    must_run_once(&server, &mut bridge, "later");
    for record in server.records() {
        assert!(record.session == old || record.http.header("last-event-id").is_none(), "{record:?}");
    }
    assert_eq!(deliveries(&server, "lost"), 1);
    bridge.finish();
}

/// The GET stream has a cursor of its own, which is used when it breaks.
#[test]
fn the_get_stream_is_resumed_with_its_own_cursor() {
    let server = Script::http().start();
    let mut bridge = connected(&server, &[]);
    let stream = server.take_stream();
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}});
    stream.event_with_id("get-7", &note);
    bridge.wait_for_method(0, "notifications/message");
    drop(stream);
    let get = server.wait_for("GET", 2);
    assert_eq!(get.http.header("last-event-id"), Some("get-7"));
    must_run_once(&server, &mut bridge, "later");
    bridge.finish();
}
