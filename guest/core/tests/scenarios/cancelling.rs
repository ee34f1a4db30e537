//! A request is cancelled at each stage of its way.

use crate::support::*;

fn wire_id(world: &World) -> String {
    let message: serde_json::Value = serde_json::from_str(world.started("tools/call")[0].body()).unwrap();
    message["id"].to_string()
}

#[test]
fn one_that_is_held_is_never_sent() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Kill);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    world.cancel(call);
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    assert!(world.started("notifications/cancelled").is_empty());
    // It may have been tried in vain before the engine knew that the server is away.
    assert_eq!(world.server.runs_of(call), 0);
    assert_eq!(world.engine.status().in_flight, 0);
    world.verify();
}

#[test]
fn one_that_runs_is_cancelled_on_the_server_under_its_id_on_the_wire() {
    for knobs in [Knobs::http(), Knobs::sse(), Knobs::resumable()] {
        let mut world = World::new(knobs);
        world.client.odd_ids = true;
        world.open();
        let call = world.call("slow", 5000);
        world.run_for(SECOND);
        world.cancel(call);
        world.run_for(30 * SECOND);
        // Once is enough.
        world.cancel(call);
        world.run_for(30 * SECOND);
        assert_eq!(world.server.cancels, [(wire_id(&world), true)]);
        world.run_for(60 * SECOND);
        assert_eq!(world.engine.status().in_flight, 0);
        world.verify();
    }
}

#[test]
fn the_cancellation_waits_until_its_target_is_written() {
    let mut world = World::new(Knobs::http());
    world.open();
    let call = world.call("slow", 5000);
    // Nothing has been written yet.
    world.cancel(call);
    assert!(world.started("notifications/cancelled").is_empty());
    world.run_for(SECOND);
    assert_eq!(world.server.cancels, [(wire_id(&world), true)]);
    world.verify();
}

#[test]
fn one_whose_stream_breaks_is_not_sent_again() {
    for method in ["resources/read", "tools/call"] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.rule(method, Reply::RunThenHang);
        let tag = world.ask(method, r#"{"tag":$TAG}"#);
        world.run_for(SECOND);
        world.cancel(tag);
        world.now(Fault::ResetAll);
        world.run_for(60 * SECOND);
        assert_eq!(world.started(method).len(), 1);
        world.verify();
    }
}

#[test]
fn one_whose_session_is_lost_is_not_sent_again() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        let call = world.call("slow", 5000);
        world.run_for(SECOND);
        world.cancel(call);
        world.restart(SECOND);
        world.run_for(60 * SECOND);
        assert_eq!(world.started("tools/call").len(), 1);
        assert_eq!(world.engine.status().state, State::Ready);
        world.verify();
    }
}

#[test]
fn one_that_waits_for_its_replay_is_dropped() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.fate("resources/read", Fate::ResetAfter);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.run_for(MILLISECOND);
    world.now(Fault::Kill);
    world.run_for(500 * MILLISECOND);
    world.cancel(read);
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    assert_eq!(world.started("resources/read").len(), 1, "{}", world.story());
    world.verify();
}

#[test]
fn one_that_is_resumed_or_verified() {
    let mut world = World::new(Knobs { resume: Resume::Silent, ..Knobs::resumable() });
    world.open();
    let call = world.call("slow", 5000);
    world.run_for(SECOND);
    world.now(Fault::ResetAll);
    world.run_for(5 * SECOND);
    world.cancel(call);
    world.run_for(100 * SECOND);
    assert_eq!(world.started("notifications/cancelled").len(), 1);
    assert_eq!(world.engine.status().in_flight, 0);
    world.verify();
}

#[test]
fn initialize_cannot_be_cancelled() {
    let mut world = World::new(Knobs::http());
    world.client.asked.clear();
    let initialize = world.initialize();
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    assert!(matches!(world.wait(initialize, SECOND), Answer::Result(_)));
    assert!(world.started("notifications/cancelled").is_empty());
    world.verify();
}

#[test]
fn a_cancellation_of_nothing_goes_nowhere() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}"#);
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#);
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#);
    world.run_for(SECOND);
    assert!(world.started("notifications/cancelled").is_empty());
    world.verify();
}

#[test]
fn a_question_that_the_server_cancels_is_cancelled_under_the_programs_id() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    world.call("ask", 0);
    world.run_for(SECOND);
    let question: serde_json::Value = serde_json::from_str(&world.heard("elicitation/create")[0].1).unwrap();
    let exchange = world.started("tools/call")[0].id;
    world.body(
        exchange,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":0}}\n\n",
    );
    assert_eq!(world.client.dropped, [question["id"].to_string()]);
    // The client answers all the same; the server does not want it.
    world.say(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, question["id"]));
    world.run_for(SECOND);
    assert!(world.started("\"result\":{}").is_empty());
    world.verify();
}

#[test]
fn only_the_one_that_is_named_is_cancelled() {
    for (ids, named) in
        [(["\"a\"", "\"b\"", "\"c\""], "\"a\""), (["1", "\"1\"", "10"], "1"), (["\"\\u0061\"", "\"b\"", "7"], "\"a\"")]
    {
        let mut world = World::new(Knobs::http());
        world.open();
        let params = crate::support::client::call_params("slow", 500, 0);
        let calls = ids.map(|id| world.ask_as(id, "tools/call", &params));
        world.run_for(10 * MILLISECOND);
        world.client.asked.get_mut(&calls[0]).unwrap().cancelled = Some(world.now);
        world.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{named}}}}}"#
        ));
        for call in &calls[1..] {
            assert!(matches!(world.wait(*call, SECOND), Answer::Result(_)), "{}", world.story());
        }
        assert_eq!(world.server.cancels.len(), 1);
        world.run_for(SECOND);
        world.verify();
    }
}

#[test]
fn a_cancelled_request_is_listened_to_for_a_minute() {
    for (wait, open) in [(59, 1), (61, 0)] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.rule("tools/call", Reply::RunThenHang);
        let call = world.call("echo", 0);
        world.run_for(10 * MILLISECOND);
        world.cancel(call);
        world.run_for(wait * SECOND);
        assert_eq!(world.open_exchanges(), open, "{}", world.story());
        assert_eq!(world.engine.status().in_flight, open as u32);
        world.verify();
    }
}
