//! The components under callers who do what nobody should: no trap, and the results that the WIT documents. Through
//! Wasmtime's own bindings, over real sockets.

mod support;

#[path = "misuse/bounds.rs"]
mod bounds;
#[path = "misuse/calls.rs"]
mod calls;
#[path = "misuse/drops.rs"]
mod drops;
#[path = "misuse/engine.rs"]
mod engine;
#[path = "misuse/flood.rs"]
mod flood;
#[path = "misuse/options.rs"]
mod options;
#[path = "misuse/raw.rs"]
mod raw;
