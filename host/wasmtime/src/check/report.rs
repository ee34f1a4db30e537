//! What was found.

use std::time::Duration;

use mcp_reconnect::Transport;
use mcp_reconnect::oauth::Description;
use serde::Serialize;
use serde_json::{Value, json};

/// The result in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All is well.
    Ok,
    /// It works, with a problem.
    Degraded,
    /// No connection, or nothing came over it.
    Unreachable,
    /// Other credentials are wanted.
    Unauthorized,
    /// An MCP server, with which no session can be made.
    Broken,
    /// Something answers that is no MCP server.
    NotMcp,
}

impl Outcome {
    /// The exit code that says it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Degraded | Self::Broken => 1,
            Self::Unreachable => 3,
            Self::Unauthorized => 4,
            Self::NotMcp => 5,
        }
    }
}

/// The server as it names itself.
#[derive(Debug, Serialize)]
pub struct Server {
    pub name: String,
    pub version: String,
    /// Whether it has instructions for the model.
    pub instructions: bool,
}

/// The length of a list.
#[derive(Debug, Serialize)]
pub struct Count {
    pub count: usize,
    /// Whether it was read to its end.
    pub complete: bool,
}

/// Round trips of the heartbeat's ping, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Ping {
    pub count: usize,
    pub median_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
}

/// The standalone stream of Streamable HTTP.
#[derive(Debug, Serialize)]
pub struct EventStream {
    pub offered: bool,
    pub status: u16,
}

/// Whether an answer that was cut off can be had again.
#[derive(Debug, Serialize)]
pub struct Resumable {
    pub resumable: bool,
    /// Whether its events carry ids.
    pub event_ids: bool,
    /// What became of a stream that was asked for again: `replayed`, `accepted`, `refused`.
    pub result: Option<&'static str>,
    pub status: Option<u16>,
}

/// What the server answers to a session id that it never gave.
#[derive(Debug, Serialize)]
pub struct DeadSession {
    /// What that means to the bridge.
    pub verdict: &'static str,
    /// Whether it is taken for a lost session.
    pub recognised: bool,
    pub status: Option<u16>,
    pub body: Option<&'static str>,
    pub says: Option<String>,
}

/// Whether the requests of a session reach the server that began it, over connections of their own too.
#[derive(Debug, Serialize)]
pub struct Stickiness {
    pub asked: usize,
    /// Requests that were answered as if there were no such session.
    pub lost: usize,
}

/// The end of a session.
#[derive(Debug, Serialize)]
pub struct Goodbye {
    pub accepted: bool,
    pub status: u16,
}

/// What the server wants.
#[derive(Debug, Serialize)]
pub struct Credentials {
    pub status: u64,
    pub challenge: String,
}

/// What is stored of a sign-in to the server. Never a token.
#[derive(Debug, Serialize)]
pub struct SignIn {
    pub signed_in: bool,
    /// The authorization server.
    pub issuer: Option<String>,
    /// Who signed in, as the authorization server names them.
    pub who: Option<String>,
    pub scopes: Vec<String>,
    /// When the token ends, in seconds since 1970.
    pub expires_at: Option<u64>,
    pub refreshable: bool,
    /// Why there is no good token.
    pub problem: Option<String>,
    /// How to sign in.
    pub command: String,
    /// All of it in a few words.
    #[serde(skip)]
    pub summary: String,
}

impl SignIn {
    /// What is known of it.
    pub fn of(stored: &Description, problem: Option<String>, command: String) -> Self {
        Self {
            signed_in: stored.has_token,
            issuer: Some(stored.issuer.clone()).filter(|issuer| !issuer.is_empty()),
            who: stored.who.clone(),
            scopes: stored.scopes.clone(),
            expires_at: stored.expires_at,
            refreshable: stored.refreshable,
            problem,
            command,
            summary: crate::login::summary(stored),
        }
    }
}

/// TLS, and the server's certificate.
#[derive(Debug, Serialize)]
pub struct Tls {
    pub version: String,
    pub alpn: Option<String>,
    pub cipher_suite: String,
    pub subject: Option<String>,
    pub issuer: Option<String>,
    /// When the certificate ends, RFC 3339.
    pub not_after: Option<String>,
    pub days_left: Option<i64>,
}

/// Everything that was found. The names of the fields are those in `--json`: stable; more may come.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Without user info and query, which may hold secrets.
    pub url: String,
    #[serde(serialize_with = "transport")]
    pub transport: Option<Transport>,
    pub protocol_version: Option<String>,
    pub versions_without_sessions: Option<Vec<String>>,
    pub http_version: Option<String>,
    pub tls: Option<Tls>,
    pub server: Option<Server>,
    pub capabilities: Value,
    pub tools: Option<Count>,
    pub prompts: Option<Count>,
    pub resources: Option<Count>,
    pub resource_templates: Option<Count>,
    pub session_id: Option<bool>,
    /// The names of the cookies that the server sets.
    pub cookies: Option<Vec<String>>,
    pub stickiness: Option<Stickiness>,
    /// How answers are compressed although nobody asked for that.
    pub compression: Option<String>,
    pub ping: Option<Ping>,
    pub event_stream: Option<EventStream>,
    pub resumable: Option<Resumable>,
    pub dead_session: Option<DeadSession>,
    pub goodbye: Option<Goodbye>,
    pub credentials: Option<Credentials>,
    pub sign_in: Option<SignIn>,
    pub problems: Vec<String>,
    pub notes: Vec<String>,
    pub seconds: f64,
    /// Why nothing could be asked.
    #[serde(skip)]
    pub failure: Option<Outcome>,
}

fn transport<S: serde::Serializer>(transport: &Option<Transport>, serializer: S) -> Result<S::Ok, S::Error> {
    let name = transport.map(|transport| match transport {
        Transport::StreamableHttp => "streamable-http",
        Transport::HttpSse => "http+sse",
        Transport::Other => "other",
    });
    name.serialize(serializer)
}

impl Report {
    /// Nothing is known yet.
    pub fn new(url: &str) -> Self {
        Self {
            url: crate::cli::args::shown_url(url),
            transport: None,
            protocol_version: None,
            versions_without_sessions: None,
            http_version: None,
            tls: None,
            server: None,
            capabilities: Value::Null,
            tools: None,
            prompts: None,
            resources: None,
            resource_templates: None,
            session_id: None,
            cookies: None,
            stickiness: None,
            compression: None,
            ping: None,
            event_stream: None,
            resumable: None,
            dead_session: None,
            goodbye: None,
            credentials: None,
            sign_in: None,
            problems: Vec::new(),
            notes: Vec::new(),
            seconds: 0.0,
            failure: None,
        }
    }

    /// Something that a person should mend.
    pub fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// Something worth knowing.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Nothing could be asked.
    pub fn fail(&mut self, outcome: Outcome, reason: String) {
        self.failure = Some(outcome);
        self.problem(reason);
    }

    /// The time is up.
    pub fn out_of_time(&mut self, step: &str, limit: Duration) {
        let limit = limit.as_secs_f64();
        if self.server.is_none() {
            self.fail(Outcome::Unreachable, format!("no MCP session could be opened within {limit} s (--timeout)"));
        } else {
            self.problem(format!("not everything was checked within {limit} s (--timeout); under way was: {step}"));
        }
    }

    /// The result in one word.
    pub fn outcome(&self) -> Outcome {
        match self.failure {
            Some(failure) => failure,
            None if self.problems.is_empty() => Outcome::Ok,
            None => Outcome::Degraded,
        }
    }

    /// For machines.
    pub fn json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        value["outcome"] = json!(self.outcome());
        value["exit_code"] = json!(self.outcome().exit_code());
        let mut text = String::new();
        for c in format!("{value:#}\n").chars() {
            if c != '\n' && mcp_reconnect_core::text::is_invisible(c) {
                // Nothing is lost to a machine, and a terminal sees no order.
                for unit in c.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                text.push(c);
            }
        }
        text
    }
}
