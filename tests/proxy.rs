//! Proxies, names and addresses: a real forward proxy between the built command and real servers.

mod support;

use std::process::Command;

use serde_json::json;
use support::bridge::{Bridge, text};
use support::port::Port;
use support::process::Process;
use support::proxy::Proxy;
use support::servers::{Kind, Server};
use support::tap::Tap;
use support::tls::{Authority, Front, Purpose};
use support::{COMMAND, PATIENCE};

/// Environment variables and their values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// A name that no name server knows (RFC 6761). (Where it reaches a server that speaks no TLS, that is the TypeScript one: the
/// others answer to names of this machine only.)
const NAME: &str = "jarvis.test";
const SECRET: &str = "s3cr3t-of-the-test";
const HTTP_ERROR: i64 = -31007;

/// The bridge, with nothing of this machine's own proxy settings.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(COMMAND);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.args(arguments);
    command
}

fn connected(command: &mut Command) -> Bridge {
    let mut bridge = Bridge::command(command);
    bridge.initialize(json!({}));
    bridge
}

fn url(kind: Kind, scheme: &str, port: u16) -> String {
    format!("{scheme}://{NAME}:{port}/{}", if kind.is_sse() { "sse" } else { "mcp" })
}

fn must_echo(bridge: &mut Bridge, kind: Kind, words: &str) {
    let said = bridge.tool(kind.echo(words));
    assert!(said.contains(words), "{said:?}");
}

/// https: the proxy sees a name and a port and nothing else, and its death and the server's are survived.
fn through_a_tunnel(kind: Kind) {
    let authority = Authority::new("of the test");
    let mut server = Server::started(kind);
    let certified = authority.certify(&[NAME], Purpose::Server);
    let mut front = Front::start(&certified, server.port(), &[]);
    let mut proxy = Proxy::start();
    let url = url(kind, "https", front.port());
    let mut command = command(&[&url, "--ca-cert", authority.file.path(), "-H", &format!("X-Test: {SECRET}")]);
    let mut bridge = connected(command.env("https_proxy", format!("http://{}", proxy.place())));
    must_echo(&mut bridge, kind, "before");

    let mark = bridge.log_mark();
    proxy.down();
    bridge.wait_for_log(mark, &["disconnected", "trying again"]);
    let held = bridge.request("tools/call", kind.echo("held"));
    bridge.wait_for_log(mark, &[&format!("the proxy {} refused the connection", proxy.place())]);
    proxy.up();
    assert!(text(&bridge.result(&held)).contains("held"));

    let mark = bridge.log_mark();
    front.down();
    server.kill();
    bridge.wait_for_log(mark, &["disconnected", "trying again"]);
    let held = bridge.request("tools/call", kind.echo("held again"));
    bridge.wait_for_log(mark, &["made no connection to the server"]);
    server.start();
    front.up();
    assert!(text(&bridge.result(&held)).contains("held again"));

    let requests = front.requests();
    assert!(!requests.is_empty() && requests.iter().all(|line| line.ends_with(SECRET)), "{requests:?}");
    let tunnel = format!("CONNECT {NAME}:{} HTTP/1.1", front.port());
    let seen = proxy.requests();
    assert!(seen.len() >= 2 && seen.iter().all(|line| *line == tunnel), "{seen:?}");
    assert!(!proxy.heard().contains(SECRET), "the proxy has seen the user's header");
    bridge.finish();
}

#[test]
fn through_a_tunnel_http() {
    through_a_tunnel(Kind::RustHttp);
}

#[test]
fn through_a_tunnel_sse() {
    through_a_tunnel(Kind::PythonSse);
}

/// http: every request goes to the proxy with its whole URL; with a password from the environment that is nowhere else.
fn through_a_proxy(kind: Kind) {
    let mut server = Server::started(kind);
    // jarvis:s3cr3t-of-the-test
    let mut proxy = Proxy::demanding(Some("Basic amFydmlzOnMzY3IzdC1vZi10aGUtdGVzdA=="));
    let url = url(kind, "http", server.port());
    let with_password = format!("http://jarvis:${{PROXY_PASSWORD}}@{}", proxy.place());
    let mut command = command(&[&url, "--log", "trace", "--proxy", &with_password]);
    let mut bridge = connected(command.env("PROXY_PASSWORD", SECRET));
    must_echo(&mut bridge, kind, "before");

    let mark = bridge.log_mark();
    proxy.down();
    bridge.wait_for_log(mark, &["disconnected", "trying again"]);
    let held = bridge.request("tools/call", kind.echo("held"));
    proxy.up();
    assert!(text(&bridge.result(&held)).contains("held"));
    server.restart();
    must_echo_eventually(&mut bridge, kind);

    let whole = format!(" http://{NAME}:{}/", server.port());
    let seen = proxy.requests();
    assert!(seen.len() > 4 && seen.iter().all(|line| line.contains(&whole)), "{seen:?}");
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", bridge.process().id())).expect("Linux has /proc");
    assert!(!line.contains(SECRET), "the password is in the process list: {line}");
    assert!(!bridge.stderr().contains(SECRET), "the password is in the log:\n{}", bridge.stderr());
    bridge.finish();
}

/// A call that falls into the restart has an unknown outcome; the next one works.
fn must_echo_eventually(bridge: &mut Bridge, kind: Kind) {
    let during = bridge.request("tools/call", kind.echo("during"));
    bridge.answer(&during);
    must_echo(bridge, kind, "after");
}

#[test]
fn through_a_proxy_http() {
    through_a_proxy(Kind::EverythingHttp);
}

#[test]
fn through_a_proxy_sse() {
    through_a_proxy(Kind::EverythingSse);
}

/// No password or a wrong one: said at once, in both kinds of use, and the password is not repeated.
#[test]
fn a_proxy_that_demands_a_password() {
    let proxy = Proxy::demanding(Some("Basic bm9ib2R5"));
    for scheme in ["http", "https"] {
        let url = url(Kind::RustHttp, scheme, 9);
        for (credentials, words) in
            [("", ["demands a user name and password (407)"]), ("me:s3cr3t-of-the-test@", ["does not accept"])]
        {
            let proxy_url = format!("http://{credentials}{}", proxy.place());
            let mut bridge = Bridge::command(&mut command(&[&url, "--log", "trace", "--proxy", &proxy_url]));
            let id = bridge.begin_initialize(json!({}));
            let error = bridge.error(&id);
            assert_eq!(error["code"], HTTP_ERROR, "{error}");
            let message = error["message"].as_str().expect("a message");
            assert!(words.iter().all(|word| message.contains(word)) && message.contains(&proxy.place()), "{message}");
            assert!(!message.contains(SECRET) && !bridge.stderr().contains(SECRET), "{message}\n{}", bridge.stderr());
            bridge.finish();
        }
    }
}

/// `NO_PROXY` and `--no-proxy` lead past the proxy; `--proxy` leads to it although the environment names none.
#[test]
fn hosts_without_a_proxy() {
    let kind = Kind::EverythingHttp;
    let server = Server::started(kind);
    let proxy = Proxy::start();
    let proxy_url = format!("http://{}", proxy.place());
    let url = url(kind, "http", server.port());
    let here = format!("{NAME}:{}:127.0.0.1", server.port());
    let environment: &[(Variables<'_>, &[&str])] = &[
        (&[("HTTP_PROXY", &proxy_url), ("NO_PROXY", "example.test,.test")], &[]),
        (&[("ALL_PROXY", &proxy_url), ("no_proxy", NAME)], &[]),
        (&[("http_proxy", &proxy_url)], &["--no-proxy", "*"]),
        (&[("http_proxy", &proxy_url), ("NO_PROXY", "example.test")], &["--no-proxy", NAME]),
        (&[("http_proxy", &proxy_url)], &["--proxy", ""]),
        (&[("NO_PROXY", NAME)], &["--proxy", &proxy_url]),
    ];
    for (variables, options) in environment {
        let mut command = command(&[&[url.as_str(), "--resolve", &here], *options].concat());
        let mut bridge = connected(command.envs(variables.iter().copied()));
        must_echo(&mut bridge, kind, "directly");
        assert!(proxy.requests().is_empty(), "{variables:?} {options:?}: {:?}", proxy.requests());
        bridge.finish();
    }
    let mut command = command(&[&url, "--no-proxy", "example.test"]);
    let mut bridge = connected(command.env("HTTP_PROXY", &proxy_url).env("NO_PROXY", NAME));
    must_echo(&mut bridge, kind, "through the proxy");
    assert!(!proxy.requests().is_empty());
    bridge.finish();
}

/// SOCKS5, with names that the proxy looks up.
#[test]
fn through_socks() {
    let kind = Kind::EverythingHttp;
    let mut server = Server::started(kind);
    let proxy = Proxy::start();
    let url = url(kind, "http", server.port());
    let mut command = command(&[&url]);
    let mut bridge = connected(command.env("ALL_PROXY", format!("socks5h://{}", proxy.place())));
    must_echo(&mut bridge, kind, "before");
    server.restart();
    must_echo_eventually(&mut bridge, kind);
    let asked = format!("SOCKS5 {NAME}:{}", server.port());
    assert!(proxy.requests().iter().all(|line| *line == asked), "{:?}", proxy.requests());
    bridge.finish();
}

/// A made-up name that `--resolve` knows, also where the first of its addresses has no server, and also the proxy's.
#[test]
fn names_that_are_not_looked_up() {
    let kind = Kind::EverythingSse;
    let server = Server::started(kind);
    let url = url(kind, "http", server.port());
    for entry in ["127.0.0.1", "[::1],127.0.0.1"] {
        let entry = format!("{NAME}:{}:{entry}", server.port());
        let mut bridge = connected(&mut command(&[&url, "--resolve", &entry]));
        must_echo(&mut bridge, kind, "hello");
        bridge.finish();
    }
    let proxy = Proxy::start();
    let port = proxy.place().rsplit_once(':').unwrap().1.to_owned();
    let proxy_url = format!("http://proxy.test:{port}");
    let entry = format!("proxy.test:{port}:127.0.0.1");
    let mut bridge = connected(&mut command(&[&url, "--resolve", &entry, "--proxy", &proxy_url]));
    must_echo(&mut bridge, kind, "hello");
    bridge.finish();
    assert!(!proxy.requests().is_empty());
}

/// An address of IPv6 in the URL, without TLS and with it.
#[test]
fn addresses_of_ipv6() {
    let kind = Kind::EverythingHttp;
    let server = Server::started(kind);
    let tap = Tap::on("[::1]:0", server.port());
    let mut bridge = connected(&mut command(&[&tap.url("mcp")]));
    must_echo(&mut bridge, kind, "hello");
    assert!(tap.heard().to_lowercase().contains("host: [::1]:"), "{}", tap.heard());
    bridge.finish();

    let authority = Authority::new("of the test");
    let certified = authority.certify(&["::1"], Purpose::Server);
    let front = Front::start(&certified, server.port(), &[("HOST", "::1")]);
    let url = format!("https://[::1]:{}/mcp", front.port());
    let mut bridge = connected(&mut command(&[&url, "--ca-cert", authority.file.path()]));
    must_echo(&mut bridge, kind, "hello");
    bridge.finish();
}

/// What cannot be right: one line, exit code 2, no password in it.
#[test]
fn wrong_options() {
    let closed = Port::reserve();
    let elsewhere = format!("other.test:{}:127.0.0.1", closed.number());
    let cases: &[(Variables<'_>, &[&str], &[&str])] = &[
        (&[], &["--resolve", "jarvis.test"], &["--resolve", "HOST:PORT:ADDRESS"]),
        (&[], &["--resolve", "jarvis.test:443:somewhere"], &["--resolve", "HOST:PORT:ADDRESS"]),
        (&[], &["--resolve", &elsewhere], &["other.test", "jarvis.test:443"]),
        (&[], &["--proxy", "ftp://me:s3cr3t-of-the-test@h:1"], &["proxy", "http://HOST:PORT"]),
        (&[], &["--proxy", "http://${MCP_RECONNECT_TEST_UNSET}@h"], &["--proxy", "MCP_RECONNECT_TEST_UNSET"]),
        (&[("HTTPS_PROXY", "http://me:s3cr3t-of-the-test h")], &[], &["HTTPS_PROXY", "http://HOST:PORT"]),
    ];
    for (variables, options, words) in cases {
        let mut command = command(&[&["https://jarvis.test/mcp"], *options].concat());
        let mut bridge = Process::start(command.envs(variables.iter().copied()));
        let (status, _) = bridge.wait(PATIENCE).unwrap_or_else(|| panic!("{options:?} does not end"));
        let said = bridge.stderr.text();
        assert_eq!(status.code(), Some(2), "{options:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{options:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{options:?}: {said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}
