//! What the engine remembers.

pub(crate) mod lateness;
pub(crate) mod pause;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod timers;
