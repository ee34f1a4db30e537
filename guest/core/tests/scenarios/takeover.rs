//! An engine that takes the place of one that failed, with what [`Recovery`] has kept.

use mcp_reconnect_core::Recovery;

use crate::support::*;

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"tag":1}}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":"i","result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"resources":{"subscribe":true},"logging":{}},"serverInfo":{"name":"model","version":"1"}}}"#;

/// What is kept of a client that has said and heard this.
fn kept(said: &[&str], heard: &[&str]) -> String {
    let mut books = Recovery::new();
    for text in said {
        books.from_client(text, 0);
        for text in heard {
            books.to_client(text);
        }
    }
    books.state().expect("it has initialized")
}

fn world(recovery: String) -> World {
    World::with(Knobs::http(), Options::new(URL).with(|o| o.recovery = Some(recovery)), 1)
}

fn initialize_answers(world: &World) -> usize {
    world.client.raw.iter().filter(|text| text.contains("serverInfo")).count()
}

#[test]
fn it_makes_a_session_and_sets_up_what_the_client_had() {
    let subscribe = r#"{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"x:1"}}"#;
    let level = r#"{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"error"}}"#;
    let done = [ANSWER, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#, r#"{"jsonrpc":"2.0","id":3,"result":{}}"#];
    let mut world = world(kept(&[INITIALIZE, INITIALIZED, subscribe, level], &done));
    world.run_for(5 * SECOND);
    let session = &world.server.sessions[&world.server.current];
    assert!(session.subscriptions.contains("x:1"), "{}", world.story());
    assert_eq!(session.level.as_deref(), Some("error"));
    assert_eq!(world.engine.status().state, State::Ready);
    let again =
        world.count(|event| matches!(event, Event::Reconnected { new_session: true, server_changed: true, .. }));
    assert_eq!(again, 1, "it declares its capabilities in other words\n{}", world.story());
    // The client was answered long ago.
    assert_eq!(initialize_answers(&world), 0);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
}

#[test]
fn an_initialize_that_was_not_answered_is_asked_again() {
    let mut world = world(kept(&[INITIALIZE, INITIALIZED], &[]));
    world.host(Input::Tick);
    world.run_for(5 * SECOND);
    assert_eq!(initialize_answers(&world), 1, "{}", world.story());
    assert_eq!(world.engine.status().state, State::Ready);
}

#[test]
fn what_is_no_state_is_refused() {
    let good = kept(&[INITIALIZE], &[ANSWER]);
    let spoilt = good.replace(r#"\"initialize\""#, r#"\"ping\",\"id\":1,\"#);
    for recovery in [String::from("{}"), String::from("no"), spoilt] {
        let options = Options::new(URL).with(|o| o.recovery = Some(recovery.clone()));
        let refused = mcp_reconnect_core::Engine::new(options, 1, Instant::ZERO);
        assert!(refused.is_err_and(|error| error.to_string().contains("recovery")), "{recovery}");
    }
}
