//! Messages pass as they are: ids, order, batches, and what is no message.

use crate::support::server::json_body;
use crate::support::*;

fn ready() -> World {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world
}

#[test]
fn ids_come_back_as_they_were_spelt() {
    for knobs in [Knobs::http(), Knobs::sse(), Knobs { json: true, ..Knobs::http() }] {
        let mut world = World::new(knobs);
        world.open();
        for id in [
            "9007199254740993",
            "1.0",
            "1e3",
            "-5",
            "\"\\u0061b\"",
            "\"a\\/b\"",
            "\"\"",
            "0",
            "\"é\"",
            "123456789012345678901234567890",
        ] {
            let tag = world.ask_as(id, "tools/list", r#"{"tag":$TAG}"#);
            assert!(matches!(world.wait(tag, SECOND), Answer::Result(_)), "{id}");
        }
        world.verify();
    }
}

#[test]
fn ids_on_the_wire_are_small_fresh_integers() {
    let mut world = ready();
    world.client.odd_ids = true;
    for _ in 0..10 {
        let call = world.call("echo", 0);
        world.wait(call, SECOND);
    }
    let mut ids: Vec<u64> = world
        .started("tools/call")
        .iter()
        .map(|one| serde_json::from_str::<serde_json::Value>(one.body()).unwrap()["id"].as_u64().unwrap())
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 10);
    assert!(ids.iter().all(|id| *id < 1000));
}

#[test]
fn a_message_passes_byte_for_byte_but_for_its_id() {
    let mut world = ready();
    let text = "{ \"method\" : \"tools/call\",\t\"x-other\":[1.0,1e5,\"\\u00e9\\/\"], \"params\":{\"id\":7,\"name\":\"echo\",\"n\":9007199254740993 } , \"id\" : \"q\" , \"jsonrpc\":\"2.0\" }";
    world
        .rule("x-other", json_body(r#"{ "result" : {"v":1.00,"w":"\u0041\/"},  "id":$ID , "jsonrpc":"2.0","y":null}"#));
    world.client.asked.insert(
        99,
        crate::support::client::Asked {
            at: Instant::ZERO,
            id: "\"q\"".into(),
            method: "tools/call".into(),
            params: String::from("{}"),
            safe: false,
            cancelled: None,
            answers: vec![],
        },
    );
    world.claim("\"q\"", 99);
    world.say(text);
    world.run_for(SECOND);
    let sent = world.started("x-other")[0].body().to_string();
    let wire = sent.split("\"id\" : ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    assert_eq!(sent, text.replace("\"q\"", &wire));
    let expected = r#"{ "result" : {"v":1.00,"w":"\u0041\/"},  "id":"q" , "jsonrpc":"2.0","y":null}"#;
    assert!(world.story().contains(expected), "{}", world.story());
    world.verify();
}

#[test]
fn duplicate_ids_are_independent_requests() {
    let mut world = ready();
    let first = world.ask_as("7", "tools/call", &crate::support::client::call_params("slow", 500, 0));
    let second = world.ask_as("7", "tools/call", &crate::support::client::call_params("echo", 0, 0));
    assert!(matches!(world.wait(second, 3 * SECOND), Answer::Result(_)));
    assert!(matches!(world.wait(first, 3 * SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn what_is_no_message_is_answered() {
    let mut world = ready();
    for (text, code) in [
        ("", -32700),
        ("nonsense", -32700),
        ("{", -32700),
        ("[]", -32600),
        ("[1]", -32600),
        ("17", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":"k","method":"tools/list"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"tools/list"}"#, -32600),
    ] {
        let before = world.client.nulls.len();
        world.claim("\"k\"", 1);
        world.say(text);
        let told = world.client.nulls[before..].to_vec();
        let known = world.client.asked[&1].answers.len() > 1;
        assert!(told == [code] || known, "{text}: {told:?}");
        world.client.asked.get_mut(&1).unwrap().answers.truncate(1);
    }
    world.violations.clear();
    assert_eq!(world.net.started.len(), 3);
}

#[test]
fn batches_of_the_client_are_unpacked() {
    let mut world = ready();
    let (first, one) = world.request("tools/list", r#"{"tag":$TAG}"#);
    let between = world.client.reserve();
    let (second, two) = world.request("tools/call", &crate::support::client::call_params("echo", 0, 0));
    world.say(&format!(
        "[{one}, {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/custom\",\"params\":{{\"tag\":{between}}}}} ,{two}]"
    ));
    assert!(matches!(world.wait(first, SECOND), Answer::Result(_)));
    assert!(matches!(world.wait(second, SECOND), Answer::Result(_)));
    assert!(world.net.started.iter().all(|one| !one.body().starts_with('[')));
    assert_eq!(world.server.notified, [between]);
    world.verify();
}

#[test]
fn batches_of_the_server_are_unpacked() {
    let mut world = World::new(Knobs { version: "2025-03-26", ..Knobs::http() });
    world.open();
    world.rule(
        "tools/call",
        json_body(
            r#"[{"jsonrpc":"2.0","method":"notifications/a"},{"jsonrpc":"2.0","id":$ID,"result":{}},{"jsonrpc":"2.0","method":"notifications/b"}]"#,
        ),
    );
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    assert_eq!(world.heard("notifications/a").len() + world.heard("notifications/b").len(), 2);
    world.verify();
}

#[test]
fn posts_start_in_the_order_of_the_messages() {
    let mut world = ready();
    world.now(Fault::Kill);
    let mut tags = Vec::new();
    for turn in 0..20 {
        tags.push(match turn % 3 {
            0 => world.call("echo", 0),
            1 => world.ask("resources/read", r#"{"tag":$TAG}"#),
            _ => world.notify("notifications/custom"),
        });
    }
    world.run_for(SECOND);
    world.now(Fault::Start);
    world.run_for(20 * SECOND);
    assert!(world.unanswered().is_empty());
    // `check_order` looks at each first sending.
    world.verify();
}

#[test]
fn a_slow_notification_holds_up_nothing_for_long() {
    let mut world = ready();
    world.rule("notifications/custom", Reply::Hang);
    world.notify("notifications/custom");
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 100 * MILLISECOND), Answer::Result(_)));
    let second = world.notify("notifications/custom");
    let asked = world.now;
    world.run_until(5 * SECOND, |world| world.server.notified.contains(&second));
    assert!(world.now - asked <= 1100 * MILLISECOND);
    world.verify();
}

#[test]
fn requests_run_side_by_side() {
    let mut world = ready();
    let slow: Vec<_> = (0..10).map(|_| world.call("slow", 3000)).collect();
    let asked = world.now;
    for tag in slow {
        assert!(matches!(world.wait(tag, 5 * SECOND), Answer::Result(_)));
    }
    assert!(world.now - asked < 3500 * MILLISECOND);
    world.verify();
}

#[test]
fn pings_of_the_client_are_answered_by_the_engine() {
    let mut world = ready();
    world.now(Fault::Kill);
    let sent = world.net.started.len();
    let ping = world.ask("ping", "{}");
    assert!(world.has_result(ping));
    assert_eq!(world.net.started.len(), sent);
    world.verify();
}

#[test]
fn notifications_are_sent_at_most_once() {
    let mut world = ready();
    world.fate("notifications/custom", Fate::ResetAfter);
    world.notify("notifications/custom");
    world.run_for(10 * SECOND);
    assert_eq!(world.started("notifications/custom").len(), 1);
    // Those that were not taken are sent later.
    world.fate("notifications/custom", Fate::Refused);
    let kept = world.notify("notifications/custom");
    world.run_for(10 * SECOND);
    assert!(world.server.notified.contains(&kept));
    world.check_runs();
    world.verify();
}

#[test]
fn roots_changes_collapse_while_they_are_held() {
    let mut world = ready();
    world.now(Fault::Kill);
    world.ask("resources/read", r#"{"tag":$TAG}"#);
    world.run_for(SECOND);
    for _ in 0..5 {
        world.notify("notifications/roots/list_changed");
    }
    world.now(Fault::Start);
    world.run_for(20 * SECOND);
    assert_eq!(world.server.notified.len(), 1);
    world.verify();
}

#[test]
fn progress_of_the_client_dies_with_the_question_it_belongs_to() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    world.server_says(
        r#"{"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{"_meta":{"progressToken":"t"}}}"#,
    );
    world.run_for(SECOND);
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#;
    world.say(progress);
    world.run_for(SECOND);
    assert_eq!(world.started("notifications/progress").len(), 1);
    world.restart(SECOND);
    world.run_for(40 * SECOND);
    world.say(progress);
    world.run_for(SECOND);
    assert_eq!(world.started("notifications/progress").len(), 1);
    world.verify();
}

#[test]
fn progress_tokens_are_compared_by_what_they_mean() {
    let mut world = ready();
    world.rule(
        "tools/call",
        Reply::RunThenEvents(
            vec![
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"a\\/b\\u00e9\",\"progress\":1}}\n\n".into(),
                "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n\n".into(),
            ],
            true,
        ),
    );
    let call = world.ask("tools/call", r#"{"tag":$TAG,"_meta":{"progressToken":"a/bé"}}"#);
    world.wait(call, SECOND);
    assert_eq!(world.heard("notifications/progress").len(), 1);
    world.verify();
}

#[test]
fn a_question_before_the_initialize_result_is_asked_after_it_under_an_own_id() {
    let mut world = World::new(Knobs { stateless: true, ..Knobs::http() });
    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"m","version":"1"}}"#;
    world.rule(
        "\"initialize\"",
        Reply::Events(
            vec![
                "data: {\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"roots/list\"}\n\n".into(),
                format!("data: {{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{result}}}\n\n"),
            ],
            true,
        ),
    );
    world.client.mute = true;
    world.initialize();
    world.run_for(SECOND);
    let question = world.heard("roots/list");
    assert_eq!(question.len(), 1);
    let asked: serde_json::Value = serde_json::from_str(&question[0].1).unwrap();
    assert_ne!(asked["id"], 77);
    world.say(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"roots":[]}}}}"#, asked["id"]));
    world.run_for(SECOND);
    let answers = world.started("\"roots\"");
    assert_eq!(answers.len(), 1, "{}", world.story());
    assert!(answers[0].body().contains("\"id\":77"));
}

#[test]
fn a_server_that_reads_ids_as_doubles_is_understood() {
    let mut world = ready();
    world.rule("tools/call", json_body(r#"{"jsonrpc":"2.0","id":$ID.0,"result":{"content":[]}}"#));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn an_answer_without_a_content_type_is_read() {
    let mut world = ready();
    world.rule(
        "tools/call",
        Reply::RunThen(200, vec![], r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}"#.into()),
    );
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn a_success_that_is_not_mcp_is_an_error() {
    let mut world = ready();
    world.rule(
        "tools/call",
        Reply::Status(200, vec![("content-type", "text/html".into())], "<b>Fatal error</b>: in tool.php".into()),
    );
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, 3 * SECOND).code(), Some(errors::HTTP_ERROR));
    world.verify();
}

#[test]
fn a_message_of_the_server_becomes_one_line() {
    let mut world = ready();
    world.rule("tools/call", json_body("{\"jsonrpc\":\"2.0\",\r\n  \"id\":$ID,\n \"result\":{}\n}\n"));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)));
    world.verify();
}

#[test]
fn an_error_that_names_no_request_is_about_the_one_it_answers() {
    let mut world = ready();
    world
        .rule("tools/call", json_body(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32050,"message":"out of ink"}}"#));
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND), Answer::Error(-32050, "out of ink".into()));
    world.verify();
}

#[test]
fn an_answer_may_come_on_the_standalone_stream_after_an_acceptance() {
    for (code, kind) in [(202, "text/plain"), (204, "text/plain"), (202, ""), (200, "application/json")] {
        let mut world = World::new(Knobs::http());
        world.open();
        let headers = if kind.is_empty() { vec![] } else { vec![("content-type", kind.to_string())] };
        world.rule("tools/call", Reply::RunThen(code, headers, String::new()));
        let call = world.call("echo", 0);
        world.run_for(SECOND);
        assert!(world.answer(call).is_none(), "{code} {kind}\n{}", world.story());
        let body: serde_json::Value = serde_json::from_str(world.started("tools/call")[0].body()).unwrap();
        let stream = world.started("GET")[0].id;
        world.body(stream, &format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}\n\n", body["id"]));
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{code} {kind}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn a_notification_follows_when_the_one_before_was_taken() {
    let mut world = ready();
    let tags: Vec<_> = (0..5).map(|_| world.notify("notifications/custom")).collect();
    world.run_for(50 * MILLISECOND);
    assert_eq!(world.server.notified, tags);
    // One that is not taken holds up the next for a second.
    world.rule("notifications/custom", Reply::Hang);
    let asked = world.now;
    world.notify("notifications/custom");
    world.notify("notifications/custom");
    world.run_for(5 * SECOND);
    let starts: Vec<_> = world.started("notifications/custom")[5..].iter().map(|one| one.at - asked).collect();
    assert_eq!(starts, [Duration::ZERO, SECOND]);
    world.verify();
}

#[test]
fn what_comes_before_its_time_is_dropped() {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.client.silent = true;
    world.notify("notifications/custom");
    world.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let initialize = world.initialize();
    world.wait(initialize, SECOND);
    world.run_for(SECOND);
    assert!(world.started("notifications/").is_empty(), "{}", world.story());
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    world.say(initialized);
    world.say(initialized);
    world.run_for(SECOND);
    assert_eq!(world.started("notifications/").len(), 1);
    assert_eq!(world.engine.status().state, State::Ready);
    world.verify();
}

#[test]
fn what_a_server_says_too_early_is_kept_up_to_a_bound() {
    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;
    for (count, pad, kept) in [(64, 1, 64), (70, 1, 64), (3, 800, 2)] {
        let mut options = Options::new(URL);
        options.max_event_bytes = if pad > 1 { 2000 } else { 100_000 };
        let mut world = World::with(Knobs::http(), options, 1);
        let early = format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/early\",\"params\":{{\"x\":\"{}\"}}}}\n\n",
            "x".repeat(pad)
        );
        let mut events = vec![early; count];
        events.push(format!("data: {{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{result}}}\n\n"));
        world.rule("\"initialize\"", Reply::Events(events, true));
        let initialize = world.initialize();
        world.wait(initialize, SECOND);
        assert_eq!(world.heard("notifications/early").len(), kept);
    }
}

#[test]
fn a_question_with_an_id_of_a_kilobyte_is_asked_and_the_one_that_is_cancelled_is_that_one() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    for (length, asked) in [(1022, 1), (1023, 1)] {
        let id = "z".repeat(length);
        world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"roots/list"}}"#));
        world.run_for(SECOND);
        assert_eq!(world.heard("roots/list").len(), asked, "{length}");
    }
    world.server_says(r#"{"jsonrpc":"2.0","id":7,"method":"sampling/first"}"#);
    world.server_says(r#"{"jsonrpc":"2.0","id":8,"method":"sampling/second"}"#);
    world.server_says(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8}}"#);
    world.run_for(SECOND);
    let second: serde_json::Value = serde_json::from_str(&world.heard("sampling/second")[0].1).unwrap();
    assert_eq!(world.client.dropped, [second["id"].to_string()]);
    world.verify();
}
