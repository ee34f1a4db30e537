//! What is known of a session that is being verified, and of the one that a verification found lost.

use alloc::string::{String, ToString};

use crate::engine::state::requests::UnverifiedAnswer;

/// Lists in a row that may break off before what the server said is the answer, and an `initialize` decides.
const MAX_BROKEN: u32 = 2;

/// The lists that verify, and what came of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Verification {
    /// Lists in a row that broke off.
    broken: u32,
    /// What the list was answered with, while an `initialize` decides.
    failure: Option<UnverifiedAnswer>,
    /// The session is found lost: what was answered in a like manner did not run.
    found_lost: bool,
    /// The session that was lost last, and the words of the server that turned out to mean it.
    lost: Option<(u64, String)>,
}

impl Verification {
    /// A list broke off. True: no other is to be tried.
    pub fn broke_off(&mut self) -> bool {
        self.broken = self.broken.saturating_add(1);
        self.broken >= MAX_BROKEN
    }

    /// The list failed, and an `initialize` decides what that means.
    pub fn list_failed(&mut self, answer: UnverifiedAnswer) {
        self.failure = Some(answer);
    }

    /// Whether a request was answered in the manner in which the list failed.
    pub fn list_failed_like(&self, answer: &UnverifiedAnswer) -> bool {
        self.failure.as_ref().is_some_and(|list| answer.is_like(list))
    }

    /// The session lives, or nothing more can be found out.
    pub fn is_over(&mut self) {
        self.broken = 0;
        self.failure = None;
    }

    /// The session is lost: it ends next.
    pub fn finds_lost(&mut self) {
        self.found_lost = true;
    }

    /// The session ends; whether because it was found lost.
    pub fn takes_found_lost(&mut self) -> bool {
        core::mem::take(&mut self.found_lost)
    }

    /// The session has ended: nothing fails like its list any more.
    pub fn session_over(&mut self) {
        self.failure = None;
    }

    /// These words meant that the session of this epoch was lost.
    pub fn meant_loss(&mut self, epoch: u64, words: &str) {
        self.lost = Some((epoch, words.to_string()));
    }

    /// Whether the session of this epoch was lost, and these were the words.
    pub fn was_lost_with(&self, epoch: u64, words: &str) -> bool {
        self.lost.as_ref().is_some_and(|(lost, said)| *lost == epoch && said == words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> UnverifiedAnswer {
        UnverifiedAnswer::Response { text: String::new(), code: -32600, message: message.to_string() }
    }

    #[test]
    fn the_second_list_in_a_row_that_breaks_off_is_the_last() {
        let mut verification = Verification::default();
        assert!(!verification.broke_off());
        verification.is_over();
        assert!(!verification.broke_off());
        assert!(verification.broke_off());
    }

    #[test]
    fn an_answer_is_compared_with_the_list_until_the_session_is_over() {
        let mut verification = Verification::default();
        assert!(!verification.list_failed_like(&error("no session")));
        verification.list_failed(error("no session"));
        assert!(verification.list_failed_like(&error("no session")));
        assert!(!verification.list_failed_like(&error("no such tool")));
        verification.session_over();
        assert!(!verification.list_failed_like(&error("no session")));
    }

    #[test]
    fn a_loss_is_found_once_and_its_words_are_remembered() {
        let mut verification = Verification::default();
        verification.finds_lost();
        assert!(verification.takes_found_lost());
        assert!(!verification.takes_found_lost());
        verification.meant_loss(3, "no session");
        assert!(verification.was_lost_with(3, "no session"));
        assert!(!verification.was_lost_with(4, "no session") && !verification.was_lost_with(3, "no such tool"));
    }
}
