//! The child processes of the demo. None outlives it: each is killed when its handle is dropped, and ends by itself when
//! the pipe to its stdin closes, should the demo itself be killed.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use super::Transport;

/// How long a child may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The MCP server.
pub struct Server {
    child: Child,
    /// Open for as long as the server is to live.
    _stdin: ChildStdin,
    journal: watch::Receiver<Vec<String>>,
}

impl Server {
    /// Starts it and waits until it listens.
    pub async fn start(transport: Transport, port: u16) -> anyhow::Result<Self> {
        let mut child = this_program()?
            .args(["demo-server", "--transport", transport.name(), "--port", &port.to_string()])
            .args(["--journal", "--exit-on-stdin-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the demo server")?;
        let stdin = child.stdin.take().context("the demo server has no stdin")?;
        let stdout = child.stdout.take().context("the demo server has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        match first.context("the demo server did not start in time")?? {
            Some(line) if line.starts_with("listening on ") => {}
            _ => bail!("the demo server did not start; is port {port} in use?"),
        }
        Ok(Self { child, _stdin: stdin, journal: journal(lines) })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// What it has reported until now: its sessions and calls.
    pub fn journal(&self) -> Vec<String> {
        self.journal.borrow().clone()
    }

    /// Waits until it has reported this line.
    pub async fn reports(&mut self, line: &str) -> anyhow::Result<()> {
        let seen = self.journal.wait_for(|lines| lines.iter().any(|seen| seen == line));
        tokio::time::timeout(PATIENCE, seen)
            .await
            .with_context(|| format!("the demo server did not report '{line}' in time"))?
            .map(|_| ())
            .with_context(|| format!("the demo server ended before it reported '{line}'"))
    }

    /// `kill -9`. Returns when it is dead, with all that it had reported.
    pub async fn kill(mut self) -> anyhow::Result<Vec<String>> {
        self.child.kill().await.context("cannot kill the demo server")?;
        // The pipe still holds what was written before the end; the sender goes when all is read.
        while self.journal.changed().await.is_ok() {}
        Ok(self.journal())
    }
}

/// Collects the lines as they come.
fn journal(mut lines: Lines<BufReader<ChildStdout>>) -> watch::Receiver<Vec<String>> {
    let (sender, receiver) = watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|lines| lines.push(line));
        }
    });
    receiver
}

/// Starts the bridge. Its three pipes are the caller's.
pub fn bridge(url: &str) -> anyhow::Result<Child> {
    // The demo trusts its own server, so the read-only call may be sent again.
    this_program()?
        .args(["--trust-annotations", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the bridge")
}

/// Waits for the end of the bridge, whose stdin was closed. Returns whether it ended in time and said that all is well.
pub async fn ended_well(bridge: &mut Child) -> bool {
    matches!(tokio::time::timeout(PATIENCE, bridge.wait()).await, Ok(Ok(status)) if status.success())
}

fn this_program() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    command.kill_on_drop(true);
    Ok(command)
}

/// A free port that stays free while the server is down: not one of those that the system gives to outgoing connections,
/// the bridge's own attempts to reconnect among them.
pub fn free_port() -> anyhow::Result<u16> {
    let first = std::process::id();
    for step in 0..1000 {
        let port = 20_000 + u16::try_from((first + step * 7919) % 12_000)?;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between 20000 and 32000")
}
