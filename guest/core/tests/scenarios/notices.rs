//! `notify_client`: connection changes as log messages to the client.

use serde_json::Value;

use crate::support::server::status;
use crate::support::*;

fn telling(knobs: Knobs) -> World {
    let mut options = Options::new(URL);
    options.notify_client = true;
    World::with(knobs, options, 1)
}

/// Level and text of every notice.
fn told(world: &World) -> Vec<(String, String)> {
    let notices = world.heard("notifications/message");
    let read = |text: &str| {
        let message: Value = serde_json::from_str(text).unwrap();
        let params = &message["params"];
        assert_eq!(params["logger"], "mcp-reconnect");
        (params["level"].as_str().unwrap().to_string(), params["data"].as_str().unwrap().to_string())
    };
    notices.iter().map(|(_, text)| read(text)).collect()
}

#[test]
fn a_restart_is_told_with_what_it_means() {
    for (name, end) in [("model", "again with a new session."), ("other", "session, and the server has changed.")] {
        let mut world = telling(Knobs::http());
        world.open();
        let call = world.call("slow", 60_000);
        world.run_for(SECOND);
        assert_eq!(told(&world), []);
        world.now(Fault::Kill);
        world.now(Fault::Become(Box::new(Knobs {
            name: if name == "other" { "other" } else { "model" },
            ..Knobs::http()
        })));
        world.after(5 * SECOND, crate::support::world::Happening::Fault(Fault::Start));
        assert_eq!(world.wait(call, 10 * SECOND).code(), Some(errors::OUTCOME_UNKNOWN));
        world.run_for(60 * SECOND);
        let told = told(&world);
        let levels: Vec<_> = told.iter().map(|(level, _)| level.as_str()).collect();
        assert_eq!(levels, ["warning", "warning", "notice"], "{told:?}");
        assert!(told.iter().all(|(_, text)| text.contains("http://server.test:9000")), "{told:?}");
        assert!(told.iter().any(|(_, text)| text.contains("is lost:") && text.contains("Requests wait")), "{told:?}");
        assert!(told.iter().any(|(_, text)| text.starts_with("The outcome of a tools/call")), "{told:?}");
        assert!(told[2].1.ends_with(end), "{told:?}");
        world.verify();
    }
}

#[test]
fn a_session_that_survived_and_a_busy_server_are_told() {
    let mut world = telling(Knobs { durable: true, ..Knobs::http() });
    world.open();
    world.restart(5 * SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(told(&world).last().unwrap().1, "Connected to http://server.test:9000 again.", "{}", world.story());
    let busy = world.call("block", 100_000);
    world.wait(busy, 200 * SECOND);
    assert!(told(&world).iter().any(|(_, text)| text.contains("is busy or gone")));
    world.verify();
}

#[test]
fn missing_credentials_are_told() {
    let mut world = telling(Knobs::http());
    world.open();
    world.rule("tools/call", status(403));
    let call = world.call("echo", 0);
    world.wait(call, SECOND);
    let wants = "http://server.test:9000 wants other credentials (HTTP 403).";
    assert_eq!(told(&world), [("error".to_string(), wants.to_string())]);
    world.verify();
}

#[test]
fn nothing_is_told_before_the_client_is_ready_or_if_it_is_not_wanted() {
    let mut world = telling(Knobs::http());
    world.client.silent = true;
    world.initialize();
    world.run_for(SECOND);
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(told(&world), []);
    world.verify();

    let mut world = World::new(Knobs::http());
    world.open();
    world.restart(SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(told(&world), []);
    world.verify();
}
