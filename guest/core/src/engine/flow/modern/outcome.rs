//! Exchanges of these versions that ended without an answer, or were refused.

use alloc::string::{String, ToString};

use super::Own;
use crate::api::errors::response;
use crate::engine::Engine;
use crate::engine::flow::connection_error::not_the_server;
use crate::engine::flow::outcome::Outcome;
use crate::engine::flow::settle::End;
use crate::engine::state::connection::Challenge;
use crate::engine::state::modern::{Era, Link};
use crate::engine::state::requests::{Request, RequestKey};
use crate::engine::state::timers::Timer;
use crate::policy::era::{self, Verdict};
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::wire::json::{self, Envelope, Kind, Parsed};
use crate::wire::modern;
use crate::wire::spelling;
use crate::{Event, ExchangeId, Failure, Level, Transport};

/// So often a request is held while the server's path is not found: a server that is being replaced has it again soon.
const MAX_NOT_FOUND: u32 = 3;

impl Engine {
    /// The exchange of a request of the client ended, and the request has no answer yet.
    pub(crate) fn on_modern_over(&mut self, key: RequestKey, outcome: Outcome) {
        let Some(request) = self.requests.get(&key) else { return };
        let listens = request.is_listen();
        match outcome {
            Outcome::Accepted => {
                let reason = "the server accepted it without an answer";
                if listens {
                    self.listen_lost(key, reason);
                } else {
                    self.modern_unanswered(key, true, reason.to_string());
                }
            }
            Outcome::Ended { clean, reason } => {
                if listens {
                    self.listen_lost(key, reason);
                } else {
                    // Its response had begun.
                    self.modern_unanswered(key, true, reason.to_string());
                }
                if !clean {
                    self.modern_broken(reason.to_string());
                }
            }
            Outcome::Refused(refusal) => self.modern_refused(key, refusal),
            Outcome::Failed { failure, reason } => {
                let evidence = match failure {
                    Failure::Dns | Failure::Connect | Failure::Tls => Evidence::NotSent,
                    Failure::Unsendable => Evidence::Refused,
                    Failure::Lost => Evidence::Unknown,
                };
                let reason = reason.to_string();
                match evidence {
                    Evidence::Unknown if listens => self.listen_lost(key, &reason),
                    Evidence::Unknown => self.modern_unanswered(key, false, reason.clone()),
                    _ => {
                        let end = End { evidence, accepted: false, reason: reason.clone(), refusal: None };
                        self.settle(key, end);
                    }
                }
                match evidence {
                    Evidence::NotSent => self.modern_unreachable(reason),
                    Evidence::Unknown => self.modern_broken(reason),
                    _ => {}
                }
            }
        }
    }

    /// A request that may have run has no answer.
    fn modern_unanswered(&mut self, key: RequestKey, accepted: bool, reason: String) {
        // Whether it ran does not matter, and its time is short.
        let discovers = self.requests.get(&key).is_some_and(|request| request.method == "server/discover");
        let evidence = if discovers { Evidence::NotSent } else { Evidence::Unknown };
        self.settle(key, End { evidence, accepted, reason, refusal: None });
        if discovers {
            self.modern.doubt();
            self.check_modern_link();
        }
    }

    /// A response that is no success, or nothing that means anything.
    pub(crate) fn modern_refused(&mut self, key: RequestKey, refusal: Refusal) {
        let Some(request) = self.requests.get(&key) else { return };
        let wire = request.wire_id;
        let evidence = refusal.evidence(Transport::StreamableHttp, false);
        if matches!(evidence, Evidence::Unknown | Evidence::Refused)
            && let Ok(Parsed::One(envelope)) = json::parse(json::without_bom(&refusal.body))
            && let Envelope { kind: Kind::Response { id: Some(id) }, error: Some(_), .. } = &envelope
            && spelling::integer(id.raw) == Some(wire)
        {
            return self.on_modern_answer(key, json::without_bom(&refusal.body), id.range(), &envelope);
        }
        let (turned_away, listens) = (request.turned_away, request.is_listen());
        let not_found = matches!(refusal.status, 404 | 410) && refusal.error().is_none();
        let evidence = match (self.modern.era(), era::of_refusal(&refusal)) {
            // A server that was there a moment ago and is found no more is being replaced.
            (Era::Modern, _) if not_found && turned_away < MAX_NOT_FOUND => Evidence::NotTaken,
            (Era::Modern, _) if not_found => Evidence::Refused,
            (Era::Modern, Verdict::Legacy) => return self.verify_era(key, refusal),
            (_, Verdict::Legacy) => return self.answer_legacy(key),
            _ => evidence,
        };
        let reason = refusal.describe();
        if listens && evidence == Evidence::Unknown {
            self.listen_lost(key, &reason);
        } else {
            self.settle(key, End { evidence, accepted: false, reason: reason.clone(), refusal: Some(&refusal) });
        }
        self.after_modern_refusal(evidence, &refusal, reason);
    }

    /// What a refusal means for the requests that follow.
    pub(crate) fn after_modern_refusal(&mut self, evidence: Evidence, refusal: &Refusal, reason: String) {
        match evidence {
            Evidence::NotTaken => {
                self.modern.turned_away();
                self.modern_unreachable(not_the_server(&reason));
            }
            Evidence::Busy { retry_after } => self.modern_pause(retry_after, reason),
            Evidence::Unauthorized => self.modern_unauthorized(refusal),
            Evidence::Unknown => self.modern_broken(reason),
            Evidence::NotSent | Evidence::Refused | Evidence::SessionLost => {}
        }
    }

    /// The server spoke a version without sessions, and refuses as one that does not: it is asked before that is believed.
    fn verify_era(&mut self, key: RequestKey, refusal: Refusal) {
        let Some(request) = self.requests.get(&key) else { return };
        let left = request.hold_left;
        self.requests.awaits_other_sending(key);
        if let Some(part) = self.requests.modern(key) {
            part.unverified = Some(refusal);
        }
        for timer in [Timer::Listen(key), Timer::Run(key)] {
            self.timers.clear(timer);
        }
        self.start_hold(key, left);
        self.check_modern_link();
    }

    /// Nothing more can be found out: what the server refused the request with is the answer. False: it was not refused.
    pub(crate) fn modern_refusal_stands(&mut self, key: RequestKey) -> bool {
        let Some(refusal) = self.requests.modern(key).and_then(|part| part.unverified.take()) else { return false };
        let end =
            End { evidence: Evidence::Refused, accepted: false, reason: refusal.describe(), refusal: Some(&refusal) };
        self.answer_refused(key, &end);
        true
    }

    /// It is known which versions the server speaks: what waited for that is answered.
    pub(crate) fn era_verified(&mut self, verdict: Verdict) {
        let waiting: alloc::vec::Vec<_> =
            self.requests.iter().filter(|(_, request)| request.is_unverified()).map(|(key, _)| *key).collect();
        for key in waiting {
            if verdict == Verdict::Legacy {
                self.answer_legacy(key);
            } else {
                self.modern_refusal_stands(key);
            }
        }
    }

    /// The server speaks no version without sessions: a client that can speak others learns which (MCP 2026-07-28,
    /// "Versioning").
    fn answer_legacy(&mut self, key: RequestKey) {
        self.set_era(Era::Legacy);
        let Some(request) = self.requests.get(&key) else { return };
        if request.method == "server/discover" {
            return self.answer_discover_unknown(key);
        }
        let version = request.modern.as_ref().map_or("", |part| part.version.as_str());
        let supported = modern::WITH_SESSIONS.map(json::quote).join(",");
        let data = alloc::format!(r#"{{"supported":[{supported}],"requested":{}}}"#, json::quote(version));
        let text = alloc::format!(
            "Unsupported protocol version: {} speaks only versions with a session. Send initialize.",
            self.server_name()
        );
        let Some(request) = self.forget(key) else { return };
        if !request.cancelled {
            self.emit_message(response(request.client_id(), era::UNSUPPORTED_VERSION, &text, Some(&data)));
        }
    }

    fn modern_unauthorized(&mut self, refusal: &Refusal) {
        let challenge = Challenge { status: refusal.status, text: refusal.challenge.clone() };
        self.emit(Event::CredentialsNeeded { status: challenge.status, challenge: challenge.text.clone() });
        if self.options.can_refresh_credentials && !self.asked_lately() {
            let status = challenge.status;
            self.modern.link_is(Link::Credentials(challenge));
            self.credentials.rejected(self.now);
            self.timers.set(Timer::ModernCredentials, self.now + self.options.credentials_timeout);
            self.request_headers(status);
        }
    }

    /// Nobody brought other credentials.
    pub(crate) fn on_modern_credentials_over(&mut self) {
        let Some(challenge) = self.modern.give_up_credentials() else { return };
        for key in self.modern.take_queue() {
            self.answer_unauthorized(key, challenge.status, &challenge.text);
        }
        self.headers_are_stale();
        self.reopen_listens();
    }

    /// A question of the engine's own came to nothing.
    pub(crate) fn on_modern_own_over(&mut self, id: ExchangeId, own: Own, outcome: Outcome) {
        self.timers.clear(Timer::ModernOwn(id));
        if let Own::Tools(key, _) = own {
            return self.send_with_other_headers(key);
        }
        if !self.modern.question_over(id) {
            return;
        }
        match outcome {
            Outcome::Accepted => {
                self.modern_unreachable("a server/discover was accepted without an answer".to_string())
            }
            Outcome::Ended { reason, .. } | Outcome::Failed { reason, .. } => {
                self.modern_unreachable(reason.to_string());
            }
            Outcome::Refused(refusal) => {
                let not_found = matches!(refusal.status, 404 | 410) && refusal.error().is_none();
                let verdict = era::of_refusal(&refusal);
                let evidence = refusal.evidence(Transport::StreamableHttp, false);
                let reason = refusal.describe();
                match (verdict, evidence) {
                    (Verdict::Legacy, _) if not_found && self.modern.era() == Era::Modern => {
                        self.modern_unreachable(not_the_server(&reason));
                    }
                    (Verdict::Legacy | Verdict::Modern, _) => self.modern_discovered(verdict, None),
                    (_, Evidence::Unknown | Evidence::Refused) => self.modern_unreachable(reason),
                    (_, evidence) => {
                        // It was answered; where nobody brings other credentials, each request learns that for itself.
                        self.modern.link_is(Link::Up);
                        self.modern.is_certain();
                        self.after_modern_refusal(evidence, &refusal, reason);
                        self.reopen_listens();
                    }
                }
            }
        }
    }

    /// A question of the engine's own has had its time.
    pub(crate) fn on_modern_own_late(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let crate::engine::state::exchanges::Role::ModernOwn(own) = exchange.role.clone() else { return };
        self.cancel(id);
        if let Own::Tools(key, _) = own {
            return self.send_with_other_headers(key);
        }
        self.modern.take_question();
        let time = crate::engine::seconds(self.options.heartbeat_timeout);
        let reason = alloc::format!("a server/discover went unanswered for {time}");
        if self.modern_in_flight() && !self.options.heartbeat_strict && self.modern.is_up() {
            let epoch = self.modern.info().map_or(0, |info| info.epoch);
            return self.emit(Event::Suspect { epoch, reason });
        }
        self.modern_unreachable(reason);
    }

    /// A notification of the client ended.
    pub(crate) fn on_modern_notify_over(&mut self, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Accepted | Outcome::Ended { clean: true, .. } => return,
            Outcome::Ended { reason, .. } | Outcome::Failed { reason, .. } => reason.to_string(),
            Outcome::Refused(refusal) => refusal.describe(),
        };
        self.log(Level::Warn, alloc::format!("a notification of the client was not taken: {reason}"));
    }
}

impl Request {
    /// Whether it is one of the versions without sessions.
    pub fn is_modern(&self) -> bool {
        self.modern.is_some()
    }

    /// Whether it opens a stream of notifications.
    pub fn is_listen(&self) -> bool {
        self.modern.as_ref().is_some_and(|part| part.listen.is_some())
    }

    /// Whether it is such a stream, and the client was told what it tells of: it waits for nothing.
    pub fn is_acknowledged_listen(&self) -> bool {
        self.modern.as_ref().and_then(|part| part.listen.as_ref()).is_some_and(|listen| listen.told.is_some())
    }

    /// Whether it was refused, and it is being found out whether the server still speaks these versions.
    pub fn is_unverified(&self) -> bool {
        self.modern.as_ref().is_some_and(|part| part.unverified.is_some())
    }
}
