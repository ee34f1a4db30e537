//! What a driver sees: inputs and outputs, options, and the errors that the client gets.

pub mod errors;
pub(crate) mod io;
pub(crate) mod options;
pub(crate) mod time;
