//! Which era a server speaks, and what happens when that changes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::servers::{Kind, Server};
use super::support::bridge::{Bridge, text};
use super::support::client::{Client, Program};
use super::support::scratch_file;
use super::{MODERN, acknowledged, bridge, listen, modern, tool};

/// The versions that a server before MCP 2026-07-28 is taken to speak.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// What a client with a timeout of 10 s for its probe can bear.
const PROBE: Duration = Duration::from_secs(10);

fn echo(bridge: &mut Bridge, text: &str) -> String {
    super::support::bridge::text(&bridge.call("tools/call", tool("echo", json!({"text": text}))))
}

fn legacy_echo(bridge: &mut Bridge, text: &str) -> String {
    bridge.tool(json!({"name": "echo", "arguments": {"text": text}}))
}

/// A request of MCP 2026-07-28 that the server cannot understand.
fn must_be_refused(error: &Value) {
    assert_eq!(error["code"], -32022, "{error}");
    assert_eq!(error["data"]["requested"], MODERN, "{error}");
    assert_eq!(error["data"]["supported"], json!(LEGACY), "{error}");
}

#[test]
fn discover_at_a_modern_server_is_passed_on() {
    for kind in [Kind::TypeScriptOnly, Kind::TypeScript, Kind::Python] {
        let server = Server::started(kind);
        let mut bridge = bridge(&server.url(), &[]);
        bridge.request_as(r#""server-discover-probe-1""#, "server/discover", modern(json!({})));
        let result = bridge.result(r#""server-discover-probe-1""#);
        assert_eq!(result["supportedVersions"], json!([MODERN]), "{kind:?}: {result}");
        assert!(result["capabilities"]["tools"].is_object(), "{kind:?}: {result}");
        bridge.finish();
    }
}

#[test]
fn discover_at_a_legacy_server_says_that_there_is_no_such_method() {
    for kind in [Kind::Everything, Kind::PythonLegacy] {
        let server = Server::started(kind);
        let mut bridge = bridge(&server.url(), &[]);
        let probe = bridge.request("server/discover", modern(json!({})));
        assert_eq!(bridge.error(&probe)["code"], -32601, "{kind:?}");
        bridge.initialize(json!({}));
        assert!(bridge.tool(json!({"name": kind.echo("x").0, "arguments": kind.echo("legacy").1})).contains("legacy"));
        bridge.finish();
    }
}

/// A pinned client asks nothing first.
#[test]
fn a_modern_request_at_a_legacy_server_names_its_versions() {
    for kind in [Kind::Everything, Kind::PythonLegacy] {
        let server = Server::started(kind);
        let mut bridge = bridge(&server.url(), &[]);
        let list = bridge.request("tools/list", modern(json!({})));
        must_be_refused(&bridge.error(&list));
        let subscription = bridge.request("subscriptions/listen", listen(&[]));
        must_be_refused(&bridge.error(&subscription));
        bridge.finish();
    }
}

/// The TypeScript SDK probes in a process of its own; the one that it goes on with begins so.
#[test]
fn a_modern_request_may_be_the_first_line() {
    for kind in [Kind::TypeScriptOnly, Kind::Python] {
        let server = Server::started(kind);
        let mut bridge = bridge(&server.url(), &[]);
        let list = bridge.call("tools/list", modern(json!({})));
        assert!(list["tools"].as_array().is_some_and(|tools| tools.len() > 5), "{kind:?}: {list}");
        bridge.finish();
    }
}

/// The answer comes before the client gives up, and then `initialize` is what it always was.
#[test]
fn discover_is_answered_while_the_server_is_down() {
    let mut server = Server::reserved(Kind::Python);
    let mut bridge = bridge(&server.url(), &[]);
    let begin = Instant::now();
    let probe = bridge.request("server/discover", modern(json!({})));
    assert_eq!(bridge.error(&probe)["code"], -32601);
    assert!(begin.elapsed() < PROBE, "the client has given up: {:?}", begin.elapsed());
    let initialize = bridge.begin_initialize(json!({}));
    server.start();
    bridge.result(&initialize);
    bridge.notify("notifications/initialized", json!({}));
    assert_eq!(legacy_echo(&mut bridge, "legacy"), "Echo: legacy");
    // The other era is there all the same.
    assert_eq!(echo(&mut bridge, "modern"), "Echo: modern");
    bridge.finish();
}

/// A server that comes up in time is asked after all.
#[test]
fn a_client_that_starts_before_its_server_speaks_its_era() {
    for program in [Program::PythonAuto, Program::TypeScriptAuto] {
        let mut server = Server::reserved(Kind::TypeScriptOnly);
        let url = server.url();
        let mut client = Client::through(program, &[&url, "--log", "debug"]);
        // TypeScript's probe has its standard error discarded: the server comes when it comes.
        if program == Program::PythonAuto {
            client.wait_for_log(0, &["trying again"]);
        }
        server.start();
        assert_eq!(client.handshake()["protocol"], MODERN, "{program:?}");
        assert!(client.tools().as_array().is_some_and(|tools| tools.contains(&json!("echo"))));
        client.finish();
    }
}

/// A client may use an id in both eras at once.
#[test]
fn equal_ids_in_both_eras() {
    let server = Server::started(Kind::Python);
    let mut bridge = Bridge::connected(&[&server.url(), "--log", "debug"]);
    let (until, legacy) = (scratch_file("until"), scratch_file("until"));
    let call = |until: &std::path::Path, steps: u32| json!({"name": "progress", "arguments": {"steps": steps, "until": until}});
    bridge.request_as("7", "tools/call", call(&legacy, 1));
    bridge.request_as("7", "tools/call", modern(call(&until, 2)));
    bridge.request_as(r#""7""#, "tools/call", tool("echo", json!({"text": "a string"})));
    assert_eq!(text(&bridge.result(r#""7""#)), "Echo: a string");
    std::fs::write(&until, "").expect("the scratch folder is writable");
    std::fs::write(&legacy, "").expect("the scratch folder is writable");
    bridge.wait_for_answers("7", 2);
    let answers: Vec<_> = bridge.messages().into_iter().filter(|message| message["id"] == 7).collect();
    let mut texts: Vec<_> = answers.iter().map(|answer| text(&answer["result"])).collect();
    texts.sort();
    assert_eq!(texts, ["steps: 1", "steps: 2"]);
    bridge.finish();
}

/// Both eras at once, through a restart.
#[test]
fn both_eras_survive_a_restart_together() {
    for kind in [Kind::Python, Kind::TypeScript] {
        let mut server = Server::started(kind);
        let mut bridge = Bridge::connected(&[&server.url(), "--log", "debug"]);
        assert_eq!(echo(&mut bridge, "modern"), "Echo: modern");
        for _ in 0..2 {
            server.kill();
            let legacy = bridge.request("tools/call", json!({"name": "echo", "arguments": {"text": "legacy"}}));
            let modern = bridge.request("tools/call", tool("echo", json!({"text": "modern"})));
            server.start();
            assert_eq!(text(&bridge.result(&legacy)), "Echo: legacy", "{kind:?}");
            assert_eq!(text(&bridge.result(&modern)), "Echo: modern", "{kind:?}");
        }
        bridge.finish();
    }
}

/// A modern client meets each kind of server in turn.
#[test]
fn a_server_changes_its_era_under_a_modern_client() {
    let mut server = Server::started(Kind::TypeScript);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("server/discover", modern(json!({})));
    for kind in [Kind::TypeScriptOnly, Kind::Python, Kind::TypeScript] {
        server.replace(kind);
        assert_eq!(echo(&mut bridge, "still"), "Echo: still", "{kind:?}");
    }
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, r#""listen-1""#);

    server.replace(Kind::PythonLegacy);
    let call = bridge.request("tools/call", tool("echo", json!({"text": "lost"})));
    must_be_refused(&bridge.error(&call));
    // The subscription has nobody left to answer it.
    must_be_refused(&bridge.error(r#""listen-1""#));

    server.replace(Kind::TypeScriptOnly);
    assert_eq!(echo(&mut bridge, "back"), "Echo: back");
    let probe = bridge.call("server/discover", modern(json!({})));
    assert_eq!(probe["supportedVersions"], json!([MODERN]));
    bridge.finish();
}

/// A legacy client meets each kind of server in turn.
#[test]
fn a_server_changes_its_era_under_a_legacy_client() {
    let mut server = Server::started(Kind::TypeScript);
    let mut bridge = Bridge::connected(&[&server.url(), "--log", "debug"]);
    assert_eq!(legacy_echo(&mut bridge, "first"), "Echo: first");
    let kinds = [
        Kind::TypeScriptOnly,
        Kind::TypeScript,
        Kind::PythonLegacy,
        Kind::TypeScriptOnly,
        Kind::PythonLegacy,
        Kind::Python,
        Kind::TypeScriptOnly,
    ];
    for kind in kinds {
        let mark = bridge.mark();
        server.replace(kind);
        assert_eq!(legacy_echo(&mut bridge, "still"), "Echo: still", "{kind:?}");
        bridge.wait_for_method(mark, "notifications/tools/list_changed");
    }
    bridge.finish();
}

/// What a legacy client can do is there at a server that speaks MCP 2026-07-28 only.
#[test]
fn a_legacy_session_with_a_modern_server() {
    let mut server = Server::started(Kind::TypeScriptOnly);
    let mut bridge = bridge(&server.url(), &[]);
    let result = bridge.initialize(json!({"elicitation": {}}));
    assert_eq!(result["protocolVersion"], super::support::bridge::VERSION);
    assert_eq!(result["serverInfo"]["name"], "typescript-modern", "{result}");
    let capabilities = &result["capabilities"];
    assert_eq!(
        (&capabilities["tools"]["listChanged"], &capabilities["resources"]["subscribe"]),
        (&json!(true), &json!(true))
    );
    assert!(capabilities.get("tasks").is_none() && capabilities.get("extensions").is_none(), "{capabilities}");
    assert_eq!(bridge.call("ping", json!({})), json!({}));
    bridge.call("logging/setLevel", json!({"level": "info"}));
    bridge.call("resources/subscribe", json!({"uri": "memo://note"}));
    assert_eq!(bridge.call("resources/read", json!({"uri": "memo://note"}))["contents"][0]["text"], "a note");

    // The user is asked; the server is replaced in between, and takes the answer to what another process has asked.
    server.kill();
    server.options = vec!["--key", "one key for all processes, 32 bytes"];
    server.start();
    let confirm = bridge.request("tools/call", json!({"name": "confirm", "arguments": {"mark": "m"}}));
    let question = bridge.wait_for_method(0, "elicitation/create");
    assert_eq!(question["params"]["message"], "Really m?");
    server.restart();
    bridge.respond(&question, json!({"action": "accept", "content": {"confirm": true}}));
    assert_eq!(text(&bridge.result(&confirm)), "confirmed: m");
    assert_eq!((server.count("asked m"), server.count("confirmed m")), (1, 1));

    // It is told of what the server changes, and of a restart.
    let mark = bridge.mark();
    bridge.tool(json!({"name": "touch", "arguments": {"uri": "memo://note"}}));
    let news = bridge.wait_for_method(mark, "notifications/resources/updated");
    assert_eq!(news["params"]["uri"], "memo://note");
    let mark = bridge.mark();
    server.restart();
    for method in ["notifications/tools/list_changed", "notifications/resources/updated"] {
        let news = bridge.wait_for_method(mark, method);
        assert!(news["params"]["_meta"].is_null(), "a legacy client knows no subscriptions: {news}");
    }
    bridge.finish();
}

/// A legacy client without elicitation: the tool that asks fails, and says why.
#[test]
fn a_question_that_the_legacy_client_cannot_be_asked() {
    let server = Server::started(Kind::TypeScriptOnly);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.initialize(json!({}));
    let confirm = bridge.request("tools/call", json!({"name": "confirm", "arguments": {"mark": "m"}}));
    let answer = bridge.answer(&confirm);
    assert!(answer["error"].is_object() || answer["result"]["isError"] == true, "{answer}");
    assert!(bridge.messages_of("elicitation/create").is_empty(), "it has not declared that it can be asked");
    bridge.finish();
}
