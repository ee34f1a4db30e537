//! Stack and memory: the deepest JSON that the limits allow, by every way in, and messages of just the largest size, in as
//! much memory as the WIT says is enough.

use std::sync::Arc;

use wasmtime::component::ResourceAny;

use crate::raw::{Raw, Until};
use crate::support::http::{Request, Server};

const MIB: usize = 1 << 20;

/// `depth` arrays in one another.
fn nested(depth: usize) -> String {
    let mut text = "[".repeat(depth);
    text.extend(std::iter::repeat_n(']', depth));
    text
}

/// A server that answers `x/json` and `x/events` with so much of `[`…`]`, and reads what it gets.
fn server(payload: Arc<String>) -> Server {
    Server::start(move |request: Request, reply| {
        let text = String::from_utf8_lossy(&request.body);
        let id: String = text
            .find("\"id\":")
            .map(|at| text[at + 5..].chars().take_while(char::is_ascii_digit).collect())
            .unwrap_or_default();
        let answer = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        if request.method != "POST" {
            reply.empty(405)
        } else if text.contains("\"initialize\"") {
            let server = format!(r#"{{"name":"deep","version":"1","x":{payload}}}"#);
            let result = format!(r#"{{"protocolVersion":"2025-06-18","capabilities":{{}},"serverInfo":{server}}}"#);
            reply.text(200, "application/json", &answer(&result))
        } else if id.is_empty() {
            reply.empty(202)
        } else if text.contains("x/events") {
            let stream = reply.events(&[]);
            stream.raw(b"data: ");
            stream.raw(answer(&payload).as_bytes());
            stream.raw(b"\n\n");
            stream.end();
            None
        } else if text.contains("x/json") {
            reply.text(200, "application/json", &answer(&payload))
        } else {
            reply.text(200, "application/json", &answer("{}"))
        }
    })
}

/// A connection with these limits for messages, events and bodies, and twice as much for the queue.
async fn connect(raw: &mut Raw, server: &Server, limit: usize) -> ResourceAny {
    let options = raw.options(&format!("http://127.0.0.1:{}/mcp", server.port())).await;
    let limit = limit as u64;
    let (api, store) = raw.options_api();
    api.call_set_max_message_bytes(&mut *store, options, limit).await.expect("no trap");
    api.call_set_max_event_bytes(&mut *store, options, limit).await.expect("no trap");
    api.call_set_max_body_bytes(&mut *store, options, limit).await.expect("no trap");
    api.call_set_max_total_body_bytes(&mut *store, options, limit).await.expect("no trap");
    api.call_set_max_queue(&mut *store, options, 1024, 2 * limit).await.expect("no trap");
    raw.open(options).await.expect("no trap").expect("they are good")
}

/// As text: a JSON value of this depth is more than serde_json takes.
async fn answer(raw: &mut Raw, connection: ResourceAny, message: &str, id: &str) -> String {
    raw.send(connection, message).await.expect("no trap").expect("it is taken");
    loop {
        let until = Some(Until::After(crate::support::PATIENCE));
        let events = raw.receive(connection, 0, until).await.expect("no trap").expect("it is open");
        assert!(!events.is_empty(), "waited in vain for the answer to {id}");
        for event in events {
            if let crate::raw::Event::Message(text) = event
                && text.contains(&format!("\"id\":{id},"))
            {
                return text;
            }
        }
    }
}

fn initialize(payload: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-06-18","capabilities":{{"x":{payload}}},"clientInfo":{{"name":"deep","version":"1"}}}}}}"#
    )
}

fn request(id: u32, method: &str, payload: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"x":{payload},"_meta":{{"y":1}}}}}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_may_be_as_deep_as_it_is_long() {
    let depth = 2 * MIB;
    let payload = Arc::new(nested(depth));
    let server = server(payload.clone());
    let mut raw = Raw::new().await;
    let connection = connect(&mut raw, &server, 5 * MIB).await;
    let first = answer(&mut raw, connection, &initialize(&payload), "1").await;
    assert!(first.contains("\"result\"") && first.contains(payload.as_str()));
    for (id, method) in [(2, "x/json"), (3, "x/events"), (4, "tools/call"), (5, "tools/list")] {
        let text = answer(&mut raw, connection, &request(id, method, &payload), &id.to_string()).await;
        assert!(text.contains("\"result\""), "{method}: {}", &text[..200.min(text.len())]);
        assert_eq!(text.contains(payload.as_str()), id < 4);
    }
    // In a batch, in an error, as what is no message at all, and over the limit, where it is only scanned.
    let batch = format!("[{},{}]", request(6, "x/plain", &nested(depth / 2)), nested(100_000));
    assert!(answer(&mut raw, connection, &batch, "6").await.contains("\"result\""));
    assert!(answer(&mut raw, connection, &payload, "null").await.contains("-32600"));
    assert!(answer(&mut raw, connection, &payload[..depth], "null").await.contains("-32700"));
    let over = answer(&mut raw, connection, &request(7, "x/plain", &nested(3 * MIB)), "7").await;
    assert!(over.contains("-31005"), "{}", &over[..200.min(over.len())]);
    // The kept `initialize` goes out again.
    raw.reconnect(connection).await.expect("no trap");
    assert!(answer(&mut raw, connection, &request(8, "x/plain", "1"), "8").await.contains("\"result\""));
}

/// The rule in `wit/world.wit`.
fn enough(limit: usize) -> usize {
    // Queue of twice the limit, message, event, all bodies.
    3 * 5 * limit + 16 * MIB
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_of_everything_fits_into_what_is_said_to_be_enough() {
    let limit = 4 * MIB;
    for (fill, fits) in [(limit - 200, true), (limit, false)] {
        let payload = Arc::new(format!("\"{}\"", "x".repeat(fill)));
        // The handshake's answer is small.
        let server = server(Arc::new("0".to_owned()));
        let large = self::server(payload.clone());
        let mut raw = Raw::with_memory(enough(limit)).await;
        let small = connect(&mut raw, &server, limit).await;
        assert!(answer(&mut raw, small, &initialize("1"), "1").await.contains("\"result\""));
        let sent = answer(&mut raw, small, &request(2, "x/plain", &payload), "2").await;
        assert_eq!(sent.contains("\"result\""), fits && request(2, "x/plain", &payload).len() <= limit);
        assert_eq!(sent.contains("-31005"), request(2, "x/plain", &payload).len() > limit);
        raw.drop(small).await.expect("no trap");

        let connection = connect(&mut raw, &large, limit).await;
        let first = answer(&mut raw, connection, &initialize("1"), "1").await;
        if !fits {
            assert!(first.contains("\"error\"") && first.contains("over"), "{first}");
            continue;
        }
        for (id, method) in [(2, "x/json"), (3, "x/events"), (4, "x/json"), (5, "x/events")] {
            let text = answer(&mut raw, connection, &request(id, method, "1"), &id.to_string()).await;
            assert!(text.contains(payload.as_str()), "{method}: {}", &text[..200.min(text.len())]);
        }
    }
}

/// What the WIT says of a host that gives too little: a trap, and an instance that answers no more. Never a wrong result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_refuses_memory_loses_the_instance() {
    let server = server(Arc::new("0".to_owned()));
    let mut raw = Raw::with_memory(2 * MIB).await;
    let connection = connect(&mut raw, &server, 16 * MIB).await;
    assert!(answer(&mut raw, connection, &initialize("1"), "1").await.contains("\"result\""));
    let large = request(2, "x/plain", &format!("\"{}\"", "x".repeat(8 * MIB)));
    assert!(raw.send(connection, &large).await.is_err());
    assert!(raw.status(connection).await.is_err());
    // Another one has its own memory.
    let mut raw = Raw::new().await;
    let connection = connect(&mut raw, &server, 16 * MIB).await;
    assert!(answer(&mut raw, connection, &initialize("1"), "1").await.contains("\"result\""));
    assert!(answer(&mut raw, connection, &large, "2").await.contains("\"result\""));
}
