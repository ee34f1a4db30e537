//! HTTP exchanges under way: what each is for, and how far its response has come.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::engine::flow::modern::Own;
use crate::engine::state::outbox::Queued;
use crate::engine::state::requests::RequestKey;
use crate::policy::session_loss::Refusal;
use crate::wire::buffer::append;
use crate::wire::sse::{Item, Parser};
use crate::wire::url::Url;
use crate::{ExchangeId, Transport};

/// So much of a body that does not matter is read, in bytes, so that its connection can be used again.
pub(crate) const MAX_DRAINED: usize = 64 << 10;

/// The table of exchanges. Whoever gets one from it may look at it; it is changed here only.
///
/// Invariants: ids rise, and none is given twice; of a body no more is held than its limit; nothing is read of an exchange after
/// its reading was taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exchanges {
    table: BTreeMap<ExchangeId, Exchange>,
    next: u64,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self { table: BTreeMap::new(), next: 1 }
    }
}

/// What came of a part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is kept, or of no use.
    Kept,
    /// Too much of a body that does not matter.
    Pointless,
    /// All that is read of a refusal is there.
    Whole,
    /// The body is over its limit.
    TooLarge,
    /// These parts of an event stream are complete.
    Items(Vec<Item>),
}

impl Exchanges {
    pub fn begin(&mut self, role: Role, context: Context, url: Url, headers_given: u64) -> ExchangeId {
        let id = ExchangeId(self.next);
        self.next += 1;
        let exchange = Exchange {
            role,
            context,
            url,
            redirects: 0,
            sent: false,
            headers_given,
            named: None,
            cancel_after: None,
            paused: false,
            reading: Reading::Head,
        };
        self.table.insert(id, exchange);
        id
    }

    /// The id of the next one that is begun.
    pub fn next_id(&self) -> ExchangeId {
        ExchangeId(self.next)
    }

    pub fn get(&self, id: ExchangeId) -> Option<&Exchange> {
        self.table.get(&id)
    }

    pub fn contains(&self, id: ExchangeId) -> bool {
        self.table.contains_key(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ExchangeId, &Exchange)> {
        self.table.iter().map(|(id, exchange)| (*id, exchange))
    }

    pub fn values(&self) -> impl Iterator<Item = &Exchange> {
        self.table.values()
    }

    /// It is over.
    pub fn remove(&mut self, id: ExchangeId) -> Option<Exchange> {
        self.table.remove(&id)
    }

    /// All are over.
    pub fn take_ids(&mut self) -> impl Iterator<Item = ExchangeId> + use<> {
        core::mem::take(&mut self.table).into_keys()
    }

    /// Its body was written, or answered, which proves the same. Gives what waited for that, with its epoch.
    pub fn was_sent(&mut self, id: ExchangeId) -> Option<(u64, String)> {
        let exchange = self.table.get_mut(&id)?;
        exchange.sent = true;
        Some((exchange.context.epoch, exchange.cancel_after.take()?))
    }

    /// It asks for a stream from this event on.
    pub fn named(&mut self, id: ExchangeId, event: Option<&str>) {
        if let Some(exchange) = self.table.get_mut(&id) {
            exchange.named = event.map(Into::into);
        }
    }

    /// The first event of its stream has come. Gives the event that was named.
    pub fn take_named(&mut self, id: ExchangeId) -> Option<String> {
        self.table.get_mut(&id)?.named.take()
    }

    /// A notification about its request goes out once its body is written.
    pub fn tell_when_sent(&mut self, id: ExchangeId, text: String) {
        if let Some(exchange) = self.table.get_mut(&id) {
            exchange.cancel_after = Some(text);
        }
    }

    /// Nobody waits for it any more. Gives what it was for.
    pub fn retire(&mut self, id: ExchangeId) -> Option<Role> {
        Some(core::mem::replace(&mut self.table.get_mut(&id)?.role, Role::Retired))
    }

    /// Those that were begun in the place of one that had been redirected so often.
    pub fn redirected(&mut self, from: ExchangeId, redirects: u32) {
        for exchange in self.table.range_mut(from..).map(|(_, exchange)| exchange) {
            exchange.redirects = redirects;
        }
    }

    /// Whether no more of it is to be read for now. True: that was otherwise before.
    pub fn pause(&mut self, id: ExchangeId, pause: bool) -> bool {
        self.table.get_mut(&id).is_some_and(|exchange| core::mem::replace(&mut exchange.paused, pause) != pause)
    }

    /// Its head has come: this is how its body is read.
    pub fn reads(&mut self, id: ExchangeId, reading: Reading) {
        if let Some(exchange) = self.table.get_mut(&id) {
            exchange.reading = reading;
        }
    }

    /// Takes what was read. What still comes does not matter.
    pub fn take_reading(&mut self, id: ExchangeId) -> Option<Reading> {
        Some(core::mem::replace(&mut self.table.get_mut(&id)?.reading, Reading::Drain(0)))
    }

    /// A part of its body. JSON may be so large, and its buffer may grow by `room`.
    pub fn read(&mut self, id: ExchangeId, bytes: Vec<u8>, max_json: usize, room: usize) -> Progress {
        let Some(exchange) = self.table.get_mut(&id) else { return Progress::Kept };
        match &mut exchange.reading {
            Reading::Head => {}
            Reading::Drain(read) => {
                *read += bytes.len();
                if *read > MAX_DRAINED {
                    return Progress::Pointless;
                }
            }
            Reading::Refusal(_, body, most) => {
                body.extend_from_slice(&bytes[..bytes.len().min(*most - body.len())]);
                if body.len() == *most {
                    return Progress::Whole;
                }
            }
            Reading::Json(body, most) => {
                if body.len() + bytes.len() > max_json {
                    return Progress::TooLarge;
                } else if body.is_empty() {
                    *body = bytes;
                } else {
                    if body.len() + bytes.len() > *most {
                        // Some hosts decode bodies, and give the length that they had before.
                        *most = max_json;
                    }
                    append(body, &bytes, (*most).min(body.capacity().saturating_add(room)));
                }
            }
            Reading::Events(parser) => {
                let mut items = Vec::new();
                parser.feed(&bytes, &mut items);
                return Progress::Items(items);
            }
        }
        Progress::Kept
    }
}

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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const CONTEXT: Context =
        Context { transport: Transport::StreamableHttp, epoch: 3, had_session: true, wire_id: Some(1) };

    fn begin(exchanges: &mut Exchanges) -> ExchangeId {
        let url = Url::parse("http://server.test/mcp").expect("it is one");
        exchanges.begin(Role::Post(RequestKey(1)), CONTEXT, url, 0)
    }

    fn reading(reading: Reading) -> (Exchanges, ExchangeId) {
        let mut exchanges = Exchanges::default();
        let id = begin(&mut exchanges);
        exchanges.reads(id, reading);
        (exchanges, id)
    }

    #[test]
    fn no_id_is_given_twice() {
        let mut exchanges = Exchanges::default();
        assert_eq!(begin(&mut exchanges), ExchangeId(1));
        assert!(exchanges.remove(ExchangeId(1)).is_some());
        assert_eq!(exchanges.next_id(), ExchangeId(2));
        assert_eq!(begin(&mut exchanges), ExchangeId(2));
        assert_eq!(exchanges.take_ids().collect::<Vec<_>>(), [ExchangeId(2)]);
        assert_eq!(exchanges.values().count(), 0);
        assert_eq!(begin(&mut exchanges), ExchangeId(3));
    }

    #[test]
    fn what_waits_for_the_body_goes_out_once() {
        let mut exchanges = Exchanges::default();
        let id = begin(&mut exchanges);
        exchanges.tell_when_sent(id, "cancelled".to_string());
        assert!(!exchanges.get(id).unwrap().sent);
        assert_eq!(exchanges.was_sent(id), Some((3, "cancelled".to_string())));
        assert_eq!(exchanges.was_sent(id), None);
        assert!(exchanges.get(id).unwrap().sent);
        assert_eq!(exchanges.was_sent(ExchangeId(9)), None);
    }

    #[test]
    fn one_that_is_retired_gives_its_role_once() {
        let mut exchanges = Exchanges::default();
        let id = begin(&mut exchanges);
        assert_eq!(exchanges.retire(id), Some(Role::Post(RequestKey(1))));
        assert_eq!(exchanges.retire(id), Some(Role::Retired));
        assert_eq!(exchanges.retire(ExchangeId(9)), None);
    }

    #[test]
    fn redirects_are_counted_for_those_begun_since() {
        let mut exchanges = Exchanges::default();
        begin(&mut exchanges);
        let next = exchanges.next_id();
        let again = begin(&mut exchanges);
        exchanges.redirected(next, 2);
        let redirects = |id| exchanges.get(id).map(|exchange| exchange.redirects);
        assert_eq!((redirects(ExchangeId(1)), redirects(again)), (Some(0), Some(2)));
    }

    #[test]
    fn a_pause_is_news_when_it_begins_and_when_it_ends() {
        let mut exchanges = Exchanges::default();
        let id = begin(&mut exchanges);
        let news = [false, true, true, false, false].map(|pause| exchanges.pause(id, pause));
        assert_eq!(news, [false, true, false, true, false]);
        assert!(!exchanges.pause(ExchangeId(9), true));
    }

    #[test]
    fn of_a_body_no_more_is_held_than_its_limit() {
        let (mut exchanges, id) = reading(Reading::Json(Vec::new(), 8));
        assert_eq!(exchanges.read(id, Vec::from(*b"1234"), 8, 100), Progress::Kept);
        assert_eq!(exchanges.read(id, Vec::from(*b"5678"), 8, 100), Progress::Kept);
        assert_eq!(exchanges.read(id, Vec::from(*b"9"), 8, 100), Progress::TooLarge);
        assert_eq!(exchanges.take_reading(id), Some(Reading::Json(Vec::from(*b"12345678"), 8)));
        assert_eq!(exchanges.get(id).map(Exchange::held), Some(0));

        let refusal = Refusal { status: 500, challenge: String::new(), retry_after: None, body: String::new() };
        let (mut exchanges, id) = reading(Reading::Refusal(refusal, Vec::new(), 5));
        assert_eq!(exchanges.read(id, Vec::from(*b"1234"), 8, 100), Progress::Kept);
        assert_eq!(exchanges.read(id, Vec::from(*b"56"), 8, 100), Progress::Whole);
        assert_eq!(exchanges.get(id).map(Exchange::held), Some(5));

        let (mut exchanges, id) = reading(Reading::Drain(0));
        assert_eq!(exchanges.read(id, alloc::vec![0; MAX_DRAINED], 8, 100), Progress::Kept);
        assert_eq!(exchanges.read(id, alloc::vec![0; 1], 8, 100), Progress::Pointless);
        assert_eq!(exchanges.get(id).map(Exchange::held), Some(0));
    }

    #[test]
    fn what_may_still_come_of_a_body_is_what_its_limit_leaves() {
        let refusal = Refusal { status: 500, challenge: String::new(), retry_after: None, body: String::new() };
        for (reading, outstanding) in [
            (Reading::Json(Vec::from(*b"12"), 50), 48),
            (Reading::Refusal(refusal, Vec::from(*b"12"), 50), 48),
            (Reading::Events(Parser::new(100)), 100),
            (Reading::Drain(0), 0),
            (Reading::Head, 0),
        ] {
            let (exchanges, id) = self::reading(reading);
            assert_eq!(exchanges.get(id).map(|exchange| exchange.outstanding(100)), Some(outstanding));
            assert!(exchanges.contains(id) && !exchanges.contains(ExchangeId(9)));
        }
    }

    #[test]
    fn a_length_that_was_too_short_does_not_count() {
        let (mut exchanges, id) = reading(Reading::Json(Vec::new(), 2));
        assert_eq!(exchanges.read(id, Vec::from(*b"12"), 100, 100), Progress::Kept);
        assert_eq!(exchanges.read(id, Vec::from(*b"3"), 100, 100), Progress::Kept);
        assert_eq!(exchanges.take_reading(id), Some(Reading::Json(Vec::from(*b"123"), 100)));
    }

    #[test]
    fn events_are_given_as_they_are_complete() {
        let (mut exchanges, id) = reading(Reading::Events(Parser::new(100)));
        assert_eq!(exchanges.read(id, Vec::from(*b"data: a\n"), 8, 8), Progress::Items(Vec::new()));
        let Progress::Items(items) = exchanges.read(id, Vec::from(*b"\n"), 8, 8) else { panic!("a stream") };
        assert_eq!(items.len(), 1);
        assert!(exchanges.take_reading(id).is_some());
        assert_eq!(exchanges.read(id, Vec::from(*b"data: b\n\n"), 8, 8), Progress::Kept);
    }

    #[test]
    fn which_requests_are_of_the_versions_without_sessions() {
        for role in [Role::Modern(RequestKey(1)), Role::ModernNotify] {
            assert!(role.is_modern());
        }
        for role in [Role::Post(RequestKey(1)), Role::Initialize, Role::Delete] {
            assert!(!role.is_modern());
        }
    }
}
