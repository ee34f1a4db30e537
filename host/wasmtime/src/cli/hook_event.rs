//! What a hook is told: one JSON object an event.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use mcp_reconnect::{Event, SessionInfo, Transport};
use serde_json::{Map, Value, json};

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
    pub fn to_json(&self, server_url: &str, sequence: u64, dropped: u64) -> String {
        let mut object: Map<String, Value> = self.facts.as_object().cloned().unwrap_or_default();
        // What is not known is absent.
        object.retain(|_, fact| !fact.as_str().is_some_and(str::is_empty));
        let name = self.name.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let at = DateTime::<Utc>::from(self.at).to_rfc3339_opts(SecondsFormat::Millis, true);
        object.insert("hook_event_name".into(), name.into());
        object.insert("server_url".into(), server_url.into());
        object.insert("timestamp".into(), at.into());
        object.insert("pid".into(), std::process::id().into());
        object.insert("sequence".into(), sequence.into());
        if dropped > 0 {
            object.insert("dropped".into(), dropped.into());
        }
        format!("{}\n", Value::Object(object))
    }
}

fn of_session(session: &SessionInfo) -> Value {
    json!({
        "epoch": session.epoch,
        "transport": match session.transport {
            Transport::StreamableHttp => "http",
            Transport::HttpSse => "sse",
            Transport::Other => "other",
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

    fn told(event: &Event) -> Value {
        let line = HookEvent::of(event).expect("hooks are told of it").to_json("http://h/mcp", 7, 0);
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
        let line = event.to_json("u", 1, 2);
        assert!(
            line.contains(r#""timestamp":"2023-11-14T22:13:20.123Z""#) && line.contains(r#""dropped":2"#),
            "{line}"
        );
    }

    #[test]
    fn what_is_between_client_and_server_is_not_told() {
        assert!(HookEvent::of(&Event::Message("{}".into())).is_none());
        assert!(HookEvent::of(&Event::HeadersNeeded { status: None }).is_none());
    }
}
