//! `mcp-reconnect demo-server`: a real MCP server, built on the official Rust SDK, to try a client with. It listens on
//! the loopback interface only.

mod sse;
mod tools;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::serve::ListenerExt;
use rmcp::model::JsonObject;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

use self::tools::{DemoServer, Memory};
use super::Transport;

/// Gives a handler for each new session.
type Factory = Arc<dyn Fn() -> DemoServer + Send + Sync>;

/// What `demo-server` is asked to do.
#[derive(clap::Args, Debug)]
pub struct ServerArgs {
    /// The transport to serve
    #[arg(long, value_enum, default_value_t = Transport::Http)]
    pub transport: Transport,
    /// The port to listen on; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Report every session and every call on stdout
    #[arg(long)]
    pub journal: bool,
    /// Exit when stdin ends, so as not to outlive the parent process
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
}

/// Serves until the process is ended.
pub fn run(args: ServerArgs) -> anyhow::Result<ExitCode> {
    if args.exit_on_stdin_eof {
        std::thread::spawn(exit_at_eof);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: ServerArgs) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another --port, or 0 for any"))?;
    let address = listener.local_addr()?;

    let memory = Arc::new(Memory::default());
    let journal = Journal { enabled: args.journal };
    let factory: Factory = Arc::new(move || DemoServer::new(memory.clone(), journal));
    let router = match args.transport {
        Transport::Http => streamable_http(factory),
        Transport::Sse => sse::router(factory),
    };
    report(&format!("listening on {}", args.transport.url(address.port())));
    // An SSE event is a small write that waits for no other: Nagle's algorithm would hold it back for 40 ms.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await.context("the server stopped")
}

fn streamable_http(factory: Factory) -> Router {
    let service = StreamableHttpService::new(
        move || Ok(factory()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    Router::new().route_service("/mcp", service)
}

fn exit_at_eof() {
    let mut stdin = std::io::stdin().lock();
    let mut buffer = [0; 256];
    while matches!(stdin.read(&mut buffer), Ok(read) if read > 0) {}
    std::process::exit(0);
}

/// Tells the parent process what the server does: the demo's independent witness of what ran how often.
#[derive(Clone, Copy, Debug)]
struct Journal {
    enabled: bool,
}

impl Journal {
    /// A session was initialised.
    fn session(self) {
        if self.enabled {
            report("session");
        }
    }

    /// A tool begins to run.
    fn call(self, tool: &str, arguments: Option<&JsonObject>) {
        if self.enabled {
            let arguments = arguments.map(|arguments| serde_json::Value::Object(arguments.clone()));
            report(&format!("call {tool} {}", arguments.unwrap_or_default()));
        }
    }
}

/// Writes a line to stdout at once. Nobody reads it when the parent is gone; then there is nothing to tell.
fn report(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
