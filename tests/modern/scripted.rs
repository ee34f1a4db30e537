//! A scripted server that speaks MCP 2026-07-28 only, behaves well by itself, and checks the client's headers.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use super::support::PATIENCE;
use super::support::fault::Fault;
use super::support::http::{Next, Reply, Stream};
use super::support::script::{Call, Outcome, Script};
use super::{MODERN, SUBSCRIPTION};

/// The key under which a request says its version.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The server, and the streams of its subscriptions. Dropping it checks that the client kept the rules.
pub struct Modern {
    fault: Fault,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The streams in the order of their requests, with the ids of these on the wire. `None`: taken by the test.
    streams: Mutex<Vec<(Value, Option<Stream>)>>,
    opened: Condvar,
    wrong: Mutex<Vec<String>>,
}

/// Starts a server whose requests a hook sees first.
pub fn server(hook: impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static) -> Modern {
    let mut server = reserved(hook);
    server.up();
    server
}

/// The same; connections are refused until [`Modern::up`].
pub fn reserved(hook: impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static) -> Modern {
    let state = Arc::<State>::default();
    let shared = state.clone();
    let script = Script::http().stateless().on(move |call, reply| {
        shared.judge(call);
        match hook(call, reply) {
            Outcome::Good(reply) => Outcome::Done(shared.good(call, reply)),
            done => done,
        }
    });
    Modern { fault: script.reserve(), state }
}

/// Starts a server that refuses `initialize`, as one does that speaks MCP 2026-07-28 only: the client is of the other era.
pub fn translating(hook: impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static) -> Modern {
    server(move |call, reply| {
        if call.kind != "initialize" {
            return hook(call, reply);
        }
        let mut error = call.error(-32022, "Unsupported protocol version");
        error["error"]["data"] = json!({"supported": [MODERN], "requested": call.message["params"]["protocolVersion"]});
        Outcome::Done(reply.json(400, &error))
    })
}

/// A hook that leaves everything as it is.
pub fn good(_: &Call<'_>, reply: Reply) -> Outcome {
    Outcome::Good(reply)
}

/// A notification of a subscription.
pub fn notification(id: &Value, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({SUBSCRIPTION: id});
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// The acknowledgement of everything that a `subscriptions/listen` asks for.
pub fn acknowledgement(call: &Call<'_>) -> Value {
    let honoured = json!({"notifications": call.message["params"]["notifications"]});
    notification(&call.message["id"], "notifications/subscriptions/acknowledged", honoured)
}

/// What a header's value stands for.
pub fn decoded(value: &str) -> String {
    let Some(text) = value.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) else {
        return value.to_owned();
    };
    String::from_utf8(base64(text)).expect("UTF-8 in base64")
}

fn base64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let value = alphabet.iter().position(|known| *known == digit).expect("the standard alphabet");
        bits = bits << 6 | u32::try_from(value).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    assert_eq!(text.len() % 4, 0, "base64 without its padding: {text}");
    bytes
}

impl State {
    fn streams(&self) -> MutexGuard<'_, Vec<(Value, Option<Stream>)>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What must hold of every request.
    fn judge(&self, call: &Call<'_>) {
        let mut wrong = Vec::new();
        let mut expect = |header: &str, value: Option<&str>| {
            let got = call.http.header(header).map(decoded);
            if got.as_deref() != value {
                wrong.push(format!("{}: the header {header} is {got:?} in place of {value:?}", call.kind));
            }
        };
        if let Some(version) = call.message["params"]["_meta"][VERSION].as_str() {
            expect("mcp-protocol-version", Some(version));
            expect("mcp-method", Some(call.kind));
            let params = &call.message["params"];
            let name = match call.kind {
                "tools/call" | "prompts/get" => params["name"].as_str(),
                "resources/read" => params["uri"].as_str(),
                _ => None,
            };
            expect("mcp-name", name);
            for header in ["mcp-session-id", "last-event-id"] {
                expect(header, None);
            }
        } else if call.kind != "initialize" {
            wrong.push(format!("{} {}: not of this era: {}", call.http.method, call.kind, call.message));
        }
        self.wrong.lock().unwrap().append(&mut wrong);
    }

    fn good(&self, call: &Call<'_>, reply: Reply) -> Next {
        let mut result = match call.kind {
            "server/discover" => json!({
                "supportedVersions": [MODERN],
                "capabilities": {
                    "tools": {"listChanged": true},
                    "resources": {"listChanged": true, "subscribe": true},
                    "prompts": {"listChanged": true},
                },
                "ttlMs": 0,
                "cacheScope": "private",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "1"}},
            }),
            "tools/list" => json!({
                "tools": [{"name": "mark", "inputSchema": {"type": "object"}}],
                "ttlMs": 0,
                "cacheScope": "private",
            }),
            "tools/call" => {
                call.server.executed(call.mark());
                json!({"content": [{"type": "text", "text": call.mark()}]})
            }
            "resources/read" => json!({"contents": [{"uri": call.message["params"]["uri"], "text": "a note"}]}),
            "prompts/get" => json!({"messages": []}),
            "subscriptions/listen" => {
                let stream = reply.events(&[]);
                stream.event(&acknowledgement(call));
                self.opened(call, stream);
                return None;
            }
            _ if call.message["id"].is_null() => return reply.empty(202),
            method => return reply.json(404, &call.error(-32601, &format!("Method not found: {method}"))),
        };
        result["resultType"] = json!("complete");
        reply.json(200, &call.response(result))
    }

    fn opened(&self, call: &Call<'_>, stream: Stream) {
        self.streams().push((call.message["id"].clone(), Some(stream)));
        self.opened.notify_all();
    }
}

impl Modern {
    /// Where the bridge finds it.
    pub fn url(&self) -> String {
        self.fault.url()
    }

    /// Accepts connections (again).
    pub fn up(&mut self) {
        self.fault.up();
    }

    /// New connections are refused; those there are go on.
    pub fn refuse(&mut self) {
        self.fault.refuse();
    }

    /// As after `kill -9`.
    pub fn down(&mut self) {
        self.fault.down();
        self.state.streams().iter_mut().for_each(|(_, stream)| *stream = None);
    }

    /// Waits for the subscription number `number` (from 0), and takes its stream, with the id of its request on the wire.
    pub fn stream(&self, number: usize) -> (Value, Stream) {
        let deadline = Instant::now() + PATIENCE;
        let mut streams = self.state.streams();
        loop {
            if let Some((id, stream)) = streams.get_mut(number) {
                return (id.clone(), stream.take().expect("nobody has taken it"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {PATIENCE:?} in vain for subscription {number}");
            streams = self.state.opened.wait_timeout(streams, left).unwrap().0;
        }
    }
}

impl Deref for Modern {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.fault
    }
}

impl Drop for Modern {
    fn drop(&mut self) {
        let wrong = self.state.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if std::thread::panicking() {
            eprintln!("--- the modern server says: {wrong:#?}");
        } else {
            assert!(wrong.is_empty(), "the client broke rules of MCP 2026-07-28: {wrong:#?}");
        }
    }
}
