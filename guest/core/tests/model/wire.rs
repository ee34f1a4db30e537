//! An HTTP exchange on its way through the network: what the request is, how far it came, and what comes back.

use std::collections::VecDeque;

use mcp_reconnect_core::{ExchangeId, Input, Method, Request};

use crate::machine::header;
use crate::server::LISTEN;

/// The client's messages that have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// `resources/read`: may run twice.
    Safe,
    /// `tools/call`: must not run twice.
    Unsafe,
    /// `resources/subscribe`.
    Subscribe,
    /// `resources/unsubscribe`, once that was answered.
    Unsubscribe,
    /// `logging/setLevel`.
    SetLevel,
    /// `prompts/get`, sent at the end to see whether everything works again.
    Last,
}

impl Call {
    pub fn of_method(method: &str) -> Option<Self> {
        Some(match method {
            "resources/read" => Self::Safe,
            "tools/call" => Self::Unsafe,
            "resources/subscribe" => Self::Subscribe,
            "resources/unsubscribe" => Self::Unsubscribe,
            "logging/setLevel" => Self::SetLevel,
            "prompts/get" => Self::Last,
            _ => return None,
        })
    }

    /// The client's id of it. Ids of different types and spellings must come back as they were.
    pub fn id(self) -> &'static str {
        match self {
            Self::Safe => r#""\u0061""#,
            Self::Unsafe => "9007199254740993",
            Self::Subscribe => "2",
            Self::Unsubscribe => "3",
            Self::SetLevel => "4",
            Self::Last => "1.0",
        }
    }

    pub fn method(self) -> &'static str {
        match self {
            Self::Safe => "resources/read",
            Self::Unsafe => "tools/call",
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
            Self::SetLevel => "logging/setLevel",
            Self::Last => "prompts/get",
        }
    }

    /// What the client's request says, by which it is told from one of the engine's own.
    pub fn params(self) -> &'static str {
        match self {
            Self::Subscribe | Self::Unsubscribe => r#""name":"x","uri":"a:b""#,
            Self::SetLevel => r#""name":"x","level":"debug""#,
            _ => r#""name":"x""#,
        }
    }

    /// Whether the server has something of it as long as the session lasts.
    pub fn sets_up(self) -> bool {
        matches!(self, Self::Subscribe | Self::Unsubscribe | Self::SetLevel)
    }
}

/// Where a stream can be resumed: the session, the stream in it, and the last event seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    pub session: u8,
    pub stream: u8,
    pub event: u8,
}

impl Cursor {
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix('e')?.split('-').map(|part| part.parse().ok());
        Some(Self { session: parts.next()??, stream: parts.next()??, event: parts.next()?? })
    }

    fn text(self) -> String {
        format!("e{}-{}-{}", self.session, self.stream, self.event)
    }
}

/// What a request says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    Initialize {
        wire: u64,
    },
    Initialized,
    Call {
        call: Call,
        wire: u64,
    },
    /// A request of the engine's own.
    Own {
        method: String,
        wire: u64,
    },
    Cancelled {
        wire: u64,
    },
    /// The answer to a question of the server.
    Answer {
        id: String,
        nonce: u8,
    },
    /// The answer to a ping of the server.
    Pong,
    Notification,
    Stream,
    Delete,
}

/// The id of a server's ping.
pub const PING: &str = "are you there?";

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its request is on the way.
    Going { written: bool },
    /// This server has it.
    At { server: usize },
}

/// What comes back, in pieces that arrive one by one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// A whole response: status, session, body.
    Reply {
        status: u16,
        session: Option<u8>,
        body: String,
    },
    /// The head of an event stream, with the session and the first event's id if it has them.
    Open {
        session: Option<u8>,
        prime: Option<Cursor>,
    },
    /// HTTP+SSE: where to POST.
    Endpoint {
        session: u8,
    },
    /// An event, and after the last one the end of the response.
    Event {
        id: Option<Cursor>,
        data: String,
        last: bool,
    },
    End,
}

/// An exchange in the network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wire {
    pub said: Said,
    pub session: Option<u8>,
    pub cursor: Option<Cursor>,
    pub stage: Stage,
    pub pieces: VecDeque<Piece>,
    /// The head of the response was delivered.
    pub open: bool,
    /// Its server was killed: the connection breaks, sooner or later.
    pub doomed: bool,
    /// The engine hears no more of it, but its request may still arrive.
    pub orphan: bool,
}

impl Wire {
    /// Reads a request of the engine; an error says what is wrong with it.
    pub fn read(request: &Request) -> Result<Self, String> {
        let number = |text: String| {
            text.strip_prefix('s')
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| format!("{text} is no session of this server"))
        };
        let session = header(request, "mcp-session-id")
            .or_else(|| request.path.strip_prefix("/messages?").map(Into::into))
            .map(number)
            .transpose()?;
        let cursor = header(request, "last-event-id")
            .map(|text| Cursor::parse(&text).ok_or_else(|| format!("{text} is no event of this server")))
            .transpose()?;
        let said = match request.method {
            Method::Get => Said::Stream,
            Method::Delete => Said::Delete,
            Method::Post => Self::message(&request.body)?,
        };
        Ok(Self {
            said,
            session,
            cursor,
            stage: Stage::Going { written: false },
            pieces: VecDeque::new(),
            open: false,
            doomed: false,
            orphan: false,
        })
    }

    fn message(body: &[u8]) -> Result<Said, String> {
        let json: serde_json::Value =
            serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
        let wire = json["id"].as_u64();
        let said = match (json["method"].as_str(), wire) {
            (Some("initialize"), Some(wire)) => Said::Initialize { wire },
            (Some("notifications/initialized"), None) => Said::Initialized,
            (Some("notifications/cancelled"), None) => Said::Cancelled {
                wire: json["params"]["requestId"].as_u64().ok_or("a cancelled notification names no id of the wire")?,
            },
            (Some(_), None) => Said::Notification,
            (Some(method), Some(wire)) => match Call::of_method(method) {
                Some(call) if json["params"]["name"] == "x" => Said::Call { call, wire },
                _ => Said::Own { method: method.into(), wire },
            },
            (None, _) => match json["result"]["nonce"].as_u64() {
                Some(nonce) => Said::Answer { id: json["id"].to_string(), nonce: nonce as u8 },
                None if json["id"] == PING => Said::Pong,
                None => return Err("an answer to nothing".into()),
            },
        };
        Ok(said)
    }

    /// Takes the next piece, as the inputs of the engine that it is.
    pub fn take(&mut self, exchange: ExchangeId) -> Vec<Input> {
        let header = |name: &str, value: String| (name.to_owned(), value.into_bytes());
        let head = |status, mut headers: Vec<_>, session: Option<u8>| {
            if let Some(session) = session {
                headers.push(header("Mcp-Session-Id", format!("s{session}")));
            }
            Input::Response { exchange, status, headers }
        };
        let stream = |session| {
            let kind = header("Content-Type", "text/event-stream".into());
            head(200, vec![kind], session)
        };
        let event = |id: Option<Cursor>, name: &str, data: &str| {
            let mut text = String::new();
            if let Some(id) = id {
                text.push_str(&format!("id: {}\n", id.text()));
            }
            text.push_str(&format!("event: {name}\ndata: {data}\n\n"));
            Input::Body { exchange, bytes: text.into_bytes() }
        };
        match self.pieces.pop_front() {
            None => Vec::new(),
            Some(Piece::Reply { status, session, body }) => {
                let kind = header("Content-Type", "application/json".into());
                let kind = if body.starts_with('{') { vec![kind] } else { vec![] };
                let bytes = body.into_bytes();
                vec![head(status, kind, session), Input::Body { exchange, bytes }, Input::End(exchange)]
            }
            Some(Piece::Open { session, prime }) => {
                self.open = true;
                let mut inputs = vec![stream(session)];
                inputs.extend(prime.map(|id| event(Some(id), "message", "")));
                inputs
            }
            Some(Piece::Endpoint { session }) => {
                self.open = true;
                vec![stream(None), event(None, "endpoint", &format!("/messages?s{session}"))]
            }
            Some(Piece::Event { id, data, last }) => {
                let mut inputs = vec![event(id, "message", &data)];
                inputs.extend(last.then_some(Input::End(exchange)));
                inputs
            }
            Some(Piece::End) => vec![Input::End(exchange)],
        }
    }

    /// Whether it is a stream of notifications of a version without sessions.
    pub fn is_listen(&self) -> bool {
        matches!(&self.said, Said::Own { method, .. } if method == LISTEN)
    }

    /// Whether it brings back what the client set up in another session.
    pub fn is_restore(&self) -> bool {
        matches!(&self.said, Said::Own { method, .. } if Call::of_method(method).is_some_and(Call::sets_up))
    }

    /// Whether nothing of it will come any more.
    pub fn is_over(taken: &Piece) -> bool {
        matches!(taken, Piece::Reply { .. } | Piece::Event { last: true, .. } | Piece::End)
    }
}
