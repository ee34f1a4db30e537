//! A client of the official Rust SDK on the library's transport: real servers are killed and restarted under it, and its
//! `Peer` notices nothing but a delay.

mod support;

use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_reconnect::rmcp::ReconnectingTransport;
use mcp_reconnect::{Event, Options, State};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{NotificationContext, Peer, RunningService, ServiceError};
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::Value;
use support::PATIENCE;
use support::servers::{Kind, STARTUP, Server};
use tokio::sync::watch;

macro_rules! matrix {
    ($($name:ident: $kind:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() { survives(Kind::$kind).await; })*
    };
}

matrix! {
    everything_http: EverythingHttp,
    everything_sse: EverythingSse,
    python_http: PythonHttp,
    python_sse: PythonSse,
    rust_http: RustHttp,
    rust_sse: RustSse,
}

async fn survives(kind: Kind) {
    let mut server = Server::started(kind);
    let events = Events::default();
    let transport = ReconnectingTransport::connect(Options::new(server.url())).await.unwrap();
    let transport = transport.on_event(events.recorder());
    let control = transport.control();
    let (changes, mut changed) = watch::channel(0_u32);
    let client = in_time(Ears { changes }.serve(transport)).await.unwrap();

    let tools = in_time(client.list_all_tools()).await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "echo"), "{tools:?}");
    echo(&client, kind, "before").await;

    // A call runs when the server dies, and one is made while it is down.
    let running = call(&client, kind.unsafe_call("in-flight-mark"));
    server.wait_for_mark("in-flight-mark", 1);
    server.kill();
    events.wait_for(|event| matches!(event, Event::Disconnected { .. } | Event::Reconnecting { .. })).await;
    let held = call(&client, kind.echo("while down"));
    server.start();

    let Err(ServiceError::McpError(lost)) = in_time(running).await.unwrap() else { panic!("it has no known outcome") };
    assert_eq!(i64::from(lost.code.0), mcp_reconnect_core::errors::OUTCOME_UNKNOWN, "{lost:?}");
    assert!(text(&in_time(held).await.unwrap().unwrap()).contains("while down"));
    in_time(changed.wait_for(|changes| *changes > 0)).await.unwrap();
    events.wait_for(|event| matches!(event, Event::Reconnected { new_session: true, .. })).await;

    // A restart that nobody notices before the next call.
    server.restart();
    echo(&client, kind, "after the second").await;
    assert_eq!(server.count("in-flight-mark"), 1, "a call ran twice");
    let status = in_time(control.status()).await.unwrap();
    assert_eq!((status.state, status.reconnects), (State::Ready, 2), "{status:?}");
    in_time(client.cancel()).await.unwrap();
    assert!(control.status().await.is_err(), "the connection outlives its transport");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_at_once() {
    let server = Server::started(Kind::RustHttp);
    let transport = ReconnectingTransport::connect(Options::new(server.url())).await.unwrap();
    let client = in_time(().serve(transport)).await.unwrap();
    let words: Vec<_> = (0..200).map(|n| format!("<{n}>")).collect();
    let calls: Vec<_> = words.iter().map(|words| call(&client, Kind::RustHttp.echo(words))).collect();
    for (words, call) in words.iter().zip(calls) {
        assert!(text(&in_time(call).await.unwrap().unwrap()).contains(words));
        assert_eq!(server.count(words), 1, "{words}");
    }
    in_time(client.cancel()).await.unwrap();
}

#[tokio::test]
async fn a_url_that_is_none_is_an_error_before_any_contact() {
    let error = ReconnectingTransport::connect(Options::new("not a url")).await.unwrap_err();
    assert!(error.to_string().contains("invalid URL"), "{error}");
}

/// A client that hears when a list may have changed.
struct Ears {
    changes: watch::Sender<u32>,
}

impl ClientHandler for Ears {
    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

/// The lifecycle events so far.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<Event>>>, Arc<tokio::sync::Notify>);

impl Events {
    fn recorder(&self) -> impl FnMut(&Event) + Send + 'static {
        let Self(events, news) = self.clone();
        move |event| {
            events.lock().unwrap().push(event.clone());
            news.notify_one();
        }
    }

    async fn wait_for(&self, wanted: impl Fn(&Event) -> bool) {
        in_time(async {
            while !self.0.lock().unwrap().iter().any(&wanted) {
                self.1.notified().await;
            }
        })
        .await;
    }
}

/// Starts a call in a task of its own.
fn call<H: ClientHandler>(
    client: &RunningService<RoleClient, H>,
    arguments: Value,
) -> tokio::task::JoinHandle<Result<CallToolResult, ServiceError>> {
    let peer: Peer<RoleClient> = client.peer().clone();
    tokio::spawn(async move { peer.call_tool(parameters(arguments)).await })
}

async fn echo<H: ClientHandler>(client: &RunningService<RoleClient, H>, kind: Kind, words: &str) {
    let answer = in_time(call(client, kind.echo(words))).await.unwrap().unwrap();
    assert!(text(&answer).contains(words), "{answer:?}");
}

fn parameters(arguments: Value) -> CallToolRequestParams {
    serde_json::from_value(arguments).expect("parameters of a call")
}

fn text(result: &CallToolResult) -> String {
    result.content.iter().filter_map(|block| block.as_text()).map(|text| text.text.as_str()).collect()
}

/// No wait of these tests is endless; a server that starts on a busy machine is the longest of them.
async fn in_time<F: IntoFuture>(future: F) -> F::Output {
    let patience: Duration = PATIENCE + STARTUP;
    tokio::time::timeout(patience, future.into_future()).await.expect("it came in time")
}
