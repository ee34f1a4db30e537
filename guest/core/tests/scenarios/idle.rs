//! A day of rest: nothing grows, nothing is renewed without need, and the next call works.

use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The engine as text: every collection it has is in it, entry by entry.
fn size(world: &World) -> usize {
    format!("{:?}", world.engine).len()
}

#[test]
fn a_day_of_silence_leaves_no_trace() {
    for knobs in [Knobs::http(), Knobs::sse(), Knobs { json: true, get: Get::Status(405), ..Knobs::http() }] {
        let mut world = World::new(knobs).untraced();
        world.open();
        world.run_for(HOUR);
        let before = size(&world);
        for _ in 1..24 {
            world.run_for(HOUR);
            // Counters and times get more digits.
            let now = size(&world);
            assert!(now < before + 100, "{before} bytes of text after an hour, now {now}");
        }
        let status = world.engine.status();
        assert_eq!((status.reconnects, status.session.unwrap().epoch), (0, 1));
        // One ping in each interval, and nothing else.
        let sent = world.net.started.len();
        assert!((2700..2900).contains(&sent), "{sent} requests in a day");
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
        world.run_for(10 * SECOND);
        world.check_rest();
        world.verify();
    }
}

#[test]
fn a_day_with_a_server_that_dies_every_ten_minutes_leaves_no_trace() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs).untraced();
        world.open();
        let mut before = 0;
        for restart in 1..=144 {
            world.run_for(TEN_MINUTES);
            let now = size(&world);
            if restart == 1 {
                before = now;
            }
            assert!(now < before + 1000, "{before} bytes of text at first, {now} after {restart} restarts");
            world.restart(5 * SECOND);
        }
        world.run_for(TEN_MINUTES);
        let status = world.engine.status();
        assert_eq!((status.reconnects, status.session.unwrap().epoch), (144, 145));
        assert_eq!(world.count(|event| matches!(event, Event::Reconnected { .. })), 144);
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
        world.run_for(10 * SECOND);
        world.check_rest();
        world.verify();
    }
}
