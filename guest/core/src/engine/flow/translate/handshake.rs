//! The session that only the client sees: `server/discover` in the place of `initialize`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::api::errors;
use crate::engine::Engine;
use crate::engine::flow::connection_error::ConnectionError;
use crate::engine::state::exchanges::Role;
use crate::engine::state::handshake::Handshake;
use crate::engine::state::timers::Timer;
use crate::policy::era::{self, Verdict};
use crate::policy::session_loss::Refusal;
use crate::wire::json::{self, Envelope, Parsed};
use crate::wire::modern::{self, Discovered};
use crate::{Level, Method, Transport};

impl Engine {
    /// Whether the handshake or the session is with a server without sessions.
    pub(crate) fn is_translated(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.translation.is_some())
    }

    /// `initialize` was refused. If that means that the server speaks a version without sessions, or may mean it, it is asked;
    /// true: that is being done.
    pub(crate) fn try_translation(&mut self, cause: &ConnectionError) -> bool {
        let ConnectionError::Refused(refusal) = cause else { return false };
        let Some(mut handshake) = self.connection.handshake().cloned() else { return false };
        if handshake.transport() != Transport::StreamableHttp || handshake.is_discover_refused() {
            return false;
        }
        // It was asked already. Some servers answer the first request so, whatever its version.
        if let Some(version) = handshake.version() {
            let again = !handshake.was_asked_again() && modern_versions(refusal).iter().any(|other| other == version);
            if again {
                handshake.asks_again();
                self.discover_instead(handshake);
            }
            return again;
        }
        // Only a server that speaks JSON-RPC is asked: others have had their chance.
        let speaks = refusal.error().is_some_and(|error| {
            era::of_refusal(refusal) == Verdict::Modern
                || matches!(refusal.status, 400 | 404 | 405)
                || error.code == errors::METHOD_NOT_FOUND
        });
        let other = modern_versions(refusal);
        if !speaks || !other.is_empty() && !other.iter().any(|version| version == modern::FIRST) {
            return false;
        }
        handshake.refused_with(refusal.clone());
        self.discover_instead(handshake);
        true
    }

    /// `server/discover` was refused too. True: what `initialize` was refused with counts, or it is tried.
    pub(crate) fn translation_failed(&mut self, cause: &ConnectionError) -> bool {
        let (ConnectionError::Refused(refusal), Some(handshake)) = (cause, self.connection.handshake()) else {
            return false;
        };
        if handshake.version().is_none() || era::of_refusal(refusal) != Verdict::Legacy {
            return false;
        }
        self.translates_next = false;
        // The session that came with a version without sessions is one, after all, and another one is made.
        self.delete_unready(None);
        self.cancel_session_exchanges(self.epoch_being_made());
        match self.connection.handshake_mut().and_then(Handshake::discover_was_refused) {
            Some(first) => self.on_handshake_outcome(&Role::Initialize, ConnectionError::Refused(first)),
            // The server spoke a version without sessions before: perhaps it speaks one with sessions now.
            None => {
                let url = self.url.clone();
                self.post_initialize(&url);
            }
        }
        true
    }

    /// Sends `server/discover` in the place of `initialize`.
    pub(crate) fn discover_instead(&mut self, mut handshake: Handshake) {
        self.cancel_session_exchanges(handshake.epoch());
        let wire = self.new_wire_id();
        handshake.discovers(modern::FIRST.to_string(), wire);
        self.handshake_is(handshake);
        let meta = self.translated_meta();
        let body = modern::request(wire, "server/discover", "", &meta);
        let headers = modern::headers(modern::FIRST, "server/discover");
        let url = self.url.clone();
        let exchange = self.start(Role::Initialize, Method::Post, &url, body.into_bytes(), &headers);
        if let Some(handshake) = self.connection.handshake_mut() {
            handshake.posted(wire, exchange);
        }
        self.timers.set(Timer::Endpoint, self.now + self.handshake_time());
    }

    /// The answer to `server/discover` as one to `initialize`. An error says why it is none.
    pub(crate) fn as_initialize_answer(&mut self, text: &str) -> Result<String, ConnectionError> {
        let Ok(Parsed::One(Envelope { result, error, .. })) = json::parse(text) else {
            return Err(ConnectionError::Unusable("server/discover was answered with no JSON-RPC message".to_string()));
        };
        let refused = |raw: &str| {
            let body = alloc::format!(r#"{{"error":{raw}}}"#);
            ConnectionError::Refused(Refusal { status: 200, challenge: String::new(), retry_after: None, body })
        };
        if let Some(error) = error {
            return Err(refused(error.get()));
        }
        let server = result.and_then(|result| modern::discovered(result.get()));
        let Some(server) = server.filter(|server| server.versions.iter().any(|version| version == modern::FIRST))
        else {
            return Err(refused(r#"{"code":-32022,"message":"the server speaks no version that is known here"}"#));
        };
        self.log(Level::Info, "the server speaks a version without sessions: messages are translated");
        let asked = self.client.initialize.as_ref().map(|initialize| initialize.version()).unwrap_or_default();
        let version = if modern::WITH_SESSIONS.contains(&asked.as_str()) { asked } else { "2025-11-25".to_string() };
        let info = if server.info.is_empty() { r#"{"name":"","version":""}"# } else { &server.info };
        let instructions =
            server.instructions.as_ref().map(|text| alloc::format!(r#","instructions":{text}"#)).unwrap_or_default();
        Ok(alloc::format!(
            r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{version}","capabilities":{},"serverInfo":{info}{instructions}}}}}"#,
            capabilities(&server)
        ))
    }
}

/// The versions without sessions that a refusal says are supported.
fn modern_versions(refusal: &Refusal) -> Vec<String> {
    let error = refusal.error().filter(|error| error.code == era::UNSUPPORTED_VERSION);
    error.map(|error| era::supported(&error.raw)).unwrap_or_default()
}

/// The capabilities that the versions with sessions know.
fn capabilities(server: &Discovered) -> String {
    let names = ["tools", "prompts", "resources", "completions", "logging", "experimental"];
    let Some(found) = json::members(&server.capabilities, names) else { return "{}".to_string() };
    let members = names.into_iter().zip(found);
    let members: Vec<_> =
        members.filter_map(|(name, value)| Some(alloc::format!("\"{name}\":{}", value?.get()))).collect();
    alloc::format!("{{{}}}", members.join(","))
}
