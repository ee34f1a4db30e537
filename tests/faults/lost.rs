//! Every spelling of "your session is gone", each of which must lead to a new session and to the request being sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::http::{Next, Reply};
use super::support::script::{Call, Outcome, Script};
use super::{
    HTTP_ERROR, OUTCOME_UNKNOWN, SESSION_UNSTABLE, begin, connected, must_fail, must_have_run_once, must_run_once,
    take_down,
};

/// The connections stay, the sessions are lost, and the server says so in its own words.
fn is_recognised(script: Script, words: impl Fn(&Call<'_>, Reply) -> Next + Send + Sync + 'static) {
    let server = script.gone(move |call, reply| Outcome::Done(words(call, reply))).start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "before");
    let mark = bridge.mark();
    server.forget_sessions();
    must_run_once(&server, &mut bridge, "after");
    assert_eq!(server.records_of("initialize").len(), 2);
    bridge.wait_for_method(mark, "notifications/tools/list_changed");
    // And once more, so that nothing latches.
    server.forget_sessions();
    must_run_once(&server, &mut bridge, "after the second");
    assert_eq!(server.records_of("initialize").len(), 3);
    bridge.finish();
}

fn error(status: u16, code: i64, message: &'static str, id: Value) -> impl Fn(&Call<'_>, Reply) -> Next + Send + Sync {
    move |_, reply| {
        let error = json!({"code": code, "message": message});
        reply.json(status, &json!({"jsonrpc": "2.0", "error": error, "id": id}))
    }
}

fn plain(status: u16, kind: &'static str, body: &'static str) -> impl Fn(&Call<'_>, Reply) -> Next + Send + Sync {
    move |_, reply| reply.text(status, kind, body)
}

#[test]
fn http_server_everything() {
    is_recognised(Script::http().events(), |_, reply| {
        let error = json!({"code": -32000, "message": "Bad Request: No valid session ID provided"});
        reply.json(400, &json!({"jsonrpc": "2.0", "error": error}))
    });
}

#[test]
fn http_typescript_examples() {
    is_recognised(Script::http(), error(404, -32001, "Session not found", Value::Null));
}

#[test]
fn http_typescript_fresh_transport() {
    is_recognised(Script::http(), error(400, -32000, "Bad Request: Server not initialized", Value::Null));
}

#[test]
fn http_python_1() {
    is_recognised(Script::http().events(), error(404, -32600, "Session not found", json!("server-error")));
}

#[test]
fn http_python_2() {
    is_recognised(Script::http(), error(404, -32600, "Session not found", Value::Null));
}

#[test]
fn http_rmcp() {
    is_recognised(Script::http().events(), |call, reply| {
        let status = if call.kind == "DELETE" { 202 } else { 404 };
        reply.text(status, "text/plain", "Not Found: Session not found")
    });
}

#[test]
fn http_go() {
    is_recognised(Script::http(), plain(404, "text/plain; charset=utf-8", "session not found\n"));
}

#[test]
fn http_404_without_a_body() {
    is_recognised(Script::http().without_stream(), |_, reply| reply.empty(404));
}

#[test]
fn http_200_with_an_error() {
    is_recognised(Script::http(), |call, reply| reply.json(200, &call.error(-32600, "Session not found")));
}

#[test]
fn http_200_with_an_error_of_its_own() {
    is_recognised(Script::http(), |call, reply| reply.json(200, &call.error(-32004, "Unknown session")));
}

#[test]
fn sse_python() {
    is_recognised(Script::sse(), plain(404, "text/plain", "Could not find session"));
}

#[test]
fn sse_typescript_examples() {
    is_recognised(Script::sse(), plain(404, "text/plain", "Session not found"));
}

#[test]
fn sse_typescript_other_transport() {
    let words = "Bad Request: Session exists but uses a different transport protocol";
    is_recognised(Script::sse(), error(400, -32000, words, Value::Null));
}

#[test]
fn sse_supergateway() {
    is_recognised(Script::sse(), plain(503, "text/html", "<pre>No active SSE connection for session</pre>"));
}

#[test]
fn sse_npm_mcp_proxy() {
    is_recognised(Script::sse(), plain(400, "text/plain", "No active transport"));
}

#[test]
fn sse_404_without_a_body() {
    is_recognised(Script::sse(), |_, reply| reply.empty(404));
}

/// Python over HTTP+SSE: a session that exists and was never initialised, as far as the server remembers.
#[test]
fn sse_invalid_params_for_everything() {
    let amnesia = Arc::new(AtomicBool::new(false));
    let forgetful = amnesia.clone();
    let server = Script::sse()
        .on(move |call, reply| {
            if call.kind == "GET" {
                forgetful.store(false, Ordering::SeqCst);
            }
            let is_request = !call.message["id"].is_null() && !["initialize", "ping", "answer"].contains(&call.kind);
            if is_request && forgetful.load(Ordering::SeqCst) {
                return Outcome::Done(call.respond(reply, &call.error(-32602, "Invalid request parameters")));
            }
            Outcome::Good(reply)
        })
        .start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "before");
    amnesia.store(true, Ordering::SeqCst);
    must_run_once(&server, &mut bridge, "after");
    assert_eq!(server.records_of("initialize").len(), 2);
    bridge.finish();
}

/// The same words as an answer to wrong parameters: the session lives, and the client gets its error.
#[test]
fn invalid_params_of_one_call_are_no_loss() {
    for script in [Script::http(), Script::sse()] {
        let server = script
            .on(|call, reply| {
                if call.mark() == "wrong" {
                    return Outcome::Done(call.respond(reply, &call.error(-32602, "Invalid request parameters")));
                }
                Outcome::Good(reply)
            })
            .start();
        let mut bridge = connected(&server, &[]);
        for _ in 0..2 {
            let call = begin(&mut bridge, "wrong");
            assert_eq!(bridge.error(&call), json!({"code": -32602, "message": "Invalid request parameters"}));
        }
        must_run_once(&server, &mut bridge, "right");
        assert_eq!(server.records_of("initialize").len(), 1);
        bridge.finish();
    }
}

/// Accepted and never answered: only the heartbeat can tell, and only when it is told to be strict.
#[test]
fn accepted_and_never_answered() {
    for script in [Script::http().without_stream(), Script::sse()] {
        let server = script.gone(|_, reply| Outcome::Done(reply.empty(202))).start();
        let options = ["--heartbeat", "300ms", "--heartbeat-timeout", "300ms", "--heartbeat-strict"];
        let mut bridge = connected(&server, &options);
        must_run_once(&server, &mut bridge, "before");
        server.forget_sessions();
        let call = begin(&mut bridge, "after");
        must_fail(&bridge, &call, OUTCOME_UNKNOWN);
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(server.executions("after"), 0);
        bridge.finish();
    }
}

/// Without a session there is nothing to lose: a 404 is the answer to this one request.
#[test]
fn a_404_without_a_session_is_no_loss() {
    let server = Script::http()
        .stateless()
        .on(|call, reply| match call.mark() {
            "missing" => Outcome::Done(reply.text(404, "text/plain", "not found")),
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let call = begin(&mut bridge, "missing");
    let message = must_fail(&bridge, &call, HTTP_ERROR);
    assert!(message.contains("404"), "{message}");
    must_run_once(&server, &mut bridge, "present");
    // It is taken for an outage first, as during a deploy, but not without an end.
    let sessions = server.records_of("initialize").len();
    assert!(sessions <= 12, "{sessions} times");
    bridge.finish();
}

/// What a GET for the optional stream may be answered; none of it means that the session is gone.
#[test]
fn a_server_without_a_get_stream() {
    for (status, kind, body) in [
        (405, "text/plain", "Method Not Allowed"),
        (404, "text/plain", "Not Found"),
        (
            400,
            "application/json",
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"GET is not supported"},"id":null}"#,
        ),
        (
            409,
            "application/json",
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Conflict: only one SSE stream is allowed per session"},"id":null}"#,
        ),
        (500, "text/plain", "oops"),
        (200, "text/html", "<p>A page</p>"),
    ] {
        let server = Script::http()
            .on(move |call, reply| match call.kind {
                "GET" => Outcome::Done(reply.text(status, kind, body)),
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &[]);
        server.wait_for("GET", 1);
        must_run_once(&server, &mut bridge, "one");
        must_run_once(&server, &mut bridge, "two");
        assert_eq!(server.records_of("initialize").len(), 1, "GET {status}");
        assert!(server.records_of("GET").len() < 5, "GET {status} is tried too often");
        bridge.finish();
    }
}

/// The optional stream breaks: it is opened again, and the session goes on.
#[test]
fn losing_the_get_stream_is_not_losing_the_session() {
    let server = Script::http().start();
    let mut bridge = connected(&server, &[]);
    server.wait_for("GET", 1);
    drop(server.take_stream());
    server.wait_for("GET", 2);
    must_run_once(&server, &mut bridge, "after");
    server.push(
        &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "again"}}),
    );
    bridge.wait_for_method(0, "notifications/message");
    assert_eq!(server.records_of("initialize").len(), 1);
    bridge.finish();
}

/// A half-open stream still holds the place of the only one: 409 until the server notices.
#[test]
fn sse_a_second_stream_is_a_conflict() {
    let mut server = Script::sse()
        .on(|call, reply| match call.kind {
            "GET" if (1..4).contains(&call.before) => Outcome::Done(reply.text(409, "text/plain", "Conflict")),
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "before");
    take_down(&mut server, &mut bridge);
    server.up();
    must_run_once(&server, &mut bridge, "after");
    assert_eq!(server.records_of("GET").len(), 5);
    bridge.finish();
}

/// A container is recreated behind a proxy: for a while everything is 404, 502 or 503.
#[test]
fn a_proxy_during_a_deploy() {
    for (status, body) in
        [(404, "404 page not found\n"), (502, "<h1>502 Bad Gateway</h1>"), (503, "no healthy upstream")]
    {
        let deploying = Arc::new(AtomicBool::new(false));
        let proxy = deploying.clone();
        let server = Script::http()
            .on(move |call, reply| {
                // A 502 does not prove that a call did not run; here the call meets the new server, which knows no session.
                let refused = call.kind != "tools/call" || status != 502;
                if refused && proxy.load(Ordering::SeqCst) {
                    return Outcome::Done(reply.text(status, "text/html", body));
                }
                Outcome::Good(reply)
            })
            .start();
        let mut bridge = connected(&server, &[]);
        must_run_once(&server, &mut bridge, "before");
        let initializes = server.records_of("initialize").len();
        let start = Instant::now();
        deploying.store(true, Ordering::SeqCst);
        server.forget_sessions();
        let call = begin(&mut bridge, "during");
        // Some attempts fail.
        server.wait_until("three refused requests", |records| {
            records.iter().filter(|record| record.http.at > start).nth(2).map(drop)
        });
        deploying.store(false, Ordering::SeqCst);
        must_have_run_once(&server, &bridge, &call, "during");
        assert!(server.records_of("initialize").len() > initializes, "{status}");
        assert!(start.elapsed() < Duration::from_secs(15), "{status}: {:?}", start.elapsed());
        bridge.finish();
    }
}

/// Behind a balancer without stickiness every handshake succeeds and every call loses its session.
#[test]
fn a_session_lost_twice_names_the_cause() {
    for script in [Script::http(), Script::sse()] {
        let server = script
            .on(|call, reply| match call.kind {
                "tools/call" => Outcome::Done(reply.text(404, "text/plain", "Session not found")),
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &[]);
        let call = begin(&mut bridge, "unlucky");
        let message = must_fail(&bridge, &call, SESSION_UNSTABLE);
        assert!(message.contains("stick"), "{message}");
        assert_eq!(super::deliveries(&server, "unlucky"), 2);
        bridge.finish();
    }
}

/// A server without session ids gives no sign at all; a broken connection must lead to a fresh handshake all the same.
#[test]
fn a_stateless_server_that_restarts() {
    let mut server = Script::http().stateless().start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "before");
    take_down(&mut server, &mut bridge);
    let call = begin(&mut bridge, "during");
    server.up();
    must_have_run_once(&server, &bridge, &call, "during");
    assert_eq!(server.records_of("initialize").len(), 2);
    assert!(server.records().iter().all(|record| record.http.header("mcp-session-id").is_none()));
    bridge.finish();
}
