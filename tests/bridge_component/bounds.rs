//! Bounds of the command as a component: a client that does not read, and the deepest JSON.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt, duplex};
use tokio::sync::Notify;
use tokio::time::timeout;
use wasmtime::ResourceLimiter;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{AsyncStdinStream, IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::host;
use super::restart::support::bridge::Bridge;
use super::restart::support::http::{Reply, Request, Server, Stream};
use super::restart::support::{PATIENCE, poll};

const MIB: usize = 1 << 20;
/// After this a server that has more to send counts as held back.
const QUIET: Duration = Duration::from_millis(400);

/// Standard output of a client that reads when the test wants it to: says that it is full where no room was given.
#[derive(Clone, Default)]
struct Stdout(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    room: Notify,
    written: Notify,
}

#[derive(Default)]
struct State {
    room: usize,
    text: Vec<u8>,
}

impl Stdout {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while locked")
    }

    /// Reads so many bytes more.
    fn give(&self, room: usize) {
        self.state().room += room;
        self.0.room.notify_one();
    }

    /// Reads, in pieces that end anywhere, until there are so many lines, and gives those that are whole.
    async fn read_lines(&self, count: usize) -> Vec<String> {
        loop {
            {
                let text = &mut self.state().text;
                if text.iter().filter(|byte| **byte == b'\n').count() >= count {
                    let end = text.iter().rposition(|byte| *byte == b'\n').expect("a line") + 1;
                    let lines = String::from_utf8(text.drain(..end).collect()).expect("UTF-8");
                    return lines.lines().map(str::to_owned).collect();
                }
            }
            if self.state().room == 0 {
                self.give(300_007);
            }
            timeout(PATIENCE, self.0.written.notified()).await.expect("the component goes on writing");
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Stdout {
    async fn ready(&mut self) {
        while self.state().room == 0 {
            self.0.room.notified().await;
        }
    }
}

impl OutputStream for Stdout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut state = self.state();
        state.room = state.room.checked_sub(bytes.len()).expect("no more than there is room for");
        state.text.extend_from_slice(&bytes);
        self.0.written.notify_one();
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.state().room)
    }
}

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdout {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        unreachable!("of WASI 0.3")
    }
}

/// Memory as much as this, and how much the largest one takes.
struct Memory {
    most: usize,
    taken: Arc<AtomicUsize>,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.taken.fetch_max(desired, Ordering::Relaxed);
        Ok(desired <= self.most)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// The number after `"id":`.
fn id_of(text: &str) -> String {
    let digits = text.find("\"id\":").map(|at| text[at + 5..].chars().take_while(char::is_ascii_digit).collect());
    digits.unwrap_or_default()
}

/// A server whose stream, once it is asked for, is what `stream` writes, and that answers each request with `result`.
fn server(result: &str, stream: impl Fn(&Stream) + Send + Sync + 'static) -> Server {
    let result = result.to_owned();
    Server::start(move |request: Request, reply: Reply| {
        let text = String::from_utf8_lossy(&request.body);
        let id = id_of(&text);
        if request.method == "GET" {
            let events = reply.events(&[]);
            stream(&events);
            events.end();
            None
        } else if text.contains("\"initialize\"") {
            let info = r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;
            reply.text(200, "application/json", &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{info}}}"#))
        } else if id.is_empty() {
            reply.empty(202)
        } else {
            reply.text(200, "application/json", &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
        }
    })
}

/// A client that does not read holds the server back. All comes when it reads on, and whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_the_server_back() {
    const NOTES: usize = 60;
    let pushed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pushed);
    let server = server("{}", move |stream| {
        for number in 0..NOTES {
            let pad = "x".repeat(MIB);
            let note =
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/note","params":{{"n":{number},"x":"{pad}"}}}}"#);
            stream.raw(format!("data: {note}\n\n").as_bytes());
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (mut client, stdin) = duplex(64 * 1024);
    let (stdout, taken) = (Stdout::default(), Arc::new(AtomicUsize::new(0)));
    let mut wasi = WasiCtx::builder();
    wasi.args(&["mcp-reconnect", &format!("http://127.0.0.1:{}/mcp", server.port())]);
    let wasi = wasi.stdin(AsyncStdinStream::new(stdin)).stdout(stdout.clone()).build();
    let memory = Memory { most: 48 * MIB, taken: Arc::clone(&taken) };
    let bridge = tokio::spawn(host::run(wasi, memory));

    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"slow","version":"1"}}}"#;
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    client.write_all(format!("{initialize}\n").as_bytes()).await.expect("it reads");
    assert_eq!(stdout.read_lines(1).await.len(), 1);
    client.write_all(format!("{initialized}\n").as_bytes()).await.expect("it reads");

    // It has as much as it wants to keep, and the server gets rid of no more. (On a machine that stands still for so long
    // the client merely begins to read sooner.)
    let mut last = (0, Instant::now());
    let held = || {
        let now = pushed.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (taken.load(Ordering::Relaxed) > 8 * MIB && last.1.elapsed() > QUIET).then_some(())
    };
    tokio::task::block_in_place(|| poll("messages wait for the client", PATIENCE, held));
    let lines = stdout.read_lines(10).await;
    assert!(pushed.load(Ordering::Relaxed) < NOTES, "the server was never held back");
    let mut number = 0;
    let mut check = |lines: Vec<String>| {
        for line in lines {
            assert!(line.ends_with("\"}}") && line.contains(&format!("\"n\":{number},")), "{:.100}", line);
            number += 1;
        }
        number
    };
    let mut read = check(lines);
    while read < NOTES {
        read = check(stdout.read_lines(1).await);
    }
    drop(client);
    let ended = timeout(PATIENCE, bridge).await.expect("the end of stdin ends it").expect("no panic");
    assert_eq!(ended.expect("no trap, for want of memory for instance"), Ok(()));
}

/// Its stack is small, and enough: nothing recurses.
#[test]
fn json_may_be_as_deep_as_it_is_long() {
    let depth = MIB;
    let deep = "[".repeat(depth) + &"]".repeat(depth);
    let server = server(&deep, |_| {});
    let url = format!("http://127.0.0.1:{}/mcp", server.port());
    let mut bridge = Bridge::connected(&[&url, "--max-message-bytes", "4M", "--notify-client"]);
    for (id, size, error) in [(100, depth, None), (101, 3 * MIB, Some("-31005"))] {
        let params = "[".repeat(size) + &"]".repeat(size);
        bridge.expect_answer_to(&id.to_string(), "x/deep");
        bridge.line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x/deep","params":{{"x":{params}}}}}"#));
        let answer = bridge.answer_text(&id.to_string(), PATIENCE).expect("an answer");
        match error {
            Some(code) => assert!(answer.contains(code), "{:.200}", answer),
            None => assert!(answer.contains(&deep), "{:.200}", answer),
        }
    }
    assert_eq!(bridge.refused(&deep)["error"]["code"], -32600);
    bridge.finish();
}
