//! The component fails, by a trap or by running on and on: what was in flight is answered, and the bridge goes on with another
//! instance. The component is the real one, built to fail when a message says so: `guest/common/faults.rs`.

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::bridge::{Bridge, text};
use support::fault::Fault;
use support::script::{Outcome, Script};

/// A bridge whose component fails on demand.
fn command(server: &Fault) -> Command {
    let mut command = support::command();
    command.arg(server.url()).env("MCP_RECONNECT_TEST_FAULTS", "1").env("MCP_RECONNECT_TEST_WATCHDOG", "100");
    command
}

fn connected(server: &Fault) -> Bridge {
    let mut bridge = Bridge::command(&mut command(server));
    bridge.initialize(json!({"roots": {}}));
    bridge
}

/// Parameters of a `tools/call` that the server counts under a mark.
fn marked(mark: &str) -> Value {
    json!({"name": "mark", "arguments": {"mark": mark}})
}

/// A call must be answered with its result, and have run once.
fn must_run_once(server: &Fault, bridge: &mut Bridge, mark: &str) {
    let call = bridge.request("tools/call", marked(mark));
    assert_eq!(text(&bridge.result(&call)), mark);
    assert_eq!(server.executions(mark), 1, "{mark} ran more or less than once");
}

fn must_fail(bridge: &Bridge, id: &str, code: i64) {
    let error = bridge.error(id);
    assert_eq!(error["code"], code, "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("the transport failed")), "{error}");
}

/// Answers nothing to calls whose mark is `wait`.
fn server(script: Script) -> Fault {
    script
        .on(|call, reply| match call.mark() {
            "wait" => {
                call.server.keep(reply.hold());
                Outcome::Done(None)
            }
            _ => Outcome::Good(reply),
        })
        .start()
}

const UNKNOWN: i64 = -31001;
const NOT_SENT: i64 = -31002;

#[test]
fn what_is_in_flight_is_answered_and_the_next_instance_goes_on() {
    for script in [Script::http(), Script::http().events(), Script::sse()] {
        let server = server(script);
        let mut bridge = connected(&server);
        must_run_once(&server, &mut bridge, "before");
        bridge.call("logging/setLevel", json!({"level": "error"}));
        bridge.call("resources/subscribe", json!({"uri": "memo://note"}));
        let waiting = bridge.request("tools/call", marked("wait"));
        server.wait_until("the call", |records| {
            records.iter().find(|record| record.message["params"]["arguments"]["mark"] == "wait").map(drop)
        });
        let (mark, log) = (bridge.mark(), bridge.log_mark());
        // Taken, sent, and the first thing that comes of it is the end.
        let last = bridge.request("tools/call", marked("faults/trap-later"));
        must_fail(&bridge, &waiting, UNKNOWN);
        must_fail(&bridge, &last, UNKNOWN);
        for words in [
            "the transport component failed",
            "disconnected: the transport component failed",
            "outcome unknown: tools/call",
            "reconnected, new session",
        ] {
            bridge.wait_for_log(log, &[words]);
        }
        bridge.wait_for_method(mark, "notifications/tools/list_changed");
        bridge.wait_for_method(mark, "notifications/resources/updated");
        server.wait_for("initialize", 2);
        server.wait_for("notifications/initialized", 2);
        server.wait_for("logging/setLevel", 2);
        server.wait_for("resources/subscribe", 2);
        assert_eq!(server.executions("faults/trap-later"), 1);
        must_run_once(&server, &mut bridge, "after");
        bridge.finish();
    }
}

/// A message that the component fails over is not given to the next one.
#[test]
fn what_was_not_sent_did_not_run() {
    let server = server(Script::http());
    let mut bridge = connected(&server);
    for round in 0..3 {
        let mark = format!("faults/trap-now {round}");
        let call = bridge.request("tools/call", marked(&mark));
        must_fail(&bridge, &call, NOT_SENT);
        must_run_once(&server, &mut bridge, &format!("after {round}"));
        assert_eq!(server.executions(&mark), 0);
    }
    assert_eq!(server.records_of("initialize").len(), 4);
    bridge.finish();
}

/// Also while the server is away.
#[test]
fn the_next_instance_waits_for_a_server_that_is_away() {
    let mut server = server(Script::http());
    let mut bridge = connected(&server);
    server.down();
    let call = bridge.request("tools/call", marked("faults/trap-now"));
    must_fail(&bridge, &call, NOT_SENT);
    let held = bridge.request("tools/call", marked("held"));
    server.up();
    assert_eq!(text(&bridge.result(&held)), "held");
    assert_eq!(server.executions("held"), 1);
    bridge.finish();
}

#[test]
fn a_component_that_runs_on_and_on_is_ended() {
    let server = server(Script::http());
    let mut bridge = connected(&server);
    let waiting = bridge.request("tools/call", marked("wait"));
    server.wait_for("tools/call", 1);
    let log = bridge.log_mark();
    let call = bridge.request("tools/call", marked("faults/loop"));
    must_fail(&bridge, &call, NOT_SENT);
    must_fail(&bridge, &waiting, UNKNOWN);
    bridge.wait_for_log(log, &["it ran on and on without pause"]);
    must_run_once(&server, &mut bridge, "after");
    bridge.finish();
}

#[test]
fn an_initialize_that_it_fails_over_is_answered_in_the_end() {
    let server = server(Script::http());
    let mut bridge = Bridge::command(&mut command(&server));
    let params = |name: &str| json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": name, "version": "1"}});
    let first = bridge.request("initialize", params("faults/trap-now"));
    must_fail(&bridge, &first, NOT_SENT);
    let second = bridge.request("initialize", params("good"));
    assert!(bridge.result(&second)["protocolVersion"].is_string());
    bridge.notify("notifications/initialized", json!({}));
    must_run_once(&server, &mut bridge, "after");
    bridge.finish();
}

/// A request of the server's is cancelled; the late answer reaches no request of the next session.
#[test]
fn an_answer_to_a_server_of_before_reaches_nobody() {
    let server = server(Script::http());
    let mut bridge = connected(&server);
    let mark = bridge.mark();
    server.wait_for("GET", 1);
    server.push(&json!({"jsonrpc": "2.0", "id": "old", "method": "roots/list"}));
    let asked = bridge.wait_for_method(mark, "roots/list");
    let call = bridge.request("tools/call", marked("faults/trap-now"));
    must_fail(&bridge, &call, NOT_SENT);
    let cancelled = bridge.wait_for_method(mark, "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    server.wait_for("GET", 2);
    let mark = bridge.mark();
    server.push(&json!({"jsonrpc": "2.0", "id": "new", "method": "roots/list"}));
    let again = bridge.wait_for_method(mark, "roots/list");
    assert_ne!(again["id"], asked["id"]);
    bridge.respond(&asked, json!({"roots": ["old"]}));
    bridge.respond(&again, json!({"roots": []}));
    let answer = server.wait_for("answer", 1);
    assert_eq!(answer.message["id"], "new");
    assert_eq!(answer.message["result"]["roots"], json!([]));
    bridge.finish();
}

/// Its client and its signals end it as ever.
#[test]
fn it_ends_as_ever() {
    let server = server(Script::http());
    for terminate in [true, false] {
        let mut bridge = connected(&server);
        let call = bridge.request("tools/call", marked("faults/trap-now"));
        must_fail(&bridge, &call, NOT_SENT);
        if terminate { bridge.terminate() } else { bridge.finish() }
    }
}
