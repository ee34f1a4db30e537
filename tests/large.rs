//! Many large answers at once, and messages as large: each is answered, nothing ends the bridge, and memory is bounded.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use support::http::{Request, Server};

const MIB: usize = 1 << 20;
/// Hundreds of megabytes go through several processes, perhaps on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// How a server sends an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// JSON, its length declared.
    Sized,
    /// JSON in chunks.
    Chunked,
    /// A server-sent event.
    Event,
}

/// Waits until so many have come.
#[derive(Clone)]
struct Meeting(Arc<(Mutex<usize>, Condvar)>, usize);

impl Meeting {
    fn of(count: usize) -> Self {
        Self(Arc::default(), count)
    }

    fn wait(&self) {
        let mut come = self.0.0.lock().unwrap();
        *come += 1;
        self.0.1.notify_all();
        drop(self.0.1.wait_timeout_while(come, PATIENCE, |come| *come < self.1).unwrap());
    }
}

/// A server whose answers to `tools/call` have this size. It begins with them when so many calls have come. An answer to
/// `x/echo` is small, whatever came.
fn server(form: Form, size: usize, calls: usize) -> Server {
    let meeting = Meeting::of(calls);
    let pad = Arc::new("x".repeat(size));
    Server::start(move |request: Request, reply| {
        let head = String::from_utf8_lossy(&request.body[..request.body.len().min(300)]).into_owned();
        let id: String = head
            .split_once("\"id\":")
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
            .unwrap_or_default();
        if request.method != "POST" {
            return reply.empty(405);
        }
        if id.is_empty() {
            return reply.empty(202);
        }
        if head.contains("\"initialize\"") {
            let result =
                r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;
            return reply.text(200, "application/json", &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
        }
        if !head.contains("tools/call") {
            let bytes = request.body.len();
            return reply.text(200, "application/json", &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{bytes}}}"#));
        }
        meeting.wait();
        let (before, after) = (format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"pad":""#), r#""}}"#);
        match form {
            Form::Sized => {
                let body = [before.as_bytes(), pad.as_bytes(), after.as_bytes()].concat();
                reply.send(200, &[("content-type", "application/json")], &body)
            }
            Form::Chunked => {
                let stream = reply.open(200, &[("content-type", "application/json")]);
                stream.raw(before.as_bytes());
                for chunk in pad.as_bytes().chunks(MIB) {
                    stream.raw(chunk);
                }
                stream.raw(after.as_bytes());
                stream.end();
                None
            }
            Form::Event => {
                let stream = reply.events(&[]);
                stream.raw(format!("data: {before}").as_bytes());
                for chunk in pad.as_bytes().chunks(MIB) {
                    stream.raw(chunk);
                }
                stream.raw(format!("{after}\n\n").as_bytes());
                stream.end();
                None
            }
        }
    })
}

/// What a line says, without its content, which is large.
struct Answer {
    bytes: usize,
    error: Option<String>,
}

/// A bridge of whose output only the gist is kept.
struct Bridge {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<(String, Answer)>,
}

impl Bridge {
    fn start(url: &str, options: &[&str]) -> Self {
        let mut command = support::command();
        let command = support::process::prepared(command.arg(url).args(options));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdin = child.stdin.take().expect("piped");
        let stdout = child.stdout.take().expect("piped");
        let (to, answers) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::with_capacity(MIB, stdout);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = std::str::from_utf8(&line).expect("UTF-8");
                let id = text
                    .split_once("\"id\":")
                    .map(|(_, rest)| rest.split([',', '}']).next().unwrap_or_default().to_owned())
                    .unwrap_or_default();
                let error = text.contains("\"error\":").then(|| text.chars().take(600).collect());
                if to.send((id, Answer { bytes: line.len(), error })).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let mut bridge = Self { child, stdin, answers };
        bridge.send(&format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}}"#,
            r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"large","version":"1"}}"#
        ));
        bridge.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        assert!(bridge.answers(1)["0"].error.is_none());
        bridge
    }

    fn send(&mut self, line: &str) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    /// Waits for so many answers.
    fn answers(&mut self, count: usize) -> BTreeMap<String, Answer> {
        let mut answers = BTreeMap::new();
        while answers.len() < count {
            match self.answers.recv_timeout(PATIENCE) {
                Ok((id, answer)) => assert!(answers.insert(id, answer).is_none(), "answered twice"),
                Err(_) => {
                    let end = self.child.try_wait().expect("the child is ours");
                    panic!("{} of {count} answers; the bridge's end: {end:?}", answers.len());
                }
            }
        }
        answers
    }

    /// The most memory that it had, in bytes.
    fn peak(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap_or_default() * 1024
    }

    fn finish(self) {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        let code = support::poll("it exits at the end", PATIENCE, || child.try_wait().expect("the child is ours"));
        assert!(code.success(), "{code}");
    }
}

/// All calls at once; each must have its answer.
fn all_are_answered(form: Form, size: usize, calls: usize, options: &[&str]) {
    let server = server(form, size, calls);
    let mut bridge = Bridge::start(&format!("http://127.0.0.1:{}/mcp", server.port()), options);
    for id in 1..=calls {
        bridge.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"large"}}}}"#));
    }
    for (id, answer) in bridge.answers(calls) {
        assert_eq!(answer.error, None, "{form:?}, {id}");
        assert!(answer.bytes > size);
    }
    eprintln!("{calls} answers of {} MB ({form:?}): {} MB at most", size / MIB, bridge.peak() / MIB);
    bridge.finish();
}

#[test]
fn four_answers_of_60_mb() {
    all_are_answered(Form::Sized, 60 * MIB, 4, &[]);
}

#[test]
fn nine_answers_of_16_mb() {
    all_are_answered(Form::Sized, 16 * MIB, 9, &[]);
}

#[test]
fn twenty_events_of_15_mb() {
    all_are_answered(Form::Event, 15 * MIB, 20, &[]);
}

#[test]
fn twenty_answers_of_40_mb_whose_length_nobody_says() {
    all_are_answered(Form::Chunked, 40 * MIB, 20, &[]);
}

#[test]
fn one_answer_of_140_mb() {
    all_are_answered(Form::Sized, 140 * MIB, 1, &["--max-body-bytes", "512M"]);
    all_are_answered(Form::Chunked, 140 * MIB, 1, &["--max-body-bytes", "512M"]);
    all_are_answered(Form::Event, 140 * MIB, 1, &["--max-event-bytes", "512M"]);
}

#[test]
fn limits_beyond_what_a_component_can_hold() {
    let all = [
        "--max-body-bytes",
        "2G",
        "--max-event-bytes",
        "2G",
        "--max-total-body-bytes",
        "2G",
        "--max-message-bytes",
        "2G",
    ];
    all_are_answered(Form::Chunked, 140 * MIB, 3, &all);
}

#[test]
fn a_thousand_answers_of_300_kb() {
    all_are_answered(Form::Chunked, 300 * 1024, 1000, &[]);
}

/// Those that waited for others must not all go on at once, before any can be told to wait again.
#[test]
fn answers_that_wait_for_each_other_again_and_again() {
    let options = ["--max-total-body-bytes", "40M", "--max-body-bytes", "2M"];
    all_are_answered(Form::Chunked, 1200 * 1024, 300, &options);
    all_are_answered(Form::Event, 1200 * 1024, 300, &["--max-total-body-bytes", "40M", "--max-event-bytes", "2M"]);
}

#[test]
fn a_message_of_140_mb() {
    let server = server(Form::Sized, 0, 0);
    let url = format!("http://127.0.0.1:{}/mcp", server.port());
    let mut bridge = Bridge::start(&url, &["--max-message-bytes", "512M"]);
    let pad = "x".repeat(140 * MIB);
    bridge.send(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x/echo","params":{{"pad":"{pad}"}}}}"#));
    let answers = bridge.answers(1);
    // The queue holds 128 MiB, which is said.
    let error = answers["1"].error.as_deref().expect("an error");
    assert!(error.contains("-31006") && error.contains("max-queue-bytes"), "{error}");
    bridge.finish();
}

/// An id as large as a message comes back with its error: what goes out is as large as what came in.
#[test]
fn an_id_of_100_mb() {
    let server = server(Form::Sized, 0, 0);
    let mut bridge =
        Bridge::start(&format!("http://127.0.0.1:{}/mcp", server.port()), &["--max-message-bytes", "512M"]);
    for _ in 0..2 {
        let id = "x".repeat(140 * MIB);
        bridge.send(&format!(r#"{{"jsonrpc":"2.0","method":"x/echo","id":"{id}"}}"#));
        assert!(bridge.answers(1).values().all(|answer| answer.error.is_some()));
    }
    bridge.finish();
}
