//! The component `guest/engine` under a host that does what nobody should: no trap, and the results that the WIT documents.

#[path = "engine/instance.rs"]
mod instance;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::raw::initialize;
use instance::{Body, Event, Failed, Failure, Input, InputError, Instance, MIB, Output, Request, Response, State};

const SECOND: u64 = 1_000_000_000;
/// Names that no exchange has.
const NOBODY: [u64; 3] = [0, 4_000_000_000, u64::MAX];

/// All that can be said about an exchange.
fn reports(exchange: u64) -> Vec<Input> {
    let headers = vec![("content-type".to_owned(), b"text/event-stream".to_vec())];
    let detail = "nothing happened".to_owned();
    vec![
        Input::Body(Body { exchange, bytes: b"data: {}\n\n".to_vec() }),
        Input::Sent(exchange),
        Input::End(exchange),
        Input::Failed(Failed { exchange, failure: Failure::Lost, detail: detail.clone() }),
        Input::Failed(Failed { exchange, failure: Failure::Unsendable, detail }),
        Input::Response(Response { exchange, status: 200, headers }),
        Input::Response(Response { exchange, status: 0, headers: Vec::new() }),
    ]
}

#[test]
fn an_engine_that_has_nothing_to_do_says_so() {
    let mut instance = Instance::new();
    let engine = instance.open();
    let idle = [Input::Tick, Input::Reconnect, Input::Probe];
    for input in idle.into_iter().chain(NOBODY.into_iter().flat_map(reports)) {
        assert!(instance.outputs(engine, 1).is_empty());
        assert_eq!(instance.deadline(engine), None);
        instance.handle(engine, SECOND, &input).expect("passed over");
        assert!(instance.outputs(engine, 0).is_empty(), "{input:?}");
        assert_eq!(instance.state(engine, SECOND), State::Idle);
    }
    // The clock goes back, and to its end.
    for now in [0, u64::MAX, 1] {
        instance.handle(engine, now, &Input::Tick).expect("passed over");
        instance.state(engine, now);
    }
    let engine = instance.open();
    instance.works(engine, SECOND);
}

#[test]
fn what_is_said_of_exchanges_that_are_not_is_passed_over() {
    let mut instance = Instance::new();
    let engine = instance.open();
    instance.say(engine, 0, &initialize());
    let Some(Output::Start(request)) =
        instance.outputs(engine, 0).into_iter().find(|it| matches!(it, Output::Start(_)))
    else {
        panic!("it asks for no request")
    };
    for input in NOBODY.into_iter().flat_map(reports) {
        instance.handle(engine, 0, &input).expect("passed over");
        assert!(instance.outputs(engine, 0).is_empty(), "{input:?}");
    }
    instance.respond(engine, 0, &request);
    // It is over now.
    let first = instance.serve(engine, 0);
    assert_eq!(first.len(), 1, "{first:?}");
    for input in reports(request.exchange) {
        instance.handle(engine, 0, &input).expect("passed over");
        assert!(instance.outputs(engine, 0).is_empty(), "{input:?}");
    }
    instance.say(engine, 0, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    instance.serve(engine, 0);
    instance.answers(engine, 0, 2);
}

#[test]
fn after_close_everything_has_its_answer() {
    let mut instance = Instance::new();
    let engine = instance.open();
    instance.works(engine, 0);
    instance.handle(engine, 0, &Input::Close).expect("it is taken");
    for round in 0..2 {
        let sent = instance.handle(engine, SECOND, &Input::Message("{}".to_owned()));
        assert!(matches!(sent, Err(InputError::Closed(_))), "{sent:?}");
        for input in [Input::Close, Input::Reconnect, Input::Probe, Input::SetHeaders(Vec::new())] {
            instance.handle(engine, SECOND, &input).expect("passed over");
        }
        let bad = Input::SetHeaders(vec![("x-name".to_owned(), "s3cret\r\n".to_owned())]);
        let refused = instance.handle(engine, SECOND, &bad);
        assert!(matches!(&refused, Err(InputError::InvalidHeader(text)) if !text.contains("s3cret")), "{refused:?}");
        let newer = instance.handle(engine, SECOND, &Input::Other("{}".to_owned()));
        assert!(matches!(newer, Err(InputError::Other(_))), "{newer:?}");
        if round == 0 {
            // No server says anything; it closes for all that.
            let is_closed = |output: &&Output| matches!(output, Output::Closed(_));
            let mut closed = instance.outputs(engine, 0).iter().filter(is_closed).count();
            while let Some(deadline) = instance.deadline(engine) {
                assert!(deadline <= SECOND, "it takes longer than a second");
                instance.handle(engine, deadline, &Input::Tick).expect("it is taken");
                closed += instance.outputs(engine, 0).iter().filter(is_closed).count();
            }
            assert_eq!(closed, 1);
        }
    }
    for input in NOBODY.into_iter().chain(0..20).flat_map(reports).chain([Input::Tick]) {
        instance.handle(engine, 2 * SECOND, &input).expect("passed over");
    }
    assert!(instance.outputs(engine, 0).is_empty());
    assert_eq!((instance.deadline(engine), instance.state(engine, 2 * SECOND)), (None, State::Closed));
}

#[test]
fn giant_inputs_have_their_answers_in_bounded_memory() {
    let mut instance = Instance::new();
    let engine = instance.open();
    instance.works(engine, 0);
    let giant = "x".repeat(8 * MIB);
    // A message.
    instance.say(engine, 0, &json!({"jsonrpc": "2.0", "id": 3, "method": "x/y", "params": {"x": giant}}));
    assert_eq!(instance.serve(engine, 0)[0]["error"]["code"], -31005);
    // A body, at once and as an event; the names and values of headers.
    for (id, kind) in [(4, "application/json"), (5, "text/event-stream"), (6, &giant)] {
        instance.say(engine, 0, &json!({"jsonrpc": "2.0", "id": id, "method": "x/y"}));
        let mut messages = Vec::new();
        for output in instance.outputs(engine, 0) {
            let Output::Start(Request { exchange, .. }) = output else { continue };
            let mut headers = vec![("content-type".to_owned(), kind.as_bytes().to_vec())];
            headers.extend((0..10_000).map(|number| (format!("x-{number}"), vec![b'x'; 100])));
            let answer = format!(r#"data: {{"jsonrpc":"2.0","id":{id},"result":{{"x":"{giant}"}}}}"#).into_bytes();
            for input in [
                Input::Sent(exchange),
                Input::Response(Response { exchange, status: 200, headers }),
                Input::Body(Body { exchange, bytes: answer }),
                Input::End(exchange),
            ] {
                instance.handle(engine, 0, &input).expect("it is taken");
            }
            messages = instance.serve(engine, 0);
        }
        assert!(messages.iter().any(|message| message["id"] == id && message["error"].is_object()), "{messages:?}");
    }
    // More than the queue holds, of a host that makes no request.
    for id in 10..1000 {
        instance.say(
            engine,
            0,
            &json!({"jsonrpc": "2.0", "id": id, "method": "x/y", "params": {"x": "x".repeat(1000)}}),
        );
    }
    let refused = |output: &Output| matches!(output, Output::Event(Event::Message(text)) if text.contains("-31006"));
    assert_eq!(instance.outputs(engine, 0).iter().filter(|output| refused(output)).count(), 980);
}

#[test]
fn two_engines_in_one_instance_know_nothing_of_each_other() {
    let mut instance = Instance::new();
    let (one, other) = (instance.open(), instance.open());
    instance.say(one, 0, &initialize());
    let wanted = instance.outputs(one, 0);
    assert!(instance.outputs(other, 0).is_empty());
    // What one has asked for is reported to the other, which asked for nothing.
    for output in &wanted {
        if let Output::Start(request) = output {
            instance.respond(other, 0, request);
            assert!(instance.outputs(other, 0).is_empty());
        }
    }
    instance.works(other, 5 * SECOND);
    for output in &wanted {
        if let Output::Start(request) = output {
            instance.respond(one, 0, request);
        }
    }
    assert_eq!(instance.serve(one, 0)[0]["id"], 1);
    instance.drop(one);
    instance.answers(other, 5 * SECOND, 3);
}

#[test]
fn dropped_with_work_open() {
    let mut instance = Instance::new();
    for point in 0..6 {
        let engine = instance.open();
        if point > 1 {
            instance.works(engine, 0);
        } else if point == 1 {
            instance.say(engine, 0, &initialize());
        }
        match point {
            0 | 1 => {}
            // A call whose request was not asked for, was asked for, is in the middle of its answer.
            2 => instance.say(engine, 0, &crate::raw::tool_call(7)),
            3 | 4 => {
                instance.say(engine, 0, &crate::raw::tool_call(7));
                for output in instance.outputs(engine, 0) {
                    if let (4, Output::Start(Request { exchange, .. })) = (point, output) {
                        let headers = vec![("content-type".to_owned(), b"text/event-stream".to_vec())];
                        let response = Response { exchange, status: 200, headers };
                        instance.handle(engine, 0, &Input::Response(response)).expect("it is taken");
                        let body = Body { exchange, bytes: b"data: {\"jsonrpc\"".to_vec() };
                        instance.handle(engine, 0, &Input::Body(body)).expect("it is taken");
                    }
                }
            }
            _ => instance.handle(engine, 0, &Input::Close).expect("it is taken"),
        }
        instance.drop(engine);
        let next = instance.open();
        instance.works(next, 0);
        instance.drop(next);
    }
}

/// Inputs in any order, as many as there are, from a generator: no trap, no request answered twice, and in the end it closes.
#[test]
fn a_storm_of_inputs() {
    for seed in 1..=8_u64 {
        let mut instance = Instance::new();
        let engine = instance.open();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let (mut now, mut started, mut id) = (0_u64, vec![1], 1);
        let mut answers = BTreeMap::<u64, u32>::new();
        let mut count = |outputs: &[Output], started: &mut Vec<u64>| {
            for output in outputs {
                match output {
                    Output::Start(request) => started.push(request.exchange),
                    Output::Event(Event::Message(text)) => {
                        let message: Value = serde_json::from_str(text).expect("JSON");
                        if let (Some(id), true) = (message["id"].as_u64(), message.get("method").is_none()) {
                            *answers.entry(id).or_default() += 1;
                        }
                    }
                    _ => {}
                }
            }
        };
        instance.say(engine, 0, &initialize());
        for _ in 0..5_000 {
            now += next(SECOND / 4);
            let exchange = started[started.len() - 1 - next(started.len().min(4) as u64) as usize];
            let input = match next(12) {
                0 => {
                    id += 1;
                    Input::Message(crate::raw::tool_call(id).to_string())
                }
                1 => Input::Tick,
                2 if next(8) == 0 => Input::Reconnect,
                3 if next(8) == 0 => Input::Probe,
                4 => Input::SetHeaders(vec![("x-name".to_owned(), now.to_string())]),
                5 => {
                    let answer = json!({"jsonrpc": "2.0", "id": next(id + 1), "result": {"protocolVersion": "2025-06-18",
                        "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}});
                    Input::Body(Body { exchange, bytes: answer.to_string().into_bytes() })
                }
                6 => {
                    let headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
                    Input::Response(Response { exchange, status: 200, headers })
                }
                _ => reports(exchange).swap_remove(next(7) as usize),
            };
            instance.handle(engine, now, &input).expect("it is taken");
            if next(3) > 0 {
                let outputs = instance.outputs(engine, next(3) as u32);
                count(&outputs, &mut started);
            }
        }
        instance.handle(engine, now, &Input::Close).expect("it is taken");
        count(&instance.outputs(engine, 0), &mut started);
        while let Some(deadline) = instance.deadline(engine) {
            assert!(deadline <= now + SECOND, "seed {seed}: it takes longer than a second");
            instance.handle(engine, deadline, &Input::Tick).expect("it is taken");
            count(&instance.outputs(engine, 0), &mut started);
        }
        assert_eq!(instance.state(engine, now + SECOND), State::Closed, "seed {seed}");
        for request in 1..=id {
            assert_eq!(answers.get(&request), Some(&1), "seed {seed}: answers to {request}");
        }
    }
}

#[test]
fn a_message_over_the_limit_may_come_in_any_pieces() {
    let mut instance = Instance::new();
    let api = instance.world.mcp_reconnect_transport_sans_io().oversized();
    let store = &mut instance.store;
    let empty = api.call_constructor(&mut *store).expect("no trap");
    // Nothing is no notification and no response either.
    let answer = api.call_answer(&mut *store, empty, 0).expect("no trap").expect("an error without an id");
    assert!(answer.contains("\"id\":null") && answer.contains("-31005"), "{answer}");
    let message =
        format!(r#"{{"jsonrpc":"2.0","id":"a\u00e4","method":"x/y","params":{{"x":"{}"}}}}"#, "x".repeat(8 * MIB));
    let mut answers = Vec::new();
    for piece in [message.len(), 65_536, 7 * MIB + 1] {
        let oversized = api.call_constructor(&mut *store).expect("no trap");
        for bytes in message.as_bytes().chunks(piece) {
            api.call_answer(&mut *store, oversized, u64::MAX).expect("no trap, and nothing changes");
            api.call_feed(&mut *store, oversized, bytes).expect("no trap");
        }
        api.call_feed(&mut *store, oversized, b"").expect("no trap");
        answers.push(api.call_answer(&mut *store, oversized, 1024).expect("no trap").expect("it is a request"));
        oversized.resource_drop(&mut *store).expect("no trap");
    }
    assert!(answers[0].contains("-31005") && answers[0].contains("1024"), "{}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}
