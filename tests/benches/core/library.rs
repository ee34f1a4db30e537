//! Many connections in one process: memory, throughput, and what they cost while nothing happens.
//!
//! The process that is measured is a child of this program, and so is its server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use mcp_reconnect::{Event, Options, Receiver, Sender, connect};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::report::{self, Verdict};
use crate::stats::Sample;

const CONNECTIONS: [usize; 3] = [1, 100, 1_000];
/// Calls in all at each number of connections, and how often they are made.
const CALLS: usize = 20_000;
const ROUNDS: usize = 5;
/// Longer than the interval of the heartbeat, so that every connection has pinged once.
const IDLE: Duration = Duration::from_secs(31);

/// KB per connection beyond the first.
const AIM: f64 = 100.0;

/// Measures; gives the part of the report.
pub fn measure() -> String {
    let (_server, port) = Process::start(&["serve"]);
    let url = format!("http://127.0.0.1:{port}/mcp");
    let mut rows = String::new();
    let mut verdicts = Vec::new();
    for connections in CONNECTIONS {
        eprintln!("library: {connections} connections");
        let (_library, figures) = Process::start(&["library", &url, &connections.to_string()]);
        let figures: Value = serde_json::from_str(&figures).expect("JSON");
        let number = |name: &str| figures[name].as_f64().expect("a number");
        let mut rates = Sample::default();
        figures["rates"].as_array().expect("a list").iter().filter_map(Value::as_f64).for_each(|rate| rates.push(rate));
        let beyond = (connections > 1).then(|| (number("all") - number("one")) / 1e3 / (connections - 1) as f64);
        let each = beyond.map_or("–".to_owned(), |each| format!("{each:.0} KB"));
        rows += &format!(
            "| {connections} | {:.1} MB | {:.1} MB | {each} | {:.1} MB | {} | {:.2} % |\n",
            number("none") / 1e6,
            number("all") / 1e6,
            number("after") / 1e6,
            rates.show(1.0, 0),
            number("idle") * 100.0,
        );
        if let Some(each) = beyond {
            verdicts.push(Verdict::at_most(
                &format!("{connections} connections"),
                "KB each beyond the first",
                each,
                AIM,
            ));
        }
    }
    format!(
        "### Many connections in one process\n\n\
         The Rust library, all connections to one server, each with a session and one call behind it; resident memory. Then \
         {CALLS} calls of 100 bytes over all of them, one at a time on each; then {} s in which nothing happens but heartbeats, \
         in per cent of one core.\n\n\
         | connections | none yet | all ready | each beyond the first | after the calls | calls/s | CPU while idle |\n\
         |---|---|---|---|---|---|---|\n{rows}\n{}",
        IDLE.as_secs(),
        report::verdicts(&verdicts),
    )
}

/// A child of this program. It ends with this value.
struct Process {
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Gives its first line too.
    fn start(arguments: &[&str]) -> (Self, String) {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a pipe");
        assert!(!line.is_empty(), "a child of the benchmark failed, see its message above");
        (Self { child, _stdout: stdout }, line.trim().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child that is measured: `library URL CONNECTIONS`. Prints its figures as JSON.
pub fn child(arguments: &[String]) {
    let [url, count] = arguments else { panic!("library URL CONNECTIONS") };
    let count: usize = count.parse().expect("a number of connections");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let figures = runtime.block_on(async {
        let none = resident();
        let mut connections = vec![Connection::open(url).await];
        let one = resident();
        while connections.len() < count {
            connections.push(Connection::open(url).await);
        }
        let all = resident();
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            connections = call_all(connections, CALLS / count).await;
            rates.push((CALLS / count * count) as f64 / began.elapsed().as_secs_f64());
        }
        let after = resident();
        let (before, began) = (cpu_time(), Instant::now());
        tokio::time::sleep(IDLE).await;
        let idle = (cpu_time() - before) / began.elapsed().as_secs_f64();
        json!({"none": none, "one": one, "all": all, "after": after, "rates": rates, "idle": idle})
    });
    println!("{figures}");
    // The parent ends this process once it has read that.
    runtime.block_on(std::future::pending::<()>());
}

struct Connection {
    sender: Sender,
    receiver: Receiver,
    next: u64,
}

impl Connection {
    /// With a session and one call behind it.
    async fn open(url: &str) -> Self {
        let (sender, receiver) = connect(Options::new(url)).await.expect("the options are good");
        let mut connection = Self { sender, receiver, next: 1 };
        connection.send(crate::script::INITIALIZE.to_owned()).await;
        connection.answer(0).await;
        connection.send(crate::script::INITIALIZED.to_owned()).await;
        connection.call().await;
        connection
    }

    async fn call(&mut self) {
        let id = self.next;
        self.next += 1;
        self.send(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{}}}}}}"#
        ))
        .await;
        self.answer(id).await;
    }

    async fn send(&self, text: String) {
        self.sender.send(text).await.expect("it is open");
    }

    async fn answer(&mut self, id: u64) {
        let begin = format!(r#"{{"jsonrpc":"2.0","id":{id},"result""#);
        loop {
            match self.receiver.receive().await.expect("it is open") {
                Event::Message(text) if text.starts_with(&begin) => return,
                Event::Message(text) if text.contains("\"error\"") => panic!("{text}"),
                _ => {}
            }
        }
    }
}

async fn call_all(connections: Vec<Connection>, each: usize) -> Vec<Connection> {
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        tasks.spawn(async move {
            for _ in 0..each {
                connection.call().await;
            }
            connection
        });
    }
    tasks.join_all().await
}

/// The resident memory of this process in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// The processor time of this process in seconds, all threads, in steps of nanoseconds.
fn cpu_time() -> f64 {
    fs::read_dir("/proc/self/task")
        .expect("Linux")
        .filter_map(|task| {
            fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok()
        })
        .sum::<f64>()
        / 1e9
}
