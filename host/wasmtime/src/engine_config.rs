//! How Wasmtime is set up, for the compiler in `build.rs` and for the runtime alike: they must agree, or the runtime
//! refuses the machine code.

use wasmtime::Config;

/// The settings.
pub(crate) fn engine_config() -> Config {
    let mut config = Config::new();
    // For WASI 0.3, which is not used.
    config.concurrency_support(false);
    config
}
