//! A connection is given up at every point of its life: nothing traps, and the same
//! instance serves another connection; and the host has nothing left of the first.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceAny;

use crate::raw::{Event, Raw, ReceiveError, Until, initialize, tool_call};
use crate::support::PATIENCE;
use crate::support::fault::Fault;
use crate::support::script::{Outcome, Script};

/// A server that never answers a `tools/call` marked `call-7`, nor anything in a session that a client calls `frozen`.
fn script(sse: bool) -> Script {
    let script = if sse { Script::sse() } else { Script::http() };
    script.on(|call, reply| {
        if call.mark() == "call-7" {
            call.server.executed("call-7");
            call.server.keep(reply.hold());
            return Outcome::Done(None);
        }
        Outcome::Good(reply)
    })
}

async fn dropped_at(point: &str, sse: bool) {
    let mut server: Fault = script(sse).start();
    let url = server.url();
    let mut raw = Raw::new().await;
    let connection = raw.connect(&url).await;
    reach(point, &mut raw, connection, &mut server).await;
    raw.drop(connection).await.unwrap_or_else(|error| panic!("{point}: {error:?}"));
    assert!(raw.store.data().table.is_empty(), "{point}: something is left with the host");

    let again = raw.connect(&url).await;
    raw.initialize(again).await;
    let answer = raw.call(again, 2).await;
    assert!(answer["result"].is_object(), "{point}: {answer}");
    raw.drop(again).await.expect("no trap");
    assert!(raw.store.data().table.is_empty(), "{point}: something is left with the host");
}

/// Brings a connection to a point of its life.
async fn reach(point: &str, raw: &mut Raw, connection: ResourceAny, server: &mut Fault) {
    match point {
        "opened" => return,
        "asked to begin" => return raw.say(connection, &initialize()).await,
        "connecting" => {
            raw.say(connection, &initialize()).await;
            raw.event(connection, |event| matches!(event, Event::Connecting)).await;
            return;
        }
        "refused" => {
            server.down();
            raw.say(connection, &initialize()).await;
            raw.event(connection, |event| matches!(event, Event::Reconnecting(_))).await;
            server.up();
            return;
        }
        _ => raw.initialize(connection).await,
    }
    match point {
        "in a session" => {}
        "with a stream" => {
            // The stream was asked for in the answer's turn; it is there when an event came through it.
            let note = serde_json::json!({"jsonrpc": "2.0", "method": "notifications/note"});
            server.push(&note);
            raw.event(connection, |event| matches!(event, Event::Message(text) if text.contains("notifications/note")))
                .await;
        }
        "with a call in flight" => {
            raw.say(connection, &tool_call(7)).await;
            while server.executions("call-7") == 0 {
                turn(raw, connection).await;
            }
        }
        "with a call unsent" => raw.say(connection, &tool_call(7)).await,
        "in backoff" => {
            server.down();
            raw.say(connection, &tool_call(8)).await;
            raw.event(connection, |event| matches!(event, Event::Reconnecting(_))).await;
            server.up();
        }
        "reconnecting" => {
            raw.reconnect(connection).await.expect("no trap");
            raw.receive(connection, 0, Some(Until::Ready)).await.expect("no trap").expect("it is open");
        }
        "with events untaken" => {
            for id in 10..20 {
                raw.send(connection, &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#))
                    .await
                    .unwrap()
                    .unwrap();
            }
            let events = raw.receive(connection, 1, None).await.expect("no trap").expect("it is open");
            assert_eq!(events.len(), 1);
        }
        "closing" => raw.close(connection).await.expect("no trap"),
        "at its goodbye" => {
            raw.close(connection).await.expect("no trap");
            raw.receive(connection, 0, Some(Until::Ready)).await.expect("no trap").ok();
        }
        "closed" => {
            raw.close(connection).await.expect("no trap");
            while raw.receive(connection, 0, None).await.expect("no trap").is_ok() {}
        }
        other => panic!("no such point: {other}"),
    }
}

/// Some work, without much waiting.
async fn turn(raw: &mut Raw, connection: ResourceAny) {
    let until = Some(Until::After(Duration::from_millis(5)));
    raw.receive(connection, 0, until).await.expect("no trap").expect("it is open");
}

const POINTS: [&str; 13] = [
    "opened",
    "asked to begin",
    "connecting",
    "refused",
    "in a session",
    "with a stream",
    "with a call in flight",
    "with a call unsent",
    "in backoff",
    "reconnecting",
    "with events untaken",
    "closing",
    "at its goodbye",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_streamable_http() {
    for point in POINTS.into_iter().chain(["closed"]) {
        dropped_at(point, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_http_sse() {
    for point in POINTS.into_iter().chain(["closed"]) {
        dropped_at(point, true).await;
    }
}

/// A host that gives up a call in the middle of it has lost the instance, and is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_given_up_by_the_host_is_the_end_of_the_instance() {
    let server = script(false).start();
    let mut raw = Raw::new().await;
    let connection = raw.connect(&server.url()).await;
    raw.initialize(connection).await;
    // The first turns may give events that wait already, and then do not wait.
    let waits = Arc::clone(&raw.waits);
    loop {
        tokio::select! {
            biased;
            events = raw.receive(connection, 0, Some(Until::Never)) => {
                events.expect("no trap").expect("it is open");
            }
            () = waits.notified() => break,
            () = tokio::time::sleep(PATIENCE) => panic!("no receive waits"),
        }
    }
    assert!(raw.status(connection).await.is_err());
    assert!(raw.send(connection, "{}").await.is_err());
}

/// Socket after socket: the server sees that they are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_connection_closes_its_stream() {
    let server = script(false).start();
    let mut raw = Raw::new().await;
    let connection = raw.connect(&server.url()).await;
    reach_stream(&mut raw, connection, &server).await;
    let stream = server.take_stream();
    assert!(!stream.is_abandoned());
    raw.drop(connection).await.expect("no trap");
    crate::support::poll("the stream is closed", PATIENCE, || stream.is_abandoned().then_some(()));
    drop(raw);
    let mut raw = Raw::new().await;
    let connection = raw.connect(&server.url()).await;
    raw.close(connection).await.expect("no trap");
    let result = raw.receive(connection, 0, None).await.expect("no trap");
    assert!(matches!(result, Err(ReceiveError::Closed(_))), "{result:?}");
}

async fn reach_stream(raw: &mut Raw, connection: ResourceAny, server: &Fault) {
    raw.initialize(connection).await;
    while server.records_of("GET").is_empty() {
        turn(raw, connection).await;
    }
}
