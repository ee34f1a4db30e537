//! The command line.

pub mod connection;
mod credentials;
mod events;
mod file;
mod net;
pub mod oauth;
mod variables;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use mcp_reconnect::Options;
use mcp_reconnect_command::hint;
use tracing::level_filters::LevelFilter;

use self::connection::ConnectionArgs;
pub use self::connection::shown_url;
pub use self::credentials::CredentialArgs;
use self::events::EventArgs;
use self::variables::WithVariables;
use super::{duration, size, suggestion};
use crate::{check, demo, documentation, login, status, wrap};

const AFTER_HELP: &str = "\
URL is the server's MCP endpoint (Streamable HTTP) or its SSE URL (HTTP+SSE).
TIME is 500ms, 30s, 5m or 1h; SIZE is 65536, 64K or 16M.
Signals: SIGHUP begins a new session, SIGUSR1 writes the status to stderr, SIGTERM and SIGINT end.
Exit codes: 0 the client or a signal ended it, 1 an internal failure, 2 the command line is wrong.

For Claude Code:  claude mcp add jarvis -- mcp-reconnect https://jarvis.internal/sse
See it work:      mcp-reconnect demo
More:             mcp-reconnect --help, and mcp-reconnect COMMAND --help
Options too:      MCP_RECONNECT_LOG and so on, ~/.config/mcp-reconnect/config.toml; NO_COLOR";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "mcp-reconnect",
    version = concat!(env!("CARGO_PKG_VERSION"), " (native, ", env!("MCP_RECONNECT_TARGET"), ")"),
    about = "Connects an MCP client on stdio to a remote MCP server, and outlives the server's restarts.",
    override_usage = "mcp-reconnect [OPTIONS] URL\n       mcp-reconnect COMMAND [OPTIONS]",
    subcommand_value_name = "COMMAND",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = AFTER_HELP
)]
pub struct Cli {
    /// What to do other than to bridge.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The bridge's own arguments.
    #[command(flatten)]
    pub bridge: BridgeArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign in to a server by OAuth
    Login(Box<login::LoginArgs>),
    /// Forget what a sign-in has given
    Logout(Box<login::LogoutArgs>),
    /// Say what a server can do, and how well it takes restarts
    Check(Box<check::CheckArgs>),
    /// Say what this user's running bridges do
    Status(status::StatusArgs),
    /// Make a client's configuration file reach its remote servers through mcp-reconnect
    Wrap(wrap::WrapArgs),
    /// Undo wrap
    Unwrap(wrap::UnwrapArgs),
    /// Show it: a real MCP server is killed under flowing calls and comes back
    Demo(demo::DemoArgs),
    /// A real MCP server to try a client with, on the loopback interface
    #[command(hide = true)]
    DemoServer(demo::server::ServerArgs),
    /// Write the completions for a shell
    Completions(documentation::CompletionsArgs),
    /// Write the manual page
    Man(documentation::ManArgs),
}

/// The arguments of the bridge.
#[derive(Args, Debug)]
pub struct BridgeArgs {
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// off, error, warn, info, debug, trace, json
    ///
    /// What stderr shows. json: each line is a JSON object; with a level: debug,json.
    #[arg(long, value_enum, default_value = "info", value_name = "LEVEL", hide_possible_values = true)]
    #[arg(action = ArgAction::Set, value_delimiter = ',')]
    log: Vec<LogArg>,
    /// Who hears what happens.
    #[command(flatten)]
    pub events: EventArgs,
    /// How long a rejected request waits for a sign-in [default: 8s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, hide_short_help = true)]
    credentials_timeout: Option<Duration>,
    /// Silence after which the server is pinged, or off [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = span_or_off)]
    heartbeat: Option<Span>,
    /// How long a ping may stay unanswered [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    heartbeat_timeout: Option<Duration>,
    /// An unanswered ping counts even while a request runs
    #[arg(long)]
    heartbeat_strict: bool,
    /// Checks of a server whose listen stream is open, or off [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = span_or_off, hide_short_help = true)]
    listen_check: Option<Span>,
    /// How long a request may run without progress [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    request_timeout: Option<Duration>,
    /// Silence of a replaced session's request, or off [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = span_or_off)]
    old_session_timeout: Option<Span>,
    /// How long a request may wait for an absent server [default: 3m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    hold_timeout: Option<Duration>,
    /// How long initialize may wait for it, or off [default: 20s]
    #[arg(long, value_name = "TIME", value_parser = span_or_off)]
    start_timeout: Option<Span>,
    /// The largest server-sent event [default: 16M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Limits", hide_short_help = true)]
    max_event_bytes: Option<usize>,
    /// The largest JSON answer [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Limits", hide_short_help = true)]
    max_body_bytes: Option<usize>,
    /// All answers that are being read at once; the others wait [default: 128M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Limits", hide_short_help = true)]
    max_total_body_bytes: Option<usize>,
    /// The largest message from the client [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Limits", hide_short_help = true)]
    max_message_bytes: Option<usize>,
    /// Ask with server/discover first, and translate for an older client
    #[arg(long, hide_short_help = true)]
    discover_first: bool,
    /// Repeat a lost call of a read-only or idempotent tool
    #[arg(long)]
    trust_annotations: bool,
}

/// A duration, or none for `off`.
#[derive(Clone, Copy, Debug)]
struct Span(Option<Duration>);

fn span_or_off(text: &str) -> Result<Span, String> {
    duration::parse_or_off(text).map(Span)
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogArg {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    Json,
}

impl Cli {
    /// Reads the command line. What is wrong with it, or what `--help` and `--version` say, is written; then the exit code
    /// comes back.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ExitCode> {
        let lookup = |name: &str| std::env::var_os(name);
        let arguments =
            help_as_option(arguments.into_iter().collect()).map_err(|problem| super::wrong_usage(&problem))?;
        let WithVariables { arguments, used, off } =
            variables::with_variables(arguments, lookup).map_err(|problem| super::wrong_usage(&problem))?;
        let (arguments, file) =
            file::with_file(arguments, &off, lookup).map_err(|problem| super::wrong_usage(&problem))?;
        Self::try_parse_from(arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                let _ = error.print();
                ExitCode::SUCCESS
            }
            _ => {
                let mut problem = describe(&error);
                if !used.is_empty() {
                    problem.push_str(&format!("; options come from the environment too: {}", used.join(", ")));
                }
                if let Some(file) = file.filter(|file| !file.used.is_empty()) {
                    problem.push_str(&format!(
                        "; options come from {} too: {}",
                        file.path.display(),
                        file.used.join(", ")
                    ));
                }
                super::wrong_usage(&problem)
            }
        })
    }
}

impl BridgeArgs {
    /// What stderr is to show.
    pub fn log_level(&self) -> LevelFilter {
        let level = self.log.iter().rev().find(|arg| !matches!(arg, LogArg::Json));
        match level.unwrap_or(&LogArg::Info) {
            LogArg::Off => LevelFilter::OFF,
            LogArg::Error => LevelFilter::ERROR,
            LogArg::Warn => LevelFilter::WARN,
            LogArg::Info | LogArg::Json => LevelFilter::INFO,
            LogArg::Debug => LevelFilter::DEBUG,
            LogArg::Trace => LevelFilter::TRACE,
        }
    }

    /// Whether each line of stderr is a JSON object.
    pub fn log_json(&self) -> bool {
        self.log.iter().any(|arg| matches!(arg, LogArg::Json))
    }

    /// The transport's options but for the headers; what is not given keeps the library's default. An error says what is
    /// wrong and how to mend it.
    pub fn options(&self, url: &str) -> Result<Options, String> {
        let mut options = self
            .connection
            .options(url)?
            .heartbeat_strict(self.heartbeat_strict)
            .discover_first(self.discover_first)
            .trust_annotations(self.trust_annotations);
        if self.events.notify_client {
            options = options.notify_client(true);
        }
        if let Some(Span(interval)) = self.heartbeat {
            options = options.heartbeat(interval);
        }
        if let Some(timeout) = self.heartbeat_timeout {
            options = options.heartbeat_timeout(timeout);
        }
        if let Some(Span(interval)) = self.listen_check {
            options = options.listen_check(interval);
        }
        if let Some(timeout) = self.request_timeout {
            options = options.run_timeout(timeout);
        }
        if let Some(Span(timeout)) = self.old_session_timeout {
            options = options.old_session_timeout(timeout.unwrap_or_default());
        }
        if let Some(timeout) = self.hold_timeout {
            options = options.hold_timeout(timeout);
        }
        if let Some(Span(timeout)) = self.start_timeout {
            options = options.start_timeout(timeout);
        }
        if let Some(bytes) = self.max_event_bytes {
            options = options.max_event_bytes(bytes as u64);
        }
        if let Some(bytes) = self.max_body_bytes {
            options = options.max_body_bytes(bytes as u64);
        }
        if let Some(bytes) = self.max_total_body_bytes {
            options = options.max_total_body_bytes(bytes as u64);
        }
        if let Some(bytes) = self.max_message_bytes {
            options = options.max_message_bytes(bytes as u64);
        }
        Ok(options)
    }

    /// How long a rejected request waits for other credentials, if that is set.
    pub fn credentials_timeout(&self) -> Option<Duration> {
        self.credentials_timeout
    }

    /// The largest message from the client.
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes.unwrap_or_else(|| mcp_reconnect_core::Options::new("").max_message_bytes)
    }
}

/// `help` and `help COMMAND` as `--help` and `COMMAND --help`. clap's own `help` would be one more command in each list of them.
fn help_as_option(mut arguments: Vec<OsString>) -> Result<Vec<OsString>, String> {
    if arguments.get(1).is_none_or(|word| word != "help") {
        return Ok(arguments);
    }
    arguments.remove(1);
    let command = arguments.get(1).map(|word| word.to_string_lossy().into_owned());
    if let Some(command) =
        command.filter(|word| !word.starts_with('-') && Cli::command().find_subcommand(word).is_none())
    {
        return Err(suggestion::subcommand(&command).unwrap_or_else(|| format!("there is no command '{command}'")));
    }
    arguments.truncate(2);
    arguments.push("--help".into());
    Ok(arguments)
}

/// clap's message as one line, with what to do in place of an option of other programs.
fn describe(error: &clap::Error) -> String {
    let option = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) if error.kind() == ErrorKind::UnknownArgument => option,
        _ => return one_line(&error.to_string()),
    };
    match hint::foreign_option(option) {
        Some(hint) => format!("unexpected argument '{option}' found; {hint}"),
        None => one_line(&error.to_string()),
    }
}

/// clap's message as one line, without its usage and its hints that are no help.
fn one_line(message: &str) -> String {
    let paragraphs = message.split("\n\n").map(|paragraph| {
        let lines: Vec<_> = paragraph.lines().map(str::trim).collect();
        lines.join(" ")
    });
    const NO_HELP: [&str; 3] = ["Usage:", "For more information", "to pass "];
    let useful: Vec<_> = paragraphs
        .map(|paragraph| paragraph.trim_start_matches("error: ").trim_start_matches("tip: ").trim().to_owned())
        .filter(|text| !text.is_empty() && !NO_HELP.iter().any(|start| text.starts_with(start)))
        .collect();
    useful.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::expand::VarError;
    use crate::cli::hook_event::HookName;

    fn wrong(arguments: &[&str]) -> String {
        let all = std::iter::once("mcp-reconnect").chain(arguments.iter().copied());
        describe(&Cli::try_parse_from(all).expect_err("a wrong command line"))
    }

    fn options(arguments: &[&str]) -> Result<Options, String> {
        let all = std::iter::once("mcp-reconnect").chain(arguments.iter().copied());
        let mut bridge = Cli::try_parse_from(all).expect("clap takes it").bridge;
        bridge.connection = bridge.connection.with_environment(|name| match name {
            "SET" => Ok("http://from.environment/".into()),
            _ => Err(VarError::NotPresent),
        });
        let url = bridge.connection.url()?;
        let timeout = bridge.credentials_timeout();
        Ok(CredentialArgs::apply(bridge.options(&url)?, &bridge.connection.sources(&url)?, false, timeout))
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        assert_eq!(
            wrong(&["--transport", "pigeon", "http://h/"]),
            "invalid value 'pigeon' for '--transport <NAME>' [possible values: auto, http, sse]"
        );
        assert_eq!(wrong(&["--zzz", "http://h/"]), "unexpected argument '--zzz' found");
        for (option, mend) in [("-k", "--ca-cert"), ("--insecure", "--ca-cert"), ("--allow-http", "leave it out")] {
            let said = wrong(&[option, "http://h/"]);
            assert!(
                said.starts_with(&format!("unexpected argument '{option}' found; ")) && said.contains(mend),
                "{said}"
            );
        }
        assert_eq!(
            wrong(&["--heder", "x", "http://h/"]),
            "unexpected argument '--heder' found; a similar argument exists: '--header'"
        );
        assert_eq!(
            wrong(&["--heartbeat", "soon", "http://h/"]),
            "invalid value 'soon' for '--heartbeat <TIME>': write a duration such as 500ms, 30s, 5m or 1h"
        );
    }

    #[test]
    fn one_url() {
        assert!(options(&["http://h/"]).is_ok());
        assert!(options(&[]).unwrap_err().contains("URL is missing"));
        assert!(options(&["http://h/", "http://i/"]).unwrap_err().contains("'http://i/'"));
        let shown = format!("{:?}", options(&["--url-env", "SET"]).unwrap());
        assert!(shown.contains("from.environment"), "{shown}");
        assert!(options(&["--url-env", "UNSET"]).unwrap_err().contains("UNSET"));
        assert!(options(&["--url-env", "SET", "http://h/"]).unwrap_err().contains("two URLs"));
    }

    #[test]
    fn headers_in_any_number_and_no_secret_in_an_error() {
        let options_ = options(&["-H", "A: 1", "--header", "B: ${NONE:-2}", "http://h/"]).unwrap();
        assert!(format!("{options_:?}").contains(r#"["A", "B"]"#), "{options_:?}");
        let error = options(&["-H", "A: s3cret ${NONE}", "http://h/"]).unwrap_err();
        assert!(error.contains("NONE") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn options_reach_the_library() {
        let set = options(&[
            "http://h/",
            "--transport",
            "sse",
            "--heartbeat",
            "off",
            "--heartbeat-timeout",
            "2s",
            "--heartbeat-strict",
            "--listen-check",
            "10s",
            "--request-timeout",
            "3s",
            "--old-session-timeout",
            "9s",
            "--hold-timeout",
            "4s",
            "--start-timeout",
            "5s",
            "--max-event-bytes",
            "6K",
            "--max-body-bytes",
            "7K",
            "--max-total-body-bytes",
            "9K",
            "--max-message-bytes",
            "8K",
            "--discover-first",
            "--trust-annotations",
        ]);
        let shown = format!("{:?}", set.unwrap());
        for part in [
            "transport: Some(HttpSse)",
            "heartbeat_interval: Some(0ns)",
            "heartbeat_timeout: Some(2s)",
            "heartbeat_strict: Some(true)",
            "listen_check_interval: Some(10s)",
            "run_timeout: Some(3s)",
            "old_session_timeout: Some(9s)",
            "hold_timeout: Some(4s)",
            "start_timeout: Some(5s)",
            "max_event_bytes: Some(6144)",
            "max_body_bytes: Some(7168)",
            "max_total_body_bytes: Some(9216)",
            "max_message_bytes: Some(8192)",
            "discover_first: Some(true)",
            "trust_annotations: Some(true)",
        ] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
    }

    #[test]
    fn headers_that_change_are_asked_for() {
        let shown = format!("{:?}", options(&["http://h/", "--header-command", "x", "--header-file", "y"]).unwrap());
        for part in ["credentials_timeout: Some(21s)", "connect_headers_timeout: Some(21s)"] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        let shown = format!("{:?}", options(&["http://h/", "-H", "A: 1"]).unwrap());
        assert!(shown.contains("credentials_timeout: None"), "{shown}");
    }

    #[test]
    fn the_hook_and_its_events() {
        let hook = |arguments: &[&str]| {
            let all = ["mcp-reconnect", "http://h/"].iter().chain(arguments).copied();
            Cli::try_parse_from(all).map(|cli| cli.bridge.events.hook())
        };
        assert!(hook(&[]).unwrap().is_none());
        let all = hook(&["--on-event", "x"]).unwrap().unwrap();
        assert!(all.names.is_empty() && all.timeout == Duration::from_secs(10));
        let some = ["--on-event", "x", "--event", "mcpserverdisconnected", "--event", "McpRequestReplayed"];
        let some = hook(&some).unwrap().unwrap();
        assert_eq!(some.names, [HookName::Disconnected, HookName::Replayed]);
        let error = wrong(&["http://h/", "--on-event", "x", "--event", "Gone"]);
        assert!(error.contains("'Gone'") && error.contains("McpServerDisconnected"), "{error}");
        assert!(wrong(&["http://h/", "--event", "McpServerDisconnected"]).contains("--on-event"));
        assert!(wrong(&["http://h/", "--on-event", ""]).contains("--on-event"));
    }

    #[test]
    fn the_url_that_others_are_told_holds_no_query() {
        let shown = shown_url;
        assert_eq!(shown("HTTPS://Jarvis.internal:443/sse?key=s3cret"), "https://jarvis.internal/sse");
        assert_eq!(shown("http://h:8080"), "http://h:8080/");
        assert_eq!(shown("http://user:s3cret@h/"), "");
    }

    #[test]
    fn what_is_not_given_stays_the_default_of_the_library() {
        let shown = format!("{:?}", options(&["http://h/"]).unwrap());
        assert!(shown.contains("hold_timeout: None") && shown.contains("heartbeat_interval: None"), "{shown}");
    }

    #[test]
    fn help_is_a_command_too() {
        let words = |words: &[&str]| {
            let all = ["mcp-reconnect"].iter().chain(words).map(OsString::from).collect();
            help_as_option(all)
                .map(|all| all.into_iter().skip(1).map(|word| word.into_string().unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(words(&["help"]).unwrap(), ["--help"]);
        assert_eq!(words(&["help", "wrap", "x"]).unwrap(), ["wrap", "--help"]);
        assert_eq!(words(&["http://h/", "help"]).unwrap(), ["http://h/", "help"]);
        assert!(words(&["help", "chekc"]).is_err_and(|problem| problem.contains("mcp-reconnect check")));
        assert!(words(&["help", "pigeon"]).is_err_and(|problem| problem.contains("'pigeon'")));
    }

    #[test]
    fn the_help_fits_on_a_screen() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 50, "{} lines", help.lines().count());
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
