//! What is remembered of the versions without sessions (MCP 2026-07-28): the server's era, the way to it, the requests that
//! wait, and which arguments of its tools are repeated in headers.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::engine::state::connection::Challenge;
use crate::engine::state::outage::Outage;
use crate::engine::state::requests::RequestKey;
use crate::engine::state::session::Server;
use crate::policy::session_loss::Refusal;
use crate::wire::modern::{Discovered, Filter, HeaderParam, Meta, ToolsPage};
use crate::{ExchangeId, Instant, SessionInfo, Transport};

/// The lane of the versions without sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Modern {
    era: Era,
    link: Link,
    /// Requests that wait to be sent, in their order.
    queue: VecDeque<RequestKey>,
    /// Of the client's last request.
    meta: Option<Meta>,
    /// What the server said of itself last.
    server: Option<Discovered>,
    /// The contact with the server, for events and status. There is none before it has shown its era.
    info: Option<SessionInfo>,
    since: Instant,
    /// How many times the server became another one.
    generation: u64,
    outage: Outage,
    /// Attempts since the server was last reached.
    attempts: u32,
    last_attempt: Instant,
    /// How often in a row something answered in the server's place, with the server in reach between.
    turned_away: u32,
    /// The engine's own `server/discover` that is under way.
    discover: Option<ExchangeId>,
    /// Something broke since the server was last heard: a request that must not run twice waits for a discover.
    doubted: bool,
    /// The server that came back is another one, which was not told yet.
    changed: bool,
    pub tools: HeaderTools,
}

/// The client, and what it waits for.
impl Modern {
    /// The client sent a request with this. True: it is the first of them.
    pub fn client_speaks(&mut self, meta: Meta) -> bool {
        self.meta.replace(meta).is_none()
    }

    /// What the client's last request carried, if it ever sent one of these versions.
    pub fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    /// A request waits to be sent; keys are in the order in which requests came.
    pub fn enqueue(&mut self, key: RequestKey) {
        let at = self.queue.partition_point(|queued| *queued < key);
        self.queue.insert(at, key);
    }

    /// A request waits no more.
    pub fn withdraw(&mut self, key: RequestKey) {
        self.queue.retain(|queued| *queued != key);
    }

    pub fn first_in_queue(&self) -> Option<RequestKey> {
        self.queue.front().copied()
    }

    pub fn take_first_in_queue(&mut self) -> Option<RequestKey> {
        self.queue.pop_front()
    }

    pub fn is_queued(&self, key: RequestKey) -> bool {
        self.queue.contains(&key)
    }

    /// How many requests wait.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// None of them waits any more.
    pub fn take_queue(&mut self) -> VecDeque<RequestKey> {
        core::mem::take(&mut self.queue)
    }
}

/// The way to the server.
impl Modern {
    pub fn link(&self) -> &Link {
        &self.link
    }

    pub fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    pub fn link_is(&mut self, link: Link) {
        self.link = link;
    }

    /// Nobody brought other credentials: requests are sent all the same. Gives what the server asked for.
    pub fn give_up_credentials(&mut self) -> Option<Challenge> {
        match core::mem::take(&mut self.link) {
            Link::Credentials(challenge) => Some(challenge),
            link => {
                self.link = link;
                None
            }
        }
    }

    /// The server cannot be reached. False: it could not before.
    pub fn is_away(&mut self, now: Instant) -> bool {
        self.outage.begin(now)
    }

    /// The server was reached. False: it was not away.
    pub fn is_back(&mut self) -> bool {
        self.outage.end()
    }

    pub fn outage(&self) -> &Outage {
        &self.outage
    }

    /// Whether the client is to hear of an attempt that is made now.
    pub fn tells_attempt(&mut self, now: Instant) -> bool {
        self.outage.tells(now)
    }

    /// Attempts that came to nothing since the server was last reached.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    pub fn attempt_failed(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }

    pub fn last_attempt(&self) -> Instant {
        self.last_attempt
    }

    /// Something else answered in the server's place.
    pub fn turned_away(&mut self) {
        self.turned_away = self.turned_away.saturating_add(1);
    }

    /// The server itself answered.
    pub fn server_answered(&mut self) {
        self.turned_away = 0;
    }

    /// How often in a row something else did.
    pub fn times_turned_away(&self) -> u32 {
        self.turned_away
    }

    /// The engine's own question is sent.
    pub fn asks(&mut self, discover: ExchangeId) {
        self.discover = Some(discover);
    }

    /// The same, as an attempt to reach the server.
    pub fn attempts_with(&mut self, discover: ExchangeId, now: Instant) {
        self.last_attempt = now;
        self.discover = Some(discover);
    }

    /// Whether such a question is under way.
    pub fn is_asking(&self) -> bool {
        self.discover.is_some()
    }

    /// Whether this exchange is that question, which is over then.
    pub fn question_over(&mut self, exchange: ExchangeId) -> bool {
        let is_it = self.discover == Some(exchange);
        if is_it {
            self.discover = None;
        }
        is_it
    }

    /// The question is given up.
    pub fn take_question(&mut self) -> Option<ExchangeId> {
        self.discover.take()
    }

    /// Something broke on the way.
    pub fn doubt(&mut self) {
        self.doubted = true;
    }

    pub fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// The server was heard.
    pub fn is_certain(&mut self) {
        self.doubted = false;
    }

    /// The server was reached: attempts are counted anew. Gives whether it is another one than before, once.
    pub fn reached(&mut self) -> bool {
        self.doubted = false;
        self.attempts = 0;
        core::mem::take(&mut self.changed)
    }
}

/// The server.
impl Modern {
    pub fn era(&self) -> Era {
        self.era
    }

    pub fn era_is(&mut self, era: Era) {
        self.era = era;
    }

    /// The contact with the server, and since when there is one.
    pub fn info(&self) -> Option<&SessionInfo> {
        self.info.as_ref()
    }

    pub fn since(&self) -> Instant {
        self.since
    }

    /// There is contact: the client speaks this version of the protocol. The server has not been away, then.
    pub fn contact_begins(&mut self, now: Instant) {
        let version = self.meta.as_ref().map_or_else(String::new, |meta| meta.version.clone());
        self.info = Some(SessionInfo {
            epoch: self.generation + 1,
            transport: Transport::StreamableHttp,
            protocol_version: version,
            server_name: String::new(),
            server_version: String::new(),
            has_session_id: false,
        });
        self.since = now;
        self.name_server();
        self.outage.end();
    }

    /// What the server says of itself.
    pub fn server_is(&mut self, server: Discovered) {
        let changed = self.server.as_ref().is_some_and(|before| !before.is_like(&server));
        if changed {
            self.generation += 1;
        }
        let before = self.server.replace(server);
        if before.is_none() || changed {
            self.name_server();
        }
        self.changed |= changed;
    }

    fn name_server(&mut self) {
        let Some(server) = &self.server else { return };
        let named = Server::parse(&alloc::format!(
            r#"{{"protocolVersion":"-","serverInfo":{}}}"#,
            if server.info.is_empty() { "{}" } else { &server.info }
        ));
        if let (Some(info), Ok(named)) = (&mut self.info, named) {
            info.server_name = named.name;
            info.server_version = named.release;
            info.epoch = self.generation + 1;
        }
    }
}

/// Which versions the server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Era {
    #[default]
    Unknown,
    /// One without sessions, beside which there may be others.
    Modern,
    /// Only such with sessions.
    Legacy,
}

/// Whether requests can be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    /// As far as is known.
    #[default]
    Up,
    /// A `server/discover` finds out.
    Checking,
    /// The next attempt has its time.
    Waiting,
    /// The host was asked for headers, before the first request or after the server was away.
    Headers,
    /// The server wants other credentials.
    Credentials(Challenge),
}

/// What a request of these versions has beside other requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ModernPart {
    pub version: String,
    /// The value of `Mcp-Name`.
    pub name: Option<String>,
    /// It opens a stream of notifications.
    pub listen: Option<Listen>,
    /// Its headers were built anew once, after the server said that they do not fit.
    pub rebuilt: bool,
    /// What it was refused with, while a `server/discover` finds out whether the server still speaks these versions.
    pub unverified: Option<Refusal>,
}

/// A stream of notifications (`subscriptions/listen`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Listen {
    /// What the client was told that the server tells.
    pub told: Option<Filter>,
    /// The server has acknowledged the stream that is open.
    pub acknowledged: bool,
    /// When that stream was opened.
    pub opened_at: Instant,
    /// Streams in a row that did not last.
    pub failures: u32,
}

/// The tools with arguments that headers repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct HeaderTools {
    tools: BTreeMap<String, Vec<HeaderParam>>,
    /// What they take, in bytes.
    bytes: usize,
}

/// The most such tools that are remembered.
const MAX_TOOLS: usize = 1024;
/// The most that is remembered of them all, in bytes.
const MAX_BYTES: usize = 1 << 20;

impl HeaderTools {
    /// Takes a page of `tools/list`; the first one begins anew. False: there are more such tools than are remembered.
    pub fn learn(&mut self, page: ToolsPage, first: bool) -> bool {
        if first {
            *self = Self::default();
        }
        let mut all = true;
        for (name, params) in page.with_params {
            let size = name.len() + params.iter().map(HeaderParam::size).sum::<usize>();
            if self.bytes + size > MAX_BYTES || self.tools.len() >= MAX_TOOLS && !self.tools.contains_key(&name) {
                all = false;
                continue;
            }
            self.bytes += size;
            self.tools.insert(name, params);
        }
        all
    }

    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    pub fn of(&self, tool: &str) -> &[HeaderParam] {
        self.tools.get(tool).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::api::time::tests::at;
    use crate::wire::modern::tools_page;

    fn keys(modern: &mut Modern) -> Vec<u64> {
        let queue = modern.take_queue();
        queue.iter().for_each(|key| modern.enqueue(*key));
        queue.into_iter().map(|key| key.0).collect()
    }

    #[test]
    fn requests_wait_in_the_order_in_which_they_came() {
        let mut modern = Modern::default();
        for key in [5, 2, 9] {
            modern.enqueue(RequestKey(key));
        }
        assert_eq!(keys(&mut modern), [2, 5, 9]);
        modern.withdraw(RequestKey(5));
        assert!(modern.is_queued(RequestKey(2)) && !modern.is_queued(RequestKey(5)));
        assert_eq!((modern.first_in_queue(), modern.queued()), (Some(RequestKey(2)), 2));
    }

    #[test]
    fn only_missing_credentials_are_given_up() {
        let mut modern = Modern::default();
        modern.link_is(Link::Waiting);
        assert_eq!((modern.give_up_credentials(), modern.link()), (None, &Link::Waiting));
        let challenge = Challenge { status: 401, text: "Bearer".to_string() };
        modern.link_is(Link::Credentials(challenge.clone()));
        assert_eq!(modern.give_up_credentials(), Some(challenge));
        assert!(modern.is_up());
    }

    #[test]
    fn a_question_ends_once() {
        let mut modern = Modern::default();
        modern.attempts_with(ExchangeId(3), at(7));
        assert_eq!((modern.is_asking(), modern.last_attempt()), (true, at(7)));
        assert!(!modern.question_over(ExchangeId(2)));
        assert!(modern.question_over(ExchangeId(3)) && !modern.question_over(ExchangeId(3)));
        modern.asks(ExchangeId(4));
        assert_eq!((modern.take_question(), modern.take_question()), (Some(ExchangeId(4)), None));
    }

    #[test]
    fn attempts_and_doubts_end_when_the_server_is_reached() {
        let mut modern = Modern::default();
        modern.doubt();
        modern.attempt_failed();
        modern.attempt_failed();
        assert!(modern.is_doubted() && modern.attempts() == 2);
        assert!(!modern.reached());
        assert!(!modern.is_doubted() && modern.attempts() == 0);
        assert!(modern.is_away(at(1)) && !modern.is_away(at(2)) && modern.is_back() && !modern.is_back());
    }

    #[test]
    fn another_server_is_told_once() {
        let server = |name: &str| Discovered {
            info: alloc::format!(r#"{{"name":"{name}","version":"1"}}"#),
            ..Discovered::default()
        };
        let mut modern = Modern::default();
        modern.contact_begins(at(9));
        modern.server_is(server("one"));
        modern.server_is(server("one"));
        assert!(!modern.reached());
        modern.server_is(server("two"));
        let info = modern.info().unwrap();
        assert_eq!((info.epoch, info.server_name.as_str(), modern.since()), (2, "two", at(9)));
        assert!(modern.reached() && !modern.reached());
    }

    /// A page with tools of these names, each with one such argument.
    fn page(names: &[String]) -> ToolsPage {
        let tools = names.iter().map(|name| {
            alloc::format!(
                r#"{{"name":"{name}","inputSchema":{{"properties":{{"p":{{"type":"string","x-mcp-header":"P"}}}}}}}}"#
            )
        });
        tools_page(&alloc::format!(r#"{{"tools":[{}]}}"#, tools.collect::<Vec<_>>().join(",")))
    }

    #[test]
    fn tools_with_headers_are_bounded_in_number_and_bytes() {
        let names: Vec<String> = (0..MAX_TOOLS).map(|number| number.to_string()).collect();
        let mut tools = HeaderTools::default();
        assert!(tools.learn(page(&names), true) && tools.tools.len() == MAX_TOOLS);
        assert!(!tools.learn(page(&["one more".to_string()]), false), "and that is told");
        assert!(tools.learn(page(&["0".to_string()]), false), "one that is known is renewed");
        assert!(tools.learn(page(&["one more".to_string()]), true) && tools.tools.len() == 1);
        // The names of a tool, its property and its header count; these fill it to the last byte.
        let long = |name: &str, bytes: usize| alloc::format!("{name}{}", "x".repeat(bytes - name.len() - 2));
        let mut tools = HeaderTools::default();
        assert!(tools.learn(page(&[long("a", MAX_BYTES / 2), long("b", MAX_BYTES / 2)]), true));
        assert_eq!(tools.bytes, MAX_BYTES);
        assert!(!tools.learn(page(&["c".to_string()]), false));
        assert!(!tools.learn(page(&[long("a", MAX_BYTES + 1)]), true) && tools.is_empty());
    }
}
