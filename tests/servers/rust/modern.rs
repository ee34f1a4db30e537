//! A real MCP server of the official Rust SDK 3.11 for tests/modern.rs, which speaks MCP 2026-07-28 and the versions before,
//! these with sessions:
//!
//! ```text
//! rust-server --port 9000 --journal FILE [--only] [--header Region]
//! ```
//!
//! With `--only` it speaks MCP 2026-07-28 only. `--header` has the tool `route` mirror its argument `region` in the header
//! `Mcp-Param-<name>`. What could do harm appends a line to the journal. At SIGTERM it ends its streams and finishes its calls,
//! as the SDK's examples do. It may be called `herd.test`, and each session is a line on stdout.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use clap::Parser;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, InputRequest,
    InputRequiredResult, JsonObject, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
    ProtocolVersion, ResourceUpdatedNotificationParam, ServerCapabilities, ServerConfig, SubscribeRequestParams,
    SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext, SubscriptionSink};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler};
use serde_json::{Value, json};

#[derive(Parser)]
struct Options {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    journal: PathBuf,
    #[arg(long)]
    only: bool,
    #[arg(long)]
    header: Option<String>,
}

/// What all requests and sessions of the process share.
struct Shared {
    options: Options,
    /// Tools that `add_tool` made.
    added: Mutex<BTreeSet<String>>,
    /// Who listens, in MCP 2026-07-28.
    sinks: Mutex<Vec<SubscriptionSink>>,
    /// The sessions of the versions before, each with the resources that it subscribed to.
    sessions: Mutex<Vec<(Peer<RoleServer>, Subscribed)>>,
}

type Subscribed = Arc<Mutex<BTreeSet<String>>>;

/// The handler of one session, or of one request without.
#[derive(Clone)]
struct Handler {
    shared: Arc<Shared>,
    subscribed: Subscribed,
}

#[derive(Clone, Copy)]
enum Change<'a> {
    Tools,
    Resource(&'a str),
}

impl Shared {
    /// Appends a line to the journal; in the file before the tool goes on.
    fn note(&self, line: &str) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&self.options.journal);
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())).expect("the journal is writable");
    }

    /// Tells everybody who listens.
    async fn tell(&self, change: Change<'_>) {
        let sinks = lock(&self.sinks).clone();
        for sink in sinks {
            // One that did not ask for this, or is gone, is passed over.
            let _ = match change {
                Change::Tools => sink.notify_tool_list_changed().await,
                Change::Resource(uri) => sink.notify_resource_updated(uri).await,
            };
        }
        let sessions = lock(&self.sessions).clone();
        for (client, subscribed) in sessions {
            let _ = match change {
                Change::Tools => client.notify_tool_list_changed().await,
                Change::Resource(uri) if lock(&subscribed).contains(uri) => {
                    client.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await
                }
                Change::Resource(_) => Ok(()),
            };
        }
    }

    fn tools(&self) -> Vec<Tool> {
        let string = json!({"type": "string"});
        let number = json!({"type": "number"});
        let mut region = string.clone();
        if let Some(header) = &self.options.header {
            region["x-mcp-header"] = header.as_str().into();
        }
        let mut tools = vec![
            tool("echo", &json!({"text": string})),
            tool("append", &json!({"mark": string})),
            tool("slow", &json!({"seconds": number, "mark": string})),
            tool("progress", &json!({"steps": number, "until": string})),
            tool("confirm", &json!({"mark": string})),
            tool("route", &json!({"region": region, "mark": string})),
            tool("add_tool", &json!({"name": string})),
            tool("touch", &json!({"uri": string})),
        ];
        tools.extend(lock(&self.added).iter().map(|name| tool(name, &json!({}))));
        tools
    }
}

impl Handler {
    async fn run(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let mark = text("mark");
        let shared = &self.shared;
        let said = match &*request.name {
            "echo" => format!("Echo: {}", text("text")),
            "append" => {
                shared.note(&format!("append {mark}"));
                format!("appended: {mark}")
            }
            "slow" => {
                shared.note(&format!("slow {mark}"));
                let mut call = Running { shared, mark: &mark, has_ended: false };
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(arguments["seconds"].as_u64().unwrap_or_default())) => {}
                    () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
                }
                call.has_ended = true;
                format!("slept: {mark}")
            }
            // It ends when the file `until` is there: a client's SDK may lose what comes in one piece with the answer.
            "progress" => {
                let steps = arguments["steps"].as_u64().unwrap_or_default();
                if let Some(token) = context.meta.get_progress_token() {
                    for step in 1..=steps {
                        let params = ProgressNotificationParam::new(token.clone(), step as f64);
                        let _ = context.peer.notify_progress(params.with_total(steps as f64)).await;
                    }
                }
                while !Path::new(&text("until")).exists() && !context.ct.is_cancelled() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                format!("steps: {steps}")
            }
            "confirm" => {
                let answers = request.input_responses.unwrap_or_default();
                if answers.get("confirm").is_none_or(|answer| answer["content"]["confirm"] != true) {
                    shared.note(&format!("asked {mark}"));
                    let requests = [("confirm".to_owned(), question(&mark))].into();
                    return Ok(InputRequiredResult::new(Some(requests), Some(mark)).into());
                }
                shared.note(&format!("confirmed {mark}"));
                format!("confirmed: {}", request.request_state.unwrap_or_default())
            }
            "route" => {
                shared.note(&format!("route {mark}"));
                format!("routed to {}", text("region"))
            }
            "add_tool" => {
                let name = text("name");
                lock(&shared.added).insert(name.clone());
                shared.tell(Change::Tools).await;
                format!("added: {name}")
            }
            "touch" => {
                shared.tell(Change::Resource(&text("uri"))).await;
                "touched".to_owned()
            }
            added => added.to_owned(),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(said)]).into())
    }
}

/// A call that notes when nobody waits for it any more: however the SDK ends it.
struct Running<'a> {
    shared: &'a Shared,
    mark: &'a str,
    has_ended: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.note(&format!("cancelled {}", self.mark));
        }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("rust-modern", "1"))
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        match self.shared.options.only {
            true => Cow::Owned(vec![ProtocolVersion::V_2026_07_28]),
            false => Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS),
        }
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        // Whoever started it wants to know when.
        println!("session");
        lock(&self.shared.sessions).push((context.peer, self.subscribed.clone()));
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.shared.tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.shared.tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.run(request, context).await
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        lock(&self.shared.sinks).push(context.sink().clone());
        context.cancelled().await;
        Ok(())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        lock(&self.subscribed).insert(request.uri);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        lock(&self.subscribed).remove(&request.uri);
        Ok(())
    }
}

fn tool(name: &str, properties: &Value) -> Tool {
    let names: Vec<_> = properties.as_object().into_iter().flat_map(JsonObject::keys).collect();
    let schema = json!({"type": "object", "properties": properties, "required": names});
    let Value::Object(schema) = schema else { unreachable!("an object") };
    Tool::new(name.to_owned(), String::new(), schema)
}

/// Asks the user.
fn question(mark: &str) -> InputRequest {
    let schema = json!({"type": "object", "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"]});
    let params = json!({"mode": "form", "message": format!("Really {mark}?"), "requestedSchema": schema});
    serde_json::from_value(json!({"method": "elicitation/create", "params": params})).expect("a question")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = Options::parse();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await.expect("the port is free");
    let shared = Shared { options, added: Mutex::default(), sinks: Mutex::default(), sessions: Mutex::default() };
    let shared = Arc::new(shared);
    let hosts = ["localhost", "127.0.0.1", "::1", "herd.test"];
    let config = StreamableHttpServerConfig::default().with_allowed_hosts(hosts);
    let end = config.cancellation_token.clone();
    let factory = move || Ok(Handler { shared: shared.clone(), subscribed: Subscribed::default() });
    let service = StreamableHttpService::new(factory, Arc::new(LocalSessionManager::default()), config);
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("signals");
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().route_service("/mcp", service))
        .with_graceful_shutdown(async move {
            terminated.recv().await;
            end.cancel();
        })
        .await
        .expect("it serves");
}
