//! The way back while something else goes wrong, and the pings that decide whether it is needed.

use crate::support::server::{json_body, status};
use crate::support::*;

/// A world in which a host asks for a look at the session, and the ping that does so stays unanswered.
fn looking(knobs: Knobs) -> (World, ExchangeId) {
    let mut world = World::new(knobs);
    world.open();
    world.rule("\"ping\"", Reply::Hang);
    world.host(Input::Probe);
    world.run_for(100 * MILLISECOND);
    let ping = world.started("\"ping\"")[0].id;
    (world, ping)
}

/// Answers a ping that was left unanswered.
fn pong(world: &mut World, ping: ExchangeId) {
    let sent = world.net.started.iter().find(|started| started.id == ping).unwrap();
    let message: serde_json::Value = serde_json::from_str(sent.body()).unwrap();
    world.respond(ping, 200, &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, message["id"]));
}

fn pings(world: &World) -> usize {
    world.started("\"ping\"").len()
}

fn disconnections(world: &World) -> usize {
    world.count(|event| matches!(event, Event::Disconnected { .. }))
}

fn epoch(world: &World) -> Option<u64> {
    world.engine.status().session.map(|session| session.epoch)
}

#[test]
fn a_second_break_while_a_ping_is_under_way_is_no_second_way_back() {
    let (mut world, ping) = looking(Knobs::http());
    let stream = world.started("GET")[0].id;
    world.reset_exchange(stream);
    world.run_for(2 * SECOND);
    assert_eq!(pings(&world), 1, "{}", world.story());
    pong(&mut world, ping);
    world.run_for(5 * SECOND);
    assert_eq!((pings(&world), disconnections(&world), epoch(&world)), (1, 0, Some(1)), "{}", world.story());
    assert_eq!(world.engine.status().state, State::Ready);
    assert_eq!(world.started("GET").len(), 2);
    world.verify();
}

#[test]
fn on_http_sse_the_end_of_the_stream_ends_the_session_whatever_a_ping_would_say() {
    let (mut world, _) = looking(Knobs::sse());
    let stream = world.started("GET").last().unwrap().id;
    world.end_exchange(stream);
    let ended = world.now;
    assert!(world.run_until(10 * SECOND, |world| epoch(world) == Some(2)), "{}", world.story());
    assert!(world.now - ended < SECOND, "{}", world.story());
    world.verify();
}

#[test]
fn a_ping_that_breaks_off_costs_no_session_on_streamable_http() {
    for fate in [true, false] {
        let mut world = World::new(Knobs::http());
        world.open();
        if fate {
            world.fate("\"ping\"", Fate::ResetBefore);
        } else {
            world.rule("\"ping\"", status(502));
        }
        world.host(Input::Probe);
        world.run_for(20 * SECOND);
        assert_eq!((pings(&world), epoch(&world)), (2, Some(1)), "{}", world.story());
        assert_eq!(world.engine.status().state, State::Ready);
        world.verify();
    }
}

#[test]
fn a_ping_that_breaks_off_ends_an_idle_session_on_http_sse_at_once_and_no_busy_one() {
    // Not even a reset comes from a host that vanished, so the stream proves nothing; a call in flight is worth a second look.
    for (busy, strict, epochs) in [(false, false, 2), (true, false, 1), (true, true, 2)] {
        let mut options = Options::new(URL);
        options.heartbeat_strict = strict;
        let mut world = World::with(Knobs::sse(), options, 1);
        world.open();
        if busy {
            world.call("slow", 60_000);
            world.run_for(100 * MILLISECOND);
        }
        world.fate("\"ping\"", Fate::ResetBefore);
        world.host(Input::Probe);
        world.run_for(SECOND);
        assert_eq!(epoch(&world), Some(epochs), "{busy} {strict}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_heartbeat_that_finds_nobody_for_a_moment_costs_no_session() {
    for (knobs, fate) in [(Knobs::http(), Fate::Refused), (Knobs::http(), Fate::ResetBefore)] {
        let mut world = World::new(knobs);
        world.open();
        world.fate("\"ping\"", fate);
        world.run_for(60 * SECOND);
        assert!(pings(&world) >= 2);
        assert_eq!((epoch(&world), world.engine.status().state), (Some(1), State::Ready), "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_look_that_is_not_answered_within_five_seconds_has_found_a_dead_session() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let (mut world, ping) = looking(knobs);
        world.run_for(4 * SECOND);
        assert_eq!(epoch(&world), Some(1));
        world.run_for(1500 * MILLISECOND);
        assert_eq!(epoch(&world), Some(2), "{}", world.story());
        // Its connection is not kept.
        assert!(world.net.cancelled.iter().any(|(_, id)| *id == ping), "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_busy_server_that_does_not_answer_a_look_is_looked_at_again() {
    let mut world = World::new(Knobs::http());
    world.open();
    let busy = world.call("block", 12_000);
    world.run_for(100 * MILLISECOND);
    world.host(Input::Probe);
    assert!(matches!(world.wait(busy, 20 * SECOND), Answer::Result(_)));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!((disconnections(&world), epoch(&world)), (0, Some(1)));
    assert!(world.count(|event| matches!(event, Event::Suspect { .. })) >= 1);
    world.verify();
}

#[test]
fn a_request_that_waits_does_not_make_a_silent_server_busy() {
    let mut options = Options::new(URL);
    options.heartbeat_interval = Duration::ZERO;
    let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
    world.open();
    world.run_for(31 * SECOND);
    world.rules("\"ping\"", 1000, Reply::Hang);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 12 * SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(world.count(|event| matches!(event, Event::Suspect { .. })), 0);
    assert_eq!((world.server.runs_of(call), epoch(&world)), (1, Some(2)));
    world.verify();
}

#[test]
fn a_request_that_was_turned_away_has_not_run_when_the_server_then_falls_silent() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", Reply::Status(429, vec![("retry-after", "1".into())], String::new()));
    world.rule("\"ping\"", Reply::Hang);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!((world.server.runs_of(call), epoch(&world)), (1, Some(2)));
    world.verify();
}

#[test]
fn a_server_that_is_given_up_is_told_with_what_it_had_taken() {
    for (fate, accepted) in [(Fate::Well, true), (Fate::Swallowed, false)] {
        let mut options = Options::new(URL);
        options.heartbeat_strict = true;
        let mut world = World::with(Knobs::http(), options, 1);
        world.open();
        world.fate("tools/call", fate);
        let call = world.call("slow", 3_600_000);
        world.run_for(SECOND);
        world.rules("\"ping\"", 1000, Reply::Hang);
        assert_eq!(world.wait(call, 60 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
        let told = |event: &Event| matches!(event, Event::OutcomeUnknown { accepted: told, .. } if *told == accepted);
        assert_eq!(world.count(told), 1, "{}", world.story());
        world.verify();
    }
}

#[test]
fn the_first_attempt_after_a_lost_session_is_the_first() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Forget);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    let attempts: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Reconnecting { attempt, delay, .. } => Some((*attempt, *delay)),
            _ => None,
        })
        .collect();
    assert_eq!(attempts, [(1, Duration::ZERO)], "{}", world.story());
    world.verify();
}

#[test]
fn the_age_of_a_connection_does_not_slow_its_way_back() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.run_for(2 * 3600 * SECOND);
    world.now(Fault::Kill);
    world.run_for(10 * MILLISECOND);
    let call = world.call("echo", 0);
    world.run_for(300 * MILLISECOND);
    world.now(Fault::Start);
    let back = world.now;
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    assert!(world.now - back < 100 * MILLISECOND, "{:?}", world.now - back);
    world.verify();
}

#[test]
fn a_call_that_runs_undisturbed_is_no_reason_to_hurry() {
    let mut world = World::new(Knobs::http());
    world.open();
    let call = world.call("slow", 5000);
    world.run_for(SECOND);
    let stream = world.started("GET")[0].id;
    let broke = world.now;
    world.reset_exchange(stream);
    world.run_for(2 * SECOND);
    let waited = world.started("\"ping\"")[0].at - broke;
    assert!(waited >= 100 * MILLISECOND, "{waited:?}\n{}", world.story());
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn a_host_that_knows_that_the_network_is_back_need_not_wait_for_the_next_attempt() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.now(Fault::Kill);
    world.run_for(1000 * SECOND);
    while world.engine.deadline().unwrap() < world.now + 2 * SECOND {
        world.run_for(SECOND);
    }
    world.now(Fault::Start);
    world.host(Input::Probe);
    world.run_for(100 * MILLISECOND);
    assert_eq!(world.engine.status().state, State::Ready, "{}", world.story());
    world.verify();
}

#[test]
fn a_new_session_that_is_asked_for_during_a_handshake_gives_the_old_one_up() {
    let mut world = World::new(Knobs::http());
    world.rule("\"initialize\"", Reply::Hang);
    let initialize = world.initialize();
    world.run_for(SECOND);
    let old = world.started("\"initialize\"")[0].id;
    world.host(Input::Reconnect);
    assert!(world.net.cancelled.iter().any(|(_, id)| *id == old), "{}", world.story());
    assert!(matches!(world.wait(initialize, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn nobody_gets_a_new_session_while_the_old_one_is_closing() {
    let mut world = World::new(Knobs::http());
    world.open();
    let call = world.call("slow", 200);
    world.run_for(10 * MILLISECOND);
    world.host(Input::Close);
    world.host(Input::Reconnect);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    world.host(Input::Reconnect);
    world.run_until(5 * SECOND, |world| world.closed);
    assert!(world.closed);
    assert_eq!((world.started("\"initialize\"").len(), world.started("DELETE").len()), (1, 1), "{}", world.story());
    world.verify();
}

#[test]
fn an_initialize_after_close_is_answered() {
    for wait in [MILLISECOND, 200 * MILLISECOND] {
        let mut world = World::new(Knobs::http());
        world.open();
        // The delete is under way, and nobody answers it.
        world.rule("DELETE", Reply::Hang);
        world.host(Input::Close);
        world.run_for(wait);
        let late = world.initialize();
        world.run_until(5 * SECOND, |world| world.closed);
        assert_eq!(world.error(late), Some(errors::CLOSED), "{}", world.story());
        assert_eq!(world.started("\"initialize\"").len(), 1);
        world.verify();
    }
}

#[test]
fn on_http_sse_the_loss_of_a_second_stream_does_not_lengthen_the_wait_under_the_first() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.rule("tools/call", Reply::Hang);
    let call = world.call("echo", 0);
    world.run_for(100 * MILLISECOND);
    let lost = world.now;
    for _ in 0..2 {
        let stream = world.started("GET").last().unwrap().id;
        world.end_exchange(stream);
        world.run_for(1500 * MILLISECOND);
    }
    assert_eq!(world.error(call), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
    let told = world.client.asked[&call].answers[0].0;
    assert!((told - lost).abs_diff(2 * SECOND) < 10 * MILLISECOND, "{:?}", told - lost);
    world.verify();
}

/// The application may have run it: that its session is gone now says nothing of that.
#[test]
fn a_session_lost_otherwise_while_a_parameter_error_is_looked_into_leaves_the_error_as_it_came() {
    // Found out by the look itself, or by another request meanwhile.
    for by_the_look in [true, false] {
        let mut world = World::new(Knobs::http());
        world.open();
        let text = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"Invalid request parameters"}}"#;
        world.rule("tools/call", Reply::RunThen(200, vec![("content-type", "application/json".into())], text.into()));
        world.rule("tools/list", if by_the_look { status(404) } else { Reply::Hang });
        let call = world.call("echo", 0);
        world.run_for(100 * MILLISECOND);
        if !by_the_look {
            world.now(Fault::Forget);
            world.ask("resources/read", r#"{"tag":$TAG}"#);
        }
        assert_eq!(world.wait(call, 5 * SECOND).code(), Some(-32602), "{}", world.story());
        world.run_for(SECOND);
        assert_eq!((world.server.runs_of(call), epoch(&world)), (1, Some(2)));
        world.check_runs();
        world.verify();
    }
}

#[test]
fn a_look_into_a_parameter_error_that_breaks_off_leaves_the_error_as_it_came() {
    let mut world = World::new(Knobs::http());
    world.open();
    let text = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"Invalid request parameters"}}"#;
    world.rule("tools/call", json_body(text));
    world.fate("tools/list", Fate::ResetAfter);
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 5 * SECOND).code(), Some(-32602), "{}", world.story());
    world.verify();
}

#[test]
fn what_is_cancelled_while_a_ping_is_under_way_is_cancelled_in_its_session_or_nowhere() {
    for survives in [true, false] {
        let mut world = World::new(Knobs::http());
        let mut options = Options::new(URL);
        options.max_queue_bytes = 5000;
        world.engine = mcp_reconnect_core::Engine::new(options, 1, Instant::ZERO).unwrap();
        world.open();
        let call = world.call("slow", 60_000);
        world.run_for(100 * MILLISECOND);
        world.rule("\"ping\"", Reply::Hang);
        world.host(Input::Probe);
        world.run_for(100 * MILLISECOND);
        let ping = world.started("\"ping\"")[0].id;
        world.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"{}"}}}}"#,
            world.client.asked[&call].id,
            "no more ".repeat(50)
        ));
        world.run_for(100 * MILLISECOND);
        assert!(world.started("notifications/cancelled").is_empty());
        if survives {
            pong(&mut world, ping);
        } else {
            world.now(Fault::Forget);
            world.respond(ping, 404, "");
        }
        world.run_for(SECOND);
        assert_eq!(world.started("notifications/cancelled").len(), usize::from(survives), "{}", world.story());
        // It gave back the room that it took.
        let next = world.ask("tools/call", &format!(r#"{{"tag":$TAG,"pad":"{}"}}"#, "x".repeat(4000)));
        assert!(matches!(world.wait(next, SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

#[test]
fn an_unsafe_request_waits_for_a_ping_after_the_silence_that_the_heartbeat_allows() {
    for (interval, silence, waits) in [(5, 7, true), (60, 40, false)] {
        let mut options = Options::new(URL);
        options.heartbeat_interval = interval * SECOND;
        let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
        world.open();
        world.now(Fault::Freeze);
        world.run_for(silence * SECOND);
        world.call("echo", 0);
        world.run_for(100 * MILLISECOND);
        assert_eq!(world.started("tools/call").is_empty(), waits, "{}", world.story());
    }
}

#[test]
fn a_request_that_comes_back_during_a_long_outage_hurries_the_next_attempt() {
    // Nobody resets its connection at first, so that nobody waits and attempts are half a minute apart.
    for seed in 0..5 {
        let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, Options::new(URL), seed);
        world.open();
        world.rule("resources/read", Reply::RunThenHang);
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        world.run_for(SECOND);
        world.now(Fault::Vanish);
        world.run_for(1200 * SECOND);
        let exchange = world.started("resources/read")[0].id;
        world.host(Input::Failed { exchange, failure: Failure::Lost, detail: String::new() });
        world.now(Fault::Start);
        assert!(matches!(world.wait(read, 1500 * MILLISECOND), Answer::Result(_)), "{}", world.story());
        assert_eq!(world.server.runs_of(read), 2);
        world.verify();
    }
}
