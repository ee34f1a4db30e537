//! Traffic in both directions with real servers: what a server asks and tells its client, and what the client may send.

#[path = "support/history.rs"]
mod history;
mod support;

use serde_json::{Value, json};
use support::bridge::{Bridge, text};
use support::servers::{Kind, Server};
use support::{PATIENCE, poll};

const ALL: [Kind; 6] =
    [Kind::EverythingHttp, Kind::EverythingSse, Kind::PythonHttp, Kind::PythonSse, Kind::RustHttp, Kind::RustSse];
const EVERYTHING: [Kind; 2] = [Kind::EverythingHttp, Kind::EverythingSse];
const PYTHON: [Kind; 2] = [Kind::PythonHttp, Kind::PythonSse];

/// A bridge whose client can do all that servers ask for.
fn capable(server: &Server) -> Bridge {
    let mut bridge = Bridge::start(&[&server.url()]);
    bridge.initialize(json!({"sampling": {}, "elicitation": {}, "roots": {"listChanged": true}}));
    bridge
}

/// Ends the bridge, and has its history judged.
fn finish(bridge: Bridge, server: &Server) {
    let wrong = history::judge(&bridge.finish_with_conversation(), &server.calls(), &[]);
    assert!(wrong.is_empty(), "{:?}: {wrong:#?}", server.kind);
}

fn call(bridge: &mut Bridge, name: &str, arguments: Value) -> String {
    bridge.request("tools/call", json!({"name": name, "arguments": arguments}))
}

/// A server may speak up by itself as soon as its client listens; this waits until it does.
fn listening(bridge: &mut Bridge) {
    poll("the server's own notifications arrive", PATIENCE, || {
        let mark = bridge.mark();
        bridge.tool(json!({"name": "touch", "arguments": {"uri": "memo://note"}}));
        let news = bridge.messages();
        news[mark..].iter().any(|message| message["method"] == "notifications/resources/updated").then_some(())
    });
}

#[test]
fn sampling() {
    for (kinds, tool) in [(EVERYTHING, "trigger-sampling-request"), (PYTHON, "sample")] {
        for kind in kinds {
            let server = Server::started(kind);
            let mut bridge = capable(&server);
            for answer in ["forty-two", "forty-three"] {
                let mark = bridge.mark();
                let id = call(&mut bridge, tool, json!({"prompt": "what is the answer?", "maxTokens": 10}));
                let question = bridge.wait_for_method(mark, "sampling/createMessage");
                let asked = question["params"]["messages"][0]["content"]["text"].as_str().expect("a text");
                assert!(asked.contains("what is the answer?"), "{asked}");
                let content = json!({"type": "text", "text": answer});
                bridge.respond(&question, json!({"role": "assistant", "content": content, "model": "m"}));
                assert!(text(&bridge.result(&id)).contains(answer), "{kind:?}");
            }
            finish(bridge, &server);
        }
    }
}

#[test]
fn elicitation() {
    for kind in EVERYTHING {
        let server = Server::started(kind);
        let mut bridge = capable(&server);
        let id = call(&mut bridge, "trigger-elicitation-request", json!({}));
        let question = bridge.wait_for_method(0, "elicitation/create");
        assert_eq!(question["params"]["requestedSchema"]["required"], json!(["name"]));
        bridge.respond(&question, json!({"action": "accept", "content": {"name": "Ada"}}));
        assert!(text(&bridge.result(&id)).contains("Ada"));
        finish(bridge, &server);
    }
    for kind in PYTHON {
        let server = Server::started(kind);
        let mut bridge = capable(&server);
        let id = call(&mut bridge, "elicit", json!({"question": "which?"}));
        let question = bridge.wait_for_method(0, "elicitation/create");
        bridge.respond(&question, json!({"action": "accept", "content": {"colour": "blue"}}));
        assert_eq!(text(&bridge.result(&id)), "accepted: blue");
        let mark = bridge.mark();
        let id = call(&mut bridge, "elicit", json!({"question": "which?"}));
        let question = bridge.wait_for_method(mark, "elicitation/create");
        bridge.respond(&question, json!({"action": "decline"}));
        assert_eq!(text(&bridge.result(&id)), "not accepted: decline");
        finish(bridge, &server);
    }
}

/// The question comes on the stream that belongs to no request.
#[test]
fn roots() {
    for kind in PYTHON {
        let server = Server::started(kind);
        let mut bridge = capable(&server);
        listening(&mut bridge);
        bridge.notify("notifications/roots/list_changed", json!({}));
        let id = call(&mut bridge, "roots", json!({}));
        let question = bridge.wait_for_method(0, "roots/list");
        bridge.respond(&question, json!({"roots": [{"uri": "file:///one"}, {"uri": "file:///two"}]}));
        assert_eq!(text(&bridge.result(&id)), "roots: file:///one file:///two");
        finish(bridge, &server);
    }
}

/// The server dies while the client's user thinks about its question. Nobody may take the late answer for the answer to the
/// next question, although the server counts its questions from 0 again.
#[test]
fn a_question_that_outlives_its_server() {
    for kind in PYTHON {
        let mut server = Server::started(kind);
        let mut bridge = capable(&server);
        let old = call(&mut bridge, "elicit", json!({"question": "delete the old?"}));
        let first = bridge.wait_for_method(0, "elicitation/create");
        let mark = bridge.mark();
        server.restart();
        let cancelled = bridge.wait_for_method(mark, "notifications/cancelled");
        assert_eq!(cancelled["params"]["requestId"], first["id"]);
        assert!(bridge.error(&old)["message"].is_string());
        let new = call(&mut bridge, "elicit", json!({"question": "delete the new?"}));
        let second = bridge.wait_for_method(mark, "elicitation/create");
        assert_ne!(first["id"], second["id"]);
        bridge.respond(&first, json!({"action": "accept", "content": {"colour": "old"}}));
        bridge.respond(&second, json!({"action": "accept", "content": {"colour": "new"}}));
        assert_eq!(text(&bridge.result(&new)), "accepted: new");
        finish(bridge, &server);
    }
}

#[test]
fn progress() {
    for kind in EVERYTHING {
        let server = Server::started(kind);
        let mut bridge = capable(&server);
        let arguments = json!({"duration": 1, "steps": 4});
        let params =
            json!({"name": "trigger-long-running-operation", "arguments": arguments, "_meta": {"progressToken": 7}});
        bridge.tool(params);
        progress_is(&bridge, &json!(7), 4);
        finish(bridge, &server);
    }
    for kind in PYTHON {
        let server = Server::started(kind);
        let mut bridge = capable(&server);
        let params = json!({"name": "progress", "arguments": {"steps": 50}, "_meta": {"progressToken": "tok\u{e9}n"}});
        assert_eq!(bridge.tool(params), "steps: 50");
        progress_is(&bridge, &json!("tok\u{e9}n"), 50);
        finish(bridge, &server);
    }
}

fn progress_is(bridge: &Bridge, token: &Value, steps: u64) {
    let heard: Vec<_> = bridge.messages_of("notifications/progress");
    assert!(heard.iter().all(|note| note["params"]["progressToken"] == *token));
    let steps_heard: Vec<_> = heard.iter().filter_map(|note| note["params"]["progress"].as_f64()).collect();
    let expected: Vec<_> = (1..=steps).map(|step| step as f64).collect();
    assert_eq!(steps_heard, expected, "all steps, in order, before the result");
}

#[test]
fn logging() {
    for kind in PYTHON {
        let server = Server::started(kind);
        let mut bridge = capable(&server);
        bridge.call("logging/setLevel", json!({"level": "info"}));
        for level in ["info", "critical"] {
            bridge.tool(json!({"name": "log", "arguments": {"level": level, "text": "line\none\u{2028}"}}));
        }
        let heard = bridge.messages_of("notifications/message");
        let levels: Vec<_> = heard.iter().map(|note| note["params"]["level"].as_str().expect("a level")).collect();
        assert_eq!(levels, ["info", "critical"]);
        assert_eq!(heard[0]["params"]["data"], "line\none\u{2028}");
        finish(bridge, &server);
    }
}

/// The server cancels the right one of two calls that look alike.
#[test]
fn cancelling() {
    for kind in PYTHON {
        let server = Server::started(kind);
        let mut bridge = capable(&server);
        bridge.request_as(
            "\"a\"",
            "tools/call",
            json!({"name": "slow", "arguments": {"seconds": 600, "mark": "first"}}),
        );
        bridge.request_as(
            "\"b\"",
            "tools/call",
            json!({"name": "slow", "arguments": {"seconds": 3, "mark": "second"}}),
        );
        server.wait_for_mark("slow first", 1);
        server.wait_for_mark("slow second", 1);
        bridge.cancel("\"a\"");
        server.wait_for_mark("cancelled first", 1);
        assert_eq!(text(&bridge.result("\"b\"")), "slept: second");
        assert_eq!(server.count("cancelled second"), 0);
        finish(bridge, &server);
    }
}

/// Ids come back as they were written, also where a server would turn them into doubles.
#[test]
fn ids() {
    let ids = ["9007199254740993", "-7", "0", "1.0", r#""esc\u0061ped""#, r#""\ud83e\udd80""#, r#""""#, "\"3\"", "3"];
    for kind in ALL {
        let server = Server::started(kind);
        let mut bridge = Bridge::connected(&[&server.url()]);
        for id in ids {
            bridge.request_as(id, "tools/call", kind.echo(id));
        }
        for id in ids {
            assert!(text(&bridge.result(id)).contains(id), "{kind:?}, id {id}");
        }
        finish(bridge, &server);
    }
}

/// A real server's resource that changes, and a client that subscribed to it.
#[test]
fn subscriptions() {
    for kind in EVERYTHING {
        let server = Server::started(kind);
        let mut bridge = capable(&server);
        let uri = "demo://resource/dynamic/text/1";
        bridge.call("resources/subscribe", json!({"uri": uri}));
        bridge.tool(json!({"name": "toggle-subscriber-updates", "arguments": {}}));
        let updated = bridge.wait_for_method(0, "notifications/resources/updated");
        assert_eq!(updated["params"]["uri"], uri);
        finish(bridge, &server);
    }
}
