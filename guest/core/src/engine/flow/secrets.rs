//! What leaves the engine for people holds nothing that is known to be secret.

use alloc::string::String;

use crate::Event;
use crate::engine::Engine;
use crate::wire::url::Url;

impl Engine {
    /// A request is about to be made: what of it must not be shown.
    pub(crate) fn learn_secrets(&mut self, url: &Url, session_id: Option<&str>) {
        for (_, value) in &self.options.headers {
            self.secrets.learn_header(value);
        }
        self.secrets.learn_query(url.path_and_query());
        if let Some(id) = session_id {
            self.secrets.learn(id);
        }
    }

    /// An event without secrets. A message is between the client and the server.
    pub(crate) fn blanked(&self, mut event: Event) -> Event {
        let text = match &mut event {
            Event::Disconnected { reason, .. }
            | Event::Suspect { reason, .. }
            | Event::Reconnecting { reason, .. }
            | Event::Replayed { reason, .. }
            | Event::OutcomeUnknown { reason, .. } => reason,
            Event::CredentialsNeeded { challenge, .. } => challenge,
            Event::Diagnostic { text, .. } => text,
            Event::Message(_)
            | Event::Connecting
            | Event::Connected(_)
            | Event::Reconnected { .. }
            | Event::HeadersNeeded { .. }
            | Event::Closed => return event,
        };
        *text = self.blank(core::mem::take(text));
        event
    }

    /// A text for people without secrets.
    pub(crate) fn blank(&self, text: String) -> String {
        self.secrets.blank(text)
    }
}
