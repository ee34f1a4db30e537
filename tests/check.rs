//! `mcp-reconnect check`: what it says of real servers, of scripted ones with known weaknesses, and of what is no MCP server.

#[expect(dead_code, reason = "these servers are started, and no more")]
#[path = "modern/servers.rs"]
mod modern;
mod support;
#[path = "check/weak.rs"]
mod weak;

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::http;
use support::port::Port;
use support::process::Process;
use support::script::{Outcome, Script};
use support::servers::{Kind, Server};
use support::{COMMAND, PATIENCE, install, npm_package, poll, scratch_file};

/// What a check came to.
struct Checked {
    code: i32,
    out: String,
    err: String,
}

impl Checked {
    fn of(arguments: &[&str]) -> Self {
        Self::command(Command::new(COMMAND).arg("check").args(arguments))
    }

    fn command(command: &mut Command) -> Self {
        let mut process = Process::start(command);
        let (status, _) = process.wait(PATIENCE + Duration::from_secs(10)).expect("a check ends");
        let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {status}, {}", process.stderr.text()));
        Self { code, out: process.stdout.text(), err: process.stderr.text() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.out, self.err))
    }
}

/// The result for machines; the exit code must be in it.
fn checked(url: &str, more: &[&str]) -> Value {
    let checked = Checked::of(&[&[url, "--json"], more].concat());
    let report = checked.json();
    assert_eq!(report["exit_code"], checked.code, "{report:#}");
    assert_eq!(checked.err, "", "nothing is said on stderr where that is no terminal");
    report
}

/// The npm package's command, on WebAssembly.
fn npm_check(url: &str, more: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.arg(npm_package::build().join("dist/cli.js")).arg("check").arg(url).args(more);
    command
}

/// The npm command says the same of this server, in the same words, for machines and for people.
fn npm_says_the_same(url: &str, more: &[&str], env: &[(&str, &str)]) {
    let run = |mut command: Command, json: bool| {
        command.envs(env.iter().copied()).args(json.then_some("--json"));
        Checked::command(&mut command)
    };
    let native = |json| {
        let mut command = Command::new(COMMAND);
        command.arg("check").arg(url).args(more);
        run(command, json)
    };
    let npm = |json| run(npm_check(url, more), json);
    let timeless = |checked: Checked| {
        let mut report = checked.json();
        report["seconds"] = Value::Null;
        // The native command alone can sign in.
        report["sign_in"] = Value::Null;
        if let Some(ping) = report["ping"].as_object_mut() {
            ping.retain(|name, _| name == "count");
        }
        (checked.code, checked.err, report)
    };
    assert_eq!(timeless(npm(true)), timeless(native(true)), "{url}");
    let timeless = |checked: Checked| {
        let lines = checked.out.lines().filter(|line| !line.starts_with("  ping "));
        (checked.code, lines.map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(timeless(npm(false)), timeless(native(false)), "{url}");
}

/// Servers of MCP 2026-07-28, of the versions before, and of both.
#[test]
fn versions_without_sessions() {
    for (kind, versions, has_session) in [
        (modern::Kind::TypeScript, json!(["2026-07-28"]), false),
        (modern::Kind::TypeScriptOnly, json!(["2026-07-28"]), false),
        (modern::Kind::Python, json!(["2026-07-28"]), true),
        (modern::Kind::Rust, json!(["2026-07-28"]), true),
        (modern::Kind::RustOnly, json!(["2026-07-28"]), false),
        (modern::Kind::Everything, json!([]), true),
    ] {
        let server = modern::Server::started(kind);
        let report = checked(&server.url(), &[]);
        assert_eq!(report["outcome"], "ok", "{kind:?}: {report:#}");
        assert_eq!(report["versions_without_sessions"], versions, "{kind:?}: {report:#}");
        assert_eq!(report["session_id"], has_session, "{kind:?}: {report:#}");
        assert!(report["tools"]["count"].as_u64().is_some_and(|count| count > 1), "{kind:?}: {report:#}");
        let told = Checked::of(&[&server.url()]).out;
        let line = told.lines().find(|line| line.trim_start().starts_with("no sessions"));
        let says = line.is_some_and(|line| line.contains("MCP 2026-07-28"));
        assert_eq!(says, versions != json!([]), "{kind:?}:\n{told}");
    }
}

/// A check of a real server in which all is well.
fn well(kind: Kind) -> Value {
    let server = Server::started(kind);
    let report = checked(&server.url(), &[]);
    assert_eq!(report["outcome"], "ok", "{kind:?}: {report:#}");
    assert_eq!(report["transport"], if kind.is_sse() { "http+sse" } else { "streamable-http" }, "{kind:?}");
    assert!(report["server"]["name"].as_str().is_some_and(|name| !name.is_empty()), "{report:#}");
    assert!(report["tools"]["count"].as_u64().is_some_and(|count| count > 1), "{report:#}");
    assert_eq!(report["tools"]["complete"], true);
    assert_eq!(report["ping"]["count"], 5);
    assert!(report["ping"]["median_ms"].as_f64().is_some_and(|time| time > 0.0), "{report:#}");
    npm_says_the_same(&server.url(), &[], &[]);
    report
}

#[test]
fn the_reference_server_over_streamable_http() {
    let report = well(Kind::EverythingHttp);
    assert_eq!(report["session_id"], true);
    assert_eq!(report["dead_session"]["verdict"], "recognised", "{report:#}");
    assert_eq!(report["dead_session"]["status"], 400, "{report:#}");
    assert_eq!(report["dead_session"]["body"], "json-rpc", "{report:#}");
    assert_eq!(report["event_stream"]["offered"], true);
    assert_eq!(report["resumable"]["resumable"], true, "{report:#}");
    assert_eq!(report["resumable"]["result"], "replayed", "{report:#}");
    assert_eq!(report["goodbye"]["accepted"], true);
    assert!(report["prompts"]["count"].as_u64() > Some(0) && report["resources"]["count"].is_u64(), "{report:#}");
}

#[test]
fn the_reference_server_over_http_sse() {
    let report = well(Kind::EverythingSse);
    assert_eq!(report["dead_session"]["recognised"], false, "{report:#}");
    assert_eq!(report["dead_session"]["verdict"], "silent", "a POST to a dead session is never answered: {report:#}");
    assert_eq!(report["event_stream"], Value::Null);
}

#[test]
fn the_python_sdk_over_streamable_http() {
    let report = well(Kind::PythonHttp);
    assert_eq!(report["server"]["name"], "python-test-server");
    assert_eq!(report["dead_session"]["verdict"], "recognised", "{report:#}");
    assert_eq!(report["dead_session"]["status"], 404, "{report:#}");
    assert_eq!(report["resumable"]["event_ids"], false, "{report:#}");
    assert_eq!(report["resumable"]["resumable"], false, "{report:#}");
}

#[test]
fn the_python_sdk_over_http_sse() {
    let report = well(Kind::PythonSse);
    assert_eq!(report["dead_session"]["verdict"], "recognised", "{report:#}");
    assert_eq!(report["dead_session"]["status"], 404, "{report:#}");
}

#[test]
fn the_rust_sdk() {
    let report = well(Kind::RustHttp);
    assert_eq!(report["dead_session"]["verdict"], "recognised", "{report:#}");
    assert_eq!(report["resumable"]["event_ids"], true, "{report:#}");
    assert_eq!(report["resumable"]["resumable"], true, "{report:#}");
}

/// Every session that was begun was ended, and nothing was sent that could change anything.
#[test]
fn nothing_is_left_on_the_server() {
    let server = Script::http().events().start();
    let report = checked(&server.url(), &[]);
    assert_eq!(report["outcome"], "ok", "{report:#}");
    let ended: Vec<_> =
        server.records_of("DELETE").into_iter().map(|record| record.session.expect("a session")).collect();
    let mut pinged: Vec<_> =
        server.records_of("notifications/initialized").into_iter().map(|r| r.session.unwrap()).collect();
    assert_eq!(server.records_of("initialize").len(), 2);
    // Five are timed, four have connections of their own, one goes to a session that does not exist.
    assert_eq!(server.records_of("ping").len(), 10);
    pinged.sort();
    let mut sorted = ended.clone();
    sorted.sort();
    assert_eq!(sorted, pinged, "each session is ended once");
    assert!(server.records_of("tools/call").is_empty());
    let server = Script::sse().start();
    let report = checked(&server.url(), &[]);
    assert_eq!(report["outcome"], "ok", "{report:#}");
    assert_eq!(server.records_of("ping").len(), 10);
    server.wait_until("both streams are gone", |records| {
        (records.iter().filter(|record| record.kind == "GET").count() == 2).then_some(())
    });
    let stream = server.take_stream();
    poll("the stream is abandoned", PATIENCE, || stream.is_abandoned().then_some(()));
}

#[test]
fn a_server_without_sessions_and_streams() {
    let server = Script::http().stateless().start();
    let report = checked(&server.url(), &[]);
    assert_eq!(report["outcome"], "ok", "{report:#}");
    assert_eq!(report["session_id"], false);
    assert_eq!(report["dead_session"], Value::Null);
    assert_eq!(report["event_stream"], json!({"offered": false, "status": 405}));
    assert_eq!(report["resumable"]["resumable"], false);
    assert_eq!(report["goodbye"], Value::Null);
}

#[test]
fn a_server_that_speaks_of_lost_sessions_in_its_own_words() {
    for (id, verdict, outcome) in [(false, "verified", "ok"), (true, "not-recognised", "degraded")] {
        let server = Script::http()
            .gone(move |call, reply| {
                let mut body = call.error(-32602, "what do you want?");
                if !id {
                    body["id"] = Value::Null;
                }
                Outcome::Done(reply.json(400, &body))
            })
            .start();
        let report = checked(&server.url(), &[]);
        assert_eq!(
            (&report["outcome"], &report["dead_session"]["verdict"]),
            (&json!(outcome), &json!(verdict)),
            "{report:#}"
        );
        let said = if id { &report["problems"][0] } else { &report["dead_session"]["says"] };
        let said = said.as_str().expect("a text");
        assert!(said.contains("what do you want?") && (!id || said.contains("not recognised")), "{said}");
    }
}

#[test]
fn a_list_of_many_pages_and_one_without_end() {
    let paged = |last: usize| {
        Script::http()
            .on(move |call, reply| {
                if call.kind != "tools/list" {
                    return Outcome::Good(reply);
                }
                let page = call.message["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
                let tool = json!({"name": format!("tool-{page}"), "inputSchema": {"type": "object"}});
                let next = if page < last { json!((page + 1).to_string()) } else { Value::Null };
                Outcome::Done(call.result(reply, json!({"tools": [tool], "nextCursor": next})))
            })
            .start()
    };
    let server = paged(6);
    assert_eq!(checked(&server.url(), &[])["tools"], json!({"count": 7, "complete": true}));
    let server = paged(usize::MAX);
    assert_eq!(checked(&server.url(), &[])["tools"], json!({"count": 50, "complete": false}));
}

/// The engine answers its client's pings itself: what is timed must be the server.
#[test]
fn a_ping_is_answered_by_the_server() {
    for (script, slow) in [(Script::http(), 120), (Script::sse(), 120)] {
        let server = script
            .on(move |call, reply| {
                if call.kind == "ping" {
                    std::thread::sleep(Duration::from_millis(slow));
                }
                Outcome::Good(reply)
            })
            .start();
        let report = checked(&server.url(), &[]);
        assert!(report["ping"]["min_ms"].as_f64().is_some_and(|time| time >= 120.0), "{report:#}");
    }
    let server = Script::http()
        .on(|call, reply| match call.kind {
            "ping" => Outcome::Done(call.respond(reply, &call.error(-32601, "Method not found"))),
            _ => Outcome::Good(reply),
        })
        .start();
    let report = checked(&server.url(), &[]);
    assert_eq!((&report["exit_code"], &report["ping"]), (&json!(1), &Value::Null), "{report:#}");
    assert!(report["problems"][0].as_str().is_some_and(|text| text.contains("ping fails")), "{report:#}");
}

#[test]
fn a_server_that_is_down() {
    let port = Port::reserve();
    let report = checked(&format!("http://127.0.0.1:{}/mcp", port.number()), &[]);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("unreachable"), &json!(3)), "{report:#}");
    assert!(report["problems"][0].as_str().is_some_and(|text| text.contains("refused")), "{report:#}");
    assert!(report["seconds"].as_f64().is_some_and(|seconds| seconds < 10.0), "it is not waited for: {report:#}");
    npm_says_the_same(&format!("http://127.0.0.1:{}/mcp", port.number()), &[], &[]);
}

#[test]
fn a_server_that_wants_credentials() {
    let challenge = r#"Bearer realm="jarvis""#;
    let server = Script::http()
        .on(move |call, reply| match call.http.header("authorization") {
            Some("Bearer s3cret") => Outcome::Good(reply),
            _ => Outcome::Done(reply.send(401, &[("www-authenticate", challenge)], b"no")),
        })
        .start();
    let report = checked(&server.url(), &[]);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("unauthorized"), &json!(4)), "{report:#}");
    assert_eq!(report["credentials"], json!({"status": 401, "challenge": challenge}));
    // Without what the native command adds: how to sign in.
    npm_says_the_same(&server.url(), &["--header", "Authorization: Bearer ${TOKEN}"], &[("TOKEN", "s3cret")]);
    for arguments in [
        ["--header", "Authorization: Bearer ${TOKEN}"],
        ["--header-env", "Authorization=WHOLE"],
        ["--header-command", "echo \"Authorization: $WHOLE\""],
    ] {
        let mut command = Command::new(COMMAND);
        command.args(["check", &server.url(), "--json", "-v"]).args(arguments);
        let checked = Checked::command(command.env("TOKEN", "s3cret").env("WHOLE", "Bearer s3cret"));
        assert_eq!(checked.code, 0, "{}", checked.out);
        assert!(!checked.out.contains("s3cret") && !checked.err.contains("s3cret"), "{}{}", checked.out, checked.err);
        assert!(checked.err.lines().count() > 3, "-v shows each step: {}", checked.err);
    }
    // A command that fails is why, and one that hangs is bounded like all else.
    let checked = Checked::of(&[&server.url(), "--header-command", "echo the vault is sealed >&2; exit 3"]);
    assert_eq!(checked.code, 4, "{}", checked.out);
    assert!(checked.err.contains("the vault is sealed"), "{}", checked.err);
    let checked = Checked::of(&[&server.url(), "--header-command", "exec sleep 600", "--timeout", "500ms"]);
    assert!(checked.code == 2 && checked.err.contains("--timeout"), "{}: {}", checked.code, checked.err);
}

#[test]
fn a_web_server_that_is_no_mcp_server() {
    for status in [200, 404, 405] {
        let server = http::Server::start(move |_, reply| reply.text(status, "text/html", "<html>Welcome</html>"));
        let url = format!("http://127.0.0.1:{}/", server.port());
        let report = checked(&url, &[]);
        assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("not-mcp"), &json!(5)), "{status}: {report:#}");
        assert!(report["problems"][0].as_str().is_some_and(|text| text.contains(&status.to_string())), "{report:#}");
        npm_says_the_same(&url, &[], &[]);
    }
}

#[test]
fn a_server_that_never_answers() {
    let server = http::Server::start(|_, reply| {
        std::mem::forget(reply.hold());
        None
    });
    let url = format!("http://127.0.0.1:{}/mcp", server.port());
    let report = checked(&url, &["--timeout", "1s"]);
    assert_eq!(report["exit_code"], 3, "{report:#}");
    assert!(report["problems"][0].as_str().is_some_and(|text| text.contains("within 1 s")), "{report:#}");
    assert!(report["seconds"].as_f64().is_some_and(|seconds| seconds < 6.0), "{report:#}");
    npm_says_the_same(&url, &["--timeout", "1s"], &[]);
}

#[test]
fn ctrl_c_leaves_at_once() {
    let server = http::Server::start(|_, reply| {
        std::mem::forget(reply.hold());
        None
    });
    let url = format!("http://127.0.0.1:{}/mcp", server.port());
    let mut process = Process::run(COMMAND, &["check", &url, "-v"]);
    process.stderr.find(0, PATIENCE, |_, line| line.contains("connect").then_some(())).expect("it connects");
    process.signal(Signal::INT);
    let (status, took) = process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert!(took < Duration::from_secs(2), "{took:?}");

    let mut process = Process::start(&mut npm_check(&url, &["-v"]));
    process.stderr.find(0, PATIENCE, |_, line| line.contains("connect").then_some(())).expect("it connects");
    process.signal(Signal::INT);
    assert_eq!(process.wait(PATIENCE).expect("it ends").0.code(), Some(130));
}

/// What a person reads; and what a server says is no order to the terminal.
#[test]
fn the_result_for_people() {
    let server = Script::http()
        .on(|call, reply| match call.kind {
            "initialize" => Outcome::Done({
                let mut result = call.server.initialize_result(call);
                result["serverInfo"]["name"] = json!("evil\u{1b}[2J\r\n");
                reply.json(200, &call.response(result))
            }),
            _ => Outcome::Good(reply),
        })
        .start();
    // The hook gives no session id, so that the rest is refused.
    let checked = Checked::of(&[&server.url(), "--timeout", "3s"]);
    assert!(checked.out.contains("evil"), "{:?}", checked.out);
    assert!(!checked.out.contains('\u{1b}') && !checked.err.contains('\u{1b}'), "{:?}", checked.out);

    let server = Script::http().start();
    let checked = Checked::of(&[&format!("{}?key=s3cret", server.url())]);
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert!(!checked.out.contains("s3cret"), "{}", checked.out);
    for words in ["server         scripted 1", "Streamable HTTP, MCP 2025", "recognised", "median of 5", "All is well."]
    {
        assert!(checked.out.contains(words), "{words} is missing:\n{}", checked.out);
    }
}

#[test]
fn wrong_command_lines() {
    for (arguments, named) in [
        (&["check"][..], "URL"),
        (&["check", "ftp://h/"], "http"),
        (&["check", "http://h/", "http://i/"], "http://i/"),
        (&["check", "http://user:s3cret@h/"], "user"),
        (&["check", "--timeout", "soon", "http://h/"], "soon"),
        (&["check", "--url-env", "MCP_RECONNECT_TEST_UNSET"], "MCP_RECONNECT_TEST_UNSET"),
        (&["check", "--header-env", "X-Key=MCP_RECONNECT_TEST_UNSET", "http://h/"], "MCP_RECONNECT_TEST_UNSET"),
        (&["chekc", "http://h/"], "did you mean mcp-reconnect check"),
        (&["--log", "off", "check", "http://h/"], "first"),
    ] {
        let mut process = Process::run(COMMAND, arguments);
        let (status, _) = process.wait(PATIENCE).expect("it ends");
        let said = process.stderr.text();
        assert_eq!(status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named) && said.lines().count() == 1 && !said.contains("s3cret"), "{arguments:?}: {said}");
    }
}

/// TLS in front of a server: version, application protocol, and what the certificate says.
#[test]
fn the_facts_of_tls() {
    let server = Script::http().start();
    let port = Port::reserve();
    let (key, certificate) = (scratch_file("key.pem"), scratch_file("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=jarvis.test", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("`openssl` is there: install it, for instance `apt-get install openssl`");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    install::node();
    let program = r"
        const [key, certificate, port, to] = process.argv.slice(1);
        const { readFileSync } = require('fs');
        const options = { key: readFileSync(key), cert: readFileSync(certificate), ALPNProtocols: ['http/1.1'] };
        require('tls').createServer(options, (from) => {
          const upstream = require('net').connect(Number(to), '127.0.0.1');
          for (const [one, other] of [[from, upstream], [upstream, from]]) one.pipe(other).on('error', () => one.destroy());
          for (const socket of [from, upstream]) socket.on('error', () => {});
          from.on('close', () => upstream.destroy());
        }).listen(Number(port), '127.0.0.1', () => console.log('listening'));";
    let backend = server.url().split(':').nth(2).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
    let tls = Process::start(
        Command::new("node")
            .args(["-e", program])
            .arg(&key)
            .arg(&certificate)
            .args([&port.number().to_string(), &backend]),
    );
    tls.stdout
        .find(0, PATIENCE, |_, line| (line == "listening").then_some(()))
        .unwrap_or_else(|| panic!("{}", tls.stderr.text()));
    let url = format!("https://127.0.0.1:{}/mcp", port.number());
    let mut trusting = Command::new(COMMAND);
    trusting.args(["check", &url, "--json"]).env("SSL_CERT_FILE", &certificate).env_remove("SSL_CERT_DIR");
    let checked = Checked::command(&mut trusting);
    let report = checked.json();
    assert_eq!(checked.code, 0, "{report:#}");
    assert_eq!(report["tls"]["version"], "TLS 1.3", "{report:#}");
    assert_eq!(report["tls"]["alpn"], "http/1.1");
    assert_eq!(report["tls"]["subject"], "CN=jarvis.test");
    assert!(matches!(report["tls"]["days_left"].as_i64(), Some(29..=30)), "{report:#}");
    npm_says_the_same(&url, &["--ca-cert", certificate.to_str().expect("UTF-8")], &[]);

    let mut wary = Command::new(COMMAND);
    let empty = scratch_file("no-certificates.pem");
    let checked =
        Checked::command(wary.args(["check", &url, "--json"]).env("SSL_CERT_FILE", empty).env_remove("SSL_CERT_DIR"));
    let report = checked.json();
    assert_eq!(checked.code, 3, "{report:#}");
    assert!(report["problems"][0].as_str().is_some_and(|text| text.contains("no certificate authority")), "{report:#}");
}
