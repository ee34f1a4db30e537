//! `-32602`: an ordinary parameter error, or a session that was never initialised. A list that the server declared tells.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::settle::End;
use crate::engine::Engine;
use crate::engine::state::requests::{Origin, RequestKey, RequestState};
use crate::policy::replay::Evidence;
use crate::policy::session_loss;

impl Engine {
    /// Whether an error may mean that the session was never initialised: the first answer since the connect, or the
    /// known text.
    pub(crate) fn must_verify(&self, error: Option<&(i64, String)>) -> bool {
        let Some((code, message)) = error else {
            return false;
        };
        let Some(session) = &self.session else {
            return false;
        };
        *code == session_loss::UNINITIALISED_CODE
            && !session.verified
            && (!session.progress || message == session_loss::UNINITIALISED_TEXT)
            && session.server.list_method().is_some()
    }

    /// Asks for a list that the server declared. `ping` would not do: an uninitialised session answers it.
    pub(crate) fn verify(&mut self, key: RequestKey, answer: String) {
        let Some(list) = self.session.as_ref().and_then(|session| session.server.list_method()) else { return };
        if let Some(request) = self.requests.get_mut(&key) {
            let exchange = request.exchange();
            request.state = RequestState::Verifying(answer);
            self.wire_ids.remove(&request.wire_id);
            if let Some(exchange) = exchange {
                self.retire(exchange);
            }
        }
        let running = self.requests.values().any(|request| matches!(request.origin, Origin::Verify(_)));
        if !running {
            self.post_own(Origin::Verify(key), list, "");
        }
    }

    /// The verification is over: all answers that waited for it are delivered, or their requests sent again.
    pub(crate) fn verified(&mut self, initialised: bool) {
        let waiting: Vec<_> = self
            .requests
            .iter()
            .filter_map(|(key, request)| match &request.state {
                RequestState::Verifying(answer) => Some((*key, answer.clone())),
                _ => None,
            })
            .collect();
        for (key, answer) in waiting {
            if initialised {
                self.deliver(key, answer, false);
            } else {
                let reason = "the server answered that the session was never initialised".to_string();
                self.settle(key, End { evidence: Evidence::SessionLost, accepted: false, reason, refusal: None });
            }
        }
    }
}
