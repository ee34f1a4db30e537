//! What was found.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::Transport;

/// A certificate that ends sooner is a problem, in days.
const SOON: i64 = 14;

/// The result in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
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

impl Verdict {
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
pub(super) struct Server {
    pub name: String,
    pub version: String,
    /// Whether it has instructions for the model.
    pub instructions: bool,
}

/// The length of a list.
#[derive(Debug, Serialize)]
pub(super) struct Count {
    pub count: usize,
    /// Whether it was read to its end.
    pub complete: bool,
}

/// Round trips of the heartbeat's ping, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Ping {
    pub count: usize,
    pub median_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
}

/// The standalone stream of Streamable HTTP.
#[derive(Debug, Serialize)]
pub(super) struct EventStream {
    pub offered: bool,
    pub status: u16,
}

/// Whether an answer that was cut off can be had again.
#[derive(Debug, Serialize)]
pub(super) struct Resumable {
    pub resumable: bool,
    /// Whether its events carry ids.
    pub event_ids: bool,
    /// What became of a stream that was asked for again: `replayed`, `accepted`, `refused`.
    pub result: Option<&'static str>,
    pub status: Option<u16>,
}

/// What the server answers to a session id that it never gave.
#[derive(Debug, Serialize)]
pub(super) struct DeadSession {
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
pub(super) struct Stickiness {
    pub asked: usize,
    /// Requests that were answered as if there were no such session.
    pub lost: usize,
}

/// The end of a session.
#[derive(Debug, Serialize)]
pub(super) struct Goodbye {
    pub accepted: bool,
    pub status: u16,
}

/// What the server wants.
#[derive(Debug, Serialize)]
pub(super) struct Credentials {
    pub status: u64,
    pub challenge: String,
}

/// What is stored of a sign-in to the server. Never a token. The names of the fields are those in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SignIn {
    /// Whether there is a token.
    pub signed_in: bool,
    /// The authorization server.
    pub issuer: Option<String>,
    /// Who signed in, as the authorization server names them.
    pub who: Option<String>,
    /// The token's scopes.
    pub scopes: Vec<String>,
    /// When the token ends, in seconds since 1970.
    pub expires_at: Option<u64>,
    /// Whether it can be replaced without a person.
    pub refreshable: bool,
    /// Why there is no good token.
    pub problem: Option<String>,
    /// How to sign in.
    pub command: String,
    /// All of it in a few words.
    #[serde(skip)]
    pub summary: String,
}

/// TLS, and the server's certificate. The names of the fields are those in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// The version, as `TLS 1.3`.
    pub version: String,
    /// The application protocol (ALPN), where the server chose one.
    pub alpn: Option<String>,
    /// The cipher suite, by its name in rustls.
    pub cipher_suite: String,
    /// Whose the certificate is.
    pub subject: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// When it ends, RFC 3339.
    pub not_after: Option<String>,
    /// Whole days until then.
    pub days_left: Option<i64>,
}

/// Everything that was found. The names of the fields are those in `--json`: stable; more may come.
#[derive(Debug, Serialize)]
pub(super) struct Report {
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
    pub failure: Option<Verdict>,
}

fn transport<S: serde::Serializer>(transport: &Option<Transport>, serializer: S) -> Result<S::Ok, S::Error> {
    let name = transport.map(|transport| match transport {
        Transport::StreamableHttp => "streamable-http",
        Transport::HttpSse => "http+sse",
    });
    name.serialize(serializer)
}

impl Report {
    /// Nothing is known yet.
    pub fn new(url: String) -> Self {
        Self {
            url,
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

    /// What TLS is like, where there is any.
    pub fn saw_tls(&mut self, tls: Option<Tls>) {
        if let Some(days) = tls.as_ref().and_then(|tls| tls.days_left).filter(|days| *days < SOON) {
            self.problem(format!("the server's certificate ends in {days} days"));
        }
        self.tls = tls;
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
    pub fn fail(&mut self, verdict: Verdict, reason: String) {
        self.failure = Some(verdict);
        self.problem(reason);
    }

    /// The time is up.
    pub fn out_of_time(&mut self, step: &str, limit: Duration) {
        let limit = limit.as_secs_f64();
        if self.server.is_none() {
            self.fail(Verdict::Unreachable, format!("no MCP session could be opened within {limit} s (--timeout)"));
        } else {
            self.problem(format!("not everything was checked within {limit} s (--timeout); under way was: {step}"));
        }
    }

    /// The result in one word.
    pub fn verdict(&self) -> Verdict {
        match self.failure {
            Some(failure) => failure,
            None if self.problems.is_empty() => Verdict::Ok,
            None => Verdict::Degraded,
        }
    }

    /// For machines.
    pub fn json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        value["outcome"] = json!(self.verdict());
        value["exit_code"] = json!(self.verdict().exit_code());
        let mut text = String::new();
        for c in format!("{value:#}\n").chars() {
            if c != '\n' && crate::text::is_invisible(c) {
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
