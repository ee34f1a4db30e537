//! A bridge as a child process, driven over its pipes by one thread that never blocks on writing.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{Failure, Load, Notes, PATIENCE, Tally, Underway};
use crate::messages::{Era, Incoming, Tool, read};

/// What is read at once; a pipe holds 64 KiB.
const CHUNK: usize = 128 << 10;

/// A running bridge. Killed when dropped.
pub struct Pipes {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// What has been read; `unread` is what no line was made of, `searched` where no line feed was found before.
    buffer: Vec<u8>,
    unread: Range<usize>,
    searched: usize,
    outgoing: Vec<u8>,
    next: u64,
    era: Era,
}

impl Pipes {
    /// Starts it, and its session; the time is that from exec to the answer to `initialize`.
    pub fn start(command: &mut Command) -> Result<(Self, Duration), Failure> {
        Self::start_in(Era::Sessions, command)
    }

    /// Starts it for a client of these versions; the time is that from exec to the first answer.
    pub fn start_in(era: Era, command: &mut Command) -> Result<(Self, Duration), Failure> {
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("does not start: {error}"))?;
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        unblock(&stdin);
        unblock(&stdout);
        let mut pipes = Self {
            child,
            stdin,
            stdout,
            buffer: vec![0; CHUNK],
            unread: 0..0,
            searched: 0,
            outgoing: Vec::new(),
            next: 1,
            era,
        };
        pipes.queue(&era.first());
        pipes.answer(0, PATIENCE)??;
        let time = began.elapsed();
        if let Some(then) = era.then() {
            pipes.queue(then);
            pipes.flush()?;
        }
        Ok((pipes, time))
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Keeps calls under way as `load` says.
    pub fn load(&mut self, load: &Load) -> Result<Tally, Failure> {
        let mut underway = Underway::new(self.next);
        loop {
            while underway.wants_more(load) {
                let id = underway.begin();
                self.queue(&self.era.call(id, Tool::Echo));
            }
            if underway.open == 0 {
                self.next += underway.begun.len() as u64;
                return Ok(underway.tally);
            }
            // All lines that are there, then new calls in their place.
            let mut line = Some(self.wait(Instant::now() + PATIENCE)?);
            while let Some(range) = line {
                match read(&self.buffer[range]) {
                    Incoming::Result(id) => underway.end(id)?,
                    Incoming::Failed(_, why) => return Err(why),
                    Incoming::Question(answer) => self.queue(&answer),
                    Incoming::Note | Incoming::Other => {}
                }
                line = self.line();
            }
        }
    }

    /// The time of one call.
    pub fn call(&mut self, tool: Tool, patience: Duration) -> Result<Duration, Failure> {
        let began = Instant::now();
        let id = self.send(tool)?;
        Ok(self.answer(id, patience)?? - began)
    }

    /// Begins a call.
    pub fn send(&mut self, tool: Tool) -> Result<u64, Failure> {
        let id = self.next;
        self.next += 1;
        self.queue(&self.era.call(id, tool));
        self.flush()?;
        Ok(id)
    }

    /// When the answer to a call arrived; the inner error is the one that the call was answered with.
    pub fn answer(&mut self, wanted: u64, patience: Duration) -> Result<Result<Instant, Failure>, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let (id, outcome) = self.answer_of_any(deadline.saturating_duration_since(Instant::now()))?;
            if id == wanted {
                return Ok(outcome);
            }
        }
    }

    /// The next answer to any call.
    pub fn answer_of_any(&mut self, patience: Duration) -> Result<(u64, Result<Instant, Failure>), Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let range = self.wait(deadline)?;
            let arrived = Instant::now();
            match read(&self.buffer[range]) {
                Incoming::Result(id) => return Ok((id, Ok(arrived))),
                Incoming::Failed(id, why) => return Ok((id, Err(why))),
                Incoming::Question(answer) => self.queue(&answer),
                Incoming::Note | Incoming::Other => {}
            }
        }
    }

    /// A call with `count` notifications. Those that come after the answer count too, if they come within a second.
    pub fn notes(&mut self, count: usize) -> Result<Notes, Failure> {
        let began = Instant::now();
        let wanted = self.send(Tool::Notify(count))?;
        let mut notes = Notes { arrived: 0, time: Duration::ZERO };
        let mut answered = false;
        while !answered || notes.arrived < count {
            let patience = if answered { Duration::from_secs(1) } else { PATIENCE };
            let Ok(range) = self.wait(Instant::now() + patience) else {
                if answered {
                    break;
                }
                return Err("no answer".to_owned());
            };
            match read(&self.buffer[range]) {
                Incoming::Note => {
                    notes.arrived += 1;
                    notes.time = began.elapsed();
                }
                Incoming::Result(id) if id == wanted => answered = true,
                Incoming::Failed(id, why) if id == wanted => return Err(why),
                Incoming::Question(answer) => self.queue(&answer),
                _ => {}
            }
        }
        Ok(notes)
    }

    fn queue(&mut self, message: &str) {
        self.outgoing.extend_from_slice(message.as_bytes());
        self.outgoing.push(b'\n');
    }

    /// Waits for a line, and writes meanwhile.
    fn wait(&mut self, deadline: Instant) -> Result<Range<usize>, Failure> {
        loop {
            if let Some(line) = self.line() {
                return Ok(line);
            }
            self.flush()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("no answer".to_owned());
            }
            let mut fds = vec![PollFd::from_borrowed_fd(self.stdout.as_fd(), PollFlags::IN)];
            if !self.outgoing.is_empty() {
                fds.push(PollFd::from_borrowed_fd(self.stdin.as_fd(), PollFlags::OUT));
            }
            let time = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut fds, Some(&time)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("poll: {error}")),
            }
            self.fill()?;
        }
    }

    /// A whole line that has been read.
    fn line(&mut self) -> Option<Range<usize>> {
        let start = self.unread.start;
        match memchr::memchr(b'\n', &self.buffer[self.searched..self.unread.end]) {
            Some(at) => {
                let end = self.searched + at;
                self.unread.start = end + 1;
                self.searched = end + 1;
                Some(start..end)
            }
            None => {
                self.searched = self.unread.end;
                None
            }
        }
    }

    /// Reads what there is, without waiting.
    fn fill(&mut self) -> Result<(), Failure> {
        if self.unread.is_empty() {
            self.unread = 0..0;
            self.searched = 0;
        }
        if self.buffer.len() - self.unread.end < CHUNK {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.searched -= self.unread.start;
            self.unread = 0..self.unread.len();
            if self.buffer.len() - self.unread.end < CHUNK {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        match self.stdout.read(&mut self.buffer[self.unread.end..]) {
            Ok(0) => Err("the process ended".to_owned()),
            Ok(count) => {
                self.unread.end += count;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(format!("its stdout: {error}")),
        }
    }

    /// Writes what the pipe takes.
    fn flush(&mut self) -> Result<(), Failure> {
        while !self.outgoing.is_empty() {
            match self.stdin.write(&self.outgoing) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err("the process ended".to_owned()),
            }
        }
        Ok(())
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unblock(fd: impl AsFd) {
    let flags = fcntl_getfl(&fd).expect("an open pipe");
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK).expect("an open pipe");
}
