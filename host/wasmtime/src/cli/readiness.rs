//! Reading and writing standard streams without waiting, and waiting for them where they are non-blocking.

#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(unix)]
use std::os::unix::fs::FileTypeExt;

#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits until stdin has something to read, or has ended. Returns whether trying again makes sense.
#[cfg(unix)]
pub fn wait_for_input(stdin: &std::io::StdinLock<'_>) -> bool {
    wait(PollFd::new(stdin, PollFlags::IN))
}

/// Waits until stdout takes bytes, or is closed. Returns whether trying again makes sense.
#[cfg(unix)]
pub fn wait_for_output() -> bool {
    wait(PollFd::new(&std::io::stdout(), PollFlags::OUT))
}

#[cfg(unix)]
fn wait(fd: PollFd<'_>) -> bool {
    loop {
        match poll(&mut [fd.clone()], None) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.is_ok(),
        }
    }
}

/// Standard streams are always blocking here.
#[cfg(not(unix))]
pub fn wait_for_input(_stdin: &std::io::StdinLock<'_>) -> bool {
    false
}

/// Standard streams are always blocking here.
#[cfg(not(unix))]
pub fn wait_for_output() -> bool {
    false
}

/// Whether a read gives something at once: bytes, the end, or an error.
#[cfg(unix)]
pub fn has_input(fd: impl AsFd) -> bool {
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Whether the stream is a pipe or a socket, as clients use them. These tell by `poll` what would wait; terminals and files
/// do not always.
#[cfg(unix)]
pub fn is_pipe_or_socket(fd: impl AsFd) -> bool {
    let Ok(file) = fd.as_fd().try_clone_to_owned().map(std::fs::File::from) else { return false };
    file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo() || metadata.file_type().is_socket())
}

/// Standard output, for writes that do not wait. The stream is left blocking: whoever shares it relies on that.
#[derive(Clone)]
pub struct Direct(());

#[cfg(unix)]
impl Direct {
    /// What a pipe takes without waiting once `poll` calls it writable (POSIX: `PIPE_BUF`); a socket takes more.
    const PIECE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

    /// `None` where nobody can tell whether a write would wait.
    pub fn stdout() -> Option<Self> {
        is_pipe_or_socket(std::io::stdout()).then_some(Self(()))
    }

    /// Writes what can be written now; tells how much that was. Errors are left to who writes the rest.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let stdout = std::io::stdout();
        let mut written = 0;
        while written < bytes.len() {
            let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
            let now = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
            if now.is_err() || fds[0].revents() != PollFlags::OUT {
                break;
            }
            let piece = &bytes[written..bytes.len().min(written + Self::PIECE)];
            match rustix::io::write(&stdout, piece) {
                Ok(more) if more > 0 => written += more,
                _ => break,
            }
        }
        written
    }
}

#[cfg(not(unix))]
impl Direct {
    /// Nobody can tell here whether a write would wait.
    pub fn stdout() -> Option<Self> {
        None
    }

    /// Writes nothing.
    pub fn write(&self, _bytes: &[u8]) -> usize {
        0
    }
}
