//! Progress of tasks (MCP 2025-11-25, "Tasks"): the token outlives the answer that created the task.

use crate::support::*;

const WORKING: &str = r#"{"jsonrpc":"2.0","id":$ID,"result":{"task":{"taskId":"t-1","status":"working","createdAt":"2026-01-01T00:00:00Z","ttl":60000}}}"#;

fn events(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| format!("data: {text}\n\n")).collect()
}

/// A call that created the task `t-1` under the token `"tok"`.
fn with_task(answer: &str) -> World {
    let mut world = World::new(Knobs::http());
    world.open();
    world.rule("tools/call", Reply::RunThenEvents(events(&[answer]), true));
    let call = world.ask(
        "tools/call",
        r#"{"name":"long","arguments":{"tag":$TAG},"task":{"ttl":60000},"_meta":{"progressToken":"tok"}}"#,
    );
    world.wait(call, SECOND);
    world
}

fn progress(world: &mut World) -> bool {
    let before = world.heard("notifications/progress").len();
    world.server_says(
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t\u006fk","progress":1}}"#,
    );
    world.run_for(10 * MILLISECOND);
    world.heard("notifications/progress").len() > before
}

#[test]
fn progress_goes_on_after_the_task_was_created() {
    let mut world = with_task(WORKING);
    assert!(progress(&mut world), "{}", world.story());
    world.run_for(30 * SECOND);
    assert!(progress(&mut world));
    // A task is bound to no session.
    world.restart(SECOND);
    world.run_for(20 * SECOND);
    assert_eq!(world.engine.status().session.as_ref().unwrap().epoch, 2);
    assert!(progress(&mut world), "{}", world.story());
    world.verify();
}

#[test]
fn progress_ends_with_the_ttl() {
    let mut world = with_task(WORKING);
    world.run_for(59 * SECOND);
    assert!(progress(&mut world));
    world.run_for(2 * SECOND);
    assert!(!progress(&mut world));
    world.verify();
}

#[test]
fn a_task_without_a_ttl_reports_for_as_long_as_it_runs() {
    let mut world = with_task(&WORKING.replace("60000", "null"));
    world.run_for(7200 * SECOND);
    assert!(progress(&mut world));
    world.verify();
}

#[test]
fn progress_ends_when_the_status_is_terminal() {
    for status in ["completed", "failed", "cancelled"] {
        let flat = format!(r#""taskId":"t-1","status":"{status}","createdAt":"2026-01-01T00:00:00Z","ttl":60000"#);
        let notified = format!(r#"{{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{{{flat}}}}}"#);
        let mut world = with_task(WORKING);
        world.server_says(&notified.replace(status, "input_required"));
        assert!(progress(&mut world));
        world.server_says(&notified);
        assert!(!progress(&mut world), "{status}\n{}", world.story());
        assert_eq!(world.heard("tasks/status").len(), 2);

        for method in ["tasks/get", "tasks/cancel"] {
            let mut world = with_task(WORKING);
            for (said, live) in [("working", true), (status, false)] {
                let answer = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{{{}}}}}"#, flat.replace(status, said));
                world.rule(method, Reply::Events(events(&[&answer]), true));
                let asked = world.ask(method, r#"{"tag":$TAG,"taskId":"t-1"}"#);
                world.wait(asked, SECOND);
                assert_eq!(progress(&mut world), live, "{method} {said}");
            }
        }
        let mut world = with_task(WORKING);
        let list = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"tasks":[{{{flat}}}]}}}}"#);
        world.rule("tasks/list", Reply::Events(events(&[&list]), true));
        let asked = world.ask("tasks/list", r#"{"tag":$TAG}"#);
        world.wait(asked, SECOND);
        assert!(!progress(&mut world));
    }
    // Created and over at once.
    assert!(!progress(&mut with_task(&WORKING.replace("working", "completed"))));
}

#[test]
fn progress_ends_with_the_result_of_the_task() {
    for answer in [r#""result":{"content":[]}"#, r#""error":{"code":-32000,"message":"it failed"}"#] {
        let mut world = with_task(WORKING);
        let text = format!(r#"{{"jsonrpc":"2.0","id":$ID,{answer}}}"#);
        world.rule("tasks/result", Reply::Events(events(&[&text]), true));
        let asked = world.ask("tasks/result", r#"{"tag":$TAG,"taskId":"\u0074-1"}"#);
        world.wait(asked, SECOND);
        assert!(!progress(&mut world), "{answer}\n{}", world.story());
        world.verify();
    }
}

#[test]
fn without_a_task_the_token_ends_with_the_answer() {
    let mut world = with_task(r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}"#);
    assert!(!progress(&mut world));
    let mut world = with_task(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"no"}}"#);
    assert!(!progress(&mut world));
}

#[test]
fn the_clients_progress_of_a_task_of_its_own_goes_on() {
    let ask = |world: &mut World| {
        world.server_says(
            r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"task":{"ttl":60000},"_meta":{"progressToken":"their"}}}"#,
        );
        world.run_for(10 * MILLISECOND);
        let asked = world.heard("sampling/createMessage").last().unwrap().1.clone();
        let id = serde_json::from_str::<serde_json::Value>(&asked).unwrap()["id"].to_string();
        world.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"task":{{"taskId":"c-1","status":"working","ttl":60000}}}}}}"#
        ));
        world.run_for(10 * MILLISECOND);
    };
    let progress = |world: &mut World| {
        let before = world.started("notifications/progress").len();
        world.say(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"their","progress":1}}"#,
        );
        world.run_for(10 * MILLISECOND);
        world.started("notifications/progress").len() > before
    };
    let fresh = || {
        let mut world = World::new(Knobs::http());
        world.client.mute = true;
        world.open();
        ask(&mut world);
        assert!(progress(&mut world), "{}", world.story());
        world
    };
    // Its end is told by a notification,
    let mut world = fresh();
    world.say(
        r#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"c-1","status":"completed"}}"#,
    );
    assert!(!progress(&mut world));
    // by an answer to the server's tasks/get or tasks/cancel, by the result,
    for (method, answer) in [
        ("tasks/get", r#"{"taskId":"c-1","status":"completed"}"#),
        ("tasks/cancel", r#"{"taskId":"c-1","status":"cancelled"}"#),
        ("tasks/result", r#"{"role":"assistant"}"#),
    ] {
        let mut world = fresh();
        world.server_says(&format!(r#"{{"jsonrpc":"2.0","id":8,"method":"{method}","params":{{"taskId":"c-1"}}}}"#));
        world.run_for(10 * MILLISECOND);
        assert!(progress(&mut world));
        let asked = world.heard(method).last().unwrap().1.clone();
        let id = serde_json::from_str::<serde_json::Value>(&asked).unwrap()["id"].to_string();
        world.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{answer}}}"#));
        assert!(!progress(&mut world), "{method}\n{}", world.story());
    }
    // by its ttl,
    let mut world = fresh();
    world.run_for(61 * SECOND);
    assert!(!progress(&mut world));
    // or by the end of the session that asked.
    let mut world = fresh();
    world.restart(SECOND);
    world.run_for(20 * SECOND);
    assert!(!progress(&mut world));
    world.verify();
}

#[test]
fn two_calls_under_one_token_both_report() {
    let mut world = World::new(Knobs::http());
    world.open();
    let params = r#"{"name":"slow","arguments":{"tag":$TAG,"ms":$MS,"step":1000},"_meta":{"progressToken":"same"}}"#;
    for (first, second) in [("3000", "8000"), ("8000", "3000")] {
        let one = world.ask("tools/call", &params.replace("$MS", first));
        let two = world.ask("tools/call", &params.replace("$MS", second));
        let quick = if first == "3000" { one } else { two };
        world.wait(quick, 20 * SECOND);
        let heard = world.heard("notifications/progress").len();
        world.run_for(3 * SECOND);
        assert!(world.heard("notifications/progress").len() >= heard + 2, "{}", world.story());
        world.wait(one, 20 * SECOND);
        world.wait(two, 20 * SECOND);
    }
    world.verify();
}
