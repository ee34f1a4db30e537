//! The same message, spelt in many ways.

use crate::support::client::call_params;
use crate::support::server::{json_body, status, status_text};
use crate::support::*;

fn ready() -> World {
    let mut world = World::new(Knobs { get: Get::Status(405), ..Knobs::http() });
    world.open();
    world
}

#[test]
fn a_byte_order_mark_before_a_body_is_skipped() {
    let mut world = ready();
    world.rule("tools/call", json_body("\u{FEFF}{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}"));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    world.rule(
        "tools/call",
        Reply::Status(
            400,
            vec![],
            "\u{FEFF}{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32020,\"message\":\"m\"}}".into(),
        ),
    );
    let call = world.call("echo", 0);
    assert_eq!(world.wait(call, SECOND), Answer::Error(-32020, "m".into()));
    world.verify();
}

#[test]
fn a_null_beside_a_result_or_an_error_is_no_member() {
    for members in [r#""result":{"n":1},"error":null"#, r#""error" : null , "result":{"n":1}"#] {
        let mut world = ready();
        world.rule("tools/call", json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,{members}}}"#)));
        let call = world.call("echo", 0);
        assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{members}: {}", world.story());
        // Clients refuse a response that has both.
        let told: serde_json::Value = serde_json::from_str(world.client.raw.last().unwrap()).unwrap();
        assert!(told.get("error").is_none() && told["result"]["n"] == 1, "{told}");
        world.verify();
    }
    for members in [
        r#""result":null,"error":{"code":-32050,"message":"m"}"#,
        r#""error":{"code":-32050,"message":"m"},"result":null"#,
    ] {
        let mut world = ready();
        world.rule("tools/call", json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,{members}}}"#)));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, SECOND), Answer::Error(-32050, "m".into()), "{members}: {}", world.story());
        let told: serde_json::Value = serde_json::from_str(world.client.raw.last().unwrap()).unwrap();
        assert!(told.get("result").is_none(), "{told}");
        world.verify();
    }
    // So it is in an answer of the client.
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    world.server_says(r#"{"jsonrpc":"2.0","id":0,"method":"roots/list"}"#);
    world.run_for(SECOND);
    let asked: serde_json::Value = serde_json::from_str(&world.heard("roots/list")[0].1).unwrap();
    world.say(&format!(r#"{{"jsonrpc":"2.0","id":{},"error":null,"result":{{"roots":[]}}}}"#, asked["id"]));
    world.run_for(SECOND);
    assert_eq!(world.started("\"roots\":[]").len(), 1, "{}", world.story());
    world.verify();
}

#[test]
fn ids_are_equal_as_values() {
    for id in ["$ID.0", "$ID.000", "$IDe0", "$IDE+0", "\"$ID\"", "$ID0e-1", "$ID.0e00"] {
        for knobs in [Knobs { get: Get::Status(405), ..Knobs::http() }, Knobs::sse()] {
            let mut world = World::new(knobs);
            world.open();
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
            world.rule("tools/call", json_body(&body));
            let call = world.call("echo", 0);
            assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{id}: {}", world.story());
            world.verify();
        }
    }
}

#[test]
fn the_client_may_spell_the_id_of_a_question_in_another_way() {
    for spelt in ["$.0", "$e0", "\"$\""] {
        let mut world = World::new(Knobs::http());
        world.client.mute = true;
        world.open();
        world.server_says(r#"{"jsonrpc":"2.0","id":0,"method":"roots/list"}"#);
        world.run_for(SECOND);
        let asked: serde_json::Value = serde_json::from_str(&world.heard("roots/list")[0].1).unwrap();
        let id = spelt.replace('$', &asked["id"].to_string());
        world.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[]}}}}"#));
        world.run_for(SECOND);
        assert_eq!(world.started("\"id\":0,\"result\"").len(), 1, "{spelt}: {}", world.story());
        world.verify();
    }
}

#[test]
fn a_cancellation_names_its_request_by_value() {
    for (id, named) in [("7", "7.0"), ("\"\\u0061\"", "\"a\""), ("70", "7e1")] {
        let mut world = ready();
        let call = world.ask_as(id, "tools/call", &call_params("slow", 5000, 0));
        world.run_for(SECOND);
        world.client.asked.get_mut(&call).unwrap().cancelled = Some(world.now);
        world.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{named}}}}}"#
        ));
        world.run_for(10 * SECOND);
        assert_eq!(world.server.cancels.len(), 1, "{named}: {}", world.story());
        world.verify();
    }
}

#[test]
fn tokens_are_equal_as_values() {
    let mut world = World::new(Knobs::http());
    world.client.mute = true;
    world.open();
    for (asked, told) in [(r#""caf\u00e9""#, r#""café""#), (r#""café""#, r#""caf\u00E9""#), ("5", "5.0"), ("5e1", "50")]
    {
        let before = world.started("notifications/progress").len();
        world.server_says(&format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"sampling/createMessage","params":{{"_meta":{{"progressToken":{asked}}}}}}}"#,
            before + 50
        ));
        world.run_for(SECOND);
        world.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{told},"progress":1}}}}"#
        ));
        world.run_for(SECOND);
        assert_eq!(world.started("notifications/progress").len(), before + 1, "{asked} {told}: {}", world.story());
    }
    // And those of the client, in the server's mouth.
    let mut world = ready();
    let events = vec![
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":12.0,\"progress\":1}}\n\n".into(),
        "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n\n".into(),
    ];
    world.rule("tools/call", Reply::RunThenEvents(events, true));
    let call = world.ask("tools/call", r#"{"tag":$TAG,"_meta":{"progressToken":12}}"#);
    world.wait(call, SECOND);
    assert_eq!(world.heard("notifications/progress").len(), 1, "{}", world.story());
}

/// A batch of responses, in which the one to `$ID` is followed by what makes it too large.
fn batch(pad: &str) -> String {
    format!(r#"[{{"jsonrpc":"2.0","method":"notifications/a"}},{{"jsonrpc":"2.0","result":{{}},"id":$ID}},{pad}]"#)
}

#[test]
fn what_is_too_large_to_read_answers_its_request_all_the_same() {
    let big = "x".repeat(5000);
    let big_result = format!(r#"{{"jsonrpc":"2.0","id":0,"result":"{big}"}}"#);
    let many = vec![r#"{"jsonrpc":"2.0","method":"n"}"#; 10_001].join(",");
    for (body, event_limit) in [
        (batch(&big_result), 2000),
        (batch(&many), 16 << 20),
        (format!(r#" [{big_result},{{"id":$ID.0,"jsonrpc":"2.0","result":[[{{}}]]}}]"#), 2000),
        (format!(r#"{{"jsonrpc":"2.0","\u0069d":$ID,"result":"{big}"}}"#), 2000),
        (format!(r#"{{"jsonrpc":"2.0","id":"$ID","result":"{big}"}}"#), 2000),
        (format!(r#"{{"jsonrpc":"2.0","id":$IDe0,"result":"{big}"}}"#), 2000),
        (format!("\u{FEFF}{{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"{big}\"}}"), 2000),
        (format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":"{big}","error":null}}"#), 2000),
    ] {
        for knobs in [Knobs::http(), Knobs::resumable()] {
            let mut options = Options::new(URL);
            options.max_event_bytes = event_limit;
            let mut world = World::with(Knobs { get: Get::Status(405), ..knobs }, options, 1);
            world.open();
            world.rules("resources/read", 5, Reply::RunThenEvents(vec![format!("data: {body}\n\n")], true));
            let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
            let shown: String = body.chars().take(100).collect();
            assert_eq!(world.wait(read, 5 * SECOND).code(), Some(errors::TOO_LARGE), "{shown}: {}", world.story());
            world.run_for(60 * SECOND);
            assert_eq!(world.server.runs_of(read), 1, "{shown}");
            assert_eq!(world.unanswered().len(), 0);
            world.verify();
        }
    }
    // Without its last blank line, and as a body.
    for reply in [
        Reply::RunThenEvents(vec![format!(r#"data: {{"jsonrpc":"2.0","id":$ID,"result":"{big}"}}"#)], true),
        json_body(&batch(&many)),
    ] {
        let mut options = Options::new(URL);
        options.max_event_bytes = 2000;
        let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
        world.open();
        world.rules("resources/read", 5, reply);
        let read = world.ask("resources/read", r#"{"tag":$TAG}"#);
        assert_eq!(world.wait(read, 5 * SECOND).code(), Some(errors::TOO_LARGE), "{}", world.story());
        assert_eq!(world.started("resources/read").len(), 1);
        world.verify();
    }
}

#[test]
fn a_notification_that_is_too_large_leaves_the_request_alone() {
    let mut options = Options::new(URL);
    options.max_event_bytes = 2000;
    let mut world = World::with(Knobs { get: Get::Status(405), ..Knobs::http() }, options, 1);
    world.open();
    let big = "x".repeat(5000);
    let events = vec![
        format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/big\",\"params\":\"{big}\"}}\n\n"),
        "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n\n".into(),
    ];
    world.rule("tools/call", Reply::RunThenEvents(events, true));
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}

#[test]
fn list_changed_is_declared_once() {
    let knobs = Knobs {
        capabilities: r#"{"tools":{"listChanged":null},"prompts":{ "listChanged" : null , "x":1}}"#,
        ..Knobs::http()
    };
    let mut world = World::new(knobs);
    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":null},"prompts":{ "x":1, "listChanged" : null }}}"#;
    world.rule("\"initialize\"", json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#)));
    let initialize = world.initialize();
    world.wait(initialize, SECOND);
    let raw = world.client.raw.last().unwrap();
    assert_eq!(raw.matches("listChanged").count(), 2, "{raw}");
    assert_eq!(raw.matches("null").count(), 0, "{raw}");
}

#[test]
fn a_server_that_spells_itself_in_another_way_has_not_changed() {
    let result = |capabilities: &str, info: &str| {
        json_body(&format!(
            r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"serverInfo":{info},"instructions":"be k\u0069nd"}}}}"#
        ))
    };
    let first = (r#"{"tools":{"listChanged":true,"x":1},"logging":{}}"#, r#"{"name":"model","version":"1"}"#);
    for (capabilities, info, changed) in [
        (r#"{ "logging":{}, "tools":{"x":1.0,"listChanged":true} }"#, r#"{"version":"1", "name":"mod\u0065l"}"#, false),
        (r#"{"tools":{"listChanged":true,"x":2},"logging":{}}"#, first.1, true),
        (first.0, r#"{"name":"model","version":"2"}"#, true),
    ] {
        let mut world = World::new(Knobs { stateless: true, ..Knobs::http() });
        world.rule("\"initialize\"", result(first.0, first.1));
        world.open();
        world.rule("\"initialize\"", result(capabilities, info));
        world.host(Input::Reconnect);
        world.run_for(5 * SECOND);
        let told = world
            .count(|event| matches!(event, Event::Reconnected { server_changed, .. } if *server_changed == changed));
        assert_eq!(told, 1, "{capabilities}: {}", world.story());
    }
}

#[test]
fn not_processed_is_sent_again() {
    for code in [421, 425] {
        for knobs in [Knobs::http(), Knobs::sse(), Knobs { stateless: true, ..Knobs::http() }] {
            let mut world = World::new(knobs);
            world.open();
            world.rules("tools/call", 3, status_text(code, "not here"));
            let call = world.call("echo", 0);
            assert!(matches!(world.wait(call, 30 * SECOND), Answer::Result(_)), "{code}: {}", world.story());
            assert_eq!((world.server.runs_of(call), world.started("tools/call").len()), (1, 4));
            assert_eq!(world.engine.status().reconnects, 0);
            world.verify();
        }
        let mut world = World::new(Knobs::http());
        world.open();
        world.rules("tools/call", 100_000, status(code));
        let call = world.call("echo", 0);
        assert_eq!(world.wait(call, 200 * SECOND).code(), Some(errors::UNAVAILABLE), "{}", world.story());
        assert!(world.started("tools/call").len() < 40, "{}", world.started("tools/call").len());
        world.verify();
    }
}

#[test]
fn not_processed_is_asked_again_whatever_was_asked() {
    for code in [421, 425] {
        // The first contact, the standalone stream, a notification.
        let mut world = World::new(Knobs::http());
        world.rules("\"initialize\"", 2, status(code));
        world.rules("GET", 2, status(code));
        world.open();
        world.rules("notifications/custom", 2, status(code));
        let tag = world.notify("notifications/custom");
        world.run_for(20 * SECOND);
        assert_eq!(world.server.notified, [tag], "{code}: {}", world.story());
        world.server_says(r#"{"jsonrpc":"2.0","method":"notifications/heard"}"#);
        world.run_for(SECOND);
        assert_eq!(world.heard("notifications/heard").len(), 1, "{code}: {}", world.story());
        world.verify();
        // The stream of a call.
        let mut world = World::new(Knobs::resumable());
        world.open();
        let call = world.call("slow", 3000);
        world.run_for(SECOND);
        let exchange = world.started("tools/call")[0].id;
        world.rules("GET", 2, status(code));
        world.reset_exchange(exchange);
        assert!(matches!(world.wait(call, 30 * SECOND), Answer::Result(_)), "{code}: {}", world.story());
        world.verify();
    }
}

#[test]
fn a_line_that_is_no_json_is_answered_under_its_id_where_that_can_be_read() {
    let mut world = ready();
    for (text, id) in [
        (r#"{"jsonrpc":"2.0","id":71,"method":"tools/call","params":{"x":NaN}}"#, "71"),
        (r#"{"jsonrpc":"2.0","id":"seventy","method":"tools/call","params":{"x":Infinity}}"#, "\"seventy\""),
        ("\u{FFFD}{\"jsonrpc\":\"2.0\",\"id\":72,\"method\":\"tools/call\",\"params\":{\"x\":\"caf\u{FFFD}\"}}", "72"),
        (r#"{"jsonrpc":"2.0","params":{"x":NaN},"method":"m","id":73}"#, "73"),
        (r#"{"jsonrpc":"2.0","id":74,"method":"m","method":"m"}"#, "74"),
        (r#"{"jsonrpc":"2.0","id":75,"method":17}"#, "75"),
    ] {
        let tag = world.client.reserve();
        world.client.asked.insert(
            tag,
            crate::support::client::Asked {
                at: Instant::ZERO,
                id: id.into(),
                method: "tools/call".into(),
                params: String::from("{}"),
                safe: false,
                cancelled: None,
                answers: vec![],
            },
        );
        world.claim(id, tag);
        world.say(text);
        assert!(matches!(world.error(tag), Some(-32700 | -32600)), "{text}: {}", world.story());
    }
    // What is no request, or an id that was not read whole, has no id.
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"result":NaN}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/x","params":NaN}"#,
        "\u{FFFD}{\"jsonrpc\":\"2.0\",\"id\":\"caf\u{FFFD}\",\"method\":\"m\"}",
        r#"{"jsonrpc":"2.0","id":[1],"method":"m","params":NaN}"#,
    ] {
        let before = world.client.nulls.len();
        world.say(text);
        assert_eq!(world.client.nulls[before..], [-32700], "{text}: {}", world.story());
    }
    world.verify();
}

#[test]
fn a_line_that_is_not_utf8_is_told_so() {
    let mut world = ready();
    world.say("\u{FFFD}{\"jsonrpc\":\"2.0\",\"method\":\"m\u{FFFD}\"}");
    assert!(world.story().contains("not UTF-8"), "{}", world.story());
}

#[test]
fn a_byte_order_mark_before_a_line_is_skipped() {
    let mut world = World::new(Knobs::http());
    let (tag, text) = world.request("initialize", r#"{"protocolVersion":"2025-11-25","capabilities":{},"tag":$TAG}"#);
    world.say(&format!("\u{FEFF}{text}"));
    assert!(matches!(world.wait(tag, SECOND), Answer::Result(_)), "{}", world.story());
    world.verify();
}
