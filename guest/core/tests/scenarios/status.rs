//! What a host may ask at any time, and what it is told when its options cannot be used.

use mcp_reconnect_core::{Engine, OptionsError};

use crate::support::server::status;
use crate::support::*;

fn state(world: &World) -> State {
    world.engine.status().state
}

#[test]
fn the_state_tells_what_the_connection_is_doing() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        assert_eq!(state(&world), State::Idle);
        world.initialize();
        assert_eq!(state(&world), State::Connecting);
        world.run_for(SECOND);
        assert_eq!(state(&world), State::Ready);
        // A look at a connection that is well changes nothing.
        world.host(Input::Probe);
        assert_eq!(state(&world), State::Ready);
        world.run_for(SECOND);
        world.now(Fault::Kill);
        world.run_for(60 * SECOND);
        assert_eq!(state(&world), State::Waiting);
        world.now(Fault::Start);
        world.run_for(60 * SECOND);
        assert_eq!(state(&world), State::Ready);
        assert!(!world.engine.is_closed());
        world.host(Input::Close);
        assert!(world.engine.is_closed());
        // Closing is as good as closed: nothing is taken any more.
        assert_eq!(state(&world), State::Closed);
        world.verify();
    }
}

#[test]
fn closing_shows_while_a_call_is_drained() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.call("slow", 200);
    world.run_for(10 * MILLISECOND);
    world.host(Input::Close);
    assert!(!world.closed && world.engine.is_closed());
    assert_eq!(state(&world), State::Closed);
    world.verify();
}

#[test]
fn a_session_that_may_have_survived_a_break_is_connecting_until_its_ping_is_answered() {
    let mut world = World::new(Knobs { durable: true, ..Knobs::http() });
    world.open();
    world.now(Fault::Kill);
    world.run_for(30 * SECOND);
    world.now(Fault::Start);
    world.rule("\"ping\"", Reply::Hang);
    world.run_until(60 * SECOND, |world| !world.started("\"ping\"").is_empty() && state(world) == State::Connecting);
    assert_eq!(state(&world), State::Connecting, "{}", world.story());
    assert!(world.engine.status().session.is_some_and(|session| session.epoch == 1), "{}", world.story());
    world.verify();
}

#[test]
fn missing_credentials_show_and_so_does_the_reason() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("POST", 9, status(401));
    world.host(Input::Reconnect);
    world.run_for(SECOND);
    let status = world.engine.status();
    assert_eq!(status.state, State::NeedsCredentials);
    assert_eq!(status.last_error, "HTTP 401");
    world.verify();
}

#[test]
fn a_snapshot_counts_and_names_the_session() {
    let mut world = World::new(Knobs::http());
    world.open();
    let ready_at = world.events.iter().find(|(_, event)| matches!(event, Event::Connected(_))).unwrap().0;
    let running = [world.call("slow", 5000), world.call("slow", 5000)];
    let status = world.engine.status();
    assert_eq!((status.in_flight, status.queued, status.reconnects, status.replays), (2, 0, 0, 0));
    let since = status.session_since.unwrap();
    assert!(ready_at - since < 10 * MILLISECOND && since - ready_at < 10 * MILLISECOND);
    let session = status.session.unwrap();
    assert_eq!((session.epoch, session.transport, session.has_session_id), (1, Transport::StreamableHttp, true));
    assert_eq!((session.server_name.as_str(), session.server_version.as_str()), ("model", "1"));
    assert_eq!(session.protocol_version, "2025-11-25");
    world.now(Fault::Kill);
    let held = world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.run_for(SECOND);
    let status = world.engine.status();
    assert_eq!((status.in_flight, status.queued), (1, 1), "{}", world.story());
    assert_eq!(running.map(|tag| world.error(tag)), [Some(errors::OUTCOME_UNKNOWN); 2]);
    world.now(Fault::Start);
    world.wait(held, 10 * SECOND);
    let status = world.engine.status();
    assert_eq!((status.in_flight, status.queued, status.reconnects), (0, 0, 1));
    assert_eq!(status.session.unwrap().epoch, 2);
    world.verify();
}

#[test]
fn options_that_cannot_be_used_are_refused_with_what_and_why() {
    let refused = |change: &dyn Fn(&mut Options)| {
        let mut options = Options::new(URL);
        change(&mut options);
        Engine::new(options, 1, Instant::ZERO).map(|_| ()).unwrap_err()
    };
    for name in [
        "max-queue-messages",
        "max-queue-bytes",
        "max-message-bytes",
        "max-event-bytes",
        "max-body-bytes",
        "max-total-body-bytes",
    ] {
        let change = |options: &mut Options| match name {
            "max-queue-messages" => options.max_queue_messages = 0,
            "max-queue-bytes" => options.max_queue_bytes = 0,
            "max-message-bytes" => options.max_message_bytes = 0,
            "max-event-bytes" => options.max_event_bytes = 0,
            "max-body-bytes" => options.max_body_bytes = 0,
            _ => options.max_total_body_bytes = 0,
        };
        let error = refused(&change);
        assert_eq!(error, OptionsError::Zero(name));
        assert_eq!(error.to_string(), format!("{name} must be at least 1"));
    }
    let error = refused(&|options| options.url = String::from("ftp://server.test/"));
    assert!(matches!(error, OptionsError::Url(_)));
    assert!(error.to_string().starts_with("the URL cannot be used: "), "{error}");
    for (name, value, why) in [
        ("a\u{1b}b", "x", "\"a\u{fffd}b\" is no header name"),
        ("Mcp-Session-Id", "x", "Mcp-Session-Id is set by the transport itself"),
        ("Host", "x", "Host is set by the transport itself"),
        ("Accept-Encoding", "gzip", "Accept-Encoding is set by the transport itself"),
        ("x-secret", "s3cret\r\n", "the value of x-secret holds a character that is not allowed"),
    ] {
        let error = refused(&|options| options.headers = vec![(name.into(), value.into())]);
        assert!(matches!(error, OptionsError::Header(_)));
        let text = error.to_string();
        assert!(text.starts_with(&format!("a header cannot be used: {why}")), "{text}");
        assert!(!text.contains("s3cret") && !text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn the_defaults_are_those_that_the_documentation_names() {
    let options = Options::new(URL);
    assert_eq!(
        [
            options.credentials_timeout,
            options.heartbeat_interval,
            options.heartbeat_timeout,
            options.hold_timeout,
            options.run_timeout,
            options.run_limit,
            options.old_session_timeout,
            options.response_timeout,
            options.backoff_cap,
            options.start_timeout,
        ]
        .map(|duration| duration.as_secs()),
        [15, 30, 10, 180, 3600, 86_400, 300, 30, 30, 20]
    );
    assert_eq!(options.backoff_base, 500 * MILLISECOND);
    assert_eq!((options.max_queue_messages, options.max_queue_bytes), (1024, 134_217_728));
    assert_eq!(
        [options.max_message_bytes, options.max_event_bytes, options.max_body_bytes],
        [67_108_864, 16_777_216, 67_108_864]
    );
}
