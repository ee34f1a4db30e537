//! Builds the engine component and the SSE parser's module for WebAssembly, as host/wasmtime and host/node build theirs,
//! and compiles both for this machine.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

#[path = "../../../host/wasmtime/src/engine_config.rs"]
mod engine_config;
#[path = "guest_build.rs"]
mod guest;

/// What the two are built from, relative to the workspace.
const SOURCES: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "guest/common",
    "guest/core/Cargo.toml",
    "guest/core/src",
    "guest/engine",
    "tests/benches/core/guest",
    "wit",
];

fn main() {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(guest::variable("OUT_DIR")?);
    let package = PathBuf::from(guest::variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.ancestors().nth(3).ok_or("the package is not three folders below its workspace")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    guest::ensure_target()?;
    let engine = fs::read(guest::build(workspace, "mcp-reconnect-engine", &out.join("guest"))?)?;
    let parser = fs::read(guest::build(workspace, "mcp-reconnect-core-bench-guest", &out.join("guest"))?)?;
    let mut config = engine_config::engine_config();
    config.target(&env::var("TARGET")?)?;
    let compiler = wasmtime::Engine::new(&config)?;
    fs::write(out.join("engine.cwasm"), compiler.precompile_component(&engine)?)?;
    fs::write(out.join("parser.cwasm"), compiler.precompile_module(&parser)?)?;
    fs::write(out.join("parser.wasm"), parser)?;
    println!("cargo::rustc-env=ENGINE_WASM_BYTES={}", engine.len());
    Ok(())
}
