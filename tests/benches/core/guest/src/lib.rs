//! The SSE parser of the engine as a plain WebAssembly module without imports: two functions and a memory, so that a
//! benchmark measures the parser and no interface. On other targets the crate is empty.
#![cfg_attr(target_family = "wasm", no_std)]

#[cfg(target_family = "wasm")]
extern crate alloc;

#[cfg(target_family = "wasm")]
mod parse;
#[cfg(target_family = "wasm")]
#[path = "../../../../../guest/common/runtime.rs"]
mod runtime;
