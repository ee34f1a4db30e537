//! Response streams that break and go on: `Last-Event-ID`, priming events, `retry:`.

use crate::support::client::call_params;
use crate::support::*;

/// The GETs that resume a response stream.
fn resumptions(world: &World) -> Vec<&crate::support::net::Started> {
    world.net.started.iter().filter(|one| one.header("last-event-id").is_some()).collect()
}

#[test]
fn a_call_survives_the_loss_of_its_stream() {
    for knobs in [
        Knobs::resumable(),
        Knobs { resume: Resume::Inclusive, ..Knobs::resumable() },
        Knobs { crlf: true, ..Knobs::resumable() },
    ] {
        for clean in [true, false] {
            let mut world = World::new(knobs.clone());
            world.open();
            let call = world.ask("tools/call", &call_params("slow", 6000, 1000));
            world.run_for(2500 * MILLISECOND);
            let exchange = world.started("tools/call")[0].id;
            if clean {
                world.end_exchange(exchange);
            } else {
                world.reset_exchange(exchange);
            }
            assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
            assert_eq!(world.server.runs_of(call), 1);
            assert_eq!(resumptions(&world).len(), 1);
            // Every progress notification came once.
            let heard = world.heard("notifications/progress");
            let distinct: std::collections::BTreeSet<_> = heard.iter().map(|(_, text)| text).collect();
            assert_eq!(heard.len(), distinct.len());
            assert_eq!(heard.len(), 5, "{}", world.story());
            world.verify();
        }
    }
}

#[test]
fn an_answer_that_came_while_the_stream_was_away_is_fetched() {
    let mut world = World::new(Knobs::resumable());
    world.open();
    let call = world.call("slow", 1500);
    world.run_for(SECOND);
    let exchange = world.started("tools/call")[0].id;
    world.reset_exchange(exchange);
    world.now(Fault::Weather(0));
    assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn retry_is_exact_after_every_clean_end() {
    for retry in [200, 500, 2000] {
        let knobs = Knobs { polls: true, retry: Some(retry), ..Knobs::resumable() };
        let mut world = World::new(knobs);
        world.open();
        let call = world.ask("tools/call", &call_params("slow", 20_000, 3000));
        assert!(matches!(world.wait(call, 60 * SECOND), Answer::Result(_)), "{}", world.story());
        let ends: Vec<_> = world.ended();
        for get in resumptions(&world) {
            let end = ends.iter().rev().find(|end| **end <= get.at).unwrap();
            let waited = get.at - *end;
            let exact = Duration::from_millis(retry);
            assert!(
                (exact - 5 * MILLISECOND..=exact + 5 * MILLISECOND).contains(&waited),
                "{waited:?}\n{}",
                world.story()
            );
        }
        assert!(resumptions(&world).len() >= 4);
        world.verify();
    }
}

#[test]
fn a_server_that_polls_in_silence_is_polled() {
    // Each poll brings an id without data and ends.
    let mut world = World::new(Knobs { retry: Some(500), ..Knobs::resumable() });
    world.open();
    world.rule("tools/call", Reply::RunThenEvents(vec!["id: a/1\nretry: 500\ndata:\n\n".into()], true));
    for poll in 2..12 {
        world.rule("GET", Reply::Events(vec![format!("id: a/{poll}\ndata:\n\n")], true));
    }
    world.rule(
        "GET",
        Reply::Events(vec!["id: a/99\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n".into()], true),
    );
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(world.server.runs_of(call), 1);
    world.verify();
}

#[test]
fn retry_zero_does_not_spin() {
    let knobs = Knobs { resume: Resume::InstantEnd, retry: Some(0), ..Knobs::resumable() };
    let mut world = World::new(knobs);
    world.open();
    let call = world.call("slow", 60_000);
    world.run_for(SECOND);
    let exchange = world.started("tools/call")[0].id;
    world.end_exchange(exchange);
    assert_eq!(world.wait(call, 20 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
    let gets = resumptions(&world);
    assert_eq!(gets.len(), 3);
    assert!(gets.windows(2).all(|pair| pair[1].at - pair[0].at >= 100 * MILLISECOND));
    world.verify();
}

#[test]
fn after_a_break_the_herd_is_spread() {
    let mut waits = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let mut world = World::with(Knobs { retry: Some(1000), ..Knobs::resumable() }, Options::new(URL), seed);
        world.open();
        let call = world.call("slow", 8000);
        world.run_for(SECOND);
        let exchange = world.started("tools/call")[0].id;
        let broke = world.now;
        world.reset_exchange(exchange);
        world.wait(call, 20 * SECOND);
        let waited = resumptions(&world)[0].at - broke;
        assert!((SECOND..=2 * SECOND + 10 * MILLISECOND).contains(&waited), "{waited:?}");
        waits.insert(waited.as_millis() / 10);
    }
    assert!(waits.len() > 15, "{waits:?}");
}

#[test]
fn a_resume_that_is_refused_leaves_the_outcome_unknown() {
    for code in [400, 404, 405, 500, 501] {
        for safe in [false, true] {
            let mut world = World::new(Knobs { resume: Resume::Status(code), ..Knobs::resumable() });
            world.open();
            let part = if safe { "resources/read" } else { "tools/call" };
            world.fate(part, Fate::CutAfter(2));
            let tag = if safe { world.ask(part, r#"{"tag":$TAG}"#) } else { world.call("slow", 1000) };
            let answer = world.wait(tag, 30 * SECOND);
            if safe {
                assert!(matches!(answer, Answer::Result(_)), "{code} {answer:?}");
            } else {
                assert_eq!(answer.code(), Some(errors::OUTCOME_UNKNOWN), "{code}\n{}", world.story());
            }
            assert_eq!(resumptions(&world).len(), 1);
            world.check_runs();
            world.verify();
        }
    }
}

#[test]
fn a_resume_that_is_rejected_for_now_is_tried_again() {
    for code in [401, 429] {
        let mut world = World::new(Knobs::resumable());
        world.open();
        let call = world.call("slow", 6000);
        world.run_for(SECOND);
        let exchange = world.started("tools/call")[0].id;
        world.rule("GET", crate::support::server::status(code));
        world.reset_exchange(exchange);
        let answer = world.wait(call, 60 * SECOND);
        assert!(matches!(answer, Answer::Result(_)), "{code} {answer:?}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_resumed_stream_that_stays_silent_is_opened_again_at_growing_intervals() {
    let mut options = Options::new(URL);
    options.run_timeout = 300 * SECOND;
    let mut world = World::with(Knobs { resume: Resume::Silent, ..Knobs::resumable() }, options, 1);
    world.open();
    let call = world.call("slow", 3_600_000);
    world.run_for(SECOND);
    let exchange = world.started("tools/call")[0].id;
    world.reset_exchange(exchange);
    assert_eq!(world.wait(call, 400 * SECOND).code(), Some(errors::TIMED_OUT));
    let gets: Vec<_> = resumptions(&world).iter().map(|one| one.at).collect();
    let gaps: Vec<_> = gets.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1]), "{gaps:?}");
    assert!(gaps.iter().all(|gap| (15..=61).contains(gap)), "{gaps:?}");
    assert!(gaps.contains(&60) && gaps.contains(&15), "{gaps:?}");
    world.verify();
}

#[test]
fn a_resumed_stream_that_speaks_is_left_alone() {
    let mut world = World::new(Knobs::resumable());
    world.open();
    let call = world.ask("tools/call", &call_params("slow", 100_000, 5000));
    world.run_for(SECOND);
    let exchange = world.started("tools/call")[0].id;
    world.reset_exchange(exchange);
    assert!(matches!(world.wait(call, 200 * SECOND), Answer::Result(_)));
    assert_eq!(resumptions(&world).len(), 1, "{}", world.story());
    world.verify();
}

#[test]
fn the_server_restarts_while_a_stream_is_to_be_resumed() {
    for away in [10 * MILLISECOND, 5 * SECOND] {
        let mut world = World::new(Knobs::resumable());
        world.open();
        let call = world.call("slow", 6000);
        world.run_for(SECOND);
        world.restart(away);
        assert_eq!(world.wait(call, 60 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
        // The cursor of the old session went nowhere.
        let current = world.server.current.clone();
        assert!(resumptions(&world).iter().all(|one| one.header("mcp-session-id") != Some(&current)));
        world.verify();
    }
}

#[test]
fn the_outage_of_a_durable_server_is_waited_out() {
    let mut world = World::new(Knobs { durable: true, ..Knobs::resumable() });
    world.open();
    let call = world.call("slow", 6000);
    world.run_for(SECOND);
    world.now(Fault::ResetAll);
    // The reset is heard before nothing is any more.
    world.run_for(2 * MILLISECOND);
    world.now(Fault::BlackHole);
    world.run_for(25 * SECOND);
    world.now(Fault::Heal);
    let answer = world.wait(call, 60 * SECOND);
    assert!(matches!(answer, Answer::Result(_)), "{answer:?}\n{}", world.story());
    assert_eq!(world.server.runs_of(call), 1);
    world.verify();
}

#[test]
fn event_ids_are_a_cursor_for_each_stream() {
    let mut world = World::new(Knobs::resumable());
    world.open();
    let first = world.ask("tools/call", &call_params("slow", 6000, 1000));
    let second = world.ask("tools/call", &call_params("slow", 6500, 700));
    world.run_for(2500 * MILLISECOND);
    world.now(Fault::ResetAll);
    assert!(matches!(world.wait(first, 20 * SECOND), Answer::Result(_)));
    assert!(matches!(world.wait(second, 20 * SECOND), Answer::Result(_)));
    let streams: std::collections::BTreeSet<_> = resumptions(&world)
        .iter()
        .map(|one| one.header("last-event-id").unwrap().rsplit_once('/').unwrap().0.to_string())
        .collect();
    assert_eq!(streams.len(), 2);
    assert_eq!(world.heard("notifications/progress").len(), 5 + 9);
    world.verify();
}

#[test]
fn an_event_id_that_cannot_stand_in_a_header_is_no_cursor() {
    for id in ["a\u{7f}b", "\u{e9}", "a\u{1}"] {
        let mut world = World::new(Knobs::resumable());
        world.open();
        world.rule("tools/call", Reply::RunThenEvents(vec![format!("id: {id}\ndata:\n\n")], true));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
        assert!(resumptions(&world).is_empty());
        world.verify();
    }
}

#[test]
fn a_call_that_is_cut_off_waits_no_longer_than_one_that_was_never_sent() {
    let mut world = World::new(Knobs::resumable());
    world.open();
    let call = world.call("slow", 600_000);
    world.run_for(2 * SECOND);
    world.now(Fault::Kill);
    let killed = world.now;
    assert_eq!(world.wait(call, 300 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
    assert!(world.now - killed <= 185 * SECOND, "{} s", (world.now - killed).as_secs());
    world.verify();
}
