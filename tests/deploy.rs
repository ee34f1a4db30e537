//! Where the deploy really happens: real servers behind nginx and HAProxy, which are reloaded, restarted and misconfigured
//! under the built command.

pub mod support;

#[path = "deploy/affinity.rs"]
mod affinity;
#[path = "deploy/front.rs"]
mod front;
#[path = "deploy/haproxy.rs"]
mod haproxy;
#[path = "deploy/http2.rs"]
mod http2;
#[path = "deploy/maintenance.rs"]
mod maintenance;
#[path = "deploy/nginx.rs"]
mod nginx;
#[path = "deploy/restarts.rs"]
mod restarts;
#[path = "deploy/timeouts.rs"]
mod timeouts;

use support::bridge::{Bridge, text};
use support::servers::{Kind, Server};
use support::{PATIENCE, poll};

/// A session with whatever stands at `url`, which has answered a call.
fn working(url: &str, options: &[&str]) -> Bridge {
    let mut arguments = vec![url, "--log", "debug"];
    arguments.extend_from_slice(options);
    let mut bridge = Bridge::connected(&arguments);
    bridge.tool(Kind::RustHttp.echo("first"));
    bridge
}

/// The same, once the server that took its session has noted that: it does so beside its answers.
fn working_in_session(url: &str, options: &[&str], servers: &[&Server]) -> Bridge {
    let before = sessions(servers);
    let bridge = working(url, options);
    poll("the session is noted", PATIENCE, || (sessions(servers) > before).then_some(()));
    bridge
}

/// Begins a call of the demo server that takes its time, must not run twice, and stands in the journal under a mark.
fn begin(bridge: &mut Bridge, mark: &str, milliseconds: u64) -> String {
    let arguments = serde_json::json!({"version": mark, "ms": milliseconds});
    bridge.request("tools/call", serde_json::json!({"name": "deploy", "arguments": arguments}))
}

/// A call must be answered with its result.
fn must_answer(bridge: &Bridge, call: &str, mark: &str) {
    let said = text(&bridge.result(call));
    assert!(said.contains(mark), "{said:?} does not hold {mark}");
}

/// How often a call ran on any of these servers.
fn runs(servers: &[&Server], mark: &str) -> usize {
    servers.iter().map(|server| server.count(&format!("\"{mark}\""))).sum()
}

/// A call is answered with its result, and has run once.
fn must_run_once(bridge: &mut Bridge, servers: &[&Server], mark: &str) {
    let call = begin(bridge, mark, 0);
    must_answer(bridge, &call, mark);
    must_have_run_once(servers, mark);
}

/// A call that was answered, or whose outcome is unknown, has run once.
fn must_have_run_once(servers: &[&Server], mark: &str) {
    // What a server writes is read a moment later.
    poll(&format!("{mark} ran"), PATIENCE, || (runs(servers, mark) > 0).then_some(()));
    assert_eq!(runs(servers, mark), 1, "{mark} ran more than once");
}

/// How many sessions these servers have had.
fn sessions(servers: &[&Server]) -> usize {
    servers.iter().map(|server| server.count("session\n")).sum()
}

/// What nginx is told to pass requests on with: as its documentation says it for streams.
const STREAMING: &str = "proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_read_timeout 60s;";

/// The same for a proxy that is reloaded: it closes idle connections then, and a call that meets the close on its way has an
/// unknown outcome.
const RELOADED: &str = "proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_read_timeout 60s;
      keepalive_timeout 0;";

/// A server block of nginx that passes everything on to `upstream`, with these lines besides.
fn pass_to(upstream: &str, lines: &str) -> String {
    format!(
        "server {{
    listen {{listen}};
    location / {{
      proxy_pass http://{upstream};
      {lines}
    }}
  }}"
    )
}

/// The address of a server.
fn address(server: &Server) -> String {
    format!("127.0.0.1:{}", server.port())
}
