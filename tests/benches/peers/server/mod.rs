//! The server: a child process, so that it can be killed, and as plain as can be, so that it is not what is measured.

mod answers;
mod body;
mod serve;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub use answers::PADDING;
pub use serve::serve;

use crate::support::port::Port;

/// The running server. Killed with SIGKILL, by `kill` or when it is dropped.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts it; returns when it listens.
    pub fn start(port: &Port) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .args(["serve", &port.number().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "listening", "the server did not start");
        Self { child }
    }

    /// Kills it; returns when it is gone, and connections are refused.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
