//! Servers and balancers with one weakness each: it is found, and said with what to do about it.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::support::http::{Reply, Request, Server};
use super::support::script::{Outcome, Script};
use super::{Checked, checked, npm_says_the_same};

/// The problem that names this.
fn problem<'a>(report: &'a Value, words: &[&str]) -> &'a str {
    let problems = report["problems"].as_array().expect("a list");
    let mut texts = problems.iter().filter_map(Value::as_str);
    texts.find(|text| words.iter().all(|word| text.contains(word))).unwrap_or_else(|| panic!("{words:?}: {report:#}"))
}

#[test]
fn a_dead_session_that_is_answered_401() {
    for script in [Script::http(), Script::sse()] {
        let server = script
            .gone(|_, reply| {
                Outcome::Done(reply.send(401, &[("www-authenticate", "Bearer error=\"invalid_token\"")], b"no session"))
            })
            .start();
        let report = checked(&server.url(), &[]);
        npm_says_the_same(&server.url(), &[], &[]);
        assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("degraded"), &json!(1)), "{report:#}");
        assert_eq!(report["dead_session"]["verdict"], "unauthorized", "{report:#}");
        problem(&report, &["as if the credentials were wrong", "HTTP 401: no session", "Have the server answer 404"]);
        let text = Checked::of(&[&server.url()]).out;
        assert!(text.contains("It works, with a problem.") && !text.contains("wants"), "{text}");
    }
}

/// It has answered `initialize`: there is a server, whatever comes then.
#[test]
fn a_good_initialize_and_nothing_after_it() {
    for status in [400, 404, 500, 503] {
        let server = Script::http()
            .on(move |call, reply| match call.kind {
                "initialize" | "GET" | "DELETE" => Outcome::Good(reply),
                _ => Outcome::Done(reply.text(status, "text/plain", "out of order")),
            })
            .start();
        let report = checked(&server.url(), &["--timeout", "5s"]);
        npm_says_the_same(&server.url(), &["--timeout", "5s"], &[]);
        assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("broken"), &json!(1)), "{status}: {report:#}");
        assert_eq!(report["server"]["name"], "scripted", "{report:#}");
        problem(&report, &["the server answers initialize, and what follows fails"]);
        let text = Checked::of(&[&server.url(), "--timeout", "5s"]).out;
        assert!(text.contains("It is an MCP server") && !text.contains("no MCP server"), "{text}");
    }
}

/// The server's own words, whatever the status: a missing key, a version that it does not speak.
#[test]
fn an_error_in_answer_to_initialize() {
    for status in [200, 400, 404, 500] {
        let error = json!({"code": -32603, "message": "set ACME_KEY"});
        let server = Server::start(move |request: Request, reply: Reply| match request.method.as_str() {
            "POST" => reply.json(status, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "error": error})),
            _ => reply.empty(405),
        });
        let url = format!("http://127.0.0.1:{}/mcp", server.port());
        let report = checked(&url, &[]);
        assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("broken"), &json!(1)), "{status}: {report:#}");
        problem(&report, &["answers initialize with an error", "set ACME_KEY", "-32603"]);
    }
}

#[test]
fn answers_that_are_compressed() {
    let server = Script::http()
        .on(|call, reply| match call.kind {
            "tools/list" => {
                assert_eq!(call.http.header("accept-encoding"), Some("identity"));
                let tools = json!([{"name": "mark", "inputSchema": {"type": "object"}}]);
                let body = gzip(&call.response(json!({ "tools": tools })).to_string());
                let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
                Outcome::Done(reply.send(200, &headers, &body))
            }
            _ => Outcome::Good(reply),
        })
        .start();
    let report = checked(&server.url(), &[]);
    npm_says_the_same(&server.url(), &[], &[]);
    assert_eq!((&report["outcome"], &report["compression"]), (&json!("degraded"), &json!("gzip")), "{report:#}");
    assert_eq!(report["tools"]["count"], 1, "it is read all the same: {report:#}");
    problem(&report, &["compressed (gzip)", "Turn compression off"]);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`gzip` is there: install it, for instance `apt-get install gzip`");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").stdout
}

/// How a balancer with two servers behind it chooses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Balance {
    /// In turns.
    Turns,
    /// In turns, but by a cookie where there is one.
    Cookie,
    /// In turns, connection by connection.
    Connections,
}

/// Two servers that know their own sessions only, behind one address.
fn balanced(balance: Balance) -> Server {
    #[derive(Default)]
    struct State {
        requests: usize,
        /// The connections, as they came.
        seen: Vec<u16>,
        sessions: BTreeSet<(String, String)>,
    }
    let state = Mutex::<State>::default();
    Server::start(move |request: Request, reply: Reply| {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        if !state.seen.contains(&reply.peer()) {
            state.seen.push(reply.peer());
        }
        let cookie = request.header("cookie").and_then(|cookie| cookie.strip_prefix("node="));
        let node = match (balance, cookie) {
            (Balance::Cookie, Some(node)) => node.to_owned(),
            (Balance::Connections, _) => {
                (state.seen.iter().position(|port| *port == reply.peer()).expect("just seen") % 2).to_string()
            }
            _ => (state.requests % 2).to_string(),
        };
        let message = request.json();
        let answer = |result: Value| json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
        if message["method"] == "initialize" {
            let session = format!("session-{}-of-{node}", state.requests);
            state.sessions.insert((node.clone(), session.clone()));
            let body = answer(json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "balanced", "version": "1"},
            }));
            let cookie = format!("node={node}; Path=/; HttpOnly");
            let mut headers = vec![("mcp-session-id", session.as_str()), ("content-type", "application/json")];
            if balance == Balance::Cookie {
                headers.push(("set-cookie", &cookie));
            }
            return reply.send(200, &headers, body.as_bytes());
        }
        let session = request.header("mcp-session-id").unwrap_or_default().to_owned();
        if !state.sessions.contains(&(node, session)) {
            return reply.text(404, "text/plain", "Session not found");
        }
        match message["method"].as_str() {
            Some("tools/list") => reply.text(200, "application/json", &answer(json!({"tools": []}))),
            Some("ping") => reply.text(200, "application/json", &answer(json!({}))),
            _ if request.method == "POST" => reply.empty(202),
            _ if request.method == "DELETE" => reply.empty(200),
            _ => reply.empty(405),
        }
    })
}

#[test]
fn two_servers_without_stickiness() {
    let server = balanced(Balance::Turns);
    let url = format!("http://127.0.0.1:{}/mcp", server.port());
    let report = checked(&url, &["--timeout", "10s"]);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("broken"), &json!(1)), "{report:#}");
    problem(&report, &["several servers", "by a cookie or by Mcp-Session-Id", "404: Session not found"]);
    assert!(report["stickiness"]["lost"].as_u64() > Some(0), "{report:#}");

    // What one connection does not show.
    let server = balanced(Balance::Connections);
    let url = format!("http://127.0.0.1:{}/mcp", server.port());
    let report = checked(&url, &["--timeout", "10s"]);
    problem(&report, &["several servers"]);
}

/// The cookie is kept with the session, in the check's own requests too.
#[test]
fn two_servers_and_a_cookie() {
    let server = balanced(Balance::Cookie);
    let url = format!("http://127.0.0.1:{}/mcp", server.port());
    let report = checked(&url, &[]);
    assert_eq!(report["outcome"], "ok", "{report:#}");
    assert_eq!(report["cookies"], json!(["node"]), "{report:#}");
    assert_eq!(report["stickiness"], json!({"asked": 10, "lost": 0}), "{report:#}");
    assert_eq!(report["dead_session"]["verdict"], "recognised", "{report:#}");
    let text = Checked::of(&[&url]).out;
    assert!(text.contains("cookies        node\n"), "{text}");
}

#[test]
fn no_word_of_when_to_come_back() {
    for (status, headers) in [(503, &[][..]), (429, &[]), (503, &[("retry-after", "1")])] {
        let server = Server::start(move |_: Request, reply: Reply| reply.send(status, headers, b"not now"));
        let report = checked(&format!("http://127.0.0.1:{}/mcp", server.port()), &["--timeout", "5s"]);
        assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("unreachable"), &json!(3)), "{report:#}");
        if headers.is_empty() {
            problem(&report, &["Retry-After", &format!("HTTP {status}")]);
        } else {
            assert!(!report["problems"].to_string().contains("when to come back"), "{report:#}");
        }
    }
}
