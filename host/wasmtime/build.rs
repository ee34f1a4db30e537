//! Builds the transport component for WebAssembly and compiles it for the target machine, so that the program carries
//! machine code and no compiler.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "src/engine_config.rs"]
mod engine_config;

/// The target that the component is built for.
const GUEST_TARGET: &str = "wasm32-wasip2";

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

    ensure_target()?;
    let wasm = build_guest(workspace, &out.join("guest"))?;
    let component = fs::read(&wasm).map_err(|error| format!("cannot read {}: {error}", wasm.display()))?;
    let mut config = engine_config::engine_config();
    // Named even if it is the build machine's own, or the code may use CPU features that only this machine has.
    let target = env::var("TARGET")?;
    config.target(&target).map_err(|error| format!("wasmtime cannot compile for {target}: {error}"))?;
    let machine_code = wasmtime::Engine::new(&config)
        .and_then(|engine| engine.precompile_component(&component))
        .map_err(|error| format!("wasmtime cannot compile the component: {error:?}"))?;
    fs::write(out.join("transport.wasm"), component)?;
    fs::write(out.join("transport.cwasm"), machine_code)?;
    Ok(())
}

/// Adds the WebAssembly target to the toolchain where it is missing.
fn ensure_target() -> Result<(), Box<dyn Error>> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", GUEST_TARGET])
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    if Path::new(String::from_utf8(output.stdout)?.trim()).is_dir() {
        return Ok(());
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").ok();
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", GUEST_TARGET]);
    if let Some(toolchain) = &toolchain {
        rustup.args(["--toolchain", toolchain]);
    }
    if rustup.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let toolchain = toolchain.map(|name| format!(" --toolchain {name}")).unwrap_or_default();
    Err(format!("the Rust target {GUEST_TARGET} is missing; add it with: rustup target add {GUEST_TARGET}{toolchain}")
        .into())
}

/// Builds the component with a cargo of its own; gives the path of the result.
fn build_guest(workspace: &Path, target_dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(variable("CARGO")?);
    for (name, _) in env::vars_os() {
        if is_about_the_host(&name.to_string_lossy()) {
            cargo.env_remove(&name);
        }
    }
    cargo
        // This one also overrides the flags of configuration files.
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        .current_dir(workspace)
        .args(["build", "--quiet", "--locked", "--package", "mcp-reconnect-transport"])
        .args(["--target", GUEST_TARGET, "--profile", "guest", "--target-dir"])
        .arg(target_dir);
    let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        // Cargo shows this part of a build script's output only when it fails.
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err("the component mcp-reconnect-transport does not build, see the compiler's messages below".into());
    }
    Ok(target_dir.join(GUEST_TARGET).join("guest").join("mcp_reconnect_transport.wasm"))
}

/// Whether a variable of this script's environment is about the host's build: flags, wrappers, profiles, this package.
/// Where to find things and how to reach them holds for the guest too.
fn is_about_the_host(name: &str) -> bool {
    const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR"];
    const PREFIXES: [&str; 2] = ["CARGO", "RUSTC_"];
    #[rustfmt::skip]
    const NAMES: [&str; 11] = [
        "DEBUG", "HOST", "MAKEFLAGS", "MFLAGS", "NUM_JOBS", "OPT_LEVEL", "OUT_DIR", "PROFILE", "RUSTDOCFLAGS", "RUSTFLAGS",
        "TARGET",
    ];
    NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !KEPT.iter().any(|kept| name.starts_with(kept))
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}
