//! OAuth against real servers that are really killed: fastmcp with its provider in memory, which forgets its clients, and
//! oidc-provider. The browser is a program: `curl` where nobody is asked for consent, `tests/servers/oauth/person.mjs` where
//! somebody signs in, and one that only takes note where the sign-in is to stay open.

#[path = "oauth/guarded.rs"]
mod guarded;
#[path = "oauth/library.rs"]
mod library;
mod support;

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use guarded::{Guarded, Home, Kind, visit};
use serde_json::{Value, json};
use support::bridge::{Bridge, text};
use support::clock::Clock;
use support::process::{self, Process};
use support::{COMMAND, PATIENCE, poll};

/// The error of a request that was rejected for its credentials.
const UNAUTHORIZED: i64 = -31004;
/// A sign-in over two interpreters on a busy machine.
const SIGN_IN: &str = "60s";

fn begin(bridge: &mut Bridge, mark: &str) -> String {
    bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": mark}}))
}

fn must_run_once(server: &Guarded, bridge: &mut Bridge, mark: &str) {
    let call = begin(bridge, mark);
    assert_eq!(text(&bridge.result(&call)), mark);
    assert_eq!(server.count(&format!("ran {mark}")), 1, "{mark} ran more or less than once");
}

/// A bridge of this home, with a browser.
fn bridge(home: &Home, browser: &str, url: &str, more: &[&str]) -> Bridge {
    let mut command = Command::new(COMMAND);
    command.args([url, "--credentials-timeout", SIGN_IN, "--oauth-tab-interval", "1ms", "--log", "trace"]).args(more);
    Bridge::command(home.environment(&mut command, browser))
}

fn connected(home: &Home, browser: &str, url: &str) -> Bridge {
    let mut bridge = bridge(home, browser, url, &[]);
    bridge.initialize(json!({}));
    bridge
}

/// `mcp-reconnect …` to its end: the exit code and what it said.
fn run(home: &Home, browser: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = start(home, browser, arguments);
    process.close_stdin();
    let (status, _) = process.wait(Duration::from_secs(60)).expect("it ends");
    process.stderr.ended(PATIENCE);
    process.stdout.ended(PATIENCE);
    (status.code(), format!("{}{}", process.stdout.text(), process.stderr.text()))
}

fn start(home: &Home, browser: &str, arguments: &[&str]) -> Process {
    Process::start(home.environment(Command::new(COMMAND).args(arguments), browser))
}

/// What a log line or an error may not hold: what is stored as secret.
fn must_not_leak(home: &Home, texts: &[String]) {
    for secret in home.secrets() {
        for text in texts {
            assert!(!text.contains(&secret), "a secret is in:\n{text}");
        }
    }
}

#[test]
fn a_bridge_signs_in_by_itself() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let mut first = connected(&home, "curl -sL", &server.url());
    must_run_once(&server, &mut first, "one");
    assert_eq!((server.count("oauth register"), server.count("oauth authorize")), (1, 1));
    // Another one needs no sign-in.
    let mut second = connected(&home, &home.recorder(), &server.url());
    must_run_once(&server, &mut second, "two");
    assert_eq!(server.count("oauth authorize"), 1);
    home.must_be_private();
    must_not_leak(&home, &[first.stderr(), second.stderr()]);
    let (code, said) = run(&home, "", &["check", &server.url()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("sign-in") && said.contains(&format!("by http://127.0.0.1:{}/", server.port())), "{said}");
    must_not_leak(&home, &[said]);
    first.finish();
    second.finish();
    let (code, said) = run(&home, "", &["logout", &server.url()]);
    assert!(code == Some(0) && said.contains("signed out"), "{said}");
    let (code, said) = run(&home, "", &["check", &server.url()]);
    assert!(code == Some(4) && said.contains(&format!("mcp-reconnect login {}", server.url())), "{said}");
}

/// The reference case of the restart table: the server forgets its clients; one refresh finds that out, one sign-in with a fresh
/// registration mends it, and no page says that the client is not known.
#[test]
fn a_forgotten_registration() {
    let mut server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let mut bridge = connected(&home, "curl -sL", &server.url());
    must_run_once(&server, &mut bridge, "before");
    server.restart();
    must_run_once(&server, &mut bridge, "after");
    assert_eq!((server.count("oauth register"), server.count("oauth authorize")), (2, 2));
    assert!(bridge.stderr().contains("has forgotten this client (a restart?)"), "{}", bridge.stderr());
    must_not_leak(&home, &[bridge.stderr()]);
    bridge.finish();
}

/// The server knows its clients, and no token any more.
#[test]
fn forgotten_tokens() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let mut bridge = connected(&home, "curl -sL", &server.url());
    must_run_once(&server, &mut bridge, "before");
    server.forget_tokens();
    must_run_once(&server, &mut bridge, "after");
    assert_eq!(server.count("oauth authorize"), 2);
    assert!(bridge.stderr().contains("no longer takes the refresh token"), "{}", bridge.stderr());
    bridge.finish();
}

/// Many bridges and one token that has ended: one refresh. Many bridges and a server that forgot them: one browser.
#[test]
fn five_bridges_are_one() {
    let mut server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let (code, said) = run(&home, "curl -sL", &["login", &server.url()]);
    assert!(code == Some(0) && said.contains("signed in to"), "{said}");
    home.age_tokens(4000);
    let start = |_| {
        let mut command = Command::new(COMMAND);
        // The usual time between two browsers.
        command.args([&server.url(), "--credentials-timeout", SIGN_IN]);
        let mut bridge = Bridge::command(home.environment(&mut command, "curl -sL"));
        bridge.begin_initialize(json!({}));
        bridge
    };
    let mut bridges: Vec<Bridge> = (0..5).map(start).collect();
    for (at, bridge) in bridges.iter_mut().enumerate() {
        bridge.result("1");
        bridge.notify("notifications/initialized", json!({}));
        must_run_once(&server, bridge, &format!("before-{at}"));
    }
    assert_eq!(server.count("oauth refresh"), 1);
    assert_eq!(server.count("oauth authorize"), 1, "that of the login");
    server.restart();
    let calls: Vec<String> =
        bridges.iter_mut().enumerate().map(|(at, bridge)| begin(bridge, &format!("after-{at}"))).collect();
    for (at, (bridge, call)) in bridges.iter_mut().zip(&calls).enumerate() {
        assert_eq!(text(&bridge.result(call)), format!("after-{at}"));
    }
    assert_eq!((server.count("oauth register"), server.count("oauth authorize")), (2, 2));
    for bridge in bridges {
        bridge.finish();
    }
}

/// The client is never blocked: an answer for now, errors that say what to do, and when somebody has signed in, the lists.
#[test]
fn nobody_is_there_to_sign_in() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let mut command = Command::new(COMMAND);
    command.args([&server.url(), "--log", "trace"]);
    let mut bridge = Bridge::command(home.environment(&mut command, &home.recorder()));
    let result = bridge.initialize(json!({}));
    let login = format!("mcp-reconnect login {}", server.url());
    assert!(result["instructions"].as_str().unwrap().contains(&login), "{result}");
    let url = home.opened(1);
    let error = poll("the error names the URL", PATIENCE, || {
        let call = begin(&mut bridge, "early");
        let error = bridge.error(&call);
        assert_eq!((&error["code"], &error["data"]["status"]), (&json!(UNAUTHORIZED), &json!(401)), "{error}");
        assert_eq!(error["data"]["command"], login, "{error}");
        error["data"]["url"].is_string().then_some(error)
    });
    assert_eq!(error["data"]["url"], url);
    let mark = bridge.mark();
    assert!(visit(&url).contains("has reached mcp-reconnect"));
    bridge.wait_for_method(mark, "notifications/tools/list_changed");
    must_run_once(&server, &mut bridge, "late");
    assert_eq!((server.count("ran early"), home.openings()), (0, 1));
    bridge.finish();
}

/// The bridge is killed while somebody signs in, as clients do: the sign-in goes on.
#[test]
fn a_sign_in_outlives_its_bridge() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let mut killed = start(&home, &home.recorder(), &[&server.url()]);
    killed.write(
        concat!(
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","#,
            r#""capabilities":{},"clientInfo":{"name":"killed","version":"1"}}}"#,
            "\n"
        )
        .as_bytes(),
    );
    let url = home.opened(1);
    // Others come and go meanwhile, and open nothing.
    let mut other = bridge(&home, &home.recorder(), &server.url(), &[]);
    let initialize = other.begin_initialize(json!({}));
    other.wait_for_log(0, &["a person has to sign in"]);
    let login = home.login_process(&url);
    killed.kill();
    let line = std::fs::read(format!("/proc/{login}/cmdline")).expect("it runs on");
    assert!(!String::from_utf8_lossy(&line).contains("state="), "the process list shows the sign-in");
    assert!(visit(&url).contains("has reached mcp-reconnect"));
    other.result(&initialize);
    other.notify("notifications/initialized", json!({}));
    must_run_once(&server, &mut other, "mark");
    assert_eq!(home.openings(), 1);
    poll("the sign-in has ended", PATIENCE, || (!process::is_alive(login)).then_some(()));
    other.finish();
}

/// The server is killed and started while somebody signs in: the code is refused, and the sign-in begins anew.
#[test]
fn a_sign_in_pending_during_a_restart() {
    let mut server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let mut login = start(&home, &home.recorder(), &["login", &server.url()]);
    let first = home.opened(1);
    let back = guarded::redirect_of(&first);
    server.restart();
    visit(&back);
    let second = home.opened(2);
    assert_eq!(server.count("oauth register"), 2);
    visit(&second);
    let (status, _) = login.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{}", login.stderr.text());
}

#[test]
fn a_sign_in_that_is_denied_and_one_that_is_guessed() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let mut login = start(&home, &home.recorder(), &["login", &server.url()]);
    let url = home.opened(1);
    let redirect = guarded::parameter(&url, "redirect_uri");
    let state = guarded::parameter(&url, "state");
    for wrong in ["code=stolen&state=guessed", "code=stolen", ""] {
        assert!(visit(&format!("{redirect}?{wrong}")).contains("not the answer that is waited for"));
    }
    let denied = format!("{redirect}?error=access_denied&error_description=%1b%5b2Jno&state={state}&iss=");
    let page = visit(&denied.replace("&iss=", ""));
    assert!(page.contains("has failed"), "{page}");
    let (status, _) = login.wait(PATIENCE).expect("it ends");
    login.stderr.ended(PATIENCE);
    let said = login.stderr.text();
    assert!(status.code() == Some(1) && said.contains("access_denied") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn without_a_browser() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    // On another machine, by a tunnel.
    let mut login = start(&home, "", &["login", &server.url()]);
    let url = guarded::shown_url(&login);
    login.stderr.find(0, PATIENCE, |_, line| line.contains("ssh -L").then_some(())).expect("the tunnel is explained");
    visit(&url);
    assert!(login.wait(PATIENCE).expect("it ends").0.success());
    // By hand: the browser ends at an address that nobody answers there.
    let mut login = start(&home, &home.recorder(), &["login", "--paste", &server.url()]);
    let url = guarded::shown_url(&login);
    login.write(b"http://127.0.0.1/callback?code=x&state=wrong\n");
    login.stderr.find(0, PATIENCE, |_, line| line.contains("not the address").then_some(())).expect("it says so");
    login.write(format!("{}\n", guarded::redirect_of(&url)).as_bytes());
    assert!(login.wait(PATIENCE).expect("it ends").0.success(), "{}", login.stderr.text());
    assert_eq!(home.openings(), 0);
}

#[test]
fn a_port_that_is_taken() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let (code, said) = run(&home, &home.recorder(), &["login", "--oauth-port", &port, &server.url()]);
    assert!(code == Some(1) && said.contains(&format!("the port {port} of 127.0.0.1")), "{said}");
    assert_eq!((home.openings(), server.count("oauth register")), (0, 0));
}

#[test]
fn a_store_that_others_can_write() {
    use std::os::unix::fs::PermissionsExt;
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    assert_eq!(run(&home, "curl -sL", &["login", &server.url()]).0, Some(0));
    let file = home.credential();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o622)).expect("it is ours");
    let (code, said) = run(&home, "", &["check", &server.url()]);
    assert!(code == Some(4) && said.contains("others can write"), "{said}");
}

/// The header of the user's goes before.
#[test]
fn a_header_of_the_users() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    for arguments in [&["-H", "Authorization: Bearer mine"][..], &["--oauth", "off"]] {
        let mut bridge = bridge(&home, &home.recorder(), &server.url(), arguments);
        let initialize = bridge.begin_initialize(json!({}));
        let error = bridge.error(&initialize);
        assert!(error["code"] == UNAUTHORIZED && error["data"].get("command").is_none(), "{error}");
        bridge.finish();
    }
    assert_eq!((home.openings(), server.count("oauth")), (0, 0));
}

/// oidc-provider: a login page, PKCE, `iss`, resource indicators; then a tool that wants more scopes; then a restart.
#[test]
fn a_person_signs_in_at_a_real_login_page() {
    let mut server = Guarded::started(Kind::Oidc);
    let home = Home::new();
    let mut bridge = connected(&home, &guarded::person(), &server.url());
    must_run_once(&server, &mut bridge, "read");
    let more = bridge.request("tools/call", json!({"name": "mark", "arguments": {"mark": "write", "more": true}}));
    assert_eq!(text(&bridge.result(&more)), "write");
    assert_eq!(server.count("ran write"), 1);
    let scopes = home.record()["tokens"]["scopes"].clone();
    assert!(["read", "write"].iter().all(|scope| scopes.as_array().unwrap().contains(&json!(scope))), "{scopes}");
    server.restart();
    must_run_once(&server, &mut bridge, "after");
    must_not_leak(&home, &[bridge.stderr()]);
    bridge.finish();
}

/// The login page as a browser shows it.
#[test]
fn a_person_signs_in_with_chromium() {
    let server = Guarded::started(Kind::Oidc);
    let home = Home::new();
    // The browser itself is installed on first use.
    let mut login = start(&home, &guarded::chromium(), &["login", &server.url()]);
    assert!(login.wait(Duration::from_secs(600)).expect("it ends").0.success(), "{}", login.stderr.text());
    let mut bridge = connected(&home, &home.recorder(), &server.url());
    must_run_once(&server, &mut bridge, "mark");
    must_not_leak(&home, &[login.stderr.text(), bridge.stderr()]);
    bridge.finish();
}

#[test]
fn a_code_on_another_device() {
    let server = Guarded::started(Kind::Oidc);
    // Asked for, and where nobody sees a browser.
    for (asks, has_browser) in [(&["login", "--device"][..], true), (&["login"], false)] {
        code_on_another_device(&server, asks, has_browser);
    }
}

fn code_on_another_device(server: &Guarded, asks: &[&str], has_browser: bool) {
    let home = Home::new();
    let browser = if has_browser { home.recorder() } else { String::new() };
    let mut login = start(&home, &browser, &[asks, &[&server.url()]].concat());
    let (url, code) = login
        .stderr
        .find(0, PATIENCE, |_, line| {
            let (_, rest) = line.split_once("open ")?;
            let (url, rest) = rest.split_once(' ')?;
            Some((url.to_owned(), rest.rsplit(' ').next()?.to_owned()))
        })
        .expect("it shows a code");
    let mut person = guarded::person_command();
    let person = person.arg(url).arg(code).output().expect("node runs");
    assert!(person.status.success(), "{}", String::from_utf8_lossy(&person.stdout));
    assert!(login.wait(PATIENCE).expect("it ends").0.success(), "{}", login.stderr.text());
    assert_eq!(home.openings(), 0);
    let mut bridge = connected(&home, &home.recorder(), &server.url());
    must_run_once(server, &mut bridge, &format!("mark-{has_browser}"));
    bridge.finish();
}

/// The authorization server is away while a token is to be replaced: everything is kept.
#[test]
fn the_authorization_server_is_away() {
    let mut server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    assert_eq!(run(&home, "curl -sL", &["login", &server.url()]).0, Some(0));
    home.age_tokens(4000);
    let before: Value = home.record();
    server.kill();
    let (_, said) = run(&home, "", &["check", "--timeout", "10s", &server.url()]);
    assert!(said.contains("nothing was thrown away"), "{said}");
    assert_eq!(home.record(), before);
}

/// Tokens that live for seconds are replaced again and again, before they end (this server takes the refresh token too from whoever
/// comes with one that has ended), and no call is lost or run twice.
#[test]
fn tokens_of_six_seconds() {
    let server = Guarded::expiring(Kind::Fastmcp, 6);
    let home = Home::new();
    let mut bridge = connected(&home, "curl -sL", &server.url());
    let mut calls = 0;
    poll("three tokens have ended", PATIENCE, || {
        must_run_once(&server, &mut bridge, &format!("mark-{calls}"));
        calls += 1;
        (server.count("oauth refresh") >= 3).then_some(())
    });
    assert_eq!(server.count("oauth authorize"), 1);
    bridge.finish();
}

/// A clock that was set back or forward by an hour since the token was got.
#[test]
fn a_clock_that_is_off_by_an_hour() {
    let server = Guarded::started(Kind::Fastmcp);
    let home = Home::new();
    assert_eq!(run(&home, "curl -sL", &["login", &server.url()]).0, Some(0));
    for (seconds, refreshes) in [(-3600, 0), (2 * 3600, 1)] {
        home.age_tokens(seconds);
        let mut bridge = connected(&home, &home.recorder(), &server.url());
        must_run_once(&server, &mut bridge, &format!("mark{seconds}"));
        assert_eq!(server.count("oauth refresh"), refreshes);
        bridge.finish();
    }
    assert_eq!(home.openings(), 0);
}

/// The wall clock jumps while the bridge runs, forward and back by hours. Tokens that live for six seconds are replaced as before: each
/// call runs, nobody has to sign in, and there is no storm of refreshes.
#[test]
fn a_wall_clock_that_jumps() {
    let (server, home, clock) = (Guarded::expiring(Kind::Fastmcp, 6), Home::new(), Clock::install());
    let mut command = Command::new(COMMAND);
    command.args([&server.url(), "--credentials-timeout", SIGN_IN, "--log", "trace"]);
    let mut bridge = Bridge::command(clock.give(home.environment(&mut command, "curl -sL")));
    bridge.initialize(json!({}));
    must_run_once(&server, &mut bridge, "before");
    let mut calls = 0;
    for hours in [5, -20, 0] {
        clock.set(hours);
        let (set, before) = (Instant::now(), server.count("oauth refresh"));
        poll("two tokens have ended", PATIENCE, || {
            calls += 1;
            must_run_once(&server, &mut bridge, &format!("mark-{calls}"));
            (server.count("oauth refresh") >= before + 2).then_some(())
        });
        // That is what this would be, at once or a little later.
        std::thread::sleep(Duration::from_secs(2));
        let (refreshes, took) = (server.count("oauth refresh") - before, set.elapsed());
        eprintln!("{hours:+} h: {refreshes} refreshes in {:.1} s", took.as_secs_f64());
        assert!(refreshes as u64 <= took.as_secs() + 2, "{hours:+} h: {refreshes} refreshes in {took:?}");
    }
    assert_eq!(server.count("oauth authorize"), 1);
    bridge.finish();
}
