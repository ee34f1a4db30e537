//! An engine that takes the place of one that failed.

use alloc::string::{String, ToString};

use crate::engine::state::session::{Answered, Initialize, Server};
use crate::engine::{Engine, OptionsError};
use crate::recovery::State;
use crate::wire::json::{self, Envelope, Kind, Params, Parsed};

/// What a provisional result says, and no other.
const PROVISIONAL: &str = "The server cannot be reached yet. Its tools appear when it can.";

impl Engine {
    /// Goes on from what [`crate::Recovery`] has kept: as if a session had just been lost.
    pub(crate) fn take_over(&mut self, state: &str) -> Result<(), OptionsError> {
        let wrong = || OptionsError::Recovery;
        let state: State = serde_json::from_str(state).map_err(|_| wrong())?;
        self.sessions = state.sessions;
        self.inbox.continue_after(state.last_question);
        let Some(answer) = &state.answer else {
            self.on_client_message(state.initialize);
            if state.initialized {
                self.on_client_message(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_string());
            }
            return Ok(());
        };
        self.client.initialize = Some(captured(state.initialize).ok_or_else(wrong)?);
        self.client.promised = answer.contains(PROVISIONAL);
        self.client.answered =
            Some(Answered { server: told(answer).ok_or_else(wrong)?, provisional: self.client.promised });
        self.client.initialized = state.initialized;
        self.settings.take_over(state.log_level, state.subscriptions);
        self.connected = true;
        self.outage.begin(self.now);
        self.begin_again();
        Ok(())
    }
}

/// The client's `initialize`.
fn captured(text: String) -> Option<Initialize> {
    let Ok(Parsed::One(Envelope { kind: Kind::Request { id, .. }, params, .. })) = json::parse(&text) else {
        return None;
    };
    let (id_at, version_at) = (id.range(), params.protocol_version.map(|value| Params::span(value, &text).range()));
    Some(Initialize { text, id_at, version_at })
}

/// The server that it was told of.
fn told(answer: &str) -> Option<Server> {
    let Ok(Parsed::One(Envelope { result: Some(result), .. })) = json::parse(answer) else { return None };
    Server::parse(result.get()).ok()
}
