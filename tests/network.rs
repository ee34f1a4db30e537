//! Networks as they are: names that move and fail, addresses behind which nobody is, lines that lose packets, servers whose queue is
//! full, and machines that stand still. What needs names and lines of its own runs in namespaces of Linux.

#[path = "network/clock.rs"]
mod clock;
#[path = "network/line.rs"]
mod line;
mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use support::bridge::{Bridge, text};
use support::fault::Fault;
use support::namespace::{ip, run};
use support::port::Port;
use support::script::{Outcome, Script};
use support::{PATIENCE, poll, scratch_file};

/// Runs a test of this file again, in a network of its own, with a file of names of its own: true is returned there.
fn in_own_network(test: &str) -> bool {
    // The npm package is built outside.
    support::process::prepared(&mut support::command());
    support::namespace::in_own_network(module_path!(), test)
}

/// `/etc/hosts`, for this network only.
struct Names(PathBuf);

impl Names {
    fn new(text: &str) -> Self {
        let names = Self(scratch_file("hosts"));
        names.are(text);
        run(Command::new("mount").arg("--bind").arg(&names.0).arg("/etc/hosts"));
        names
    }

    fn are(&self, text: &str) {
        std::fs::write(&self.0, text).expect("the build folder is writable");
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn port_of(server: &Fault) -> u16 {
    server.url().rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok()).expect("a port")
}

fn begin(bridge: &mut Bridge, mark: &str) -> String {
    bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": mark}}))
}

fn must_run_once(server: &Fault, bridge: &Bridge, call: &str, mark: &str) {
    assert_eq!(text(&bridge.result(call)), mark);
    assert_eq!(server.executions(mark), 1, "{mark} ran more or less than once");
}

/// Passes connections of an address on to a port of 127.0.0.1.
fn relay(address: SocketAddr, target: u16) {
    let listener = TcpListener::bind(address).expect("the address is free");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { continue };
            pass(client, server);
        }
    });
}

fn pass(client: TcpStream, server: TcpStream) {
    let (from_client, from_server) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    for (mut from, mut to) in [(from_client, server), (from_server, client)] {
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

/// A server that comes back with another address under its name: the name is looked up for each connection.
#[test]
fn a_name_that_moves() {
    if !in_own_network("a_name_that_moves") {
        return;
    }
    let names = Names::new("127.0.0.1 jarvis.test\n");
    let (mut old, new) = (Script::http().start(), Script::http().start());
    let port = port_of(&old);
    relay((Ipv4Addr::new(127, 0, 0, 2), port).into(), port_of(&new));
    let mut bridge = Bridge::connected(&[&format!("http://jarvis.test:{port}/mcp")]);
    let call = begin(&mut bridge, "before");
    must_run_once(&old, &bridge, &call, "before");
    let mark = bridge.log_mark();
    old.down();
    let held = begin(&mut bridge, "held");
    bridge.wait_for_log(mark, &["trying again"]);
    names.are("127.0.0.2 jarvis.test\n");
    must_run_once(&new, &bridge, &held, "held");
    bridge.finish();
}

/// A name that is not there yet, and one that goes away with its server: waited for.
#[test]
fn a_name_that_is_not_found_for_a_while() {
    if !in_own_network("a_name_that_is_not_found_for_a_while") {
        return;
    }
    const NAME: &str = "127.0.0.1 jarvis.test\n";
    let names = Names::new("\n");
    let mut server = Script::http().start();
    let mut bridge = Bridge::start(&[&format!("http://jarvis.test:{}/mcp", port_of(&server))]);
    let initialize = bridge.begin_initialize(json!({}));
    bridge.wait_for_log(0, &["trying again"]);
    names.are(NAME);
    bridge.result(&initialize);
    bridge.notify("notifications/initialized", json!({}));
    let call = begin(&mut bridge, "before");
    must_run_once(&server, &bridge, &call, "before");
    names.are("\n");
    let mark = bridge.log_mark();
    server.down();
    let held = begin(&mut bridge, "held");
    bridge.wait_for_log(mark, &["trying again"]);
    server.up();
    names.are(NAME);
    must_run_once(&server, &bridge, &held, "held");
    bridge.finish();
}

/// The name's first address is one of IPv6 behind which nobody is (a line that only seems to have IPv6): the other one is tried
/// soon, and not when the first has come to nothing.
#[test]
fn an_address_behind_which_nobody_is() {
    if !in_own_network("an_address_behind_which_nobody_is") {
        return;
    }
    let _names = Names::new("2001:db8::9 jarvis.test\n127.0.0.1 jarvis.test\n");
    ip(&["link", "add", "v0", "type", "veth", "peer", "name", "v1"]);
    ip(&["link", "set", "v0", "up"]);
    ip(&["link", "set", "v1", "up"]);
    ip(&["-6", "addr", "add", "2001:db8::1/64", "dev", "v0", "nodad"]);
    // Without one, lookups give no addresses of IPv4.
    ip(&["addr", "add", "192.0.2.1/24", "dev", "v0"]);
    ip(&["-6", "neigh", "add", "2001:db8::9", "lladdr", "02:00:00:00:00:09", "dev", "v0", "nud", "permanent"]);
    let mut server = Script::http().start();
    let port = port_of(&server);
    // So it is: connecting there takes longer than anybody waits.
    let dead: SocketAddr = format!("[2001:db8::9]:{port}").parse().expect("an address");
    let error = TcpStream::connect_timeout(&dead, Duration::from_millis(300)).expect_err("nobody is there");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    let begun = Instant::now();
    let mut bridge = Bridge::connected(&[&format!("http://jarvis.test:{port}/mcp")]);
    let call = begin(&mut bridge, "before");
    must_run_once(&server, &bridge, &call, "before");
    // A connection may take 10 s.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    // The one that is refused there is not made to wait for the other one either.
    let begun = Instant::now();
    let mark = bridge.log_mark();
    server.down();
    let held = begin(&mut bridge, "held");
    bridge.wait_for_log(mark, &["trying again"]);
    server.up();
    must_run_once(&server, &bridge, &held, "held");
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    bridge.finish();
}

/// A line of 4 Mbit/s with room for three packets: the others are lost. Calls with large answers, and a restart among them.
#[test]
fn a_line_that_loses_packets() {
    if !in_own_network("a_line_that_loses_packets") {
        return;
    }
    ip(&["link", "set", "lo", "mtu", "1500"]);
    run(Command::new("tc")
        .args(["qdisc", "add", "dev", "lo", "root", "tbf", "rate", "4mbit", "burst", "3000", "limit", "6000"]));
    let large = "x".repeat(20_000);
    let mut server = Script::http()
        .on(move |call, reply| match call.kind {
            "tools/call" => {
                call.server.executed(call.mark());
                Outcome::Done(call.result(reply, json!({"content": [{"type": "text", "text": large}]})))
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let mut bridge = Bridge::connected(&[&server.url()]);
    let first: Vec<_> = (0..10).map(|number| begin(&mut bridge, &format!("first-{number}"))).collect();
    for call in &first {
        assert_eq!(text(&bridge.result(call)).len(), 20_000);
    }
    let mark = bridge.log_mark();
    server.down();
    // The end of a connection may take long to come over such a line.
    bridge.request("resources/list", json!({}));
    bridge.wait_for_log(mark, &["trying again"]);
    let held: Vec<_> = (0..10).map(|number| begin(&mut bridge, &format!("held-{number}"))).collect();
    server.up();
    for call in &held {
        assert_eq!(text(&bridge.result(call)).len(), 20_000);
    }
    for mark in ["first", "held"] {
        for number in 0..10 {
            assert_eq!(server.executions(&format!("{mark}-{number}")), 1, "{mark}-{number}");
        }
    }
    let said = run(Command::new("tc").args(["-s", "qdisc", "show", "dev", "lo"]));
    let dropped = said.split_once("dropped ").and_then(|(_, rest)| rest.split(',').next()?.parse::<u32>().ok());
    assert!(dropped.is_some_and(|dropped| dropped > 0), "no packet was lost: {said}");
    bridge.finish();
}

/// A server that takes no connections any more, with a queue that is full: connecting is neither refused nor done. It is waited for.
#[test]
fn a_full_accept_queue() {
    let mut server = Script::http().start();
    let front = Port::reserve();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a TCP socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, front.number()));
    socket.bind(&address.into()).expect("the port is ours");
    socket.listen(1).expect("the port is ours");
    let listener = TcpListener::from(socket);
    let fill = || {
        let mut waiting = Vec::new();
        while let Ok(connection) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(connection);
        }
        waiting
    };
    let waiting = fill();
    let mut bridge = Bridge::start(&[&format!("http://127.0.0.1:{}/mcp", front.number())]);
    let initialize = bridge.begin_initialize(json!({}));
    let pid = bridge.process().id();
    poll("it waits for a connection", PATIENCE, || is_connecting(pid, front.number()).then_some(()));
    drop(waiting);
    let target = port_of(&server);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) {
                pass(client, server);
            }
        }
    });
    bridge.result(&initialize);
    bridge.notify("notifications/initialized", json!({}));
    let call = begin(&mut bridge, "after");
    must_run_once(&server, &bridge, &call, "after");
    server.restart();
    // Connections that the old one closed are found out by what may be sent twice.
    let list = bridge.request("tools/list", json!({}));
    bridge.result(&list);
    let call = begin(&mut bridge, "again");
    must_run_once(&server, &bridge, &call, "again");
    bridge.finish();
}

/// Whether a process has a connection to a port under way (`SYN_SENT`).
fn is_connecting(pid: u32, port: u16) -> bool {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("Linux has /proc");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|remote| remote.ends_with(&format!(":{port:04X}"))) && fields.next() == Some("02")
    })
}

/// The bridge itself stands still, as in a machine that is too busy, while an answer comes and its heartbeat falls due: the answer is
/// taken, and nothing is lost.
#[test]
fn a_bridge_that_stood_still() {
    let (answer, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let server = Script::http()
        .on(move |call, reply| {
            if call.kind == "tools/call" {
                gate.lock().expect("no panic").recv_timeout(PATIENCE).expect("the bridge stands still");
            }
            Outcome::Good(reply)
        })
        .start();
    let options = ["--heartbeat", "500ms", "--heartbeat-timeout", "500ms", "--heartbeat-strict", "--log", "debug"];
    let mut bridge = Bridge::connected(&[&[server.url().as_str()], &options[..]].concat());
    for round in ["one", "two"] {
        let call = begin(&mut bridge, round);
        server.wait_until("the call is there", |records| {
            records.iter().any(|record| record.message["params"]["arguments"]["mark"] == round).then_some(())
        });
        let pid = bridge.process().id();
        bridge.process().signal(Signal::STOP);
        poll("it stands still", PATIENCE, || {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.contains(") T ").then_some(())
        });
        answer.send(()).expect("the server waits");
        // That the bridge's own clocks run out meanwhile is what this is about: heartbeat and timeout, and a little.
        std::thread::sleep(Duration::from_millis(1200));
        bridge.process().signal(Signal::CONT);
        must_run_once(&server, &bridge, &call, round);
    }
    assert_eq!(server.records_of("initialize").len(), 1, "the session was given up: {}", bridge.stderr());
    bridge.finish();
}
