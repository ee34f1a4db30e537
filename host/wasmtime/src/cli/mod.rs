//! The command `mcp-reconnect URL`: an MCP client on stdio, a server at a URL, and the library between them.

pub mod args;
mod bridge;
pub mod connection_args;
pub mod duration;
mod expand;
mod header;
mod input;
mod lines;
pub mod log;
mod narrator;
mod output;
mod readiness;
mod signals;
mod size;
mod sleep;
mod suggestion;

use std::process::ExitCode;

use mcp_reconnect::OpenError;

use self::args::BridgeArgs;

/// The command line is wrong.
const WRONG_USAGE: u8 = 2;

/// Bridges until the client or a signal ends it.
pub fn run(args: BridgeArgs) -> anyhow::Result<ExitCode> {
    log::init(args.log_level());
    let options = match args.options(|name| std::env::var(name)) {
        Ok(options) => options,
        Err(problem) => return Ok(wrong_usage(&problem)),
    };
    // One thread does all the work; a bridge has one client. Start and memory matter more than a second core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        match mcp_reconnect::connect(options).await {
            Ok((sender, receiver)) => bridge::run(sender, receiver, args.max_message_bytes()).await,
            Err(error) => refused(error),
        }
    });
    // A name look-up may still be under way on another thread; nothing is owed to it.
    runtime.shutdown_background();
    ended
}

/// What to do when the library does not take the options: a wrong command line, or a failure of its own.
pub fn refused(error: OpenError) -> anyhow::Result<ExitCode> {
    Ok(wrong_usage(&match error {
        OpenError::InvalidUrl(problem) => {
            format!("the URL is not usable: {problem}; write http://HOST/PATH or https://HOST/PATH")
        }
        OpenError::InvalidHeader(problem) => format!("a --header is not usable: {problem}"),
        OpenError::InvalidOption(problem) => format!("an option is not usable: {problem}"),
        error => return Err(anyhow::Error::new(error).context("cannot start the transport")),
    }))
}

/// Says in one line on stderr what is wrong with the command line.
pub fn wrong_usage(problem: &str) -> ExitCode {
    log::line(&format!("{problem} (see mcp-reconnect --help)"));
    ExitCode::from(WRONG_USAGE)
}
