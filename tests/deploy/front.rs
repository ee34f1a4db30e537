//! A program that stands before servers: installed, started on a port that stays its own, ended with its children.

use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;

use super::support::port::Port;
use super::support::process::Process;
use super::support::{PATIENCE, install, poll};

/// A proxy's process.
pub struct Front {
    program: String,
    /// Where it listens.
    pub port: Port,
    process: Option<Process>,
    /// Processes that another one has taken over from, and that end when they are done.
    leaving: Vec<Process>,
}

impl Front {
    /// Nothing is started yet. `package` is where Debian has the program.
    pub fn new(program: &str, package: &str) -> Self {
        let program = install::debian(program, package);
        Self { program, port: Port::reserve(), process: None, leaving: Vec::new() }
    }

    /// Starts it, and waits until it accepts connections.
    pub fn start(&mut self, prepare: impl FnOnce(&mut Command)) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = Command::new(&self.program);
        prepare(&mut command);
        // Its workers would outlive it if it were killed.
        self.process = Some(Process::start_with(&mut command, Signal::TERM));
        let port = self.port.number();
        let process = self.process.as_mut().expect("just started");
        poll(&format!("{} accepts connections", self.program), PATIENCE, || {
            if let Some(status) = process.exited() {
                process.stderr.ended(PATIENCE);
                panic!("{} ended at its start ({status}):\n{}", self.program, process.stderr.text());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// Starts one that takes over from the one there is, whose id is given.
    pub fn succeed(&mut self, prepare: impl FnOnce(u32, &mut Command)) {
        let old = self.process.take().expect("it runs");
        let id = old.id();
        self.leaving.push(old);
        self.start(|command| prepare(id, command));
        // The old one has stopped listening when all that is open to it is what was open before.
        let old = self.leaving.last_mut().expect("just added");
        let listens = |id: u32| listening(id, self.port.number());
        poll("the old process listens no more", PATIENCE, || (old.exited().is_some() || !listens(id)).then_some(()));
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// Waits until a line of its log was written so often.
    pub fn wait_for_log(&self, words: &str, times: u32) {
        let process = self.process.as_ref().expect("it runs");
        let mut seen = 0;
        let found = process.stderr.find(0, PATIENCE, |_, line| {
            seen += u32::from(line.contains(words));
            (seen == times).then_some(())
        });
        assert!(found.is_some(), "{}: {words} was not logged {times} times:\n{}", self.program, process.stderr.text());
    }

    /// Ends it, if it runs.
    pub fn stop(&mut self, signal: Signal) {
        for mut process in self.process.take().into_iter().chain(self.leaving.drain(..)) {
            if process.exited().is_none() {
                process.signal(signal);
            }
            if process.wait(PATIENCE).is_none() {
                process.kill();
            }
            if std::thread::panicking() {
                eprintln!("--- {}:\n{}", self.program, process.stderr.text());
            }
        }
    }
}

/// Whether the process has a socket that listens on this port.
fn listening(id: u32, port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let local = format!(":{port:04X}");
    let inodes: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(1).is_some_and(|address| address.ends_with(&local)) && fields.get(3) == Some(&"0A"))
        .filter_map(|fields| fields.get(9).map(|inode| format!("socket:[{inode}]")))
        .collect();
    let Ok(files) = std::fs::read_dir(format!("/proc/{id}/fd")) else { return false };
    files.flatten().any(|file| {
        std::fs::read_link(file.path()).is_ok_and(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
    })
}
