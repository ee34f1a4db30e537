//! Standard input as lines. A pipe or socket is read as soon as the system says that it can be; anything else on a thread
//! of its own: a read that waits cannot be cancelled, and must hold up neither the runtime nor the end of the process.

use std::io::{ErrorKind, Read};

#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::sync::mpsc;

use super::lines::{Line, Splitter};
use super::readiness;

/// The largest read.
const CHUNK: usize = 64 << 10;
/// Batches of lines that wait. A batch is what one read completed, so at most one long line and a chunk of others.
const BATCHES: usize = 2;

/// The lines of stdin.
pub enum Lines {
    /// Read when there is something.
    #[cfg(unix)]
    Ready(Box<Ready>),
    /// Read by a thread.
    Thread(mpsc::Receiver<Vec<Line>>),
}

impl Lines {
    /// Begins to read.
    pub fn stdin(limit: usize) -> std::io::Result<Self> {
        #[cfg(unix)]
        if let Some(ready) = Ready::new(limit) {
            return Ok(Self::Ready(Box::new(ready)));
        }
        let (sender, receiver) = mpsc::channel(BATCHES);
        std::thread::Builder::new().name("stdin".into()).spawn(move || read(limit, &sender))?;
        Ok(Self::Thread(receiver))
    }

    /// The lines that one read completed. `None` after the end of the input.
    pub async fn next(&mut self) -> Option<Vec<Line>> {
        match self {
            #[cfg(unix)]
            Self::Ready(ready) => ready.next().await,
            Self::Thread(receiver) => receiver.recv().await,
        }
    }
}

/// Standard input that tells when it can be read. It stays blocking, since others may share it: a read follows only on a
/// `poll` that says it will not wait.
#[cfg(unix)]
pub struct Ready {
    stdin: AsyncFd<std::io::Stdin>,
    /// `None` after the end.
    splitter: Option<Splitter>,
    chunk: Vec<u8>,
}

#[cfg(unix)]
impl Ready {
    fn new(limit: usize) -> Option<Self> {
        let stdin = std::io::stdin();
        if !readiness::is_pipe_or_socket(&stdin) {
            return None;
        }
        // SAFETY: standard input stays open as long as the process lives.
        let stdin = unsafe { AsyncFd::register_with_interest(stdin, Interest::READABLE) }.ok()?;
        Some(Self { stdin, splitter: Some(Splitter::new(limit)), chunk: vec![0; CHUNK] })
    }

    async fn next(&mut self) -> Option<Vec<Line>> {
        let mut lines = Vec::new();
        while lines.is_empty() {
            let splitter = self.splitter.as_mut()?;
            let read = match self.stdin.readable().await {
                Ok(mut guard) => {
                    if !readiness::has_input(self.stdin.get_ref()) {
                        guard.clear_ready();
                        continue;
                    }
                    rustix::io::read(self.stdin.get_ref(), &mut self.chunk[..]).map_err(std::io::Error::from)
                }
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => lines.extend(self.splitter.take()?.finish()),
                Ok(read) => splitter.feed(&self.chunk[..read], &mut lines),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => {
                    tracing::warn!("cannot read stdin, taken as its end: {error}");
                    lines.extend(self.splitter.take()?.finish());
                }
            }
        }
        Some(lines)
    }
}

fn read(limit: usize, batches: &mpsc::Sender<Vec<Line>>) {
    let mut stdin = std::io::stdin().lock();
    let mut splitter = Splitter::new(limit);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match stdin.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // Whoever shares the pipe or terminal may have made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock && readiness::wait_for_input(&stdin) => continue,
            Err(error) => {
                tracing::warn!("cannot read stdin, taken as its end: {error}");
                break;
            }
        };
        let mut lines = Vec::new();
        splitter.feed(&chunk[..read], &mut lines);
        if !lines.is_empty() && batches.blocking_send(lines).is_err() {
            return; // The bridge is ending.
        }
    }
    if let Some(line) = splitter.finish() {
        let _ = batches.blocking_send(vec![line]);
    }
}
