//! What the client is told in place of an answer of the server: the errors of the engine, and that they are true.

use alloc::string::{String, ToString};

use super::own_requests::OwnEnd;
use super::settle::End;
use crate::Event;
use crate::api::errors::{self, response};
use crate::engine::Engine;
use crate::engine::state::requests::{Origin, RequestKey, RequestState};
use crate::policy::session_loss::Refusal;
use crate::wire::json;

impl Engine {
    pub(crate) fn answer_unknown(&mut self, key: RequestKey, accepted: bool, reason: String) {
        let Some(request) = self.requests.get(&key) else { return };
        let (method, epoch) = (request.method.clone(), request.epoch);
        let again = match (request.replays, request.sent_again) {
            (0, _) => "was not sent again",
            (_, true) => "was sent again once, which is as often as it is",
            (_, false) => "could not be sent again",
        };
        // A close ends the session, too; where there are none, none has changed.
        let over = self.closing || self.session.as_ref().is_none_or(|session| session.epoch != epoch);
        let changed = over && !request.is_modern();
        let data =
            alloc::format!(r#"{{"method":{},"accepted":{accepted},"sessionChanged":{changed}}}"#, json::quote(&method));
        let text = alloc::format!(
            "The outcome of {method} is unknown: {reason}. It may or may not have run and {again}; check before you repeat \
             it."
        );
        self.emit(Event::OutcomeUnknown { method, accepted, reason });
        self.answer_error(key, errors::OUTCOME_UNKNOWN, &text, Some(&data));
    }

    pub(crate) fn answer_refused(&mut self, key: RequestKey, end: &End) {
        // A JSON-RPC error in the body is the server's own answer.
        if let Some(error) = end.refusal.and_then(Refusal::error) {
            if let Some(request) = self.forget(key) {
                let id = request.client_id();
                self.emit_message(alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{}}}"#, error.raw));
            }
            return;
        }
        let data = end.refusal.map(|refusal| alloc::format!(r#"{{"status":{}}}"#, refusal.status));
        let method = self.requests.get(&key).map_or_else(String::new, |request| request.method.clone());
        let text = alloc::format!("{method} failed at {}: {}.", self.server_name(), end.reason);
        self.answer_error(key, errors::HTTP_ERROR, &text, data.as_deref());
    }

    pub(crate) fn answer_unauthorized(&mut self, key: RequestKey, status: u16, challenge: &str) {
        let challenge = &self.blank(challenge.into());
        let method = self.requests.get(&key).map_or_else(String::new, |request| request.method.clone());
        let asks = if challenge.is_empty() { String::new() } else { alloc::format!(" It asks for: {challenge}.") };
        let mut data = alloc::format!(r#"{{"status":{status},"challenge":{}"#, json::quote(challenge));
        let help = match self.credentials.sign_in() {
            None => "Give valid credentials in a header (such as Authorization) and try again.".to_string(),
            Some(sign_in) => {
                data.push_str(&alloc::format!(r#","command":{}"#, json::quote(&sign_in.command)));
                let url = sign_in.url.as_deref();
                data.extend(url.map(|url| alloc::format!(r#","url":{}"#, json::quote(url))));
                let open = url.map(|url| alloc::format!(" or open {url}")).unwrap_or_default();
                alloc::format!("A person has to sign in: run `{}`{open}; then try again.", sign_in.command)
            }
        };
        data.push('}');
        let text = alloc::format!(
            "{} wants other credentials (HTTP {status}); {method} did not run.{asks} {help}",
            self.server_name()
        );
        self.answer_error(key, errors::UNAUTHORIZED, &text, Some(&data));
    }

    /// The one place where a request of the client gets an error of the engine's.
    pub(crate) fn answer_error(&mut self, key: RequestKey, code: i64, text: &str, data: Option<&str>) {
        let Some(request) = self.requests.get(&key) else { return };
        // These errors say that the request did not run, which is not known of one that was sent before.
        let denies =
            matches!(code, errors::UNAVAILABLE | errors::UNAUTHORIZED | errors::SESSION_UNSTABLE | errors::CLOSED);
        let sent_now = code == errors::CLOSED && request.state != RequestState::Held;
        let begun = request.translated.as_ref().is_some_and(|part| part.rounds > 0);
        if denies && (begun || request.replays > 0) && !sent_now && !request.cancelled {
            let why = if self.last_error.is_empty() { "the connection was closed" } else { &self.last_error };
            let reason = if begun {
                alloc::format!("the server had begun it and asked for input, which could not be sent ({why})")
            } else {
                alloc::format!("it was sent, the connection broke, and it could not be sent again ({why})")
            };
            let accepted = request.accepted;
            return self.answer_unknown(key, accepted, reason);
        }
        let text = self.blank(text.into());
        let Some(request) = self.forget(key) else { return };
        if !request.cancelled {
            self.emit_message(response(request.client_id(), code, &text, data));
        }
    }

    pub(crate) fn answer_closed(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        let text = if request.method == "initialize" {
            "The connection was closed before initialize was answered.".into()
        } else if request.is_out() || request.state == RequestState::Asking {
            alloc::format!(
                "The connection was closed before {} was answered; it may or may not have run.",
                request.method
            )
        } else {
            alloc::format!("The connection was closed before {} was sent; it did not run.", request.method)
        };
        self.answer_error(key, errors::CLOSED, &text, None);
    }

    /// The answer to this request was over a limit. It has run, so it is never sent again.
    pub(crate) fn answer_too_large(&mut self, key: RequestKey, problem: &str, limit: usize) {
        let Some(request) = self.requests.get(&key) else { return };
        if request.origin != Origin::Client {
            let origin = request.origin;
            return self.own_request_ended(key, origin, OwnEnd::Answered(None));
        }
        let text = alloc::format!(
            "The answer to {} is too large: {problem}. It may have run, and is not sent again.",
            request.method
        );
        self.answer_error(key, errors::TOO_LARGE, &text, Some(&alloc::format!(r#"{{"limit":{limit}}}"#)));
    }
}
