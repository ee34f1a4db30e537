//! The command `mcp-reconnect`.

mod cli;
mod demo;

use std::process::ExitCode;

use self::cli::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let ended = match cli.command {
        None => cli::run(cli.bridge),
        Some(Command::Demo(args)) => demo::run(args),
        Some(Command::DemoServer(args)) => demo::server::run(args),
    };
    let code = ended.unwrap_or_else(|error| {
        cli::log::line(&format!("error: {error:#}"));
        ExitCode::FAILURE
    });
    cli::log::flush();
    code
}
