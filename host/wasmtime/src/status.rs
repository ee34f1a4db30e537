//! `mcp-reconnect status`: what the running bridges of this user do.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use clap::Args;
use mcp_reconnect_command::event_log::Short;
use mcp_reconnect_command::visible::Visible;

use crate::cli;
use crate::cli::running::{self, Record};

/// What `status` is asked to do.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 done, also where none runs; 1 the folder for state cannot be read.")]
pub struct StatusArgs {
    /// Write a JSON array, an object for each
    #[arg(long)]
    json: bool,
}

/// Shows them. The exit code says whether they could be looked up.
pub fn run(args: &StatusArgs) -> ExitCode {
    let all = match running::all() {
        Ok(all) => all,
        Err(problem) => {
            cli::log::line(&format!("the running bridges cannot be looked up: {problem}"));
            return ExitCode::FAILURE;
        }
    };
    let text = if args.json {
        // Texts and numbers have always a JSON form.
        serde_json::to_string_pretty(&all).unwrap_or_default()
    } else if all.is_empty() {
        "no bridge of this user is running".to_owned()
    } else {
        all.iter().map(shown).collect::<Vec<_>>().join("\n")
    };
    let mut stdout = std::io::stdout().lock();
    // A closed stdout is nobody's loss. What comes from a server gives the terminal no orders; in JSON it is escaped.
    for line in text.split('\n') {
        let _ = if args.json { writeln!(stdout, "{line}") } else { writeln!(stdout, "{}", Visible(line)) };
    }
    ExitCode::SUCCESS
}

fn shown(bridge: &Record) -> String {
    let url = if bridge.url.is_empty() { "a URL that is not shown" } else { &bridge.url };
    let name = if bridge.name.is_empty() { String::new() } else { format!("{}: ", bridge.name) };
    let session = bridge.session.as_ref().map_or_else(
        || "no session".to_owned(),
        |session| {
            let name = if session.server_name.is_empty() { "a server without a name" } else { &session.server_name };
            let version = if session.server_version.is_empty() { "" } else { " " };
            format!(
                "session {} for {} with {name}{version}{} ({}, MCP {})",
                session.number,
                age(&session.since),
                session.server_version,
                session.transport,
                session.protocol_version
            )
        },
    );
    let error = if bridge.last_error.is_empty() { "none" } else { &bridge.last_error };
    format!(
        "{name}{url}\n  pid {}, {} for {}; {session}\n  {} queued, {} in flight, {} reconnects, {} replays; last error: {error}",
        bridge.pid,
        bridge.state,
        age(&bridge.since),
        bridge.queued,
        bridge.in_flight,
        bridge.reconnects,
        bridge.replays
    )
}

/// How long ago that was. A clock that was set back makes it none.
fn age(time: &str) -> Short {
    let then = DateTime::parse_from_rfc3339(time).map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    Short(SystemTime::now().duration_since(then).unwrap_or(Duration::ZERO))
}
