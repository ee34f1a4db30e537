//! Server-sent events: cursors, `retry:`, messages, and events that are too large to keep.

use alloc::string::{String, ToString};
use core::time::Duration;

use super::server_message::Source;
use crate::api::time::SECOND;
use crate::engine::Engine;
use crate::engine::state::exchanges::Role;
use crate::engine::state::requests::RequestKey;
use crate::wire::json::{self, Envelope, Kind, Parsed};
use crate::wire::sse::Item;
use crate::{ExchangeId, Level, http};

impl Engine {
    pub(crate) fn on_item(&mut self, id: ExchangeId, item: Item) {
        // An earlier item may have ended the exchange.
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (role, epoch, named) = (exchange.role.clone(), exchange.context.epoch, exchange.named.clone());
        // Some servers repeat the event that is named. Beyond that ids say nothing: some servers give one id twice.
        let named = match &item {
            Item::Id(_) | Item::Retry(_) => named,
            Item::Event(_) | Item::Oversized { .. } => self.exchanges.take_named(id),
        };
        if let Role::Resume(key) = role {
            self.resumed_stream_speaks(key);
        }
        match item {
            Item::Id(cursor) => self.set_cursor(&role, epoch, &cursor, named.as_deref() == Some(cursor.as_str())),
            Item::Retry(milliseconds) => {
                let retry = Duration::from_millis(milliseconds).min(300 * SECOND);
                match role {
                    Role::Post(key) | Role::Resume(key) => self.requests.retry_is(key, retry),
                    Role::Standalone | Role::Stream => self.session.stream_retry(epoch, retry),
                    _ => {}
                }
            }
            Item::Event(event) => {
                let repeated = event.id.is_some() && event.id == named;
                if let Some(cursor) = &event.id {
                    self.set_cursor(&role, epoch, cursor, repeated);
                }
                match (event.name.as_str(), &role) {
                    ("", _) if repeated => {}
                    ("", _) => self.on_text(id, event.data),
                    ("endpoint", Role::Stream) => self.on_endpoint(id, &event.data),
                    (name, _) => {
                        let name = super::settle::clip(name);
                        self.log(Level::Debug, alloc::format!("an event of the unknown type \"{name}\": dropped"));
                    }
                }
            }
            Item::Oversized { scanned, id: cursor } => {
                if let Some(cursor) = cursor {
                    self.set_cursor(&role, epoch, &cursor, named.as_deref() == Some(cursor.as_str()));
                }
                let limit = self.options.max_event_bytes;
                let problem = alloc::format!("the event is over {limit} bytes (option max-event-bytes)");
                self.on_unread(owner_of(&role), &scanned, limit, &problem);
            }
        }
    }

    /// Moves the cursor of a stream.
    fn set_cursor(&mut self, role: &Role, epoch: u64, cursor: &str, repeated: bool) {
        // The id goes into a header when the stream is resumed.
        let usable = !cursor.is_empty() && http::header_value_ok(cursor) && cursor.len() <= 1024;
        let new = usable.then(|| cursor.to_string());
        let before = match role {
            Role::Post(key) | Role::Resume(key) => self.requests.cursor_is(*key, new.clone()),
            Role::Standalone => self.session.stream_cursor(epoch, new.clone()),
            _ => None,
        };
        if before.is_some()
            && let (false, Role::Post(key) | Role::Resume(key)) = (repeated, role)
        {
            self.requests.brought_something(*key);
        }
    }

    /// A text of the server on this exchange.
    pub(crate) fn on_text(&mut self, id: ExchangeId, text: String) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        match &exchange.role {
            Role::Modern(key) => return self.on_modern_text(id, *key, text),
            Role::ModernOwn(own) => return self.on_modern_own_text(id, own.clone(), &text),
            Role::Standalone if self.has_own_listen() => return self.on_own_listen_text(id, &text),
            Role::Post(key) if self.translates(*key) && is_request(&text) => {
                return self
                    .log_dropped("a request of the server", "servers of versions without sessions ask in results");
            }
            _ => {}
        }
        let owner = owner_of(&exchange.role);
        let source = Source { epoch: exchange.context.epoch, owner, handshake: exchange.role == Role::Initialize };
        self.on_server_text(source, text);
    }
}

/// Whether a text of the server asks for something.
fn is_request(text: &str) -> bool {
    matches!(json::parse(text), Ok(Parsed::One(Envelope { kind: Kind::Request { .. }, .. })))
}

/// The request whose response is read in this role.
fn owner_of(role: &Role) -> Option<RequestKey> {
    match role {
        Role::Post(key) | Role::Resume(key) | Role::Modern(key) => Some(*key),
        _ => None,
    }
}
