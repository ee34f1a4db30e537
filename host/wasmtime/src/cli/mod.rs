//! The command `mcp-reconnect URL`: an MCP client on stdio, a server at a URL, and the library between them.

pub mod args;
mod bridge;
mod child;
mod credentials;
mod environment;
mod event_log;
mod header;
mod header_sources;
mod hook_event;
mod hooks;
mod input;
mod listeners;
pub mod log;
pub mod oauth;
mod output;
mod readiness;
pub mod running;
mod signals;
mod sleep;
mod suggestion;

use std::process::ExitCode;

use mcp_reconnect::OpenError;
pub use mcp_reconnect_command::duration;
use mcp_reconnect_command::{expand, lines, size};

use self::args::{BridgeArgs, CredentialArgs};
pub use self::credentials::is_authorized;
use self::listeners::Listeners;
use self::oauth::{Login, Tokens};
use self::running::Running;

/// The command line is wrong.
const WRONG_USAGE: u8 = 2;

/// Bridges until the client or a signal ends it.
pub fn run(args: BridgeArgs) -> anyhow::Result<ExitCode> {
    if args.log_json() {
        log::as_json();
    }
    log::init(args.log_level());
    let read = || {
        let url = args.connection.url()?;
        let (sources, oauth) = (args.connection.sources(&url)?, args.connection.oauth(&url)?);
        Ok::<_, String>((args.options(&url)?, sources, oauth, args::shown_url(&url)))
    };
    let (options, mut sources, oauth, server_url) = match read() {
        Ok(read) => read,
        Err(problem) => return Ok(wrong_usage(&problem)),
    };
    // One thread does all the work; a bridge has one client. Start and memory matter more than a second core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        if let Err(problem) = sources.open().await {
            return Ok(wrong_usage(&problem));
        }
        // What the user gives goes before: then OAuth never starts.
        let oauth = oauth.filter(|_| !credentials::is_authorized(&sources.headers()) && sources.patience().is_none());
        let mut options = CredentialArgs::apply(options, &sources, oauth.is_some(), args.credentials_timeout());
        let mut tokens = oauth.map(|session| Tokens::new(session, Login::of(&args.connection)));
        let stored = match &mut tokens {
            Some(tokens) => tokens.stored().await,
            None => None,
        };
        if let Some(access) = &stored {
            options = options.header("Authorization", format!("Bearer {}", access.0));
        }
        match mcp_reconnect::connect(options).await {
            Ok((sender, receiver)) => {
                let tokens = tokens.map(|tokens| (tokens, stored));
                let running = Running::start(args.events.name(), server_url.clone(), sender.clone());
                let listeners = Listeners::start(args.events.hook(), server_url, sources, tokens, running, &sender);
                bridge::run(sender, receiver, listeners, args.max_message_bytes()).await
            }
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
        OpenError::InvalidHeader(problem) => format!("a header is not usable: {problem}"),
        OpenError::InvalidOption(problem) => format!("an option is not usable: {problem}"),
        error => return Err(anyhow::Error::new(error).context("cannot start the transport")),
    }))
}

/// Says in one line on stderr what is wrong with the command line.
pub fn wrong_usage(problem: &str) -> ExitCode {
    log::line(&format!("{problem} (see mcp-reconnect --help)"));
    ExitCode::from(WRONG_USAGE)
}
