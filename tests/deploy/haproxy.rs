//! HAProxy as a process.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use super::front::Front;
use super::support::scratch_file;

/// HAProxy with a configuration of the test's. Dropping it ends it.
pub struct Haproxy {
    file: PathBuf,
    front: Front,
}

impl Haproxy {
    /// Starts it with these lines in its one frontend-and-backend; `{listen}` is where it listens.
    pub fn start(lines: &str) -> Self {
        let mut haproxy = Self { file: scratch_file("haproxy.cfg"), front: Front::new("haproxy", "haproxy") };
        haproxy.write(lines);
        haproxy.up();
        haproxy
    }

    /// The MCP endpoint behind it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.front.port.number())
    }

    /// A new process with another configuration takes over; the old one ends with its last connection
    /// (`haproxy -sf`, which is what a reload of the service is).
    pub fn reload(&mut self, lines: &str) {
        self.write(lines);
        let file = self.file.clone();
        self.front.succeed(|old, command| {
            command.arg("-db").arg("-f").arg(file).args(["-sf", &old.to_string()]);
        });
    }

    /// Ends it with all connections.
    pub fn stop(&mut self) {
        self.front.stop(Signal::TERM);
    }

    /// Starts it again.
    pub fn up(&mut self) {
        let file = self.file.clone();
        self.front.start(|command| {
            command.arg("-db").arg("-f").arg(file);
        });
    }

    fn write(&self, lines: &str) {
        let lines = lines.replace("{listen}", &format!("127.0.0.1:{}", self.front.port.number()));
        let config = format!(
            "global
  maxconn 256
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
  retries 1
listen mcp
{lines}
"
        );
        fs::write(&self.file, config).expect("the build folder is writable");
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.front.stop(Signal::TERM);
        let _ = fs::remove_file(&self.file);
    }
}
