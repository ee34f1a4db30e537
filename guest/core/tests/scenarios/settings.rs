//! The subscriptions and the log level: what the client was told holds in every session, whatever happens to the requests that
//! restore it.

use crate::support::server::{json_body, status, status_text};
use crate::support::*;

fn subscribe(world: &mut World, uri: &str) -> Tag {
    world.ask("resources/subscribe", &format!(r#"{{"tag":$TAG,"uri":{uri}}}"#))
}

fn unsubscribe(world: &mut World, uri: &str) -> Tag {
    world.ask("resources/unsubscribe", &format!(r#"{{"tag":$TAG,"uri":{uri}}}"#))
}

fn current(world: &World) -> &crate::support::server::Session {
    &world.server.sessions[&world.server.current]
}

fn subscriptions(world: &World) -> Vec<String> {
    current(world).subscriptions.iter().cloned().collect()
}

/// A session with two subscriptions and a log level.
fn with_settings(knobs: Knobs, options: Options) -> World {
    let mut world = World::with(knobs, options, 1);
    world.open();
    for uri in [r#""file:///a""#, r#""file:///b""#] {
        let tag = subscribe(&mut world, uri);
        world.wait(tag, SECOND);
    }
    let level = world.ask("logging/setLevel", r#"{"tag":$TAG,"level":"debug"}"#);
    world.wait(level, SECOND);
    world
}

fn bodies_since(world: &World, at: Instant, part: &str) -> usize {
    world.started(part).iter().filter(|one| one.at >= at).count()
}

#[test]
fn a_restore_that_is_put_off_is_tried_until_it_is_confirmed() {
    let to = |location: &str| Reply::Status(307, vec![("location", location.to_string())], String::new());
    let replies = [
        status(429),
        status_text(400, "no"),
        status(500),
        status(502),
        Reply::Status(503, vec![("retry-after", String::from("5"))], String::new()),
        to("/elsewhere"),
        Reply::Hang,
        status(202),
        Reply::Events(vec![], true),
        json_body("{}"),
    ];
    for (knobs, replies) in [(Knobs::http(), &replies[..]), (Knobs::sse(), &replies[..5])] {
        for reply in replies {
            for part in ["resources/subscribe", "logging/setLevel"] {
                let mut world = with_settings(knobs.clone(), Options::new(URL));
                world.rules(part, 2, reply.clone());
                world.restart(SECOND);
                world.run_for(300 * SECOND);
                assert_eq!(subscriptions(&world), ["file:///a", "file:///b"], "{reply:?}\n{}", world.story());
                assert_eq!(current(&world).level.as_deref(), Some("debug"), "{reply:?}\n{}", world.story());
                assert_eq!(world.heard("resources/updated").len(), 2, "{reply:?}\n{}", world.story());
                world.verify();
            }
        }
    }
}

#[test]
fn a_restore_that_the_network_breaks_is_tried_until_it_is_confirmed() {
    for fate in [Fate::Refused, Fate::ResetBefore, Fate::ResetAfter] {
        let mut world = with_settings(Knobs::http(), Options::new(URL));
        world.restart(SECOND);
        for _ in 0..3 {
            world.fate("resources/subscribe", fate);
        }
        world.run_for(300 * SECOND);
        assert_eq!(subscriptions(&world), ["file:///a", "file:///b"], "{fate:?}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_server_that_the_first_held_call_keeps_busy_is_restored_after_it() {
    let mut world = with_settings(Knobs::http(), Options::new(URL));
    world.now(Fault::Kill);
    world.run_for(5 * MILLISECOND);
    let call = world.call("block", 60_000);
    world.run_for(SECOND);
    world.now(Fault::Start);
    world.wait(call, 100 * SECOND);
    world.run_for(100 * SECOND);
    assert_eq!(subscriptions(&world), ["file:///a", "file:///b"], "{}", world.story());
    assert_eq!(current(&world).level.as_deref(), Some("debug"));
    world.verify();
}

#[test]
fn what_the_server_refuses_itself_is_given_up_and_said() {
    let mut world = with_settings(Knobs::http(), Options::new(URL));
    let gone = json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32002,"message":"Resource not found"}}"#);
    world.rule("file:///a", gone);
    world.restart(SECOND);
    let restarted = world.now;
    world.run_for(300 * SECOND);
    assert_eq!(subscriptions(&world), ["file:///b"]);
    assert_eq!(bodies_since(&world, restarted, "file:///a"), 1);
    let updated = world.heard("resources/updated");
    assert!(updated.len() == 1 && updated[0].1.contains("file:///b"), "{}", world.story());
    let said = |event: &Event| matches!(event, Event::Diagnostic { text, .. } if text.contains("file:///a") && text.contains("Resource not found"));
    assert_eq!(world.count(said), 1, "{}", world.story());
    // The next session may know it again.
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(subscriptions(&world), ["file:///a", "file:///b"]);
    world.verify();
}

#[test]
fn what_is_refused_by_http_for_ever_is_given_up_and_said_and_costs_few_sessions() {
    for code in [400, 401, 403, 404, 410] {
        let mut world = with_settings(Knobs::http(), Options::new(URL));
        world.rules("resources/subscribe", 100_000, status(code));
        world.restart(SECOND);
        let restarted = world.now;
        world.run_for(3600 * SECOND);
        let tries = bodies_since(&world, restarted, "resources/subscribe");
        assert!(tries <= 20, "{code}: {tries} tries\n{}", world.story());
        assert!(
            world.server.sessions.len() <= 4,
            "{code}: {} sessions\n{}",
            world.server.sessions.len(),
            world.story()
        );
        let said = |event: &Event| matches!(event, Event::Diagnostic { level: mcp_reconnect_core::Level::Warn, text } if text.contains("file:///a"));
        assert!(world.count(said) >= 1, "{code}\n{}", world.story());
        assert_eq!(current(&world).level.as_deref(), Some("debug"), "{code}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn what_is_put_off_for_ever_is_asked_seldom() {
    for reply in [status(429), Reply::Hang] {
        let mut world = with_settings(Knobs::http(), Options::new(URL));
        world.rules("resources/subscribe", 100_000, reply.clone());
        world.restart(SECOND);
        let restarted = world.now;
        world.run_for(3600 * SECOND);
        let tries = bodies_since(&world, restarted, "resources/subscribe");
        assert!((20..=400).contains(&tries), "{reply:?}: {tries}");
        world.verify();
    }
}

#[test]
fn fresh_credentials_are_another_chance_for_what_was_given_up() {
    let mut world = with_settings(Knobs::http(), Options::new(URL));
    world.rules("resources/subscribe", 10, status(403));
    world.restart(SECOND);
    world.run_for(600 * SECOND);
    assert!(subscriptions(&world).is_empty(), "{}", world.story());
    world.server.rules.clear();
    world.host(Input::SetHeaders(vec![("x-key".into(), "new".into())]));
    world.run_for(60 * SECOND);
    assert_eq!(subscriptions(&world), ["file:///a", "file:///b"], "{}", world.story());
    world.verify();
}

#[test]
fn an_update_is_told_when_the_subscription_is_confirmed_and_not_before() {
    let mut world = with_settings(Knobs::http(), Options::new(URL));
    world.rule("file:///a", Reply::Hang);
    world.restart(SECOND);
    assert!(world.run_until(60 * SECOND, |world| !world.heard("resources/updated").is_empty()));
    assert!(world.heard("resources/updated")[0].1.contains("file:///b"), "{}", world.story());
    let confirmed = world.run_until(100 * SECOND, |world| world.heard("resources/updated").len() == 2);
    assert!(confirmed && current(&world).subscriptions.contains("file:///a"), "{}", world.story());
    world.verify();
}

#[test]
fn an_unsubscribe_during_an_outage_counts() {
    for knobs in [Knobs::http(), Knobs::sse()] {
        let mut world = with_settings(knobs, Options::new(URL));
        world.now(Fault::Kill);
        world.run_for(5 * MILLISECOND);
        let left = unsubscribe(&mut world, r#""file:///a""#);
        world.run_for(SECOND);
        world.now(Fault::Start);
        assert!(matches!(world.wait(left, 20 * SECOND), Answer::Result(_)));
        world.run_for(60 * SECOND);
        assert_eq!(subscriptions(&world), ["file:///b"], "{}", world.story());
        assert!(world.heard("resources/updated").iter().all(|(_, text)| !text.contains("file:///a")));
        world.restart(SECOND);
        world.run_for(60 * SECOND);
        assert_eq!(subscriptions(&world), ["file:///b"], "{}", world.story());
        assert!(world.heard("resources/updated").iter().all(|(_, text)| !text.contains("file:///a")));
        world.verify();
    }
}

#[test]
fn an_unsubscribe_overtakes_a_restore_under_way() {
    for fate in [Fate::Slow(5 * SECOND), Fate::ResetAfter] {
        let mut world = with_settings(Knobs::http(), Options::new(URL));
        world.fate("file:///a", fate);
        world.restart(SECOND);
        world.run_until(60 * SECOND, |world| world.started("file:///a").len() == 2);
        let left = unsubscribe(&mut world, r#""file:///a""#);
        assert!(matches!(world.wait(left, 30 * SECOND), Answer::Result(_)));
        world.run_for(60 * SECOND);
        assert_eq!(subscriptions(&world), ["file:///b"], "{fate:?}\n{}", world.story());
        let told = world.heard("resources/updated");
        assert!(told.iter().all(|(_, text)| !text.contains("file:///a")), "{fate:?}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn an_unsubscribe_that_did_not_run_leaves_the_subscription() {
    let mut options = Options::new(URL);
    options.hold_timeout = 5 * SECOND;
    let mut world = with_settings(Knobs::http(), options);
    world.now(Fault::Kill);
    world.run_for(5 * MILLISECOND);
    let left = unsubscribe(&mut world, r#""file:///a""#);
    assert!(matches!(world.wait(left, 20 * SECOND), Answer::Error(errors::UNAVAILABLE, _)));
    world.now(Fault::Start);
    world.run_for(60 * SECOND);
    assert_eq!(subscriptions(&world), ["file:///a", "file:///b"], "{}", world.story());
    world.verify();
}

#[test]
fn uris_are_compared_as_strings() {
    let mut world = World::new(Knobs::http());
    world.open();
    for uri in [r#""x:\/1""#, r#""x:/\u0032""#, r#""x:/3""#] {
        let tag = subscribe(&mut world, uri);
        world.wait(tag, SECOND);
    }
    for uri in [r#""x:/1""#, r#""x:/2""#] {
        let tag = unsubscribe(&mut world, uri);
        world.wait(tag, SECOND);
    }
    let again = subscribe(&mut world, r#""x:\/3""#);
    world.wait(again, SECOND);
    world.restart(SECOND);
    let restarted = world.now;
    world.run_for(60 * SECOND);
    assert_eq!(subscriptions(&world), ["x:/3"]);
    assert_eq!(bodies_since(&world, restarted, "resources/subscribe"), 1);
    world.verify();
}

#[test]
fn a_few_restores_are_under_way_at_once() {
    let mut world = World::new(Knobs::http());
    world.open();
    for number in 0..300 {
        let tag = subscribe(&mut world, &format!("\"x:/{number}\""));
        world.wait(tag, SECOND);
    }
    world.rules("resources/subscribe", 4, Reply::Hang);
    world.restart(SECOND);
    let restarted = world.now;
    world.run_until(60 * SECOND, |world| bodies_since(world, restarted, "resources/subscribe") > 0);
    world.run_for(5 * SECOND);
    assert_eq!(bodies_since(&world, restarted, "resources/subscribe"), 4);
    world.run_for(60 * SECOND);
    assert_eq!(subscriptions(&world).len(), 300, "{}", world.story());
    assert_eq!(world.heard("resources/updated").len(), 300);
    world.verify();
}

#[test]
fn restores_take_no_room_of_the_clients() {
    let mut options = Options::new(URL);
    options.max_queue_messages = 4;
    options.max_queue_bytes = 2000;
    let mut world = World::with(Knobs::http(), options, 1);
    world.open();
    for number in 0..4 {
        let tag = subscribe(&mut world, &format!("\"x:/{number}{}\"", "0".repeat(400)));
        world.wait(tag, SECOND);
    }
    world.rules("resources/subscribe", 4, Reply::Hang);
    world.restart(SECOND);
    let restarted = world.now;
    world.run_until(60 * SECOND, |world| bodies_since(world, restarted, "resources/subscribe") == 4);
    let calls: Vec<_> = (0..4).map(|_| world.call("slow", 1000)).collect();
    for call in calls {
        assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
    }
    world.verify();
}

#[test]
fn what_the_client_was_told_of_the_old_session_holds_in_the_new_one() {
    for (success, kept) in [(true, true), (false, false)] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.rule("file:///late", Reply::RunThenEvents(vec![], false));
        let late = subscribe(&mut world, r#""file:///late""#);
        world.run_for(SECOND);
        let post = world.started("file:///late")[0].clone();
        let id = serde_json::from_str::<serde_json::Value>(post.body()).unwrap()["id"].clone();
        world.now(Fault::Forget);
        let call = world.call("echo", 0);
        world.wait(call, 10 * SECOND);
        world.run_for(SECOND);
        assert_eq!(world.engine.status().session.unwrap().epoch, 2);
        let answer = if success { r#""result":{}"# } else { r#""error":{"code":-32002,"message":"no"}"# };
        world.body(post.id, &format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},{answer}}}\n\n"));
        assert_eq!(world.has_result(late), success, "{}", world.story());
        world.run_for(60 * SECOND);
        assert_eq!(current(&world).subscriptions.contains("file:///late"), kept, "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_subscription_that_the_client_cancelled_is_not_kept() {
    for fate in [Fate::MuteAfter(0), Fate::MuteAfter(1), Fate::Slow(10 * SECOND)] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.fate("file:///a", fate);
        let asked = subscribe(&mut world, r#""file:///a""#);
        world.run_for(SECOND);
        world.cancel(asked);
        world.run_for(120 * SECOND);
        assert!(subscriptions(&world).is_empty(), "{fate:?}\n{}", world.story());
        world.restart(SECOND);
        world.run_for(60 * SECOND);
        assert!(subscriptions(&world).is_empty(), "{fate:?}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_sending_that_may_have_run_before_counts() {
    let error = json_body(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"subscribed already"}}"#);
    for second in [Some(error), Some(status(403)), None] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.fate("file:///a", Fate::ResetAfter);
        match &second {
            // The first sending is lost by the network, and so seen by no rule.
            Some(reply) => world.rules("\"id\":4,\"method\":\"resources/subscribe\"", 1, reply.clone()),
            None => world.rule("\"method\":\"ping\"", Reply::Hang),
        }
        let asked = subscribe(&mut world, r#""file:///a""#);
        world.run_for(20 * MILLISECOND);
        match second {
            Some(_) => assert!(world.error(asked).is_some(), "{}", world.story()),
            None => world.cancel(asked),
        }
        world.run_for(60 * SECOND);
        assert!(subscriptions(&world).is_empty(), "{}", world.story());
        world.verify();
    }
}

#[test]
fn the_last_word_holds_where_requests_run_side_by_side() {
    // The older request is answered last.
    for (first_in, kept) in [(true, false), (false, true)] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.fate("file:///a", Fate::Slow(3 * SECOND));
        let (one, two) = if first_in {
            (subscribe(&mut world, r#""file:///a""#), unsubscribe(&mut world, r#""file:///a""#))
        } else {
            (unsubscribe(&mut world, r#""file:///a""#), subscribe(&mut world, r#""file:///a""#))
        };
        world.wait(one, 20 * SECOND);
        world.wait(two, 20 * SECOND);
        world.run_for(60 * SECOND);
        assert_eq!(current(&world).subscriptions.contains("file:///a"), kept, "{}", world.story());
        world.restart(SECOND);
        world.run_for(60 * SECOND);
        assert_eq!(current(&world).subscriptions.contains("file:///a"), kept, "{}", world.story());
        world.verify();
    }
}

#[test]
fn subscriptions_are_bounded_and_the_one_too_many_is_refused() {
    let mut world = World::new(Knobs::http());
    world.open();
    let mut refused = Vec::new();
    for number in 0..9 {
        let tag = subscribe(&mut world, &format!("\"x:/{number}{}\"", "0".repeat(1 << 20)));
        if let Answer::Error(code, text) = world.wait(tag, SECOND) {
            assert_eq!(code, errors::QUEUE_FULL);
            assert!(text.contains("subscri"), "{text}");
            refused.push(number);
        }
    }
    assert!(!refused.is_empty());
    assert_eq!(world.started("resources/subscribe").len(), 9 - refused.len());
    let left = unsubscribe(&mut world, &format!("\"x:/0{}\"", "0".repeat(1 << 20)));
    world.wait(left, SECOND);
    let again = subscribe(&mut world, &format!("\"x:/8{}\"", "0".repeat(1 << 20)));
    assert!(matches!(world.wait(again, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn what_one_client_set_up_is_not_restored_for_the_next() {
    let mut world = with_settings(Knobs::http(), Options::new(URL));
    world.initialize();
    world.run_for(60 * SECOND);
    assert!(subscriptions(&world).is_empty());
    assert_eq!(current(&world).level, None);
    world.verify();
}

#[test]
fn restores_that_are_taken_and_never_answered_hide_no_dead_session() {
    let mut options = Options::new(URL);
    options.run_timeout = 20 * SECOND;
    let mut world = with_settings(Knobs { lost: Lost::Dropped202, ..Knobs::sse() }, options);
    world.now(Fault::Forget);
    let level = world.ask("logging/setLevel", r#"{"tag":$TAG,"level":"error"}"#);
    assert_eq!(world.wait(level, 30 * SECOND).code(), Some(errors::TIMED_OUT));
    // What is set now is not known, and asked for; that is not answered for ten seconds, nor is the ping that follows.
    world.run_for(25 * SECOND);
    assert_eq!(world.engine.status().session.as_ref().unwrap().epoch, 2, "{}", world.story());
    assert_eq!(current(&world).level.as_deref(), Some("debug"));
    assert_eq!(subscriptions(&world), ["file:///a", "file:///b"]);
}

/// What the client was told is set, by what it asked since its last `initialize`; the level is none where it cannot know.
fn told(world: &World) -> (std::collections::BTreeSet<String>, Option<String>) {
    let (mut uris, mut level) = (std::collections::BTreeSet::new(), None);
    for asked in world.client.asked.values() {
        let results = matches!(asked.answers.first(), Some((_, Answer::Result(_)))) && asked.cancelled.is_none();
        let params: serde_json::Value = serde_json::from_str(&asked.params).unwrap();
        let text = |name: &str| params[name].as_str().unwrap_or("").to_string();
        match asked.method.as_str() {
            "resources/subscribe" if results => {
                uris.insert(text("uri"));
            }
            "resources/unsubscribe" if results => {
                uris.remove(&text("uri"));
            }
            "logging/setLevel" if results => level = Some(text("level")),
            _ => {}
        }
    }
    (uris, level)
}

#[test]
fn whatever_happens_the_server_ends_up_with_what_the_client_was_told() {
    let mut kept = 0;
    for seed in 0..400 {
        let mut random = crate::support::random::Random::new(seed);
        let mut knobs = if random.percent(60) { Knobs::http() } else { Knobs::sse() };
        knobs.json = random.percent(20);
        let mut options = Options::new(URL);
        options.hold_timeout = 20 * SECOND;
        options.run_timeout = 20 * SECOND;
        options.heartbeat_interval = 15 * SECOND;
        let mut world = World::with(knobs, options, seed);
        world.open();
        let mut last = None;
        for _ in 0..random.within(5, 40) {
            let uri = random.pick(&[r#""x:/1""#, r#""x:\/1""#, r#""x:/2""#, r#""x:/3""#]);
            let part = random.pick(&["resources/", "logging/", "POST", "x:/1"]);
            match random.within(0, 20) {
                0..=4 => last = Some(subscribe(&mut world, uri)),
                5..=8 => last = Some(unsubscribe(&mut world, uri)),
                9 => {
                    let level = random.pick(&["debug", "info"]);
                    last = Some(world.ask("logging/setLevel", &format!(r#"{{"tag":$TAG,"level":"{level}"}}"#)));
                }
                10 => last.into_iter().for_each(|tag| world.cancel(tag)),
                11 => world.now(Fault::Kill),
                12 => world.now(Fault::Start),
                13 => world.now(Fault::Forget),
                14 => world.now(Fault::ResetAll),
                15 => world.fate(part, Fate::Slow(random.pick(&[1, 12]) * SECOND)),
                16 => world.fate(
                    part,
                    random.pick(&[Fate::ResetAfter, Fate::ResetBefore, Fate::MuteAfter(0), Fate::Swallowed]),
                ),
                17 => world.rules(part, random.within(1, 4) as u32, status(random.pick(&[400, 404, 429, 500, 503]))),
                18 => world.rule(part, Reply::RunThenHang),
                _ => world.run_for(random.pick(&[1, 50, 3000, 15_000]) * MILLISECOND),
            }
            world.run_for(random.pick(&[0, 0, 2]) * MILLISECOND);
        }
        world.now(Fault::Start);
        world.server.rules.clear();
        world.net.fates.clear();
        world.run_for(300 * SECOND);
        assert!(world.unanswered().is_empty(), "{seed}: {}", world.story());
        let (uris, level) = told(&world);
        assert_eq!(current(&world).subscriptions, uris, "{seed}:\n{}", world.story());
        if level.is_some() {
            assert_eq!(current(&world).level, level, "{seed}:\n{}", world.story());
        }
        kept += uris.len();
        world.verify();
    }
    assert!(kept > 100, "{kept}");
}
