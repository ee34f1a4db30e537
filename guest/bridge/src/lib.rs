//! The command `mcp-reconnect URL` as a component: it exports `wasi:cli/run` and imports
//! `mcp-reconnect:transport/client`. Plugged together with `guest/transport` it is `mcp-reconnect.wasm`, which runs in any
//! runtime of `wasi:cli` and `wasi:http`:
//!
//! ```text
//! wasmtime run -S http mcp-reconnect.wasm https://jarvis.internal/mcp
//! ```
//!
//! It is the example of a program on the WIT package, too: [`bridge`] is the loop, the rest is the command line ([`args`]),
//! stdin, stdout and stderr.
//!
//! Built for `wasm32-wasip2` without `std`, whose startup would import much more of WASI. On other targets the crate is
//! empty.
#![cfg_attr(target_family = "wasm", no_std)]

#[cfg(target_family = "wasm")]
extern crate alloc;

#[cfg(target_family = "wasm")]
mod args;
#[cfg(target_family = "wasm")]
mod bridge;
#[cfg(target_family = "wasm")]
mod event_log;
#[cfg(target_family = "wasm")]
mod input;
#[cfg(target_family = "wasm")]
mod log;
#[cfg(target_family = "wasm")]
mod option;
#[cfg(target_family = "wasm")]
mod output;
#[cfg(target_family = "wasm")]
#[path = "../../common/runtime.rs"]
mod runtime;

#[cfg(target_family = "wasm")]
#[allow(missing_docs, reason = "generated from documented WIT")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "wit"],
        world: "mcp-reconnect:bridge/bridge",
        generate_all,
    });

    export!(Component with_types_in self);

    /// What the component exports.
    struct Component;

    impl exports::wasi::cli::run::Guest for Component {
        fn run() -> Result<(), ()> {
            crate::bridge::run()
        }
    }
}
