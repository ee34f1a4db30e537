//! A host of the component `transport`, with Wasmtime's own `wasi:http`.
//!
//!     wasmtime compile -W concurrency-support=n,gc-support=n transport.wasm && host transport.cwasm URL

use std::collections::VecDeque;
use std::io::stdin;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::sync::Notify;
use wasmtime::component::{Component, Linker, Resource, ResourceTable};
use wasmtime::{Config, Engine, Result, Store};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView, default_hooks};

use bindings::exports::mcp_reconnect::transport::client::ReceiveError;
use bindings::exports::mcp_reconnect::transport::types::Event;

mod outgoing_handler;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        // The world `transport`, but for the imports that only the linker deals with.
        inline: "
            package example:host;
            world program {
                import wasi:io/poll@0.2.0;
                export mcp-reconnect:transport/types@0.1.0;
                export mcp-reconnect:transport/client@0.1.0;
            }
        ",
        world: "example:host/program",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "wasi:io": wasmtime_wasi::p2::bindings::io },
    });
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",
    "capabilities":{},"clientInfo":{"name":"rust-example","version":"0.1.0"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, url] = &arguments[..] else { panic!("usage: host transport.cwasm URL") };

    let mut config = Config::new();
    config.concurrency_support(false);
    let engine = Engine::new(&config)?;
    // SAFETY: who names the file has made it with `wasmtime compile`. (With Wasmtime's compiler inside, its feature `cranelift`,
    // this is `Component::from_file(&engine, "transport.wasm")`.)
    let component = unsafe { Component::deserialize_file(&engine, file)? };
    let mut linker = Linker::<Host>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    outgoing_handler::replace_in_linker(&mut linker)?;
    let mut store = Store::new(&engine, Host::default());
    let instance = bindings::Program::instantiate_async(&mut store, &component, &linker).await?;

    let options = instance.mcp_reconnect_transport_types().options().call_constructor(&mut store, url).await?;
    let client = instance.mcp_reconnect_transport_client().connection();
    let connection = client.call_open(&mut store, options).await?.expect("the URL is good");
    client.call_send(&mut store, connection, INITIALIZE).await?.expect("the connection is open");

    // All that may interrupt the wait for events: while the component waits, nobody can call it. Lent to each `receive`.
    let input = Input::read();
    let table = &mut store.data_mut().table;
    let ours = table.push(input.clone())?;
    let until = subscribe(table, ours)?.rep();
    let mut calls = 0;
    loop {
        while let Some(line) = input.next() {
            let Some(params) = line else {
                client.call_close(&mut store, connection).await?;
                continue;
            };
            calls += 1;
            let call = format!(r#"{{"jsonrpc":"2.0","id":{calls},"method":"tools/call","params":{params}}}"#);
            client.call_send(&mut store, connection, &call).await?.expect("the connection is open");
        }
        let until = Resource::<DynPollable>::new_borrow(until);
        let events = match client.call_receive(&mut store, connection, 0, Some(until)).await? {
            Ok(events) => events,
            // The end: the connection has said all that it had to say.
            Err(ReceiveError::Closed(_)) => return Ok(()),
            Err(ReceiveError::Other(why)) => panic!("{why}"),
        };
        for event in events {
            match event {
                Event::Message(text) => {
                    println!("{text}");
                    if serde_json::from_str::<Value>(&text)
                        .is_ok_and(|message| message["id"] == 0 && message["error"].is_null())
                    {
                        client.call_send(&mut store, connection, INITIALIZED).await?.expect("the connection is open");
                    }
                }
                other => eprintln!("{other:?}"),
            }
        }
    }
}

/// The lines of standard input, and `None` for its end. Ready when there is one: again and again, until it is taken.
#[derive(Clone, Default)]
struct Input(Arc<(Mutex<VecDeque<Option<String>>>, Notify)>);

impl Input {
    /// Reads in a thread, since standard input blocks.
    fn read() -> Self {
        let input = Self::default();
        let reader = input.clone();
        std::thread::spawn(move || {
            for line in stdin().lines().map_while(Result::ok).map(Some).chain([None]) {
                reader.lines().push_back(line);
                reader.0.1.notify_one();
            }
        });
        input
    }

    fn next(&self) -> Option<Option<String>> {
        self.lines().pop_front()
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<Option<String>>> {
        self.0.0.lock().expect("no thread panics with it")
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        while self.lines().is_empty() {
            self.0.1.notified().await;
        }
    }
}

/// What the component's imports work on. It is given no files, no environment and no sockets.
#[derive(Default)]
struct Host {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: default_hooks() }
    }
}
