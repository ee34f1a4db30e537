//! `mcp-reconnect login URL` and `logout URL`. A bridge starts the same `login` in the background, in a process group of its own,
//! so that a sign-in outlives the bridge that needed it.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mcp_reconnect::oauth::{Description, FailureKind, Locked, Notice, Session, browser};
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

use crate::cli;
use crate::cli::args::connection::ConnectionArgs;

const AFTER_HELP: &str = "\
The token is kept where every mcp-reconnect of this user finds it, and is refreshed by whichever needs it.
Exit codes: 0 signed in, 1 not, 2 the command line is wrong, 130 interrupted.";

/// A shell's exit code for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// The longest line that is taken for a pasted address, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// How to sign in.
#[derive(clap::Args, Debug)]
#[command(override_usage = "mcp-reconnect login [OPTIONS] URL", after_help = AFTER_HELP)]
pub struct LoginArgs {
    /// Which server.
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Show a code to enter on any device, for a machine without a browser
    #[arg(long, conflicts_with_all = ["paste", "no_browser"])]
    device: bool,
    /// Sign in with a browser elsewhere, and paste the address that it ends at
    #[arg(long)]
    paste: bool,
    /// Show the URL and open no browser
    #[arg(long)]
    no_browser: bool,
    /// Nobody gave the command: of a bridge.
    #[arg(long, hide = true)]
    background: bool,
}

/// What to forget.
#[derive(clap::Args, Debug)]
#[command(override_usage = "mcp-reconnect logout [OPTIONS] URL")]
pub struct LogoutArgs {
    /// Which server.
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The session of a command line.
fn session(connection: &mut ConnectionArgs) -> Result<(Session, String), String> {
    let url = connection.url()?;
    mcp_reconnect_core::url::Url::parse(&url).map_err(|problem| format!("the URL is not usable: {problem}"))?;
    connection.oauth_args().enable();
    let session = connection.oauth(&url)?;
    let session = session.ok_or("there is no place for credentials: set HOME, or give --oauth-store FOLDER")?;
    Ok((session, cli::args::shown_url(&url)))
}

/// Signs in. The exit code says whether.
pub fn run(mut args: LoginArgs) -> anyhow::Result<ExitCode> {
    cli::log::init(if args.background { LevelFilter::OFF } else { LevelFilter::WARN });
    // A machine that shows no browser to anybody.
    let headless = !browser::is_likely();
    if args.device {
        args.connection.oauth_args().use_device();
    } else if headless && !args.paste && !args.no_browser {
        args.connection.oauth_args().prefer_device();
    }
    let (session, shown) = match session(&mut args.connection) {
        Ok(found) => found,
        Err(problem) => return Ok(cli::wrong_usage(&problem)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => ExitCode::from(INTERRUPTED),
            code = sign_in(session, &shown, &args, headless) => code,
        }
    });
    // A thread may still wait for a lock or for a line on stdin.
    runtime.shutdown_background();
    Ok(ended)
}

async fn sign_in(mut session: Session, shown: &str, args: &LoginArgs, headless: bool) -> ExitCode {
    let mut by_person = !args.background;
    // Held until the end: one sign-in for each credential.
    let _lock = match session.store().try_lock(session.key(), Locked::SignIn) {
        Ok(Some(lock)) => lock,
        Ok(None) => {
            if by_person && let Ok(Some(Description { pending: Some((url, code)), .. })) = session.describe() {
                say("another sign-in to this server is under way already, and is waited for.");
                say(&Notice::Authorize { url, port: 0 }.to_string());
                if let Some(code) = code {
                    say(&format!("and enter the code {code}"));
                }
            }
            // What the other has got is enough.
            by_person = false;
            let (store, key) = (Arc::clone(session.store()), session.key().to_owned());
            match tokio::task::spawn_blocking(move || store.lock(&key, Locked::SignIn)).await {
                Ok(Ok(lock)) => lock,
                Ok(Err(problem)) => return failed(&format!("the credential store cannot be used: {problem}")),
                Err(error) => return failed(&error.to_string()),
            }
        }
        Err(problem) => return failed(&format!("the credential store cannot be used: {problem}")),
    };
    let open = !(headless || args.paste || args.no_browser);
    let (background, paste) = (args.background, args.paste);
    let tell = move |notice: Notice| match &notice {
        Notice::Authorize { url, port } => {
            say(&notice.to_string());
            if open {
                if let Err(problem) = browser::open(url) {
                    say(&format!("no browser could be started ({problem}); open the address yourself"));
                }
            } else if paste {
                say("then paste here the address that the browser ends at, even if it shows an error:");
            } else if !background {
                say(&format!(
                    "from another machine, first: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE   (or use --paste)"
                ));
            }
        }
        Notice::Event(mcp_reconnect::oauth::Event::SignedIn) => {}
        notice => say(&notice.to_string()),
    };
    let result = match session.sign_in(by_person, &tell, args.paste.then(lines)).await {
        // What was waited for has come to nothing, and this is a person's command.
        Err(failure) if failure.kind == FailureKind::TooSoon && !background => session.sign_in(true, &tell, None).await,
        result => result,
    };
    match result {
        Ok(_) => {
            let description = session.describe().ok().flatten().unwrap_or_default();
            say(&format!("signed in to {shown}{}", summary(&description)));
            ExitCode::SUCCESS
        }
        Err(failure) if failure.kind == FailureKind::NotOauth => failed(&format!(
            "{shown} names no authorization server: give what it wants with --header, or --oauth on to try its own origin"
        )),
        Err(failure) => failed(&failure.text),
    }
}

/// Forgets a credential.
pub fn forget(mut args: LogoutArgs) -> anyhow::Result<ExitCode> {
    cli::log::init(LevelFilter::WARN);
    let (session, shown) = match session(&mut args.connection) {
        Ok(found) => found,
        Err(problem) => return Ok(cli::wrong_usage(&problem)),
    };
    let (store, key) = (session.store(), session.key());
    // A refresh that is under way would store its token afterwards.
    let removed = store.lock(key, Locked::Credential).and_then(|_lock| store.remove(key));
    Ok(match removed {
        Ok(true) => {
            say(&format!("signed out of {shown}; the server is not told, and its token ends by itself"));
            ExitCode::SUCCESS
        }
        Ok(false) => {
            say(&format!("nothing is stored for {shown}"));
            ExitCode::SUCCESS
        }
        Err(problem) => failed(&format!("the credential cannot be removed: {problem}")),
    })
}

/// Who, for what, for how long, as far as it is known.
pub fn summary(description: &Description) -> String {
    let mut text = String::new();
    if let Some(who) = &description.who {
        text += &format!(" as {who}");
    }
    if !description.issuer.is_empty() {
        text += &format!(", by {}", description.issuer);
    }
    if !description.scopes.is_empty() {
        text += &format!(", scopes: {}", description.scopes.join(" "));
    }
    match description.expires_at {
        None => {}
        Some(at) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let span = |seconds: u64| match seconds {
                0..120 => format!("{seconds} s"),
                120..7200 => format!("{} min", seconds / 60),
                _ => format!("{} h", seconds / 3600),
            };
            text += &match at.checked_sub(now) {
                Some(left) => format!(", for {}", span(left)),
                None => format!(", ended {} ago", span(now - at)),
            };
            text += if description.refreshable { ", refreshed by itself" } else { ", then a new sign-in is needed" };
        }
    }
    text
}

/// Lines of stdin, read by a thread: a read from a terminal cannot be given up.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    let _ = std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            eprint!("> ");
        }
        let mut stdin = std::io::BufReader::new(stdin.lock());
        loop {
            let mut line = String::new();
            let read = std::io::Read::take(&mut stdin, MAX_LINE).read_line(&mut line);
            if !matches!(read, Ok(1..)) || sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn failed(problem: &str) -> ExitCode {
    say(&format!("not signed in: {problem}"));
    ExitCode::FAILURE
}

/// To the person: on stderr, also in the background, where nobody reads it.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "mcp-reconnect: {}", mcp_reconnect_command::visible::Visible(text));
}
