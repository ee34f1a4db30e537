//! 401 and 403: never a restart, never a lost session, and the user learns what is wanted.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::support::bridge::Bridge;
use super::support::script::{Outcome, Script};
use super::support::{COMMAND, IS_NPX, is_component};
use super::{UNAUTHORIZED, begin, connected, deliveries, must_fail, must_run_once, take_down};

const CHALLENGE: &str = r#"Bearer realm="jarvis", error="invalid_token""#;

#[test]
fn a_call_that_is_refused_its_credentials() {
    for (script, status) in [(Script::http(), 401), (Script::http(), 403), (Script::sse(), 401), (Script::sse(), 403)] {
        let expired = Arc::new(AtomicBool::new(false));
        let gate = expired.clone();
        let server = script
            .on(move |_, reply| match gate.load(Ordering::SeqCst) {
                true => Outcome::Done(reply.send(status, &[("www-authenticate", CHALLENGE)], b"no")),
                false => Outcome::Good(reply),
            })
            .start();
        // Nothing that could give others: with a source of credentials the server is asked at most every ten seconds.
        let no_source: &[&str] = if is_component() || IS_NPX { &[] } else { &["--oauth", "off"] };
        let mut bridge = connected(&server, no_source);
        must_run_once(&server, &mut bridge, "before");
        expired.store(true, Ordering::SeqCst);
        for mark in ["refused", "refused too"] {
            let call = begin(&mut bridge, mark);
            let error = bridge.error(&call);
            assert_eq!(error["code"], UNAUTHORIZED, "{error}");
            assert_eq!(error["data"]["status"], status, "{error}");
            assert_eq!(error["data"]["challenge"], CHALLENGE, "{error}");
            assert!(error["message"].as_str().is_some_and(|message| message.contains(&status.to_string())), "{error}");
            assert_eq!(deliveries(&server, mark), 1);
        }
        expired.store(false, Ordering::SeqCst);
        must_run_once(&server, &mut bridge, "after");
        // Each refusal is looked into once: a session that is gone may be refused in the same way.
        let asked = server.records_of("initialize").len();
        assert!(asked <= 3, "{status}: {asked} times");
        bridge.finish();
    }
}

/// At the start: an error at once, no provisional result; and when the token is good, a later `initialize` works.
#[test]
fn an_initialize_that_is_refused_its_credentials() {
    for (script, transport) in
        [(Script::http(), "auto"), (Script::http(), "http"), (Script::sse(), "auto"), (Script::sse(), "sse")]
    {
        let closed = Arc::new(AtomicBool::new(true));
        let gate = closed.clone();
        let server = script
            .on(move |_, reply| match gate.load(Ordering::SeqCst) {
                true => Outcome::Done(reply.send(401, &[("www-authenticate", CHALLENGE)], b"no")),
                false => Outcome::Good(reply),
            })
            .start();
        let mut bridge = Bridge::start(&[&server.url(), "--transport", transport]);
        let initialize = bridge.begin_initialize(json!({}));
        let message = must_fail(&bridge, &initialize, UNAUTHORIZED);
        assert!(message.contains("401"), "{message}");
        closed.store(false, Ordering::SeqCst);
        bridge.initialize(json!({}));
        must_run_once(&server, &mut bridge, "after");
        bridge.finish();
    }
}

/// A secret comes from the environment, goes to the server with every request, and appears nowhere else.
#[test]
fn a_header_from_the_environment() {
    const SECRET: &str = "s3cr3t-token-of-the-test";
    for script in [Script::http(), Script::sse()] {
        let mut server = script.authorization(&format!("Bearer {SECRET}")).start();
        let mut command = Command::new(COMMAND);
        command.args([&server.url(), "--log", "trace", "--header", "Authorization: Bearer ${TEST_TOKEN}"]);
        let mut bridge = Bridge::command(command.env("TEST_TOKEN", SECRET));
        bridge.initialize(json!({}));
        must_run_once(&server, &mut bridge, "before");
        let session = server.wait_for("tools/call", 1).session.expect("a session");
        take_down(&mut server, &mut bridge);
        server.up();
        must_run_once(&server, &mut bridge, "after");
        let line =
            std::fs::read_to_string(format!("/proc/{}/cmdline", bridge.process().id())).expect("Linux has /proc");
        assert!(!line.contains(SECRET), "the secret is in the process list: {line}");
        let log = bridge.stderr();
        assert!(log.contains("mcp-reconnect:"), "the log says nothing");
        assert!(!log.contains(SECRET), "the secret is in the log:\n{log}");
        assert!(!log.contains(&session), "the session id is in the log:\n{log}");
        bridge.finish();
    }
}
