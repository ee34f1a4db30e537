//! What seldom happens, each in a short story.

use crate::support::server::{json_body, status};
use crate::support::*;

fn raw_answers(world: &World, part: &str) -> usize {
    world.client.raw.iter().filter(|text| text.contains(part)).count()
}

/// Neither the call, nor the list, nor another session is granted: it is the credentials.
#[test]
fn a_rejection_of_everything_is_told_and_the_session_kept() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("tools/call", 1, status(401));
    world.rules("tools/list", 1, status(401));
    world.rules("\"initialize\"", 1, status(401));
    let call = world.call("echo", 0);
    let Answer::Error(code, _) = world.wait(call, 5 * SECOND) else { panic!("{}", world.story()) };
    assert_eq!(code, errors::UNAUTHORIZED);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(world.server.sessions.len(), 1, "{}", world.story());
    world.verify();
}

/// The list that is to tell is answered with an error that has nothing to do with sessions: the session lives.
#[test]
fn a_list_that_fails_for_a_reason_of_its_own_proves_that_the_session_lives() {
    for list in [
        json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32603,"message":"the database is down"}}"#),
        json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"no such method"}}"#),
    ] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.rule(
            "tools/call",
            json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"browser session not found"}}"#),
        );
        world.rule("tools/list", list);
        let call = world.call("echo", 0);
        let Answer::Error(code, text) = world.wait(call, 5 * SECOND) else { panic!("{}", world.story()) };
        assert_eq!((code, text.as_str()), (-32000, "browser session not found"));
        assert_eq!(world.server.sessions.len(), 1, "{}", world.story());
        world.verify();
    }
}

/// Other lists tell as well as that of tools.
#[test]
fn the_list_that_tells_is_one_that_the_server_declares() {
    for (capabilities, method) in [
        (r#"{"prompts":{}}"#, "prompts/list"),
        (r#"{"resources":{}}"#, "resources/list"),
        (r#"{"tools":{}}"#, "tools/list"),
    ] {
        let mut world = World::new(Knobs { capabilities, lost: Lost::Unknown200, ..Knobs::http() });
        world.open();
        world.now(Fault::Forget);
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
        assert_eq!(world.started(&format!("\"method\":\"{method}\"")).len(), 1, "{}", world.story());
        world.check_runs();
        world.verify();
    }
}

/// An error that names no request, in the body of an answer: no application answers so.
#[test]
fn an_error_without_an_id_that_speaks_of_the_session_means_its_loss() {
    for id in [r#","id":null"#, ""] {
        let mut world = World::new(Knobs::http());
        world.open();
        let text = format!(r#"{{"jsonrpc":"2.0"{id},"error":{{"code":-32000,"message":"No valid session ID"}}}}"#);
        world.rule("tools/call", json_body(&text));
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{id}\n{}", world.story());
        assert_eq!((world.server.sessions.len(), world.server.runs_of(call)), (2, 1), "{}", world.story());
        world.verify();
    }
}

/// A restore that the server refuses itself is given up at once, and that is said; one that speaks of the session is looked into.
#[test]
fn restores_that_are_refused_in_words() {
    let refused = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"no such resource"}}"#;
    let gone = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"session not ready"}}"#;
    let as_400 = Reply::Status(400, vec![("content-type", String::from("application/json"))], String::from(refused));
    for (reply, restores) in [(json_body(refused), 1), (as_400, 1), (json_body(gone), 2)] {
        let mut world = World::new(Knobs::http());
        world.open();
        let subscribed = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"x:1"}"#);
        world.wait(subscribed, SECOND);
        world.rule("own resources/subscribe", reply);
        world.host(Input::Reconnect);
        world.run_for(20 * SECOND);
        let said = world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("given up")));
        assert_eq!(said, usize::from(restores == 1), "{}", world.story());
        let started = world.net.started.iter().filter(|started| started.body().contains("resources/subscribe")).count();
        assert_eq!(started, 1 + restores, "{}", world.story());
        assert_eq!(world.engine.status().reconnects, 1, "{}", world.story());
    }
}

/// A server without lists that refuses pings is not given one session after the other.
#[test]
fn pings_are_refused_and_there_is_no_list() {
    for code in [400, 404, 405] {
        let mut world = World::new(Knobs { capabilities: "{}", ..Knobs::http() });
        world.open();
        world.rules("own \"ping\"", u32::MAX, status(code));
        world.run_for(3600 * SECOND);
        let sessions = world.engine.status().reconnects;
        assert!(sessions <= 10, "{code}: {sessions} new sessions in an hour");
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 30 * SECOND), Answer::Result(_)), "{code}\n{}", world.story());
        world.verify();
    }
}

/// HTTP+SSE: what the `endpoint` event names must be a URL.
#[test]
fn an_endpoint_that_is_no_url_is_refused() {
    let options = Options::new(URL).with(|o| o.transport = TransportChoice::HttpSse);
    let mut world = World::with(Knobs::sse(), options, 1);
    world.rule("GET /mcp", Reply::Events(vec![String::from("event: endpoint\ndata: http://\n\n")], false));
    let initialize = world.initialize();
    let Answer::Error(_, text) = world.wait(initialize, 20 * SECOND) else { panic!("{}", world.story()) };
    assert!(text.contains("endpoint event names"), "{text}");
}

/// A batch may not stand in a batch; an answer needs an id.
#[test]
fn what_the_client_must_not_send_is_answered_or_dropped() {
    let mut world = World::new(Knobs::http());
    world.open();
    let sent = world.net.started.len();
    world.host(Input::Message(String::from(r#"[[{"jsonrpc":"2.0","id":7,"method":"tools/list"}]]"#)));
    assert_eq!(raw_answers(&world, "a batch stands in a batch"), 1, "{}", world.story());
    world.host(Input::Message(String::from(r#"{"jsonrpc":"2.0","id":null,"result":{}}"#)));
    world.run_for(SECOND);
    assert_eq!(world.net.started.len(), sent, "{}", world.story());
}

/// The first of two `initialize` that wait is answered when the second comes.
#[test]
fn an_initialize_takes_the_place_of_one_that_waits() {
    let mut world = World::new(Knobs::http());
    world.server.up = false;
    let first = world.initialize();
    world.run_for(SECOND);
    let second = world.initialize();
    let Answer::Error(code, _) = world.wait(first, SECOND) else { panic!("{}", world.story()) };
    assert_eq!(code, errors::INVALID_REQUEST);
    world.now(Fault::Start);
    assert!(matches!(world.wait(second, 10 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

/// A message that comes while the last DELETE is under way is dropped, and that is said.
#[test]
fn what_comes_after_the_close_is_dropped() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("DELETE", Reply::Hang);
    world.host(Input::Close);
    world.notify("notifications/custom");
    world.run_for(2 * SECOND);
    assert!(world.closed);
    assert_eq!(world.engine.status().queued, 0, "{}", world.story());
    let said = world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("after the close")));
    assert_eq!(said, 1, "{}", world.story());
}

/// The client has not said that it is ready, and the session is lost sight of: it goes on when the client does.
#[test]
fn a_break_before_the_client_is_ready_costs_no_session() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    let text = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"tag":1}}"#;
    world.host(Input::Message(String::from(text)));
    world.run_for(SECOND);
    assert_eq!(raw_answers(&world, "serverInfo"), 1, "{}", world.story());
    world.host(Input::Probe);
    world.run_for(30 * SECOND);
    world.host(Input::Message(String::from(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)));
    world.run_for(SECOND);
    assert_eq!(world.engine.status().state, State::Ready);
    assert_eq!(world.server.sessions.len(), 1, "{}", world.story());
}

/// Bodies and events over their limits, where no request waits for them.
#[test]
fn streams_of_their_own_may_hold_too_much() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let options = Options::new(URL).with(|o| {
            o.max_event_bytes = 1000;
            o.max_body_bytes = 1000;
        });
        let mut world = World::with(knobs, options, 1);
        world.open();
        let stream = world.server.sessions[&world.server.current].stream.expect("it is open");
        world.body(
            stream,
            &format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"{}\"}}\n\n", "y".repeat(3000)),
        );
        world.run_for(SECOND);
        let said =
            world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("max-event-bytes")));
        assert_eq!(said, 1, "{}", world.story());
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

/// What is no JSON-RPC in a batch of the server's is dropped, and the rest of it is not.
#[test]
fn a_batch_of_the_server_with_rubbish_in_it() {
    let mut world = World::new(Knobs::http());
    world.open();
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#;
    let result = r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]},"error":null}"#;
    world.rule("tools/call", json_body(&format!("[7,{cancelled},{result}]")));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
    let said = world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("not JSON-RPC")));
    assert_eq!(said, 1, "{}", world.story());
}

/// HTTP+SSE: the POST breaks off and the request is sent again; the answer to the first sending is the answer, whether it comes before
/// the second sending or after it.
#[test]
fn the_answer_to_a_sending_that_was_repeated_counts() {
    for late in [false, true] {
        let mut world = World::new(Knobs::sse());
        world.open();
        let stream = world.server.sessions[&world.server.current].stream.expect("it is open");
        world.rules("resources/read", 2, Reply::Hang);
        world.fate("resources/read", Fate::ResetAfter);
        if !late {
            world.rule("\"ping\"", Reply::Hang);
        }
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        world.run_for(50 * MILLISECOND);
        let sendings = world.started("\"method\":\"resources/read\"");
        assert_eq!(sendings.len(), if late { 2 } else { 1 }, "{}", world.story());
        let first: serde_json::Value = serde_json::from_str(sendings[0].body()).unwrap();
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"tag":{read}}}}}"#, first["id"]);
        world.body(stream, &format!("data: {answer}\n\n"));
        assert!(matches!(world.wait(read, SECOND), Answer::Result(_)), "{}", world.story());
        world.run_for(20 * SECOND);
        assert_eq!(world.started("\"method\":\"resources/read\"").len(), if late { 2 } else { 1 }, "{}", world.story());
        world.verify();
    }
}

/// A list that a provisional result promised is no such thing any more once the client has initialized anew.
#[test]
fn a_list_waits_like_any_other_request_when_its_promise_is_over() {
    let options = Options::new(URL).with(|o| {
        o.start_timeout = 2 * SECOND;
        o.hold_timeout = 30 * SECOND;
    });
    let mut world = World::with(Knobs::http(), options, 1);
    world.server.up = false;
    let initialize = world.initialize();
    assert!(matches!(world.wait(initialize, 5 * SECOND), Answer::Result(_)), "{}", world.story());
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    let asked = world.now;
    world.run_for(SECOND);
    world.client.tries_again = false;
    world.initialize();
    world.run_for(1500 * MILLISECOND);
    assert_eq!(world.answer(list), None, "{}", world.story());
    world.wait(list, 60 * SECOND);
    assert!(world.now - asked <= 31 * SECOND, "{}", world.story());
    world.verify();
}

/// A close ends the session: that is said of a request whose outcome it leaves unknown.
#[test]
fn a_close_is_the_end_of_the_session() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.rules("resources/read", 5, Reply::Hang);
    world.fate("resources/read", Fate::ResetAfter);
    world.now(Fault::BlackHole);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.run_for(100 * MILLISECOND);
    world.host(Input::Close);
    world.run_for(2 * SECOND);
    assert!(world.answer(read).is_some(), "{}", world.story());
    let changed = world.client.raw.iter().filter(|text| text.contains(r#""sessionChanged":false"#)).count();
    assert_eq!(changed, 0, "{}", world.story());
    world.verify();
}
