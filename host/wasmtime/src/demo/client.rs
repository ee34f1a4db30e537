//! The MCP client of the demo: the official Rust SDK, on the bridge's stdin and stdout.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mcp_reconnect_core::errors::OUTCOME_UNKNOWN;
use rmcp::model::{CallToolRequestParams, CallToolResult, ClientConfig, Implementation, JsonObject};
use rmcp::service::{NotificationContext, Peer, RunningService, ServiceError};
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use tokio::process::Child;
use tokio::sync::watch;

use super::timeline::{Colour, Timeline, Who, short};
use super::wiretap::Wiretap;

/// No call of the demo takes longer, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this long without an answer a call is shown to wait.
const SOON: Duration = Duration::from_millis(100);
/// The pipe between the client and the wiretap.
const PIPE: usize = 64 << 10;

/// A call and what came of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its number, for people.
    pub number: u32,
    /// The tool.
    pub tool: &'static str,
    /// The tool's arguments, as the server reports them.
    pub arguments: String,
    /// When it was made.
    pub asked: Duration,
    /// When its answer came.
    pub answered: Duration,
    /// The answer.
    pub answer: Answer,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The tool's result.
    Result(String),
    /// The error that says that it may or may not have run.
    OutcomeUnknown(String),
    /// Any other error, or none at all in time.
    Failed(String),
}

impl Call {
    /// How long it took.
    pub fn took(&self) -> Duration {
        self.answered.saturating_sub(self.asked)
    }

    /// The line with which the server reports its execution.
    pub fn report(&self) -> String {
        report(self.tool, &self.arguments)
    }
}

/// The line with which the server reports the execution of a call.
pub fn report(tool: &str, arguments: &str) -> String {
    format!("call {tool} {arguments}")
}

/// What the client is told without asking.
struct Ears {
    list_changed: watch::Sender<u32>,
    timeline: Arc<Timeline>,
}

impl ClientHandler for Ears {
    fn get_info(&self) -> ClientConfig {
        let mut info = ClientConfig::default();
        info.client_info = Implementation::new("mcp-reconnect-demo-client", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.timeline.line(Who::Client, Colour::Good, "was told that the list of tools may have changed");
        self.list_changed.send_modify(|count| *count += 1);
    }
}

/// A connected client.
pub struct Client {
    service: RunningService<RoleClient, Ears>,
    list_changed: watch::Receiver<u32>,
    timeline: Arc<Timeline>,
    tap: Wiretap,
    calls: u32,
}

impl Client {
    /// Connects to the bridge and asks for the tools, as every MCP client does.
    pub async fn connect(bridge: &mut Child, timeline: Arc<Timeline>) -> anyhow::Result<Self> {
        let tap = Wiretap::default();
        let bridge_in = bridge.stdin.take().context("the bridge has no stdin")?;
        let bridge_out = bridge.stdout.take().context("the bridge has no stdout")?;
        let (client_out, tap_in) = tokio::io::duplex(PIPE);
        let (tap_out, client_in) = tokio::io::duplex(PIPE);
        tokio::spawn(tap.clone().client_to_bridge(tap_in, bridge_in));
        tokio::spawn(tap.clone().bridge_to_client(bridge_out, tap_out));

        let (sender, list_changed) = watch::channel(0);
        let ears = Ears { list_changed: sender, timeline: timeline.clone() };
        let service = tokio::time::timeout(PATIENCE, ears.serve((client_in, client_out)))
            .await
            .context("the bridge did not answer initialize in time")?
            .context("initialize failed")?;
        let tools = tokio::time::timeout(PATIENCE, service.peer().list_all_tools())
            .await
            .context("the bridge did not answer tools/list in time")?
            .context("tools/list failed")?;
        timeline.line(Who::Client, Colour::Good, &format!("connected, {} tools", tools.len()));
        Ok(Self { service, list_changed, timeline, tap, calls: 0 })
    }

    /// The number of the next call.
    pub fn next_number(&self) -> u32 {
        self.calls + 1
    }

    /// Makes a call. The future is independent of the client.
    pub fn call(&mut self, tool: &'static str, arguments: JsonObject) -> impl Future<Output = Call> + Send + use<> {
        self.calls += 1;
        ask(self.service.peer().clone(), self.timeline.clone(), self.calls, tool, arguments)
    }

    /// What went over the pipes until now.
    pub fn tap(&self) -> &Wiretap {
        &self.tap
    }

    /// Waits until it was told that the list of tools may have changed.
    pub async fn list_changed(&mut self, patience: Duration) -> bool {
        matches!(tokio::time::timeout(patience, self.list_changed.wait_for(|count| *count > 0)).await, Ok(Ok(_)))
    }

    /// Closes the bridge's stdin.
    pub async fn close(mut self) {
        let _ = self.service.close_with_timeout(PATIENCE).await;
    }
}

async fn ask(
    peer: Peer<RoleClient>,
    timeline: Arc<Timeline>,
    number: u32,
    tool: &'static str,
    arguments: JsonObject,
) -> Call {
    let asked = timeline.now();
    let text = serde_json::Value::Object(arguments.clone()).to_string();
    let params = CallToolRequestParams::new(tool).with_arguments(arguments);
    let mut answer = Box::pin(tokio::time::timeout(PATIENCE, async move { peer.call_tool(params).await }));
    let answer = match tokio::time::timeout(SOON, &mut answer).await {
        Ok(answer) => answer,
        Err(_) => {
            timeline.line(Who::Client, Colour::Waiting, &format!("#{number} {tool} … waiting for the answer"));
            answer.await
        }
    };
    let answer = match answer {
        Ok(answer) => judge(answer),
        Err(_) => Answer::Failed(format!("no answer within {}", short(PATIENCE))),
    };
    let call = Call { number, tool, arguments: text, asked, answered: timeline.now(), answer };
    let took = short(call.took());
    match &call.answer {
        Answer::Result(text) => {
            timeline.line(Who::Client, Colour::Good, &format!("#{number} {tool} → {text} ({took})"));
        }
        Answer::OutcomeUnknown(text) => {
            timeline.line(Who::Client, Colour::Waiting, &format!("#{number} {tool} → error: {text} ({took})"));
        }
        Answer::Failed(text) => {
            timeline.line(Who::Client, Colour::Bad, &format!("#{number} {tool} → failed: {text} ({took})"));
        }
    }
    call
}

fn judge(answer: Result<CallToolResult, ServiceError>) -> Answer {
    match answer {
        Ok(result) => {
            let text: Vec<_> =
                result.content.iter().filter_map(|block| block.as_text()).map(|text| text.text.as_str()).collect();
            let text = text.join(" ");
            if result.is_error == Some(true) { Answer::Failed(text) } else { Answer::Result(text) }
        }
        Err(ServiceError::McpError(error)) if i64::from(error.code.0) == OUTCOME_UNKNOWN => {
            Answer::OutcomeUnknown(error.message.into_owned())
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}
