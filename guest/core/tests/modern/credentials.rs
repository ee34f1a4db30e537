//! Headers that the host gives anew: before the first request, and after the server was away.

use mcp_reconnect_core::{Event, Failure, Input, Options, SECOND};
use serde_json::json;

use crate::rig::{Rig, URL, discover_result, header};

fn rig() -> Rig {
    Rig::with(Options::new(URL).with(|o| o.connect_headers_timeout = 10 * SECOND))
}

fn give(rig: &mut Rig, token: &str) {
    rig.input(Input::SetHeaders(vec![("authorization".to_string(), token.to_string())]));
}

/// How often the host was asked, without a rejection.
fn asked(rig: &Rig) -> usize {
    rig.events.iter().filter(|event| matches!(event, Event::HeadersNeeded { status: None })).count()
}

#[test]
fn the_first_request_waits_for_them() {
    let mut rig = rig();
    rig.ask(json!(1), "server/discover", json!({}));
    rig.ask(json!(2), "tools/list", json!({}));
    assert_eq!((rig.started.len(), asked(&rig)), (0, 1), "{:?}", rig.methods());
    rig.pass(SECOND);
    give(&mut rig, "one");
    assert_eq!(rig.methods(), ["server/discover", "tools/list"]);
    assert!(rig.started.iter().all(|(_, request)| header(request, "authorization") == Some("one")));
    rig.result("server/discover", discover_result());
    rig.result("tools/list", json!({"tools": [], "resultType": "complete"}));
    rig.pass(100 * SECOND);
    rig.ask(json!(3), "tools/list", json!({}));
    assert_eq!((rig.methods().len(), asked(&rig)), (3, 1), "they are asked for once");
}

#[test]
fn a_host_that_says_nothing_is_not_waited_for_for_long() {
    let mut rig = rig();
    rig.ask(json!(1), "tools/list", json!({}));
    rig.pass(9 * SECOND);
    assert!(rig.started.is_empty());
    rig.pass(2 * SECOND);
    assert_eq!(rig.methods(), ["tools/list"]);
}

#[test]
fn a_host_that_gives_none_is_not_asked() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/list", json!({}));
    assert_eq!((rig.methods().len(), asked(&rig)), (1, 0));
}

#[test]
fn they_are_asked_for_again_when_the_server_was_away() {
    let mut rig = rig();
    rig.ask(json!(1), "server/discover", json!({}));
    give(&mut rig, "one");
    rig.result("server/discover", discover_result());
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    rig.lose_all(Failure::Connect);
    assert_eq!(asked(&rig), 2);
    let sent = rig.started.len();
    rig.pass(5 * SECOND);
    assert_eq!(rig.started.len(), sent, "it is not tried with headers of before: {:?}", rig.methods());
    give(&mut rig, "two");
    rig.until_asked();
    rig.result("server/discover", discover_result());
    rig.result("tools/call", json!({"content": [], "resultType": "complete"}));
    assert!(rig.started[sent..].iter().all(|(_, request)| header(request, "authorization") == Some("two")));
    assert_eq!(asked(&rig), 2);
}

/// Nobody waits when the server goes, so that nothing is tried before the next request.
#[test]
fn they_are_asked_for_when_somebody_needs_the_server_again() {
    let mut rig = rig();
    rig.ask(json!(1), "server/discover", json!({}));
    give(&mut rig, "one");
    rig.result("server/discover", discover_result());
    rig.input(Input::Probe);
    rig.lose_all(Failure::Connect);
    let sent = rig.started.len();
    rig.pass(300 * SECOND);
    assert_eq!(rig.started.len(), sent, "{:?}", rig.methods());
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    assert_eq!((rig.started.len(), asked(&rig)), (sent, 2));
    give(&mut rig, "two");
    rig.result("server/discover", discover_result());
    rig.result("tools/call", json!({"content": [], "resultType": "complete"}));
    assert!(rig.started[sent..].iter().all(|(_, request)| header(request, "authorization") == Some("two")));
}

#[test]
fn a_close_does_not_wait_for_them() {
    let mut rig = rig();
    rig.ask(json!(1), "tools/list", json!({}));
    rig.input(Input::Close);
    rig.pass(SECOND);
    assert!(rig.events.contains(&Event::Closed) && rig.started.is_empty(), "{:?}", rig.events);
    assert_eq!(rig.told.len(), 1, "{:?}", rig.told);
}
