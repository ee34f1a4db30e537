//! Tells a person on stderr what happens to the connection: an outage is two or three lines, however long it lasts.

use std::fmt;
use std::time::Duration;

use mcp_reconnect::{Event, Level, SessionInfo, State, Status};

/// Turns events into log lines.
#[derive(Debug)]
pub struct Narrator {
    /// The reason that was told last: an attempt is told at `info` only if it is the first or has another reason.
    told: Option<String>,
    /// Whether an attempt was told since the connection was lost.
    trying: bool,
    /// The options to look at when the credentials are not the right ones.
    credentials: String,
}

impl Narrator {
    /// Knows which options give the credentials.
    pub fn new(credentials: String) -> Self {
        Self { told: None, trying: false, credentials }
    }

    /// Tells an event. A message is not told: what it holds is between the client and the server.
    pub fn tell(&mut self, event: &Event) {
        match event {
            Event::Message(_) => {}
            Event::Connecting => tracing::debug!("connecting"),
            Event::Connected(session) => {
                self.forget();
                tracing::info!("connected: {}", Named(session));
            }
            Event::Disconnected { reason, .. } => {
                self.forget();
                self.told = Some(reason.clone());
                tracing::info!("disconnected: {reason}");
            }
            Event::Suspect { reason, .. } => tracing::info!("no sign of life from the server: {reason}"),
            Event::Reconnecting { attempt, delay, reason } => {
                let news = self.told.as_ref() != Some(reason);
                if news {
                    tracing::info!("trying again in {}: {reason}", Short(*delay));
                    self.told = Some(reason.clone());
                } else if !self.trying {
                    tracing::info!("trying again in {}", Short(*delay));
                } else {
                    tracing::debug!("attempt {attempt} in {}: {reason}", Short(*delay));
                }
                self.trying = true;
            }
            Event::Reconnected { session, new_session, server_changed } => {
                self.forget();
                let kind = if *new_session { "reconnected, new session" } else { "reconnected, same session" };
                let change = if *server_changed { "; the server has changed" } else { "" };
                tracing::info!("{kind}: {}{change}", Named(session));
            }
            Event::CredentialsNeeded { status, challenge } if challenge.is_empty() => {
                tracing::warn!("the server wants other credentials (HTTP {status}); check {}", self.credentials);
            }
            Event::CredentialsNeeded { status, challenge } => {
                let check = &self.credentials;
                tracing::warn!("the server wants other credentials (HTTP {status}, {challenge}); check {check}");
            }
            Event::HeadersNeeded { status: Some(_) } => tracing::info!("getting other credentials"),
            Event::HeadersNeeded { status: None } => tracing::debug!("getting the headers of the next session"),
            Event::Replayed { method, reason, .. } => tracing::info!("sent again: {method}: {reason}"),
            Event::OutcomeUnknown { method, accepted, reason, .. } => {
                let accepted = if *accepted { ", which the server had accepted" } else { "" };
                tracing::warn!("outcome unknown: {method}{accepted}: {reason}");
            }
            Event::Diagnostic { level: Level::Debug, text } => tracing::debug!("{text}"),
            Event::Diagnostic { level: Level::Info, text } => tracing::info!("{text}"),
            Event::Diagnostic { level: Level::Warn, text } => tracing::warn!("{text}"),
            Event::Diagnostic { level: Level::Error, text } => tracing::error!("{text}"),
            other => tracing::debug!("{other:?}"),
        }
    }

    /// The outage is over, or another one begins.
    fn forget(&mut self) {
        self.told = None;
        self.trying = false;
    }
}

/// The status as one line.
pub fn status(status: &Status) -> String {
    let state = match status.state {
        State::Idle => "idle, the client has not sent initialize",
        State::Connecting => "connecting",
        State::Ready => "ready",
        State::Waiting => "waiting for the next attempt",
        State::NeedsCredentials => "waiting for other credentials",
        State::Closed => "closed",
        State::Other => "in a state newer than this program",
    };
    let session = match &status.session {
        Some(session) => format!("{} for {}", Named(session), Short(status.session_age)),
        None => "no session".into(),
    };
    let error = if status.last_error.is_empty() { "none" } else { &status.last_error };
    format!(
        "status: {state}; {session}; {} queued, {} in flight, {} reconnects, {} replays; last error: {error}",
        status.queued, status.in_flight, status.reconnects, status.replays
    )
}

/// A session in a few words.
struct Named<'a>(&'a SessionInfo);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = self.0;
        let name = if session.server_name.is_empty() { "a server without a name" } else { &session.server_name };
        f.write_str(name)?;
        if !session.server_version.is_empty() {
            write!(f, " {}", session.server_version)?;
        }
        write!(f, " ({}, MCP {}), session {}", session.transport, session.protocol_version, session.epoch)
    }
}

/// A duration with as many digits as a person wants.
struct Short(Duration);

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
}
