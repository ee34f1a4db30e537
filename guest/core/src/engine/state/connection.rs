//! What the connection is doing. One function changes it, [`Connection::change`], and this is how:
//!
//! ```text
//!            ┌────────────────────────── the first contact failed ──────────────────────────┐
//!            ▼                                                                               │
//!         ┌──────┐  initialize   ┌───────────┐  result   ┌──────────────────┐                │
//!         │ Idle ├──────────────►│ Handshake ├──────────►│ AwaitInitialized │                │
//!         └──┬───┘               │           │◄──────────┤                  │                │
//!            │                   │           │ the client└────────┬─────────┘                │
//!            │ taken over        │           │ is ready           │ broken                   │
//!            │                   │           │                    ▼                          │
//!            │   ┌─────────┐     │           │  taken    ┌──────────────────┐  asked  ┌──────┴──────┐
//!            │   │ Headers ├────►│           ├──────────►│      Ready       ├────────►│   Probing   │
//!            │   └─────────┘fresh└───────────┘           │                  │◄────────┤             │
//!            │        ▲                ▲                 └────────┬─────────┘  alive  └──────┬──────┘
//!            │        │ asked for      │ attempt                  │ lost, paused              │ failed
//!            │        │                │                          ▼                           ▼
//!            │        │                │                 ┌────────────────────────────────────────┐
//!            └────────┼────────────────┴─────────────────┤               Waiting                  │
//!                     │                                  └────────────────────────────────────────┘
//!                     │         ┌─────────────┐
//!                     └─────────┤ Credentials │◄──── 401, 403 in Handshake, Ready or Probing
//!                               └─────────────┘
//!
//!         any ── close ──► Closing ── DELETE over ──► Closed      (or at once, where there is nothing to delete)
//! ```
//!
//! An attempt leads from `Waiting`, `Headers` and `Credentials` to a handshake, or to a probe where there is a session that may have
//! survived. The table is [`legal`].

use alloc::string::String;

use crate::engine::state::handshake::{Handshake, Step};
use crate::engine::state::requests::RequestKey;

/// What the connection is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConnectionState {
    /// Nothing was asked of it, or the first contact failed for good reason.
    Idle,
    /// A session is being made.
    Handshake(Handshake),
    /// There is a session, and the client's `initialized` is awaited.
    AwaitInitialized,
    /// Messages flow.
    Ready,
    /// This request of the engine's own finds out whether the session lives. Messages are held meanwhile.
    Probing(RequestKey),
    /// The next attempt has its time.
    Waiting,
    /// A session is to be made, with fresh headers that the host was asked for.
    Headers,
    /// The server wants other credentials.
    Credentials(Challenge),
    /// The last DELETE is under way.
    Closing,
    Closed,
}

/// A server's demand for credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Challenge {
    pub status: u16,
    pub text: String,
}

/// A state without what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Handshake,
    AwaitInitialized,
    Ready,
    Probing,
    Waiting,
    Headers,
    Credentials,
    Closing,
    Closed,
}

impl ConnectionState {
    fn phase(&self) -> Phase {
        match self {
            Self::Idle => Phase::Idle,
            Self::Handshake(_) => Phase::Handshake,
            Self::AwaitInitialized => Phase::AwaitInitialized,
            Self::Ready => Phase::Ready,
            Self::Probing(_) => Phase::Probing,
            Self::Waiting => Phase::Waiting,
            Self::Headers => Phase::Headers,
            Self::Credentials(_) => Phase::Credentials,
            Self::Closing => Phase::Closing,
            Self::Closed => Phase::Closed,
        }
    }
}

/// Whether the connection may come from one state to the other.
fn legal(from: Phase, to: Phase) -> bool {
    use Phase::*;
    match from {
        Idle => matches!(to, Handshake | Headers | Waiting | Closed),
        Handshake => !matches!(to, Probing),
        AwaitInitialized => matches!(to, Handshake | Probing | Waiting | Closing | Closed),
        Ready => matches!(to, Probing | Waiting | Handshake | Headers | Credentials | Closing | Closed),
        Probing => !matches!(to, Idle),
        Waiting => matches!(to, Handshake | Headers | Probing | Waiting | Idle | Closing | Closed),
        Headers => matches!(to, Handshake | Probing | Waiting | Idle | Closing | Closed),
        Credentials => matches!(to, Handshake | Headers | Probing | Waiting | Idle | Closing | Closed),
        Closing => matches!(to, Closed),
        Closed => false,
    }
}

/// The state of the connection. Only `reconnect`, `handshake` and `close` change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    state: ConnectionState,
}

impl Default for Connection {
    fn default() -> Self {
        Self { state: ConnectionState::Idle }
    }
}

impl Connection {
    pub fn state(&self) -> &ConnectionState {
        &self.state
    }

    /// The one way to another state.
    pub fn change(&mut self, to: ConnectionState) {
        let (from, next) = (self.state.phase(), to.phase());
        debug_assert!(legal(from, next), "the connection goes from {from:?} to {next:?}");
        self.state = to;
    }

    /// The session that is being made.
    pub fn handshake(&self) -> Option<&Handshake> {
        match &self.state {
            ConnectionState::Handshake(handshake) => Some(handshake),
            _ => None,
        }
    }

    /// The same, to say how far it has come.
    pub fn handshake_mut(&mut self) -> Option<&mut Handshake> {
        match &mut self.state {
            ConnectionState::Handshake(handshake) => Some(handshake),
            _ => None,
        }
    }

    /// How far the session that is being made has come.
    pub fn step(&self) -> Option<Step> {
        self.handshake().map(Handshake::step)
    }

    /// The request that finds out whether the session lives.
    pub fn probe(&self) -> Option<RequestKey> {
        match self.state {
            ConnectionState::Probing(key) => Some(key),
            _ => None,
        }
    }

    pub fn is_probing(&self) -> bool {
        self.probe().is_some()
    }

    /// What the server wants, while other credentials are awaited.
    pub fn challenge(&self) -> Option<&Challenge> {
        match &self.state {
            ConnectionState::Credentials(challenge) => Some(challenge),
            _ => None,
        }
    }

    /// Whether other headers are the next thing to come.
    pub fn awaits_headers(&self) -> bool {
        matches!(self.state, ConnectionState::Credentials(_) | ConnectionState::Headers)
    }

    pub fn is_ready(&self) -> bool {
        self.state == ConnectionState::Ready
    }

    pub fn is_waiting(&self) -> bool {
        self.state == ConnectionState::Waiting
    }

    pub fn awaits_initialized(&self) -> bool {
        self.state == ConnectionState::AwaitInitialized
    }

    pub fn is_closed(&self) -> bool {
        self.state == ConnectionState::Closed
    }

    /// Whether the last DELETE is under way, or was.
    pub fn has_taken_leave(&self) -> bool {
        matches!(self.state, ConnectionState::Closing | ConnectionState::Closed)
    }

    /// Whether a session has been made that is not ready, or is being made.
    pub fn is_unready(&self) -> bool {
        matches!(self.state, ConnectionState::Handshake(_) | ConnectionState::AwaitInitialized)
    }

    /// Whether what is told to the server beside the client's messages can be sent.
    pub fn takes_asides(&self) -> bool {
        matches!(self.state, ConnectionState::Ready | ConnectionState::AwaitInitialized)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::vec::Vec;

    use super::*;
    use crate::Transport;

    fn all() -> Vec<ConnectionState> {
        let challenge = Challenge { status: 401, text: String::new() };
        Vec::from([
            ConnectionState::Idle,
            ConnectionState::Handshake(Handshake::begin(Transport::StreamableHttp, 1, None)),
            ConnectionState::AwaitInitialized,
            ConnectionState::Ready,
            ConnectionState::Probing(RequestKey(1)),
            ConnectionState::Waiting,
            ConnectionState::Headers,
            ConnectionState::Credentials(challenge),
            ConnectionState::Closing,
            ConnectionState::Closed,
        ])
    }

    /// Rows: from. Columns: to. In the order of `all`.
    const TABLE: [&str; 10] = [
        // I H A R P W H C C C
        "  - x - - - x x - - x",
        "  x x x x - x x x x x",
        "  - x - - x x - - x x",
        "  - x - - x x x x x x",
        "  - x x x x x x x x x",
        "  x x - - x x x - x x",
        "  x x - - x x - - x x",
        "  x x - - x x x - x x",
        "  - - - - - - - - - x",
        "  - - - - - - - - - -",
    ];

    #[test]
    fn no_move_is_made_that_is_not_in_the_table() {
        for (from, row) in all().into_iter().zip(TABLE) {
            for (to, cell) in all().into_iter().zip(row.split_whitespace()) {
                let name = std::format!("{:?} to {:?}", from.phase(), to.phase());
                assert_eq!(legal(from.phase(), to.phase()), cell == "x", "{name}");
                let (mut connection, wanted) = (Connection { state: from.clone() }, to.clone());
                let moved = catch_unwind(move || {
                    connection.change(to);
                    connection
                });
                match moved {
                    Ok(connection) => assert!(cell == "x" && *connection.state() == wanted, "{name}"),
                    Err(_) => assert_eq!(cell, "-", "{name}"),
                }
            }
        }
    }

    #[test]
    fn from_every_state_but_the_last_there_is_a_way_to_ready_or_to_the_end() {
        let phases: Vec<_> = all().iter().map(ConnectionState::phase).collect();
        for start in &phases[..9] {
            let mut reached = Vec::from([*start]);
            while let Some(more) =
                phases.iter().find(|to| !reached.contains(to) && reached.iter().any(|from| legal(*from, **to)))
            {
                reached.push(*more);
            }
            assert_eq!(reached.contains(&Phase::Ready), *start != Phase::Closing, "{start:?}");
            assert!(reached.contains(&Phase::Closed), "{start:?}");
        }
    }

    #[test]
    fn what_each_state_means() {
        let is_one = |name: &str, state: &ConnectionState| alloc::format!("{state:?}").starts_with(name);
        for state in all() {
            let connection = Connection { state: state.clone() };
            let unready = is_one("Handshake", &state) || is_one("AwaitInitialized", &state);
            assert_eq!(connection.is_unready(), unready, "{state:?}");
            let told = is_one("Ready", &state) || is_one("AwaitInitialized", &state);
            assert_eq!(connection.takes_asides(), told, "{state:?}");
            assert_eq!(connection.has_taken_leave(), is_one("Clos", &state), "{state:?}");
        }
    }
}
