//! The component `mcp-reconnect.wasm` in stock runtimes: what the native command is tested with, on it. Here it is the Rust
//! crate of Wasmtime (`bridge_component/runtime.rs`); where there is a `wasmtime` command, that too.

#[path = "command_cases.rs"]
mod command_cases;
#[path = "faults.rs"]
mod faults;
#[path = "restart.rs"]
mod restart;
