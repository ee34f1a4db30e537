//! What the server sends: told apart by epoch and by owner, and handed on.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::settle;
use crate::Level;
use crate::api::errors;
use crate::engine::Engine;
use crate::engine::state::asides::Aside;
use crate::engine::state::progress_tokens::{TaskPart, status_params};
use crate::engine::state::requests::RequestKey;
use crate::engine::state::session::ServerRequest;
use crate::policy::session_loss::speaks_of_lost_session;
use crate::wire::json::{self, Envelope, Kind, Malformed, Params, Parsed};
use crate::wire::scan::{Scanned, Scanner};
use crate::wire::spelling;

/// The longest id or token of the server that is kept, in bytes.
const MAX_ID: usize = 1024;

/// Where a message of the server came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub epoch: u64,
    /// The request whose response it came in.
    pub owner: Option<RequestKey>,
    /// It came in the response to the handshake's `initialize`.
    pub handshake: bool,
}

/// What to do with a message, decided while it is borrowed.
enum Verdict {
    Answer { wire: Option<u64>, id_at: Option<core::ops::Range<usize>>, error: Option<(i64, String)> },
    Ping { id: String },
    Ask { id: String, id_at: core::ops::Range<usize>, token: Option<String>, task: TaskPart },
    Progress { token: Option<String>, progress: Option<f64> },
    Cancelled { id: Option<(String, core::ops::Range<usize>)> },
    Tell { task_status: bool },
}

impl Engine {
    /// A JSON text of the server.
    pub(crate) fn on_server_text(&mut self, via: Source, text: String) {
        let text = match text.strip_prefix('\u{FEFF}') {
            Some(after) => after.to_string(),
            None => text,
        };
        match json::parse(&text) {
            Ok(Parsed::One(envelope)) => {
                if let Some(tidy) = envelope.without_null_twin() {
                    return self.on_server_text(via, tidy);
                }
                let verdict = judge(&envelope, &text);
                self.on_server_message(via, verdict, text);
            }
            // Batches (2025-03-26) are unpacked.
            Ok(Parsed::Batch(items)) => {
                for item in items {
                    match json::parse(item) {
                        Ok(Parsed::One(envelope)) => match envelope.without_null_twin() {
                            Some(tidy) => self.on_server_text(via, tidy),
                            None => {
                                let verdict = judge(&envelope, item);
                                self.on_server_message(via, verdict, item.to_string());
                            }
                        },
                        _ => self.log_dropped("a message of the server", "it is not JSON-RPC"),
                    }
                }
            }
            Err(Malformed::Batch) => {
                let mut scanner = Scanner::new();
                scanner.feed(text.as_bytes());
                let problem = alloc::format!("it came in a batch of more than {} messages", json::MAX_BATCH);
                self.on_unread(via.owner, &scanner.finish(), json::MAX_BATCH, &problem);
            }
            Err(_) => self.log_dropped("a message of the server", "it is not JSON-RPC"),
        }
    }

    /// A text of the server that is too large to be read. The requests that it answers have run: they are not sent again. In the
    /// response to a request, what cannot be told is taken for its answer.
    pub(crate) fn on_unread(&mut self, owner: Option<RequestKey>, scanned: &Scanned, limit: usize, problem: &str) {
        let (ids, more) = match &scanned.batch {
            Some(batch) => (batch.responses.as_slice(), batch.more),
            None if scanned.is_response => (scanned.id.as_slice(), scanned.id.is_none()),
            None => (&[][..], scanned.method.is_none()),
        };
        let mut answered: Vec<_> = ids
            .iter()
            .filter_map(|id| self.requests.of_wire_id(spelling::integer(id)?))
            .chain(owner.filter(|_| more))
            .collect();
        answered.dedup();
        if answered.is_empty() {
            let what = scanned.method.as_deref().map_or_else(|| "a message of the server".to_string(), settle::clip);
            return self.log_dropped(&what, problem);
        }
        for key in answered {
            self.answer_too_large(key, problem, limit);
        }
    }

    fn on_server_message(&mut self, via: Source, verdict: Verdict, text: String) {
        let Source { epoch, owner, handshake } = via;
        let being_made = self.is_being_made(epoch);
        let current = epoch == self.epoch || being_made;
        let first_contact = self.client.answered.is_none();
        match verdict {
            Verdict::Answer { wire, id_at, error } => {
                let unnamed = error.is_some() && wire.is_none();
                if wire.is_some_and(|wire| self.is_handshake_answer(wire)) || (handshake && current && unnamed) {
                    return self.on_initialize_answer(text);
                }
                let known = wire.and_then(|wire| self.requests.of_wire_id(wire));
                // An error that names no request, in the response to one, is about that one.
                let key = known.or(if unnamed { owner } else { None });
                match key {
                    Some(key) if known.is_some() => self.on_answer(key, text, id_at, error),
                    Some(key) => self.on_unnamed_error(key, &text, error),
                    None => self.log(Level::Debug, "an answer to nothing that is asked: dropped"),
                }
            }
            // Notifications and questions of a session that is over mean nothing.
            _ if !current => {
                // But the request whose response they come in is being worked on.
                if let Some(key) = owner {
                    self.on_request_progress(key);
                }
                self.log(Level::Debug, "a message of a session that is over: dropped");
            }
            Verdict::Ping { id } if id.len() > MAX_ID => {
                self.log_dropped("a ping of the server", "its id is over 1 KiB");
            }
            Verdict::Ping { id } => {
                let text = alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
                self.send_aside(Aside { epoch, text, reply: true });
            }
            Verdict::Progress { token, progress } => {
                let token = token.map(|token| spelling::canonical(&token)).unwrap_or_default();
                let mut live = self.progress_tokens.is_of_task(&token, self.now);
                let asked: Vec<_> = self.progress_tokens.requests(&token).collect();
                for key in asked {
                    let wanted = self.requests.get(&key).is_some_and(|request| !request.cancelled);
                    live |= wanted && self.requests.progress_goes_on(key, progress);
                    self.on_request_progress(key);
                }
                if live {
                    self.emit_message(text);
                } else {
                    self.log(Level::Debug, "progress of nothing that is asked, or that was told before: dropped");
                }
            }
            // Before the result it is not known whether there will be a session to answer in.
            _ if first_contact || self.session.is_none() || being_made => {
                if !self.inbox.keep_early(epoch, text, self.options.max_event_bytes) {
                    self.log_dropped("a message before the initialize result", "there are too many");
                }
            }
            Verdict::Ask { id, .. } if id.len() > MAX_ID => {
                self.log_dropped("a question of the server", "its id is over 1 KiB");
            }
            Verdict::Ask { id, id_at, token, task } => {
                let token = token.filter(|token| token.len() <= MAX_ID);
                if self.inbox.is_full() {
                    let text = errors::response(&id, errors::QUEUE_FULL, "too many questions are open", None);
                    return self.send_aside(Aside { epoch, text, reply: true });
                }
                let progress_token = token.map(|token| spelling::canonical(&token));
                let own = self.inbox.ask(ServerRequest { epoch, id, progress_token, task, input: None });
                self.emit_message(json::splice(&text, id_at, &own.to_string()));
            }
            Verdict::Cancelled { id: Some((id, id_at)) } => {
                if let Some(own) = self.inbox.withdraw(epoch, &id) {
                    self.emit_message(json::splice(&text, id_at, &own.to_string()));
                }
            }
            Verdict::Cancelled { id: None } => {}
            Verdict::Tell { task_status } => {
                if task_status && let Some(params) = status_params(&text) {
                    self.progress_tokens.server_told(params);
                }
                if let Some(key) = owner {
                    self.on_request_progress(key);
                }
                self.emit_message(text);
            }
        }
    }

    /// An error without the id of a request, as the whole answer to one.
    fn on_unnamed_error(&mut self, key: RequestKey, text: &str, error: Option<(i64, String)>) {
        let raw = match json::parse(text) {
            Ok(Parsed::One(Envelope { error: Some(error), .. })) => error.get().to_string(),
            _ => return,
        };
        let Some(request) = self.requests.get(&key) else { return };
        // No application answers without the request's id.
        if let Some((_, message)) = &error
            && !request.brought
            && !self.is_translated()
            && speaks_of_lost_session(message)
        {
            return self.answered_lost(key, message);
        }
        // Built anew with an id in a known place, so that it goes the way of every answer.
        let text = alloc::format!(r#"{{"jsonrpc":"2.0","id":{},"error":{raw}}}"#, request.wire_id);
        let id_at = 22..22 + request.wire_id.to_string().len();
        self.on_answer(key, text, Some(id_at), error);
    }
}

fn judge(envelope: &Envelope, text: &str) -> Verdict {
    let params = &envelope.params;
    match &envelope.kind {
        Kind::Response { id } => Verdict::Answer {
            wire: id.as_ref().and_then(|id| spelling::integer(id.raw)),
            id_at: id.as_ref().map(|id| id.range()),
            error: envelope.error.map(json::error_of),
        },
        Kind::Request { id, method } if method == "ping" => Verdict::Ping { id: id.raw.to_string() },
        Kind::Request { id, method } => Verdict::Ask {
            id: id.raw.to_string(),
            id_at: id.range(),
            token: params.own_progress_token().map(spelling::canonical),
            task: TaskPart::of(method, params.task.map(|task| task.get()), params.task_id.map(|id| id.get())),
        },
        Kind::Notification { method } => match &**method {
            "notifications/progress" => {
                let token = params.progress_token.map(|token| token.get().to_string());
                Verdict::Progress { token, progress: params.progress() }
            }
            "notifications/cancelled" => Verdict::Cancelled {
                id: params.request_id.map(|id| {
                    let at = Params::span(id, text);
                    (at.raw.to_string(), at.range())
                }),
            },
            method => Verdict::Tell { task_status: method == "notifications/tasks/status" },
        },
    }
}
