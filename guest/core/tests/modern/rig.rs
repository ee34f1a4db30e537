//! An engine, its clock, and by hand what a driver does: these stories are about single messages and their order, so that the
//! test plays the server itself.

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_reconnect_core::{Engine, Event, ExchangeId, Failure, Input, Instant, MILLISECOND, Options, Output, Request};
use serde_json::{Value, json};

pub const URL: &str = "http://127.0.0.1:8000/mcp";
pub const VERSION: &str = "2026-07-28";

/// An engine and what it did.
pub struct Rig {
    pub engine: Engine,
    pub now: Instant,
    /// Exchanges that are open, with the request of each.
    pub open: BTreeMap<ExchangeId, Request>,
    /// Every request in order.
    pub started: Vec<(ExchangeId, Request)>,
    pub cancelled: Vec<ExchangeId>,
    /// Messages for the client.
    pub told: Vec<Value>,
    pub events: Vec<Event>,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(Options::new(URL))
    }

    pub fn with(options: Options) -> Self {
        Self {
            engine: Engine::new(options, 1, Instant::ZERO).expect("options are valid"),
            now: Instant::ZERO,
            open: BTreeMap::new(),
            started: Vec::new(),
            cancelled: Vec::new(),
            told: Vec::new(),
            events: Vec::new(),
        }
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Start(id, request) => {
                    self.started.push((id, request.clone()));
                    self.open.insert(id, request);
                }
                Output::Cancel(id) => {
                    self.open.remove(&id);
                    self.cancelled.push(id);
                }
                Output::Event(Event::Message(text)) => {
                    self.told.push(serde_json::from_str(&text).expect("messages are JSON"));
                }
                Output::Event(event) => self.events.push(event),
                Output::Pause(_) | Output::Resume(_) => {}
            }
        }
    }

    /// Time passes, and timers fire in their order.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            match self.engine.deadline() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.input(Input::Tick);
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("timers fire without end");
    }

    pub fn say(&mut self, message: Value) {
        self.input(Input::Message(message.to_string()));
    }

    /// A request of the client in the version without sessions.
    pub fn ask(&mut self, id: Value, method: &str, params: Value) {
        self.say(request(id, method, params));
    }

    /// The exchange of the last request that is open, and the id on the wire.
    pub fn last(&self) -> (ExchangeId, Value) {
        let (id, request) = self.open.iter().next_back().expect("an exchange is open");
        (*id, body(request)["id"].clone())
    }

    /// The open exchange whose request has this method, and its id on the wire. The first one, if there are several.
    pub fn find(&self, method: &str) -> (ExchangeId, Value) {
        let found = self.open.iter().find(|(_, request)| body(request)["method"] == method);
        let (id, request) = found.unwrap_or_else(|| panic!("no {method} is open: {:?}", self.methods()));
        (*id, body(request)["id"].clone())
    }

    pub fn is_open(&self, method: &str) -> bool {
        self.open.values().any(|request| body(request)["method"] == method)
    }

    /// The methods of all requests so far.
    pub fn methods(&self) -> Vec<String> {
        let method = |request: &Request| body(request)["method"].as_str().unwrap_or("-").to_string();
        self.started.iter().map(|(_, request)| method(request)).collect()
    }

    pub fn head(&mut self, exchange: ExchangeId, status: u16, kind: &str) {
        let headers = vec![("content-type".to_string(), kind.as_bytes().to_vec())];
        self.input(Input::Response { exchange, status, headers });
    }

    pub fn bytes(&mut self, exchange: ExchangeId, text: &str) {
        self.input(Input::Body { exchange, bytes: text.as_bytes().to_vec() });
    }

    pub fn end(&mut self, exchange: ExchangeId) {
        self.open.remove(&exchange);
        self.input(Input::End(exchange));
    }

    pub fn fail(&mut self, exchange: ExchangeId, failure: Failure) {
        self.open.remove(&exchange);
        self.input(Input::Failed { exchange, failure, detail: String::new() });
    }

    /// A whole response with this body.
    pub fn answer(&mut self, exchange: ExchangeId, status: u16, kind: &str, text: &str) {
        self.head(exchange, status, kind);
        self.bytes(exchange, text);
        self.end(exchange);
    }

    pub fn reply(&mut self, exchange: ExchangeId, status: u16, message: &Value) {
        self.answer(exchange, status, "application/json", &message.to_string());
    }

    /// The open request with this method is answered with this result.
    pub fn result(&mut self, method: &str, result: Value) {
        let (exchange, id) = self.find(method);
        self.reply(exchange, 200, &json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }

    /// The open request with this method is refused with a JSON-RPC error.
    pub fn error(&mut self, method: &str, status: u16, code: i64, data: Value) {
        let (exchange, id) = self.find(method);
        let error = json!({"code": code, "message": "no", "data": data});
        self.reply(exchange, status, &json!({"jsonrpc": "2.0", "id": id, "error": error}));
    }

    /// The stream of this exchange brings a message.
    pub fn event(&mut self, exchange: ExchangeId, message: &Value) {
        self.bytes(exchange, &format!("data: {message}\n\n"));
    }

    /// The client's discover is answered as a server of these versions does.
    pub fn discovered(&mut self) {
        self.ask(json!("d"), "server/discover", json!({}));
        self.result("server/discover", discover_result());
        self.told.clear();
    }

    /// The client opens a stream for changes of the tools, and the server acknowledges it.
    pub fn listening(&mut self, id: Value) -> ExchangeId {
        self.ask(id, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
        self.acknowledge(json!({"toolsListChanged": true}))
    }

    /// The server acknowledges the listen that is open.
    pub fn acknowledge(&mut self, notifications: Value) -> ExchangeId {
        let (exchange, wire) = self.find("subscriptions/listen");
        self.head(exchange, 200, "text/event-stream");
        self.event(exchange, &acknowledgement(&wire, notifications));
        exchange
    }

    /// Everything that is open fails.
    pub fn lose_all(&mut self, failure: Failure) {
        for exchange in self.open.keys().copied().collect::<Vec<_>>() {
            if self.open.contains_key(&exchange) {
                self.fail(exchange, failure);
            }
        }
    }

    /// Goes on until the engine asks the server by itself whether it is there.
    pub fn until_asked(&mut self) {
        for _ in 0..200 {
            if self.is_open("server/discover") {
                return;
            }
            self.pass(20 * MILLISECOND);
        }
        panic!("it is not asked for: {:?}", self.methods());
    }

    /// What was told since the last time.
    pub fn take(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.told)
    }

    pub fn logged(&self, part: &str) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Diagnostic { text, .. } if text.contains(part)))
    }
}

pub fn request(id: Value, method: &str, mut params: Value) -> Value {
    if params.get("_meta").is_none() {
        params["_meta"] = json!({});
    }
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(VERSION);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "c", "version": "1"});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

pub fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

pub fn discover_result() -> Value {
    json!({
        "resultType": "complete", "supportedVersions": [VERSION], "capabilities": {"tools": {"listChanged": true}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}}
    })
}

pub fn acknowledgement(wire: &Value, notifications: Value) -> Value {
    json!({
        "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": wire}, "notifications": notifications}
    })
}
