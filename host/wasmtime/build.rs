//! Builds the transport component for WebAssembly and compiles it for the target machine, so that the program carries
//! machine code and no compiler.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use mcp_reconnect_guests::Guest;

#[path = "src/engine_config.rs"]
mod engine_config;

/// What the component is built from, relative to the workspace.
const SOURCES: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "guest/common", "guest/core/Cargo.toml", "guest/core/src", "guest/transport", "wit"];

fn main() {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.ancestors().nth(2).ok_or("the package is not two folders below its workspace")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/engine_config.rs");

    let guests = out.join("guest");
    let wasm = mcp_reconnect_guests::build(workspace, &guests, Guest::Transport)?;
    let component = fs::read(&wasm).map_err(|error| format!("cannot read {}: {error}", wasm.display()))?;
    fs::write(out.join("host.cwasm"), machine_code(engine_config::host_config(), &component)?)?;
    #[cfg(feature = "test-component")]
    {
        // As any other host compiles it.
        let machine_code = |component: &[u8]| machine_code(engine_config::engine_config(), component);
        fs::write(out.join("transport.cwasm"), machine_code(&component)?)?;
        let faulty = fs::read(mcp_reconnect_guests::build_faulty(workspace, &guests, Guest::Transport)?)?;
        fs::write(out.join("faulty.cwasm"), self::machine_code(engine_config::host_config(), &faulty)?)?;
        for source in ["guest/bridge", "guest/command", "guest/engine"] {
            println!("cargo::rerun-if-changed={}", workspace.join(source).display());
        }
        let engine = mcp_reconnect_guests::build(workspace, &guests, Guest::Engine)?;
        fs::write(out.join("engine.cwasm"), machine_code(&fs::read(engine)?)?)?;
        fs::copy(mcp_reconnect_guests::build(workspace, &guests, Guest::Bridge)?, out.join("bridge.wasm"))?;
        let command = mcp_reconnect_guests::build_command(workspace, &guests)?;
        fs::write(out.join("mcp-reconnect.cwasm"), machine_code(&command)?)?;
        fs::write(out.join("mcp-reconnect.wasm"), command)?;
    }
    fs::write(out.join("transport.wasm"), component)?;
    Ok(())
}

/// Compiles a component for the target machine.
fn machine_code(mut config: wasmtime::Config, component: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    // Named even if it is the build machine's own, or the code may use CPU features that only this machine has.
    let target = env::var("TARGET")?;
    config.target(&target).map_err(|error| format!("wasmtime cannot compile for {target}: {error}"))?;
    let compiled = wasmtime::Engine::new(&config).and_then(|engine| engine.precompile_component(component));
    Ok(compiled.map_err(|error| format!("wasmtime cannot compile the component: {error:?}"))?)
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}
