//! The options: their names and forms, and what is said of those that a component cannot have.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mcp_reconnect_command::hint;

/// An option of the command line.
pub struct Spec {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// Its short name.
    pub short: Option<char>,
    /// What stands for its value; none: it has no value.
    pub value: Option<&'static str>,
    /// What the value may be; empty: anything.
    pub choices: &'static [&'static str],
    /// Whether the value may be several of the choices, with commas between them.
    pub several: bool,
    /// Whether it may be given again.
    pub many: bool,
    /// For the help.
    pub help: &'static str,
}

const fn value(name: &'static str, value: &'static str, help: &'static str) -> Spec {
    Spec { name, short: None, value: Some(value), choices: &[], several: false, many: false, help }
}

const fn switch(name: &'static str, help: &'static str) -> Spec {
    Spec { name, short: None, value: None, choices: &[], several: false, many: false, help }
}

/// All of them.
pub const OPTIONS: [Spec; 22] = [
    Spec {
        choices: &["auto", "http", "sse"],
        ..value("transport", "NAME", "http (Streamable HTTP), sse (HTTP+SSE) or auto [default: auto]")
    },
    Spec {
        short: Some('H'),
        many: true,
        ..value("header", "HEADER", "'Name: value' for every request; ${VAR} is expanded")
    },
    Spec { many: true, ..value("header-env", "NAME=VAR", "'Name=VAR': a header with the value of this variable") },
    value("url-env", "VAR", "Take the URL from this environment variable"),
    Spec {
        choices: &["off", "error", "warn", "info", "debug", "trace", "json"],
        several: true,
        ..value("log", "LEVEL", "off, error, warn, info, debug, trace, json [default: info]")
    },
    switch("notify-client", "Tell the client too, with notifications/message"),
    value("heartbeat", "TIME", "Silence after which the server is pinged, or off [default: 30s]"),
    value("heartbeat-timeout", "TIME", "How long a ping may stay unanswered [default: 10s]"),
    switch("heartbeat-strict", "An unanswered ping counts even while a request runs"),
    value("listen-check", "TIME", "Checks of a server whose listen stream is open, or off [default: 1s]"),
    value("request-timeout", "TIME", "How long a request may run without progress [default: 1h]"),
    value("old-session-timeout", "TIME", "Silence of a replaced session's request, or off [default: 5m]"),
    value("hold-timeout", "TIME", "How long a request may wait for an absent server [default: 3m]"),
    value("start-timeout", "TIME", "How long initialize may wait for it, or off [default: 20s]"),
    value("max-event-bytes", "SIZE", "The largest server-sent event [default: 16M]"),
    value("max-body-bytes", "SIZE", "The largest JSON answer [default: 64M]"),
    value("max-total-body-bytes", "SIZE", "All answers that are being read at once [default: 128M]"),
    value("max-message-bytes", "SIZE", "The largest message from the client [default: 64M]"),
    switch("discover-first", "Ask with server/discover first, and translate for an older client"),
    switch("trust-annotations", "Repeat a lost call of a read-only or idempotent tool"),
    Spec { short: Some('h'), ..switch("help", "Print help") },
    Spec { short: Some('V'), ..switch("version", "Print version") },
];

/// Options of the native command, and why a component does not have them.
const NATIVE: [(&str, &str); 14] = [
    ("ca-cert", RUNTIME),
    ("client-cert", RUNTIME),
    ("client-key", RUNTIME),
    ("proxy", RUNTIME),
    ("no-proxy", RUNTIME),
    ("resolve", RUNTIME),
    ("header-file", FILES),
    ("header-command", PROCESSES),
    ("header-timeout", PROCESSES),
    ("on-event", PROCESSES),
    ("event", PROCESSES),
    ("event-timeout", PROCESSES),
    ("all-attempts", PROCESSES),
    ("name", PROCESSES),
];
const RUNTIME: &str = "TLS, proxies and names are the runtime's in WebAssembly; use the native command";
const FILES: &str = "this component opens no files; write --header 'Name: ${VAR}', or use the native command";
const PROCESSES: &str = "there are no processes in WebAssembly; use the native command";

/// The commands beside the bridge.
const COMMANDS: [&str; 7] = ["check", "completions", "demo", "demo-server", "man", "unwrap", "wrap"];

/// How alike two names must be for one to be meant by the other, from 0 to 1.
const ALIKE: f64 = 0.7;

impl Spec {
    /// The option of a long or short name; an error says in one line why there is none.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        if let Some(spec) = OPTIONS.iter().find(|spec| spec.name == name) {
            return Ok(spec);
        }
        if let Some((_, why)) = NATIVE.iter().find(|(native, _)| *native == name) {
            return Err(format!("'--{name}' is not there: {why}"));
        }
        if let Some(hint) = hint::foreign_option(&format!("--{name}")) {
            return Err(format!("unexpected argument '--{name}' found; {hint}"));
        }
        let similar = OPTIONS.iter().map(|spec| (likeness(name, spec.name), spec.name));
        let (alike, best) = similar.max_by(|(one, _), (other, _)| one.total_cmp(other)).unwrap_or_default();
        let hint = if alike > ALIKE { format!("; a similar argument exists: '--{best}'") } else { String::new() };
        Err(format!("unexpected argument '--{name}' found{hint}"))
    }

    /// The same for a short name.
    pub fn find_short(name: char) -> Result<&'static Self, String> {
        let spec = OPTIONS.iter().find(|spec| spec.short == Some(name));
        spec.ok_or_else(|| match hint::foreign_option(&format!("-{name}")) {
            Some(hint) => format!("unexpected argument '-{name}' found; {hint}"),
            None => format!("unexpected argument '-{name}' found"),
        })
    }

    /// Whether the value is one of the choices.
    pub fn takes(&self, value: &str) -> bool {
        let words = if self.several { value.split(',') } else { value.split('\0') };
        words.into_iter().all(|word| self.choices.contains(&word))
    }

    /// How it is written.
    pub fn usage(&self) -> String {
        match self.value {
            Some(value) => format!("--{} <{value}>", self.name),
            None => format!("--{}", self.name),
        }
    }
}

/// The names of all options, those of the native command too.
pub fn all_names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|spec| spec.name).chain(NATIVE.iter().map(|(name, _)| *name))
}

/// What to say of a word in the place of the URL that is a command of the native program.
pub fn native_command(word: &str) -> Option<String> {
    COMMANDS
        .contains(&word)
        .then(|| format!("the command '{word}' is a part of the native mcp-reconnect; install that"))
}

/// What `--help` prints.
pub fn help() -> String {
    let left = |spec: &Spec| {
        let short = spec.short.map_or_else(|| "    ".to_string(), |short| format!("-{short}, "));
        format!("{short}{}", spec.usage())
    };
    let width = OPTIONS.iter().map(|spec| left(spec).len()).max().unwrap_or_default() + 2;
    let rows: Vec<String> = OPTIONS.iter().map(|spec| format!("  {:width$}{}\n", left(spec), spec.help)).collect();
    format!(
        "Connects an MCP client on stdio to a remote MCP server, and outlives the server's restarts.

Usage: mcp-reconnect [OPTIONS] URL

Options:
{}
URL is the server's MCP endpoint (Streamable HTTP) or its SSE URL (HTTP+SSE).
TIME is 500ms, 30s, 5m or 1h; SIZE is 65536, 64K or 16M.
Signals: the runtime's own. (With the native command SIGHUP begins a new session, SIGUSR1 writes the status.)
Exit codes: 0 the client ended it, 1 the command line is wrong or something failed; stderr says which.
Variables of the environment are those that the runtime passes on: wasmtime run --env NAME …",
        rows.concat()
    )
}

/// The Jaro similarity of two words in ASCII.
fn likeness(one: &str, other: &str) -> f64 {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let reach = (one.len().max(other.len()) / 2).saturating_sub(1);
    let mut taken = alloc::vec![false; other.len()];
    let mut in_one = Vec::new();
    for (index, byte) in one.iter().enumerate() {
        let near = index.saturating_sub(reach)..other.len().min(index + reach + 1);
        if let Some(found) = near.into_iter().find(|at| !taken[*at] && other[*at] == *byte) {
            taken[found] = true;
            in_one.push(*byte);
        }
    }
    if in_one.is_empty() {
        return 0.0;
    }
    let in_other = other.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(byte, _)| *byte);
    let moved = in_one.iter().zip(in_other).filter(|(one, other)| **one != *other).count() / 2;
    let same = in_one.len() as f64;
    (same / one.len() as f64 + same / other.len() as f64 + (same - moved as f64) / same) / 3.0
}
