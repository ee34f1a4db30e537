//! What stands before the server and answers in its place: an outage, in a session that was good.

use crate::support::server::{status, status_text};
use crate::support::*;

const PAGE: &str = "<!DOCTYPE html>\n<title>We are back soon</title>";

fn page() -> Reply {
    Reply::Status(200, vec![("content-type", "text/html; charset=utf-8".into())], PAGE.into())
}

fn redirect(to: &str) -> Reply {
    Reply::Status(302, vec![("location", to.into())], String::new())
}

/// Everything that answers in the place of a server with sessions.
fn in_place() -> Vec<Reply> {
    vec![
        page(),
        redirect("https://status.test/maintenance"),
        redirect("/maintenance.html"),
        status_text(403, "Error 403 - This web app is stopped."),
        status_text(521, "error code: 521"),
        status_text(523, ""),
        status_text(530, "error code: 1033"),
        status_text(503, "no healthy upstream"),
        Reply::Status(503, vec![("retry-after", "1".into())], "later".into()),
    ]
}

fn stateless() -> Knobs {
    Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() }
}

fn lines(world: &World) -> usize {
    world.count(|event| {
        matches!(event, Event::Disconnected { .. })
            || matches!(event, Event::Diagnostic { level, .. } if *level >= mcp_reconnect_core::Level::Info)
    })
}

#[test]
fn a_maintenance_is_an_outage_and_nothing_runs_twice() {
    for knobs in [Knobs::http(), Knobs::sse(), stateless()] {
        for reply in in_place() {
            let told = format!("{:?} {reply:?}", knobs.offer);
            let mut world = World::new(knobs.clone());
            world.open();
            // All that is asked for is answered so, for half a minute.
            let before = world.server.rules.len();
            world.rules("/m", u32::MAX, reply);
            let call = world.call("echo", 0);
            let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
            world.run_for(30 * SECOND);
            assert!(world.answer(call).is_none() && world.answer(list).is_none(), "{told}\n{}", world.story());
            assert_eq!(world.server.runs_of(call), 0);
            assert!(lines(&world) >= 1, "{told}\n{}", world.story());
            world.server.rules.truncate(before);
            assert!(matches!(world.wait(call, 3 * SECOND), Answer::Result(_)), "{told}\n{}", world.story());
            assert!(matches!(world.wait(list, 3 * SECOND), Answer::Result(_)), "{told}\n{}", world.story());
            assert_eq!(world.server.runs_of(call), 1);
            world.verify();
        }
    }
}

#[test]
fn an_idle_connection_outlives_it() {
    for knobs in [Knobs::http(), stateless()] {
        for reply in in_place() {
            let mut world = World::new(knobs.clone());
            world.open();
            world.rules("/m", u32::MAX, reply.clone());
            world.run_for(120 * SECOND);
            assert!(lines(&world) >= 1, "{reply:?}\n{}", world.story());
            world.server.rules.clear();
            let call = world.call("echo", 0);
            assert!(matches!(world.wait(call, 3 * SECOND), Answer::Result(_)), "{reply:?}\n{}", world.story());
            world.verify();
        }
    }
}

#[test]
fn half_of_the_nodes_answer_a_page() {
    let mut world = World::new(Knobs::http());
    world.open();
    for _ in 0..20 {
        world.rules("tools/call", 3, page());
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 10 * SECOND), Answer::Result(_)), "{}", world.story());
        assert_eq!(world.server.runs_of(call), 1);
    }
    world.verify();
}

#[test]
fn a_call_that_never_gets_through_while_others_do_is_given_up() {
    for knobs in [Knobs::http(), Knobs::sse(), stateless()] {
        let mut world = World::new(knobs);
        world.open();
        world.rules("\"tools/call\"", u32::MAX, page());
        let call = world.call("echo", 0);
        let Answer::Error(code, text) = world.wait(call, 60 * SECOND) else { panic!("{}", world.story()) };
        assert_eq!(code, errors::HTTP_ERROR);
        assert!(text.contains("an HTML page"), "{text}");
        assert!(world.started("\"tools/call\"").len() <= 11);
        let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
        assert!(matches!(world.wait(list, 5 * SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

#[test]
fn the_first_contact_says_what_it_met() {
    for (reply, words) in [
        (page(), "where MCP was expected"),
        (redirect("https://login.test/?next=s3cret"), "redirects to https://login.test/"),
    ] {
        let mut world = World::new(Knobs::http());
        world.rules("/mcp", u32::MAX, reply);
        let initialize = world.initialize();
        let Answer::Error(code, text) = world.wait(initialize, SECOND) else { panic!("{}", world.story()) };
        assert_eq!(code, errors::HTTP_ERROR);
        assert!(text.contains(words) && !text.contains("s3cret"), "{text}");
        // Mended, it is as if nothing had been.
        world.server.rules.clear();
        world.open();
        world.verify();
    }
    // Nobody there yet: like a server that is down.
    for reply in [status_text(403, "Error 403 - This web app is stopped."), status_text(530, "error code: 1033")] {
        let mut world = World::new(Knobs::http());
        world.rules("/mcp", u32::MAX, reply.clone());
        let initialize = world.initialize();
        world.run_for(10 * SECOND);
        assert!(world.answer(initialize).is_none(), "{reply:?}");
        world.server.rules.clear();
        assert!(matches!(world.wait(initialize, 5 * SECOND), Answer::Result(_)), "{reply:?}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn the_handshake_after_a_restart_meets_it_too() {
    for (part, reply) in [
        ("\"initialize\"", page()),
        ("notifications/initialized", page()),
        ("\"initialize\"", redirect("/maintenance")),
        ("notifications/initialized", redirect("/maintenance")),
        ("\"initialize\"", status_text(404, "Cannot POST /mcp")),
        ("\"initialize\"", status_text(403, "web app is stopped")),
    ] {
        for knobs in [Knobs::http(), stateless()] {
            let mut world = World::new(knobs);
            world.open();
            world.restart(SECOND);
            world.rules(part, 5, reply.clone());
            world.run_for(100 * MILLISECOND);
            let call = world.call("echo", 0);
            assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{part} {reply:?}\n{}", world.story());
            assert_eq!(world.server.runs_of(call), 1);
            world.verify();
        }
    }
}

#[test]
fn a_server_without_sessions_is_back_before_it_is_ready() {
    for reply in [
        status_text(404, "Cannot POST /mcp"),
        status_text(404, ""),
        Reply::Status(404, vec![("content-type", "application/json".into())], r#"{"error":"not found"}"#.into()),
        status(200),
        status_text(503, "starting"),
        page(),
    ] {
        let mut world = World::new(stateless());
        world.open();
        world.restart(50 * MILLISECOND);
        world.run_for(100 * MILLISECOND);
        world.rules("POST", u32::MAX, reply.clone());
        let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
        world.run_for(SECOND);
        assert!(world.answer(list).is_none(), "{reply:?}\n{}", world.story());
        let call = world.call("echo", 0);
        world.run_for(SECOND);
        assert!(world.answer(call).is_none(), "{reply:?}\n{}", world.story());
        world.server.rules.clear();
        assert!(matches!(world.wait(list, 5 * SECOND), Answer::Result(_)), "{reply:?}\n{}", world.story());
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{reply:?}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_server_without_sessions_that_stops_answers_nothing() {
    let mut world = World::new(stateless());
    world.open();
    world.rule("tools/call", Reply::RunThen(200, Vec::new(), String::new()));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
    world.rule("resources/read", Reply::RunThen(200, Vec::new(), String::new()));
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    assert!(matches!(world.wait(read, 5 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn words_that_a_server_calls_html_are_a_success() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.rule(
            "notifications/initialized",
            Reply::Status(200, vec![("content-type", "text/html".into())], "ok".into()),
        );
        world.initialize();
        world.run_for(SECOND);
        assert_eq!(world.count(|event| matches!(event, Event::Connected(_))), 1, "{}", world.story());
        world.verify();
    }
}

#[test]
fn the_servers_own_stream_comes_back() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::ResetAll);
    world.rules("GET", 3, page());
    world.run_for(100 * SECOND);
    let current = world.server.current.clone();
    assert!(world.server.sessions[&current].stream.is_some(), "{}", world.story());
    world.verify();
}

#[test]
fn compression_is_refused_and_named_where_it_cannot_be_read() {
    let coded = |status, kind: &str, coding: &str| {
        let headers = vec![("content-type", kind.to_string()), ("Content-Encoding", coding.to_string())];
        Reply::RunThen(status, headers, String::from("\u{28}\u{b5}\u{2f}"))
    };
    for kind in ["application/json", "text/event-stream", "text/html"] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.rule("tools/call", coded(200, kind, "ZSTD, x y"));
        let call = world.call("echo", 0);
        let Answer::Error(code, text) = world.wait(call, SECOND) else { panic!("{}", world.story()) };
        assert_eq!(code, errors::HTTP_ERROR);
        assert!(text.contains("compressed (ZSTD, unreadable)"), "{text}");
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
        for started in &world.net.started {
            let said: Vec<_> = started.request.headers.iter().filter(|(name, _)| name == "accept-encoding").collect();
            assert!(matches!(said[..], [(_, value)] if value == "identity"), "{}", started.body());
        }
    }
    let mut world = World::new(Knobs::http());
    world.rules("\"initialize\"", 1, coded(200, "application/json", "br"));
    let initialize = world.initialize();
    let Answer::Error(_, text) = world.wait(initialize, SECOND) else { panic!("{}", world.story()) };
    assert!(text.contains("(br)"), "{text}");
    // As it is, whatever it is called.
    let mut world = World::new(Knobs::http());
    world.open();
    let headers = vec![("content-type", "application/json".into()), ("content-encoding", " Identity".into())];
    let body = r#"{"jsonrpc":"2.0","id":$ID,"result":{}}"#;
    world.rule("tools/call", Reply::RunThen(200, headers, body.into()));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}
