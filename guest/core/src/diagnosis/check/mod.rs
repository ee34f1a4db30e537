//! A whole check of a server, as `mcp-reconnect check URL` makes one: what is asked, in which order, how long each answer may take,
//! what it means and how that is said. The same on every host, which does the I/O.
//!
//! It is written as one runs it, in `async` functions; what these wait for is a [`Step`] of the host. Nothing else is ever waited
//! for, so that no executor is needed: [`Check::step`] runs them until they want the next step, and [`Check::answer`] gives its outcome.

mod client;
mod questions;
mod report;
mod text;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use self::client::{Client, Trouble};
use self::questions::Questions;
use self::report::{Credentials, Report, Verdict};
pub use self::report::{SignIn, Tls};
use super::Answer;
use crate::text::Secrets;
use crate::url::{Url, UrlError};
use crate::{Instant, Request, Transport};

/// How long the ends of the sessions may take, after the check and after [`Check::interrupt`].
const END: Duration = Duration::from_millis(1500);
const HASTY_END: Duration = Duration::from_millis(250);

/// The connection that a check wants of its host: one of the library's, with these options.
///
/// `heartbeat_interval` and `start_timeout` are 0, and `hold_timeout`, `run_timeout` and `response_timeout` are the check's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The server.
    pub url: String,
    /// The headers for every request.
    pub headers: Vec<(String, String)>,
    /// How long it all may take. Default: 20 s.
    pub limit: Duration,
    /// What is known of a sign-in to the server. Default: nothing, because there is none.
    pub sign_in: Option<SignIn>,
}

impl Config {
    /// The defaults, for a server at this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new(), limit: Duration::from_secs(20), sign_in: None }
    }
}

/// Over which connection a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// One that others have used, if there is one.
    Shared,
    /// One of its own.
    Dedicated,
    /// Any; the body is given as it comes, also where it is compressed.
    Undecoded,
}

/// What a host is to do, all of it: another one would be a breaking change. It has the time that the step names, and then the outcome
/// is [`Outcome::Late`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Give the connection this message: [`Outcome::Done`], or [`Outcome::Failed`] once it is closed.
    Send(String),
    /// Wait for the connection's next event: [`Outcome::Event`].
    Receive(Duration),
    /// Make a request and wait for the head of the response: [`Outcome::Head`] or [`Outcome::Failed`]. Redirects are not followed.
    /// The response that an earlier one of these left is over, unless it is the stream.
    Request {
        /// The request.
        request: Request,
        /// Over which connection.
        via: Via,
        /// The response is kept until the check is over, and read from time to time: it is the stream.
        is_stream: bool,
        /// For so long.
        limit: Duration,
    },
    /// Read on in the body of a response, that of the last request or the stream: [`Outcome::Bytes`], [`Outcome::End`] or
    /// [`Outcome::Failed`].
    Read {
        /// Of the stream.
        of_stream: bool,
        /// For so long.
        limit: Duration,
    },
    /// Let go of the stream: [`Outcome::Done`].
    EndStream,
    /// Make a TLS handshake with the server and hang up: [`Outcome::Tls`] or [`Outcome::Failed`].
    Tls(Duration),
    /// Begin to close the connection: [`Outcome::Done`] at once.
    Close,
    /// Wait until it is closed: [`Outcome::Done`].
    AwaitClosed(Duration),
    /// Nothing more: [`Check::text`], [`Check::json`] and [`Check::exit_code`] are the result.
    Done,
}

/// What became of a [`Step`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done.
    Done,
    /// It cannot be done: why, for people. No secrets.
    Failed(String),
    /// The time was over.
    Late,
    /// The connection's event.
    Event(Happening),
    /// The head of a response.
    Head {
        /// The HTTP status.
        status: u16,
        /// The headers, names in any case.
        headers: Vec<(String, Vec<u8>)>,
        /// The version of HTTP, as `HTTP/1.1`.
        version: String,
    },
    /// A part of a body.
    Bytes(Vec<u8>),
    /// The end of a body.
    End,
    /// What the handshake showed; none where there is nothing to see: the URL is not `https`, or a proxy stands between.
    Tls(Option<Tls>),
}

/// A session, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The transport.
    pub transport: Transport,
    /// The negotiated protocol version.
    pub protocol_version: String,
    /// Whether the server gave a session id.
    pub has_session_id: bool,
}

/// An event of the connection, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// [`crate::Event::Message`].
    Message(String),
    /// [`crate::Event::Connected`].
    Connected(Session),
    /// [`crate::Event::Disconnected`], with the reason.
    Disconnected(String),
    /// [`crate::Event::Reconnecting`], with the reason.
    Reconnecting(String),
    /// [`crate::Event::CredentialsNeeded`].
    CredentialsNeeded {
        /// The HTTP status.
        status: u16,
        /// The `WWW-Authenticate` header, or empty.
        challenge: String,
    },
    /// Any other.
    Other,
    /// There will be no further one.
    Closed,
}

/// The place where a step and its outcome change hands.
struct Desk {
    now: Instant,
    /// No step may take longer than until then.
    end: Instant,
    wanted: Option<Step>,
    outcome: Option<Outcome>,
    /// What is being done, for people.
    progress: &'static str,
}

/// The host, as the `async` functions see it.
#[derive(Clone)]
struct Host(Rc<RefCell<Desk>>);

impl Host {
    /// Has a step done. It gets the time that it may take, as far as there is any left.
    async fn step(&self, limit: Duration, step: impl FnOnce(Duration) -> Step) -> Outcome {
        {
            let mut desk = self.0.borrow_mut();
            let left = desk.end - desk.now;
            desk.wanted = Some(step(limit.min(left)));
        }
        poll_fn(|_| match self.0.borrow_mut().outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        })
        .await
    }

    async fn send(&self, message: String) -> Outcome {
        self.step(Duration::MAX, |_| Step::Send(message)).await
    }

    async fn receive(&self) -> Happening {
        match self.step(Duration::MAX, Step::Receive).await {
            Outcome::Event(event) => event,
            // The end of the check, which ends the wait for more.
            Outcome::Late => Happening::Other,
            _ => Happening::Closed,
        }
    }

    fn now(&self) -> Instant {
        self.0.borrow().now
    }

    fn progress(&self, what: &'static str) {
        self.0.borrow_mut().progress = what;
    }
}

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// What the `async` functions know. It outlives them, since they may be given up.
struct State {
    config: Config,
    client: Client,
    survey: Option<Questions>,
    report: Report,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Ending { hasty: bool },
    Over,
}

/// A check under way.
pub struct Check {
    begun: Instant,
    limit: Duration,
    desk: Rc<RefCell<Desk>>,
    state: Rc<RefCell<State>>,
    running: Option<Running>,
    phase: Phase,
    awaited: Option<Step>,
    secrets: Secrets,
}

impl fmt::Debug for Check {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Check").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Check {
    /// A check that begins `now`.
    pub fn new(config: Config, now: Instant) -> Result<Self, UrlError> {
        let url = Url::parse(&config.url)?;
        let scheme = if url.https() { "https" } else { "http" };
        let path = url.path_and_query().split('?').next().unwrap_or_default();
        let shown = format!("{scheme}://{}{path}", url.authority());
        let mut secrets = Secrets::default();
        secrets.learn_query(&config.url);
        config.headers.iter().for_each(|(_, value)| secrets.learn_header(value));
        let limit = config.limit;
        let mut report = Report::new(shown);
        report.sign_in.clone_from(&config.sign_in);
        let desk = Desk { now, end: now + limit, wanted: None, outcome: None, progress: "start" };
        let state = State { config, client: Client::default(), survey: None, report };
        Ok(Self {
            begun: now,
            limit,
            desk: Rc::new(RefCell::new(desk)),
            state: Rc::new(RefCell::new(state)),
            running: None,
            phase: Phase::Asking,
            awaited: None,
            secrets,
        }
        .asking())
    }

    fn asking(mut self) -> Self {
        self.run(Phase::Asking);
        self
    }

    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "nobody else looks at the state before this is over, or given up"
    )]
    fn run(&mut self, phase: Phase) {
        let (state, host) = (self.state.clone(), Host(self.desk.clone()));
        self.phase = phase;
        self.running = Some(Box::pin(async move {
            let mut state = state.borrow_mut();
            match phase {
                Phase::Asking => state.ask(&host).await,
                Phase::Ending { .. } | Phase::Over => state.close(&host).await,
            }
        }));
    }

    /// What the host is to do now: the same until [`Check::answer`].
    pub fn step(&mut self) -> Step {
        if let Some(step) = &self.awaited {
            return step.clone();
        }
        loop {
            let Some(running) = &mut self.running else { return Step::Done };
            if running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                let wanted = self.desk.borrow_mut().wanted.take();
                self.awaited.clone_from(&wanted);
                // Nothing else is waited for.
                return wanted.unwrap_or(Step::Done);
            }
            self.over();
        }
    }

    /// The outcome of the last step, at `now`.
    pub fn answer(&mut self, now: Instant, outcome: Outcome) {
        self.awaited = None;
        let late = {
            let mut desk = self.desk.borrow_mut();
            desk.now = desk.now.max(now);
            desk.outcome = Some(outcome);
            desk.now >= desk.end
        };
        // The last answer may be the one that was missing.
        if late {
            let pending = self
                .running
                .as_mut()
                .is_some_and(|running| running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            if pending {
                self.out_of_time();
            } else {
                self.over();
            }
        }
    }

    /// Ends the sessions in haste, whatever is under way: what was found does not matter any more. The outcome of the last step is
    /// not awaited.
    pub fn interrupt(&mut self, now: Instant) {
        let mut desk = self.desk.borrow_mut();
        desk.now = desk.now.max(now);
        drop(desk);
        if self.phase == Phase::Asking {
            self.end(true);
        }
    }

    /// What is being done, for people.
    pub fn progress(&self) -> &'static str {
        self.desk.borrow().progress
    }

    /// The result for people, without secrets. `None` before [`Step::Done`].
    pub fn text(&self) -> Option<String> {
        self.state.try_borrow().ok().map(|state| self.secrets.blank(text::of(&state.report)))
    }

    /// The result for machines, without secrets: `docs/check.md` names the keys. `None` before [`Step::Done`].
    pub fn json(&self) -> Option<String> {
        self.state.try_borrow().ok().map(|state| self.secrets.blank(state.report.json()))
    }

    /// The result as the exit code of a command. `None` before [`Step::Done`].
    pub fn exit_code(&self) -> Option<u8> {
        self.state.try_borrow().ok().map(|state| state.report.verdict().exit_code())
    }

    /// What ran is over.
    fn over(&mut self) {
        match self.phase {
            Phase::Asking => self.end(false),
            Phase::Ending { .. } | Phase::Over => self.finish(),
        }
    }

    fn out_of_time(&mut self) {
        match self.phase {
            Phase::Asking => {
                // Lets go of the state.
                self.running = None;
                self.state.borrow_mut().report.out_of_time(self.progress(), self.limit);
                self.end(false);
            }
            Phase::Ending { hasty } => {
                self.running = None;
                let limit = if hasty { HASTY_END } else { END };
                let text = format!("the end of a session was not answered within {} s", limit.as_secs_f32());
                self.state.borrow_mut().report.problem(text);
                self.finish();
            }
            Phase::Over => {}
        }
    }

    fn end(&mut self, hasty: bool) {
        self.running = None;
        self.awaited = None;
        {
            let mut desk = self.desk.borrow_mut();
            (desk.wanted, desk.outcome, desk.progress) = (None, None, "end the sessions");
            desk.end = desk.now + if hasty { HASTY_END } else { END };
        }
        self.run(Phase::Ending { hasty });
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        self.running = None;
        let seconds = (self.desk.borrow().now - self.begun).as_secs_f64();
        self.state.borrow_mut().report.seconds = seconds;
    }
}

impl State {
    async fn ask(&mut self, host: &Host) {
        host.progress("connect");
        if let Err(trouble) = self.client.initialize(host, &mut self.report).await {
            return self.look_into(host, trouble).await;
        }
        let Some((transport, version)) = self.client.session() else { return };
        host.progress("list what it offers");
        self.client.lists(host, &mut self.report).await;
        host.progress("look at TLS");
        self.look_at_tls(host).await;
        self.survey(host, transport, &version).await;
        self.client.losses(&mut self.report);
    }

    async fn look_at_tls(&mut self, host: &Host) {
        match host.step(Duration::MAX, Step::Tls).await {
            Outcome::Tls(tls) => self.report.saw_tls(tls),
            Outcome::Failed(problem) => self.report.note(format!("a TLS handshake of its own failed: {problem}")),
            _ => {}
        }
    }

    /// Opens a second session, and asks in it.
    async fn survey(&mut self, host: &Host, transport: Transport, version: &str) {
        host.progress("open a second session");
        match Questions::new(&self.config, transport, version) {
            Ok(survey) => self.survey.insert(survey).run(host, &mut self.report).await,
            Err(problem) => self.report.problem(format!("the server's sessions could not be looked at: {problem}")),
        }
    }

    /// There is no session: why, and what else can be seen.
    async fn look_into(&mut self, host: &Host, trouble: Trouble) {
        match &trouble {
            // Single requests show what became of it.
            Trouble::Incomplete(_) => {
                self.client.close(host).await;
                host.step(END, Step::AwaitClosed).await;
                let version = self.report.protocol_version.clone().unwrap_or_default();
                self.report.failed(trouble);
                self.survey(host, Transport::StreamableHttp, &version).await;
            }
            Trouble::Unreachable(_) | Trouble::NotMcp(_) => {
                host.progress("look at its answer");
                let answer = match Questions::new(&self.config, Transport::StreamableHttp, "") {
                    Ok(survey) => self.survey.insert(survey).first_answer(host).await,
                    Err(_) => None,
                };
                // Of a server that refuses by status and error.
                match answer.as_ref().filter(|answer| answer.is_error()) {
                    Some(answer) => self.report.failed(Trouble::Refused(answer.describe())),
                    None => self.report.failed(trouble),
                }
                if let Some(answer) = answer.filter(Answer::lacks_retry_after) {
                    self.report.problem(format!(
                        "it does not say when to come back: have it, or the proxy before it, send Retry-After with \
                         HTTP {}, so that requests are held for that time and none has an unknown outcome",
                        answer.status()
                    ));
                }
            }
            Trouble::Unauthorized { .. } | Trouble::Refused(_) => self.report.failed(trouble),
        }
    }

    /// Ends the sessions, both at once.
    async fn close(&mut self, host: &Host) {
        let closing = self.client.close(host).await;
        if let Some(mut survey) = self.survey.take() {
            survey.close(host, &mut self.report).await;
        }
        if closing {
            host.step(END, Step::AwaitClosed).await;
        }
    }
}

impl Report {
    /// Nothing could be asked.
    fn failed(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Unreachable(reason) => self.fail(Verdict::Unreachable, reason),
            Trouble::Unauthorized { status, challenge } => {
                self.credentials = Some(Credentials { status, challenge });
                self.fail(Verdict::Unauthorized, format!("the server wants other credentials (HTTP {status})"));
            }
            Trouble::Refused(words) => self.fail(
                Verdict::Broken,
                format!("the server answers initialize with an error: {words}. These are its own words; its log may say more"),
            ),
            Trouble::Incomplete(reason) => self.fail(
                Verdict::Broken,
                format!("the server answers initialize, and what follows fails: {reason}"),
            ),
            Trouble::NotMcp(reason) => self.fail(Verdict::NotMcp, reason),
        }
    }
}
