//! "The session is gone", in every spelling that was seen, and what it must not be taken for.

use crate::support::server::{json_body, status_text};
use crate::support::*;

const HTTP: [Lost; 7] = [
    Lost::Code404,
    Lost::ServerError404,
    Lost::Plain404,
    Lost::NoValid400,
    Lost::NotInitialized400,
    Lost::Ok200,
    Lost::Unknown200,
];

const SSE: [Lost; 5] =
    [Lost::CouldNotFind404, Lost::Empty404, Lost::Different400, Lost::NoActive503, Lost::NoActive400];

#[test]
fn a_restart_between_two_calls_is_not_noticed() {
    for (knobs, spellings) in [(Knobs::http(), &HTTP[..]), (Knobs::sse(), &SSE[..])] {
        for lost in spellings {
            for away in [5 * MILLISECOND, 2 * SECOND, 40 * SECOND] {
                let mut world = World::new(Knobs { lost: *lost, ..knobs.clone() });
                world.open();
                world.restart(away);
                world.run_for(away + 100 * MILLISECOND);
                let call = world.call("echo", 0);
                let answer = world.wait(call, 10 * SECOND);
                assert!(matches!(answer, Answer::Result(_)), "{lost:?} {away:?} {answer:?}");
                assert_eq!(world.server.runs_of(call), 1);
                assert_eq!(world.engine.status().session.unwrap().epoch, 2);
                world.check_runs();
                world.verify();
            }
        }
    }
}

#[test]
fn a_session_forgotten_by_a_living_server_is_made_anew() {
    for (knobs, spellings) in [(Knobs::http(), &HTTP[..]), (Knobs::sse(), &SSE[..])] {
        for lost in spellings {
            let mut world = World::new(Knobs { lost: *lost, ..knobs.clone() });
            world.open();
            world.now(Fault::Forget);
            let call = world.call("echo", 0);
            let answer = world.wait(call, 10 * SECOND);
            assert!(matches!(answer, Answer::Result(_)), "{lost:?} {answer:?}");
            assert_eq!(world.server.runs_of(call), 1);
            world.verify();
        }
    }
}

#[test]
fn a_call_that_the_server_takes_and_drops_ends() {
    for knobs in [
        Knobs { lost: Lost::Dropped202, ..Knobs::http() },
        Knobs { lost: Lost::Never, ..Knobs::http() },
        Knobs { lost: Lost::Never, ..Knobs::sse() },
        Knobs { lost: Lost::Dropped202, ..Knobs::sse() },
    ] {
        let told = format!("{:?} {:?}", knobs.offer, knobs.lost);
        let mut world = World::new(knobs);
        world.open();
        world.now(Fault::Forget);
        // Nothing in flight: the heartbeat finds out.
        world.run_for(60 * SECOND);
        assert_eq!(world.engine.status().reconnects, 1, "{told}");
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 30 * SECOND), Answer::Result(_)), "{told}");
        world.verify();
    }
}

#[test]
fn a_404_without_a_session_is_an_answer_if_the_server_says_so() {
    let mut world = World::new(Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() });
    world.open();
    let body = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"no such method"}}"#;
    world.rule("tools/call", Reply::Status(404, vec![("content-type", "application/json".into())], body.into()));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::METHOD_NOT_FOUND));
    assert_eq!(world.engine.status().reconnects, 0);
    world.verify();
}

#[test]
fn errors_of_tools_that_speak_of_sessions_are_answers() {
    for (code, message) in [
        (-32000, "browser session not found"),
        (-32001, "Invalid session_name"),
        (-32603, "Session not found"),
        (-32000, "database not initialized"),
        (-32602, "unknown session type"),
    ] {
        let mut world = World::new(Knobs::http());
        world.open();
        let body = format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"{message}"}}}}"#);
        world.rule("tools/call", Reply::RunThen(200, vec![("content-type", "application/json".into())], body));
        let call = world.call("echo", 0);
        let answer = world.wait(call, 5 * SECOND);
        assert_eq!(answer, Answer::Error(code, message.into()));
        assert_eq!(world.server.runs_of(call), 1);
        world.verify();
    }
}

#[test]
fn a_loss_told_after_progress_is_not_run_again() {
    let mut world = World::new(Knobs::http());
    world.open();
    let progress =
        r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1}}"#;
    let error = r#"data: {"jsonrpc":"2.0","id":$ID,"error":{"code":-32600,"message":"Session not found"}}"#;
    world.rule("tools/call", Reply::RunThenEvents(vec![format!("{progress}\n\n"), format!("{error}\n\n")], true));
    let call = world.call("echo", 0);
    world.wait(call, 20 * SECOND);
    assert_eq!(world.server.runs_of(call), 1);
    world.check_runs();
    world.verify();
}

#[test]
fn a_session_lost_twice_under_a_call_names_the_balancer() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("tools/call", 100, status_text(404, "session not found"));
    let call = world.call("echo", 0);
    let Answer::Error(code, text) = world.wait(call, 20 * SECOND) else { panic!() };
    assert_eq!(code, errors::SESSION_UNSTABLE);
    assert!(text.contains("balanc"), "{text}");
    assert_eq!(world.started("tools/call").len(), 2);
    // Without progress new sessions are not made without pause.
    let before = world.started("\"initialize\"").len();
    for _ in 0..20 {
        world.call("echo", 0);
        world.run_for(500 * MILLISECOND);
    }
    let made = world.started("\"initialize\"").len() - before;
    assert!(made <= 25, "{made} sessions in 10 s");
    world.verify();
}

#[test]
fn a_proxy_that_answers_404_to_everything_changes_nothing() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("/mcp", 40, status_text(404, "404 page not found"));
    let call = world.call("echo", 0);
    let answer = world.wait(call, 60 * SECOND);
    assert!(matches!(answer, Answer::Result(_)), "{answer:?}");
    assert_eq!(world.engine.status().session.unwrap().transport, Transport::StreamableHttp);
    world.verify();
}

/// HTTP+SSE behind a proxy that reconnects the stream: the new session was never initialised.
fn uninitialised() -> World {
    let mut world = World::new(Knobs { strict: true, ..Knobs::sse() });
    world.open();
    // The server forgets that this session was initialised.
    for session in world.server.sessions.values_mut() {
        session.initialized = false;
        session.log.clear();
    }
    world
}

#[test]
fn an_uninitialised_session_is_found_out_by_a_list() {
    let mut world = uninitialised();
    let call = world.call("echo", 0);
    let answer = world.wait(call, 20 * SECOND);
    assert!(matches!(answer, Answer::Result(_)), "{answer:?}");
    assert_eq!(world.server.runs_of(call), 1);
    assert_eq!(world.engine.status().session.unwrap().epoch, 2);
}

#[test]
fn an_ordinary_parameter_error_is_an_answer() {
    let mut world = World::new(Knobs::http());
    world.open();
    for message in ["Invalid request parameters", "wrong cursor"] {
        world.rule(
            "tools/call",
            json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":-32602,"message":"{message}"}}}}"#)),
        );
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, 5 * SECOND), Answer::Error(-32602, message.into()));
    }
    assert_eq!(world.engine.status().reconnects, 0);
    // Only the first was worth a look.
    assert_eq!(world.started("tools/list").len(), 1);
    world.verify();
}

#[test]
fn results_of_an_old_session_still_count() {
    // A rolling deploy: new requests meet a new server, the old one finishes what it has.
    let mut world = World::new(Knobs::http());
    world.open();
    let slow = world.call("slow", 5000);
    world.run_for(SECOND);
    world.now(Fault::Forget);
    let quick = world.call("echo", 0);
    assert!(matches!(world.wait(quick, 3 * SECOND), Answer::Result(_)));
    assert_eq!(world.engine.status().session.unwrap().epoch, 2);
    assert!(matches!(world.wait(slow, 10 * SECOND), Answer::Result(_)));
    assert_eq!(world.server.runs_of(slow), 1);
    world.verify();
}

#[test]
fn a_session_lost_under_two_calls_is_made_anew_once() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.now(Fault::Forget);
    let calls: Vec<_> = (0..5).map(|_| world.call("echo", 0)).collect();
    for call in calls {
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
        assert_eq!(world.server.runs_of(call), 1);
    }
    assert_eq!(world.started("\"initialize\"").len(), 2);
    world.verify();
}

#[test]
fn a_stateless_server_that_is_updated_to_one_with_sessions_is_found_out() {
    for knobs in [
        Knobs::http(),
        Knobs { lost: Lost::NoValid400, ..Knobs::http() },
        Knobs { lost: Lost::Ok200, ..Knobs::http() },
        Knobs { wrong_transport: 404, ..Knobs::sse() },
    ] {
        let told = format!("{:?} {:?}", knobs.offer, knobs.lost);
        let mut world = World::new(Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() });
        world.open();
        let call = world.call("echo", 0);
        world.wait(call, SECOND);
        world.now(Fault::Stop);
        world.now(Fault::Become(Box::new(knobs)));
        world.now(Fault::Start);
        // One request may learn of it the hard way; the next one, or the heartbeat, must find out.
        world.run_for(120 * SECOND);
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 30 * SECOND), Answer::Result(_)), "{told}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_stateless_server_that_refuses_every_ping_is_left_alone() {
    let mut world = World::new(Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() });
    world.rules("\"ping\"", 100_000, status_text(404, "no such method"));
    world.open();
    for _ in 0..30 {
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
        world.run_for(70 * SECOND);
    }
    let made = world.started("\"initialize\"").len();
    assert!(made <= 2, "{made} sessions");
    world.verify();
}

#[test]
fn a_stateless_server_is_given_a_hidden_initialize_after_a_break() {
    let mut world = World::new(Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.fate("resources/read", Fate::ResetBefore);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    assert!(matches!(world.wait(read, 5 * SECOND), Answer::Result(_)));
    assert_eq!(world.started("\"initialize\"").len(), 2);
    world.verify();
}

#[test]
fn the_streams_of_a_lost_session_are_closed() {
    let mut world = World::new(Knobs::http());
    world.open();
    let old = world.started("GET")[0].id;
    world.now(Fault::Forget);
    let call = world.call("echo", 0);
    world.wait(call, SECOND);
    assert!(world.net.cancelled.iter().any(|(_, id)| *id == old), "{}", world.story());
    world.verify();
}

#[test]
fn a_goodbye_is_over_with_its_status_and_only_sessions_are_ended() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("DELETE", Reply::Hang);
    world.host(Input::Reconnect);
    world.run_for(10 * MILLISECOND);
    let delete = world.started("DELETE")[0].id;
    let asked = world.now;
    world.head(delete, 500);
    world.run_until(SECOND, |world| world.started("\"initialize\"").len() == 2);
    assert!(world.now - asked < 10 * MILLISECOND, "{}", world.story());
    for knobs in [Knobs { stateless: true, ..Knobs::http() }, Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        world.host(Input::Reconnect);
        world.run_for(SECOND);
        world.host(Input::Close);
        world.run_for(SECOND);
        assert!(world.started("DELETE").is_empty() && world.closed);
        world.verify();
    }
}

#[test]
fn a_call_that_loses_its_session_while_there_is_no_contact_is_told_at_once() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("tools/call", Reply::Hang);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let exchange = world.started("tools/call")[0].id;
    // The client begins anew, and is refused.
    world.rules("\"initialize\"", 9, crate::support::server::status(401));
    let again = world.initialize();
    world.wait(again, 2 * SECOND);
    assert!(world.answer(call).is_none(), "{}", world.story());
    world.respond(exchange, 404, "session not found");
    assert_eq!(world.wait(call, 10 * MILLISECOND).code(), Some(errors::UNAVAILABLE), "{}", world.story());
    world.verify();
}

#[test]
fn a_parameter_error_is_looked_into_only_where_it_may_mean_a_loss() {
    let error = |text: &str| {
        json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":-32602,"message":"{text}"}}}}"#))
    };
    // Of any text as the first answer after a connect; of the known text once; of another text never.
    for (text, restart, lists) in [
        ("bad cursor", false, 0),
        ("bad cursor", true, 1),
        ("Invalid request parameters", false, 1),
        ("Invalid request parameters", true, 1),
    ] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        if restart {
            world.restart(SECOND);
            world.run_for(90 * SECOND);
            assert_eq!(world.engine.status().reconnects, 1);
        }
        for _ in 0..3 {
            world.rule("tools/call", error(text));
            let call = world.call("echo", 0);
            assert_eq!(world.wait(call, SECOND), Answer::Error(-32602, text.into()));
        }
        assert_eq!(world.started("tools/list").len(), lists, "{text} {restart}");
        world.verify();
    }
}
