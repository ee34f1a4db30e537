//! The official SDKs' clients, each in a program of its own that starts the bridge as its stdio server.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::Process;
use super::servers::STARTUP;
use super::{PATIENCE, RUST_CLIENT, install, tests_folder};

/// Which of the programs, and what it does about the era of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Python SDK 2.3, which probes `server/discover` and falls back.
    PythonAuto,
    /// TypeScript SDK 2.4, the same; it starts its stdio server twice.
    TypeScriptAuto,
    /// The same SDK: MCP 2026-07-28 or nothing.
    TypeScriptPin,
    /// The same SDK as it comes: `initialize`.
    TypeScriptLegacy,
    /// TypeScript SDK 1.32, which knows `initialize` only.
    TypeScriptOne,
    /// Rust SDK 3.11, which probes `server/discover` and falls back.
    RustAuto,
    /// The same, on this repository's library in the place of the bridge.
    RustLibrary,
}

/// A program of `tests/clients`, see there for the language it speaks.
pub struct Client {
    process: Process,
    tags: u64,
}

impl Client {
    /// TypeScript SDK 1.32, `StdioClientTransport`.
    pub fn typescript(bridge: &[&str]) -> Self {
        Self::through(Program::TypeScriptOne, bridge)
    }

    /// Python SDK 1.30, `stdio_client` and `ClientSession`.
    pub fn python_legacy(bridge: &[&str]) -> Self {
        let mut command = Command::new(install::python());
        command.arg(tests_folder().join("clients/python_legacy.py"));
        Self::start(command, bridge)
    }

    /// Python SDK 2.3, `Client`.
    pub fn python_modern(bridge: &[&str]) -> Self {
        Self::through(Program::PythonAuto, bridge)
    }

    /// A program that starts the bridge with these arguments.
    pub fn through(program: Program, bridge: &[&str]) -> Self {
        Self::start(Self::program(program), bridge)
    }

    /// A program that does without the bridge.
    pub fn direct(program: Program, url: &str) -> Self {
        let mut command = Self::program(program);
        Self { process: Process::start(command.arg(url)), tags: 0 }
    }

    fn program(program: Program) -> Command {
        let typescript = |era: &str| {
            let mut command = Command::new("node");
            command.arg(tests_folder().join("clients/typescript_modern.mjs"));
            command.env("SDK_FOLDER", install::node_modern().join("node_modules")).env("ERA", era);
            command
        };
        match program {
            Program::PythonAuto => {
                let mut command = Command::new(install::python_modern());
                command.arg(tests_folder().join("clients/python_modern.py"));
                command
            }
            Program::TypeScriptAuto => typescript("auto"),
            Program::TypeScriptPin => typescript("pin"),
            Program::TypeScriptLegacy => typescript("legacy"),
            Program::RustAuto => Command::new(RUST_CLIENT.expect("the tests have their feature")),
            Program::RustLibrary => {
                let mut command = Self::program(Program::RustAuto);
                command.env("TRANSPORT", "library");
                command
            }
            Program::TypeScriptOne => {
                let mut command = Command::new("node");
                command.arg(tests_folder().join("clients/typescript.mjs"));
                command.env("SDK_FOLDER", install::node().join("node_modules/@modelcontextprotocol/sdk"));
                command
            }
        }
    }

    fn start(mut command: Command, bridge: &[&str]) -> Self {
        command.arg(super::program()).args(bridge);
        Self { process: Process::start(&mut command), tags: 0 }
    }

    /// Waits for the handshake, and gives the server's name.
    pub fn connected(&self) -> String {
        self.handshake()["name"].as_str().expect("a server has a name").to_owned()
    }

    /// Waits for the handshake, and gives what the client knows of the server.
    pub fn handshake(&self) -> Value {
        let is_end = |line: &Value| line.get("connected").is_some() || line.get("refused").is_some();
        let mut line = self.wait_within(STARTUP, 0, "the handshake", is_end);
        assert!(line.get("refused").is_none(), "the client could not connect: {line}");
        line["connected"].take()
    }

    /// Waits for the client to say that it cannot connect, and why.
    pub fn refused(mut self) -> Value {
        let mut line = self.wait_within(STARTUP, 0, "a refusal", |line| line.get("refused").is_some());
        self.process.wait(PATIENCE).expect("the client program ends");
        line["refused"].take()
    }

    /// The number of results so far, for [`Client::changed`].
    pub fn mark(&self) -> usize {
        self.process.stdout.all().len()
    }

    /// Waits until the client was told after `mark` that the server's tools changed.
    pub fn changed(&self, mark: usize) {
        self.wait_for(mark, "the news that the tools changed", |line| line["changed"] == "tools");
    }

    /// The number of lines on standard error so far, for [`Client::wait_for_log`].
    pub fn log_mark(&self) -> usize {
        self.process.stderr.all().len()
    }

    /// Waits until the bridge has written one of `words` to standard error, which the client passes on.
    pub fn wait_for_log(&self, from: usize, words: &[&str]) {
        let is_one = |line: &str| words.iter().any(|words| line.contains(words));
        let found = self.process.stderr.find(from, PATIENCE, |_, line| is_one(line).then_some(()));
        assert!(found.is_some(), "waited {PATIENCE:?} in vain for one of {words:?} on standard error");
    }

    /// Lists the tools.
    pub fn tools(&mut self) -> Value {
        let tag = self.begin(json!({"do": "tools"}));
        self.end(tag)["tools"].take()
    }

    /// Begins a call; `params` as of `tools/call`.
    pub fn begin_call(&mut self, params: &Value) -> u64 {
        self.begin(json!({"do": "call", "name": params["name"], "arguments": params["arguments"]}))
    }

    /// Calls a tool and gives the result's text.
    pub fn call(&mut self, params: &Value) -> Value {
        let tag = self.begin_call(params);
        self.end(tag)["text"].take()
    }

    /// Begins a call and cancels nothing yet; see [`Client::cancel`].
    pub fn begin_tool(&mut self, name: &str, arguments: Value) -> u64 {
        self.begin(json!({"do": "call", "name": name, "arguments": arguments}))
    }

    /// Calls a tool and gives all that its end says.
    pub fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let tag = self.begin_tool(name, arguments);
        self.end(tag)
    }

    /// Cancels a call of this client.
    pub fn cancel(&mut self, call: u64) {
        self.begin(json!({"do": "cancel", "of": call}));
        let end = self.end(call);
        assert_eq!(end["cancelled"], true, "{end}");
    }

    /// The user says yes to one question, which may come later.
    pub fn answer(&mut self) {
        self.begin(json!({"do": "answer"}));
    }

    /// Subscribes to changes of the tools and of these resources, in the way of the era.
    pub fn listen(&mut self, uris: &[&str]) -> Value {
        let tag = self.begin(json!({"do": "listen", "uris": uris}));
        self.end(tag)
    }

    /// The progress that the client was told of for a call.
    pub fn progress(&self, call: u64) -> Vec<f64> {
        let of = |line: &Value| (line["tag"] == call).then(|| line["progress"].as_f64()).flatten();
        self.lines(0).iter().filter_map(of).collect()
    }

    /// Waits for a line after `mark`.
    pub fn wait_for_line(&self, mark: usize, what: &str, condition: impl FnMut(&Value) -> bool) -> Value {
        self.wait_for(mark, what, condition)
    }

    /// How many lines after `mark` say this.
    pub fn count(&self, mark: usize, condition: impl Fn(&Value) -> bool) -> usize {
        self.lines(mark).iter().filter(|line| condition(line)).count()
    }

    fn lines(&self, mark: usize) -> Vec<Value> {
        let lines = self.process.stdout.all();
        lines.iter().skip(mark).filter_map(|(_, line)| serde_json::from_str(line).ok()).collect()
    }

    fn begin(&mut self, mut command: Value) -> u64 {
        self.tags += 1;
        command["tag"] = json!(self.tags);
        self.process.write(format!("{command}\n").as_bytes());
        self.tags
    }

    /// Waits for a result.
    pub fn end(&self, tag: u64) -> Value {
        let is_end = |line: &Value| line["tag"] == tag && line.get("progress").is_none();
        self.wait_for(0, &format!("result {tag}"), is_end)
    }

    /// Whether a result has come.
    pub fn has_ended(&self, tag: u64) -> bool {
        self.count(0, |line| line["tag"] == tag && line.get("progress").is_none()) > 0
    }

    /// Leaves: the program must end well, and nothing may have failed in it before.
    pub fn finish(self) {
        for (_, line) in self.process.stdout.all() {
            let is_bad = ["failed", "closed", "ended"].iter().any(|word| line.starts_with(&format!("{{\"{word}\":")));
            assert!(!is_bad, "the client says {line}");
        }
        self.leave();
    }

    /// Leaves: the program must end well, whatever failed in it before.
    pub fn leave(mut self) {
        self.process.close_stdin();
        let (status, _) = self.process.wait(PATIENCE).expect("the client program ends");
        assert!(status.success(), "the client program ended with {status}");
    }

    fn wait_for(&self, mark: usize, what: &str, condition: impl FnMut(&Value) -> bool) -> Value {
        self.wait_within(PATIENCE, mark, what, condition)
    }

    fn wait_within(
        &self,
        patience: Duration,
        mark: usize,
        what: &str,
        mut condition: impl FnMut(&Value) -> bool,
    ) -> Value {
        let found = self.process.stdout.find(mark, patience, |_, line| {
            let line: Value = serde_json::from_str(line).ok()?;
            condition(&line).then_some(line)
        });
        found.unwrap_or_else(|| panic!("waited {patience:?} in vain for {what}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- the client:\n{}\n--- its standard error:\n{}",
                self.process.stdout.text(),
                self.process.stderr.text()
            );
        }
    }
}
