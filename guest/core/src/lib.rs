//! The engine of mcp-reconnect: every decision of a reconnecting MCP client transport, and nothing else.
//!
//! The engine does no I/O, has no clock and no randomness of its own, and knows no platform. A driver owns those and
//! runs this loop:
//!
//! 1. [`Engine::handle`] an [`Input`] (a message of the client, bytes from the network, or [`Input::Tick`]) together
//!    with the time;
//! 2. drain [`Engine::poll_output`] until it gives `None`, and do what each [`Output`] says;
//! 3. wait for the next input, but no longer than until [`Engine::deadline`], and begin again.
//!
//! The same inputs at the same times with the same seed give the same outputs.
//!
//! ```
//! use mcp_reconnect_core::{Engine, Input, Instant, Options, Output};
//!
//! let mut engine = Engine::new(Options::new("http://127.0.0.1:9000/mcp"), 7, Instant::ZERO).unwrap();
//! let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
//! engine.handle(Instant::ZERO, Input::Message(initialize.into()));
//! let mut requests = Vec::new();
//! while let Some(output) = engine.poll_output() {
//!     if let Output::Start(exchange, request) = output {
//!         requests.push((exchange, request));
//!     }
//! }
//! assert_eq!(requests[0].1.authority, "127.0.0.1:9000");
//! ```
//!
//! How the modules hang together: `api` is what a driver sees; `wire` reads what comes from outside; `policy` holds the
//! tables that decisions are made by; `engine` is the machine, in `state`, what it remembers, and `flow`, what happens.
//! [`diagnosis`] finds out how a server behaves; [`oauth`] gets access tokens, beside the engine and by the same kind of loop.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod api;
pub mod diagnosis;
mod engine;
pub mod oauth;
mod policy;
mod recovery;
pub mod text;
mod wire;

pub use api::errors::{self, oversized_message};
pub use api::io::{
    Event, ExchangeId, Failure, Input, Level, Method, Output, Request, SessionInfo, SignIn, State, Status, Transport,
};
pub use api::options::{Options, TransportChoice};
pub use api::time::{Instant, MILLISECOND, SECOND};
pub use engine::{Engine, OptionsError};
pub use recovery::{Lost, Recovery};
pub use wire::{http, scan, sse, url};
