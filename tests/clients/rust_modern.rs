//! A client program on the official Rust SDK 3.11 in its mode `Auto`, which probes `server/discover` before it falls back to
//! `initialize`. See typescript_modern.mjs for its language. The arguments are the command of a stdio server, or the URL of a
//! server to which it connects itself; with TRANSPORT=library, they are not started: the library of this repository goes to the
//! URL among them, and is the SDK's transport.
#![expect(deprecated, reason = "the versions with sessions have resources/subscribe")]

use std::collections::HashMap;
use std::io::Write;
use std::process::Stdio;
use std::sync::{Arc, Mutex as Lock, PoisonError};

use mcp_reconnect::Options;
use mcp_reconnect::rmcp::ReconnectingTransport;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam, ClientCapabilities,
    ClientConfig, ClientRequest, ElicitRequestParams, ElicitResult, ElicitationAction, Implementation,
    ProgressNotificationParam, ProgressToken, ProtocolVersion, RequestId, ResourceUpdatedNotificationParam,
    ServerNotification, ServerResult, SubscribeRequestParams, SubscriptionFilter,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions, RequestContext, RunningService,
    ServiceError, SubscriptionEnd,
};
use rmcp::transport::{IntoTransport, StreamableHttpClientTransport};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{Mutex, Semaphore};

/// What the callbacks and the commands share.
#[derive(Clone)]
struct Handler(Arc<Shared>);

struct Shared {
    /// One permit for each question that the user may say yes to.
    answers: Semaphore,
    /// Whose progress it is. Held while a call is sent, so that no progress comes before it is known.
    tags: Mutex<HashMap<ProgressToken, u64>>,
    /// The requests of the calls that run.
    calls: Lock<HashMap<u64, RequestId>>,
}

type Client = Arc<RunningService<RoleClient, Handler>>;

fn say(result: &Value) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{result}").and_then(|()| stdout.flush()).expect("the test listens");
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("rust-modern", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Err(ErrorData::invalid_params("no form", None));
        };
        say(&json!({"asked": message}));
        self.0.answers.acquire().await.expect("never closed").forget();
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({"confirm": true})))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        if let Some(tag) = self.0.tags.lock().await.get(&params.progress_token) {
            say(&json!({"tag": tag, "progress": params.progress}));
        }
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        say(&json!({"changed": "tools"}));
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        say(&json!({"updated": params.uri}));
    }
}

async fn call(client: &Client, command: &Value) -> Result<(), ServiceError> {
    let tag = command["tag"].as_u64().expect("a tag");
    let params = json!({"name": command["name"], "arguments": command["arguments"]});
    let params: CallToolRequestParams = serde_json::from_value(params).expect("parameters of a call");
    let shared = &client.service().0;
    let result = if params.name == "confirm" {
        // The SDK asks the user, and calls again with the answer.
        client.call_tool(params).await?
    } else {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let mut tags = shared.tags.lock().await;
        let sent = client.send_cancellable_request(request, PeerRequestOptions::no_options()).await?;
        tags.insert(sent.progress_token.clone(), tag);
        drop(tags);
        shared.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, sent.id.clone());
        match sent.await_response().await? {
            ServerResult::CallToolResult(result) => result,
            _ => return Err(ServiceError::UnexpectedResponse),
        }
    };
    let text = text(&result);
    say(&match result.is_error {
        Some(true) => json!({"tag": tag, "error": text}),
        _ => json!({"tag": tag, "text": text}),
    });
    Ok(())
}

fn text(result: &CallToolResult) -> String {
    result.content.iter().filter_map(|block| block.as_text()).map(|text| text.text.as_str()).collect()
}

async fn listen(client: &Client, command: &Value) -> Result<(), ServiceError> {
    let uris: Vec<String> = serde_json::from_value(command["uris"].clone()).expect("URIs");
    if client.peer_info().is_some_and(|server| server.protocol_version.has_initialize()) {
        for uri in &uris {
            client.subscribe(SubscribeRequestParams::new(uri)).await?;
        }
        say(&json!({"tag": command["tag"], "listening": uris}));
        return Ok(());
    }
    let filter = SubscriptionFilter::builder().tools_list_changed().resource_subscriptions(uris).build();
    let mut subscription = client.listen(filter).await?;
    let honoured = subscription.acknowledged().resource_subscriptions.clone().unwrap_or_default();
    say(&json!({"tag": command["tag"], "listening": honoured}));
    loop {
        match subscription.next().await {
            Ok(Some(ServerNotification::ToolListChangedNotification(_))) => say(&json!({"changed": "tools"})),
            Ok(Some(ServerNotification::ResourceUpdatedNotification(update))) => {
                say(&json!({"updated": update.params.uri}));
            }
            Ok(Some(other)) => say(&json!({"failed": format!("{other:?}")})),
            Ok(None) => break,
            Err(error) => {
                say(&json!({"ended": error.to_string()}));
                return Ok(());
            }
        }
    }
    if subscription.end() != Some(&SubscriptionEnd::Abrupt) || !client.is_closed() {
        say(&json!({"ended": format!("{:?}", subscription.end())}));
    }
    Ok(())
}

async fn cancel(client: &Client, command: &Value) -> Result<(), ServiceError> {
    let of = command["of"].as_u64().expect("a tag");
    let id = client.service().0.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&of);
    let params = CancelledNotificationParam::new(id, None);
    client.notify_cancelled(params).await?;
    say(&json!({"tag": of, "cancelled": true}));
    Ok(())
}

async fn run(client: Client, command: Value) {
    let result = match command["do"].as_str() {
        Some("tools") => client.list_all_tools().await.map(|tools| {
            let names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
            say(&json!({"tag": command["tag"], "tools": names}));
        }),
        Some("call") => call(&client, &command).await,
        Some("cancel") => cancel(&client, &command).await,
        Some("listen") => listen(&client, &command).await,
        Some("answer") => {
            client.service().0.answers.add_permits(1);
            Ok(())
        }
        other => unreachable!("{other:?}"),
    };
    match result {
        Ok(()) => {}
        Err(ServiceError::McpError(error)) => {
            say(&json!({"tag": command["tag"], "code": error.code.0, "error": error.message}));
        }
        Err(error) => say(&json!({"tag": command["tag"], "code": null, "error": error.to_string()})),
    }
}

async fn talk<T, E, A>(transport: T)
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let mode =
        ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None };
    let shared = Shared { answers: Semaphore::new(0), tags: Mutex::default(), calls: Lock::default() };
    let client = match Handler(Arc::new(shared)).serve_with_lifecycle(transport, mode).await {
        Ok(client) => Arc::new(client),
        Err(error) => return say(&json!({"refused": error.to_string()})),
    };
    let server = client.peer_info().expect("the handshake is over");
    let name = server.server_info.as_ref().map(|server| server.name.clone());
    say(&json!({"connected": {"name": name, "protocol": server.protocol_version.as_str()}}));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("stdin") {
        let command = serde_json::from_str(&line).expect("a command");
        tokio::spawn(run(client.clone(), command));
    }
    client.cancellation_token().cancel();
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().expect("a command or a URL");
    let rest: Vec<_> = arguments.collect();
    if std::env::var("TRANSPORT").is_ok_and(|transport| transport == "library") {
        let url = rest.into_iter().find(|argument| argument.starts_with("http")).expect("a URL");
        talk(ReconnectingTransport::connect(Options::new(url)).await.expect("a connection")).await;
    } else if first.starts_with("http") {
        rustls::crypto::ring::default_provider().install_default().expect("there is none yet");
        talk(StreamableHttpClientTransport::from_uri(first)).await;
    } else {
        let mut command = tokio::process::Command::new(first);
        let mut child = command.args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let pipes = (child.stdout.take().expect("a pipe"), child.stdin.take().expect("a pipe"));
        talk(pipes).await;
        child.wait().await.expect("the bridge ends");
    }
}
