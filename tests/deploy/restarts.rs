//! Blue and green, a server that is killed behind a proxy, and the proxy that is restarted before a server.

use serde_json::json;

use super::haproxy::Haproxy;
use super::nginx::Nginx;
use super::support::servers::{Kind, Server};
use super::{
    RELOADED, STREAMING, address, begin, must_answer, must_have_run_once, must_run_once, pass_to, sessions, working,
};

#[test]
fn blue_green_by_reload_of_nginx() {
    let (mut blue, mut green) = (Server::started(Kind::RustHttp), Server::reserved(Kind::RustHttp));
    let mut nginx = Nginx::start(&pass_to(&address(&blue), RELOADED));
    let mut bridge = working(&nginx.url(), &[]);
    must_run_once(&mut bridge, &[&blue, &green], "on-blue");
    let running = begin(&mut bridge, "over-the-reload", 1500);
    blue.wait_for_mark("over-the-reload", 1);

    green.start();
    nginx.reload(&pass_to(&address(&green), RELOADED));
    for n in 0..10 {
        must_run_once(&mut bridge, &[&blue, &green], &format!("after-{n}"));
    }
    // The old workers go on with what they have.
    must_answer(&bridge, &running, "over-the-reload");
    must_have_run_once(&[&blue, &green], "over-the-reload");
    blue.kill();
    must_run_once(&mut bridge, &[&blue, &green], "on-green");

    // And back, with calls all the while.
    let calls: Vec<_> = (0..5).map(|n| begin(&mut bridge, &format!("meanwhile-{n}"), 100)).collect();
    blue.start();
    nginx.reload(&pass_to(&address(&blue), RELOADED));
    for (n, call) in calls.iter().enumerate() {
        must_answer(&bridge, call, &format!("meanwhile-{n}"));
        must_have_run_once(&[&blue, &green], &format!("meanwhile-{n}"));
    }
    must_run_once(&mut bridge, &[&blue, &green], "on-blue-again");
    bridge.finish();
}

#[test]
fn blue_green_by_reload_of_haproxy() {
    let (mut blue, green) = (Server::started(Kind::RustHttp), Server::started(Kind::RustHttp));
    let lines = |server: &Server| {
        format!("  bind {{listen}}\n  option idle-close-on-response\n  server one {}", address(server))
    };
    let mut haproxy = Haproxy::start(&lines(&blue));
    let mut bridge = working(&haproxy.url(), &[]);
    let running = begin(&mut bridge, "over-the-reload", 1500);
    blue.wait_for_mark("over-the-reload", 1);
    haproxy.reload(&lines(&green));
    for n in 0..10 {
        must_run_once(&mut bridge, &[&blue, &green], &format!("after-{n}"));
    }
    must_answer(&bridge, &running, "over-the-reload");
    must_have_run_once(&[&blue, &green], "over-the-reload");
    blue.kill();
    must_run_once(&mut bridge, &[&blue, &green], "on-green");
    bridge.finish();
}

/// nginx answers 502 at once, to what it passed on and to what it could not.
#[test]
fn a_server_is_killed_behind_nginx() {
    let mut server = Server::started(Kind::RustHttp);
    let nginx = Nginx::start(&pass_to(&address(&server), STREAMING));
    let mut bridge = working(&nginx.url(), &[]);
    let running = begin(&mut bridge, "in-flight", 600_000);
    server.wait_for_mark("in-flight", 1);
    let mark = bridge.log_mark();
    server.kill();
    bridge.wait_for_log(mark, &["trying again"]);
    let held = begin(&mut bridge, "held", 0);
    server.start();
    must_answer(&bridge, &held, "held");
    assert_eq!(bridge.error(&running)["code"], -31001);
    must_have_run_once(&[&server], "in-flight");
    must_have_run_once(&[&server], "held");
    bridge.finish();
}

/// nginx answers 502 to what it passed on and to what it could not. It knows which it was, and can say so with 503 and
/// `Retry-After`: as `docs/behind-a-proxy.md` has it.
#[test]
fn nginx_tells_what_it_has_not_passed_on() {
    let server = Server::started(Kind::RustHttp);
    let nginx = Nginx::start(&format!(
        "map $upstream_bytes_sent $mcp_not_sent {{ default 0; \"~^[0, :-]+$\" 1; }}
  upstream mcp {{ server {}; keepalive 16; }}
  server {{
    listen {{listen}};
    location / {{
      proxy_pass http://mcp;
      {STREAMING}
      error_page 502 504 = @mcp_failed;
      if ($request_method = GET) {{ return 405; }}
    }}
    location @mcp_failed {{
      if ($mcp_not_sent) {{ add_header Retry-After 1 always; return 503; }}
      return 502;
    }}
  }}",
        address(&server)
    ));
    what_did_not_run_is_held(&nginx.url(), server, "asks for a pause");
}

/// The same by a backup, to which nginx goes only with what it has not passed on.
#[test]
fn nginx_has_a_backup_for_what_it_has_not_passed_on() {
    let server = Server::started(Kind::RustHttp);
    let nginx = Nginx::start(&format!(
        "upstream mcp {{
    server {} max_fails=0;
    server unix:{{folder}}/away.sock backup;
  }}
  server {{
    listen unix:{{folder}}/away.sock;
    add_header Retry-After 1 always;
    return 503;
  }}
  {}",
        address(&server),
        pass_to("mcp", &format!("{STREAMING} if ($request_method = GET) {{ return 405; }}"))
    ));
    what_did_not_run_is_held(&nginx.url(), server, "asks for a pause");
}

/// HAProxy says itself that it has no server: nothing that it answers so ran.
#[test]
fn a_server_is_killed_behind_haproxy() {
    let server = Server::started(Kind::RustHttp);
    let haproxy = Haproxy::start(&format!(
        // On a connection that was kept from an earlier request it closes without a word where the server has gone meanwhile.
        "  bind {{listen}}
  option http-server-close
  http-request return status 405 if METH_GET
  server one {}",
        address(&server)
    ));
    what_did_not_run_is_held(&haproxy.url(), server, "trying again");
}

/// There is no stream whose end could tell the bridge anything: it learns of the kill by the first call.
fn what_did_not_run_is_held(url: &str, mut server: Server, words: &str) {
    let mut bridge = working(url, &[]);
    let mark = bridge.log_mark();
    server.kill();
    let held: Vec<_> = (0..3).map(|n| begin(&mut bridge, &format!("held-{n}"), 0)).collect();
    bridge.wait_for_log(mark, &[words]);
    server.start();
    for (n, call) in held.iter().enumerate() {
        must_answer(&bridge, call, &format!("held-{n}"));
        must_have_run_once(&[&server], &format!("held-{n}"));
    }
    let running = begin(&mut bridge, "in-flight", 600_000);
    server.wait_for_mark("in-flight", 1);
    // The server numbers its events, so the call is not given up before the new one refuses to go on with it.
    server.restart();
    assert_eq!(bridge.error(&running)["code"], -31001);
    must_run_once(&mut bridge, &[&server], "after");
    must_have_run_once(&[&server], "in-flight");
    bridge.finish();
}

#[test]
fn nginx_is_restarted_before_a_server_that_lives() {
    let server = Server::started(Kind::RustHttp);
    let mut nginx = Nginx::start(&pass_to(&address(&server), STREAMING));
    let mut bridge = working(&nginx.url(), &[]);
    // It runs until the test has seen enough: the server forgets what ends while the stream is away, and how long that is
    // depends on the machine.
    let arguments = json!({"version": "running", "ms": 600_000});
    let running = bridge.request(
        "tools/call",
        json!({"name": "deploy", "arguments": arguments, "_meta": {"progressToken": "running"}}),
    );
    bridge.wait_for_method(0, "notifications/progress");
    for round in 0..3 {
        let mark = bridge.log_mark();
        nginx.stop();
        bridge.wait_for_log(mark, &["trying again"]);
        let held = begin(&mut bridge, &format!("held-{round}"), 0);
        nginx.up();
        must_answer(&bridge, &held, &format!("held-{round}"));
    }
    // Its stream goes on.
    bridge.wait_for_method(bridge.mark(), "notifications/progress");
    assert!(!bridge.is_answered(&running));
    bridge.cancel(&running);
    must_have_run_once(&[&server], "running");
    assert_eq!(sessions(&[&server]), 1, "the session was given up");
    bridge.finish();
}

#[test]
fn haproxy_is_restarted_before_a_server_that_lives() {
    let server = Server::started(Kind::RustHttp);
    let mut haproxy = Haproxy::start(&format!("  bind {{listen}}\n  server one {}", address(&server)));
    let mut bridge = working(&haproxy.url(), &[]);
    let mark = bridge.log_mark();
    haproxy.stop();
    bridge.wait_for_log(mark, &["trying again"]);
    let held = begin(&mut bridge, "held", 0);
    haproxy.up();
    must_answer(&bridge, &held, "held");
    assert_eq!(sessions(&[&server]), 1, "the session was given up");
    bridge.finish();
}

/// Both at once, as when a machine is replaced.
#[test]
fn nginx_and_the_server_are_restarted() {
    let mut server = Server::started(Kind::RustHttp);
    let mut nginx = Nginx::start(&pass_to(&address(&server), STREAMING));
    let mut bridge = working(&nginx.url(), &[]);
    let mark = bridge.log_mark();
    nginx.stop();
    server.kill();
    bridge.wait_for_log(mark, &["trying again"]);
    let held = begin(&mut bridge, "held", 0);
    nginx.up();
    server.start();
    must_answer(&bridge, &held, "held");
    must_have_run_once(&[&server], "held");
    bridge.finish();
}
