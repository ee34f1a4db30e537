//! Building a guest for WebAssembly, for build scripts.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that guests are built for.
const GUEST_TARGET: &str = "wasm32-wasip2";

/// Adds the WebAssembly target to the toolchain where it is missing.
pub(crate) fn ensure_target() -> Result<(), Box<dyn Error>> {
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

/// Builds the package with a cargo of its own; gives the path of the result.
pub(crate) fn build(workspace: &Path, package: &str, target_dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
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
        .args(["build", "--quiet", "--locked", "--package", package])
        .args(["--target", GUEST_TARGET, "--profile", "guest", "--target-dir"])
        .arg(target_dir);
    let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        // Cargo shows this part of a build script's output only when it fails.
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!("the component {package} does not build, see the compiler's messages below").into());
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    Ok(target_dir.join(GUEST_TARGET).join("guest").join(file))
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

/// What cargo tells a build script.
pub(crate) fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}
