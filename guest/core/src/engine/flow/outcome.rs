//! How an exchange ended, and what that means for whatever it was for.

use alloc::string::{String, ToString};

use super::connection_error::{ConnectionError, not_the_server};
use super::own_requests::OwnEnd;
use super::settle::End;
use crate::api::time::SECOND;
use crate::engine::Engine;
use crate::engine::state::consequences::{Consequence, Ended};
use crate::engine::state::exchanges::{Context, Role};
use crate::engine::state::outbox::{Outgoing, Queued};
use crate::engine::state::requests::{Origin, RequestKey, RequestState, UnverifiedAnswer};
use crate::engine::state::timers::Timer;
use crate::policy::era;
use crate::policy::proxy;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::{BodyError, Refusal};
use crate::{ExchangeId, Failure, Level, Transport};

/// A notification that was refused for now so often is not sent again.
const MAX_REFUSALS: u32 = 4;

/// How an exchange ended, or what its head decided.
pub(crate) enum Outcome<'a> {
    /// A success without content that matters.
    Accepted,
    /// The body ended.
    Ended { clean: bool, reason: &'a str },
    /// Not a success, or not of a type that means anything here.
    Refused(Refusal),
    /// No response came.
    Failed { failure: Failure, reason: &'a str },
}

impl Engine {
    /// Takes note of how an exchange went, for whatever it was for.
    pub(crate) fn finish_exchange(&mut self, id: ExchangeId, outcome: Outcome) {
        let context;
        let role = if matches!(outcome, Outcome::Accepted) {
            let Some(exchange) = self.exchanges.get(id) else { return };
            context = exchange.context;
            self.exchanges.retire(id).unwrap_or(Role::Retired)
        } else {
            let Some(exchange) = self.exchanges.get(id) else { return };
            let outdated = exchange.headers_given != self.credentials.number();
            let Some(exchange) = self.exchange_over(id) else { return };
            if let Outcome::Refused(Refusal { status: 401 | 403, .. }) = &outcome
                && outdated
                && self.try_new_headers(id, &exchange.role)
            {
                return;
            }
            return self.dispatch_outcome(id, exchange.role, exchange.context, outcome);
        };
        self.timers.set(Timer::Linger(id), self.now + 5 * SECOND);
        match role {
            Role::Initialize => self.on_initialize_accepted(),
            Role::Initialized => self.on_initialized_accepted(),
            Role::Notify(_) => {
                self.notifications.was_taken();
                self.notification_over(id);
            }
            Role::Delete => self.on_delete_over(),
            Role::Post(key) => self.on_post_accepted(key, context),
            Role::Modern(key) => self.on_modern_over(key, Outcome::Accepted),
            Role::ModernOwn(own) => self.on_modern_own_over(id, own, Outcome::Accepted),
            _ => {}
        }
    }

    pub(crate) fn notification_over(&mut self, id: ExchangeId) {
        if self.notifications.over(id) {
            self.timers.clear(Timer::Notify);
        }
    }

    /// A request was taken without an answer. On HTTP+SSE that is how it is; on Streamable HTTP the answer may still come
    /// on the standalone stream, or the session is a zombie: find out.
    pub(crate) fn on_post_accepted(&mut self, key: RequestKey, context: Context) {
        if let Some(request) = self.requests.get(&key) {
            let sse = context.transport == Transport::HttpSse;
            if request.origin != Origin::Client && !sse {
                let (origin, method) = (request.origin, request.method.clone());
                let reason = alloc::format!("the server takes a {method} and does not answer it");
                let evidence = if origin == Origin::Ping { Evidence::SessionLost } else { Evidence::Unknown };
                let end = End { evidence, accepted: true, reason, refusal: None };
                return self.own_request_ended(key, origin, OwnEnd::Failed(&end));
            }
            let is_client = request.origin == Origin::Client;
            self.requests.is_accepted(key, None);
            let stream_is_gone = self.session.as_ref().is_none_or(|session| session.epoch != context.epoch);
            if sse && stream_is_gone {
                let reason = "the event stream was lost after the request was accepted".to_string();
                self.settle(key, End { evidence: Evidence::Unknown, accepted: true, reason, refusal: None });
            } else if !sse {
                if is_client && !self.standalone_may_answer(context.epoch) {
                    let reason = "the server accepted it without an answer, and no stream could bring one".to_string();
                    // Servers that stop answer so, too.
                    if !stream_is_gone && !self.session_may_survive() {
                        self.then(Consequence::Recover(ConnectionError::Unusable(reason.clone())));
                    }
                    // The end of a session settles what was accepted in it.
                    let ended = Ended { evidence: Evidence::Unknown, accepted: true, reason, refusal: None };
                    self.then(Consequence::SettleAccepted(key, ended));
                }
                if !stream_is_gone {
                    self.probes.client_was_answered(false);
                    self.then(Consequence::Probe);
                }
            }
        }
    }

    pub(crate) fn dispatch_outcome(&mut self, id: ExchangeId, role: Role, context: Context, outcome: Outcome) {
        let epoch = context.epoch;
        let current = epoch == self.epoch;
        let being_made = self.is_being_made(epoch);
        match role {
            Role::Retired | Role::Delete => {}
            Role::Modern(key) => self.on_modern_over(key, outcome),
            Role::ModernOwn(own) => self.on_modern_own_over(id, own, outcome),
            Role::ModernNotify => self.on_modern_notify_over(outcome),
            Role::Initialize | Role::Initialized => self.on_handshake_outcome(&role, into_connection_error(outcome)),
            Role::Stream => {
                if current || being_made {
                    let cause = into_connection_error(outcome);
                    self.on_stream_over(epoch, cause);
                }
            }
            Role::Standalone => {
                if self.session.is(epoch) {
                    let clean = matches!(outcome, Outcome::Ended { clean: true, .. });
                    let cause = into_connection_error(outcome);
                    self.on_standalone_over(clean, cause);
                }
            }
            Role::Notify(queued) => {
                self.notification_over(id);
                self.on_notification_over(queued, context, outcome);
            }
            Role::Post(key) => self.on_post_over(key, context, outcome),
            Role::Resume(key) => self.on_resume_over(key, current, outcome),
        }
    }

    pub(crate) fn on_post_over(&mut self, key: RequestKey, context: Context, outcome: Outcome) {
        let current = context.epoch == self.epoch;
        let grace = self.timers.is_set(Timer::Grace(key));
        // What the engine's own requests mean for the connection is decided where they end.
        let asked = self.requests.get(&key).is_some_and(|request| request.origin == Origin::Client);
        let current = current && (asked || !self.requests.contains(key));
        if asked && current && !matches!(outcome, Outcome::Accepted) {
            self.probes.client_was_answered(false);
        }
        match outcome {
            Outcome::Accepted => {}
            Outcome::Ended { clean, reason } => {
                // A session that ends with it ends first, so that what is said of the request is true.
                if !clean && current && !self.session_may_survive() {
                    self.then(Consequence::Recover(ConnectionError::Broken(reason.to_string())));
                }
                self.then(Consequence::BrokeOff { key, clean, reason: reason.to_string() });
                if !clean && current {
                    self.then(Consequence::Recover(ConnectionError::Broken(reason.to_string())));
                }
            }
            Outcome::Refused(refusal) => {
                let reason = refusal.describe();
                let evidence = match refusal.evidence(context.transport, context.had_session) {
                    // The server speaks no version with sessions any more.
                    Evidence::Refused if asked && self.is_of_other_era(key, &refusal) => Evidence::SessionLost,
                    // Some servers know no pings.
                    Evidence::NotTaken if refusal.status == 404 && !asked => Evidence::Refused,
                    evidence => evidence,
                };
                if asked && current && self.must_verify_refusal(key, &refusal, evidence) {
                    return self.verify(key, UnverifiedAnswer::Refusal(refusal));
                }
                // A session that ends with it ends first, so that what is said of the request is true.
                let ends =
                    evidence == Evidence::SessionLost || evidence == Evidence::Unknown && !self.session_may_survive();
                if current && ends {
                    self.after_refusal(evidence, &refusal, reason.clone());
                }
                let ended = Ended { evidence, accepted: false, reason: reason.clone(), refusal: Some(refusal.clone()) };
                self.then(Consequence::Settle(key, ended));
                if current && !ends {
                    self.after_refusal(evidence, &refusal, reason);
                }
                // The server may have become another one: with session ids, without them, of the other transport.
                let other = refusal.may_mean_loss() || matches!(refusal.status, 400 | 404 | 405);
                if asked && current && evidence == Evidence::Refused && other {
                    self.then(Consequence::Probe);
                }
            }
            Outcome::Failed { failure, reason } => {
                let evidence = match failure {
                    Failure::Dns | Failure::Connect | Failure::Tls => Evidence::NotSent,
                    Failure::Unsendable => Evidence::Refused,
                    Failure::Lost => Evidence::Unknown,
                };
                let awaited = evidence == Evidence::Unknown && !grace && self.await_on_stream(key);
                if evidence == Evidence::Unknown && !awaited && current && !grace && !self.session_may_survive() {
                    self.then(Consequence::Recover(ConnectionError::Broken(reason.to_string())));
                }
                if !awaited {
                    let ended = Ended { evidence, accepted: false, reason: reason.to_string(), refusal: None };
                    self.then(Consequence::Settle(key, ended));
                }
                if current && !grace {
                    match evidence {
                        Evidence::NotSent => {
                            self.then(Consequence::Recover(ConnectionError::Unreachable(reason.to_string())))
                        }
                        Evidence::Unknown => {
                            self.then(Consequence::Recover(ConnectionError::Broken(reason.to_string())))
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// Whether a request of a session was refused as servers do that speak only versions without sessions.
    pub(crate) fn is_of_other_era(&self, key: RequestKey, refusal: &Refusal) -> bool {
        let unsupported = |error: BodyError| error.code == era::UNSUPPORTED_VERSION;
        !self.translates(key) && matches!(refusal.status, 400..500) && refusal.error().is_some_and(unsupported)
    }

    /// What a refusal of a message in the current session means for the connection.
    pub(crate) fn after_refusal(&mut self, evidence: Evidence, refusal: &Refusal, reason: String) {
        match evidence {
            Evidence::SessionLost => self.then(Consequence::Recover(ConnectionError::SessionLost(reason))),
            Evidence::NotTaken => self.then(Consequence::Recover(ConnectionError::Proxied(not_the_server(&reason)))),
            Evidence::Busy { retry_after } => self.then(Consequence::Pause { retry_after, reason }),
            Evidence::Unauthorized => self.then(Consequence::Unauthorized(refusal.clone())),
            // Without a session id a 5xx says nothing of the session, unless nobody stands behind the proxy.
            Evidence::Unknown if self.session_may_survive() || matches!(refusal.status, 502..=504) => {
                self.then(Consequence::Recover(ConnectionError::Broken(reason)));
            }
            Evidence::Unknown => self.then(Consequence::Ping),
            Evidence::NotSent | Evidence::Refused => {}
        }
    }

    pub(crate) fn on_resume_over(&mut self, key: RequestKey, current: bool, outcome: Outcome) {
        if self.requests.get(&key).is_none_or(|request| !matches!(request.state, RequestState::Resumed(_))) {
            return;
        }
        match outcome {
            Outcome::Accepted => {}
            Outcome::Ended { clean, reason } => {
                self.then(Consequence::BrokeOff { key, clean, reason: reason.to_string() });
                if !clean && current {
                    self.then(Consequence::Recover(ConnectionError::Broken(reason.to_string())));
                }
            }
            // The call still runs; its stream can be asked for later.
            Outcome::Refused(refusal)
                if matches!(refusal.status, 401 | 403 | 421 | 425 | 429) || proxy::nobody_took_it(&refusal, true) =>
            {
                self.resume_later(key);
                if current {
                    let evidence = refusal.evidence(Transport::StreamableHttp, true);
                    self.after_refusal(evidence, &refusal, refusal.describe());
                }
            }
            Outcome::Refused(refusal) => {
                let reason = alloc::format!("its stream broke and could not be resumed ({})", refusal.describe());
                let breaks = current && refusal.evidence(Transport::StreamableHttp, true) == Evidence::SessionLost;
                // A session that ends with it ends first, so that what is said of the request is true.
                if breaks && !self.session_may_survive() {
                    self.then(Consequence::Recover(ConnectionError::Broken(reason.clone())));
                }
                let ended = Ended { evidence: Evidence::Unknown, accepted: true, reason, refusal: None };
                self.then(Consequence::Settle(key, ended));
                if breaks {
                    self.then(Consequence::Recover(ConnectionError::Broken(refusal.describe())));
                }
            }
            Outcome::Failed { reason, .. } => {
                self.resume_later(key);
                if current {
                    self.then(Consequence::Recover(ConnectionError::Unreachable(reason.to_string())));
                }
            }
        }
    }

    /// A notification is sent at most once: it goes back only if it provably was not taken. An answer may arrive twice.
    pub(crate) fn on_notification_over(&mut self, mut queued: Queued, context: Context, outcome: Outcome) {
        let current = context.epoch == self.epoch;
        let (evidence, reason, refusal) = match outcome {
            Outcome::Accepted | Outcome::Ended { clean: true, .. } => return,
            Outcome::Ended { clean: false, reason } => (Evidence::Unknown, reason.to_string(), None),
            Outcome::Refused(refusal) => {
                let evidence = refusal.evidence(context.transport, context.had_session);
                (evidence, refusal.describe(), Some(refusal))
            }
            Outcome::Failed { failure: Failure::Dns | Failure::Connect | Failure::Tls, reason } => {
                (Evidence::NotSent, reason.to_string(), None)
            }
            Outcome::Failed { reason, .. } => (Evidence::Unknown, reason.to_string(), None),
        };
        let lost = evidence == Evidence::SessionLost;
        // Where there is no session to be asked for, a notification that a server refuses is no reason for another, time and again.
        let nameless = matches!(evidence, Evidence::Unknown | Evidence::NotTaken)
            && refusal.is_some()
            && !self.session_may_survive();
        let refused_again = nameless && self.notifications.are_refused();
        let aside = matches!(queued.message, Outgoing::Aside(_));
        let again = match evidence {
            _ if refused_again => false,
            // The engine's own are worth no second try where the server asks for a pause.
            Evidence::Busy { .. } | Evidence::SessionLost | Evidence::Unauthorized if aside => false,
            Evidence::NotSent | Evidence::NotTaken | Evidence::Busy { .. } => true,
            // Some servers refuse all notifications so, or all of a kind.
            Evidence::SessionLost => !queued.lost && !self.notifications.are_refused(),
            Evidence::Unauthorized => self.options.can_refresh_credentials && !self.asked_lately(),
            Evidence::Unknown => current && queued.message.may_repeat(),
            Evidence::Refused => false,
        };
        if lost && !again || nameless {
            self.notifications.was_refused();
        }
        let late = queued.expires.is_some_and(|at| at <= self.now) || queued.refusals >= MAX_REFUSALS;
        if again && !late && !self.closing {
            queued.lost |= lost;
            queued.refusals += u32::from(evidence != Evidence::NotSent);
            self.requeue_unsent(queued);
        } else if aside {
            self.log(Level::Debug, alloc::format!("a message of the engine's own was dropped: {reason}"));
        } else {
            self.log_dropped("a notification or answer of the client", &reason);
        }
        if !current {
            return;
        }
        match (evidence, refusal) {
            (Evidence::SessionLost, _) if self.has_session() => {
                if again {
                    self.then(Consequence::Verify(reason));
                }
            }
            (Evidence::NotSent, _) => self.then(Consequence::Recover(ConnectionError::Unreachable(reason))),
            (_, Some(_)) if refused_again => self.liveness.doubt(),
            (_, Some(refusal)) => self.after_refusal(evidence, &refusal, reason),
            (_, None) => self.then(Consequence::Recover(ConnectionError::Broken(reason))),
        }
    }
}

fn into_connection_error(outcome: Outcome) -> ConnectionError {
    match outcome {
        Outcome::Accepted => ConnectionError::Unusable("it was accepted without an answer".to_string()),
        Outcome::Ended { clean: true, reason } => ConnectionError::Unusable(reason.to_string()),
        Outcome::Ended { clean: false, reason } => ConnectionError::Broken(reason.to_string()),
        Outcome::Refused(refusal) => ConnectionError::Refused(refusal),
        Outcome::Failed { failure: Failure::Dns | Failure::Connect, reason } => {
            ConnectionError::Unreachable(reason.to_string())
        }
        Outcome::Failed { failure: Failure::Tls | Failure::Unsendable, reason } => {
            ConnectionError::Fatal(reason.to_string())
        }
        Outcome::Failed { failure: Failure::Lost, reason } => ConnectionError::Broken(reason.to_string()),
    }
}
