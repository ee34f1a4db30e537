//! The versions without sessions (MCP 2026-07-28 and later), beside the ones with sessions: which of them a request belongs to
//! is said by the request itself, and both may be in use at once.
//!
//! Such a request passes through as it came, but for its id, and with the headers that repeat what is in it. A restart of the
//! server costs the requests that are in flight, which the replay table decides about, and the streams of notifications, which are
//! opened again without the client's noticing. There is no session to make anew.

mod answer;
pub(crate) use answer::splice_beside;
mod client;
pub(crate) mod link;
mod listen;
mod outcome;
mod send;

/// What the engine asks for by itself in these versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Own {
    /// Whether the server is there, and which versions it speaks.
    Discover,
    /// Which arguments of tools are repeated in headers, for this request; and the page.
    Tools(crate::engine::state::requests::RequestKey, u32),
}
