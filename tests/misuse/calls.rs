//! Calls in the wrong order, twice, too late, and with arguments that nobody should give.

use std::time::Instant;

use serde_json::json;
use wasmtime::component::ResourceAny;

use crate::raw::{Event, HeadersError, Raw, ReceiveError, SendError, State, Until, messages, tool_call};
use crate::support::PATIENCE;
use crate::support::script::Script;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_anything_to_wait_for_receive_says_so() {
    let server = Script::http().without_stream().start();
    let mut raw = Raw::new().await;
    let connection = raw.connect(&server.url()).await;
    for _ in 0..3 {
        let result = raw.receive(connection, 0, None).await.expect("no trap");
        assert!(
            matches!(&result, Err(ReceiveError::Other(text)) if text.contains("nothing to wait for")),
            "{result:?}"
        );
        raw.reconnect(connection).await.expect("no trap");
        raw.probe(connection).await.expect("no trap");
        assert_eq!(raw.status(connection).await.expect("no trap").state, State::Idle);
    }
    raw.initialize(connection).await;
    assert!(raw.call(connection, 2).await["result"].is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_until_that_is_ready_work_goes_on() {
    for script in [Script::http(), Script::sse()] {
        let server = script.start();
        let mut raw = Raw::new().await;
        let connection = raw.connect(&server.url()).await;
        let empty = raw.receive(connection, 0, Some(Until::Ready)).await.expect("no trap").expect("it is open");
        assert!(empty.is_empty());
        raw.say(connection, &crate::raw::initialize()).await;
        let deadline = Instant::now() + PATIENCE;
        while raw.status(connection).await.expect("no trap").state != State::Ready {
            raw.receive(connection, 0, Some(Until::Ready)).await.expect("no trap").expect("it is open");
            assert!(Instant::now() < deadline, "no session came about");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn max_cuts_and_loses_nothing() {
    let server = Script::http().start();
    let mut raw = Raw::new().await;
    let connection = raw.connect(&server.url()).await;
    let mut next = 0..;
    for (max, calls) in [(1, 5), (2, 3), (u32::MAX, 1), (0, 1)] {
        let first = next.start;
        for _ in 0..5 {
            let id = next.next().expect("without end");
            raw.say(connection, &json!({"jsonrpc": "2.0", "id": id, "method": "ping"})).await;
        }
        let mut heard = Vec::new();
        for _ in 0..calls {
            let events = raw.receive(connection, max, None).await.expect("no trap").expect("it is open");
            assert!(!events.is_empty() && (max == 0 || events.len() <= max as usize));
            heard.extend(messages(&events).map(|message| message["id"].as_u64().expect("an id")));
        }
        assert_eq!(heard, (first..first + 5).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_close_everything_has_its_answer() {
    let server = Script::http().start();
    let mut raw = Raw::new().await;
    let connection = raw.connect(&server.url()).await;
    raw.initialize(connection).await;
    raw.close(connection).await.expect("no trap");
    raw.close(connection).await.expect("no trap");
    // Once while it closes, once when it is closed.
    for round in 0..2 {
        let sent = raw.send(connection, &tool_call(2).to_string()).await.expect("no trap");
        assert!(matches!(sent, Err(SendError::Closed(_))), "{sent:?}");
        raw.reconnect(connection).await.expect("no trap");
        raw.probe(connection).await.expect("no trap");
        raw.close(connection).await.expect("no trap");
        let good = [("x-name".to_owned(), "value".to_owned())];
        assert!(raw.set_headers(connection, &good).await.expect("no trap").is_ok());
        let bad = [("x-name".to_owned(), "\r\n".to_owned())];
        assert!(raw.set_headers(connection, &bad).await.expect("no trap").is_err());
        assert_eq!(raw.status(connection).await.expect("no trap").state, State::Closed);
        if round == 0 {
            while raw.receive(connection, 0, None).await.expect("no trap").is_ok() {}
        }
    }
    for until in [None, Some(Until::Ready), Some(Until::Never)] {
        let result = raw.receive(connection, 1, until).await.expect("no trap");
        assert!(matches!(result, Err(ReceiveError::Closed(_))), "{result:?}");
    }
    raw.drop(connection).await.expect("no trap");
    assert_eq!(server.records_of("DELETE").len(), 1);
    assert!(server.records_of("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_headers_are_refused_and_the_old_ones_stay() {
    let server = Script::http().authorization("Bearer good").start();
    let mut raw = Raw::new().await;
    let options = raw.options(&server.url()).await;
    let (api, store) = raw.options_api();
    let good = vec![("Authorization".to_owned(), "Bearer good".to_owned())];
    api.call_set_headers(store, options, &good).await.expect("no trap");
    let connection = raw.open(options).await.expect("no trap").expect("they are good");
    raw.initialize(connection).await;
    for (name, value) in [
        ("x-name", "secret\r\nx-injected: 1"),
        ("x-name", "secret\n"),
        ("x-name", "secret\0"),
        ("x-name", "secret\u{7f}"),
        ("x-name", "secret ä"),
        ("", "secret"),
        ("x name", "secret"),
        ("x-name\r\nx-injected", "secret"),
        ("ä", "secret"),
        ("host", "secret"),
        ("content-length", "secret"),
        ("content-type", "secret"),
        ("accept", "secret"),
        ("mcp-session-id", "secret"),
        ("Last-Event-ID", "secret"),
    ] {
        let headers = [good[0].clone(), (name.to_owned(), value.to_owned())];
        let result = raw.set_headers(connection, &headers).await.expect("no trap");
        let Err(HeadersError::InvalidHeader(text)) = result else { panic!("{name:?}: {value:?}: {result:?}") };
        assert!(!text.contains("secret") && !text.contains(['\r', '\n', '\0']), "{text:?}");
    }
    // More than a request can carry: refused when it is to be sent, loudly.
    let huge = [good[0].clone(), ("x-huge".to_owned(), "x".repeat(1 << 20))];
    raw.set_headers(connection, &huge).await.expect("no trap").expect("each of its characters is allowed");
    let answer = raw.call(connection, 2).await;
    assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("64 KiB")), "{answer}");
    raw.set_headers(connection, &good).await.expect("no trap").expect("they are good");
    assert!(raw.call(connection, 3).await["result"].is_object());
    // The server, dropped here, fails the test if any request came without the good header.
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_live_in_one_instance() {
    const COUNT: usize = 32;
    let (first, second) = (Script::http().start(), Script::sse().start());
    let mut raw = Raw::new().await;
    let mut connections: Vec<ResourceAny> = Vec::new();
    for index in 0..COUNT {
        let url = if index % 2 == 0 { first.url() } else { second.url() };
        connections.push(raw.connect(&url).await);
    }
    for &connection in &connections {
        raw.initialize(connection).await;
    }
    // All calls are under way before any answer is taken.
    for &connection in &connections {
        raw.say(connection, &tool_call(2)).await;
        raw.receive(connection, 0, Some(Until::Ready)).await.expect("no trap").expect("it is open");
    }
    for (index, &connection) in connections.iter().enumerate().rev() {
        if index % 3 == 0 {
            raw.drop(connection).await.expect("no trap");
        } else {
            let status = raw.status(connection).await.expect("no trap");
            assert!(matches!(status.state, State::Connecting | State::Ready), "{:?}", status.state);
            if status.in_flight > 0 {
                raw.answer(connection, 2).await;
            }
        }
    }
}

/// Nothing moves without `receive`, and nothing is lost by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_never_receives_reaches_nobody() {
    let server = Script::http().start();
    let mut raw = Raw::new().await;
    let connection = raw.connect(&server.url()).await;
    raw.say(connection, &crate::raw::initialize()).await;
    for id in 2..20 {
        raw.say(connection, &tool_call(id)).await;
    }
    // Not so much as a request was asked of the host, so there is nothing to wait for.
    assert!(raw.store.data().table.is_empty());
    assert!(server.records().is_empty());
    let status = raw.status(connection).await.expect("no trap");
    assert_eq!((status.state, status.in_flight), (State::Connecting, 19));
    for id in 1..20 {
        if id == 2 {
            raw.say(connection, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        }
        if id < 3 {
            assert!(raw.answer(connection, id).await["result"].is_object());
        }
    }
    raw.close(connection).await.expect("no trap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_has_an_answer() {
    let server = Script::http().start();
    let mut raw = Raw::new().await;
    let connection = raw.connect(&server.url()).await;
    for text in [
        "",
        "{",
        "null",
        "[]",
        "[1]",
        "\u{0}",
        "{}",
        "[[]]",
        "\"\\ud800\"",
        r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#,
    ] {
        raw.send(connection, text).await.expect("no trap").expect("it is taken");
        let events = raw.receive(connection, 0, None).await.expect("no trap").expect("it is open");
        let code = messages(&events).next().and_then(|answer| answer["error"]["code"].as_i64());
        assert!(matches!(code, Some(-32700 | -32600)), "{text:?}: {events:?}");
    }
    let events = [Event::Connecting];
    assert_eq!(messages(&events).count(), 0);
    assert!(server.records().is_empty());
}
