//! What the client has set on the server and what every session must hold: resource subscriptions and the log level.
//!
//! Each is a state to converge to. What is *wanted* follows what the client was told: a success sets it, an error leaves it.
//! What the *server* holds in this session is believed from the answers in this session, and is unknown where an outcome is.
//! Where the two differ and no request about it is under way, the setting is due: the engine sends a request of its own,
//! again until it is confirmed, or given up for this session.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::time::Duration;

use crate::Instant;
use crate::engine::state::requests::RequestKey;
use crate::wire::spelling;

/// The most subscriptions that are kept.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 10_000;
/// The most bytes of their URIs.
pub(crate) const MAX_SUBSCRIPTION_BYTES: usize = 8 << 20;
/// Refusals in a row, by HTTP and not by the server's own JSON-RPC error, after which a setting is given up for the session.
const MAX_REFUSALS: u32 = 5;
/// Tries in a row that may come to nothing for any reason.
const MAX_TRIES: u32 = 200;
/// How seldom the answer to a restore is taken for the loss of the session: a server that answers every restore so would get
/// one session after the other. A session that is lost indeed is noticed by everything else too.
const LOSS_PAUSE: Duration = Duration::from_secs(600);

/// Something that can be set on the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Setting {
    LogLevel,
    /// A subscription, by its URI as a JSON string in one spelling.
    Subscription(String),
}

/// What a request changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    setting: Setting,
    /// The level or the URI as raw JSON; `None` ends the subscription.
    value: Option<String>,
}

impl Change {
    /// What a client's request changes, by its method and the raw `level` or `uri` of its params.
    pub fn of(method: &str, level: Option<&str>, uri: Option<&str>) -> Option<Self> {
        let uri = uri.filter(|uri| uri.starts_with('"')).map(spelling::canonical);
        match method {
            "logging/setLevel" => level.map(|level| Self { setting: Setting::LogLevel, value: Some(level.into()) }),
            "resources/subscribe" => {
                uri.map(|uri| Self { value: Some(uri.clone()), setting: Setting::Subscription(uri) })
            }
            "resources/unsubscribe" => uri.map(|uri| Self { setting: Setting::Subscription(uri), value: None }),
            _ => None,
        }
    }

    /// The method and params of the request that makes this change.
    pub fn request(&self) -> (&'static str, String) {
        match (&self.setting, &self.value) {
            (Setting::LogLevel, level) => {
                ("logging/setLevel", alloc::format!(r#"{{"level":{}}}"#, level.as_deref().unwrap_or("null")))
            }
            (Setting::Subscription(_), Some(uri)) => ("resources/subscribe", alloc::format!(r#"{{"uri":{uri}}}"#)),
            (Setting::Subscription(uri), None) => ("resources/unsubscribe", alloc::format!(r#"{{"uri":{uri}}}"#)),
        }
    }

    /// What it is about, for people: a URI without its query, which may hold a secret.
    pub fn describe(&self) -> String {
        match &self.setting {
            Setting::LogLevel => String::from("the log level"),
            Setting::Subscription(uri) => {
                let shown: String = serde_json::from_str(uri).unwrap_or_default();
                let shown = shown.split(['?', '#']).next().unwrap_or_default();
                let shown = crate::text::visible(shown, 120);
                alloc::format!("the subscription to {shown}")
            }
        }
    }

    /// Whether both ask for the same.
    fn agrees(&self, value: &Option<String>) -> bool {
        same(&self.setting, &self.value, value)
    }
}

/// Whether two values are one: two spellings of a URI are.
fn same(setting: &Setting, a: &Option<String>, b: &Option<String>) -> bool {
    match setting {
        Setting::Subscription(_) => a.is_some() == b.is_some(),
        Setting::LogLevel => a.as_deref().map(spelling::canonical) == b.as_deref().map(spelling::canonical),
    }
}

/// What the server is believed to hold in this session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Belief {
    Is(Option<String>),
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Item {
    /// What the client was told is set.
    wanted: Option<String>,
    /// The request that decided that: an older one that is answered later does not.
    decided_by: RequestKey,
    server: Belief,
    /// It was wanted and not held for a while: what changed meanwhile was told to nobody.
    missed: bool,
    /// Requests about it under way or held, the client's and the engine's own.
    open: usize,
    /// What the newest of them asks for.
    newest: Option<String>,
    /// Two of them ask for different things, and may run in either order.
    clash: bool,
    refusals: u32,
    tries: u32,
    given_up: bool,
    /// What it counts for in the sum of bytes.
    bytes: usize,
}

/// The settings of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    items: BTreeMap<Setting, Item>,
    bytes: usize,
    /// The client's requests that are not over.
    asked: BTreeMap<RequestKey, Change>,
    /// The engine's own requests that are not over.
    own: BTreeMap<RequestKey, Change>,
    /// What the engine has to ask for.
    due: BTreeSet<Setting>,
    /// Subscriptions of which the client is to hear an update.
    updates: BTreeSet<Setting>,
    /// The server of this session takes a log level.
    logging: bool,
    /// Restores in a row that came to nothing.
    failures: u32,
    /// When the answer to a restore was last taken for the loss of the session.
    lost_at: Option<Instant>,
}

/// There is no room for another subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Settings {
    /// Whether the client may ask for this change.
    pub fn has_room(&self, change: &Change) -> Result<(), Full> {
        let Setting::Subscription(uri) = &change.setting else { return Ok(()) };
        let new = change.value.is_some() && !self.items.contains_key(&change.setting);
        if new && (self.items.len() >= MAX_SUBSCRIPTIONS || self.bytes + uri.len() > MAX_SUBSCRIPTION_BYTES) {
            return Err(Full);
        }
        Ok(())
    }

    /// The client asks for a change.
    pub fn asked(&mut self, request: RequestKey, change: Change) {
        self.open(&change);
        self.asked.insert(request, change);
    }

    /// The server answered a request of the client's. `told`: the client hears of it; `in_session`: it ran in the current
    /// session.
    pub fn answered(&mut self, request: RequestKey, success: bool, told: bool, in_session: bool) {
        let Some(change) = self.asked.remove(&request) else { return };
        if let Some(item) = self.items.get_mut(&change.setting) {
            let absent = item.server == Belief::Is(None);
            // The server may refuse to end what it never heard of: it is as the client wants it all the same.
            let void = !success && change.value.is_none() && in_session && absent;
            if told && (success || void) && request >= item.decided_by {
                item.wanted = change.value.clone();
                item.decided_by = request;
            }
            if success && in_session {
                item.server = Belief::Is(change.value.clone());
            }
        }
        self.close(&change.setting);
    }

    /// Another sending of a request of the client's may have run in the current session, whatever the answer to this one says.
    pub fn in_doubt(&mut self, request: RequestKey) {
        let setting = self.asked.get(&request).map(|change| &change.setting);
        if let Some(item) = setting.and_then(|setting| self.items.get_mut(setting)) {
            item.server = Belief::Unknown;
        }
    }

    /// A request of the client's or of the engine's own ends without an answer of the server. `may_have_run`: in the current
    /// session.
    pub fn dropped(&mut self, request: RequestKey, may_have_run: bool) {
        let own = self.own.remove(&request);
        let Some(change) = own.or_else(|| self.asked.remove(&request)) else { return };
        if may_have_run && let Some(item) = self.items.get_mut(&change.setting) {
            item.server = Belief::Unknown;
        }
        self.close(&change.setting);
    }

    /// A new session holds nothing.
    pub fn begin_session(&mut self, logging: bool) {
        self.logging = logging;
        self.updates.clear();
        let settings: alloc::vec::Vec<_> = self.items.keys().cloned().collect();
        for setting in settings {
            if let Some(item) = self.items.get_mut(&setting) {
                item.server = Belief::Is(None);
                item.given_up = false;
                item.refusals = 0;
                item.tries = 0;
            }
            self.look_at(&setting);
        }
    }

    /// A new session holds all that is wanted, because it goes with every message.
    pub fn begin_translated_session(&mut self) {
        self.logging = false;
        self.updates.clear();
        let settings: alloc::vec::Vec<_> = self.items.keys().cloned().collect();
        for setting in settings {
            if let Some(item) = self.items.get_mut(&setting) {
                item.server = Belief::Is(item.wanted.clone());
                item.missed = false;
                item.given_up = false;
            }
            self.look_at(&setting);
        }
    }

    /// What the client was told before this engine took the place of another.
    pub fn take_over(&mut self, log_level: Option<String>, subscriptions: BTreeSet<String>) {
        let level = log_level.and_then(|level| Change::of("logging/setLevel", Some(&level), None));
        let uris = subscriptions.iter().filter_map(|uri| Change::of("resources/subscribe", None, Some(uri)));
        for change in level.into_iter().chain(uris) {
            self.asked(RequestKey(0), change);
            self.answered(RequestKey(0), true, true, false);
        }
    }

    /// The log level that the client was told is set, raw.
    pub fn log_level(&self) -> Option<&str> {
        self.items.get(&Setting::LogLevel)?.wanted.as_deref()
    }

    /// The URIs, raw, that the client was told it is subscribed to.
    pub fn subscriptions(&self) -> alloc::vec::Vec<String> {
        let wanted = |(setting, item): (&Setting, &Item)| match setting {
            Setting::Subscription(uri) if item.wanted.is_some() => Some(uri.clone()),
            _ => None,
        };
        self.items.iter().filter_map(wanted).collect()
    }

    /// What was given up is tried again.
    pub fn try_again(&mut self) {
        let settings: alloc::vec::Vec<_> =
            self.items.iter().filter(|(_, item)| item.given_up).map(|(setting, _)| setting.clone()).collect();
        for setting in settings {
            if let Some(item) = self.items.get_mut(&setting) {
                item.given_up = false;
                item.refusals = 0;
                item.tries = 0;
            }
            self.look_at(&setting);
        }
    }

    /// The next change that the engine has to make.
    pub fn next_due(&self) -> Option<Change> {
        let setting = self.due.first()?;
        let value = self.items.get(setting)?.wanted.clone();
        Some(Change { setting: setting.clone(), value })
    }

    /// The engine makes it by this request.
    pub fn started(&mut self, request: RequestKey, change: Change) {
        self.open(&change);
        self.own.insert(request, change);
    }

    /// The engine's own requests under way.
    pub fn under_way(&self) -> usize {
        self.own.len()
    }

    /// The server confirmed a change of the engine's own.
    pub fn confirmed(&mut self, request: RequestKey) {
        let Some(change) = self.own.remove(&request) else { return };
        self.failures = 0;
        if let Some(item) = self.items.get_mut(&change.setting) {
            item.server = Belief::Is(change.value.clone());
            item.refusals = 0;
            item.tries = 0;
        }
        self.close(&change.setting);
    }

    /// The server refused a change of the engine's own by a JSON-RPC error: it is given up for this session.
    pub fn refused(&mut self, request: RequestKey) -> Option<Change> {
        let change = self.own.remove(&request)?;
        self.failures = 0;
        if let Some(item) = self.items.get_mut(&change.setting) {
            item.given_up = true;
        }
        self.close(&change.setting);
        Some(change)
    }

    /// A change of the engine's own came to nothing, because something refused it or for any other reason. It is given back
    /// if it is given up for this session.
    pub fn failed(&mut self, request: RequestKey, refused: bool) -> Option<Change> {
        let change = self.own.remove(&request)?;
        let mut given_up = false;
        if let Some(item) = self.items.get_mut(&change.setting) {
            item.server = Belief::Unknown;
            item.tries += 1;
            item.refusals = if refused { item.refusals + 1 } else { 0 };
            item.given_up = item.refusals >= MAX_REFUSALS || item.tries >= MAX_TRIES;
            given_up = item.given_up;
        }
        self.close(&change.setting);
        given_up.then_some(change)
    }

    /// Restores have to wait, which they had to so many times in a row before.
    pub fn put_off(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures - 1
    }

    /// The answer to a restore is that there is no session. Whether that is to be believed.
    pub fn session_is_lost(&mut self, now: Instant) -> bool {
        let believed = self.lost_at.is_none_or(|at| now >= at + LOSS_PAUSE);
        if believed {
            self.lost_at = Some(now);
        }
        believed
    }

    /// The URI, as raw JSON, of a subscription of which the client is to hear an update: it holds again.
    pub fn take_update(&mut self) -> Option<String> {
        let setting = self.updates.pop_first()?;
        let item = self.items.get_mut(&setting)?;
        item.missed = false;
        item.wanted.clone()
    }

    fn open(&mut self, change: &Change) {
        let bytes = match &change.setting {
            Setting::LogLevel => 0,
            Setting::Subscription(uri) => uri.len(),
        };
        let total = &mut self.bytes;
        let item = self.items.entry(change.setting.clone()).or_insert_with(|| {
            *total += bytes;
            Item {
                wanted: None,
                decided_by: RequestKey(0),
                server: Belief::Is(None),
                missed: false,
                open: 0,
                newest: None,
                clash: false,
                refusals: 0,
                tries: 0,
                given_up: false,
                bytes,
            }
        });
        item.clash |= item.open > 0 && !change.agrees(&item.newest);
        item.open += 1;
        item.newest = change.value.clone();
        self.look_at(&change.setting);
    }

    fn close(&mut self, setting: &Setting) {
        if let Some(item) = self.items.get_mut(setting) {
            item.open = item.open.saturating_sub(1);
            if item.open == 0 && core::mem::take(&mut item.clash) {
                item.server = Belief::Unknown;
            }
        }
        self.look_at(setting);
    }

    /// Finds out what is to be done about a setting, after something about it has changed.
    fn look_at(&mut self, setting: &Setting) {
        self.due.remove(setting);
        self.updates.remove(setting);
        let Some(item) = self.items.get_mut(setting) else { return };
        let held = matches!(&item.server, Belief::Is(value) if same(setting, value, &item.wanted));
        let subscription = matches!(setting, Setting::Subscription(_));
        item.missed = subscription && item.wanted.is_some() && (item.missed || !held);
        if item.open > 0 {
            return;
        }
        if held && item.wanted.is_none() {
            self.bytes -= item.bytes;
            self.items.remove(setting);
        } else if held && item.missed {
            self.updates.insert(setting.clone());
        } else if !held && !item.given_up && (subscription || (self.logging && item.wanted.is_some())) {
            self.due.insert(setting.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe(uri: &str) -> Change {
        Change::of("resources/subscribe", None, Some(uri)).unwrap()
    }

    fn unsubscribe(uri: &str) -> Change {
        Change::of("resources/unsubscribe", None, Some(uri)).unwrap()
    }

    fn level(level: &str) -> Change {
        Change::of("logging/setLevel", Some(level), None).unwrap()
    }

    /// Settings as a client left them that asked for these changes, in order and with success.
    fn after(changes: &[Change]) -> Settings {
        let mut settings = Settings::default();
        settings.begin_session(true);
        for (key, change) in changes.iter().enumerate() {
            settings.asked(RequestKey(key as u64), change.clone());
            settings.answered(RequestKey(key as u64), true, true, true);
        }
        settings
    }

    /// Lets the engine make every change that is due; gives the requests.
    fn converge(settings: &mut Settings) -> alloc::vec::Vec<String> {
        let mut made = alloc::vec::Vec::new();
        while let Some(change) = settings.next_due() {
            let key = RequestKey(1000 + made.len() as u64);
            let (method, params) = change.request();
            made.push(alloc::format!("{method} {params}"));
            settings.started(key, change);
            settings.confirmed(key);
        }
        made
    }

    #[test]
    fn how_often_restores_were_put_off_in_a_row_is_counted() {
        let mut settings = after(&[subscribe(r#""a:1""#)]);
        assert_eq!([settings.put_off(), settings.put_off(), settings.put_off()], [0, 1, 2]);
        settings.begin_session(true);
        assert_eq!(settings.put_off(), 3);
        converge(&mut settings);
        assert_eq!(settings.put_off(), 0);
    }

    #[test]
    fn what_goes_with_every_message_is_held_by_each_session_of_another_era() {
        let mut settings = after(&[level("\"error\""), subscribe(r#""a:1""#)]);
        settings.begin_session(true);
        assert!(settings.next_due().is_some());
        settings.begin_translated_session();
        assert_eq!((settings.next_due(), settings.take_update()), (None, None));
        assert_eq!(settings.subscriptions(), [r#""a:1""#]);
        settings.asked(RequestKey(9), unsubscribe(r#""a:1""#));
        settings.answered(RequestKey(9), true, true, true);
        assert_eq!(settings.subscriptions(), [""; 0]);
    }

    #[test]
    fn a_new_session_gets_what_the_client_was_told_and_nothing_else() {
        let mut settings = after(&[
            level("\"error\""),
            level("\"debug\""),
            subscribe(r#""x:\/a""#),
            subscribe(r#""x:/b""#),
            unsubscribe(r#""x:\/b""#),
            subscribe(r#""x:/a""#),
        ]);
        assert_eq!(settings.next_due(), None);
        settings.begin_session(true);
        assert_eq!(
            converge(&mut settings),
            [r#"logging/setLevel {"level":"debug"}"#, r#"resources/subscribe {"uri":"x:/a"}"#]
        );
        assert_eq!(settings.take_update().as_deref(), Some(r#""x:/a""#));
        assert_eq!(settings.take_update(), None);
        assert_eq!(settings.next_due(), None);
    }

    #[test]
    fn a_server_without_logging_is_not_asked_for_it() {
        let mut settings = after(&[level("\"debug\"")]);
        settings.begin_session(false);
        assert_eq!(settings.next_due(), None);
        settings.begin_session(true);
        assert!(settings.next_due().is_some());
    }

    #[test]
    fn what_ends_without_an_answer_is_made_what_it_was() {
        // Nothing was subscribed: what may have been is ended.
        let mut settings = after(&[]);
        settings.asked(RequestKey(1), subscribe("\"a\""));
        settings.dropped(RequestKey(1), true);
        assert_eq!(converge(&mut settings), [r#"resources/unsubscribe {"uri":"a"}"#]);
        assert_eq!(settings, Settings { logging: true, ..Settings::default() });
        // It was: what may have been ended is begun again, and the client hears of it.
        let mut settings = after(&[subscribe("\"a\"")]);
        settings.asked(RequestKey(1), unsubscribe("\"a\""));
        settings.dropped(RequestKey(1), true);
        assert_eq!(converge(&mut settings), [r#"resources/subscribe {"uri":"a"}"#]);
        assert!(settings.take_update().is_some());
        // It did not run.
        settings.asked(RequestKey(2), unsubscribe("\"a\""));
        settings.dropped(RequestKey(2), false);
        assert_eq!(settings.next_due(), None);
        assert_eq!(settings.take_update(), None);
    }

    #[test]
    fn an_answer_that_nobody_hears_decides_nothing() {
        let mut settings = after(&[]);
        settings.asked(RequestKey(1), subscribe("\"a\""));
        settings.answered(RequestKey(1), true, false, true);
        assert_eq!(converge(&mut settings), [r#"resources/unsubscribe {"uri":"a"}"#]);
    }

    #[test]
    fn an_answer_of_an_older_session_says_nothing_of_this_one() {
        let mut settings = after(&[]);
        settings.asked(RequestKey(1), subscribe("\"a\""));
        settings.begin_session(true);
        assert_eq!(settings.next_due(), None, "the client's own request is awaited");
        settings.answered(RequestKey(1), true, true, false);
        assert_eq!(converge(&mut settings), [r#"resources/subscribe {"uri":"a"}"#]);
    }

    #[test]
    fn while_the_client_ends_a_subscription_it_is_left_alone() {
        let mut settings = after(&[subscribe("\"a\"")]);
        settings.begin_session(true);
        let change = settings.next_due().unwrap();
        settings.started(RequestKey(9), change);
        settings.asked(RequestKey(10), unsubscribe("\"a\""));
        settings.confirmed(RequestKey(9));
        assert_eq!((settings.take_update(), settings.next_due()), (None, None));
        // They ran side by side, in whatever order.
        settings.answered(RequestKey(10), true, true, true);
        assert_eq!(converge(&mut settings), [r#"resources/unsubscribe {"uri":"a"}"#]);
        assert_eq!(settings.take_update(), None);
    }

    #[test]
    fn a_subscription_that_the_new_session_never_had_may_be_refused_its_end() {
        for (began, due) in [(false, None), (true, None)] {
            let mut settings = after(&[subscribe("\"a\"")]);
            if began {
                settings.begin_session(true);
            }
            settings.asked(RequestKey(10), unsubscribe("\"a\""));
            settings.answered(RequestKey(10), false, true, true);
            assert_eq!(settings.next_due(), due);
            // Where it was refused the end of what it had, it is still wanted.
            settings.begin_session(true);
            assert_eq!(settings.next_due().is_some(), !began);
        }
    }

    #[test]
    fn the_newer_of_two_requests_decides_however_they_are_answered() {
        let mut settings = after(&[]);
        settings.asked(RequestKey(1), subscribe("\"a\""));
        settings.asked(RequestKey(2), unsubscribe("\"a\""));
        settings.answered(RequestKey(2), true, true, true);
        settings.answered(RequestKey(1), true, true, true);
        assert_eq!(converge(&mut settings), [r#"resources/unsubscribe {"uri":"a"}"#]);
        // Two that agree leave no doubt.
        settings.asked(RequestKey(3), subscribe("\"a\""));
        settings.asked(RequestKey(4), subscribe("\"\\u0061\""));
        settings.answered(RequestKey(4), true, true, true);
        settings.answered(RequestKey(3), true, true, true);
        assert_eq!(settings.next_due(), None);
    }

    #[test]
    fn what_fails_is_due_again_until_it_is_given_up() {
        for (refused, tries) in [(true, 5), (false, 200)] {
            let mut settings = after(&[subscribe("\"a\"")]);
            settings.begin_session(true);
            for number in 1..=tries {
                let change = settings.next_due().expect("it is due again");
                settings.started(RequestKey(number), change);
                assert_eq!(settings.failed(RequestKey(number), refused).is_some(), number == tries);
            }
            assert_eq!(settings.next_due(), None);
            settings.try_again();
            assert_eq!(converge(&mut settings).len(), 1);
        }
        let mut settings = after(&[subscribe("\"a\"")]);
        settings.begin_session(true);
        let change = settings.next_due().unwrap();
        settings.started(RequestKey(1), change.clone());
        assert_eq!(settings.refused(RequestKey(1)), Some(change));
        assert_eq!((settings.next_due(), settings.take_update()), (None, None));
    }

    #[test]
    fn the_answer_to_a_restore_is_seldom_taken_for_the_loss_of_the_session() {
        let mut settings = Settings::default();
        for (now, believed) in [(0, true), (1, false), (599, false), (600, true), (1199, false), (1200, true)] {
            assert_eq!(settings.session_is_lost(Instant::ZERO + Duration::from_secs(now)), believed, "{now}");
        }
    }

    #[test]
    fn subscriptions_are_bounded_in_number_and_bytes() {
        let mut settings = Settings::default();
        for number in 0..MAX_SUBSCRIPTIONS as u64 {
            let change = subscribe(&alloc::format!("\"{number}\""));
            assert_eq!(settings.has_room(&change), Ok(()));
            settings.asked(RequestKey(number), change);
            settings.answered(RequestKey(number), true, true, true);
        }
        assert_eq!(settings.has_room(&subscribe("\"x\"")), Err(Full));
        assert_eq!(settings.has_room(&subscribe("\"7\"")), Ok(()));
        assert_eq!(settings.has_room(&unsubscribe("\"x\"")), Ok(()));
        assert_eq!(settings.has_room(&level("\"x\"")), Ok(()));
        settings.asked(RequestKey(20_000), unsubscribe("\"7\""));
        settings.answered(RequestKey(20_000), true, true, true);
        assert_eq!(settings.has_room(&subscribe("\"x\"")), Ok(()));

        let long = |byte: &str, count: usize| alloc::format!("\"{}\"", byte.repeat(count - 2));
        let mut settings = after(&[subscribe(&long("a", MAX_SUBSCRIPTION_BYTES / 2))]);
        assert_eq!(settings.has_room(&subscribe(&long("b", MAX_SUBSCRIPTION_BYTES / 2))), Ok(()));
        assert_eq!(settings.has_room(&subscribe(&long("b", MAX_SUBSCRIPTION_BYTES / 2 + 1))), Err(Full));
        settings.asked(RequestKey(9), unsubscribe(&long("a", MAX_SUBSCRIPTION_BYTES / 2)));
        settings.answered(RequestKey(9), true, true, true);
        assert_eq!(settings, Settings { logging: true, ..Settings::default() });
    }

    #[test]
    fn what_is_said_names_no_query() {
        assert_eq!(subscribe(r#""x:\/a?key=1""#).describe(), "the subscription to x:/a");
        assert_eq!(level("\"debug\"").describe(), "the log level");
    }

    #[test]
    fn only_what_was_answered_with_success_is_wanted() {
        let mut settings = after(&[]);
        settings.asked(RequestKey(1), subscribe(r#""a:1""#));
        assert!(settings.subscriptions().is_empty(), "the client is not told yet");
        settings.answered(RequestKey(1), false, true, true);
        assert!(settings.subscriptions().is_empty() && converge(&mut settings).is_empty());
        // An end that is refused in a session that is over says nothing of this one.
        let mut settings = after(&[subscribe(r#""a:1""#)]);
        settings.begin_session(true);
        settings.asked(RequestKey(1), unsubscribe(r#""a:1""#));
        settings.answered(RequestKey(1), false, true, false);
        assert_eq!(settings.subscriptions(), [r#""a:1""#]);
    }
}
