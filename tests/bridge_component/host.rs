//! What `wasmtime run -S http` puts around a command: Wasmtime's own `wasi:cli` and `wasi:http`, nothing of this project's
//! host.

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

#[path = "../../host/wasmtime/src/engine_config.rs"]
mod engine_config;

/// Compiled by build.rs.
const MACHINE_CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/mcp-reconnect.cwasm"));

struct Host<L> {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    limiter: L,
}

impl<L: Send> WasiView for Host<L> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl<L: Send> WasiHttpView for Host<L> {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: wasmtime_wasi_http::default_hooks() }
    }
}

/// Runs `mcp-reconnect.wasm` to its end. The outer error is a trap, the inner one the exit code 1.
pub async fn run<L: ResourceLimiter + Send + 'static>(wasi: WasiCtx, limiter: L) -> wasmtime::Result<Result<(), ()>> {
    let engine = Engine::new(&engine_config::engine_config())?;
    // SAFETY: this package's build.rs made these bytes, with the same version and settings of Wasmtime.
    let component = unsafe { Component::deserialize(&engine, MACHINE_CODE)? };
    let mut linker = Linker::<Host<L>>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let host = Host { table: ResourceTable::new(), wasi, http: WasiHttpCtx::new(), limiter };
    let mut store = Store::new(&engine, host);
    store.limiter(|host| &mut host.limiter);
    let command = Command::instantiate_async(&mut store, &component, &linker).await?;
    command.wasi_cli_run().call_run(&mut store).await
}
