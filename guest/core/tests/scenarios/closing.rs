//! The end.

use crate::support::*;

#[test]
fn an_idle_connection_says_goodbye_and_closes() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.host(Input::Close);
    world.run_for(100 * MILLISECOND);
    assert!(world.closed);
    assert_eq!(world.started("DELETE").len(), 1);
    assert_eq!(world.engine.deadline(), None);
    assert_eq!(world.engine.status().state, State::Closed);
    world.verify();
}

#[test]
fn a_goodbye_that_is_not_answered_is_not_waited_for() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("DELETE", Reply::Hang);
    let asked = world.now;
    world.host(Input::Close);
    world.run_until(5 * SECOND, |world| world.closed);
    assert!(world.closed);
    assert_eq!(world.now - asked, 300 * MILLISECOND);
    assert_eq!(world.open_exchanges(), 0);
    world.verify();
}

#[test]
fn what_is_in_flight_is_drained_for_half_a_second() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        let quick = world.call("slow", 200);
        let slow = world.call("slow", 5000);
        world.run_for(10 * MILLISECOND);
        let asked = world.now;
        world.host(Input::Close);
        world.run_until(5 * SECOND, |world| world.answer(slow).is_some());
        assert_eq!(world.now - asked, 500 * MILLISECOND);
        world.run_until(5 * SECOND, |world| world.closed);
        assert!(world.closed && world.now - asked <= 900 * MILLISECOND);
        assert!(world.has_result(quick));
        let Some(Answer::Error(code, text)) = world.answer(slow) else { panic!() };
        assert_eq!(*code, errors::CLOSED);
        assert!(text.contains("may or may not"), "{text}");
        world.verify();
    }
}

#[test]
fn what_was_not_sent_is_answered_at_once() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Kill);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let asked = world.now;
    world.host(Input::Close);
    world.run_until(5 * SECOND, |world| world.closed);
    assert!(world.now - asked <= 600 * MILLISECOND);
    let Some(Answer::Error(code, text)) = world.answer(call) else { panic!() };
    assert_eq!(*code, errors::CLOSED);
    assert!(text.contains("did not run"), "{text}");
    world.verify();
}

#[test]
fn a_request_after_close_is_answered() {
    let mut world = World::new(Knobs::http());
    world.open();
    let slow = world.call("slow", 5000);
    world.run_for(10 * MILLISECOND);
    world.host(Input::Close);
    world.run_for(MILLISECOND);
    let late = world.call("echo", 0);
    world.run_until(5 * SECOND, |world| world.closed);
    assert_eq!(world.error(slow), Some(errors::CLOSED));
    assert_eq!(world.error(late), Some(errors::CLOSED), "{}", world.story());
    assert_eq!(world.server.runs_of(late), 0);
    world.verify();
}

#[test]
fn it_ends_from_every_state() {
    for fault in [Fault::Kill, Fault::BlackHole, Fault::Freeze, Fault::ResetAll, Fault::Forget] {
        for wait in [Duration::ZERO, 5 * MILLISECOND, 12 * SECOND, 45 * SECOND] {
            for knobs in [Knobs::http(), Knobs::sse()] {
                let mut world = World::new(knobs);
                world.open();
                world.now(fault.clone());
                let call = world.call("echo", 0);
                world.run_for(wait);
                let asked = world.now;
                world.host(Input::Close);
                world.run_until(5 * SECOND, |world| world.closed);
                assert!(world.closed && world.now - asked <= 900 * MILLISECOND, "{fault:?} {wait:?}");
                assert!(world.answer(call).is_some(), "{fault:?} {wait:?}\n{}", world.story());
                world.verify();
            }
        }
    }
}

#[test]
fn closing_before_anything_is_quick_and_twice_is_once() {
    let mut world = World::new(Knobs::http());
    world.host(Input::Close);
    world.host(Input::Close);
    assert!(world.closed);
    world.run_for(SECOND);
    world.host(Input::Reconnect);
    world.run_for(SECOND);
    assert!(world.net.started.is_empty());
    assert_eq!(world.count(|event| *event == Event::Closed), 1);
    world.verify();
}

#[test]
fn what_is_queued_behind_a_notification_is_sent_before_the_end() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("notifications/custom", Reply::Hang);
    let first = world.notify("notifications/custom");
    let second = world.notify("notifications/custom");
    world.run_for(10 * MILLISECOND);
    let asked = world.now;
    world.host(Input::Close);
    world.run_until(5 * SECOND, |world| world.closed);
    // The first one holds up the second until its time is over, which is longer than the drain.
    assert!(world.server.notified.is_empty());
    assert!(world.now - asked >= 500 * MILLISECOND, "{} {first} {second}", world.story());
    world.verify();
}

#[test]
fn a_notification_on_its_way_is_drained_too() {
    let mut world = World::new(Knobs::http());
    world.open();
    let told = world.notify("notifications/custom");
    world.host(Input::Close);
    world.run_until(5 * SECOND, |world| world.closed);
    assert_eq!(world.server.notified, [told]);
    world.verify();
}
