//! A scripted server misbehaves in every way that `docs` and the issue trackers know, on both transports, under the built
//! command.

mod support;

#[path = "faults/credentials.rs"]
mod credentials;
#[path = "faults/hostile.rs"]
mod hostile;
#[path = "faults/lost.rs"]
mod lost;
#[path = "faults/replay.rs"]
mod replay;
#[path = "faults/requests.rs"]
mod requests;
#[path = "faults/resume.rs"]
mod resume;
#[path = "faults/sessions.rs"]
mod sessions;
#[path = "faults/streams.rs"]
mod streams;

use serde_json::{Value, json};
use support::bridge::{Bridge, text};
use support::fault::Fault;

/// A bridge in a session with the scripted server.
fn connected(server: &Fault, options: &[&str]) -> Bridge {
    let url = server.url();
    let mut arguments = vec![url.as_str()];
    arguments.extend_from_slice(options);
    Bridge::connected(&arguments)
}

/// Parameters of a `tools/call` that the server counts under a mark.
fn marked(mark: &str) -> Value {
    json!({"name": "mark", "arguments": {"mark": mark}})
}

/// Begins a call that the server counts under a mark.
fn begin(bridge: &mut Bridge, mark: &str) -> String {
    bridge.request("tools/call", marked(mark))
}

/// A call must be answered with its result, and have run once.
fn must_run_once(server: &Fault, bridge: &mut Bridge, mark: &str) {
    let call = begin(bridge, mark);
    must_have_run_once(server, bridge, &call, mark);
}

/// A call that was begun must be answered with its result, and have run once.
fn must_have_run_once(server: &Fault, bridge: &Bridge, call: &str, mark: &str) {
    assert_eq!(text(&bridge.result(call)), mark);
    assert_eq!(server.executions(mark), 1, "{mark} ran more or less than once");
}

/// Takes the server down, and waits until the bridge has noticed. (A call that goes into a dying connection has an unknown
/// outcome, which is another story.)
fn take_down(server: &mut Fault, bridge: &mut Bridge) {
    // Before that: it may notice by its own `initialized`.
    let mark = bridge.log_mark();
    server.down();
    bridge.request("resources/list", json!({}));
    bridge.wait_for_log(mark, &["trying again"]);
}

/// How often a call with this mark came, whatever became of it.
fn deliveries(server: &Fault, mark: &str) -> usize {
    let calls = server.records_of("tools/call");
    calls.iter().filter(|call| call.message["params"]["arguments"]["mark"] == mark).count()
}

/// The codes of the errors that the engine gives itself; they are documented, programs may rely on them.
const OUTCOME_UNKNOWN: i64 = -31001;
const UNAVAILABLE: i64 = -31002;
const TIMED_OUT: i64 = -31003;
const UNAUTHORIZED: i64 = -31004;
const TOO_LARGE: i64 = -31005;
const HTTP_ERROR: i64 = -31007;
const SESSION_UNSTABLE: i64 = -31008;

/// A request that was begun must be answered with this error; gives its message.
fn must_fail(bridge: &Bridge, id: &str, code: i64) -> String {
    let error = bridge.error(id);
    assert_eq!(error["code"], code, "{error}");
    error["message"].as_str().expect("an error has a message").to_owned()
}
