//! Rules that only one odd message, or one of several things at once, shows.

use mcp_reconnect_core::{Engine, Recovery};

use crate::support::server::json_body;
use crate::support::*;

fn hear(world: &World, part: &str) -> usize {
    world.client.raw.iter().filter(|text| text.contains(part)).count()
}

const INITIALIZE: &str =
    r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn say(world: &mut World, text: &str) {
    world.host(Input::Message(text.to_string()));
}

#[test]
fn why_a_line_is_no_message_is_said() {
    let mut world = World::new(Knobs::http());
    say(&mut world, "{");
    assert_eq!((hear(&world, "is not JSON"), hear(&world, "is not UTF-8")), (1, 0));
    say(&mut world, "\u{FFFD}{");
    assert_eq!((hear(&world, "is not JSON"), hear(&world, "is not UTF-8")), (1, 1));
}

#[test]
fn a_client_is_initialized_by_what_it_says_after_its_initialize_and_once() {
    let mut world = World::new(Knobs::http());
    say(&mut world, INITIALIZED);
    say(&mut world, INITIALIZE);
    world.run_for(SECOND);
    assert!(world.started("notifications/initialized").is_empty(), "{}", world.story());
    say(&mut world, INITIALIZED);
    say(&mut world, INITIALIZED);
    world.run_for(SECOND);
    assert_eq!(world.started("notifications/initialized").len(), 1, "{}", world.story());
}

/// It may not have taken note of the answer.
#[test]
fn a_request_before_the_answer_to_initialize_initializes_nothing() {
    let mut world = World::new(Knobs::http());
    say(&mut world, INITIALIZE);
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.run_for(5 * SECOND);
    assert!(world.started("notifications/initialized").is_empty() && world.answer(list).is_none(), "{}", world.story());
    say(&mut world, INITIALIZED);
    assert!(matches!(world.wait(list, SECOND), Answer::Result(_)));
}

#[test]
fn only_a_list_of_tools_marks_what_may_run_twice() {
    let mut world = World::with(Knobs::http(), Options::new(URL).with(|o| o.trust_annotations = true), 1);
    world.open();
    let tools = r#"{"prompts":[],"tools":[{"name":"echo","annotations":{"readOnlyHint":true}}]}"#;
    world.rule("prompts/list", json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{tools}}}"#)));
    let list = world.ask("prompts/list", r#"{"tag":$TAG}"#);
    world.wait(list, SECOND);
    world.fate("tools/call", Fate::ResetBefore);
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
}

#[test]
fn an_answer_to_initialize_that_was_kept_and_is_none_is_refused() {
    let mut kept = Recovery::new();
    kept.from_client(INITIALIZE, 0);
    kept.to_client(r#"{"jsonrpc":"2.0","id":"i","result":{"protocolVersion":"2025-11-25","capabilities":{}}}"#);
    let kept = kept.state().expect("it has initialized");
    let engine =
        |recovery: String| Engine::new(Options::new(URL).with(|o| o.recovery = Some(recovery)), 1, Instant::ZERO);
    assert!(engine(kept.clone()).is_ok());
    for (from, to) in [("result", "nothing"), ("2025-11-25\\\",\\\"capabilities\\\":{}}}\"", "\\n\\\"}}\"")] {
        let broken = kept.replace(from, to);
        assert_ne!(broken, kept);
        assert!(engine(broken.clone()).is_err(), "{broken}");
    }
}

/// What several requests were answered with is looked into once.
#[test]
fn answers_that_speak_of_the_session_are_verified_together() {
    let mut world = World::new(Knobs::http());
    world.open();
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32603,"message":"no session"}}"#;
    world.rules("tools/call", 3, json_body(error));
    let calls: Vec<_> = (0..3).map(|_| world.call("echo", 0)).collect();
    for call in calls {
        assert_eq!(world.wait(call, 5 * SECOND).code(), Some(-32603));
    }
    assert_eq!(world.started("tools/list").len(), 1, "{}", world.story());
    world.verify();
}

#[test]
fn that_a_subscription_is_not_restored_yet_is_said_once() {
    let mut world = World::new(Knobs::http());
    world.open();
    let subscribed = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"x:1"}"#);
    world.wait(subscribed, SECOND);
    let reply = Reply::Status(503, vec![("retry-after", String::from("1"))], String::new());
    world.rules("own resources/subscribe", 3, reply);
    world.host(Input::Reconnect);
    world.run_for(120 * SECOND);
    let said = world
        .count(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains("could not be restored yet")));
    assert_eq!(said, 1, "{}", world.story());
    assert!(world.server.sessions[&world.server.current].subscriptions.contains("x:1"), "{}", world.story());
}

/// What a session had is not set up again for one that ends.
#[test]
fn nothing_is_restored_while_the_connection_closes() {
    let mut world = World::new(Knobs::http());
    world.open();
    for number in 0..20 {
        let subscribed = world.ask("resources/subscribe", &format!(r#"{{"tag":$TAG,"uri":"x:{number}"}}"#));
        world.wait(subscribed, SECOND);
    }
    world.host(Input::Reconnect);
    assert!(world.run_until(5 * SECOND, |world| world.started("resources/subscribe").len() > 20));
    world.call("slow", 400);
    let before = world.started("resources/subscribe").len();
    assert!(before < 40, "a few at a time");
    world.host(Input::Close);
    world.run_for(SECOND);
    assert_eq!(world.started("resources/subscribe").len(), before, "{}", world.story());
}

/// A list that was taken and broke off says no more of the session than one that was answered so.
#[test]
fn a_list_that_was_taken_and_broke_off_is_not_asked_for_again() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32603,"message":"no session"}}"#));
    world.rule("tools/list", Reply::EventsThenCut(vec![": taken\n\n".to_string()]));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 20 * SECOND).code(), Some(-32603), "{}", world.story());
    assert_eq!(world.started("tools/list").len(), 1, "{}", world.story());
    world.verify();
}
