//! The engine of mcp-reconnect as a component: it exports `sans-io` and `diagnosis` of `mcp-reconnect:transport` and imports nothing, so that it
//! loads wherever a component does. The I/O, the clock and the seed are the host's.
//!
//! Built for `wasm32-wasip2` without `std`, whose startup would import `wasi:cli`. On other targets the crate is empty.
#![cfg_attr(target_family = "wasm", no_std)]

#[cfg(target_family = "wasm")]
extern crate alloc;

#[cfg(target_family = "wasm")]
mod diagnosis;
#[cfg(target_family = "wasm")]
mod engine;
#[cfg(all(target_family = "wasm", feature = "faults"))]
#[path = "../../common/faults.rs"]
mod faults;
#[cfg(target_family = "wasm")]
mod oversized;
#[cfg(target_family = "wasm")]
mod recovery;
#[cfg(target_family = "wasm")]
#[path = "../../common/runtime.rs"]
mod runtime;
#[cfg(target_family = "wasm")]
#[path = "../../common/types.rs"]
mod types;

#[cfg(target_family = "wasm")]
#[allow(missing_docs, reason = "generated from documented WIT")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "mcp-reconnect:transport/engine",
        generate_all,
    });

    export!(Component with_types_in self);

    /// What the component exports.
    struct Component;

    impl exports::mcp_reconnect::transport::types::Guest for Component {
        type Options = crate::types::OptionsResource;
    }

    impl exports::mcp_reconnect::transport::diagnosis::Guest for Component {
        type Check = crate::diagnosis::CheckResource;
    }

    impl exports::mcp_reconnect::transport::sans_io::Guest for Component {
        type Engine = crate::engine::EngineResource;
        type Oversized = crate::oversized::OversizedResource;
        type Recovery = crate::recovery::RecoveryResource;
    }
}
