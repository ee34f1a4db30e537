//! Maintenance pages: what a proxy answers while nobody may reach the server.

use super::nginx::Nginx;
use super::support::bridge::Bridge;
use super::support::servers::{Kind, Server};
use super::{
    RELOADED, address, begin, must_answer, must_have_run_once, must_run_once, pass_to, runs, sessions, working,
    working_in_session,
};

/// A server block that answers everything itself.
fn answer(lines: &str) -> String {
    format!(
        "server {{
    listen {{listen}};
    default_type text/html;
    location / {{
      {lines}
    }}
  }}"
    )
}

const PAGE: &str = "\"<!doctype html><title>We are back soon</title><h1>Maintenance</h1>\"";

/// The pages, and whether the session outlives them.
fn pages() -> Vec<(&'static str, String, bool)> {
    vec![
        ("200 with HTML", answer(&format!("return 200 {PAGE};")), true),
        ("302 to elsewhere", answer("return 302 https://status.example.test/maintenance;"), true),
        ("302 to a page of its own", answer("return 302 /maintenance.html;"), true),
        ("503 of nginx", answer("return 503;"), true),
        ("503 with Retry-After", answer(&format!("add_header Retry-After 1 always; return 503 {PAGE};")), true),
        ("404", answer("return 404;"), false),
    ]
}

/// A call that is made first, without a warning.
#[test]
fn a_call_meets_the_page() {
    let server = Server::started(Kind::RustHttp);
    let good = pass_to(&address(&server), RELOADED);
    let mut nginx = Nginx::start(&good);
    for (name, page, keeps) in pages() {
        let mut bridge = working_in_session(&nginx.url(), &[], &[&server]);
        let before = sessions(&[&server]);
        nginx.reload(&page);
        let mark = bridge.log_mark();
        let held = begin(&mut bridge, &format!("held {name}"), 0);
        let list = bridge.request("tools/list", serde_json::json!({}));
        bridge.wait_for_log(mark, &["trying again", "asks for a pause"]);
        let late = begin(&mut bridge, &format!("late {name}"), 0);
        nginx.reload(&good);
        for call in [(&held, "held"), (&late, "late")] {
            must_answer(&bridge, call.0, &format!("{} {name}", call.1));
            must_have_run_once(&[&server], &format!("{} {name}", call.1));
        }
        assert!(bridge.result(&list)["tools"].is_array());
        assert_eq!(sessions(&[&server]) == before, keeps, "{name}: the session\n{}", bridge.stderr());
        bridge.finish();
    }
}

/// The same before HTTP+SSE, where the server's words come on a stream that outlives the reload.
#[test]
fn a_message_over_http_sse_meets_the_page() {
    let server = Server::started(Kind::RustSse);
    let good = pass_to(&address(&server), RELOADED);
    let mut nginx = Nginx::start(&good);
    let url = nginx.url().replace("/mcp", "/sse");
    for (name, page, _) in pages() {
        let mut bridge = working(&url, &[]);
        nginx.reload(&page);
        let mark = bridge.log_mark();
        let held = begin(&mut bridge, &format!("held {name}"), 0);
        bridge.wait_for_log(mark, &["trying again", "asks for a pause"]);
        nginx.reload(&good);
        must_answer(&bridge, &held, &format!("held {name}"));
        must_have_run_once(&[&server], &format!("held {name}"));
        bridge.finish();
    }
}

/// A page that nobody can tell from the words of a server that ran the call.
#[test]
fn a_page_under_503_without_retry_after_says_nothing_of_the_call() {
    let server = Server::started(Kind::RustHttp);
    let good = pass_to(&address(&server), RELOADED);
    let mut nginx = Nginx::start(&good);
    let mut bridge = working(&nginx.url(), &[]);
    nginx.reload(&answer(&format!("return 503 {PAGE};")));
    let call = begin(&mut bridge, "unknown", 0);
    assert_eq!(bridge.error(&call)["code"], -31001);
    let held = begin(&mut bridge, "held", 0);
    nginx.reload(&good);
    must_answer(&bridge, &held, "held");
    must_have_run_once(&[&server], "held");
    assert_eq!(runs(&[&server], "unknown"), 0);
    bridge.finish();
}

#[test]
fn the_first_contact_meets_the_page() {
    let server = Server::started(Kind::RustHttp);
    let good = pass_to(&address(&server), RELOADED);
    let mut nginx = Nginx::start(&good);
    for (page, words) in [
        (answer(&format!("return 200 {PAGE};")), "where MCP was expected"),
        (answer("return 302 https://login.example.test/?next=s3cret;"), "redirects to https://login.example.test/"),
        (answer("return 404;"), "404"),
    ] {
        nginx.reload(&page);
        let mut bridge = Bridge::start(&[&nginx.url()]);
        let id = bridge.begin_initialize(serde_json::json!({}));
        let error = bridge.error(&id);
        assert_eq!(error["code"], -31007);
        let said = error["message"].as_str().expect("a message");
        assert!(said.contains(words) && !said.contains("s3cret"), "{said}");
        assert!(!bridge.stderr().contains("s3cret"), "{}", bridge.stderr());
        // A client that tries again finds the server.
        nginx.reload(&good);
        bridge.initialize(serde_json::json!({}));
        must_run_once(&mut bridge, &[&server], words);
        bridge.finish();
    }
}
