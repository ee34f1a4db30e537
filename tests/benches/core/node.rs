//! The engine under Node: the npm package as it is built, in a child process that does what it is told.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::npm_package;
use crate::script::{self, Answer, CHUNK, Texts};

pub struct Node {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The version of Node.
    pub version: String,
    /// The version of npm's eventsource-parser.
    pub parser_version: String,
}

impl Node {
    pub fn start() -> Self {
        let package = npm_package::build();
        let mut child = Command::new("node")
            .arg(crate::tests_folder().join("benches/core/node.mjs"))
            .arg(package.join("dist/esm/component.js"))
            .arg(concat!(env!("OUT_DIR"), "/parser.wasm"))
            .arg(&package)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node has just built the package");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut node = Self { child, stdin, stdout, version: String::new(), parser_version: String::new() };
        let versions = node.read();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (node.version, node.parser_version) = (text(&versions["node"]), text(&versions["parser"]));
        node
    }

    /// Makes an engine with a session for calls like these.
    pub fn prepare(&mut self, name: &str, answer: Answer, texts: &Texts) {
        let session = json!({
            "initialize": script::INITIALIZE, "initialized": script::INITIALIZED, "result": script::INITIALIZE_RESULT,
        });
        self.order(&json!({
            "order": "calls", "name": name, "session": session, "call": texts.call,
            "answer": String::from_utf8_lossy(&texts.answer), "idAt": texts.id_at,
            "contentType": answer.content_type(), "chunk": CHUNK,
        }));
    }

    /// Makes that many calls; gives nanoseconds and the characters delivered.
    pub fn run(&mut self, name: &str, count: usize) -> (f64, usize) {
        let answer = self.order(&json!({"order": "run", "name": name, "count": count}));
        (number(&answer["nanoseconds"]), number(&answer["bytes"]) as usize)
    }

    pub fn prepare_stream(&mut self, name: &str, stream: &[u8]) {
        self.order(&json!({"order": "stream", "name": name, "text": String::from_utf8_lossy(stream)}));
    }

    /// Parses the stream that often with `parser` (`npm`, `wasm`); gives nanoseconds and the number of events.
    pub fn parse(&mut self, name: &str, parser: &str, chunk: usize, count: usize) -> (f64, usize) {
        let order = json!({"order": "parse", "name": name, "parser": parser, "chunk": chunk, "count": count});
        let answer = self.order(&order);
        (number(&answer["nanoseconds"]), number(&answer["events"]) as usize)
    }

    fn order(&mut self, order: &Value) -> Value {
        writeln!(self.stdin, "{order}").expect("node runs");
        self.read()
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line).expect("node runs");
        assert!(read > 0, "node ended, see its message above");
        serde_json::from_str(&line).expect("node answers in JSON")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}
