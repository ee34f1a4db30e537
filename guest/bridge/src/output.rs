//! Standard output: messages, one a line, and nothing else. What the client does not take waits here.

use alloc::collections::VecDeque;

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
    queue: VecDeque<u8>,
}

impl Output {
    /// Nothing waits yet.
    pub fn new() -> Self {
        let stream = get_stdout();
        Self { writable: stream.subscribe(), stream, queue: VecDeque::new() }
    }

    /// Is ready when more can be written.
    pub fn writable(&self) -> &Pollable {
        &self.writable
    }

    /// Whether something waits to be written.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether so much waits that nothing may be added.
    pub fn is_full(&self) -> bool {
        self.queue.len() >= QUEUE_BYTES
    }

    /// Adds a message to what is to be written.
    pub fn push(&mut self, line: &str) {
        self.queue.reserve(line.len() + 1);
        self.queue.extend(line.as_bytes());
        self.queue.push_back(b'\n');
    }

    /// Writes what can be written without waiting.
    pub fn write(&mut self) -> Result<(), Closed> {
        if !self.is_waiting() {
            return Ok(());
        }
        while self.is_waiting() {
            let room = usize::try_from(self.stream.check_write().map_err(|_| Closed)?).unwrap_or(usize::MAX);
            if room == 0 {
                return Ok(());
            }
            // The rest, where the queue begins anew, comes next time round.
            let (first, _) = self.queue.as_slices();
            let now = first.len().min(room);
            self.stream.write(&first[..now]).map_err(|_| Closed)?;
            self.queue.drain(..now);
        }
        self.queue.shrink_to(KEPT_BYTES);
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
}
