//! `--on-event` and `--notify-client`: who hears that the server went away and came back, and that the messages do not wait for
//! them.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bridge::Bridge;
use support::process::{self, Process};
use support::script::{Outcome, Script};
use support::servers::{Kind, Server};
use support::{PATIENCE, install, poll, scratch_file, tests_folder};

/// A file that hooks write to.
struct Heard(PathBuf);

impl Heard {
    fn new() -> Self {
        Self(scratch_file("heard"))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// A command that notes the event.
    fn command(&self) -> String {
        format!("cat >> '{}'", self.0.display())
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        // The last line may be half written.
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    fn events(&self) -> Vec<Value> {
        self.lines().iter().map(|line| serde_json::from_str(line).expect("an event is one line of JSON")).collect()
    }

    fn names(&self) -> Vec<String> {
        self.events().iter().map(|event| name(event).to_owned()).collect()
    }

    /// Waits for an event of this name, and gives the first.
    fn wait_for(&self, wanted: &str) -> Value {
        poll(wanted, PATIENCE, || self.events().into_iter().find(|event| name(event) == wanted))
    }

    fn wait_for_lines(&self, count: usize) -> Vec<String> {
        poll(&format!("{count} lines"), PATIENCE, || Some(self.lines()).filter(|lines| lines.len() >= count))
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the hook heard:\n{}", self.lines().join("\n"));
        }
        let _ = std::fs::remove_file(&self.0);
    }
}

fn name(event: &Value) -> &str {
    event["hook_event_name"].as_str().expect("an event has a name")
}

fn must_echo(bridge: &mut Bridge, kind: Kind, words: &str) {
    assert!(bridge.tool(kind.echo(words)).contains(words));
}

fn mark(bridge: &mut Bridge, mark: &str) -> String {
    bridge.tool(json!({"name": "mark", "arguments": {"mark": mark}}))
}

/// One kill -9 and restart, with a call in flight, as the hook tells it.
fn a_restart_as_the_hook_hears_it(kind: Kind) {
    let heard = Heard::new();
    let mut server = Server::started(kind);
    let url = format!("{}?key=s3cret", server.url());
    let mut bridge = Bridge::connected(&[&url, "--on-event", &heard.command()]);
    must_echo(&mut bridge, kind, "before");
    let lost = bridge.request("tools/call", kind.unsafe_call("in-flight"));
    server.wait_for_mark("in-flight", 1);
    server.restart();
    bridge.error(&lost);
    must_echo(&mut bridge, kind, "after");

    let connected = heard.wait_for("McpServerConnected");
    let disconnected = heard.wait_for("McpServerDisconnected");
    let reconnecting = heard.wait_for("McpServerReconnecting");
    let reconnected = heard.wait_for("McpServerReconnected");
    let unknown = heard.wait_for("McpRequestOutcomeUnknown");
    let order = [&connected, &disconnected, &reconnecting, &reconnected].map(|event| event["sequence"].as_u64());
    assert!(order.is_sorted(), "{order:?}");

    assert_eq!((&connected["epoch"], &connected["sequence"]), (&json!(1), &json!(1)));
    assert_eq!(disconnected["epoch"], 1);
    assert!(disconnected["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{disconnected}");
    assert!(reconnecting["attempt"].is_u64() && reconnecting["next_delay_ms"].is_u64(), "{reconnecting}");
    for (key, value) in [
        ("epoch", json!(2)),
        ("new_session", json!(true)),
        ("server_changed", json!(false)),
        ("transport", json!(if kind.is_sse() { "sse" } else { "http" })),
        ("protocol_version", json!(support::bridge::VERSION)),
        ("server_name", json!("mcp-reconnect-demo")),
    ] {
        assert_eq!(reconnected[key], value, "{key} of {reconnected}");
    }
    assert!(reconnected["server_version"].is_string() && reconnected.get("reason").is_none(), "{reconnected}");
    assert_eq!(unknown["method"], "tools/call");
    assert!(unknown["accepted"].is_boolean() && unknown["reason"].is_string(), "{unknown}");

    let events = heard.events();
    let told = server.url();
    let mut last = String::new();
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["sequence"], index as u64 + 1, "{event}");
        assert_eq!((&event["server_url"], &event["pid"]), (&json!(told), &json!(bridge.process().id())), "{event}");
        assert!(event.get("dropped").is_none(), "{event}");
        let at = event["timestamp"].as_str().expect("a time").to_owned();
        assert!(at.len() == 24 && at.ends_with('Z') && at.as_bytes()[19] == b'.' && last <= at, "{last} {at}");
        last = at;
    }
    assert!(!heard.lines().join("").contains("s3cret"), "the query is told");
    bridge.finish();
}

#[test]
fn a_restart_over_streamable_http() {
    a_restart_as_the_hook_hears_it(Kind::RustHttp);
}

#[test]
fn a_restart_over_sse() {
    a_restart_as_the_hook_hears_it(Kind::RustSse);
}

/// A safe request in flight at the loss is sent again, and the hook hears of it.
#[test]
fn a_request_that_is_sent_again() {
    for (script, accepted) in [(Script::http(), false), (Script::sse(), true)] {
        let heard = Heard::new();
        let mut server = script
            .on(move |call, reply| match (call.kind, call.before) {
                ("tools/list", 0) if accepted => Outcome::Done(reply.text(202, "text/plain", "Accepted")),
                ("tools/list", 0) => {
                    call.server.keep(reply.hold());
                    Outcome::Done(None)
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = Bridge::connected(&[&server.url(), "--on-event", &heard.command()]);
        let list = bridge.request("tools/list", json!({}));
        server.wait_for("tools/list", 1);
        server.restart();
        assert!(bridge.result(&list)["tools"].is_array());
        let replayed = heard.wait_for("McpRequestReplayed");
        assert_eq!(replayed["method"], "tools/list");
        assert!(replayed["accepted"].is_boolean() && replayed["reason"].is_string(), "{replayed}");
        bridge.finish();
    }
}

#[test]
fn a_server_that_may_be_gone() {
    let heard = Heard::new();
    let server = Server::started(Kind::RustSse);
    let url = server.url();
    let quick = ["--heartbeat", "500ms", "--heartbeat-timeout", "500ms"];
    let mut arguments = vec![url.as_str(), "--event", "mcpserversuspect", "--on-event"];
    let command = heard.command();
    arguments.push(&command);
    arguments.extend_from_slice(&quick);
    let mut bridge = Bridge::connected(&arguments);
    bridge.request("tools/call", server.kind.unsafe_call("in-flight"));
    server.wait_for_mark("in-flight", 1);
    server.signal(rustix::process::Signal::STOP);
    let suspect = heard.wait_for("McpServerSuspect");
    assert_eq!(suspect["epoch"], 1);
    assert!(suspect["reason"].is_string());
    server.signal(rustix::process::Signal::CONT);
    bridge.finish();
}

#[test]
fn only_the_events_that_are_asked_for() {
    let heard = Heard::new();
    let mut server = Script::http().start();
    let names = ["--event", "McpServerReconnected", "--event", "mcpserverdisconnected"];
    let url = server.url();
    let command = heard.command();
    let mut arguments = vec![url.as_str(), "--on-event", &command];
    arguments.extend_from_slice(&names);
    let mut bridge = Bridge::connected(&arguments);
    for restart in ["first", "second"] {
        mark(&mut bridge, restart);
        let log = bridge.log_mark();
        server.down();
        bridge.wait_for_log(log, &["disconnected"]);
        server.up();
        mark(&mut bridge, &format!("after the {restart}"));
    }
    heard.wait_for_lines(4);
    bridge.finish();
    let pair = ["McpServerDisconnected", "McpServerReconnected"];
    assert_eq!(heard.names(), [pair, pair].concat());
    let numbers: Vec<_> = heard.events().iter().map(|event| event["sequence"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 3, 4].map(Some), "events that are not asked for are not counted");
}

/// However long an outage lasts, its first attempt is told, and each further one only where that is asked for.
#[test]
fn an_outage_is_one_attempt() {
    let (first, all) = (Heard::new(), Heard::new());
    let mut server = Script::http().start();
    let url = server.url();
    let mut bridges = [
        Bridge::connected(&[&url, "--on-event", &first.command()]),
        Bridge::connected(&[&url, "--on-event", &all.command(), "--all-attempts"]),
    ];
    let attempts = |heard: &Heard| heard.names().iter().filter(|name| *name == "McpServerReconnecting").count();
    for outage in 1..=2 {
        for bridge in &mut bridges {
            mark(bridge, &format!("before {outage}"));
        }
        let before = attempts(&all);
        let logs = bridges.each_ref().map(Bridge::log_mark);
        server.down();
        // Who waits has attempts made without pause.
        let held: Vec<_> = bridges
            .iter_mut()
            .zip(logs)
            .map(|(bridge, log)| {
                bridge.wait_for_log(log, &["disconnected"]);
                bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": format!("held {outage}")}}))
            })
            .collect();
        poll("three attempts are told", PATIENCE, || (attempts(&all) >= before + 3).then_some(()));
        server.up();
        for (bridge, call) in bridges.iter().zip(held) {
            bridge.result(&call);
        }
        poll("the end is told", PATIENCE, || {
            let ends = first.names().iter().filter(|name| *name == "McpServerReconnected").count();
            (ends == outage).then_some(())
        });
    }
    for bridge in bridges {
        bridge.finish();
    }
    let outage = ["McpServerDisconnected", "McpServerReconnecting", "McpServerReconnected"];
    assert_eq!(first.names(), [&["McpServerConnected"][..], &outage, &outage].concat());
}

/// What Claude Code tells the servers that it starts, and what the user calls the server. Nothing in the text is not seen.
#[test]
fn the_client_and_the_users_name_for_the_server() {
    let heard = Heard::new();
    let server = Script::http().start();
    let mut command = support::command();
    command.args([&server.url(), "--on-event", &heard.command(), "--name", "jar\u{202e}vis"]);
    command.env("CLAUDE_CODE_SESSION_ID", "0c1f").env("CLAUDE_PROJECT_DIR", "/home/tony/shop");
    let mut bridge = Bridge::command(&mut command);
    bridge.initialize(json!({}));
    let connected = heard.wait_for("McpServerConnected");
    bridge.finish();
    assert_eq!((&connected["session_id"], &connected["cwd"]), (&json!("0c1f"), &json!("/home/tony/shop")));
    assert_eq!(connected["mcp_server_name"], "jar\u{202e}vis");
    assert!(heard.lines()[0].contains(r"jar\u202evis"), "{:?}", heard.lines());

    let heard = Heard::new();
    let mut command = support::command();
    command.args([&server.url(), "--on-event", &heard.command()]);
    command.env_remove("CLAUDE_CODE_SESSION_ID").env_remove("CLAUDE_PROJECT_DIR");
    let mut bridge = Bridge::command(&mut command);
    bridge.initialize(json!({}));
    let connected = heard.wait_for("McpServerConnected");
    bridge.finish();
    for absent in ["session_id", "cwd", "mcp_server_name"] {
        assert!(connected.get(absent).is_none(), "{connected}");
    }
}

/// The scripts of `docs/hooks.md`, as they stand there.
fn documented(name: &str) -> PathBuf {
    let page = std::fs::read_to_string(tests_folder().join("../docs/hooks.md")).expect("the page is there");
    let (_, after) = page.split_once(&format!("`{name}`, which needs")).expect("the page has the script");
    let script = after.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let path = scratch_file(name);
    executable(&path, script);
    path
}

/// Makes a program of a text. Another process writes it: one that is started by another test meanwhile would inherit our open
/// file, and nobody could run it.
fn executable(path: &Path, text: &str) {
    let mut writer = Process::start(Command::new("sh").args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path));
    writer.write(text.as_bytes());
    writer.close_stdin();
    let (status, _) = writer.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{status}");
}

#[test]
fn the_desktop_notification_of_the_documents() {
    install::debian("jq", "jq");
    let (heard, folder) = (Heard::new(), scratch_file("programs"));
    std::fs::create_dir(&folder).expect("the build folder can be written");
    // There is no desktop here: what it is told is what counts.
    let told = format!("#!/bin/sh\nprintf '%s|' \"$@\" >> '{0}'; echo >> '{0}'\n", heard.path().display());
    executable(&folder.join("notify-send"), &told);
    let mut server = Script::http().start();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let script = documented("notify.sh");
    let mut command = support::command();
    command.args([&server.url(), "--on-event", &script.display().to_string(), "--event", "McpServerDisconnected"]);
    let mut bridge = Bridge::command(command.env("PATH", path));
    bridge.initialize(json!({}));
    mark(&mut bridge, "before");
    server.down();
    let told = heard.wait_for_lines(1).remove(0);
    assert!(told.starts_with("MCP|McpServerDisconnected: ") && told.len() > 30, "{told}");
    assert!(!bridge.stderr().contains("--on-event"), "{}", bridge.stderr());
    bridge.finish();
    let _ = (std::fs::remove_dir_all(folder), std::fs::remove_file(script));
}

#[test]
fn the_slack_webhook_of_the_documents() {
    install::debian("jq", "jq");
    install::debian("curl", "curl");
    let (posts, posted) = std::sync::mpsc::channel();
    let slack = support::http::Server::start(move |request, reply| {
        let _ = posts.send(request);
        reply.text(200, "text/plain", "ok")
    });
    let server = Script::http()
        .on(|call, reply| match call.kind {
            "tools/call" => Outcome::Done(reply.send(403, &[("www-authenticate", "Bearer realm=\"x\"")], b"no")),
            _ => Outcome::Good(reply),
        })
        .start();
    let script = documented("slack.sh");
    let mut command = support::command();
    let event = ["--event", "McpServerCredentialsNeeded"];
    command.args([&server.url(), "--on-event", &script.display().to_string(), "--name", "jarvis & co"]).args(event);
    let url = format!("http://127.0.0.1:{}/services/T/B/x", slack.port());
    let mut bridge = Bridge::command(command.env("SLACK_WEBHOOK_URL", url));
    bridge.initialize(json!({}));
    let call = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": "refused"}}));
    bridge.error(&call);
    let post = posted.recv_timeout(PATIENCE).expect("the script posts");
    assert_eq!((post.method.as_str(), post.target.as_str()), ("POST", "/services/T/B/x"));
    let body: Value = serde_json::from_slice(&post.body).expect("JSON");
    let text = body["text"].as_str().expect("a text");
    assert!(text.starts_with("*jarvis &amp; co* McpServerCredentialsNeeded ") && text.contains("403"), "{text}");
    assert!(!bridge.stderr().contains("--on-event"), "{}", bridge.stderr());
    bridge.finish();
    let _ = std::fs::remove_file(script);
}

/// A command that never ends, and writes down its own process id and that of its child, a line each run.
fn hanging(heard: &Heard) -> String {
    format!("sleep 600 & echo \"$$ $!\" >> '{}'; wait", heard.path().display())
}

/// The ids that one run of it wrote down.
fn ids(line: &str) -> Vec<i32> {
    line.split(' ').map(|id| id.parse().expect("a process id")).collect()
}

fn must_end(ids: &[i32]) {
    for id in ids {
        poll("the hook and its child are gone", PATIENCE, || (!process::is_alive(*id)).then_some(()));
    }
}

/// It holds up no message, and the end of the bridge does not wait for it.
#[test]
fn a_hook_that_hangs() {
    let heard = Heard::new();
    let server = Script::http().start();
    let mut bridge = Bridge::connected(&[&server.url(), "--on-event", &hanging(&heard), "--event-timeout", "10m"]);
    let ids = ids(&heard.wait_for_lines(1)[0]);
    for number in 0..50 {
        mark(&mut bridge, &number.to_string());
    }
    assert!(ids.iter().all(|id| process::is_alive(*id)), "the calls were answered beside the hook");
    bridge.finish();
    must_end(&ids);
}

/// It is killed with its children when its time is over, and the next one runs.
#[test]
fn a_hook_whose_time_is_over() {
    let heard = Heard::new();
    let server = Script::http().start();
    let mut bridge = Bridge::connected(&[&server.url(), "--on-event", &hanging(&heard), "--event-timeout", "2s"]);
    mark(&mut bridge, "call");
    bridge.process().signal(rustix::process::Signal::HUP);
    for line in &heard.wait_for_lines(3)[..2] {
        must_end(&ids(line));
    }
    bridge.wait_for_log(0, &["--on-event did not end within 2s and was killed"]);
    mark(&mut bridge, "after");
    bridge.finish();
}

#[test]
fn a_hook_that_fails_is_told_once() {
    let heard = Heard::new();
    let server = Script::http().start();
    let command = format!("echo >> '{}'; echo no such display >&2; exit 7", heard.path().display());
    let mut bridge = Bridge::connected(&[&server.url(), "--on-event", &command]);
    mark(&mut bridge, "before");
    bridge.process().signal(rustix::process::Signal::HUP);
    heard.wait_for_lines(3);
    mark(&mut bridge, "after");
    bridge.wait_for_log(0, &["--on-event failed (exit status: 7): no such display"]);
    assert_eq!(bridge.stderr().matches("no such display").count(), 1, "{}", bridge.stderr());
    bridge.finish();
}

/// One that kills itself, and one that writes to stderr without end.
#[test]
fn a_hook_that_is_killed_and_one_that_floods() {
    for (command, said) in [
        ("kill -KILL $$", "--on-event failed (signal: "),
        ("exec yes noise >&2", "--on-event did not end within 500ms and was killed"),
    ] {
        let server = Script::http().start();
        let mut bridge = Bridge::connected(&[&server.url(), "--on-event", command, "--event-timeout", "500ms"]);
        mark(&mut bridge, "before");
        bridge.wait_for_log(0, &[said]);
        mark(&mut bridge, "after");
        assert!(bridge.stderr().len() < 10_000, "{}", bridge.stderr().len());
        bridge.finish();
    }
}

/// Standard output is the client's, and the event need not be read.
#[test]
fn a_hook_that_prints_and_does_not_read() {
    let heard = Heard::new();
    let server = Script::http().start();
    let command = format!("exec <&-; yes pollution | head -c 300000; echo done >> '{}'", heard.path().display());
    let mut bridge = Bridge::connected(&[&server.url(), "--on-event", &command]);
    mark(&mut bridge, "call");
    bridge.process().signal(rustix::process::Signal::HUP);
    // The next hook runs when the first is over and done with.
    heard.wait_for_lines(2);
    assert!(!bridge.stderr().contains("--on-event"), "{}", bridge.stderr());
    // Checks that standard output holds messages only.
    bridge.finish();
}

#[test]
fn events_that_come_too_fast_are_dropped_and_counted() {
    let heard = Heard::new();
    let gate = Heard::new();
    let server = Script::http().without_stream().start();
    let command = format!("until [ -e '{}' ]; do sleep 0.05; done; {}", gate.path().display(), heard.command());
    let mut bridge =
        Bridge::connected(&[&server.url(), "--on-event", &command, "--event-timeout", "2m", "--log", "info"]);
    mark(&mut bridge, "before");
    // Two events each.
    for _ in 0..40 {
        let log = bridge.log_mark();
        bridge.process().signal(rustix::process::Signal::HUP);
        bridge.wait_for_log(log, &["reconnected, new session"]);
    }
    bridge.wait_for_log(0, &["--on-event does not keep up"]);
    std::fs::write(gate.path(), "").expect("the build folder can be written");
    heard.wait_for_lines(65);
    bridge.wait_for_log(0, &["--on-event was not run for 16 events"]);
    mark(&mut bridge, "after");
    bridge.finish();
    let events = heard.events();
    assert_eq!(events.len(), 65);
    assert_eq!((&events[0]["sequence"], events[0].get("dropped")), (&json!(1), None));
    assert_eq!((&events[1]["sequence"], &events[1]["dropped"]), (&json!(18), &json!(16)));
    assert!(events[2].get("dropped").is_none());
    assert_eq!((name(&events[64]), &events[64]["sequence"]), ("McpServerReconnected", &json!(81)));
}

#[test]
fn a_server_that_wants_other_credentials() {
    let heard = Heard::new();
    let expired = Arc::new(AtomicBool::new(false));
    let gate = expired.clone();
    let server = Script::http()
        .on(move |_, reply| match gate.load(Ordering::SeqCst) {
            true => Outcome::Done(reply.send(401, &[("www-authenticate", "Bearer realm=\"x\"")], b"no")),
            false => Outcome::Good(reply),
        })
        .start();
    let mut bridge = Bridge::connected(&[&server.url(), "--on-event", &heard.command()]);
    expired.store(true, Ordering::SeqCst);
    let call = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": "refused"}}));
    assert_eq!(bridge.error(&call)["code"], -31004);
    let needed = heard.wait_for("McpServerCredentialsNeeded");
    assert_eq!((&needed["status"], &needed["challenge"]), (&json!(401), &json!("Bearer realm=\"x\"")));
    bridge.finish();
}

/// The hook's own time does not add to a call's.
#[test]
fn a_slow_hook_does_not_slow_a_call() {
    let server = Script::http().start();
    let mut bridge = Bridge::connected(&[&server.url(), "--on-event", "sleep 5"]);
    let begun = Instant::now();
    mark(&mut bridge, "call");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    bridge.finish();
}

/// The client's own log hears of a real restart; only where it is wanted.
fn the_client_hears_of_a_restart(kind: Kind) {
    let mut server = Server::started(kind);
    let url = server.url();
    let mut told = Bridge::connected(&[&url, "--notify-client"]);
    let mut silent = Bridge::connected(&[&url]);
    for bridge in [&mut told, &mut silent] {
        must_echo(bridge, kind, "before");
    }
    let marks = [told.log_mark(), silent.log_mark()];
    server.kill();
    let call = told.request("tools/call", kind.echo("held"));
    told.wait_for_log(marks[0], &["disconnected"]);
    server.start();
    told.answer(&call);
    must_echo(&mut told, kind, "after");
    must_echo(&mut silent, kind, "after");
    let ours = |message: &Value| message["params"]["logger"] == "mcp-reconnect";
    let said = |words: &'static str| {
        move |message: &Value| {
            ours(message) && message["params"]["data"].as_str().is_some_and(|text| text.contains(words))
        }
    };
    let lost = told.wait_for("the news of the loss", said("is lost"));
    let back = told.wait_for("the news of the return", said("again"));
    assert_eq!((&lost["params"]["level"], &back["params"]["level"]), (&json!("warning"), &json!("notice")));
    assert_eq!(silent.messages_of("notifications/message").iter().filter(|message| ours(message)).count(), 0);
    told.finish();
    silent.finish();
}

#[test]
fn the_client_hears_of_a_restart_over_streamable_http() {
    the_client_hears_of_a_restart(Kind::RustHttp);
}

#[test]
fn the_client_hears_of_a_restart_over_sse() {
    the_client_hears_of_a_restart(Kind::RustSse);
}
