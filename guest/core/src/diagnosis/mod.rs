//! How a server treats sessions and streams: the requests that find out, and what their answers show.
//!
//! An engine hides all of this from its client. A [`Survey`] asks on purpose, in a session of its own: it builds each
//! [`Request`](crate::Request), the host makes it and collects the response in an [`Answer`], and the answer is judged by the
//! very tables that the engine decides by. Like the engine it does no I/O. [`check`] asks all of it and says what was found.

mod answer;
pub mod check;
mod fake;
mod survey;

use alloc::string::String;

pub use self::answer::{Answer, BodyKind};
pub use self::survey::{NoSession, Survey};
use crate::wire::json;

/// The newest protocol version that is spoken here, which a survey offers.
pub const NEWEST_VERSION: &str = "2025-11-25";

/// The text of an `initialize` request of a client without capabilities, with the id 1.
pub fn initialize(client: &str, version: &str) -> String {
    alloc::format!(
        concat!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{}","#,
            r#""capabilities":{{}},"clientInfo":{{"name":{},"version":{}}}}}}}"#
        ),
        NEWEST_VERSION,
        json::quote(client),
        json::quote(version),
    )
}

/// What an answer to a session id that the server never gave means to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadSession {
    /// That the session is lost: a new one is made, and the request is sent again.
    Recognised,
    /// That it may be: a list that the server offers and then an `initialize` find out, before the request is sent again.
    Verified,
    /// The server does not look at session ids: there is nothing that could be lost.
    Ignored,
    /// The server takes the message in silence. On HTTP+SSE a lost session shows in its stream, on Streamable HTTP the next
    /// ping finds out.
    Silent,
    /// Other credentials are wanted, though those that there are were good: fresh ones are asked for where there are any, and then
    /// an `initialize` finds out.
    Unauthorized,
    /// Come back later.
    Busy,
    /// An error of the server that says nothing of the session: the request's outcome is taken to be unknown.
    Unclear,
    /// An error that does not say that the session is lost: it is passed on to the client, and the session is kept.
    NotRecognised,
}

impl DeadSession {
    /// A word for it, as in `--json`: stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recognised => "recognised",
            Self::Verified => "verified",
            Self::Ignored => "ignored",
            Self::Silent => "silent",
            Self::Unauthorized => "unauthorized",
            Self::Busy => "busy",
            Self::Unclear => "unclear",
            Self::NotRecognised => "not-recognised",
        }
    }
}

/// What became of a stream that was asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumption {
    /// The answer after the named event was given again.
    Replayed,
    /// The stream was opened; nothing came after the named event.
    Accepted,
    /// It was refused.
    Refused,
}

impl Resumption {
    /// A word for it, as in `--json`: stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_json_are_stable() {
        use DeadSession::*;
        let all = [Recognised, Verified, Ignored, Silent, Unauthorized, Busy, Unclear, NotRecognised];
        let words =
            ["recognised", "verified", "ignored", "silent", "unauthorized", "busy", "unclear", "not-recognised"];
        assert_eq!(all.map(DeadSession::name), words);
        let all = [Resumption::Replayed, Resumption::Accepted, Resumption::Refused];
        assert_eq!(all.map(Resumption::name), ["replayed", "accepted", "refused"]);
    }

    #[test]
    fn an_initialize_names_its_client_and_offers_the_newest_version() {
        let text: serde_json::Value = serde_json::from_str(&initialize("a \"b\"", "1")).expect("JSON");
        assert_eq!((&text["id"], &text["method"]), (&1.into(), &"initialize".into()));
        assert_eq!(text["params"]["protocolVersion"], NEWEST_VERSION);
        assert_eq!(text["params"]["clientInfo"], serde_json::json!({"name": "a \"b\"", "version": "1"}));
    }
}
