//! The bridge under test, driven as an MCP client drives it: lines in, lines out, and the books of both.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::PATIENCE;
use super::process::Process;

/// The protocol version that the tests' client offers.
pub const VERSION: &str = "2025-06-18";

/// `mcp-reconnect URL …` in a process of its own. [`Bridge::finish`] checks what must hold of every run.
pub struct Bridge {
    process: Process,
    start: Instant,
    sent: Vec<(Instant, String)>,
    /// The id of each request sent, as its bytes were, and the method.
    requests: Vec<(String, String)>,
    /// Ids of cancelled requests, which are owed no answer.
    cancelled: Vec<String>,
    /// Answers without an id that the test expects (to lines that were no requests).
    null_answers: usize,
    next: u64,
    finished: bool,
}

/// What of a message decides where it belongs; ids byte for byte.
#[derive(Deserialize)]
struct Envelope<'a> {
    jsonrpc: String,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Bridge {
    /// Starts `mcp-reconnect` with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::command(super::command().args(arguments))
    }

    /// Starts it from a prepared command, with an environment for instance.
    pub fn command(command: &mut Command) -> Self {
        Self {
            process: Process::start(command),
            start: Instant::now(),
            sent: Vec::new(),
            requests: Vec::new(),
            cancelled: Vec::new(),
            null_answers: 0,
            next: 1,
            finished: false,
        }
    }

    /// Starts it and makes the handshake.
    pub fn connected(arguments: &[&str]) -> Self {
        let mut bridge = Self::start(arguments);
        bridge.initialize(json!({}));
        bridge
    }

    /// The handshake with these client capabilities: gives the result of `initialize`.
    pub fn initialize(&mut self, capabilities: Value) -> Value {
        let id = self.begin_initialize(capabilities);
        let result = self.result(&id);
        self.notify("notifications/initialized", json!({}));
        result
    }

    /// Sends `initialize` and waits for nothing.
    pub fn begin_initialize(&mut self, capabilities: Value) -> String {
        let client = json!({"name": "mcp-reconnect-tests", "version": "1"});
        self.request(
            "initialize",
            json!({"protocolVersion": VERSION, "capabilities": capabilities, "clientInfo": client}),
        )
    }

    /// Sends a request under a fresh id, which it gives.
    pub fn request(&mut self, method: &str, params: Value) -> String {
        let id = self.next.to_string();
        self.next += 1;
        self.request_as(&id, method, params);
        id
    }

    /// Sends a request under an id given as JSON text.
    pub fn request_as(&mut self, id: &str, method: &str, params: Value) {
        self.requests.push((id.to_owned(), method.to_owned()));
        self.line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{},"params":{params}}}"#, json!(method)));
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: Value) {
        self.line(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// Cancels a request.
    pub fn cancel(&mut self, id: &str) {
        self.cancelled.push(id.to_owned());
        let id: Value = serde_json::from_str(id).expect("an id");
        self.notify("notifications/cancelled", json!({"requestId": id, "reason": "test"}));
    }

    /// Answers a request of the server.
    pub fn respond(&mut self, request: &Value, result: Value) {
        self.line(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string());
    }

    /// Writes a line as it is.
    pub fn line(&mut self, line: &str) {
        self.sent.push((Instant::now(), line.to_owned()));
        self.process.write(format!("{line}\n").as_bytes());
    }

    /// Writes a line that is no request and waits for its error, which has a null id.
    pub fn refused(&mut self, line: &str) -> Value {
        let from = self.mark();
        self.line(line);
        self.null_answers += 1;
        self.wait_after(from, "an error without an id", |message| {
            message["id"].is_null() && message["error"].is_object()
        })
    }

    /// Notes lines that the test wrote itself and that are answered with an error without an id.
    pub fn expect_refusals(&mut self, times: usize) {
        self.null_answers += times;
    }

    /// Notes a request that the test writes itself with [`Bridge::line`].
    pub fn expect_answer_to(&mut self, id: &str, method: &str) {
        self.requests.push((id.to_owned(), method.to_owned()));
    }

    /// Waits for the answer to a request, whole and as text.
    pub fn answer_text(&self, id: &str, patience: Duration) -> Option<String> {
        self.process.stdout.find(0, patience, |_, line| {
            let envelope: Envelope<'_> = serde_json::from_str(line).ok()?;
            let answers = envelope.method.is_none() && envelope.id.is_some_and(|raw| raw.get() == id);
            answers.then(|| line.to_owned())
        })
    }

    /// Waits for several answers under one id: the client used it more than once.
    pub fn wait_for_answers(&self, id: &str, times: usize) {
        let mut seen = 0;
        let all = self.process.stdout.find(0, PATIENCE, |_, line| {
            let envelope: Envelope<'_> = serde_json::from_str(line).ok()?;
            seen += usize::from(envelope.method.is_none() && envelope.id.is_some_and(|raw| raw.get() == id));
            (seen == times).then_some(())
        });
        assert!(all.is_some(), "{seen} answers under the id {id}");
    }

    /// Waits for the answer to a request.
    pub fn answer(&self, id: &str) -> Value {
        let text = self.answer_text(id, PATIENCE).unwrap_or_else(|| panic!("no answer to the request {id}"));
        serde_json::from_str(&text).expect("JSON")
    }

    /// Waits for the answer to a request, which must be a result.
    pub fn result(&self, id: &str) -> Value {
        let mut answer = self.answer(id);
        assert!(answer.get("result").is_some(), "a result was expected: {answer}");
        answer["result"].take()
    }

    /// Waits for the answer to a request, which must be an error.
    pub fn error(&self, id: &str) -> Value {
        let mut answer = self.answer(id);
        assert!(answer.get("error").is_some(), "an error was expected: {answer}");
        answer["error"].take()
    }

    /// Whether a request has its answer by now.
    pub fn is_answered(&self, id: &str) -> bool {
        self.answer_text(id, Duration::ZERO).is_some()
    }

    /// Sends a request and waits for its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        self.result(&id)
    }

    /// Calls a tool and gives the text of its result.
    pub fn tool(&mut self, params: Value) -> String {
        text(&self.call("tools/call", params))
    }

    /// Waits for a message, among all that came since the start.
    pub fn wait_for(&self, what: &str, condition: impl FnMut(&Value) -> bool) -> Value {
        self.wait_after(0, what, condition)
    }

    /// The number of lines received so far, for [`Bridge::wait_after`].
    pub fn mark(&self) -> usize {
        self.process.stdout.all().len()
    }

    /// Waits for a message among those after a mark.
    pub fn wait_after(&self, mark: usize, what: &str, mut condition: impl FnMut(&Value) -> bool) -> Value {
        self.process
            .stdout
            .find(mark, PATIENCE, |_, line| {
                let message: Value = serde_json::from_str(line).ok()?;
                condition(&message).then_some(message)
            })
            .unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}"))
    }

    /// Waits for a request or notification of the server.
    pub fn wait_for_method(&self, mark: usize, method: &str) -> Value {
        self.wait_after(mark, method, |message| message["method"] == method)
    }

    /// All messages received so far.
    pub fn messages(&self) -> Vec<Value> {
        let parse =
            |(_, line): &(Instant, String)| serde_json::from_str(line).expect("standard output holds JSON only");
        self.process.stdout.all().iter().map(parse).collect()
    }

    /// Messages of a method received so far.
    pub fn messages_of(&self, method: &str) -> Vec<Value> {
        self.messages().into_iter().filter(|message| message["method"] == method).collect()
    }

    /// What it wrote to standard error.
    pub fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    /// Waits until it has written one of `words` to standard error, after line number `from`.
    pub fn wait_for_log(&self, from: usize, words: &[&str]) {
        let is_one = |line: &str| words.iter().any(|words| line.contains(words));
        let found = self.process.stderr.find(from, PATIENCE, |_, line| is_one(line).then_some(()));
        assert!(found.is_some(), "waited {PATIENCE:?} in vain for one of {words:?} on standard error");
    }

    /// The number of lines on standard error so far, for [`Bridge::wait_for_log`].
    pub fn log_mark(&self) -> usize {
        self.process.stderr.all().len()
    }

    /// The process, for signals and `/proc`.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends standard input: the bridge must exit with 0 within a second, and its books must balance.
    pub fn finish(mut self) {
        self.process.close_stdin();
        self.must_exit();
    }

    /// The same; gives all that was said.
    pub fn finish_with_conversation(mut self) -> Conversation {
        self.process.close_stdin();
        self.must_exit();
        Conversation { sent: std::mem::take(&mut self.sent), received: self.process.stdout.all() }
    }

    /// `kill -9`: nothing holds of it any more.
    pub fn kill(mut self) {
        self.process.kill();
        self.finished = true;
    }

    /// Sends SIGTERM: the same as [`Bridge::finish`].
    pub fn terminate(mut self) {
        self.process.signal(rustix::process::Signal::TERM);
        self.must_exit();
    }

    fn must_exit(&mut self) {
        let (status, took) = self.process.wait(PATIENCE).expect("the bridge exits at the end");
        // 900 ms for the goodbye, 100 ms for the log, and what a busy machine takes.
        assert!(took < Duration::from_secs(3), "the bridge took {took:?} to exit");
        assert_eq!(status.code(), Some(0), "exit status: {status}");
        self.balance();
        // Whoever reads the log must not be able to take over the session: HTTP+SSE servers put its id into a URL.
        let log = self.stderr().to_ascii_lowercase();
        assert!(!log.contains("sessionid=") && !log.contains("session_id="), "a session id is logged:\n{log}");
        self.finished = true;
    }

    /// Standard output holds JSON-RPC only; every request has exactly one answer, a cancelled one at most one, and
    /// nothing else is answered.
    fn balance(&self) {
        let mut answers: BTreeMap<String, usize> = BTreeMap::new();
        for (_, line) in self.process.stdout.all() {
            let envelope: Envelope<'_> =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON-RPC ({error}): {line:?}"));
            assert_eq!(envelope.jsonrpc, "2.0", "not JSON-RPC 2.0: {line}");
            if envelope.method.is_none() {
                assert!(envelope.result.is_some() != envelope.error.is_some(), "neither a result nor an error: {line}");
                let id = envelope.id.map_or("null", RawValue::get);
                *answers.entry(id.to_owned()).or_default() += 1;
            }
        }
        let null = answers.remove("null").unwrap_or_default();
        assert_eq!(null, self.null_answers, "answers without an id");
        let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, _) in &self.requests {
            *asked.entry(id).or_default() += 1;
        }
        for (id, times) in &asked {
            let got = answers.remove(*id).unwrap_or_default();
            let cancelled = self.cancelled.iter().filter(|cancelled| cancelled == id).count();
            assert!(got <= *times && got + cancelled >= *times, "{times} requests with the id {id}, {got} answers");
        }
        assert!(answers.is_empty(), "answers to requests that nobody made: {answers:?}");
    }

    /// The whole conversation, for the report of a failure.
    fn transcript(&self) -> String {
        let received = self.process.stdout.all();
        let stderr = self.process.stderr.all();
        let sent = self.sent.iter().map(|(time, line)| (*time, "→", line));
        let received = received.iter().map(|(time, line)| (*time, "←", line));
        let stderr = stderr.iter().map(|(time, line)| (*time, "!", line));
        let mut all: Vec<_> = sent.chain(received).chain(stderr).collect();
        all.sort_by_key(|(time, ..)| *time);
        let show = |(time, sign, line): (Instant, &str, &String)| {
            let line: String = line.chars().take(400).collect();
            format!("{:8.3} {sign} {line}\n", time.duration_since(self.start).as_secs_f64())
        };
        all.into_iter().map(show).collect()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the bridge:\n{}", self.transcript());
        } else {
            assert!(self.finished, "a test must end its bridge with `finish` or `terminate`");
        }
    }
}

/// What a client said and heard, line by line.
#[derive(Clone)]
pub struct Conversation {
    /// What it said, and when, before it was written.
    pub sent: Vec<(Instant, String)>,
    /// What it heard, and when it had read that.
    pub received: Vec<(Instant, String)>,
}

impl Conversation {
    /// All messages in order; true: the client's.
    pub fn messages(&self) -> Vec<(bool, Value)> {
        let sent = self.sent.iter().map(|(at, line)| (*at, true, line));
        let received = self.received.iter().map(|(at, line)| (*at, false, line));
        let mut all: Vec<_> = sent.chain(received).collect();
        all.sort_by_key(|(at, ..)| *at);
        all.into_iter().filter_map(|(_, is_sent, line)| Some((is_sent, serde_json::from_str(line).ok()?))).collect()
    }
}

/// The text of a tool's result.
pub fn text(result: &Value) -> String {
    let content = result["content"].as_array().unwrap_or_else(|| panic!("no content: {result}"));
    content.iter().filter_map(|part| part["text"].as_str()).collect()
}
