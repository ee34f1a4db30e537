//! Servers that want a token, a home folder with a store of its own, and browsers.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::port::Port;
use crate::support::process::Process;
use crate::support::servers::STARTUP;
use crate::support::{PATIENCE, install, poll, scratch_file, tests_folder};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `tests/servers/python/fastmcp_oauth.py`.
    Fastmcp,
    /// `tests/servers/oauth/server.mjs`.
    Oidc,
}

/// A server in a process of its own, on ports that stay its own.
pub struct Guarded {
    kind: Kind,
    port: Port,
    /// Of the authorization server, where it has one of its own.
    other: Port,
    journal: PathBuf,
    /// How long its tokens live, in seconds.
    expires: u32,
    process: Option<Process>,
}

impl Guarded {
    pub fn started(kind: Kind) -> Self {
        Self::expiring(kind, 3600)
    }

    /// One whose tokens live for so many seconds.
    pub fn expiring(kind: Kind, expires: u32) -> Self {
        let (port, other, journal) = (Port::reserve(), Port::reserve(), scratch_file("journal"));
        let mut server = Self { kind, port, other, journal, expires, process: None };
        server.start();
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port.number())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn start(&mut self) {
        let mut command = match self.kind {
            Kind::Fastmcp => {
                let mut command = Command::new(install::python_oauth());
                command.arg(tests_folder().join("servers/python/fastmcp_oauth.py"));
                command.args(["--port", &self.port.number().to_string(), "--journal"]).arg(&self.journal);
                command.args(["--expires", &self.expires.to_string()]);
                command
            }
            Kind::Oidc => {
                let folder = install::oidc_provider();
                let mut command = Command::new("node");
                command.arg(tests_folder().join("servers/oauth/server.mjs"));
                command.env("OIDC_FOLDER", folder.join("node_modules/oidc-provider")).env("JOURNAL", &self.journal);
                command.env("PORT", self.other.number().to_string()).env("MCP_PORT", self.port.number().to_string());
                command
            }
        };
        let process = self.process.insert(Process::start(&mut command));
        for port in [&self.port, &self.other].into_iter().take(if self.kind == Kind::Oidc { 2 } else { 1 }) {
            poll("the server accepts connections", STARTUP, || {
                if let Some(status) = process.exited() {
                    process.stderr.ended(PATIENCE);
                    panic!("{:?} ended at its start ({status}):\n{}", self.kind, process.stderr.text());
                }
                TcpStream::connect(("127.0.0.1", port.number())).ok()
            });
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    pub fn restart(&mut self) {
        self.kill();
        self.start();
    }

    /// The clients are still known afterwards.
    pub fn forget_tokens(&self) {
        let before = self.count("oauth forgets tokens");
        self.process.as_ref().expect("it runs").signal(rustix::process::Signal::USR1);
        poll("the server forgets its tokens", PATIENCE, || (self.count("oauth forgets tokens") > before).then_some(()));
    }

    /// How many lines of the journal begin so, in all its lives.
    pub fn count(&self, line: &str) -> usize {
        let text = std::fs::read_to_string(&self.journal).unwrap_or_default();
        text.lines().filter(|found| *found == line || found.starts_with(&format!("{line} "))).count()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let (true, Some(process)) = (std::thread::panicking(), &self.process) {
            eprintln!("--- {:?}, standard error:\n{}", self.kind, process.stderr.text());
            eprintln!("--- its journal:\n{}", std::fs::read_to_string(&self.journal).unwrap_or_default());
        }
        let _ = std::fs::remove_file(&self.journal);
    }
}

/// A user with a home folder: a store, and a browser that only takes note.
pub struct Home {
    folder: PathBuf,
}

impl Home {
    pub fn new() -> Self {
        let folder = scratch_file("home");
        std::fs::create_dir(&folder).expect("the scratch folder is writable");
        let home = Self { folder };
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n", home.record_file().display());
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(home.recorder())
            .expect("the scratch folder is writable");
        file.write_all(script.as_bytes()).expect("the scratch folder is writable");
        home
    }

    fn record_file(&self) -> PathBuf {
        self.folder.join("opened")
    }

    /// A browser that notes the URL and shows it to nobody.
    pub fn recorder(&self) -> String {
        self.folder.join("browser").display().to_string()
    }

    /// What the browser was asked to open, the n-th time, from 1.
    pub fn opened(&self, times: usize) -> String {
        poll("a browser is opened", PATIENCE, || {
            let text = std::fs::read_to_string(self.record_file()).unwrap_or_default();
            text.lines().nth(times - 1).map(str::to_owned)
        })
    }

    /// How often a browser was opened.
    pub fn openings(&self) -> usize {
        std::fs::read_to_string(self.record_file()).unwrap_or_default().lines().count()
    }

    /// The environment of this user, with this browser or, empty, none.
    pub fn environment<'a>(&self, command: &'a mut Command, browser: &str) -> &'a mut Command {
        for name in ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"] {
            command.env_remove(name);
        }
        if !browser.is_empty() {
            command.env("BROWSER", browser);
        }
        command.env("XDG_STATE_HOME", &self.folder).env("HOME", &self.folder)
    }

    fn store(&self) -> PathBuf {
        self.folder.join("mcp-reconnect/oauth")
    }

    /// The file of the only credential.
    pub fn credential(&self) -> PathBuf {
        let files = std::fs::read_dir(self.store()).expect("the store is there").flatten().map(|entry| entry.path());
        let mut files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let file = files.next().expect("a credential");
        assert!(files.next().is_none(), "there is more than one credential");
        file
    }

    pub fn record(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.credential()).expect("it can be read")).expect("JSON")
    }

    /// As if the tokens had been got earlier.
    pub fn age_tokens(&self, seconds: i64) {
        let mut record = self.record();
        let at = record["tokens"]["obtained_at"].as_i64().expect("a time");
        record["tokens"]["obtained_at"] = Value::from(at - seconds);
        std::fs::write(self.credential(), record.to_string()).expect("it can be written");
    }

    pub fn secrets(&self) -> Vec<String> {
        let record = self.record();
        let all = [&record["tokens"]["access"], &record["tokens"]["refresh"], &record["client"]["secret"]];
        all.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Nobody else can read what is stored.
    pub fn must_be_private(&self) {
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&self.store()), mode(&self.credential())), (0o700, 0o600));
    }

    /// The process that listens for the browser of this URL.
    pub fn login_process(&self, url: &str) -> i32 {
        let port: u16 =
            parameter(url, "redirect_uri").rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap();
        let mut holders = Vec::new();
        let inode = listening_inode(port).expect("somebody listens");
        for entry in std::fs::read_dir("/proc").expect("Linux has /proc").flatten() {
            let Ok(id) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let Ok(files) = std::fs::read_dir(entry.path().join("fd")) else { continue };
            let named = |path: PathBuf| path.to_string_lossy() == format!("socket:[{inode}]");
            if files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).any(named) {
                holders.push(id);
            }
        }
        assert_eq!(holders.len(), 1, "one process listens");
        holders[0]
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn listening_inode(port: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let local = words.get(1)?.rsplit(':').next()?;
        (u16::from_str_radix(local, 16).ok()? == port && words[3] == "0A").then(|| words[9].to_owned())
    })
}

/// The value of a query parameter.
pub fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').expect("a query").1;
    let pair =
        query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).expect("the parameter is there");
    pair.replace("%3A", ":").replace("%2F", "/")
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-s", "--max-time", "20"]).args(arguments).output().expect("curl runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Opens a URL as a browser does, and gives the last page.
pub fn visit(url: &str) -> String {
    curl(&["-L", url])
}

/// Where the authorization server sends the browser back to, without going there.
pub fn redirect_of(url: &str) -> String {
    curl(&["-o", "/dev/null", "-w", "%{redirect_url}", url])
}

/// The URL that a `login` shows.
pub fn shown_url(login: &Process) -> String {
    let shown = |_, line: &str| line.split_once("to sign in: ").map(|(_, url)| url.to_owned());
    login.stderr.find(0, PATIENCE, shown).expect("it shows a URL")
}

/// A browser with a person before it.
pub fn person_command() -> Command {
    let mut command = Command::new("node");
    command.arg(tests_folder().join("servers/oauth/person.mjs"));
    command
}

/// The same for `$BROWSER`.
pub fn person() -> String {
    format!("node {}", tests_folder().join("servers/oauth/person.mjs").display())
}

/// Chromium with a person before it, for `$BROWSER`.
pub fn chromium() -> String {
    format!("node {}", tests_folder().join("servers/oauth/chromium.mjs").display())
}
