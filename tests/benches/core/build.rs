//! Builds the engine component and the SSE parser's module for WebAssembly, as host/wasmtime and host/node build theirs,
//! and compiles both for this machine.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use mcp_reconnect_guests::{Guest, build_package};

#[path = "../../../host/wasmtime/src/engine_config.rs"]
mod engine_config;

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
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    let workspace = mcp_reconnect_guests::workspace();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    let built = |package| build_package(&workspace, &mcp_reconnect_guests::target_dir(), package);
    let engine = fs::read(built(Guest::Engine.package())?)?;
    let parser = fs::read(built("mcp-reconnect-core-bench-guest")?)?;
    let mut config = engine_config::engine_config();
    config.target(&env::var("TARGET")?)?;
    let compiler = wasmtime::Engine::new(&config)?;
    fs::write(out.join("engine.cwasm"), compiler.precompile_component(&engine)?)?;
    fs::write(out.join("parser.cwasm"), compiler.precompile_module(&parser)?)?;
    fs::write(out.join("parser.wasm"), parser)?;
    println!("cargo::rustc-env=ENGINE_WASM_BYTES={}", engine.len());
    Ok(())
}
