//! Pings: what silence means, and what it does not.

use crate::support::*;

#[test]
fn silence_is_answered_with_a_ping_and_nothing_else_happens() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        world.run_for(100 * SECOND);
        assert_eq!(world.started("\"ping\"").len(), 3);
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
}

#[test]
fn an_idle_connection_that_died_in_silence_is_made_anew() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        world.now(Fault::Vanish);
        world.now(Fault::Start);
        world.run_for(50 * SECOND);
        assert_eq!(world.engine.status().reconnects, 1, "{}", world.story());
        assert_eq!(world.engine.status().state, State::Ready);
        world.verify();
    }
}

#[test]
fn a_frozen_server_with_nothing_in_flight_is_lost_within_interval_and_timeout() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        world.now(Fault::Freeze);
        world.run_for(42 * SECOND);
        assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 1);
        world.now(Fault::Thaw);
        world.run_for(60 * SECOND);
        assert_eq!(world.engine.status().state, State::Ready, "{}", world.story());
        world.verify();
    }
}

#[test]
fn packets_that_vanish_for_a_while() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        world.now(Fault::BlackHole);
        world.run_for(60 * SECOND);
        assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 1);
        world.now(Fault::Heal);
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 25 * SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_busy_server_is_suspect_and_nothing_is_killed() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        let busy = world.call("block", 100_000);
        let started = world.now;
        assert!(matches!(world.wait(busy, 200 * SECOND), Answer::Result(_)), "{}", world.story());
        assert!(world.now - started >= 100 * SECOND);
        assert!(world.count(|event| matches!(event, Event::Suspect { .. })) >= 1);
        assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 0, "{}", world.story());
        assert_eq!(world.server.runs_of(busy), 1);
        world.verify();
    }
}

#[test]
fn a_busy_server_keeps_its_stream_whatever_else_is_sent() {
    // HTTP+SSE: a POST that gets no status in time says nothing about the stream under the long call.
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        let busy = world.call("block", 100_000);
        world.run_for(SECOND);
        world.notify("notifications/custom");
        let other = world.ask("resources/read", r#"{"tag":$TAG}"#);
        assert!(matches!(world.wait(busy, 200 * SECOND), Answer::Result(_)), "{}", world.story());
        assert!(matches!(world.wait(other, 100 * SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

#[test]
fn strict_means_that_a_silent_server_is_given_up_with_its_calls() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut options = Options::new(URL);
        options.heartbeat_strict = true;
        // Before the network gives up a connection that it cannot make.
        options.heartbeat_timeout = 8 * SECOND;
        let mut world = World::with(knobs, options, 1);
        world.open();
        let call = world.call("slow", 3_600_000);
        world.run_for(SECOND);
        world.now(Fault::BlackHole);
        assert_eq!(world.wait(call, 60 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
        world.verify();
    }
}

#[test]
fn an_error_in_answer_to_a_ping_is_a_sign_of_life() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules(
        "\"ping\"",
        100,
        crate::support::server::json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"no ping"}}"#),
    );
    world.run_for(200 * SECOND);
    assert_eq!(world.engine.status().reconnects, 0);
    assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 0);
    world.verify();
}

#[test]
fn a_heartbeat_of_zero_is_none() {
    let mut options = Options::new(URL);
    options.heartbeat_interval = Duration::ZERO;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.run_for(3600 * SECOND);
    assert!(world.started("\"ping\"").is_empty());
    world.verify();
}

#[test]
fn a_probe_finds_a_dead_connection_within_seconds() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        // The laptop slept; the server restarted meanwhile and the connection is half open.
        world.now(Fault::Vanish);
        world.now(Fault::Start);
        world.host(Input::Probe);
        world.run_for(8 * SECOND);
        assert_eq!(world.engine.status().reconnects, 1, "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_probe_of_a_healthy_connection_changes_nothing() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.host(Input::Probe);
    world.run_for(SECOND);
    assert_eq!(world.started("\"ping\"").len(), 1);
    assert_eq!(world.engine.status().state, State::Ready);
    assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. } | Event::Reconnected { .. })), 0);
    world.verify();
}

#[test]
fn a_ping_of_the_server_is_answered_by_the_engine() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(Knobs { pings: true, ..knobs });
        world.open();
        world.run_for(SECOND);
        world.server_says(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
        let asked = world.now;
        world.run_for(SECOND);
        let answers = world.started(r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
        assert_eq!(answers.len(), 1);
        assert!(answers[0].at - asked < 10 * MILLISECOND);
        assert!(world.heard("ping").is_empty());
        world.verify();
    }
}

#[test]
fn after_silence_an_unsafe_request_waits_for_a_ping_even_without_a_heartbeat() {
    for (silence, safe, pings) in [(29, false, 0), (31, false, 1), (31, true, 0)] {
        let mut options = Options::new(URL);
        options.heartbeat_interval = Duration::ZERO;
        let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
        world.open();
        world.run_for(silence * SECOND);
        let tag = if safe { world.ask("resources/read", r#"{"tag":$TAG}"#) } else { world.call("echo", 0) };
        assert!(matches!(world.wait(tag, SECOND), Answer::Result(_)));
        assert_eq!(world.started("\"ping\"").len(), pings, "{silence} {safe}");
        world.verify();
    }
}

#[test]
fn a_refusal_that_may_mean_another_server_is_looked_into() {
    for (code, lists) in [(400, 1), (405, 1), (410, 1), (422, 1), (413, 0)] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.rule("tools/call", crate::support::server::status(code));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::HTTP_ERROR));
        world.run_for(SECOND);
        assert_eq!(world.started("tools/list").len(), lists, "{code}");
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
}

#[test]
fn an_error_of_a_server_without_sessions_is_no_loss_but_one_of_its_gateway_is() {
    for (code, reconnects) in [(500, 0), (502, 1)] {
        let mut world = World::new(Knobs { stateless: true, ..Knobs::http() });
        world.open();
        world.rule("tools/call", crate::support::server::status(code));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
        world.run_for(20 * SECOND);
        assert_eq!(world.engine.status().reconnects, reconnects, "{code}\n{}", world.story());
        world.verify();
    }
}
