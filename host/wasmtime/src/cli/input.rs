//! Standard input as lines, read on a thread of its own: a read from it cannot be cancelled, and must hold up neither the
//! runtime nor the end of the process.

use std::io::{ErrorKind, Read};

use tokio::sync::mpsc;

use super::lines::{Line, Splitter};
use super::readiness;

/// The largest read.
const CHUNK: usize = 64 << 10;
/// Batches of lines that wait. A batch is what one read completed, so at most one long line and a chunk of others.
const BATCHES: usize = 2;

/// Begins to read. The channel gives the lines that each read completed, and ends with the input.
pub fn lines(limit: usize) -> std::io::Result<mpsc::Receiver<Vec<Line>>> {
    let (sender, receiver) = mpsc::channel(BATCHES);
    std::thread::Builder::new().name("stdin".into()).spawn(move || read(limit, &sender))?;
    Ok(receiver)
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
