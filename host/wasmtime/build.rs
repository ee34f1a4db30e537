//! Compiles the engine component for the target machine, so that the program carries machine code and no compiler. The
//! component is that of the package, or built from the workspace's sources, if these have changed since.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use mcp_reconnect_guests::{CARRIED, Guest, SOURCES, component, target_dir, wit, workspace_of};

#[path = "src/engine_config.rs"]
mod engine_config;

fn main() {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    if let Some(workspace) = workspace_of(&package) {
        for source in SOURCES {
            println!("cargo::rerun-if-changed={}", workspace.join(source).display());
        }
    }
    println!("cargo::rerun-if-changed={CARRIED}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/engine_config.rs");
    println!("cargo::rustc-env=MCP_RECONNECT_TARGET={}", env::var("TARGET")?);

    fs::write(out.join("bindings.rs"), bindings(&wit(&package)))?;
    // Not below OUT_DIR, of which there is one for each profile and choice of features.
    let guests = target_dir();
    let transport = component(&package, &guests, Guest::Transport)?;
    let engine = component(&package, &guests, Guest::Engine)?;
    fs::write(out.join("host.cwasm"), machine_code(engine_config::host_config(), &engine)?)?;
    #[cfg(feature = "test-component")]
    {
        let workspace = workspace_of(&package).ok_or("the feature test-component is for tests in the repository")?;
        // As any other host compiles it.
        let machine_code = |component: &[u8]| machine_code(engine_config::engine_config(), component);
        fs::write(out.join("transport.cwasm"), machine_code(&transport)?)?;
        fs::write(out.join("engine.cwasm"), machine_code(&engine)?)?;
        let faulty = fs::read(mcp_reconnect_guests::build_faulty(&workspace, &guests, Guest::Engine)?)?;
        fs::write(out.join("faulty.cwasm"), self::machine_code(engine_config::host_config(), &faulty)?)?;
        for source in ["guest/bridge", "guest/command"] {
            println!("cargo::rerun-if-changed={}", workspace.join(source).display());
        }
        fs::copy(mcp_reconnect_guests::build(&workspace, &guests, Guest::Bridge)?, out.join("bridge.wasm"))?;
        let command = mcp_reconnect_guests::build_command(&workspace, &guests)?;
        fs::write(out.join("mcp-reconnect.cwasm"), machine_code(&command)?)?;
        fs::write(out.join("mcp-reconnect.wasm"), command)?;
    }
    fs::write(out.join("transport.wasm"), transport)?;
    Ok(())
}

/// What the host calls the component by. Written here, since the macro takes a literal path, and the WIT package is in one
/// place in the workspace and in another in the package on its own. What is given to the component is borrowed: it is copied once,
/// into the component's memory.
fn bindings(wit: &Path) -> String {
    format!(
        r#"wasmtime::component::bindgen!({{
    path: {wit:?},
    // What this host uses of the world `engine`.
    inline: "
        package mcp-reconnect:wasmtime;
        world engine {{
            export mcp-reconnect:transport/types@0.1.0;
            export mcp-reconnect:transport/sans-io@0.1.0;
        }}
    ",
    world: "mcp-reconnect:wasmtime/engine",
    ownership: Borrowing {{ duplicate_if_necessary: false }},
}});
"#
    )
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
