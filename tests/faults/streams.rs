//! Event streams and bodies, byte by byte: splits, line ends, sizes, nonsense.

use serde_json::{Value, json};

use super::support::bridge::text;
use super::support::http::Stream;
use super::support::script::{Call, Outcome, Script};
use super::{HTTP_ERROR, OUTCOME_UNKNOWN, TIMED_OUT, TOO_LARGE, begin, connected, must_fail, must_run_once};

/// A server that writes the answer to a call marked `special` with `write`, on whatever stream the transport uses.
fn writing(sse: bool, write: impl Fn(&Stream, &str) + Send + Sync + 'static) -> Script {
    let script = if sse { Script::sse() } else { Script::http() };
    script.on(move |call, reply| {
        if call.mark() != "special" {
            return Outcome::Good(reply);
        }
        let answer = special(call).to_string();
        if sse {
            let next = reply.text(202, "text/plain", "Accepted");
            call.server.with_stream(|stream| write(stream, &answer));
            return Outcome::Done(next);
        }
        let stream = reply.events(&[]);
        write(&stream, &answer);
        stream.end();
        Outcome::Done(None)
    })
}

fn special(call: &Call<'_>) -> Value {
    call.response(json!({"content": [{"type": "text", "text": "grüße – \u{1F980}"}]}))
}

/// The answer arrives whole, and the stream is good for more.
fn arrives(what: &str, write: impl Fn(&Stream, &str) + Send + Sync + Clone + 'static) {
    for sse in [false, true] {
        let server = writing(sse, write.clone()).start();
        let mut bridge = connected(&server, &[]);
        let call = begin(&mut bridge, "special");
        assert_eq!(text(&bridge.result(&call)), "grüße – \u{1F980}", "{what}");
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(server.records_of("initialize").len(), 1, "{what}");
        bridge.finish();
    }
}

#[test]
fn byte_by_byte() {
    arrives("split", |stream, answer| {
        for byte in format!("event: message\r\ndata: {answer}\r\n\r\n").bytes() {
            stream.raw(&[byte]);
        }
    });
}

#[test]
fn everything_in_one_chunk() {
    arrives("merged", |stream, answer| {
        let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}});
        stream.raw(format!(": hello\n\ndata: {note}\n\ndata: {note}\n\ndata: {answer}\n\n: bye\n\n").as_bytes());
    });
}

#[test]
fn every_line_end() {
    arrives("LF", |stream, answer| stream.raw(format!("data: {answer}\n\n").as_bytes()));
    arrives("CRLF", |stream, answer| stream.raw(format!("data: {answer}\r\n\r\n").as_bytes()));
    // The event whose last byte is a lone CR is complete; a LF that follows later belongs to it.
    arrives("CR", |stream, answer| stream.raw(format!("data: {answer}\r\r").as_bytes()));
    arrives("CR, then LF", |stream, answer| {
        stream.raw(format!("data: {answer}\r\n\r").as_bytes());
        stream.raw(b"\n");
    });
}

#[test]
fn fields_that_mean_nothing() {
    arrives("fields", |stream, answer| {
        stream.raw(format!("foo: bar\nretry: soon\nid: a\0b\n: c\ndata:{answer}\nevent\nx\n\n").as_bytes());
    });
}

#[test]
fn data_over_several_lines() {
    arrives("lines", |stream, answer| {
        let (head, tail) = answer.split_once(',').expect("JSON has a comma");
        stream.raw(format!("data: {head},\ndata: {tail}\n\n").as_bytes());
    });
}

#[test]
fn a_byte_order_mark() {
    let server = Script::http()
        .on(|call, reply| {
            if call.mark() != "special" {
                return Outcome::Good(reply);
            }
            let stream = reply.events(&[]);
            stream.raw(format!("\u{FEFF}data: {}\n\n", special(call)).as_bytes());
            stream.end();
            Outcome::Done(None)
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let call = begin(&mut bridge, "special");
    assert_eq!(text(&bridge.result(&call)), "grüße – \u{1F980}");
    bridge.finish();
}

#[test]
fn nonsense_before_the_answer() {
    arrives("nonsense", |stream, answer| {
        stream.raw(
            b"data: hello\n\ndata: {\"jsonrpc\":\"2.0\"\n\ndata: 17\n\ndata: \xff\xfe\n\nevent: other\ndata: {}\n\n",
        );
        stream.raw(format!("data: {answer}\n\n").as_bytes());
    });
}

/// Duplicates, and answers to what nobody asked: the client hears exactly one. The bridge's books check it.
#[test]
fn duplicate_answers() {
    arrives("duplicates", |stream, answer| {
        for _ in 0..3 {
            stream.raw(format!("data: {answer}\n\n").as_bytes());
        }
        stream.raw(b"data: {\"jsonrpc\":\"2.0\",\"id\":987654,\"result\":{}}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}\n\n");
        stream
            .raw(b"data: {\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"for nobody\"}}\n\n");
    });
}

/// A peer's cap of 1 MiB broke a real `tools/list`.
#[test]
fn five_megabytes() {
    const SIZE: usize = 5 << 20;
    for script in [Script::http(), Script::http().events(), Script::sse()] {
        let server = script
            .on(|call, reply| match call.mark() {
                "special" => {
                    let text = "x".repeat(SIZE);
                    Outcome::Done(call.result(reply, json!({"content": [{"type": "text", "text": text}]})))
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &[]);
        let call = begin(&mut bridge, "special");
        assert_eq!(text(&bridge.result(&call)).len(), SIZE);
        // And up.
        let mark = "y".repeat(SIZE);
        must_run_once(&server, &mut bridge, &mark);
        bridge.finish();
    }
}

/// Over the limit: that request fails loudly, is not sent again, and the session goes on.
#[test]
fn an_event_or_body_over_the_limit() {
    for script in [Script::http(), Script::http().events(), Script::sse()] {
        let server = script
            .on(|call, reply| match call.mark() {
                "special" => {
                    let content = json!([{"type": "text", "text": "x".repeat(300_000)}]);
                    Outcome::Done(call.result(reply, json!({"content": content})))
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &["--max-event-bytes", "64K", "--max-body-bytes", "64K"]);
        let call = begin(&mut bridge, "special");
        let error = bridge.error(&call);
        assert_eq!(error["code"], TOO_LARGE, "{error}");
        assert_eq!(error["data"]["limit"], 65536, "{error}");
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(super::deliveries(&server, "special"), 1);
        assert_eq!(server.records_of("initialize").len(), 1);
        bridge.finish();
    }
}

/// An oversized event without end takes no memory and no other request down.
#[test]
fn an_endless_event() {
    let server = Script::http()
        .on(|call, reply| {
            if call.mark() != "special" {
                return Outcome::Good(reply);
            }
            let stream = reply.events(&[]);
            stream.raw(b"data: ");
            // 64 MiB, or until the bridge has had enough.
            let _ = (0..1024).all(|_| stream.try_raw(&[b'x'; 65536]));
            Outcome::Done(None)
        })
        .start();
    let mut bridge = connected(&server, &["--max-event-bytes", "64K"]);
    let call = begin(&mut bridge, "special");
    must_run_once(&server, &mut bridge, "beside it");
    assert!(bridge.error(&call)["code"].is_i64());
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.process().id())).unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        assert!(kilobytes < 150_000, "peak memory of {kilobytes} kB");
    }
    bridge.finish();
}

#[test]
fn a_wrong_content_type() {
    for (kind, body) in
        [("text/html", "<h1>Sign in to the network</h1>"), ("application/json", "not JSON"), ("application/json", "{}")]
    {
        let server = Script::http()
            .on(move |call, reply| match call.kind {
                "tools/call" if call.before == 0 => Outcome::Done(reply.text(200, kind, body)),
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &[]);
        let call = begin(&mut bridge, "strange");
        let error = bridge.error(&call);
        assert!([HTTP_ERROR, OUTCOME_UNKNOWN].map(Value::from).contains(&error["code"]), "{error}");
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(super::deliveries(&server, "strange"), 1);
        bridge.finish();
    }
}

/// 202 in place of an answer, and then silence: the deadline of the request ends the wait.
#[test]
fn accepted_and_then_silence() {
    for script in [Script::http(), Script::http().without_stream(), Script::sse()] {
        let server = script
            .on(|call, reply| match call.mark() {
                "silent" => Outcome::Done(reply.empty(202)),
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &["--request-timeout", "1s"]);
        let call = begin(&mut bridge, "silent");
        let error = bridge.error(&call);
        assert!([TIMED_OUT, OUTCOME_UNKNOWN].map(Value::from).contains(&error["code"]), "{error}");
        must_run_once(&server, &mut bridge, "later");
        assert_eq!(super::deliveries(&server, "silent"), 1);
        bridge.finish();
    }
}

/// Whatever goes wrong with the handshake, it is tried again at a bearable pace.
#[test]
fn a_handshake_that_fails_does_not_spin() {
    let mut spinning = Vec::new();
    for (name, status, kind, body) in [
        ("accepted without an answer", 202, "text/plain", ""),
        ("an empty answer", 200, "application/json", ""),
        ("no JSON-RPC", 200, "application/json", "{}"),
        ("a web page", 200, "text/html", "<h1>Sign in</h1>"),
        ("an empty event stream", 200, "text/event-stream", ": nothing\n\n"),
        ("an internal error", 500, "text/plain", "oops"),
        ("a bad gateway", 502, "text/html", "<h1>502 Bad Gateway</h1>"),
        ("unavailable", 503, "text/plain", "no healthy upstream"),
        ("too many requests", 429, "text/plain", ""),
    ] {
        let server = Script::http().on(move |_, reply| Outcome::Done(reply.text(status, kind, body))).start();
        let mut bridge = super::Bridge::start(&[
            &server.url(),
            "--transport",
            "http",
            "--hold-timeout",
            "3s",
            "--start-timeout",
            "off",
        ]);
        let initialize = bridge.begin_initialize(json!({}));
        assert!(bridge.error(&initialize)["code"].is_i64(), "{name}");
        let attempts = server.records_of("initialize").len();
        // 100 ms is the floor between attempts without progress.
        if attempts > 31 {
            spinning.push((name, attempts));
        }
        bridge.finish();
    }
    assert!(spinning.is_empty(), "attempts within 3 s: {spinning:?}");
}

/// The server says nothing at all: the same deadline, and the server is told.
#[test]
fn no_answer_at_all() {
    let server = Script::http()
        .on(|call, reply| match call.mark() {
            "silent" => {
                call.server.keep(reply.hold());
                Outcome::Done(None)
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &["--request-timeout", "1s"]);
    let call = begin(&mut bridge, "silent");
    must_fail(&bridge, &call, TIMED_OUT);
    let sent = server.wait_for("tools/call", 1);
    let cancelled = server.wait_for("notifications/cancelled", 1);
    assert_eq!(cancelled.message["params"]["requestId"], sent.message["id"]);
    must_run_once(&server, &mut bridge, "later");
    bridge.finish();
}

/// Progress keeps a long request alive.
#[test]
fn progress_extends_the_deadline() {
    let server = Script::http()
        .on(|call, reply| {
            if call.mark() != "long" {
                return Outcome::Good(reply);
            }
            let stream = reply.events(&[]);
            let token = call.message["params"]["_meta"]["progressToken"].clone();
            for step in 0..8 {
                let params = json!({"progressToken": token, "progress": step});
                stream.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
                // Time is what this test is about: eight of these are more than the timeout, one is much less.
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
            stream.event(&call.response(json!({"content": [{"type": "text", "text": "long"}]})));
            stream.end();
            Outcome::Done(None)
        })
        .start();
    let mut bridge = connected(&server, &["--request-timeout", "2s"]);
    let params = json!({"name": "mark", "arguments": {"mark": "long"}, "_meta": {"progressToken": "p"}});
    assert_eq!(bridge.tool(params), "long");
    assert_eq!(bridge.messages_of("notifications/progress").len(), 8);
    bridge.finish();
}
