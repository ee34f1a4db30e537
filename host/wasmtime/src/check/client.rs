//! A plain MCP client over the library.

use std::time::Duration;

use mcp_reconnect::{Event, OpenError, Options, Receiver, Sender, SessionInfo, Transport};
use mcp_reconnect_core::{diagnosis, errors};
use serde_json::{Value, json};

use super::report::{Count, Report, Server};

/// The most pages of a list that are asked for.
const MAX_PAGES: usize = 50;

/// Why there is no session.
pub enum Trouble {
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

/// A connection of the library, asked one question at a time.
pub struct Client {
    sender: Sender,
    receiver: Receiver,
    next: u64,
    session: Option<SessionInfo>,
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
    /// Opens a connection; makes no contact yet.
    pub async fn open(options: Options, limit: Duration) -> Result<Self, OpenError> {
        let options =
            options.heartbeat(None).start_timeout(None).hold_timeout(limit).run_timeout(limit).response_timeout(limit);
        let (sender, receiver) = mcp_reconnect::connect(options).await?;
        Ok(Self { sender, receiver, next: 1, session: None, unreachable: None, unauthorized: None, losses: Vec::new() })
    }

    /// The transport and the protocol version, once there is a session.
    pub fn session(&self) -> Option<(Transport, String)> {
        self.session.as_ref().map(|session| (session.transport, session.protocol_version.clone()))
    }

    /// The handshake.
    pub async fn initialize(&mut self, report: &mut Report) -> Result<(), Trouble> {
        let text = diagnosis::initialize("mcp-reconnect-check", env!("CARGO_PKG_VERSION"));
        self.next = 2;
        let result = match self.ask("1", text).await {
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
        if self.sender.send(initialized).await.is_err() {
            return Err(Trouble::Unreachable("the connection was closed".into()));
        }
        while self.session.is_none() {
            match self.receiver.receive().await {
                Some(event) => drop(self.note(event)),
                None => return Err(Trouble::Unreachable("the connection was closed".into())),
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
    pub async fn lists(&mut self, report: &mut Report) {
        let offers = |name: &str| report.capabilities.get(name).is_some();
        let (tools, prompts, resources) = (offers("tools"), offers("prompts"), offers("resources"));
        if tools {
            report.tools = self.count("tools/list", "tools", report).await;
        }
        if prompts {
            report.prompts = self.count("prompts/list", "prompts", report).await;
        }
        if resources {
            report.resources = self.count("resources/list", "resources", report).await;
            report.resource_templates = self.count("resources/templates/list", "resourceTemplates", report).await;
        }
    }

    async fn count(&mut self, method: &str, of: &str, report: &mut Report) -> Option<Count> {
        let mut count = Count { count: 0, complete: false };
        let mut cursor = Value::Null;
        for _ in 0..MAX_PAGES {
            let params = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
            match self.request(method, params).await {
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

    /// Ends the session on the server.
    pub async fn close(mut self) {
        self.sender.close().await;
        while self.receiver.receive().await.is_some() {}
    }

    async fn request(&mut self, method: &str, params: Value) -> Answer {
        let id = self.next.to_string();
        self.next += 1;
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{},"params":{params}}}"#, json!(method));
        self.ask(&id, text).await
    }

    async fn ask(&mut self, id: &str, text: String) -> Answer {
        if self.sender.send(text).await.is_err() {
            return Answer::None("the connection is closed".into());
        }
        while let Some(event) = self.receiver.receive().await {
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
        Answer::None("the connection was closed".into())
    }

    /// Takes note of an event; gives the message in it.
    fn note(&mut self, event: Event) -> Option<Value> {
        match event {
            Event::Message(text) => return serde_json::from_str(&text).ok(),
            Event::Connected(session) => self.session = Some(session),
            Event::Reconnecting { reason, .. } => self.unreachable = Some(reason),
            Event::CredentialsNeeded { status, challenge } => self.unauthorized = Some((status.into(), challenge)),
            Event::Disconnected { reason, .. } => self.losses.push(reason),
            _ => {}
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
