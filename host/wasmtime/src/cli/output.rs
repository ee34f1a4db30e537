//! Standard output, written by one thread: messages, one a line, and nothing else. What is ready together is written
//! together. A client that does not read holds up the senders, once [`QUEUE_BYTES`] wait, and not the runtime.

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::readiness;

/// Bytes that may wait to be written, rounded up to one message.
const QUEUE_BYTES: u32 = 8 << 20;
/// Bytes that are written in one call, rounded up to one message.
const BATCH_BYTES: usize = 256 << 10;

/// The end of stdout: the client closed it, or it cannot be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed;

/// Where messages go.
#[derive(Clone)]
pub struct Output {
    queue: mpsc::UnboundedSender<Queued>,
    room: Arc<Semaphore>,
}

/// Resolves when all messages are written and every [`Output`] is dropped, or when stdout is closed.
pub type Finished = oneshot::Receiver<()>;

struct Queued {
    line: String,
    /// Its share of [`QUEUE_BYTES`], given back when it is written.
    _room: OwnedSemaphorePermit,
}

impl Output {
    /// Begins to write to stdout.
    pub fn stdout() -> std::io::Result<(Self, Finished)> {
        // Not `std::io::stdout`, whose buffer looks for line ends and keeps what a failed write left.
        Self::new(unbuffered_stdout()?)
    }

    fn new(writer: impl Write + Send + 'static) -> std::io::Result<(Self, Finished)> {
        let (queue, queued) = mpsc::unbounded_channel();
        let (finish, finished) = oneshot::channel();
        std::thread::Builder::new().name("stdout".into()).spawn(move || {
            write(writer, queued);
            let _ = finish.send(());
        })?;
        Ok((Self { queue, room: Arc::new(Semaphore::new(QUEUE_BYTES as usize)) }, finished))
    }

    /// Queues a message, waiting for room.
    pub async fn send(&self, line: String) -> Result<(), Closed> {
        let share = u32::try_from(line.len()).unwrap_or(QUEUE_BYTES).min(QUEUE_BYTES);
        let room = self.room.clone().acquire_many_owned(share).await.map_err(|_| Closed)?;
        self.queue.send(Queued { line, _room: room }).map_err(|_| Closed)
    }
}

fn write(mut writer: impl Write, mut queued: mpsc::UnboundedReceiver<Queued>) {
    let mut batch = Vec::new();
    while let Some(first) = queued.blocking_recv() {
        batch.clear();
        append(&mut batch, first);
        while batch.len() < BATCH_BYTES
            && let Ok(next) = queued.try_recv()
        {
            append(&mut batch, next);
        }
        if let Err(error) = write_all(&mut writer, &batch) {
            tracing::debug!("stdout is closed: {error}");
            return;
        }
        // One huge message must not make the buffer huge for ever.
        batch.shrink_to(BATCH_BYTES);
    }
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

fn append(batch: &mut Vec<u8>, queued: Queued) {
    batch.reserve(queued.line.len() + 1);
    batch.extend_from_slice(queued.line.as_bytes());
    batch.push(b'\n');
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
        let (output, finished) = Output::new(Gated(gate, written.clone())).unwrap();
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
        let message = "x".repeat(QUEUE_BYTES as usize);
        output.send(message.clone()).await.unwrap(); // Written, or waiting for the gate.
        output.send("y".into()).await.unwrap(); // Fits only once the first was taken from the queue.
        let mut third = std::pin::pin!(output.send(message));
        assert!(futures::poll!(&mut third).is_pending());
        leave.send(()).unwrap();
        leave.send(()).unwrap();
        third.await.unwrap();
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
