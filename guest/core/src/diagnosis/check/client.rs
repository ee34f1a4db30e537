//! A plain MCP client over the host's connection.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::report::{Count, Report, Server};
use super::{Happening, Host, Outcome, Session, Step};
use crate::{Transport, diagnosis, errors};

/// The most pages of a list that are asked for.
const MAX_PAGES: usize = 50;

/// Why there is no session.
pub(super) enum Trouble {
    /// No connection, or nothing came over it.
    Unreachable(String),
    /// 401 or 403.
    Unauthorized { status: u64, challenge: String },
    /// The server answers `initialize` with an error of its own.
    Refused(String),
    /// It answers `initialize`, and no session comes of it.
    Incomplete(String),
    /// An answer that no MCP server gives.
    NotMcp(String),
}

/// What is known of the connection, which is asked one question at a time.
#[derive(Default)]
pub(super) struct Client {
    closing: bool,
    next: u64,
    session: Option<Session>,
    /// Why the last attempt to connect came to nothing.
    unreachable: Option<String>,
    /// The demand for other credentials that is not answered yet: status and challenge.
    unauthorized: Option<(u64, String)>,
    /// Times that the connection was lost.
    losses: Vec<String>,
}

/// The answer to a question.
enum Answer {
    Result(Value),
    Error {
        code: i64,
        message: String,
        data: Value,
    },
    /// The connection was closed, or cannot be made.
    None(String),
}

impl Client {
    /// The transport and the protocol version, once there is a session.
    pub fn session(&self) -> Option<(Transport, String)> {
        self.session.as_ref().map(|session| (session.transport, session.protocol_version.clone()))
    }

    /// The handshake.
    pub async fn initialize(&mut self, host: &Host, report: &mut Report) -> Result<(), Trouble> {
        let text = diagnosis::initialize("mcp-reconnect-check", env!("CARGO_PKG_VERSION"));
        self.next = 2;
        let result = match self.ask(host, "1", text).await {
            Answer::Result(result) => result,
            Answer::None(reason) => return Err(Trouble::Unreachable(reason)),
            Answer::Error { code, message, data } => return Err(trouble(code, message, &data)),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        report.server = Some(Server {
            name: text(&result["serverInfo"]["name"]),
            version: text(&result["serverInfo"]["version"]),
            instructions: result["instructions"].as_str().is_some_and(|text| !text.is_empty()),
        });
        report.protocol_version = Some(text(&result["protocolVersion"]));
        report.capabilities = result["capabilities"].clone();
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        if host.send(initialized.to_owned()).await != Outcome::Done {
            return Err(Trouble::Unreachable("the connection was closed".into()));
        }
        while self.session.is_none() {
            match host.receive().await {
                Happening::Closed => return Err(Trouble::Unreachable("the connection was closed".into())),
                event => drop(self.note(event)),
            }
            if let Some((status, challenge)) = self.unauthorized.take() {
                return Err(Trouble::Unauthorized { status, challenge });
            }
            if let Some(reason) = self.unreachable.take() {
                return Err(Trouble::Incomplete(reason));
            }
        }
        if let Some(session) = &self.session {
            report.transport = Some(session.transport);
            report.session_id = Some(session.has_session_id);
        }
        Ok(())
    }

    /// Counts what the server offers.
    pub async fn lists(&mut self, host: &Host, report: &mut Report) {
        let offers = |name: &str| report.capabilities.get(name).is_some();
        let (tools, prompts, resources) = (offers("tools"), offers("prompts"), offers("resources"));
        if tools {
            report.tools = self.count(host, "tools/list", "tools", report).await;
        }
        if prompts {
            report.prompts = self.count(host, "prompts/list", "prompts", report).await;
        }
        if resources {
            report.resources = self.count(host, "resources/list", "resources", report).await;
            report.resource_templates = self.count(host, "resources/templates/list", "resourceTemplates", report).await;
        }
    }

    async fn count(&mut self, host: &Host, method: &str, of: &str, report: &mut Report) -> Option<Count> {
        let mut count = Count { count: 0, complete: false };
        let mut cursor = Value::Null;
        for _ in 0..MAX_PAGES {
            let params = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
            match self.request(host, method, params).await {
                Answer::Result(page) => {
                    let Some(items) = page[of].as_array() else {
                        report.problem(format!("{method} gives no list of {of}"));
                        return Some(count);
                    };
                    count.count += items.len();
                    let next = page["nextCursor"].clone();
                    if next.is_null() {
                        count.complete = true;
                        return Some(count);
                    }
                    // A server that turns in a circle has no end.
                    if next == cursor {
                        report.problem(format!("{method} gives the same page again and again"));
                        return Some(count);
                    }
                    cursor = next;
                }
                // Templates are optional beside resources.
                Answer::Error { code: -32601, .. } if of == "resourceTemplates" => return None,
                Answer::Error { code, message, .. } => {
                    report.problem(format!("{method} fails: {message} ({code})"));
                    return (count.count > 0).then_some(count);
                }
                Answer::None(reason) => {
                    report.problem(format!("{method} was not answered: {reason}"));
                    return (count.count > 0).then_some(count);
                }
            }
        }
        report.note(format!("{method} has more than {MAX_PAGES} pages: not all were counted"));
        Some(count)
    }

    /// Says how often the connection was lost until now.
    pub fn losses(&mut self, report: &mut Report) {
        for reason in self.losses.drain(..) {
            report.problem(format!("the connection was lost during the check: {reason}"));
        }
    }

    /// Begins to end the session on the server, unless that has begun.
    pub async fn close(&mut self, host: &Host) -> bool {
        let begins = !core::mem::replace(&mut self.closing, true);
        if begins {
            host.step(super::END, |_| Step::Close).await;
        }
        begins
    }

    async fn request(&mut self, host: &Host, method: &str, params: Value) -> Answer {
        let id = self.next.to_string();
        self.next += 1;
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{},"params":{params}}}"#, json!(method));
        self.ask(host, &id, text).await
    }

    async fn ask(&mut self, host: &Host, id: &str, text: String) -> Answer {
        if host.send(text).await != Outcome::Done {
            return Answer::None("the connection is closed".into());
        }
        loop {
            let event = host.receive().await;
            if event == Happening::Closed {
                return Answer::None("the connection was closed".into());
            }
            if let Some(message) = self.note(event)
                && message["id"].as_u64().is_some_and(|number| number.to_string() == id)
                && message.get("method").is_none()
            {
                return answer(message);
            }
            // A check is about now: what is not there is not waited for.
            if self.session.is_none()
                && let Some(reason) = self.unreachable.take()
            {
                return Answer::None(reason);
            }
        }
    }

    /// Takes note of an event; gives the message in it.
    fn note(&mut self, event: Happening) -> Option<Value> {
        match event {
            Happening::Message(text) => return serde_json::from_str(&text).ok(),
            Happening::Connected(session) => self.session = Some(session),
            Happening::Reconnecting(reason) => self.unreachable = Some(reason),
            Happening::CredentialsNeeded { status, challenge } => self.unauthorized = Some((status.into(), challenge)),
            Happening::Disconnected(reason) => self.losses.push(reason),
            Happening::Other | Happening::Closed => {}
        }
        None
    }
}

fn answer(mut message: Value) -> Answer {
    if let Some(error) = message.get_mut("error").map(Value::take) {
        return Answer::Error {
            code: error["code"].as_i64().unwrap_or_default(),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
            data: error["data"].clone(),
        };
    }
    Answer::Result(message["result"].take())
}

/// What an error in answer to `initialize` means. The codes are the engine's own; any other is the server's.
fn trouble(code: i64, message: String, data: &Value) -> Trouble {
    match code {
        errors::UNAUTHORIZED => Trouble::Unauthorized {
            status: data["status"].as_u64().unwrap_or_default(),
            challenge: data["challenge"].as_str().unwrap_or_default().to_owned(),
        },
        errors::HTTP_ERROR if data["status"].as_u64().is_none_or(|status| status >= 500) => {
            Trouble::Unreachable(message)
        }
        errors::HTTP_ERROR => Trouble::NotMcp(format!("{message} Is the path right? It often ends in /mcp or /sse.")),
        errors::UNAVAILABLE | errors::TIMED_OUT | errors::CLOSED => Trouble::Unreachable(message),
        _ => Trouble::Refused(format!("{message} ({code})")),
    }
}
