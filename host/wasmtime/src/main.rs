//! The command `mcp-reconnect`.

mod check;
mod cli;
mod demo;
mod documentation;
mod login;
mod status;
mod wrap;

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
        Ok(Cli { command: Some(Command::Check(args)), .. }) => check::run(*args),
        Ok(Cli { command: Some(Command::Login(args)), .. }) => login::run(*args),
        Ok(Cli { command: Some(Command::Logout(args)), .. }) => login::forget(*args),
        Ok(Cli { command: Some(Command::Status(args)), .. }) => Ok(status::run(&args)),
        Ok(Cli { command: Some(Command::Wrap(args)), .. }) => Ok(wrap::run(args)),
        Ok(Cli { command: Some(Command::Unwrap(args)), .. }) => Ok(wrap::unwrap(args)),
        Ok(Cli { command: Some(Command::Completions(args)), .. }) => documentation::completions(args),
        Ok(Cli { command: Some(Command::Man(args)), .. }) => documentation::man(args),
        Ok(Cli { command: Some(Command::Demo(args)), .. }) => demo::run(args),
        Ok(Cli { command: Some(Command::DemoServer(args)), .. }) => demo::server::run(args),
    }
}
