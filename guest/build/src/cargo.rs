//! The cargo that builds a component.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The target of all components.
const TARGET: &str = "wasm32-wasip2";
/// Vector instructions, part of WebAssembly 2.0: for the search for line ends and quotes.
const FLAGS: &str = "-Ctarget-feature=+simd128";
/// The profile of all components, see the workspace's `Cargo.toml`.
const PROFILE: &str = "guest";

/// Adds the target to the toolchain where it is missing.
pub fn ensure_target(workspace: &Path) -> Result<(), Error> {
    let output = Command::new(tool("RUSTC", "rustc"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(workspace)
        .output()
        .map_err(|error| Error::new(format!("cannot run rustc: {error}")))?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").ok();
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(workspace);
    if let Some(toolchain) = &toolchain {
        rustup.args(["--toolchain", toolchain]);
    }
    if rustup.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let toolchain = toolchain.map(|name| format!(" --toolchain {name}")).unwrap_or_default();
    Err(Error::new(format!("the Rust target {TARGET} is missing; add it with: rustup target add {TARGET}{toolchain}")))
}

/// Builds the package with these features; gives the path of the component.
pub fn build(workspace: &Path, target_dir: &Path, package: &str, features: &[&str]) -> Result<PathBuf, Error> {
    let mut cargo = Command::new(tool("CARGO", "cargo"));
    for (name, _) in env::vars_os() {
        if is_about_the_host(&name.to_string_lossy()) {
            cargo.env_remove(&name);
        }
    }
    cargo
        // This one also overrides the flags of configuration files.
        .env("CARGO_ENCODED_RUSTFLAGS", flags())
        .current_dir(workspace)
        .args(["build", "--quiet", "--locked", "--package", package])
        .args(["--target", TARGET, "--profile", PROFILE, "--target-dir"])
        .arg(target_dir);
    if !features.is_empty() {
        cargo.args(["--features", &features.join(",")]);
    }
    let output = cargo.output().map_err(|error| Error::new(format!("cannot run cargo: {error}")))?;
    if !output.status.success() {
        // Here and not as they come, because cargo shows this part of a build script's output only when it fails.
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(Error::new(format!("the component {package} does not build, see the compiler's messages")));
    }
    let folder = target_dir.join(TARGET).join(PROFILE);
    let library = folder.join(format!("{}.wasm", package.replace('-', "_")));
    let program = folder.join(format!("{package}.wasm"));
    [library, program].into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::new(format!("the package {package} is no component: it has neither a cdylib nor a program"))
    })
}

/// The compiler's flags, in the form of `CARGO_ENCODED_RUSTFLAGS`.
fn flags() -> OsString {
    let mut flags = OsString::from(FLAGS);
    // Where panics are located is part of the code. Sources of this project are named relative to it anyway.
    if let Some(home) = cargo_home() {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(home);
        flags.push("=/cargo");
    }
    flags
}

/// Where cargo keeps the sources of packages.
fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// A tool as cargo names it to build scripts and tests, or from the PATH.
fn tool(variable: &str, name: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| name.into())
}

/// Whether a variable of this program's environment is about the build for this machine: flags, wrappers, profiles, this
/// package. Where to find things and how to reach them holds for components too.
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
