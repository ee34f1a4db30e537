//! The replay table: what may be done with a request after something went wrong.
//!
//! No version of MCP gives exactly-once. The promise is: every request gets exactly one answer, and no request that may
//! have run is silently run again (RFC 9110 § 9.2.2).

use core::time::Duration;

/// What is known about a request that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Evidence {
    /// Provably no byte of it was sent.
    NotSent,
    /// Something answered in the place of the server, which was there before: a proxy, a maintenance page.
    NotTaken,
    /// Its answer, before anything else came of it, was that the session is gone.
    SessionLost,
    /// Rejected for its credentials (401, 403).
    Unauthorized,
    /// Rejected for now: 421, 425, 429; 503 with `Retry-After`.
    Busy { retry_after: Option<Duration> },
    /// Anything may have happened.
    Unknown,
    /// Any other 4xx, or an answer that is no MCP: it will not get better.
    Refused,
}

/// What is known about the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    /// Running it twice does no harm.
    pub safe: bool,
    /// The client cancelled it: it is owed no answer and must not be sent again.
    pub cancelled: bool,
    /// How often it was sent again with its outcome unknown.
    pub replays: u32,
    /// How often its session was lost under it.
    pub losses: u32,
    /// How often something answered it in the place of the server, with the server in reach before and after.
    pub turned_away: u32,
    /// How often it was rejected for its credentials.
    pub rejections: u32,
    /// The host answers a challenge with fresh headers.
    pub can_refresh: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Nothing: it is owed no answer.
    Drop,
    /// Hold it and send it when the server can be reached.
    Hold,
    /// Hold it for a new session.
    NewSession,
    /// Hold it until there are fresh credentials.
    AwaitCredentials,
    /// Hold it and let the server rest.
    Wait { retry_after: Option<Duration> },
    /// Send it once more, and say so.
    Replay,
    /// Answer: the outcome is unknown.
    AnswerUnknown,
    /// Answer: sessions do not stick.
    AnswerUnstable,
    /// Answer: other credentials are wanted.
    AnswerUnauthorized,
    /// Answer with what the server said.
    AnswerRefused,
}

/// Behind a balancer with one node that is not ready, every other request may be turned away; one that still is after so
/// many times is one that never gets through.
const MAX_TURNED_AWAY: u32 = 10;

/// The table.
pub(crate) fn decide(evidence: Evidence, request: Facts) -> Action {
    if request.cancelled {
        return Action::Drop;
    }
    match evidence {
        Evidence::NotSent => Action::Hold,
        Evidence::NotTaken if request.turned_away < MAX_TURNED_AWAY => Action::Hold,
        Evidence::SessionLost if request.losses == 0 => Action::NewSession,
        Evidence::SessionLost => Action::AnswerUnstable,
        Evidence::Unauthorized if request.can_refresh && request.rejections == 0 => Action::AwaitCredentials,
        Evidence::Unauthorized => Action::AnswerUnauthorized,
        Evidence::Busy { retry_after } => Action::Wait { retry_after },
        Evidence::Unknown if request.safe && request.replays == 0 => Action::Replay,
        Evidence::Unknown => Action::AnswerUnknown,
        Evidence::NotTaken | Evidence::Refused => Action::AnswerRefused,
    }
}

/// Whether running `method` twice does no harm. `tools/call` is judged by the tool's annotations instead.
pub(crate) fn is_safe(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "server/discover"
            | "resources/templates/list"
            | "resources/read"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "prompts/get"
            | "completion/complete"
            | "logging/setLevel"
            | "tasks/get"
            | "tasks/result"
            | "subscriptions/listen"
    ) || method.split_once('/').is_some_and(|(of, verb)| verb == "list" && !of.is_empty())
}

/// The same for requests of the versions without sessions. `continued`: it carries what a client answered, or the state that the
/// server gave it, which may be good for one time only.
pub(crate) fn is_safe_without_session(method: &str, continued: bool) -> bool {
    match method {
        "resources/read" | "prompts/get" => true,
        _ if continued => false,
        // A cancellation is acknowledged, and an update is told apart by its keys.
        "tasks/update" | "tasks/cancel" => true,
        "initialize"
        | "ping"
        | "logging/setLevel"
        | "resources/subscribe"
        | "resources/unsubscribe"
        | "tasks/result" => false,
        _ => is_safe(method),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    const ANY: Facts = Facts {
        safe: false,
        cancelled: false,
        replays: 0,
        losses: 0,
        turned_away: 0,
        rejections: 0,
        can_refresh: false,
    };

    #[test]
    fn the_table() {
        use Action::*;
        let safe = Facts { safe: true, ..ANY };
        for (evidence, facts, action) in [
            (Evidence::NotSent, ANY, Hold),
            (Evidence::NotSent, safe, Hold),
            (Evidence::SessionLost, ANY, NewSession),
            (Evidence::SessionLost, Facts { losses: 1, ..safe }, AnswerUnstable),
            (Evidence::Unauthorized, ANY, AnswerUnauthorized),
            (Evidence::Unauthorized, Facts { can_refresh: true, ..ANY }, AwaitCredentials),
            (Evidence::Unauthorized, Facts { can_refresh: true, rejections: 1, ..ANY }, AnswerUnauthorized),
            (Evidence::Busy { retry_after: Some(SECOND) }, ANY, Wait { retry_after: Some(SECOND) }),
            (Evidence::Unknown, ANY, AnswerUnknown),
            (Evidence::Unknown, safe, Replay),
            (Evidence::Unknown, Facts { replays: 1, ..safe }, AnswerUnknown),
            (Evidence::NotTaken, ANY, Hold),
            (Evidence::NotTaken, Facts { turned_away: 9, ..ANY }, Hold),
            (Evidence::NotTaken, Facts { turned_away: 10, ..safe }, AnswerRefused),
            (Evidence::Refused, safe, AnswerRefused),
        ] {
            assert_eq!(decide(evidence, facts), action, "{evidence:?} {facts:?}");
            assert_eq!(decide(evidence, Facts { cancelled: true, ..facts }), Drop);
        }
    }

    #[test]
    fn safe_methods_without_sessions() {
        for (method, safe, continued) in [
            ("resources/read", true, true),
            ("prompts/get", true, true),
            ("tools/list", true, false),
            ("server/discover", is_safe("server/discover"), false),
            ("tasks/get", true, false),
            ("tasks/update", true, false),
            ("tasks/cancel", true, false),
            ("tools/call", false, false),
            // These are of the versions with sessions.
            ("initialize", false, false),
            ("ping", false, false),
            ("logging/setLevel", false, false),
            ("resources/subscribe", false, false),
            ("resources/unsubscribe", false, false),
            ("tasks/result", false, false),
        ] {
            assert_eq!(is_safe_without_session(method, false), safe, "{method}");
            assert_eq!(is_safe_without_session(method, true), continued, "{method}, continued");
        }
    }

    #[test]
    fn safe_methods() {
        for method in
            ["ping", "tools/list", "tasks/list", "resources/templates/list", "resources/read", "logging/setLevel"]
        {
            assert!(is_safe(method), "{method}");
        }
        for method in ["tools/call", "tasks/cancel", "/list", "list", "x/list/y", "sampling/createMessage", ""] {
            assert!(!is_safe(method), "{method}");
        }
    }
}
