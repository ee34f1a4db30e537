//! The component under a caller who does what nobody should: no trap, and the results that the WIT documents. Through
//! Wasmtime's own bindings, over real sockets.

mod support;

#[path = "misuse/bounds.rs"]
mod bounds;
#[path = "misuse/calls.rs"]
mod calls;
#[path = "misuse/drops.rs"]
mod drops;
#[path = "misuse/flood.rs"]
mod flood;
#[path = "misuse/options.rs"]
mod options;
#[path = "misuse/raw.rs"]
mod raw;
