//! 401 and 403: never a restart.

use crate::support::server::status;
use crate::support::*;

fn refreshing() -> World {
    let mut options = Options::new(URL);
    options.can_refresh_credentials = true;
    options.headers = vec![("authorization".into(), "Bearer old".into())];
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world
}

/// A host that gives headers for each new session too, or says nothing for so long.
fn asking(timeout: Duration, knobs: Knobs) -> World {
    let mut options = Options::new(URL);
    options.can_refresh_credentials = true;
    options.connect_headers_timeout = timeout;
    options.headers = vec![("authorization".into(), "Bearer old".into())];
    // One `initialize` a session.
    options.transport =
        if knobs.offer == Offer::Sse { TransportChoice::HttpSse } else { TransportChoice::StreamableHttp };
    World::with(knobs, options, 1)
}

fn asked(world: &World) -> Vec<Option<u16>> {
    let status = |(_, event): &(Instant, Event)| match event {
        Event::HeadersNeeded { status } => Some(*status),
        _ => None,
    };
    world.events.iter().filter_map(status).collect()
}

/// The `authorization` of each `initialize`.
fn initialized_with(world: &World) -> Vec<String> {
    let initializes = world.net.started.iter().filter(|started| started.body().contains(r#""method":"initialize""#));
    initializes.map(|started| started.header("authorization").unwrap_or_default().to_owned()).collect()
}

fn fresh() -> Input {
    Input::SetHeaders(vec![("authorization".into(), "Bearer new".into())])
}

fn unauthorized() -> Reply {
    Reply::Status(401, vec![("WWW-Authenticate", "Bearer realm=\"x\"".into())], String::new())
}

#[test]
fn fresh_headers_are_asked_for_once_and_the_request_is_sent_again() {
    for code in [401, 403] {
        let mut world = refreshing();
        world.rule("tools/call", status(code));
        let call = world.call("echo", 0);
        world.run_for(SECOND);
        assert!(world.answer(call).is_none());
        assert_eq!(world.count(|event| matches!(event, Event::CredentialsNeeded { .. })), 1);
        assert_eq!(world.engine.status().state, State::NeedsCredentials);
        world.host(fresh());
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
        assert_eq!(world.started("tools/call")[1].header("authorization"), Some("Bearer new"));
        assert_eq!(world.engine.status().reconnects, 0);
        assert_eq!(world.server.runs_of(call), 1);
        world.verify();
    }
}

/// Their answers come one after the other, some of them after the headers were asked for.
#[test]
fn calls_that_are_rejected_together_ask_for_fresh_headers_once() {
    for knobs in [Knobs::http(), Knobs { json: true, ..Knobs::http() }, Knobs::sse()] {
        let mut options = Options::new(URL);
        options.can_refresh_credentials = true;
        let mut world = World::with(knobs, options, 1);
        world.open();
        world.rules("tools/call", 4, unauthorized());
        let mut calls = Vec::new();
        for _ in 0..4 {
            calls.push(world.call("echo", 0));
            world.run_for(MILLISECOND / 2);
        }
        world.run_for(SECOND);
        world.host(fresh());
        for call in calls {
            assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
            assert_eq!(world.server.runs_of(call), 1);
        }
        assert_eq!(asked(&world).len(), 1, "{}", world.story());
        // Nothing is looked into before the fresh headers were tried.
        assert!(world.started("tools/list").is_empty(), "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_second_rejection_is_the_answer() {
    let mut world = refreshing();
    world.rules("tools/call", 2, unauthorized());
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    world.host(fresh());
    let Answer::Error(code, text) = world.wait(call, 5 * SECOND) else { panic!() };
    assert_eq!(code, errors::UNAUTHORIZED);
    assert!(text.contains("401") && text.contains("Bearer realm"), "{text}");
    assert_eq!(world.started("tools/call").len(), 2);
    world.verify();
}

#[test]
fn headers_that_do_not_come_are_waited_for_so_long() {
    let mut world = refreshing();
    world.rules("POST", 1000, status(401));
    let call = world.call("echo", 0);
    let asked = world.now;
    assert_eq!(world.wait(call, 30 * SECOND).code(), Some(errors::UNAUTHORIZED));
    assert!((15 * SECOND..16 * SECOND).contains(&(world.now - asked)));
    // Then the challenge is the answer at once, and the server is asked at most every ten seconds.
    let before = world.net.started.len();
    for _ in 0..40 {
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, 3 * SECOND).code(), Some(errors::UNAUTHORIZED));
        world.run_for(SECOND);
    }
    let tries = world.net.started.len() - before;
    // Each attempt asks the session, by a ping and a list, and then for another one.
    assert!((1..=15).contains(&tries), "{tries} requests in forty seconds");
    world.server.rules.clear();
    world.host(fresh());
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    assert_eq!(world.engine.status().reconnects, 0);
    world.verify();
}

/// A token may be enough for all tools but one.
#[test]
fn a_tool_that_the_credentials_are_not_enough_for_stops_no_other() {
    let mut world = refreshing();
    world.rules("\"restricted\"", 1000, status(403));
    let call = world.call("restricted", 0);
    world.run_for(SECOND);
    world.host(fresh());
    assert_eq!(world.wait(call, 2 * SECOND).code(), Some(errors::UNAUTHORIZED));
    for _ in 0..5 {
        let echo = world.call("echo", 0);
        assert!(matches!(world.wait(echo, SECOND), Answer::Result(_)), "{}", world.story());
        let call = world.call("restricted", 0);
        world.run_for(10 * MILLISECOND);
        world.host(fresh());
        assert_eq!(world.wait(call, 2 * SECOND).code(), Some(errors::UNAUTHORIZED), "{}", world.story());
    }
    world.verify();
}

/// Tokens expire again and again, also where nothing but pings is answered between.
#[test]
fn headers_are_asked_for_at_every_expiry() {
    let mut world = refreshing();
    for expiry in 1..=3 {
        world.rule("\"ping\"", status(401));
        world.run_for(31 * SECOND);
        assert_eq!(asked(&world).len(), expiry, "{}", world.story());
        world.host(fresh());
        world.run_for(61 * SECOND);
        assert_eq!(world.engine.status().state, State::Ready, "{}", world.story());
    }
    world.rule("tools/call", unauthorized());
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    world.host(fresh());
    assert!(matches!(world.wait(call, 2 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn a_host_that_cannot_refresh_tells_the_client_at_once() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", unauthorized());
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::UNAUTHORIZED));
    assert_eq!(world.started("tools/call").len(), 1);
    let again = world.call("echo", 0);
    assert!(matches!(world.wait(again, SECOND), Answer::Result(_)));
    assert_eq!(world.engine.status().reconnects, 0);
    world.verify();
}

#[test]
fn a_restarted_server_that_wants_other_credentials() {
    let mut world = refreshing();
    world.restart(SECOND);
    world.run_for(SECOND);
    world.rules("POST", 1000, status(401));
    world.run_for(60 * SECOND);
    assert_eq!(world.engine.status().state, State::NeedsCredentials, "{}", world.story());
    world.server.rules.clear();
    world.host(fresh());
    world.run_for(60 * SECOND);
    assert_eq!(world.engine.status().state, State::Ready);
    assert_eq!(world.engine.status().reconnects, 1);
    world.verify();
}

#[test]
fn by_itself_the_server_is_asked_again_now_and_then() {
    let mut world = refreshing();
    world.rules("POST", 4, status(403));
    world.call("echo", 0);
    world.run_for(300 * SECOND);
    assert_eq!(world.engine.status().state, State::Ready, "{}", world.story());
    world.verify();
}

#[test]
fn a_notification_that_was_rejected_is_sent_again_once() {
    let mut world = refreshing();
    world.rule("notifications/custom", status(401));
    let tag = world.notify("notifications/custom");
    world.run_for(SECOND);
    world.host(fresh());
    world.run_for(5 * SECOND);
    assert_eq!(world.server.notified, [tag]);
    world.verify();
}

#[test]
fn secrets_are_in_no_event_and_no_message() {
    let mut world = refreshing();
    world.restart(SECOND);
    world.rules("tools/call", 2, status(401));
    world.call("echo", 0);
    world.run_for(60 * SECOND);
    world.host(Input::SetHeaders(vec![("authorization".into(), "Bearer se\r\ncret".into())]));
    world.run_for(SECOND);
    let events = format!("{:?}", world.events);
    for secret in ["Bearer old", "cret", "h1-2", "h2-"] {
        assert!(!events.contains(secret), "{secret} in {events}");
    }
    world.verify();
}

#[test]
fn headers_that_are_not_allowed_leave_the_old_ones() {
    let mut world = refreshing();
    for bad in [("x y", "1"), ("x", "a\nb"), ("Mcp-Session-Id", "x"), ("host", "x")] {
        world.host(Input::SetHeaders(vec![(bad.0.into(), bad.1.into())]));
    }
    let call = world.call("echo", 0);
    world.wait(call, SECOND);
    assert_eq!(world.started("tools/call")[0].header("authorization"), Some("Bearer old"));
    world.verify();
}

#[test]
fn headers_are_awaited_before_each_new_session() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = asking(10 * SECOND, knobs);
        world.initialize();
        world.run_for(5 * SECOND);
        assert_eq!(world.engine.status().state, State::Connecting);
        assert!(world.net.started.is_empty(), "nothing is sent before the headers are there");
        world.host(Input::SetHeaders(vec![("authorization".into(), "Bearer first".into())]));
        world.run_for(SECOND);
        assert_eq!(world.engine.status().state, State::Ready);
        world.restart(2 * SECOND);
        world.run_for(SECOND);
        // In parallel to the outage, and once.
        assert_eq!(asked(&world), [None, None]);
        let call = world.call("echo", 0);
        world.run_for(5 * SECOND);
        assert_eq!(initialized_with(&world), ["Bearer first"]);
        world.host(fresh());
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
        assert_eq!(initialized_with(&world), ["Bearer first", "Bearer new"]);
        assert_eq!(asked(&world), [None, None]);
        world.verify();
    }
}

#[test]
fn a_new_session_on_request_waits_for_headers_too() {
    let mut world = asking(10 * SECOND, Knobs::http());
    world.initialize();
    world.host(fresh());
    world.run_for(SECOND);
    world.host(Input::Reconnect);
    world.run_for(SECOND);
    // Once is enough, however often it is wanted.
    world.host(Input::Reconnect);
    world.host(Input::Probe);
    world.run_for(SECOND);
    assert_eq!(asked(&world), [None, None]);
    assert_eq!(initialized_with(&world).len(), 1);
    world.host(Input::SetHeaders(vec![("authorization".into(), "Bearer second".into())]));
    world.run_for(SECOND);
    assert_eq!(initialized_with(&world), ["Bearer new", "Bearer second"]);
    assert_eq!(world.engine.status().reconnects, 1);
    world.verify();
}

#[test]
fn a_host_that_is_silent_delays_a_session_and_no_more() {
    let mut world = asking(3 * SECOND, Knobs::http());
    world.open();
    assert!(world.now >= Instant::ZERO + 3 * SECOND);
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    assert_eq!(initialized_with(&world), ["Bearer old"]);
    world.verify();
}

#[test]
fn an_outage_asks_for_headers_once_a_minute() {
    let mut world = asking(10 * SECOND, Knobs::http());
    world.initialize();
    world.host(fresh());
    world.run_for(SECOND);
    world.now(Fault::Kill);
    for _ in 0..600 {
        let before = asked(&world).len();
        world.call("echo", 0);
        world.run_for(SECOND);
        if asked(&world).len() > before {
            world.host(fresh());
        }
    }
    let times = asked(&world).len();
    assert!((9..=13).contains(&times), "{times} times in ten minutes\n{}", world.story());
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    assert_eq!(world.engine.status().state, State::Ready);
    world.verify();
}

#[test]
fn fresh_headers_that_are_rejected_are_asked_for_once_more() {
    let mut world = asking(10 * SECOND, Knobs::http());
    world.rules("initialize", 1, status(401));
    let initialize = world.initialize();
    world.host(fresh());
    world.run_for(SECOND);
    assert_eq!(asked(&world), [None, Some(401)]);
    world.host(Input::SetHeaders(vec![("authorization".into(), "Bearer second".into())]));
    assert!(matches!(world.wait(initialize, 5 * SECOND), Answer::Result(_)));
    assert_eq!(initialized_with(&world), ["Bearer new", "Bearer second"]);
    world.verify();
}

/// A person has to log in: requests fail at once for a while, and then the first one waits for new headers.
#[test]
fn after_a_rejection_headers_are_asked_for_again_now_and_then() {
    let mut world = asking(10 * SECOND, Knobs::http());
    world.initialize();
    world.host(fresh());
    world.run_for(SECOND);
    world.rules("POST", 1000, status(401));
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    world.host(fresh());
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::UNAUTHORIZED));
    assert_eq!(asked(&world), [None, Some(401)]);
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::UNAUTHORIZED));
    assert_eq!(asked(&world).len(), 2, "not without pause");
    let later = world.run_until(60 * SECOND, |world| asked(world).len() == 3);
    assert!(later, "{}", world.story());
    world.server.rules.clear();
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    assert!(world.answer(call).is_none());
    world.host(fresh());
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    assert_eq!(world.engine.status().reconnects, 0);
    world.verify();
}

#[test]
fn a_new_session_is_not_stuck_between_two_demands_for_headers() {
    let mut world = asking(10 * SECOND, Knobs::http());
    world.initialize();
    world.host(fresh());
    world.run_for(SECOND);
    world.rules("POST", 3, status(401));
    world.call("echo", 0);
    world.run_for(SECOND);
    world.host(Input::Reconnect);
    world.run_for(60 * SECOND);
    assert_eq!(world.engine.status().state, State::Ready, "{}", world.story());
    world.verify();
}

#[test]
fn the_close_while_headers_are_awaited() {
    let mut world = asking(10 * SECOND, Knobs::http());
    let initialize = world.initialize();
    world.run_for(SECOND);
    world.host(Input::Close);
    world.run_for(SECOND);
    assert!(world.closed);
    assert_eq!(world.answer(initialize).map(Answer::code), Some(Some(errors::CLOSED)));
    world.verify();
}

/// Two calls go out with the old headers. The rejection of the second comes when the new ones are in use already.
#[test]
fn a_late_rejection_of_old_headers_says_nothing_of_the_new_ones() {
    let mut world = refreshing();
    world.rule("tools/call", Reply::Hang);
    world.rule("tools/call", unauthorized());
    let late = world.call("echo", 0);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    world.host(fresh());
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    let exchange = world.started("tools/call")[0].id;
    world.input(Input::Response { exchange, status: 401, headers: Vec::new() });
    world.input(Input::End(exchange));
    assert!(matches!(world.wait(late, 5 * SECOND), Answer::Result(_)));
    assert_eq!(asked(&world), [Some(401)]);
    assert_eq!(world.count(|event| matches!(event, Event::CredentialsNeeded { .. })), 1);
    let used: Vec<_> = world.started("tools/call").iter().map(|call| call.header("authorization")).collect();
    assert_eq!(used, [Some("Bearer old"), Some("Bearer old"), Some("Bearer new"), Some("Bearer new")]);
    world.verify();
}

#[test]
fn a_standalone_stream_that_was_refused_is_opened_with_the_new_headers() {
    let mut world = refreshing();
    world.rule("GET", status(401));
    world.rule("tools/call", status(401));
    world.now(Fault::ResetAll);
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    world.host(fresh());
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    world.run_for(5 * SECOND);
    let last = world.started("GET").last().and_then(|get| get.header("authorization").map(str::to_owned));
    assert_eq!(last.as_deref(), Some("Bearer new"), "{}", world.story());
    world.verify();
}

#[test]
fn a_call_that_loses_its_session_while_credentials_are_missing() {
    for refresh in [false, true] {
        let mut options = Options::new(URL);
        options.can_refresh_credentials = refresh;
        let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
        world.open();
        world.rule("tools/call", Reply::Hang);
        let call = world.call("echo", 0);
        world.run_for(SECOND);
        let exchange = world.started("tools/call")[0].id;
        world.rule("\"initialize\"", crate::support::server::status(401));
        world.host(Input::Reconnect);
        world.run_for(SECOND);
        assert_eq!(world.engine.status().state, State::NeedsCredentials);
        world.respond(exchange, 404, "session not found");
        world.run_for(10 * MILLISECOND);
        if refresh {
            // It waits for the headers that were asked for.
            assert!(world.answer(call).is_none(), "{}", world.story());
            world.host(Input::SetHeaders(vec![("authorization".into(), "Bearer new".into())]));
            assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
        } else {
            assert_eq!(world.error(call), Some(errors::UNAUTHORIZED), "{}", world.story());
        }
        world.verify();
    }
}

#[test]
fn a_server_that_rejects_everybody_is_asked_every_ten_seconds_at_the_most() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rules("POST", 1000, status(401));
    world.host(Input::Reconnect);
    world.run_for(SECOND);
    let asked = |world: &World| world.started("\"initialize\"").len();
    let before = asked(&world);
    // Whoever asks sooner is told at once what the server said.
    for _ in 0..4 {
        let call = world.call("echo", 0);
        assert_eq!(world.error(call), Some(errors::UNAUTHORIZED), "{}", world.story());
        world.run_for(2 * SECOND);
    }
    assert_eq!(asked(&world), before);
    world.run_for(300 * SECOND);
    let attempts: Vec<_> = world.started("\"initialize\"")[before - 1..].iter().map(|one| one.at).collect();
    assert!(attempts.len() > 8, "{attempts:?}");
    assert!(attempts.windows(2).all(|pair| pair[1] - pair[0] >= 10 * SECOND), "{attempts:?}");
    world.verify();
}

fn sign_in(url: Option<&str>) -> Input {
    let command = "mcp-reconnect login https://jarvis.internal/mcp".to_owned();
    Input::SignIn(Some(mcp_reconnect_core::SignIn { command, url: url.map(str::to_owned) }))
}

/// Only a person can give credentials: a request that waited for them fails and says what the person can do.
#[test]
fn a_rejected_request_says_how_to_sign_in() {
    let mut world = refreshing();
    world.rules("POST", 1000, unauthorized());
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    world.host(sign_in(Some("https://as.example/authorize?x=\"1\"")));
    let Answer::Error(code, text) = world.wait(call, 30 * SECOND) else { panic!() };
    assert_eq!(code, errors::UNAUTHORIZED);
    assert!(text.contains("A person has to sign in"), "{text}");
    let data = concat!(
        r#""data":{"status":401,"challenge":"Bearer realm=\"x\"","#,
        r#""command":"mcp-reconnect login https://jarvis.internal/mcp","#,
        r#""url":"https://as.example/authorize?x=\"1\""}"#
    );
    assert!(world.client.raw.iter().any(|answer| answer.contains(data)), "{:?}", world.client.raw);
    // At once from now on.
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND).code(), Some(errors::UNAUTHORIZED));
    // Somebody has signed in; then it is over.
    world.server.rules.clear();
    world.host(fresh());
    world.host(Input::SignIn(None));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    world.rules("tools/call", 2, unauthorized());
    let call = world.call("echo", 0);
    let Answer::Error(_, text) = world.wait(call, 60 * SECOND) else { panic!() };
    assert!(!text.contains("command") && text.contains("Give valid credentials"), "{text}");
    world.verify();
}

/// The client starts before the person has signed in: it is answered as for a server that is away, and is told of the lists
/// when it can be used.
#[test]
fn an_initialize_is_answered_before_the_sign_in() {
    for start_timeout in [20 * SECOND, Duration::ZERO] {
        let mut options = Options::new(URL);
        options.can_refresh_credentials = true;
        options.credentials_timeout = 8 * SECOND;
        options.start_timeout = start_timeout;
        let mut world = World::with(Knobs::http(), options, 1);
        world.rules("POST", 1000, unauthorized());
        let initialize = world.initialize();
        world.run_for(SECOND);
        world.host(sign_in(None));
        let answer = world.wait(initialize, 8 * SECOND);
        if start_timeout.is_zero() {
            assert_eq!(answer.code(), Some(errors::UNAUTHORIZED));
            continue;
        }
        let Answer::Result(result) = answer else { panic!("{answer:?}") };
        let text = result.to_string();
        assert!(text.contains("mcp-reconnect login https://jarvis.internal/mcp"), "{text}");
        world.run_for(SECOND);
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, 2 * SECOND).code(), Some(errors::UNAUTHORIZED));
        world.server.rules.clear();
        world.host(fresh());
        world.host(Input::SignIn(None));
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
        assert!(!world.heard("notifications/tools/list_changed").is_empty(), "it was not told");
        world.verify();
    }
}

/// A server may send a header for each scheme.
#[test]
fn all_challenges_are_told() {
    let mut world = refreshing();
    let headers =
        vec![("WWW-Authenticate", "Basic realm=\"x\"".into()), ("www-authenticate", "Bearer scope=\"y\"".into())];
    world.rules("tools/call", 1, Reply::Status(401, headers, String::new()));
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let told = |event: &Event| matches!(event, Event::CredentialsNeeded { challenge, .. } if challenge == "Basic realm=\"x\", Bearer scope=\"y\"");
    assert_eq!(world.count(told), 1);
    world.host(fresh());
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)));
    world.verify();
}
