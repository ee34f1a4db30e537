//! What each end of an exchange means, and what it does not: for its request, for the session, and for what comes after.

use crate::support::server::{json_body, status, status_text};
use crate::support::*;

/// The code with which a server refuses a version that it does not speak.
const UNSUPPORTED_VERSION: i64 = -32022;
const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;

fn stateless() -> Knobs {
    Knobs { stateless: true, get: Get::Status(405), ..Knobs::http() }
}

fn error(code: i64, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"{message}"}}}}"#)
}

/// The exchange and the id on the wire of the newest request that holds `part`.
fn newest(world: &World, part: &str) -> (ExchangeId, String) {
    let started = *world.started(part).last().expect("it was sent");
    let message: serde_json::Value = serde_json::from_str(started.body()).expect("bodies are JSON");
    (started.id, message["id"].to_string())
}

fn disconnects(world: &World) -> usize {
    world.count(|event| matches!(event, Event::Disconnected { .. }))
}

/// Pings and lists of the engine's own.
fn looks(world: &World) -> usize {
    world.started("\"ping\"").len() + world.started("tools/list").len()
}

#[test]
fn an_acceptance_that_no_stream_answers_ends_a_session_only_where_no_id_names_it() {
    for (knobs, ended) in [(stateless(), 1), (Knobs { get: Get::Status(405), ..Knobs::http() }, 0)] {
        let mut world = World::new(knobs);
        world.open();
        world.rule("tools/call", Reply::RunThen(202, Vec::new(), String::new()));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
        world.run_for(5 * SECOND);
        assert_eq!(disconnects(&world), ended, "{}", world.story());
        world.verify();
    }
}

/// Of pings that come to nothing in a row the first costs the session, and the second asks for a list, where there is one.
#[test]
fn a_second_ping_in_a_row_that_comes_to_nothing_is_checked_by_a_list() {
    for (reply, without_list) in [(status(202), 2), (status(404), 1), (status(401), 1), (Reply::Hang, 2)] {
        for (capabilities, sessions) in [(Knobs::http().capabilities, 1), ("{}", without_list)] {
            let mut world = World::new(Knobs { capabilities, get: Get::Status(405), ..Knobs::http() });
            world.open();
            world.run_for(31 * SECOND);
            assert_eq!(world.started("\"ping\"").len(), 1);
            world.rules("own \"ping\"", 2, reply.clone());
            world.run_for(100 * SECOND);
            let made = world.engine.status().reconnects;
            assert_eq!(made, sessions, "{reply:?} {capabilities}\n{}", world.story());
            world.verify();
        }
    }
}

#[test]
fn a_ping_for_which_no_connection_is_made_shows_that_the_server_is_away() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.fate("own \"ping\"", Fate::Refused);
    world.run_for(40 * SECOND);
    assert_eq!((disconnects(&world), world.engine.status().reconnects), (1, 0), "{}", world.story());
    world.verify();
}

/// With `max-attempts` reached, a ping that comes to nothing leads to an `initialize`; before, it is sent again; one that is answered
/// with an error of its own is a sign of life in any case.
#[test]
fn a_ping_that_is_answered_with_any_error_keeps_the_session_and_one_that_fails_is_sent_again() {
    let no_ping = json_body(&error(-32601, "no ping"));
    for (max_attempts, reply) in [(1, no_ping.clone()), (0, no_ping), (0, status(500))] {
        let options = Options::new(URL).with(|o| o.max_attempts = max_attempts);
        let mut world = World::with(Knobs::http(), options, 1);
        world.open();
        world.fate("GET", Fate::Refused);
        world.end_streams();
        world.run_until(5 * SECOND, |world| disconnects(world) == 1);
        world.rule("own \"ping\"", reply.clone());
        let call = world.call("echo", 0);
        let answer = world.wait(call, 10 * SECOND);
        assert!(matches!(answer, Answer::Result(_)), "{max_attempts} {reply:?} {answer:?}\n{}", world.story());
        assert_eq!(world.engine.status().reconnects, 0, "{max_attempts} {reply:?}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_server_that_works_on_a_call_may_leave_any_number_of_pings_unanswered() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("own \"ping\"", u32::MAX, Reply::Hang);
    let call = world.call("slow", 400_000);
    assert!(matches!(world.wait(call, 500 * SECOND), Answer::Result(_)), "{}", world.story());
    assert!(world.started("\"ping\"").len() >= 5);
    assert_eq!((disconnects(&world), world.engine.status().reconnects), (0, 0), "{}", world.story());
    world.verify();
}

/// Nothing tells whether such a session lives: it is replaced now and then, but not under a call; and soon once a request of the
/// client came to nothing in it.
#[test]
fn a_session_that_nothing_tells_of_is_replaced_now_and_then_but_not_under_a_call() {
    let mut world = World::new(Knobs { capabilities: "{}", get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rules("own \"ping\"", u32::MAX, Reply::Hang);
    world.run_for(1800 * SECOND);
    let idle = world.engine.status().reconnects;
    assert!((4..=8).contains(&idle), "{idle}\n{}", world.story());
    let call = world.call("slow", 3_000_000);
    world.run_for(2900 * SECOND);
    assert_eq!(world.engine.status().reconnects, idle, "{}", world.story());
    assert!(matches!(world.wait(call, 200 * SECOND), Answer::Result(_)), "{}", world.story());
    // The session that is made next lasts long, if nothing comes to nothing in it.
    world.run_until(4000 * SECOND, |world| world.engine.status().reconnects == idle + 1);
    world.run_for(600 * SECOND);
    assert_eq!(world.engine.status().reconnects, idle + 1, "{}", world.story());
    world.rule("tools/call", status(413));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::HTTP_ERROR));
    world.run_for(60 * SECOND);
    assert_eq!(world.engine.status().reconnects, idle + 2, "{}", world.story());
}

/// While a list verifies an answer, a ping that is rejected for its credentials is no reason for another session.
#[test]
fn a_rejected_ping_leaves_the_decision_to_the_list_under_way() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("tools/call", Reply::Hang);
    world.rule("own \"ping\"", Reply::Hang);
    world.rule("own tools/list", Reply::Hang);
    let call = world.call("echo", 0);
    world.run_for(10 * MILLISECOND);
    world.host(Input::Probe);
    world.run_for(10 * MILLISECOND);
    let (exchange, id) = newest(&world, "tools/call");
    world.respond(exchange, 200, &error(-32603, "Session terminated").replace("$ID", &id));
    world.run_for(10 * MILLISECOND);
    let (ping, _) = newest(&world, "\"ping\"");
    world.respond(ping, 401, "");
    let answer = world.wait(call, 30 * SECOND);
    assert_eq!(answer.code(), Some(-32603), "{}", world.story());
    assert_eq!(world.started("\"initialize\"").len(), 1, "{}", world.story());
    world.verify();
}

/// The refusal of a restore that names a request is about the restore; any other may be about the session.
#[test]
fn a_restore_that_is_refused_is_looked_into_unless_the_refusal_names_a_request() {
    let named = error(-32602, "no").replace("$ID", "123456789");
    let named = Reply::Status(400, vec![("content-type", String::from("application/json"))], named);
    for (reply, lists) in [(named, 0), (status(410), 1), (status_text(404, "no"), 1)] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        let subscribe = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"x:1"}"#);
        world.wait(subscribe, SECOND);
        world.rule("own resources/subscribe", reply.clone());
        world.host(Input::Reconnect);
        world.run_for(500 * MILLISECOND);
        assert_eq!(world.started("tools/list").len(), lists, "{reply:?}\n{}", world.story());
        assert_eq!(world.engine.status().reconnects, 1, "{reply:?}\n{}", world.story());
        world.verify();
    }
}

/// Where the session may survive, what broke is asked for by a ping, and not sent into meanwhile.
#[test]
fn a_restore_that_breaks_off_breaks_the_connection() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    let subscribe = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"x:1"}"#);
    world.wait(subscribe, SECOND);
    world.fate("own resources/subscribe", Fate::ResetBefore);
    world.host(Input::Reconnect);
    let not_ready = |world: &World| world.engine.status().state != State::Ready;
    let restored = |world: &World| world.started("resources/subscribe").len() == 2;
    assert!(world.run_until(SECOND, |world| restored(world) && !not_ready(world)), "{}", world.story());
    assert!(world.run_until(20 * MILLISECOND, not_ready), "{}", world.story());
    world.run_for(60 * SECOND);
    assert_eq!(world.server.sessions[&world.server.current].subscriptions.len(), 1, "{}", world.story());
    world.verify();
}

/// Where a session ends with a request, its end is told before the request's.
#[test]
fn the_end_of_a_session_is_told_before_what_became_of_the_request_that_it_ended_with() {
    let order = |world: &World, first: &str, then: &str| {
        let story = world.story();
        let (at, after) = (story.rfind(first).expect(first), story.rfind(then).expect(then));
        assert!(at < after, "{story}");
    };
    for fate in [Fate::ResetAfter, Fate::CutAfter(1)] {
        let mut world = World::new(stateless());
        world.open();
        world.fate("tools/call", fate);
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
        world.run_for(10 * MILLISECOND);
        order(&world, "Disconnected", "OutcomeUnknown");
        world.verify();
    }
    // Its second session is not known either.
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rules("tools/call", 2, status(404));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 20 * SECOND).code(), Some(errors::SESSION_UNSTABLE), "{}", world.story());
    order(&world, "Disconnected", "lost its session twice");
    world.verify();
}

/// The POST of a call stays open in an old session, and a new one is made.
fn with_an_old_call(knobs: Knobs, reply: Reply) -> (World, Tag, ExchangeId, String) {
    let mut world = World::new(knobs);
    world.open();
    world.rule("tools/call", reply);
    let call = world.call("echo", 0);
    world.run_for(10 * MILLISECOND);
    let (exchange, id) = newest(&world, "tools/call");
    world.host(Input::Reconnect);
    world.run_for(SECOND);
    assert_eq!(world.engine.status().state, State::Ready, "{}", world.story());
    (world, call, exchange, id)
}

#[test]
fn whatever_becomes_of_a_post_of_an_old_session_says_nothing_of_the_new_one() {
    for knobs in [stateless(), Knobs { get: Get::Status(405), ..Knobs::http() }] {
        for (code, events) in
            [(0, false), (0, true), (413, false), (410, false), (405, false), (400, false), (500, false), (200, false)]
        {
            let reply = if events { Reply::Events(Vec::new(), false) } else { Reply::Hang };
            let (mut world, call, exchange, id) = with_an_old_call(knobs.clone(), reply);
            let before = (disconnects(&world), looks(&world), world.engine.status().reconnects);
            let body = error(-32603, "Session terminated").replace("$ID", &id);
            match code {
                0 => world.reset_exchange(exchange),
                200 => world.respond(exchange, 200, &body),
                code => world.respond(exchange, code, "no"),
            }
            let wanted = match code {
                0 | 500 => errors::OUTCOME_UNKNOWN,
                200 => -32603,
                _ => errors::HTTP_ERROR,
            };
            assert_eq!(world.wait(call, 50 * MILLISECOND).code(), Some(wanted), "{code}\n{}", world.story());
            world.run_for(5 * SECOND);
            let after = (disconnects(&world), looks(&world), world.engine.status().reconnects);
            assert_eq!(after, before, "{code} {events}\n{}", world.story());
            world.verify();
        }
    }
}

#[test]
fn a_request_that_cannot_be_sent_at_all_costs_no_session() {
    let mut world = World::new(stateless());
    world.open();
    world.fate("tools/call", Fate::Unsendable);
    let call = world.call("echo", 0);
    assert!(world.wait(call, SECOND).code().is_some());
    world.run_for(5 * SECOND);
    assert_eq!((disconnects(&world), world.engine.status().reconnects), (0, 0), "{}", world.story());
    world.verify();
}

/// Without a session id a ping tells whether the server has become another one; what is only about the request does not ask.
#[test]
fn without_a_session_id_a_refusal_that_may_mean_another_server_is_followed_by_a_ping() {
    for (code, pings) in [(410, 1), (422, 1), (405, 1), (400, 1), (413, 0)] {
        let mut world = World::new(stateless());
        world.open();
        world.rule("tools/call", status(code));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::HTTP_ERROR));
        world.run_for(SECOND);
        assert_eq!(world.started("\"ping\"").len(), pings, "{code}\n{}", world.story());
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
}

/// A server that no longer speaks a version with sessions says so in the answer to a request: the session is gone, and the request
/// did not run.
#[test]
fn an_unsupported_version_in_answer_to_a_request_means_that_the_session_is_gone() {
    let body = error(UNSUPPORTED_VERSION, "no such version");
    let as_json = |code| Reply::Status(code, vec![("content-type", String::from("application/json"))], body.clone());
    let unnamed = Reply::Status(400, Vec::new(), body.replace("$ID", "null"));
    for reply in [as_json(200), as_json(400), as_json(500), unnamed] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.rule("tools/call", reply.clone());
        let call = world.call("echo", 0);
        let answer = world.wait(call, 5 * SECOND);
        assert!(matches!(answer, Answer::Result(_)), "{reply:?} {answer:?}\n{}", world.story());
        assert_eq!((world.engine.status().reconnects, looks(&world)), (1, 0), "{}", world.story());
        world.verify();
    }
    // Where the request is being worked on, or in an old session, it is the answer.
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("tools/call", Reply::Events(vec![format!("data: {NOTE}\n\n"), format!("data: {body}\n\n")], true));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 5 * SECOND).code(), Some(UNSUPPORTED_VERSION), "{}", world.story());
    assert_eq!(world.engine.status().reconnects, 0);
    let (mut world, call, exchange, id) = with_an_old_call(Knobs::http(), Reply::Hang);
    world.respond(exchange, 200, &body.replace("$ID", &id));
    assert_eq!(world.wait(call, 5 * SECOND).code(), Some(UNSUPPORTED_VERSION), "{}", world.story());
    // A ping that is answered so is answered.
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("own \"ping\"", as_json(400));
    world.run_for(45 * SECOND);
    assert_eq!((world.engine.status().reconnects, looks(&world)), (0, 1), "{}", world.story());
}

/// The words that a session was found lost with mean the same in a late answer of that session, and no other words do.
#[test]
fn the_words_that_proved_a_loss_mean_it_in_every_answer_of_that_session() {
    for (words, begun, result) in [
        ("Session terminated", false, true),
        ("Session terminated", true, false),
        ("Session closed by the user", false, false),
    ] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.rule(
            "\"late\"",
            if begun { Reply::Events(vec![format!("data: {NOTE}\n\n")], false) } else { Reply::Hang },
        );
        world.rule("\"echo\"", json_body(&error(-32603, "Session terminated")));
        world.rule("own tools/list", json_body(&error(-32603, "Session terminated")));
        let late = world.ask("tools/call", r#"{"name":"late","arguments":{"tag":$TAG,"ms":0}}"#);
        world.run_for(10 * MILLISECOND);
        let (exchange, id) = newest(&world, "\"late\"");
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
        world.run_for(SECOND);
        let before = (looks(&world), world.engine.status().reconnects);
        let text = error(-32603, words).replace("$ID", &id);
        if begun {
            world.body(exchange, &format!("data: {text}\n\n"));
        } else {
            world.respond(exchange, 200, &text);
        }
        let answer = world.wait(late, SECOND);
        assert_eq!(answer.code(), (!result).then_some(-32603), "{words} {begun}\n{}", world.story());
        assert_eq!((looks(&world), world.engine.status().reconnects), before, "{words} {begun}\n{}", world.story());
    }
}

#[test]
fn an_error_of_a_request_that_is_being_worked_on_is_its_answer_whatever_it_says() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    let text = error(-32603, "Session terminated");
    let reply = Reply::Events(vec![format!("data: {NOTE}\n\n"), format!("data: {text}\n\n")], true);
    world.rule("tools/call", reply);
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND).code(), Some(-32603), "{}", world.story());
    world.run_for(SECOND);
    assert_eq!(looks(&world), 0, "{}", world.story());
    world.verify();
}

/// How a notification fares that is refused is a matter of what the refusal says of the session.
#[test]
fn a_notification_is_sent_again_only_where_nobody_took_it_and_not_for_ever() {
    let with_id = || Knobs { get: Get::Status(405), ..Knobs::http() };
    // Kind of session, how often each of two is refused and how, whether the second arrives.
    for (knobs, first, second, sent) in [
        (stateless(), (1, 400), (1, 404), 2),
        (stateless(), (1, 413), (u32::MAX, 404), 2),
        (with_id(), (1, 400), (1, 404), 2),
        (with_id(), (1, 400), (2, 521), 3),
    ] {
        let mut world = World::new(knobs);
        world.open();
        world.rules("notifications/first", first.0, status(first.1));
        world.rules("notifications/second", second.0, status(second.1));
        world.notify("notifications/first");
        world.run_for(SECOND);
        let tag = world.notify("notifications/second");
        world.run_for(60 * SECOND);
        let told = format!("{first:?} {second:?}\n{}", world.story());
        assert_eq!(world.started("notifications/first").len(), 1, "{told}");
        assert_eq!(world.started("notifications/second").len(), sent, "{told}");
        assert_eq!(world.server.notified.contains(&tag), second.0 != u32::MAX, "{told}");
    }
}

#[test]
fn an_answer_of_the_engines_own_is_not_sent_again_where_the_server_asks_for_patience() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule(r#""id":"p","result""#, status(429));
    world.server_says(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
    world.run_for(60 * SECOND);
    assert_eq!(world.started(r#""id":"p","result""#).len(), 1, "{}", world.story());
}

/// Some servers call a word or two HTML.
#[test]
fn a_word_that_is_called_html_acknowledges_what_needs_no_answer() {
    let word = || Reply::RunThen(200, vec![("content-type", String::from("text/html"))], String::from("ok"));
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        world.rule("notifications/custom", word());
        world.notify("notifications/custom");
        world.run_for(SECOND);
        let dropped = world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("dropped")));
        assert_eq!(dropped, 0, "{}", world.story());
        world.verify();
    }
    let mut world = World::new(Knobs::sse());
    world.open();
    world.rule("tools/call", word());
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    assert_eq!(world.answer(call), None, "{}", world.story());
    let (_, id) = newest(&world, "tools/call");
    world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
}

/// On Streamable HTTP such a body was to be the answer, and no other stream brings it.
#[test]
fn a_json_body_without_the_answer_is_no_acceptance() {
    let json = || vec![("content-type", String::from("application/json"))];
    for (reply, fate) in [(Some(Reply::Status(200, json(), String::from("{}"))), None), (None, Some(Fate::CutAfter(1)))]
    {
        let mut world = World::new(Knobs { json: true, ..Knobs::http() });
        world.open();
        if let Some(reply) = reply {
            world.rule("resources/read", reply);
        }
        if let Some(fate) = fate {
            world.fate("resources/read", fate);
        }
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        assert!(matches!(world.wait(read, SECOND), Answer::Result(_)), "{}", world.story());
        assert_eq!(world.started("resources/read").len(), 2, "{}", world.story());
        world.verify();
    }
}

fn moved() -> Reply {
    Reply::Status(307, vec![("location", String::from("/mcp?moved"))], String::new())
}

/// While a ping finds out whether the session lives, only the ping follows a redirect.
#[test]
fn while_a_ping_is_under_way_nothing_else_is_sent_where_it_is_redirected_to() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("own \"ping\"", moved());
    world.host(Input::Probe);
    world.run_for(SECOND);
    assert_eq!((world.started("\"ping\"").len(), disconnects(&world)), (2, 0), "{}", world.story());
    world.rule("tools/call", moved());
    world.rule("notifications/custom", moved());
    world.rule("own \"ping\"", Reply::Hang);
    world.fate("tools/call", Fate::Slow(50 * MILLISECOND));
    world.fate("notifications/custom", Fate::Slow(50 * MILLISECOND));
    let call = world.call("echo", 0);
    let note = world.notify("notifications/custom");
    world.host(Input::Probe);
    world.run_for(SECOND);
    let sent = (world.started("tools/call").len(), world.started("notifications/custom").len());
    assert_eq!(sent, (1, 1), "{}", world.story());
    let (ping, id) = newest(&world, "\"ping\"");
    world.respond(ping, 200, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
    world.run_for(SECOND);
    assert_eq!((world.server.runs_of(call), world.server.notified.contains(&note)), (1, true), "{}", world.story());
    world.verify();
}

#[test]
fn a_redirect_in_an_old_session_does_not_move_the_new_one() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("\"slow\"", moved());
    world.fate("\"slow\"", Fate::Slow(2 * SECOND));
    let old = world.call("slow", 10);
    world.host(Input::Reconnect);
    assert!(matches!(world.wait(old, 10 * SECOND), Answer::Result(_)), "{}", world.story());
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(world.started("\"echo\"")[0].request.path, "/mcp", "{}", world.story());
    world.verify();
}

#[test]
fn a_delete_that_is_not_answered_is_let_go() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    let open = world.open_exchanges();
    world.rule("DELETE", Reply::Hang);
    world.host(Input::Reconnect);
    world.run_for(20 * SECOND);
    assert_eq!((world.started("DELETE").len(), world.open_exchanges()), (1, open), "{}", world.story());
    world.verify();
}

#[test]
fn a_get_with_a_cursor_names_the_version_too() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = world.started("GET")[0].id;
    world.body(stream, &format!("id: {}/standalone/3\ndata:\n\n", world.server.current));
    world.end_exchange(stream);
    world.run_for(5 * SECOND);
    let again = world.started("GET")[1];
    assert!(again.header("last-event-id").is_some());
    assert_eq!(again.header("mcp-protocol-version"), Some("2025-11-25"), "{}", world.story());
    world.verify();
}

/// Without a session id a failure of the server says nothing of the session: one ping tells, of however many failures.
#[test]
fn failures_of_a_server_without_session_ids_are_followed_by_one_ping() {
    let mut world = World::new(stateless());
    world.open();
    world.rules("tools/call", 3, status(500));
    world.rule("own \"ping\"", Reply::Hang);
    let calls: Vec<_> = (0..3).map(|_| world.call("echo", 0)).collect();
    for call in calls {
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
    }
    world.run_for(SECOND);
    assert_eq!(world.started("\"ping\"").len(), 1, "{}", world.story());
    world.verify();
}

#[test]
fn a_stream_that_only_ends_may_bring_an_answer_when_it_is_open_again() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", status(202));
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let (_, id) = newest(&world, "tools/call");
    let stream = world.started("GET")[0].id;
    world.end_exchange(stream);
    world.run_for(5 * SECOND);
    assert_eq!(world.answer(call), None, "{}", world.story());
    world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
}

/// On HTTP+SSE an answer to the first sending may still come on the stream of the session; on Streamable HTTP, and in the next
/// session, there is no stream that it could come on.
#[test]
fn an_answer_to_a_sending_that_broke_off_counts_only_on_the_stream_it_was_to_come_on() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let restarts = knobs.offer == Offer::Sse;
        let mut world = World::new(knobs);
        world.open();
        world.rules("resources/read", 2, Reply::Hang);
        world.fate("resources/read", Fate::ResetAfter);
        if restarts {
            world.rule("own \"ping\"", Reply::Hang);
        }
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        world.run_for(50 * MILLISECOND);
        let sending = world.started("resources/read")[0].body().to_string();
        let first: serde_json::Value = serde_json::from_str(&sending).expect("JSON");
        if restarts {
            world.restart(MILLISECOND);
        }
        world.run_for(10 * SECOND);
        assert_eq!(world.started("resources/read").len(), 2, "{}", world.story());
        world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"tag":{read}}}}}"#, first["id"]));
        world.run_for(SECOND);
        assert_eq!(world.answer(read), None, "{}", world.story());
    }
}

#[test]
fn how_long_an_old_session_may_stay_silent_is_an_option() {
    for (timeout, code) in [(Duration::ZERO, None), (20 * SECOND, Some(errors::OUTCOME_UNKNOWN))] {
        let options = Options::new(URL).with(|o| o.old_session_timeout = timeout);
        let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
        world.open();
        world.rule("tools/call", Reply::Hang);
        let call = world.call("echo", 0);
        world.run_for(10 * MILLISECOND);
        world.host(Input::Reconnect);
        world.run_for(25 * SECOND);
        assert_eq!(world.error(call), code, "{}", world.story());
        world.verify();
    }
}

/// What an `initialize` is refused with makes no session, whatever id comes with it.
#[test]
fn a_session_id_beside_a_refusal_means_nothing() {
    let mut world = World::new(Knobs::http());
    world
        .rule("\"initialize\"", Reply::Status(503, vec![("mcp-session-id", String::from("not an id"))], String::new()));
    let initialize = world.initialize();
    assert!(matches!(world.wait(initialize, 10 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

/// Each request that is given up is told what it was.
#[test]
fn what_is_given_up_is_told_by_its_method() {
    let text = |world: &mut World, tag: Tag| match world.wait(tag, 100 * SECOND) {
        Answer::Error(_, text) => text,
        answer => panic!("{answer:?}\n{}", world.story()),
    };
    let options = Options::new(URL).with(|o| o.max_attempts = 2);
    let mut world = World::with(Knobs::http(), options.clone(), 1);
    world.server.up = false;
    let initialize = world.initialize();
    let told = text(&mut world, initialize);
    assert!(told.starts_with("initialize came to nothing"), "{told}");
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    let call = world.call("echo", 0);
    let told = text(&mut world, call);
    assert!(told.starts_with("tools/call was not sent"), "{told}");
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("notifications/initialized", u32::MAX, status(400));
    world.restart(MILLISECOND);
    let call = world.call("echo", 0);
    let told = text(&mut world, call);
    assert!(told.starts_with("tools/call was not sent"), "{told}");
    // A page with the status of an error is the error of a server; with 200 it is a page, where MCP was expected.
    for (code, page) in [(200, true), (400, false)] {
        let options = Options::new(URL).with(|o| o.transport = TransportChoice::StreamableHttp);
        let mut world = World::with(Knobs::http(), options, 1);
        let headers = vec![("content-type", String::from("text/html"))];
        world.rules("POST", 100, Reply::Status(code, headers, String::from("<html>sign in</html>")));
        let initialize = world.initialize();
        let told = text(&mut world, initialize);
        assert_eq!(told.contains("where MCP was expected"), page, "{code} {told}");
    }
}

/// What may have been set and is not wanted is taken back; what cannot have been set is left alone.
#[test]
fn a_subscription_is_taken_back_only_if_it_may_have_been_made() {
    let refused = json_body(&error(-32602, "no such resource"));
    // Its fate, the replies to it, whether it is cancelled while it waits, and whether it is taken back.
    for (fate, replies, cancelled, taken_back) in [
        (Fate::Well, vec![refused.clone()], false, 0),
        (Fate::Well, vec![status(413)], false, 0),
        (Fate::ResetAfter, vec![Reply::RunThenHang, refused], false, 1),
        (Fate::Refused, vec![], true, 0),
        (Fate::ResetAfter, vec![Reply::RunThenHang], true, 1),
    ] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        let told = format!("{fate:?} {replies:?} {cancelled}");
        if fate != Fate::Well {
            world.fate("resources/subscribe", fate);
        }
        for reply in replies {
            world.rule("resources/subscribe", reply);
        }
        if cancelled {
            world.rule("own \"ping\"", Reply::Hang);
        }
        let subscribe = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"x:1"}"#);
        world.run_for(20 * MILLISECOND);
        if cancelled {
            world.run_until(SECOND, |world| !world.started("\"ping\"").is_empty());
            world.run_for(5 * MILLISECOND);
            world.cancel(subscribe);
            let (ping, id) = newest(&world, "\"ping\"");
            world.respond(ping, 200, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        }
        world.run_for(20 * SECOND);
        assert_eq!(world.started("unsubscribe").len(), taken_back, "{told}\n{}", world.story());
        assert_eq!(world.engine.status().reconnects, 0, "{told}\n{}", world.story());
    }
}

/// What an old session answers may be outdated, though the client was told that the lists may be other ones.
#[test]
fn an_answer_of_an_old_session_is_followed_by_the_news_of_the_lists() {
    let (mut world, call, exchange, id) = with_an_old_call(Knobs::http(), Reply::Hang);
    assert_eq!(world.heard("notifications/tools/list_changed").len(), 1, "{}", world.story());
    world.respond(exchange, 200, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    world.run_for(SECOND);
    assert_eq!(world.heard("notifications/tools/list_changed").len(), 2, "{}", world.story());
    // One of the new session is not.
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(world.heard("notifications/tools/list_changed").len(), 2, "{}", world.story());
    world.verify();
}

/// Another session is being made while this one is kept: what says that it is lost ends it, and what breaks does not.
#[test]
fn a_session_that_is_kept_during_a_handshake_ends_when_it_is_said_to_be_gone() {
    for (code, ended) in [(404, 1), (0, 0)] {
        let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
        world.open();
        world.rule("\"late\"", Reply::Hang);
        world.rules("\"echo\"", 1, status(410));
        world.rules("own tools/list", 1, status(410));
        let late = world.ask("tools/call", r#"{"name":"late","arguments":{"tag":$TAG,"ms":0}}"#);
        world.run_for(10 * MILLISECOND);
        let (exchange, _) = newest(&world, "\"late\"");
        world.rules("\"initialize\"", 1, Reply::Hang);
        world.call("echo", 0);
        world.run_until(SECOND, |world| world.started("\"initialize\"").len() == 2);
        world.run_for(10 * MILLISECOND);
        assert_eq!(disconnects(&world), 0, "{}", world.story());
        if code == 0 {
            world.reset_exchange(exchange)
        } else {
            world.respond(exchange, code, "")
        }
        world.run_for(10 * MILLISECOND);
        assert_eq!(disconnects(&world), ended, "{code}\n{}", world.story());
        assert_eq!(world.error(late).is_some(), code == 0, "{}", world.story());
    }
}

/// Without a session id what is found no more was the session; another refusal is only about the stream.
#[test]
fn a_stream_that_cannot_be_resumed_ends_a_session_only_if_it_says_so() {
    for (code, ended) in [(404, 1), (405, 0)] {
        let knobs = Knobs { resume: Resume::Status(code), get: Get::Status(405), ..Knobs::resumable() };
        let mut world = World::new(Knobs { stateless: true, ..knobs });
        world.open();
        let call = world.call("slow", 60_000);
        world.run_for(100 * MILLISECOND);
        let (exchange, _) = newest(&world, "tools/call");
        world.end_exchange(exchange);
        assert_eq!(world.wait(call, 20 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
        world.run_for(10 * MILLISECOND);
        assert_eq!(disconnects(&world), ended, "{code}\n{}", world.story());
        let story = world.story();
        assert!(ended == 0 || story.find("Disconnected") < story.find("OutcomeUnknown"), "{story}");
    }
}

/// HTTP+SSE: such a body is not read to its end for ever, and its request was taken.
#[test]
fn the_body_of_an_acceptance_that_does_not_end_is_let_go() {
    let mut world = World::new(Knobs::sse());
    world.open();
    let open = world.open_exchanges();
    world.rule("tools/call", Reply::RunThenHang);
    let call = world.call("echo", 0);
    world.run_for(10 * MILLISECOND);
    let (exchange, _) = newest(&world, "tools/call");
    world.head(exchange, 200);
    world.body(exchange, "{\"taken\":");
    world.run_for(3 * SECOND);
    assert_eq!((world.open_exchanges(), world.answer(call)), (open, None), "{}", world.story());
    world.end_streams();
    assert_eq!(world.wait(call, 100 * MILLISECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
}
