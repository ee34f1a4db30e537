//! HTTP+SSE (2024-11-05) for the official Rust SDK, which no longer brings it: a `GET` opens a session and its stream,
//! whose first event names the endpoint for the session's POSTs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::channel::mpsc;
use futures::{SinkExt, Stream, StreamExt};
use rmcp::ServiceExt;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use serde::Deserialize;

use super::Factory;

/// Messages that wait between HTTP and the SDK, each way.
const QUEUE: usize = 64;
/// The largest message taken from a client.
const MAX_BODY: usize = 4 << 20;
/// The most sessions at once.
const MAX_SESSIONS: usize = 1024;

/// The routes `GET /sse` and `POST /messages`.
pub fn router(factory: Factory) -> Router {
    Router::new()
        .route("/sse", get(open))
        .route("/messages", post(message))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Shared { factory, sessions: Sessions::default() })
}

#[derive(Clone)]
struct Shared {
    factory: Factory,
    sessions: Sessions,
}

/// The sessions whose stream is open, by id.
#[derive(Clone, Default)]
struct Sessions(Arc<Mutex<HashMap<String, mpsc::Sender<ClientJsonRpcMessage>>>>);

impl Sessions {
    /// Enters a session, unless there are too many.
    fn insert(&self, to_server: mpsc::Sender<ClientJsonRpcMessage>) -> Option<Entry> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MAX_SESSIONS {
            return None;
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        sessions.insert(id.clone(), to_server);
        Some(Entry { id, sessions: self.clone() })
    }

    fn get(&self, id: &str) -> Option<mpsc::Sender<ClientJsonRpcMessage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

/// A session's place in [`Sessions`]; lives as long as the session's stream, so a dropped stream ends the session.
struct Entry {
    id: String,
    sessions: Sessions,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

async fn open(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if headers.contains_key(header::ORIGIN) {
        return refuse_browser();
    }
    let (to_server, from_client) = mpsc::channel::<ClientJsonRpcMessage>(QUEUE);
    let (to_client, from_server) = mpsc::channel::<ServerJsonRpcMessage>(QUEUE);
    let Some(entry) = shared.sessions.insert(to_server) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many sessions\n").into_response();
    };
    let handler = (shared.factory)();
    // Ends by itself: dropping the stream drops the session's entry, and with it the sender of `from_client`.
    tokio::spawn(async move {
        if let Ok(session) = handler.serve((to_client, from_client)).await {
            let _ = session.waiting().await;
        }
    });
    let endpoint = Event::default().event("endpoint").data(format!("/messages?sessionId={}", entry.id));
    Sse::new(events(endpoint, from_server, entry))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

/// The `endpoint` event, then a `message` event for each message of the server.
fn events(
    endpoint: Event,
    from_server: mpsc::Receiver<ServerJsonRpcMessage>,
    entry: Entry,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let messages = from_server.filter_map(move |message| {
        let _session = &entry;
        let text = serde_json::to_string(&message);
        async move { text.ok().map(|text| Event::default().event("message").data(text)) }
    });
    futures::stream::once(async { endpoint }).chain(messages).map(Ok)
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "sessionId")]
    session_id: String,
}

async fn message(
    State(shared): State<Shared>,
    Query(Address { session_id }): Query<Address>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.contains_key(header::ORIGIN) {
        return refuse_browser();
    }
    let Some(mut to_server) = shared.sessions.get(&session_id) else {
        return (StatusCode::NOT_FOUND, "no such session\n").into_response();
    };
    let message: ClientJsonRpcMessage = match serde_json::from_slice(&body) {
        Ok(message) => message,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("not a message: {error}\n")).into_response(),
    };
    match to_server.send(message).await {
        Ok(()) => (StatusCode::ACCEPTED, "Accepted\n").into_response(),
        Err(_) => (StatusCode::NOT_FOUND, "the session has ended\n").into_response(),
    }
}

/// No web page has business with a server on the loopback interface (DNS rebinding).
fn refuse_browser() -> Response {
    (StatusCode::FORBIDDEN, "requests from web pages are refused\n").into_response()
}
