//! The command itself: wrong command lines, wrong input, secrets, signals, the demonstration.

#[path = "command/signals.rs"]
mod signals;
mod support;

use std::process::{Command, Stdio};

use serde_json::json;
use support::bridge::Bridge;
use support::process::Process;
use support::script::Script;
use support::{COMMAND, PATIENCE};

/// A wrong command line: one line on standard error that names the matter, nothing on standard output, status 2.
#[test]
fn wrong_command_lines() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "URL"),
        (&[""], "URL"),
        (&["ftp://example.test/mcp"], "http"),
        (&["example.test/mcp"], "http"),
        (&["http://"], "URL"),
        (&["http://user:s3cret@example.test/mcp"], "user"),
        (&["http://example.test/a b"], "URL"),
        (&["--header", "no colon", "http://example.test/mcp"], "header"),
        (&["--header", ": value", "http://example.test/mcp"], "header"),
        (&["--header", "bad name: value", "http://example.test/mcp"], "header"),
        (&["--header", "X-A: a\r\nX-B: b", "http://example.test/mcp"], "header"),
        (
            &["--header", "Authorization: Bearer ${MCP_RECONNECT_TEST_UNSET}", "http://example.test/mcp"],
            "MCP_RECONNECT_TEST_UNSET",
        ),
        (&["--header", "Authorization: Bearer ${MCP_RECONNECT", "http://example.test/mcp"], "header"),
        (&["--header", "Mcp-Session-Id: mine", "http://example.test/mcp"], "header"),
        (&["--header", "Content-Length: 5", "http://example.test/mcp"], "header"),
        (&["--transport", "carrier-pigeon", "http://example.test/mcp"], "carrier-pigeon"),
        (&["--hold-timeout", "soon", "http://example.test/mcp"], "soon"),
        (&["--max-event-bytes", "many", "http://example.test/mcp"], "many"),
        (&["--no-such-option", "http://example.test/mcp"], "--no-such-option"),
        (&["http://example.test/mcp", "http://example.test/two"], "http://example.test/two"),
        (&["--header-file", "no/such/file", "http://example.test/mcp"], "no/such/file"),
        (&["--header-file", env!("CARGO_MANIFEST_PATH"), "http://example.test/mcp"], "line 1 is not 'Name: value'"),
        (&["--header-command", "", "http://example.test/mcp"], "--header-command"),
        (&["--on-event", "true", "--event", "McpServerGone", "http://example.test/mcp"], "McpServerDisconnected"),
        (&["--event", "McpServerDisconnected", "http://example.test/mcp"], "--on-event"),
        (&["demo", "--transport", "carrier-pigeon"], "carrier-pigeon"),
    ];
    for (arguments, named) in cases {
        let mut command = Process::run(COMMAND, arguments);
        let (status, _) = command.wait(PATIENCE).unwrap_or_else(|| panic!("{arguments:?} does not end"));
        let (out, said) = (command.stdout.text(), command.stderr.text());
        assert_eq!(status.code(), Some(2), "{arguments:?}: {status}, {said}");
        assert_eq!(out, "", "{arguments:?}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: one line was expected:\n{said}");
        let names_it = said.to_lowercase().contains(&named.to_lowercase());
        assert!(names_it, "{arguments:?}: the line does not name {named:?}: {said}");
        assert!(!said.contains("s3cret"), "{arguments:?}: a secret is shown: {said}");
    }
}

/// A malformed value is often a secret: it is not repeated.
#[test]
fn a_malformed_header_is_not_repeated() {
    let secret = "s3cr3t";
    for header in [format!("Authorization Bearer {secret}"), format!("X-A: {secret}\nX-B: b"), format!("X A: {secret}")]
    {
        let mut command = Process::run(COMMAND, &["--header", &header, "http://example.test/mcp"]);
        let (status, _) = command.wait(PATIENCE).expect("it ends");
        assert_eq!(status.code(), Some(2));
        assert!(!command.stderr.text().contains(secret), "{}", command.stderr.text());
    }
}

#[test]
fn help_and_version() {
    for (argument, word) in [("--help", "--header"), ("-h", "--header"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let mut command = Process::run(COMMAND, &[argument]);
        let (status, _) = command.wait(PATIENCE).expect("it ends");
        assert!(status.success(), "{status}");
        assert!(command.stdout.text().contains(word), "{}", command.stdout.text());
        assert_eq!(command.stderr.text(), "");
    }
}

/// What is no JSON and what is no JSON-RPC is answered as JSON-RPC wants it, and the bridge goes on.
#[test]
fn lines_that_are_no_messages() {
    let server = Script::http().start();
    let mut bridge = Bridge::connected(&[&server.url()]);
    for (line, code) in [
        ("hello", -32700),
        ("{", -32700),
        ("{\"a\":\"\u{1}\"}", -32700),
        ("17", -32600),
        ("null", -32600),
        ("\"text\"", -32600),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#, -32600),
    ] {
        let answer = bridge.refused(line);
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
    }
    // Where the id of a request can be read, the error has it.
    for (id, line) in [
        ("\"more\"", r#"{"jsonrpc":"2.0","id":"more","method":"ping"} trailing"#),
        ("\"nan\"", r#"{"jsonrpc":"2.0","id":"nan","method":"tools/list","params":{"x":NaN}}"#),
    ] {
        bridge.expect_answer_to(id, "ping");
        bridge.line(line);
        assert_eq!(bridge.error(id)["code"], -32700, "{line}");
    }
    // Blank lines mean nothing, a CR at the end neither.
    bridge.line("");
    bridge.line("  ");
    let params = json!({"name": "mark", "arguments": {"mark": "after"}});
    bridge.expect_answer_to("\"crlf\"", "tools/call");
    bridge.line(&format!("{{\"jsonrpc\":\"2.0\",\"id\":\"crlf\",\"method\":\"tools/call\",\"params\":{params}}}\r"));
    assert!(bridge.result("\"crlf\"")["content"].is_array());
    bridge.finish();
}

/// Bytes that are no UTF-8 are no JSON; they are refused and not mended.
#[test]
fn a_line_that_is_not_utf8() {
    let server = Script::http().start();
    let mut bridge = Bridge::connected(&[&server.url()]);
    bridge.process().write(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":\"\xff\"}\n");
    assert_eq!(bridge.refused("also not")["error"]["code"], -32700);
    bridge.expect_refusals(1);
    bridge.expect_answer_to("\"bytes\"", "tools/list");
    bridge
        .process()
        .write(b"{\"jsonrpc\":\"2.0\",\"id\":\"bytes\",\"method\":\"tools/list\",\"params\":{\"x\":\"\xff\"}}\n");
    let error = bridge.error("\"bytes\"");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("UTF-8")), "{error}");
    // A byte order mark is no part of the line.
    bridge.expect_answer_to("\"mark\"", "ping");
    bridge.line("\u{FEFF}{\"jsonrpc\":\"2.0\",\"id\":\"mark\",\"method\":\"ping\"}");
    bridge.result("\"mark\"");
    bridge.call("tools/list", json!({}));
    assert!(server.records_of("notifications/x").is_empty());
    bridge.finish();
}

/// A message over the limit: its request fails, what is not a request is dropped, and the bridge goes on.
#[test]
fn a_line_over_the_limit() {
    let server = Script::http().start();
    let mut bridge = Bridge::connected(&[&server.url(), "--max-message-bytes", "10K"]);
    let padding = "x".repeat(20_000);
    let big = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": padding}}));
    let error = bridge.error(&big);
    assert_eq!(error["code"], -31005, "{error}");
    assert_eq!(error["data"]["limit"], 10240, "{error}");
    bridge.notify("notifications/x", json!({"padding": padding}));
    let after = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": "after"}}));
    bridge.result(&after);
    assert_eq!(server.records_of("tools/call").len(), 1);
    assert!(server.records_of("notifications/x").is_empty());
    bridge.finish();
}

/// The client is gone when nobody reads: the bridge ends, as after the end of its input.
#[test]
fn a_client_that_closes_standard_output() {
    let server = Script::http().start();
    let mut child = Command::new(COMMAND)
        .arg(server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("piped");
    let line = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let _ = std::io::Write::write_all(&mut stdin, format!("{line}\n").as_bytes());
    let ended = support::poll("the bridge ends", PATIENCE, || child.try_wait().expect("our child"));
    assert_eq!(ended.code(), Some(0));
}

/// The end of input right at the start, with the server up, down or not a server: 0, at once.
#[test]
fn nothing_to_do() {
    let server = Script::http().start();
    for url in [server.url(), "http://127.0.0.1:1/mcp".to_owned()] {
        Bridge::start(&[&url]).finish();
        let mut bridge = Bridge::start(&[&url]);
        bridge.request("tools/list", json!({}));
        bridge.finish();
        // A signal before the command has begun would be the system's to handle: wait until it speaks.
        let mut bridge = Bridge::start(&[&url]);
        bridge.refused("hello");
        bridge.terminate();
    }
}

/// The demonstration on a pipe: plain lines, the whole story, status 0.
#[test]
fn demonstration() {
    for transport in ["http", "sse"] {
        let mut demo = Process::run(COMMAND, &["demo", "--transport", transport]);
        let (status, _) = demo.wait(std::time::Duration::from_secs(60)).expect("the demonstration ends");
        let told = demo.stdout.text();
        assert!(status.success(), "{status}\n{told}\n{}", demo.stderr.text());
        assert!(!told.contains('\u{1b}'), "escape sequences on a pipe:\n{told}");
        assert!(told.contains("kill -9"), "{told}");
    }
}
