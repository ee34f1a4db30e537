//! Children that never outlive their test.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{COMMAND, IS_NPX, npm_package};

/// Lines as they arrive, and a way to wait for one.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Debug, Default)]
struct Collected {
    lines: Vec<(Instant, String)>,
    ended: bool,
}

impl Lines {
    /// Collects from `source` until its end, on a thread.
    fn collect(source: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let collected = lines.clone();
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while matches!(source.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line);
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                collected.0.0.lock().unwrap().lines.push((Instant::now(), text));
                collected.0.1.notify_all();
                line.clear();
            }
            collected.0.0.lock().unwrap().ended = true;
            collected.0.1.notify_all();
        });
        lines
    }

    /// All lines so far, with their times.
    pub fn all(&self) -> Vec<(Instant, String)> {
        self.0.0.lock().unwrap().lines.clone()
    }

    /// All lines so far as one text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (_, line) in self.all() {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Waits until `find` gives something; it sees each line once, from number `from` on. `None`: not in time, or the
    /// source ended without it.
    pub fn find<T>(
        &self,
        from: usize,
        patience: Duration,
        mut find: impl FnMut(usize, &str) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + patience;
        let mut next = from;
        let mut collected = self.0.0.lock().unwrap();
        loop {
            while let Some((_, line)) = collected.lines.get(next) {
                if let Some(found) = find(next, line) {
                    return Some(found);
                }
                next += 1;
            }
            let left = end.saturating_duration_since(Instant::now());
            if collected.ended || left.is_zero() {
                return None;
            }
            collected = self.0.1.wait_timeout(collected, left).unwrap().0;
        }
    }

    /// Waits for the source's end.
    pub fn ended(&self, patience: Duration) -> bool {
        let collected = self.0.0.lock().unwrap();
        let (collected, _) = self.0.1.wait_timeout_while(collected, patience, |collected| !collected.ended).unwrap();
        collected.ended
    }
}

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it writes to standard output.
    pub stdout: Lines,
    /// What it writes to standard error.
    pub stderr: Lines,
}

impl Process {
    /// Starts `command` with pipes for standard input, output and error.
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, Signal::KILL)
    }

    /// The same; a test run that is killed itself sends the process this signal.
    pub fn start_with(command: &mut Command, at_the_end: Signal) -> Self {
        let mut child = prepared_with(command, at_the_end)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let stdin = child.stdin.take();
        let stdout = Lines::collect(child.stdout.take().expect("piped"));
        let stderr = Lines::collect(child.stderr.take().expect("piped"));
        Self { child, stdin, stdout, stderr }
    }

    /// Starts a program with arguments.
    pub fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        Self::start(Command::new(program).args(arguments))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes bytes to its standard input. Whether it still reads is for the test to find out by other means.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        rustix::process::kill_process(id, signal).expect("the child has not been reaped");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit status, if it has exited.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Waits for its end: the status and how long it took, or `None`.
    pub fn wait(&mut self, patience: Duration) -> Option<(ExitStatus, Duration)> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                let took = start.elapsed();
                // What it wrote last must have been read before anybody looks.
                self.stdout.ended(Duration::from_secs(1));
                self.stderr.ended(Duration::from_secs(1));
                return Some((status, took));
            }
            if start.elapsed() > patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process of this id runs. One that has ended and waits to be reaped does not.
pub fn is_alive(id: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{id}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => Pid::from_raw(id).is_some_and(|id| rustix::process::test_kill_process(id).is_ok()),
    }
}

/// A command that ends with the test, and is there to be started.
pub fn prepared(command: &mut Command) -> &mut Command {
    prepared_with(command, Signal::KILL)
}

fn prepared_with(command: &mut Command, at_the_end: Signal) -> &mut Command {
    // A client starts it by itself.
    if IS_NPX && (command.get_program() == COMMAND || command.get_args().any(|argument| argument == COMMAND)) {
        link_npm_command();
    }
    keep_out_of_home(command);
    die_with_this_thread(command, at_the_end);
    command
}

/// Has the command find no configuration file of whoever runs the tests, and leave nothing in their folder for state.
fn keep_out_of_home(command: &mut Command) {
    if command.get_program() != COMMAND {
        return;
    }
    for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
        if !command.get_envs().any(|(set, _)| set == "HOME" || set == name) {
            command.env(name, concat!(env!("CARGO_TARGET_TMPDIR"), "/home"));
        }
    }
}

/// Even a test run that is killed itself leaves no server behind.
fn die_with_this_thread(command: &mut Command, signal: Signal) {
    #[cfg(target_os = "linux")]
    // SAFETY: the closure makes one system call and touches no memory, as must be between fork and exec.
    unsafe {
        command.pre_exec(move || Ok(rustix::process::set_parent_process_death_signal(Some(signal))?));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (command, signal);
}

/// Makes the npm package's command what [`COMMAND`] names.
fn link_npm_command() {
    static LINK: std::sync::Once = std::sync::Once::new();
    LINK.call_once(|| {
        let program = npm_package::build().join("dist/cli.js");
        let link = Path::new(COMMAND);
        fs::create_dir_all(link.parent().expect("a folder")).expect("the build folder is writable");
        if fs::read_link(link).ok().as_deref() != Some(&*program) {
            let _ = fs::remove_file(link);
            std::os::unix::fs::symlink(program, link).expect("the build folder is writable");
        }
    });
}
