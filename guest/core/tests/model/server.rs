//! A small MCP server: sessions, calls that it counts, streams that can be resumed, and one question to the client.

use std::collections::BTreeMap;

use mcp_reconnect_core::ExchangeId;

use crate::wire::{Call, Cursor, PING, Piece, Said, Wire};

/// How a server of this run behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// Streamable HTTP that answers with JSON.
    Json,
    /// Streamable HTTP that answers with event streams that can be resumed, and has a standalone stream.
    Events,
    /// As `Json`, but a session that is gone is told by an error with status 200, and notifications are answered with a
    /// body.
    Loose,
    /// Streamable HTTP without sessions.
    Stateless,
    /// HTTP+SSE.
    Sse,
    /// A version without sessions, and a client of it: `server/discover`, `subscriptions/listen`, no `initialize`.
    Modern,
    /// The same server with a client of a version with sessions.
    Translated,
}

impl Style {
    /// No message belongs to a session.
    pub fn is_sessionless(self) -> bool {
        matches!(self, Self::Stateless | Self::Modern | Self::Translated)
    }

    /// The server speaks a version without sessions only.
    pub fn is_modern(self) -> bool {
        matches!(self, Self::Modern | Self::Translated)
    }
}

/// A session on the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    /// Everything that arrived was in order so far, up to here.
    pub initialized: bool,
    /// The stream that everything comes on (HTTP+SSE), or the standalone one.
    pub stream: Option<ExchangeId>,
    /// What was sent on each stream since its first event, by its number. The standalone one is number 0.
    pub sent: BTreeMap<u8, Vec<String>>,
    /// A question was asked.
    pub asked: bool,
    /// What the client set up: a subscription, a log level.
    pub subscribed: bool,
    pub level: bool,
}

/// A server process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    pub up: bool,
    pub sessions: BTreeMap<u8, Session>,
}

/// What all servers of a world share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shared {
    pub next_session: u8,
    /// What an `initialize` is answered.
    pub initialized: &'static str,
    /// How often the unsafe call ran.
    pub ran: u8,
    /// What a server saw that must not be.
    pub complaint: Option<&'static str>,
}

/// What a server makes of a request.
pub struct Made {
    pub pieces: Vec<Piece>,
    /// What goes on another exchange's stream (HTTP+SSE).
    pub aside: Option<(ExchangeId, Piece)>,
}

fn reply(status: u16, body: &str) -> Made {
    Made { pieces: vec![Piece::Reply { status, session: None, body: body.into() }], aside: None }
}

fn result(wire: u64, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{result}}}"#)
}

impl Server {
    pub fn new() -> Self {
        Self { up: true, sessions: BTreeMap::new() }
    }

    /// A request has arrived.
    pub fn take(&mut self, style: Style, shared: &mut Shared, id: ExchangeId, wire: &Wire) -> Made {
        match (&wire.said, style) {
            (Said::Stream, Style::Sse) => return self.open_sse(shared, id),
            (_, Style::Modern | Style::Translated) => return modern(shared, wire),
            (Said::Initialize { .. }, Style::Sse) | (_, Style::Stateless) => {}
            (Said::Initialize { wire }, _) => return self.initialize(shared, *wire, style),
            _ => {}
        }
        if style == Style::Stateless {
            return self.stateless(shared, wire);
        }
        let Some(session) = wire.session.and_then(|session| self.sessions.get_mut(&session)) else {
            let lost = r#""error":{"code":-32600,"message":"Session not found"}"#;
            return match (style, &wire.said) {
                (Style::Sse, _) => reply(404, "Could not find session"),
                (Style::Loose, Said::Call { wire, .. } | Said::Own { wire, .. }) => {
                    reply(200, &format!(r#"{{"jsonrpc":"2.0","id":{wire},{lost}}}"#))
                }
                _ => reply(404, &format!(r#"{{"jsonrpc":"2.0","id":null,{lost}}}"#)),
            };
        };
        let number = wire.session.unwrap_or_default();
        let answer = match &wire.said {
            Said::Initialize { wire } => result(*wire, shared.initialized),
            Said::Initialized => {
                session.initialized = true;
                return if style == Style::Loose { reply(200, "{}") } else { reply(202, "") };
            }
            Said::Delete => {
                self.sessions.remove(&number);
                return reply(200, "");
            }
            Said::Stream if matches!(style, Style::Json | Style::Loose) => return reply(405, ""),
            Said::Stream => return session.stream(id, number, wire.cursor),
            Said::Call { call, wire } => {
                if !session.initialized {
                    shared.complaint = Some("a call reached a session that was not initialized");
                }
                shared.run(*call);
                session.set_up(*call);
                result(*wire, &format!(r#"{{"of":"{}"}}"#, call.method()))
            }
            Said::Own { method, wire } => {
                if let Some(call) = Call::of_method(method) {
                    session.set_up(call);
                }
                if !session.initialized && method != "ping" {
                    shared.complaint = Some("a request reached a session that was not initialized");
                }
                result(*wire, "{}")
            }
            Said::Answer { id, nonce } => {
                if !session.asked || id != "0" || *nonce != number {
                    shared.complaint = Some("a session got the answer to another one's question");
                }
                return reply(202, "");
            }
            Said::Cancelled { .. } | Said::Pong | Said::Notification => return reply(202, ""),
        };
        match (style, &wire.said) {
            (Style::Sse, _) => Made {
                aside: session.stream.map(|stream| (stream, Piece::Event { id: None, data: answer, last: false })),
                ..reply(202, "")
            },
            (Style::Events, Said::Call { .. }) => session.answer_in_stream(number, answer),
            _ => reply(200, &answer),
        }
    }

    fn initialize(&mut self, shared: &mut Shared, wire: u64, style: Style) -> Made {
        let number = self.new_session(shared, None);
        let body = result(wire, shared.initialized);
        let pieces = if style == Style::Events {
            vec![Piece::Open { session: Some(number), prime: None }, Piece::Event { id: None, data: body, last: true }]
        } else {
            vec![Piece::Reply { status: 200, session: Some(number), body }]
        };
        Made { pieces, aside: None }
    }

    fn new_session(&mut self, shared: &mut Shared, stream: Option<ExchangeId>) -> u8 {
        let number = shared.next_session;
        shared.next_session += 1;
        self.sessions.insert(number, Session { stream, ..Session::default() });
        number
    }

    fn open_sse(&mut self, shared: &mut Shared, id: ExchangeId) -> Made {
        let session = self.new_session(shared, Some(id));
        Made { pieces: vec![Piece::Endpoint { session }], aside: None }
    }

    fn stateless(&mut self, shared: &mut Shared, wire: &Wire) -> Made {
        match &wire.said {
            Said::Initialize { wire } => reply(200, &result(*wire, shared.initialized)),
            Said::Call { call, wire } => {
                shared.run(*call);
                let of = format!(r#"{{"of":"{}"}}"#, call.method());
                reply(200, &result(*wire, &of))
            }
            Said::Own { wire, .. } => reply(200, &result(*wire, "{}")),
            Said::Stream | Said::Delete => reply(405, ""),
            _ => reply(202, ""),
        }
    }

    /// The session whose stream this is has lost it.
    pub fn stream_lost(&mut self, id: ExchangeId) {
        for session in self.sessions.values_mut() {
            if session.stream == Some(id) {
                session.stream = None;
            }
        }
    }
}

impl Session {
    fn set_up(&mut self, call: Call) {
        match call {
            Call::Subscribe => self.subscribed = true,
            Call::Unsubscribe => self.subscribed = false,
            Call::SetLevel => self.level = true,
            Call::Safe | Call::Unsafe | Call::Last => {}
        }
    }

    /// The standalone stream, or one that is resumed.
    fn stream(&mut self, id: ExchangeId, number: u8, cursor: Option<Cursor>) -> Made {
        let mut pieces = vec![Piece::Open { session: None, prime: None }];
        let stream = cursor.map_or(0, |cursor| cursor.stream);
        let seen = cursor.map_or(0, |cursor| cursor.event);
        let missed = self.sent.get(&stream).into_iter().flatten();
        for (event, data) in (1..).zip(missed) {
            if event > seen && cursor.is_some() {
                let id = Some(Cursor { session: number, stream, event });
                pieces.push(Piece::Event { id, data: data.clone(), last: false });
            }
        }
        if stream == 0 {
            self.stream = Some(id);
        } else if let Some(Piece::Event { last, .. }) = pieces.last_mut() {
            *last = true;
        } else {
            pieces.push(Piece::End);
        }
        Made { pieces, aside: None }
    }

    fn answer_in_stream(&mut self, number: u8, answer: String) -> Made {
        let stream = self.sent.keys().last().map_or(1, |last| last + 1);
        self.sent.insert(stream, vec![answer.clone()]);
        let cursor = |event| Some(Cursor { session: number, stream, event });
        Made {
            pieces: vec![
                Piece::Open { session: None, prime: cursor(0) },
                Piece::Event { id: cursor(1), data: answer, last: true },
            ],
            aside: None,
        }
    }

    /// Asks the client something, on the stream that is there for it.
    pub fn ask(&mut self, style: Style, number: u8) -> Option<(ExchangeId, Piece)> {
        self.asked = true;
        let data = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"elicitation/create","params":{{"nonce":{number}}}}}"#);
        self.say(style, number, data)
    }

    /// Asks the client whether it is there.
    pub fn ping(&mut self, style: Style, number: u8) -> Option<(ExchangeId, Piece)> {
        self.say(style, number, ping())
    }

    fn say(&mut self, style: Style, number: u8, data: String) -> Option<(ExchangeId, Piece)> {
        let stream = self.stream?;
        let id = (style == Style::Events).then(|| {
            let sent = self.sent.entry(0).or_default();
            sent.push(data.clone());
            Cursor { session: number, stream: 0, event: sent.len() as u8 }
        });
        Some((stream, Piece::Event { id, data, last: false }))
    }
}

impl Shared {
    fn run(&mut self, call: Call) {
        if call == Call::Unsafe {
            self.ran += 1;
        }
    }
}

/// What a server of a version without sessions makes of a request.
fn modern(shared: &mut Shared, wire: &Wire) -> Made {
    match &wire.said {
        Said::Initialize { wire } => {
            let error = r#""error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28"]}}"#;
            reply(400, &format!(r#"{{"jsonrpc":"2.0","id":{wire},{error}}}"#))
        }
        Said::Call { call, wire } => {
            shared.run(*call);
            reply(200, &result(*wire, &format!(r#"{{"resultType":"complete","of":"{}"}}"#, call.method())))
        }
        Said::Own { method, wire } if method == LISTEN => {
            let params =
                format!(r#"{{"_meta":{{"{SUBSCRIPTION}":{wire}}},"notifications":{{"toolsListChanged":true}}}}"#);
            let data = format!(r#"{{"jsonrpc":"2.0","method":"{ACKNOWLEDGED}","params":{params}}}"#);
            let opened = Piece::Open { session: None, prime: None };
            Made { pieces: vec![opened, Piece::Event { id: None, data, last: false }], aside: None }
        }
        Said::Own { wire, .. } => reply(200, &result(*wire, DISCOVERED)),
        _ => {
            shared.complaint = Some("a message reached a server that knows no sessions and is of one");
            reply(202, "")
        }
    }
}

/// The request that opens a stream of notifications, and the first notification on it.
pub const LISTEN: &str = "subscriptions/listen";
pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// Names the stream that a notification is of.
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"model","version":"1"}}}"#;

/// A ping of a server.
pub fn ping() -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"{PING}","method":"ping"}}"#)
}

pub const INITIALIZED: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"model","version":"1"}}"#;
/// The same of a server at which something can be set up.
pub const WITH_SETTINGS: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"resources":{"subscribe":true},"logging":{}},"serverInfo":{"name":"model","version":"1"}}"#;
