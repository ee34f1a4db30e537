//! Calls without end on the native command, the npm package's and the component at once, while the real server of each is
//! killed every few seconds: nothing is lost, doubled or run twice, and nothing grows.
//!
//! `just soak MINUTES` runs it for so long; without `SOAK_MINUTES` it is a few seconds. How long it is, and when a server is
//! killed, is a schedule and no stand-in for a condition: every call has its answer, whenever it comes.

#[path = "support/history.rs"]
#[allow(dead_code, reason = "it keeps its own books of the conversation")]
mod history;
mod support;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use history::History;
use serde_json::{Value, json};
use support::servers::{Kind, Server};
use support::{NATIVE, npm_package, poll};

/// Calls that are under way at any time.
const WORKERS: u64 = 32;
/// For the last answers: a server may have been killed a moment before.
const LAST: Duration = Duration::from_secs(60);
/// How long a call takes at the server, in milliseconds: some are under way at each kill.
const WORK: u64 = 50;
/// How much more memory, in bytes, and how many more open files a bridge may have at the end than halfway.
const MORE_MEMORY: u64 = 64 << 20;
const MORE_FILES: usize = 64;

/// What runs the bridge.
#[derive(Clone, Copy, Debug)]
enum Host {
    Native,
    Npm,
    Component,
}

impl Host {
    fn command(self) -> Command {
        match self {
            Self::Native => Command::new(NATIVE),
            Self::Npm => {
                let mut command = Command::new("node");
                command.arg(npm_package::build().join("dist/cli.js"));
                command
            }
            Self::Component => Command::new(env!("CARGO_BIN_EXE_stock-wasmtime")),
        }
    }
}

/// What became of the calls.
#[derive(Default)]
struct Books {
    /// Calls without an answer yet.
    pending: HashMap<u64, Instant>,
    calls: u64,
    /// Those with a result.
    done: Vec<u64>,
    /// How long these took, in microseconds.
    took: Vec<u64>,
    /// Errors by their code.
    errors: BTreeMap<i64, u64>,
    /// Answers to nothing that is pending.
    doubled: u64,
    /// All of it in order.
    history: History,
    /// No call is made any more.
    closing: bool,
}

/// A bridge that always has the same number of calls under way.
struct Bridge {
    child: Child,
    books: Arc<Mutex<Books>>,
    /// Lines for it; `None` ends its standard input.
    lines: Sender<Option<String>>,
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn call(kind: Kind, id: u64) -> String {
    let mark = format!("soak-{id}-");
    let params = match kind {
        Kind::RustHttp | Kind::RustSse => json!({"name": "deploy", "arguments": {"version": mark, "ms": WORK}}),
        _ => json!({"name": "append", "arguments": {"mark": mark}}),
    };
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

/// Books a call and gives its line.
fn begin(books: &mut Books, kind: Kind) -> String {
    books.calls += 1;
    let id = books.calls;
    books.pending.insert(id, Instant::now());
    books.history.asked(id, false);
    call(kind, id)
}

impl Bridge {
    fn start(host: Host, server: &Server) -> Self {
        let kind = server.kind;
        let mut command = host.command();
        command.args([&server.url(), "--log", "error"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = support::process::prepared(&mut command).spawn().expect("it starts");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (lines, to_write) = channel::<Option<String>>();
        std::thread::spawn(move || write(stdin, to_write));
        let books = Arc::new(Mutex::new(Books::default()));
        let (book, more) = (books.clone(), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).expect("standard output holds JSON only");
                if message.get("method").is_some() {
                    continue;
                }
                let mut books = lock(&book);
                let id = message["id"].as_u64().unwrap_or(u64::MAX);
                if id == 0 {
                    assert!(message.get("result").is_some(), "{message}");
                    let _ = more.send(Some(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned()));
                    for _ in 0..WORKERS {
                        let _ = more.send(Some(begin(&mut books, kind)));
                    }
                    continue;
                }
                books.history.answered(id, &message);
                let Some(begun) = books.pending.remove(&id) else {
                    books.doubled += 1;
                    continue;
                };
                if let Some(code) = message["error"]["code"].as_i64() {
                    *books.errors.entry(code).or_default() += 1;
                } else {
                    books.done.push(id);
                    books.took.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
                if !books.closing {
                    let _ = more.send(Some(begin(&mut books, kind)));
                }
            }
        });
        let client = json!({"name": "soak", "version": "1"});
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        let first = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let _ = lines.send(Some(first.to_string()));
        Self { child, books, lines }
    }

    /// Resident memory in bytes, and open files.
    fn size(&self) -> (u64, usize) {
        let process = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{process}/status")).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kilobytes: u64 = resident.trim().trim_end_matches(" kB").trim().parse().expect("a number");
        (kilobytes << 10, std::fs::read_dir(format!("{process}/fd")).expect("it runs").count())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(mut stdin: ChildStdin, lines: std::sync::mpsc::Receiver<Option<String>>) {
    while let Ok(Some(line)) = lines.recv() {
        if stdin.write_all(format!("{line}\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// One bridge before one server that is killed again and again. Gives what went wrong.
fn turn(host: Host, kind: Kind, length: Duration, mut random: u64) -> Vec<String> {
    let mut server = Server::started(kind);
    let mut bridge = Bridge::start(host, &server);
    poll("the calls begin", LAST, || (!lock(&bridge.books).done.is_empty()).then_some(()));
    let end = Instant::now() + length;
    let (mut kills, mut halfway) = (0, None);
    while Instant::now() < end {
        // Knuth's generator, for when the next kill comes: after 2 to 5 seconds, in a short turn sooner.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause = length.min(Duration::from_millis(2000 + (random >> 33) % 3000)) / if kills == 0 { 4 } else { 1 };
        std::thread::sleep(pause.min(length / 4));
        server.restart();
        kills += 1;
        if halfway.is_none() && Instant::now() + length / 2 > end {
            halfway = Some(bridge.size());
        }
    }
    lock(&bridge.books).closing = true;
    let started = Instant::now();
    while started.elapsed() < LAST && !lock(&bridge.books).pending.is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (memory, files) = bridge.size();
    let (memory_before, files_before) = halfway.unwrap_or((memory, files));
    let _ = bridge.lines.send(None);
    let code = poll("it exits at the end", LAST, || bridge.child.try_wait().expect("the child is ours"));

    let mut books = lock(&bridge.books);
    let runs = runs(&server.journal());
    let twice = runs.values().filter(|times| **times > 1).count();
    let never = books.done.iter().filter(|id| !runs.contains_key(id)).count();
    let lost = books.pending.len();
    let unknown = books.errors.get(&-31001).copied().unwrap_or_default();
    let (doubled, calls) = (books.doubled, books.calls);
    books.took.sort_unstable();
    let at = |part: usize| books.took.get(books.took.len() * part / 100).copied().unwrap_or_default() as f64 / 1000.0;
    eprintln!(
        "{host:?}, {kind:?}: {calls} calls, {kills} restarts; {lost} lost, {doubled} doubled, {twice} run twice, {unknown} \
         unknown, errors {:?}; ms: median {:.1}, 99 % {:.1}, most {:.1}; memory {} MB (halfway {}), files {files} (halfway \
         {files_before})",
        books.errors,
        at(50),
        at(99),
        books.took.last().copied().unwrap_or_default() as f64 / 1000.0,
        memory >> 20,
        memory_before >> 20,
    );
    let wrong = books.history.judge(|id| Some(runs.get(&id).copied().unwrap_or_default()));
    if let Some(first) = wrong.first() {
        eprintln!("{host:?}, {kind:?}: its history breaks the rules {} times, first: {first}", wrong.len());
    }
    let faults = [
        (!wrong.is_empty(), "its history breaks the rules"),
        (lost > 0, "calls were lost"),
        (doubled > 0, "calls were answered twice"),
        (twice > 0, "calls ran twice"),
        (never > 0, "calls were answered and never ran"),
        (memory > memory_before + memory_before / 2 + MORE_MEMORY, "its memory grows"),
        (files > files_before + MORE_FILES, "its open files grow"),
        (!code.success(), "it did not exit with 0"),
        (kills == 0 || (books.done.len() as u64) < WORKERS, "hardly anything was tried"),
    ];
    faults.iter().filter(|(is, _)| *is).map(|(_, what)| format!("{host:?}, {kind:?}: {what}")).collect()
}

/// How often each call ran, by its number.
fn runs(journal: &str) -> HashMap<u64, usize> {
    let mut runs = HashMap::new();
    for part in journal.split("soak-").skip(1) {
        let (number, _) = part.split_once('-').expect("a mark ends so");
        *runs.entry(number.parse().expect("a number")).or_default() += 1;
    }
    runs
}

#[test]
fn soak() {
    let minutes = std::env::var("SOAK_MINUTES").ok().map(|text| text.parse::<f64>().expect("SOAK_MINUTES is a number"));
    let (kinds, length): (&[Kind], _) = match minutes {
        None => (&[Kind::RustHttp, Kind::RustSse], Duration::from_secs(8)),
        Some(minutes) => (
            &[Kind::RustHttp, Kind::PythonHttp, Kind::RustSse, Kind::PythonSse],
            Duration::from_secs_f64(minutes * 60.0),
        ),
    };
    let length = length / u32::try_from(kinds.len()).expect("few");
    let failures: Vec<String> = std::thread::scope(|scope| {
        let hosts = [Host::Native, Host::Npm, Host::Component].map(|host| {
            scope.spawn(move || {
                let turns =
                    kinds.iter().zip(1..).map(|(kind, seed)| turn(host, *kind, length, seed + host as u64 * 100));
                turns.flatten().collect::<Vec<_>>()
            })
        });
        hosts.into_iter().flat_map(|host| host.join().expect("it does not panic")).collect()
    });
    assert!(failures.is_empty(), "{failures:#?}");
}
