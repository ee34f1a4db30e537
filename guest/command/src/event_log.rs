//! What a person is told on stderr about the connection: an outage is two or three lines, however long it lasts.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

use mcp_reconnect_core::Transport;

/// The severity of a line.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something was dropped or changed, or needs somebody.
    Warn,
    /// Worth knowing.
    Info,
    /// Of interest when searching a fault.
    Debug,
}

/// What happened, as far as it is told. The texts are those of the transport's own events.
#[derive(Debug)]
#[expect(missing_docs, reason = "the events of the interface `types` in wit/client.wit, which says what they mean")]
pub enum Event<'a> {
    Connecting,
    Connected(Session<'a>),
    Disconnected { reason: &'a str },
    Suspect { reason: &'a str },
    Reconnecting { attempt: u32, delay: Duration, reason: &'a str },
    Reconnected { session: Session<'a>, new_session: bool, server_changed: bool },
    CredentialsNeeded { status: u16, challenge: &'a str },
    HeadersNeeded { status: Option<u16> },
    Replayed { method: &'a str, reason: &'a str },
    OutcomeUnknown { method: &'a str, accepted: bool, reason: &'a str },
    Diagnostic { level: Level, text: &'a str },
}

/// A session, shown in a few words.
#[derive(Debug)]
pub struct Session<'a> {
    /// The server's name, or empty.
    pub server_name: &'a str,
    /// The server's version, or empty.
    pub server_version: &'a str,
    /// The transport.
    pub transport: Option<Transport>,
    /// The negotiated protocol version.
    pub protocol_version: &'a str,
    /// Counts the sessions.
    pub epoch: u64,
}

/// Turns events into lines.
#[derive(Debug)]
pub struct EventLog {
    /// The reason that was told last: an attempt is told at `info` only if it is the first or has another reason.
    told: Option<String>,
    /// Whether an attempt was told since the connection was lost.
    trying: bool,
    /// The options to look at when the credentials are not the right ones.
    credentials: String,
}

impl EventLog {
    /// Knows which options give the credentials.
    pub fn new(credentials: String) -> Self {
        Self { told: None, trying: false, credentials }
    }

    /// Tells an event in one line.
    pub fn tell(&mut self, event: &Event<'_>) -> (Level, String) {
        match event {
            Event::Connecting => (Level::Debug, "connecting".to_string()),
            Event::Connected(session) => {
                self.forget();
                (Level::Info, format!("connected: {session}"))
            }
            Event::Disconnected { reason } => {
                self.forget();
                self.told = Some(reason.to_string());
                (Level::Info, format!("disconnected: {reason}"))
            }
            Event::Suspect { reason } => (Level::Info, format!("no sign of life from the server: {reason}")),
            Event::Reconnecting { attempt, delay, reason } => self.reconnecting(*attempt, *delay, reason),
            Event::Reconnected { session, new_session, server_changed } => {
                self.forget();
                let kind = if *new_session { "reconnected, new session" } else { "reconnected, same session" };
                let change = if *server_changed { "; the server has changed" } else { "" };
                (Level::Info, format!("{kind}: {session}{change}"))
            }
            Event::CredentialsNeeded { status, challenge } => {
                let challenge = if challenge.is_empty() { String::new() } else { format!(", {challenge}") };
                let check = &self.credentials;
                (Level::Warn, format!("the server wants other credentials (HTTP {status}{challenge}); check {check}"))
            }
            Event::HeadersNeeded { status: Some(_) } => (Level::Info, "getting other credentials".to_string()),
            Event::HeadersNeeded { status: None } => {
                (Level::Debug, "getting the headers of the next session".to_string())
            }
            Event::Replayed { method, reason } => (Level::Info, format!("sent again: {method}: {reason}")),
            Event::OutcomeUnknown { method, accepted, reason } => {
                let accepted = if *accepted { ", which the server had accepted" } else { "" };
                (Level::Warn, format!("outcome unknown: {method}{accepted}: {reason}"))
            }
            Event::Diagnostic { level, text } => (*level, text.to_string()),
        }
    }

    fn reconnecting(&mut self, attempt: u32, delay: Duration, reason: &str) -> (Level, String) {
        let delay = Short(delay);
        let line = if self.told.as_deref() != Some(reason) {
            self.told = Some(reason.to_string());
            (Level::Info, format!("trying again in {delay}: {reason}"))
        } else if !self.trying {
            (Level::Info, format!("trying again in {delay}"))
        } else {
            (Level::Debug, format!("attempt {attempt} in {delay}: {reason}"))
        };
        self.trying = true;
        line
    }

    /// The outage is over, or another one begins.
    fn forget(&mut self) {
        self.told = None;
        self.trying = false;
    }
}

impl fmt::Display for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.server_name.is_empty() { "a server without a name" } else { self.server_name })?;
        if !self.server_version.is_empty() {
            write!(f, " {}", self.server_version)?;
        }
        let transport = match self.transport {
            Some(Transport::StreamableHttp) => "Streamable HTTP",
            Some(Transport::HttpSse) => "HTTP+SSE",
            _ => "another transport",
        };
        write!(f, " ({transport}, MCP {}), session {}", self.protocol_version, self.epoch)
    }
}

/// A duration with as many digits as a person wants.
#[derive(Clone, Copy, Debug)]
pub struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds % 3600 / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (duration, expected) in [
            (Duration::from_millis(499), "499 ms"),
            (Duration::from_millis(1500), "1.5 s"),
            (Duration::from_secs(61), "1 min 1 s"),
            (Duration::from_secs(7325), "2 h 2 min"),
        ] {
            assert_eq!(Short(duration).to_string(), expected);
        }
    }

    #[test]
    fn an_outage_is_a_few_lines() {
        let mut event_log = EventLog::new(String::new());
        let delay = Duration::from_millis(20);
        let attempt = |attempt, reason| Event::Reconnecting { attempt, delay, reason };
        let told: alloc::vec::Vec<_> = [
            Event::Disconnected { reason: "gone" },
            attempt(1, "gone"),
            attempt(2, "gone"),
            attempt(3, "refused"),
            attempt(4, "refused"),
            Event::Disconnected { reason: "gone" },
            attempt(1, "gone"),
        ]
        .iter()
        .map(|event| event_log.tell(event))
        .filter(|(level, _)| *level <= Level::Info)
        .map(|(_, line)| line)
        .collect();
        let again = "trying again in 20 ms";
        assert_eq!(told, ["disconnected: gone", again, "trying again in 20 ms: refused", "disconnected: gone", again]);
    }
}
