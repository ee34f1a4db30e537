//! A stock Wasmtime with `mcp-reconnect.wasm` in it, as `wasmtime run -S http mcp-reconnect.wasm …` is.

use std::process::ExitCode;

use wasmtime::StoreLimits;
use wasmtime_wasi::WasiCtx;

#[path = "host.rs"]
mod host;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    let wasi = WasiCtx::builder().inherit_stdio().inherit_env().args(&arguments).build();
    let code = match runtime.block_on(host::run(wasi, StoreLimits::default())) {
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
