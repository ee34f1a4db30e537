//! The command `mcp-reconnect`.

mod cli;
mod demo;

use std::process::ExitCode;

use self::cli::args::{Cli, Command};

fn main() -> ExitCode {
    let code = run().unwrap_or_else(|error| {
        cli::log::line(&format!("error: {error:#}"));
        ExitCode::FAILURE
    });
    cli::log::flush();
    code
}

fn run() -> anyhow::Result<ExitCode> {
    match Cli::read(std::env::args_os()) {
        Err(code) => Ok(code),
        Ok(Cli { command: None, bridge }) => cli::run(bridge),
        Ok(Cli { command: Some(Command::Demo(args)), .. }) => demo::run(args),
        Ok(Cli { command: Some(Command::DemoServer(args)), .. }) => demo::server::run(args),
    }
}
