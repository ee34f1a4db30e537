//! Real MCP servers, to be killed and restarted on their port.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::port::Port;
use super::process::{Lines, Process};
use super::{NATIVE, PATIENCE, install, poll, scratch_file, tests_folder};

/// How long a server may take to start: an interpreter that loads its libraries, beside many others that do the same.
pub const STARTUP: Duration = Duration::from_secs(60);

/// Which server, over which transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The reference server of the TypeScript SDK, Streamable HTTP: a dead session is a 400.
    EverythingHttp,
    /// The same, HTTP+SSE: a POST to a dead session is never answered.
    EverythingSse,
    /// FastMCP of the Python SDK 1.30, Streamable HTTP: 404 with the id `"server-error"`, CRLF.
    PythonHttp,
    /// The same, HTTP+SSE: `-32602` until it is initialised.
    PythonSse,
    /// The official Rust SDK, Streamable HTTP: 404 in plain text.
    RustHttp,
    /// The same, HTTP+SSE.
    RustSse,
}

impl Kind {
    /// Whether it speaks HTTP+SSE.
    pub fn is_sse(self) -> bool {
        matches!(self, Self::EverythingSse | Self::PythonSse | Self::RustSse)
    }

    /// Whether its event streams carry ids. Then a call whose stream breaks is not lost before the resume is refused: an
    /// unreachable server may be the network's fault.
    pub fn has_event_ids(self) -> bool {
        matches!(self, Self::EverythingHttp | Self::RustHttp)
    }

    /// Parameters of a `tools/call` that gives `text` back.
    pub fn echo(self, text: &str) -> Value {
        match self {
            Self::EverythingHttp | Self::EverythingSse => json!({"name": "echo", "arguments": {"message": text}}),
            _ => json!({"name": "echo", "arguments": {"text": text}}),
        }
    }

    /// Parameters of a `tools/call` that is not safe to repeat, shows `mark` in the journal when it begins, and ends
    /// long after the test. (The first server has no such tool; a mark that its tool ignores is seen all the same, and
    /// that it calls the tool read-only makes no difference to a client that does not trust it.)
    pub fn unsafe_call(self, mark: &str) -> Value {
        match self {
            Self::EverythingHttp | Self::EverythingSse => {
                json!({"name": "trigger-long-running-operation", "arguments": {"duration": 600, "steps": 1, "mark": mark}})
            }
            Self::PythonHttp | Self::PythonSse => json!({"name": "slow", "arguments": {"seconds": 600, "mark": mark}}),
            Self::RustHttp | Self::RustSse => json!({"name": "deploy", "arguments": {"version": mark, "ms": 600_000}}),
        }
    }
}

/// A server in a process of its own, on a port that stays its own. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    /// Which.
    pub kind: Kind,
    port: Port,
    file: PathBuf,
    process: Option<Process>,
    outputs: Vec<Lines>,
}

/// Waits until a server accepts connections; one that ends instead tells why.
pub fn await_start(name: &str, process: &mut Process, port: u16) {
    poll(&format!("{name} accepts connections on its port {port}"), STARTUP, || {
        if let Some(status) = process.exited() {
            process.stderr.ended(PATIENCE);
            panic!("{name} ended at its start ({status}):\n{}", process.stderr.text());
        }
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
}

impl Server {
    /// Reserves a port and starts nothing yet.
    pub fn reserved(kind: Kind) -> Self {
        let file = scratch_file("journal");
        Self { kind, port: Port::reserve(), file, process: None, outputs: Vec::new() }
    }

    /// Starts one.
    pub fn started(kind: Kind) -> Self {
        let mut server = Self::reserved(kind);
        server.start();
        server
    }

    /// Where the bridge finds it.
    pub fn url(&self) -> String {
        let path = if self.kind.is_sse() { "sse" } else { "mcp" };
        format!("http://127.0.0.1:{}/{path}", self.port.number())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Starts it, and waits until it accepts connections.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let process = self.process.insert(Process::start(&mut self.command()));
        self.outputs.push(process.stdout.clone());
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

    /// Sends its process a signal (stop and continue).
    pub fn signal(&self, signal: rustix::process::Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// How often `mark` stands in the journals of all its lives: how often a call was delivered or has run.
    pub fn count(&self, mark: &str) -> usize {
        self.journal().matches(mark).count()
    }

    /// The journals of all its lives.
    pub fn journal(&self) -> String {
        let file = std::fs::read(&self.file).unwrap_or_default();
        let mut text = String::from_utf8_lossy(&file).into_owned();
        for output in &self.outputs {
            text.push_str(&output.text());
        }
        text
    }

    /// The calls that it ran in all its lives, each with the tool's name and arguments. A call is noted as it begins.
    pub fn calls(&self) -> Vec<(String, Value)> {
        let mut text = std::fs::read_to_string(self.calls_file()).unwrap_or_default();
        for output in &self.outputs {
            text.push_str(&output.text());
        }
        let calls = text.lines().filter_map(|line| line.strip_prefix("call ")?.split_once(' '));
        calls.map(|(name, arguments)| (name.to_owned(), serde_json::from_str(arguments).expect("JSON"))).collect()
    }

    fn calls_file(&self) -> PathBuf {
        self.file.with_extension("calls")
    }

    /// Waits until `mark` was seen `times` times.
    pub fn wait_for_mark(&self, mark: &str, times: usize) {
        poll(&format!("{:?} sees {mark} {times} times", self.kind), PATIENCE, || {
            (self.count(mark) >= times).then_some(())
        });
    }

    fn command(&self) -> Command {
        let port = self.port.number().to_string();
        let everything = |transport: &str| {
            let modules = install::node().join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
            let mut command = Command::new("node");
            command.arg("--import").arg(tests_folder().join("servers/node/preload.mjs")).arg(modules).arg(transport);
            command.env("PORT", &port).env("TEST_JOURNAL", &self.file).env("TEST_CALLS", self.calls_file());
            command
        };
        let python = |transport: &str| {
            let mut command = Command::new(install::python());
            command.arg(tests_folder().join("servers/python/server.py"));
            command.args(["--transport", transport, "--port", &port, "--journal"]).arg(&self.file);
            command.arg("--calls").arg(self.calls_file());
            command
        };
        let rust = |transport: &str| {
            let mut command = Command::new(NATIVE);
            command.args(["demo-server", "--transport", transport, "--port", &port, "--journal"]);
            command
        };
        match self.kind {
            Kind::EverythingHttp => everything("streamableHttp"),
            Kind::EverythingSse => everything("sse"),
            Kind::PythonHttp => python("streamable-http"),
            Kind::PythonSse => python("sse"),
            Kind::RustHttp => rust("http"),
            Kind::RustSse => rust("sse"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let (true, Some(process)) = (std::thread::panicking(), &self.process) {
            eprintln!("--- {:?}, standard error:\n{}", self.kind, process.stderr.text());
        }
        let _ = std::fs::remove_file(&self.file);
        let _ = std::fs::remove_file(self.calls_file());
    }
}
