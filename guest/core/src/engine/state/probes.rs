//! What the engine's own pings and lists tell. Some servers, and some proxies before them, answer everything but these: then a
//! session must not be replaced for their sake again and again, and a request of the client decides.

use crate::engine::state::requests::RequestKey;
use crate::policy::backoff;
use core::time::Duration;

/// What a request of the engine's own weighs that came to nothing, and what it weighs if something answered it in the place of
/// the server: that passes with the outage.
const IN_VAIN: u32 = 2;
const IN_VAIN_BY_PROXY: u32 = 1;
/// When so much has come together without an answer, an `initialize` is to decide.
const ENOUGH: u32 = 8;
/// No session is kept longer than this without an answer to a ping or list, while the client asks for nothing.
const LONGEST_PATIENCE: Duration = Duration::from_secs(3600);

/// What they have told in this session and in those before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Probes {
    /// What came to nothing since the last answer, or since an `initialize` was to decide.
    in_vain: u32,
    /// Sessions in a row in which some came to nothing and none was answered.
    unanswered_sessions: u32,
    /// One was answered in this session.
    answered: bool,
    /// One came to nothing in this session.
    failed: bool,
    /// The ping that was sent as soon as this session stood, because in the one before none was answered.
    check: Option<RequestKey>,
    /// That came to nothing, too.
    check_failed: bool,
    /// The last list came to nothing, whatever became of pings.
    list_failed: bool,
    /// One was refused in words that mean that the session is gone.
    said_lost: bool,
    /// In this session requests of the client decide.
    left_to_client: bool,
    /// The last of them came to nothing.
    client_failed: bool,
}

impl Probes {
    /// A ping was answered.
    pub fn answered(&mut self) {
        let Self { client_failed, list_failed, .. } = *self;
        *self = Self { answered: true, client_failed, list_failed, ..Self::default() };
    }

    pub fn list_was_answered(&mut self) {
        self.list_failed = false;
        self.answered();
    }

    /// Whether the last list came to nothing.
    pub fn lists_tell_nothing(&self) -> bool {
        self.list_failed
    }

    /// Whether in the session before one came to nothing and none was answered.
    pub fn were_unanswered(&self) -> bool {
        self.unanswered_sessions > 0
    }

    /// This ping was sent as soon as the session stood.
    pub fn check(&mut self, ping: RequestKey) {
        self.check = Some(ping);
    }

    /// One was sent, and came to nothing. True: an `initialize` is to decide.
    pub fn failed(&mut self, request: RequestKey, list: bool, by_proxy: bool) -> bool {
        self.failed = true;
        self.list_failed |= list;
        self.check_failed |= self.check == Some(request);
        self.in_vain += if by_proxy { IN_VAIN_BY_PROXY } else { IN_VAIN };
        let enough = self.in_vain >= ENOUGH;
        if enough {
            self.in_vain = 0;
        }
        enough
    }

    /// The session is over.
    pub fn session_over(&mut self) {
        let unanswered_sessions =
            if self.failed && !self.answered { self.unanswered_sessions.saturating_add(1) } else { 0 };
        *self = Self { unanswered_sessions, list_failed: self.list_failed, ..Self::default() };
    }

    /// Nor was one answered in this session, when it was new and sure to live: these requests tell nothing.
    pub fn tell_nothing(&self) -> bool {
        self.check_failed && !self.answered
    }

    /// One was refused as if the session were gone.
    pub fn say_lost(&mut self) {
        self.said_lost = true;
    }

    pub fn said_lost(&self) -> bool {
        self.said_lost
    }

    /// Requests of the client are to decide from now on, until one of the engine's own is answered.
    pub fn leave_to_client(&mut self) {
        self.left_to_client = true;
    }

    pub fn are_left_to_client(&self) -> bool {
        self.left_to_client
    }

    /// A request of the client was answered, or came to nothing.
    pub fn client_was_answered(&mut self, answered: bool) {
        self.client_failed = !answered;
    }

    /// Whether a request of the client came to nothing, and none was answered since.
    pub fn client_failed(&self) -> bool {
        self.client_failed
    }

    /// How long a session is kept all the same: twice as long as the one before. `first`: how long the first.
    pub fn patience(&self, first: Duration) -> Duration {
        backoff::doubled(first, self.unanswered_sessions).min(LONGEST_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    const PING: RequestKey = RequestKey(1);
    const CHECK: RequestKey = RequestKey(2);

    #[test]
    fn an_initialize_decides_after_a_few_in_vain() {
        for (by_proxy, times) in [(false, 4), (true, 8)] {
            let mut probes = Probes::default();
            for round in 0..2 {
                for time in 1..=times {
                    assert_eq!(probes.failed(PING, false, by_proxy), time == times, "{by_proxy} {round} {time}");
                }
            }
            probes.failed(PING, false, by_proxy);
            probes.answered();
            assert!((1..times).all(|_| !probes.failed(PING, false, by_proxy)));
        }
    }

    #[test]
    fn a_session_without_an_answer_makes_the_next_one_last_longer() {
        let mut probes = Probes::default();
        probes.failed(PING, false, false);
        assert!(!probes.tell_nothing() && !probes.were_unanswered());
        assert_eq!(probes.patience(SECOND), SECOND);
        for sessions in 1..=20 {
            probes.leave_to_client();
            assert!(probes.are_left_to_client());
            probes.session_over();
            assert!(probes.were_unanswered() && !probes.are_left_to_client());
            assert_eq!(probes.patience(SECOND), (SECOND * (1 << sessions)).min(3600 * SECOND));
            probes.check(CHECK);
            probes.failed(PING, false, false);
            assert!(!probes.tell_nothing(), "the check is still under way");
            probes.failed(CHECK, false, false);
            assert!(probes.tell_nothing());
        }
        probes.client_was_answered(false);
        probes.say_lost();
        assert!(probes.said_lost());
        probes.leave_to_client();
        probes.answered();
        assert!(!probes.tell_nothing() && !probes.are_left_to_client() && !probes.were_unanswered());
        assert!(probes.client_failed() && !probes.said_lost());
        probes.client_was_answered(true);
        assert!(!probes.client_failed());
        assert_eq!(probes.patience(30 * SECOND), 30 * SECOND);
        probes.failed(PING, false, false);
        probes.session_over();
        assert!(!probes.were_unanswered(), "one was answered in it");
        probes.failed(PING, false, false);
        probes.session_over();
        assert!(probes.were_unanswered());
        probes.session_over();
        assert!(!probes.were_unanswered(), "none came to nothing in it");
    }

    #[test]
    fn what_became_of_the_last_list_is_known_whatever_becomes_of_pings() {
        let mut probes = Probes::default();
        probes.failed(PING, false, false);
        assert!(!probes.lists_tell_nothing());
        probes.failed(PING, true, false);
        probes.answered();
        probes.session_over();
        assert!(probes.lists_tell_nothing());
        probes.list_was_answered();
        assert!(!probes.lists_tell_nothing());
        probes.failed(PING, false, false);
        assert!(!probes.lists_tell_nothing());
    }
}
