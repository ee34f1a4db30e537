//! A stock Wasmtime with `mcp-reconnect.wasm` in it, as `wasmtime run -S http mcp-reconnect.wasm …` is: Wasmtime's own
//! `wasi:cli` and `wasi:http`, nothing of this project's host.

use std::process::ExitCode;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

#[path = "../../host/wasmtime/src/engine_config.rs"]
mod engine_config;

/// Compiled by build.rs.
const MACHINE_CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/mcp-reconnect.cwasm"));

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
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: wasmtime_wasi_http::default_hooks() }
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let code = match runtime.block_on(run()) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(())) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("stock-wasmtime: {error:?}");
            ExitCode::from(101)
        }
    };
    // A thread may still be reading stdin.
    runtime.shutdown_background();
    code
}

async fn run() -> wasmtime::Result<Result<(), ()>> {
    let engine = Engine::new(&engine_config::engine_config())?;
    // SAFETY: this package's build.rs made these bytes, with the same version and settings of Wasmtime.
    let component = unsafe { Component::deserialize(&engine, MACHINE_CODE)? };
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let arguments: Vec<String> = std::env::args().collect();
    let wasi = WasiCtx::builder().inherit_stdio().inherit_env().args(&arguments).build();
    let host = Host { table: ResourceTable::new(), wasi, http: WasiHttpCtx::new() };
    let mut store = Store::new(&engine, host);
    let command = Command::instantiate_async(&mut store, &component, &linker).await?;
    command.wasi_cli_run().call_run(&mut store).await
}
