//! Redirects: inside the origin with the method kept, or not at all.

use crate::support::*;

fn redirect(code: u16, to: &str) -> Reply {
    Reply::Status(code, vec![("Location", to.to_string())], String::new())
}

#[test]
fn inside_the_origin_they_are_followed() {
    for (code, to) in [(307, "/mcp/"), (308, "http://server.test:9000/mcp/"), (307, "mcp/")] {
        let mut world = World::new(Knobs::http());
        world.rule("POST /mcp ", redirect(code, to));
        world.open();
        assert_eq!(world.net.started[1].request.path, "/mcp/");
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
        assert_eq!(world.server.runs_of(call), 1);
        world.verify();
    }
}

#[test]
fn to_another_origin_or_with_another_method_they_are_not() {
    for (code, to) in [
        (307, "http://evil.test/mcp"),
        (308, "https://server.test:9000/mcp"),
        (307, "//evil.test/mcp"),
        (307, "http://server.test:9001/mcp"),
        (307, "http://server.test:9000@evil.test/mcp"),
        (301, "/mcp/"),
        (302, "/mcp/"),
        (303, "/mcp/"),
        (307, ""),
        (307, "http://"),
    ] {
        let mut options = Options::new(URL);
        options.headers = vec![("authorization".into(), "Bearer secret".into())];
        let mut world = World::with(Knobs::http(), options, 1);
        world.rules("POST /mcp ", 50, redirect(code, to));
        let initialize = world.initialize();
        let Answer::Error(error, text) = world.wait(initialize, 10 * SECOND) else { panic!("{code} {to}") };
        assert_eq!(error, errors::HTTP_ERROR, "{code} {to}");
        assert!(text.contains("redirect"), "{text}");
        world.verify();
    }
}

#[test]
fn a_circle_ends() {
    let mut world = World::new(Knobs::http());
    world.rules("POST /", 1000, redirect(307, "/mcp"));
    let initialize = world.initialize();
    assert!(matches!(world.wait(initialize, 10 * SECOND), Answer::Error(..)));
    assert!(world.net.started.len() <= 12);
}

#[test]
fn requests_and_notifications_are_redirected_too() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", redirect(307, "/other"));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    assert_eq!(world.server.runs_of(call), 1);
    world.rule("notifications/custom", redirect(307, "/third"));
    let tag = world.notify("notifications/custom");
    world.run_for(SECOND);
    assert_eq!(world.server.notified, [tag]);
    world.verify();
}

#[test]
fn a_new_session_begins_at_the_url_that_was_configured() {
    let mut world = World::new(Knobs::http());
    world.rule("POST /mcp ", redirect(307, "/instance-7"));
    world.open();
    // That instance is gone for good.
    world.restart(SECOND);
    world.rules("/instance-7", 10_000, crate::support::server::status_text(404, "gone"));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 30 * SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn the_stream_of_http_sse_is_redirected_inside_its_origin() {
    let mut options = Options::new(URL);
    options.transport = TransportChoice::HttpSse;
    let mut world = World::with(Knobs::sse(), options, 1);
    world.rule("GET /mcp ", redirect(307, "/mcp/"));
    world.open();
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn five_in_a_row_are_followed_and_what_is_told_holds_no_query() {
    for (hops, code) in [(5, None), (6, Some(errors::HTTP_ERROR))] {
        let mut world = World::new(Knobs::http());
        world.rules("POST /", hops, redirect(307, "/mcp"));
        let initialize = world.initialize();
        assert_eq!(world.wait(initialize, 5 * SECOND).code(), code, "{}", world.story());
    }
    let mut world = World::new(Knobs::http());
    world.rule("POST /", redirect(307, "http://other.test/else?token=s3cret"));
    let initialize = world.initialize();
    let Answer::Error(_, text) = world.wait(initialize, 5 * SECOND) else { panic!() };
    assert!(text.contains("http://other.test/else,") && !text.contains("s3cret"), "{text}");
    world.verify();
}

/// Its body may never end, and the connection with it.
#[test]
fn what_redirects_elsewhere_is_let_go() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(knobs);
        world.open();
        let open = world.open_exchanges();
        world.rule("tools/call", redirect(307, "http://elsewhere.test/mcp"));
        world.fate("tools/call", Fate::MuteAfter(1));
        let call = world.call("echo", 0);
        world.wait(call, 20 * SECOND);
        world.run_for(20 * SECOND);
        assert!(world.open_exchanges() <= open + 1, "{}", world.story());
    }
}

#[test]
fn the_get_that_resumes_a_stream_is_redirected() {
    let mut world = World::new(Knobs { polls: true, retry: Some(200), ..Knobs::resumable() });
    world.open();
    let call = world.ask("tools/call", &crate::support::client::call_params("slow", 2000, 0));
    world.run_for(100 * MILLISECOND);
    world.rule("GET /mcp", redirect(307, "/mcp?moved"));
    assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(world.server.runs_of(call), 1);
    world.verify();
}

#[test]
fn a_cancelled_request_is_not_redirected() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", redirect(307, "/mcp?moved"));
    let call = world.call("echo", 0);
    world.cancel(call);
    world.run_for(5 * SECOND);
    assert_eq!(world.server.runs_of(call), 0, "{}", world.story());
    world.verify();
}
