//! The optional GET stream of Streamable HTTP: its loss is never the session's.

use crate::support::server::status;
use crate::support::*;

#[test]
fn a_server_without_one_is_not_asked_twice() {
    for code in [400, 404, 405, 501, 200, 204] {
        let mut world = World::new(Knobs { get: Get::Status(code), ..Knobs::http() });
        world.open();
        // Where there never was one, its absence says nothing of the session.
        assert!(world.started("\"ping\"").is_empty(), "{code}");
        world.run_for(100 * SECOND);
        let gets = world.started("GET").len();
        assert!(gets == 1 || code == 501, "{code}: {gets}");
        assert_eq!(world.engine.status().reconnects, 0, "{code}");
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
        world.verify();
    }
}

#[test]
fn a_place_that_is_taken_is_waited_for() {
    let mut world = World::new(Knobs::http());
    world.rules("GET", 3, status(409));
    world.open();
    world.run_for(120 * SECOND);
    assert_eq!(world.started("GET").len(), 4);
    assert_eq!(world.engine.status().reconnects, 0);
    world.server_says(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    world.run_for(SECOND);
    assert_eq!(world.heard("notifications/x").len(), 1);
    world.verify();
}

#[test]
fn one_that_ends_or_breaks_is_opened_again_in_the_same_session() {
    for clean in [true, false] {
        let mut world = World::new(Knobs::http());
        world.open();
        for _ in 0..5 {
            let stream = world.started("GET").last().unwrap().id;
            if clean {
                world.end_exchange(stream);
            } else {
                world.reset_exchange(stream);
            }
            world.run_for(40 * SECOND);
        }
        assert!(world.started("GET").len() >= 6);
        assert_eq!(world.engine.status().reconnects, 0);
        assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 0, "{}", world.story());
        world.server_says(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
        world.run_for(SECOND);
        assert_eq!(world.heard("notifications/x").len(), 1, "{}", world.story());
        world.verify();
    }
}

#[test]
fn its_first_opening_may_break_too() {
    for fate in [Fate::ResetBefore, Fate::ResetAfter, Fate::Refused] {
        let mut world = World::new(Knobs::http());
        world.fate("GET", fate);
        world.open();
        world.run_for(60 * SECOND);
        world.server_says(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
        world.run_for(SECOND);
        assert_eq!(world.heard("notifications/x").len(), 1, "{fate:?}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn retry_and_the_cursor_are_obeyed() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = world.started("GET")[0].id;
    let sid = world.server.current.clone();
    world.body(stream, &format!("id: {sid}/standalone/3\nretry: 700\ndata:\n\n"));
    let ended = world.now;
    world.end_exchange(stream);
    world.run_for(5 * SECOND);
    let gets = world.started("GET");
    assert_eq!(gets[1].header("last-event-id"), Some(format!("{sid}/standalone/3").as_str()));
    let waited = gets[1].at - ended;
    assert!((690 * MILLISECOND..=720 * MILLISECOND).contains(&waited), "{waited:?}");
    world.verify();
}

/// A server of the Rust SDK gives its first event the id of the one without data that opened the stream.
#[test]
fn an_id_that_a_server_gives_twice_costs_no_message() {
    let mut world = World::new(Knobs::http());
    world.open();
    let id = format!("{}/standalone/0", world.server.current);
    let note = |n: u32| format!("id: {id}\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{n}\"}}\n\n");
    let stream = world.started("GET")[0].id;
    world.body(stream, &format!("id: {id}\ndata:\n\n{}{}", note(1), note(2)));
    for method in ["notifications/1", "notifications/2"] {
        assert_eq!(world.heard(method).len(), 1, "{method}: {}", world.story());
    }
    // The event that a new stream was asked for by is repeated by some, and is not new.
    world.end_exchange(stream);
    world.run_for(5 * SECOND);
    let stream = world.started("GET")[1].clone();
    assert_eq!(stream.header("last-event-id"), Some(id.as_str()));
    world.body(stream.id, &format!("id: {id}\ndata:\n\n{}{}", note(2), note(3)));
    for method in ["notifications/2", "notifications/3"] {
        assert_eq!(world.heard(method).len(), 1, "{method}: {}", world.story());
    }
    world.verify();
}

#[test]
fn one_that_never_lasts_is_not_asked_for_without_pause() {
    for (reply, fate) in [(Some(Reply::Events(vec![], true)), None), (None, Some(Fate::CutAfter(1)))] {
        let mut world = World::new(Knobs { chatty: true, ..Knobs::http() });
        if let Some(reply) = reply {
            world.rules("GET", 100_000, reply);
        }
        for _ in 0..2000 * u32::from(fate.is_some()) {
            world.fate("GET", fate.unwrap());
        }
        world.open();
        for _ in 0..60 {
            let call = world.call("echo", 0);
            assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
            world.run_for(SECOND);
        }
        let gets = world.started("GET").len();
        assert!((6..45).contains(&gets), "{gets} GETs in a minute\n{}", world.story());
        // An orderly end is no reason for a look at the session; a break is.
        assert_eq!(world.started("\"ping\"").is_empty(), fate.is_none(), "{}", world.story());
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
}

#[test]
fn a_404_where_there_was_a_stream_is_looked_into() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = world.started("GET")[0].id;
    world.now(Fault::Forget);
    world.end_exchange(stream);
    world.run_for(20 * SECOND);
    assert_eq!(world.engine.status().reconnects, 1, "{}", world.story());
    world.verify();
}

#[test]
fn there_is_none_on_http_sse() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.run_for(60 * SECOND);
    assert_eq!(world.started("GET").len(), 1);
}

#[test]
fn one_that_lasts_is_opened_again_after_its_retry_however_often_it_ends() {
    let mut world = World::new(Knobs::http());
    world.open();
    for end in 0..8 {
        world.run_for(11 * SECOND);
        let stream = world.started("GET").last().unwrap().id;
        let ended = world.now;
        world.end_exchange(stream);
        world.run_for(5 * SECOND);
        let waited = world.started("GET").last().unwrap().at - ended;
        assert!(waited.abs_diff(SECOND) < 5 * MILLISECOND, "{end}: {waited:?}\n{}", world.story());
    }
    world.verify();
}

#[test]
fn two_short_ones_in_a_row_are_chance_and_the_third_is_not() {
    let mut third = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let mut world = World::with(Knobs::http(), Options::new(URL), seed);
        world.rules("GET", 3, Reply::Events(vec![], true));
        world.open();
        world.run_for(30 * SECOND);
        let gets: Vec<_> = world.started("GET").iter().map(|one| one.at).collect();
        let gaps: Vec<_> = gets.windows(2).map(|pair| (pair[1] - pair[0]).as_millis() / 10).collect();
        assert_eq!((gaps.len(), &gaps[..2]), (3, &[100, 100][..]), "{gaps:?}");
        third.insert(gaps[2]);
    }
    assert!(third.len() > 4, "{third:?}");
}

#[test]
fn its_pause_is_kept_although_a_ping_is_answered_sooner() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = world.started("GET")[0].id;
    let broke = world.now;
    world.reset_exchange(stream);
    world.run_for(2 * MILLISECOND);
    world.host(Input::Probe);
    world.run_for(10 * SECOND);
    let gets = world.started("GET");
    assert_eq!(gets.len(), 2);
    assert!(gets[1].at - broke >= 100 * MILLISECOND, "{}", world.story());
    world.verify();
}

#[test]
fn one_that_lasts_for_less_than_ten_seconds_is_a_short_one() {
    let mut third = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let mut world = World::with(Knobs::http(), Options::new(URL), seed);
        world.open();
        for end in 0..3 {
            world.run_for(9 * SECOND);
            let stream = world.started("GET").last().unwrap().id;
            let ended = world.now;
            world.end_exchange(stream);
            world.run_until(60 * SECOND, |world| world.started("GET").len() == end + 2);
            if end == 2 {
                third.insert((world.now - ended).as_millis() / 10);
            }
        }
        world.verify();
    }
    assert!(third.len() > 4, "{third:?}");
}

#[test]
fn one_that_nobody_accepts_shows_that_the_server_is_away() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = world.started("GET")[0].id;
    world.fate("GET", Fate::Refused);
    world.end_exchange(stream);
    world.run_for(5 * SECOND);
    assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 1, "{}", world.story());
    assert_eq!((world.engine.status().state, world.started("GET").len()), (State::Ready, 3), "{}", world.story());
    assert_eq!(world.engine.status().reconnects, 0);
    world.verify();
}

/// What is said while no stream is open is kept for nobody: what was accepted without an answer is decided.
#[test]
fn a_stream_that_is_refused_for_now_brings_no_answer() {
    for code in [409, 429, 503] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.rules("GET /mcp", 3, status(code));
        world.end_streams();
        world.rule("tools/call", Reply::RunThen(202, Vec::new(), String::new()));
        let call = world.call("echo", 0);
        let Answer::Error(error, _) = world.wait(call, 5 * SECOND) else { panic!("{}", world.story()) };
        assert_eq!(error, errors::OUTCOME_UNKNOWN);
        world.verify();
    }
}
