//! Several servers with sessions behind one address: with cookies, with tables, with nothing.

use super::haproxy::Haproxy;
use super::nginx::Nginx;
use super::support::bridge::Bridge;
use super::support::servers::{Kind, Server};
use super::{STREAMING, address, begin, must_answer, must_have_run_once, must_run_once, pass_to, sessions, working};

fn two() -> [Server; 2] {
    [Server::started(Kind::RustHttp), Server::started(Kind::RustHttp)]
}

/// Works through calls, then one of the servers is gone, then it is back and the other one is gone.
fn lives_on(url: &str, [one, other]: [Server; 2]) {
    let mut bridge = working(url, &[]);
    for n in 0..20 {
        must_run_once(&mut bridge, &[&one, &other], &format!("call-{n}"));
    }
    assert_eq!(sessions(&[&one, &other]), 1, "the session did not stick\n{}", bridge.stderr());
    let (mut has, mut has_not) = if sessions(&[&one]) == 1 { (one, other) } else { (other, one) };
    for round in 0..2 {
        let mark = bridge.log_mark();
        has.kill();
        bridge.wait_for_log(mark, &["trying again", "new session"]);
        let held = begin(&mut bridge, &format!("held-{round}"), 0);
        must_answer(&bridge, &held, &format!("held-{round}"));
        must_have_run_once(&[&has, &has_not], &format!("held-{round}"));
        has.start();
        std::mem::swap(&mut has, &mut has_not);
    }
    bridge.finish();
}

#[test]
fn haproxy_inserts_a_cookie() {
    let servers = two();
    let haproxy = Haproxy::start(&format!(
        "  bind {{listen}}
  balance roundrobin
  cookie SRV insert indirect nocache
  option redispatch
  server one {} cookie one check inter 100ms
  server two {} cookie two check inter 100ms",
        address(&servers[0]),
        address(&servers[1])
    ));
    lives_on(&haproxy.url(), servers);
}

/// The table that HAProxy makes of the session ids: no cookie, and nothing for the client to do.
#[test]
fn haproxy_remembers_session_ids() {
    let servers = two();
    let haproxy = Haproxy::start(&format!(
        "  bind {{listen}}
  balance roundrobin
  stick-table type string len 128 size 1k expire 1h
  stick store-response res.hdr(Mcp-Session-Id)
  stick match req.hdr(Mcp-Session-Id)
  option redispatch
  server one {} check inter 100ms
  server two {} check inter 100ms",
        address(&servers[0]),
        address(&servers[1])
    ));
    lives_on(&haproxy.url(), servers);
}

/// A cookie as balancers in the cloud set it: with a lifetime, and again with every answer.
#[test]
fn nginx_sets_a_cookie() {
    let servers = two();
    let nginx = Nginx::start(&format!(
        "upstream all {{ server {one} max_fails=0; server {two} max_fails=0; }}
  upstream one {{ server {one} max_fails=0; server {two} backup; }}
  upstream two {{ server {two} max_fails=0; server {one} backup; }}
  map $cookie_AFFINITY $chosen {{ default all; one one; two two; }}
  map $upstream_addr $node {{ default two; ~{one_port}$ one; }}
  {server}",
        one = address(&servers[0]),
        two = address(&servers[1]),
        one_port = servers[0].port(),
        server = pass_to(
            "$chosen",
            &format!("{STREAMING} add_header Set-Cookie \"AFFINITY=$node; Path=/; Max-Age=3600; HttpOnly\" always;")
        )
    ));
    lives_on(&nginx.url(), servers);
}

/// One user's session does not follow another's: each bridge has its own cookie.
#[test]
fn every_bridge_has_a_cookie_of_its_own() {
    let servers = two();
    let haproxy = Haproxy::start(&format!(
        "  bind {{listen}}
  balance roundrobin
  cookie SRV insert indirect nocache
  server one {} cookie one
  server two {} cookie two",
        address(&servers[0]),
        address(&servers[1])
    ));
    let mut bridges: Vec<_> = (0..4).map(|_| working(&haproxy.url(), &[])).collect();
    for (n, bridge) in bridges.iter_mut().enumerate() {
        must_run_once(bridge, &[&servers[0], &servers[1]], &format!("call-{n}"));
    }
    assert_eq!(sessions(&[&servers[0], &servers[1]]), 4);
    assert!(servers.iter().all(|server| sessions(&[server]) == 2), "they went all to one");
    bridges.into_iter().for_each(Bridge::finish);
}

/// The user's own cookie chooses, whatever the balancer would set.
#[test]
fn the_users_own_cookie_wins() {
    let servers = two();
    let haproxy = Haproxy::start(&format!(
        "  bind {{listen}}
  balance roundrobin
  cookie SRV insert
  server one {} cookie one
  server two {} cookie two",
        address(&servers[0]),
        address(&servers[1])
    ));
    for n in 0..3 {
        let mut bridge = working(&haproxy.url(), &["--header", "Cookie: login=x; SRV=two"]);
        must_run_once(&mut bridge, &[&servers[1]], &format!("call-{n}"));
        bridge.finish();
    }
    assert_eq!(sessions(&[&servers[0]]), 0);
}

/// Sessions that do not stick are said to, soon; they are not made by the hundred, and not left behind.
#[test]
fn without_affinity_the_error_says_so() {
    let servers = two();
    let nginx = Nginx::start(&format!(
        "upstream all {{ server {}; server {}; }}\n  {}",
        address(&servers[0]),
        address(&servers[1]),
        pass_to("all", STREAMING)
    ));
    let mut bridge = Bridge::start(&[&nginx.url()]);
    let id = bridge.begin_initialize(serde_json::json!({}));
    bridge.result(&id);
    bridge.notify("notifications/initialized", serde_json::json!({}));
    let call = begin(&mut bridge, "never", 0);
    let error = bridge.error(&call);
    assert_eq!(error["code"], -31008, "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("affinity")), "{error}");
    bridge.wait_for_log(0, &["needs session affinity"]);
    let made = sessions(&[&servers[0], &servers[1]]);
    assert!(made <= 10, "{made} sessions for one call");
    bridge.finish();
}
