//! The first contact: handshake, detection, and a server that is not there yet.

use crate::support::server::{json_body, status, status_text};
use crate::support::*;

#[test]
fn a_session_on_streamable_http() {
    let mut world = World::new(Knobs::http());
    world.open();
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    let first = &world.net.started[0];
    assert!(first.is_post_of("initialize"));
    assert_eq!(first.header("mcp-session-id"), None);
    assert_eq!(first.header("mcp-protocol-version"), None);
    assert_eq!(first.header("accept"), Some("application/json, text/event-stream"));
    let second = &world.net.started[1];
    assert!(second.is_post_of("notifications/initialized"));
    assert!(second.header("mcp-session-id").is_some());
    assert_eq!(second.header("mcp-protocol-version"), Some("2025-11-25"));
    world.verify();
}

#[test]
fn the_version_header_came_with_2025_06_18() {
    for (version, header) in [("2025-03-26", None), ("2025-06-18", Some("2025-06-18"))] {
        let mut world = World::new(Knobs { version, ..Knobs::http() });
        world.open();
        assert_eq!(world.net.started[1].header("mcp-protocol-version"), header);
    }
}

#[test]
fn json_answers_and_no_stream_are_fine() {
    let knobs = Knobs { json: true, get: Get::Status(405), stateless: true, ..Knobs::http() };
    let mut world = World::new(knobs);
    world.open();
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    assert!(matches!(world.wait(list, SECOND), Answer::Result(_)));
    assert!(world.net.started.iter().all(|one| one.header("mcp-session-id").is_none()));
    world.verify();
}

#[test]
fn a_session_on_http_sse() {
    let mut options = Options::new(URL);
    options.transport = TransportChoice::HttpSse;
    let mut world = World::with(Knobs::sse(), options, 1);
    world.open();
    let call = world.call("echo", 0);
    world.wait(call, SECOND);
    let what: Vec<_> = world.net.started.iter().map(|one| (one.request.method, one.request.path.clone())).collect();
    assert_eq!(what[0], (Method::Get, "/mcp".into()));
    assert!(what[1..].iter().all(|(method, path)| *method == Method::Post && path.starts_with("/messages?sid=e1-")));
    assert!(world.net.started[1].is_post_of("initialize"));
    assert!(world.net.started[2].is_post_of("notifications/initialized"));
    assert!(world.net.started.iter().all(|one| one.header("mcp-session-id").is_none()));
    world.verify();
}

#[test]
fn http_sse_is_detected() {
    for wrong_transport in [400, 404, 405, 406] {
        let mut world = World::new(Knobs { wrong_transport, ..Knobs::sse() });
        world.open();
        assert_eq!(world.engine.status().session.unwrap().transport, Transport::HttpSse);
        // Once known, it is kept.
        world.restart(SECOND);
        world.run_for(30 * SECOND);
        assert_eq!(world.engine.status().state, State::Ready);
        assert_eq!(world.started("POST /mcp ").len(), 1);
        world.verify();
    }
}

#[test]
fn a_choice_is_not_doubted() {
    let mut options = Options::new(URL);
    options.transport = TransportChoice::StreamableHttp;
    let mut world = World::with(Knobs::sse(), options, 1);
    let initialize = world.initialize();
    let Answer::Error(code, text) = world.wait(initialize, 5 * SECOND) else { panic!() };
    assert_eq!(code, errors::HTTP_ERROR);
    assert!(text.contains("405"), "{text}");
    assert_eq!(world.net.started.len(), 1);
}

#[test]
fn a_wrong_url_is_told_at_once_and_initialize_may_come_again() {
    let mut world = World::new(Knobs::http());
    world.rules("/mcp", 2, status_text(404, "404 page not found"));
    let first = world.initialize();
    let Answer::Error(code, text) = world.wait(first, 15 * SECOND) else { panic!() };
    assert_eq!(code, errors::HTTP_ERROR);
    assert!(text.contains("404"), "{text}");
    assert_eq!(world.engine.status().state, State::Idle);
    let again = world.initialize();
    assert!(matches!(world.wait(again, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn what_will_not_pass_is_told_at_once() {
    for (reply, fate) in [
        (Some(status(401)), None),
        (Some(status(403)), None),
        (
            Some(json_body(
                r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"Unsupported protocol version"}}"#,
            )),
            None,
        ),
        (Some(json_body(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"Broken by design"}}"#)), None),
        (Some(Reply::Status(200, vec![("content-type", "text/html".into())], "<html>hello".into())), None),
        (None, Some(Fate::BadCertificate)),
        (None, Some(Fate::Unsendable)),
    ] {
        let mut world = World::new(Knobs::http());
        let told = format!("{reply:?} {fate:?}");
        if let Some(reply) = reply {
            world.rule("initialize", reply);
        }
        if let Some(fate) = fate {
            world.fate("initialize", fate);
        }
        let initialize = world.initialize();
        assert!(matches!(world.wait(initialize, 3 * SECOND), Answer::Error(..)), "{told}");
        let again = world.initialize();
        assert!(matches!(world.wait(again, SECOND), Answer::Result(_)), "{told}");
        world.verify();
    }
}

#[test]
fn nothing_but_initialize_comes_first() {
    let mut world = World::new(Knobs::http());
    let list = world.ask("tools/list", "{}");
    assert_eq!(world.error(list), Some(errors::INVALID_REQUEST));
    let discover = world.ask("server/discover", "{}");
    assert_eq!(world.error(discover), Some(errors::METHOD_NOT_FOUND));
    let ping = world.ask("ping", "{}");
    assert!(world.has_result(ping));
    assert!(world.net.started.is_empty());
}

#[test]
fn list_changed_is_declared_to_the_client() {
    let mut world = World::new(Knobs::http());
    world.open();
    let told = world.client.initialized_with.clone().unwrap();
    assert_eq!(told["capabilities"]["tools"]["listChanged"], true);
    assert_eq!(told["capabilities"]["resources"]["listChanged"], true);
    assert_eq!(told["capabilities"]["resources"]["subscribe"], true);
    assert!(told["capabilities"].get("prompts").is_none());
}

#[test]
fn an_endpoint_in_another_origin_gets_nothing() {
    for endpoint in
        ["http://evil.test/messages", "https://server.test:9000/m", "//evil.test/m", "http://server.test:9001/m"]
    {
        let mut options = Options::new(URL);
        options.transport = TransportChoice::HttpSse;
        options.headers = vec![("authorization".into(), "Bearer secret".into())];
        let mut world = World::with(Knobs::sse(), options, 1);
        world.rule("GET /mcp", Reply::Events(vec![format!("event: endpoint\ndata: {endpoint}\n\n")], false));
        let initialize = world.initialize();
        let Answer::Error(_, text) = world.wait(initialize, 3 * SECOND) else { panic!() };
        assert!(text.contains("origin"), "{text}");
        assert_eq!(world.net.started.len(), 1);
        world.verify();
    }
}

#[test]
fn an_endpoint_may_be_spelt_as_people_write_it() {
    for (endpoint, path) in [
        ("/messages?name=\u{e9} \u{bd}", Some("/messages?name=%C3%A9%20%C2%BD")),
        ("/m/\u{65e5}?a=%20", Some("/m/%E6%97%A5?a=%20")),
        ("/m{id}", None),
        ("/m\u{202e}x", None),
    ] {
        let mut options = Options::new(URL);
        options.transport = TransportChoice::HttpSse;
        let mut world = World::with(Knobs::sse(), options, 1);
        world.rule("GET /mcp", Reply::Events(vec![format!("event: endpoint\ndata: {endpoint}\n\n")], false));
        world.initialize();
        world.run_for(SECOND);
        let posts: Vec<_> = world.started("POST").iter().map(|one| one.request.path.clone()).collect();
        assert_eq!(posts.first().map(String::as_str), path, "{endpoint}");
    }
}

#[test]
fn an_endpoint_event_that_never_comes_is_not_waited_for() {
    let mut options = Options::new(URL);
    options.transport = TransportChoice::HttpSse;
    let mut world = World::with(Knobs::sse(), options, 1);
    world.rule("GET /mcp", Reply::Events(vec![": hello\n\n".into()], false));
    let initialize = world.initialize();
    assert!(matches!(world.wait(initialize, 15 * SECOND), Answer::Result(_)));
    assert!(world.started("GET /mcp")[1].at >= Instant::ZERO + 10 * SECOND);
    let told = &world.engine.status().last_error;
    assert!(told.contains("endpoint event"), "{told}");
    world.verify();
}

#[test]
fn a_server_that_is_not_there_yet_is_promised_and_picked_up() {
    for fate in [None, Some(Fate::NoName)] {
        let mut world = World::new(Knobs::http());
        world.server.up = fate.is_some();
        for _ in 0..200 * u32::from(fate.is_some()) {
            world.fate("initialize", fate.unwrap());
        }
        let initialize = world.initialize();
        assert!(matches!(world.wait(initialize, 25 * SECOND), Answer::Result(_)));
        assert!((20 * SECOND..21 * SECOND).contains(&(world.now - Instant::ZERO)));
        let told = world.client.initialized_with.clone().unwrap();
        assert_eq!(told["protocolVersion"], "2025-11-25");
        for list in ["tools", "prompts", "resources"] {
            assert_eq!(told["capabilities"][list]["listChanged"], true);
        }
        // Lists are held before they are answered empty; calls are held for longer.
        world.run_for(SECOND);
        let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
        let call = world.call("echo", 0);
        let asked = world.now;
        let Answer::Result(empty) = world.wait(list, 30 * SECOND) else { panic!() };
        assert_eq!(empty["tools"], serde_json::json!([]));
        assert!(world.now >= asked + 10 * SECOND);
        assert!(world.answer(call).is_none());
        world.net.fates.clear();
        world.now(Fault::Start);
        assert!(matches!(world.wait(call, 10 * SECOND), Answer::Result(_)));
        world.run_for(2 * SECOND);
        // Every list that was promised may be another one, also the one that the server turned out not to have.
        for list in ["tools", "prompts", "resources"] {
            assert_eq!(world.heard(&format!("{list}/list_changed")).len(), 1, "{list}");
        }
        let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
        let Answer::Result(tools) = world.wait(list, SECOND) else { panic!() };
        assert_eq!(tools["tools"].as_array().unwrap().len(), 2);
        // What was promised and does not exist stays empty.
        let prompts = world.ask("prompts/list", "{}");
        let Answer::Result(prompts) = world.wait(prompts, SECOND) else { panic!() };
        assert_eq!(prompts["prompts"], serde_json::json!([]));
        world.verify();
    }
}

#[test]
fn without_provisional_results_initialize_is_held() {
    let mut options = Options::new(URL);
    options.start_timeout = Duration::ZERO;
    let mut world = World::with(Knobs::http(), options.clone(), 1);
    world.server.up = false;
    let initialize = world.initialize();
    world.run_for(100 * SECOND);
    assert!(world.answer(initialize).is_none());
    world.now(Fault::Start);
    assert!(matches!(world.wait(initialize, 5 * SECOND), Answer::Result(_)));
    world.verify();

    let mut world = World::with(Knobs::http(), options, 1);
    world.server.up = false;
    let initialize = world.initialize();
    let Answer::Error(code, text) = world.wait(initialize, 181 * SECOND) else { panic!() };
    assert_eq!(code, errors::UNAVAILABLE);
    assert!(text.contains("server.test"), "{text}");
    world.now(Fault::Start);
    let again = world.initialize();
    assert!(matches!(world.wait(again, 5 * SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn a_version_above_the_promise_is_told_for_every_request() {
    let mut world = World::new(Knobs { version: "2099-01-01", ..Knobs::http() });
    world.server.up = false;
    let initialize = world.initialize();
    world.wait(initialize, 25 * SECOND);
    world.run_for(SECOND);
    let call = world.call("echo", 0);
    world.now(Fault::Start);
    let Answer::Error(code, text) = world.wait(call, 20 * SECOND) else { panic!() };
    assert_eq!(code, errors::UNAVAILABLE);
    assert!(text.contains("2099-01-01"), "{text}");
    let later = world.call("echo", 0);
    assert!(matches!(world.wait(later, 20 * SECOND), Answer::Error(..)));
    world.verify();
}

#[test]
fn messages_before_the_initialize_result_come_after_it() {
    // npm mcp-proxy does this right after `endpoint`.
    let mut world = World::new(Knobs { chatty: true, ..Knobs::sse() });
    world.open();
    assert!(!world.heard("notifications/message").is_empty());
    let (told, _) = world.client.asked[&1].answers[0];
    assert!(world.client.heard.iter().all(|(at, _)| *at >= told));
    world.verify();
}

#[test]
fn initialized_is_accepted_with_any_success() {
    for reply in [
        status(200),
        status(204),
        Reply::Status(200, vec![("content-type", "application/json".into())], String::new()),
        json_body("{}"),
        Reply::Events(vec![], false),
    ] {
        let mut world = World::new(Knobs::http());
        let told = format!("{reply:?}");
        world.rule("notifications/initialized", reply);
        world.initialize();
        world.run_for(5 * SECOND);
        assert_eq!(world.count(|event| matches!(event, Event::Connected(_))), 1, "{told}");
        assert_eq!(world.started("initialized").len(), 1, "{told}");
    }
}

#[test]
fn a_second_initialize_replaces_the_session_whatever_the_link_does() {
    for fault in [None, Some(Fault::ResetAll), Some(Fault::Kill), Some(Fault::BlackHole)] {
        let mut world = World::new(Knobs::http());
        world.open();
        if let Some(fault) = fault.clone() {
            world.now(fault);
            world.run_for(20 * MILLISECOND);
        }
        let again = world.initialize();
        world.now(Fault::Start);
        world.now(Fault::Heal);
        assert!(matches!(world.wait(again, 40 * SECOND), Answer::Result(_)), "{fault:?}");
        world.run_for(2 * SECOND);
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{fault:?}");
        world.verify();
    }
}

#[test]
fn every_list_that_was_promised_and_is_not_there_is_empty() {
    const LISTS: [(&str, &str); 4] = [
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ];
    let mut world = World::new(Knobs { capabilities: r#"{"logging":{}}"#, ..Knobs::http() });
    world.server.up = false;
    let initialize = world.initialize();
    world.wait(initialize, 25 * SECOND);
    for phase in 0..2 {
        for (method, member) in LISTS {
            let list = world.ask(method, "{}");
            let Answer::Result(result) = world.wait(list, 25 * SECOND) else { panic!("{}", world.story()) };
            assert_eq!(result, serde_json::json!({ member: [] }), "{phase} {method}");
        }
        world.now(Fault::Start);
        world.run_for(10 * SECOND);
    }
    assert!(world.started("/list\"").is_empty());
    // Without a promise the server answers for itself.
    let mut world = World::new(Knobs { capabilities: r#"{"logging":{}}"#, ..Knobs::http() });
    world.open();
    let list = world.ask("tools/list", r#"{"tag":$TAG}"#);
    world.wait(list, SECOND);
    assert_eq!(world.started("tools/list").len(), 1);
    world.verify();
}

#[test]
fn the_first_contact_is_told_once() {
    // The server is not there, or wants other credentials first.
    for rejected in [false, true] {
        let mut options = Options::new(URL);
        options.can_refresh_credentials = true;
        let mut world = World::with(Knobs::http(), options, 1);
        world.client.refreshes = true;
        if rejected {
            world.rule("\"initialize\"", crate::support::server::status(401));
        } else {
            world.server.up = false;
        }
        let initialize = world.initialize();
        world.run_for(2 * SECOND);
        world.now(Fault::Start);
        assert!(matches!(world.wait(initialize, 5 * SECOND), Answer::Result(_)), "{}", world.story());
        assert_eq!(world.count(|event| matches!(event, Event::Connecting)), 1, "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_first_refusal_that_may_pass_or_asks_for_something_is_no_reason_to_try_the_other_transport() {
    for code in [401, 403, 408, 429, 500, 503] {
        let mut world = World::new(Knobs::http());
        world.rule("\"initialize\"", crate::support::server::status(code));
        world.initialize();
        world.run_for(20 * MILLISECOND);
        assert!(world.started("GET").is_empty(), "{code}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn on_http_sse_only_the_stream_says_which_transport_a_server_speaks() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.run_for(100 * SECOND);
    let asked = world.started("POST /mcp").len();
    world.rule("\"initialize\"", crate::support::server::status(404));
    world.host(Input::Reconnect);
    world.run_for(10 * SECOND);
    assert_eq!(world.started("POST /mcp").len(), asked, "{}", world.story());
    assert_eq!(world.engine.status().state, State::Ready);
    world.verify();
}

#[test]
fn a_request_before_the_initialize_result_does_not_say_that_the_client_is_initialized() {
    let mut world = World::new(Knobs::http());
    world.client.silent = true;
    world.initialize();
    let early = world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.run_for(SECOND);
    assert!(world.is_initialized());
    assert!(world.started("notifications/initialized").is_empty(), "{}", world.story());
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert!(matches!(world.wait(early, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn initialized_that_comes_before_the_initialize_result_is_not_forgotten() {
    for notify_client in [false, true] {
        let mut options = Options::new(URL);
        options.notify_client = notify_client;
        let mut world = World::with(Knobs::http(), options, 1);
        world.client.silent = true;
        let initialize = world.initialize();
        world.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        assert!(matches!(world.wait(initialize, SECOND), Answer::Result(_)));
        let answered_at = world.now;
        world.run_for(SECOND);
        world.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        world.run_for(SECOND);
        assert_eq!(world.started("notifications/initialized").len(), 1, "{}", world.story());
        assert_eq!(world.engine.status().state, State::Ready);
        // Nor does it say that the client may be told of the connection before it has the result.
        assert!(world.heard("notifications/message").iter().all(|(at, _)| *at >= answered_at), "{}", world.story());
        world.verify();
    }
}

#[test]
fn what_a_server_says_before_a_session_that_never_comes_about_is_not_told() {
    let mut world = World::new(Knobs { chatty: true, ..Knobs::sse() });
    world.open();
    world.rules("\"initialize\"", 3, crate::support::server::status(500));
    world.restart(SECOND);
    let before = world.heard("notifications/message").len();
    assert!(world.run_until(60 * SECOND, |world| world.engine.status().reconnects == 1), "{}", world.story());
    assert_eq!(world.started("\"initialize\"").len(), 1 + 1 + 3 + 1);
    let told = world.heard("notifications/message");
    let sessions: std::collections::BTreeSet<_> = told[before..].iter().map(|(_, text)| text).collect();
    assert_eq!(sessions.len(), 1, "{}", world.story());
    world.verify();
}
