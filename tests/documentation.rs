//! What the command says of itself (help, manual pages, completions), and what the documents say of it.

mod support;

#[path = "documentation/documents.rs"]
mod documents;
#[path = "documentation/links.rs"]
mod links;
#[path = "documentation/messages.rs"]
mod messages;
#[path = "documentation/options.rs"]
mod options;
#[path = "documentation/readme.rs"]
mod readme;

use std::io::Write;
use std::process::{Command, Stdio};

use support::process::Process;
use support::{COMMAND, PATIENCE};

const COMMANDS: [&str; 9] = ["login", "logout", "check", "status", "wrap", "unwrap", "demo", "completions", "man"];

fn output(arguments: &[&str]) -> String {
    let mut process = Process::run(COMMAND, arguments);
    let (status, _) = process.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{arguments:?}: {}", process.stderr.text());
    assert_eq!(process.stderr.text(), "", "{arguments:?}");
    process.stdout.text()
}

/// Feeds a program and fails if it is missing, complains or fails.
fn content(program: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` ({error}): install it"));
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn help_fits_on_a_screen_and_names_every_command() {
    let short = output(&["-h"]);
    for command in COMMANDS {
        assert!(short.contains(&format!("\n  {command}")), "{command} is missing:\n{short}");
        let help = output(&[command, "-h"]);
        assert!(help.lines().count() <= 40 && help.contains("Usage: mcp-reconnect"), "{help}");
        // The long form says at least as much.
        assert!(output(&[command, "--help"]).len() >= help.len(), "{command}");
    }
    assert!(short.lines().count() <= 60, "{} lines:\n{short}", short.lines().count());
    assert!(!short.contains("demo-server"), "{short}");
    let width = short.lines().map(|line| line.chars().count()).max();
    assert!(width <= Some(120), "{width:?}:\n{short}");
    assert!(output(&["--help"]).contains("--header-env"));
    assert_eq!((output(&["help"]), output(&["help", "check"])), (output(&["--help"]), output(&["check", "--help"])));
    assert_eq!(
        output(&["--version"]),
        format!("mcp-reconnect {} (native, {})\n", env!("CARGO_PKG_VERSION"), env!("MCP_RECONNECT_TARGET"))
    );
}

#[test]
fn manual_pages() {
    for command in [&[][..], &["check"], &["wrap"], &["unwrap"], &["demo"]] {
        let roff = output(&[&["man"], command].concat());
        for section in [".TH", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert_eq!(roff.lines().filter(|line| line.starts_with(section)).count(), 1, "{command:?}: {section}");
        }
        // A line that begins with a dot or an apostrophe is a request: these are all that there may be.
        for line in roff.lines().filter(|line| line.starts_with(['.', '\''])) {
            let request = line.split(' ').next().unwrap_or_default();
            let known = [
                ".TH", ".SH", ".SS", ".TP", ".IP", ".PP", ".RS", ".RE", ".br", ".ie", ".el", ".nh", ".ad", ".nf", ".fi",
            ];
            assert!(known.contains(&request), "{command:?}: {line}");
        }
        assert!(!roff.contains("demo-server") && roff.is_ascii(), "{command:?}: troff reads ASCII");
    }
    let whole = output(&["man"]);
    assert!(whole.contains("header\\-env") || whole.contains("header-env"), "{whole}");
    let mut process = Process::run(COMMAND, &["man", "pigeon"]);
    let (status, _) = process.wait(PATIENCE).expect("it ends");
    assert!(status.code() == Some(2) && process.stderr.text().contains("pigeon"), "{}", process.stderr.text());
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = output(&["completions", shell]);
        for word in ["check", "wrap", "header-env", "dry-run"] {
            assert!(script.contains(word), "{shell}: {word} is missing");
        }
        assert!(!script.contains("demo-server") && !script.contains("demo__server"), "{shell}");
    }
    content("bash", &["-n"], &output(&["completions", "bash"]));
}

/// The completions do what they are for.
#[test]
fn bash_completes() {
    let script = output(&["completions", "bash"]);
    let ask = |words: &[&str]| {
        let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let index = words.len() - 1;
        let function = "$(complete -p mcp-reconnect | sed 's/.*-F \\([^ ]*\\).*/\\1/')";
        let program = format!(
            "{script}\nCOMP_WORDS=({line})\nCOMP_CWORD={index}\n{function} mcp-reconnect \"${{COMP_WORDS[{index}]}}\" \"${{COMP_WORDS[{before}]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            before = index.saturating_sub(1),
        );
        let mut process = Process::run("bash", &["-c", &program]);
        process.wait(PATIENCE).expect("it ends");
        process.stdout.text()
    };
    assert!(ask(&["mcp-reconnect", "che"]).contains("check"));
    assert!(ask(&["mcp-reconnect", "wrap", "--dry"]).contains("--dry-run"));
}
