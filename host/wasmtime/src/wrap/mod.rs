//! `mcp-reconnect wrap` and `unwrap`: a client's configuration file is changed so that its remote servers are reached through
//! the bridge, and changed back. Only the entries of those servers are touched; every other byte of the file stays.

mod codex;
mod config;
mod entry;
mod file;
mod place;
mod style;
mod yaml;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::config::{Change, Config, Done};
use self::place::{Place, Scope};
use crate::cli;

const AFTER_HELP: &str = "\
FILE is the configuration of Claude Code (.mcp.json, ~/.claude.json), Cursor (.cursor/mcp.json), VS Code
(.vscode/mcp.json), Windsurf (mcp_config.json), Zed (settings.json), opencode (opencode.json), Codex
(~/.codex/config.toml), Goose (~/.config/goose/config.yaml), Continue (config.yaml, .continue/mcpServers/*.yaml) or
another client that keeps its servers the same way. Comments, order and indentation stay. The file as it was is kept
in the user's own folder for state, for nobody else to read: it may hold secrets.

Values of headers go into the entry's env, from where the bridge takes them (--header-env): they are not in the
process list. What the client expands there (${VAR}, ${env:VAR}, ${input:id}) it goes on expanding.

Exit codes: 0 done, or nothing to do; 1 the file cannot be read, understood or written; 2 the command line is wrong.";

/// Which file, and which of its servers.
#[derive(Args, Debug)]
struct Selection {
    /// The configuration file [default: .mcp.json, or the scope's]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Claude Code's user, project or local servers
    ///
    /// project: .mcp.json in this folder. user: the servers of all projects, in ~/.claude.json. local: those of this project, in
    /// the same file.
    #[arg(long, value_enum, value_name = "NAME", hide_possible_values = true)]
    scope: Option<Scope>,
    /// Only the server with this name; repeatable
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What `wrap` is asked to do.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct WrapArgs {
    #[command(flatten)]
    selection: Selection,
    /// What the client is to start [default: mcp-reconnect, or where this program is]
    ///
    /// Of several words the first is the program, as in 'npx -y mcp-reconnect'; a path with spaces is one word if it exists.
    #[arg(long, value_name = "PATH")]
    command: Option<String>,
}

/// What `unwrap` is asked to do.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct UnwrapArgs {
    #[command(flatten)]
    selection: Selection,
}

/// Makes remote servers go through the bridge.
pub fn run(args: WrapArgs) -> ExitCode {
    let command = args.command.map_or_else(|| vec![own_command()], words);
    finish(&args.selection, "wrapped", |config, only| config.wrap(&command, only))
}

/// Gives them their own entries back.
pub fn unwrap(args: UnwrapArgs) -> ExitCode {
    finish(&args.selection, "unwrapped", |config, only| config.unwrap(only))
}

fn finish(selection: &Selection, verb: &str, edit: impl Fn(&Config<'_>, &[String]) -> Vec<Done>) -> ExitCode {
    match change(selection, verb, edit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            cli::log::line(&problem);
            ExitCode::FAILURE
        }
    }
}

fn change(selection: &Selection, verb: &str, edit: impl Fn(&Config<'_>, &[String]) -> Vec<Done>) -> Result<(), String> {
    let place = Place::find(selection.file.as_deref(), selection.scope)?;
    let shown = place.file.display();
    let _lock = if selection.dry_run { None } else { file::lock()? };
    let file = file::read(&place.file)?;
    let config = Config::parse(&file.text, &place).map_err(|problem| format!("{shown}: {problem}"))?;
    let done = edit(&config, &selection.only);
    if let Some(missing) = selection.only.iter().find(|name| !done.iter().any(|done| &done.name == *name)) {
        return Err(format!("{shown} has no server named '{missing}'; nothing was changed"));
    }
    let tell = || tell(&done, verb, selection.dry_run);
    // A server that stays wrapped is no success; one that cannot be wrapped goes on without.
    let left = match done.iter().filter(|done| matches!(done.change, Change::Skipped(_))).count() {
        count if count > 0 && verb == "unwrapped" => Err(format!("{shown}: {count} could not be unwrapped")),
        _ => Ok(()),
    };
    let changed = done.iter().filter(|done| matches!(done.change, Change::Edited(_))).count();
    if changed == 0 {
        tell();
        say(&format!("{shown}: nothing to do"));
        return left;
    }
    let new = config.with(&done);
    if selection.dry_run {
        tell();
        say(&format!("{shown}: {changed} would be {verb}; nothing was changed"));
        return left;
    }
    let backup = file.replace(&new)?;
    tell();
    say(&format!("{shown}: {changed} {verb}; the file as it was: {}", backup.display()));
    say("Restart the client, so that it reads the file again.");
    left
}

/// Says what became of each server.
fn tell(all: &[Done], verb: &str, dry_run: bool) {
    for done in all {
        match &done.change {
            Change::Edited(edit) if dry_run => say(&format!("{}: would be {verb}\n{}", done.name, edit.diff())),
            Change::Edited(_) => say(&format!("{}: {verb}", done.name)),
            Change::Already if verb == "unwrapped" => say(&format!("{}: is not wrapped", done.name)),
            Change::Already => say(&format!("{}: is wrapped already", done.name)),
            Change::Skipped(reason) => say(&format!("{}: left alone: {reason}", done.name)),
            Change::Local => {}
        }
    }
}

/// Writes a line for a person; a closed stdout is nobody's loss. Names come from a file: nothing in them is an order to the
/// terminal.
fn say(text: &str) {
    use std::io::Write;
    for line in text.split('\n') {
        let _ = writeln!(std::io::stdout(), "{}", mcp_reconnect_core::text::Visible(line, usize::MAX));
    }
}

/// A program and its arguments. A path may hold spaces.
fn words(command: String) -> Vec<String> {
    let words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
    if words.is_empty() || Path::new(&command).exists() { vec![command] } else { words }
}

/// The name that starts this program from anywhere, or else its path.
fn own_command() -> String {
    const NAME: &str = env!("CARGO_BIN_NAME");
    let own = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .any(|folder| is_executable(&folder.join(NAME)));
    match own {
        Some(path) if !on_path => path.display().to_string(),
        _ => NAME.to_owned(),
    }
}

fn is_executable(path: &Path) -> bool {
    let Ok(found) = path.metadata() else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        found.is_file() && found.permissions().mode() & 0o111 != 0
    }
    #[cfg(not(unix))]
    found.is_file()
}
