//! `mcp-reconnect man` and `mcp-reconnect completions`: what shells and manuals want to know, made from the command line's own
//! definition.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{self, args::Cli};

/// What `completions` is asked to do.
#[derive(clap::Args, Debug)]
pub struct CompletionsArgs {
    /// bash, zsh, fish, powershell or elvish
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

/// What `man` is asked to do.
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// The page of this command; without it, of mcp-reconnect itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Writes the completions for a shell.
pub fn completions(args: CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(), env!("CARGO_BIN_NAME"), &mut script);
    if args.shell == Shell::Bash {
        // clap_complete 4.6 takes the hyphen in the name for the border of a subcommand, in one of two places.
        script = String::from_utf8(script)?.replace("mcp__subcmd__reconnect", "mcp__reconnect").into_bytes();
    }
    write(&script)
}

/// Writes a manual page in roff.
pub fn man(args: ManArgs) -> anyhow::Result<ExitCode> {
    let mut cli = visible();
    cli.build();
    let page = match &args.command {
        None => cli,
        Some(name) => match cli.get_subcommands().find(|command| command.get_name() == name) {
            Some(command) => command.clone(),
            None => {
                let names: Vec<_> = cli.get_subcommands().map(clap::Command::get_name).collect();
                return Ok(cli::wrong_usage(&format!("there is no command '{name}'; there are {}", names.join(", "))));
            }
        },
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page)
        .source(concat!("mcp-reconnect ", env!("CARGO_PKG_VERSION")))
        .manual("mcp-reconnect")
        .render(&mut roff)?;
    write(&roff)
}

/// The command line without what is hidden: generators do not all leave that out.
fn visible() -> clap::Command {
    let whole = Cli::command();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut visible = clap::Command::new(env!("CARGO_BIN_NAME"))
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args_conflicts_with_subcommands(true)
        .args(whole.get_arguments().cloned())
        .subcommands(shown);
    if let Some(about) = whole.get_about() {
        visible = visible.about(about.clone());
    }
    if let Some(more) = whole.get_after_help() {
        visible = visible.after_help(more.clone());
    }
    visible
}

/// A closed stdout is nobody's loss.
fn write(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    Ok(ExitCode::SUCCESS)
}
