//! A reconnecting MCP client transport for Rust programs: JSON-RPC messages in, JSON-RPC messages and lifecycle events out,
//! over Streamable HTTP or HTTP+SSE. The server may go away and come back: every request gets exactly one answer, nothing
//! that may have run is silently run again, and nothing waits for ever.
//!
//! The protocol lives in a WebAssembly component, the same on every host of this project; this crate carries it as machine
//! code, runs it with Wasmtime and does the I/O that it asks for.
//!
//! ```no_run
//! use mcp_reconnect::{Event, Options, connect};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (sender, mut receiver) = connect(Options::new("https://jarvis.internal/mcp")).await?;
//! sender
//!     .send(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"example","version":"1"}}}"#)
//!     .await?;
//! while let Some(event) = receiver.receive().await {
//!     match event {
//!         Event::Message(text) => {
//!             println!("{text}");
//!             sender.close().await;
//!         }
//!         Event::Disconnected { reason, .. } => eprintln!("lost the server: {reason}"),
//!         Event::Reconnected { .. } => eprintln!("and it is back"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod component;
mod connect;
mod connection;
mod convert;
mod decode;
mod dns;
mod engine_config;
mod error;
mod event;
mod exchange;
mod http;
mod http_error;
mod http_options;
#[cfg(feature = "oauth")]
pub mod oauth;
mod options;
mod pool;
pub mod probe;
mod proxy;
#[cfg(feature = "rmcp")]
pub mod rmcp;
mod tls;
mod tls_error;
mod watchdog;

pub use component::component_wasm;
pub use connection::{Receiver, Sender, connect};
pub use error::{OpenError, SendError, SetHeadersError};
pub use event::{Event, Level, SessionInfo, State, Status, Transport};
pub use http_options::HttpOptions;
pub use options::{Options, TransportChoice};
