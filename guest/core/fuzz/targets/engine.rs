//! The engine's whole input: any order of what a driver may say, hostile bytes included. After every step it is checked
//! that no request is answered twice (promise 1), that no session id, event id or id on the wire comes back once a newer one
//! is in use (3), that there is a deadline while anything is owed, and none further away than an option allows (6), and that nothing of the user's goes elsewhere (8). At
//! the end the network falls silent, and every request must be answered in bounded time by the deadlines alone (1, 6) or by
//! the close, and the engine must not have grown beyond its options (7).
//!
//! The input is a list of steps: a byte that chooses what happens, a byte that chooses to which exchange, and for some a
//! piece of data that runs to the next zero byte. The first byte chooses the transport and the options. Steps from 240 on are those
//! of a version without sessions; if the first one is, the client never sends `initialize`.

use std::collections::{HashMap, HashSet};

use std::time::Duration;

use mcp_reconnect_core::{
    Engine, Event, ExchangeId, Failure, Input, Instant, Method, Options, Output, Request, SECOND, TransportChoice,
};
use serde_json::Value;

const INITIALIZE: &str =
    r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
const RESULT: &str = r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"resources":{},"logging":{}},"serverInfo":{"name":"s","version":"1"}}"#;

/// The first of the steps that are of a version without sessions.
const FIRST_MODERN: u8 = 240;
const MODERN_METHODS: [&str; 5] =
    ["tools/call", "tools/list", "server/discover", "subscriptions/listen", "resources/read"];
const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}"#;
const INPUT_REQUIRED: &str = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{}}},"requestState":"s"}"#;

/// More would only make the runs longer.
const MAX_STEPS: usize = 200;
const MAX_REQUESTS: u32 = 24;
/// All options of this target that bound a wait, together and twice, and some backoff.
const PATIENCE: Duration = Duration::from_secs(200);

#[path = "../../tests/support/waits.rs"]
mod waits;

struct Exchange {
    id: ExchangeId,
    /// The id of the request in it.
    wire: Value,
    initialize: bool,
    /// The session it belongs to.
    epoch: u64,
}

/// A client's id of a request of a version without sessions, unlike any on the wire.
fn modern_id(number: u32) -> String {
    format!("\"m{number}\"")
}

/// A request of a client of a version without sessions.
fn modern_request(id: &str, method: &str) -> String {
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":"p"}"#;
    let params = format!(r#"{{"uri":"u:1","name":"t","notifications":{{"toolsListChanged":true}},"_meta":{meta}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

struct Run {
    engine: Engine,
    options: Options,
    /// The client has said so, and nothing else since.
    initialized: bool,
    /// A server has asked for rest until then.
    rest_until: Instant,
    now: Instant,
    open: Vec<Exchange>,
    /// Answers still owed, by id.
    owed: HashMap<String, u32>,
    /// Streams of notifications that the client was told are open, by id. They are owed an end at the close.
    listening: HashSet<String>,
    /// Requests that the client took back.
    cancelled: HashSet<String>,
    /// Which `initialize` (by number) gave a session id; the newest counts.
    granted: HashMap<Vec<u8>, u64>,
    initializes: u64,
    newest_used: u64,
    last_wire: u64,
    closed: bool,
}

fn options(choice: u8) -> Options {
    let mut options = Options::new("http://127.0.0.1:1/mcp");
    options.transport =
        [TransportChoice::Auto, TransportChoice::StreamableHttp, TransportChoice::HttpSse][usize::from(choice % 3)];
    options.can_refresh_credentials = choice & 8 != 0;
    options.heartbeat_strict = choice & 16 != 0;
    options.trust_annotations = choice & 32 != 0;
    options.start_timeout = if choice & 64 != 0 { 2 * SECOND } else { Duration::ZERO };
    options.hold_timeout = 10 * SECOND;
    options.run_timeout = 20 * SECOND;
    options.run_limit = 40 * SECOND;
    options.response_timeout = 5 * SECOND;
    options.max_queue_messages = 16;
    options.max_queue_bytes = 16 << 10;
    options.max_message_bytes = 2 << 10;
    options.max_event_bytes = 2 << 10;
    options.max_body_bytes = 2 << 10;
    options
}

/// One run.
pub fn run(input: &[u8]) {
    let Some((choice, mut rest)) = input.split_first() else { return };
    let engine = Engine::new(options(*choice), 1, Instant::ZERO).unwrap();
    let mut run = Run {
        engine,
        options: options(*choice),
        initialized: false,
        rest_until: Instant::ZERO,
        now: Instant::ZERO,
        open: Vec::new(),
        owed: HashMap::new(),
        listening: HashSet::new(),
        cancelled: HashSet::new(),
        granted: HashMap::new(),
        initializes: 0,
        newest_used: 0,
        last_wire: 0,
        closed: false,
    };
    if rest.first().is_none_or(|what| *what < FIRST_MODERN) {
        run.ask(INITIALIZE.into(), "\"i\"");
    }
    let mut asked = 0;
    for _ in 0..MAX_STEPS {
        let [what, which, tail @ ..] = rest else { break };
        rest = tail;
        let mut data = || {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            let data = rest[..end].to_vec();
            rest = rest.get(end + 1..).unwrap_or_default();
            data
        };
        let at = usize::from(*which) % run.open.len().max(1);
        let exchange = run.open.get(at).map(|open| (open.id, open.wire.clone(), open.initialize, open.epoch));
        let step = if *what < FIRST_MODERN { what % 20 } else { *what };
        match (step, exchange) {
            (240 | 241, _) if asked < MAX_REQUESTS => {
                asked += 1;
                let id = modern_id(asked);
                run.ask(modern_request(&id, MODERN_METHODS[usize::from(*which) % 5]), &id);
            }
            (242, _) => {
                let id = modern_id(u32::from(*which) % (asked + 1));
                let params = format!(r#"{{"requestId":{id}}}"#);
                run.cancel(&id);
                run.handle(Input::Message(format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#
                )));
            }
            // Right answers of such a server: what it is, that it is none, and what it wants to know.
            (243..=245, Some((id, wire, ..))) => {
                let (status, answer) = match *what {
                    243 => (200, format!(r#""result":{DISCOVERED}"#)),
                    244 => {
                        (400, r#""error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28"]}}"#.into())
                    }
                    _ => (200, format!(r#""result":{INPUT_REQUIRED}"#)),
                };
                run.head(id, status, vec![("content-type".into(), b"application/json".to_vec())]);
                let bytes = format!(r#"{{"jsonrpc":"2.0","id":{wire},{answer}}}"#).into_bytes();
                run.handle(Input::Body { exchange: id, bytes });
                run.end(id, Input::End(id));
            }
            // A stream of notifications is acknowledged, and tells of something.
            (246 | 247, Some((id, wire, ..))) => {
                run.head(id, 200, vec![("content-type".into(), b"text/event-stream".to_vec())]);
                let meta = format!(r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{wire}}}"#);
                let method = ["subscriptions/acknowledged", "tools/list_changed"][usize::from(*which) % 2];
                let params = format!(r#"{{{meta},"notifications":{{"toolsListChanged":true}}}}"#);
                let text = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{params}}}"#);
                run.handle(Input::Body { exchange: id, bytes: format!("data: {text}\n\n").into_bytes() });
            }
            // The client answers what the server asked for in a result.
            (248, _) => {
                let text = format!(r#"{{"jsonrpc":"2.0","id":{which},"result":{{"action":"accept"}}}}"#);
                run.handle(Input::Message(text));
            }
            (0, _) if asked < MAX_REQUESTS => {
                asked += 1;
                let method = ["tools/call", "tools/list", "resources/subscribe"][usize::from(*which) % 3];
                let params = r#"{"uri":"u:1","name":"t","_meta":{"progressToken":"p"}}"#;
                let text = format!(r#"{{"jsonrpc":"2.0","id":{asked},"method":"{method}","params":{params}}}"#);
                run.ask(text, &asked.to_string());
            }
            (1, _) => {
                run.now += Duration::from_nanos(1 << (which % 36));
                run.handle(Input::Tick);
            }
            (2, _) => run.tick(),
            (3, _) => run.handle(Input::Message(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.into())),
            (4, _) => run.handle(Input::Reconnect),
            (5, _) => run.handle(Input::Probe),
            (6, Some((id, ..))) => run.handle(Input::Sent(id)),
            (7, Some((id, ..))) => {
                let status = [200, 202, 400, 401, 404, 405, 429, 500, 503, 307][usize::from(*which) % 10];
                let kind = ["application/json", "text/event-stream", "text/html"][usize::from(*which) % 3];
                let data = data();
                run.head(
                    id,
                    status,
                    vec![
                        ("Content-Type".into(), kind.into()),
                        ("mcp-session-id".into(), data.clone()),
                        ("retry-after".into(), data.clone()),
                        ("location".into(), data),
                    ],
                );
            }
            (8, Some((id, ..))) => run.handle(Input::Body { exchange: id, bytes: data() }),
            // Right answers, so that the depths are reached.
            (9, Some((id, wire, initialize, _))) => {
                let mut headers = vec![("content-type".into(), b"application/json".to_vec())];
                if initialize {
                    headers.push(("Mcp-Session-Id".into(), format!("s{}", run.initializes).into_bytes()));
                }
                run.head(id, 200, headers);
                let bytes = format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{RESULT}}}"#).into_bytes();
                run.handle(Input::Body { exchange: id, bytes });
                run.end(id, Input::End(id));
            }
            (10, Some((id, ..))) => run.end(id, Input::End(id)),
            (11, Some((id, ..))) => {
                let failure = [Failure::Dns, Failure::Connect, Failure::Tls, Failure::Lost, Failure::Unsendable]
                    [usize::from(*which) % 5];
                run.end(id, Input::Failed { exchange: id, failure, detail: String::new() });
            }
            (12, _) => run.handle(Input::SetHeaders(vec![("x".into(), String::from_utf8_lossy(&data()).into())])),
            (13, Some((id, ..))) => {
                run.head(id, 200, vec![("content-type".into(), b"text/event-stream".to_vec())]);
                run.handle(Input::Body { exchange: id, bytes: b"event: endpoint\ndata: /m?s=1\n\n".to_vec() });
            }
            (14, Some((id, ..))) => {
                run.head(id, 202, Vec::new());
                run.end(id, Input::End(id));
            }
            // An event that can be resumed after.
            (15, Some((id, _, _, epoch))) => {
                run.head(id, 200, vec![("content-type".into(), b"text/event-stream".to_vec())]);
                run.handle(Input::Body { exchange: id, bytes: format!("id: c{epoch}\ndata:\n\n").into_bytes() });
            }
            // HTTP+SSE: an answer, of the server or of nobody, on whatever stream this is.
            (16, Some((id, ..))) => {
                let wire = run.last_wire.saturating_sub(u64::from(which % 4));
                let text = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{wire},\"result\":{RESULT}}}\n\n");
                run.handle(Input::Body { exchange: id, bytes: text.into_bytes() });
            }
            (17, Some((id, ..))) => {
                let text = [
                    r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#,
                    r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#,
                    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p"}}"#,
                    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
                ][usize::from(*which) % 4];
                run.handle(Input::Body { exchange: id, bytes: format!("data: {text}\n\n").into_bytes() });
            }
            (18, _) => run.handle(Input::Message(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.into())),
            (19, _) => run.handle(Input::Message(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.into())),
            _ => {}
        }
    }
    run.check_size();
    if *choice & 128 != 0 {
        // Nobody says anything any more: the deadlines alone answer everything.
        let end = run.now + if run.rest_until > Instant::ZERO { 300 * SECOND } else { Duration::ZERO } + PATIENCE;
        while run.now < end && run.owed() > 0 {
            run.tick();
        }
        assert_eq!(run.owed(), 0, "unanswered after {PATIENCE:?}: {:?}\n{:?}", run.owed, run.engine);
    }
    run.handle(Input::Close);
    for _ in 0..64 {
        if run.engine.deadline().is_none() {
            break;
        }
        run.tick();
    }
    assert!(run.closed, "it did not close");
    assert_eq!(run.owed(), 0, "unanswered: {:?}", run.owed);
    assert!(run.listening.is_empty(), "these streams were not ended: {:?}", run.listening);
}

impl Run {
    fn ask(&mut self, text: String, id: &str) {
        if text.contains("2026-07-28") {
            // Such a request may be the first, and be what shows whether the server is there: it may run meanwhile.
            self.options.response_timeout = self.options.run_timeout;
        }
        *self.owed.entry(id.into()).or_default() += 1;
        self.handle(Input::Message(text));
    }

    /// The client takes a request back: it gets no answer, unless that is on its way.
    fn cancel(&mut self, id: &str) {
        let open = self.owed.get(id).is_some_and(|owed| *owed > 0) || self.listening.contains(id);
        self.owed.remove(id);
        self.listening.remove(id);
        if open {
            self.cancelled.insert(id.into());
        }
    }

    fn owed(&self) -> u32 {
        self.owed.values().sum()
    }

    fn tick(&mut self) {
        if let Some(at) = self.engine.deadline() {
            self.now = self.now.max(at);
            self.handle(Input::Tick);
        }
    }

    fn head(&mut self, id: ExchangeId, status: u16, headers: Vec<(String, Vec<u8>)>) {
        if self.open.iter().any(|open| open.id == id && open.initialize) {
            for (_, value) in headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("mcp-session-id")) {
                self.granted.insert(value.clone(), self.initializes);
            }
        }
        self.handle(Input::Response { exchange: id, status, headers });
    }

    fn end(&mut self, id: ExchangeId, input: Input) {
        self.open.retain(|open| open.id != id);
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        match &input {
            Input::Message(text) if text.contains("notifications/initialized") => self.initialized = true,
            Input::Message(text) if text == INITIALIZE => self.initialized = false,
            // Whatever it says: no more than this is obeyed.
            Input::Response { headers, .. }
                if headers.iter().any(|(name, value)| name == "retry-after" && !value.is_empty()) =>
            {
                self.rest_until = self.now + 300 * SECOND;
            }
            // It counts from the end of the response, or from when its body is waited for no longer.
            Input::End(_) | Input::Tick if self.rest_until > Instant::ZERO => {
                self.rest_until = self.now + 300 * SECOND;
            }
            _ => {}
        }
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Start(id, request) => self.start(id, &request),
                Output::Cancel(id) => self.open.retain(|open| open.id != id),
                Output::Event(Event::Message(line)) => self.hear(&line),
                Output::Event(Event::Closed) => self.closed = true,
                Output::Pause(_) | Output::Resume(_) | Output::Event(_) => {}
            }
        }
        assert!(self.owed() == 0 || self.engine.deadline().is_some(), "something is owed and nothing is waited for");
        if !self.closed {
            let problem = waits::problem(&self.engine, &self.options, self.now, self.initialized, self.rest_until);
            assert_eq!(problem, None, "{:?}", self.engine);
        }
    }

    fn start(&mut self, id: ExchangeId, request: &Request) {
        assert!(!request.https && request.authority == "127.0.0.1:1", "another origin");
        let text = request.path.bytes().chain(request.headers.iter().flat_map(|(_, value)| value.bytes()));
        assert!(text.into_iter().all(|byte| byte >= b' ' || byte == b'\t'), "a header was injected");
        let header = |name: &str| request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        // For a client that is translated, `server/discover` stands in the place of `initialize`.
        let initialize = body["method"] == "initialize" || body["method"] == "server/discover";
        let epoch = self.engine.status().session.map_or(0, |session| session.epoch);
        if initialize {
            self.initializes += 1;
            assert_eq!(header("mcp-session-id"), None, "initialize carries a session id");
        }
        if let Some(session) = header("mcp-session-id") {
            let from = self.granted.get(session.as_bytes()).copied().expect("a session id that nobody gave");
            assert!(from >= self.newest_used, "a session id of an old session");
            self.newest_used = from;
        }
        if let Some(of) = header("last-event-id").and_then(|cursor| cursor.strip_prefix('c')?.parse::<u64>().ok()) {
            assert_eq!(of, epoch, "an event id of another session");
        }
        if request.method == Method::Post
            && body["method"].is_string()
            && let Some(wire) = body["id"].as_u64()
        {
            assert!(wire > self.last_wire, "an id on the wire was used before");
            self.last_wire = wire;
        }
        if let Some(method) = header("mcp-method") {
            let version = &body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
            // A notification carries no version.
            let fits =
                body.get("id").is_none() || version.as_str() == header("mcp-protocol-version").map(String::as_str);
            assert!(body["method"] == **method && fits, "the headers do not fit: {body}");
            assert_eq!((header("mcp-session-id"), header("last-event-id")), (None, None), "there are no sessions");
        }
        self.open.push(Exchange { id, wire: body["id"].clone(), initialize, epoch });
    }

    fn hear(&mut self, line: &str) {
        assert!(!self.closed && !line.contains(['\n', '\r']));
        let message: Value = serde_json::from_str(line).unwrap();
        let subscription = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        // In a session it is a notification like any other.
        if message["method"] == "notifications/subscriptions/acknowledged" && subscription.is_string() {
            let id = subscription.to_string();
            let owed = self.owed.get_mut(&id).expect("a stream that nobody opened");
            *owed = owed.checked_sub(1).expect("a second acknowledgement");
            self.listening.insert(id);
        } else if message.get("method").is_none() && message.get("id").is_some_and(|id| !id.is_null()) {
            if self.listening.remove(&message["id"].to_string()) {
                return;
            }
            assert!(!self.cancelled.contains(&message["id"].to_string()), "an answer after the cancellation");
            let owed = self.owed.get_mut(&message["id"].to_string()).expect("an answer to nothing");
            *owed = owed.checked_sub(1).expect("a second answer");
        }
    }

    /// What is kept is bounded by the options: here some messages, an event or a body in each exchange, and small change.
    fn check_size(&self) {
        assert!(self.open.len() <= 200, "{} exchanges are open", self.open.len());
        let text = format!("{:?}", self.engine).len();
        assert!(text <= (64 << 10) + self.open.len() * (20 << 10), "the engine is {text} bytes of text");
    }
}
