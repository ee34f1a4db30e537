//! What the ends of requests and exchanges mean for the connection. Whatever decides that says it here; `reconnect` acts on it when
//! the event is dealt with, in the order in which it was said.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use crate::engine::flow::connection_error::ConnectionError;
use crate::engine::state::requests::RequestKey;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;

/// What something means for the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Consequence {
    /// Something went wrong in the current session.
    Recover(ConnectionError),
    /// An attempt, or the ping of a probe, came to nothing.
    AttemptFailed(ConnectionError),
    /// The stream that is the session of HTTP+SSE ended.
    StreamLost(String),
    /// A ping or list went unanswered; whether it was that of a probe.
    Unanswered { probing: bool, reason: String },
    /// The server takes messages and answers none of them.
    Unresponsive(String),
    /// Nothing but another session tells.
    InitializeAgain,
    /// The server asks for a pause.
    Pause { retry_after: Option<Duration>, reason: String },
    /// A ping or list was limited.
    Limited { probing: bool, retry_after: Option<Duration>, reason: String },
    /// A message was rejected for its credentials.
    Unauthorized(Refusal),
    /// Whether the session lives is to be found out, and messages wait for that.
    Probe,
    /// The same, and only what must not run twice waits for it.
    Ping,
    /// Whether the server still knows the session is to be found out.
    Verify(String),
    /// The session lives.
    Alive,
    /// What came before it in this list may have ended a session: then this is the end of a request, so that what is said of it is
    /// true.
    Settle(RequestKey, Ended),
    /// The same, of one that was accepted without an answer, unless the end of its session has settled it.
    SettleAccepted(RequestKey, Ended),
    /// The same, of a response that broke off.
    BrokeOff { key: RequestKey, clean: bool, reason: String },
}

/// What is known of the end of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ended {
    pub evidence: Evidence,
    pub accepted: bool,
    pub reason: String,
    pub refusal: Option<Refusal>,
}

/// Those that were not acted on yet. There are none between two events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Consequences {
    queue: VecDeque<Consequence>,
}

impl Consequences {
    pub fn add(&mut self, consequence: Consequence) {
        self.queue.push_back(consequence);
    }

    pub fn next(&mut self) -> Option<Consequence> {
        self.queue.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_acted_on_in_order_and_once() {
        let mut consequences = Consequences::default();
        consequences.add(Consequence::Probe);
        consequences.add(Consequence::Alive);
        assert!(!consequences.is_empty());
        assert_eq!(consequences.next(), Some(Consequence::Probe));
        consequences.add(Consequence::Ping);
        assert_eq!(consequences.next(), Some(Consequence::Alive));
        assert_eq!(consequences.next(), Some(Consequence::Ping));
        assert_eq!(consequences.next(), None);
        assert!(consequences.is_empty());
    }
}
