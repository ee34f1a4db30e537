//! The engine's whole input: any order of what a driver may say, hostile bytes included. It must not panic, must answer no
//! request twice, must send nothing of the user's to another origin, and must end when it is told to.
//!
//! The input is a list of steps: a byte that chooses what happens, a byte that chooses to which exchange, and for some a
//! piece of data that runs to the next zero byte.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use mcp_reconnect_core::{Engine, Event, ExchangeId, Failure, Input, Options, Output};
use serde_json::Value;

const INITIALIZE: &str =
    r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
const RESULT: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#;

struct Run {
    engine: Engine,
    now: u64,
    /// Exchanges under way, with the id of the request in each.
    open: Vec<(ExchangeId, Value)>,
    /// Answers still owed, by id.
    owed: HashMap<String, u32>,
    closed: bool,
}

fuzz_target!(|steps: &[u8]| {
    let engine = Engine::new(Options::new("http://127.0.0.1:1/mcp"), 1, 0).unwrap();
    let mut run = Run { engine, now: 0, open: Vec::new(), owed: HashMap::new(), closed: false };
    run.ask(INITIALIZE.into(), "\"i\"");
    let mut rest = steps;
    let mut asked = 0;
    while let [what, which, tail @ ..] = rest {
        rest = tail;
        let mut data = || {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            let data = rest[..end].to_vec();
            rest = rest.get(end + 1..).unwrap_or_default();
            data
        };
        let exchange = run.open.get(usize::from(*which) % run.open.len().max(1)).cloned();
        match (what % 16, exchange) {
            (0, _) => {
                asked += 1;
                let method = ["tools/call", "tools/list", "resources/subscribe"][usize::from(*which) % 3];
                run.ask(format!(r#"{{"jsonrpc":"2.0","id":{asked},"method":"{method}"}}"#), &asked.to_string());
            }
            (1, _) => {
                run.now += 1 << (which % 40);
                run.handle(Input::Tick);
            }
            (2, _) => {
                if let Some(at) = run.engine.deadline() {
                    run.now = run.now.max(at);
                    run.handle(Input::Tick);
                }
            }
            (3, _) => run.handle(Input::Message(
                r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.into(),
            )),
            (4, _) => run.handle(Input::Reconnect),
            (5, _) => run.handle(Input::Probe),
            (6, Some((id, _))) => run.handle(Input::Sent(id)),
            (7, Some((id, _))) => {
                let status = [200, 202, 400, 401, 404, 405, 429, 500, 503, 307][usize::from(*which) % 10];
                let kind = ["application/json", "text/event-stream", "text/html"][usize::from(*which) % 3];
                let headers = vec![("Content-Type".into(), kind.into()), ("mcp-session-id".into(), data())];
                run.handle(Input::Response { exchange: id, status, headers });
            }
            (8, Some((id, _))) => {
                let bytes = data();
                run.handle(Input::Body { exchange: id, bytes });
            }
            // A right answer, so that the depths are reached.
            (9, Some((id, wire))) => {
                let headers = vec![("content-type".into(), b"application/json".to_vec())];
                run.handle(Input::Response { exchange: id, status: 200, headers });
                let bytes = format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{RESULT}}}"#).into_bytes();
                run.handle(Input::Body { exchange: id, bytes });
                run.end(id, Input::End(id));
            }
            (10, Some((id, _))) => run.end(id, Input::End(id)),
            (11, Some((id, _))) => {
                let failure = [Failure::Dns, Failure::Connect, Failure::Tls, Failure::Lost][usize::from(*which) % 4];
                run.end(id, Input::Failed { exchange: id, failure, detail: String::new() });
            }
            (12, _) => run.handle(Input::SetHeaders(vec![("x".into(), String::from_utf8_lossy(&data()).into())])),
            (13, Some((id, _))) => {
                let headers = vec![("content-type".into(), b"text/event-stream".to_vec())];
                run.handle(Input::Response { exchange: id, status: 200, headers });
                run.handle(Input::Body { exchange: id, bytes: b"event: endpoint\ndata: /m?s=1\n\n".to_vec() });
            }
            (14, Some((id, _))) => {
                run.handle(Input::Response { exchange: id, status: 202, headers: Vec::new() });
                run.end(id, Input::End(id));
            }
            _ => {}
        }
        if asked > 64 {
            break;
        }
    }
    run.handle(Input::Close);
    for _ in 0..64 {
        let Some(at) = run.engine.deadline() else { break };
        run.now = run.now.max(at);
        run.handle(Input::Tick);
    }
    assert!(run.closed, "it did not close");
    assert!(run.owed.values().all(|owed| *owed == 0), "unanswered: {:?}", run.owed);
});

impl Run {
    fn ask(&mut self, text: String, id: &str) {
        *self.owed.entry(id.into()).or_default() += 1;
        self.handle(Input::Message(text));
    }

    fn end(&mut self, id: ExchangeId, input: Input) {
        self.open.retain(|(open, _)| *open != id);
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Start(id, request) => {
                    assert!(!request.https && request.authority == "127.0.0.1:1", "another origin");
                    let text = request.path.bytes().chain(request.headers.iter().flat_map(|(_, value)| value.bytes()));
                    assert!(text.into_iter().all(|byte| byte >= b' ' || byte == b'\t'), "a header was injected");
                    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                    self.open.push((id, body["id"].clone()));
                }
                Output::Cancel(id) => self.open.retain(|(open, _)| *open != id),
                Output::Event(Event::Message(line)) => {
                    assert!(!self.closed);
                    let message: Value = serde_json::from_str(&line).unwrap();
                    if message.get("method").is_none() && message.get("id").is_some_and(|id| !id.is_null()) {
                        let owed = self.owed.get_mut(&message["id"].to_string());
                        let owed = owed.expect("an answer to nothing");
                        *owed = owed.checked_sub(1).expect("a second answer");
                    }
                }
                Output::Event(Event::Closed) => self.closed = true,
                Output::Event(_) => {}
            }
        }
    }
}
