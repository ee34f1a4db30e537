//! What a session has that only exists for the client: the server speaks a version without sessions.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use crate::wire::modern::Filter;

/// A session whose messages are translated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Translation {
    /// The version that the server is spoken to in.
    pub version: String,
    /// The URIs, raw, that the client subscribed to.
    pub uris: BTreeSet<String>,
}

/// The engine's own stream of notifications (`subscriptions/listen`), in the place of the standalone stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct OwnListen {
    /// What the stream that is open, or being opened, was asked to tell.
    pub asked: Filter,
    /// The server has acknowledged it.
    pub acknowledged: bool,
    /// A stream of this session was lost, or never came about: what changed meanwhile was told to nobody.
    pub missed: bool,
    /// The URIs, raw, that the client was subscribed to before this session: each may have changed.
    pub restored: BTreeSet<String>,
}

/// What a translated request has beside other requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Translated {
    /// Its last sending was translated, whatever has become of the session since.
    pub is_sent: bool,
    /// It was sent once more after the server said that its headers or its version do not fit.
    pub corrected: bool,
    /// What the server asked for in its result, while the client is being asked.
    pub input: Option<Input>,
    /// How often it did.
    pub rounds: u32,
    /// The members that the next sending has beside the client's, as JSON with a comma after each; or empty.
    pub answers: String,
}

/// Questions of a server that came in a result ("Multi round-trip requests").
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Input {
    /// The answers of the client, raw, by the server's name for each question. `None`: it was not answered yet.
    pub answers: BTreeMap<String, Option<String>>,
    /// `requestState`, raw.
    pub state: Option<String>,
}
