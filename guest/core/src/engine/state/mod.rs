//! What the engine remembers.

pub(crate) mod asides;
pub(crate) mod connection;
pub(crate) mod consequences;
pub(crate) mod cookies;
pub(crate) mod current;
pub(crate) mod cursors;
pub(crate) mod exchanges;
pub(crate) mod handshake;
pub(crate) mod lateness;
pub(crate) mod modern;
pub(crate) mod outbox;
pub(crate) mod pause;
pub(crate) mod probes;
pub(crate) mod progress_tokens;
pub(crate) mod request_table;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod timers;
pub(crate) mod translation;
