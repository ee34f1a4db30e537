//! Commands of the user (`--on-event`, `--header-command`): run by the shell, in a process group of their own, with bounds
//! on what they print and on how long they take. Nothing of theirs reaches the bridge's own stdin and stdout, which are
//! the client's.

use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What is kept of a command's stderr, in bytes. The rest is read and dropped.
const MAX_STDERR: usize = 4 << 10;
/// How long the pipes of a command that has ended are read on: what it wrote is in them, but a process that it left behind
/// may hold them open.
const DRAIN: Duration = Duration::from_millis(100);
/// How long the end of a killed command is waited for.
const REAP: Duration = Duration::from_secs(1);

/// A command to run.
pub struct Job<'a> {
    /// For `sh -c`, or for `cmd /C` on Windows.
    pub command: &'a str,
    /// Variables beside those of the bridge.
    pub environment: &'a [(&'a str, String)],
    /// What it reads on stdin.
    pub input: &'a [u8],
    /// How much it may print on stdout; `None`: what it prints is thrown away.
    pub max_output: Option<usize>,
    /// How long it may run. Then it is killed, with every process of its group.
    pub limit: Duration,
}

/// What a command came to.
pub struct Finished {
    /// How it exited.
    pub status: ExitStatus,
    /// What it printed on stdout.
    pub stdout: Vec<u8>,
    /// The beginning of what it printed on stderr.
    pub stderr: Vec<u8>,
}

/// Why a command came to nothing.
#[derive(Debug)]
pub enum Failure {
    /// It could not be started or watched.
    System(io::Error),
    /// It ran for longer than this, and was killed.
    Late(Duration),
    /// It printed more than this on stdout.
    TooLong(usize),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(formatter, "could not be run: {error}"),
            Self::Late(limit) => write!(formatter, "did not end within {limit:?} and was killed"),
            Self::TooLong(limit) => write!(formatter, "printed more than {limit} bytes"),
        }
    }
}

impl Job<'_> {
    /// Runs the command. Dropping the future kills it.
    pub async fn run(self) -> Result<Finished, Failure> {
        let mut child = self.spawn().map_err(Failure::System)?;
        // After the child, so that it is dropped before it: a process id means something until its process is reaped.
        let mut group = Group::of(&child);
        let result = match timeout(self.limit, self.attend(&mut child)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Late(self.limit)),
        };
        // Reaped children have no id.
        if child.id().is_some() {
            group.kill();
            let _ = child.start_kill();
            let _ = timeout(REAP, child.wait()).await;
        }
        if child.id().is_none() {
            group.release();
        }
        result
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = shell(self.command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(if self.max_output.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stderr(Stdio::piped()).kill_on_drop(true).spawn()
    }

    /// Writes its input, reads its output, and waits for its end, whichever comes first.
    async fn attend(&self, child: &mut Child) -> Result<Finished, Failure> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let limit = self.max_output.unwrap_or_default();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut too_long = false;
        let status = {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // Who does not want to know does not read: no error.
                    let _ = stdin.write_all(self.input).await;
                }
            };
            let read = async {
                // Past the limit the pipe is closed, and the command's next write fails.
                too_long = keep(stdout, limit, &mut out, false).await;
            };
            let mut pipes =
                std::pin::pin!(async { tokio::join!(write, read, keep(stderr, MAX_STDERR, &mut err, true)) });
            tokio::select! {
                status = child.wait() => {
                    let _ = timeout(DRAIN, pipes).await;
                    status
                }
                _ = &mut pipes => child.wait().await,
            }
        };
        match status {
            _ if too_long => Err(Failure::TooLong(limit)),
            Ok(status) => Ok(Finished { status, stdout: out, stderr: err }),
            Err(error) => Err(Failure::System(error)),
        }
    }
}

/// Keeps the first `limit` bytes of a pipe, and with `drain` reads the others and drops them. True: there were more.
async fn keep(pipe: Option<impl AsyncRead + Unpin>, limit: usize, kept: &mut Vec<u8>, drain: bool) -> bool {
    let Some(mut pipe) = pipe else { return false };
    let mut chunk = [0; 4096];
    let mut more = false;
    while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
        let room = limit - kept.len();
        kept.extend_from_slice(&chunk[..read.min(room)]);
        more |= read > room;
        if more && !drain {
            break;
        }
    }
    more
}

/// The beginning of what a command wrote on stderr, on one line and short.
pub fn excerpt(stderr: &[u8]) -> String {
    const LINES: usize = 3;
    const CHARACTERS: usize = 400;
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut excerpt: String = lines.take(LINES).collect::<Vec<_>>().join(" | ");
    if let Some((end, _)) = excerpt.char_indices().nth(CHARACTERS) {
        excerpt.truncate(end);
        excerpt.push('…');
    }
    excerpt
}

#[cfg(unix)]
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).process_group(0);
    command
}

#[cfg(windows)]
fn shell(line: &str) -> Command {
    /// A client with windows must not see one of the console's for each command.
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    let mut command = Command::new("cmd");
    // As it is: `cmd` has quoting rules of its own.
    command.raw_arg("/D /S /C \"").raw_arg(line).raw_arg("\"").creation_flags(CREATE_NO_WINDOW);
    command
}

/// The process group of a child, killed when this is dropped, unless the child has ended by itself.
#[cfg(unix)]
struct Group(Option<rustix::process::Pid>);

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())))
    }

    fn kill(&self) {
        if let Some(leader) = self.0 {
            // Fails only where nobody is left.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }

    /// The child is reaped: its id may be another's from now on.
    fn release(&mut self) {
        self.0 = None;
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Only the shell itself is killed here; what it started ends by itself.
#[cfg(windows)]
struct Group;

#[cfg(windows)]
impl Group {
    fn of(_: &Child) -> Self {
        Self
    }

    fn kill(&self) {}

    fn release(&mut self) {}
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn job(command: &str) -> Job<'_> {
        Job { command, environment: &[], input: b"", max_output: Some(100), limit: Duration::from_secs(10) }
    }

    #[tokio::test]
    async fn a_command_is_run_by_the_shell() {
        let environment = [("GIVEN", "a b".to_owned())];
        let told = Job { environment: &environment, input: b"in", ..job("cat; echo \" $GIVEN\"; echo no >&2; exit 3") };
        let finished = told.run().await.unwrap();
        assert_eq!(finished.stdout, b"in a b\n");
        assert_eq!(finished.stderr, b"no\n");
        assert_eq!(finished.status.code(), Some(3));
    }

    #[tokio::test]
    async fn one_that_reads_nothing_is_no_failure() {
        let input = vec![b'x'; 1 << 20];
        let finished = Job { input: &input, ..job("exec <&-; exit 0") }.run().await.unwrap();
        assert!(finished.status.success());
    }

    #[tokio::test]
    async fn output_is_bounded() {
        assert!(matches!(job("yes").run().await, Err(Failure::TooLong(100))));
        assert!(matches!(job("printf %100s x").run().await, Ok(Finished { stdout, .. }) if stdout.len() == 100));
        let loud = job("head -c 1000000 /dev/zero >&2; echo done").run().await.unwrap();
        assert_eq!((loud.stdout.as_slice(), loud.stderr.len()), (&b"done\n"[..], MAX_STDERR));
        let silent = Job { max_output: None, ..job("yes | head -c 1000000") }.run().await.unwrap();
        assert!(silent.stdout.is_empty());
    }

    /// Another process keeps the pipes open: nobody waits for it, and it is left alone.
    #[tokio::test]
    async fn what_it_leaves_behind_is_not_waited_for() {
        let started = std::time::Instant::now();
        let finished = job("sleep 60 & echo $!").run().await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(10));
        let left: i32 = String::from_utf8(finished.stdout).unwrap().trim().parse().unwrap();
        let left = rustix::process::Pid::from_raw(left).unwrap();
        rustix::process::kill_process(left, rustix::process::Signal::KILL).expect("it still runs");
    }

    #[tokio::test]
    async fn a_late_one_is_killed_with_its_children() {
        let file = std::env::temp_dir().join(format!("mcp-reconnect-late-{}", std::process::id()));
        let line = format!("sleep 60 & echo $! > '{}'; wait", file.display());
        let late = Job { limit: Duration::from_millis(500), ..job(&line) }.run().await;
        assert!(matches!(late, Err(Failure::Late(_))));
        let child: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let _ = std::fs::remove_file(&file);
        let child = rustix::process::Pid::from_raw(child).unwrap();
        // Whoever inherits it reaps it when there is time.
        for _ in 0..500 {
            if has_ended(child) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the command's child outlives it");
    }

    /// Gone, or a zombie that nobody has reaped yet.
    fn has_ended(pid: rustix::process::Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        match stat {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => rustix::process::test_kill_process(pid).is_err(),
        }
    }

    #[test]
    fn an_excerpt_is_short() {
        assert_eq!(excerpt(b"\n one\n\n two \nthree\nfour\n"), "one | two | three");
        assert_eq!(excerpt("ä".repeat(5000).as_bytes()).chars().count(), 401);
    }
}
