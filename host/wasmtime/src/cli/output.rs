//! Standard output: messages, one a line, and nothing else. A thread writes what cannot be written at once, and what is
//! ready together in one call. A client that does not read holds up the senders, once [`QUEUE_BYTES`] wait, and not the
//! runtime.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::readiness::{self, Direct};

/// Bytes that may wait to be written, rounded up to one message.
const QUEUE_BYTES: u32 = 8 << 20;
/// Bytes that are written in one call, rounded up to one message.
const BATCH_BYTES: usize = 256 << 10;
/// The longest line that is not left to the thread: a longer one is better written beside the other work.
const DIRECT_BYTES: usize = 16 << 10;

/// The end of stdout: the client closed it, or it cannot be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed;

/// Where messages go.
#[derive(Clone)]
pub struct Output {
    queue: mpsc::UnboundedSender<Queued>,
    room: Arc<Semaphore>,
    /// Messages that the thread has not written yet.
    unwritten: Arc<AtomicUsize>,
    /// Writes what can be written without waiting, which saves a switch of threads.
    direct: Option<Direct>,
}

/// Resolves when all messages are written and every [`Output`] is dropped, or when stdout is closed.
pub type Finished = oneshot::Receiver<()>;

struct Queued {
    /// A line, or what is left of it.
    bytes: Vec<u8>,
    /// Its share of [`QUEUE_BYTES`], given back when it is written; the rest of a line has none.
    _room: Option<OwnedSemaphorePermit>,
}

impl Output {
    /// Begins to write to stdout.
    pub fn stdout() -> std::io::Result<(Self, Finished)> {
        // Not `std::io::stdout`, whose buffer looks for line ends and keeps what a failed write left.
        Self::new(unbuffered_stdout()?, Direct::stdout())
    }

    fn new(writer: impl Write + Send + 'static, direct: Option<Direct>) -> std::io::Result<(Self, Finished)> {
        let (queue, queued) = mpsc::unbounded_channel();
        let (finish, finished) = oneshot::channel();
        let unwritten = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&unwritten);
        std::thread::Builder::new().name("stdout".into()).spawn(move || {
            write(writer, queued, &counter);
            let _ = finish.send(());
        })?;
        Ok((Self { queue, room: Arc::new(Semaphore::new(QUEUE_BYTES as usize)), unwritten, direct }, finished))
    }

    /// Writes or queues a message, waiting for room. Of one task at a time: two must not write at once.
    pub async fn send(&self, line: String) -> Result<(), Closed> {
        let mut bytes = line.into_bytes();
        bytes.push(b'\n');
        if let Some(direct) = &self.direct
            && bytes.len() <= DIRECT_BYTES
            && self.unwritten.load(Ordering::Acquire) == 0
        {
            let written = direct.write(&bytes);
            if written == bytes.len() {
                return Ok(());
            }
            if written > 0 {
                bytes.drain(..written);
                // Without a wait, so that nothing comes between the parts of a line.
                return self.enqueue(Queued { bytes, _room: None });
            }
        }
        let share = u32::try_from(bytes.len()).unwrap_or(QUEUE_BYTES).min(QUEUE_BYTES);
        let room = self.room.clone().acquire_many_owned(share).await.map_err(|_| Closed)?;
        self.enqueue(Queued { bytes, _room: Some(room) })
    }

    fn enqueue(&self, queued: Queued) -> Result<(), Closed> {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
        self.queue.send(queued).map_err(|_| Closed)
    }
}

fn write(mut writer: impl Write, mut queued: mpsc::UnboundedReceiver<Queued>, unwritten: &AtomicUsize) {
    while let Some(first) = queued.blocking_recv() {
        if let Err(error) = write_batch(&mut writer, first, &mut queued, unwritten) {
            tracing::debug!("stdout is closed: {error}");
            return;
        }
    }
}

/// Writes a message, and those that wait behind it.
fn write_batch(
    writer: &mut impl Write,
    first: Queued,
    queued: &mut mpsc::UnboundedReceiver<Queued>,
    unwritten: &AtomicUsize,
) -> std::io::Result<()> {
    let mut batch = Vec::new();
    let mut count = 0;
    let mut next = Some(first);
    while let Some(Queued { bytes, _room }) = next {
        count += 1;
        if bytes.len() < BATCH_BYTES {
            batch.extend_from_slice(&bytes);
        } else {
            // Not copied: it may be huge.
            write_all(writer, &batch)?;
            batch.clear();
            write_all(writer, &bytes)?;
        }
        next = if batch.len() < BATCH_BYTES { queued.try_recv().ok() } else { None };
    }
    write_all(writer, &batch)?;
    unwritten.fetch_sub(count, Ordering::Release);
    Ok(())
}

fn write_all(writer: &mut impl Write, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Whoever shares the pipe or terminal may have made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock && readiness::wait_for_output() => {}
            Err(error) => return Err(error),
        }
    }
    writer.flush()
}

#[cfg(unix)]
fn unbuffered_stdout() -> std::io::Result<impl Write + Send + 'static> {
    use std::os::fd::AsFd;
    Ok(std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn unbuffered_stdout() -> std::io::Result<impl Write + Send + 'static> {
    use std::os::windows::io::AsHandle;
    Ok(std::fs::File::from(std::io::stdout().as_handle().try_clone_to_owned()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// What was given to a writer, one entry a call.
    type Written = Arc<Mutex<Vec<Vec<u8>>>>;

    /// A writer that waits for leave before each write and keeps what it was given.
    struct Gated(Receiver<()>, Written);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.recv().map_err(|_| std::io::ErrorKind::BrokenPipe)?;
            self.1.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Output, Finished, SyncSender<()>, Written) {
        let (leave, gate) = sync_channel(1000);
        let written = Written::default();
        let (output, finished) = Output::new(Gated(gate, written.clone()), None).unwrap();
        (output, finished, leave, written)
    }

    #[tokio::test]
    async fn messages_are_lines_in_order_and_batched() {
        let (output, finished, leave, written) = gated();
        for number in 0..100 {
            output.send(number.to_string()).await.unwrap();
        }
        for _ in 0..100 {
            leave.send(()).unwrap();
        }
        drop(output);
        finished.await.unwrap();
        let written = written.lock().unwrap();
        let all: String = written.iter().map(|bytes| std::str::from_utf8(bytes).unwrap()).collect();
        assert_eq!(all, (0..100).map(|number| format!("{number}\n")).collect::<String>());
        assert!(written.len() <= 3, "{} writes", written.len());
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_up_the_sender() {
        let (output, _finished, leave, _written) = gated();
        output.send("x".repeat(QUEUE_BYTES as usize)).await.unwrap();
        let mut second = std::pin::pin!(output.send("y".into()));
        assert!(futures::poll!(&mut second).is_pending());
        leave.send(()).unwrap();
        second.await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_stdout_is_told() {
        let (output, finished, leave, _written) = gated();
        drop(leave);
        output.send("lost".into()).await.unwrap();
        finished.await.unwrap();
        assert_eq!(output.send("refused".into()).await, Err(Closed));
    }
}
