//! A model of an MCP server, with the habits of real ones as knobs. It counts every execution. `front` lets messages in,
//! `work` acts on them, `speech` answers, and `script` does something else instead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mcp_reconnect_core::{ExchangeId, Instant, Method};
use serde_json::Value;

mod front;
mod knobs;
mod script;
mod speech;
mod work;

use super::client::Tag;
use super::net::Down;
use super::world::{Happening, World};

pub use knobs::{Accent, Get, Knobs, Lost, Offer, Resume};
#[allow(unused_imports)]
pub use script::{Reply, json_body, status, status_text};

/// One execution of a request.
#[derive(Clone, Debug)]
pub struct Run {
    pub at: Instant,
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
    end: Instant,
    step: Duration,
    cancelled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    Slow,
    /// Waits for the client's answer.
    Ask,
    /// The answer is on its way.
    Answer(Value),
}

pub struct Server {
    pub knobs: Knobs,
    pub up: bool,
    pub frozen: bool,
    pub stuck: Vec<Happening>,
    pub busy_until: Instant,
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
    pub arrivals: Vec<(Instant, String, String)>,
}

impl Server {
    pub fn new(knobs: Knobs) -> Self {
        Self {
            knobs,
            up: true,
            frozen: false,
            stuck: Vec::new(),
            busy_until: Instant::ZERO,
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
        text += &format!("data: {data}{eol}");
        // Only an answer is the last of its stream.
        let last = data.contains("\"result\":") && data.contains("\"id\":");
        if self.knobs.accent != Accent::Unfinished || self.knobs.offer == Offer::Sse || !last {
            text += eol;
        }
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
    pub(super) fn stop_server(&mut self) {
        self.server.up = false;
        self.server.busy_until = Instant::ZERO;
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
            self.after(Duration::ZERO, what);
        }
    }

    /// Ends every stream in order.
    pub fn end_streams(&mut self) {
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
}

/// The tag under which the client counts a message.
pub fn tag_of(message: &Value) -> Option<Tag> {
    let params = &message["params"];
    params["tag"].as_u64().or_else(|| params["arguments"]["tag"].as_u64())
}
