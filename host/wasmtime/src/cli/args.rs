//! The command line.

use std::env::VarError;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use mcp_reconnect::{Options, TransportChoice};
use tracing::level_filters::LevelFilter;

use super::{duration, header, size};
use crate::demo;

const AFTER_HELP: &str = "\
Durations: 500ms, 30s, 5m, 1h. Sizes: 65536, 64K, 16M.
Signals: SIGHUP begins a new session, SIGUSR1 writes the status to stderr, SIGTERM and SIGINT end.
Exit codes: 0 the client or a signal ended it, 1 an internal failure, 2 the command line is wrong.

For Claude Code:  claude mcp add jarvis -- mcp-reconnect https://jarvis.internal/sse
See it work:      mcp-reconnect demo";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "mcp-reconnect",
    version,
    about = "Connects an MCP client on stdio to a remote MCP server, and stays when the server goes away and comes back.",
    override_usage = "mcp-reconnect [OPTIONS] URL\n       mcp-reconnect demo [--transport sse|http]",
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
    /// Show it: a real MCP server is killed under flowing calls and comes back
    Demo(demo::DemoArgs),
    /// A real MCP server to try a client with, on the loopback interface
    #[command(hide = true)]
    DemoServer(demo::server::ServerArgs),
}

/// The arguments of the bridge.
#[derive(Args, Debug)]
pub struct BridgeArgs {
    /// The server's MCP endpoint or SSE URL, http or https
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// The transport to speak: auto, http (Streamable HTTP) or sse (HTTP+SSE)
    #[arg(long, value_enum, default_value_t = TransportArg::Auto, value_name = "NAME", hide_possible_values = true)]
    transport: TransportArg,
    /// 'Name: value' for each request; takes ${VAR} and ${VAR:-default}
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// What to say on stderr: off, error, warn, info, debug, trace
    #[arg(long, value_enum, default_value_t = LogArg::Info, value_name = "LEVEL", hide_possible_values = true)]
    log: LogArg,
    /// Silence after which the server is pinged, or off [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = span_or_off)]
    heartbeat: Option<Span>,
    /// How long a ping may stay unanswered [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    heartbeat_timeout: Option<Duration>,
    /// An unanswered ping counts even while a request runs
    #[arg(long)]
    heartbeat_strict: bool,
    /// How long a request may run without progress [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    request_timeout: Option<Duration>,
    /// How long a request may wait for a server that is away [default: 3m]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    hold_timeout: Option<Duration>,
    /// How long initialize may wait for it, or off [default: 20s]
    #[arg(long, value_name = "DURATION", value_parser = span_or_off)]
    start_timeout: Option<Span>,
    /// The largest server-sent event [default: 16M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_event_bytes: Option<usize>,
    /// The largest JSON answer [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_body_bytes: Option<usize>,
    /// The largest message from the client [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_message_bytes: Option<usize>,
    /// Believe tool annotations: read-only and idempotent calls may be sent again
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
enum TransportArg {
    Auto,
    Http,
    Sse,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogArg {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Cli {
    /// Reads the command line. What is wrong with it, or what `--help` and `--version` say, is written; then the exit code
    /// comes back.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ExitCode> {
        Self::try_parse_from(arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                let _ = error.print();
                ExitCode::SUCCESS
            }
            _ => super::wrong_usage(&one_line(&error.to_string())),
        })
    }
}

impl BridgeArgs {
    /// What stderr is to show.
    pub fn log_level(&self) -> LevelFilter {
        match self.log {
            LogArg::Off => LevelFilter::OFF,
            LogArg::Error => LevelFilter::ERROR,
            LogArg::Warn => LevelFilter::WARN,
            LogArg::Info => LevelFilter::INFO,
            LogArg::Debug => LevelFilter::DEBUG,
            LogArg::Trace => LevelFilter::TRACE,
        }
    }

    /// The transport's options; what is not given keeps the library's default. An error says what is wrong and how to mend
    /// it, and holds no secret.
    pub fn options(&self, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<Options, String> {
        let url = self.url.as_deref().ok_or("the server's URL is missing; write mcp-reconnect https://HOST/PATH")?;
        let mut options = Options::new(url)
            .transport(match self.transport {
                TransportArg::Auto => TransportChoice::Auto,
                TransportArg::Http => TransportChoice::StreamableHttp,
                TransportArg::Sse => TransportChoice::HttpSse,
            })
            .heartbeat_strict(self.heartbeat_strict)
            .trust_annotations(self.trust_annotations);
        for text in &self.headers {
            let (name, value) = header::parse(text, &lookup)?;
            options = options.header(name, value);
        }
        if let Some(Span(interval)) = self.heartbeat {
            options = options.heartbeat(interval);
        }
        if let Some(timeout) = self.heartbeat_timeout {
            options = options.heartbeat_timeout(timeout);
        }
        if let Some(timeout) = self.request_timeout {
            options = options.run_timeout(timeout);
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
        if let Some(bytes) = self.max_message_bytes {
            options = options.max_message_bytes(bytes as u64);
        }
        Ok(options)
    }

    /// The largest message from the client.
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes.unwrap_or_else(|| mcp_reconnect_core::Options::new("").max_message_bytes)
    }
}

/// clap's message without its usage and its hint, as one line.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let text: Vec<_> = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information")).collect();
    text.join(" ").trim_start_matches("error: ").to_owned()
}
