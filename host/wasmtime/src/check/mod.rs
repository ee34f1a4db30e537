//! `mcp-reconnect check URL`: connects, asks, and says what the server can do and how well it takes restarts. What is asked, what the
//! answers mean and how that is said is `mcp_reconnect_core::diagnosis::check`; here its steps are carried out.

mod certificate;
mod driver;
mod progress;

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use mcp_reconnect::oauth::{FailureKind, Session};
use mcp_reconnect_core::diagnosis::check::{Check, Config, SignIn, Step};
use tracing::level_filters::LevelFilter;

use self::driver::Driver;
use self::progress::Progress;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::oauth::Login;
use crate::cli::{self, duration};

/// A shell's exit code for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

const AFTER_HELP: &str = "\
Exit codes: 0 all is well, 1 it works with a problem (or mcp-reconnect itself failed), 2 the command line is wrong,
3 the server cannot be reached, 4 it wants other credentials, 5 something answers that is no MCP server,
130 interrupted.";

/// What `check` is asked to do.
#[derive(clap::Args, Debug)]
#[command(override_usage = "mcp-reconnect check [OPTIONS] URL", after_help = AFTER_HELP)]
pub struct CheckArgs {
    /// How to reach the server.
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How long it all may take
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "20s")]
    timeout: Duration,
    /// Write the result as JSON
    #[arg(long)]
    json: bool,
    /// Show each step on stderr, also where that is no terminal
    #[arg(short, long)]
    verbose: bool,
}

/// Checks a server. The exit code says what was found.
pub fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    cli::log::init(LevelFilter::WARN);
    let connection = &args.connection;
    let read = || {
        let url = connection.url()?;
        let (sources, oauth) = (connection.sources(&url)?, connection.oauth(&url)?);
        Ok::<_, String>((connection.http()?, connection.options(&url)?, sources, oauth, url))
    };
    let (http, options, mut sources, oauth, url) = match read() {
        Ok(read) => read,
        Err(problem) => return Ok(cli::wrong_usage(&problem)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // Polled before anything else: from its first poll on the signal does not end the process by itself.
        let mut interrupt = pin!(tokio::signal::ctrl_c());
        // A check is short: what gives headers is asked once.
        let headers = tokio::select! {
            biased;
            _ = &mut interrupt => return Ok(ExitCode::from(INTERRUPTED)),
            headers = tokio::time::timeout(args.timeout, sources.gather()) => headers,
        };
        let mut headers = match headers {
            Ok(Ok(headers)) => headers,
            Ok(Err(problem)) => return Ok(cli::wrong_usage(&problem)),
            Err(_) => return Ok(cli::wrong_usage("the headers did not come within --timeout")),
        };
        let mut config = Config::new(&url);
        config.limit = args.timeout;
        if let Some(session) = oauth.filter(|_| !cli::is_authorized(&headers)) {
            config.sign_in = tokio::select! {
                biased;
                _ = &mut interrupt => return Ok(ExitCode::from(INTERRUPTED)),
                found = look_at_sign_in(session, Login::of(connection), args.timeout, &mut headers) => Some(found),
            };
        }
        let options = options.headers(headers.clone());
        config.headers = headers;
        let mut driver = match Driver::open(&url, http, options, args.timeout).await {
            Ok(driver) => driver,
            Err(error) => return cli::refused(error),
        };
        let mut check = match Check::new(config, driver.now()) {
            Ok(check) => check,
            Err(problem) => return Ok(cli::wrong_usage(&problem.to_string())),
        };
        let mut progress = Progress::new(args.verbose);
        let mut interrupted = false;
        loop {
            let step = check.step();
            progress.step(check.progress());
            if step == Step::Done {
                break;
            }
            tokio::select! {
                biased;
                // The server is told, if it listens; nobody is kept waiting for that.
                _ = &mut interrupt, if !interrupted => {
                    interrupted = true;
                    check.interrupt(driver.now());
                }
                outcome = driver.carry_out(step) => check.answer(driver.now(), outcome),
            }
        }
        if interrupted {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        print(&if args.json { check.json() } else { check.text() }.unwrap_or_default());
        Ok(ExitCode::from(check.exit_code().unwrap_or_default()))
    });
    // A name lookup or a TLS handshake may still be under way on another thread; nothing is owed to it.
    runtime.shutdown_background();
    ended
}

/// Writes the result; a closed stdout is nobody's loss.
fn print(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Looks up what is stored for this server, refreshes it where that is due, and adds the token to the headers.
async fn look_at_sign_in(
    mut session: Session,
    login: Login,
    limit: Duration,
    headers: &mut Vec<(String, String)>,
) -> SignIn {
    let mut problem = None;
    match tokio::time::timeout(limit, session.acquire(None)).await {
        Ok(Ok(token)) => headers.push(("Authorization".into(), format!("Bearer {}", token.access.0))),
        Ok(Err(failure)) if failure.kind == FailureKind::NoToken => {}
        Ok(Err(failure)) => problem = Some(failure.text),
        Err(_) => problem = Some("the authorization server did not answer within --timeout".into()),
    }
    let stored = session.describe().unwrap_or_else(|why| {
        problem.get_or_insert(why.to_string());
        None
    });
    let stored = stored.unwrap_or_default();
    SignIn {
        signed_in: stored.has_token,
        issuer: Some(stored.issuer.clone()).filter(|issuer| !issuer.is_empty()),
        who: stored.who.clone(),
        scopes: stored.scopes.clone(),
        expires_at: stored.expires_at,
        refreshable: stored.refreshable,
        problem,
        command: login.command().to_owned(),
        summary: crate::login::summary(&stored),
    }
}
