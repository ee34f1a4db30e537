//! A program that sends and does not listen: what it leaves in the component is bounded, and what was taken is answered.

use std::collections::BTreeSet;

use serde_json::json;
use wasmtime::component::ResourceAny;

use crate::raw::{Event, Raw, SendError, messages, tool_call};
use crate::support::http::Reply;
use crate::support::script::{Call, Outcome, Script};

async fn connection(raw: &mut Raw, messages: u32, bytes: u64) -> ResourceAny {
    let options = raw.options("http://127.0.0.1:1/mcp").await;
    let (api, store) = raw.options_api();
    api.call_set_max_queue(store, options, messages, bytes).await.expect("no trap");
    raw.open(options).await.expect("no trap").expect("they are good")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_is_full_until_something_is_received() {
    let mut raw = Raw::new().await;
    let connection = connection(&mut raw, 10, 1 << 20).await;
    let mut answered = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for id in 0..1000_u64 {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}).to_string();
        match raw.send(connection, &message).await.expect("no trap") {
            Ok(()) => assert!(taken.insert(id)),
            Err(SendError::Full(text)) => {
                assert!(text.contains("10 answers"), "{text}");
                let max = if id % 2 == 0 { 3 } else { 0 };
                let events = raw.receive(connection, max, None).await.expect("no trap").expect("it is open");
                for answer in messages(&events) {
                    assert!(answer["error"]["code"].is_i64(), "{answer}");
                    assert!(answered.insert(answer["id"].as_u64().expect("an id")), "answered twice: {answer}");
                }
                raw.send(connection, &message).await.expect("no trap").expect("there is room again");
                taken.insert(id);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    let events = raw.receive(connection, 0, None).await.expect("no trap").expect("it is open");
    answered.extend(messages(&events).map(|answer| answer["id"].as_u64().expect("an id")));
    assert_eq!(answered, taken);
    assert_eq!(taken.len(), 1000);
}

/// What `receive` has left in the queue takes no part in the count, nor does taking it make room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_send_has_left_is_counted() {
    let server = Script::http().without_stream().on(notes_before_the_answer).start();
    let mut raw = Raw::new().await;
    let options = raw.options(&server.url()).await;
    let (api, store) = raw.options_api();
    api.call_set_max_queue(store, options, 10, 1 << 20).await.expect("no trap");
    let connection = raw.open(options).await.expect("no trap").expect("they are good");
    raw.initialize(connection).await;
    raw.say(connection, &tool_call(2)).await;
    raw.event(connection, is_note).await;
    // The other notes came with it and wait; then come ten answers of `send`'s.
    let message = json!({"jsonrpc": "2.0", "id": 3}).to_string();
    for _ in 0..10 {
        raw.send(connection, &message).await.expect("no trap").expect("there is room");
    }
    let rest = raw.receive(connection, NOTES - 1, None).await.expect("no trap").expect("it is open");
    assert!(rest.len() == NOTES as usize - 1 && rest.iter().all(is_note), "{rest:?}");
    assert!(matches!(raw.send(connection, &message).await.expect("no trap"), Err(SendError::Full(_))));
    let answer = raw.receive(connection, 1, None).await.expect("no trap").expect("it is open");
    assert!(messages(&answer).all(|answer| answer["id"] == 2), "{answer:?}");
    assert!(matches!(raw.send(connection, &message).await.expect("no trap"), Err(SendError::Full(_))));
    let answers = raw.receive(connection, 1, None).await.expect("no trap").expect("it is open");
    assert!(messages(&answers).all(|answer| answer["error"].is_object()), "{answers:?}");
    raw.send(connection, &message).await.expect("no trap").expect("there is room for one again");
    assert!(matches!(raw.send(connection, &message).await.expect("no trap"), Err(SendError::Full(_))));
}

const NOTES: u32 = 12;

fn is_note(event: &Event) -> bool {
    matches!(event, Event::Message(text) if text.contains("notifications/note"))
}

/// Answers a call with an event stream that is written at once.
fn notes_before_the_answer(call: &Call<'_>, reply: Reply) -> Outcome {
    if call.kind != "tools/call" {
        return Outcome::Good(reply);
    }
    let note = json!({"jsonrpc": "2.0", "method": "notifications/note"});
    let answer = json!({"jsonrpc": "2.0", "id": call.message["id"], "result": {}});
    let mut text = format!("data: {note}\n\n").repeat(NOTES as usize);
    text += &format!("data: {answer}\n\n");
    let stream = reply.events(&[]);
    stream.raw(text.as_bytes());
    stream.end();
    Outcome::Done(None)
}

/// Few answers, but each with an id of a megabyte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_full_by_bytes_too() {
    let mut raw = Raw::with_memory(48 << 20).await;
    let connection = connection(&mut raw, 1_000_000, 4 << 20).await;
    let message = json!({"jsonrpc": "2.0", "id": "x".repeat(1 << 20), "method": "tools/list"}).to_string();
    let mut taken = 0;
    loop {
        match raw.send(connection, &message).await.expect("no trap") {
            Ok(()) => taken += 1,
            Err(SendError::Full(_)) => break,
            Err(error) => panic!("{error:?}"),
        }
        assert!(taken < 10);
    }
    assert_eq!(taken, 4);
}

/// Held requests are bounded by the same option, each with its error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_sends_without_end_needs_no_memory_for_it() {
    let mut raw = Raw::with_memory(32 << 20).await;
    let connection = connection(&mut raw, 100, 1 << 20).await;
    raw.say(connection, &crate::raw::initialize()).await;
    let message = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"pad": "x".repeat(1000)}});
    let mut full = 0;
    for _ in 0..100_000 {
        full += u32::from(raw.send(connection, &message.to_string()).await.expect("no trap").is_err());
    }
    assert!(full > 99_000, "{full}");
    let status = raw.status(connection).await.expect("no trap");
    assert_eq!(status.in_flight, 100);
}
