//! The headers that the host gives: whether those in use are fresh, and whether others were asked for.

use crate::{Instant, SignIn};
use core::time::Duration;

/// Headers that came since the last session was lost are good for its successor for so long; then they are asked for again.
const HEADERS_LIFE: Duration = Duration::from_secs(60);

/// What is known of the headers in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Headers {
    /// They are those of a session that is over, or were rejected, or were never asked for.
    #[default]
    Stale,
    /// The host was asked for others.
    Asked,
    /// It gave them then, or had none to give.
    Fresh(Instant),
}

/// The headers, and how to get others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Credentials {
    headers: Headers,
    /// How often the host gave headers.
    given: u64,
    /// When others were asked for because the old ones were rejected, if nothing was answered since.
    rejected_at: Option<Instant>,
    /// What a person can do so that there will be others.
    sign_in: Option<SignIn>,
}

impl Credentials {
    /// The host is to be asked. False: it was asked already, and has not answered.
    pub fn ask(&mut self) -> bool {
        core::mem::replace(&mut self.headers, Headers::Asked) != Headers::Asked
    }

    /// The host gave headers.
    pub fn given(&mut self) {
        self.given += 1;
    }

    /// The number of those in use: which a message carries.
    pub fn number(&self) -> u64 {
        self.given
    }

    /// The host gave headers, or had none to give.
    pub fn are_fresh_at(&mut self, now: Instant) {
        self.headers = Headers::Fresh(now);
    }

    /// A session is over, or the headers were rejected.
    pub fn are_stale(&mut self) {
        self.headers = Headers::Stale;
    }

    /// Whether a new session may use those there are.
    pub fn are_fresh(&self, now: Instant) -> bool {
        matches!(self.headers, Headers::Fresh(at) if now < at + HEADERS_LIFE)
    }

    /// Others are asked for now because the old ones were rejected.
    pub fn rejected(&mut self, now: Instant) {
        self.rejected_at = Some(now);
    }

    /// The server took a request.
    pub fn accepted(&mut self) {
        self.rejected_at = None;
    }

    /// Whether others were asked for because the old ones were rejected, and the server has taken none since; for as long as they
    /// may be the same.
    pub fn were_rejected_lately(&self, now: Instant) -> bool {
        self.rejected_at.is_some_and(|at| now < at + HEADERS_LIFE)
    }

    /// What a person can do.
    pub fn sign_in(&self) -> Option<&SignIn> {
        self.sign_in.as_ref()
    }

    pub fn set_sign_in(&mut self, sign_in: Option<SignIn>) {
        self.sign_in = sign_in;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::time::tests::at;

    #[test]
    fn the_host_is_asked_once_until_it_answers() {
        let mut credentials = Credentials::default();
        assert!(!credentials.are_fresh(at(0)));
        assert!(credentials.ask());
        assert!(!credentials.ask());
        credentials.given();
        credentials.are_fresh_at(at(10));
        assert_eq!(credentials.number(), 1);
        assert!(credentials.are_fresh(at(9) + HEADERS_LIFE));
        assert!(!credentials.are_fresh(at(10) + HEADERS_LIFE));
        credentials.are_stale();
        assert!(!credentials.are_fresh(at(10)));
        assert!(credentials.ask());
    }

    #[test]
    fn a_rejection_counts_for_a_while_or_until_something_is_accepted() {
        let mut credentials = Credentials::default();
        assert!(!credentials.were_rejected_lately(at(0)));
        credentials.rejected(at(10));
        assert!(credentials.were_rejected_lately(at(9) + HEADERS_LIFE));
        assert!(!credentials.were_rejected_lately(at(10) + HEADERS_LIFE));
        credentials.accepted();
        assert!(!credentials.were_rejected_lately(at(10)));
    }
}
