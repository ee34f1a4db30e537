//! A world for an engine to live in: a virtual clock, a network that fails on request, a model of an MCP server, and a
//! client that keeps count. Everything is deterministic; a run is a function of its script and its seed.
//!
//! [`World`] owns the parts and runs them; `net` carries bytes, `server` is the model, `client` is the engine's client,
//! `check` holds what must always be true, and `plan` makes random runs of it all.

// Every test file uses its own part of this.
#![allow(dead_code)]

pub mod check;
pub mod client;
pub mod herd;
pub mod history;
pub mod net;
pub mod plan;
pub mod random;
pub mod server;
pub mod waits;
pub mod world;

#[allow(unused_imports)]
pub use client::{Answer, Tag};
#[allow(unused_imports)]
pub use mcp_reconnect_core::{
    Event, ExchangeId, Failure, Input, Instant, MILLISECOND, Method, Options, Output, SECOND, State, Transport,
    TransportChoice, errors,
};
#[allow(unused_imports)]
pub use net::Fate;
#[allow(unused_imports)]
pub use server::{Get, Knobs, Lost, Offer, Reply, Resume};
#[allow(unused_imports)]
pub use std::time::Duration;
#[allow(unused_imports)]
pub use world::{Fault, World};

/// Where the model server is.
pub const URL: &str = "http://server.test:9000/mcp";
