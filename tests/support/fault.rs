//! A scripted MCP server of either transport. By itself it behaves well and checks that the client does; a test hooks in
//! where it wants a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;
use super::http::{self, Next, Reply, Request, Stream};
use super::port::Port;
use super::script::{Call, Outcome, Record, Script};

/// The part of the server that hooks can reach.
pub struct Scripted {
    script: Script,
    port: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    sessions: BTreeMap<String, Session>,
    /// Streams that are only kept open, those of forgotten sessions among them.
    old_streams: Vec<Stream>,
    begun: usize,
    records: Vec<Record>,
    executed: Vec<String>,
    violations: Vec<String>,
}

#[derive(Default)]
struct Session {
    version: String,
    initialized: bool,
    ids: BTreeSet<String>,
    /// Ids of the server's own requests.
    asked: BTreeSet<String>,
    stream: Option<Stream>,
    /// Messages for a stream that is not open yet.
    waiting: Vec<Value>,
}

impl Session {
    fn send(&mut self, message: &Value) {
        if message.get("method").is_some() && message.get("id").is_some() {
            self.asked.insert(message["id"].to_string());
        }
        match &self.stream {
            Some(stream) if stream.event(message) => {}
            _ => self.waiting.push(message.clone()),
        }
    }
}

impl Scripted {
    /// What it is like.
    pub fn script(&self) -> &Script {
        &self.script
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn handle(self: &Arc<Self>, http: Request, reply: Reply) -> Next {
        let message = http.json();
        if self.script.sse && http.method == "POST" && !http.target.starts_with("/message") {
            // A client that does not know the transport tries Streamable HTTP first.
            return reply.empty(405);
        }
        let kind = match (http.method.as_str(), message["method"].as_str()) {
            ("POST", Some(method)) => method.to_owned(),
            ("POST", None) => "answer".to_owned(),
            (method, _) => method.to_owned(),
        };
        let session = if self.script.sse {
            http.target.split_once("session=").map(|(_, id)| id.to_owned())
        } else {
            http.header("mcp-session-id").map(str::to_owned)
        };
        let (before, known) = {
            let mut state = self.state();
            let before = state.records.iter().filter(|record| record.kind == kind).count();
            let known = session.as_ref().is_some_and(|id| state.sessions.contains_key(id));
            state.violations.extend(self.judge_headers(&http, &kind));
            let record =
                Record { http: http.clone(), kind: kind.clone(), message: message.clone(), session: session.clone() };
            state.records.push(record);
            (before, known)
        };
        self.changed.notify_all();
        let call = Call {
            http: &http,
            kind: &kind,
            before,
            message: &message,
            session: session.as_deref(),
            known,
            server: self,
        };
        match (self.script.hook)(&call, reply) {
            Outcome::Done(next) => next,
            Outcome::Good(reply) => self.good(&call, reply),
        }
    }

    /// What must hold of every request's head.
    fn judge_headers(&self, http: &Request, kind: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let accept = http.header("accept").unwrap_or_default();
        if http.method == "POST" {
            if http.header("content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
                wrong.push(format!("{kind}: a POST without `content-type: application/json`"));
            }
            let both = accept.contains("application/json") && accept.contains("text/event-stream");
            if !self.script.sse && !both {
                wrong.push(format!("{kind}: a POST that accepts {accept:?}"));
            }
            if http.json().is_null() {
                wrong.push(format!("a POST whose body is no JSON: {:?}", String::from_utf8_lossy(&http.body)));
            }
        }
        // What OAuth asks about a server that rejects a request is no message of MCP.
        let is_metadata = http.target.starts_with("/.well-known/");
        if http.method == "GET" && !is_metadata && !accept.contains("text/event-stream") {
            wrong.push(format!("a GET that accepts {accept:?}"));
        }
        if self.script.authorization.is_some() && http.header("authorization") != self.script.authorization.as_deref() {
            wrong.push(format!("{kind}: the `Authorization` header is not the one that was configured"));
        }
        wrong
    }

    /// What a good server does.
    fn good(self: &Arc<Self>, call: &Call<'_>, reply: Reply) -> Next {
        match call.kind {
            "GET" if self.script.sse => self.open_sse(reply),
            "initialize" if !self.script.sse => self.initialize(call, reply),
            _ if self.script.stateless && call.http.method == "POST" => self.serve(call, reply),
            _ if !call.known && !self.script.stateless => match (self.script.gone)(call, reply) {
                Outcome::Done(next) => next,
                Outcome::Good(reply) => reply.empty(404),
            },
            "GET" if self.script.stream => self.open_stream(call, reply),
            "DELETE" if !self.script.stateless => {
                self.state().sessions.remove(call.session.unwrap_or_default());
                reply.empty(200)
            }
            "GET" | "DELETE" => reply.empty(405),
            "initialize" => {
                let session = call.session.unwrap_or_default();
                self.state().sessions.get_mut(session).expect("known").version = version(call);
                call.result(reply, self.initialize_result(call))
            }
            _ => {
                self.judge_message(call);
                self.serve(call, reply)
            }
        }
    }

    /// What must hold of every message of a session.
    fn judge_message(&self, call: &Call<'_>) {
        let mut state = self.state();
        let State { sessions, violations, .. } = &mut *state;
        let Some(session) = sessions.get_mut(call.session.unwrap_or_default()) else { return };
        let mut wrong = |what: String| violations.push(format!("{}: {what}", call.kind));
        if !self.script.sse && call.http.header("mcp-protocol-version") != Some(&session.version) {
            wrong(format!("the version header is {:?}", call.http.header("mcp-protocol-version")));
        }
        let id = &call.message["id"];
        match call.kind {
            "notifications/initialized" if session.initialized => wrong("sent twice in a session".to_owned()),
            "notifications/initialized" => session.initialized = true,
            "answer" if !session.asked.remove(&id.to_string()) => wrong(format!("answers {id}, which nobody asked")),
            "answer" | "ping" => {}
            _ if !session.initialized => wrong("sent before `notifications/initialized`".to_owned()),
            _ => {}
        }
        if call.kind != "answer" && !id.is_null() && !session.ids.insert(id.to_string()) {
            wrong(format!("the id {id} was used before in this session"));
        }
    }

    fn begin(&self, stream: Option<Stream>) -> String {
        let mut state = self.state();
        state.begun += 1;
        let id = format!("session-{}-{}", state.begun, std::process::id());
        state.sessions.insert(id.clone(), Session { stream, ..Session::default() });
        id
    }

    fn open_sse(&self, reply: Reply) -> Next {
        let stream = reply.events(&[]);
        let id = self.begin(None);
        let endpoint = self.script.endpoint.replace("{port}", &self.port.to_string());
        stream.raw(format!("event: endpoint\ndata: {endpoint}{id}\n\n").as_bytes());
        self.attach(&id, stream);
        None
    }

    fn open_stream(&self, call: &Call<'_>, reply: Reply) -> Next {
        self.attach(call.session.unwrap_or_default(), reply.events(&[]));
        None
    }

    /// Writes to the newest session's stream, which is open.
    pub fn with_stream(&self, write: impl FnOnce(&Stream)) {
        let mut state = self.state();
        let newest = format!("session-{}-{}", state.begun, std::process::id());
        let session = state.sessions.get_mut(&newest).expect("there is a session");
        write(session.stream.as_ref().expect("its stream is open"));
    }

    /// Keeps a stream open and silent until the server goes down.
    pub fn keep(&self, stream: Stream) {
        self.state().old_streams.push(stream);
    }

    fn attach(&self, session: &str, stream: Stream) {
        if let Some(session) = self.state().sessions.get_mut(session) {
            for message in std::mem::take(&mut session.waiting) {
                stream.event(&message);
            }
            session.stream = Some(stream);
        }
        self.changed.notify_all();
    }

    fn initialize(&self, call: &Call<'_>, reply: Reply) -> Next {
        if let Some(session) = call.session {
            self.state().violations.push(format!("initialize carries the session id {session}"));
        }
        let result = self.initialize_result(call);
        if self.script.stateless {
            return call.result(reply, result);
        }
        let session = self.begin(None);
        self.state().sessions.get_mut(&session).expect("just begun").version = version(call);
        let (headers, message) = ([("mcp-session-id", session.as_str())], call.response(result));
        if self.script.events {
            let stream = reply.events(&headers);
            stream.event(&message);
            stream.end();
            return None;
        }
        let headers = [headers[0], ("content-type", "application/json")];
        reply.send(200, &headers, message.to_string().as_bytes())
    }

    /// The result of a good `initialize`.
    pub fn initialize_result(&self, call: &Call<'_>) -> Value {
        json!({
            "protocolVersion": version(call),
            "capabilities": self.script.capabilities,
            "serverInfo": {"name": "scripted", "version": "1"},
        })
    }

    fn serve(&self, call: &Call<'_>, reply: Reply) -> Next {
        if call.message["id"].is_null() || call.kind == "answer" {
            return reply.empty(202);
        }
        let result = match call.kind {
            "initialize" => self.initialize_result(call),
            "tools/call" => {
                self.executed(call.mark());
                json!({"content": [{"type": "text", "text": call.mark()}]})
            }
            "tools/list" => json!({"tools": [{"name": "mark", "inputSchema": {"type": "object"}}]}),
            "resources/list" => json!({"resources": [{"uri": "memo://note", "name": "note"}]}),
            "resources/read" => json!({"contents": [{"uri": call.message["params"]["uri"], "text": "a note"}]}),
            "prompts/list" => json!({"prompts": []}),
            "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => json!({}),
            method => return call.respond(reply, &call.error(-32601, &format!("Method not found: {method}"))),
        };
        call.result(reply, result)
    }

    /// Notes that a `tools/call` ran.
    pub fn executed(&self, mark: &str) {
        self.state().executed.push(mark.to_owned());
        self.changed.notify_all();
    }

    /// How often a `tools/call` with this mark ran.
    pub fn executions(&self, mark: &str) -> usize {
        self.state().executed.iter().filter(|executed| *executed == mark).count()
    }

    /// Sends a message on a session's stream, as soon as that is open.
    pub fn push_to(&self, session: &str, message: &Value) {
        if let Some(session) = self.state().sessions.get_mut(session) {
            session.send(message);
        }
    }

    /// Sends a message on the newest session's stream, as soon as that is open.
    pub fn push(&self, message: &Value) {
        let mut state = self.state();
        let newest = format!("session-{}-{}", state.begun, std::process::id());
        state.sessions.get_mut(&newest).expect("there is a session").send(message);
    }

    /// Takes the newest session's stream away from the server.
    pub fn take_stream(&self) -> Stream {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        loop {
            let newest = format!("session-{}-{}", state.begun, std::process::id());
            if let Some(stream) = state.sessions.get_mut(&newest).and_then(|session| session.stream.take()) {
                return stream;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the newest session opened no stream");
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Sends a message on every stream of a forgotten session.
    pub fn push_to_old(&self, message: &Value) {
        for stream in &self.state().old_streams {
            stream.event(message);
        }
    }

    /// Loses all sessions; connections stay open.
    pub fn forget_sessions(&self) {
        let mut state = self.state();
        let sessions = std::mem::take(&mut state.sessions);
        state.old_streams.extend(sessions.into_values().filter_map(|session| session.stream));
    }

    /// The requests so far.
    pub fn records(&self) -> Vec<Record> {
        self.state().records.clone()
    }

    /// The requests of a kind so far.
    pub fn records_of(&self, kind: &str) -> Vec<Record> {
        self.state().records.iter().filter(|record| record.kind == kind).cloned().collect()
    }

    /// Waits until there were `times` requests of a kind, and gives the last of them.
    pub fn wait_for(&self, kind: &str, times: usize) -> Record {
        self.wait_until(&format!("{times} × {kind}"), |records| {
            records.iter().filter(|record| record.kind == kind).nth(times - 1).cloned()
        })
    }

    /// Waits for a condition on the requests.
    pub fn wait_until<T>(&self, what: &str, mut condition: impl FnMut(&[Record]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        loop {
            if let Some(value) = condition(&state.records) {
                return value;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seen: Vec<_> = state.records.iter().map(|record| record.kind.as_str()).collect();
                panic!("waited {PATIENCE:?} in vain for {what}; the server saw {seen:?}");
            }
            // Some conditions depend on the world outside: look again now and then.
            state = self.changed.wait_timeout(state, left.min(Duration::from_millis(50))).unwrap().0;
        }
    }
}

fn version(call: &Call<'_>) -> String {
    call.message["params"]["protocolVersion"].as_str().unwrap_or("2025-06-18").to_owned()
}

/// A scripted server that runs. Dropping it checks that the client kept the rules.
pub struct Fault {
    scripted: Arc<Scripted>,
    http: http::Server,
}

impl Fault {
    /// Reserves a port; connections are refused until [`Fault::up`].
    pub fn reserve(script: Script) -> Self {
        let port = Port::reserve();
        let scripted =
            Arc::new(Scripted { script, port: port.number(), state: Mutex::default(), changed: Condvar::new() });
        let handler = scripted.clone();
        let http = http::Server::reserved(port, move |request, reply| handler.handle(request, reply));
        Self { scripted, http }
    }

    /// Where the bridge finds it.
    pub fn url(&self) -> String {
        let path = if self.scripted.script.sse { "sse" } else { "mcp" };
        format!("http://127.0.0.1:{}/{path}", self.http.port())
    }

    /// Accepts connections (again).
    pub fn up(&mut self) {
        self.http.up();
    }

    /// As after `kill -9`: connections are refused, those there were are broken, sessions are lost.
    pub fn down(&mut self) {
        // First of all: a server that was killed does not say that it knows no session.
        self.http.down();
        let mut state = self.scripted.state();
        let streams = (std::mem::take(&mut state.sessions), std::mem::take(&mut state.old_streams));
        drop(state);
        drop(streams);
    }

    /// New connections are refused; those there are go on.
    pub fn refuse(&mut self) {
        self.http.refuse();
    }

    /// Down and up again.
    pub fn restart(&mut self) {
        self.down();
        self.up();
    }

    /// Breaks all connections; sessions live on.
    pub fn drop_connections(&self) {
        self.http.drop_connections();
    }
}

impl std::ops::Deref for Fault {
    type Target = Arc<Scripted>;

    fn deref(&self) -> &Arc<Scripted> {
        &self.scripted
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let state = self.scripted.state();
        if std::thread::panicking() {
            eprintln!("--- the scripted server saw:");
            for record in &state.records {
                let body: String = String::from_utf8_lossy(&record.http.body).chars().take(300).collect();
                eprintln!("{:?} {} {:?} {body}", record.http.at, record.http.method, record.session);
            }
            eprintln!("violations: {:#?}", state.violations);
        } else {
            assert!(state.violations.is_empty(), "the client broke rules: {:#?}", state.violations);
        }
    }
}
