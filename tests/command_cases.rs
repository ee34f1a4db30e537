//! The cases of `tests/cases/command.json`, which the npm package's command passes too
//! (`host/node/test/command.test.mjs`).

mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::json;
use support::fault::Fault;
use support::http::{Next, Reply};
use support::process::{Lines, Process};
use support::script::{Outcome, Script};
use support::{PATIENCE, is_component, tests_folder};

/// The end comes within a second; the rest is for a machine that is busy installing what other tests need.
const END: Duration = Duration::from_secs(10);

/// How many cases run side by side.
const WORKERS: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    server: Option<String>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    decodes: bool,
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    steps: Vec<Step>,
    exit: i32,
    #[serde(default)]
    stdout: Vec<Pattern>,
    #[serde(default)]
    stderr: Vec<Pattern>,
    #[serde(default)]
    only: BTreeMap<String, usize>,
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    absent_stderr: Vec<String>,
}

/// What the scripted server answers in place of what is good.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    on: String,
    #[serde(default)]
    when: BTreeMap<String, Pattern>,
    #[serde(default)]
    times: Option<usize>,
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    bytes: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Initialize,
    Send(String),
    Bytes(String),
    Await(Pattern),
    AwaitStderr(Pattern),
    Signal(String),
    Server(String),
}

/// What a line must be like.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Pattern {
    One(String),
    All(Vec<String>),
}

impl Pattern {
    /// Whether it is the help for an option that a component does not have.
    fn is_refused(&self) -> bool {
        matches!(self, Self::One(text) if text.split(' ').next().is_some_and(is_refused))
    }
}

/// The options that the command has as a native program only.
#[rustfmt::skip]
const REFUSED: [&str; 14] = [
    "--on-event", "--event", "--event-timeout", "--header-command", "--header-file", "--header-timeout", "--ca-cert",
    "--client-cert", "--client-key", "--proxy", "--no-proxy", "--resolve",
    "--all-attempts", "--name",
];

fn is_refused(arg: &str) -> bool {
    REFUSED.contains(&arg.split('=').next().unwrap_or(arg))
}

#[test]
fn cases() {
    let text =
        std::fs::read_to_string(tests_folder().join("cases/command.json")).expect("the cases are in the repository");
    let mut cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    if is_component() {
        // A component hears of no signals, and has neither files, processes nor a network of its own. It refuses
        // what would need them.
        cases.retain(|case| !case.steps.iter().any(|step| matches!(step, Step::Signal(_))));
        // Its runtimes decode nothing.
        cases.retain(|case| !case.decodes);
        cases.retain(|case| {
            !case.args.iter().any(|arg| is_refused(arg)) && !case.stdout.iter().any(Pattern::is_refused)
        });
        cases.extend(REFUSED.map(Case::refused));
    }
    let next = AtomicUsize::new(0);
    let failed = std::thread::scope(|scope| {
        let worker = || {
            let mut failed = Vec::new();
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case.run())) {
                    let what = panic.downcast_ref::<String>().and_then(|text| text.lines().next());
                    failed.push(format!("{}: {}", case.name, what.unwrap_or("see above")));
                }
            }
            failed
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "{} of {} cases failed, see above: {failed:#?}", failed.len(), cases.len());
}

impl Case {
    /// An option that a component cannot have, refused in one line.
    fn refused(option: &str) -> Self {
        Self {
            name: format!("{option} in a component"),
            server: None,
            rules: Vec::new(),
            decodes: false,
            args: vec![option.into(), "x".into(), "http://example.test/mcp".into()],
            env: BTreeMap::new(),
            steps: Vec::new(),
            exit: 2,
            stdout: Vec::new(),
            stderr: vec![Pattern::One(format!("mcp-reconnect: '{option}' is not there: "))],
            only: BTreeMap::new(),
            absent: Vec::new(),
            absent_stderr: Vec::new(),
        }
    }

    fn run(&self) {
        let name = &self.name;
        let mut server = self.server.as_deref().map(|kind| server(kind, self.rules.clone()));
        let url = server.as_ref().map_or_else(String::new, |server| server.url());
        let mut command = support::command();
        command
            .args(self.args.iter().map(|text| text.replace("{url}", &url)))
            .envs(self.env.iter().map(|(name, value)| (name, value.replace("{url}", &url))));
        let mut process = Process::start(&mut command);
        let (mut out, mut err) = (0, 0);
        let mut asked = false;
        for step in &self.steps {
            match step {
                Step::Initialize => initialize(name, &mut process, &mut out),
                Step::Send(line) => process.write(format!("{}\n", filled(line)).as_bytes()),
                Step::Bytes(hex) => process.write(&bytes(hex)),
                Step::Await(pattern) => wait(name, &process.stdout, &process.stderr, &mut out, pattern),
                Step::AwaitStderr(pattern) => wait(name, &process.stderr, &process.stderr, &mut err, pattern),
                Step::Signal(signal) => {
                    asked |= matches!(&signal[..], "TERM" | "INT");
                    process.signal(self::signal(signal));
                }
                Step::Server(what) => {
                    let server = server.as_mut().expect("the case has a server");
                    match &what[..] {
                        "up" => server.up(),
                        "down" => server.down(),
                        "forget" => server.forget_sessions(),
                        other => panic!("{name}: what is {other}?"),
                    }
                }
            }
        }
        if !asked {
            process.close_stdin();
        }
        let (status, took) = process.wait(PATIENCE).unwrap_or_else(|| panic!("{name}: it does not end"));
        self.judge(status.code(), took, &process);
    }

    fn judge(&self, status: Option<i32>, took: Duration, process: &Process) {
        let name = &self.name;
        let said = format!("{}--- stderr\n{}", process.stdout.text(), process.stderr.text());
        // A component has no exit codes but 0 and 1.
        let exit = if is_component() { self.exit.min(1) } else { self.exit };
        assert_eq!(status, Some(exit), "{name}: the exit code\n{said}");
        assert!(self.steps.is_empty() || took < END, "{name}: it took {took:?} to end");
        let wrong_usage = BTreeMap::from([("stdout".to_owned(), 0), ("stderr".to_owned(), 1)]);
        let only = if self.exit == 2 { &wrong_usage } else { &self.only };
        for (stream, lines, patterns) in
            [("stdout", process.stdout.all(), &self.stdout), ("stderr", process.stderr.all(), &self.stderr)]
        {
            if let Some(&count) = only.get(stream) {
                assert_eq!(lines.len(), count, "{name}: lines on {stream}\n{said}");
            }
            let mut rest = lines.iter();
            for pattern in patterns {
                let found = rest.any(|(_, line)| pattern.matches(line));
                assert!(found, "{name}: {stream} has no line {pattern:?} (after those before it)\n{said}");
            }
        }
        for text in &self.absent {
            assert!(!said.contains(text), "{name}: {text} is shown\n{said}");
        }
        for text in &self.absent_stderr {
            assert!(!process.stderr.text().contains(text), "{name}: {text} is on stderr\n{said}");
        }
    }
}

fn server(kind: &str, rules: Vec<Rule>) -> Fault {
    let script = match kind {
        "http" | "reserved" => Script::http(),
        "sse" => Script::sse(),
        "stateless" => Script::http().stateless(),
        other => panic!("what is a server {other}?"),
    };
    let rules: Vec<_> =
        rules.into_iter().map(|rule| (AtomicUsize::new(rule.times.unwrap_or(usize::MAX)), rule)).collect();
    let script = script.on(move |call, reply| {
        let applies = |rule: &Rule| {
            let has =
                |(name, pattern): (&String, &Pattern)| call.http.header(name).is_some_and(|text| pattern.matches(text));
            (rule.on == "*" || rule.on == call.kind) && rule.when.iter().all(has)
        };
        let take = |left: &AtomicUsize| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        match rules.iter().find(|(left, rule)| applies(rule) && take(left)) {
            Some((_, rule)) => Outcome::Done(rule.answer(&call.message["id"].to_string(), reply)),
            None => Outcome::Good(reply),
        }
    });
    if kind == "reserved" { script.reserve() } else { script.start() }
}

impl Rule {
    fn answer(&self, id: &str, reply: Reply) -> Next {
        let body = if self.bytes.is_empty() { self.body.replace("{id}", id).into_bytes() } else { bytes(&self.bytes) };
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        reply.send(self.status, &headers, &body)
    }
}

fn initialize(name: &str, process: &mut Process, from: &mut usize) {
    let client = json!({"name": "cases", "version": "1"});
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    process.write(format!("{request}\n").as_bytes());
    let answer = Pattern::All([r#""id":1"#, r#""result""#].map(str::to_owned).into());
    wait(name, &process.stdout, &process.stderr, from, &answer);
    process.write(format!("{}\n", json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).as_bytes());
}

/// Waits for a line; each is looked at once.
fn wait(name: &str, lines: &Lines, stderr: &Lines, from: &mut usize, pattern: &Pattern) {
    let found = lines.find(*from, PATIENCE, |index, line| pattern.matches(line).then_some(index));
    let Some(index) = found else {
        panic!("{name}: no line {pattern:?}\n{}--- stderr\n{}", lines.text(), stderr.text());
    };
    *from = index + 1;
}

impl Pattern {
    /// Whether a line contains it, or each of several.
    fn matches(&self, line: &str) -> bool {
        let patterns = match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::All(patterns) => patterns,
        };
        patterns.iter().all(|pattern| {
            let mut rest = line;
            // `*` is any text.
            pattern.split('*').all(|piece| match rest.split_once(piece) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
        })
    }
}

/// `{x*N}` is N times x.
fn filled(line: &str) -> String {
    let Some((before, rest)) = line.split_once("{x*") else { return line.to_owned() };
    let (times, after) = rest.split_once('}').expect("{x*N}");
    format!("{before}{}{after}", "x".repeat(times.parse().expect("a number")))
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn signal(name: &str) -> Signal {
    match name {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "USR1" => Signal::USR1,
        other => panic!("what is the signal {other}?"),
    }
}
