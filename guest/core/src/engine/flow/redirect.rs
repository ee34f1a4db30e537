//! Redirects of the endpoint.

use alloc::string::{String, ToString};

use super::outcome::Outcome;
use super::settle::End;
use crate::engine::Engine;
use crate::engine::state::exchanges::{Reading, Role};
use crate::policy::proxy;
use crate::policy::replay::Evidence;
use crate::policy::session_loss::Refusal;
use crate::{ExchangeId, Level, Output, Transport};

/// Redirects in a row that are followed.
const MAX_REDIRECTS: u32 = 5;

impl Engine {
    /// Redirects stay inside the origin and keep the method (307, 308). Anything else is refused: it would carry the
    /// user's headers to a stranger, or turn a POST into a GET.
    pub(crate) fn on_redirect(&mut self, id: ExchangeId, status: u16, location: Option<&[u8]>) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (role, context, url, redirects) =
            (exchange.role.clone(), exchange.context, exchange.url.clone(), exchange.redirects);
        let target = location
            .and_then(|location| core::str::from_utf8(location).ok())
            .and_then(|location| url.resolve_iri(location).ok());
        // Where HTTP+SSE messages go is said by the stream, and by nothing else.
        let is_sse_post = !matches!(role, Role::Stream) && context.transport == Transport::HttpSse;
        match target {
            Some(target)
                if matches!(status, 307 | 308)
                    && target.same_origin(&self.url)
                    && redirects < MAX_REDIRECTS
                    && !is_sse_post =>
            {
                self.log(Level::Info, alloc::format!("the server redirects to {}", clip_path(target.path_and_query())));
                // Others that were sent to the same place may have been redirected before; those of an old session tell nothing.
                if context.epoch == self.epoch && url == self.url {
                    self.url = target;
                }
                self.cancel(id);
                let next = self.exchanges.next_id();
                self.restart(id, role, context.epoch);
                self.exchanges.redirected(next, redirects + 1);
            }
            target => {
                let circle =
                    redirects >= MAX_REDIRECTS && target.as_ref().is_some_and(|target| target.same_origin(&url));
                let to = target.map_or_else(
                    || "to nowhere".to_string(),
                    |url| {
                        let scheme = if url.https() { "https" } else { "http" };
                        alloc::format!("to {scheme}://{}{}", url.authority(), clip_path(url.path_and_query()))
                    },
                );
                let redirects = if circle { proxy::REDIRECTED_TOO_OFTEN } else { "it redirects" };
                let body = alloc::format!(
                    "{redirects} {to}, which is not followed (only 307 and 308 inside one origin are); use the final URL"
                );
                let refusal = Refusal { status, challenge: String::new(), retry_after: None, body };
                self.exchanges.reads(id, Reading::Drain(0));
                // Nothing in its body matters, and it may never end.
                self.outputs.push_back(Output::Cancel(id));
                self.finish_exchange(id, Outcome::Refused(refusal));
            }
        }
    }

    /// Does again what was redirected, at once if the connection that it was sent on is up.
    fn restart(&mut self, id: ExchangeId, role: Role, epoch: u64) {
        let up = self.connection.is_ready() && epoch == self.epoch;
        match role {
            // One that was cancelled is not sent again.
            Role::Modern(key) => self.post_modern_again(key),
            Role::ModernOwn(own) => self.redirected_own(id, own),
            Role::ModernNotify => self.log_dropped("a notification of the client", "it was redirected"),
            Role::Post(key) if self.requests.get(&key).is_some_and(|request| request.cancelled) => {
                self.forget(key);
            }
            Role::Post(key) if up || self.connection.probe() == Some(key) => self.post_request_again(key),
            Role::Notify(queued) if up => {
                let exchange = self.post_notification(queued);
                self.notifications.moved(id, exchange);
            }
            Role::Post(key) => {
                let reason = "it was redirected".to_string();
                self.settle(key, End { evidence: Evidence::NotSent, accepted: false, reason, refusal: None });
            }
            Role::Notify(queued) => {
                self.notification_over(id);
                self.requeue_unsent(queued);
            }
            Role::Resume(key) => {
                self.requests.is_resuming(key);
                self.resume(key);
            }
            Role::Standalone => {
                self.session.has_no_stream(epoch);
                self.open_standalone();
            }
            Role::Initialize | Role::Stream => self.restart_handshake(),
            Role::Initialized => self.send_initialized(),
            Role::Delete | Role::Retired => {}
        }
    }
}

/// A path for people: the query may hold a secret.
fn clip_path(path: &str) -> &str {
    path.split('?').next().unwrap_or("/")
}
