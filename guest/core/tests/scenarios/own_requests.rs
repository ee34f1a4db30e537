//! The engine's own requests end within their own time, whatever comes in answer, and each end leads somewhere.

use crate::support::server::{json_body, status, status_text};
use crate::support::*;

const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;

/// What may come on the stream of an answer before it fails.
fn beginnings() -> Vec<Vec<String>> {
    vec![
        vec![],
        vec![format!("id: a\ndata: {NOTE}\n\n")],
        vec![String::from("id: a\nretry: 60000\ndata:\n\n")],
        vec![format!("data: {NOTE}\n\n")],
    ]
}

/// After whatever came of a ping, calls are answered, and within the time that its options allow.
#[test]
fn whatever_comes_on_the_stream_of_a_ping_it_ends() {
    for probing in [true, false] {
        for hold in [1, 5, 180] {
            for events in beginnings() {
                for end in [Some(Fate::CutAfter(1 + events.len() as u32)), None] {
                    let mut options = Options::new(URL);
                    options.hold_timeout = hold * SECOND;
                    let mut world = World::with(Knobs::http(), options, 1);
                    world.open();
                    world.rule("\"ping\"", Reply::Events(events.clone(), false));
                    if let Some(fate) = end {
                        world.fate("\"ping\"", fate);
                    }
                    if probing {
                        world.host(Input::Probe);
                    }
                    let told = format!("probing {probing}, hold {hold} s, {events:?}, {end:?}");
                    world.run_for(60 * SECOND);
                    let call = world.call("echo", 0);
                    let answer = world.wait(call, 20 * SECOND);
                    assert!(matches!(answer, Answer::Result(_)), "{told}: {answer:?}\n{}", world.story());
                    assert_eq!(world.engine.status().state, State::Ready, "{told}");
                    world.verify();
                }
            }
        }
    }
}

#[test]
fn a_list_that_verifies_is_given_the_time_of_a_ping_whatever_comes_before_its_answer() {
    for events in beginnings() {
        let mut world = World::new(Knobs::sse());
        world.open();
        world.rule(
            "tools/call",
            json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32603,"message":"no session"}}"#),
        );
        world.rule("tools/list", Reply::Events(events, false));
        let call = world.call("echo", 0);
        world.run_for(60 * SECOND);
        assert!(world.answer(call).is_some() || world.unanswered() == [call]);
        let next = world.call("echo", 0);
        assert!(matches!(world.wait(next, 20 * SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

/// The dead session is refused in a way that says nothing, while another one would be granted.
#[test]
fn pings_that_are_refused_lead_to_an_initialize() {
    for (code, text) in [(503, ""), (500, ""), (502, "<html>"), (401, "no"), (403, ""), (410, ""), (409, ""), (422, "")]
    {
        for knobs in [Knobs::http(), Knobs { capabilities: "{}", ..Knobs::http() }] {
            let mut world = World::new(Knobs { lost: Lost::Plain(code, text), durable: false, ..knobs });
            world.open();
            world.restart(SECOND);
            world.run_for(20 * SECOND);
            let call = world.ask("resources/read", r#"{"tag":$TAG}"#);
            let answer = world.wait(call, 30 * SECOND);
            assert!(matches!(answer, Answer::Result(_)), "{code}: {answer:?}\n{}", world.story());
            let pings = world.started("\"ping\"").len();
            assert!(pings <= 6, "{code}: {pings} pings");
            world.check_runs();
            world.verify();
        }
    }
}

/// A server that refuses pings, and nothing else, is a server all the same.
#[test]
fn a_server_that_refuses_every_ping_is_used_and_not_given_new_sessions() {
    for code in [400, 404, 405, 500, 503] {
        for knobs in [Knobs::http(), Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() }, Knobs::sse()] {
            let mut world = World::new(knobs);
            world.open();
            world.rules("\"ping\"", 100_000, status(code));
            world.now(Fault::ResetAll);
            world.run_for(10 * MILLISECOND);
            let call = world.call("echo", 0);
            let answer = world.wait(call, 20 * SECOND);
            assert!(matches!(answer, Answer::Result(_)), "{code}: {answer:?}\n{}", world.story());
            // An hour of idleness.
            world.run_for(3600 * SECOND);
            let sessions = world.engine.status().reconnects;
            assert!(sessions <= 3, "{code}: {sessions} new sessions in an hour");
            let call = world.call("echo", 0);
            assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{code}\n{}", world.story());
            world.verify();
        }
    }
}

/// Two restarts, and no ping was answered between them: the second one is found as well.
#[test]
fn one_refused_ping_does_not_hide_the_next_restart() {
    let mut world = World::new(Knobs::http());
    world.open();
    for restart in 1..=4 {
        world.restart(100 * MILLISECOND);
        world.run_for(25 * SECOND);
        assert_eq!(world.engine.status().reconnects, restart, "{}", world.story());
    }
    world.verify();
}

#[test]
fn a_notification_that_is_always_refused_costs_no_sessions() {
    for knobs in [Knobs::http(), Knobs { capabilities: "{}", ..Knobs::http() }, Knobs::sse()] {
        for code in [404, 400, 500, 429, 503, 401] {
            let mut world = World::new(knobs.clone());
            world.open();
            world.rules("notifications/custom", 100_000, status(code));
            let mut calls = Vec::new();
            for _ in 0..60 {
                world.notify("notifications/custom");
                calls.push(world.ask("resources/read", r#"{"tag":$TAG}"#));
                world.run_for(10 * SECOND);
            }
            world.run_for(400 * SECOND);
            let told = format!("{code} {:?} {}", knobs.offer, knobs.capabilities);
            let answered = calls.iter().filter(|call| world.has_result(**call)).count();
            assert!(answered >= 59, "{told}: {answered} of 60 calls\n{}", world.story());
            let sessions = world.engine.status().reconnects;
            assert!(sessions <= 2, "{told}: {sessions} new sessions\n{}", world.story());
            let sent = world.started("notifications/custom").len();
            assert!(sent <= 400, "{told}: {sent} sendings");
            let before = sent;
            world.run_for(3600 * SECOND);
            assert_eq!(world.started("notifications/custom").len(), before, "{told}: it is given up");
            world.verify();
        }
    }
}

#[test]
fn sessions_that_are_never_ready_are_few_and_are_deleted() {
    for code in [400, 404, 405, 500, 503] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.rules("notifications/initialized", 100_000, status(code));
        world.now(Fault::Kill);
        world.now(Fault::Start);
        let call = world.call("echo", 0);
        world.run_for(75 * SECOND);
        assert_eq!(world.error(call), Some(errors::SESSION_UNSTABLE), "{code} {:?}", world.answer(call));
        assert!(world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("affinity"))) > 0);
        let made = world.started("\"initialize\"").len();
        assert!(made <= 16, "{code}: {made} sessions in 75 s");
        let alive = world.server.sessions.values().filter(|session| session.alive).count();
        assert!(alive <= 2, "{code}: {alive} sessions live");
        world.server.rules.clear();
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 40 * SECOND), Answer::Result(_)), "{code}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn an_initialize_that_is_answered_with_nothing_of_use_is_not_asked_for_without_pause() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("\"initialize\"", 100_000, json_body("{}"));
    world.restart(10 * MILLISECOND);
    world.call("echo", 0);
    world.run_for(45 * SECOND);
    let tries = world.started("\"initialize\"").len();
    assert!((5..=30).contains(&tries), "{tries} tries in 45 s");
    world.verify();
}

#[test]
fn a_restore_that_is_always_refused_costs_no_sessions() {
    for code in [404, 400, 500, 401] {
        let mut world = World::new(Knobs::http());
        world.open();
        let subscribe = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"x:1"}"#);
        world.wait(subscribe, SECOND);
        world.rules("resources/subscribe", 100_000, status_text(code, "no"));
        world.restart(SECOND);
        world.run_for(600 * SECOND);
        let sessions = world.engine.status().reconnects;
        assert!((1..=2).contains(&sessions), "{code}: {sessions} new sessions\n{}", world.story());
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{code}");
        world.verify();
    }
}
