//! What a new session gets back, and what it must not.

use crate::support::*;

fn after_restart(knobs: Knobs, prepare: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(knobs);
    world.open();
    prepare(&mut world);
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(world.engine.status().session.as_ref().unwrap().epoch, 2, "{}", world.story());
    world.verify();
    world
}

fn current(world: &World) -> &crate::support::server::Session {
    &world.server.sessions[&world.server.current]
}

#[test]
fn the_programs_initialize_is_sent_again_with_the_negotiated_version() {
    let world = after_restart(Knobs { version: "2025-06-18", ..Knobs::http() }, |_| {});
    let sent = world.started("\"initialize\"");
    assert!(sent[0].body().contains(r#""protocolVersion":"2025-11-25""#));
    assert!(sent[1].body().contains(r#""protocolVersion":"2025-06-18""#));
    assert!(sent[1].body().contains(r#""clientInfo":{"name":"test","version":"1"}"#));
    assert!(sent[1].body().contains(r#""capabilities":{"elicitation":{}}"#));
    assert_eq!(world.started("notifications/initialized").len(), 2);
}

#[test]
fn the_log_level_and_the_subscriptions_come_back() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let world = after_restart(knobs, |world| {
            for (method, params) in [
                ("logging/setLevel", r#"{"tag":$TAG,"level":"error"}"#),
                ("logging/setLevel", r#"{"tag":$TAG,"level":"debug"}"#),
                ("resources/subscribe", r#"{"tag":$TAG,"uri":"file:///a"}"#),
                ("resources/subscribe", r#"{"tag":$TAG,"uri":"file:///b"}"#),
                ("resources/subscribe", r#"{"tag":$TAG,"uri":"file:///a"}"#),
                ("resources/unsubscribe", r#"{"tag":$TAG,"uri":"file:///b"}"#),
            ] {
                let tag = world.ask(method, params);
                world.wait(tag, SECOND);
            }
        });
        assert_eq!(current(&world).level.as_deref(), Some("debug"));
        assert_eq!(current(&world).subscriptions.iter().collect::<Vec<_>>(), ["file:///a"]);
        let updated = world.heard("resources/updated");
        assert_eq!(updated.len(), 1);
        assert!(updated[0].1.contains("file:///a"));
    }
}

#[test]
fn no_log_level_for_a_server_that_lost_logging() {
    let mut world = World::new(Knobs::http());
    world.open();
    let level = world.ask("logging/setLevel", r#"{"tag":$TAG,"level":"debug"}"#);
    world.wait(level, SECOND);
    world.now(Fault::Kill);
    world.now(Fault::Become(Box::new(Knobs { capabilities: r#"{"tools":{}}"#, ..Knobs::http() })));
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    assert_eq!(world.started("setLevel").len(), 1);
    assert_eq!(
        world.count(|event| matches!(event, Event::Reconnected { server_changed: true, new_session: true, .. })),
        1
    );
}

#[test]
fn a_restore_that_breaks_is_tried_again() {
    let mut world = World::new(Knobs::http());
    world.open();
    let subscribe = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"file:///a"}"#);
    world.wait(subscribe, SECOND);
    world.restart(SECOND);
    world.fate("resources/subscribe", Fate::ResetBefore);
    world.run_for(60 * SECOND);
    assert!(current(&world).subscriptions.contains("file:///a"), "{}", world.story());
    world.verify();
}

#[test]
fn the_client_hears_that_lists_may_have_changed_once() {
    let world = after_restart(Knobs::http(), |_| {});
    assert_eq!(world.heard("notifications/tools/list_changed").len(), 1);
    assert_eq!(world.heard("notifications/resources/list_changed").len(), 1);
    assert_eq!(world.heard("notifications/prompts/list_changed").len(), 0);
}

#[test]
fn sessions_without_progress_are_not_told_again() {
    let mut world = World::new(Knobs::http());
    world.open();
    for _ in 0..3 {
        world.restart(SECOND);
        world.run_for(60 * SECOND);
    }
    assert_eq!(world.engine.status().reconnects, 3);
    assert_eq!(world.heard("notifications/tools/list_changed").len(), 1);
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.wait(list, SECOND);
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(world.heard("notifications/tools/list_changed").len(), 2);
    world.verify();
}

#[test]
fn the_standalone_stream_is_opened_again_without_the_old_cursor() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stream = world.started("GET")[0].id;
    world.body(stream, "id: old/standalone/7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n");
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    let gets = world.started("GET");
    let last = gets.last().unwrap();
    assert_eq!(last.header("mcp-session-id"), Some(world.server.current.as_str()));
    assert_eq!(last.header("last-event-id"), None);
    world.verify();
}

#[test]
fn questions_of_the_old_session_are_cancelled_and_their_answers_dropped() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.client.thinks = 20 * SECOND;
        world.open();
        world.call("ask", 0);
        world.run_for(SECOND);
        assert_eq!(world.heard("elicitation/create").len(), 1);
        world.restart(100 * MILLISECOND);
        world.run_for(5 * SECOND);
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        world.wait(read, 10 * SECOND);
        assert_eq!(world.client.dropped.len(), 1, "{}", world.story());
        // The new session asks too, under the same id; the old answer comes late.
        let again = world.call("ask", 0);
        world.run_for(SECOND);
        let asked = world.heard("elicitation/create");
        assert_eq!(asked.len(), 2);
        assert!(matches!(world.wait(again, 40 * SECOND), Answer::Result(_)), "{}", world.story());
        world.verify();
    }
}

#[test]
fn ids_of_questions_are_unique_to_the_client() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    for _ in 0..3 {
        world.call("ask", 0);
        world.run_for(SECOND);
        world.restart(100 * MILLISECOND);
        world.run_for(40 * SECOND);
    }
    let ids: std::collections::BTreeSet<_> = world
        .heard("elicitation/create")
        .iter()
        .map(|(_, text)| serde_json::from_str::<serde_json::Value>(text).unwrap()["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 3);
    // Their cancellation names the same ids.
    assert_eq!(world.client.dropped.iter().cloned().collect::<std::collections::BTreeSet<_>>(), ids);
    world.verify();
}

#[test]
fn headers_are_evaluated_at_every_connect() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.host(Input::SetHeaders(vec![("x-key".into(), "new".into())]));
    let call = world.call("echo", 0);
    world.wait(call, SECOND);
    assert_eq!(world.started("tools/call")[0].header("x-key"), Some("new"));
    assert_eq!(world.engine.status().reconnects, 0);
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert!(
        world
            .net
            .started
            .iter()
            .filter(|one| one.at > world.now - 60 * SECOND)
            .all(|one| one.header("x-key").is_some())
    );
    world.verify();
}

#[test]
fn the_session_that_is_left_is_deleted() {
    let mut world = World::new(Knobs::http());
    world.open();
    let old = world.server.current.clone();
    world.host(Input::Reconnect);
    world.run_for(5 * SECOND);
    let deleted = world.started("DELETE");
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].header("mcp-session-id"), Some(old.as_str()));
    let initialize = world.started("\"initialize\"")[1].at;
    assert!(deleted[0].at < initialize);
    assert_eq!(world.engine.status().session.unwrap().epoch, 2);
    world.verify();
}

#[test]
fn a_delete_that_is_not_answered_delays_for_a_second_at_most() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("DELETE", Reply::Hang);
    world.host(Input::Reconnect);
    let asked = world.now;
    world.run_for(5 * SECOND);
    let again = world.started("\"initialize\"")[1].at - asked;
    assert!((900 * MILLISECOND..1100 * MILLISECOND).contains(&again));
    // It is never sent for a session that is known to be dead.
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(world.started("DELETE").len(), 1);
    world.verify();
}

#[test]
fn held_requests_do_not_wait_for_the_restores() {
    let mut world = World::new(Knobs::http());
    world.open();
    let subscribe = world.ask("resources/subscribe", r#"{"tag":$TAG,"uri":"file:///a"}"#);
    world.wait(subscribe, SECOND);
    world.now(Fault::Kill);
    world.run_for(5 * MILLISECOND);
    world.rules("resources/subscribe", 10, Reply::Hang);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    world.now(Fault::Start);
    let back = world.now;
    assert!(matches!(world.wait(call, 10 * SECOND), Answer::Result(_)));
    assert!(world.now - back < 3 * SECOND);
    world.verify();
}

#[test]
fn progress_of_the_old_session_dies_with_it() {
    let mut world = World::new(Knobs::http());
    world.open();
    let slow = world.ask("tools/call", &crate::support::client::call_params("slow", 8000, 1000));
    world.run_for(2500 * MILLISECOND);
    let heard = world.heard("notifications/progress").len();
    assert!(heard >= 2);
    world.now(Fault::Forget);
    let quick = world.call("echo", 0);
    world.wait(quick, SECOND);
    assert!(matches!(world.wait(slow, 20 * SECOND), Answer::Result(_)));
    assert_eq!(world.heard("notifications/progress").len(), heard);
    world.verify();
}

#[test]
fn initialized_of_the_client_is_not_sent_twice() {
    let mut world = World::new(Knobs::http());
    world.client.silent = true;
    world.initialize();
    world.run_for(SECOND);
    // The client asks before it says `initialized`: that implies it.
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    assert!(matches!(world.wait(list, SECOND), Answer::Result(_)));
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    world.run_for(SECOND);
    assert_eq!(world.started("notifications/initialized").len(), 1);
    world.verify();
}

#[test]
fn initialized_that_comes_while_the_link_is_probed_is_not_forgotten() {
    let mut world = World::new(Knobs { pings: false, get: Get::Stream, ..Knobs::http() });
    world.client.silent = true;
    // The server pings on the stream that answered `initialize`; the answer to that ping is lost.
    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"m","version":"1"}}"#;
    world.rule(
        "\"initialize\"",
        Reply::Status(
            200,
            vec![("content-type", "text/event-stream".into()), ("mcp-session-id", "x-1".into())],
            format!(
                "data: {{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{result}}}\n\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}\n\n"
            ),
        ),
    );
    world.rules(
        "\"method\":\"ping\"",
        3,
        crate::support::server::json_body(r#"{"jsonrpc":"2.0","id":$ID,"result":{}}"#),
    );
    world.rule("initialized", crate::support::server::status(202));
    world.fate("\"result\":{}", Fate::ResetBefore);
    world.initialize();
    world.run_until(5 * SECOND, |world| !world.started("\"result\":{}").is_empty());
    world.run_for(2 * MILLISECOND);
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    world.run_for(2 * SECOND);
    let first = world
        .net
        .started
        .iter()
        .find(|one| one.header("mcp-session-id") == Some("x-1") && one.body().contains("notifications/"));
    assert!(first.is_some(), "{}", world.story());
    assert_eq!(world.engine.status().state, State::Ready);
}
