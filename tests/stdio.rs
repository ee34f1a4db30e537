//! Clients and machines at their worst on the other end of stdin, stdout and stderr.

mod support;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bridge::{Bridge, text};
use support::fault::Fault;
use support::http::{Reply, Request, Server};
use support::process::prepared;
use support::script::{Outcome, Script};
use support::{IS_NPX, PATIENCE, command, is_component, poll};

const MIB: usize = 1 << 20;
/// After this a server that has more to send counts as held back.
const QUIET: Duration = Duration::from_millis(400);
/// What the command may take beside its own limits. Node takes what it likes before it collects, and WebAssembly gives nothing back: what a
/// line of the largest size grew from stays.
const MEMORY: usize = if IS_NPX {
    450 * MIB
} else if IS_NATIVE {
    150 * MIB
} else {
    300 * MIB
};
/// Of a server without end; the other hosts are slower. `NOTIFICATIONS=1000000` for as many there.
const NOTIFICATIONS: usize = if IS_NATIVE { 1_000_000 } else { 100_000 };
const IS_NATIVE: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"stdio");

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"worst","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A bridge with pipes that nobody reads.
fn start(url: &str, options: &[&str]) -> Child {
    let mut command = command();
    let command = prepared(command.arg(url).args(options));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    writeln!(child.stdin.as_mut().expect("piped"), "{INITIALIZE}\n{INITIALIZED}").expect("it reads");
    child
}

/// The most memory that it had, in bytes.
fn peak(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux has /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().expect("a number") * 1024
}

fn must_end(child: &mut Child) {
    let begun = Instant::now();
    let code = poll("the bridge ends", PATIENCE, || child.try_wait().expect("the child is ours"));
    assert_eq!(code.code(), Some(0), "{code}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// A server that sends one megabyte after the other on its stream, and counts them.
fn talker(count: usize) -> (Server, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let server = Server::start(move |request: Request, reply: Reply| {
        let message = request.json();
        let answer = |result: Value| json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        match message["method"].as_str() {
            Some("initialize") => reply.json(
                200,
                &answer(json!({
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "serverInfo": {"name": "talker", "version": "1"},
                })),
            ),
            None if request.method == "GET" => {
                let stream = reply.events(&[]);
                for number in 0..count {
                    let note = json!({"jsonrpc": "2.0", "method": "notifications/note", "params": {"n": number, "x": "x".repeat(MIB)}});
                    if !stream.event(&note) {
                        break;
                    }
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                stream.end();
                None
            }
            _ if message["id"].is_null() => reply.empty(202),
            _ => reply.json(200, &answer(json!({}))),
        }
    });
    (server, sent)
}

fn wait_until_held_back(sent: &AtomicUsize) {
    let mut last = (0, Instant::now());
    poll("the server is held back", PATIENCE, || {
        let now = sent.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (now > 0 && last.1.elapsed() > QUIET).then_some(())
    });
}

/// It holds the server back, and not the memory of this machine. When it reads on, all is there, in order.
#[test]
fn a_client_that_does_not_read() {
    const NOTES: usize = 200;
    let (server, sent) = talker(NOTES);
    let mut child = start(&format!("http://127.0.0.1:{}/mcp", server.port()), &[]);
    wait_until_held_back(&sent);
    let held = sent.load(Ordering::Relaxed);
    assert!(held < NOTES, "the server was never held back");
    assert!(peak(child.id()) < MEMORY, "{} MB", peak(child.id()) / MIB);
    let mut numbers = Vec::new();
    for line in BufReader::with_capacity(MIB, child.stdout.take().expect("piped")).lines() {
        let message: Value = serde_json::from_str(&line.expect("UTF-8")).expect("whole messages");
        numbers.extend(message["params"]["n"].as_u64());
        if numbers.len() == NOTES {
            break;
        }
    }
    assert!(numbers.iter().copied().eq(0..NOTES as u64), "{numbers:?}");
    drop(child.stdin.take());
    must_end(&mut child);
}

/// The end does not wait for it either.
#[test]
fn a_client_that_never_reads() {
    let (server, sent) = talker(200);
    if is_component() {
        // It waits either for stdin or for stdout: its end comes as soon as its client reads again, or is gone.
        let mut child = start(&format!("http://127.0.0.1:{}/mcp", server.port()), &[]);
        wait_until_held_back(&sent);
        drop(child.stdin.take());
        drop(child.stdout.take());
        return must_end(&mut child);
    }
    for signal in [false, true] {
        sent.store(0, Ordering::Relaxed);
        let mut child = start(&format!("http://127.0.0.1:{}/mcp", server.port()), &[]);
        wait_until_held_back(&sent);
        if signal {
            let id = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a process id");
            rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
        } else {
            drop(child.stdin.take());
        }
        must_end(&mut child);
    }
}

/// Notifications without end, of a client that does not wait. What the queue has no room for is dropped, and that is said, in few
/// lines; what arrives is in order, and once. The same of calls is answered.
#[test]
fn notifications_without_end() {
    const COUNT: usize = 30_000;
    let server = Script::http().without_stream().start();
    let mut bridge = Bridge::connected(&[&server.url()]);
    let mut lines = String::new();
    for number in 0..COUNT {
        lines.push_str(&format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/n\",\"params\":{{\"n\":{number}}}}}\n"
        ));
    }
    bridge.process().write(lines.as_bytes());
    let pid = bridge.process().id();
    poll("there is room for a call again", PATIENCE, || {
        let call = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": "after"}}));
        let answer = bridge.answer(&call);
        assert!(answer["result"].is_object() || answer["error"]["code"] == -31006, "{answer}");
        answer["result"].is_object().then_some(())
    });
    assert_eq!(server.executions("after"), 1);
    assert!(peak(pid) < MEMORY, "{} MB", peak(pid) / MIB);
    bridge.wait_for_log(0, &["a notification or answer of the client was dropped"]);
    assert!(bridge.stderr().lines().count() < 100, "{} lines", bridge.stderr().lines().count());
    let all = server.records_of("notifications/n");
    let numbers: Vec<_> = all.iter().map(|record| record.message["params"]["n"].as_u64().expect("a number")).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]) && numbers.first() == Some(&0), "out of order, or twice");
    bridge.finish();
}

/// The same the other way: a server that does not stop. Each notification comes to the client, once and in order, and none is kept.
#[test]
fn notifications_of_a_server_without_end() {
    /// In one write of the server.
    const TOGETHER: usize = 1000;
    let count = std::env::var("NOTIFICATIONS").map_or(NOTIFICATIONS, |text| text.parse().expect("a number"));
    let open = Mutex::new(Vec::new());
    let server = Server::start(move |request: Request, reply: Reply| {
        let message = request.json();
        if request.method == "GET" {
            let stream = reply.events(&[]);
            for first in (0..count).step_by(TOGETHER) {
                let mut events = String::new();
                for number in first..count.min(first + TOGETHER) {
                    events.push_str(&format!(
                        "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/n\",\"params\":{{\"n\":{number}}}}}\n\n"
                    ));
                }
                if !stream.try_raw(events.as_bytes()) {
                    break;
                }
            }
            // Its end would be one more thing to react to.
            open.lock().expect("no panic").push(stream);
            return None;
        }
        let result =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
        match message["id"].is_null() {
            true => reply.empty(202),
            false => reply.json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result})),
        }
    });
    let begun = Instant::now();
    let mut child = start(
        &format!("http://127.0.0.1:{}/mcp", server.port()),
        &["--max-event-bytes", "1M", "--max-total-body-bytes", "2M"],
    );
    let (mut next, mut before) = (0, 0);
    for line in BufReader::with_capacity(MIB, child.stdout.take().expect("piped")).lines() {
        let line = line.expect("UTF-8");
        let Some((_, rest)) = line.split_once("\"n\":") else { continue };
        assert_eq!(rest, format!("{next}}}}}"), "out of order, or lost");
        next += 1;
        if next == 1 {
            before = peak(child.id());
        }
        if next == count {
            break;
        }
    }
    assert_eq!(next, count);
    let (took, peak) = (begun.elapsed(), peak(child.id()));
    eprintln!(
        "{count} notifications in {:.1} s, memory {} MB at first, {} MB at most",
        took.as_secs_f64(),
        before / MIB,
        peak / MIB
    );
    // Twice what the options allow for what is read, and what is on its way through the pipes.
    let more = if IS_NPX { MEMORY } else { 8 * MIB };
    assert!(peak < before + more, "{} MB", peak / MIB);
    drop(child.stdin.take());
    must_end(&mut child);
}

/// A line of 100 MB under the limits as they are: refused loudly, by its id, in little memory; the bridge goes on.
#[test]
fn a_line_of_100_mb() {
    let server = Script::http().start();
    let mut bridge = Bridge::connected(&[&server.url()]);
    let pid = bridge.process().id();
    let before = peak(pid);
    bridge.expect_answer_to("\"large\"", "tools/call");
    let chunk = "x".repeat(MIB);
    bridge.process().write(br#"{"jsonrpc":"2.0","id":"large","method":"tools/call","params":{"x":""#);
    for _ in 0..100 {
        bridge.process().write(chunk.as_bytes());
    }
    bridge.process().write(b"\"}}\n");
    let error = bridge.error("\"large\"");
    assert_eq!(error["code"], -31005, "{error}");
    assert!(error["data"]["limit"].as_u64().is_some_and(|limit| limit >= MIB as u64), "{error}");
    assert!(peak(pid) < before + MEMORY, "{} MB", peak(pid) / MIB);
    let after = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": "after"}}));
    assert_eq!(text(&bridge.result(&after)), "after");
    assert_eq!(server.records_of("tools/call").len(), 1);
    bridge.finish();
}

/// A disk that is full where stderr goes, and a stderr that is closed: messages go on.
#[test]
fn a_stderr_that_takes_nothing() {
    let server = Script::http().start();
    for shell in ["exec \"$0\" \"$@\" 2> /dev/full", "exec \"$0\" \"$@\" 2>&-", "exec \"$0\" \"$@\" 2> /dev/null"] {
        let program = command().get_program().to_owned();
        let mut wrapped = Command::new("sh");
        wrapped.args(["-c", shell]).arg(program).args([&server.url(), "--log", "trace"]);
        let mut bridge = Bridge::command(&mut wrapped);
        bridge.initialize(json!({}));
        for number in 0..20 {
            let mark = format!("{shell} {number}");
            assert_eq!(bridge.tool(json!({"name": "mark", "arguments": {"mark": mark}})), mark);
        }
        bridge.finish();
    }
}

/// The same of stdout is the end of the client.
#[test]
fn a_stdout_that_takes_nothing() {
    let server = Script::http().start();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let mut command = command();
    let command = prepared(command.arg(server.url())).stdin(Stdio::piped()).stdout(full);
    let mut child = command.stderr(File::open("/dev/null").expect("Unix has it")).spawn().expect("it starts");
    writeln!(child.stdin.as_mut().expect("piped"), "{INITIALIZE}").expect("it reads");
    must_end(&mut child);
}

/// More calls at once than there may be connections: those for which there is none wait, and each runs once.
#[test]
fn few_file_descriptors() {
    const CALLS: usize = 60;
    let server = slow();
    let program = command().get_program().to_owned();
    let mut wrapped = Command::new("sh");
    // Node needs some thirty for itself.
    let limit = if IS_NPX { "45" } else { "20" };
    wrapped.args(["-c", "ulimit -n $0; exec \"$@\"", limit]).arg(program).args([&server.url(), "--heartbeat", "off"]);
    let mut bridge = Bridge::command(&mut wrapped);
    bridge.initialize(json!({}));
    let calls: Vec<_> = (0..CALLS)
        .map(|number| bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": number.to_string()}})))
        .collect();
    for (number, call) in calls.iter().enumerate() {
        assert_eq!(text(&bridge.result(call)), number.to_string());
        assert_eq!(server.executions(&number.to_string()), 1, "{number}");
    }
    bridge.finish();
}

/// Answers a call only when others have waited with it for a moment, so that they need connections at the same time.
fn slow() -> Fault {
    Script::http()
        .on(|call, reply| {
            if call.kind == "tools/call" {
                std::thread::sleep(Duration::from_millis(100));
            }
            Outcome::Good(reply)
        })
        .start()
}
