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
//! The loop in full, with a server that is a function in place of the network. Its clock stands still until there is nothing to do
//! but to wait, and then goes on to the deadline:
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use mcp_reconnect_core::{Engine, Event, Failure, Input, Instant, Options, Output, Request};
//!
//! /// A server that is not there for its first request.
//! fn server(request: &Request, time: usize) -> Option<(u16, String)> {
//!     let text = String::from_utf8_lossy(&request.body);
//!     match time {
//!         0 => None,
//!         _ if text.contains(r#""method":"initialize""#) => {
//!             let id = text.split(r#""id":"#).nth(1)?.split([',', '}']).next()?;
//!             let result = r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;
//!             Some((200, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)))
//!         }
//!         _ => Some((202, String::new())),
//!     }
//! }
//!
//! let mut now = Instant::ZERO;
//! let mut engine = Engine::new(Options::new("http://127.0.0.1:9000/mcp"), 7, now)?;
//! let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
//! let mut inputs = VecDeque::from([Input::Message(initialize.into())]);
//! let mut requests = 0;
//! let answer = 'answered: loop {
//!     while let Some(output) = engine.poll_output() {
//!         match output {
//!             Output::Start(exchange, request) => {
//!                 match server(&request, requests) {
//!                     Some((status, body)) => {
//!                         let headers = vec![("content-type".into(), b"application/json".to_vec())];
//!                         inputs.push_back(Input::Sent(exchange));
//!                         inputs.push_back(Input::Response { exchange, status, headers });
//!                         inputs.push_back(Input::Body { exchange, bytes: body.into_bytes() });
//!                         inputs.push_back(Input::End(exchange));
//!                     }
//!                     None => {
//!                         let detail = "connection refused".into();
//!                         inputs.push_back(Input::Failed { exchange, failure: Failure::Connect, detail });
//!                     }
//!                 }
//!                 requests += 1;
//!             }
//!             Output::Event(Event::Message(text)) => break 'answered text,
//!             Output::Event(event) => eprintln!("{event:?}"),
//!             // Nothing takes time here, so that there is nothing to stop.
//!             Output::Cancel(_) | Output::Pause(_) | Output::Resume(_) => {}
//!         }
//!     }
//!     let input = inputs.pop_front().unwrap_or_else(|| {
//!         now = engine.deadline().expect("a request waits, so that there is a deadline");
//!         Input::Tick
//!     });
//!     engine.handle(now, input);
//! };
//! assert!(answer.contains(r#""id":1,"result""#) && now > Instant::ZERO);
//! # Ok::<(), mcp_reconnect_core::OptionsError>(())
//! ```
//!
//! `examples/client.rs` in the crate is a driver with sockets and a clock.
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
pub use engine::{Engine, HeaderError, OptionsError};
pub use recovery::{Lost, Recovery};
pub use wire::{http, scan, sse, url};
