//! A model of an MCP server, with the habits of real ones as knobs. It counts every execution.

use std::collections::{BTreeMap, BTreeSet};

use mcp_reconnect_core::{ExchangeId, Method, Nanos};
use serde_json::{Value, json};

use super::net::Down;
use super::program::Tag;
use super::world::{Happening, World};
use super::{MILLISECOND, SECOND};

/// Which transports it offers, at whatever path it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    Http,
    Sse,
}

/// How it says that a session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// 404, `-32001`, null id: TypeScript SDK examples.
    Code404,
    /// 404, `-32600`, `id: "server-error"`: Python SDK 1.
    ServerError404,
    /// 404 in plain text: rmcp, Go.
    Plain404,
    /// 400 "No valid session ID provided", no id: server-everything.
    NoValid400,
    /// 400 "Server not initialized": TypeScript SDK, fresh transport.
    NotInitialized400,
    /// 200 with `-32600` "Session not found" under the request's id.
    Ok200,
    /// 200 with `-32004` "Unknown session".
    Unknown200,
    /// HTTP+SSE, 404 "Could not find session": Python SDK.
    CouldNotFind404,
    /// HTTP+SSE, 404 without a body.
    Empty404,
    /// HTTP+SSE, 400 "Session exists but uses a different transport protocol".
    Different400,
    /// HTTP+SSE, 503 HTML "No active SSE connection": supergateway.
    NoActive503,
    /// HTTP+SSE, 400 "No active transport": npm mcp-proxy.
    NoActive400,
    /// HTTP+SSE: never answered: server-everything.
    Never,
    /// 202 and dropped: older rmcp.
    Dropped202,
}

/// What a GET without a cursor gets, on Streamable HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Get {
    Stream,
    Status(u16),
}

/// What a GET with `Last-Event-ID` gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// What came after the event, then what comes.
    Replay,
    /// The same, the named event included: rmcp.
    Inclusive,
    /// A refusal.
    Status(u16),
    /// 200 and an instant end.
    InstantEnd,
    /// 200 and silence.
    Silent,
}

/// The habits of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knobs {
    pub offer: Offer,
    pub lost: Lost,
    /// It knows no sessions and gives no session id.
    pub stateless: bool,
    /// Sessions outlive the process.
    pub durable: bool,
    /// JSON bodies instead of event streams.
    pub json: bool,
    pub event_ids: bool,
    /// The first event of a stream carries an id and no data.
    pub prime: bool,
    /// It ends a response stream after the first event, so that the client polls.
    pub polls: bool,
    /// `retry:` in milliseconds.
    pub retry: Option<u64>,
    pub resume: Resume,
    pub get: Get,
    /// HTTP+SSE: the answer comes before the 202.
    pub answer_first: bool,
    /// Requests in a session without `initialized` get `-32602`.
    pub strict: bool,
    pub version: &'static str,
    pub name: &'static str,
    pub capabilities: &'static str,
    /// It sends a log notification before each answer and after each connect.
    pub chatty: bool,
    /// It sends every answer twice.
    pub stutters: bool,
    /// It pings each new session.
    pub pings: bool,
    /// How it answers what is refused by the transport it does not offer.
    pub wrong_transport: u16,
    /// CRLF line ends.
    pub crlf: bool,
}

impl Knobs {
    pub fn http() -> Self {
        Self {
            offer: Offer::Http,
            lost: Lost::Code404,
            stateless: false,
            durable: false,
            json: false,
            event_ids: false,
            prime: false,
            polls: false,
            retry: None,
            resume: Resume::Status(405),
            get: Get::Stream,
            answer_first: false,
            strict: false,
            version: "2025-11-25",
            name: "model",
            capabilities: r#"{"tools":{"listChanged":false},"resources":{"subscribe":true},"logging":{}}"#,
            chatty: false,
            stutters: false,
            pings: false,
            wrong_transport: 405,
            crlf: false,
        }
    }

    pub fn sse() -> Self {
        Self { offer: Offer::Sse, lost: Lost::CouldNotFind404, version: "2024-11-05", ..Self::http() }
    }

    pub fn resumable() -> Self {
        Self { event_ids: true, prime: true, resume: Resume::Replay, ..Self::http() }
    }
}

/// A scripted reply, in place of the model's own.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The request is not looked at.
    Status(u16, Vec<(&'static str, String)>, String),
    /// It runs, and this is the answer.
    RunThen(u16, Vec<(&'static str, String)>, String),
    /// It is not looked at, and never answered.
    Hang,
    /// It runs, and is never answered.
    RunThenHang,
    /// A head, these events, and the end of the stream if so wished. `$ID` is the request's id on the wire.
    Events(Vec<String>, bool),
    /// The same after it ran.
    RunThenEvents(Vec<String>, bool),
}

pub fn status(status: u16) -> Reply {
    Reply::Status(status, Vec::new(), String::new())
}

pub fn status_text(status: u16, body: &str) -> Reply {
    Reply::Status(status, vec![("content-type", String::from("text/plain"))], body.to_string())
}

pub fn json_body(body: &str) -> Reply {
    Reply::Status(200, vec![("content-type", String::from("application/json"))], body.to_string())
}

/// One execution of a request.
#[derive(Clone, Debug)]
pub struct Run {
    pub at: Nanos,
    pub tag: Tag,
    pub method: String,
    pub session: String,
}

/// A session, also after its end.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub alive: bool,
    /// What arrived in it, in order.
    pub log: Vec<String>,
    pub initialized: bool,
    pub level: Option<String>,
    pub subscriptions: BTreeSet<String>,
    /// Ids seen on the wire.
    pub ids: BTreeSet<String>,
    /// Its questions that wait for an answer: id to job.
    asked: BTreeMap<u64, u64>,
    questions: u64,
    /// HTTP+SSE: its stream. Streamable HTTP: its standalone stream.
    pub stream: Option<ExchangeId>,
    streams: u64,
}

/// A response stream with event ids.
#[derive(Clone, Debug, Default)]
struct Stream {
    conn: Option<ExchangeId>,
    events: Vec<String>,
    done: bool,
    polled: bool,
}

/// Where an answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Channel {
    /// A JSON body.
    Json(ExchangeId),
    /// An event stream, by its key.
    Events(String),
    /// The session's one stream.
    Session,
}

/// Something that takes its time.
#[derive(Clone, Debug)]
struct Job {
    session: String,
    channel: Channel,
    id: Value,
    tag: Tag,
    token: Option<Value>,
    kind: Work,
    end: Nanos,
    step: Nanos,
    cancelled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    Slow,
    /// Waits for the program's answer.
    Ask,
    /// The answer is on its way.
    Answer(Value),
}

pub struct Server {
    pub knobs: Knobs,
    pub up: bool,
    pub frozen: bool,
    pub stuck: Vec<Happening>,
    pub busy_until: Nanos,
    /// How often the process was started.
    pub generation: u32,
    pub sessions: BTreeMap<String, Session>,
    streams: BTreeMap<String, Stream>,
    jobs: BTreeMap<u64, Job>,
    next: u64,
    pub runs: Vec<Run>,
    /// Notifications that were taken, by their tag.
    pub notified: Vec<Tag>,
    /// What `notifications/cancelled` named, and whether it was running.
    pub cancels: Vec<(String, bool)>,
    /// Scripted replies: a part of the request line or body, how often, what.
    pub rules: Vec<(String, u32, Reply)>,
    /// The session whose `initialized` came last.
    pub current: String,
    /// The session that began last.
    latest: String,
    /// Everything that arrived: when, in which session, what.
    pub arrivals: Vec<(Nanos, String, String)>,
}

impl Server {
    pub fn new(knobs: Knobs) -> Self {
        Self {
            knobs,
            up: true,
            frozen: false,
            stuck: Vec::new(),
            busy_until: 0,
            generation: 1,
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            jobs: BTreeMap::new(),
            next: 1,
            runs: Vec::new(),
            notified: Vec::new(),
            cancels: Vec::new(),
            rules: Vec::new(),
            current: String::new(),
            latest: String::new(),
            arrivals: Vec::new(),
        }
    }

    pub fn runs_of(&self, tag: Tag) -> usize {
        self.runs.iter().filter(|run| run.tag == tag).count()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn eol(&self) -> &'static str {
        if self.knobs.crlf { "\r\n" } else { "\n" }
    }

    fn event(&self, name: Option<&str>, id: Option<&str>, retry: Option<u64>, data: &str) -> Down {
        let eol = self.eol();
        let mut text = String::new();
        for (field, value) in [("event", name), ("id", id)] {
            if let Some(value) = value {
                text += &format!("{field}: {value}{eol}");
            }
        }
        if let Some(retry) = retry {
            text += &format!("retry: {retry}{eol}");
        }
        text += &format!("data: {data}{eol}{eol}");
        Down::Body(text.into_bytes())
    }

    pub fn alive(&self, session: &str) -> bool {
        self.sessions.get(session).is_some_and(|session| session.alive)
    }
}

fn head(status: u16, kind: &str) -> Down {
    Down::Head(status, vec![(String::from("Content-Type"), String::from(kind))])
}

impl World {
    /// Scripts a reply to the next request whose line or body holds `part`.
    pub fn rule(&mut self, part: &str, reply: Reply) {
        self.rules(part, 1, reply);
    }

    pub fn rules(&mut self, part: &str, times: u32, reply: Reply) {
        self.server.rules.push((part.to_string(), times, reply));
    }

    pub(super) fn stop_server(&mut self) {
        self.server.up = false;
        self.server.busy_until = 0;
        self.server.frozen = false;
        self.server.stuck.clear();
        self.server.jobs.clear();
        self.server.streams.clear();
        let durable = self.server.knobs.durable && self.server.knobs.offer == Offer::Http;
        for session in self.server.sessions.values_mut() {
            session.alive &= durable;
            session.stream = None;
            session.asked.clear();
        }
    }

    pub(super) fn start_server(&mut self) {
        if !self.server.up {
            self.server.up = true;
            self.server.generation += 1;
        }
    }

    pub(super) fn forget_sessions(&mut self) {
        for session in self.server.sessions.values_mut() {
            session.alive = false;
        }
    }

    pub(super) fn thaw(&mut self) {
        self.server.frozen = false;
        for what in std::mem::take(&mut self.server.stuck) {
            self.after(0, what);
        }
    }

    /// Ends every stream in order.
    pub(super) fn end_streams(&mut self) {
        let open: Vec<_> = self
            .net
            .conns
            .iter()
            .filter(|(_, conn)| conn.arrived && conn.request.method == Method::Get)
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            self.write(id, Down::End);
        }
    }

    /// The server notices that a connection is closed.
    pub(super) fn gone(&mut self, id: ExchangeId) {
        if !self.server.up {
            return;
        }
        let sse = self.server.knobs.offer == Offer::Sse;
        for session in self.server.sessions.values_mut() {
            if session.stream == Some(id) {
                session.stream = None;
                // An HTTP+SSE session is its stream.
                session.alive &= !sse;
            }
        }
        for stream in self.server.streams.values_mut() {
            if stream.conn == Some(id) {
                stream.conn = None;
            }
        }
    }

    /// A request has arrived.
    pub(super) fn serve(&mut self, id: ExchangeId) {
        let Some(conn) = self.net.conns.get(&id) else {
            return;
        };
        let request = conn.request.clone();
        let line = super::net::line(&request);
        let header =
            |name: &str| request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        let sid = match self.server.knobs.offer {
            Offer::Http => header("mcp-session-id").unwrap_or_default(),
            Offer::Sse => request.path.split_once("sid=").map_or(String::new(), |(_, sid)| sid.to_string()),
        };
        self.server.arrivals.push((self.now, sid.clone(), line.clone()));
        if let Some(at) = self.server.rules.iter().position(|(part, _, _)| line.contains(part.as_str())) {
            let reply = self.server.rules[at].2.clone();
            self.server.rules[at].1 -= 1;
            if self.server.rules[at].1 == 0 {
                self.server.rules.remove(at);
            }
            return self.scripted(id, &sid, &request.body, reply);
        }
        if self.server.knobs.offer == Offer::Http && request.path.starts_with("/messages") {
            return self.answer_plain(id, 404, "no such path");
        }
        match (request.method, self.server.knobs.offer) {
            (Method::Get, Offer::Http) => self.serve_get(id, &sid, header("last-event-id")),
            (Method::Get, Offer::Sse) => self.serve_sse(id),
            (Method::Delete, _) => {
                if self.server.alive(&sid) {
                    self.end_server_session(&sid);
                    self.answer_plain(id, 204, "");
                } else {
                    self.refuse_lost(id, &Value::Null);
                }
            }
            (Method::Post, offer) => {
                let message: Value = serde_json::from_slice(&request.body).expect("the engine sends JSON");
                if offer == Offer::Sse && !request.path.starts_with("/messages") {
                    return self.answer_plain(id, self.server.knobs.wrong_transport, "no such way");
                }
                self.serve_post(id, sid, message);
            }
        }
    }

    fn end_server_session(&mut self, sid: &str) {
        let stream = self.server.sessions.get_mut(sid).and_then(|session| {
            session.alive = false;
            session.stream.take()
        });
        if let Some(stream) = stream {
            self.write(stream, Down::End);
        }
        let over: Vec<_> = self
            .server
            .streams
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{sid}/")))
            .map(|(key, stream)| (key.clone(), stream.conn))
            .collect();
        for (key, conn) in over {
            if let Some(conn) = conn {
                self.write(conn, Down::End);
            }
            self.server.streams.remove(&key);
        }
    }

    fn scripted(&mut self, id: ExchangeId, sid: &str, body: &[u8], reply: Reply) {
        let message: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if matches!(reply, Reply::RunThen(..) | Reply::RunThenHang | Reply::RunThenEvents(..)) {
            self.run(&message, sid);
        }
        match reply {
            Reply::Status(status, headers, body) | Reply::RunThen(status, headers, body) => {
                let body = body.replace("$ID", &message["id"].to_string());
                let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
                self.write(id, Down::Head(status, headers));
                if !body.is_empty() {
                    self.write(id, Down::Body(body.into_bytes()));
                }
                self.write(id, Down::End);
            }
            Reply::Hang | Reply::RunThenHang => {}
            Reply::Events(events, end) | Reply::RunThenEvents(events, end) => {
                self.write(id, head(200, "text/event-stream"));
                for event in events {
                    let event = event.replace("$ID", &message["id"].to_string());
                    self.write(id, Down::Body(event.into_bytes()));
                }
                if end {
                    self.write(id, Down::End);
                }
            }
        }
    }

    fn answer_plain(&mut self, id: ExchangeId, status: u16, body: &str) {
        self.write(id, head(status, "text/plain"));
        if !body.is_empty() {
            self.write(id, Down::Body(body.as_bytes().to_vec()));
        }
        self.write(id, Down::End);
    }

    fn answer_json(&mut self, id: ExchangeId, status: u16, body: &Value) {
        self.write(id, head(status, "application/json"));
        self.write(id, Down::Body(body.to_string().into_bytes()));
        self.write(id, Down::End);
    }

    fn refuse_lost(&mut self, id: ExchangeId, request: &Value) {
        let error = |code: i64, message: &str, id: Option<Value>| {
            let mut body = json!({"jsonrpc":"2.0","error":{"code":code,"message":message}});
            if let Some(id) = id {
                body["id"] = id;
            }
            body
        };
        match self.server.knobs.lost {
            Lost::Code404 => {
                let body = error(-32001, "Session not found", Some(Value::Null));
                self.answer_json(id, 404, &body);
            }
            Lost::ServerError404 => {
                let body = error(-32600, "Session not found", Some(json!("server-error")));
                self.answer_json(id, 404, &body);
            }
            Lost::Plain404 => self.answer_plain(id, 404, "session not found"),
            Lost::NoValid400 => {
                let text = "Bad Request: No valid session ID provided";
                self.answer_json(id, 400, &error(-32000, text, None));
            }
            Lost::NotInitialized400 => {
                let text = "Bad Request: Server not initialized";
                self.answer_json(id, 400, &error(-32000, text, Some(Value::Null)));
            }
            Lost::Ok200 | Lost::Unknown200 if request["id"].is_null() => {
                self.answer_plain(id, 202, "");
            }
            Lost::Ok200 => {
                let body = error(-32600, "Session not found", Some(request["id"].clone()));
                self.answer_json(id, 200, &body);
            }
            Lost::Unknown200 => {
                let body = error(-32004, "Unknown session", Some(request["id"].clone()));
                self.answer_json(id, 200, &body);
            }
            Lost::CouldNotFind404 => self.answer_plain(id, 404, "Could not find session"),
            Lost::Empty404 => self.answer_plain(id, 404, ""),
            Lost::Different400 => {
                let text = "Bad Request: Session exists but uses a different transport protocol";
                self.answer_json(id, 400, &error(-32000, text, Some(Value::Null)));
            }
            Lost::NoActive503 => {
                self.write(id, head(503, "text/html"));
                let page = "<html><body>No active SSE connection for session</body></html>";
                self.write(id, Down::Body(page.into()));
                self.write(id, Down::End);
            }
            Lost::NoActive400 => self.answer_plain(id, 400, "No active transport"),
            Lost::Never => {}
            Lost::Dropped202 => self.answer_plain(id, 202, ""),
        }
    }

    /// HTTP+SSE: a stream is a session.
    fn serve_sse(&mut self, id: ExchangeId) {
        let number = self.server.number();
        let sid = format!("e{}-{number}", self.server.generation);
        self.server.sessions.insert(sid.clone(), Session { alive: true, stream: Some(id), ..Session::default() });
        self.write(id, head(200, "text/event-stream; charset=utf-8"));
        let endpoint =
            self.server.event(Some("endpoint"), None, self.server.knobs.retry, &format!("/messages?sid={sid}"));
        self.write(id, endpoint);
        if self.server.knobs.chatty {
            self.chat(&sid);
        }
    }

    fn serve_get(&mut self, id: ExchangeId, sid: &str, cursor: Option<String>) {
        if !self.server.knobs.stateless && sid.is_empty() {
            // Someone who knows nothing of sessions, such as a client of HTTP+SSE.
            return self.answer_plain(id, 400, "Bad Request: Missing session ID");
        }
        if !self.server.knobs.stateless && !self.server.alive(sid) {
            return self.refuse_lost(id, &Value::Null);
        }
        if let Some(cursor) = cursor.filter(|cursor| !cursor.contains("/standalone/")) {
            return self.resume_stream(id, sid, &cursor);
        }
        match self.server.knobs.get {
            Get::Status(status) => self.answer_plain(id, status, "no stream here"),
            Get::Stream if self.server.knobs.stateless => self.answer_plain(id, 405, ""),
            Get::Stream => {
                let session = self.server.sessions.get_mut(sid).expect("it is alive");
                if session.stream.is_some() {
                    return self.answer_plain(id, 409, "another stream is open");
                }
                session.stream = Some(id);
                self.write(id, head(200, "text/event-stream"));
                if self.server.knobs.chatty {
                    self.chat(sid);
                }
            }
        }
    }

    fn resume_stream(&mut self, id: ExchangeId, sid: &str, cursor: &str) {
        let (key, number) = cursor.rsplit_once('/').unwrap_or(("", ""));
        if !self.server.knobs.stateless && !key.starts_with(&format!("{sid}/")) {
            self.violate(format!("the event id {cursor} was sent in the session {sid}"));
        }
        match self.server.knobs.resume {
            Resume::Status(status) => self.answer_plain(id, status, "cannot resume"),
            Resume::InstantEnd => {
                self.write(id, head(200, "text/event-stream"));
                self.write(id, Down::End);
            }
            Resume::Silent => {
                self.write(id, head(200, "text/event-stream"));
            }
            mode => {
                let number: usize = number.parse().unwrap_or(0);
                self.write(id, head(200, "text/event-stream"));
                let Some(stream) = self.server.streams.get_mut(key) else {
                    // An unknown id: open and silent, as TypeScript servers do.
                    return;
                };
                let from = if mode == Resume::Inclusive { number } else { number + 1 };
                let rest: Vec<_> = stream.events.iter().cloned().enumerate().skip(from).collect();
                let done = stream.done;
                stream.conn = Some(id);
                for (at, data) in rest {
                    let event = self.server.event(None, Some(&format!("{key}/{at}")), None, &data);
                    self.write(id, event);
                }
                if done {
                    self.write(id, Down::End);
                }
            }
        }
    }

    fn serve_post(&mut self, id: ExchangeId, sid: String, message: Value) {
        let method = message["method"].as_str().unwrap_or("").to_string();
        let stateless = self.server.knobs.stateless;
        let http = self.server.knobs.offer == Offer::Http;
        if method == "initialize" && http {
            if !sid.is_empty() {
                self.violate("initialize carries a session id");
                return self.refuse_lost(id, &message);
            }
            let number = self.server.number();
            let sid = format!("h{}-{number}", self.server.generation);
            self.server.sessions.insert(sid.clone(), Session { alive: true, ..Session::default() });
            self.server.latest = sid.clone();
            return self.serve_message(id, sid, method, message);
        }
        if stateless && http {
            // It knows no session; for the checks everything belongs to the one that began last.
            let sid = self.server.latest.clone();
            return self.serve_message(id, sid, method, message);
        }
        if !self.server.alive(&sid) {
            return self.refuse_lost(id, &message);
        }
        self.serve_message(id, sid, method, message);
    }

    fn serve_message(&mut self, id: ExchangeId, sid: String, method: String, message: Value) {
        self.check_message(&sid, &method, &message);
        let http = self.server.knobs.offer == Offer::Http;
        if message["id"].is_null() || method.is_empty() {
            self.answer_plain(id, 202, "");
            return self.take(&sid, &method, &message);
        }
        let initialized = self.server.sessions.get(&sid).is_some_and(|session| session.initialized);
        let channel = match (http, self.server.knobs.json && method != "tools/call") {
            (false, _) => Channel::Session,
            (true, true) => Channel::Json(id),
            (true, false) => {
                let mut headers = vec![(String::from("content-type"), String::from("text/event-stream"))];
                if method == "initialize" && !self.server.knobs.stateless {
                    headers.push((String::from("Mcp-Session-Id"), sid.clone()));
                }
                self.write(id, Down::Head(200, headers));
                let session = self.server.sessions.entry(sid.clone()).or_default();
                session.streams += 1;
                let key = format!("{sid}/{}", session.streams);
                self.server.streams.insert(key.clone(), Stream { conn: Some(id), ..Stream::default() });
                if self.server.knobs.prime && self.server.knobs.event_ids {
                    self.write_stream(&key, "");
                }
                Channel::Events(key)
            }
        };
        if channel == Channel::Session && !self.server.knobs.answer_first {
            self.answer_plain(id, 202, "Accepted");
        }
        if self.server.knobs.strict && !initialized && method != "initialize" && method != "ping" {
            let error = json!({"code":-32602,"message":"Invalid request parameters"});
            self.answer_request(&sid, &channel, &message["id"], "error", error);
        } else {
            self.run(&message, &sid);
            self.perform(&sid, channel.clone(), &method, &message);
        }
        if channel == Channel::Session && self.server.knobs.answer_first {
            self.answer_plain(id, 202, "Accepted");
        }
    }

    /// Counts an execution.
    fn run(&mut self, message: &Value, sid: &str) {
        if let Some(tag) = tag_of(message) {
            let method = message["method"].as_str().unwrap_or("").to_string();
            self.note(|| format!("server    runs {method} of tag {tag}"));
            self.server.runs.push(Run { at: self.now, tag, method, session: sid.to_string() });
        }
    }

    fn perform(&mut self, sid: &str, channel: Channel, method: &str, message: &Value) {
        let params = &message["params"];
        let tag = tag_of(message).unwrap_or(0);
        let id = message["id"].clone();
        let number = self.server.number();
        let session = self.server.sessions.entry(sid.to_string()).or_default();
        let result = match method {
            "initialize" => {
                let knobs = &self.server.knobs;
                json!({"protocolVersion":knobs.version,"capabilities":
                       serde_json::from_str::<Value>(knobs.capabilities).expect("capabilities are JSON"),
                       "serverInfo":{"name":knobs.name,"version":"1"}})
            }
            "ping" => json!({}),
            "logging/setLevel" => {
                session.level = params["level"].as_str().map(str::to_string);
                json!({"tag":tag})
            }
            "resources/subscribe" => {
                session.subscriptions.insert(params["uri"].as_str().unwrap_or("").to_string());
                json!({"tag":tag})
            }
            "resources/unsubscribe" => {
                session.subscriptions.remove(params["uri"].as_str().unwrap_or(""));
                json!({"tag":tag})
            }
            "tools/list" => json!({"tag":tag,"tools":[{"name":"echo","inputSchema":{}},
                {"name":"read","annotations":{"readOnlyHint":true},"inputSchema":{}}]}),
            "tools/call" => {
                let (name, arguments) = (params["name"].as_str().unwrap_or(""), params["arguments"].clone());
                let ms = arguments["ms"].as_u64().unwrap_or(0) * MILLISECOND;
                let kind = match name {
                    "slow" => Work::Slow,
                    "ask" => Work::Ask,
                    "block" => {
                        self.server.busy_until = self.now + ms;
                        Work::Answer(json!({"content":[],"tag":tag}))
                    }
                    "big" => {
                        let size = arguments["size"].as_u64().unwrap_or(0) as usize;
                        return self.answer_request(
                            sid,
                            &channel,
                            &id,
                            "result",
                            json!({"content":[],"text":"x".repeat(size),"tag":tag}),
                        );
                    }
                    _ => {
                        return self.answer_request(sid, &channel, &id, "result", json!({"content":[],"tag":tag}));
                    }
                };
                let token = params["_meta"]["progressToken"].clone();
                let step = arguments["step"].as_u64().unwrap_or(0) * MILLISECOND;
                let job = Job {
                    session: sid.to_string(),
                    channel: channel.clone(),
                    id,
                    tag,
                    token: Some(token).filter(|token| !token.is_null()),
                    end: self.now + ms,
                    step: if step > 0 { step } else { ms.max(1) },
                    cancelled: false,
                    kind,
                };
                if job.kind == Work::Ask {
                    session.questions += 1;
                    let question = session.questions - 1;
                    session.asked.insert(question, number);
                    let ask = json!({"jsonrpc":"2.0","id":question,"method":"elicitation/create",
                                     "params":{"nonce":number,"session":sid}});
                    self.tell(sid, &channel, &ask);
                } else {
                    let first = job.step.min(ms.max(1));
                    self.after(first, Happening::Job(number));
                }
                self.server.jobs.insert(number, job);
                if self.server.knobs.polls
                    && let Channel::Events(key) = &channel
                {
                    self.poll_break(key);
                }
                return;
            }
            other if other.ends_with("/list") || other == "resources/read" => json!({"tag":tag}),
            other => {
                let error = json!({"code":-32601,"message":format!("no method {other}")});
                return self.answer_request(sid, &channel, &id, "error", error);
            }
        };
        self.answer_request(sid, &channel, &id, "result", result);
    }

    /// Ends the connection of a stream that goes on.
    fn poll_break(&mut self, key: &str) {
        let conn = self.server.streams.get_mut(key).and_then(|stream| stream.conn.take());
        if let Some(conn) = conn {
            if let Some(retry) = self.server.knobs.retry {
                let eol = self.server.eol();
                let text = format!("retry: {retry}{eol}{eol}");
                self.write(conn, Down::Body(text.into_bytes()));
            }
            self.write(conn, Down::End);
        }
    }

    /// A job's next step.
    pub(super) fn work(&mut self, number: u64) {
        if self.server.frozen {
            return self.server.stuck.push(Happening::Job(number));
        }
        let Some(job) = self.server.jobs.get(&number).cloned() else {
            return;
        };
        if self.now < job.end && !job.cancelled {
            if let Some(token) = &job.token {
                let progress = json!({"jsonrpc":"2.0","method":"notifications/progress","params":
                    {"progressToken":token,"progress":self.now / MILLISECOND,"tag":job.tag}});
                self.tell(&job.session, &job.channel, &progress);
                if self.server.knobs.polls
                    && let Channel::Events(key) = &job.channel
                {
                    self.poll_break(key);
                }
            }
            let next = (self.now + job.step).min(job.end);
            return self.at(next, Happening::Job(number));
        }
        self.server.jobs.remove(&number);
        if job.cancelled {
            return;
        }
        let result = match &job.kind {
            Work::Answer(result) => result.clone(),
            _ => json!({"content":[],"tag":job.tag}),
        };
        self.answer_request(&job.session, &job.channel, &job.id, "result", result);
    }

    /// Notifications and answers of the client.
    fn take(&mut self, sid: &str, method: &str, message: &Value) {
        match method {
            "notifications/initialized" => {
                if let Some(session) = self.server.sessions.get_mut(sid) {
                    session.initialized = true;
                }
                self.server.current = sid.to_string();
                if self.server.knobs.pings {
                    let ping = json!({"jsonrpc":"2.0","id":"server-ping","method":"ping"});
                    self.tell(sid, &Channel::Session, &ping);
                }
            }
            "notifications/cancelled" => {
                let id = &message["params"]["requestId"];
                let job = self.server.jobs.values_mut().find(|job| job.session == sid && job.id == *id);
                let found = job.is_some();
                if let Some(job) = job {
                    job.cancelled = true;
                }
                self.server.cancels.push((id.to_string(), found));
            }
            "" => self.on_client_answer(sid, message),
            _ => {
                if let Some(tag) = tag_of(message) {
                    self.server.notified.push(tag);
                }
            }
        }
    }

    fn on_client_answer(&mut self, sid: &str, message: &Value) {
        // Questions of the model's own have numbers.
        if !message["id"].is_u64() {
            return;
        }
        let Some(session) = self.server.sessions.get_mut(sid) else {
            return;
        };
        let number = message["id"].as_u64().unwrap_or(u64::MAX);
        match session.asked.remove(&number) {
            Some(job) => {
                let nonce = &message["result"]["nonce"];
                if *nonce != json!(job) {
                    self.violate(format!("the question {job} of {sid} got the answer {message}"));
                }
                if let Some(job) = self.server.jobs.get_mut(&job) {
                    job.kind = Work::Slow;
                    job.end = self.now;
                }
                self.after(MILLISECOND, Happening::Job(job));
            }
            // A copy of an answer may come late; one that was never asked for must not come.
            None if number >= session.questions => {
                self.violate(format!("{sid} never asked what is answered: {message}"));
            }
            None => {}
        }
    }

    fn answer_request(&mut self, sid: &str, channel: &Channel, id: &Value, kind: &str, of: Value) {
        if self.server.knobs.chatty {
            let text = json!({"jsonrpc":"2.0","method":"notifications/message","params":
                              {"level":"info","session":sid}});
            if !matches!(channel, Channel::Json(_)) {
                self.tell(sid, channel, &text);
            }
        }
        let mut answer = json!({"jsonrpc":"2.0","id":id});
        answer[kind] = of;
        let times = if self.server.knobs.stutters { 2 } else { 1 };
        match channel {
            Channel::Json(conn) => {
                let mut headers = vec![(String::from("content-type"), String::from("application/json"))];
                if answer["result"]["protocolVersion"].is_string() && !self.server.knobs.stateless {
                    headers.push((String::from("mcp-session-id"), sid.to_string()));
                }
                self.write(*conn, Down::Head(200, headers));
                self.write(*conn, Down::Body(answer.to_string().into_bytes()));
                self.write(*conn, Down::End);
            }
            Channel::Events(key) => {
                for _ in 0..times {
                    self.write_stream(key, &answer.to_string());
                }
                if let Some(stream) = self.server.streams.get_mut(key) {
                    stream.done = true;
                    if let Some(conn) = stream.conn {
                        self.write(conn, Down::End);
                    }
                }
            }
            Channel::Session => {
                for _ in 0..times {
                    self.tell(sid, channel, &answer);
                }
            }
        }
    }

    /// A log notification on the session's own stream.
    fn chat(&mut self, sid: &str) {
        let text = json!({"jsonrpc":"2.0","method":"notifications/message","params":
                          {"level":"info","session":sid}});
        self.tell(sid, &Channel::Session, &text);
    }

    /// The server says something on the stream of the current session.
    pub fn server_says(&mut self, text: &str) {
        let sid = self.server.current.clone();
        let message: Value = serde_json::from_str(text).expect("the test says JSON");
        if let (Some(id), Some(session)) = (message["id"].as_u64(), self.server.sessions.get_mut(&sid)) {
            session.questions = session.questions.max(id + 1);
        }
        self.tell(&sid, &Channel::Session, &message);
    }

    fn tell(&mut self, sid: &str, channel: &Channel, message: &Value) {
        match channel {
            Channel::Events(key) => self.write_stream(&key.clone(), &message.to_string()),
            Channel::Session | Channel::Json(_) => {
                let stream = self.server.sessions.get(sid).and_then(|session| session.stream);
                if let Some(stream) = stream {
                    let event = self.server.event(None, None, None, &message.to_string());
                    self.write(stream, event);
                }
            }
        }
    }

    fn write_stream(&mut self, key: &str, data: &str) {
        let with_ids = self.server.knobs.event_ids;
        let retry = self.server.knobs.retry;
        let Some(stream) = self.server.streams.get_mut(key) else {
            return;
        };
        stream.events.push(data.to_string());
        let (conn, number) = (stream.conn, stream.events.len() - 1);
        let id = with_ids.then(|| format!("{key}/{number}"));
        let retry = retry.filter(|_| number == 0);
        if let Some(conn) = conn {
            let event = self.server.event(None, id.as_deref(), retry, data);
            if !self.write(conn, event)
                && let Some(stream) = self.server.streams.get_mut(key)
            {
                stream.conn = None;
            }
        }
    }

    /// The longest that the model keeps anything waiting by itself.
    pub const PATIENCE: Nanos = 60 * SECOND;
}

/// The tag under which the program counts a message.
pub fn tag_of(message: &Value) -> Option<Tag> {
    let params = &message["params"];
    params["tag"].as_u64().or_else(|| params["arguments"]["tag"].as_u64())
}
