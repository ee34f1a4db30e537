//! The table of requests under way. Whoever gets a request from it may look at it; it is changed here only.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::engine::state::modern::ModernPart;
use crate::engine::state::requests::{Origin, Request, RequestKey, RequestState, UnverifiedAnswer};
use crate::engine::state::translation::{Input, Translated};
use crate::{ExchangeId, Instant};

/// The table.
///
/// Invariants: `wire_ids` names requests that are in the table, each under its own id on the wire or under that of the sending
/// before; what is held, asks its client something or waits to be verified has no id on the wire that counts, but for that of the
/// sending before; `client_bytes` is the size of the client's requests in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Requests {
    table: BTreeMap<RequestKey, Request>,
    /// The ids on the wire that may still be answered.
    wire_ids: BTreeMap<u64, RequestKey>,
    client_bytes: usize,
}

impl Requests {
    /// Takes a request in.
    pub fn admit(&mut self, key: RequestKey, request: Request) {
        if request.origin == Origin::Client {
            self.client_bytes += request.text.len();
        }
        self.table.insert(key, request);
    }

    /// Drops everything about a request.
    pub fn remove(&mut self, key: RequestKey) -> Option<Request> {
        let request = self.table.remove(&key)?;
        if request.origin == Origin::Client {
            self.client_bytes -= request.text.len();
        }
        self.wire_ids.remove(&request.wire_id);
        if let Some(wire) = request.earlier_wire_id {
            self.wire_ids.remove(&wire);
        }
        Some(request)
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn get(&self, key: &RequestKey) -> Option<&Request> {
        self.table.get(key)
    }

    pub fn contains(&self, key: RequestKey) -> bool {
        self.table.contains_key(&key)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&RequestKey, &Request)> {
        self.table.iter()
    }

    pub fn values(&self) -> impl Iterator<Item = &Request> {
        self.table.values()
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The client's requests, all of which are owed an answer or were cancelled.
    pub fn of_client(&self) -> impl Iterator<Item = (&RequestKey, &Request)> {
        self.table.iter().filter(|(_, request)| request.origin == Origin::Client)
    }

    /// The size of those.
    pub fn client_bytes(&self) -> usize {
        self.client_bytes
    }

    /// The request that an answer under this id on the wire is for.
    pub fn of_wire_id(&self, wire: u64) -> Option<RequestKey> {
        self.wire_ids.get(&wire).copied()
    }

    fn change(&mut self, key: RequestKey, change: impl FnOnce(&mut Request)) {
        if let Some(request) = self.table.get_mut(&key) {
            change(request);
        }
    }

    /// An answer under its id on the wire counts no more, unless that is the id of the sending before, too.
    fn unlist(&mut self, key: RequestKey) {
        if let Some(request) = self.table.get(&key)
            && request.earlier_wire_id != Some(request.wire_id)
        {
            self.wire_ids.remove(&request.wire_id);
        }
    }

    /// It is about to be sent under a fresh id. `hold_left`: what its hold clock showed, if that ran.
    pub fn begins(&mut self, key: RequestKey, wire: u64, hold_left: Option<Duration>) {
        if !self.table.contains_key(&key) {
            return;
        }
        self.unlist(key);
        self.wire_ids.insert(wire, key);
        self.change(key, |request| {
            request.wire_id = wire;
            request.sent_again |= request.replays > 0;
            request.cursor = None;
            request.brought = false;
            request.empty_resumes = 0;
            request.silent = 0;
            request.hold_left = hold_left.unwrap_or(request.hold_left);
        });
    }

    /// The session that it is sent in, and whether that is a translated one.
    pub fn is_in(&mut self, key: RequestKey, epoch: u64, translated: bool) {
        self.change(key, |request| {
            request.epoch = epoch;
            if translated || request.translated.is_some() {
                request.translated.get_or_insert_default().is_sent = translated;
            }
        });
    }

    /// When it was first sent, which is now if it was not sent before.
    pub fn first_sent(&mut self, key: RequestKey, now: Instant) -> Option<Instant> {
        Some(*self.table.get_mut(&key)?.sent_at.get_or_insert(now))
    }

    /// Its POST was started.
    pub fn is_sent(&mut self, key: RequestKey, exchange: ExchangeId) {
        self.change(key, |request| request.state = RequestState::Sent(exchange));
    }

    /// The server took it; the answer comes on this exchange, or elsewhere.
    pub fn is_accepted(&mut self, key: RequestKey, exchange: Option<ExchangeId>) {
        self.change(key, |request| request.state = RequestState::Accepted(exchange));
    }

    /// It was answered, but what it is answered with is not settled: nothing that still comes for this sending counts.
    pub fn awaits_other_sending(&mut self, key: RequestKey) {
        self.unlist(key);
        self.is_accepted(key, None);
    }

    /// It waits to be sent. Gives how long it may.
    pub fn is_held(&mut self, key: RequestKey) -> Option<Duration> {
        self.unlist(key);
        let request = self.table.get_mut(&key)?;
        request.state = RequestState::Held;
        Some(request.hold_left)
    }

    /// A list that was promised is not answered as empty any more. Gives how much longer it may wait for that.
    pub fn promise_is_over(&mut self, key: RequestKey) -> Duration {
        self.table.get_mut(&key).map_or(Duration::ZERO, |request| core::mem::take(&mut request.hold_shortened))
    }

    /// By how much its hold clock stops for a pause of the server.
    pub fn pauses(&mut self, key: RequestKey, pause: Duration) -> Option<Duration> {
        Some(self.table.get_mut(&key)?.paused.add(pause))
    }

    /// This sending of it did not leave.
    pub fn did_not_leave(&mut self, key: RequestKey) {
        self.change(key, |request| request.sent_again = false);
    }

    /// Nobody took it.
    pub fn was_turned_away(&mut self, key: RequestKey) {
        self.change(key, |request| request.turned_away += 1);
    }

    /// It lost its session.
    pub fn lost_its_session(&mut self, key: RequestKey) {
        self.change(key, |request| request.losses += 1);
    }

    /// It was rejected for its credentials.
    pub fn was_rejected(&mut self, key: RequestKey) {
        self.change(key, |request| request.rejections += 1);
    }

    /// It is to be sent again though its outcome is unknown. `may_be_answered`: the answer to this sending still counts.
    pub fn is_replayed(&mut self, key: RequestKey, accepted: bool, may_be_answered: bool, hold: Duration) {
        self.change(key, |request| {
            request.replays += 1;
            request.earlier_wire_id = may_be_answered.then_some(request.wire_id);
            request.accepted = accepted;
            request.hold_left = hold;
            request.hold_shortened = Duration::ZERO;
        });
    }

    /// What answered the sendings before those that are under way is gone.
    pub fn forget_earlier_sendings(&mut self) {
        for request in self.table.values_mut() {
            if let Some(wire) = request.earlier_wire_id.take() {
                self.wire_ids.remove(&wire);
            }
        }
    }

    /// Its POST broke off; its answer may come elsewhere.
    pub fn post_is_lost(&mut self, key: RequestKey) {
        self.change(key, |request| request.state = RequestState::PostLost);
    }

    /// The client wants no answer any more.
    pub fn is_cancelled(&mut self, key: RequestKey) {
        self.change(key, |request| request.cancelled = true);
    }

    /// Something of its answer has come.
    pub fn brought_something(&mut self, key: RequestKey) {
        self.change(key, |request| request.brought = true);
    }

    /// Whether progress of it is news to the client.
    pub fn progress_goes_on(&mut self, key: RequestKey, progress: Option<f64>) -> bool {
        self.table.get_mut(&key).is_some_and(|request| request.progress_goes_on(progress))
    }

    /// The `retry:` of its stream.
    pub fn retry_is(&mut self, key: RequestKey, retry: Duration) {
        self.change(key, |request| request.retry = Some(retry));
    }

    /// The event id that its stream goes on from. Gives the one before; `None`: there is no such request.
    pub fn cursor_is(&mut self, key: RequestKey, cursor: Option<String>) -> Option<Option<String>> {
        Some(core::mem::replace(&mut self.table.get_mut(&key)?.cursor, cursor))
    }

    /// Its stream ended. Gives how many resumed streams in a row ended and brought nothing.
    pub fn stream_ended(&mut self, key: RequestKey) -> u32 {
        let Some(request) = self.table.get_mut(&key) else { return 0 };
        if matches!(request.state, RequestState::Resumed(_)) {
            request.empty_resumes = if request.brought { 0 } else { request.empty_resumes + 1 };
        }
        request.empty_resumes
    }

    /// Its stream is to be resumed.
    pub fn is_resuming(&mut self, key: RequestKey) {
        self.change(key, |request| request.state = RequestState::Resuming);
    }

    /// Its stream is being resumed.
    pub fn is_resumed(&mut self, key: RequestKey, exchange: ExchangeId) {
        self.change(key, |request| {
            request.state = RequestState::Resumed(exchange);
            request.brought = false;
        });
    }

    /// Its resumed stream stayed silent, and is to be resumed again.
    pub fn stream_was_silent(&mut self, key: RequestKey) {
        self.is_resuming(key);
        self.change(key, |request| request.silent = request.silent.saturating_add(1));
    }

    /// Its resumed stream is not silent.
    pub fn stream_speaks(&mut self, key: RequestKey) {
        self.change(key, |request| request.silent = 0);
    }

    /// What it was answered with waits until the session is verified.
    pub fn is_verifying(&mut self, key: RequestKey, answer: UnverifiedAnswer) {
        self.unlist(key);
        self.change(key, |request| {
            request.state = RequestState::Verifying(answer);
            request.answered_alike = false;
        });
    }

    /// All that waits to be verified was answered as a list was.
    pub fn unverified_is_alike(&mut self) {
        for request in self.table.values_mut() {
            request.answered_alike |= matches!(request.state, RequestState::Verifying(_));
        }
    }

    /// Tools are another server's now: what was taken for safe is not. Gives those that were sent, wait to be sent again, and
    /// whether they had been acknowledged.
    pub fn distrust_annotations(&mut self) -> Vec<(RequestKey, bool)> {
        let calls = self
            .table
            .iter_mut()
            .filter(|(_, request)| request.method == "tools/call" && request.safe && request.origin == Origin::Client);
        calls
            .filter_map(|(key, request)| {
                request.safe = false;
                (request.state == RequestState::Held && request.replays > 0).then_some((*key, request.accepted))
            })
            .collect()
    }

    /// Its result asks for something. It may be held for so long when that is answered.
    pub fn asks(&mut self, key: RequestKey, input: Input, hold: Duration) {
        self.unlist(key);
        self.change(key, |request| {
            request.state = RequestState::Asking;
            request.replays = 0;
            request.hold_left = hold;
            request.translated.get_or_insert_default().input = Some(input);
        });
    }

    /// What it was asked for is answered: it is sent with that, and not again. Gives how long it may wait.
    pub fn is_answered(&mut self, key: RequestKey) -> Option<Duration> {
        self.change(key, |request| request.safe = false);
        self.is_held(key)
    }

    /// What it has as a request of a translated session.
    pub fn translated(&mut self, key: RequestKey) -> Option<&mut Translated> {
        let request = self.table.get_mut(&key).filter(|request| request.origin == Origin::Client)?;
        Some(request.translated.get_or_insert_default())
    }

    /// What it has as a request of the versions without sessions.
    pub fn modern(&mut self, key: RequestKey) -> Option<&mut ModernPart> {
        self.table.get_mut(&key)?.modern.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::api::time::tests::{at, ns};
    use crate::engine::flow::settle::new_request;
    use crate::engine::state::requests::Learn;

    const KEY: RequestKey = RequestKey(1);
    const EXCHANGE: ExchangeId = ExchangeId(4);

    fn with(origin: Origin, method: &str, safe: bool) -> Requests {
        let mut requests = Requests::default();
        requests.admit(KEY, new_request(origin, method, r#"{"id":1}"#.to_string(), 6..7, safe, Learn::Nothing));
        requests
    }

    /// A request that was sent under the id 7, in the first session.
    fn sent() -> Requests {
        let mut requests = with(Origin::Client, "tools/call", true);
        requests.begins(KEY, 7, Some(ns(50)));
        requests.is_in(KEY, 1, false);
        requests.is_sent(KEY, EXCHANGE);
        check(&requests);
        requests
    }

    /// The invariants.
    fn check(requests: &Requests) {
        let clients: usize = requests.of_client().map(|(_, request)| request.text.len()).sum();
        assert_eq!(requests.client_bytes(), clients);
        for (wire, key) in &requests.wire_ids {
            let request = requests.get(key).expect("it is in the table");
            let counts =
                !matches!(request.state, RequestState::Held | RequestState::Asking | RequestState::Verifying(_))
                    && request.wire_id == *wire;
            assert!(counts || request.earlier_wire_id == Some(*wire), "{wire}: {request:?}");
        }
    }

    fn get(requests: &Requests) -> &Request {
        check(requests);
        requests.get(&KEY).expect("it is in the table")
    }

    #[test]
    fn bytes_are_those_of_the_client() {
        let mut requests = sent();
        assert_eq!((requests.client_bytes(), requests.len()), (8, 1));
        let own = new_request(Origin::Ping, "ping", r#"{"id":2}"#.to_string(), 6..7, true, Learn::Nothing);
        requests.admit(RequestKey(2), own);
        check(&requests);
        assert_eq!(requests.of_client().count(), 1);
        assert!(requests.remove(RequestKey(2)).is_some() && requests.remove(RequestKey(2)).is_none());
        assert!(requests.remove(KEY).is_some());
        assert_eq!(requests, Requests::default());
    }

    #[test]
    fn an_answer_counts_while_one_is_awaited() {
        let unverified = UnverifiedAnswer::Response { text: String::new(), code: -1, message: String::new() };
        type Step<'a> = (&'a dyn Fn(&mut Requests), bool);
        let steps: [Step; 9] = [
            (&|requests| requests.is_accepted(KEY, None), true),
            (&|requests| requests.post_is_lost(KEY), true),
            (&|requests| requests.is_resuming(KEY), true),
            (&|requests| requests.is_resumed(KEY, EXCHANGE), true),
            (&|requests| requests.is_cancelled(KEY), true),
            (&|requests| requests.awaits_other_sending(KEY), false),
            (&|requests| requests.is_verifying(KEY, unverified.clone()), false),
            (&|requests| requests.asks(KEY, Input::default(), ns(1)), false),
            (&|requests| assert_eq!(requests.is_held(KEY), Some(ns(50))), false),
        ];
        for (number, (step, counts)) in steps.into_iter().enumerate() {
            let mut requests = sent();
            assert_eq!(requests.of_wire_id(7), Some(KEY));
            step(&mut requests);
            get(&requests);
            assert_eq!(requests.of_wire_id(7).is_some(), counts, "step {number}");
            requests.begins(KEY, 8, None);
            assert_eq!((requests.of_wire_id(7), requests.of_wire_id(8)), (None, Some(KEY)), "step {number}");
        }
    }

    #[test]
    fn the_answer_to_the_sending_before_counts_until_its_stream_is_gone() {
        let mut requests = sent();
        requests.is_replayed(KEY, true, true, ns(90));
        assert_eq!(requests.is_held(KEY), Some(ns(90)));
        assert!(get(&requests).accepted);
        assert_eq!(requests.of_wire_id(7), Some(KEY));
        requests.begins(KEY, 8, Some(ns(80)));
        requests.is_sent(KEY, EXCHANGE);
        assert!(get(&requests).sent_again);
        assert_eq!((requests.of_wire_id(7), requests.of_wire_id(8)), (Some(KEY), Some(KEY)));
        requests.forget_earlier_sendings();
        check(&requests);
        assert_eq!((requests.of_wire_id(7), requests.of_wire_id(8)), (None, Some(KEY)));
        requests.did_not_leave(KEY);
        assert!(!get(&requests).sent_again);
    }

    #[test]
    fn a_sending_begins_anew() {
        let mut requests = sent();
        assert_eq!(requests.first_sent(KEY, at(3)), Some(at(3)));
        assert_eq!(requests.cursor_is(KEY, Some("e".into())), Some(None));
        requests.brought_something(KEY);
        requests.is_resumed(KEY, EXCHANGE);
        assert_eq!(requests.stream_ended(KEY), 1);
        requests.stream_was_silent(KEY);
        requests.begins(KEY, 8, None);
        let request = get(&requests);
        assert_eq!((&request.cursor, request.brought, request.empty_resumes, request.silent), (&None, false, 0, 0));
        assert_eq!(request.hold_left, ns(50));
        assert_eq!(requests.first_sent(KEY, at(9)), Some(at(3)));
    }

    #[test]
    fn empty_streams_in_a_row_are_counted() {
        let mut requests = sent();
        assert_eq!(requests.stream_ended(KEY), 0);
        for (brings, count) in [(false, 1), (false, 2), (true, 0), (false, 1)] {
            requests.is_resumed(KEY, EXCHANGE);
            if brings {
                requests.brought_something(KEY);
            }
            assert_eq!(requests.stream_ended(KEY), count);
        }
        requests.stream_was_silent(KEY);
        requests.stream_was_silent(KEY);
        assert_eq!(get(&requests).silent, 2);
        requests.stream_speaks(KEY);
        assert_eq!(get(&requests).silent, 0);
    }

    #[test]
    fn another_server_binds_nobody_to_what_the_first_said_of_its_tools() {
        let mut requests = sent();
        assert_eq!(requests.distrust_annotations(), []);
        assert!(!get(&requests).safe);
        let mut requests = sent();
        requests.is_replayed(KEY, true, false, ns(1));
        requests.is_held(KEY);
        assert_eq!(requests.distrust_annotations(), [(KEY, true)]);
        let mut list = with(Origin::Client, "tools/list", true);
        assert_eq!(list.distrust_annotations(), []);
        assert!(get(&list).safe);
    }

    #[test]
    fn what_was_asked_for_is_sent_once() {
        let mut requests = sent();
        requests.is_replayed(KEY, false, false, ns(1));
        requests.asks(KEY, Input::default(), ns(30));
        assert_eq!(get(&requests).replays, 0);
        assert!(requests.translated(KEY).is_some_and(|part| part.input.is_some()));
        assert_eq!(requests.is_answered(KEY), Some(ns(30)));
        assert_eq!((get(&requests).safe, &get(&requests).state), (false, &RequestState::Held));
        assert_eq!(with(Origin::Ping, "ping", true).translated(KEY), None);
        assert_eq!(requests.modern(KEY), None);
    }

    #[test]
    fn evidence_is_counted_by_its_kind() {
        let mut requests = sent();
        requests.was_turned_away(KEY);
        requests.lost_its_session(KEY);
        requests.lost_its_session(KEY);
        for _ in 0..3 {
            requests.was_rejected(KEY);
        }
        let request = get(&requests);
        assert_eq!((request.turned_away, request.losses, request.rejections), (1, 2, 3));
        requests.unverified_is_alike();
        assert!(!get(&requests).answered_alike);
        let said = UnverifiedAnswer::Response { text: String::new(), code: -1, message: String::new() };
        requests.is_verifying(KEY, said);
        requests.unverified_is_alike();
        assert!(get(&requests).answered_alike);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_there() {
        let mut requests = Requests::default();
        requests.begins(KEY, 7, None);
        requests.is_sent(KEY, EXCHANGE);
        assert_eq!(
            (requests.is_held(KEY), requests.first_sent(KEY, at(1)), requests.pauses(KEY, ns(1))),
            (None, None, None)
        );
        assert_eq!((requests.stream_ended(KEY), requests.promise_is_over(KEY)), (0, ns(0)));
        assert!(!requests.progress_goes_on(KEY, None));
        assert_eq!(requests, Requests::default());
    }

    #[test]
    fn a_table_holds_what_was_admitted_until_it_is_cleared() {
        let mut requests = sent();
        assert!(requests.contains(KEY) && !requests.contains(RequestKey(2)));
        requests.clear();
        assert!(!requests.contains(KEY) && requests.len() == 0 && requests.client_bytes() == 0);
    }
}
