//! Where the engine's own requests come to nothing and the client's are answered, the client's decide.

use crate::support::server::{json_body, status};
use crate::support::*;

/// The ways in which pings and lists come to nothing, for ever.
fn failures() -> Vec<Reply> {
    let rest = |code| Reply::Status(code, vec![("retry-after", String::from("2"))], String::new());
    let mut all: Vec<_> = [400, 401, 404, 405, 410, 429, 500, 502, 503].map(status).into();
    all.extend([rest(429), rest(503), Reply::Hang, Reply::Events(Vec::new(), true), Reply::EventsThenCut(Vec::new())]);
    all.push(Reply::Status(307, vec![("location", String::from("/mcp?moved"))], String::new()));
    all.push(json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32603,"message":"Session terminated"}}"#));
    all
}

#[test]
fn where_neither_pings_nor_lists_are_answered_requests_are_and_sessions_are_few() {
    for knobs in [Knobs::http(), Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() }, Knobs::sse()] {
        for ping in failures() {
            for list in [status(429), Reply::Hang, ping.clone()] {
                let mut world = World::new(knobs.clone());
                world.open();
                world.rules("own \"ping\"", u32::MAX, ping.clone());
                world.rules("own tools/list", u32::MAX, list.clone());
                let told = format!("{:?} {ping:?} {list:?}", world.server.knobs.offer);
                for _ in 0..10 {
                    world.run_for(360 * SECOND);
                    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
                    let answer = world.wait(read, 120 * SECOND);
                    assert!(matches!(answer, Answer::Result(_)), "{told}: {answer:?}\n{}", world.story());
                    let call = world.call("echo", 0);
                    let answer = world.wait(call, 120 * SECOND);
                    assert!(matches!(answer, Answer::Result(_)), "{told}: {answer:?}\n{}", world.story());
                }
                let sessions = world.engine.status().reconnects;
                assert!(sessions <= 20, "{told}: {sessions} new sessions in an hour\n{}", world.story());
                world.check_runs();
                world.verify();
            }
        }
    }
}

/// The session of a server that answers none of them dies in silence: the first request that comes to nothing tells.
#[test]
fn a_request_that_comes_to_nothing_is_proof_enough() {
    for (lost, reply) in
        [(Lost::Dropped202, Reply::Hang), (Lost::Plain(503, ""), status(503)), (Lost::Code404, status(404))]
    {
        let mut world = World::new(Knobs { lost, get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.rules("own \"ping\"", u32::MAX, reply.clone());
        world.rules("own tools/list", u32::MAX, reply.clone());
        world.run_for(1200 * SECOND);
        world.now(Fault::Forget);
        let first = world.ask("resources/read", r#"{"tag":$TAG}"#);
        world.wait(first, 60 * SECOND);
        world.run_for(60 * SECOND);
        let second = world.call("echo", 0);
        let answer = world.wait(second, 60 * SECOND);
        assert!(matches!(answer, Answer::Result(_)), "{lost:?}: {answer:?}\n{}", world.story());
        world.verify();
    }
}

/// A ping that is limited, without a time, is no reason to hold up what the client asks for.
#[test]
fn a_limited_ping_holds_up_nothing() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.run_for(29 * SECOND);
    world.rules("own \"ping\"", 3, status(429));
    world.run_for(2 * SECOND);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    let asked = world.now;
    assert!(matches!(world.wait(read, 10 * SECOND), Answer::Result(_)), "{}", world.story());
    assert!(world.now - asked < 100 * MILLISECOND, "{}", world.story());
    world.verify();
}

/// Nothing was sent in it: it is not given up.
#[test]
fn a_session_whose_initialized_could_not_be_sent_is_kept() {
    for fate in [Fate::Refused, Fate::NoName] {
        let mut world = World::new(Knobs::http());
        for _ in 0..3 {
            world.fate("notifications/initialized", fate);
        }
        world.open();
        assert_eq!(world.server.sessions.len(), 1, "{}", world.story());
        let disconnected = world.count(|event| matches!(event, Event::Disconnected { .. }));
        assert_eq!(disconnected, 0, "the client never heard of it\n{}", world.story());
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 10 * SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

/// What the server had said of itself in it is still told.
#[test]
fn a_server_that_changed_is_told_of_although_initialized_was_sent_twice() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Kill);
    world.now(Fault::Become(Box::new(Knobs { name: "another", ..Knobs::http() })));
    world.now(Fault::Start);
    world.fate("notifications/initialized", Fate::Refused);
    world.run_for(60 * SECOND);
    let changed = world.count(|event| matches!(event, Event::Reconnected { server_changed: true, .. }));
    assert_eq!(changed, 1, "{}", world.story());
    world.verify();
}

#[test]
fn without_session_ids_a_notification_that_is_always_refused_costs_one_session() {
    for code in [404, 500, 503, 502] {
        let mut world = World::new(Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.rules("notifications/custom", u32::MAX, status(code));
        for _ in 0..30 {
            world.notify("notifications/custom");
            world.run_for(60 * SECOND);
        }
        let sessions = world.engine.status().reconnects;
        assert!(sessions <= 2, "{code}: {sessions} new sessions\n{}", world.story());
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 10 * SECOND), Answer::Result(_)), "{}", world.story());
    }
}

/// Neither the restores of a session nor the list that would verify it are taken; pings are.
#[test]
fn restores_that_are_always_refused_cost_no_sessions_where_lists_are_not_answered() {
    for list in [Reply::Hang, status(400), Reply::EventsThenCut(Vec::new())] {
        for restore in [status(404), status(410), Reply::Events(Vec::new(), true)] {
            for stateless in [false, true] {
                let mut world = World::new(Knobs { stateless, get: Get::Status(405), ..Knobs::http() });
                world.open();
                let subscribed = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"x:1"}"#);
                world.wait(subscribed, SECOND);
                world.rules("own tools/list", u32::MAX, list.clone());
                world.rules("own resources/subscribe", u32::MAX, restore.clone());
                world.restart(100 * MILLISECOND);
                world.host(Input::Reconnect);
                world.run_for(3600 * SECOND);
                let sessions = world.engine.status().reconnects;
                assert!(sessions <= 20, "{list:?} {restore:?}: {sessions} new sessions\n{}", world.story());
                let call = world.call("echo", 0);
                assert!(matches!(world.wait(call, 30 * SECOND), Answer::Result(_)), "{}", world.story());
                world.check_runs();
                world.verify();
            }
        }
    }
}
