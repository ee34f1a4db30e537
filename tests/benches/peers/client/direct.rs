//! The limit: the same calls without a bridge, by a plain HTTP client with a kept-alive connection for each call under way.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use super::{Failure, Load, Notes, PATIENCE, Tally, Underway};
use crate::messages::{Era, Incoming, Tool, read};
use crate::transport::Transport;

/// A session with the server.
pub struct Direct {
    runtime: Runtime,
    local: LocalSet,
    session: Rc<Session>,
    next: u64,
}

struct Session {
    era: Era,
    port: u16,
    path: String,
    id: Option<HeaderValue>,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
    inbox: Rc<Inbox>,
}

/// What came on the stream of the session.
#[derive(Default)]
struct Inbox {
    waiting: RefCell<HashMap<u64, oneshot::Sender<(Instant, Incoming)>>>,
    notes: RefCell<usize>,
    arrived: Notify,
}

impl Direct {
    /// Begins a session.
    pub fn start(transport: Transport, port: u16) -> Result<(Self, Duration), Failure> {
        Self::start_in(Era::Sessions, transport, port)
    }

    /// Begins as a client of these versions does.
    pub fn start_in(era: Era, transport: Transport, port: u16) -> Result<(Self, Duration), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = LocalSet::new();
        let began = Instant::now();
        let session = local.block_on(&runtime, bounded(Session::begin(era, transport, port)))?;
        let time = began.elapsed();
        let session = Rc::new(session);
        if let Some(then) = era.then() {
            local.block_on(&runtime, bounded(session.post(then.to_owned(), None)))?;
        }
        if transport.is_streamable() && era == Era::Sessions {
            local.block_on(&runtime, bounded(session.listen(transport.path())))?;
        }
        Ok((Self { runtime, local, session, next: 1 }, time))
    }

    /// Keeps calls under way as `load` says.
    pub fn load(&mut self, load: &Load) -> Result<Tally, Failure> {
        let underway = Rc::new(RefCell::new(Underway::new(self.next)));
        let session = self.session.clone();
        let load = *load;
        self.local.block_on(&self.runtime, async {
            let callers: Vec<_> = (0..load.in_flight)
                .map(|_| {
                    let (session, underway) = (session.clone(), underway.clone());
                    tokio::task::spawn_local(async move {
                        while underway.borrow().wants_more(&load) {
                            let id = underway.borrow_mut().begin();
                            bounded(session.post(session.era.call(id, Tool::Echo), Some(id))).await?;
                            underway.borrow_mut().end(id)?;
                        }
                        Ok::<_, Failure>(())
                    })
                })
                .collect();
            for caller in callers {
                caller.await.map_err(|error| error.to_string())??;
            }
            Ok::<_, Failure>(())
        })?;
        let underway = underway.replace(Underway::new(0));
        self.next += underway.begun.len() as u64;
        Ok(underway.tally)
    }

    /// The time of one call.
    pub fn call(&mut self, tool: Tool) -> Result<Duration, Failure> {
        let id = self.next;
        self.next += 1;
        let began = Instant::now();
        let (_, arrived) = self
            .local
            .block_on(&self.runtime, bounded(self.session.post(self.session.era.call(id, tool), Some(id))))?;
        Ok(arrived - began)
    }

    /// A call with `count` notifications.
    pub fn notes(&mut self, count: usize) -> Result<Notes, Failure> {
        *self.session.inbox.notes.borrow_mut() = 0;
        let began = Instant::now();
        let time = self.call(Tool::Notify(count))?;
        let inbox = self.session.inbox.clone();
        let all = async {
            while *inbox.notes.borrow() < count {
                inbox.arrived.notified().await;
            }
            Ok(())
        };
        let late = self.local.block_on(&self.runtime, bounded(all));
        let time = late.map_or(time, |()| began.elapsed());
        Ok(Notes { arrived: *self.session.inbox.notes.borrow(), time })
    }
}

impl Session {
    async fn begin(era: Era, transport: Transport, port: u16) -> Result<Self, Failure> {
        let path = transport.path().to_owned();
        let mut session = Self { era, port, path, id: None, idle: RefCell::default(), inbox: Rc::default() };
        if transport == Transport::Sse {
            session.path = session.listen(transport.path()).await?;
        }
        session.id = session.post(era.first(), Some(0)).await?.0;
        Ok(session)
    }

    /// Posts a message and, if it is a request, waits for its right result. Gives the session id, and when the result came.
    async fn post(&self, text: String, id: Option<u64>) -> Result<(Option<HeaderValue>, Instant), Failure> {
        let (sender, receiver) = oneshot::channel();
        if let Some(id) = id {
            self.inbox.waiting.borrow_mut().insert(id, sender);
        }
        let mut connection = self.connection().await?;
        let request = self.request(Method::POST, &self.path, text);
        let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let session = response.headers().get("mcp-session-id").cloned();
        if !response.status().is_success() {
            return Err(format!("HTTP {}", response.status()));
        }
        self.inbox.read(response).await?;
        self.idle.borrow_mut().push(connection);
        if id.is_none() {
            return Ok((session, Instant::now()));
        }
        match receiver.await.map_err(|_| "no answer".to_owned())? {
            (_, Incoming::Failed(_, why)) => Err(why),
            (arrived, _) => Ok((session, arrived)),
        }
    }

    /// Opens a stream and reads it from now on. Gives the endpoint, if there is one.
    async fn listen(&self, path: &str) -> Result<String, Failure> {
        let mut connection = self.connection().await?;
        let request = self.request(Method::GET, path, String::new());
        let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let (endpoint, announced) = oneshot::channel();
        let inbox = self.inbox.clone();
        tokio::task::spawn_local(async move {
            let _alive = connection;
            let mut endpoint = Some(endpoint);
            let _ =
                inbox.events(response.into_body(), |line| drop(endpoint.take().map(|sender| sender.send(line)))).await;
        });
        if path == Transport::Sse.path() {
            announced.await.map_err(|_| "no endpoint".to_owned())
        } else {
            Ok(String::new())
        }
    }

    fn request(&self, method: Method, path: &str, text: String) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(text.into()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path");
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(id) = &self.id {
            headers.insert("mcp-session-id", id.clone());
        }
        if self.era == Era::Stateless {
            headers.insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
            headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
            headers.insert("mcp-name", HeaderValue::from_static("echo"));
        }
        request
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let idle = self.idle.borrow_mut().pop();
        if let Some(mut idle) = idle
            && idle.ready().await.is_ok()
        {
            return Ok(idle);
        }
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

impl Inbox {
    async fn read(&self, response: Response<Body>) -> Result<(), Failure> {
        let is_stream = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = response.into_body();
        if is_stream {
            return self.events(body, drop).await;
        }
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        self.take(&body);
        Ok(())
    }

    /// Reads events as this server writes them; `other` gets the data that is no JSON.
    async fn events(&self, mut body: Body, mut other: impl FnMut(String)) -> Result<(), Failure> {
        let (mut buffer, mut searched) = (BytesMut::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(at) = memchr::memchr(b'\n', &buffer[searched..]) {
                let line = buffer.split_to(searched + at);
                buffer.advance(1);
                searched = 0;
                match line.strip_prefix(b"data: ") {
                    Some(data) if data.starts_with(b"{") => self.take(data),
                    Some(data) => other(String::from_utf8_lossy(data).into_owned()),
                    None => {}
                }
            }
            searched = buffer.len();
        }
        Ok(())
    }

    fn take(&self, text: &[u8]) {
        // Before it is looked at, as with the pipes.
        let arrived = Instant::now();
        let message = read(text);
        match message {
            Incoming::Note => {
                *self.notes.borrow_mut() += 1;
                self.arrived.notify_one();
            }
            Incoming::Result(id) | Incoming::Failed(id, _) => {
                let waiting = self.waiting.borrow_mut().remove(&id);
                let _ = waiting.map(|sender| sender.send((arrived, message)));
            }
            _ => {}
        }
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err("no answer".to_owned()))
}
