//! Standard input as lines.

use alloc::vec::Vec;

use mcp_reconnect_command::lines::{Line, Splitter};

use crate::bindings::wasi::cli::stdin::get_stdin;
use crate::bindings::wasi::io::poll::Pollable;
use crate::bindings::wasi::io::streams::{InputStream, StreamError};
use crate::log::Log;

/// The largest read.
const CHUNK: u64 = 64 << 10;
/// Full reads in one turn, so that other work gets its turn.
const READS: usize = 4;

/// Standard input. What is no longer needed goes in the order of the fields: a stream that goes before its pollable traps.
pub struct Input {
    readable: Pollable,
    stream: InputStream,
    /// None after the end.
    splitter: Option<Splitter>,
}

impl Input {
    /// Lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let stream = get_stdin();
        Self { readable: stream.subscribe(), stream, splitter: Some(Splitter::new(limit)) }
    }

    /// Is ready when there is something to read, or the end.
    pub fn readable(&self) -> &Pollable {
        &self.readable
    }

    /// Whether all lines were given.
    pub fn is_at_end(&self) -> bool {
        self.splitter.is_none()
    }

    /// The lines that are there, without waiting.
    pub fn lines(&mut self, log: &mut Log) -> Vec<Line> {
        let mut lines = Vec::new();
        for _ in 0..READS {
            let Some(splitter) = &mut self.splitter else { break };
            match self.stream.read(CHUNK) {
                Ok(bytes) => {
                    splitter.feed(&bytes, &mut lines);
                    if (bytes.len() as u64) < CHUNK {
                        break;
                    }
                }
                Err(error) => {
                    if let StreamError::LastOperationFailed(error) = error {
                        let error = error.to_debug_string();
                        log.warn(format_args!("cannot read stdin, taken as its end: {error}"));
                    }
                    lines.extend(self.splitter.take().and_then(Splitter::finish));
                }
            }
        }
        lines
    }
}
