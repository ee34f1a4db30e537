//! A complete driver in a file: lines of JSON-RPC on stdin are messages of a client, what the engine has for it goes to stdout,
//! and what happens to the connection to stderr. It speaks plain HTTP/1.0 over TCP, a thread for each exchange, so that nothing but
//! Rust's own library is needed; a real driver has an HTTP client in its place.
//!
//! `cargo run -p mcp-reconnect-core --example client -- http://127.0.0.1:9000/mcp`, and kill the server while it runs.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use mcp_reconnect_core::{Engine, Event, ExchangeId, Failure, Input, Instant, Method, Options, Output, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: client http://HOST:PORT/PATH")?;
    let began = std::time::Instant::now();
    let now = || Instant::from_nanos(began.elapsed().as_nanos() as u64);
    // What protects a server from a herd of clients: each engine has a seed of its own.
    let seed = u64::from(std::process::id()) ^ began.elapsed().as_nanos() as u64;
    let mut engine = Engine::new(Options::new(url), seed, now())?;
    let (sender, inputs) = channel();
    let client = sender.clone();
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            let _ = client.send(Input::Message(line));
        }
        let _ = client.send(Input::Close);
    });
    let mut exchanges: HashMap<ExchangeId, Arc<Exchange>> = HashMap::new();
    loop {
        // 1. All that the engine wants, before anything else is given to it.
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Start(id, request) => {
                    let exchange = Arc::new(Exchange::default());
                    exchanges.insert(id, exchange.clone());
                    let sender = sender.clone();
                    thread::spawn(move || make(id, &request, &exchange, &sender));
                }
                Output::Cancel(id) => {
                    if let Some(exchange) = exchanges.remove(&id) {
                        exchange.cancel();
                    }
                }
                Output::Pause(id) => exchanges.get(&id).into_iter().for_each(|exchange| exchange.set_paused(true)),
                Output::Resume(id) => exchanges.get(&id).into_iter().for_each(|exchange| exchange.set_paused(false)),
                Output::Event(Event::Message(text)) => println!("{text}"),
                Output::Event(Event::Closed) => return Ok(()),
                Output::Event(event) => eprintln!("{event:?}"),
            }
        }
        // 2. The next input, or the time at which the engine wants to be asked again. What waits goes before the tick.
        let input = next(&inputs, engine.deadline(), now());
        if let Input::End(id) | Input::Failed { exchange: id, .. } = &input {
            exchanges.remove(id);
        }
        engine.handle(now(), input);
    }
}

fn next(inputs: &Receiver<Input>, deadline: Option<Instant>, now: Instant) -> Input {
    match deadline {
        Some(at) => inputs.recv_timeout(at - now).unwrap_or(Input::Tick),
        None => inputs.recv().unwrap_or(Input::Close),
    }
}

/// What the loop does to an exchange.
#[derive(Default)]
struct Exchange {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    paused: bool,
    connection: Option<TcpStream>,
}

impl Exchange {
    /// Whoever reads from the connection comes back.
    fn cancel(&self) {
        let mut state = self.state.lock().expect("no thread panics");
        state.cancelled = true;
        if let Some(connection) = &state.connection {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    fn set_paused(&self, paused: bool) {
        self.state.lock().expect("no thread panics").paused = paused;
        self.changed.notify_all();
    }

    /// Waits while it is paused. False: it is cancelled, and nothing about it is to be reported any more.
    fn goes_on(&self) -> bool {
        let state = self.state.lock().expect("no thread panics");
        let state = self.changed.wait_while(state, |state| state.paused && !state.cancelled).expect("no thread panics");
        !state.cancelled
    }
}

/// Makes a request and reports what becomes of it.
fn make(id: ExchangeId, request: &Request, exchange: &Exchange, inputs: &Sender<Input>) {
    let last = match attempt(id, request, exchange, inputs) {
        Ok(()) => Input::End(id),
        Err((failure, detail)) => Input::Failed { exchange: id, failure, detail },
    };
    if exchange.goes_on() {
        let _ = inputs.send(last);
    }
}

fn attempt(
    id: ExchangeId,
    request: &Request,
    exchange: &Exchange,
    inputs: &Sender<Input>,
) -> Result<(), (Failure, String)> {
    if request.https {
        return Err((Failure::Unsendable, "this example speaks no TLS".into()));
    }
    // Only before the first byte of a request is it sure that the server has not seen it.
    let port = if request.authority.rsplit(']').next().is_some_and(|end| end.contains(':')) { "" } else { ":80" };
    let mut connection = TcpStream::connect(format!("{}{port}", request.authority))
        .map_err(|error| (Failure::Connect, error.to_string()))?;
    let lost = |error: std::io::Error| (Failure::Lost, error.to_string());
    exchange.state.lock().expect("no thread panics").connection = Some(connection.try_clone().map_err(lost)?);
    if !exchange.goes_on() {
        return Ok(());
    }
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    };
    let mut head = format!("{method} {} HTTP/1.0\r\nhost: {}\r\n", request.path, request.authority);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
    connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&request.body)).map_err(lost)?;
    let _ = inputs.send(Input::Sent(id));

    let mut reader = BufReader::new(connection);
    let line = |reader: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        // A head that never ends is no head.
        reader.by_ref().take(64 << 10).read_line(&mut line).map(|_| line).map_err(lost)
    };
    let status = line(&mut reader)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| (Failure::Lost, "the answer is not HTTP".to_string()))?;
    let mut headers = Vec::new();
    let mut length = None;
    loop {
        let line = line(&mut reader)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<u64>().ok();
        }
        headers.push((name.to_string(), value.trim().as_bytes().to_vec()));
    }
    let _ = inputs.send(Input::Response { exchange: id, status, headers });

    let mut left = length.unwrap_or(u64::MAX);
    let mut buffer = [0; 8192];
    while left > 0 && exchange.goes_on() {
        let count = match reader.read(&mut buffer).map_err(lost)? {
            0 if length.is_some() => return Err((Failure::Lost, "the body ended early".into())),
            0 => break,
            count => count,
        };
        left = left.saturating_sub(count as u64);
        let _ = inputs.send(Input::Body { exchange: id, bytes: buffer[..count].to_vec() });
    }
    Ok(())
}
