//! What the server asks and says: its questions that the client has not answered, and what came before the client had its
//! answer to `initialize`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::engine::state::requests::RequestKey;
use crate::engine::state::session::ServerRequest;
use crate::wire::spelling;

/// Questions of servers that may be open at once.
const MAX_ASKED: usize = 1024;
/// Messages that may come before the answer to `initialize`.
const MAX_EARLY: usize = 64;

/// The questions, under the ids that the client knows them by, and the early messages with their epochs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inbox {
    questions: BTreeMap<u64, ServerRequest>,
    next_question: u64,
    early: Vec<(u64, String)>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { questions: BTreeMap::new(), next_question: 1, early: Vec::new() }
    }
}

impl Inbox {
    /// Questions are numbered from here on: those before were asked by an engine that failed.
    pub fn continue_after(&mut self, last_question: u64) {
        self.next_question = last_question.saturating_add(1);
    }

    /// Whether no other question of a server can be taken.
    pub fn is_full(&self) -> bool {
        self.questions.len() >= MAX_ASKED
    }

    /// Takes a question; gives the id under which the client is asked.
    pub fn ask(&mut self, question: ServerRequest) -> u64 {
        let id = self.next_question;
        self.next_question += 1;
        self.questions.insert(id, question);
        id
    }

    /// The client answers the question of this id, or the server withdraws it.
    pub fn take(&mut self, id: u64) -> Option<ServerRequest> {
        self.questions.remove(&id)
    }

    /// Withdraws a question by the server's own id for it; gives the client's.
    pub fn withdraw(&mut self, epoch: u64, id: &str) -> Option<u64> {
        let is_it =
            |asked: &ServerRequest| asked.epoch == epoch && spelling::canonical(&asked.id) == spelling::canonical(id);
        let own = self.questions.iter().find(|(_, asked)| is_it(asked)).map(|(own, _)| *own)?;
        self.questions.remove(&own);
        Some(own)
    }

    /// Whether an open question of this epoch carried this progress token.
    pub fn asks_with_token(&self, epoch: u64, token: &str) -> bool {
        self.questions.values().any(|asked| asked.epoch == epoch && asked.progress_token.as_deref() == Some(token))
    }

    /// A session ended: its questions are withdrawn, and their ids given. What a result asked for is kept: it is answered by the
    /// request that goes out anew.
    pub fn session_over(&mut self, epoch: u64) -> Vec<u64> {
        let mut withdrawn = Vec::new();
        self.questions.retain(|id, asked| {
            if asked.input.is_none() && asked.epoch == epoch {
                withdrawn.push(*id);
            }
            asked.input.is_some()
        });
        withdrawn
    }

    /// A request that asked is over: its questions are withdrawn, and their ids given.
    pub fn request_over(&mut self, key: RequestKey) -> Vec<u64> {
        let mut withdrawn = Vec::new();
        self.questions.retain(|id, asked| {
            let asks = asked.input.as_ref().is_some_and(|(of, _)| *of == key);
            if asks {
                withdrawn.push(*id);
            }
            !asks
        });
        withdrawn
    }

    /// Keeps a message that came too early, unless there are too many, or they are larger than this.
    pub fn keep_early(&mut self, epoch: u64, text: String, most_bytes: usize) -> bool {
        let bytes: usize = self.early.iter().map(|(_, text)| text.len()).sum();
        let fits = self.early.len() < MAX_EARLY && bytes + text.len() <= most_bytes;
        if fits {
            self.early.push((epoch, text));
        }
        fits
    }

    pub fn take_early(&mut self) -> Vec<(u64, String)> {
        core::mem::take(&mut self.early)
    }

    pub fn clear_early(&mut self) {
        self.early.clear();
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::engine::state::progress_tokens::TaskPart;

    fn question(epoch: u64, id: &str, of: Option<RequestKey>) -> ServerRequest {
        ServerRequest {
            epoch,
            id: id.to_string(),
            progress_token: Some("\"t\"".to_string()),
            task: TaskPart::None,
            input: of.map(|key| (key, "name".to_string())),
        }
    }

    #[test]
    fn ids_are_given_once_and_found_in_any_spelling() {
        let mut inbox = Inbox::default();
        assert_eq!((inbox.ask(question(1, "5", None)), inbox.ask(question(2, "\"a\"", None))), (1, 2));
        assert_eq!(inbox.withdraw(2, "5"), None, "it is of another epoch");
        assert_eq!(inbox.withdraw(1, "5.0"), Some(1));
        assert_eq!(inbox.withdraw(1, "5"), None, "it is withdrawn");
        assert!(inbox.asks_with_token(2, "\"t\"") && !inbox.asks_with_token(1, "\"t\""));
        assert!(inbox.take(2).is_some() && inbox.take(2).is_none());
        inbox.continue_after(9);
        assert_eq!(inbox.ask(question(1, "6", None)), 10);
    }

    #[test]
    fn questions_end_with_their_session_or_their_request() {
        let mut inbox = Inbox::default();
        let of = Some(RequestKey(7));
        inbox.ask(question(1, "1", None));
        inbox.ask(question(1, "2", of));
        inbox.ask(question(1, "3", Some(RequestKey(8))));
        assert_eq!(inbox.session_over(1), [1]);
        assert_eq!(inbox.request_over(RequestKey(7)), [2]);
        assert!(inbox.take(3).is_some());
    }

    #[test]
    fn what_comes_early_is_bounded_in_number_and_size() {
        let mut inbox = Inbox::default();
        assert!(inbox.keep_early(1, "12345".to_string(), 8));
        assert!(!inbox.keep_early(1, "6789".to_string(), 8));
        assert!(inbox.keep_early(1, "678".to_string(), 8));
        assert_eq!(inbox.take_early().len(), 2);
        for _ in 0..MAX_EARLY {
            assert!(inbox.keep_early(1, String::new(), 8));
        }
        assert!(!inbox.keep_early(1, String::new(), 8));
        inbox.clear_early();
        assert!(inbox.take_early().is_empty());
        for _ in 0..MAX_ASKED {
            assert!(!inbox.is_full());
            inbox.ask(question(1, "1", None));
        }
        assert!(inbox.is_full());
    }
}
