//! The machine: a run from [`Input::Acquire`] or [`Input::SignIn`] to [`Output::Done`].

use core::time::Duration;
mod discovery;
mod sign_in;
mod tokens;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::answer::TokenAnswer;
use super::api::{
    Config, ConfigError, Event, Failure, FailureKind, Grant, Input, Method, Output, Page, Request, RequestId, Resource,
    Response, Token,
};
use super::challenge::Challenge;
use super::locations;
use super::metadata::{ResourceMetadata, ServerMetadata};
use super::pkce::Random;
use super::record::{Client, Freshness, Record, SignIn, Tokens};
use super::scope;
use super::secret::{Secret, same};
use crate::url::Url;
use crate::{Instant, http};

/// The most bytes of a metadata document, of a token answer and of the like.
const MAX_BODY: usize = 64 << 10;
/// How long one request may take.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// How often a request that came to nothing is made in all, and the first pause; each further one is twice as long.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A server's wish for a longer pause is obeyed up to this; with a longer one the run ends.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A token that was rejected so soon after it was given was never good.
const QUICK: Duration = Duration::from_secs(5);
/// So many of these end it.
const MAX_QUICK: u32 = 2;
/// How often the same scopes are asked for because a token does not have them.
const MAX_STEP_UPS: u32 = 2;
/// The most sets of scopes that are remembered for that.
const MAX_STEP_UP_SETS: usize = 100;

/// Gets the access tokens of one MCP server. See [`crate::oauth`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Oauth {
    config: Config,
    server: Url,
    random: Random,
    now: Instant,
    /// Seconds since 1970.
    wall: u64,
    outputs: VecDeque<Output>,
    next_request: u64,
    step: Step,
    timer: Option<Instant>,
    goal: Goal,
    /// The lock is held.
    locked: bool,
    listening: Option<u16>,
    /// What was read last.
    record: Record,
    /// The token that the server has rejected.
    rejected: Option<Secret>,
    /// The token that was given last, and when.
    given: Option<(Secret, Instant)>,
    quick_rejections: u32,
    step_ups: BTreeMap<Vec<String>, u32>,
    /// Attempts of the request under way that came to nothing.
    failures: u32,
    /// Whether this run already began a sign-in anew.
    began_anew: bool,
    challenge: Challenge,
    resource: Option<ResourceMetadata>,
    authorization_server: Option<ServerMetadata>,
    /// The client of the sign-in under way.
    client: Option<Client>,
    registration: u8,
    pending: Option<Pending>,
    device: Option<Device>,
    /// The authorization server gives this client no code for another device, or does not register it for that.
    device_refused: bool,
}

/// What the run is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Goal {
    Acquire {
        /// The server demands more scopes.
        step_up: bool,
        /// A request was rejected.
        rejected: bool,
    },
    SignIn {
        by_person: bool,
    },
}

/// What is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The next run.
    Idle,
    /// The stored text.
    Loading,
    /// The lock, for this.
    Locking(Purpose),
    /// The answer to this.
    Calling(RequestId, Call),
    /// The time to make this request again.
    Pausing(Call),
    /// The listener.
    Listening,
    /// The person, in a browser.
    Authorizing,
}

/// Why the lock is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    Refresh,
    /// New tokens are stored.
    Keep(TokenAnswer, Vec<String>),
    /// What the next sign-in needs to know is stored.
    Need(String),
    /// What a person is to open is stored, so that all can tell.
    Publish(SignIn, u64),
    /// That a sign-in failed is stored.
    Conclude(Failure),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Call {
    /// The MCP server itself, for its challenge.
    Probe,
    /// The metadata of the resource, at the first of these.
    Resource(Vec<Url>),
    /// The metadata of the authorization server with this issuer, at the first of these.
    Server {
        issuer: String,
        guessed: bool,
        places: Vec<Url>,
    },
    Refresh,
    Register,
    Exchange(Secret),
    ClientCredentials,
    Device,
    Poll,
}

/// An authorization request that a browser was sent away with.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Pending {
    state: String,
    verifier: String,
    redirect: String,
    scopes: Vec<String>,
}

/// A device authorization under way.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Device {
    code: Secret,
    interval: Duration,
    until: Instant,
    scopes: Vec<String>,
}

impl Oauth {
    /// Checks the configuration. `seed` must be secret and random: what protects a sign-in is made from it.
    pub fn new(config: Config, seed: [u8; 32]) -> Result<Self, ConfigError> {
        let server = Url::parse(&config.server_url).map_err(ConfigError::ServerUrl)?;
        if config.grant == Grant::ClientCredentials && config.client.as_ref().is_none_or(|c| c.secret.is_none()) {
            return Err(ConfigError::NoClientSecret);
        }
        if let Some(url) = &config.client_metadata_url {
            let url = Url::parse(url).map_err(ConfigError::ClientMetadataUrl)?;
            if !url.https() || locations::path(&url) == "/" {
                return Err(ConfigError::ClientMetadataForm);
            }
        }
        if let Some(url) = &config.server_metadata_url {
            locations::allowed(url, &server).map_err(ConfigError::ServerMetadataUrl)?;
        }
        if let Resource::Fixed(resource) = &config.resource
            && (resource.contains('#') || !resource.contains(':') || resource.chars().any(crate::text::is_invisible))
        {
            return Err(ConfigError::Resource);
        }
        Ok(Self {
            server,
            random: Random::new(seed),
            config,
            now: Instant::ZERO,
            wall: 0,
            outputs: VecDeque::new(),
            next_request: 1,
            step: Step::Idle,
            timer: None,
            goal: Goal::Acquire { step_up: false, rejected: false },
            locked: false,
            listening: None,
            record: Record::default(),
            rejected: None,
            given: None,
            quick_rejections: 0,
            step_ups: BTreeMap::new(),
            failures: 0,
            began_anew: false,
            challenge: Challenge::default(),
            resource: None,
            authorization_server: None,
            client: None,
            registration: 0,
            pending: None,
            device: None,
            device_refused: false,
        })
    }

    /// Takes one input at `now`; `wall` is the seconds since 1970. What does not fit the state is passed over; an input that
    /// begins a run does so while one is under way only once that is over.
    pub fn handle(&mut self, now: Instant, wall: u64, input: Input) {
        self.now = self.now.max(now);
        self.wall = wall;
        match input {
            Input::Acquire { rejected } if self.step == Step::Idle => self.acquire(rejected),
            Input::SignIn { by_person } if self.step == Step::Idle => self.begin(Goal::SignIn { by_person }),
            Input::Loaded(text) if self.step == Step::Loading => self.on_loaded(text.as_ref()),
            Input::Locked(text) => {
                if let Step::Locking(purpose) = self.step.clone() {
                    self.locked = true;
                    self.on_locked(text.as_ref(), purpose);
                }
            }
            Input::StoreFailed(why) if self.step != Step::Idle => {
                self.finish(Err(failure(FailureKind::Store, format!("the credential store cannot be used: {why}"))));
            }
            Input::Listening(port) if self.step == Step::Listening => {
                self.listening = Some(port);
                self.choose_client();
            }
            Input::ListenFailed(why) if self.step == Step::Listening => {
                self.fail(failure(FailureKind::Unsupported, format!("no browser can be waited for: {why}")));
            }
            Input::Callback(query) => self.on_callback(&query.0),
            Input::Response(id, response) => {
                if let Step::Calling(awaited, call) = &self.step
                    && *awaited == id
                {
                    let call = call.clone();
                    self.timer = None;
                    self.on_response(call, response);
                }
            }
            Input::Failed { request, detail, for_good } => {
                if let Step::Calling(awaited, call) = &self.step
                    && *awaited == request
                {
                    let call = call.clone();
                    self.timer = None;
                    if for_good {
                        let text = format!("{} cannot be asked: {detail}", self.whom(&call));
                        self.fail(failure(FailureKind::Untrusted, text));
                    } else {
                        self.try_again(call, detail, None);
                    }
                }
            }
            _ => {}
        }
        if self.timer.is_some_and(|at| at <= self.now) {
            self.timer = None;
            self.on_timer();
        }
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Oauth::handle`] at the latest. `None`: whenever.
    pub fn deadline(&self) -> Option<Instant> {
        self.timer
    }

    /// Whether no run is under way.
    pub fn is_idle(&self) -> bool {
        self.step == Step::Idle
    }

    fn acquire(&mut self, rejected: Option<(u16, String)>) {
        let challenge = rejected.as_ref().and_then(|(_, text)| Challenge::parse(text));
        let status = rejected.map(|(status, _)| status);
        let step_up = status == Some(403);
        self.begin(Goal::Acquire { step_up, rejected: status.is_some() });
        self.challenge = challenge.unwrap_or_default();
        if step_up && self.challenge.error.as_deref() != Some("insufficient_scope") {
            let text = "the server forbids it (HTTP 403) whatever the token is".to_string();
            return self.finish(Err(failure(FailureKind::Forbidden, text)));
        }
        if status == Some(401)
            && let Some((token, at)) = self.given.take()
        {
            self.quick_rejections = if self.now < at + QUICK { self.quick_rejections + 1 } else { 0 };
            self.rejected = Some(token);
        }
        if status == Some(401) {
            self.step_ups.clear();
        }
    }

    fn begin(&mut self, goal: Goal) {
        self.goal = goal;
        self.rejected = None;
        self.failures = 0;
        self.began_anew = false;
        self.registration = 0;
        self.challenge = Challenge::default();
        self.resource = None;
        self.authorization_server = None;
        self.client = None;
        self.pending = None;
        self.device = None;
        self.device_refused = false;
        self.step = Step::Loading;
        self.outputs.push_back(Output::Load);
    }

    fn on_loaded(&mut self, text: Option<&Secret>) {
        self.read(text);
        match self.goal.clone() {
            Goal::Acquire { step_up: true, .. } => self.acquire_more(),
            Goal::Acquire { rejected, .. } => self.acquire_some(rejected),
            Goal::SignIn { by_person } => self.begin_sign_in(by_person),
        }
    }

    fn read(&mut self, text: Option<&Secret>) {
        self.record = Record::parse(text.map(|text| text.0.as_str())).unwrap_or_else(|problem| {
            self.outputs.push_back(Output::Event(Event::RecordUnusable(problem.to_string())));
            Record::default()
        });
    }

    /// The stored tokens, unless it is them that were rejected.
    fn usable(&self) -> Option<&Tokens> {
        let is_rejected =
            |tokens: &Tokens| self.rejected.as_ref().is_some_and(|token| same(&token.0, &tokens.access.0));
        self.record.tokens.as_ref().filter(|tokens| !is_rejected(tokens))
    }

    fn acquire_some(&mut self, rejected: bool) {
        let refreshable = self.record.tokens.as_ref().is_some_and(|tokens| tokens.refresh.is_some());
        match self.usable().map(|tokens| tokens.freshness(self.wall)) {
            Some(Freshness::Fresh) => return self.succeed(false),
            Some(Freshness::Ending) if !refreshable => return self.succeed(false),
            // Where it was got from is known: nothing need be looked up.
            Some(Freshness::Ending | Freshness::Over) if refreshable && !rejected => {
                return self.lock(Purpose::Refresh);
            }
            _ => {}
        }
        if !rejected {
            let text = "there is no token yet".to_string();
            return self.finish(Err(failure(FailureKind::NoToken, text)));
        }
        // Within its life a token that is rejected at once was never good; one that has ended is another matter.
        if self.quick_rejections >= MAX_QUICK
            && self.record.tokens.as_ref().is_none_or(|tokens| tokens.freshness(self.wall) != Freshness::Over)
        {
            self.quick_rejections = 0;
            let text = "the server rejects each new token at once: it and its authorization server do not agree";
            return self.finish(Err(failure(FailureKind::Rejected, text.to_string())));
        }
        self.discover();
    }

    /// The server wants a token that allows more.
    fn acquire_more(&mut self) {
        let given = self.given.as_ref().map(|(token, _)| token.clone());
        let other = self.record.tokens.as_ref().is_some_and(|tokens| {
            given.is_none_or(|given| !same(&given.0, &tokens.access.0))
                && tokens.freshness(self.wall) != Freshness::Over
                && scope::holds(&tokens.scopes, &self.challenge.scopes)
        });
        if other {
            return self.succeed(false);
        }
        let wanted = self.challenge.scopes.join(" ");
        if self.config.grant == Grant::ClientCredentials {
            let text = format!("the server wants the scopes \"{wanted}\", which this client does not have");
            return self.finish(Err(failure(FailureKind::Forbidden, text)));
        }
        let mut set = self.challenge.scopes.clone();
        set.sort();
        if self.step_ups.len() >= MAX_STEP_UP_SETS {
            self.step_ups.clear();
        }
        let times = self.step_ups.entry(set).or_default();
        *times += 1;
        if *times > MAX_STEP_UPS {
            let text = format!("the server wants the scopes \"{wanted}\" again, though they were asked for");
            return self.finish(Err(failure(FailureKind::Forbidden, text)));
        }
        self.lock(Purpose::Need(format!("the server wants more scopes: {wanted}")));
    }

    /// Takes the lock, unless it is held already.
    fn lock(&mut self, purpose: Purpose) {
        if self.locked {
            return self.under_lock(purpose);
        }
        self.step = Step::Locking(purpose);
        self.outputs.push_back(Output::Lock);
    }

    fn on_locked(&mut self, text: Option<&Secret>, purpose: Purpose) {
        if Record::is_newer(text.map(|text| text.0.as_str())) {
            let text = "the stored credential was written by a newer version of this program, which is to be used";
            return self.finish(Err(failure(FailureKind::Store, text.to_string())));
        }
        let known = core::mem::take(&mut self.record);
        self.read(text);
        match purpose {
            // What this run has found out takes the place of what was stored.
            Purpose::Keep(answer, asked) => {
                let opened_at = self.record.opened_at;
                self.record = Record { opened_at, ..known };
                self.under_lock(Purpose::Keep(answer, asked));
            }
            Purpose::Need(why) => {
                // Another process may have got a token since, of the authorization server that is asked now.
                let server = self.authorization_server.as_ref();
                let bound = server.is_none_or(|server| server.issuer == self.record.issuer);
                let changed = bound && self.record.tokens != known.tokens;
                let enough =
                    |tokens: &Tokens| !self.is_step_up() || scope::holds(&tokens.scopes, &self.challenge.scopes);
                if changed
                    && self
                        .usable()
                        .is_some_and(|tokens| tokens.freshness(self.wall) != Freshness::Over && enough(tokens))
                {
                    return self.succeed(false);
                }
                self.under_lock(Purpose::Need(why));
            }
            purpose => self.under_lock(purpose),
        }
    }

    fn is_step_up(&self) -> bool {
        matches!(self.goal, Goal::Acquire { step_up: true, .. })
    }

    fn under_lock(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Refresh => self.refresh(),
            Purpose::Keep(answer, asked) => self.keep(answer, &asked),
            Purpose::Need(why) => {
                let server = self.authorization_server.as_ref();
                if server.is_some_and(|server| server.issuer != self.record.issuer) {
                    self.record.client = None;
                    self.record.tokens = None;
                }
                if !self.is_step_up() && self.usable().is_none() {
                    self.record.tokens = None;
                }
                self.record.wanted.step_up = self.is_step_up();
                self.record.wanted.scopes = self.challenge.scopes.clone();
                if self.challenge.resource_metadata.is_some() {
                    self.record.wanted.resource_metadata = self.challenge.resource_metadata.clone();
                }
                self.store();
                self.finish(Err(failure(FailureKind::SignInNeeded, why)));
            }
            Purpose::Publish(sign_in, opened_at) => {
                self.record.sign_in = Some(sign_in);
                self.record.opened_at = opened_at.max(self.record.opened_at);
                self.store();
                self.unlock();
                self.published();
            }
            Purpose::Conclude(failure) => {
                self.record.sign_in =
                    Some(SignIn { url: String::new(), code: None, at: self.wall, failed: Some(failure.text.clone()) });
                self.store();
                self.finish(Err(failure));
            }
        }
    }

    fn store(&mut self) {
        self.record.server = format!("{}{}", locations::origin(&self.server), locations::path(&self.server));
        self.outputs.push_back(Output::Store(self.record.to_text()));
    }

    fn unlock(&mut self) {
        if core::mem::take(&mut self.locked) {
            self.outputs.push_back(Output::Unlock);
        }
    }

    /// Gives the stored token.
    fn succeed(&mut self, stale: bool) {
        let Some(tokens) = &self.record.tokens else {
            return self.finish(Err(failure(FailureKind::NoToken, "there is no token".to_string())));
        };
        let token = Token {
            access: tokens.access.clone(),
            refresh_at: tokens.refresh_at(),
            expires_at: tokens.expires_at(),
            stale,
        };
        // The same one again is no new one: when it was given first is what counts.
        if self.given.as_ref().is_none_or(|(given, _)| !same(&given.0, &token.access.0)) {
            self.given = Some((token.access.clone(), self.now));
        }
        self.finish(Ok(token));
    }

    fn finish(&mut self, result: Result<Token, Failure>) {
        self.unlock();
        if self.listening.take().is_some() {
            self.outputs.push_back(Output::StopListening);
        }
        self.timer = None;
        self.pending = None;
        self.device = None;
        self.step = Step::Idle;
        self.outputs.push_back(Output::Done(result));
    }

    /// Ends the run without a token. That a sign-in failed is stored for the others who wait for it.
    fn fail(&mut self, failure: Failure) {
        match self.goal {
            Goal::Acquire { .. } => self.finish(Err(failure)),
            Goal::SignIn { .. } => self.lock(Purpose::Conclude(failure)),
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn on_timer(&mut self) {
        match self.step.clone() {
            Step::Pausing(call) => self.call(call),
            Step::Authorizing => {
                let text = "nobody has signed in in time".to_string();
                self.fail(failure(FailureKind::TimedOut, text));
            }
            _ => {}
        }
    }

    /// Makes a request.
    fn call(&mut self, call: Call) {
        match self.request(&call) {
            Ok((method, url, headers, body)) => {
                let id = RequestId(self.next_request);
                self.next_request += 1;
                let request =
                    Request { id, method, url, headers, body: Secret(body), max_body: MAX_BODY, timeout: REQUEST_TIME };
                self.step = Step::Calling(id, call);
                self.outputs.push_back(Output::Send(request));
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// A server is away, or wants patience.
    fn try_again(&mut self, call: Call, reason: String, wish: Option<Duration>) {
        if call == Call::Poll {
            return self.poll_later(true);
        }
        self.failures += 1;
        let pause = (FIRST_PAUSE * (1 << self.failures.min(8))).max(wish.unwrap_or_default());
        if self.failures < ATTEMPTS && pause <= LONGEST_PAUSE {
            self.event(Event::Retrying(format!("{}: {reason}", self.whom(&call))));
            self.timer = Some(self.now + pause);
            self.step = Step::Pausing(call);
            return;
        }
        // An old token is better than none, for as long as it holds.
        if matches!(self.goal, Goal::Acquire { .. })
            && self.usable().is_some_and(|tokens| tokens.freshness(self.wall) != Freshness::Over)
        {
            return self.succeed(true);
        }
        let text = format!("{} cannot be reached ({reason}); nothing was thrown away", self.whom(&call));
        self.fail(failure(FailureKind::Unreachable, text));
    }

    /// Who is asked, for people.
    fn whom(&self, call: &Call) -> String {
        let issuer = || match &self.authorization_server {
            Some(server) => super::text::clean(&server.issuer),
            None => super::text::clean(&self.record.issuer),
        };
        match call {
            Call::Probe | Call::Resource(_) => format!("the MCP server {}", locations::origin(&self.server)),
            Call::Server { issuer, .. } => format!("the authorization server {}", super::text::clean(issuer)),
            _ => format!("the authorization server {}", issuer()),
        }
    }

    fn on_response(&mut self, call: Call, response: Response) {
        if matches!(response.status, 408 | 429 | 500..) {
            let header = |name: &str| {
                response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes())
            };
            let wish = header("retry-after").and_then(|value| http::retry_after(value, header("date")));
            return self.try_again(call, format!("HTTP {}", response.status), wish);
        }
        if response.body.len() > MAX_BODY {
            let text = format!("the answer of {} is over {MAX_BODY} bytes", self.whom(&call));
            return self.fail(failure(FailureKind::Untrusted, text));
        }
        let failures = core::mem::take(&mut self.failures);
        match call {
            Call::Probe => self.on_probed(&response),
            Call::Resource(places) => self.on_resource(&response, places),
            Call::Server { issuer, guessed, places } => self.on_server(&response, issuer, guessed, places),
            _ if (300..400).contains(&response.status) => {
                let text = format!("{} answers with a redirect, which is not followed", self.whom(&call));
                self.fail(failure(FailureKind::Untrusted, text));
            }
            Call::Refresh => self.on_refreshed(&response),
            Call::Exchange(_) => self.on_exchanged(&response),
            Call::ClientCredentials => self.on_client_credentials(&response),
            Call::Register => self.on_registered(&response),
            Call::Device => self.on_device(&response),
            Call::Poll => {
                self.failures = failures;
                self.on_polled(&response);
            }
        }
    }

    /// The `resource` to name.
    fn resource_parameter(&self) -> Option<String> {
        match &self.config.resource {
            Resource::Omitted => None,
            Resource::Fixed(resource) => Some(resource.clone()),
            Resource::Discovered => Some(match &self.resource {
                Some(metadata) => metadata.resource.clone(),
                None => {
                    let path = locations::path(&self.server);
                    format!("{}{}", locations::origin(&self.server), if path == "/" { "" } else { path })
                }
            }),
        }
    }
}

impl fmt::Debug for Oauth {
    /// Leaves out everything that may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = locations::origin(&self.server);
        f.debug_struct("Oauth").field("server", &server).field("goal", &self.goal).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

fn failure(kind: FailureKind, text: String) -> Failure {
    Failure { kind, text }
}

/// A request's method, URL, headers and body.
type Parts = (Method, String, Vec<(String, Secret)>, String);

fn get(url: &Url) -> Parts {
    (Method::Get, url.to_string(), alloc::vec![("accept".to_string(), "application/json".into())], String::new())
}

fn page(oauth: &mut Oauth, page: Page) {
    oauth.outputs.push_back(Output::Answer(page));
}
