//! What may be sent again after a failure: each row of the table, on both transports.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::http::{Next, Reply};
use super::support::script::{Call, Outcome, Script};
use super::{
    HTTP_ERROR, OUTCOME_UNKNOWN, UNAVAILABLE, begin, connected, deliveries, must_fail, must_have_run_once,
    must_run_once, take_down,
};

/// A server whose first `tools/call` and first `tools/list` meet a fault.
fn faulty(script: Script, fault: impl Fn(&Call<'_>, Reply) -> Next + Send + Sync + 'static) -> Script {
    script.on(move |call, reply| match call.kind {
        "tools/call" | "tools/list" if call.before == 0 => Outcome::Done(fault(call, reply)),
        _ => Outcome::Good(reply),
    })
}

/// The fault proves that the request did not run: it is sent again, whatever it is.
fn is_sent_again(script: Script, what: &str, fault: impl Fn(&Call<'_>, Reply) -> Next + Send + Sync + 'static) {
    let server = faulty(script, fault).start();
    let mut bridge = connected(&server, &[]);
    let (list, call) = (bridge.request("tools/list", json!({})), begin(&mut bridge, "marked"));
    must_have_run_once(&server, &bridge, &call, "marked");
    assert!(bridge.result(&list)["tools"].is_array(), "{what}");
    assert_eq!(deliveries(&server, "marked"), 2, "{what}");
    must_run_once(&server, &mut bridge, "later");
    bridge.finish();
}

/// The fault proves nothing: what is safe is sent again once, anything else gets the outcome-unknown error at once.
fn is_ambiguous(script: Script, what: &str, fault: impl Fn(&Call<'_>, Reply) -> Next + Send + Sync + 'static) {
    let server = faulty(script, fault).start();
    let mut bridge = connected(&server, &[]);
    let call = begin(&mut bridge, "marked");
    let start = Instant::now();
    let message = must_fail(&bridge, &call, OUTCOME_UNKNOWN);
    assert!(message.contains("tools/call"), "{what}: {message}");
    assert!(start.elapsed() < Duration::from_secs(5), "{what}: the answer came after {:?}", start.elapsed());
    let list = bridge.request("tools/list", json!({}));
    assert!(bridge.result(&list)["tools"].is_array(), "{what}");
    must_run_once(&server, &mut bridge, "later");
    assert_eq!(deliveries(&server, "marked"), 1, "{what}: a call of unknown outcome was sent again");
    // Beside the client's own, a list may be the bridge's way to verify something.
    assert!(server.records_of("tools/list").len() >= 2, "{what}");
    bridge.finish();
}

#[test]
fn connection_refused() {
    for script in [Script::http(), Script::sse()] {
        let mut server = script.start();
        let mut bridge = connected(&server, &[]);
        take_down(&mut server, &mut bridge);
        let call = begin(&mut bridge, "held");
        server.up();
        must_have_run_once(&server, &bridge, &call, "held");
        bridge.finish();
    }
}

#[test]
fn too_many_requests() {
    for script in [Script::http(), Script::sse()] {
        is_sent_again(script, "429", |_, reply| reply.text(429, "text/plain", "slow down"));
    }
}

#[test]
fn retry_after_is_obeyed() {
    for (script, status) in [(Script::http(), 429), (Script::http(), 503), (Script::sse(), 429), (Script::sse(), 503)] {
        let server = script
            .on(move |call, reply| match call.kind {
                "tools/call" if call.before == 0 => Outcome::Done(reply.send(status, &[("retry-after", "1")], b"busy")),
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &[]);
        must_run_once(&server, &mut bridge, "patient");
        let calls = server.records_of("tools/call");
        let waited = calls[1].http.at - calls[0].http.at;
        assert!((Duration::from_millis(950)..Duration::from_secs(4)).contains(&waited), "{status}: {waited:?}");
        bridge.finish();
    }
}

#[test]
fn service_unavailable_that_nobody_took() {
    for body in [
        "no healthy upstream",
        "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n",
        "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
        "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n",
    ] {
        is_sent_again(Script::http(), body, move |_, reply| reply.text(503, "text/html", body));
    }
    is_sent_again(Script::sse(), "sse", |_, reply| reply.text(503, "text/plain", "no healthy upstream"));
}

#[test]
fn other_server_errors() {
    for (status, body) in [
        (503, "upstream connect error or disconnect/reset before headers. reset reason: connection termination"),
        (500, r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal server error"},"id":null}"#),
        (502, "<html><h1>502 Bad Gateway</h1></html>"),
        (504, "<html><h1>504 Gateway Time-out</h1></html>"),
        (408, ""),
    ] {
        for script in [Script::http(), Script::sse()] {
            is_ambiguous(script, &format!("{status} {body}"), move |_, reply| reply.text(status, "text/html", body));
        }
    }
}

#[test]
fn a_reset_after_sending() {
    for script in [Script::http(), Script::http().events(), Script::http().stateless(), Script::sse()] {
        is_ambiguous(script, "reset", |_, reply| reply.reset());
    }
}

#[test]
fn a_response_that_ends_without_the_answer() {
    is_ambiguous(Script::http(), "an empty event stream", |_, reply| {
        reply.events(&[]).end();
        None
    });
    is_ambiguous(Script::http(), "an event stream that breaks", |_, reply| {
        reply.events(&[]).event(
            &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}),
        );
        None
    });
    is_ambiguous(Script::http(), "a JSON body that breaks", |_, reply| {
        reply.open(200, &[("content-type", "application/json")]).raw(b"{\"jsonrpc\":\"2.0\",");
        None
    });
    is_ambiguous(Script::http(), "an early end", |_, reply| {
        reply.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    });
    is_ambiguous(Script::http(), "no HTTP", |_, reply| reply.raw(b"SSH-2.0-OpenSSH_9.2\r\n"));
}

/// HTTP+SSE: the server took the request, and then the stream on which the answer would come was lost.
#[test]
fn sse_accepted_and_then_the_stream_is_lost() {
    is_ambiguous(Script::sse(), "202, then the stream lost", |call, reply| {
        let next = reply.text(202, "text/plain", "Accepted");
        drop(call.server.take_stream());
        next
    });
}

/// HTTP+SSE: the stream is lost while the POST waits. Its 404 is waited for, for it proves that the call did not run.
#[test]
fn sse_the_stream_ends_before_the_post_is_refused() {
    let server = Script::sse()
        .on(|call, reply| match call.kind {
            "tools/call" if call.before == 0 => {
                drop(call.server.take_stream());
                call.server.forget_sessions();
                // It opens a new stream once it has seen the end of the old one.
                call.server.wait_for("GET", 2);
                Outcome::Done(reply.text(404, "text/plain", "Could not find session"))
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &[]);
    must_run_once(&server, &mut bridge, "late refusal");
    bridge.finish();
}

/// HTTP+SSE, server-everything: a POST to a dead session is never answered.
#[test]
fn sse_the_stream_ends_and_the_post_is_never_answered() {
    let held = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let holder = held.clone();
    is_ambiguous(Script::sse(), "a silent POST", move |call, reply| {
        holder.lock().unwrap().push(reply.hold());
        drop(call.server.take_stream());
        None
    });
    drop(held);
}

#[test]
fn other_client_errors_are_the_answer() {
    for script in [Script::http, Script::sse] {
        for (status, body) in [(400, "bad"), (413, "too large"), (415, ""), (422, "{}"), (410, "gone")] {
            let server = script()
                .on(move |call, reply| match call.kind {
                    "tools/call" if call.before == 0 => Outcome::Done(reply.text(status, "text/plain", body)),
                    _ => Outcome::Good(reply),
                })
                .start();
            let mut bridge = connected(&server, &[]);
            let call = begin(&mut bridge, "refused");
            let message = must_fail(&bridge, &call, HTTP_ERROR);
            assert!(message.contains(&status.to_string()), "{message}");
            must_run_once(&server, &mut bridge, "later");
            assert_eq!(deliveries(&server, "refused"), 1, "{status}");
            assert_eq!(server.records_of("initialize").len(), 1, "{status}");
            bridge.finish();
        }
    }
}

/// Which methods may run twice is fixed: everything else is not sent again. Each meets a reset once.
#[test]
fn safe_and_unsafe_methods() {
    let safe = [
        "tools/list",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "tasks/get",
        "tasks/list",
        "tasks/result",
    ];
    let harmful = ["tools/call", "tasks/cancel", "x/unknown", "toolslist", "tools/list/all"];
    let server = Script::http()
        .on(|call, reply| {
            if call.message["params"]["first"] != true {
                return Outcome::Good(reply);
            }
            match call.before {
                0 => Outcome::Done(reply.reset()),
                _ => Outcome::Done(call.result(reply, json!({"second": call.kind}))),
            }
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let params = json!({"first": true, "uri": "memo://x", "level": "info", "name": "n"});
    for method in safe {
        assert_eq!(bridge.call(method, params.clone()), json!({"second": method}));
    }
    for method in harmful {
        let id = bridge.request(method, params.clone());
        let message = must_fail(&bridge, &id, OUTCOME_UNKNOWN);
        assert!(message.contains(method), "{message}");
    }
    bridge.finish();
    for method in harmful {
        assert_eq!(server.records_of(method).len(), 1, "{method} was sent again");
    }
}

/// Once, not without end.
#[test]
fn a_safe_request_is_sent_again_once() {
    let server = Script::http()
        .on(|call, reply| match call.kind {
            "resources/read" => Outcome::Done(reply.reset()),
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let read = bridge.request("resources/read", json!({"uri": "memo://note"}));
    must_fail(&bridge, &read, OUTCOME_UNKNOWN);
    must_run_once(&server, &mut bridge, "later");
    assert_eq!(server.records_of("resources/read").len(), 2);
    bridge.finish();
}

/// A deadline that passes while the server is away: an error that says that it did not run, and it never does.
#[test]
fn a_held_request_that_failed_is_never_sent() {
    for script in [Script::http(), Script::sse()] {
        let mut server = script.start();
        let mut bridge = connected(&server, &["--hold-timeout", "1s"]);
        take_down(&mut server, &mut bridge);
        let call = begin(&mut bridge, "expired");
        must_fail(&bridge, &call, UNAVAILABLE);
        server.up();
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(deliveries(&server, "expired"), 0);
        bridge.finish();
    }
}
