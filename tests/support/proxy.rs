//! A forward proxy on the loopback interface that writes down what it sees: HTTP (CONNECT and absolute-form) and SOCKS5.
//! Whatever name it is asked for, it connects to the loopback interface.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::port::{self, Port};

/// What a proxy has seen.
#[derive(Default)]
struct Seen {
    /// The first line of each request, or `SOCKS5 host:port`.
    requests: Vec<String>,
    /// Every byte that a client sent.
    bytes: Vec<u8>,
    connections: Vec<TcpStream>,
}

/// A proxy. Dropping it takes it down.
pub struct Proxy {
    port: Port,
    /// The value of `Proxy-Authorization` that it demands.
    authorization: Option<String>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Proxy {
    /// Starts one that demands nothing.
    pub fn start() -> Self {
        Self::demanding(None)
    }

    /// Starts one that demands this value of `Proxy-Authorization`.
    pub fn demanding(authorization: Option<&str>) -> Self {
        let mut proxy = Self {
            port: Port::reserve(),
            authorization: authorization.map(str::to_owned),
            seen: Arc::default(),
            thread: None,
        };
        proxy.up();
        proxy
    }

    /// Its address, `127.0.0.1:PORT`.
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Accepts connections (again).
    pub fn up(&mut self) {
        let listener = self.port.listen();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, seen, authorization) = (stop.clone(), self.seen.clone(), self.authorization.clone());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let _ = client.set_nodelay(true);
                seen.lock().unwrap().connections.push(client.try_clone().expect("a socket"));
                let (seen, authorization) = (seen.clone(), authorization.clone());
                std::thread::spawn(move || drop(serve(client, &seen, authorization.as_deref())));
            }
            port::close(listener);
        });
        self.thread = Some((stop, thread));
    }

    /// As after `kill -9`: connections are refused, those there were are broken.
    pub fn down(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            stop.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(("127.0.0.1", self.port.number()));
            let _ = thread.join();
        }
        for connection in self.seen.lock().unwrap().connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// The first lines of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// Everything that clients sent, as text.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().bytes).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let heard: String = self.heard().chars().take(8000).collect();
            eprintln!("--- the proxy {} heard:\n{heard}", self.place());
        }
        self.down();
    }
}

fn serve(mut client: TcpStream, seen: &Arc<Mutex<Seen>>, authorization: Option<&str>) -> std::io::Result<()> {
    let mut first = [0];
    client.peek(&mut first)?;
    if first == [5] {
        return socks(client, seen);
    }
    // The server that this connection leads to, once a request has named it.
    let mut server: Option<TcpStream> = None;
    loop {
        let head = read_head(&mut client)?;
        let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        {
            let mut seen = seen.lock().unwrap();
            seen.requests.push(line.to_owned());
            seen.bytes.extend_from_slice(head.as_bytes());
        }
        if authorization.is_some() && header(headers, "proxy-authorization") != authorization {
            let refusal = "HTTP/1.1 407 Who are you\r\nproxy-authenticate: Basic realm=\"test\"\r\ncontent-length: 0\r\n\
                           connection: close\r\n\r\n";
            return client.write_all(refusal.as_bytes());
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let place = target.strip_prefix("http://").unwrap_or(target);
        let (place, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        if server.is_none() {
            let Some(reached) = connect(place) else {
                return client.write_all(b"HTTP/1.1 502 Nobody\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            };
            seen.lock().unwrap().connections.push(reached.try_clone()?);
            if method == "CONNECT" {
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
                return relay_both(client, reached, seen);
            }
            let (answers, to_client) = (reached.try_clone()?, client.try_clone()?);
            std::thread::spawn(move || relay(answers, to_client, |_| {}));
            server = Some(reached);
        }
        let Some(server) = &mut server else { return Ok(()) };
        let kept = headers.lines().filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("proxy-"));
        let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
        server.write_all(format!("{method} {path} HTTP/1.1\r\n{kept}\r\n").as_bytes())?;
        let length = header(headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        seen.lock().unwrap().bytes.extend_from_slice(&body);
        server.write_all(&body)?;
    }
}

fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// SOCKS5 without a password, names resolved here (RFC 1928).
fn socks(mut client: TcpStream, seen: &Arc<Mutex<Seen>>) -> std::io::Result<()> {
    let mut two = [0; 2];
    client.read_exact(&mut two)?;
    client.read_exact(&mut vec![0; two[1].into()])?;
    client.write_all(&[5, 0])?;
    let mut four = [0; 4];
    client.read_exact(&mut four)?;
    let length = match four[3] {
        1 => 4,
        4 => 16,
        _ => {
            let mut length = [0];
            client.read_exact(&mut length)?;
            length[0].into()
        }
    };
    let mut host = vec![0; length];
    client.read_exact(&mut host)?;
    client.read_exact(&mut two)?;
    let place = format!("{}:{}", String::from_utf8_lossy(&host), u16::from_be_bytes(two));
    seen.lock().unwrap().requests.push(format!("SOCKS5 {place}"));
    let Some(server) = connect(&place) else { return client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]) };
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    relay_both(client, server, seen)
}

fn connect(place: &str) -> Option<TcpStream> {
    let port = place.rsplit_once(':').map_or(Some(80), |(_, port)| port.parse().ok())?;
    TcpStream::connect(("127.0.0.1", port)).ok()
}

fn read_head(client: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte)? == 0 || head.len() > 64 * 1024 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn relay_both(client: TcpStream, server: TcpStream, seen: &Arc<Mutex<Seen>>) -> std::io::Result<()> {
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let log = seen.clone();
    std::thread::spawn(move || relay(client, server, |bytes| log.lock().unwrap().bytes.extend_from_slice(bytes)));
    relay(from_server, to_client, |_| {});
    Ok(())
}

fn relay(mut from: TcpStream, mut to: TcpStream, mut tell: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        tell(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
