//! The same bytes of a server through the transports of the official SDKs and through the bridge: what one of them hands on and
//! another does not is a difference. Each is explained in `tests/cases/differential.json`, and an explanation without a difference
//! fails too.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::bridge::Bridge;
use support::http::{Next, Reply, Request, Server, Stream};
use support::process::prepared;
use support::{PATIENCE, install, tests_folder};

/// For what a client reads of an answer before the next one is given.
const READING: Duration = Duration::from_secs(5);
/// What the payloads of the case have in them, and nothing else that goes to the client.
const MARK: &str = "mark";
/// The codes of the bridge's own errors.
const OWN_CODES: std::ops::RangeInclusive<i64> = -31099..=-31000;

const INITIALIZED: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#;

#[derive(Deserialize)]
#[serde(untagged)]
enum Pieces {
    One(String),
    Many(Vec<String>),
}

/// See `tests/cases/README.md`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    sse: bool,
    status: Option<u16>,
    #[serde(rename = "type")]
    content_type: Option<String>,
    body: Option<Pieces>,
    split: Option<usize>,
    #[serde(default)]
    cut: bool,
    get: Option<Vec<String>>,
    resume: Option<String>,
    endpoint: Option<String>,
    posted: Option<String>,
    /// How many messages the bridge hands on.
    bridge: usize,
    /// Why the transports of the SDKs hand on something else.
    typescript: Option<String>,
    python: Option<String>,
}

/// Where a client is in a case.
#[derive(Default)]
struct State {
    /// The call's id, as JSON.
    id: String,
    /// How many of the streams that the case has have been read to their end, or left.
    read: usize,
    resumed: bool,
    stream: Option<Stream>,
    /// The stream of notifications of Streamable HTTP.
    listening: bool,
}

struct Shared {
    cases: Vec<Case>,
    states: Mutex<BTreeMap<String, State>>,
    changed: Condvar,
}

impl Shared {
    /// Changes what is known of a client.
    fn update<T>(&self, key: &str, change: impl FnOnce(&mut State) -> T) -> T {
        let mut states = self.states.lock().expect("no panic while locked");
        let result = change(states.entry(key.to_owned()).or_default());
        self.changed.notify_all();
        result
    }

    /// Waits for a condition, for a while: a client may have given up.
    fn wait(&self, key: &str, condition: impl Fn(&State) -> bool) {
        let states = self.states.lock().expect("no panic while locked");
        drop(self.changed.wait_timeout_while(states, READING, |states| !states.get(key).is_some_and(&condition)));
    }

    fn serve(&self, port: u16, request: &Request, reply: Reply) -> Next {
        // /NUMBER/CLIENT/…
        let mut path = request.target.splitn(4, ['/', '?']).skip(1);
        let number = path.next().and_then(|text| text.parse::<usize>().ok());
        let (Some(case), Some(client)) = (number.and_then(|number| self.cases.get(number)), path.next()) else {
            return reply.empty(404);
        };
        let (key, message) = (format!("/{}/{client}", number.unwrap_or_default()), request.json());
        let method = message["method"].as_str().unwrap_or_default();
        if case.sse {
            let is_message = path.next().is_some_and(|rest| rest.contains("session=1"));
            return self.serve_sse(case, &key, port, request, &message, is_message, reply);
        }
        match (request.method.as_str(), method) {
            ("GET", _) if request.header("last-event-id").is_some() => {
                let (Some(resume), false) = (&case.resume, self.update(&key, |state| state.resumed)) else {
                    return reply.empty(405);
                };
                let stream = reply.events(&[]);
                stream.raw(&self.filled(resume, &key));
                stream.end_and_wait(READING);
                self.update(&key, |state| {
                    state.read += 1;
                    state.resumed = true;
                });
                None
            }
            ("GET", _) => {
                let Some(pieces) = &case.get else { return reply.empty(405) };
                let stream = reply.events(&[]);
                self.update(&key, |state| state.listening = true);
                self.wait(&key, |state| !state.id.is_empty());
                for piece in pieces {
                    stream.raw(&self.filled(piece, &key));
                }
                self.update(&key, |state| state.stream = Some(stream));
                None
            }
            ("POST", "initialize") => {
                let result = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{INITIALIZED}}}"#, message["id"]);
                let headers = [("content-type", "application/json"), ("mcp-session-id", "one")];
                reply.send(200, &headers, result.as_bytes())
            }
            ("POST", "tools/call") => {
                if case.get.is_some() {
                    self.wait(&key, |state| state.listening);
                }
                self.update(&key, |state| state.id = message["id"].to_string());
                self.answer(case, &key, reply)
            }
            ("POST", _) if !message["id"].is_null() && !method.is_empty() => {
                let streams = 1 + usize::from(case.resume.is_some());
                // A ping may be about the connection, before anything is resumed.
                if method != "tools/list" {
                    return reply.json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": {}}));
                }
                self.wait(&key, |state| state.read >= streams && (case.get.is_none() || state.stream.is_some()));
                reply.json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": []}}))
            }
            ("POST", _) => reply.empty(202),
            _ => reply.empty(200),
        }
    }

    /// What the case is about.
    fn answer(&self, case: &Case, key: &str, reply: Reply) -> Next {
        let mut headers = Vec::new();
        headers.extend(case.content_type.as_deref().map(|kind| ("content-type", kind)));
        let status = case.status.unwrap_or(200);
        let Some(body) = &case.body else {
            let next = reply.send(status, &headers, b"");
            self.update(key, |state| state.read += 1);
            return next;
        };
        let stream = reply.open(status, &headers);
        self.write(body, case.split, key, &stream);
        if case.cut {
            drop(stream);
        } else {
            stream.end_and_wait(READING);
        }
        self.update(key, |state| state.read += 1);
        None
    }

    fn write(&self, body: &Pieces, split: Option<usize>, key: &str, stream: &Stream) {
        let pieces = match body {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        };
        for piece in pieces {
            let bytes = self.filled(piece, key);
            for part in bytes.chunks(split.unwrap_or(usize::MAX)) {
                stream.raw(part);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "all that there is to know of a request")]
    fn serve_sse(
        &self,
        case: &Case,
        key: &str,
        port: u16,
        request: &Request,
        message: &Value,
        is_message: bool,
        reply: Reply,
    ) -> Next {
        let on_stream = |write: &dyn Fn(&Stream)| {
            self.update(key, |state| state.stream.as_ref().map(write));
        };
        let event = |result: &str| {
            let text = format!(
                "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}\n\n",
                message["id"]
            );
            on_stream(&|stream| stream.raw(text.as_bytes()));
        };
        match (request.method.as_str(), message["method"].as_str().unwrap_or_default()) {
            ("GET", _) => {
                let stream = reply.events(&[]);
                let host = format!("127.0.0.1:{port}");
                let endpoint = case.endpoint.as_deref().unwrap_or("event: endpoint\ndata: {path}\n\n");
                let endpoint = endpoint.replace("{path}", &format!("{key}/message?session=1"));
                let endpoint = endpoint.replace("{origin}", &format!("http://{host}")).replace("{host}", &host);
                let endpoint = endpoint.replace("{port}", &port.to_string());
                let endpoint = self.filled(&endpoint, key);
                // At once, so that what is posted there finds the stream.
                self.update(key, |state| {
                    let stream = state.stream.insert(stream);
                    endpoint.chunks(case.split.unwrap_or(usize::MAX)).for_each(|part| stream.raw(part));
                });
                None
            }
            _ if !is_message => reply.empty(405),
            (_, "initialize") => {
                event(INITIALIZED);
                reply.empty(202)
            }
            (_, "tools/call") => {
                self.update(key, |state| state.id = message["id"].to_string());
                // First, so that nobody has to guess whether it still comes when the POST has failed.
                if let Some(body) = &case.body {
                    let pieces = match body {
                        Pieces::One(piece) => std::slice::from_ref(piece),
                        Pieces::Many(pieces) => pieces,
                    };
                    for piece in pieces {
                        for part in self.filled(piece, key).chunks(case.split.unwrap_or(usize::MAX)) {
                            on_stream(&|stream| stream.raw(part));
                        }
                    }
                }
                let posted = self.filled(case.posted.as_deref().unwrap_or("Accepted"), key);
                let kind = case.content_type.as_deref().unwrap_or("text/plain");
                match case.status.unwrap_or(202) {
                    204 => reply.send(204, &[], b""),
                    status => reply.send(status, &[("content-type", kind)], &posted),
                }
            }
            (_, method) if !message["id"].is_null() && !method.is_empty() => {
                event(r#"{"tools":[]}"#);
                reply.empty(202)
            }
            _ => reply.empty(202),
        }
    }

    /// The bytes that a text of a case stands for: a character is a byte.
    fn filled(&self, text: &str, key: &str) -> Vec<u8> {
        let id = self.update(key, |state| state.id.clone());
        let mut text = text
            .replace("{ok}", r#"{"jsonrpc":"2.0","id":{id},"result":{"mark":"answer"}}"#)
            .replace(
                "{note}",
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"mark"}}"#,
            )
            .replace("{id}", &id);
        while let Some((before, rest)) = text.split_once("{x*") {
            let (count, after) = rest.split_once('}').expect("a closing brace");
            text = format!("{before}{}{after}", "x".repeat(count.parse().expect("a number")));
        }
        text.chars().map(|c| u8::try_from(c).expect("a byte")).collect()
    }
}

/// What a client handed on of what the case is about, and the errors that it had.
#[derive(Deserialize)]
struct Outcome {
    messages: Vec<Value>,
    errors: Vec<String>,
}

/// A line of JSON. Half of a surrogate pair, which is JSON and has no place in a Rust text, is written out.
fn parsed<T: DeserializeOwned>(line: &str) -> T {
    serde_json::from_str(line)
        .or_else(|_| serde_json::from_str(&line.replace(r"\ud83e", r"\\ud83e")))
        .unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

impl Outcome {
    fn of_the_case(&self) -> Vec<&Value> {
        let own = |message: &Value| message["error"]["code"].as_i64().is_some_and(|code| OWN_CODES.contains(&code));
        self.messages.iter().filter(|message| message.to_string().contains(MARK) && !own(message)).collect()
    }
}

/// A program with the transports of an SDK.
struct Transports {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Transports {
    fn typescript() -> Self {
        let mut command = Command::new("node");
        command.arg(tests_folder().join("clients/transports.mjs"));
        command.env("SDK_FOLDER", install::node().join("node_modules/@modelcontextprotocol/sdk"));
        Self::start(command)
    }

    fn python() -> Self {
        let mut command = Command::new(install::python());
        command.arg(tests_folder().join("clients/transports.py"));
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child =
            prepared(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, answers }
    }

    fn run(&mut self, url: &str, sse: bool) -> Outcome {
        let stdin = self.child.stdin.as_mut().expect("piped");
        writeln!(stdin, "{}", json!({"url": url, "sse": sse})).expect("it reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("UTF-8");
        parsed(&line)
    }
}

impl Drop for Transports {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bridge(url: &str) -> Outcome {
    let mut bridge = Bridge::start(&[url, "--heartbeat", "off", "--hold-timeout", "1s", "--request-timeout", "5s"]);
    let initialize = bridge.begin_initialize(json!({}));
    if bridge.answer(&initialize)["result"].is_object() {
        bridge.notify("notifications/initialized", json!({}));
        let call = bridge.request("tools/call", json!({"name": "x", "arguments": {}}));
        for _ in 0..2 {
            bridge.call("tools/list", json!({}));
        }
        assert!(bridge.answer_text(&call, PATIENCE).is_some(), "no answer to the call: {url}");
    }
    let messages = bridge.process().stdout.all().iter().map(|(_, line)| parsed(line)).collect();
    bridge.finish();

    Outcome { messages, errors: Vec::new() }
}

/// A message for people; long ones are cut.
fn shown(messages: &[&Value]) -> String {
    let cut = |message: &&Value| message.to_string().chars().take(200).collect::<String>();
    messages.iter().map(cut).collect::<Vec<_>>().join(" | ")
}

#[test]
fn what_the_official_transports_hand_on_is_what_the_bridge_hands_on() {
    let path = tests_folder().join("cases/differential.json");
    let text = std::fs::read_to_string(path).expect("the table is in the repository");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    let count = cases.len();
    let shared = Arc::new(Shared { cases, states: Mutex::default(), changed: Condvar::new() });
    let (port, served) = (support::port::Port::reserve(), shared.clone());
    let number = port.number();
    let mut server = Server::reserved(port, move |request, reply| served.serve(number, &request, reply));
    server.up();
    let url = |case: usize, client: &str| {
        let path = if shared.cases[case].sse { "sse" } else { "mcp" };
        format!("http://127.0.0.1:{number}/{case}/{client}/{path}")
    };
    let begun = Instant::now();
    let (ours, typescript, python) = std::thread::scope(|scope| {
        let with = |name: &'static str, start: fn() -> Transports| {
            let (url, cases) = (&url, &shared.cases);
            scope.spawn(move || {
                let mut transports = start();
                (0..count).map(|case| transports.run(&url(case, name), cases[case].sse)).collect::<Vec<_>>()
            })
        };
        let (typescript, python) = (with("typescript", Transports::typescript), with("python", Transports::python));
        let ours: Vec<_> = (0..count).map(|case| bridge(&url(case, "bridge"))).collect();
        (ours, typescript.join().expect("no panic"), python.join().expect("no panic"))
    });
    eprintln!("{count} cases in {:.1} s", begun.elapsed().as_secs_f64());

    let mut wrong = Vec::new();
    for (number, case) in shared.cases.iter().enumerate() {
        let mut expected = ours[number].of_the_case();
        let ordered = |mut messages: Vec<_>| {
            // Which of two streams is read first is nobody's promise.
            if case.get.is_some() {
                messages.sort_by_key(|message: &&Value| message.to_string());
            }
            messages
        };
        expected = ordered(expected);
        if expected.len() != case.bridge {
            wrong.push(format!("{}: the bridge hands on {}: {}", case.name, expected.len(), shown(&expected)));
        }
        for (sdk, outcome, because) in
            [("typescript", &typescript[number], &case.typescript), ("python", &python[number], &case.python)]
        {
            let theirs = ordered(outcome.of_the_case());
            match because {
                None if theirs != expected => wrong.push(format!(
                    "{}: {sdk} hands on {} [{}], the bridge {} [{}]; its errors: {:?}",
                    case.name,
                    theirs.len(),
                    shown(&theirs),
                    expected.len(),
                    shown(&expected),
                    outcome.errors,
                )),
                Some(because) if theirs == expected => {
                    wrong.push(format!("{}: {sdk} hands on the same, and should not: {because}", case.name));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
