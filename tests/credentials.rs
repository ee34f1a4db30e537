//! `--header-command` and `--header-file`: fresh credentials before each session and when a request is rejected, and no secret
//! where it does not belong.

mod support;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bridge::{Bridge, text};
use support::fault::Fault;
use support::http::Reply;
use support::port::Port;
use support::process::{self, Process};
use support::script::{Call, Outcome, Script};
use support::servers::STARTUP;
use support::{COMMAND, PATIENCE, install, poll, scratch_file, tests_folder};

/// The error of a request that was rejected for its credentials.
const UNAUTHORIZED: i64 = -31004;
const CHALLENGE: &str = r#"Bearer error="invalid_token""#;

/// A file that disappears with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(scratch_file(name))
    }

    fn write(&self, text: &str) {
        // In one step: the bridge may read it at any time.
        let whole = self.0.with_extension("new");
        std::fs::write(&whole, text).expect("the build folder can be written");
        std::fs::rename(&whole, &self.0).expect("the build folder can be written");
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A token as a vault keeps it: a server accepts one, and a command or a file gives one.
struct Vault {
    accepted: Arc<Mutex<String>>,
    given: Scratch,
    runs: Scratch,
}

impl Vault {
    /// Server and command agree on this token.
    fn with(token: &str) -> Self {
        let vault = Self { accepted: Arc::default(), given: Scratch::new("token"), runs: Scratch::new("runs") };
        vault.accept(token);
        vault.give(token);
        vault
    }

    /// What the server accepts from now on.
    fn accept(&self, token: &str) {
        *self.accepted.lock().unwrap() = format!("Bearer {token}");
    }

    /// What the command prints from now on.
    fn give(&self, token: &str) {
        self.given.write(&json!({"authorization": format!("Bearer {token}")}).to_string());
    }

    /// A command that prints the headers, and notes each run and what the bridge said of the cause.
    fn command(&self) -> String {
        format!(
            "echo \"run:$MCP_RECONNECT_STATUS\" >> '{}'; cat '{}'",
            self.runs.path().display(),
            self.given.path().display()
        )
    }

    /// A server that accepts the token only.
    fn guard(&self, script: Script) -> Fault {
        let accepted = self.accepted.clone();
        script.on(move |call, reply| guard(&accepted, call, reply)).start()
    }
}

fn guard(accepted: &Mutex<String>, call: &Call<'_>, reply: Reply) -> Outcome {
    if call.http.header("authorization") == Some(accepted.lock().unwrap().as_str()) {
        Outcome::Good(reply)
    } else {
        Outcome::Done(reply.send(401, &[("www-authenticate", CHALLENGE)], b"no"))
    }
}

fn begin(bridge: &mut Bridge, mark: &str) -> String {
    bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": mark}}))
}

fn must_run_once(server: &Fault, bridge: &mut Bridge, mark: &str) {
    let call = begin(bridge, mark);
    assert_eq!(text(&bridge.result(&call)), mark);
    assert_eq!(server.executions(mark), 1, "{mark} ran more or less than once");
}

fn must_be_refused(bridge: &mut Bridge, mark: &str) -> Value {
    let call = begin(bridge, mark);
    let error = bridge.error(&call);
    assert_eq!(error["code"], UNAUTHORIZED, "{error}");
    error
}

fn restart(server: &mut Fault, bridge: &mut Bridge) {
    // Before that: it may notice by itself.
    let mark = bridge.log_mark();
    server.down();
    bridge.request("resources/list", json!({}));
    bridge.wait_for_log(mark, &["trying again"]);
    server.up();
}

fn must_not_leak(bridge: &mut Bridge, secrets: &[&str]) {
    let line = std::fs::read(format!("/proc/{}/cmdline", bridge.process().id())).expect("Linux has /proc");
    let line = String::from_utf8_lossy(&line).into_owned();
    let log = bridge.stderr();
    for secret in secrets {
        assert!(!line.contains(secret), "{secret} is in the process list: {line}");
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[test]
fn rejected_calls_are_sent_again_with_the_headers_of_one_more_run() {
    for script in [Script::http(), Script::http().events(), Script::sse()] {
        let vault = Vault::with("s3cret-one");
        let server = vault.guard(script);
        let mut bridge = Bridge::connected(&[&server.url(), "--header-command", &vault.command(), "--log", "trace"]);
        must_run_once(&server, &mut bridge, "before");
        assert_eq!(vault.runs.lines(), ["run:"]);
        vault.accept("s3cret-two");
        vault.give("s3cret-two");
        let marks = ["a", "b", "c", "d", "e"];
        let calls = marks.map(|mark| begin(&mut bridge, mark));
        for (call, mark) in calls.iter().zip(marks) {
            assert_eq!(text(&bridge.result(call)), mark);
            assert_eq!(server.executions(mark), 1, "{mark} ran more or less than once");
        }
        assert_eq!(vault.runs.lines(), ["run:", "run:401"], "one run serves all of them");
        assert_eq!(server.records_of("initialize").len(), 1, "credentials are no reason for a new session");
        must_not_leak(&mut bridge, &["s3cret"]);
        bridge.finish();
    }
}

#[test]
fn a_token_that_changes_with_a_restart() {
    for script in [Script::http(), Script::sse()] {
        let vault = Vault::with("one");
        let mut server = vault.guard(script);
        let mut bridge = Bridge::connected(&[
            &server.url(),
            "--header",
            "Authorization: Bearer static",
            "--header",
            "X-Static: kept",
            "--header-command",
            &vault.command(),
        ]);
        must_run_once(&server, &mut bridge, "before");
        vault.accept("two");
        vault.give("two");
        let seen = server.records().len();
        restart(&mut server, &mut bridge);
        must_run_once(&server, &mut bridge, "after");
        assert_eq!(vault.runs.lines(), ["run:", "run:"], "one run for each session, and none for a rejection");
        for record in &server.records()[seen..] {
            assert_eq!(record.http.header("authorization"), Some("Bearer two"), "{record:?}");
        }
        for record in server.records() {
            let sent = record.http.headers.iter().filter(|(name, _)| name == "authorization").count();
            assert_eq!((sent, record.http.header("x-static")), (1, Some("kept")), "{:?}", record.http.headers);
        }
        bridge.finish();
    }
}

#[test]
fn a_header_file_is_read_again() {
    let vault = Vault::with("one");
    let mut server = vault.guard(Script::http());
    let file = Scratch::new("headers");
    file.write("# who we are\n\nAuthorization: Bearer ${TEST_TOKEN}\n");
    let mut command = Command::new(COMMAND);
    command.args([&server.url(), "--log", "trace", "--header-file"]).arg(file.path());
    let mut bridge = Bridge::command(command.env("TEST_TOKEN", "one"));
    bridge.initialize(json!({}));
    must_run_once(&server, &mut bridge, "before");
    // Between two sessions.
    vault.accept("s3cret-two");
    file.write(r#"{"Authorization": "Bearer s3cret-two"}"#);
    restart(&mut server, &mut bridge);
    must_run_once(&server, &mut bridge, "after");
    // In the middle of one.
    vault.accept("s3cret-three");
    file.write("Authorization: Bearer s3cret-three");
    must_run_once(&server, &mut bridge, "later");
    // What is wrong then leaves what there was.
    file.write("Authorization Bearer s3cret-four");
    vault.accept("s3cret-four");
    must_be_refused(&mut bridge, "refused");
    bridge.wait_for_log(0, &["line 1 is not 'Name: value'"]);
    vault.accept("s3cret-three");
    restart(&mut server, &mut bridge);
    must_run_once(&server, &mut bridge, "again");
    must_not_leak(&mut bridge, &["s3cret"]);
    bridge.finish();
}

/// A pipe gives them while somebody writes to it. Nobody does: those there were stay, and no thread waits at the pipe.
#[test]
fn a_header_file_that_is_a_pipe() {
    let vault = Vault::with("one");
    let server = vault.guard(Script::http());
    let pipe = Scratch::new("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe.path(), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
        .expect("the build folder can have pipes");
    // Ends when somebody has opened the other end.
    let write = |token: &str| {
        let (path, text) = (pipe.path().to_owned(), format!("Authorization: Bearer {token}"));
        std::thread::spawn(move || std::fs::write(path, text))
    };
    let writer = write("one");
    let file = pipe.path().to_str().expect("a plain path");
    let mut bridge = Bridge::connected(&[&server.url(), "--header-file", file, "--header-timeout", "200ms"]);
    must_run_once(&server, &mut bridge, "before");
    writer.join().expect("no panic").expect("it was read");
    let threads = |bridge: &mut Bridge| {
        std::fs::read_dir(format!("/proc/{}/task", bridge.process().id())).expect("Linux has /proc").count()
    };
    let begun = threads(&mut bridge);
    for _ in 0..5 {
        let mark = bridge.log_mark();
        bridge.process().signal(rustix::process::Signal::HUP);
        bridge.wait_for_log(mark, &["was not read within 200ms"]);
        bridge.wait_for_log(mark, &["reconnected, new session"]);
    }
    let now = threads(&mut bridge);
    assert!(now <= begun + 1, "{begun} threads have become {now}");
    vault.accept("two");
    let writer = write("two");
    must_run_once(&server, &mut bridge, "after");
    writer.join().expect("no panic").expect("it was read");
    bridge.finish();
}

/// The request fails as without a command, at once, and the headers there are stay.
#[test]
fn a_command_that_fails() {
    let cases = [
        ("echo vault is sealed >&2; echo s3cret; exit 3", "vault is sealed"),
        ("echo 's3cret garbage'", "line 1 is not 'Name: value'"),
        ("echo '{\"Authorization\": [\"s3cret\"]}'", "a value that is not a string"),
        ("echo 'Authorization: s3cret' | head -c 9", "line 1 is not"),
        ("yes 's3cret: s3cret'", "65536 bytes"),
        ("printf 's3cret: \\377'", "UTF-8"),
        ("echo 'Content-Length: 12345'", "set by the transport itself"),
        ("true", "no header"),
        ("no-such-command-anywhere", "not found"),
        ("kill -KILL $$", "SIGKILL"),
        ("yes s3cret >&2", "did not end within 1s"),
    ];
    for (line, said) in cases {
        let vault = Vault::with("one");
        let server = vault.guard(Script::http());
        let sealed = Scratch::new("sealed");
        let line = format!("if [ -e '{}' ]; then {line}; else {}; fi", sealed.path().display(), vault.command());
        let mut bridge = Bridge::connected(&[&server.url(), "--header-command", &line, "--header-timeout", "1s"]);
        must_run_once(&server, &mut bridge, "before");
        sealed.write("");
        vault.accept("two");
        let begun = Instant::now();
        let error = must_be_refused(&mut bridge, "refused");
        assert!(begun.elapsed() < Duration::from_secs(9), "the request waited: {line}");
        assert_eq!((&error["data"]["status"], &error["data"]["challenge"]), (&json!(401), &json!(CHALLENGE)));
        bridge.wait_for_log(0, &["--header-command"]);
        bridge.wait_for_log(0, &[said]);
        assert_eq!(server.executions("refused"), 0);
        vault.accept("one");
        // The server is asked again now and then; a new session is a reason too.
        bridge.process().signal(rustix::process::Signal::HUP);
        bridge.wait_for_log(0, &["reconnected, new session"]);
        must_run_once(&server, &mut bridge, "after");
        assert!(!bridge.stderr().contains("s3cret"), "{}", bridge.stderr());
        bridge.finish();
    }
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let vault = Vault::with("one");
    let server = vault.guard(Script::http());
    let (hang, children) = (Scratch::new("hang"), Scratch::new("children"));
    let line = format!(
        "if [ -e '{}' ]; then sleep 600 & echo $! >> '{}'; wait; else {}; fi",
        hang.path().display(),
        children.path().display(),
        vault.command()
    );
    let mut bridge = Bridge::connected(&[&server.url(), "--header-command", &line, "--header-timeout", "1s"]);
    must_run_once(&server, &mut bridge, "before");
    hang.write("");
    vault.accept("two");
    let begun = Instant::now();
    must_be_refused(&mut bridge, "refused");
    assert!((Duration::from_millis(900)..Duration::from_secs(8)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    bridge.wait_for_log(0, &["did not end within 1s"]);
    let child = children.lines()[0].parse().expect("a process id");
    poll("the command's child is gone", PATIENCE, || (!process::is_alive(child)).then_some(()));
    std::fs::remove_file(hang.path()).expect("it was written");
    vault.give("two");
    bridge.process().signal(rustix::process::Signal::HUP);
    bridge.wait_for_log(0, &["reconnected, new session"]);
    must_run_once(&server, &mut bridge, "after");
    bridge.finish();
}

/// Nobody is logged in when the client starts: its `initialize` fails, and a later one works.
#[test]
fn a_command_that_fails_at_the_start() {
    let vault = Vault::with("one");
    let server = vault.guard(Script::http());
    vault.given.write("");
    let mut bridge = Bridge::start(&[&server.url(), "--header-command", &vault.command()]);
    let initialize = bridge.begin_initialize(json!({}));
    let error = bridge.error(&initialize);
    assert_eq!(error["code"], UNAUTHORIZED, "{error}");
    assert_eq!(vault.runs.lines(), ["run:", "run:401"]);
    bridge.wait_for_log(0, &["check --header-command"]);
    vault.give("one");
    bridge.initialize(json!({}));
    must_run_once(&server, &mut bridge, "after");
    bridge.finish();
}

/// The end of input while the command runs: the bridge ends in time, and the command with it.
#[test]
fn the_end_of_input_while_the_command_runs() {
    let children = Scratch::new("children");
    let server = Script::http().start();
    let line = format!("sleep 600 & echo $! > '{}'; wait", children.path().display());
    let mut bridge = Bridge::start(&[&server.url(), "--header-command", &line]);
    bridge.begin_initialize(json!({}));
    let child = poll("the command runs", PATIENCE, || children.lines().first().and_then(|line| line.parse().ok()));
    bridge.finish();
    poll("the command's child is gone", PATIENCE, || (!process::is_alive(child)).then_some(()));
}

/// `tests/servers/node/bearer.mjs`: the TypeScript SDK behind its own bearer check.
struct Guarded {
    port: Port,
    token: Scratch,
    process: Option<Process>,
    outputs: Vec<process::Lines>,
}

impl Guarded {
    fn start(&mut self) {
        let mut command = Command::new("node");
        command.arg(tests_folder().join("servers/node/bearer.mjs"));
        command.env("SDK_FOLDER", install::node().join("node_modules/@modelcontextprotocol/sdk"));
        command.env("PORT", self.port.number().to_string()).env("TOKEN_FILE", self.token.path());
        let process = self.process.insert(Process::start(&mut command));
        self.outputs.push(process.stdout.clone());
        poll("the guarded server accepts connections", STARTUP, || {
            if let Some(status) = process.exited() {
                process.stderr.ended(PATIENCE);
                panic!("the guarded server ended at its start ({status}):\n{}", process.stderr.text());
            }
            TcpStream::connect(("127.0.0.1", self.port.number())).ok()
        });
    }

    fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    fn runs(&self, mark: &str) -> usize {
        let line = format!("ran {mark}");
        self.outputs.iter().flat_map(process::Lines::all).filter(|(_, said)| *said == line).count()
    }
}

#[test]
fn a_real_server_behind_a_bearer_check() {
    let mut server =
        Guarded { port: Port::reserve(), token: Scratch::new("accepted"), process: None, outputs: Vec::new() };
    server.token.write("s3cret-one");
    server.start();
    let vault = Vault::with("s3cret-one");
    let url = format!("http://127.0.0.1:{}/mcp", server.port.number());
    let mut bridge = Bridge::connected(&[&url, "--header-command", &vault.command(), "--log", "trace"]);
    let call = |bridge: &mut Bridge, mark: &str| bridge.tool(json!({"name": "mark", "arguments": {"mark": mark}}));
    assert_eq!(call(&mut bridge, "before"), "before");
    // The token is replaced while the session goes on.
    server.token.write("s3cret-two");
    vault.give("s3cret-two");
    assert_eq!(call(&mut bridge, "rotated"), "rotated");
    assert_eq!(vault.runs.lines(), ["run:", "run:401"]);
    // And with a restart.
    let mark = bridge.log_mark();
    server.kill();
    bridge.wait_for_log(mark, &["disconnected"]);
    server.token.write("s3cret-three");
    vault.give("s3cret-three");
    let held = begin(&mut bridge, "held");
    server.start();
    assert_eq!(text(&bridge.result(&held)), "held");
    for mark in ["before", "rotated", "held"] {
        assert_eq!(server.runs(mark), 1, "{mark} ran more or less than once");
    }
    must_not_leak(&mut bridge, &["s3cret"]);
    bridge.finish();
}
