//! `mcp-reconnect demo`: the whole story with nothing but the binary. A real MCP server and the bridge run as child
//! processes, an MCP client of the official SDK calls through them at a steady pace, the server is killed with SIGKILL in
//! the middle of calls and comes back. What happened is drawn as a timeline and then judged.

mod chart;
mod children;
mod client;
pub mod server;
mod story;
mod timeline;
mod verdict;
mod wiretap;

use std::process::ExitCode;
use std::sync::Arc;

use self::timeline::Timeline;

/// A shell's exit code for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// What `demo` is asked to do.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// The transport between the bridge and the server
    #[arg(long, value_enum, default_value_t = Transport::Sse)]
    transport: Transport,
}

/// The transports that the demo server speaks.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP
    Http,
    /// HTTP+SSE
    Sse,
}

impl Transport {
    /// Where the demo server on this port is reached.
    fn url(self, port: u16) -> String {
        let path = match self {
            Self::Http => "mcp",
            Self::Sse => "sse",
        };
        format!("http://127.0.0.1:{port}/{path}")
    }

    /// The name on the command line.
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Sse => "sse",
        }
    }

    /// The name in the specification.
    fn title(self) -> &'static str {
        match self {
            Self::Http => "Streamable HTTP",
            Self::Sse => "HTTP+SSE",
        }
    }
}

/// Shows it. The exit code says whether everything was as promised.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let timeline = Arc::new(Timeline::stdout());
        tokio::select! {
            biased;
            // Dropping the story ends its children. Polled first: from then on the signal does not end the process by itself.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
            told = story::tell(args.transport, &timeline) => {
                let verdict = told?.verdict();
                timeline.print(&verdict.text(timeline.style()));
                Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
        }
    })
}
