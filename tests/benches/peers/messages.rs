//! What the load generator says, and how it reads what comes back.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::server::PADDING;

/// What starts a session.
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;

/// What follows.
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// What takes their place in a version without sessions.
const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{META}}"#;

/// What every request of such a version holds.
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// The versions of MCP that the load generator speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Era {
    /// Those with `initialize` and a session.
    #[default]
    Sessions,
    /// MCP 2026-07-28, which knows neither.
    Stateless,
}

impl Era {
    /// What a client sends first, and waits for the answer to.
    pub fn first(self) -> String {
        match self {
            Self::Sessions => INITIALIZE.to_owned(),
            Self::Stateless => DISCOVER.replace("META", META),
        }
    }

    /// What it sends then.
    pub fn then(self) -> Option<&'static str> {
        (self == Self::Sessions).then_some(INITIALIZED)
    }

    /// The call with this id; its number is the id too.
    pub fn call(self, id: u64, tool: Tool) -> String {
        let mut text = call(id, tool);
        if self == Self::Stateless {
            text.truncate(text.len() - "}}".len());
            text.push(',');
            text.push_str(META);
            text.push_str("}}");
        }
        text
    }
}

/// A tool call.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    /// About 1 KB each way.
    Echo,
    /// A result with this many bytes of text.
    Big(usize),
    /// This many notifications before the result.
    Notify(usize),
}

fn call(id: u64, tool: Tool) -> String {
    let (name, argument) = match tool {
        Tool::Echo => ("echo", format!(r#""padding":"{}""#, "x".repeat(PADDING))),
        Tool::Big(bytes) => ("big", format!(r#""bytes":{bytes}"#)),
        Tool::Notify(count) => ("notify", format!(r#""count":{count}"#)),
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{{"number":{id},{argument}}}}}}}"#
    )
}

/// What a line from the other side is.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// The right result of the request with this id.
    Result(u64),
    /// An error, or a wrong result.
    Failed(u64, String),
    /// A question, with the answer that it gets.
    Question(String),
    /// One of the server's notifications that are counted.
    Note,
    /// Something else.
    Other,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Reads a message, and checks that a result is that of its request: its text begins with the request's number.
pub fn read(line: &[u8]) -> Incoming {
    let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(line) else { return Incoming::Other };
    let Some(id) = envelope.id.map(RawValue::get) else {
        return if envelope.method == Some("notifications/message") && holds(line, "\"note ") {
            Incoming::Note
        } else {
            Incoming::Other
        };
    };
    if let Some(method) = envelope.method {
        let answer = if method == "ping" { r#""result":{}"# } else { r#""error":{"code":-32601,"message":"no"}"# };
        return Incoming::Question(format!(r#"{{"jsonrpc":"2.0","id":{id},{answer}}}"#));
    }
    let Ok(id) = id.parse() else { return Incoming::Other };
    match (envelope.result, envelope.error) {
        // The answer to `initialize` has no number.
        (Some(_), None) if id == 0 => Incoming::Result(id),
        (Some(result), None) if is_result_of(id, result.get()) => Incoming::Result(id),
        (result, error) => Incoming::Failed(id, shortened(error.or(result).map_or("nothing", RawValue::get))),
    }
}

fn is_result_of(id: u64, result: &str) -> bool {
    // Where it stands, not anywhere: a bridge that writes its JSON anew may add spaces and members.
    let head = &result.as_bytes()[..result.len().min(400)];
    holds(head, &format!("\"{id} ")) || holds(result.as_bytes(), &format!("\"{id} "))
}

fn holds(text: &[u8], needle: &str) -> bool {
    memchr::memmem::find(text, needle.as_bytes()).is_some()
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
