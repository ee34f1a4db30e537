//! HTTP exchanges under way: what each is for, and how far its response has come.

use alloc::string::String;
use alloc::vec::Vec;

use crate::Transport;
use crate::engine::flow::client_message::Queued;
use crate::engine::flow::modern::Own;
use crate::engine::state::requests::RequestKey;
use crate::policy::session_loss::Refusal;
use crate::wire::sse::Parser;
use crate::wire::url::Url;

/// An HTTP request under way and its response.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    pub role: Role,
    pub context: Context,
    /// Where it was sent.
    pub url: Url,
    /// How many redirects led to it.
    pub redirects: u32,
    /// Its body was written, or answered, which proves the same.
    pub sent: bool,
    /// How often the host had given headers when it was started.
    pub headers_given: u64,
    /// The event after which the stream was asked for. Nothing of that stream was read yet.
    pub named: Option<String>,
    /// A notification about this exchange's request that must not overtake it.
    pub cancel_after: Option<String>,
    /// The driver was told to read no more of it for now.
    pub paused: bool,
    pub reading: Reading,
}

/// What its response is read by: that of the moment when it was sent, whatever the connection has become since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Context {
    pub transport: Transport,
    pub epoch: u64,
    /// It carried a session.
    pub had_session: bool,
    /// The id on the wire of the request that it posts.
    pub wire_id: Option<u64>,
}

/// What an exchange is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// The POST of a handshake's `initialize`.
    Initialize,
    /// The POST of `notifications/initialized`.
    Initialized,
    /// The GET of HTTP+SSE, on which everything comes.
    Stream,
    /// A request's POST.
    Post(RequestKey),
    /// The GET that resumes a request's response stream.
    Resume(RequestKey),
    /// A notification's or a response's POST.
    Notify(Queued),
    /// The standalone GET stream of Streamable HTTP.
    Standalone,
    /// The DELETE of a session.
    Delete,
    /// The POST of a request of the versions without sessions.
    Modern(RequestKey),
    /// What the engine asks for by itself in these versions.
    ModernOwn(Own),
    /// A notification of a client of these versions.
    ModernNotify,
    /// Nobody waits for it any more.
    Retired,
}

impl Role {
    /// Whether it belongs to the versions without sessions.
    pub fn is_modern(&self) -> bool {
        matches!(self, Self::Modern(_) | Self::ModernOwn(_) | Self::ModernNotify)
    }
}

/// How far the response has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    Head,
    Events(Parser),
    /// What has come, and the most that can come in all.
    Json(Vec<u8>, usize),
    /// What has come of the body, and the most that is read of it.
    Refusal(Refusal, Vec<u8>, usize),
    /// Nothing in it matters; the count bounds it.
    Drain(usize),
}

impl Exchange {
    /// What is held of a body that is being read, in bytes.
    pub fn held(&self) -> usize {
        match &self.reading {
            Reading::Json(body, _) | Reading::Refusal(_, body, _) => body.len(),
            Reading::Events(parser) => parser.held(),
            Reading::Head | Reading::Drain(_) => 0,
        }
    }

    /// The memory in which it is held.
    pub fn reserved(&self) -> usize {
        match &self.reading {
            Reading::Json(body, _) | Reading::Refusal(_, body, _) => body.capacity(),
            Reading::Events(parser) => parser.reserved(),
            Reading::Head | Reading::Drain(_) => 0,
        }
    }

    /// The memory that it may still need.
    pub fn outstanding(&self, max_event_bytes: usize) -> usize {
        match &self.reading {
            Reading::Json(body, most) | Reading::Refusal(_, body, most) => most.saturating_sub(body.capacity()),
            Reading::Events(parser) => max_event_bytes.saturating_sub(parser.reserved()),
            Reading::Head | Reading::Drain(_) => 0,
        }
    }
}
