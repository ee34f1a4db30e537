//! Cookies: a balancer finds the server that has a session by them.

use crate::support::*;

/// A head that sets these cookies, in place of the model's answer.
fn setting(status: u16, cookies: &[&str]) -> Reply {
    let headers = cookies.iter().map(|cookie| ("Set-Cookie", cookie.to_string())).collect();
    Reply::Status(status, headers, String::new())
}

fn cookies(world: &World, part: &str) -> Vec<Option<String>> {
    world.started(part).iter().map(|started| started.header("cookie").map(str::to_string)).collect()
}

#[test]
fn a_session_behind_a_balancer_with_affinity() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = World::new(Knobs { affinity: true, ..knobs });
        world.open();
        for _ in 0..3 {
            let call = world.call("echo", 0);
            assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
        }
        // The connection breaks; the session lives, and so do its cookies.
        world.now(Fault::ResetAll);
        world.run_for(2 * SECOND);
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
        if knobs_are_http(&world) {
            assert_eq!(world.engine.status().reconnects, 0, "{}", world.story());
        }
        // A new process: a new session with cookies of its own.
        world.restart(SECOND);
        world.run_for(2 * SECOND);
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 10 * SECOND), Answer::Result(_)), "{}", world.story());
        world.run_for(60 * SECOND);
        world.host(Input::Close);
        world.run_for(SECOND);
        world.verify();
        for started in &world.net.started {
            let path = &started.request.path;
            let begins = if knobs_are_http(&world) {
                started.is_post_of("initialize")
            } else {
                // The stream, and what is tried before the transport is known.
                !path.starts_with("/messages")
            };
            assert_eq!(started.header("cookie").is_none(), begins, "{path} {}", started.body());
        }
        let methods = [Method::Get, Method::Post, Method::Delete];
        let sent = |method| world.net.started.iter().any(|started| started.request.method == method);
        assert!(methods.into_iter().all(|method| sent(method) || !knobs_are_http(&world)), "{}", world.story());
    }
}

fn knobs_are_http(world: &World) -> bool {
    world.server.knobs.offer == Offer::Http
}

#[test]
fn later_answers_set_and_delete_and_other_origins_get_nothing() {
    let mut world = World::new(Knobs::http());
    world.open();
    let first = ["a=1; Path=/", "b=2; Max-Age=3", "c=3; Path=/elsewhere", "d=4; Secure", "e=5; Domain=evil.test"];
    world.rule("notifications/custom", setting(202, &first));
    world.notify("notifications/custom");
    world.run_for(SECOND);
    world.call("echo", 0);
    world.run_for(4 * SECOND);
    world.call("echo", 0);
    world.run_for(SECOND);
    world.rule("tools/call", setting(503, &["a=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "f=6"]));
    world.call("echo", 0);
    world.run_for(5 * SECOND);
    world.call("echo", 0);
    world.run_for(SECOND);
    let sent = cookies(&world, "tools/call");
    assert_eq!(sent[0].as_deref(), Some("a=1; b=2"));
    assert_eq!(sent[1].as_deref(), Some("a=1"));
    assert_eq!(sent.last().unwrap().as_deref(), Some("f=6"), "{}", world.story());
    world.verify();
}

#[test]
fn what_the_user_sets_wins() {
    let mut options = Options::new(URL);
    options.headers = vec![("Cookie".into(), "login=mine; a=mine".into()), ("cookie".into(), "x=mine".into())];
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    world.rule("notifications/custom", setting(202, &["a=server", "x=server"]));
    world.notify("notifications/custom");
    world.run_for(SECOND);
    world.call("echo", 0);
    world.run_for(SECOND);
    world.rule("notifications/custom", setting(202, &["b=server"]));
    world.notify("notifications/custom");
    world.run_for(SECOND);
    world.call("echo", 0);
    world.run_for(SECOND);
    let calls = world.started("tools/call");
    let sent = |started: &net::Started| {
        let all = started.request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    // Nothing to add: as the user wrote it.
    assert_eq!(sent(calls[0]), ["login=mine; a=mine", "x=mine"]);
    assert_eq!(sent(calls[1]), ["login=mine; a=mine; x=mine; b=server"]);
}

#[test]
fn a_redirect_may_set_them_too() {
    let mut world = World::new(Knobs::http());
    let headers = vec![("Location", String::from("/node-3/mcp")), ("set-cookie", String::from("node=3; Path=/"))];
    world.rule("POST /mcp ", Reply::Status(307, headers, String::new()));
    world.open();
    assert_eq!(world.net.started[1].request.path, "/node-3/mcp");
    assert_eq!(world.net.started[1].header("cookie"), Some("node=3"));
    world.verify();
}

#[test]
fn they_are_bounded_and_never_shown() {
    let mut world = World::new(Knobs::http());
    world.open();
    for round in 0..40 {
        let many: Vec<_> = (0..20).map(|at| format!("c{round}x{at}=s3cret{}", "y".repeat(50))).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        world.rule("notifications/custom", setting(202, &many));
        world.notify("notifications/custom");
        world.run_for(SECOND);
    }
    world.rule("notifications/custom", setting(202, &["bad\u{1b}=s3cret", "bad=s3cret\r\nx: y", "s3cret"]));
    world.notify("notifications/custom");
    world.run_for(SECOND);
    world.call("echo", 0);
    world.run_for(SECOND);
    let sent = cookies(&world, "tools/call");
    let sent = sent[0].as_deref().unwrap();
    assert!(sent.len() < 8192 && sent.split("; ").count() <= 50, "{sent}");
    let dropped = |event: &Event| matches!(event, Event::Diagnostic { text, .. } if text.contains("cookie"));
    assert_eq!(world.count(dropped), 1);
    for (_, event) in &world.events {
        assert!(!format!("{event:?}").contains("s3cret"), "{event:?}");
    }
    world.verify();
}
