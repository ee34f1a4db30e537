//! Which versions a server speaks, and who is told.

use mcp_reconnect_core::{Event, Failure, Input, Instant, Options, SECOND, State, errors};
use serde_json::json;

use crate::rig::*;

#[test]
fn a_discover_passes_and_makes_the_contact() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "server/discover", json!({}));
    assert_eq!(rig.engine.status().state, State::Connecting);
    rig.result("server/discover", discover_result());
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": 1, "result": discover_result()})]);
    let status = rig.engine.status();
    assert_eq!(status.state, State::Ready);
    let info = status.session.unwrap();
    assert_eq!((info.protocol_version.as_str(), info.server_name.as_str()), (VERSION, "s"));
    assert!(!info.has_session_id);
    assert!(matches!(&rig.events[..], [Event::Connecting, Event::Connected(_)]), "{:?}", rig.events);
}

#[test]
fn a_server_with_sessions_only_is_told_as_clients_expect() {
    for (status, body) in [
        (400, r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}"#),
        (400, r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Missing session ID"}}"#),
        (200, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#),
        (404, "<html>not found"),
        (405, ""),
    ] {
        let mut rig = Rig::new();
        rig.ask(json!("d"), "server/discover", json!({}));
        let (exchange, _) = rig.last();
        rig.answer(exchange, status, "application/json", body);
        let told = rig.take();
        let expected = (1, &json!("d"), &json!(-32601));
        assert_eq!((told.len(), &told[0]["id"], &told[0]["error"]["code"]), expected, "{body}");
        // One that asks in spite of it learns which versions there are.
        rig.ask(json!(2), "tools/list", json!({}));
        let (exchange, _) = rig.last();
        rig.answer(exchange, status, "application/json", body);
        let told = rig.take();
        assert_eq!(told[0]["error"]["code"], -32022, "{body}");
        let supported = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
        assert_eq!(told[0]["error"]["data"], json!({"supported": supported, "requested": VERSION}));
    }
}

#[test]
fn whatever_the_server_does_a_discover_is_answered_before_clients_give_up() {
    for what in 0..6 {
        let mut rig = Rig::new();
        rig.ask(json!(1), "server/discover", json!({}));
        while rig.now < Instant::ZERO + 8 * SECOND {
            for exchange in rig.open.keys().copied().collect::<Vec<_>>() {
                match what {
                    0 => rig.fail(exchange, Failure::Connect),
                    1 => rig.fail(exchange, Failure::Lost),
                    2 => rig.answer(exchange, 503, "text/plain", ""),
                    3 => rig.answer(exchange, 401, "text/plain", ""),
                    4 => rig.answer(exchange, 200, "text/html", "<html>maintenance"),
                    _ => {}
                }
            }
            rig.pass(SECOND / 20);
        }
        rig.pass(SECOND / 10);
        let told = rig.take();
        assert_eq!(told.len(), 1, "{what}: {told:?}");
        let code = told[0]["error"]["code"].as_i64().unwrap();
        assert!(code == -32601 || what == 3 && code == errors::UNAUTHORIZED, "{what}: {told:?}");
        assert!(rig.started.len() < 120, "{what}: {} requests", rig.started.len());
    }
}

#[test]
fn a_modern_server_is_not_taken_for_another_because_of_one_refusal() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let (exchange, _) = rig.last();
    rig.answer(exchange, 400, "text/html", "<html>bad request");
    assert!(rig.take().is_empty());
    rig.result("server/discover", discover_result());
    assert_eq!(rig.take()[0]["error"]["code"], errors::HTTP_ERROR);
}

#[test]
fn a_refusal_that_is_looked_into_has_an_end_whatever_becomes_of_the_question() {
    for failure in [Failure::Connect, Failure::Lost] {
        // The server is back in time, and it is not.
        for back in [true, false] {
            let mut rig = Rig::new();
            rig.discovered();
            rig.ask(json!(1), "tools/call", json!({"name": "t"}));
            let (exchange, _) = rig.last();
            rig.answer(exchange, 400, "text/html", "<html>bad request");
            rig.lose_all(failure);
            rig.until_asked();
            while !back && rig.told.is_empty() && rig.now < Instant::ZERO + 200 * SECOND {
                rig.lose_all(failure);
                rig.pass(SECOND / 10);
            }
            if back {
                rig.result("server/discover", discover_result());
            }
            let told = rig.take();
            assert_eq!(told.len(), 1, "{failure:?} {back}");
            assert_eq!(told[0]["error"]["code"], errors::HTTP_ERROR, "{told:?}");
            assert!(rig.now <= Instant::ZERO + 185 * SECOND);
        }
    }
}

#[test]
fn a_discover_of_the_client_shows_that_the_server_has_become_another_one() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "server/discover", json!({}));
    rig.error("server/discover", 404, -32601, json!(null));
    let told = rig.take();
    assert!(told[0]["error"]["message"].as_str().unwrap().contains("only versions with a session"), "{told:?}");
    assert!(rig.logged("does not speak"), "{:?}", rig.events);
}

#[test]
fn a_server_that_becomes_one_with_sessions_is_followed() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    for _ in 0..2 {
        let (exchange, _) = rig.last();
        let body = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Server not initialized"},"id":null}"#;
        rig.answer(exchange, 400, "application/json", body);
    }
    assert_eq!(rig.take()[0]["error"]["code"], -32022);
    assert!(rig.logged("does not speak"), "{:?}", rig.events);
    // And back.
    rig.discovered();
    rig.ask(json!(2), "tools/list", json!({}));
    rig.result("tools/list", json!({"resultType": "complete", "tools": []}));
    assert_eq!(rig.take()[0]["id"], 2);
}

#[test]
fn rejected_credentials_are_asked_for_and_say_nothing_of_the_era() {
    let rejected = || {
        let mut rig = Rig::with(Options::new(URL).with(|o| o.can_refresh_credentials = true));
        rig.ask(json!(1), "tools/list", json!({}));
        let (exchange, _) = rig.last();
        rig.answer(exchange, 401, "text/plain", "");
        assert!(rig.events.iter().any(|event| matches!(event, Event::HeadersNeeded { status: Some(401) })));
        assert_eq!(rig.engine.status().state, State::NeedsCredentials);
        rig
    };
    let mut rig = rejected();
    rig.input(Input::SetHeaders(vec![("authorization".into(), "Bearer new".into())]));
    assert_eq!(header(&rig.started[1].1, "authorization"), Some("Bearer new"));
    rig.result("tools/list", json!({"resultType": "complete", "tools": []}));
    assert_eq!(rig.take()[0]["id"], 1);
    // Nobody brings others.
    let mut rig = rejected();
    rig.pass(16 * SECOND);
    assert_eq!(rig.take()[0]["error"]["code"], errors::UNAUTHORIZED);
}

/// What broke before the rejection is not asked about again and again: whoever rejects has answered.
#[test]
fn a_rejection_of_the_engines_own_question_leaves_it_to_the_requests() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let (exchange, _) = rig.find("tools/call");
    rig.fail(exchange, Failure::Lost);
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    let (own, _) = rig.find("server/discover");
    rig.answer(own, 401, "text/plain", "");
    assert!(!rig.is_open("server/discover"), "{:?}", rig.methods());
    let (exchange, _) = rig.find("tools/call");
    rig.answer(exchange, 401, "text/plain", "");
    let codes: Vec<_> = rig.take().iter().map(|answer| answer["error"]["code"].clone()).collect();
    assert_eq!(codes, [json!(errors::OUTCOME_UNKNOWN), json!(errors::UNAUTHORIZED)]);
}

/// Nothing is going on once the client has taken back what it asked for.
#[test]
fn a_server_that_was_never_heard_of_is_not_being_connected_to() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    assert_eq!(rig.engine.status().state, State::Connecting);
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
    rig.pass(3600 * SECOND);
    assert_eq!(rig.engine.status().state, State::Idle);
}
