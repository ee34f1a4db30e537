//! What becomes of requests when the server goes away and comes back.

use std::time::Duration;

use mcp_reconnect_core::{Event, Failure, Input, Instant, Options, SECOND, State, errors};
use serde_json::json;

use crate::rig::*;

#[test]
fn what_was_not_sent_is_held_and_sent_in_order() {
    let mut rig = Rig::new();
    rig.discovered();
    for id in 1..=3 {
        rig.ask(json!(id), "tools/call", json!({"name": format!("t{id}")}));
    }
    rig.lose_all(Failure::Connect);
    assert_eq!(rig.engine.status().state, State::Waiting);
    rig.ask(json!(4), "tools/call", json!({"name": "t4"}));
    rig.until_asked();
    rig.lose_all(Failure::Connect);
    rig.until_asked();
    let before = rig.started.len();
    rig.result("server/discover", discover_result());
    let names: Vec<_> = rig.started[before..].iter().map(|(_, sent)| header(sent, "mcp-name").unwrap()).collect();
    assert_eq!(names, ["t1", "t2", "t3", "t4"]);
    for id in 1..=4 {
        rig.result("tools/call", json!({"resultType": "complete"}));
        assert_eq!(rig.take()[0]["id"], id);
    }
    let kinds: Vec<_> = rig.events.iter().filter(|event| !matches!(event, Event::Diagnostic { .. })).collect();
    assert!(
        matches!(
            kinds[..],
            [
                Event::Connecting,
                Event::Connected(_),
                Event::Disconnected { .. },
                Event::Reconnecting { .. },
                Event::Reconnected { new_session: false, server_changed: false, .. }
            ]
        ),
        "{kinds:?}"
    );
}

#[test]
fn what_may_have_run_is_sent_again_only_if_that_does_no_harm() {
    for (method, params, safe) in [
        ("tools/call", json!({"name": "t"}), false),
        ("tools/list", json!({}), true),
        ("resources/read", json!({"uri": "x:1"}), true),
        ("resources/read", json!({"uri": "x:1", "requestState": "s"}), true),
        ("completion/complete", json!({"inputResponses": {}}), false),
        ("tasks/get", json!({"taskId": "t"}), true),
        ("tasks/cancel", json!({"taskId": "t"}), true),
        ("custom/act", json!({}), false),
    ] {
        for accepted in [false, true] {
            let mut rig = Rig::new();
            rig.discovered();
            rig.ask(json!(1), method, params.clone());
            let (exchange, wire) = rig.find(method);
            if accepted {
                rig.head(exchange, 200, "text/event-stream");
            }
            rig.fail(exchange, Failure::Lost);
            if safe {
                rig.result("server/discover", discover_result());
                let again = rig.find(method);
                assert_ne!(again.1, wire, "{method}");
                rig.fail(again.0, Failure::Lost);
            }
            let told = rig.take();
            assert_eq!(told.len(), 1, "{method}");
            assert_eq!(told[0]["error"]["code"], errors::OUTCOME_UNKNOWN, "{method}");
            assert_eq!(told[0]["error"]["data"]["sessionChanged"], false, "there is none");
            assert_eq!(told[0]["error"]["data"]["accepted"], accepted && !safe, "{method}");
        }
    }
}

#[test]
fn after_a_break_a_request_that_must_not_run_twice_waits_for_a_sign_of_life() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let (exchange, _) = rig.find("tools/call");
    rig.fail(exchange, Failure::Lost);
    rig.take();
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    assert!(!rig.is_open("tools/call") && rig.is_open("server/discover"));
    rig.result("server/discover", discover_result());
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert_eq!(rig.take()[0]["id"], 2);
    // After a long silence, too.
    rig.now += 31 * SECOND;
    rig.ask(json!(3), "tools/call", json!({"name": "t"}));
    assert!(!rig.is_open("tools/call") && rig.is_open("server/discover"));
}

#[test]
fn progress_does_not_go_back_when_a_request_is_sent_again() {
    let mut rig = Rig::new();
    rig.discovered();
    let progress = |value: f64| {
        let params = json!({"progressToken": "p", "progress": value});
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
    };
    rig.ask(json!(1), "resources/read", json!({"uri": "x:1", "_meta": {"progressToken": "p"}}));
    let (exchange, _) = rig.find("resources/read");
    rig.head(exchange, 200, "text/event-stream");
    rig.event(exchange, &progress(1.0));
    rig.event(exchange, &progress(2.0));
    rig.fail(exchange, Failure::Lost);
    rig.result("server/discover", discover_result());
    let (exchange, _) = rig.find("resources/read");
    rig.head(exchange, 200, "text/event-stream");
    for value in [1.0, 2.0, 2.5] {
        rig.event(exchange, &progress(value));
    }
    assert_eq!(rig.take(), [progress(1.0), progress(2.0), progress(2.5)]);
}

#[test]
fn what_is_held_for_too_long_is_answered() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let end = rig.now + 181 * SECOND;
    while rig.now < end {
        rig.lose_all(Failure::Connect);
        rig.pass(SECOND / 10);
    }
    let told = rig.take();
    assert_eq!((told.len(), &told[0]["error"]["code"]), (1, &json!(errors::UNAVAILABLE)));
    assert!(rig.started.len() < 2000, "{}", rig.started.len());
    // Nobody waits: nothing is tried.
    let tries = rig.started.len();
    rig.lose_all(Failure::Connect);
    rig.pass(600 * SECOND);
    assert!(rig.started.len() <= tries + 1);
}

#[test]
fn a_path_that_is_not_found_for_a_moment_is_a_server_that_is_being_replaced() {
    for (times, code) in [(2, None), (9, Some(errors::HTTP_ERROR))] {
        let mut rig = Rig::new();
        rig.discovered();
        rig.ask(json!(1), "tools/call", json!({"name": "t"}));
        for _ in 0..times {
            if !rig.is_open("tools/call") {
                break;
            }
            let (exchange, _) = rig.find("tools/call");
            rig.answer(exchange, 404, "text/plain", "404 page not found");
            if rig.told.is_empty() {
                rig.until_asked();
                rig.result("server/discover", discover_result());
            }
        }
        match code {
            None => {
                rig.result("tools/call", json!({"resultType": "complete"}));
                assert_eq!(rig.take()[0]["id"], 1);
            }
            Some(code) => assert_eq!(rig.take()[0]["error"]["code"], code),
        }
    }
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let (exchange, _) = rig.find("tools/call");
    let headers = vec![("retry-after".to_string(), b"5".to_vec())];
    rig.input(Input::Response { exchange, status: 503, headers });
    rig.end(exchange);
    rig.pass(4 * SECOND + SECOND / 2);
    assert!(rig.open.is_empty());
    rig.pass(SECOND);
    rig.result("server/discover", discover_result());
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert_eq!(rig.take()[0]["id"], 1);
}

#[test]
fn a_call_that_takes_too_long_is_ended_and_told() {
    let mut rig = Rig::with(Options::new(URL).with(|o| {
        o.run_timeout = 20 * SECOND;
        o.heartbeat_interval = Duration::ZERO;
    }));
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let (exchange, _) = rig.last();
    rig.pass(21 * SECOND);
    assert_eq!(rig.take()[0]["error"]["code"], errors::TIMED_OUT);
    assert!(rig.cancelled.contains(&exchange) && rig.open.is_empty());
}

#[test]
fn a_busy_server_is_suspected_and_left_alone() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "slow"}));
    rig.pass(45 * SECOND);
    assert!(rig.events.iter().any(|event| matches!(event, Event::Suspect { .. })), "{:?}", rig.events);
    assert!(rig.is_open("tools/call"));
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert_eq!(rig.take()[0]["id"], 1);
}

#[test]
fn a_server_that_comes_back_as_another_one_is_announced_as_that() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.lose_all(Failure::Connect);
    rig.until_asked();
    let mut other = discover_result();
    other["_meta"]["io.modelcontextprotocol/serverInfo"]["version"] = json!("2");
    rig.result("server/discover", other);
    let last = rig.events.iter().rev().find(|event| matches!(event, Event::Reconnected { .. })).unwrap();
    let Event::Reconnected { session, server_changed: true, .. } = last else { panic!("{last:?}") };
    assert_eq!((session.server_version.as_str(), session.epoch), ("2", 2));
}

#[test]
fn a_close_answers_what_is_left() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.input(Input::Close);
    rig.pass(SECOND);
    assert_eq!(rig.take()[0]["error"]["code"], errors::CLOSED);
    assert!(rig.open.is_empty());
    assert!(matches!(rig.events.last(), Some(Event::Closed)));
}

#[test]
fn what_waits_is_answered_after_so_many_attempts_as_are_allowed() {
    let mut rig = Rig::with(Options::new(URL).with(|o| o.max_attempts = 3));
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let mut lost = 0;
    while rig.told.is_empty() && rig.now < Instant::ZERO + 60 * SECOND {
        lost += usize::from(rig.is_open("server/discover"));
        rig.lose_all(Failure::Connect);
        rig.pass(SECOND / 50);
    }
    let told = rig.take();
    assert_eq!((told.len(), &told[0]["id"], &told[0]["error"]["code"]), (1, &json!(1), &json!(errors::UNAVAILABLE)));
    let text = told[0]["error"]["message"].as_str().unwrap();
    assert!(text.starts_with("tools/call was not sent:") && text.contains("after 3 attempts"), "{text}");
    assert!((2..=3).contains(&lost), "{lost}");
    assert!(rig.now < Instant::ZERO + 10 * SECOND);
}

#[test]
fn a_request_that_begins_to_wait_brings_the_next_attempt_nearer() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.listening(json!("l"));
    rig.lose_all(Failure::Lost);
    while rig.now < Instant::ZERO + 600 * SECOND {
        rig.lose_all(Failure::Connect);
        rig.pass(SECOND / 10);
    }
    let mut longest = Duration::ZERO;
    for number in 0..20 {
        let asked = rig.now;
        rig.ask(json!(number), "tools/list", json!({}));
        while rig.open.is_empty() {
            rig.pass(SECOND / 50);
        }
        longest = longest.max(rig.now - asked);
        rig.lose_all(Failure::Connect);
        rig.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}));
        rig.pass(5 * SECOND);
        rig.lose_all(Failure::Connect);
    }
    assert!(longest <= SECOND + SECOND / 10, "{} ms", longest.as_millis());
}
