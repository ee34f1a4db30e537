//! A server of HTTP/2 that floods, resets, and stands still. Each call is answered, in bounded memory, and the next one works.

mod support;

use std::net::TcpStream;
use std::process::Command;

use serde_json::json;
use support::bridge::{Bridge, text};
use support::port::Port;
use support::process::Process;
use support::servers::STARTUP;
use support::tls::{Authority, Certified, Purpose};
use support::{poll, tests_folder};

const MIB: usize = 1 << 20;

/// `tests/servers/node/http2-hostile.mjs`.
struct Hostile {
    port: Port,
    process: Process,
    authority: Authority,
    /// Its files are there as long as this.
    _certified: Certified,
}

impl Hostile {
    fn start(variables: &[(&str, &str)]) -> Self {
        let authority = Authority::new("right");
        let certified = authority.certify(&["127.0.0.1"], Purpose::Server);
        let port = Port::reserve();
        let mut command = Command::new("node");
        command.arg(tests_folder().join("servers/node/http2-hostile.mjs")).env("PORT", port.number().to_string());
        command.env("CERT", certified.certificate.path()).env("KEY", certified.key.path());
        let mut process = Process::start(command.envs(variables.iter().copied()));
        poll("the server accepts connections", STARTUP, || {
            assert!(process.exited().is_none(), "it ended at its start:\n{}", process.stderr.text());
            TcpStream::connect(("127.0.0.1", port.number())).ok()
        });
        Self { port, process, authority, _certified: certified }
    }

    fn bridge(&self, options: &[&str]) -> Bridge {
        let url = format!("https://127.0.0.1:{}/mcp", self.port.number());
        Bridge::start(&[&[&url, "--ca-cert", self.authority.file.path()], options].concat())
    }

    /// How often a call of this name came.
    fn calls(&self, name: &str) -> usize {
        let line = format!("tools/call {name}");
        self.process.stdout.all().iter().filter(|(_, said)| *said == line).count()
    }
}

fn peak(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux has /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().expect("a number") * 1024
}

/// What it does in the place of an answer, and whether the call has one all the same.
#[test]
fn floods_and_resets() {
    let server = Hostile::start(&[]);
    let mut bridge = server.bridge(&["--request-timeout", "3s"]);
    bridge.initialize(json!({}));
    let pid = bridge.process().id();
    let before = peak(pid);
    for (name, codes) in [
        ("plain", &[][..]),
        ("continuation", &[-31001]),
        ("continuation-empty", &[-31001]),
        ("hpack", &[-31001]),
        ("settings", &[]),
        ("pings", &[]),
        ("settings-endless", &[-31001, -31003]),
        ("data-empty", &[-31001, -31003]),
        ("window-updates", &[-31001, -31003]),
        ("window-overflow", &[-31001, -31003]),
        ("reset-cancel", &[-31001]),
        ("resets-of-others", &[-31001]),
        ("frame-too-large", &[-31001]),
        ("frame-unknown", &[]),
        ("not-http2", &[-31001]),
        ("reset-refused", &[-31001]),
        ("goaway", &[-31001, -31003]),
    ] {
        let call = bridge.request("tools/call", json!({"name": name}));
        let answer = bridge.answer(&call);
        match (codes, answer["error"]["code"].as_i64()) {
            ([], None) => assert_eq!(text(&answer["result"]), name),
            (codes, code) => assert!(code.is_some_and(|code| codes.contains(&code)), "{name}: {answer}"),
        }
        poll("the server has told of the call", STARTUP, || (server.calls(name) > 0).then_some(()));
        assert!(peak(pid) < before + 100 * MIB, "{name}: {} MB", peak(pid) / MIB);
        let after = format!("after-{name}");
        let call = bridge.request("tools/call", json!({"name": after}));
        assert_eq!(text(&bridge.result(&call)), after);
        // A server that says of a request that it has not looked at it (RFC 9113, section 8.7) is asked three times.
        let most = if ["reset-refused", "goaway"].contains(&name) { 3 } else { 1 };
        assert!((1..=most).contains(&server.calls(name)), "{name} was sent {} times", server.calls(name));
    }
    bridge.finish();
}

/// The connection lives and takes nothing any more: no stream has room for the body of a request. A ping finds out, and what comes then
/// has a connection of its own: the next ping is answered, and so is a call. (Without traffic for some seconds the other connection would
/// be left in any case.)
#[test]
fn a_window_of_zero() {
    let server = Hostile::start(&[]);
    let options = ["--heartbeat", "1s", "--heartbeat-timeout", "3s", "--request-timeout", "9s", "--log", "debug"];
    let mut bridge = server.bridge(&options);
    bridge.initialize(json!({}));
    let call = bridge.request("tools/call", json!({"name": "zero-window"}));
    assert_eq!(text(&bridge.result(&call)), "zero-window");
    let call = bridge.request("tools/call", json!({"name": "stuck"}));
    let error = bridge.error(&call);
    assert!([-31001, -31003].contains(&error["code"].as_i64().unwrap_or_default()), "{error}");
    assert_eq!(server.calls("stuck"), 0);
    let call = bridge.request("tools/call", json!({"name": "after"}));
    assert_eq!(text(&bridge.result(&call)), "after");
    assert_eq!(server.calls("after"), 1);
    let log = bridge.stderr();
    assert_eq!(log.matches("a ping went unanswered").count(), 1, "{log}");
    bridge.finish();
}
