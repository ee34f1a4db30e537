//! Many connections lose one server at once: over sockets, what the engine's own test shows with a model of the network. In one
//! process, and each in a process of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use mcp_reconnect::{Event, HttpOptions, Options, Receiver, Sender, connect};
use serde_json::json;
use tokio::time::timeout;

use super::support::bridge::{Bridge, text};
use super::support::port::Port;
use super::support::process::Process;
use super::support::script::Script;
use super::support::servers::await_start;
use super::support::{RUST_SERVER, poll, scratch_file};

const CONNECTIONS: usize = 200;
/// Each takes some processor time and memory; `HERD_PROCESSES=500` for more (`just herd`).
const PROCESSES: usize = 60;
/// So many of them start and end at a time.
const AT_A_TIME: usize = 20;
/// How long the server is away.
const AWAY: Duration = Duration::from_secs(5);
/// For all of them together, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection whose session is ready.
async fn connected(url: &str) -> (Sender, Receiver) {
    let options = Options::new(url).http(HttpOptions::default().no_proxy());
    let (sender, mut receiver) = connect(options).await.expect("valid options");
    let params =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    sender.send(message.to_string()).await.expect("open");
    until(&mut receiver, |event| matches!(event, Event::Message(_))).await;
    sender.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await.expect("open");
    (sender, receiver)
}

/// Times in their order, in words.
fn spread(times: &[Duration]) -> String {
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_millis();
    format!("(ms): first {}, 10 % {}, half {}, 90 % {}, last {}", at(0), at(10), at(50), at(90), at(100))
}

async fn until(receiver: &mut Receiver, mut condition: impl FnMut(&Event) -> bool) {
    let found = async { while !condition(&receiver.receive().await.expect("open")) {} };
    timeout(PATIENCE, found).await.expect("it comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_from_one_restart() {
    let mut server = Script::http().start();
    let url = server.url();
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        all.push(connected(&url).await);
    }
    tokio::task::block_in_place(|| server.wait_for("GET", CONNECTIONS));
    let restarted = tokio::task::block_in_place(|| {
        server.restart();
        Instant::now()
    });
    // Each calls as soon as it can, and has its answer.
    for (number, (sender, _)) in all.iter().enumerate() {
        let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "mark", "arguments": {"mark": number.to_string()}}});
        sender.send(call.to_string()).await.expect("open");
    }
    let mut lost = 0;
    for (number, (_, receiver)) in all.iter_mut().enumerate() {
        until(receiver, |event| match event {
            Event::Message(text) if text.contains("\"id\":2") => {
                // A call that met the end of the old server may have run there.
                lost += usize::from(text.contains("-31001"));
                assert!(text.contains(&format!("\"text\":\"{number}\"")) || text.contains("-31001"), "{text}");
                true
            }
            _ => false,
        })
        .await;
    }
    let begun = server.records_of("initialize").split_off(CONNECTIONS);
    let mut times: Vec<_> = begun.iter().map(|record| record.http.at.saturating_duration_since(restarted)).collect();
    times.sort();
    assert!(times.len() >= CONNECTIONS, "{} of {CONNECTIONS} came back", times.len());
    eprintln!(
        "{} sessions of {CONNECTIONS} connections, {lost} outcomes unknown; back after {}",
        times.len(),
        spread(&times)
    );
    for (sender, mut receiver) in all {
        sender.close().await;
        while receiver.receive().await.is_some() {}
    }
}

/// Many bridges, each a process, before one real server that is killed and away for five seconds. A call of each, made meanwhile, is held,
/// answered and run once, in one new session of each. The server tells of each session as it begins.
#[test]
fn all_processes_come_back_from_one_restart() {
    let processes = std::env::var("HERD_PROCESSES").map_or(PROCESSES, |text| text.parse().expect("a number"));
    let (port, journal) = (Port::reserve(), scratch_file("journal"));
    let start = || {
        let mut command = Command::new(RUST_SERVER.expect("the tests have their feature"));
        command.args(["--port", &port.number().to_string(), "--journal"]).arg(&journal);
        let mut process = Process::start(&mut command);
        await_start("the server", &mut process, port.number());
        process
    };
    let mut server = start();
    // By a name: one on the same machine is asked more often than so many would ask it.
    let url = format!("http://herd.test:{}/mcp", port.number());
    let resolve = format!("herd.test:{}:127.0.0.1", port.number());
    let options = ["--resolve", &resolve, "--log", "warn"];
    let begun = Instant::now();
    let mut all: Vec<Bridge> = Vec::new();
    while all.len() < processes {
        let mut some: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                let mut bridge = Bridge::start(&[&[url.as_str()], &options[..]].concat());
                let initialize = bridge.begin_initialize(json!({}));
                (bridge, initialize)
            })
            .collect();
        for (bridge, initialize) in &mut some {
            bridge.result(initialize);
            bridge.notify("notifications/initialized", json!({}));
        }
        all.extend(some.into_iter().map(|(bridge, _)| bridge));
    }
    let sessions = |server: &Process| {
        let said = server.stdout.all().into_iter();
        said.filter(|(_, line)| line == "session").map(|(at, _)| at).collect::<Vec<_>>()
    };
    poll("each has a session", PATIENCE, || (sessions(&server).len() == processes).then_some(()));
    let started = begun.elapsed();
    server.kill();
    let killed = Instant::now();
    let calls: Vec<_> = all
        .iter_mut()
        .enumerate()
        .map(|(number, bridge)| {
            bridge.request("tools/call", json!({"name": "append", "arguments": {"mark": format!("held-{number}")}}))
        })
        .collect();
    // How long it is away is what this is about.
    std::thread::sleep(AWAY.saturating_sub(killed.elapsed()));
    server = start();
    let restarted = Instant::now();
    let (mut unknown, mut memory) = (0, 0);
    for (number, (bridge, call)) in all.iter_mut().zip(&calls).enumerate() {
        // A call that meets the end of the old server may have run there.
        let answer = poll("it is answered", PATIENCE, || bridge.answer_text(call, Duration::from_secs(1)));
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        if answer["error"]["code"] == -31001 {
            unknown += 1;
        } else {
            assert_eq!(text(&answer["result"]), format!("appended: held-{number}"));
        }
        memory += resident(bridge.process().id());
    }
    poll("each is back", PATIENCE, || (sessions(&server).len() >= processes).then_some(()));
    let times: Vec<_> = sessions(&server).iter().map(|at| at.saturating_duration_since(restarted)).collect();
    assert_eq!(times.len(), processes, "some began more than one session");
    let runs = std::fs::read_to_string(&journal).expect("it ran some");
    for number in 0..processes {
        let times = runs.lines().filter(|line| *line == format!("append held-{number}")).count();
        assert!(times <= 1, "{number} ran {times} times");
    }
    let _ = std::fs::remove_file(&journal);
    eprintln!(
        "{processes} processes, started in {:.1} s, {:.1} MB each; {unknown} outcomes unknown; back after {}",
        started.as_secs_f64(),
        memory as f64 / processes as f64 / 1024.0,
        spread(&times)
    );
    while !all.is_empty() {
        let mut some = all.split_off(all.len().saturating_sub(AT_A_TIME));
        for bridge in &mut some {
            bridge.process().close_stdin();
        }
        some.into_iter().for_each(Bridge::finish);
    }
    eprintln!("the whole took {:.1} s", begun.elapsed().as_secs_f64());
}

/// Resident memory of a process that it shares with nobody, in kilobytes.
fn resident(id: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).expect("Linux has it");
    let private = rollup.lines().filter_map(|line| line.strip_prefix("Private_")?.split_once(':'));
    private.filter_map(|(_, value)| value.trim().trim_end_matches(" kB").parse::<u64>().ok()).sum()
}
