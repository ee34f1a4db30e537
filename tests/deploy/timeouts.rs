//! Buffers and timeouts of proxies.

use super::haproxy::Haproxy;
use super::nginx::Nginx;
use super::support::servers::{Kind, Server};
use super::{STREAMING, address, begin, must_answer, must_have_run_once, must_run_once, pass_to, sessions, working};

/// nginx as it comes: buffers, HTTP/1.0, the `Host` of the upstream.
#[test]
fn nginx_as_it_comes() {
    for kind in [Kind::RustHttp, Kind::PythonHttp] {
        let mut server = Server::started(kind);
        let nginx = Nginx::start(&pass_to(&address(&server), "proxy_set_header Host $http_host;"));
        let mut bridge = super::support::bridge::Bridge::connected(&[&nginx.url(), "--log", "debug"]);
        for round in 0..2 {
            let words = format!("said in {round}");
            assert!(bridge.tool(kind.echo(&words)).contains(&words));
            let list = bridge.call("tools/list", serde_json::json!({}));
            assert!(list["tools"].is_array());
            if round == 0 {
                let mark = bridge.log_mark();
                server.restart();
                // It may notice by the stream's end, or by its first call.
                let list = bridge.request("tools/list", serde_json::json!({}));
                bridge.result(&list);
                bridge.wait_for_log(mark, &["new session"]);
            }
        }
        bridge.finish();
    }
}

/// The stream of a call is cut after 5 s, resumed 3 s to 6 s later (the server asks for 3 s, and forgets what ends meanwhile),
/// and would be cut again after 13 s at the earliest.
const SLOW: u64 = 12_500;

/// Streams that are silent for 5 s are cut: the server's own, and a call's.
#[test]
fn a_read_timeout_of_5_s_cuts_silent_streams() {
    let server = Server::started(Kind::RustHttp);
    let lines = STREAMING.replace("proxy_read_timeout 60s", "proxy_read_timeout 5s");
    let nginx = Nginx::start(&pass_to(&address(&server), &lines));
    let mut bridge = working(&nginx.url(), &[]);
    let slow = begin(&mut bridge, "slow", SLOW);
    must_answer(&bridge, &slow, "slow");
    must_have_run_once(&[&server], "slow");
    must_run_once(&mut bridge, &[&server], "after");
    assert_eq!(sessions(&[&server]), 1, "the session was given up\n{}", bridge.stderr());
    bridge.finish();
}

#[test]
fn a_server_timeout_of_5_s_in_haproxy_cuts_silent_streams() {
    let server = Server::started(Kind::RustHttp);
    let haproxy = Haproxy::start(&format!("  bind {{listen}}\n  timeout server 5s\n  server one {}", address(&server)));
    let mut bridge = working(&haproxy.url(), &[]);
    let slow = begin(&mut bridge, "slow", SLOW);
    must_answer(&bridge, &slow, "slow");
    must_have_run_once(&[&server], "slow");
    assert_eq!(sessions(&[&server]), 1, "the session was given up\n{}", bridge.stderr());
    bridge.finish();
}

/// A proxy that compresses what it was not asked to.
#[test]
fn nginx_compresses_only_what_it_is_asked_to() {
    let server = Server::started(Kind::RustHttp);
    let gzip = "gzip on; gzip_proxied any; gzip_min_length 0; gzip_http_version 1.0; gzip_types *;";
    let nginx = Nginx::start(&pass_to(&address(&server), &format!("{STREAMING} {gzip}")));
    let mut bridge = working(&nginx.url(), &[]);
    must_run_once(&mut bridge, &[&server], "plain");
    bridge.finish();
}
