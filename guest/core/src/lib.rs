//! The engine of mcp-reconnect: every decision of a reconnecting MCP client transport, and nothing else.
//!
//! The engine does no I/O, has no clock and no randomness of its own, and knows no platform. A driver owns those and
//! runs this loop:
//!
//! 1. [`Engine::handle`] an [`Input`] (a message of the program, bytes from the network, or [`Input::Tick`]) together
//!    with the time;
//! 2. drain [`Engine::poll_output`] until it gives `None`, and do what each [`Output`] says;
//! 3. wait for the next input, but no longer than until [`Engine::deadline`], and begin again.
//!
//! The same inputs at the same times with the same seed give the same outputs.
//!
//! ```
//! use mcp_reconnect_core::{Engine, Input, Options, Output};
//!
//! let mut engine = Engine::new(Options::new("http://127.0.0.1:9000/mcp"), 7, 0).unwrap();
//! let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
//! engine.handle(0, Input::Message(initialize.into()));
//! let mut requests = Vec::new();
//! while let Some(output) = engine.poll_output() {
//!     if let Output::Start(exchange, request) = output {
//!         requests.push((exchange, request));
//!     }
//! }
//! assert_eq!(requests[0].1.authority, "127.0.0.1:9000");
//! ```
//!
//! How the modules hang together: `engine` is the machine; `replay` and `loss` are the tables it decides by; `session`
//! and `request` are what it remembers; `schedule` is when things happen; [`sse`], [`scan`], [`url`], [`http`] and
//! `json` read what comes from outside. [`diagnosis`] finds out how a server behaves.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod buffer;
pub mod diagnosis;
mod engine;
pub mod errors;
pub mod http;
mod io;
mod json;
mod loss;
mod options;
mod recovery;
mod replay;
mod request;
pub mod scan;
mod schedule;
mod session;
pub mod sse;
pub mod text;
pub mod url;
mod utf8;

pub use engine::{Engine, OptionsError};
pub use errors::oversized_message;
pub use io::{
    Event, ExchangeId, Failure, Input, Level, Method, Output, Request, SessionInfo, State, Status, Transport,
};
pub use options::{MILLISECOND, Options, SECOND, TransportChoice};
pub use recovery::{Lost, Recovery};

/// A point in time or a duration, in nanoseconds. Points count from an origin of the driver's choosing.
pub type Nanos = u64;
