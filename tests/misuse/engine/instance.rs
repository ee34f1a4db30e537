//! The component `guest/engine` in Wasmtime with nothing around it: the test is host and server.

use serde_json::{Value, json};
use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};

use crate::raw::engine_config::engine_config;
use crate::raw::initialize;

mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "engine" });
}

pub use bindings::exports::mcp_reconnect::transport::sans_io::{
    Body, Failed, Failure, Input, InputError, Method, Output, Request, Response,
};
pub use bindings::exports::mcp_reconnect::transport::types::{Event, State};

pub const MIB: usize = 1 << 20;

/// One instance of the component, in at most 64 MiB of memory.
pub struct Instance {
    pub store: Store<StoreLimits>,
    pub world: bindings::Engine,
}

impl Instance {
    pub fn new() -> Self {
        let engine = Engine::new(&engine_config()).expect("the settings are good");
        // SAFETY: made by this package's build script with the same settings and version.
        let component =
            unsafe { Component::deserialize(&engine, include_bytes!(concat!(env!("OUT_DIR"), "/engine.cwasm"))) };
        let mut store = Store::new(&engine, StoreLimitsBuilder::new().memory_size(64 * MIB).build());
        store.limiter(|limits| limits);
        // It imports nothing.
        let linker = Linker::new(&engine);
        let world = bindings::Engine::instantiate(&mut store, &component.expect("it loads"), &linker);
        Self { world: world.expect("it starts"), store }
    }

    /// An engine with a limit of 1 MiB for everything, and for ten messages in its queue.
    pub fn open(&mut self) -> ResourceAny {
        let options = self.world.mcp_reconnect_transport_types().options();
        let ours = options.call_constructor(&mut self.store, "http://example.test/mcp").expect("no trap");
        let limit = MIB as u64;
        options.call_set_max_message_bytes(&mut self.store, ours, limit).expect("no trap");
        options.call_set_max_event_bytes(&mut self.store, ours, limit).expect("no trap");
        options.call_set_max_body_bytes(&mut self.store, ours, limit).expect("no trap");
        options.call_set_max_queue(&mut self.store, ours, 10, 2 * limit).expect("no trap");
        let engine = self.world.mcp_reconnect_transport_sans_io().engine();
        engine.call_open(&mut self.store, ours, 7, 0).expect("no trap").expect("the options are good")
    }

    pub fn handle(&mut self, engine: ResourceAny, now: u64, input: &Input) -> Result<(), InputError> {
        let api = self.world.mcp_reconnect_transport_sans_io().engine();
        api.call_handle(&mut self.store, engine, now, input).expect("no trap")
    }

    pub fn outputs(&mut self, engine: ResourceAny, max: u32) -> Vec<Output> {
        let api = self.world.mcp_reconnect_transport_sans_io().engine();
        api.call_poll_outputs(&mut self.store, engine, max).expect("no trap")
    }

    pub fn deadline(&mut self, engine: ResourceAny) -> Option<u64> {
        let api = self.world.mcp_reconnect_transport_sans_io().engine();
        api.call_deadline(&mut self.store, engine).expect("no trap")
    }

    pub fn state(&mut self, engine: ResourceAny, now: u64) -> State {
        let api = self.world.mcp_reconnect_transport_sans_io().engine();
        api.call_status(&mut self.store, engine, now).expect("no trap").state
    }

    pub fn drop(&mut self, engine: ResourceAny) {
        engine.resource_drop(&mut self.store).expect("no trap");
    }

    pub fn say(&mut self, engine: ResourceAny, now: u64, message: &Value) {
        self.handle(engine, now, &Input::Message(message.to_string())).expect("it is taken");
    }

    /// Is a good host and a good server for this engine until it wants no more; gives the messages for the program.
    pub fn serve(&mut self, engine: ResourceAny, now: u64) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let outputs = self.outputs(engine, 0);
            if outputs.is_empty() {
                return messages;
            }
            for output in outputs {
                match output {
                    Output::Start(request) => self.respond(engine, now, &request),
                    Output::Event(Event::Message(text)) => messages.push(serde_json::from_str(&text).expect("JSON")),
                    _ => {}
                }
            }
        }
    }

    pub fn respond(&mut self, engine: ResourceAny, now: u64, request: &Request) {
        let message: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let result =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
        let status = match (request.method, message["id"].is_null()) {
            (Method::Get, _) => 405,
            (Method::Post, false) => 200,
            (Method::Post | Method::Delete, _) => 202,
        };
        let exchange = request.exchange;
        let headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
        let mut inputs = vec![Input::Sent(exchange), Input::Response(Response { exchange, status, headers })];
        if status == 200 {
            inputs.push(Input::Body(Body { exchange, bytes: answer.into_bytes() }));
        }
        inputs.push(Input::End(exchange));
        for input in inputs {
            self.handle(engine, now, &input).expect("it is taken");
        }
    }

    /// Makes the handshake, which shows that the engine is whole.
    pub fn works(&mut self, engine: ResourceAny, now: u64) {
        self.say(engine, now, &initialize());
        let messages = self.serve(engine, now);
        assert!(messages.iter().any(|message| message["id"] == 1 && message["result"].is_object()), "{messages:?}");
        self.say(engine, now, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        self.serve(engine, now);
        assert_eq!(self.state(engine, now), State::Ready);
        self.answers(engine, now, 2);
    }

    /// Makes a call, which is answered.
    pub fn answers(&mut self, engine: ResourceAny, now: u64, id: u64) {
        self.say(engine, now, &crate::raw::tool_call(id));
        let messages = self.serve(engine, now);
        assert!(messages.iter().any(|message| message["id"] == id && message["result"].is_object()), "{messages:?}");
    }
}
