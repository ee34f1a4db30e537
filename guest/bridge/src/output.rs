//! Standard output: messages, one a line, and nothing else. What the client does not take waits here.

use alloc::vec::Vec;

use crate::bindings::wasi::cli::stdout::get_stdout;
use crate::bindings::wasi::io::poll::{Pollable, poll};
use crate::bindings::wasi::io::streams::OutputStream;

/// Bytes that may wait to be written, rounded up to what one `receive` gives.
const QUEUE_BYTES: usize = 8 << 20;
/// A buffer that has grown beyond this is given back once it is empty.
const KEPT_BYTES: usize = 256 << 10;

/// The client closed stdout, or it cannot be written.
#[derive(Debug)]
pub struct Closed;

/// Standard output. The pollable goes before its stream, or that traps.
pub struct Output {
    writable: Pollable,
    stream: OutputStream,
    queue: Vec<u8>,
    /// How much of the queue was written.
    written: usize,
}

impl Output {
    /// Nothing waits yet.
    pub fn new() -> Self {
        let stream = get_stdout();
        Self { writable: stream.subscribe(), stream, queue: Vec::new(), written: 0 }
    }

    /// Is ready when more can be written.
    pub fn writable(&self) -> &Pollable {
        &self.writable
    }

    /// Whether something waits to be written.
    pub fn is_waiting(&self) -> bool {
        self.written < self.queue.len()
    }

    /// Whether so much waits that nothing may be added.
    pub fn is_full(&self) -> bool {
        self.queue.len() - self.written >= QUEUE_BYTES
    }

    /// Adds a message to what is to be written.
    pub fn push(&mut self, line: &str) {
        self.queue.reserve(line.len() + 1);
        self.queue.extend_from_slice(line.as_bytes());
        self.queue.push(b'\n');
    }

    /// Writes what can be written without waiting.
    pub fn write(&mut self) -> Result<(), Closed> {
        if !self.is_waiting() {
            return Ok(());
        }
        while self.is_waiting() {
            let room = usize::try_from(self.stream.check_write().map_err(|_| Closed)?).unwrap_or(usize::MAX);
            if room == 0 {
                self.forget_written();
                return Ok(());
            }
            let rest = &self.queue[self.written..];
            let now = &rest[..rest.len().min(room)];
            self.stream.write(now).map_err(|_| Closed)?;
            self.written += now.len();
        }
        self.forget_written();
        self.stream.flush().map_err(|_| Closed)
    }

    /// Writes all that waits, for a program that does nothing else.
    pub fn write_all(&mut self) -> Result<(), Closed> {
        self.write()?;
        while self.is_waiting() {
            poll(&[&self.writable]);
            self.write()?;
        }
        Ok(())
    }

    /// Makes room in the queue, once at least half of it was written: then a byte is moved at most once on average.
    fn forget_written(&mut self) {
        if self.written * 2 >= self.queue.len() {
            self.queue.drain(..self.written);
            self.written = 0;
            if self.queue.is_empty() {
                self.queue.shrink_to(KEPT_BYTES);
            }
        }
    }
}
