//! What the engine remembers.

pub(crate) mod cookies;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod timers;
