//! The machine: `state` is what it remembers, `flow` is what happens, one file for each kind of event. An input is taken by
//! [`Engine::handle`]; whatever it leads to has happened when that returns.
//!
//! Each state is changed by its own methods only, which keep its invariants; who gets a request, an exchange or the session from it
//! may look at it. What an event means for the connection is said by whoever finds it out ([`Engine::then`]), and acted on by
//! `reconnect` once the event is dealt with ([`Engine::act`]). The connection's own state goes from one to the next by the table of
//! `state::connection`.

use core::time::Duration;
mod flow;
mod state;

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;

use crate::api::options::LAST_INSTANT;
use crate::api::time::SECOND;
use crate::engine::state::asides::Asides;
use crate::engine::state::attempts::Attempts;
use crate::engine::state::connection::{Connection, ConnectionState};
use crate::engine::state::consequences::Consequences;
use crate::engine::state::cookies::Cookies;
use crate::engine::state::credentials::Credentials;
use crate::engine::state::current::Current;
use crate::engine::state::cursors::Cursors;
use crate::engine::state::inbox::Inbox;
use crate::engine::state::lateness::Lateness;
use crate::engine::state::liveness::Liveness;
use crate::engine::state::modern::{Link, Modern};
use crate::engine::state::notifications::Notifications;
use crate::engine::state::outage::Outage;
use crate::engine::state::outbox::Outbox;
use crate::engine::state::pause::Pause;
use crate::engine::state::pings::Pings;
use crate::engine::state::probes::Probes;
use crate::engine::state::progress_tokens::ProgressTokens;
use crate::engine::state::request_table::Requests;
use crate::engine::state::session::{Client, Session, ToolHints};
use crate::engine::state::settings::Settings;
use crate::engine::state::timers::{Timer, Timers};
use crate::engine::state::verification::Verification;
use crate::policy::backoff::Rng;
use crate::text::{Secrets, visible};
use crate::wire::url::{Url, UrlError};
use crate::{Event, Input, Instant, Level, Options, Output, State, Status, Transport, http};

use state::exchanges::Exchanges;

/// The engine of one connection. See the crate's documentation for how to drive it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    options: Options,
    /// Where to connect, as configured.
    configured_url: Url,
    /// Where the session is: moves with redirects inside the origin.
    url: Url,
    now: Instant,
    rng: Rng,
    timers: Timers,
    lateness: Lateness,
    outputs: VecDeque<Output>,
    next_wire: u64,
    next_order: u64,

    connection: Connection,
    consequences: Consequences,
    /// The number of the current session, or of the one that is being made.
    epoch: u64,
    /// How many sessions there have been.
    sessions: u64,
    /// The client was told of a session.
    connected: bool,
    /// The last session was with a server that speaks a version without sessions: the next one is asked for so.
    translates_next: bool,
    /// The transport, once it is known.
    transport: Option<Transport>,
    detected_at: Option<Instant>,
    client: Client,
    session: Current,
    cookies: Cookies,
    tool_hints: ToolHints,
    settings: Settings,
    cursors: Cursors,
    inbox: Inbox,

    exchanges: Exchanges,
    bodies: flow::bodies::Bodies,
    secrets: Secrets,
    requests: Requests,
    modern: Modern,
    progress_tokens: ProgressTokens,
    outbox: Outbox,
    asides: Asides,
    notifications: Notifications,

    attempts: Attempts,
    outage: Outage,
    pause: Pause,
    liveness: Liveness,
    /// What the engine's own pings and lists tell.
    probes: Probes,
    pings: Pings,
    verification: Verification,
    /// `list_changed` was sent and nothing of the client was answered since.
    told_without_progress: bool,
    credentials: Credentials,
    closing: bool,
    reconnects: u64,
    replays: u64,
    last_error: String,
}

/// Why options were refused. Its `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OptionsError {
    /// [`Options::url`].
    Url(UrlError),
    /// One of [`Options::headers`].
    Header(HeaderError),
    /// A limit is 0: its name, as in the interfaces.
    Zero(&'static str),
    /// [`Options::recovery`] is not what [`crate::Recovery::state`] gives.
    Recovery,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Url(what) => write!(to, "the URL cannot be used: {what}"),
            Self::Header(what) => write!(to, "a header cannot be used: {what}"),
            Self::Zero(name) => write!(to, "{name} must be at least 1"),
            Self::Recovery => to.write_str("recovery is not what Recovery::state gives"),
        }
    }
}

impl core::error::Error for OptionsError {}

/// Why a header was refused, with its name, cut and made visible. Its `Display` is for people, and its value is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is none (RFC 9110, section 5.1).
    Name(String),
    /// The transport sets this header itself.
    SetByTransport(String),
    /// The value of this header holds a character that is not allowed.
    Value(String),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Name(name) => write!(to, "\"{name}\" is no header name"),
            Self::SetByTransport(name) => write!(to, "{name} is set by the transport itself"),
            Self::Value(name) => write!(
                to,
                "the value of {name} holds a character that is not allowed (visible ASCII, space and tab are)"
            ),
        }
    }
}

impl core::error::Error for HeaderError {}

impl Engine {
    /// An engine that has done nothing yet.
    ///
    /// `seed` feeds the jitter of all delays: give each engine its own, or a herd of them comes back at once. `now` is
    /// the driver's time.
    pub fn new(options: Options, seed: u64, now: Instant) -> Result<Self, OptionsError> {
        let url = Url::parse(&options.url).map_err(OptionsError::Url)?;
        Self::check_headers(&options.headers).map_err(OptionsError::Header)?;
        for (name, limit) in [
            ("max-queue-messages", options.max_queue_messages),
            ("max-queue-bytes", options.max_queue_bytes),
            ("max-message-bytes", options.max_message_bytes),
            ("max-event-bytes", options.max_event_bytes),
            ("max-body-bytes", options.max_body_bytes),
            ("max-total-body-bytes", options.max_total_body_bytes),
        ] {
            if limit == 0 {
                return Err(OptionsError::Zero(name));
            }
        }
        let now = now.min(LAST_INSTANT);
        let mut options = options.bounded();
        let recovery = options.recovery.take();
        let mut engine = Self {
            options,
            configured_url: url.clone(),
            url,
            now,
            rng: Rng::new(seed),
            timers: Timers::default(),
            lateness: Lateness::default(),
            outputs: VecDeque::new(),
            next_wire: 1,
            next_order: 1,
            connection: Connection::default(),
            consequences: Consequences::default(),
            epoch: 0,
            sessions: 0,
            connected: false,
            translates_next: false,
            transport: None,
            detected_at: None,
            client: Client::default(),
            session: Current::default(),
            cookies: Cookies::default(),
            tool_hints: ToolHints::default(),
            settings: Settings::default(),
            cursors: Cursors::default(),
            inbox: Inbox::default(),
            exchanges: Exchanges::default(),
            bodies: flow::bodies::Bodies::default(),
            secrets: Secrets::default(),
            requests: Requests::default(),
            modern: Modern::default(),
            progress_tokens: ProgressTokens::default(),
            outbox: Outbox::default(),
            asides: Asides::default(),
            notifications: Notifications::default(),
            attempts: Attempts::default(),
            outage: Outage::default(),
            pause: Pause::default(),
            liveness: Liveness::new(now),
            probes: Probes::default(),
            pings: Pings::default(),
            verification: Verification::default(),
            told_without_progress: false,
            credentials: Credentials::default(),
            closing: false,
            reconnects: 0,
            replays: 0,
            last_error: String::new(),
        };
        if let Some(state) = recovery {
            engine.take_over(&state)?;
            engine.act();
        }
        Ok(engine)
    }

    /// Whether these headers can be set: names and values as RFC 9110 allows them, and none that the transport sets
    /// itself.
    pub fn check_headers(headers: &[(String, String)]) -> Result<(), HeaderError> {
        for (name, value) in headers {
            let shown = visible(name, 64);
            if !http::header_name_ok(name) {
                return Err(HeaderError::Name(shown));
            }
            if http::set_by_transport(name) {
                return Err(HeaderError::SetByTransport(shown));
            }
            if !http::header_value_ok(value) {
                return Err(HeaderError::Value(shown));
            }
        }
        Ok(())
    }

    /// Takes one input. Drain [`Engine::poll_output`] afterwards. A `now` before an earlier one counts as that, one after
    /// 2⁶³ ns as 2⁶³ ns.
    ///
    /// When the driver comes late, give it the inputs that waited before [`Input::Tick`]: they are taken before the timers that
    /// fell due meanwhile. Timers fire with the tick, or by themselves when inputs have gone before them for 100 ms.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now.min(LAST_INSTANT));
        if self.connection.is_closed() {
            return;
        }
        let only_time_passes = matches!(input, Input::Tick);
        match input {
            Input::Tick => {}
            Input::Message(text) => self.on_client_message(text),
            Input::SetHeaders(headers) => self.on_headers(headers),
            Input::SignIn(sign_in) => self.credentials.set_sign_in(sign_in),
            Input::Reconnect => self.on_reconnect(),
            Input::Probe => self.on_probe(),
            Input::Close => self.on_close(),
            Input::Sent(exchange) => self.on_sent(exchange),
            Input::Response { exchange, status, headers } => self.on_head(exchange, status, &headers),
            Input::Body { exchange, bytes } => self.on_body(exchange, bytes),
            Input::End(exchange) => self.on_end(exchange),
            Input::Failed { exchange, failure, detail } => self.on_failed(exchange, failure, &detail),
        }
        self.act();
        let due = self.timers.next().is_some_and(|at| at <= self.now);
        if self.lateness.may_fire(self.now, due, only_time_passes) {
            while let Some(timer) = self.timers.pop(self.now) {
                self.on_timer(timer);
                self.act();
            }
        }
        loop {
            self.pump();
            if self.consequences.is_empty() {
                break;
            }
            self.act();
        }
        self.finish_if_drained();
        self.balance_bodies();
        self.act();
        debug_assert!(self.consequences.is_empty());
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the connection is closing or closed: nothing is taken any more.
    pub fn is_closed(&self) -> bool {
        self.closing
    }

    /// When to call [`Engine::handle`] at the latest, with [`Input::Tick`] if there is nothing else. `None`: whenever.
    ///
    /// Ask only when [`Engine::poll_output`] has given `None`, and again after each [`Engine::handle`]: outputs that wait are due now,
    /// whatever this says, and it changes with every input. Inputs that wait already go before the tick.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A snapshot.
    pub fn status(&self) -> Status {
        let modern = self.modern.meta().is_some() && self.client.initialize.is_none();
        let state = match self.connection.state() {
            _ if self.closing => State::Closed,
            ConnectionState::Idle if modern => match self.modern.link() {
                Link::Up if self.modern.info().is_some() => State::Ready,
                Link::Up if !self.modern_awaits_something() => State::Idle,
                Link::Up | Link::Checking | Link::Headers => State::Connecting,
                Link::Waiting => State::Waiting,
                Link::Credentials(_) => State::NeedsCredentials,
            },
            ConnectionState::Idle => State::Idle,
            ConnectionState::Handshake(_) | ConnectionState::Headers => State::Connecting,
            ConnectionState::AwaitInitialized | ConnectionState::Ready => State::Ready,
            ConnectionState::Probing(_) if !self.outage.is_on() => State::Ready,
            ConnectionState::Probing(_) => State::Connecting,
            ConnectionState::Waiting => State::Waiting,
            ConnectionState::Credentials(_) => State::NeedsCredentials,
            ConnectionState::Closing | ConnectionState::Closed => State::Closed,
        };
        Status {
            state,
            session: self.session.as_ref().map(Session::info).or_else(|| self.modern.info().cloned()),
            session_since: match (self.session.as_ref(), self.modern.info()) {
                (Some(session), _) => Some(session.since),
                (None, info) => info.map(|_| self.modern.since()),
            },
            queued: (self.outbox.len() + self.modern.queued()) as u32,
            in_flight: self.requests.of_client().filter(|(_, request)| !request.is_listen()).count() as u32,
            reconnects: self.reconnects,
            replays: self.replays,
            last_error: self.blank(self.last_error.clone()),
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Attempt => self.attempt(),
            Timer::Heartbeat => self.on_heartbeat(),
            Timer::Hold(key) => self.on_hold_over(key),
            Timer::Run(key) => self.on_run_over(key),
            Timer::OldSession(key) => self.on_old_session_silent(key),
            Timer::Head(exchange) => self.on_head_late(exchange),
            Timer::Linger(exchange) => self.on_linger_over(exchange),
            Timer::Grace(key) => self.on_grace_over(key),
            Timer::Resume(key) => self.resume(key),
            Timer::Reopen(key) => self.reopen(key),
            Timer::Standalone => self.open_standalone(),
            Timer::Notify => self.notifications.need_not_wait(),
            Timer::NotificationHold => self.drop_late_notifications(),
            Timer::Endpoint => self.on_handshake_late(),
            Timer::Start => self.answer_provisionally(),
            Timer::Discover(key) => self.on_discover_late(key),
            Timer::Listen(key) => self.on_listen_timer(key),
            Timer::OwnListen => self.on_own_listen_late(),
            Timer::ModernAttempt => self.on_modern_attempt(),
            Timer::ModernLiveness => self.on_modern_liveness(),
            Timer::ModernOwn(exchange) => self.on_modern_own_late(exchange),
            Timer::ModernCredentials => self.on_modern_credentials_over(),
            Timer::Credentials => self.on_credentials_over(),
            Timer::Headers => self.on_headers_late(),
            // Whatever is due is asked for once this input is taken.
            Timer::Restore => {}
            Timer::Delete => self.on_delete_over(),
            Timer::Drain => self.finish_close(),
            Timer::Bodies => self.on_body_stalled(),
        }
    }

    fn emit(&mut self, event: Event) {
        let event = self.blanked(event);
        if self.options.notify_client
            && self.client.initialized
            && self.client.answered.is_some()
            && let Some(text) = flow::notice::of(&event, &self.server_name())
        {
            self.outputs.push_back(Output::Event(Event::Message(text)));
        }
        self.outputs.push_back(Output::Event(event));
    }

    fn emit_message(&mut self, text: String) {
        self.emit(Event::Message(crate::wire::json::one_line(text)));
    }

    fn log(&mut self, level: Level, text: impl Into<String>) {
        self.emit(Event::Diagnostic { level, text: text.into() });
    }

    fn order(&mut self) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        order
    }

    fn new_wire_id(&mut self) -> u64 {
        let id = self.next_wire;
        self.next_wire += 1;
        id
    }

    /// Whether there is a session that the server has taken `notifications/initialized` in.
    fn has_session(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.initialized)
    }

    /// How the server is called in texts for people: its origin, which holds no secret.
    fn server_name(&self) -> String {
        alloc::format!("{}://{}", if self.url.https() { "https" } else { "http" }, self.url.authority())
    }
}

/// A duration for people.
fn seconds(duration: Duration) -> String {
    if duration < SECOND {
        alloc::format!("{} ms", duration.as_millis())
    } else {
        alloc::format!("{} s", duration.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MILLISECOND, SECOND};

    #[test]
    fn durations_are_shown_in_the_unit_that_fits() {
        for (duration, shown) in [
            (Duration::ZERO, "0 ms"),
            (999 * MILLISECOND, "999 ms"),
            (SECOND, "1 s"),
            (1999 * MILLISECOND, "1 s"),
            (90 * SECOND, "90 s"),
        ] {
            assert_eq!(seconds(duration), shown);
        }
    }
}
