//! The habits of a server.

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
    /// 401 with `Bearer error="invalid_token"`.
    Token401,
    /// This status and this plain text.
    Plain(u16, &'static str),
    /// 200 with this JSON-RPC error under the request's id; on HTTP+SSE it comes in the POST's response too.
    Error200(i64, &'static str),
}

/// How it spells what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accent {
    Plain,
    /// A byte order mark before a JSON body.
    Mark,
    /// `"error":null` beside a result.
    NullError,
    /// The id 5 as 5.0.
    Decimal,
    /// The id 5 as 5e0.
    Exponent,
    /// The id 5 as "5".
    Text,
    /// A member of the result twice.
    Twice,
    /// A byte that is no UTF-8 in a string of the result.
    Garbled,
    /// The last event of a response stream without its blank line.
    Unfinished,
    /// Every answer in a batch.
    Batch,
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
    pub accent: Accent,
    /// The status of JSON bodies.
    pub json_status: u16,
    /// HTTP+SSE: the answer is in the body of the POST's response, and not on the stream.
    pub in_body: bool,
    /// It is several, behind a balancer that finds the one with the session by the cookie `node`.
    pub affinity: bool,
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
            accent: Accent::Plain,
            json_status: 200,
            in_body: false,
            affinity: false,
        }
    }

    pub fn sse() -> Self {
        Self { offer: Offer::Sse, lost: Lost::CouldNotFind404, version: "2024-11-05", ..Self::http() }
    }

    pub fn resumable() -> Self {
        Self { event_ids: true, prime: true, resume: Resume::Replay, ..Self::http() }
    }
}
