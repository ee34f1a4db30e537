//! A line that loses, delays and reorders packets, before a real server in a network of its own. The kernel of the machine need not
//! be able to do that: its packets go through this program.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::bridge::{Bridge, text};
use super::support::process::Process;
use super::support::servers::STARTUP;
use super::support::{PATIENCE, install, poll, scratch_file, tests_folder};
use super::{in_own_network, ip, run};

const HERE: &str = "10.77.0.1";
const THERE: &str = "10.77.0.2";
const PORT: u16 = 8000;
/// Each way.
const DELAY: Duration = Duration::from_millis(50);
/// Of a packet that others overtake, in addition.
const LATE: Duration = Duration::from_millis(40);
/// In a thousand.
const LOST: u64 = 50;
const OVERTAKEN: u64 = 100;
/// The outcome of a call is unknown.
const UNKNOWN: i64 = -31001;

/// What the line did.
#[derive(Default)]
struct Counts {
    passed: AtomicUsize,
    lost: AtomicUsize,
    overtaken: AtomicUsize,
}

/// The end of a line: an interface whose packets this program reads and writes. It can be given to another network.
fn end(name: &str) -> File {
    /// `struct ifreq` with the flags of `TUNSETIFF`.
    #[repr(C)]
    struct Interface {
        name: [u8; 16],
        flags: u16,
        unused: [u8; 22],
    }
    const TUNSETIFF: rustix::ioctl::Opcode = 0x4004_54ca;
    const IFF_TUN: u16 = 1;
    const IFF_NO_PI: u16 = 0x1000;
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").expect("Linux with TUN");
    let mut interface = Interface { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, unused: [0; 22] };
    interface.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the opcode takes a pointer to a `struct ifreq`, which has this size, and keeps none.
    unsafe {
        let set = rustix::ioctl::Setter::<TUNSETIFF, Interface>::new(interface);
        rustix::ioctl::ioctl(&file, set).expect("an interface in a network of its own");
    }
    file
}

/// Carries packets one way, by a plan that a number decides. The threads end with the test program.
fn carry(mut from: File, mut to: File, mut seed: u64, counts: Arc<Counts>) {
    let (sender, queue) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok(read) = from.read(&mut buffer) {
            // Knuth's generator.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (loss, order) = ((seed >> 33) % 1000, (seed >> 43) % 1000);
            if loss < LOST {
                counts.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let mut due = Instant::now() + DELAY;
            if order < OVERTAKEN {
                counts.overtaken.fetch_add(1, Ordering::Relaxed);
                due += LATE;
            }
            counts.passed.fetch_add(1, Ordering::Relaxed);
            if sender.send((due, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || deliver(&queue, &mut to));
}

/// Gives each packet on when it is due.
fn deliver(queue: &Receiver<(Instant, Vec<u8>)>, to: &mut File) {
    let mut waiting = BinaryHeap::new();
    let mut number = 0_u64;
    loop {
        let left = waiting.peek().map_or(PATIENCE, |Reverse((due, ..)): &Reverse<(Instant, u64, Vec<u8>)>| {
            due.saturating_duration_since(Instant::now())
        });
        match queue.recv_timeout(left) {
            Ok((due, packet)) => {
                number += 1;
                waiting.push(Reverse((due, number, packet)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while waiting.peek().is_some_and(|Reverse((due, ..))| *due <= Instant::now()) {
            let Reverse((_, _, packet)) = waiting.pop().expect("there is one");
            // An interface that is down takes none.
            let _ = to.write_all(&packet);
        }
    }
}

/// A real server at the other end.
struct Remote {
    /// Keeps its network.
    network: Process,
    journal: PathBuf,
    server: Option<Process>,
    counts: Arc<Counts>,
}

impl Remote {
    fn new() -> Self {
        let network = Process::run("unshare", &["--net", "cat"]);
        let remote = Self { network, journal: scratch_file("journal"), server: None, counts: Arc::default() };
        poll("it has a network of its own", PATIENCE, || {
            let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
            (of(&remote.network.id().to_string())? != of("self")?).then_some(())
        });
        let (here, there) = (end("here"), end("there"));
        ip(&["link", "set", "there", "netns", &remote.network.id().to_string()]);
        ip(&["addr", "add", HERE, "peer", THERE, "dev", "here"]);
        ip(&["link", "set", "here", "up"]);
        for arguments in [
            &["addr", "add", THERE, "peer", HERE, "dev", "there"][..],
            &["link", "set", "there", "up"],
            &["link", "set", "lo", "up"],
        ] {
            run(remote.inside("ip").args(arguments));
        }
        let copy = |file: &File| file.try_clone().expect("a descriptor");
        carry(copy(&here), copy(&there), 1, remote.counts.clone());
        carry(there, here, 2, remote.counts.clone());
        remote
    }

    /// A command in its network.
    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.network.id())).arg(program);
        command
    }

    fn start(&mut self) {
        let mut command = self.inside(install::python());
        command.arg(tests_folder().join("servers/python/server.py"));
        command.args(["--transport", "streamable-http", "--host", THERE, "--port", &PORT.to_string(), "--journal"]);
        let process = self.server.insert(Process::start(command.arg(&self.journal)));
        let address: SocketAddr = format!("{THERE}:{PORT}").parse().expect("an address");
        poll("the server accepts connections", STARTUP, || {
            assert!(process.exited().is_none(), "it ended at its start:\n{}", process.stderr.text());
            TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()
        });
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.server.take().expect("it runs").kill();
    }

    fn count(&self, mark: &str) -> usize {
        let journal = std::fs::read_to_string(&self.journal).unwrap_or_default();
        journal.lines().filter(|line| line.rsplit(' ').next() == Some(mark)).count()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.journal);
    }
}

/// How many segments TCP sent again, by the kernel's own count for the network.
fn retransmitted(snmp: &str) -> u64 {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "RetransSegs");
    found.and_then(|(_, value)| value.parse().ok()).expect("a number")
}

/// One packet in twenty is lost, one in ten comes after later ones, each takes 50 ms: calls side by side, a server that is killed
/// among them and comes back, and calls again. Each is answered once, and none runs twice.
#[test]
fn a_line_that_loses_delays_and_reorders() {
    install::python();
    if !in_own_network("line::a_line_that_loses_delays_and_reorders") {
        return;
    }
    let mut remote = Remote::new();
    remote.start();
    let mut bridge = Bridge::connected(&[&format!("http://{THERE}:{PORT}/mcp"), "--log", "debug"]);
    let begin = |bridge: &mut Bridge, mark: &str, tool: &str| {
        let padding = "x".repeat(4000);
        let arguments = match tool {
            "append" => json!({"mark": mark, "padding": padding}),
            _ => json!({"mark": mark, "seconds": 600}),
        };
        (bridge.request("tools/call", json!({"name": tool, "arguments": arguments})), mark.to_owned())
    };
    let mut before = Vec::new();
    for number in 0..40 {
        before.push(begin(&mut bridge, &format!("before-{number}"), "append"));
        // Some side by side, and not all at once.
        if number % 8 == 7 {
            bridge.answer(&before[number].0);
        }
    }
    for (call, mark) in &before {
        assert_eq!(text(&bridge.result(call)), format!("appended: {mark}"));
        assert_eq!(remote.count(mark), 1, "{mark}");
    }
    let running: Vec<_> = (0..4).map(|number| begin(&mut bridge, &format!("running-{number}"), "slow")).collect();
    poll("the calls run", PATIENCE, || running.iter().all(|(_, mark)| remote.count(mark) == 1).then_some(()));
    let mark = bridge.log_mark();
    remote.kill();
    bridge.wait_for_log(mark, &["trying again"]);
    let held: Vec<_> = (0..20).map(|number| begin(&mut bridge, &format!("held-{number}"), "append")).collect();
    remote.start();
    for (call, mark) in &held {
        assert_eq!(text(&bridge.result(call)), format!("appended: {mark}"));
        assert_eq!(remote.count(mark), 1, "{mark}");
    }
    for (call, mark) in &running {
        assert_eq!(bridge.error(call)["code"], UNKNOWN, "{mark}");
        assert_eq!(remote.count(mark), 1, "{mark} was sent twice");
    }
    let counts = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let here = retransmitted(&std::fs::read_to_string("/proc/net/snmp").expect("Linux has /proc"));
    let there = retransmitted(&run(remote.inside("cat").arg("/proc/net/snmp")));
    let Counts { passed, lost, overtaken } = &*remote.counts;
    let (passed, lost, overtaken) = (counts(passed), counts(lost), counts(overtaken));
    eprintln!("{passed} packets passed, {overtaken} of them late, {lost} lost; sent again: {here} here, {there} there");
    assert!(lost > 5 && overtaken > 5 && here > 0 && there > 0, "the line was too good");
    bridge.finish();
}
