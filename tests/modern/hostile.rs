//! Answers that are none, or not what they should be: each request has its answer, and the next one is none the worse.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::scripted::{self, decoded, good};
use super::servers::{Kind, Server};
use super::support::bridge::{Bridge, text};
use super::support::http::Reply;
use super::support::script::{Call, Outcome};
use super::{MODERN, acknowledged, barrier, bridge, listen, modern, tool};

/// A bridge at a server that does `wrong` with the calls marked so.
fn with_wrong_call(
    wrong: impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static,
    check: impl FnOnce(&mut Bridge, Value),
) {
    let server = scripted::server(move |call, reply| {
        if call.kind == "tools/call" && call.mark() == "wrong" { wrong(call, reply) } else { Outcome::Good(reply) }
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("server/discover", modern(json!({})));
    let id = bridge.request("tools/call", tool("mark", json!({"mark": "wrong"})));
    let answer = bridge.answer(&id);
    check(&mut bridge, answer);
    barrier(&mut bridge, "after");
    let sent = server
        .records_of("tools/call")
        .iter()
        .filter(|record| record.message["params"]["arguments"]["mark"] == "wrong")
        .count();
    assert_eq!(sent, 1, "what may have run was sent again");
    assert!(server.records_of("initialize").is_empty(), "taken for a legacy server");
    bridge.finish();
}

/// An error of ours that says something.
fn must_explain(answer: &Value) {
    let code = answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("an error was expected: {answer}"));
    assert!((-31999..=-31000).contains(&code), "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{answer}");
}

#[test]
fn bodies_that_are_no_answer() {
    let cases: [(u16, &str, &str); 8] = [
        (200, "application/json", ""),
        (200, "application/json", "{"),
        (200, "application/json", "[]"),
        (200, "application/json", "null"),
        (202, "text/plain", "Accepted"),
        (204, "text/plain", ""),
        (200, "application/json", r#"{"jsonrpc":"2.0","id":"another","result":{}}"#),
        (200, "text/event-stream", "data: {\n\n"),
    ];
    for (status, kind, body) in cases {
        with_wrong_call(
            move |_, reply| Outcome::Done(reply.text(status, kind, body)),
            |_, answer| must_explain(&answer),
        );
    }
}

/// The page of a proxy in the server's place: tried a few times, and then said. One of 200 may come from one node of several.
#[test]
fn a_page_that_is_no_answer() {
    for (status, most) in [(200, 11), (404, 4), (410, 4)] {
        let server = scripted::server(move |call, reply| {
            if call.kind == "tools/call" && call.mark() == "wrong" {
                return Outcome::Done(reply.text(status, "text/html", "<html>maintenance</html>"));
            }
            Outcome::Good(reply)
        });
        let mut bridge = bridge(&server.url(), &[]);
        bridge.call("server/discover", modern(json!({})));
        let id = bridge.request("tools/call", tool("mark", json!({"mark": "wrong"})));
        assert_eq!(bridge.error(&id)["code"], -31007, "{status}");
        let tries = server.records_of("tools/call").len();
        assert!((1..=most).contains(&tries), "{status}: {tries} tries");
        barrier(&mut bridge, "after");
        bridge.finish();
    }
}

/// An id that a server has lost is no reason to lose its words.
#[test]
fn errors_without_the_id() {
    for id in [json!(null), json!("server-error")] {
        for status in [400, 404, 406, 415] {
            let id = id.clone();
            with_wrong_call(
                move |_, reply| {
                    let error = json!({"code": -32600, "message": "the server's words"});
                    Outcome::Done(reply.json(status, &json!({"jsonrpc": "2.0", "id": id, "error": error})))
                },
                |_, answer| {
                    assert!(
                        answer["error"]["message"].as_str().is_some_and(|said| said.contains("the server's words")),
                        "{answer}"
                    );
                },
            );
        }
    }
}

/// The connection breaks in the middle of the body.
#[test]
fn a_body_that_is_cut_short() {
    with_wrong_call(
        |call, reply| {
            let whole = call.response(json!({"content": []})).to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", whole.len());
            Outcome::Done(reply.raw(format!("{head}{}", &whole[..whole.len() - 3]).as_bytes()))
        },
        |_, answer| assert_eq!(answer["error"]["code"], -31001, "{answer}"),
    );
}

/// A list may come as a stream too: its tools are looked at all the same.
#[test]
fn a_list_that_comes_as_a_stream() {
    let schema =
        |header: &str| json!({"type": "object", "properties": {"where": {"type": "string", "x-mcp-header": header}}});
    let tools = json!([
        {"name": "mark", "inputSchema": schema("Where")},
        {"name": "bad", "inputSchema": schema("not a token")},
    ]);
    let server = scripted::server(move |call, reply| {
        if call.kind != "tools/list" {
            return Outcome::Good(reply);
        }
        let stream = reply.events(&[]);
        let list = call.response(json!({"resultType": "complete", "tools": tools})).to_string();
        // In two lines of data and in CRLF, as the format allows.
        let (first, second) = list.split_at(list.find(',').unwrap() + 1);
        stream.raw(format!(": hello\r\n\r\nevent: message\r\ndata: {first}\r\ndata: {second}\r\n\r\n").as_bytes());
        stream.end();
        Outcome::Done(None)
    });
    let mut bridge = bridge(&server.url(), &[]);
    let list = bridge.call("tools/list", modern(json!({})));
    let names: Vec<_> = list["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["mark"]);
    bridge.call("tools/call", tool("mark", json!({"mark": "m", "where": "there"})));
    let call = server.wait_for("tools/call", 1);
    assert_eq!(call.http.header("mcp-param-where"), Some("there"));
    bridge.finish();
}

/// What is no list of tools goes through as it is.
#[test]
fn lists_that_are_none() {
    for result in [
        json!({}),
        json!({"tools": null}),
        json!({"tools": {}}),
        json!({"tools": [1, null, {}, {"name": 7}]}),
        json!([]),
    ] {
        let answer = result.clone();
        let server = scripted::server(move |call, reply| {
            if call.kind == "tools/list" {
                Outcome::Done(call.result(reply, answer.clone()))
            } else {
                Outcome::Good(reply)
            }
        });
        let mut bridge = bridge(&server.url(), &[]);
        let list = bridge.request("tools/list", modern(json!({})));
        assert_eq!(bridge.answer(&list)["result"], result);
        barrier(&mut bridge, "after");
        bridge.finish();
    }
}

/// Arguments of each type, and those that are not what the schema says.
#[test]
fn arguments_in_headers() {
    let of = |kind: &str, header: &str| json!({"type": kind, "x-mcp-header": header});
    let schema = json!({"type": "object", "properties": {
        "text": of("string", "Text"), "count": of("integer", "Count"), "flag": of("boolean", "Flag"),
        "deep": {"type": "object", "properties": {"in": of("string", "In")}},
    }});
    let tools = json!([{"name": "mark", "inputSchema": schema}]);
    let server = scripted::server(move |call, reply| {
        let list = json!({"resultType": "complete", "tools": tools});
        if call.kind == "tools/list" { Outcome::Done(call.result(reply, list)) } else { Outcome::Good(reply) }
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("tools/list", modern(json!({})));
    let cases = [
        (
            json!({"text": "a", "count": 42, "flag": true, "deep": {"in": "b"}}),
            [Some("a"), Some("42"), Some("true"), Some("b")],
        ),
        (
            json!({"text": "", "count": -7, "flag": false, "deep": {"in": " "}}),
            [Some(""), Some("-7"), Some("false"), Some(" ")],
        ),
        (json!({"text": null, "count": 0, "deep": {}}), [None, Some("0"), None, None]),
        (json!({"deep": null}), [None, None, None, None]),
        (json!({"deep": [{"in": "no"}], "text": "\u{1F980}"}), [Some("\u{1F980}"), None, None, None]),
        (json!({}), [None, None, None, None]),
    ];
    for (number, (arguments, expected)) in cases.into_iter().enumerate() {
        bridge.call("tools/call", tool("mark", arguments.clone()));
        let http = server.wait_for("tools/call", number + 1).http;
        let got = ["text", "count", "flag", "in"].map(|name| http.header(&format!("mcp-param-{name}")).map(decoded));
        assert_eq!(got, expected.map(|value| value.map(str::to_owned)), "{arguments}");
    }
    // What has no place in a header, or no arguments at all, is the server's to judge: it is sent, and answered.
    for arguments in [
        json!({"text": {"an": "object"}}),
        json!({"text": [1]}),
        json!({"count": 1.5}),
        json!([]),
        json!("x"),
        json!(null),
    ] {
        let id = bridge.request("tools/call", tool("mark", arguments.clone()));
        assert!(bridge.answer(&id).get("result").is_some(), "{arguments}");
    }
    bridge.finish();
}

/// A header that is too long for the server: its refusal, or that of its connection, is the answer, and nothing is lost by it.
#[test]
fn a_value_that_is_too_long_for_a_header() {
    let server = Server::with(Kind::TypeScriptOnly, &["--header", "Region"]);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("tools/list", modern(json!({})));
    for length in [20_000, 2_000_000] {
        let id = bridge.request("tools/call", tool("route", json!({"region": "x".repeat(length), "mark": "long"})));
        let answer = bridge.answer(&id);
        must_explain(&answer);
        let after = bridge.call("tools/call", tool("echo", json!({"text": "after"})));
        assert_eq!(text(&after), "Echo: after");
    }
    assert_eq!(server.count("route long"), 0);
    bridge.finish();
}

/// A redirect keeps what is in the headers.
#[test]
fn a_redirect() {
    let server = scripted::server(|call, reply| {
        if call.http.target == "/mcp" && call.kind == "tools/call" {
            return Outcome::Done(reply.send(307, &[("location", "/elsewhere")], b""));
        }
        Outcome::Good(reply)
    });
    let mut bridge = bridge(&server.url(), &[]);
    barrier(&mut bridge, "there");
    let elsewhere =
        server.records().into_iter().rfind(|record| record.http.target == "/elsewhere").expect("it was followed");
    assert_eq!(elsewhere.http.header("mcp-name"), Some("mark"));
    assert_eq!(server.executions("there"), 1);
    bridge.finish();
}

/// A notification of the era goes out with its headers, once, and an error to it harms nobody.
#[test]
fn a_notification_of_the_client() {
    let refused = Mutex::new(0);
    let server = scripted::server(move |call, reply| {
        if call.kind != "notifications/vendor" {
            return Outcome::Good(reply);
        }
        *refused.lock().unwrap() += 1;
        Outcome::Done(
            reply.json(400, &json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "no"}})),
        )
    });
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("server/discover", modern(json!({})));
    bridge.notify("notifications/vendor", modern(json!({"x": 1})));
    let sent = server.wait_for("notifications/vendor", 1);
    assert_eq!(sent.http.header("mcp-method"), Some("notifications/vendor"));
    assert_eq!(sent.http.header("mcp-protocol-version"), Some(MODERN));
    barrier(&mut bridge, "after");
    assert_eq!(server.records_of("notifications/vendor").len(), 1);
    bridge.finish();
}

/// Large results pass, as JSON and as a stream.
#[test]
fn large_results() {
    let server = scripted::server(|call, reply| {
        if call.kind != "resources/read" {
            return Outcome::Good(reply);
        }
        let text = "x".repeat(6 * 1024 * 1024);
        let message =
            call.response(json!({"resultType": "complete", "contents": [{"uri": "memo://note", "text": text}]}));
        if call.before % 2 == 0 {
            return Outcome::Done(reply.json(200, &message));
        }
        let stream = reply.events(&[]);
        stream.event(&message);
        stream.end();
        Outcome::Done(None)
    });
    let mut bridge = bridge(&server.url(), &[]);
    for _ in 0..2 {
        let read = bridge.call("resources/read", modern(json!({"uri": "memo://note"})));
        assert_eq!(read["contents"][0]["text"].as_str().map(str::len), Some(6 * 1024 * 1024));
    }
    bridge.finish();
}

/// Many subscriptions and many calls at once, and a restart: nothing is mixed up, each is told once.
#[test]
fn many_at_once() {
    const SUBSCRIPTIONS: usize = 40;
    let mut server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    let ids: Vec<_> = (0..SUBSCRIPTIONS).map(|number| format!(r#""s{number}""#)).collect();
    for id in &ids {
        bridge.request_as(id, "subscriptions/listen", listen(&[]));
    }
    for id in &ids {
        acknowledged(&bridge, id);
    }
    let mark = bridge.mark();
    server.down();
    let calls: Vec<_> = (0..100)
        .map(|number| (number, bridge.request("tools/call", tool("mark", json!({"mark": format!("<{number}>")})))))
        .collect();
    server.up();
    for (number, call) in calls {
        assert_eq!(text(&bridge.result(&call)), format!("<{number}>"));
        assert_eq!(server.executions(&format!("<{number}>")), 1);
    }
    for id in &ids {
        let value: Value = serde_json::from_str(id).unwrap();
        bridge.wait_after(mark, &format!("the news for {id}"), |message| {
            message["params"]["_meta"][super::SUBSCRIPTION] == value
        });
    }
    barrier(&mut bridge, "after");
    for id in &ids {
        assert_eq!(super::told(&bridge, mark, id), ["notifications/tools/list_changed"], "{id}");
        bridge.cancel(id);
    }
    bridge.finish();
}
