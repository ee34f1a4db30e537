//! How long messages wait that cannot be sent, and what becomes of them then.

use crate::support::*;

fn said(world: &World, words: &str) -> usize {
    world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains(words)))
}

#[test]
fn a_notification_that_could_not_be_sent_within_the_hold_time_is_dropped_and_that_is_said() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Kill);
    let early = world.notify("notifications/custom");
    world.run_for(100 * SECOND);
    let late = world.notify("notifications/custom");
    world.run_for(79 * SECOND);
    assert_eq!(said(&world, "could not be sent for 180 s"), 0);
    world.run_for(2 * SECOND);
    assert_eq!(said(&world, "(1 of them)"), 1, "{}", world.story());
    assert_eq!(said(&world, "could not be sent for 180 s (option hold-timeout)"), 1);
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    assert!(!world.server.notified.contains(&early) && world.server.notified.contains(&late));
    world.verify();
}

/// One that goes back to the queue keeps its time.
#[test]
fn a_notification_that_was_refused_again_and_again_waits_no_longer_than_any_other() {
    let mut options = Options::new(URL);
    options.hold_timeout = 12 * SECOND;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.rules("notifications/custom", 1000, Reply::Status(503, vec![("Retry-After", "5".into())], String::new()));
    world.notify("notifications/custom");
    world.run_for(60 * SECOND);
    assert_eq!(world.started("notifications/custom").len(), 3, "{}", world.story());
    assert_eq!(said(&world, "could not be sent for 12 s"), 1);
    world.verify();
}

#[test]
fn what_waits_for_a_first_contact_that_fails_is_dropped_with_it() {
    let mut world = World::new(Knobs::http());
    world.rules("POST", 1, Reply::Status(400, vec![], "no such tenant".into()));
    world.client.silent = true;
    let first = world.initialize();
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let early = world.notify("notifications/custom");
    world.run_for(10 * SECOND);
    assert!(world.error(first).is_some(), "{}", world.story());
    assert_eq!(said(&world, "the first contact with the server failed"), 1, "{}", world.story());
    world.client.silent = false;
    world.initialize();
    world.run_for(10 * SECOND);
    assert!(!world.server.notified.contains(&early), "{}", world.story());
}

/// What a provisional result promised is said to be empty soon; a call is no list.
#[test]
fn before_the_server_is_there_a_list_waits_for_a_short_time_and_a_call_for_the_usual_one() {
    let options = Options::new(URL).with(|o| {
        o.start_timeout = 2 * SECOND;
        o.hold_timeout = 30 * SECOND;
    });
    let mut world = World::with(Knobs::http(), options, 1);
    world.server.up = false;
    let initialize = world.initialize();
    world.wait(initialize, 5 * SECOND);
    let (call, list) = (world.call("echo", 0), world.ask("tools/list", r#"{"tag":$TAG}"#));
    world.run_for(3 * SECOND);
    assert!(world.has_result(list) && world.answer(call).is_none(), "{}", world.story());
    world.run_for(26 * SECOND);
    assert_eq!(world.answer(call), None, "{}", world.story());
    world.run_for(2 * SECOND);
    assert_eq!(world.error(call), Some(errors::UNAVAILABLE), "{}", world.story());
    // With a session a list waits like everything else.
    world.now(Fault::Start);
    world.run_for(40 * SECOND);
    world.now(Fault::Kill);
    world.run_for(SECOND);
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.run_for(28 * SECOND);
    assert_eq!(world.answer(list), None, "{}", world.story());
    world.verify();
}
