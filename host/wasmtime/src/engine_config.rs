//! How Wasmtime is set up, for the compiler in `build.rs` and for the runtime alike: they must agree, or the runtime
//! refuses the machine code.

#![allow(dead_code, reason = "each who compiles this file uses its own part")]

use wasmtime::Config;

/// The settings that any host may have.
pub(crate) fn engine_config() -> Config {
    let mut config = Config::new();
    // For WASI 0.3, which is not used.
    config.concurrency_support(false);
    config
}

/// The settings of this host.
pub(crate) fn host_config() -> Config {
    let mut config = engine_config();
    // Code that never ends is stopped, see `watchdog`.
    config.epoch_interruption(true);
    config
}
