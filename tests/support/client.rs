//! The official SDKs' clients, each in a program of its own that starts the bridge as its stdio server.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::Process;
use super::servers::STARTUP;
use super::{COMMAND, PATIENCE, install, tests_folder};

/// A program of `tests/clients`, see there for the language it speaks.
pub struct Client {
    process: Process,
    tags: u64,
}

impl Client {
    /// TypeScript SDK, `StdioClientTransport`.
    pub fn typescript(bridge: &[&str]) -> Self {
        let mut command = Command::new("node");
        command.arg(tests_folder().join("clients/typescript.mjs"));
        command.env("SDK_FOLDER", install::node().join("node_modules/@modelcontextprotocol/sdk"));
        Self::start(command, bridge)
    }

    /// Python SDK 1.30, `stdio_client` and `ClientSession`.
    pub fn python_legacy(bridge: &[&str]) -> Self {
        let mut command = Command::new(install::python());
        command.arg(tests_folder().join("clients/python_legacy.py"));
        Self::start(command, bridge)
    }

    /// Python SDK 2.3, `Client`.
    pub fn python_modern(bridge: &[&str]) -> Self {
        let mut command = Command::new(install::python_modern());
        command.arg(tests_folder().join("clients/python_modern.py"));
        Self::start(command, bridge)
    }

    fn start(mut command: Command, bridge: &[&str]) -> Self {
        command.arg(COMMAND).args(bridge);
        Self { process: Process::start(&mut command), tags: 0 }
    }

    /// Waits for the handshake, and gives the server's name.
    pub fn connected(&self) -> String {
        let line = self.wait_within(STARTUP, 0, "the handshake", |line| line.get("connected").is_some());
        line["connected"]["name"].as_str().expect("a server has a name").to_owned()
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

    fn begin(&mut self, mut command: Value) -> u64 {
        self.tags += 1;
        command["tag"] = json!(self.tags);
        self.process.write(format!("{command}\n").as_bytes());
        self.tags
    }

    /// Waits for a result.
    pub fn end(&self, tag: u64) -> Value {
        self.wait_for(0, &format!("result {tag}"), |line| line["tag"] == tag)
    }

    /// Whether a result has come.
    pub fn has_ended(&self, tag: u64) -> bool {
        let lines = self.process.stdout.all();
        lines.iter().any(|(_, line)| serde_json::from_str(line).is_ok_and(|line: Value| line["tag"] == tag))
    }

    /// Leaves: the program must end well, and nothing may have failed in it before.
    pub fn finish(mut self) {
        for (_, line) in self.process.stdout.all() {
            assert!(!line.contains(r#""failed""#) && !line.contains(r#""closed""#), "the client says {line}");
        }
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
