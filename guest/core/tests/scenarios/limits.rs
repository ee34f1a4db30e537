//! Bounds, each with its error.

use crate::support::*;

#[test]
fn the_queue_is_bounded_by_messages() {
    let mut options = Options::new(URL);
    options.max_queue_messages = 4;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    let calls: Vec<_> = (0..6).map(|_| world.call("echo", 0)).collect();
    for call in &calls[4..] {
        let Some(Answer::Error(code, text)) = world.answer(*call) else { panic!("{}", world.story()) };
        assert_eq!(*code, errors::QUEUE_FULL);
        assert!(text.contains("max-queue-messages"), "{text}");
    }
    world.now(Fault::Start);
    for call in &calls[..4] {
        // The first was sent before the engine could know.
        world.wait(*call, 10 * SECOND);
    }
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn the_queue_is_bounded_by_bytes_in_flight_too() {
    let mut options = Options::new(URL);
    options.max_queue_bytes = 1000;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    for _ in 0..5 {
        let first = world.call("slow", 1000);
        let big = world.ask("tools/call", &format!(r#"{{"tag":$TAG,"pad":"{}"}}"#, "x".repeat(900)));
        let Some(Answer::Error(code, text)) = world.answer(big) else { panic!() };
        assert_eq!(*code, errors::QUEUE_FULL);
        assert!(text.contains("max-queue-bytes"), "{text}");
        assert!(matches!(world.wait(first, 5 * SECOND), Answer::Result(_)));
    }
    world.verify();
}

#[test]
fn a_message_of_the_client_is_bounded() {
    let mut options = Options::new(URL);
    options.max_message_bytes = 500;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    let big = world.ask("tools/call", &format!(r#"{{"tag":$TAG,"pad":"{}"}}"#, "x".repeat(500)));
    assert_eq!(world.error(big), Some(errors::TOO_LARGE));
    world.say(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":"{}"}}"#, "x".repeat(500)));
    world.run_for(SECOND);
    assert!(world.started("xxxx").is_empty());
    world.verify();
}

#[test]
fn an_event_over_the_limit_fails_its_request_and_no_other() {
    for knobs in [Knobs::http(), Knobs::sse(), Knobs::resumable()] {
        let mut options = Options::new(URL);
        options.max_event_bytes = 2000;
        let mut world = World::with(knobs, options, 1);
        world.open();
        let slow = world.call("slow", 1000);
        let big = world.ask("tools/call", r#"{"name":"big","arguments":{"tag":$TAG,"size":100000}}"#);
        let Answer::Error(code, text) = world.wait(big, 5 * SECOND) else { panic!() };
        assert_eq!(code, errors::TOO_LARGE);
        assert!(text.contains("max-event-bytes") && text.contains("2000"), "{text}");
        assert!(matches!(world.wait(slow, 5 * SECOND), Answer::Result(_)));
        world.run_for(60 * SECOND);
        assert_eq!(world.server.runs_of(big), 1);
        assert_eq!(world.engine.status().reconnects, 0);
        world.verify();
    }
}

#[test]
fn an_oversized_notification_is_dropped_and_said() {
    let mut options = Options::new(URL);
    options.max_event_bytes = 2000;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.server_says(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/big","params":"{}"}}"#, "x".repeat(5000)));
    world.server_says(r#"{"jsonrpc":"2.0","method":"notifications/small"}"#);
    world.run_for(SECOND);
    assert!(world.heard("notifications/big").is_empty());
    assert_eq!(world.heard("notifications/small").len(), 1);
    let told = world.count(
        |event| matches!(event, Event::Diagnostic { text, .. } if text.contains("notifications/big") && text.contains("max-event-bytes")),
    );
    assert_eq!(told, 1);
    world.verify();
}

#[test]
fn a_json_body_is_bounded() {
    let mut options = Options::new(URL);
    options.max_body_bytes = 2000;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    let body = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":"{}"}}"#, "x".repeat(5000));
    world.rule("tools/call", Reply::RunThen(200, vec![("content-type", "application/json".into())], body));
    let call = world.call("echo", 0);
    let Answer::Error(code, text) = world.wait(call, SECOND) else { panic!() };
    assert_eq!(code, errors::TOO_LARGE);
    assert!(text.contains("max-body-bytes"), "{text}");
    world.verify();
}

/// A host may decode a body and give the length that it had before.
#[test]
fn a_wrong_content_length_changes_nothing() {
    for length in ["5", "0", "99999999999", "none"] {
        let mut world = World::new(Knobs::http());
        world.net.shred = true;
        world.open();
        let body = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":"{}"}}"#, "x".repeat(5000));
        let headers = vec![("content-type", "application/json".into()), ("content-length", length.into())];
        world.rule("tools/call", Reply::RunThen(200, headers, body));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), None, "{length}: {}", world.story());
        world.verify();
    }
}

#[test]
fn a_refusal_without_end_is_read_for_a_moment() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", Reply::Hang);
    let call = world.call("echo", 0);
    world.run_for(10 * MILLISECOND);
    let exchange = world.started("tools/call")[0].id;
    world.head(exchange, 413);
    for _ in 0..200 {
        world.body(exchange, &"y".repeat(1000));
    }
    let Answer::Error(code, text) = world.wait(call, 3 * SECOND) else { panic!() };
    assert_eq!(code, errors::HTTP_ERROR);
    assert!(text.len() < 1000);
    world.verify();
}

#[test]
fn questions_of_the_server_are_bounded() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    for id in 0..1100 {
        world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#));
    }
    let long = "z".repeat(5000);
    world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":"{long}","method":"roots/list"}}"#));
    world.run_for(5 * SECOND);
    assert_eq!(world.heard("roots/list").len(), 1024);
    assert!(!world.started("\"error\"").is_empty());
    world.verify();
}

#[test]
fn notifications_that_are_answered_by_endless_streams_do_not_pile_up() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rules("notifications/custom", 100, Reply::Events(vec![], false));
    for _ in 0..20 {
        world.notify("notifications/custom");
        world.run_for(SECOND);
    }
    world.run_for(20 * SECOND);
    assert_eq!(world.open_exchanges(), 0);
    world.verify();
}

#[test]
fn after_a_storm_nothing_is_kept() {
    let mut world = World::new(Knobs::resumable());
    world.open();
    let rest = format!("{:?}", world.engine).len();
    for round in 0..20 {
        for _ in 0..10 {
            world.call("slow", 300);
            world.call("echo", 0);
            world.ask("resources/read", r#"{"tag":$TAG}"#);
            world.notify("notifications/custom");
        }
        world.run_for(100 * MILLISECOND);
        world.now(if round % 2 == 0 { Fault::Kill } else { Fault::ResetAll });
        world.now(Fault::Start);
        world.run_for(70 * SECOND);
    }
    assert!(world.unanswered().is_empty());
    let after = format!("{:?}", world.engine).len();
    assert!(after < rest + 3000, "{rest} before, {after} after");
    world.check_runs();
    world.check_rest();
    world.verify();
}

#[test]
fn a_response_that_goes_on_after_its_answer_has_five_seconds() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    let answer = String::from("data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n\n");
    world.rule("tools/call", Reply::RunThenEvents(vec![answer], false));
    let call = world.call("echo", 0);
    world.wait(call, SECOND);
    let answered = world.now;
    world.run_until(60 * SECOND, |world| world.open_exchanges() == 0);
    assert_eq!(world.now - answered, 5 * SECOND);
    world.verify();
}

#[test]
fn what_was_answered_makes_room_again() {
    let mut options = Options::new(URL);
    options.max_queue_bytes = 1000;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    for _ in 0..20 {
        let call = world.ask("tools/call", &format!(r#"{{"tag":$TAG,"pad":"{}"}}"#, "x".repeat(600)));
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
        world.notify(&format!("notifications/{}", "y".repeat(600)));
        world.run_for(SECOND);
    }
    assert_eq!(world.server.notified.len(), 20);
    // And it takes room while it is held: the second of two has none.
    world.now(Fault::Kill);
    world.run_for(SECOND);
    let big = format!(r#"{{"tag":$TAG,"pad":"{}"}}"#, "x".repeat(600));
    let calls = [world.ask("tools/call", &big), world.ask("tools/call", &big)];
    assert_eq!(calls.map(|call| world.error(call)), [None, Some(errors::QUEUE_FULL)]);
    world.verify();
}

/// Lets the model receive a request of this kind and answer nothing by itself.
fn held(world: &mut World, part: &str) -> ExchangeId {
    world.run_for(10 * MILLISECOND);
    world.started(part).last().unwrap().id
}

#[test]
fn what_nobody_reads_is_read_up_to_64_kib() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("notifications/custom", Reply::Hang);
    world.notify("notifications/custom");
    let exchange = held(&mut world, "notifications/custom");
    world.head(exchange, 202);
    let gone = |world: &World| world.net.cancelled.iter().any(|(_, id)| *id == exchange);
    world.body(exchange, &"x".repeat(40_000));
    world.body(exchange, &"x".repeat(65_536 - 40_000));
    assert!(!gone(&world));
    world.body(exchange, "x");
    assert!(gone(&world));
    world.verify();
}

#[test]
fn a_long_refusal_is_cut_at_64_kib() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("tools/call", Reply::Hang);
    let call = world.call("echo", 0);
    let exchange = held(&mut world, "tools/call");
    world.head(exchange, 413);
    world.body(exchange, &"y".repeat(40_000));
    assert!(world.answer(call).is_none());
    world.body(exchange, &"y".repeat(40_000));
    assert_eq!(world.error(call), Some(errors::HTTP_ERROR));
    world.verify();
}

#[test]
fn a_body_of_just_the_limit_is_taken() {
    let body = |size: usize| {
        let frame = r#"{"jsonrpc":"2.0","id":2,"result":{"x":""}}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(size - frame.len())))
    };
    for (size, code) in [(2000, None), (2001, Some(errors::TOO_LARGE))] {
        let mut options = Options::new(URL);
        options.max_body_bytes = 2000;
        let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
        world.open();
        world.rule("tools/call", crate::support::server::json_body(&body(size)));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND).code(), code, "{}", world.story());
    }
}

#[test]
fn an_initialize_result_over_the_limit_is_told() {
    let mut options = Options::new(URL);
    options.max_body_bytes = 2000;
    let mut world = World::with(Knobs::http(), options, 1);
    world.rule("\"initialize\"", crate::support::server::json_body(&"x".repeat(3000)));
    let initialize = world.initialize();
    let Answer::Error(_, text) = world.wait(initialize, SECOND) else { panic!() };
    assert!(text.contains("over 2000 bytes"), "{text}");
    world.verify();
}

#[test]
fn notifications_count_against_the_queue() {
    let mut options = Options::new(URL);
    options.max_queue_messages = 4;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    world.run_for(SECOND);
    for _ in 0..6 {
        world.notify("notifications/custom");
    }
    let call = world.call("echo", 0);
    assert_eq!(world.error(call), Some(errors::QUEUE_FULL), "{}", world.story());
    let dropped =
        world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("queue is full")));
    assert_eq!(dropped, 2);
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    assert_eq!(world.server.notified.len(), 4);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    world.verify();
}

/// A client that writes without end must not write the log without end: how many were dropped is said at 1, 2, 4, 8, …
#[test]
fn messages_that_are_dropped_are_counted() {
    let mut options = Options::new(URL);
    options.max_queue_messages = 4;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    world.run_for(SECOND);
    for _ in 0..1004 {
        world.notify("notifications/custom");
    }
    let said = |world: &World, words: &str| {
        world.count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains(words)))
    };
    assert_eq!(said(&world, "a notification or answer of the client was dropped"), 10, "{}", world.story());
    assert_eq!(said(&world, "(1 so far)"), 1);
    assert_eq!(said(&world, "(512 so far)"), 1);
    world.verify();
}

#[test]
fn roots_changes_that_collapse_take_the_room_of_one() {
    let mut options = Options::new(URL);
    options.max_queue_bytes = 400;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    world.run_for(SECOND);
    for _ in 0..50 {
        world.notify("notifications/roots/list_changed");
    }
    let call = world.call("echo", 0);
    assert_eq!(world.error(call), None, "{}", world.story());
    world.now(Fault::Start);
    assert!(matches!(world.wait(call, 60 * SECOND), Answer::Result(_)));
    assert_eq!(world.server.notified.len(), 1);
    world.verify();
}

#[test]
fn messages_of_just_the_limit_pass() {
    for (limit_less, code) in [(0, None), (1, Some(errors::TOO_LARGE))] {
        let mut world = World::new(Knobs::http());
        let (tag, text) = world.request("tools/call", r#"{"name":"echo","arguments":{"tag":$TAG,"pad":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}"#);
        let mut options = Options::new(URL);
        options.max_message_bytes = text.len() - limit_less;
        world.engine = mcp_reconnect_core::Engine::new(options, 1, Instant::ZERO).unwrap();
        world.open();
        world.say(&text);
        world.run_for(SECOND);
        assert_eq!(world.answer(tag).map(Answer::code), Some(code), "{}", world.story());
        world.verify();
    }
}

#[test]
fn the_last_byte_of_the_queue_can_be_used() {
    for (less, code) in [(0, None), (1, Some(errors::QUEUE_FULL))] {
        let mut world = World::new(Knobs::http());
        let (tag, text) = world.request("tools/call", &format!(r#"{{"tag":$TAG,"pad":"{}"}}"#, "x".repeat(400)));
        let mut options = Options::new(URL);
        options.max_queue_bytes = text.len() - less;
        world.engine = mcp_reconnect_core::Engine::new(options, 1, Instant::ZERO).unwrap();
        world.open();
        world.say(&text);
        world.run_for(SECOND);
        assert_eq!(world.answer(tag).map(Answer::code), Some(code), "{}", world.story());
        world.verify();
    }
}

#[test]
fn the_last_byte_of_the_queue_can_be_used_by_a_notification() {
    for (less, delivered) in [(0, 2), (1, 1)] {
        let mut world = World::new(Knobs::http());
        let text =
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/custom","params":{{"pad":"{}"}}}}"#, "x".repeat(400));
        let mut options = Options::new(URL);
        options.max_queue_bytes = 2 * text.len() - less;
        world.engine = mcp_reconnect_core::Engine::new(options, 1, Instant::ZERO).unwrap();
        world.open();
        world.now(Fault::Kill);
        world.run_for(SECOND);
        world.say(&text);
        world.say(&text);
        world.now(Fault::Start);
        world.run_for(60 * SECOND);
        assert_eq!(world.started("notifications/custom").len(), delivered, "{}", world.story());
        world.verify();
    }
}

#[test]
fn durations_without_end_are_long_and_not_short() {
    let mut options = Options::new(URL);
    for duration in [
        &mut options.credentials_timeout,
        &mut options.heartbeat_interval,
        &mut options.heartbeat_timeout,
        &mut options.hold_timeout,
        &mut options.run_timeout,
        &mut options.run_limit,
        &mut options.old_session_timeout,
        &mut options.response_timeout,
        &mut options.backoff_base,
        &mut options.backoff_cap,
        &mut options.start_timeout,
    ] {
        *duration = Duration::MAX;
    }
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.restart(10 * SECOND);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 60 * SECOND), Answer::Result(_)), "{}", world.story());
    let call = world.call("slow", 3000);
    assert!(matches!(world.wait(call, 60 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn at_the_end_of_time_the_clock_stands_still() {
    let end = Instant::from_nanos(u64::MAX / 2);
    for start in [end - SECOND, Instant::MAX] {
        let mut engine = mcp_reconnect_core::Engine::new(Options::new(URL), 1, start).expect("options are valid");
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
        for (now, input) in
            [(start, Input::Message(initialize.into())), (Instant::MAX, Input::Tick), (Instant::ZERO, Input::Probe)]
        {
            engine.handle(now, input);
            assert!(engine.deadline().is_some_and(|deadline| deadline > start.min(end)));
        }
        let mut outputs = std::iter::from_fn(|| engine.poll_output());
        assert!(outputs.any(|output| matches!(output, Output::Start(..))));
    }
}

#[test]
fn a_backoff_of_zero_is_no_loop_without_a_pause() {
    let mut options = Options::new(URL);
    (options.backoff_base, options.backoff_cap) = (Duration::ZERO, Duration::ZERO);
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.now(Fault::Kill);
    let before = world.net.started.len();
    world.run_for(10 * SECOND);
    let attempts = world.net.started.len() - before;
    assert!((100..=1100).contains(&attempts), "{attempts} attempts in 10 s");
    world.now(Fault::Start);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn a_worthless_batch_costs_one_line() {
    let mut world = World::new(Knobs::http());
    world.open();
    let before = world.events.len();
    world.server_says(&format!("[{}]", vec!["1"; 100_000].join(",")));
    world.run_for(SECOND);
    assert_eq!(world.events.len() - before, 1);
    assert_eq!(
        world.count(
            |event| matches!(event, Event::Diagnostic { text, .. } if text.contains("more than 10000 messages"))
        ),
        1
    );
    let told = world.client.nulls.len();
    world.say(&format!("[{}]", vec!["1"; 100_000].join(",")));
    assert_eq!(world.client.nulls.len() - told, 1);
    world.verify();
}
