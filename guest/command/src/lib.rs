//! What the commands have in common, `mcp-reconnect` of `host/wasmtime` and `mcp-reconnect.wasm` of `guest/bridge`: how option
//! values are read, how stdin becomes lines, and what is told on stderr. No I/O.
#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod duration;
pub mod event_log;
pub mod expand;
pub mod header;
pub mod hint;
pub mod lines;
pub mod log_line;
pub mod size;
pub mod variable;
pub mod visible;
