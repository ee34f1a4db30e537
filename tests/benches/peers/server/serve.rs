//! The server's HTTP: Streamable HTTP with either form of answers, and HTTP+SSE.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Sender};

use super::answers::{Message, Reply, Texts, note};
use super::body::Answer;

const SESSION: &str = "mcp-session-id";
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How many connections may wait to be accepted: with fewer than come at once, some wait a second for their next SYN.
const BACKLOG: u32 = 2048;

/// How many events may wait for a client that reads slowly.
const QUEUE: usize = 64;

/// How long a tool with notifications waits for the client to open the stream that they go to.
const STREAM_WAIT: Duration = Duration::from_secs(5);

/// Serves on a port of the loopback interface, for ever. Says `listening` on stdout.
pub fn serve(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind((Ipv4Addr::LOCALHOST, port).into()).expect("the port is free");
        let listener = socket.listen(BACKLOG).expect("the port is free");
        let state = Arc::new(State::default());
        println!("listening");
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let state = state.clone();
            let service = service_fn(move |request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}

#[derive(Default)]
struct State {
    sessions: Mutex<Sessions>,
    opened: Notify,
    texts: Texts,
}

#[derive(Default)]
struct Sessions {
    made: usize,
    /// By their ids: where events go that belong to no request, once the client has opened that stream.
    open: HashMap<String, Option<Sender<Bytes>>>,
}

impl Sessions {
    /// Ids hold the process id: a restarted server knows none of its predecessor's.
    fn begin(&mut self, stream: Option<Sender<Bytes>>) -> String {
        self.made += 1;
        let id = format!("{}-{}", std::process::id(), self.made);
        self.open.insert(id.clone(), stream);
        id
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        match (&parts.method, parts.uri.path()) {
            (&Method::POST, path @ ("/mcp" | "/events/mcp")) => {
                self.streamable(path == "/mcp", &parts.headers, body).await
            }
            (&Method::GET, "/mcp" | "/events/mcp") => self.standalone(&parts.headers),
            (&Method::DELETE, "/mcp" | "/events/mcp") => self.goodbye(&parts.headers),
            (&Method::GET, "/sse") => self.stream(),
            (&Method::POST, "/messages") => self.message(parts.uri.query().unwrap_or_default(), body).await,
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    async fn streamable(&self, json: bool, headers: &http::HeaderMap, body: Incoming) -> Response<Answer> {
        let Ok(body) = body.collect().await else { return status(StatusCode::BAD_REQUEST) };
        let body = body.to_bytes();
        let Ok(message) = serde_json::from_slice::<Message<'_>>(&body) else { return status(StatusCode::BAD_REQUEST) };
        let is_stateless = headers.get("mcp-protocol-version").is_some_and(|version| version == "2026-07-28");
        let session = if is_stateless {
            String::new()
        } else if message.method.as_deref() == Some("initialize") {
            self.sessions.lock().expect("no panic").begin(None)
        } else {
            match self.session(headers) {
                Ok(session) => session,
                Err(code) => return status(code),
            }
        };
        let Some(reply) = message.reply(&self.texts) else { return status(StatusCode::ACCEPTED) };
        let mut response = if json {
            if reply.notes > 0 {
                let stream = tokio::time::timeout(STREAM_WAIT, self.stream_of(&session)).await;
                let Ok(stream) = stream else { return status(StatusCode::CONFLICT) };
                notify(&stream, reply.notes).await;
            }
            response(JSON, Answer::Pieces(reply.pieces.into()))
        } else if reply.notes > 0 {
            let (sender, receiver) = mpsc::channel(QUEUE);
            tokio::spawn(send(sender, reply));
            response(EVENTS, Answer::Stream(receiver))
        } else {
            response(EVENTS, Answer::Pieces(event(reply.pieces).into()))
        };
        if !is_stateless {
            response.headers_mut().insert(SESSION, HeaderValue::from_str(&session).expect("digits"));
        }
        response
    }

    /// The stream of a session for what belongs to no request.
    fn standalone(&self, headers: &http::HeaderMap) -> Response<Answer> {
        let session = match self.session(headers) {
            Ok(session) => session,
            Err(code) => return status(code),
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        let _ = sender.try_send(Bytes::from_static(b": open\n\n"));
        self.sessions.lock().expect("no panic").open.insert(session, Some(sender));
        self.opened.notify_waiters();
        response(EVENTS, Answer::Stream(receiver))
    }

    /// Where a session's own notifications go, once the client has opened it.
    async fn stream_of(&self, session: &str) -> Sender<Bytes> {
        loop {
            let opened = self.opened.notified();
            let stream = self.sessions.lock().expect("no panic").open.get(session).cloned().flatten();
            match stream {
                Some(stream) => return stream,
                None => opened.await,
            }
        }
    }

    fn goodbye(&self, headers: &http::HeaderMap) -> Response<Answer> {
        match self.session(headers) {
            Ok(session) => {
                self.sessions.lock().expect("no panic").open.remove(&session);
                status(StatusCode::OK)
            }
            Err(code) => status(code),
        }
    }

    fn session(&self, headers: &http::HeaderMap) -> Result<String, StatusCode> {
        let id = headers.get(SESSION).ok_or(StatusCode::BAD_REQUEST)?.to_str().map_err(|_| StatusCode::BAD_REQUEST)?;
        let known = self.sessions.lock().expect("no panic").open.contains_key(id);
        if known { Ok(id.to_owned()) } else { Err(StatusCode::NOT_FOUND) }
    }

    fn stream(&self) -> Response<Answer> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let id = self.sessions.lock().expect("no panic").begin(Some(sender.clone()));
        let _ = sender.try_send(format!("event: endpoint\ndata: /messages?sessionId={id}\n\n").into());
        response(EVENTS, Answer::Stream(receiver))
    }

    async fn message(&self, query: &str, body: Incoming) -> Response<Answer> {
        let Ok(body) = body.collect().await else { return status(StatusCode::BAD_REQUEST) };
        let id = query.strip_prefix("sessionId=").unwrap_or_default();
        let stream = self.sessions.lock().expect("no panic").open.get(id).cloned().flatten();
        let Some(stream) = stream else { return status(StatusCode::NOT_FOUND) };
        let body = body.to_bytes();
        let Ok(message) = serde_json::from_slice::<Message<'_>>(&body) else { return status(StatusCode::BAD_REQUEST) };
        if let Some(reply) = message.reply(&self.texts) {
            // The POST is answered at once, also while the stream is full.
            tokio::spawn(send(stream, reply));
        }
        status(StatusCode::ACCEPTED)
    }
}

async fn send(stream: Sender<Bytes>, reply: Reply) {
    notify(&stream, reply.notes).await;
    let pieces = event(reply.pieces);
    // All pieces of an event or none: another answer must not come between them.
    let Ok(permits) = stream.reserve_many(pieces.len()).await else { return };
    for (permit, piece) in permits.zip(pieces) {
        permit.send(piece);
    }
}

async fn notify(stream: &Sender<Bytes>, count: usize) {
    for number in 0..count {
        let text = format!("event: message\ndata: {}\n\n", note(number));
        if stream.send(text.into()).await.is_err() {
            return;
        }
    }
}

/// The pieces of a message as those of an event; a short message becomes one piece.
fn event(mut pieces: Vec<Bytes>) -> Vec<Bytes> {
    pieces.insert(0, Bytes::from_static(b"event: message\ndata: "));
    pieces.push(Bytes::from_static(b"\n\n"));
    if pieces.iter().map(Bytes::len).sum::<usize>() < 64 << 10 {
        return vec![pieces.concat().into()];
    }
    pieces
}

fn response(kind: HeaderValue, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn status(code: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::empty());
    *response.status_mut() = code;
    response
}
