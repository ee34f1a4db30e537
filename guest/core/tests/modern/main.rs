//! The versions without sessions (MCP 2026-07-28): stories about what passes through, what survives a restart, and how it is
//! found out which versions a server speaks.

mod credentials;
mod details;
mod era;
mod listen;
mod pass_through;
mod restarts;
mod rig;
mod seldom;
mod simulated;
mod translated;
