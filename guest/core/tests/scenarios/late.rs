//! Drivers that come late, clocks without end, and counters that belong to one request.

use crate::support::*;

/// A call that is under way, and its exchange.
fn called(world: &mut World) -> (Tag, String, ExchangeId) {
    world.rule("tools/call", Reply::RunThenHang);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let started = *world.started("tools/call").last().expect("it was sent");
    let message: serde_json::Value = serde_json::from_str(started.body()).expect("bodies are JSON");
    (call, message["id"].to_string(), started.id)
}

#[test]
fn what_waited_is_taken_before_the_timers_that_fell_due_meanwhile() {
    for split in [false, true] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        let (call, id, exchange) = called(&mut world);
        // The driver's process was stopped for two hours; the answer came in the first of them.
        world.now += 7200 * SECOND;
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#).into_bytes();
        world.input(Input::Response { exchange, status: 200, headers: vec![] });
        let (first, rest) = body.split_at(if split { 5 } else { body.len() });
        for bytes in [first, rest] {
            world.now += MILLISECOND;
            world.input(Input::Body { exchange, bytes: bytes.to_vec() });
        }
        world.input(Input::End(exchange));
        assert!(matches!(world.answer(call), Some(Answer::Result(_))), "{}", world.story());
        world.verify();
    }
}

#[test]
fn an_answer_to_a_ping_that_waited_counts() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("\"ping\"", Reply::Hang);
    world.run_until(60 * SECOND, |world| !world.started("\"ping\"").is_empty());
    let started = world.started("\"ping\"")[0];
    let (exchange, message) = (started.id, serde_json::from_str::<serde_json::Value>(started.body()).unwrap());
    world.now += 600 * SECOND;
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, message["id"]).into_bytes();
    for input in [
        Input::Response { exchange, status: 200, headers: vec![] },
        Input::Body { exchange, bytes: body },
        Input::End(exchange),
        Input::Tick,
    ] {
        world.input(input);
    }
    world.run_for(SECOND);
    assert_eq!(world.engine.status().reconnects, 0, "{}", world.story());
    world.verify();
}

#[test]
fn a_driver_that_has_always_something_else_to_tell_holds_up_no_timer() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    let (call, ..) = called(&mut world);
    let deadline = world.now + 3600 * SECOND;
    // Nothing but inputs, one a millisecond, and never a tick.
    while world.now < deadline + SECOND && world.answer(call).is_none() {
        world.now += if world.now + SECOND < deadline { 500 * MILLISECOND } else { MILLISECOND };
        world.input(Input::Sent(ExchangeId(u64::MAX)));
    }
    assert_eq!(world.error(call), Some(errors::TIMED_OUT), "{}", world.story());
}

#[test]
fn each_request_counts_its_own_redirects() {
    let redirect = |to: &str| Reply::Status(307, vec![("Location", to.to_string())], String::new());
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("POST /mcp ", 8, redirect("moved/"));
    let calls: Vec<_> = (0..8).map(|_| world.call("echo", 0)).collect();
    for call in calls {
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
        assert_eq!(world.server.runs_of(call), 1);
    }
    assert!(world.net.started.iter().all(|one| ["/mcp", "/moved/"].contains(&one.request.path.as_str())));
    // A circle ends all the same, for a request and for a notification.
    for (part, hops) in [("tools/call", 6), ("notifications/custom", 6)] {
        let before = world.started(part).len();
        world.rules(part, 1000, redirect("/mcp"));
        if part == "tools/call" {
            let call = world.call("echo", 0);
            assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::HTTP_ERROR), "{}", world.story());
        } else {
            world.notify(part);
            world.run_for(10 * SECOND);
        }
        assert_eq!(world.started(part).len() - before, hops, "{part}");
        world.server.rules.clear();
    }
    world.verify();
}

#[test]
fn a_stream_that_is_redirected_in_a_circle_ends() {
    let mut world = World::new(Knobs::http());
    world.rules("GET", 1000, Reply::Status(307, vec![("Location", "/mcp".to_string())], String::new()));
    world.open();
    world.run_for(20 * SECOND);
    assert_eq!(world.started("GET").len(), 6, "{}", world.story());
    world.verify();
}

#[test]
fn a_timeout_of_years_loses_no_bits() {
    for bits in [55, 58, 60, 61, 62, 63] {
        let mut options = Options::new(URL);
        options.heartbeat_timeout = Duration::from_nanos(1 << bits);
        options.backoff_base = Duration::from_nanos(1 << bits);
        options.backoff_cap = 2 * SECOND;
        options.hold_timeout = Duration::from_nanos(1 << bits);
        options.max_attempts = 0;
        let mut world = World::with(Knobs { stateless: true, ..Knobs::http() }, options, 1);
        world.open();
        world.restart(60 * SECOND);
        world.run_for(65 * SECOND);
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 60 * SECOND), Answer::Result(_)), "{bits}: {}", world.story());
        world.verify();
    }
}
