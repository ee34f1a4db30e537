//! What people are told: by events, errors and the status.

use crate::support::server::status_text;
use crate::support::*;

/// All texts for people so far.
fn texts(world: &World) -> String {
    let events: Vec<_> = world.events.iter().filter(|(_, event)| !matches!(event, Event::Message(_))).collect();
    format!("{events:?} {}", world.engine.status().last_error)
}

#[test]
fn a_session_id_a_query_and_a_header_are_shown_to_nobody() {
    let mut options = Options::new(format!("{URL}?key=s3cret-query"));
    options.headers = vec![("authorization".into(), "Bearer s3cret-token".into())];
    let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
    let head = |name, value: &str| (name, value.to_string());
    let result = r#"{"jsonrpc":"2.0","id":$ID,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}"#;
    let named = vec![head("content-type", "application/json"), head("mcp-session-id", "s3cret-session")];
    world.rule("\"initialize\"", Reply::Status(200, named, result.into()));
    world.rule("notifications/initialized", Reply::Status(202, vec![], String::new()));
    world.initialize();
    world.run_for(SECOND);
    for part in ["\"ping\"", "tools/list", "\"initialize\""] {
        world.rules(part, 9, status_text(500, "s3cret-session of s3cret-query and s3cret-token"));
    }
    world.run_for(90 * SECOND);
    let told = texts(&world);
    assert!(told.contains("*** of *** and ***") && !told.contains("s3cret"), "{told}");
}

#[test]
fn a_proxy_that_answers_in_the_servers_place_is_called_so() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("POST", 3, status_text(503, "no healthy upstream"));
    world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.run_for(SECOND);
    assert!(texts(&world).contains("a proxy answers in the server's place"), "{}", world.story());
}

/// A body that nobody can read takes nothing from what the head says.
#[test]
fn the_head_of_a_compressed_refusal_counts() {
    let compressed = |status, name, value: &str| {
        Reply::Status(status, vec![("Content-Encoding", "gzip".into()), (name, value.into())], "\u{1f}".into())
    };
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.rule("tools/call", compressed(503, "Retry-After", "7"));
    let call = world.call("echo", 0);
    world.run_for(6 * SECOND);
    assert_eq!((world.answer(call), world.started("tools/call").len()), (None, 1), "{}", world.story());
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

/// A stream that ends without its last blank line: what was too large is too large, and not unknown.
#[test]
fn an_event_that_is_too_large_and_the_last_of_its_stream_is_told() {
    let mut options = Options::new(URL);
    options.max_event_bytes = 2000;
    let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
    world.open();
    let event = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{{\"pad\":\"{}\"}}}}\n", "x".repeat(3000));
    world.rule("tools/call", Reply::RunThenEvents(vec![event], true));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 5 * SECOND).code(), Some(errors::TOO_LARGE), "{}", world.story());
}
