//! No answer that came is thrown away, and none that cannot come is waited for.

use crate::support::client::call_params;
use crate::support::server::{json_body, status};
use crate::support::*;

const JSON: &str = "application/json";

/// A session whose server has no stream but those of its answers.
fn without_stream() -> World {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world
}

/// The id on the wire of the newest request of this method, and its exchange.
fn wire(world: &World, method: &str) -> (String, ExchangeId) {
    let started = *world.started(&format!("\"method\":\"{method}\"")).last().expect("it was sent");
    let message: serde_json::Value = serde_json::from_str(started.body()).expect("bodies are JSON");
    (message["id"].to_string(), started.id)
}

fn then(status: u16, kind: &'static str, body: &str) -> Reply {
    let headers = if kind.is_empty() { vec![] } else { vec![("content-type", kind.to_string())] };
    Reply::RunThen(status, headers, body.to_string())
}

/// A call in a session of Streamable HTTP whose server then becomes one of HTTP+SSE. `tried`: the new transport is still
/// being tried; otherwise it has replaced the old one.
fn across_transports(tried: bool) -> (World, Tag, String, ExchangeId) {
    let mut world = without_stream();
    world.rule("tools/call", Reply::RunThenHang);
    let call = world.call("echo", 0);
    world.run_for(70 * SECOND);
    let (id, exchange) = wire(&world, "tools/call");
    world.now(Fault::Forget);
    world.now(Fault::Become(Box::new(Knobs::sse())));
    if tried {
        world.rules("GET", 1000, Reply::Hang);
    }
    world.host(Input::Reconnect);
    world.run_for(SECOND);
    assert_eq!(world.engine.status().state == State::Ready, !tried, "{}", world.story());
    (world, call, id, exchange)
}

#[test]
fn an_old_answer_is_read_by_the_rules_of_its_own_transport() {
    for tried in [true, false] {
        let (mut world, call, id, exchange) = across_transports(tried);
        world.respond(exchange, 200, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{tried}: {}", world.story());
        world.verify();
    }
}

#[test]
fn an_old_refusal_is_read_by_the_rules_of_its_own_transport() {
    // On HTTP+SSE this page says that the session is gone; on Streamable HTTP it says that nobody took the call.
    let (mut world, call, _, exchange) = across_transports(false);
    let sent = world.started("tools/call").len();
    world.respond(exchange, 422, "too much");
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::HTTP_ERROR), "{}", world.story());
    assert_eq!(world.started("tools/call").len(), sent);
    world.verify();
}

#[test]
fn an_old_acceptance_promises_no_answer() {
    for tried in [true, false] {
        let (mut world, call, _, exchange) = across_transports(tried);
        world.respond(exchange, 202, "");
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{tried}: {}", world.story());
        world.verify();
    }
}

#[test]
fn a_wait_that_the_server_asked_for_is_no_hold() {
    let mut options = Options::new(URL);
    options.hold_timeout = 10 * SECOND;
    let knobs = Knobs { polls: true, retry: Some(25_000), ..Knobs::resumable() };
    let mut world = World::with(knobs, options.clone(), 1);
    world.open();
    let call = world.ask("tools/call", &call_params("slow", 40_000, 20_000));
    assert!(matches!(world.wait(call, 200 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
    for code in [429, 503] {
        let mut world = World::with(Knobs::http(), options.clone(), 1);
        world.open();
        world.rule("tools/call", Reply::Status(code, vec![("retry-after", "60".into())], String::new()));
        let call = world.call("echo", 0);
        world.run_for(30 * SECOND);
        // So is that of a request that came meanwhile.
        let later = world.call("echo", 0);
        assert!(matches!(world.wait(call, 100 * SECOND), Answer::Result(_)), "{code}: {}", world.story());
        assert!(matches!(world.wait(later, SECOND), Answer::Result(_)), "{code}: {}", world.story());
        world.verify();
    }
    // An `initialize` that is asked to come again holds what waits for the session.
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    world.now(Fault::Start);
    world.rule("\"initialize\"", Reply::Status(503, vec![("retry-after", "60".into())], String::new()));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 100 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn a_server_that_asks_for_a_wait_for_ever_is_given_up() {
    let mut options = Options::new(URL);
    options.hold_timeout = 10 * SECOND;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.rules("tools/call", 1000, Reply::Status(429, vec![("retry-after", "45".into())], String::new()));
    let call = world.call("echo", 0);
    let asked = world.now;
    assert_eq!(world.wait(call, 400 * SECOND).code(), Some(errors::UNAVAILABLE), "{}", world.story());
    assert!(world.now - asked >= 300 * SECOND, "{:?}", world.now - asked);
    world.verify();
}

#[test]
fn a_silent_stream_that_is_opened_again_is_held_no_longer_than_a_request() {
    // The heartbeat is off, and what is opened again is not answered at all: nothing else would end the wait before the hour.
    let mut options = Options::new(URL);
    options.heartbeat_interval = Duration::ZERO;
    let mut world = World::with(Knobs { resume: Resume::Silent, ..Knobs::resumable() }, options, 1);
    world.open();
    let call = world.call("slow", 3_600_000);
    world.run_for(SECOND);
    let exchange = world.started("tools/call")[0].id;
    world.end_exchange(exchange);
    world.run_for(5 * SECOND);
    world.rules("GET", 1000, Reply::Hang);
    let asked = world.now;
    assert_eq!(world.wait(call, 400 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
    assert!((180 * SECOND..220 * SECOND).contains(&(world.now - asked)), "{:?}", world.now - asked);
    world.verify();
}

#[test]
fn a_silent_stream_of_a_long_call_is_waited_for() {
    let mut world = World::new(Knobs { resume: Resume::Silent, ..Knobs::resumable() });
    world.open();
    let call = world.call("slow", 3_600_000);
    world.run_for(SECOND);
    let exchange = world.started("tools/call")[0].id;
    world.end_exchange(exchange);
    world.run_for(1000 * SECOND);
    assert!(world.answer(call).is_none(), "{}", world.story());
    world.verify();
}

#[test]
fn an_answer_of_the_client_is_sent_again_in_the_same_session() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        for fate in [Fate::ResetBefore, Fate::ResetAfter, Fate::CutAfter(0), Fate::Swallowed] {
            let mut world = World::new(knobs.clone());
            world.open();
            world.fate("\"result\":{\"nonce\"", fate);
            let call = world.call("ask", 0);
            assert!(matches!(world.wait(call, 60 * SECOND), Answer::Result(_)), "{fate:?}: {}", world.story());
            world.run_for(5 * SECOND);
            assert_eq!(world.engine.status().reconnects, 0);
            assert_eq!(world.started("\"result\":{\"nonce\"").len(), 2, "{fate:?}");
            world.verify();
        }
    }
}

#[test]
fn an_answer_of_the_client_is_not_sent_again_for_ever_nor_in_another_session() {
    let mut world = World::new(Knobs::http());
    world.open();
    for _ in 0..20 {
        world.fate("\"result\":{\"nonce\"", Fate::ResetBefore);
    }
    world.call("ask", 0);
    world.run_for(200 * SECOND);
    assert_eq!(world.started("\"result\":{\"nonce\"").len(), 4, "{}", world.story());
    assert_eq!(
        world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("answer of the client"))),
        1
    );

    let mut world = World::new(Knobs::http());
    world.open();
    world.fate("\"result\":{\"nonce\"", Fate::ResetBefore);
    world.call("ask", 0);
    world.run_until(SECOND, |world| !world.started("\"result\":{\"nonce\"").is_empty());
    world.now(Fault::Forget);
    world.run_for(60 * SECOND);
    assert_eq!(world.started("\"result\":{\"nonce\"").len(), 1, "{}", world.story());
    world.verify();
}

#[test]
fn an_acceptance_where_no_stream_can_bring_the_answer_is_settled_at_once() {
    for (code, kind) in [(202, ""), (202, "text/plain"), (202, JSON), (204, ""), (200, ""), (200, JSON)] {
        let mut world = without_stream();
        world.rule("tools/call", then(code, kind, ""));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{code} {}", world.story());
        assert_eq!(world.count(|event| matches!(event, Event::OutcomeUnknown { accepted: true, .. })), 1);
        // Safe: once more, and no more than that.
        world.rule("resources/read", then(code, kind, ""));
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        assert!(matches!(world.wait(read, 5 * SECOND), Answer::Result(_)), "{code} {}", world.story());
        world.rules("resources/read", 2, then(code, kind, ""));
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        assert_eq!(world.wait(read, 5 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{code} {}", world.story());
        world.verify();
    }
}

#[test]
fn an_answer_that_a_stream_was_to_bring_is_settled_when_the_stream_is_gone_for_good() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", status(202));
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    assert!(world.answer(call).is_none());
    world.rules("GET", 100, status(405));
    let stream = world.started("GET")[0].id;
    world.end_exchange(stream);
    assert_eq!(world.wait(call, 5 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
    world.verify();
}

#[test]
fn an_acceptance_with_a_body_is_read() {
    for kind in [JSON, ""] {
        let mut world = without_stream();
        world.rule("tools/call", then(202, kind, r#"{"jsonrpc":"2.0","id":$ID,"result":{}}"#));
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

#[test]
fn on_http_sse_the_answer_may_come_in_the_body_of_the_post() {
    for code in [200, 202] {
        let mut world = World::new(Knobs::sse());
        world.open();
        world.rule("tools/call", then(code, JSON, r#"{"jsonrpc":"2.0","id":$ID,"result":{"n":1}}"#));
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
        // Anything else in it is no answer, and the one on the stream counts.
        for body in ["{\"status\":\"accepted\"}", "\"Accepted\"", "Accepted", "null", ""] {
            world.rule("tools/call", then(code, JSON, body));
            let call = world.call("echo", 0);
            world.run_for(SECOND);
            assert!(world.answer(call).is_none(), "{body}: {}", world.story());
            let (id, _) = wire(&world, "tools/call");
            world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
            assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{body}: {}", world.story());
        }
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
    let mut options = Options::new(URL);
    options.transport = TransportChoice::HttpSse;
    let mut world = World::with(Knobs::sse(), options, 1);
    let result = r#"{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"m","version":"1"}}"#;
    world.rule("\"initialize\"", json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#)));
    let initialize = world.initialize();
    assert!(matches!(world.wait(initialize, SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn on_http_sse_a_body_that_breaks_off_is_an_acceptance() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.rule("tools/call", Reply::RunThenHang);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let (id, exchange) = wire(&world, "tools/call");
    world.head(exchange, 200);
    world.body(exchange, "{\"jsonrpc\"");
    world.reset_exchange(exchange);
    world.run_for(SECOND);
    assert!(world.answer(call).is_none(), "{}", world.story());
    world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn an_old_connection_that_stays_silent_is_given_up() {
    for (safe, headed) in [(false, false), (false, true), (true, false)] {
        let mut world = without_stream();
        let method = if safe { "resources/read" } else { "tools/call" };
        world.rule(method, if headed { Reply::RunThenEvents(vec![], false) } else { Reply::RunThenHang });
        let asked = world.ask(method, &call_params("echo", 0, 0));
        world.run_for(SECOND);
        world.host(Input::Reconnect);
        let replaced = world.now;
        let answer = world.wait(asked, 400 * SECOND);
        // A safe one is sent again.
        assert_eq!(answer.code(), (!safe).then_some(errors::OUTCOME_UNKNOWN), "{}", world.story());
        assert!((300 * SECOND..302 * SECOND).contains(&(world.now - replaced)), "{:?}", world.now - replaced);
        assert_eq!(world.started(method).len(), 1 + usize::from(safe));
        world.verify();
    }
}

#[test]
fn an_old_connection_with_a_sign_of_life_goes_on() {
    let mut options = Options::new(URL);
    options.old_session_timeout = 20 * SECOND;
    let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
    world.open();
    world.rule("tools/call", Reply::RunThenEvents(vec![], false));
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let (id, exchange) = wire(&world, "tools/call");
    world.host(Input::Reconnect);
    for _ in 0..10 {
        world.run_for(15 * SECOND);
        world.body(exchange, ": alive\n");
    }
    assert!(world.answer(call).is_none(), "{}", world.story());
    world.body(exchange, &format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n\n"));
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn a_response_under_the_requests_own_id_is_the_answer_whatever_the_status() {
    for code in [400, 405, 408, 413, 422, 500, 501, 502, 504] {
        let mut world = without_stream();
        for (part, expected) in [
            (r#""error":{"code":-32050,"message":"out of ink","data":{"pages":[1.0]}}"#, Some(-32050)),
            (r#""result":{"content":[]}"#, None),
        ] {
            world.rule("tools/call", then(code, JSON, &format!(r#"{{"jsonrpc":"2.0","id":$ID,{part}}}"#)));
            let call = world.call("echo", 0);
            assert_eq!(world.wait(call, SECOND).code(), expected, "{code}: {}", world.story());
            assert!(world.client.raw.last().unwrap().contains(part), "{code}: {:?}", world.client.raw.last());
            assert_eq!(
                world.started("tools/call").len(),
                world.server.runs.iter().filter(|run| run.tag > 0).count() - 1
            );
        }
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
}

#[test]
fn a_response_under_another_id_is_not_the_answer_of_a_failure() {
    let mut world = without_stream();
    for id in ["999", "null", "\"server-error\""] {
        world.rule(
            "tools/call",
            then(500, JSON, &format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"no"}}}}"#)),
        );
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{id}: {}", world.story());
        world.run_for(5 * SECOND);
    }
    world.verify();
}

#[test]
fn a_long_error_is_kept_whole() {
    let mut world = without_stream();
    let pad = "x".repeat(200_000);
    world.rule(
        "tools/call",
        then(
            500,
            JSON,
            &format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":-32050,"message":"m","data":"{pad}"}}}}"#),
        ),
    );
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND), Answer::Error(-32050, "m".into()));
    assert!(world.client.raw.last().unwrap().contains(&pad));
    world.verify();
}

#[test]
fn an_answer_without_the_last_blank_line_is_taken() {
    for end in ["", "\n", "\r\n"] {
        for (method, runs) in [("tools/call", 1), ("resources/read", 1)] {
            let mut world = without_stream();
            let event = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{{}}}}{end}");
            world.rule(method, Reply::RunThenEvents(vec![event], true));
            let asked = world.ask(method, &call_params("echo", 0, 0));
            assert!(matches!(world.wait(asked, SECOND), Answer::Result(_)), "{end:?}: {}", world.story());
            assert_eq!(world.server.runs_of(asked), runs);
            world.verify();
        }
    }
    // What is cut inside, or cut off, is not.
    for (event, end) in [
        ("data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}", true),
        ("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}", true),
        ("id: 1", true),
    ] {
        let mut world = without_stream();
        world.rule("tools/call", Reply::RunThenEvents(vec![event.into()], end));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{event}: {}", world.story());
        assert!(world.heard("notifications/x").is_empty());
        world.verify();
    }
}

#[test]
fn a_body_that_is_not_utf8_is_an_answer() {
    let mut world = without_stream();
    world.rule("tools/call", Reply::RunThenHang);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let (id, exchange) = wire(&world, "tools/call");
    world.head(exchange, 200);
    let mut body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"text":"caf"#).into_bytes();
    body.extend_from_slice(b"\xe9\"}}");
    world.body_bytes(exchange, &body);
    world.end_exchange(exchange);
    let Answer::Result(result) = world.wait(call, SECOND) else { panic!("{}", world.story()) };
    assert_eq!(result["text"], "caf\u{FFFD}");
    world.verify();
}
