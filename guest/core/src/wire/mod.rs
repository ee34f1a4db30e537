//! What is read from the network and from the client: JSON, server-sent events, URLs, headers. Nothing here knows the engine.

pub(crate) mod buffer;
pub(crate) mod cookies;
pub mod http;
pub(crate) mod json;
pub(crate) mod modern;
pub mod scan;
pub(crate) mod spelling;
pub mod sse;
pub mod url;
pub(crate) mod utf8;
