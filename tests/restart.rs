//! Real servers are killed with `kill -9` and restarted on their port, under the built command. Every case runs against
//! every server: three SDKs, both transports.

#[path = "support/history.rs"]
mod history;
pub mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::bridge::{Bridge, Conversation, text};
use support::servers::{Kind, Server};
use support::tap::Tap;

/// Makes a test of each case for each server.
macro_rules! matrix {
    ($($server:ident: $kind:ident),* ; $cases:tt) => {
        $(mod $server {
            use super::*;
            const KIND: Kind = Kind::$kind;
            matrix!(@cases $cases);
        })*
    };
    (@cases { $($case:ident),* $(,)? }) => {
        $(#[test] fn $case() { super::$case(KIND); })*
    };
}

matrix! {
    everything_http: EverythingHttp,
    everything_sse: EverythingSse,
    python_http: PythonHttp,
    python_sse: PythonSse,
    rust_http: RustHttp,
    rust_sse: RustSse;
    {
        a_session_works,
        the_first_call_after_a_restart_is_answered,
        a_call_made_while_the_server_is_down_is_held,
        a_call_that_comes_with_the_end_of_the_server_is_held,
        a_call_in_flight_is_answered_once_and_never_repeated,
        a_safe_request_in_flight_is_answered,
        the_client_is_told_to_list_again,
        a_held_call_fails_at_its_deadline,
        a_server_that_is_down_at_launch_is_picked_up,
        restarts_in_a_row,
        the_end_of_input_ends_the_session,
    }
}

/// A bridge that has answered a call.
fn working(server: &Server, options: &[&str]) -> Bridge {
    let url = server.url();
    let mut arguments = vec![url.as_str(), "--log", "debug"];
    arguments.extend_from_slice(options);
    let mut bridge = Bridge::connected(&arguments);
    must_echo(&mut bridge, server.kind, "first");
    bridge
}

/// Ends the bridge, and has its history judged; the calls of `repeatable` tools may have run twice.
fn finish(bridge: Bridge, server: &Server, repeatable: &[&str]) {
    let wrong = history::judge(&bridge.finish_with_conversation(), &server.calls(), repeatable);
    assert!(wrong.is_empty(), "{:?}: {wrong:#?}", server.kind);
}

/// `kill -9`, and waits until the bridge has noticed. (A call that goes into a dying connection has an unknown outcome, which
/// is another case.)
fn kill(server: &mut Server, bridge: &Bridge) {
    let mark = bridge.log_mark();
    server.kill();
    bridge.wait_for_log(mark, &["broke off", "a request failed", "trying again"]);
}

fn must_echo(bridge: &mut Bridge, kind: Kind, words: &str) {
    let said = bridge.tool(kind.echo(words));
    assert!(said.contains(words), "{said:?}");
}

fn a_session_works(kind: Kind) {
    let server = Server::started(kind);
    let mut bridge = Bridge::start(&[&server.url()]);
    let result = bridge.initialize(json!({}));
    assert_eq!(result["protocolVersion"], support::bridge::VERSION);
    for list in ["tools", "prompts", "resources"] {
        let declared = &result["capabilities"][list];
        assert!(declared.is_null() || declared["listChanged"] == true, "{list}: {declared}");
    }
    let tools = bridge.call("tools/list", json!({}));
    let names: Vec<_> = tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"echo"), "{names:?}");
    must_echo(&mut bridge, kind, "hello – “world” \u{1F980}");
    assert_eq!(bridge.call("ping", json!({})), json!({}));
    let unknown = bridge.request("no/such/method", json!({}));
    assert!(bridge.error(&unknown)["code"].is_i64());
    finish(bridge, &server, &[]);
}

fn the_first_call_after_a_restart_is_answered(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(&server, &[]);
    kill(&mut server, &bridge);
    server.start();
    must_echo(&mut bridge, kind, "after");
    must_echo(&mut bridge, kind, "and again");
    finish(bridge, &server, &[]);
}

fn a_call_made_while_the_server_is_down_is_held(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(&server, &[]);
    kill(&mut server, &bridge);
    let calls: Vec<_> = (0..5).map(|n| bridge.request("tools/call", kind.echo(&format!("held-{n}")))).collect();
    let list = bridge.request("tools/list", json!({}));
    server.start();
    for (n, id) in calls.iter().enumerate() {
        assert!(text(&bridge.result(id)).contains(&format!("held-{n}")));
    }
    assert!(bridge.result(&list)["tools"].is_array());
    finish(bridge, &server, &[]);
}

/// The bridge is stopped, so that it hears of both at once: the server was gone first.
fn a_call_that_comes_with_the_end_of_the_server_is_held(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(&server, &[]);
    let mark = bridge.log_mark();
    bridge.process().signal(Signal::STOP);
    server.kill();
    let call = bridge.request("tools/call", kind.echo("at the same time"));
    bridge.process().signal(Signal::CONT);
    bridge.wait_for_log(mark, &["broke off", "a request failed", "trying again"]);
    server.start();
    let said = text(&bridge.result(&call));
    assert!(said.contains("at the same time"), "{said:?}");
    finish(bridge, &server, &[]);
}

fn a_call_in_flight_is_answered_once_and_never_repeated(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(&server, &[]);
    // Seen, so that the bridge knows what the server says about its tools. It must not believe it unasked.
    bridge.call("tools/list", json!({}));
    let call = bridge.request("tools/call", kind.unsafe_call("in-flight-mark"));
    server.wait_for_mark("in-flight-mark", 1);
    kill(&mut server, &bridge);
    if !kind.has_event_ids() {
        outcome_unknown(&bridge.error(&call), "tools/call");
    }
    server.start();
    outcome_unknown(&bridge.error(&call), "tools/call");
    must_echo(&mut bridge, kind, "after");
    assert_eq!(server.count("in-flight-mark"), 1, "the call was sent twice");
    finish(bridge, &server, &[]);
}

/// The server is stopped, so that it cannot answer before it is killed.
fn a_safe_request_in_flight_is_answered(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(&server, &[]);
    server.signal(rustix::process::Signal::STOP);
    let list = bridge.request("tools/list", json!({}));
    let again = bridge.request("tools/list", json!({}));
    server.restart();
    assert!(bridge.result(&list)["tools"].is_array());
    assert!(bridge.result(&again)["tools"].is_array());
    finish(bridge, &server, &[]);
}

/// The error says that nobody knows, and is none that the protocol or a server would use.
fn outcome_unknown(error: &Value, method: &str) {
    let code = error["code"].as_i64().expect("a code");
    assert!(!(-32099..=-32000).contains(&code), "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(method), "the error names what was asked: {error}");
}

fn the_client_is_told_to_list_again(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(&server, &[]);
    let mark = bridge.mark();
    kill(&mut server, &bridge);
    server.start();
    let call = bridge.request("tools/call", kind.echo("after"));
    bridge.wait_for_method(mark, "notifications/tools/list_changed");
    assert!(text(&bridge.result(&call)).contains("after"));
    finish(bridge, &server, &[]);
}

fn a_held_call_fails_at_its_deadline(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(&server, &["--hold-timeout", "2s"]);
    kill(&mut server, &bridge);
    let start = Instant::now();
    let call = bridge.request("tools/call", kind.echo("never"));
    let error = bridge.error(&call);
    let took = start.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(5)).contains(&took), "after {took:?}: {error}");
    assert!(!error["message"].as_str().unwrap_or_default().is_empty(), "{error}");
    // A failure never latches.
    server.start();
    must_echo(&mut bridge, kind, "after");
    assert_eq!(server.count("never"), 0, "a call that had failed was sent all the same");
    finish(bridge, &server, &[]);
}

fn a_server_that_is_down_at_launch_is_picked_up(kind: Kind) {
    let mut server = Server::reserved(kind);
    let mut bridge = Bridge::start(&[&server.url()]);
    let initialize = bridge.begin_initialize(json!({}));
    server.start();
    assert!(bridge.result(&initialize)["serverInfo"]["name"].is_string());
    bridge.notify("notifications/initialized", json!({}));
    must_echo(&mut bridge, kind, "hello");
    finish(bridge, &server, &[]);
}

fn restarts_in_a_row(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = working(&server, &[]);
    kill(&mut server, &bridge);
    server.start();
    let call = bridge.request("tools/call", kind.echo("between"));
    server.restart();
    // It may have been answered, held and sent again, or caught in flight; but it has its answer, and life goes on.
    bridge.answer(&call);
    kill(&mut server, &bridge);
    server.start();
    must_echo(&mut bridge, kind, "after both");
    finish(bridge, &server, &[]);
}

fn the_end_of_input_ends_the_session(kind: Kind) {
    let server = Server::started(kind);
    let tap = Tap::before(server.port());
    let mut bridge = Bridge::connected(&[&tap.url(if kind.is_sse() { "sse" } else { "mcp" })]);
    must_echo(&mut bridge, kind, "hello");
    let running = bridge.request("tools/call", kind.unsafe_call("at-the-end"));
    server.wait_for_mark("at-the-end", 1);
    assert!(!bridge.is_answered(&running));
    // Balances the books too: the running call gets its answer.
    finish(bridge, &server, &[]);
    if kind.is_sse() {
        assert!(!tap.heard().contains("DELETE "), "HTTP+SSE has no DELETE");
    } else {
        tap.wait_for("DELETE /mcp");
    }
}

/// The history of a real restart is good; forged in any way it is not.
#[test]
fn a_forged_history_is_found() {
    let mut server = Server::started(Kind::PythonHttp);
    let mut bridge = working(&server, &["--hold-timeout", "1s"]);
    let running = bridge.request("tools/call", server.kind.unsafe_call("running"));
    server.wait_for_mark("running", 1);
    kill(&mut server, &bridge);
    outcome_unknown(&bridge.error(&running), "tools/call");
    let held = bridge.request("tools/call", server.kind.echo("held"));
    let error = bridge.error(&held);
    assert_eq!(error["code"], -31002, "{error}");
    server.start();
    must_echo(&mut bridge, server.kind, "after");
    let (good, calls) = (bridge.finish_with_conversation(), server.calls());
    assert_eq!(history::judge(&good, &calls, &[]), Vec::<String>::new());

    let must_find = |what: &str, conversation: &Conversation, calls: &[(String, Value)]| {
        let wrong = history::judge(conversation, calls, &[]);
        assert!(wrong.iter().any(|wrong| wrong.contains(what)), "{what:?} is not in {wrong:?}");
    };
    let with = |mark: &str| calls.iter().find(|(_, arguments)| arguments.to_string().contains(mark)).expect("it ran");
    let answer_to = |id: &str| {
        let is = |line: &str| {
            let message: Value = serde_json::from_str(line).expect("JSON");
            let of = message["id"].to_string();
            message.get("method").is_none() && of == id
        };
        good.received.iter().position(|(_, line)| is(line)).expect("it was answered")
    };
    // It ran once more.
    for mark in ["running", "after"] {
        must_find("ran 2 times", &good, &[&calls[..], &[with(mark).clone()]].concat());
    }
    // The client was told that it did not run, and it did.
    let echo = server.kind.echo("held");
    let ran = (String::from("echo"), echo["arguments"].clone());
    must_find("told that it did not", &good, &[&calls[..], &[ran]].concat());
    let mut forged = good.clone();
    let (from, to) = (answer_to(&held), answer_to(&running));
    forged.received[to].1 = good.received[from].1.replacen(&format!("\"id\":{held}"), &format!("\"id\":{running}"), 1);
    must_find("told that it did not", &forged, &calls);
    // One answer more, and one less.
    let mut forged = good.clone();
    forged.received.push(good.received[answer_to(&running)].clone());
    must_find("answered twice", &forged, &calls);
    let mut forged = good.clone();
    forged.received.remove(answer_to(&running));
    must_find("never got an answer", &forged, &calls);
    // A result of what did not run, a run of what nobody asked, an answer to nothing.
    let never: Vec<_> = calls.iter().filter(|call| *call != with("after")).cloned().collect();
    must_find("never ran", &good, &never);
    must_find("nobody asked", &good, &[&calls[..], &[(String::from("append"), json!({"mark": "x"}))]].concat());
    let mut forged = good.clone();
    forged.sent.retain(|(_, line)| !line.contains("held"));
    must_find("never asked", &forged, &calls);
}

/// What only some servers have.
mod state {
    use super::*;

    /// The tool says that it may be repeated, and the user says that the server is to be believed.
    fn a_trusted_annotation_lets_a_call_be_repeated(kind: Kind) {
        let mut server = Server::started(kind);
        let mut bridge = working(&server, &["--trust-annotations"]);
        bridge.call("tools/list", json!({}));
        let call =
            bridge.request("tools/call", json!({"name": "look", "arguments": {"seconds": 2, "mark": "look-mark"}}));
        server.wait_for_mark("look-mark", 1);
        let lost = bridge.request("tools/call", kind.unsafe_call("unsafe-mark"));
        server.wait_for_mark("unsafe-mark", 1);
        server.restart();
        assert_eq!(text(&bridge.result(&call)), "looked: look-mark");
        outcome_unknown(&bridge.error(&lost), "tools/call");
        assert_eq!(server.count("look-mark"), 2);
        assert_eq!(server.count("unsafe-mark"), 1);
        finish(bridge, &server, &["look"]);
    }

    #[test]
    fn trusted_annotations_python_http() {
        a_trusted_annotation_lets_a_call_be_repeated(Kind::PythonHttp);
    }

    #[test]
    fn trusted_annotations_python_sse() {
        a_trusted_annotation_lets_a_call_be_repeated(Kind::PythonSse);
    }

    /// Log level and subscriptions live in the session; the new one gets them back.
    fn a_new_session_gets_its_state_back(kind: Kind) {
        let mut server = Server::started(kind);
        let mut bridge = working(&server, &[]);
        bridge.call("logging/setLevel", json!({"level": "debug"}));
        bridge.call("logging/setLevel", json!({"level": "warning"}));
        bridge.call("resources/subscribe", json!({"uri": "memo://note"}));
        bridge.call("resources/subscribe", json!({"uri": "memo://other"}));
        bridge.call("resources/unsubscribe", json!({"uri": "memo://other"}));
        let mark = bridge.mark();
        kill(&mut server, &bridge);
        server.start();
        must_echo(&mut bridge, kind, "after");
        server.wait_for_mark("level warning\n", 2);
        server.wait_for_mark("\nsubscribe memo://note\n", 2);
        bridge.wait_after(mark, "the news that the resource may have changed", |message| {
            message["method"] == "notifications/resources/updated" && message["params"]["uri"] == "memo://note"
        });
        assert_eq!(server.count("level debug\n"), 1);
        assert_eq!(server.count("\nsubscribe memo://other\n"), 1);
        finish(bridge, &server, &[]);
    }

    #[test]
    fn state_python_http() {
        a_new_session_gets_its_state_back(Kind::PythonHttp);
    }

    #[test]
    fn state_python_sse() {
        a_new_session_gets_its_state_back(Kind::PythonSse);
    }

    /// A server that is busy in a synchronous tool answers no ping. It is not dead.
    #[test]
    fn a_busy_server_is_not_a_dead_one() {
        for kind in [Kind::PythonHttp, Kind::PythonSse] {
            let server = Server::started(kind);
            let mut bridge = working(&server, &["--heartbeat", "500ms", "--heartbeat-timeout", "500ms"]);
            let params = json!({"name": "block", "arguments": {"seconds": 4, "mark": "block-mark"}});
            assert_eq!(bridge.tool(params), "blocked: block-mark");
            must_echo(&mut bridge, kind, "after");
            assert_eq!(server.count("block-mark"), 1);
            finish(bridge, &server, &[]);
        }
    }

    /// With nothing in flight an unanswered ping is a dead connection: the next call does not wait for its deadline.
    #[test]
    fn a_frozen_server_that_is_replaced_is_noticed() {
        for kind in [Kind::PythonHttp, Kind::PythonSse] {
            let mut server = Server::started(kind);
            let mut bridge = working(&server, &["--heartbeat", "500ms", "--heartbeat-timeout", "500ms"]);
            server.signal(rustix::process::Signal::STOP);
            let call = bridge.request("tools/call", kind.echo("through"));
            server.restart();
            // It was sent into the frozen process or held: then either nobody knows, or it is answered.
            bridge.answer(&call);
            must_echo(&mut bridge, kind, "after");
            finish(bridge, &server, &[]);
        }
    }
}
