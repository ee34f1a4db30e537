//! A request under way, the client's or the engine's own.

use alloc::string::String;
use core::ops::Range;
use core::time::Duration;

use crate::engine::state::cursors::Page;
use crate::engine::state::modern::ModernPart;
use crate::engine::state::pause::Paused;
use crate::engine::state::progress_tokens::TaskPart;
use crate::engine::state::translation::Translated;
use crate::policy::session_loss::{self, Refusal};
use crate::{ExchangeId, Instant};

/// Names a request in the engine: the order in which requests came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RequestKey(pub u64);

/// A request and everything known about its delivery.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub origin: Origin,
    pub method: String,
    /// The message as it came.
    pub text: String,
    /// Where its id stands in `text`.
    pub id_at: Range<usize>,
    /// Running it twice does no harm.
    pub safe: bool,
    pub cancelled: bool,
    pub progress_token: Option<String>,
    /// What it has to do with tasks.
    pub task: TaskPart,
    /// The page of a list that it asks for, but for the first.
    pub page: Option<Page>,
    pub learn: Learn,
    /// What it has as a request of the versions without sessions, if it is one.
    pub modern: Option<ModernPart>,
    /// What it has as a request of a translated session, if it has something.
    pub translated: Option<Translated>,
    pub state: RequestState,
    /// The id it carries on the wire, fresh for every sending.
    pub wire_id: u64,
    /// HTTP+SSE: the id of the sending before, whose POST broke off; its answer may still come on the session's stream.
    pub earlier_wire_id: Option<u64>,
    /// The epoch it was last sent in.
    pub epoch: u64,
    /// When it was first sent.
    pub sent_at: Option<Instant>,
    /// How much longer it may be held. Time under way does not count.
    pub hold_left: Duration,
    /// It is given so much less because it is a list that a provisional result promised: it is answered then, as empty.
    pub hold_shortened: Duration,
    /// The pauses of the server that its hold clock stood still for.
    pub paused: Paused,
    pub replays: u32,
    /// It was sent after such a decision, too.
    pub sent_again: bool,
    /// The server had acknowledged a sending whose outcome is unknown.
    pub accepted: bool,
    pub losses: u32,
    pub turned_away: u32,
    pub rejections: u32,
    /// The cursor of its response stream, for `Last-Event-ID`.
    pub cursor: Option<String>,
    /// The stream's `retry:` in nanoseconds.
    pub retry: Option<Duration>,
    /// The last progress that the client was told, as the bits of a float.
    pub progress: Option<u64>,
    /// Something of its answer has come: a notification, an event id.
    pub brought: bool,
    /// What it was answered with, which is being verified, was the answer to a list, too.
    pub answered_alike: bool,
    /// Resumed streams in a row that ended and brought nothing.
    pub empty_resumes: u32,
    /// Resumed streams in a row that stayed silent for long.
    pub silent: u32,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// The client's, owed one answer.
    Client,
    /// Finds out whether the connection lives.
    Ping,
    /// Gives a new session what the old one had.
    Restore,
    /// Finds out whether the session lives.
    Verify,
}

/// How far a request has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RequestState {
    /// Not started, or to be started again.
    Held,
    /// `initialize` of the client: answered by the handshake.
    Handshake,
    /// Its POST was started.
    Sent(ExchangeId),
    /// The server took it: 2xx came. On HTTP+SSE its answer comes on the session's stream and the exchange is over.
    Accepted(Option<ExchangeId>),
    /// HTTP+SSE: its POST broke off; the answer may still come on the session's stream.
    PostLost,
    /// Its stream broke and will be resumed.
    Resuming,
    /// Its stream is being resumed by this GET.
    Resumed(ExchangeId),
    /// Its result asks for something, and the client is being asked.
    Asking,
    /// It was answered with what may mean that the session is gone; the answer waits until the session is verified.
    Verifying(UnverifiedAnswer),
}

/// What a request was answered with, while it is not known whether its session lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum UnverifiedAnswer {
    /// A JSON-RPC error response, with the client's id, and the error's code and message.
    Response { text: String, code: i64, message: String },
    /// An HTTP response that is no success.
    Refusal(Refusal),
}

impl UnverifiedAnswer {
    /// The words that leave it open.
    pub fn said(&self) -> &str {
        match self {
            Self::Response { message, .. } => message,
            Self::Refusal(refusal) => &refusal.body,
        }
    }

    /// Whether another request was answered in a like manner.
    pub fn is_like(&self, other: &Self) -> bool {
        match other {
            Self::Response { code, message, .. } => self.is_like_error(*code, message),
            Self::Refusal(refusal) => self.is_like_refusal(refusal.status),
        }
    }

    /// Whether another request was answered with the same error. `-32602` is the same whatever its text.
    pub fn is_like_error(&self, code: i64, message: &str) -> bool {
        match self {
            Self::Response { code: own, message: text, .. } => {
                *own == code && (text == message || code == session_loss::UNINITIALISED_CODE)
            }
            Self::Refusal(_) => false,
        }
    }

    /// Whether another request was refused with the same HTTP status.
    pub fn is_like_refusal(&self, status: u16) -> bool {
        matches!(self, Self::Refusal(refusal) if refusal.status == status)
    }
}

/// What a success of the request teaches about the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Learn {
    Nothing,
    /// A list: the cursor of its next page, and the annotations of tools if they are trusted.
    List {
        annotations: bool,
    },
}

impl Request {
    /// The id as its client spelt it.
    pub fn client_id(&self) -> &str {
        &self.text[self.id_at.clone()]
    }

    /// The exchange it waits on.
    pub fn exchange(&self) -> Option<ExchangeId> {
        match self.state {
            RequestState::Sent(exchange) | RequestState::Resumed(exchange) => Some(exchange),
            RequestState::Accepted(exchange) => exchange,
            _ => None,
        }
    }

    /// Whether progress is news to the client: a request that was sent again, or with the input that it asked for, begins anew,
    /// and progress only grows (MCP, "Progress"). It is then told.
    pub fn progress_goes_on(&mut self, progress: Option<f64>) -> bool {
        let Some(progress) = progress else { return true };
        let once = self.replays == 0 && self.translated.as_ref().is_none_or(|part| part.rounds == 0);
        let news = once || self.progress.is_none_or(|before| progress > f64::from_bits(before));
        if news {
            self.progress = Some(progress.to_bits());
        }
        news
    }

    /// Whether it was handed to the network and not answered yet.
    pub fn is_out(&self) -> bool {
        !matches!(self.state, RequestState::Held | RequestState::Handshake | RequestState::Asking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_answers_are_alike() {
        let response =
            |code, message: &str| UnverifiedAnswer::Response { text: String::new(), code, message: message.into() };
        let refusal = |status| {
            let body = String::from("gone");
            UnverifiedAnswer::Refusal(Refusal { status, challenge: String::new(), retry_after: None, body })
        };
        const CODE: i64 = session_loss::UNINITIALISED_CODE;
        for (one, other, alike) in [
            (response(1, "a"), response(1, "a"), true),
            (response(1, "a"), response(1, "b"), false),
            (response(1, "a"), response(2, "a"), false),
            (response(CODE, "a"), response(CODE, "b"), true),
            (refusal(404), refusal(404), true),
            (refusal(404), refusal(410), false),
            (refusal(404), response(1, "gone"), false),
            (response(1, "gone"), refusal(404), false),
        ] {
            assert_eq!(one.is_like(&other), alike, "{one:?} {other:?}");
        }
    }
}
