//! A small HTTP/1.1 server on plain sockets, so that a test decides about every byte and every chunk.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::port::{self, Port};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its body was complete.
    pub at: Instant,
    /// GET, POST, DELETE.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, values as they were.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a handler did with a connection: gave it back for the next request, or kept or closed it.
pub type Next = Option<Arc<TcpStream>>;

/// The right to answer one request.
#[derive(Debug)]
pub struct Reply(Arc<TcpStream>);

impl Reply {
    /// A complete response.
    pub fn send(self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Next {
        let mut head = format!("HTTP/1.1 {status} Test\r\ncontent-length: {}\r\n", body.len());
        push_headers(&mut head, headers);
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        (&*self.0).write_all(&bytes).ok().map(|()| self.0)
    }

    /// A complete response with a text.
    pub fn text(self, status: u16, content_type: &str, body: &str) -> Next {
        self.send(status, &[("content-type", content_type)], body.as_bytes())
    }

    /// A complete response with JSON.
    pub fn json(self, status: u16, body: &Value) -> Next {
        self.text(status, "application/json", &body.to_string())
    }

    /// A complete response without a body.
    pub fn empty(self, status: u16) -> Next {
        self.send(status, &[], b"")
    }

    /// The head of a response whose body follows in chunks.
    pub fn open(self, status: u16, headers: &[(&str, &str)]) -> Stream {
        let mut head = format!("HTTP/1.1 {status} Test\r\ntransfer-encoding: chunked\r\nconnection: close\r\n");
        push_headers(&mut head, headers);
        let _ = (&*self.0).write_all(head.as_bytes());
        Stream(self.0)
    }

    /// The head of a response with server-sent events.
    pub fn events(self, headers: &[(&str, &str)]) -> Stream {
        let mut all = vec![("content-type", "text/event-stream"), ("cache-control", "no-store")];
        all.extend_from_slice(headers);
        self.open(200, &all)
    }

    /// The port of the other side, which tells connections apart.
    pub fn peer(&self) -> u16 {
        self.0.peer_addr().map_or(0, |address| address.port())
    }

    /// Bytes as they are, in place of a proper response.
    pub fn raw(self, bytes: &[u8]) -> Next {
        let _ = (&*self.0).write_all(bytes);
        let _ = self.0.shutdown(Shutdown::Write);
        None
    }

    /// Keeps the request waiting for as long as the value lives; dropped, the connection breaks.
    pub fn hold(self) -> Stream {
        Stream(self.0)
    }

    /// Breaks the connection with a TCP reset.
    pub fn reset(self) -> Next {
        Stream(self.0).reset();
        None
    }
}

fn push_headers(head: &mut String, headers: &[(&str, &str)]) {
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
}

/// A response under way. Dropping it breaks the connection in the middle of the body.
#[derive(Debug)]
pub struct Stream(Arc<TcpStream>);

impl Stream {
    /// Sends bytes as one chunk.
    pub fn raw(&self, bytes: &[u8]) {
        let _ = self.try_raw(bytes);
    }

    /// Sends bytes as one chunk. False: the other side is gone.
    pub fn try_raw(&self, bytes: &[u8]) -> bool {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        (&*self.0).write_all(&chunk).is_ok()
    }

    /// Sends a message as an event.
    pub fn event(&self, message: &Value) -> bool {
        self.try_raw(format!("event: message\ndata: {message}\n\n").as_bytes())
    }

    /// Sends a message as an event with an id.
    pub fn event_with_id(&self, id: &str, message: &Value) -> bool {
        self.try_raw(format!("id: {id}\ndata: {message}\n\n").as_bytes())
    }

    /// Ends the body as it should end.
    pub fn end(self) {
        let _ = (&*self.0).write_all(b"0\r\n\r\n");
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// The same, and waits, for as long as `patience`, until the other side has read it all and closes the connection too.
    pub fn end_and_wait(self, patience: Duration) {
        let connection = self.0.clone();
        self.end();
        let _ = connection.set_read_timeout(Some(patience));
        let _ = std::io::copy(&mut &*connection, &mut std::io::sink());
    }

    /// Breaks the connection with a TCP reset, once the connection's thread has let go of it.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&*self.0).set_linger(Some(Duration::ZERO));
    }

    /// Whether the other side has closed the connection.
    pub fn is_abandoned(&self) -> bool {
        let _ = self.0.set_nonblocking(true);
        let read = self.0.peek(&mut [0]);
        let _ = self.0.set_nonblocking(false);
        match read {
            Ok(read) => read == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Decides about each request.
type Handler = dyn Fn(Request, Reply) -> Next + Send + Sync;

/// A server on a port of its own.
pub struct Server {
    port: Port,
    handler: Arc<Handler>,
    connections: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    listener: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Server {
    /// Reserves a port and starts listening.
    pub fn start(handler: impl Fn(Request, Reply) -> Next + Send + Sync + 'static) -> Self {
        let mut server = Self::reserved(Port::reserve(), handler);
        server.up();
        server
    }

    /// Connections are refused until [`Server::up`].
    pub fn reserved(port: Port, handler: impl Fn(Request, Reply) -> Next + Send + Sync + 'static) -> Self {
        let connections = Arc::default();
        Self { port, handler: Arc::new(handler), connections, listener: None }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Accepts connections.
    pub fn up(&mut self) {
        let listener = self.port.listen();
        let stop = Arc::new(AtomicBool::new(false));
        let (handler, connections, stopped) = (self.handler.clone(), self.connections.clone(), stop.clone());
        let thread = std::thread::spawn(move || accept(listener, &handler, &connections, &stopped));
        self.listener = Some((stop, thread));
    }

    /// As after `kill -9`: refuses connections and breaks those there are.
    pub fn down(&mut self) {
        self.refuse();
        self.drop_connections();
    }

    /// As after SIGTERM at many servers: refuses new connections, and goes on with those there are.
    pub fn refuse(&mut self) {
        if let Some((stop, thread)) = self.listener.take() {
            stop.store(true, Ordering::SeqCst);
            // Wakes the thread up; it closes the listener when it sees the flag.
            let _ = TcpStream::connect(("127.0.0.1", self.port.number()));
            let _ = thread.join();
        }
    }

    /// Breaks all connections.
    pub fn drop_connections(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            if let Some(connection) = connection.upgrade() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

fn accept(listener: TcpListener, handler: &Arc<Handler>, connections: &Mutex<Vec<Weak<TcpStream>>>, stop: &AtomicBool) {
    for connection in listener.incoming().flatten() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let _ = connection.set_nodelay(true);
        let connection = Arc::new(connection);
        let mut all = connections.lock().unwrap();
        all.retain(|connection| connection.strong_count() > 0);
        all.push(Arc::downgrade(&connection));
        drop(all);
        let handler = handler.clone();
        std::thread::spawn(move || serve(connection, &*handler));
    }
    port::close(listener);
}

fn serve(mut connection: Arc<TcpStream>, handler: &Handler) {
    loop {
        let Some(request) = read_request(&mut BufReader::new(&*connection)) else {
            Reply(connection).raw(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            return;
        };
        match handler(request, Reply(connection)) {
            Some(next) => connection = next,
            None => return,
        }
    }
}

/// Reads one request; clients here never send the next one before the answer, so nothing is lost with the buffer.
fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    let start = line()?;
    let mut words = start.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { at: Instant::now(), method, target, headers, body: Vec::new() };
    if request.header("transfer-encoding").is_some() {
        request.body = read_chunks(reader)?;
    } else {
        let length = request.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
    }
    request.at = Instant::now();
    Some(request)
}

fn read_chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let start = body.len();
        body.resize(start + length, 0);
        reader.read_exact(&mut body[start..]).ok()?;
        line.clear();
        reader.read_line(&mut line).ok()?;
        if length == 0 {
            return Some(body);
        }
    }
}
