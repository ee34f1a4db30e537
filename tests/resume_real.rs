//! Response streams of real servers end in the middle of a call, by the server's own will or by a TCP reset. Where the server
//! can resume, the call is answered as if nothing had happened; where it cannot, it is answered all the same. It runs once.

mod support;

#[path = "resume_real/cut.rs"]
mod cut;

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use cut::Cutter;
use serde_json::{Value, json};
use support::bridge::{Bridge, text};
use support::port::Port;
use support::process::Process;
use support::servers::{Kind, STARTUP, Server};
use support::{PATIENCE, install, poll, tests_folder};

/// The first version whose servers give cursors for response streams and end them at will.
const POLLING: &str = "2025-11-25";

/// `tests/servers/node/polling.mjs` or its sibling `tests/servers/python/resumable.py`.
struct Resumable {
    process: Process,
    port: Port,
}

impl Resumable {
    fn typescript() -> Self {
        let mut command = Command::new("node");
        command.arg(tests_folder().join("servers/node/polling.mjs"));
        command.env("SDK_FOLDER", install::node().join("node_modules/@modelcontextprotocol/sdk"));
        let port = Port::reserve();
        command.env("PORT", port.number().to_string());
        Self::start(port, &mut command)
    }

    fn python() -> Self {
        let mut command = Command::new(install::python());
        let port = Port::reserve();
        command.arg(tests_folder().join("servers/python/resumable.py"));
        command.args(["--port", &port.number().to_string()]);
        Self::start(port, &mut command)
    }

    fn start(port: Port, command: &mut Command) -> Self {
        let mut process = Process::start(command);
        poll("the resumable server accepts connections", STARTUP, || {
            if let Some(status) = process.exited() {
                process.stderr.ended(PATIENCE);
                panic!("the resumable server ended at its start ({status}):\n{}", process.stderr.text());
            }
            TcpStream::connect(("127.0.0.1", port.number())).ok()
        });
        Self { process, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port.number())
    }

    /// How often a call with this mark was executed.
    fn runs(&self, mark: &str) -> usize {
        let line = format!("ran {mark}");
        self.process.stdout.all().iter().filter(|(_, said)| *said == line).count()
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server:\n{}{}", self.process.stdout.text(), self.process.stderr.text());
        }
    }
}

/// A bridge in a session of the version that knows polling.
fn polling(url: &str, options: &[&str]) -> Bridge {
    let mut arguments = vec![url, "--log", "debug"];
    arguments.extend_from_slice(options);
    let mut bridge = Bridge::start(&arguments);
    let client = json!({"name": "mcp-reconnect-tests", "version": "1"});
    let params = json!({"protocolVersion": POLLING, "capabilities": {}, "clientInfo": client});
    assert_eq!(bridge.call("initialize", params)["protocolVersion"], POLLING);
    bridge.notify("notifications/initialized", json!({}));
    bridge
}

/// What a call with this mark has told the client, in the order of arrival.
fn told(bridge: &Bridge, mark: &str) -> Vec<String> {
    let data = |note: Value| note["params"]["data"].as_str().unwrap_or_default().to_owned();
    let heard = bridge.messages_of("notifications/message").into_iter().map(data);
    heard.filter_map(|data| data.strip_prefix(mark)?.strip_prefix(": ").map(str::to_owned)).collect()
}

/// Calls `interrupted`: the answer, and every notification on the way, arrive once and in order.
fn interrupted(server: &Resumable, bridge: &mut Bridge, mark: &str, closes: usize, away: bool) {
    let given = json!({"mark": mark, "closes": closes, "away": away});
    assert_eq!(bridge.tool(json!({"name": "interrupted", "arguments": given})), format!("finished: {mark}"));
    let closed = (1..=closes).map(|close| format!("closed {close}"));
    let expected: Vec<_> = ["begun".to_owned()].into_iter().chain(closed).chain(["done".to_owned()]).collect();
    assert_eq!(told(bridge, mark), expected);
    assert_eq!(server.runs(mark), 1, "the call ran more than once");
}

fn a_stream_that_the_server_ends_is_resumed(server: &Resumable) {
    let mut bridge = polling(&server.url(), &[]);
    // The answer waits for the client; the client waits for the answer; and both more than once in a call.
    interrupted(server, &mut bridge, "answer-first", 1, true);
    interrupted(server, &mut bridge, "client-first", 1, false);
    interrupted(server, &mut bridge, "three-ends", 3, false);
    interrupted(server, &mut bridge, "three-ends-away", 3, true);
    bridge.finish();
}

/// The end of one call's stream is not the end of another's.
fn calls_are_resumed_side_by_side(server: &Resumable) {
    let mut bridge = polling(&server.url(), &[]);
    let marks = ["side-a", "side-b", "side-c", "side-d"];
    let begin = |mark: &&str| {
        let given = json!({"mark": mark, "closes": 1, "away": true});
        bridge.request("tools/call", json!({"name": "interrupted", "arguments": given}))
    };
    let calls: Vec<_> = marks.iter().map(begin).collect();
    for (mark, call) in marks.iter().zip(&calls) {
        assert_eq!(text(&bridge.result(call)), format!("finished: {mark}"));
        assert_eq!(told(&bridge, mark), ["begun", "closed 1", "done"]);
        assert_eq!(server.runs(mark), 1, "the call ran more than once");
    }
    bridge.finish();
}

/// The first stream of a call, and the resumed ones after it.
fn a_stream_that_is_reset_is_resumed(server: &Resumable) {
    let cutter = Cutter::before(server.port.number());
    let mut bridge = polling(&cutter.url(), &[]);
    for (mark, times) in [("reset-once", 1), ("reset-again", 3)] {
        let given = json!({"mark": mark, "times": times});
        let call = bridge.request("tools/call", json!({"name": "until-resumed", "arguments": given}));
        for back in 0..times {
            let waits = format!("{mark}: waits {back}");
            bridge.wait_for(&waits, |message| message["params"]["data"] == waits);
            assert!(!bridge.is_answered(&call));
            cutter.cut();
        }
        assert_eq!(text(&bridge.result(&call)), format!("finished: {mark}"));
        let waits = (0..times).map(|back| format!("waits {back}"));
        let expected: Vec<_> = waits.chain(["done".to_owned()]).collect();
        assert_eq!(told(&bridge, mark), expected);
        assert_eq!(server.runs(mark), 1, "the call ran more than once");
    }
    bridge.finish();
}

/// Makes a test of each case for both resumable servers.
macro_rules! resumable {
    ($($case:ident),* $(,)?) => {
        mod typescript { $(#[test] fn $case() { super::$case(&super::Resumable::typescript()); })* }
        mod python { $(#[test] fn $case() { super::$case(&super::Resumable::python()); })* }
    };
}

resumable! {
    a_stream_that_the_server_ends_is_resumed,
    calls_are_resumed_side_by_side,
    a_stream_that_is_reset_is_resumed,
}

/// Codes of the bridge's own errors for a call that may have run.
const OUTCOME_UNKNOWN: i64 = -31001;
const TIMED_OUT: i64 = -31003;

/// How much later than the deadline an answer may come on a busy machine.
const GRACE: Duration = Duration::from_secs(4);

/// How long the servers' slow tools take (their `4`, `4000`).
const SLOW: Duration = Duration::from_secs(4);

/// The response stream of a call is reset, and the client gets one answer all the same, no later than the request's
/// deadline (in seconds); the session goes on; and the call is not made again. `begun` is what the journal shows once a
/// run; `good` says which answers this server leaves possible.
fn reset(kind: Kind, deadline: u64, slow: &Value, begun: &str, good: fn(&Value, Duration) -> bool) {
    let server = Server::started(kind);
    let cutter = Cutter::before(server.port());
    let mut bridge = polling(&cutter.url(), &["--request-timeout", &format!("{deadline}s")]);
    assert!(bridge.tool(kind.echo("before")).contains("before"));
    // Those of `initialize`, of the session and of the call.
    cutter.wait_for_streams(3);
    let streams = cutter.streams();
    let start = Instant::now();
    let call = bridge.request("tools/call", slow.clone());
    server.wait_for_mark(begun, 1);
    cutter.wait_for_streams(streams + 1);
    assert!(!bridge.is_answered(&call));
    cutter.cut();
    let answer = bridge.answer(&call);
    let took = start.elapsed();
    println!("{kind:?} after {took:?}: {answer}");
    assert!(took < Duration::from_secs(deadline) + GRACE, "the answer came after {took:?}: {answer}");
    assert!(good(&answer, took), "after {took:?}: {answer}");
    if let Some(error) = answer.get("error") {
        assert!(error["message"].as_str().is_some_and(|message| message.contains("tools/call")), "{error}");
    }
    assert!(bridge.tool(kind.echo("after")).contains("after"));
    // Its books show one answer to each request; from here on nothing can be sent again.
    bridge.finish();
    assert_eq!(server.count(begun), 1, "the call was made again");
}

/// Whether it is an error that says that the call may have run.
fn may_have_run(answer: &Value) -> bool {
    [TIMED_OUT, OUTCOME_UNKNOWN].iter().any(|code| answer["error"]["code"] == *code)
}

/// Replays what it stored, but never connects the running call to the resumed stream: silence, until the deadline.
#[test]
fn server_everything_loses_a_call_whose_stream_is_reset() {
    let slow = json!({"duration": 4, "steps": 2, "mark": "reset-mark"});
    let slow = json!({"name": "trigger-long-running-operation", "arguments": slow});
    reset(Kind::EverythingHttp, 8, &slow, "reset-mark", |answer, _| may_have_run(answer));
}

/// The Python SDK without an event store gives no cursors: nothing to wait for.
#[test]
fn python_without_a_store_loses_a_call_whose_stream_is_reset() {
    let slow = json!({"name": "slow", "arguments": {"seconds": 4, "mark": "reset-mark"}});
    reset(Kind::PythonHttp, 8, &slow, "slow reset-mark", |answer, took| {
        answer["error"]["code"] == OUTCOME_UNKNOWN && took < SLOW
    });
}

/// rmcp asks for 3 s between the reset and the resume, to which the bridge adds at most as much again, and then connects the
/// running call to the resumed stream.
#[test]
fn rust_resumes_a_call_that_still_runs() {
    let slow = json!({"name": "deploy", "arguments": {"version": "reset-mark", "ms": 9000}});
    reset(Kind::RustHttp, 16, &slow, "reset-mark", |answer, took| {
        took >= Duration::from_secs(9) && text(&answer["result"]).contains("reset-mark")
    });
}

/// rmcp forgets the answer of a call that ends while the client is away: its resumed streams end at once.
#[test]
fn rust_loses_a_call_that_ends_before_the_resume() {
    let slow = json!({"name": "deploy", "arguments": {"version": "reset-mark", "ms": 1500}});
    reset(Kind::RustHttp, 8, &slow, "reset-mark", |answer, _| may_have_run(answer));
}
