//! What a server writes reaches no terminal as an order, and what is secret reaches no log and no error, whatever it echoes.

mod support;

use serde_json::json;
use support::bridge::Bridge;
use support::http;
use support::process::Process;
use support::script::{Call, Outcome, Script};
use support::{NATIVE, PATIENCE};

const TOKEN: &str = "t0p-s3cret-token";
const ORDERS: &str = "\u{1b}[2J\u{202e}x\u{200b}\u{2028}\u{85}\u{9b}31m";

fn is_clean(text: &str) -> bool {
    !text.contains(['\u{1b}', '\u{202e}', '\u{200b}', '\u{2028}', '\u{85}', '\u{9b}'])
}

/// What the server knows of its client, and should not.
fn echo(call: &Call<'_>) -> String {
    let session = call.session.unwrap_or("none");
    let header = call.http.header("authorization").unwrap_or_default();
    format!("session {session} of {header} at {}{ORDERS}", call.http.target)
}

#[test]
fn what_a_server_echoes_is_not_shown() {
    for status in [400, 401, 403, 404, 429, 500, 502] {
        let server = Script::http()
            .on(move |call, reply| match (call.kind, call.before) {
                ("tools/call", _) => Outcome::Done(reply.send(
                    status,
                    &[
                        ("content-type", "text/plain"),
                        ("www-authenticate", &format!("Bearer realm=\"{}\"", call.session.unwrap_or_default())),
                    ],
                    echo(call).as_bytes(),
                )),
                ("ping", _) => Outcome::Done(reply.text(500, "text/plain", &echo(call))),
                _ => Outcome::Good(reply),
            })
            .start();
        let url = format!("{}?key={TOKEN}", server.url());
        let mut bridge = Bridge::connected(&[
            &url,
            "--header",
            "Authorization: Bearer an0ther-s3cret",
            "--log",
            "debug",
            "--hold-timeout",
            "1s",
        ]);
        let call = bridge.request("tools/call", json!({"name": "echo"}));
        let answer = bridge.answer_text(&call, PATIENCE).expect("an answer");
        let session = server.records_of("tools/call")[0].session.clone().expect("a session");
        let log = bridge.stderr();
        for (what, text) in [("the answer", &answer), ("the log", &log)] {
            for secret in [TOKEN, "an0ther-s3cret", &session] {
                assert!(!text.contains(secret), "{status}: {what} shows {secret}\n{text}");
            }
            assert!(is_clean(text), "{status}: {what} holds orders\n{text:?}");
        }
        bridge.finish();
    }
}

#[test]
fn a_redirect_is_shown_without_its_query() {
    let server = Script::http()
        .on(|call, reply| match call.http.target.as_str() {
            "/mcp" => Outcome::Done(reply.send(307, &[("location", &format!("/mcp/?token={TOKEN}"))], b"")),
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = Bridge::connected(&[&server.url(), "--log", "debug"]);
    bridge.wait_for_log(0, &["the server redirects to /mcp/"]);
    bridge.call("tools/list", json!({}));
    assert!(!bridge.stderr().contains(TOKEN), "{}", bridge.stderr());
    bridge.finish();
}

/// Two origins that differ in their scheme alone can be told apart.
#[test]
fn an_endpoint_of_another_scheme_is_named_with_it() {
    let server = Script::sse().endpoint("https://127.0.0.1:{port}/message?session=").start();
    let mut bridge = Bridge::start(&[&server.url(), "--transport", "sse"]);
    let initialize = bridge.begin_initialize(json!({}));
    let error = bridge.error(&initialize).to_string();
    assert!(error.contains("another origin (https://127.0.0.1:") && error.contains(" http://127.0.0.1:"), "{error}");
    bridge.finish();
}

#[test]
fn a_check_shows_neither() {
    let server = http::Server::start(|request, reply| {
        let message = request.json();
        let said = format!("{}{ORDERS}", request.header("authorization").unwrap_or_default());
        match message["method"].as_str() {
            Some("initialize") => reply.json(
                200,
                &json!({"jsonrpc": "2.0", "id": message["id"], "result": {"protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {}, "serverInfo": {"name": said, "version": format!("{}{ORDERS}", request.target)}}}),
            ),
            Some(_) if message["id"].is_null() => reply.empty(202),
            Some(_) => reply.text(400, "text/plain", &said),
            None => reply.empty(405),
        }
    });
    for json in [false, true] {
        let url = format!("http://127.0.0.1:{}/mcp?key={TOKEN}", server.port());
        let mut arguments = vec!["check", &url, "--header", "Authorization: Bearer an0ther-s3cret"];
        if json {
            arguments.push("--json");
        }
        let mut check = Process::run(NATIVE, &arguments);
        check.wait(PATIENCE).expect("it ends");
        let text = check.stdout.text();
        assert!(is_clean(&text) && is_clean(&check.stderr.text()), "{text:?}");
        assert!(!text.contains(TOKEN) && !text.contains("an0ther-s3cret"), "{text}");
        assert!(text.contains(if json { "\\u202e" } else { "\u{fffd}" }), "{text}");
    }
}
