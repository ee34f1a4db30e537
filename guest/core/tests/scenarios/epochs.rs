//! What ends with a session, and what does not.

use crate::support::server::{json_body, status};
use crate::support::*;

#[test]
fn a_lower_version_is_asked_for_only_for_as_long_as_the_client_was_told_so() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Become(Box::new(Knobs { version: "2025-06-18", ..Knobs::http() })));
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(world.engine.status().session.unwrap().protocol_version, "2025-06-18");
    world.now(Fault::Become(Box::new(Knobs::http())));
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    let asked: Vec<_> = world
        .started("\"initialize\"")
        .iter()
        .map(|one| one.body().contains(r#""protocolVersion":"2025-11-25""#))
        .collect();
    assert_eq!(asked, [true, true, true]);
    assert_eq!(world.engine.status().session.unwrap().protocol_version, "2025-11-25");
    world.verify();
}

#[test]
fn a_provisional_client_is_asked_for_what_it_was_told() {
    let mut world = World::new(Knobs { version: "2025-06-18", ..Knobs::http() });
    world.server.up = false;
    let initialize = world.initialize();
    world.wait(initialize, 60 * SECOND);
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    let asked = world.started("\"initialize\"");
    assert!(asked.last().unwrap().body().contains(r#""protocolVersion":"2025-11-25""#), "{}", world.story());
    world.verify();
}

fn page(cursor: &str) -> Reply {
    json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"tools":[],"resources":[],"nextCursor":{cursor}}}}}"#))
}

#[test]
fn a_cursor_of_an_older_session_is_refused_and_not_sent() {
    for trust in [false, true] {
        let mut options = Options::new(URL);
        options.trust_annotations = trust;
        let mut world = World::with(Knobs::http(), options, 1);
        world.open();
        world.rule("tools/list", page(r#""c\u0031""#));
        let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
        world.wait(list, SECOND);
        let next = world.ask("tools/list", r#"{"tag":$TAG,"cursor":"c1"}"#);
        assert!(matches!(world.wait(next, SECOND), Answer::Result(_)));
        // One that waits while the session is replaced, and one that comes after.
        world.now(Fault::Kill);
        world.run_for(5 * MILLISECOND);
        let held = world.ask("tools/list", r#"{"tag":$TAG,"cursor":"c1"}"#);
        let other = world.ask("resources/list", r#"{"tag":$TAG,"cursor":"c1"}"#);
        world.now(Fault::Start);
        let Answer::Error(-32602, text) = world.wait(held, 20 * SECOND) else { panic!("{}", world.story()) };
        assert!(text.to_lowercase().contains("invalid cursor"), "{text}");
        let late = world.ask("tools/list", r#"{"tag":$TAG,"cursor":"c1"}"#);
        assert_eq!(world.error(late), Some(-32602));
        for tag in [held, late] {
            assert_eq!(world.server.runs_of(tag), 0);
        }
        // What this engine never saw is the server's to judge; so is the cursor of another list.
        assert!(matches!(world.wait(other, SECOND), Answer::Result(_)));
        let strange = world.ask("tools/list", r#"{"tag":$TAG,"cursor":"c2"}"#);
        assert!(matches!(world.wait(strange, SECOND), Answer::Result(_)));
        // The new session gives the same cursor.
        world.rule("tools/list", page(r#""c1""#));
        let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
        world.wait(list, SECOND);
        let next = world.ask("tools/list", r#"{"tag":$TAG,"cursor":"c1"}"#);
        assert!(matches!(world.wait(next, SECOND), Answer::Result(_)));
        world.verify();
    }
}

#[test]
fn a_cursor_outlives_a_break_that_the_session_survives() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/list", page(r#""c1""#));
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.wait(list, SECOND);
    world.now(Fault::ResetAll);
    world.run_for(10 * SECOND);
    let next = world.ask("tools/list", r#"{"tag":$TAG,"cursor":"c1"}"#);
    assert!(matches!(world.wait(next, 10 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn a_cursor_in_an_answer_of_the_old_session_is_of_the_old_session() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/list", Reply::Events(vec![], false));
    let late = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.run_for(SECOND);
    let post = world.started("tools/list")[0].clone();
    let id = serde_json::from_str::<serde_json::Value>(post.body()).unwrap()["id"].clone();
    world.now(Fault::Forget);
    let call = world.call("echo", 0);
    world.wait(call, 10 * SECOND);
    world.body(
        post.id,
        &format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"tools\":[],\"nextCursor\":\"c1\"}}}}\n\n"),
    );
    assert!(world.has_result(late), "{}", world.story());
    let next = world.ask("tools/list", r#"{"tag":$TAG,"cursor":"c1"}"#);
    assert_eq!(world.error(next), Some(-32602));
    world.verify();
}

#[test]
fn progress_in_a_post_of_an_older_session_extends_its_run() {
    let mut options = Options::new(URL);
    options.run_timeout = 10 * SECOND;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    let slow = world.ask("tools/call", &crate::support::client::call_params("slow", 40_000, 4000));
    world.run_for(SECOND);
    world.now(Fault::Forget);
    let quick = world.call("echo", 0);
    world.wait(quick, SECOND);
    assert_eq!(world.engine.status().session.as_ref().unwrap().epoch, 2);
    assert!(matches!(world.wait(slow, 60 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn a_cancelled_request_is_not_kept_alive_by_progress() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", Reply::RunThenEvents(vec![], false));
    let call = world.ask("tools/call", &crate::support::client::call_params("slow", 0, 0));
    world.run_for(SECOND);
    let post = world.started("tools/call")[0].id;
    world.cancel(call);
    for _ in 0..7 {
        world.run_for(10 * SECOND);
        world.body(
            post,
            &format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{call},\"progress\":1}}}}\n\n"),
        );
        world.body(post, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n");
    }
    assert_eq!(world.engine.status().in_flight, 0, "{}", world.story());
    assert!(world.heard("notifications/progress").is_empty());
    world.verify();
}

fn deleted(world: &World) -> Vec<String> {
    world.started("DELETE").iter().filter_map(|one| one.header("mcp-session-id").map(str::to_string)).collect()
}

#[test]
fn a_session_that_is_given_up_before_it_was_ready_is_deleted() {
    let ok = r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"m","version":"1"}}"#;
    let reply = |kind: &str, body: String| {
        Reply::Status(200, vec![("content-type", kind.to_string()), ("mcp-session-id", String::from("x-1"))], body)
    };
    let good = || reply("application/json", format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{ok}}}"#));
    let bad = [
        // `initialized` is refused, or not answered.
        ("\"initialize\"", good(), Some(status(500))),
        ("\"initialize\"", good(), Some(status(400))),
        ("\"initialize\"", good(), Some(Reply::Hang)),
        // The result is none, or never comes, or is an error.
        ("\"initialize\"", reply("application/json", String::from(r#"{"jsonrpc":"2.0","id":$ID,"result":{}}"#)), None),
        ("\"initialize\"", reply("application/json", String::from("nonsense")), None),
        ("\"initialize\"", reply("text/event-stream", String::new()), None),
        (
            "\"initialize\"",
            reply(
                "application/json",
                String::from(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32603,"message":"no"}}"#),
            ),
            None,
        ),
    ];
    for (part, answer, initialized) in bad {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.now(Fault::Kill);
        world.rule(part, answer.clone());
        if let Some(initialized) = &initialized {
            world.rule("notifications/initialized", initialized.clone());
        }
        world.after(SECOND, crate::support::world::Happening::Fault(Fault::Start));
        world.run_for(120 * SECOND);
        assert_eq!(deleted(&world), ["x-1"], "{answer:?} {initialized:?}\n{}", world.story());
        assert_eq!(world.engine.status().state, State::Ready);
        world.verify();
    }
}

#[test]
fn a_handshake_that_is_replaced_or_closed_leaves_no_session_behind() {
    for close in [false, true] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.restart(SECOND);
        world.rule("notifications/initialized", Reply::Hang);
        assert!(world.run_until(60 * SECOND, |world| world.started("notifications/initialized").len() == 2));
        world.run_for(10 * MILLISECOND);
        let young = world.started("notifications/initialized")[1].header("mcp-session-id").unwrap().to_string();
        world.host(if close { Input::Close } else { Input::Reconnect });
        world.run_for(10 * SECOND);
        assert_eq!(deleted(&world), [young], "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_post_of_an_older_session_makes_no_frozen_server_busy() {
    let mut world = World::new(Knobs::http());
    world.open();
    let old = world.call("slow", 3_000_000);
    world.run_for(SECOND);
    world.now(Fault::Forget);
    let call = world.call("echo", 0);
    world.wait(call, 10 * SECOND);
    world.run_for(SECOND);
    assert_eq!(world.engine.status().session.as_ref().unwrap().epoch, 2);
    world.now(Fault::Freeze);
    world.run_for(60 * SECOND);
    assert_ne!(world.engine.status().state, State::Ready, "{}", world.story());
    world.now(Fault::Thaw);
    world.run_for(60 * SECOND);
    assert_eq!(world.engine.status().state, State::Ready, "{}", world.story());
    assert!(world.answer(old).is_none());
    world.verify();
}
