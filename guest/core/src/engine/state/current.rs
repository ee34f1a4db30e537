//! The session there is, if any. It is read by many and changed here only.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::time::Duration;

use crate::engine::state::session::Session;
use crate::engine::state::translation::OwnListen;
use crate::wire::modern::Filter;
use crate::{ExchangeId, Instant};

/// A standalone stream that lasted this long was no failure.
const HEALTHY: Duration = Duration::from_secs(10);

/// The place of the session.
///
/// Invariants: what is said of a session by its number changes no other; a session that has made progress, was verified or was
/// initialized stays so; only a translated session has URIs of its own, and the stream of one is never the server's standalone
/// stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Current {
    session: Option<Session>,
}

/// What the client is told of when the engine's own stream of notifications stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// What it was asked to tell.
    pub asked: Filter,
    /// Something may have changed unheard.
    pub missed: bool,
    /// The subscriptions of the session before.
    pub restored: BTreeSet<String>,
}

impl Current {
    pub fn as_ref(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    pub fn is_some(&self) -> bool {
        self.session.is_some()
    }

    pub fn is_none(&self) -> bool {
        self.session.is_none()
    }

    /// Whether it is the one of this number.
    pub fn is(&self, epoch: u64) -> bool {
        self.session.as_ref().is_some_and(|session| session.epoch == epoch)
    }

    fn of(&mut self, epoch: u64) -> Option<&mut Session> {
        self.session.as_mut().filter(|session| session.epoch == epoch)
    }

    /// It takes the place of the one before, which has ended.
    pub fn begin(&mut self, session: Session) {
        debug_assert!(self.session.is_none(), "a session takes the place of another one that was not ended");
        self.session = Some(session);
    }

    /// It ends.
    pub fn take(&mut self) -> Option<Session> {
        self.session.take()
    }

    /// The server has taken `notifications/initialized`.
    pub fn is_initialized(&mut self) {
        if let Some(session) = &mut self.session {
            session.initialized = true;
        }
    }

    /// A request of the client was answered in this session. False: it is not the one there is.
    pub fn progressed(&mut self, epoch: u64) -> bool {
        let session = self.of(epoch);
        session.map(|session| session.progress = true).is_some()
    }

    /// A list was answered in it.
    pub fn is_verified(&mut self) {
        if let Some(session) = &mut self.session {
            session.verified = true;
        }
    }

    /// It refuses pings, and lives.
    pub fn refuses_pings(&mut self) {
        if let Some(session) = &mut self.session {
            session.refuses_pings = true;
        }
    }

    /// These words were answered while it lived.
    pub fn know_answer(&mut self, said: &str, now: Instant) {
        if let Some(session) = &mut self.session {
            session.know_answer(said, now);
        }
    }

    /// The standalone stream, or the one in its place, is being opened, or is not there.
    pub fn stream_is(&mut self, exchange: Option<ExchangeId>) {
        if let Some(session) = &mut self.session {
            session.standalone.exchange = exchange;
        }
    }

    /// The standalone stream of this session is not there any more.
    pub fn has_no_stream(&mut self, epoch: u64) {
        if let Some(session) = self.of(epoch) {
            session.standalone.exchange = None;
        }
    }

    pub fn stream_opened(&mut self, now: Instant) {
        if let Some(session) = &mut self.session {
            session.standalone.opened = true;
            session.standalone.opened_at = Some(now);
        }
    }

    /// The standalone stream is over. Gives the openings in a row that failed.
    pub fn stream_over(&mut self, now: Instant) -> u32 {
        let Some(session) = &mut self.session else { return 0 };
        let stream = &mut session.standalone;
        stream.exchange = None;
        let lasted = stream.opened_at.take().is_some_and(|at| now - at >= HEALTHY);
        stream.failures = if lasted { 1 } else { stream.failures.saturating_add(1) };
        stream.failures
    }

    /// The server has no standalone stream. `denied`: with these credentials.
    pub fn stream_absent(&mut self, denied: bool) {
        if let Some(session) = &mut self.session {
            session.standalone.exchange = None;
            session.standalone.absent = true;
            session.standalone.denied = denied;
        }
    }

    /// There are other credentials: whether they are another chance for the stream.
    pub fn stream_may_be_granted(&mut self) -> bool {
        let Some(session) = &mut self.session else { return false };
        let denied = core::mem::take(&mut session.standalone.denied);
        session.standalone.absent &= !denied;
        denied
    }

    /// The stream's `retry:`.
    pub fn stream_retry(&mut self, epoch: u64, retry: Duration) {
        if let Some(session) = self.of(epoch) {
            session.standalone.retry = Some(retry);
        }
    }

    /// The event id that the stream goes on from. Gives the one before; `None`: this session is not the one there is.
    pub fn stream_cursor(&mut self, epoch: u64, cursor: Option<String>) -> Option<Option<String>> {
        self.of(epoch).map(|session| core::mem::replace(&mut session.standalone.cursor, cursor))
    }

    /// A stream of the engine's own takes the place of the standalone one.
    pub fn listens(&mut self) {
        if let Some(session) = &mut self.session {
            session.own_listen = Some(OwnListen::default());
        }
    }

    /// That stream is asked to tell this.
    pub fn own_stream_asks(&mut self, filter: Filter) {
        if let Some(listen) = self.own_listen() {
            listen.asked = filter;
            listen.acknowledged = false;
        }
    }

    /// That stream ended, or could not be opened.
    pub fn own_stream_lost(&mut self) {
        if let Some(listen) = self.own_listen() {
            listen.missed = true;
        }
    }

    /// That stream was acknowledged; `None`: that is no news.
    pub fn own_stream_acknowledged(&mut self) -> Option<Acknowledged> {
        let listen = self.own_listen().filter(|listen| !listen.acknowledged)?;
        listen.acknowledged = true;
        Some(Acknowledged {
            asked: listen.asked.clone(),
            missed: core::mem::take(&mut listen.missed),
            restored: core::mem::take(&mut listen.restored),
        })
    }

    fn own_listen(&mut self) -> Option<&mut OwnListen> {
        self.session.as_mut()?.own_listen.as_mut()
    }

    /// The client subscribes to a URI in a translated session, or ends that. False: it is no such session.
    pub fn subscribe(&mut self, uri: String, subscribe: bool) -> bool {
        let Some(session) = &mut self.session else { return false };
        let Some(translation) = &mut session.translation else { return false };
        if subscribe {
            translation.uris.insert(uri);
        } else {
            translation.uris.remove(&uri);
        }
        session.own_listen.get_or_insert_default();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;
    use crate::Transport;
    use crate::api::time::tests::at;
    use crate::engine::state::session::Server;
    use crate::engine::state::translation::Translation;

    fn current() -> Current {
        let mut current = Current::default();
        current.begin(Session::new(4, Transport::StreamableHttp, Server::default(), at(0)));
        current
    }

    #[test]
    fn what_is_said_of_another_session_changes_nothing() {
        let mut current = current();
        let before = current.clone();
        assert!(!current.progressed(3));
        current.stream_retry(3, SECOND);
        current.has_no_stream(5);
        assert_eq!(current.stream_cursor(3, Some("7".into())), None);
        assert_eq!(current, before);
        assert!(current.is(4) && !current.is(3));
        assert!(current.progressed(4));
        assert_eq!(current.take().map(|session| session.progress), Some(true));
        assert!(current.is_none() && !current.is(4));
    }

    #[test]
    #[should_panic(expected = "was not ended")]
    fn a_session_ends_before_the_next_one_begins() {
        current().begin(Session::new(5, Transport::StreamableHttp, Server::default(), at(0)));
    }

    #[test]
    fn openings_that_do_not_last_are_counted() {
        let mut current = current();
        assert_eq!(current.stream_over(at(0)), 1);
        assert_eq!(current.stream_over(at(0)), 2);
        current.stream_is(Some(ExchangeId(1)));
        current.stream_opened(at(1));
        assert_eq!(current.stream_over(at(0) + HEALTHY), 3);
        current.stream_opened(at(1));
        assert_eq!(current.stream_over(at(1) + HEALTHY), 1);
        let stream = &current.as_ref().unwrap().standalone;
        assert_eq!((stream.exchange, stream.opened, stream.opened_at), (None, true, None));
    }

    #[test]
    fn other_credentials_are_a_chance_where_they_were_what_was_missing() {
        let mut current = current();
        let absent = |current: &Current| current.as_ref().unwrap().standalone.absent;
        current.stream_absent(false);
        assert!(!current.stream_may_be_granted() && absent(&current));
        current.stream_absent(true);
        assert!(current.stream_may_be_granted() && !absent(&current));
        assert!(!current.stream_may_be_granted());
        assert!(!Current::default().stream_may_be_granted());
    }

    #[test]
    fn a_cursor_gives_the_one_before() {
        let mut current = current();
        assert_eq!(current.stream_cursor(4, Some("7".into())), Some(None));
        assert_eq!(current.stream_cursor(4, None), Some(Some("7".into())));
    }

    #[test]
    fn a_stream_of_its_own_is_acknowledged_once_and_tells_what_was_missed() {
        let mut current = current();
        assert_eq!(current.own_stream_acknowledged(), None);
        current.listens();
        let asked = Filter { tools: true, ..Filter::default() };
        current.own_stream_asks(asked.clone());
        current.own_stream_lost();
        let told = current.own_stream_acknowledged().unwrap();
        assert_eq!((told.asked, told.missed), (asked.clone(), true));
        assert_eq!(current.own_stream_acknowledged(), None);
        current.own_stream_asks(asked);
        assert_eq!(current.own_stream_acknowledged().map(|told| told.missed), Some(false));
    }

    #[test]
    fn only_a_translated_session_has_uris() {
        let mut plain = current();
        assert!(!plain.subscribe("\"x:/a\"".into(), true));
        assert_eq!(plain.as_ref().unwrap().own_listen, None);
        let mut session = Session::new(1, Transport::StreamableHttp, Server::default(), at(0));
        session.translation = Some(Translation::default());
        let mut current = Current::default();
        current.begin(session);
        assert!(current.subscribe("\"x:/a\"".into(), true));
        let uris = |current: &Current| current.as_ref().unwrap().translation.as_ref().unwrap().uris.len();
        assert_eq!(uris(&current), 1);
        assert!(current.subscribe("\"x:/a\"".into(), false));
        assert_eq!(uris(&current), 0);
    }

    #[test]
    fn a_list_that_was_answered_verifies_the_session() {
        let mut current = current();
        assert!(!current.as_ref().expect("there is one").verified);
        current.is_verified();
        assert!(current.as_ref().expect("there is one").verified);
    }
}
