//! What the tests that cross a boundary share: real servers, a scripted one, and the bridge under test.
//!
//! Every wait is for a condition and is bounded; nothing sleeps for a guessed time. Every child is killed by its own
//! process id, also when a test panics.

#![allow(dead_code, reason = "each test target uses its own part")]

pub mod bridge;
pub mod client;
pub mod clock;
pub mod fault;
pub mod hole;
pub mod http;
pub mod install;
pub mod namespace;
pub mod npm_package;
pub mod port;
pub mod process;
pub mod proxy;
pub mod script;
pub mod servers;
pub mod tap;
pub mod tls;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The bound of every wait that should succeed: long enough for a busy machine, reached only by a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The native command, which is also a server to test with.
pub const NATIVE: &str = env!("CARGO_BIN_EXE_mcp-reconnect");

/// A server of the official Rust SDK, see `tests/servers/rust`.
pub const RUST_SERVER: Option<&str> = option_env!("CARGO_BIN_EXE_rust-server");

/// A client of the official Rust SDK, see `tests/clients/rust_modern.rs`.
pub const RUST_CLIENT: Option<&str> = option_env!("CARGO_BIN_EXE_rust-client");

/// Whether the npm package's command is under test: in the target `npx`.
pub const IS_NPX: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"npx");

/// The command under test.
pub const COMMAND: &str = if IS_NPX { concat!(env!("CARGO_TARGET_TMPDIR"), "/npx/mcp-reconnect") } else { NATIVE };

/// What runs the component `mcp-reconnect.wasm`, see `tests/bridge_component.rs`.
const RUNTIME: Option<&str> = option_env!("CARGO_BIN_EXE_stock-wasmtime");

/// Whether the component is under test and not the command: in the test target that runs the others' cases on it.
pub fn is_component() -> bool {
    env!("CARGO_CRATE_NAME") == "bridge_component"
}

/// The bridge under test, as a program to start with arguments.
pub fn program() -> &'static str {
    if is_component() { RUNTIME.expect("the tests have their feature") } else { COMMAND }
}

/// The same, about to be started.
pub fn command() -> Command {
    Command::new(program())
}

/// The folder `tests/` of the repository.
pub fn tests_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests").canonicalize().expect("tests/ is in the repository")
}

/// A file of its own for a test, in the build's scratch folder.
pub fn scratch_file(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let unique = format!("{}-{}-{name}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique);
    let _ = std::fs::remove_file(&path);
    path
}

/// Asks `condition` again and again, for conditions that nothing can announce (a file, a port, the end of a process).
pub fn poll<T>(what: &str, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
