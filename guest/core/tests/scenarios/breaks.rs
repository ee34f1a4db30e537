//! What the end of one exchange says about the link, and what it does not.

use crate::support::client::call_params;
use crate::support::server::status;
use crate::support::*;

fn pings(world: &World) -> usize {
    world.started("\"ping\"").len()
}

/// The GETs that resume a response stream.
fn resumptions(world: &World) -> Vec<Instant> {
    world.net.started.iter().filter(|one| one.header("last-event-id").is_some()).map(|one| one.at).collect()
}

#[test]
fn a_stream_that_breaks_is_a_reason_for_a_ping_and_one_that_ends_is_none() {
    for resumed in [false, true] {
        for clean in [true, false] {
            let mut world = World::new(Knobs::resumable());
            world.open();
            let call = world.ask("tools/call", &call_params("slow", 8000, 1000));
            world.run_for(1500 * MILLISECOND);
            let mut stream = world.started("tools/call")[0].id;
            if resumed {
                world.end_exchange(stream);
                world.run_for(2500 * MILLISECOND);
                stream = world.net.started.iter().find(|one| one.header("last-event-id").is_some()).unwrap().id;
            }
            assert_eq!(pings(&world), 0);
            if clean {
                world.end_exchange(stream);
            } else {
                world.reset_exchange(stream);
            }
            world.run_for(500 * MILLISECOND);
            assert_eq!(pings(&world), usize::from(!clean), "{resumed} {clean}\n{}", world.story());
            assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
            world.verify();
        }
    }
}

#[test]
fn a_request_of_an_old_session_that_breaks_off_says_nothing_of_the_new_one() {
    for reply in [Reply::RunThenHang, Reply::RunThenEvents(vec![], false)] {
        let mut world = World::new(Knobs::http());
        world.open();
        world.rule("tools/call", reply);
        let call = world.call("echo", 0);
        world.run_for(100 * MILLISECOND);
        world.host(Input::Reconnect);
        world.run_for(SECOND);
        assert_eq!(world.engine.status().session.unwrap().epoch, 2);
        let exchange = world.started("tools/call")[0].id;
        world.reset_exchange(exchange);
        world.run_for(SECOND);
        assert_eq!(world.error(call), Some(errors::OUTCOME_UNKNOWN));
        assert_eq!((pings(&world), world.engine.status().state), (0, State::Ready), "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_resumption_that_is_refused_is_looked_into_only_where_it_may_mean_a_loss() {
    for (code, looks) in [(404, 1), (405, 0), (400, 0), (500, 0)] {
        let mut world = World::new(Knobs { resume: Resume::Status(code), ..Knobs::resumable() });
        world.open();
        let call = world.call("slow", 60_000);
        world.run_for(SECOND);
        let exchange = world.started("tools/call")[0].id;
        world.end_exchange(exchange);
        assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
        world.run_for(2 * SECOND);
        assert_eq!((resumptions(&world).len(), pings(&world)), (1, looks), "{code}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_resumption_that_cannot_be_made_now_is_made_a_second_or_two_later() {
    for seed in 0..5 {
        for refused in [true, false] {
            let mut world = World::with(Knobs::resumable(), Options::new(URL), seed);
            world.open();
            let call = world.call("slow", 6000);
            world.run_for(SECOND);
            let exchange = world.started("tools/call")[0].id;
            if refused {
                world.rule("GET", status(429));
            } else {
                world.fate("GET", Fate::Refused);
            }
            world.end_exchange(exchange);
            assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)), "{}", world.story());
            let gets = resumptions(&world);
            let waited = gets[1] - gets[0];
            assert!((SECOND..=2 * SECOND + 50 * MILLISECOND).contains(&waited), "{waited:?}\n{}", world.story());
            assert_eq!(gets.len(), 2);
            world.verify();
        }
    }
}

#[test]
fn a_stream_whose_time_came_during_an_outage_is_resumed_when_the_server_is_back() {
    let mut world = World::new(Knobs::resumable());
    world.open();
    let call = world.call("slow", 8000);
    world.run_for(SECOND);
    for _ in 0..100 {
        world.fate("\"ping\"", Fate::Refused);
    }
    let exchange = world.started("tools/call")[0].id;
    world.reset_exchange(exchange);
    assert!(matches!(world.wait(call, 60 * SECOND), Answer::Result(_)), "{}", world.story());
    let back = world.events.iter().find(|(_, event)| matches!(event, Event::Reconnected { .. })).unwrap().0;
    let gets = resumptions(&world);
    assert!(back - world.started("tools/call")[0].at > 3 * SECOND);
    assert_eq!(gets, [back], "{}", world.story());
    world.verify();
}

#[test]
fn a_notification_that_finds_the_session_lost_arrives_in_the_next_one() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world.now(Fault::Forget);
    let tag = world.notify("notifications/custom");
    world.run_for(SECOND);
    assert_eq!(world.server.notified, [tag], "{}", world.story());
    assert_eq!(world.engine.status().session.unwrap().epoch, 2);
    world.verify();
}

#[test]
fn a_notification_that_is_rejected_goes_out_again_once_and_only_where_there_may_be_other_credentials() {
    for (refreshes, sent) in [(false, 1), (true, 2)] {
        let mut options = Options::new(URL);
        options.can_refresh_credentials = refreshes;
        let mut world = World::with(Knobs::http(), options, 1);
        world.client.refreshes = refreshes;
        world.open();
        world.rules("notifications/custom", 100, status(401));
        world.notify("notifications/custom");
        world.run_for(60 * SECOND);
        assert_eq!(world.started("notifications/custom").len(), sent, "{}", world.story());
        world.verify();
    }
}

#[test]
fn a_request_that_is_rejected_twice_is_told_although_others_are_answered() {
    let mut options = Options::new(URL);
    options.can_refresh_credentials = true;
    let mut world = World::with(Knobs::http(), options, 1);
    world.client.refreshes = true;
    world.open();
    let other = world.call("slow", 150);
    world.run_for(50 * MILLISECOND);
    world.rules("echo", 5, status(401));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::UNAUTHORIZED), "{}", world.story());
    assert!(world.has_result(other));
    assert_eq!(world.started("echo").len(), 2);
    world.verify();
}

#[test]
fn a_message_that_goes_back_to_the_queue_takes_the_room_of_one() {
    // Redirected, or not taken by anybody; while a request is under way.
    for redirected in [true, false] {
        let mut options = Options::new(URL);
        options.max_queue_bytes = 5000;
        let mut world = World::with(Knobs::http(), options, 1);
        world.open();
        let call = world.call("slow", 30_000);
        world.run_for(10 * MILLISECOND);
        for _ in 0..3 {
            if redirected {
                world
                    .rule("notifications/custom", Reply::Status(307, vec![("location", "/mcp".into())], String::new()));
            } else {
                world.fate("notifications/custom", Fate::Refused);
            }
            world.notify("notifications/custom");
            world.run_for(5 * SECOND);
        }
        assert_eq!(world.server.notified.len(), 3, "{}", world.story());
        let big = world.ask("tools/call", &format!(r#"{{"tag":$TAG,"pad":"{}"}}"#, "x".repeat(4000)));
        assert!(matches!(world.wait(big, SECOND), Answer::Result(_)), "{}", world.story());
        assert!(matches!(world.wait(call, 40 * SECOND), Answer::Result(_)));
        world.verify();
    }
}

#[test]
fn what_follows_an_acceptance_is_read_for_five_seconds() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("notifications/custom", Reply::Hang);
    world.notify("notifications/custom");
    world.run_for(10 * MILLISECOND);
    let exchange = world.started("notifications/custom")[0].id;
    world.head(exchange, 202);
    let accepted = world.now;
    world.run_for(10 * SECOND);
    let over = world.net.cancelled.iter().find(|(_, id)| *id == exchange).unwrap().0;
    assert!((over - accepted).abs_diff(5 * SECOND) < 10 * MILLISECOND, "{:?}", over - accepted);
    world.verify();
}

#[test]
fn http_sse_why_an_outcome_is_unknown_is_told() {
    for (stream_lives, why) in
        [(true, "no answer came on the event stream"), (false, "while the request was being sent")]
    {
        let mut world = World::new(Knobs::sse());
        world.open();
        if stream_lives {
            world.fate("tools/call", Fate::ResetBefore);
        } else {
            world.rule("tools/call", Reply::Hang);
        }
        let call = world.call("echo", 0);
        world.run_for(100 * MILLISECOND);
        if !stream_lives {
            let stream = world.started("GET").last().unwrap().id;
            world.end_exchange(stream);
        }
        let Answer::Error(code, text) = world.wait(call, 5 * SECOND) else { panic!("{}", world.story()) };
        assert_eq!(code, errors::OUTCOME_UNKNOWN);
        assert!(text.contains(why), "{text}");
        world.verify();
    }
}

#[test]
fn an_error_under_an_id_that_nobody_asked_with_is_no_answer() {
    let mut world = World::new(Knobs::http());
    world.open();
    let stray = r#"data: {"jsonrpc":"2.0","id":99999,"error":{"code":-1,"message":"stray"}}"#;
    let right = r#"data: {"jsonrpc":"2.0","id":$ID,"result":{}}"#;
    world.rule("tools/call", Reply::RunThenEvents(vec![format!("{stray}\n\n"), format!("{right}\n\n")], true));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn progress_under_a_token_that_no_question_gave_goes_nowhere() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    world.server_says(
        r#"{"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{"_meta":{"progressToken":"t"}}}"#,
    );
    world.run_for(SECOND);
    for token in ["u", "t"] {
        world.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":"{token}","progress":1}}}}"#
        ));
        world.run_for(SECOND);
    }
    let sent = world.started("notifications/progress");
    assert_eq!(sent.len(), 1);
    assert!(sent[0].body().contains(r#""progressToken":"t""#));
    world.verify();
}

#[test]
fn a_notification_rejected_for_headers_that_were_replaced_meanwhile_goes_out_with_the_new_ones() {
    for closing in [false, true] {
        let mut options = Options::new(URL);
        options.max_queue_bytes = 5000;
        options.headers = vec![("authorization".into(), "Bearer old".into())];
        let mut world = World::with(Knobs::http(), options, 1);
        world.open();
        let call = world.call("slow", if closing { 100 } else { 10_000 });
        for round in 0..if closing { 1 } else { 3 } {
            world.rule("notifications/custom", Reply::Hang);
            world.notify("notifications/custom");
            world.run_for(10 * MILLISECOND);
            let exchange = world.started("notifications/custom").last().unwrap().id;
            let token = format!("Bearer new{round}");
            world.host(Input::SetHeaders(vec![("authorization".into(), token.clone())]));
            if closing {
                world.host(Input::Close);
            }
            world.respond(exchange, 401, "");
            world.run_for(200 * MILLISECOND);
            let sent = world.started("notifications/custom");
            if closing {
                assert_eq!(sent.len(), 1);
            } else {
                assert_eq!(sent.len(), 2 * (round + 1), "{}", world.story());
                assert_eq!(sent.last().unwrap().header("authorization"), Some(token.as_str()));
            }
        }
        if closing {
            assert!(world.closed && world.has_result(call), "{}", world.story());
        } else {
            // What goes back to the queue takes the room of one.
            let big = world.ask("tools/call", &format!(r#"{{"tag":$TAG,"pad":"{}"}}"#, "x".repeat(4000)));
            assert!(matches!(world.wait(big, SECOND), Answer::Result(_)), "{}", world.story());
        }
        world.verify();
    }
}

#[test]
fn a_host_is_asked_for_headers_each_time_that_they_expire() {
    let mut options = Options::new(URL);
    options.can_refresh_credentials = true;
    let mut world = World::with(Knobs::http(), options, 1);
    world.client.refreshes = true;
    world.open();
    for times in 1..4 {
        world.rule("tools/call", status(401));
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
        assert_eq!(world.count(|event| matches!(event, Event::HeadersNeeded { .. })), times);
    }
    world.verify();
}

#[test]
fn on_http_sse_the_end_of_the_stream_during_a_pause_is_the_end_of_the_session() {
    let mut world = World::new(Knobs::sse());
    world.open();
    world.rule("tools/call", Reply::Status(429, vec![("retry-after", "3".into())], String::new()));
    let call = world.call("echo", 0);
    world.run_for(SECOND);
    let stream = world.started("GET").last().unwrap().id;
    world.end_exchange(stream);
    world.run_for(10 * MILLISECOND);
    assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 1, "{}", world.story());
    assert!(matches!(world.wait(call, 5 * SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(pings(&world), 0);
    world.verify();
}

#[test]
fn what_the_network_says_of_a_failure_is_handed_on() {
    for (detail, told) in
        [("reset\u{1b} by peer", "the connection broke (reset\u{fffd} by peer)"), ("", "the connection broke.")]
    {
        let mut world = World::new(Knobs::http());
        world.open();
        world.rule("tools/call", Reply::Hang);
        let call = world.call("echo", 0);
        world.run_for(10 * MILLISECOND);
        let exchange = world.started("tools/call")[0].id;
        world.host(Input::Failed { exchange, failure: Failure::Lost, detail: detail.into() });
        let Answer::Error(code, text) = world.wait(call, SECOND) else { panic!("{}", world.story()) };
        assert_eq!(code, errors::OUTCOME_UNKNOWN);
        assert!(text.contains(told), "{text}");
        world.verify();
    }
}

#[test]
fn a_refusal_counts_after_two_seconds_although_its_body_does_not_end() {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", Reply::Hang);
    let call = world.call("echo", 0);
    world.run_for(10 * MILLISECOND);
    let exchange = world.started("tools/call")[0].id;
    world.head(exchange, 422);
    let refused = world.now;
    assert_eq!(world.wait(call, 5 * SECOND).code(), Some(errors::HTTP_ERROR), "{}", world.story());
    assert!((world.now - refused).abs_diff(2 * SECOND) < 10 * MILLISECOND, "{:?}", world.now - refused);
    world.verify();
}
