//! What the client sends: any text gets either nothing or JSON-RPC messages on one line each, and a request that is
//! answered gets its id back byte for byte.

use mcp_reconnect_core::{Engine, Event, Input, Instant, Options, Output};
use serde_json::Value;

/// One run.
pub fn run(text: &str) {
    let mut engine = Engine::new(Options::new("http://127.0.0.1:1/mcp"), 1, Instant::ZERO).unwrap();
    engine.handle(Instant::ZERO, Input::Message(text.into()));
    // Whatever it was, the end answers it.
    engine.handle(Instant::from_nanos(1), Input::Close);
    let mut closed = false;
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Event(Event::Message(line)) => {
                assert!(!line.contains(['\n', '\r']));
                let answer: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(answer["jsonrpc"], "2.0");
                let id = answer["id"].to_string();
                assert!(id == "null" || answer["id"].is_string() || text.contains(&id) || answer["id"].is_f64());
            }
            Output::Event(Event::Closed) => closed = true,
            _ => {}
        }
    }
    assert!(closed || engine.deadline().is_some());
}
