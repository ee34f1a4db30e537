//! How long the engine waits, and for what.

use crate::support::*;

/// The times between attempts while the server is away for so long.
fn attempts(world: &mut World, away: Duration) -> Vec<Duration> {
    let before = world.net.started.len();
    world.run_for(away);
    let times: Vec<_> = world.net.started[before..].iter().map(|one| one.at).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn while_nobody_waits_the_delays_grow_to_the_cap() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.now(Fault::Kill);
    let gaps = attempts(&mut world, 1800 * SECOND);
    assert!(gaps.iter().all(|gap| *gap <= 30 * SECOND + 5 * MILLISECOND), "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap >= 100 * MILLISECOND), "{gaps:?}");
    assert!(gaps.len() < 400);
    assert!(gaps.iter().any(|gap| *gap > 20 * SECOND));
    world.now(Fault::Start);
    world.run_for(40 * SECOND);
    assert_eq!(world.engine.status().state, State::Ready);
    world.verify();
}

#[test]
fn while_somebody_waits_it_is_asked_at_least_every_second() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut options = Options::new(URL);
        options.hold_timeout = 3600 * SECOND;
        let mut world = World::with(knobs, options, 1);
        world.open();
        world.now(Fault::Kill);
        world.run_for(300 * SECOND);
        let call = world.call("echo", 0);
        let gaps = attempts(&mut world, 120 * SECOND);
        assert!(gaps.iter().all(|gap| *gap <= SECOND + 5 * MILLISECOND), "{gaps:?}");
        let distinct: std::collections::BTreeSet<_> = gaps.iter().collect();
        assert!(distinct.len() > 10, "there is no jitter: {gaps:?}");
        world.now(Fault::Start);
        let back = world.now;
        assert!(matches!(world.wait(call, 10 * SECOND), Answer::Result(_)));
        assert!(world.now - back < 1500 * MILLISECOND);
        world.verify();
    }
}

/// Many may wait for a server on another machine, as the model's is.
#[test]
fn a_remote_server_is_asked_at_most_four_times_a_second_after_the_first_second() {
    let mut options = Options::new(URL);
    options.hold_timeout = 3600 * SECOND;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    let call = world.call("echo", 0);
    let first = attempts(&mut world, SECOND);
    assert!(first.len() > 10, "{first:?}");
    let later = attempts(&mut world, 10 * SECOND);
    assert!(later.iter().all(|gap| (250 * MILLISECOND..=510 * MILLISECOND).contains(gap)), "{later:?}");
    world.now(Fault::Start);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn a_short_restart_is_noticed_at_once_by_those_who_wait() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Kill);
    let call = world.call("echo", 0);
    world.run_for(300 * MILLISECOND);
    world.now(Fault::Start);
    let back = world.now;
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    assert!(world.now - back < 200 * MILLISECOND, "{:?}", world.now - back);
    world.verify();
}

#[test]
fn no_attempt_is_the_last() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Kill);
    world.run_for(48 * 3600 * SECOND);
    world.now(Fault::Start);
    world.run_for(40 * SECOND);
    assert_eq!(world.engine.status().state, State::Ready);
    world.verify();
}

#[test]
fn an_option_limits_the_attempts() {
    let mut options = Options::new(URL);
    options.max_attempts = 3;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    let call = world.call("echo", 0);
    let Answer::Error(code, text) = world.wait(call, 60 * SECOND) else { panic!() };
    assert_eq!(code, errors::UNAVAILABLE);
    assert!(text.contains("after 3 attempts"), "{text}");
    // Even then a server that comes back is found.
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn retry_after_is_obeyed_in_both_forms_and_clamped() {
    let date =
        |text: &str| vec![("Date", "Sun, 06 Nov 1994 08:49:37 GMT".to_string()), ("Retry-After", text.to_string())];
    for (headers, least, most) in [
        (vec![("Retry-After", "7".to_string())], 7, 9),
        (date("Sun, 06 Nov 1994 08:49:47 GMT"), 10, 12),
        (date("Sun, 06 Nov 1994 09:49:47 GMT"), 300, 302),
        (vec![("Retry-After", "86400".to_string())], 300, 302),
        (vec![("Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT".to_string())], 0, 40),
    ] {
        let told = format!("{headers:?}");
        let mut options = Options::new(URL);
        options.hold_timeout = 1000 * SECOND;
        let mut world = World::with(Knobs::http(), options, 1);
        world.open();
        world.rule("tools/call", Reply::Status(429, headers, String::new()));
        let call = world.call("echo", 0);
        let asked = world.now;
        assert!(matches!(world.wait(call, 400 * SECOND), Answer::Result(_)), "{told}");
        let took = world.now - asked;
        assert!((least * SECOND..=most * SECOND).contains(&took), "{told}: {took:?}");
        world.verify();
    }
}

#[test]
fn retry_after_of_a_refused_initialize_is_obeyed() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("\"initialize\"", Reply::Status(503, vec![("retry-after", "20".into())], String::new()));
    world.now(Fault::Forget);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 40 * SECOND), Answer::Result(_)));
    let made = world.started("\"initialize\"");
    assert!(made[2].at - made[1].at >= 20 * SECOND);
    world.verify();
}

#[test]
fn engines_with_other_seeds_do_not_come_back_together() {
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut world = World::with(Knobs::sse(), Options::new(URL), seed);
        world.open();
        world.now(Fault::Kill);
        let before = world.net.started.len();
        world.run_for(10 * SECOND);
        let first = world.net.started[before..].first().unwrap().at;
        firsts.insert(first.as_nanos() / 1_000_000);
    }
    assert!(firsts.len() > 40, "{firsts:?}");
}

#[test]
fn a_handshake_is_not_progress() {
    // Every handshake succeeds and every call fails: delays must grow all the same.
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rules("tools/call", 10_000, crate::support::server::status_text(404, "session not found"));
    world.rules("\"ping\"", 10_000, crate::support::server::status_text(404, "session not found"));
    world.call("echo", 0);
    world.run_for(600 * SECOND);
    let made = world.started("\"initialize\"").len();
    assert!(made < 60, "{made} sessions in 10 min without any progress");
    world.verify();
}

#[test]
fn an_outage_is_told_once_a_second_and_counted_from_one() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Kill);
    world.call("echo", 0);
    world.run_for(10 * SECOND);
    let told: Vec<_> = world
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Reconnecting { attempt, .. } => Some((*at, *attempt)),
            _ => None,
        })
        .collect();
    assert!((6..=11).contains(&told.len()), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= SECOND && pair[1].1 > pair[0].1), "{told:?}");
    assert_eq!(told[0].1, 1);
    world.verify();
}
