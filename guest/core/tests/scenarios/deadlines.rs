//! Two clocks per request: hold and run.

use crate::support::client::call_params;
use crate::support::*;

fn short() -> Options {
    let mut options = Options::new(URL);
    options.hold_timeout = 10 * SECOND;
    options.run_timeout = 60 * SECOND;
    options.run_limit = 300 * SECOND;
    options
}

#[test]
fn a_held_request_fails_when_its_time_is_over() {
    let mut world = World::with(Knobs::http(), short(), 1);
    world.open();
    world.now(Fault::Kill);
    let call = world.call("echo", 0);
    let asked = world.now;
    let Answer::Error(code, text) = world.wait(call, 20 * SECOND) else { panic!() };
    assert_eq!(code, errors::UNAVAILABLE);
    // The time in which it was on its way in vain does not count.
    assert!((10 * SECOND..=10 * SECOND + 2 * MILLISECOND).contains(&(world.now - asked)));
    assert!(text.contains("server.test") && text.contains("10 s"), "{text}");
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    assert_eq!(world.server.runs_of(call), 0);
    world.verify();
}

#[test]
fn a_request_that_runs_too_long_is_answered_and_cancelled() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::with(knobs, short(), 1);
        world.open();
        let call = world.call("slow", 3_600_000);
        let asked = world.now;
        let Answer::Error(code, _) = world.wait(call, 100 * SECOND) else { panic!() };
        assert_eq!((code, world.now - asked), (errors::TIMED_OUT, 60 * SECOND));
        world.run_for(SECOND);
        let wire: serde_json::Value = serde_json::from_str(world.started("tools/call")[0].body()).unwrap();
        assert_eq!(world.server.cancels, [(wire["id"].to_string(), true)]);
        world.run_for(10 * SECOND);
        world.verify();
    }
}

#[test]
fn progress_extends_the_run_up_to_a_limit() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::with(knobs.clone(), short(), 1);
        world.open();
        let call = world.ask("tools/call", &call_params("slow", 200_000, 30_000));
        assert!(matches!(world.wait(call, 400 * SECOND), Answer::Result(_)));
        let endless = world.ask("tools/call", &call_params("slow", 3_600_000, 30_000));
        let asked = world.now;
        assert_eq!(world.wait(endless, 400 * SECOND).code(), Some(errors::TIMED_OUT));
        assert_eq!(world.now - asked, 300 * SECOND);
        world.verify();
    }
}

#[test]
fn the_answer_to_initialize_has_its_time() {
    let mut world = World::new(Knobs::http());
    world.rule("\"initialize\"", Reply::Hang);
    let initialize = world.initialize();
    assert!(matches!(world.wait(initialize, 40 * SECOND), Answer::Result(_)));
    world.run_for(5 * SECOND);
    assert!(world.started("\"initialize\"")[1].at >= Instant::ZERO + 30 * SECOND);
    world.verify();
}

#[test]
fn a_post_of_streamable_http_has_no_limit_for_its_first_byte() {
    // A JSON answer comes when the call ends.
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("tools/call", Reply::RunThenHang);
    let call = world.call("echo", 0);
    world.run_for(1000 * SECOND);
    assert!(world.answer(call).is_none());
    let exchange = world.started("tools/call")[0].id;
    world.respond(exchange, 422, "done at last");
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::HTTP_ERROR));
    world.verify();
}

#[test]
fn a_late_answer_is_dropped() {
    let mut world = World::with(Knobs::sse(), short(), 1);
    world.open();
    world.rule("notifications/cancelled", crate::support::server::status(202));
    let call = world.call("slow", 61_000);
    assert_eq!(world.wait(call, 100 * SECOND).code(), Some(errors::TIMED_OUT));
    world.run_for(10 * SECOND);
    world.verify();
}

#[test]
fn on_http_sse_a_post_without_status_has_its_time() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.rule("resources/read", Reply::Hang);
    let asked = world.now;
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    assert!(matches!(world.wait(read, 100 * SECOND), Answer::Result(_)), "{}", world.story());
    assert!((30 * SECOND..32 * SECOND).contains(&(world.now - asked)));
    world.verify();
}

#[test]
fn a_request_that_was_held_too_long_does_not_end_the_contact() {
    let mut world = World::with(Knobs::http(), short(), 1);
    world.open();
    world.now(Fault::Kill);
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 20 * SECOND).code(), Some(errors::UNAVAILABLE));
    // A list is no exception once the server was there.
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    assert_eq!(world.wait(list, 20 * SECOND).code(), Some(errors::UNAVAILABLE));
    world.now(Fault::Start);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}
