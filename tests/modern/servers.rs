//! Real servers that speak MCP 2026-07-28, and real ones that do not, to be killed, restarted and replaced on their port.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::port::Port;
use super::support::process::{Lines, Process};
use super::support::servers::await_start;
use super::support::{PATIENCE, RUST_SERVER, install, poll, scratch_file, tests_folder};

/// Which server. All but the last have the tools of `tests/servers/modern/server.mjs`, some without `route`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Python SDK 2.3: both eras, sessions in the legacy one.
    Python,
    /// fastmcp 4.2 on top of it: both eras, no `subscriptions/listen`.
    FastMcp,
    /// TypeScript SDK 2.4 as it comes: both eras, no sessions and no stream in the legacy one.
    TypeScript,
    /// The same, with `legacy: 'reject'`: MCP 2026-07-28 only.
    TypeScriptOnly,
    /// Rust SDK 3.11: both eras, sessions in the legacy one. It names the versions of both in its answer to `server/discover`.
    Rust,
    /// The same, which takes MCP 2026-07-28 only.
    RustOnly,
    /// Python SDK 1.30: legacy only. It has `echo`, `slow`, `append` and `progress`.
    PythonLegacy,
    /// The reference server of the TypeScript SDK: legacy only, and with tools of its own.
    Everything,
}

impl Kind {
    /// Whether it speaks MCP 2026-07-28 only.
    pub fn is_modern_only(self) -> bool {
        matches!(self, Self::TypeScriptOnly | Self::RustOnly)
    }

    /// Parameters of a `tools/call` that gives `text` back.
    pub fn echo(self, text: &str) -> (&'static str, Value) {
        let argument = if self == Self::Everything { "message" } else { "text" };
        ("echo", json!({argument: text}))
    }

    /// A call that is not safe to repeat, shows `mark` in the journal when it begins, and ends long after the test.
    pub fn slow(self, mark: &str) -> (&'static str, Value) {
        match self {
            Self::Everything => ("trigger-long-running-operation", json!({"duration": 600, "steps": 1, "mark": mark})),
            _ => ("slow", json!({"seconds": 600, "mark": mark})),
        }
    }
}

/// A server in a process of its own, on a port that stays its own. Dropping it kills it.
pub struct Server {
    /// Which; a test may change it while the server is down.
    pub kind: Kind,
    /// More of the command line.
    pub options: Vec<&'static str>,
    port: Port,
    journal: PathBuf,
    process: Option<Process>,
    outputs: Vec<Lines>,
}

impl Server {
    /// Reserves a port and starts nothing yet.
    pub fn reserved(kind: Kind) -> Self {
        let journal = scratch_file("journal");
        Self { kind, options: Vec::new(), port: Port::reserve(), journal, process: None, outputs: Vec::new() }
    }

    /// Starts one.
    pub fn started(kind: Kind) -> Self {
        Self::with(kind, &[])
    }

    /// Starts one with more on its command line.
    pub fn with(kind: Kind, options: &[&'static str]) -> Self {
        let mut server = Self::reserved(kind);
        server.options = options.to_vec();
        server.start();
        server
    }

    /// Where the bridge finds it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port.number())
    }

    /// Starts it, and waits until it accepts connections.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let process = self.process.insert(Process::start(&mut self.command()));
        self.outputs.push(process.stderr.clone());
        await_start(&format!("{:?}", self.kind), process, self.port.number());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// `kill -9`, and a new one on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.start();
    }

    /// `kill -9`, and one of another kind on the same port.
    pub fn replace(&mut self, kind: Kind) {
        self.kill();
        self.kind = kind;
        self.start();
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// SIGTERM, and waits until new connections are refused; it may still be alive.
    pub fn ask_to_end(&mut self) {
        self.signal(Signal::TERM);
        let port = self.port.number();
        poll(&format!("{:?} refuses connections after SIGTERM", self.kind), PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).err()
        });
    }

    /// Waits for the end that was asked for, and gives how long that took from now on.
    pub fn ended(&mut self) -> Duration {
        let mut process = self.process.take().expect("it runs");
        let ended = process.wait(PATIENCE);
        let (_, took) = ended
            .unwrap_or_else(|| panic!("{:?} still runs, {PATIENCE:?} after SIGTERM: something holds it up", self.kind));
        took
    }

    /// How often `mark` stands in the journal of all its lives: how often a call has run, or was delivered.
    pub fn count(&self, mark: &str) -> usize {
        let journal = std::fs::read(&self.journal).unwrap_or_default();
        let journal = String::from_utf8_lossy(&journal).into_owned();
        journal.matches(mark).count()
    }

    /// Waits until `mark` stands in the journal `times` times.
    pub fn wait_for_mark(&self, mark: &str, times: usize) {
        poll(&format!("{:?} notes {mark:?} {times} times", self.kind), PATIENCE, || {
            (self.count(mark) >= times).then_some(())
        });
    }

    fn command(&self) -> Command {
        let port = self.port.number().to_string();
        let typescript = |arguments: &[&str]| {
            let mut command = Command::new("node");
            command.arg(tests_folder().join("servers/modern/server.mjs")).args(["--port", &port, "--journal"]);
            command.arg(&self.journal).args(arguments).args(&self.options);
            command.env("SDK_FOLDER", install::node_modern().join("node_modules"));
            command
        };
        let python = |interpreter: &std::path::Path, program: &str, arguments: &[&str]| {
            let mut command = Command::new(interpreter);
            command.arg(tests_folder().join("servers/python").join(program)).args(["--port", &port, "--journal"]);
            command.arg(&self.journal).args(arguments).args(&self.options);
            command
        };
        match self.kind {
            Kind::Python => python(install::python_modern(), "modern.py", &[]),
            Kind::FastMcp => python(install::python_oauth(), "modern.py", &["--fastmcp"]),
            Kind::TypeScript => typescript(&[]),
            Kind::TypeScriptOnly => typescript(&["--legacy", "reject"]),
            Kind::Rust | Kind::RustOnly => {
                let mut command = Command::new(RUST_SERVER.expect("the tests have their feature"));
                command.args(["--port", &port, "--journal"]).arg(&self.journal);
                command.args((self.kind == Kind::RustOnly).then_some("--only")).args(&self.options);
                command
            }
            Kind::PythonLegacy => python(install::python(), "server.py", &["--transport", "streamable-http"]),
            Kind::Everything => {
                let modules =
                    install::node().join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
                let mut command = Command::new("node");
                command.arg("--import").arg(tests_folder().join("servers/node/preload.mjs")).arg(modules);
                command.arg("streamableHttp").env("PORT", &port).env("TEST_JOURNAL", &self.journal);
                command
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = std::fs::read_to_string(&self.journal).unwrap_or_default();
            eprintln!("--- {:?}, its journal:\n{journal}\n--- its standard error, of each life:", self.kind);
            self.outputs.iter().for_each(|output| eprintln!("{}---", output.text()));
        }
        let _ = std::fs::remove_file(&self.journal);
    }
}
