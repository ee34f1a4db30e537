//! The tools of the demo server, on the official Rust SDK.
#![expect(deprecated, reason = "MCP 2026-07-28 drops logging; the versions that the demo server speaks have it")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ProgressToken, RequestMetaObject, ServerCapabilities, ServerConfig,
    SetLevelRequestParams, Tool,
};
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler, tool, tool_router};
use serde::Deserialize;

use super::Journal;

/// The longest that a tool sleeps. A demo server needs no more, and nothing should wait for ever.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);
/// How often a tool says how far it has come, where the client wants to know.
const PROGRESS: Duration = Duration::from_millis(250);

/// What all sessions of one process share, and a new process begins afresh.
#[derive(Debug, Default)]
pub struct Memory {
    count: AtomicU64,
    lines: Mutex<Vec<String>>,
    deploys: AtomicU64,
}

/// The handler of one session.
#[derive(Clone)]
pub struct DemoServer {
    memory: Arc<Memory>,
    journal: Journal,
    tool_router: ToolRouter<Self>,
}

#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What to say back.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Add {
    /// The first number.
    a: f64,
    /// The second number.
    b: f64,
}

#[derive(Deserialize, JsonSchema)]
struct Sleep {
    /// How long, in milliseconds; at most ten minutes.
    ms: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Append {
    /// The line to add.
    line: String,
}

#[derive(Deserialize, JsonSchema)]
struct Deploy {
    /// What to deploy.
    version: String,
    /// How long it takes, in milliseconds; at most ten minutes.
    ms: u64,
}

#[tool_router]
impl DemoServer {
    /// A handler for a new session.
    pub fn new(memory: Arc<Memory>, journal: Journal) -> Self {
        Self { memory, journal, tool_router: Self::tool_router() }
    }

    #[tool(description = "Says the text back.", annotations(read_only_hint = true, idempotent_hint = true))]
    async fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> String {
        text
    }

    #[tool(description = "Adds two numbers.", annotations(read_only_hint = true, idempotent_hint = true))]
    async fn add(&self, Parameters(Add { a, b }): Parameters<Add>) -> String {
        (a + b).to_string()
    }

    #[tool(
        description = "Answers after a while and changes nothing: safe to call again.",
        annotations(read_only_hint = true, idempotent_hint = true)
    )]
    async fn sleep(&self, Parameters(Sleep { ms }): Parameters<Sleep>) -> String {
        pause(ms).await;
        format!("slept {ms} ms")
    }

    #[tool(description = "Counts its own calls since the server's start, so that a restart can be seen.")]
    async fn count(&self) -> String {
        (self.memory.count.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }

    #[tool(
        description = "Adds a line to the server's memory and says how many there are: not safe to call again.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false)
    )]
    async fn append(&self, Parameters(Append { line }): Parameters<Append>) -> String {
        let mut lines = self.memory.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
        match lines.len() {
            1 => "1 line".into(),
            count => format!("{count} lines"),
        }
    }

    #[tool(
        description = "Pretends to deploy a version, which takes a while: not safe to call again.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false)
    )]
    async fn deploy(
        &self,
        Parameters(Deploy { version, ms }): Parameters<Deploy>,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
    ) -> String {
        let number = self.memory.deploys.fetch_add(1, Ordering::Relaxed) + 1;
        match meta.get_progress_token() {
            Some(token) => tokio::select! {
                () = pause(ms) => {}
                () = report_progress(&client, token, ms) => {}
            },
            None => pause(ms).await,
        }
        format!("deployed {version} (deployment {number} of this process)")
    }
}

impl ServerHandler for DemoServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_logging().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("mcp-reconnect-demo", env!("CARGO_PKG_VERSION")))
            .with_instructions("A server to try a client's connection with: restart it and see.")
    }

    async fn on_initialized(&self, _context: NotificationContext<RoleServer>) {
        self.journal.session();
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(()) // The server logs nothing, at any level.
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tool_router.list_all()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.journal.call(&request.name, request.arguments.as_ref());
        self.tool_router.call(ToolCallContext::new(self, request, context)).await
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tool_router.get(name).cloned()
    }
}

/// Says every now and then how far it has come, for ever.
async fn report_progress(client: &Peer<RoleServer>, token: ProgressToken, ms: u64) {
    let mut ticks = tokio::time::interval(PROGRESS);
    let start = ticks.tick().await;
    loop {
        let passed = ticks.tick().await.duration_since(start).as_millis();
        let progress = ProgressNotificationParam::new(token.clone(), passed as f64).with_total(ms as f64);
        // A client that is away hears the next one.
        let _ = client.notify_progress(progress).await;
    }
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms).min(LONGEST_SLEEP)).await;
}
