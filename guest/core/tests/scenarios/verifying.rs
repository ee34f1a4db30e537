//! What might mean that the session is gone is looked into before anything is sent again: applications speak of sessions too.

use crate::support::server::json_body;
use crate::support::world::Happening;
use crate::support::*;

/// Words of applications.
const WORDS: [&str; 6] = [
    "Session not found: open a browser session first",
    "database not initialized",
    "unknown transport type: bus",
    "Server not initialized",
    "Unknown session",
    "missing required argument session_id",
];

fn error(code: i64, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"{message}"}}}}"#)
}

#[test]
fn an_error_of_an_application_is_the_answer_and_its_call_runs_once() {
    for knobs in [Knobs::http(), Knobs::sse(), Knobs { json: true, ..Knobs::http() }] {
        for code in [-32600, -32602, -32000, -32001, -32002, -32004, -32603] {
            for words in WORDS {
                for status in [200, 400, 404, 500] {
                    if knobs.offer == Offer::Sse && status == 200 {
                        continue;
                    }
                    let mut world = World::new(knobs.clone());
                    world.open();
                    // Something was answered in the session before.
                    let first = world.call("echo", 0);
                    world.wait(first, SECOND);
                    let headers = vec![("content-type", "application/json".into())];
                    world.rules("tools/call", 100, Reply::RunThen(status, headers, error(code, words)));
                    for _ in 0..3 {
                        let call = world.call("echo", 0);
                        let answer = world.wait(call, 30 * SECOND);
                        let told = format!("{status} {code} {words} {:?}: {answer:?}", knobs.offer);
                        assert!(matches!(&answer, Answer::Error(..)), "{told}");
                        if let Answer::Error(_, text) = &answer {
                            assert!(text.contains(words), "{told}\n{}", world.story());
                        }
                        assert_eq!(world.server.runs_of(call), 1, "{told}\n{}", world.story());
                    }
                    assert_eq!(world.engine.status().reconnects, 0, "{status} {code} {words}\n{}", world.story());
                    world.check_runs();
                    world.verify();
                }
            }
        }
    }
}

/// A dead session, in spellings that no table holds.
#[test]
fn a_session_that_is_gone_is_recognised_whatever_the_words() {
    for lost in [
        Lost::Plain(401, "Unauthorized: Session not found"),
        Lost::Plain(401, ""),
        Lost::Plain(403, ""),
        Lost::Plain(410, "Gone"),
        Lost::Plain(409, "conflict"),
        Lost::Plain(422, ""),
        Lost::Plain(400, "No transport found for sessionId"),
        Lost::Plain(400, "whatever"),
        Lost::Error200(-32002, "Server not initialized"),
        Lost::Error200(-32603, "Session terminated"),
        Lost::Error200(-32600, "Session not found"),
        Lost::Error200(-32004, "?"),
    ] {
        for progress in [true, false] {
            let mut world = World::new(Knobs { lost, ..Knobs::http() });
            world.open();
            if progress {
                let first = world.call("echo", 0);
                world.wait(first, SECOND);
            }
            world.now(Fault::Forget);
            let calls: Vec<_> = (0..3).map(|_| world.call("echo", 0)).collect();
            for call in calls {
                let answer = world.wait(call, 20 * SECOND);
                assert!(matches!(answer, Answer::Result(_)), "{lost:?}: {answer:?}\n{}", world.story());
                assert_eq!(world.server.runs_of(call), 1);
            }
            assert_eq!(world.engine.status().reconnects, 1, "{lost:?}");
            world.check_runs();
            world.verify();
        }
    }
}

/// The old session stays until the new one stands, and answers come in it meanwhile.
#[test]
fn a_session_that_lives_survives_the_look() {
    let mut world = World::new(Knobs::http());
    world.open();
    let slow = world.call("slow", 5000);
    // Everything but the call itself fails for a moment, as behind a proxy that reloads.
    world.rules("\"echo\"", 1, Reply::Status(410, Vec::new(), String::new()));
    world.rules("tools/list", 1, Reply::Status(410, Vec::new(), String::new()));
    world.rules("\"initialize\"", 1, Reply::Status(410, Vec::new(), String::new()));
    let echo = world.call("echo", 0);
    assert_eq!(world.wait(echo, 20 * SECOND).code(), Some(errors::HTTP_ERROR));
    assert!(matches!(world.wait(slow, 20 * SECOND), Answer::Result(_)), "{}", world.story());
    assert_eq!(world.engine.status().reconnects, 0, "{}", world.story());
    let call = world.call("echo", 0);
    assert!(matches!(world.wait(call, 20 * SECOND), Answer::Result(_)));
    world.verify();
}

/// The list does not come, or breaks: the words stand, and nothing waits for ever.
#[test]
fn a_look_that_comes_to_nothing_ends() {
    for reply in [Reply::Hang, Reply::Status(429, Vec::new(), String::new()), json_body("{}")] {
        for away in [false, true] {
            let mut world = World::new(Knobs::http());
            world.open();
            world.rules("tools/call", 1, json_body(&error(-32603, "no session")));
            world.rules("tools/list", 1, reply.clone());
            let call = world.call("echo", 0);
            if away {
                world.run_for(5 * MILLISECOND);
                world.now(Fault::Kill);
                world.after(5 * SECOND, Happening::Fault(Fault::Start));
            }
            let answer = world.wait(call, 60 * SECOND);
            assert!(answer.code() == Some(-32603) || away, "{reply:?} {answer:?}");
            let next = world.call("echo", 0);
            assert!(matches!(world.wait(next, 60 * SECOND), Answer::Result(_)), "{}", world.story());
            world.check_runs();
            world.verify();
        }
    }
}
