//! The engine as a component under Wasmtime, called through its typed functions, and its SSE parser as a module.

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Engine as Wasmtime, Instance, Memory, Module, Store, TypedFunc};

use crate::engine_config::engine_config;
use crate::native::URL;
use crate::script::{Engine, Step, Want};

#[allow(missing_docs, reason = "generated from documented WIT")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../../wit", world: "mcp-reconnect:transport/engine" });
}

use bindings::exports::mcp_reconnect::transport::sans_io as wit;

pub struct Wasm {
    store: Store<()>,
    world: bindings::Engine,
    engine: ResourceAny,
}

impl Wasm {
    pub fn new() -> Self {
        let wasmtime = wasmtime();
        let code = include_bytes!(concat!(env!("OUT_DIR"), "/engine.cwasm"));
        // SAFETY: the machine code was made by this package's build script, with the same settings.
        let component = unsafe { Component::deserialize(&wasmtime, code) }.expect("the component is for this machine");
        let mut store = Store::new(&wasmtime, ());
        let world =
            bindings::Engine::instantiate(&mut store, &component, &Linker::new(&wasmtime)).expect("it instantiates");
        let options = world
            .mcp_reconnect_transport_types()
            .options()
            .call_constructor(&mut store, URL)
            .expect("it does not trap");
        let engine = world
            .mcp_reconnect_transport_sans_io()
            .engine()
            .call_open(&mut store, options, 7, 0)
            .expect("it does not trap")
            .expect("the options are good");
        Self { store, world, engine }
    }
}

impl Engine for Wasm {
    fn handle(&mut self, now: u64, step: Step<'_>) {
        let input = match step {
            Step::Message(text) => wit::Input::Message(text.to_owned()),
            Step::Sent(exchange) => wit::Input::Sent(exchange),
            Step::Response(exchange, status, "") => {
                wit::Input::Response(wit::Response { exchange, status, headers: Vec::new() })
            }
            Step::Response(exchange, status, kind) => wit::Input::Response(wit::Response {
                exchange,
                status,
                headers: vec![("content-type".to_owned(), kind.as_bytes().to_vec())],
            }),
            Step::Body(exchange, bytes) => wit::Input::Body(wit::Body { exchange, bytes: bytes.to_vec() }),
            Step::End(exchange) => wit::Input::End(exchange),
        };
        let engine = self.world.mcp_reconnect_transport_sans_io().engine();
        engine
            .call_handle(&mut self.store, self.engine, now, &input)
            .expect("it does not trap")
            .expect("it takes the input");
    }

    fn outputs(&mut self) -> Vec<Want> {
        let engine = self.world.mcp_reconnect_transport_sans_io().engine();
        let outputs = engine.call_poll_outputs(&mut self.store, self.engine, 0).expect("it does not trap");
        outputs
            .into_iter()
            .filter_map(|output| match output {
                wit::Output::Start(request) => Some(Want::Start(request.exchange, request.body)),
                wit::Output::Event(wit::Event::Message(text)) => Some(Want::Message(text)),
                _ => None,
            })
            .collect()
    }

    fn deadline(&mut self) -> Option<u64> {
        let engine = self.world.mcp_reconnect_transport_sans_io().engine();
        engine.call_deadline(&mut self.store, self.engine).expect("it does not trap")
    }
}

/// The SSE parser and a stream in its memory.
pub struct Parser {
    store: Store<()>,
    parse: TypedFunc<(u32, u32, u32), u32>,
    stream: (u32, u32),
}

impl Parser {
    pub fn new(stream: &[u8]) -> Self {
        let wasmtime = wasmtime();
        let code = include_bytes!(concat!(env!("OUT_DIR"), "/parser.cwasm"));
        // SAFETY: the machine code was made by this package's build script, with the same settings.
        let module = unsafe { Module::deserialize(&wasmtime, code) }.expect("the module is for this machine");
        let mut store = Store::new(&wasmtime, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("it imports nothing");
        let room: TypedFunc<u32, u32> = instance.get_typed_func(&mut store, "room").expect("it is exported");
        let parse = instance.get_typed_func(&mut store, "parse").expect("it is exported");
        let memory: Memory = instance.get_memory(&mut store, "memory").expect("it is exported");
        let len = u32::try_from(stream.len()).expect("a short stream");
        let at = room.call(&mut store, len).expect("it does not trap");
        memory.write(&mut store, at as usize, stream).expect("there is room");
        Self { store, parse, stream: (at, len) }
    }

    /// The number of events.
    pub fn parse(&mut self, chunk: usize) -> usize {
        let (at, len) = self.stream;
        let chunk = u32::try_from(chunk).expect("a small chunk");
        self.parse.call(&mut self.store, (at, len, chunk)).expect("it does not trap") as usize
    }
}

fn wasmtime() -> Wasmtime {
    Wasmtime::new(&engine_config()).expect("the settings are good")
}
