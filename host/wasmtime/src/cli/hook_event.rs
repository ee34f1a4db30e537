//! What a hook is told: one JSON object an event.

use std::fmt::Write;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use mcp_reconnect::{Event, SessionInfo, Transport};
use mcp_reconnect_core::text::is_invisible;
use serde_json::{Map, Value, json};

use super::expand::VarError;

/// The events that hooks are told of, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HookName {
    /// The first session is ready.
    #[value(name = "McpServerConnected")]
    Connected,
    /// The connection or its session is lost.
    #[value(name = "McpServerDisconnected")]
    Disconnected,
    /// A ping went unanswered while a request is in flight.
    #[value(name = "McpServerSuspect")]
    Suspect,
    /// An attempt to reconnect comes after a delay.
    #[value(name = "McpServerReconnecting")]
    Reconnecting,
    /// Work goes on.
    #[value(name = "McpServerReconnected")]
    Reconnected,
    /// The server wants other credentials.
    #[value(name = "McpServerCredentialsNeeded")]
    CredentialsNeeded,
    /// A request is sent again.
    #[value(name = "McpRequestReplayed")]
    Replayed,
    /// Nobody knows whether a request ran.
    #[value(name = "McpRequestOutcomeUnknown")]
    OutcomeUnknown,
}

/// What is the same in all objects of a bridge. Empty where it is not known.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The server's URL, without what may be secret in it.
    pub server_url: String,
    /// The user's name for the server.
    pub name: String,
    /// The session of the client.
    pub session_id: String,
    /// The client's project.
    pub folder: String,
}

impl Origin {
    /// With what Claude Code tells the servers that it starts.
    pub fn new(server_url: String, name: String, lookup: impl Fn(&str) -> Result<String, VarError>) -> Self {
        let known = |variable| lookup(variable).unwrap_or_default();
        Self { server_url, name, session_id: known("CLAUDE_CODE_SESSION_ID"), folder: known("CLAUDE_PROJECT_DIR") }
    }
}

/// An event that waits for its hook.
#[derive(Debug)]
pub struct HookEvent {
    name: HookName,
    at: SystemTime,
    facts: Value,
}

impl HookEvent {
    /// What there is to tell of an event, now; `None` for events that hooks are not told of.
    pub fn of(event: &Event) -> Option<Self> {
        let (name, facts) = match event {
            Event::Connected(session) => (HookName::Connected, of_session(session)),
            Event::Disconnected { epoch, reason } => {
                (HookName::Disconnected, json!({"epoch": epoch, "reason": reason}))
            }
            Event::Suspect { epoch, reason } => (HookName::Suspect, json!({"epoch": epoch, "reason": reason})),
            Event::Reconnecting { attempt, delay, reason } => {
                let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                (HookName::Reconnecting, json!({"attempt": attempt, "next_delay_ms": delay, "reason": reason}))
            }
            Event::Reconnected { session, new_session, server_changed } => {
                let mut facts = of_session(session);
                facts["new_session"] = json!(new_session);
                facts["server_changed"] = json!(server_changed);
                (HookName::Reconnected, facts)
            }
            Event::CredentialsNeeded { status, challenge } => {
                let reason = format!("the server wants other credentials (HTTP {status})");
                let facts = json!({"status": status, "challenge": challenge, "reason": reason});
                (HookName::CredentialsNeeded, facts)
            }
            Event::Replayed { method, accepted, reason } => {
                (HookName::Replayed, json!({"method": method, "accepted": accepted, "reason": reason}))
            }
            Event::OutcomeUnknown { method, accepted, reason } => {
                (HookName::OutcomeUnknown, json!({"method": method, "accepted": accepted, "reason": reason}))
            }
            _ => return None,
        };
        Some(Self { name, at: SystemTime::now(), facts })
    }

    /// Its name.
    pub fn name(&self) -> HookName {
        self.name
    }

    /// The object, as one line. `sequence` numbers the events of this bridge's hook, `dropped` of which, just before this
    /// one, it was not told of.
    pub fn to_json(&self, origin: &Origin, sequence: u64, dropped: u64) -> String {
        let mut object: Map<String, Value> = self.facts.as_object().cloned().unwrap_or_default();
        for (key, value) in [
            ("server_url", &origin.server_url),
            ("mcp_server_name", &origin.name),
            ("session_id", &origin.session_id),
            ("cwd", &origin.folder),
        ] {
            object.insert(key.into(), value.as_str().into());
        }
        // What is not known is absent.
        object.retain(|_, fact| !fact.as_str().is_some_and(str::is_empty));
        let name = self.name.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let at = DateTime::<Utc>::from(self.at).to_rfc3339_opts(SecondsFormat::Millis, true);
        object.insert("hook_event_name".into(), name.into());
        object.insert("timestamp".into(), at.into());
        object.insert("pid".into(), std::process::id().into());
        object.insert("sequence".into(), sequence.into());
        if dropped > 0 {
            object.insert("dropped".into(), dropped.into());
        }
        format!("{}\n", escaped(&Value::Object(object).to_string()))
    }
}

/// A JSON text with nothing in it that is not seen: what a server wrote may be shown by whatever reads the object.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_invisible(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

fn of_session(session: &SessionInfo) -> Value {
    json!({
        "epoch": session.epoch,
        "transport": match session.transport {
            Transport::StreamableHttp => "http",
            Transport::HttpSse => "sse",
            _ => "other",
        },
        "protocol_version": session.protocol_version,
        "server_name": session.server_name,
        "server_version": session.server_version,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn origin() -> Origin {
        let lookup = |name: &str| match name {
            "CLAUDE_CODE_SESSION_ID" => Ok("0c1".to_owned()),
            _ => Err(VarError::NotPresent),
        };
        Origin::new("http://h/mcp".into(), "jarvis".into(), lookup)
    }

    fn told(event: &Event) -> Value {
        let line = HookEvent::of(event).expect("hooks are told of it").to_json(&origin(), 7, 0);
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn an_attempt() {
        let delay = Duration::from_micros(1_500_900);
        let told = told(&Event::Reconnecting { attempt: 3, delay, reason: "it said \"no\"\n".into() });
        assert_eq!(told["hook_event_name"], "McpServerReconnecting");
        assert_eq!(
            (&told["attempt"], &told["next_delay_ms"], &told["reason"]),
            (&json!(3), &json!(1500), &json!("it said \"no\"\n"))
        );
        assert_eq!((&told["server_url"], &told["sequence"]), (&json!("http://h/mcp"), &json!(7)));
        assert!(told.get("epoch").is_none() && told.get("dropped").is_none(), "{told}");
    }

    #[test]
    fn what_is_empty_is_absent() {
        let told = told(&Event::CredentialsNeeded { status: 401, challenge: String::new() });
        assert_eq!(told["status"], 401);
        assert!(told.get("challenge").is_none(), "{told}");
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        let mut event = HookEvent::of(&Event::Suspect { epoch: 1, reason: "r".into() }).unwrap();
        event.at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        let line = event.to_json(&Origin::default(), 1, 2);
        assert!(
            line.contains(r#""timestamp":"2023-11-14T22:13:20.123Z""#) && line.contains(r#""dropped":2"#),
            "{line}"
        );
    }

    #[test]
    fn where_it_comes_from() {
        let told = told(&Event::Suspect { epoch: 1, reason: "r".into() });
        assert_eq!((&told["mcp_server_name"], &told["session_id"]), (&json!("jarvis"), &json!("0c1")));
        assert!(told.get("cwd").is_none(), "{told}");
    }

    #[test]
    fn what_nobody_sees_is_escaped() {
        let reason = "a\u{202e}b\u{9b}c\u{e0041}d\u{7f}\n\u{e9}";
        let event = HookEvent::of(&Event::Suspect { epoch: 1, reason: reason.into() }).unwrap();
        let line = event.to_json(&origin(), 1, 0);
        assert!(!line.trim_end_matches('\n').chars().any(is_invisible), "{line:?}");
        let escaped = ["a", "202eb", "009bc", "db40", "dc41d", "007f"].join("\\u");
        assert!(line.contains(&format!("{escaped}\\n\u{e9}")), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["reason"], reason);
    }

    #[test]
    fn what_is_between_client_and_server_is_not_told() {
        assert!(HookEvent::of(&Event::Message("{}".into())).is_none());
        assert!(HookEvent::of(&Event::HeadersNeeded { status: None }).is_none());
    }
}
