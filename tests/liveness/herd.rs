//! Many connections lose one server at once: over sockets, what the engine's own test shows with a model of the network.

use std::time::{Duration, Instant};

use mcp_reconnect::{Event, HttpOptions, Options, Receiver, Sender, connect};
use serde_json::json;
use tokio::time::timeout;

use super::support::script::Script;

const CONNECTIONS: usize = 200;
/// For all of them together, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection whose session is ready.
async fn connected(url: &str) -> (Sender, Receiver) {
    let options = Options::new(url).http(HttpOptions::default().no_proxy());
    let (sender, mut receiver) = connect(options).await.expect("valid options");
    let params =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    sender.send(message.to_string()).await.expect("open");
    until(&mut receiver, |event| matches!(event, Event::Message(_))).await;
    sender.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await.expect("open");
    (sender, receiver)
}

async fn until(receiver: &mut Receiver, mut condition: impl FnMut(&Event) -> bool) {
    let found = async { while !condition(&receiver.receive().await.expect("open")) {} };
    timeout(PATIENCE, found).await.expect("it comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_from_one_restart() {
    let mut server = Script::http().start();
    let url = server.url();
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        all.push(connected(&url).await);
    }
    tokio::task::block_in_place(|| server.wait_for("GET", CONNECTIONS));
    let restarted = tokio::task::block_in_place(|| {
        server.restart();
        Instant::now()
    });
    // Each calls as soon as it can, and has its answer.
    for (number, (sender, _)) in all.iter().enumerate() {
        let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "mark", "arguments": {"mark": number.to_string()}}});
        sender.send(call.to_string()).await.expect("open");
    }
    let mut lost = 0;
    for (number, (_, receiver)) in all.iter_mut().enumerate() {
        until(receiver, |event| match event {
            Event::Message(text) if text.contains("\"id\":2") => {
                // A call that met the end of the old server may have run there.
                lost += usize::from(text.contains("-31001"));
                assert!(text.contains(&format!("\"text\":\"{number}\"")) || text.contains("-31001"), "{text}");
                true
            }
            _ => false,
        })
        .await;
    }
    let begun = server.records_of("initialize").split_off(CONNECTIONS);
    let mut times: Vec<_> = begun.iter().map(|record| record.http.at.saturating_duration_since(restarted)).collect();
    times.sort();
    assert!(times.len() >= CONNECTIONS, "{} of {CONNECTIONS} came back", times.len());
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_millis();
    eprintln!(
        "{} sessions of {CONNECTIONS} connections, {lost} outcomes unknown; back after (ms): first {}, half {}, 90 % {}, last {}",
        times.len(),
        at(0),
        at(50),
        at(90),
        at(100)
    );
    for (sender, mut receiver) in all {
        sender.close().await;
        while receiver.receive().await.is_some() {}
    }
}
