//! A server that wants the client's secrets sent elsewhere, or headers of its own injected.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::support::bridge::Bridge;
use super::support::http::{self, Request};
use super::support::script::{Outcome, Script};
use super::{begin, connected, must_fail, must_run_once};

/// Another origin, which must hear nothing.
struct Stranger {
    http: http::Server,
    heard: Arc<Mutex<Vec<Request>>>,
}

impl Stranger {
    fn start() -> Self {
        let heard: Arc<Mutex<Vec<Request>>> = Arc::default();
        let log = heard.clone();
        let http = http::Server::start(move |request, reply| {
            log.lock().unwrap().push(request);
            reply.json(200, &json!({"jsonrpc": "2.0", "id": 1, "result": {}}))
        });
        Self { http, heard }
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.http.port())
    }

    fn must_have_heard_nothing(&self) {
        let heard = self.heard.lock().unwrap();
        assert!(heard.is_empty(), "another origin heard {heard:#?}");
    }
}

/// Options under which a bridge gives up soon, and a secret that must not leave.
const OPTIONS: [&str; 6] =
    ["--hold-timeout", "2s", "--start-timeout", "off", "--header", "Authorization: Bearer secret"];

fn start(url: &str, options: &[&str]) -> Bridge {
    let mut arguments = vec![url];
    arguments.extend_from_slice(&OPTIONS);
    arguments.extend_from_slice(options);
    Bridge::start(&arguments)
}

#[test]
fn an_endpoint_on_another_origin() {
    let stranger = Stranger::start();
    let origin = stranger.origin();
    let host = origin.strip_prefix("http:").expect("http").to_owned();
    for endpoint in [
        format!("{origin}/message"),
        format!("{host}/message"),
        format!("http://user@{}/message", &host[2..]),
        format!("https:{host}/message"),
        "javascript:alert(1)".to_owned(),
        "http://[".to_owned(),
        format!("\\\\{}\\message", &host[2..]),
        format!("/\\{}/message", &host[2..]),
        format!("/\t{}/message", &host[1..]),
    ] {
        let named = endpoint.clone();
        let server = Script::sse()
            .authorization("Bearer secret")
            .on(move |call, reply| match call.kind {
                "GET" => {
                    let stream = reply.events(&[]);
                    stream.raw(format!("event: endpoint\ndata: {named}\n\n").as_bytes());
                    call.server.keep(stream);
                    Outcome::Done(None)
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = start(&server.url(), &["--transport", "sse"]);
        let initialize = bridge.begin_initialize(json!({}));
        assert!(bridge.error(&initialize)["message"].is_string(), "{endpoint:?}");
        bridge.finish();
        stranger.must_have_heard_nothing();
    }
}

/// It was good at first, and another at the next connect.
#[test]
fn an_endpoint_that_moves_to_another_origin() {
    let stranger = Stranger::start();
    let origin = stranger.origin();
    let mut server = Script::sse()
        .authorization("Bearer secret")
        .on(move |call, reply| match call.kind {
            "GET" if call.before > 0 => {
                let stream = reply.events(&[]);
                stream.raw(format!("event: endpoint\ndata: {origin}/message?session=1\n\n").as_bytes());
                call.server.keep(stream);
                Outcome::Done(None)
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &OPTIONS);
    must_run_once(&server, &mut bridge, "before");
    server.restart();
    let call = begin(&mut bridge, "after");
    assert!(bridge.error(&call)["message"].is_string());
    bridge.finish();
    stranger.must_have_heard_nothing();
}

/// Forms of an endpoint on the same origin.
#[test]
fn endpoints_on_the_same_origin() {
    for form in [
        "/message?session=",
        "message?session=",
        "./message?session=",
        "http://127.0.0.1:{port}/message?session=",
        "//127.0.0.1:{port}/message?a=b&session=",
    ] {
        let server = Script::sse().endpoint(form).authorization("Bearer secret").start();
        let mut bridge = connected(&server, &OPTIONS);
        must_run_once(&server, &mut bridge, form);
        bridge.finish();
    }
}

#[test]
fn redirects_to_another_origin() {
    let stranger = Stranger::start();
    for script in [Script::http, Script::sse] {
        for status in [301, 302, 303, 307, 308] {
            for after in ["initialize", "tools/call", "GET"] {
                let location = format!("{}/mcp", stranger.origin());
                let server = script()
                    .authorization("Bearer secret")
                    .on(move |call, reply| match call.kind == after {
                        true => Outcome::Done(reply.send(status, &[("location", &location)], b"")),
                        false => Outcome::Good(reply),
                    })
                    .start();
                let mut bridge = start(&server.url(), &[]);
                let initialize = bridge.begin_initialize(json!({}));
                if bridge.answer(&initialize).get("result").is_some() {
                    bridge.notify("notifications/initialized", json!({}));
                    let call = begin(&mut bridge, "call");
                    assert!(after == "GET" || bridge.error(&call)["message"].is_string());
                    bridge.answer(&call);
                } else {
                    assert_ne!(after, "tools/call");
                }
                bridge.finish();
                stranger.must_have_heard_nothing();
            }
        }
    }
}

/// 307 and 308 to the same origin keep method, body and headers.
#[test]
fn redirects_to_the_same_origin() {
    for status in [307, 308] {
        let server = Script::http()
            .authorization("Bearer secret")
            .on(move |call, reply| match call.http.target.as_str() {
                "/mcp" => Outcome::Done(reply.send(status, &[("location", "/moved/mcp?x=1")], b"")),
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &OPTIONS);
        must_run_once(&server, &mut bridge, "moved");
        bridge.finish();
    }
}

#[test]
fn a_redirect_to_itself_ends() {
    let server = Script::http().on(|_, reply| Outcome::Done(reply.send(307, &[("location", "/mcp")], b""))).start();
    let mut bridge = start(&server.url(), &["--transport", "http"]);
    let initialize = bridge.begin_initialize(json!({}));
    assert!(bridge.error(&initialize)["message"].is_string());
    assert!(server.records().len() < 60, "{} requests", server.records().len());
    bridge.finish();
}

/// A session id has the bytes 0x21 to 0x7E; any other is refused, and never sent back.
#[test]
fn session_ids_with_illegal_bytes() {
    for id in [&b"two words"[..], b"tab\there", b"\xc3\xa9", b"\x01", b"\x7f", &[b'x'; 20_000]] {
        let raw = id.to_vec();
        let server = Script::http()
            .on(move |call, reply| match call.kind {
                "initialize" => {
                    let body = call.response(call.server.initialize_result(call)).to_string();
                    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: ".to_vec();
                    bytes.extend_from_slice(&raw);
                    bytes.extend_from_slice(format!("\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
                    Outcome::Done(reply.raw(&bytes))
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = start(&server.url(), &["--transport", "http"]);
        let initialize = bridge.begin_initialize(json!({}));
        assert!(bridge.error(&initialize)["message"].is_string(), "{:?}", String::from_utf8_lossy(id));
        bridge.finish();
        assert!(server.records().iter().all(|record| record.session.is_none()), "{:?}", String::from_utf8_lossy(id));
    }
}

/// Values of the server that end up in headers or in the request line.
#[test]
fn injected_headers() {
    let is_clean = |request: &Request| request.header("x-injected").is_none() && !request.target.contains("HTTP/1.1");
    // The version that the server chose goes into a header.
    let server = Script::http()
        .on(|call, reply| match call.kind {
            "initialize" => {
                let mut result = call.server.initialize_result(call);
                result["protocolVersion"] = "2025-06-18\r\nx-injected: yes".into();
                Outcome::Done(call.result(reply, result))
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = start(&server.url(), &["--transport", "http"]);
    let initialize = bridge.begin_initialize(json!({}));
    bridge.answer(&initialize);
    bridge.finish();
    assert!(server.records().iter().all(|record| is_clean(&record.http)));

    // An event id goes into `Last-Event-ID`.
    for id in ["a\u{1}b", "é", "\u{7f}", "a\tb"] {
        let server = Script::http()
            .on(move |call, reply| match call.mark() {
                "cut" => {
                    let stream = reply.events(&[]);
                    stream.raw(format!("id: {id}\nretry: 50\ndata:\n\n").as_bytes());
                    stream.end();
                    Outcome::Done(None)
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &["--request-timeout", "1s"]);
        let call = begin(&mut bridge, "cut");
        assert!(bridge.error(&call)["code"].is_i64());
        must_run_once(&server, &mut bridge, "later");
        bridge.finish();
        assert!(server.records().iter().all(|record| is_clean(&record.http)));
    }

    // The endpoint goes into the request line: spaces are escaped, and with control characters it is refused.
    for (endpoint, sent) in [
        ("/message?session=a b HTTP/1.1\rx-injected: yes", Some("/message?session=a%20b%20HTTP/1.1")),
        ("/message?session=\u{1}", None),
        ("/message?é=\u{7f}", None),
    ] {
        let server = Script::sse()
            .on(move |call, reply| match call.kind {
                "GET" => {
                    let stream = reply.events(&[]);
                    stream.raw(format!("event: endpoint\ndata: {endpoint}\n\n").as_bytes());
                    call.server.keep(stream);
                    Outcome::Done(None)
                }
                _ => Outcome::Done(reply.empty(202)),
            })
            .start();
        let mut bridge = start(&server.url(), &["--transport", "sse"]);
        let initialize = bridge.begin_initialize(json!({}));
        server.wait_for("GET", 1);
        // The session is answered by nobody; what matters is what was sent.
        if sent.is_some() {
            server.wait_for("initialize", 1);
            bridge.cancel(&initialize);
        } else {
            bridge.answer(&initialize);
        }
        bridge.finish();
        let targets: BTreeSet<_> = server
            .records()
            .iter()
            .filter(|record| record.kind != "GET")
            .map(|record| record.http.target.clone())
            .collect();
        assert_eq!(targets.iter().map(String::as_str).collect::<Vec<_>>(), Vec::from_iter(sent), "{endpoint:?}");
        assert!(server.records().iter().all(|record| record.http.header("x-injected").is_none()), "{endpoint:?}");
    }
}

/// JSON that is deep or strange must not take the bridge down.
#[test]
fn hostile_json() {
    for body in [
        "[".repeat(200_000),
        format!(r#"{{"jsonrpc":"2.0","id":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000)),
        r#"{"jsonrpc":"2.0","id":{},"result":{}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":5,"id":true}"#.to_owned(),
        "null".to_owned(),
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{}1{}}}"#,
            "[".repeat(5_000),
            "]".repeat(5_000)
        ),
    ] {
        let server = Script::http()
            .on(move |call, reply| match call.kind {
                "tools/call" if call.before == 0 => {
                    let stream = reply.events(&[]);
                    stream.raw(format!("data: {body}\n\n").as_bytes());
                    stream.event(&call.response(json!({"content": [{"type": "text", "text": "alive"}]})));
                    stream.end();
                    Outcome::Done(None)
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = connected(&server, &[]);
        assert_eq!(bridge.tool(super::marked("alive")), "alive");
        must_run_once(&server, &mut bridge, "later");
        bridge.finish();
    }
}

/// What a server writes reaches the client on one line, whatever line ends it holds.
#[test]
fn one_message_one_line() {
    let server = Script::http()
        .on(|call, reply| match call.kind {
            "x/pretty" => {
                let pretty = serde_json::to_string_pretty(&call.response(json!({"a": [1, 2]}))).expect("JSON");
                Outcome::Done(reply.text(200, "application/json", &pretty.replace('\n', "\r\n")))
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = connected(&server, &[]);
    let pretty = bridge.request("x/pretty", Value::Null);
    assert_eq!(bridge.result(&pretty), json!({"a": [1, 2]}));
    bridge.finish();
}

/// A bad certificate, here no TLS at all, is an error at once; there is nothing to wait for.
#[test]
fn https_where_there_is_none() {
    let server = Script::http().start();
    let mut bridge = Bridge::start(&[&server.url().replace("http:", "https:")]);
    let begun = std::time::Instant::now();
    let initialize = bridge.begin_initialize(json!({}));
    let message = must_fail_somehow(&bridge, &initialize);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{message}");
    bridge.finish();
}

fn must_fail_somehow(bridge: &Bridge, id: &str) -> String {
    let code = bridge.error(id)["code"].as_i64().expect("a code");
    must_fail(bridge, id, code)
}
