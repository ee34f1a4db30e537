//! What can be wrong with the connection, and whether that passes.

use alloc::string::String;

use crate::policy::proxy;
use crate::policy::session_loss::Refusal;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConnectionError {
    /// The server does not know the session.
    SessionLost(String),
    /// The server cannot be reached, or does not answer.
    Unreachable(String),
    /// Something broke on the way; the session may have survived.
    Broken(String),
    /// The server answered, with nothing that is of use.
    Unusable(String),
    /// Something answered in the server's place: a proxy whose server is away.
    Proxied(String),
    /// The server, or something before it, refused.
    Refused(Refusal),
    /// Trying again will not help, as far as can be told: a bad certificate, a foreign endpoint.
    Fatal(String),
    /// The server cannot serve what the client was promised.
    Incompatible(String),
}

impl ConnectionError {
    pub fn reason(&self) -> String {
        match self {
            Self::SessionLost(reason)
            | Self::Unreachable(reason)
            | Self::Broken(reason)
            | Self::Unusable(reason)
            | Self::Proxied(reason)
            | Self::Fatal(reason)
            | Self::Incompatible(reason) => reason.clone(),
            Self::Refused(refusal) => refusal.describe(),
        }
    }

    /// Whether it means that the server is not there yet, as during a start or a deploy.
    pub fn will_pass(&self) -> bool {
        match self {
            Self::SessionLost(_) | Self::Unreachable(_) | Self::Broken(_) | Self::Unusable(_) | Self::Proxied(_) => {
                true
            }
            Self::Refused(refusal) => {
                matches!(refusal.status, 408 | 421 | 425 | 429 | 500..) || proxy::has_no_server(refusal)
            }
            Self::Fatal(_) | Self::Incompatible(_) => false,
        }
    }
}

/// Why the connection is taken for lost although something answers.
pub(crate) fn not_the_server(answer: &str) -> String {
    alloc::format!("a proxy answers in the server's place ({answer})")
}
