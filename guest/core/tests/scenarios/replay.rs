//! The replay table, row by row.

use crate::support::client::call_params;
use crate::support::server::{status, status_text};
use crate::support::*;

fn ready() -> World {
    let mut world = World::new(Knobs::http());
    world.open();
    world
}

fn sse() -> World {
    let mut world = World::new(Knobs::sse());
    world.open();
    world
}

#[test]
fn what_was_not_sent_is_sent_later_whatever_it_is() {
    for fate in [Fate::Refused, Fate::NoName, Fate::BadCertificate] {
        for mut world in [ready(), sse()] {
            for _ in 0..5 {
                world.fate("tools/call", fate);
            }
            let call = world.call("echo", 0);
            assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{fate:?}");
            assert_eq!(world.server.runs_of(call), 1);
            assert_eq!(world.count(|event| matches!(event, Event::Replayed { .. })), 0);
            world.verify();
        }
    }
}

#[test]
fn a_call_of_unknown_outcome_is_not_run_again() {
    for fate in [Fate::ResetBefore, Fate::ResetAfter, Fate::CutAfter(0), Fate::CutAfter(1)] {
        let mut world = ready();
        world.fate("tools/call", fate);
        let call = world.call("echo", 0);
        let answer = world.wait(call, 20 * SECOND);
        let Answer::Error(code, text) = answer else { panic!("{fate:?}: {answer:?}") };
        assert_eq!(code, errors::OUTCOME_UNKNOWN, "{fate:?}");
        assert!(text.contains("tools/call") && text.contains("unknown"), "{text}");
        assert_eq!(world.started("tools/call").len(), 1);
        let accepted = fate == Fate::CutAfter(1);
        assert_eq!(
            world.count(|event| matches!(event, Event::OutcomeUnknown { accepted: told, .. } if *told == accepted)),
            1,
            "{fate:?}"
        );
        world.run_for(30 * SECOND);
        world.check_runs();
        world.verify();
    }
}

#[test]
fn a_safe_request_of_unknown_outcome_is_run_again_once() {
    for method in
        ["tools/list", "resources/read", "prompts/get", "completion/complete", "logging/setLevel", "tasks/get"]
    {
        let mut world = ready();
        world.fate(method, Fate::ResetAfter);
        let first = world.ask(method, r#"{"tag":$TAG}"#);
        world.run_until(20 * SECOND, |world| world.answer(first).is_some());
        assert_eq!(world.started(method).len(), 2, "{method}");
        assert_eq!(world.count(|event| matches!(event, Event::Replayed { .. })), 1);
        assert_ne!(world.error(first), Some(errors::OUTCOME_UNKNOWN));

        world.fate(method, Fate::ResetAfter);
        world.fate(method, Fate::ResetAfter);
        let second = world.ask(method, r#"{"tag":$TAG}"#);
        assert_eq!(world.wait(second, 20 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{method}");
        assert_eq!(world.started(method).len(), 4, "{method}");
        world.verify();
    }
}

#[test]
fn statuses_that_leave_the_outcome_unknown() {
    for code in [408, 500, 501, 502, 503, 504, 520] {
        let mut world = ready();
        world.rule("tools/call", Reply::RunThen(code, vec![], "upstream reset".into()));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{code}");
        assert_eq!(world.started("tools/call").len(), 1);
        world.rule("resources/read", status(code));
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        assert!(matches!(world.wait(read, 10 * SECOND), Answer::Result(_)), "{code}");
        assert_eq!(world.started("resources/read").len(), 2);
        world.verify();
    }
}

#[test]
fn statuses_that_prove_that_it_did_not_run() {
    for (status, headers, body) in [
        (429, vec![], ""),
        (429, vec![("retry-after", "2".to_string())], ""),
        (503, vec![("Retry-After", "2".to_string())], "upstream reset"),
        (503, vec![], "no healthy upstream"),
        (
            503,
            vec![],
            "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>",
        ),
        (
            503,
            vec![],
            "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body></html>",
        ),
    ] {
        let mut world = ready();
        let rests = !headers.is_empty();
        world.rule("tools/call", Reply::Status(status, headers, body.into()));
        let call = world.call("echo", 0);
        let asked = world.now;
        assert!(matches!(world.wait(call, 40 * SECOND), Answer::Result(_)), "{status} {body}");
        assert_eq!(world.server.runs_of(call), 1);
        assert!(!rests || world.now >= asked + 2 * SECOND);
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
}

#[test]
fn a_request_that_is_refused_for_ever_ends() {
    for reply in [status(429), Reply::Status(503, vec![("retry-after", "1".into())], String::new())] {
        let mut world = ready();
        world.rules("tools/call", 100_000, reply);
        let call = world.call("echo", 0);
        // The pauses that it asks for do not count, but for five minutes of them.
        assert_eq!(world.wait(call, 490 * SECOND).code(), Some(errors::UNAVAILABLE));
        assert_eq!(world.server.runs_of(call), 0);
        world.verify();
    }
}

#[test]
fn other_refusals_are_the_answer() {
    for code in [400, 402, 405, 406, 409, 413, 415, 422] {
        let mut world = ready();
        world.rule("tools/call", status_text(code, "not like this"));
        let call = world.call("echo", 0);
        let Answer::Error(error, text) = world.wait(call, 3 * SECOND) else { panic!() };
        assert_eq!(error, errors::HTTP_ERROR);
        assert!(text.contains(&code.to_string()) && text.contains("not like this"), "{text}");
        assert_eq!(world.engine.status().reconnects, 0, "{code}");
        world.verify();
    }
}

#[test]
fn a_json_rpc_error_in_a_refusal_is_handed_on() {
    let mut world = ready();
    let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"Header mismatch","data":{"a":1.0}}}"#;
    world.rule("tools/call", Reply::Status(400, vec![("content-type", "application/json".into())], body.into()));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 3 * SECOND), Answer::Error(-32020, "Header mismatch".into()));
    world.verify();
}

#[test]
fn a_result_is_delivered_once() {
    for knobs in [Knobs::http(), Knobs::sse(), Knobs::resumable()] {
        let mut world = World::new(Knobs { stutters: true, ..knobs });
        world.open();
        let call = world.call("echo", 0);
        world.wait(call, 3 * SECOND);
        world.run_for(5 * SECOND);
        world.verify();
    }
}

#[test]
fn annotations_count_if_they_are_trusted_and_were_seen_before() {
    for (trust, list_first, tool, replayed) in [
        (true, true, "read", true),
        (true, true, "echo", false),
        (true, false, "read", false),
        (false, true, "read", false),
    ] {
        let mut options = Options::new(URL);
        options.trust_annotations = trust;
        let mut world = World::with(Knobs::http(), options, 1);
        world.open();
        if list_first {
            let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
            world.wait(list, SECOND);
        }
        world.fate("tools/call", Fate::ResetBefore);
        let call = world.ask("tools/call", &call_params(tool, 0, 0));
        let answer = world.wait(call, 10 * SECOND);
        assert_eq!(matches!(answer, Answer::Result(_)), replayed, "{trust} {list_first} {tool}");
        world.verify();
    }
}

#[test]
fn annotations_of_a_server_that_changed_do_not_count() {
    let mut options = Options::new(URL);
    options.trust_annotations = true;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.wait(list, SECOND);
    world.now(Fault::Kill);
    world.now(Fault::Become(Box::new(Knobs { name: "other", ..Knobs::http() })));
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    world.fate("tools/call", Fate::ResetBefore);
    let call = world.call("read", 0);
    assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
    world.verify();
}

#[test]
fn a_server_that_changes_between_two_sendings_is_not_asked_again() {
    let mut options = Options::new(URL);
    options.trust_annotations = true;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.wait(list, SECOND);
    let call = world.call("read", 0);
    // It runs, the answer is lost, and another server comes up.
    world.fate("nothing", Fate::Well);
    world.run_for(5 * SECOND);
    assert!(world.has_result(call));
    world.rule("tools/call", Reply::RunThenHang);
    let call = world.call("read", 0);
    world.run_for(SECOND);
    world.now(Fault::Kill);
    world.now(Fault::Become(Box::new(Knobs { name: "other", ..Knobs::http() })));
    world.now(Fault::Start);
    let answer = world.wait(call, 30 * SECOND);
    assert_eq!(answer.code(), Some(errors::OUTCOME_UNKNOWN), "{answer:?}");
    world.verify();
}

#[test]
fn http_sse_a_call_that_was_accepted_dies_with_the_stream() {
    let mut world = sse();
    let call = world.call("slow", 5000);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.wait(read, SECOND);
    world.restart(SECOND);
    assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
    assert_eq!(world.count(|event| matches!(event, Event::OutcomeUnknown { accepted: true, .. })), 1);
    assert_eq!(world.started("tools/call").len(), 1);
    world.verify();
}

#[test]
fn http_sse_a_404_shortly_after_the_stream_proves_that_it_did_not_run() {
    let mut world = sse();
    // The stream ends, and the POST that is under way learns later that its session is gone.
    world.rule("tools/call", Reply::Hang);
    let call = world.call("echo", 0);
    world.run_for(10 * MILLISECOND);
    let exchange = world.started("tools/call")[0].id;
    let stream = world.started("GET")[0].id;
    world.end_exchange(stream);
    world.run_for(1500 * MILLISECOND);
    world.respond(exchange, 404, "Could not find session");
    assert!(matches!(world.wait(call, 10 * SECOND), Answer::Result(_)));
    assert_eq!(world.started("tools/call").len(), 2);
    world.verify();
}

#[test]
fn http_sse_a_post_without_a_status_is_of_unknown_outcome_after_two_seconds() {
    let mut world = sse();
    world.rule("tools/call", Reply::RunThenHang);
    let call = world.call("echo", 0);
    world.run_for(10 * MILLISECOND);
    let stream = world.started("GET")[0].id;
    let lost = world.now;
    world.end_exchange(stream);
    assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
    assert!((1900 * MILLISECOND..2200 * MILLISECOND).contains(&(world.now - lost)));
    world.verify();
}

#[test]
fn after_a_break_an_unsafe_request_waits_for_a_ping() {
    let mut world = ready();
    world.fate("resources/read", Fate::ResetBefore);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    let call = world.call("echo", 0);
    world.wait(call, 10 * SECOND);
    world.wait(read, 10 * SECOND);
    // The sibling was already on its way; the next one would meet the same dead connection.
    world.fate("resources/read", Fate::ResetBefore);
    world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.run_for(3 * MILLISECOND);
    let call = world.call("echo", 0);
    world.wait(call, 10 * SECOND);
    let pinged = world.started("\"ping\"").iter().map(|one| one.at).max().unwrap();
    assert!(world.started("tools/call").last().unwrap().at > pinged);
    world.verify();
}

#[test]
fn after_silence_an_unsafe_request_waits_for_a_ping() {
    let mut options = Options::new(URL);
    options.heartbeat_interval = Duration::ZERO;
    let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
    world.open();
    world.run_for(120 * SECOND);
    assert!(world.started("\"ping\"").is_empty());
    let call = world.call("echo", 0);
    world.wait(call, SECOND);
    assert_eq!(world.started("\"ping\"").len(), 1);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.wait(read, SECOND);
    assert_eq!(world.started("\"ping\"").len(), 1);
    world.verify();
}

#[test]
fn an_error_that_says_it_did_not_run_is_true_for_a_replayed_request() {
    let mut options = Options::new(URL);
    options.hold_timeout = 5 * SECOND;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.fate("resources/read", Fate::ResetAfter);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.run_for(2 * MILLISECOND);
    world.now(Fault::Kill);
    let Answer::Error(_, text) = world.wait(read, 30 * SECOND) else { panic!() };
    assert_eq!(world.server.runs_of(read), 1);
    assert!(!text.contains("did not run"), "{text}");
}

#[test]
fn on_http_sse_an_answer_may_outlive_the_connection_of_its_request() {
    // The POST is reset, the event stream is not: what runs answers on the stream, if it does so soon.
    for (takes, kept) in [(100, true), (1900, true), (2500, false)] {
        let mut world = World::new(Knobs { answer_first: true, ..Knobs::sse() });
        world.open();
        world.fate("tools/call", Fate::ResetAfter);
        let call = world.call("slow", takes);
        let asked = world.now;
        let answer = world.wait(call, 10 * SECOND);
        assert_eq!(answer.code(), if kept { None } else { Some(errors::OUTCOME_UNKNOWN) }, "{}", world.story());
        assert!(world.now - asked < 2100 * MILLISECOND);
        world.run_for(10 * SECOND);
        assert_eq!(world.server.runs_of(call), 1);
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
}

#[test]
fn on_http_sse_progress_proves_that_a_request_was_taken() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.fate("tools/call", Fate::ResetAfter);
    let call = world.ask("tools/call", &crate::support::client::call_params("slow", 10_000, 1000));
    assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn on_http_sse_the_end_of_the_stream_ends_the_wait_for_an_answer() {
    for cancel in [false, true] {
        let mut world = World::new(Knobs::sse());
        world.open();
        world.fate("tools/call", Fate::ResetAfter);
        let call = world.call("slow", 5000);
        world.run_for(500 * MILLISECOND);
        assert!(world.answer(call).is_none());
        if cancel {
            world.cancel(call);
        }
        let broken = world.now;
        world.now(Fault::Kill);
        world.now(Fault::Start);
        world.run_until(10 * SECOND, |world| world.answer(call).is_some());
        if cancel {
            assert!(world.answer(call).is_none());
        } else {
            assert_eq!(world.error(call), Some(errors::OUTCOME_UNKNOWN));
            assert!(world.now - broken < 10 * MILLISECOND);
        }
        world.run_for(10 * SECOND);
        assert_eq!(world.server.runs_of(call), 1);
        world.verify();
    }
}

#[test]
fn what_is_told_of_an_unknown_outcome_is_true() {
    // Whether the server had taken it, whether the session is another one, how often it was sent.
    for (fate, safe, accepted) in
        [(Fate::CutAfter(1), false, true), (Fate::ResetAfter, false, false), (Fate::ResetAfter, true, false)]
    {
        let mut world = World::new(Knobs { get: Get::Status(405), durable: true, ..Knobs::http() });
        world.open();
        let method = if safe { "resources/read" } else { "tools/call" };
        for _ in 0..2 {
            world.fate(method, fate);
        }
        let tag = if safe { world.ask(method, r#"{"tag":$TAG}"#) } else { world.call("slow", 5000) };
        let Answer::Error(code, text) = world.wait(tag, 20 * SECOND) else { panic!("{}", world.story()) };
        assert_eq!(code, errors::OUTCOME_UNKNOWN);
        assert_eq!(text.contains("was sent again once"), safe, "{text}");
        assert_eq!(text.contains("was not sent again"), !safe, "{text}");
        let raw: serde_json::Value = serde_json::from_str(world.client.raw.last().unwrap()).unwrap();
        let data = serde_json::json!({"method": method, "accepted": accepted, "sessionChanged": false});
        assert_eq!(raw["error"]["data"], data);
        assert_eq!(world.engine.status().replays, u64::from(safe));
        world.verify();
    }
}

#[test]
fn an_update_of_the_server_distrusts_annotations_and_nothing_else() {
    let mut options = Options::new(URL);
    options.trust_annotations = true;
    let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
    world.client.trusts = true;
    world.open();
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.wait(list, SECOND);
    // Sent and broken off: a read is safe anywhere, the tool was safe with the old server only.
    world.fate("resources/read", Fate::ResetAfter);
    world.fate("tools/call", Fate::ResetAfter);
    let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
    let tool = world.call("read", 0);
    world.run_for(MILLISECOND);
    world.now(Fault::Kill);
    world.run_for(SECOND);
    // This one was never sent.
    let fresh = world.call("read", 0);
    world.now(Fault::Become(Box::new(Knobs { name: "updated", get: Get::Status(405), ..Knobs::http() })));
    world.now(Fault::Start);
    assert!(matches!(world.wait(read, 10 * SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(world.wait(tool, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN), "{}", world.story());
    assert!(matches!(world.wait(fresh, 10 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}
