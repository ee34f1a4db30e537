//! Which transport a server speaks: how it is found out, how seldom it is doubted, and what is said if it is neither.

use crate::support::server::{json_body, status, status_text};
use crate::support::*;

#[test]
fn the_first_contact_is_announced_once() {
    let mut world = World::new(Knobs::http());
    world.server.up = false;
    world.initialize();
    world.run_for(10 * SECOND);
    world.now(Fault::Start);
    world.run_for(10 * SECOND);
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(world.count(|event| *event == Event::Connecting), 1, "{}", world.story());
    assert_eq!(world.count(|event| matches!(event, Event::Connected(_))), 1);
    world.verify();
}

#[test]
fn a_server_that_is_neither_is_told_with_both_refusals() {
    let mut world = World::new(Knobs::http());
    world.rule("POST", status_text(405, "no posts"));
    world.rule("GET", status_text(418, "no gets"));
    let initialize = world.initialize();
    let Answer::Error(_, text) = world.wait(initialize, SECOND) else { panic!() };
    assert!(text.contains("405: no posts") && text.contains("418: no gets"), "{text}");
    world.verify();
}

#[test]
fn the_other_transport_may_ask_for_patience() {
    let mut world = World::new(Knobs::sse());
    world.rules("GET", 2, status(503));
    let initialize = world.initialize();
    assert!(matches!(world.wait(initialize, 30 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn a_known_transport_is_doubted_once_a_minute() {
    // A proxy answers 404 to everything while the container is made anew.
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.run_for(100 * SECOND);
    world.now(Fault::Forget);
    world.rules("POST", 100_000, status(404));
    world.rules("GET", 100_000, status(404));
    let began = world.now;
    let call = world.call("echo", 0);
    world.run_for(170 * SECOND);
    let doubts: Vec<_> = world.started("GET").iter().map(|get| get.at).filter(|at| *at > began).collect();
    assert!((2..=3).contains(&doubts.len()), "{doubts:?}");
    assert!(doubts.windows(2).all(|pair| pair[1] - pair[0] >= 60 * SECOND), "{doubts:?}");
    world.server.rules.clear();
    assert!(matches!(world.wait(call, 9 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn after_a_loss_the_patience_with_a_handshake_grows() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.now(Fault::Forget);
    world.rules("\"initialize\"", 5, Reply::Hang);
    let call = world.call("echo", 0);
    world.run_for(170 * SECOND);
    let tries: Vec<_> = world.started("\"initialize\"").iter().skip(1).map(|one| one.at).collect();
    let gaps: Vec<_> = tries.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert!(gaps[0] >= 10 && gaps.last() >= Some(&30), "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= 31), "{gaps:?}");
    world.wait(call, 60 * SECOND);
    world.verify();
}

#[test]
fn initialize_that_is_accepted_without_an_answer_is_asked_again() {
    let mut world = World::new(Knobs::http());
    world.rule("\"initialize\"", status(202));
    let initialize = world.initialize();
    assert!(matches!(world.wait(initialize, 3 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn a_second_endpoint_event_changes_nothing() {
    let mut world = World::new(Knobs::sse());
    world.rule("POST /messages", Reply::Hang);
    world.rule("POST /mcp", status(405));
    world.initialize();
    world.run_for(100 * MILLISECOND);
    let stream = world.started("GET")[0].id;
    world.body(stream, "event: endpoint\ndata: /messages?sid=stranger\n\n");
    world.run_for(SECOND);
    assert!(world.started("stranger").is_empty());
    assert_eq!(world.started("POST /messages").len(), 1);
    world.verify();
}

#[test]
fn on_http_sse_what_a_post_answers_in_its_body_is_no_answer() {
    let mut world = World::new(Knobs::sse());
    world.rule("POST /messages", json_body("\"ok\""));
    world.rule("POST /mcp", status(405));
    let initialize = world.initialize();
    world.run_for(100 * MILLISECOND);
    let stream = world.started("GET")[0].id;
    let answer = |wire: &str| {
        format!(
            "data: {{\"jsonrpc\":\"2.0\",\"id\":{wire},\"result\":{{\"protocolVersion\":\"2024-11-05\",\"capabilities\":{{}}}}}}\n\n"
        )
    };
    let wire = |world: &World, part: &str| {
        let body: serde_json::Value = serde_json::from_str(world.started(part).last().unwrap().body()).unwrap();
        body["id"].to_string()
    };
    let id = wire(&world, "POST /messages");
    world.body(stream, &answer(&id));
    assert!(matches!(world.wait(initialize, SECOND), Answer::Result(_)), "{}", world.story());
    world.run_for(SECOND);
    for headers in [vec![("content-type", "application/json".to_string())], vec![]] {
        world.rule("tools/call", Reply::Status(200, headers, "\"ok\"".into()));
        let call = world.call("echo", 0);
        world.run_for(SECOND);
        assert!(world.answer(call).is_none());
        let id = wire(&world, "tools/call");
        world.body(stream, &answer(&id));
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    }
    world.violations.clear();
}

#[test]
fn another_version_of_a_server_that_came_back_is_reported_and_served() {
    for (version, reported) in [("2025-06-18", 1), ("2025-11-25", 0)] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.now(Fault::Kill);
        world.now(Fault::Become(Box::new(Knobs { version, ..Knobs::http() })));
        world.now(Fault::Start);
        let call = world.call("echo", 0);
        world.wait(call, 10 * SECOND);
        world.run_for(SECOND);
        let told = world
            .count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("the new session speaks")));
        assert_eq!(told, reported, "{}", world.story());
        world.verify();
    }
    let mut world = World::new(Knobs { version: "2025-03-26", ..Knobs::http() });
    world.open();
    world.restart(SECOND);
    world.server.knobs.version = "2025-11-25";
    let call = world.call("echo", 0);
    world.run_for(10 * SECOND);
    assert!(world.answer(call).is_some());
    let next = world.call("echo", 0);
    assert!(matches!(world.wait(next, SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}
