//! Connection changes as log messages to the client (MCP 2025-11-25, "Logging"), for clients that show those to the model
//! or to the person.

use alloc::format;
use alloc::string::String;

use crate::Event;
use crate::wire::json::quote;

/// The `notifications/message` for an event, if it is worth one.
pub(crate) fn of(event: &Event, server: &str) -> Option<String> {
    let (level, text) = match event {
        Event::Disconnected { reason, .. } => {
            ("warning", format!("The connection to {server} is lost: {reason}. Requests wait until it is back."))
        }
        Event::Suspect { reason, .. } => {
            ("warning", format!("{server} is busy or gone: {reason}. What it works on goes on."))
        }
        Event::Reconnected { new_session, server_changed, .. } => {
            let session = match (new_session, server_changed) {
                (_, true) => " with a new session, and the server has changed",
                (true, false) => " with a new session",
                (false, false) => "",
            };
            ("notice", format!("Connected to {server} again{session}."))
        }
        Event::CredentialsNeeded { status, .. } => {
            ("error", format!("{server} wants other credentials (HTTP {status})."))
        }
        Event::OutcomeUnknown { method, reason, .. } => {
            ("warning", format!("The outcome of a {method} at {server} is unknown: {reason}."))
        }
        _ => return None,
    };
    Some(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","logger":"mcp-reconnect","data":{}}}}}"#,
        quote(&text)
    ))
}
