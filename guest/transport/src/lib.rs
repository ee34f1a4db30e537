//! The WASI 0.2 component of mcp-reconnect: it exports `mcp-reconnect:transport/client` and drives the engine of
//! `mcp-reconnect-core` over `wasi:http`.
//!
//! The engine decides, this crate carries out: [`connection`] feeds the engine and hands its events to the caller,
//! [`exchange`] makes one HTTP request each, [`reactor`] lets all of them wait in one `wasi:io/poll.poll`.
//!
//! Built for `wasm32-wasip2` without `std`, whose startup would import `wasi:cli`, so that the component imports nothing
//! but what it uses. On other targets the crate is empty.
#![cfg_attr(target_family = "wasm", no_std)]

#[cfg(target_family = "wasm")]
extern crate alloc;

#[cfg(target_family = "wasm")]
mod connection;
#[cfg(target_family = "wasm")]
mod event_queue;
#[cfg(target_family = "wasm")]
mod exchange;
#[cfg(target_family = "wasm")]
mod failure;
#[cfg(all(target_family = "wasm", feature = "faults"))]
#[path = "../../common/faults.rs"]
mod faults;
#[cfg(target_family = "wasm")]
mod reactor;
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
        world: "mcp-reconnect:transport/transport",
        generate_all,
    });

    export!(Component with_types_in self);

    /// What the component exports.
    struct Component;

    impl exports::mcp_reconnect::transport::types::Guest for Component {
        type Options = crate::types::OptionsResource;
    }

    impl exports::mcp_reconnect::transport::client::Guest for Component {
        type Connection = crate::connection::ConnectionResource;
    }
}
