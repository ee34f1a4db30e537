//! `mcp_reconnect_core::oauth`, driven by a host in memory: sign-in, refresh, the rules of security, and what a restart of the
//! servers makes them forget.

mod details;
mod failures;
mod restarts;
mod security;
mod sign_in;
mod world;
