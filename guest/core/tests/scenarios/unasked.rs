//! What a server does unasked is bounded, and takes nothing from the client.

use crate::support::*;

/// The standalone stream of the session.
fn stream(world: &World) -> ExchangeId {
    world.started("GET").last().expect("there is a stream").id
}

fn pings(range: std::ops::Range<usize>) -> String {
    range.map(|id| format!("data: {{\"jsonrpc\":\"2.0\",\"id\":\"p{id}\",\"method\":\"ping\"}}\n\n")).collect()
}

fn questions(range: std::ops::Range<usize>) -> String {
    range
        .map(|id| {
            format!(
                "data: {{\"jsonrpc\":\"2.0\",\"id\":\"q{id}\",\"method\":\"elicitation/create\",\"params\":{{}}}}\n\n"
            )
        })
        .collect()
}

fn warned(world: &World, of: &str) -> usize {
    world.count(|event| {
        matches!(event, Event::Diagnostic { level: mcp_reconnect_core::Level::Warn, text } if text.contains(of))
    })
}

#[test]
fn some_pings_at_once_are_all_answered() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = stream(&world);
    world.body(stream, &pings(0..40));
    world.run_for(5 * SECOND);
    for id in 0..40 {
        assert_eq!(world.started(&format!("\"p{id}\"")).len(), 1, "{id}");
    }
    assert_eq!(warned(&world, "ping"), 0);
    world.verify();
}

#[test]
fn a_flood_of_pings_is_answered_a_few_at_a_time_and_the_rest_is_dropped_with_a_warning() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        let stream = stream(&world);
        // Nobody takes the answers.
        world.rules("\"result\":{}", 1000, Reply::Hang);
        let before = world.net.started.len();
        world.body(stream, &pings(0..50_000));
        assert!(world.net.started.len() - before <= 4, "{}", world.net.started.len() - before);
        assert_eq!(warned(&world, "ping"), 1);
        // The client is not in their way.
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
        let told = world.notify("notifications/roots/changed");
        world.run_for(SECOND);
        assert!(world.server.notified.contains(&told));
        assert_eq!(world.engine.status().queued, 0);
        world.verify();
    }
}

#[test]
fn a_ping_that_is_repeated_before_it_is_answered_is_answered_once() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = stream(&world);
    world.body(stream, &pings(0..10).repeat(100));
    world.run_for(5 * SECOND);
    assert!(world.started("\"p9\"").len() <= 2);
    assert_eq!(warned(&world, "ping"), 0);
    world.verify();
}

#[test]
fn pings_during_a_probe_take_no_room_of_the_clients() {
    let mut options = Options::new(URL);
    options.max_queue_messages = 4;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    let stream = stream(&world);
    world.rule("\"method\":\"ping\"", Reply::Hang);
    world.host(Input::Probe);
    world.body(stream, &pings(0..5001));
    assert_eq!(world.engine.status().queued, 0);
    let calls: Vec<_> = (0..4).map(|_| world.call("echo", 0)).collect();
    for call in calls {
        assert_ne!(world.error(call), Some(errors::QUEUE_FULL), "{}", world.story());
    }
    world.verify();
}

#[test]
fn questions_beyond_those_that_may_be_open_are_refused_a_few_at_a_time() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    let stream = stream(&world);
    world.rules("-31006", 10_000, Reply::Hang);
    let before = world.net.started.len();
    world.body(stream, &questions(0..10_000));
    assert_eq!(world.heard("elicitation/create").len(), 1024);
    assert!(world.net.started.len() - before <= 4);
    assert_eq!(world.engine.status().queued, 0);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn a_ping_with_an_endless_id_is_not_answered() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = stream(&world);
    let before = world.net.started.len();
    world.body(
        stream,
        &format!("data: {{\"jsonrpc\":\"2.0\",\"id\":\"{}\",\"method\":\"ping\"}}\n\n", "x".repeat(1 << 20)),
    );
    assert_eq!(world.net.started.len(), before);
    assert_eq!(warned(&world, "1 KiB"), 1);
    world.verify();
}

#[test]
fn cancellations_are_sent_however_many_pings_wait() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = stream(&world);
    world.rules("\"result\":{}", 1000, Reply::Hang);
    let call = world.call("slow", 20_000);
    world.run_for(SECOND);
    world.body(stream, &pings(0..5000));
    world.cancel(call);
    world.run_for(SECOND);
    assert_eq!(world.started("notifications/cancelled").len(), 1);
    world.verify();
}
