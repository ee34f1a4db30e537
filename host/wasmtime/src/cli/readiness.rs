//! Waiting for stdin and stdout where they are non-blocking. Each returns whether trying again makes sense.

#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, poll};

/// Waits until stdin has something to read, or has ended.
#[cfg(unix)]
pub fn wait_for_input(stdin: &std::io::StdinLock<'_>) -> bool {
    wait(PollFd::new(stdin, PollFlags::IN))
}

/// Waits until stdout takes bytes, or is closed.
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
