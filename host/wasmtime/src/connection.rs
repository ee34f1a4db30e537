//! The two halves of a connection, and the task between them, the engine and the network.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use mcp_reconnect_core::Recovery;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

use crate::component::{Instance, headers_error, types, wit};
use crate::exchange::{Exchanges, Report};
use crate::http::HttpClient;
use crate::options::Options;
use crate::{Event, Level, OpenError, SendError, SetHeadersError, State, Status};

/// How many messages of the client, events for it, or commands may wait between two tasks. Each channel stops its writer
/// beyond that; nothing is dropped.
const CHANNEL: usize = 16;

/// The first pause before a component that failed is started again; it doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An instance that lived for so long failed on its own account.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// After so many failures in a row to start with what was kept, it is started without: then at least each request has an answer.
const HOPELESS: u32 = 5;

/// Messages larger than this, in bytes, go to the client one by one.
const LARGE: usize = 1 << 20;

/// So many bytes of messages, or of bodies, are given to the engine at most before its outputs are taken.
const BATCH_BYTES: usize = 256 << 10;
/// So many messages, or exchanges with something to report.
const BATCH: usize = 64;
/// After so many batches in a row other tasks have their turn.
const ROUNDS: u32 = 16;

/// A timer that fires so much too late lets go first what the network may have brought meanwhile, in nanoseconds.
const LATE: u64 = 100_000_000;

/// Opens a connection. Checks the options and does no network I/O: the first contact is made when the client sends
/// `initialize`. Must be called inside a tokio runtime with I/O and time enabled.
///
/// # Errors
///
/// See [`OpenError`]. A server that is down is not an error.
pub async fn connect(options: Options) -> Result<(Sender, Receiver), OpenError> {
    let client = HttpClient::new(&options.http, &options.url)?;
    let instance = Instance::open(&options, None)?;
    let exchanges = Exchanges::new(client, &options.url);
    let (messages, messages_out) = mpsc::channel(CHANNEL);
    let (commands, commands_out) = mpsc::channel(CHANNEL);
    let (events_in, events) = mpsc::channel(CHANNEL);
    let driver = Driver {
        options,
        instance,
        started: Instant::now(),
        failures: 0,
        recovery: Recovery::new(),
        exchanges,
        posts: 0,
        timer: Timer::default(),
        was_late: false,
        messages: messages_out,
        messages_open: true,
        commands: commands_out,
        events: events_in,
        untold: VecDeque::new(),
        closed: false,
        ended: false,
    };
    // It looks after its turns by itself: see `ROUNDS`.
    tokio::spawn(tokio::task::unconstrained(driver.run()));
    Ok((Sender { messages, commands }, Receiver { events }))
}

/// The half that takes messages and commands. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Sender {
    messages: mpsc::Sender<String>,
    commands: mpsc::Sender<Command>,
}

/// The half that gives events. Dropping it ends the connection at once, without goodbye: see [`Sender::close`].
#[derive(Debug)]
pub struct Receiver {
    events: mpsc::Receiver<Event>,
}

impl Sender {
    /// Sends a JSON-RPC message, or a batch of them, to the server. `Ok` means taken, not delivered: every request gets
    /// exactly one answer as an [`Event::Message`], whatever becomes of the server. Text that is not JSON-RPC and messages
    /// past a limit are answered with a JSON-RPC error too.
    ///
    /// Waits while the connection is busy, which it also is while the client does not take its events: call
    /// [`Receiver::receive`] in another task, or at least not after an unbounded number of sends.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after [`Sender::close`], or when the receiver is gone.
    pub async fn send(&self, message: impl Into<String>) -> Result<(), SendError> {
        self.messages.send(message.into()).await.map_err(|_| SendError::Closed)
    }

    /// Gives fresh credentials: these headers replace those of the options from the next request on. The session is kept.
    /// Messages sent before may overtake it.
    ///
    /// # Errors
    ///
    /// [`SetHeadersError::InvalidHeader`]: the old headers stay in place.
    pub async fn set_headers<N: Into<String>, V: Into<String>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), SetHeadersError> {
        let headers = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (reply, result) = oneshot::channel();
        self.command(Command::SetHeaders(headers, reply)).await?;
        result.await.map_err(|_| SendError::Closed)?
    }

    /// Tells what a person can do so that there will be other credentials: a command for a shell and, once that has begun, what to
    /// open in a browser; `None` when nothing need be done any more. Meanwhile a request that is rejected for its
    /// credentials fails with an error that says so (`data.command`, `data.url`), and an `initialize` is answered
    /// provisionally, as for a server that is away, once [`crate::Options::credentials_timeout`] is over.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the connection is closed.
    pub async fn set_sign_in(&self, sign_in: Option<(String, Option<String>)>) -> Result<(), SendError> {
        self.command(Command::SetSignIn(sign_in)).await
    }

    /// Begins a new session now. What is in flight is treated like after any other loss of the session.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the connection is closed.
    pub async fn reconnect(&self) -> Result<(), SendError> {
        self.command(Command::Reconnect).await
    }

    /// Tells that the connection may be dead, because the machine slept or its network changed: finds out now instead of at
    /// the next heartbeat.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the connection is closed.
    pub async fn probe(&self) -> Result<(), SendError> {
        self.command(Command::Probe).await
    }

    /// What the connection is doing.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the connection is closed.
    pub async fn status(&self) -> Result<Status, SendError> {
        let (reply, status) = oneshot::channel();
        self.command(Command::Status(reply)).await?;
        status.await.map_err(|_| SendError::Closed)
    }

    /// Says goodbye after the messages sent so far: answers what is in flight, ends the session on the server. Returns at
    /// once; [`Receiver::receive`] gives what there is to say, and then `None`, within about a second. Does nothing
    /// where the connection is closed already.
    pub async fn close(&self) {
        // A closed connection is what was asked for.
        let _ = self.command(Command::Close).await;
    }

    async fn command(&self, command: Command) -> Result<(), SendError> {
        self.commands.send(command).await.map_err(|_| SendError::Closed)
    }
}

impl Receiver {
    /// Waits for the next event. `None` after the last one: the connection is closed. Cancelling it loses nothing.
    pub async fn receive(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// What a client wants beside sending. Commands overtake messages, so that they work while a connection is held up.
enum Command {
    SetHeaders(Vec<(String, String)>, oneshot::Sender<Result<(), SetHeadersError>>),
    SetSignIn(Option<(String, Option<String>)>),
    Reconnect,
    Probe,
    Status(oneshot::Sender<Status>),
    Close,
}

/// The task that owns the engine and its exchanges.
struct Driver {
    /// With the headers that were set last.
    options: Options,
    instance: Instance,
    /// When it was started, and how many before it have failed soon after their start.
    started: Instant,
    failures: u32,
    /// What outlives the instance.
    recovery: Recovery,
    exchanges: Exchanges,
    /// How many POSTs were started.
    posts: u64,
    timer: Timer,
    /// Other tasks have had a turn since the deadline was found to be long over.
    was_late: bool,
    messages: mpsc::Receiver<String>,
    /// Whether more messages can come.
    messages_open: bool,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events that the engine has given and the client has not got. While there are any, nothing is read.
    untold: VecDeque<Event>,
    /// It was told to close.
    closed: bool,
    /// The engine has given its last output.
    ended: bool,
}

/// What a turn ended with.
enum Turn {
    /// There are events for the client, or the end.
    Told,
    /// The deadline is long over: other tasks are to have a turn before the engine hears of it.
    Late,
}

/// Why a driver stops.
enum Stop {
    /// The connection closed, or nobody listens any more.
    Ended,
    /// The component failed.
    Failed(wasmtime::Error),
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Failed(error)
    }
}

impl Driver {
    async fn run(mut self) {
        while let Err(Stop::Failed(error)) = self.work().await {
            if self.recover(&error).await.is_err() {
                return;
            }
        }
    }

    async fn work(&mut self) -> Result<(), Stop> {
        let events = self.events.clone();
        // An engine that takes the place of another has something to do.
        self.give(wit::Input::Tick)?;
        self.act()?;
        loop {
            while let Some(event) = self.untold.pop_front() {
                self.deliver(event).await?;
            }
            if self.ended {
                return Err(Stop::Ended);
            }
            let turn = tokio::select! {
                biased;
                turn = poll_fn(|context| self.poll_turn(context)) => turn?,
                // Dropping the exchanges closes their connections.
                () = events.closed() => return Err(Stop::Ended),
            };
            if let Turn::Late = turn {
                tokio::task::yield_now().await;
                self.was_late = true;
            }
        }
    }

    /// Gives the engine all that there is, and does what it wants, until there are events for the client. What came from the network
    /// goes before the engine's timers.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Result<Turn, Stop>> {
        for _ in 0..ROUNDS {
            let mut worked = self.take_reports(context)?;
            worked |= self.take_commands(context)?;
            worked |= self.take_messages(context)?;
            if worked {
                self.was_late = false;
            } else {
                let late = ready!(self.poll_deadline(context))?;
                if late > LATE && !std::mem::take(&mut self.was_late) {
                    return Poll::Ready(Ok(Turn::Late));
                }
                self.give(wit::Input::Tick)?;
            }
            self.act()?;
            if self.ended || !self.untold.is_empty() {
                return Poll::Ready(Ok(Turn::Told));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells the engine what its exchanges report: first what came over the older ones, so that a stream of the server's is read
    /// before the response to a POST that came at the same time.
    fn take_reports(&mut self, context: &mut Context<'_>) -> Result<bool, Stop> {
        let mut reports = Vec::new();
        let mut bytes = 0;
        for _ in 0..BATCH {
            let Poll::Ready(more) = self.exchanges.poll(context) else { break };
            bytes += more.iter().map(Report::bytes).sum::<usize>();
            reports.extend(more);
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        reports.sort_by_key(Report::exchange);
        for report in &reports {
            // What the engine does not want to hear it passes over.
            let _ = report.with_input(|input| self.instance.handle(input))?;
        }
        Ok(!reports.is_empty())
    }

    fn take_commands(&mut self, context: &mut Context<'_>) -> Result<bool, Stop> {
        let mut worked = false;
        while let Poll::Ready(Some(command)) = self.commands.poll_recv(context) {
            self.run_command(command)?;
            worked = true;
        }
        Ok(worked)
    }

    /// Gives the engine what the client has sent.
    fn take_messages(&mut self, context: &mut Context<'_>) -> Result<bool, Stop> {
        let mut bytes = 0;
        for count in 0..BATCH {
            if !self.messages_open {
                return Ok(count > 0);
            }
            match self.messages.poll_recv(context) {
                Poll::Pending => return Ok(count > 0),
                Poll::Ready(None) => self.messages_open = false,
                Poll::Ready(Some(message)) => {
                    bytes += message.len();
                    self.take_message(&message)?;
                }
            }
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        Ok(true)
    }

    fn take_message(&mut self, message: &str) -> Result<(), Stop> {
        let taken = self.instance.handle(wit::Input::Message(message));
        if let Ok(Err(_)) = taken {
            // Closing: no more is taken, and those who send from now on are told.
            self.messages.close();
            return Ok(());
        }
        // Also of one that it has failed over, which must not reach the next.
        self.recovery.from_client(message, self.posts);
        taken?.map_err(|_| Stop::Ended)
    }

    /// Waits for the engine's deadline; tells how late it is, in nanoseconds. Pending for ever where there is none.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Result<u64, Stop>> {
        loop {
            let Some(deadline) = self.instance.deadline()? else { return Poll::Pending };
            let now = self.instance.now();
            if deadline <= now {
                return Poll::Ready(Ok(now - deadline));
            }
            let Some(at) = self.instance.instant(deadline) else { return Poll::Pending };
            ready!(self.timer.poll(at.into(), context));
        }
    }

    /// Gives the engine an input that it does not refuse.
    fn give(&mut self, input: wit::Input<'_>) -> Result<(), Stop> {
        let _ = self.instance.handle(input)?;
        Ok(())
    }

    /// Does what the engine wants.
    fn act(&mut self) -> Result<(), Stop> {
        for output in self.instance.outputs()? {
            match output {
                wit::Output::Start(request) => {
                    self.posts += u64::from(request.method == wit::Method::Post);
                    self.exchanges.start(request);
                }
                wit::Output::Cancel(exchange) => self.exchanges.cancel(exchange),
                wit::Output::Pause(exchange) => self.exchanges.pause(exchange),
                wit::Output::Resume(exchange) => self.exchanges.resume(exchange),
                wit::Output::Event(event) => self.tell(event.into()),
                wit::Output::Closed(_) => {
                    self.ended = true;
                    self.exchanges.clear();
                }
                wit::Output::Other(_) => {}
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        match &event {
            Event::Message(text) => self.recovery.to_client(text),
            Event::Connected(session) | Event::Reconnected { session, .. } => self.recovery.on_session(session.epoch),
            _ => {}
        }
        self.untold.push_back(event);
    }

    /// Hands an event to the client. Meanwhile nothing is read, from the network or the client, but commands are carried out.
    async fn deliver(&mut self, event: Event) -> Result<(), Stop> {
        // A large message waits until the client has taken all before it, so that few are held here.
        let places = if matches!(&event, Event::Message(text) if text.len() > LARGE) { CHANNEL } else { 1 };
        let events = self.events.clone();
        if let Ok(mut permits) = events.try_reserve_many(places) {
            if let Some(permit) = permits.next() {
                permit.send(event);
            }
            return Ok(());
        }
        let mut commands_open = true;
        loop {
            let command = tokio::select! {
                biased;
                permits = events.reserve_many(places) => {
                    if let Some(permit) = permits.map_err(|_| Stop::Ended)?.next() {
                        permit.send(event);
                    }
                    return Ok(());
                }
                command = self.commands.recv(), if commands_open => command,
            };
            let result = match command {
                Some(command) => self.run_command(command).and_then(|()| self.act()),
                None => {
                    commands_open = false;
                    Ok(())
                }
            };
            if let Err(stop) = result {
                self.untold.push_front(event);
                return Err(stop);
            }
        }
    }

    fn run_command(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::SetHeaders(headers, reply) => {
                let set = self.instance.handle(wit::Input::SetHeaders(&headers))?.map_err(headers_error);
                if set.is_ok() {
                    self.options.headers = headers;
                }
                // Who asked may have gone; the headers hold all the same.
                let _ = reply.send(set);
            }
            Command::SetSignIn(sign_in) => {
                let sign_in = sign_in.as_ref().map(|(command, url)| types::SignIn { command, url: url.as_deref() });
                self.give(wit::Input::SignIn(sign_in))?;
            }
            Command::Reconnect => self.give(wit::Input::Reconnect)?,
            Command::Probe => self.give(wit::Input::Probe)?,
            Command::Status(reply) => {
                let _ = reply.send(self.instance.status()?);
            }
            Command::Close => {
                self.messages.close();
                // What was sent before goes before.
                while let Ok(message) = self.messages.try_recv() {
                    self.take_message(&message)?;
                }
                self.closed = true;
                self.give(wit::Input::Close)?;
            }
        }
        Ok(())
    }

    /// The component failed, which is a defect: answers what it had in flight, and goes on with another instance.
    async fn recover(&mut self, error: &wasmtime::Error) -> Result<(), Stop> {
        // The backtrace is for the log, the cause for everyone.
        tracing::error!("the transport component failed: {error:?}");
        self.exchanges.clear();
        let cause = error.root_cause().to_string();
        let text = format!("the transport component failed, a defect of mcp-reconnect; please report it: {cause}");
        self.untold.push_back(Event::Diagnostic { level: Level::Error, text });
        let reason = "the transport component failed and is started again".to_owned();
        if let Some(epoch) = self.recovery.session() {
            self.untold.push_back(Event::Disconnected { epoch, reason: reason.clone() });
        }
        self.answer_lost(&reason);
        self.failures = if self.started.elapsed() < LONG_LIFE { self.failures.saturating_add(1) } else { 0 };
        loop {
            self.pause().await?;
            if self.closed {
                return Err(Stop::Ended);
            }
            let state = self.recovery.state();
            match Instance::open(&self.options, state.as_deref()) {
                Ok(instance) => {
                    self.instance = instance;
                    self.started = Instant::now();
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!("{error}");
                    self.failures = self.failures.saturating_add(1);
                    // An `initialize` that it fails over is answered in the end.
                    self.answer_lost(&reason);
                    if self.failures >= HOPELESS {
                        self.recovery = Recovery::new();
                    }
                }
            }
        }
    }

    /// Answers what the component had in flight.
    fn answer_lost(&mut self, reason: &str) {
        let lost = self.recovery.fail(self.posts);
        let unknown = |method| Event::OutcomeUnknown { method, accepted: false, reason: reason.to_owned() };
        self.untold.extend(lost.unknown.into_iter().map(unknown));
        self.untold.extend(lost.messages.into_iter().map(Event::Message));
    }

    /// Tells the client what there is to tell, and waits before another instance is started: at once the first time, then longer
    /// with each failure. Messages wait meanwhile.
    async fn pause(&mut self) -> Result<(), Stop> {
        let doubled = self.failures.checked_sub(2).map(|failures| FIRST_PAUSE * (1 << failures.min(16)));
        let doubled = doubled.filter(|_| !self.closed);
        let end = Instant::now() + doubled.unwrap_or_default().min(LONGEST_PAUSE);
        let events = self.events.clone();
        let mut commands_open = true;
        loop {
            let waits = !self.untold.is_empty();
            let command = tokio::select! {
                biased;
                permit = events.reserve(), if waits => {
                    let permit = permit.map_err(|_| Stop::Ended)?;
                    if let Some(event) = self.untold.pop_front() {
                        permit.send(event);
                    }
                    continue;
                }
                command = self.commands.recv(), if commands_open => command,
                () = events.closed() => return Err(Stop::Ended),
                () = tokio::time::sleep_until(end.into()), if !waits => return Ok(()),
            };
            match command {
                Some(Command::SetHeaders(headers, reply)) => {
                    let checked = mcp_reconnect_core::Engine::check_headers(&headers);
                    let refused = checked.map_err(|error| SetHeadersError::InvalidHeader(error.to_string()));
                    if refused.is_ok() {
                        self.options.headers = headers;
                    }
                    let _ = reply.send(refused);
                }
                // What comes next is a new session; a sign-in that is still missing is told again.
                Some(Command::Reconnect | Command::Probe | Command::SetSignIn(_)) => {}
                Some(Command::Status(reply)) => {
                    let _ = reply.send(Status {
                        state: State::Connecting,
                        session: None,
                        session_age: Duration::ZERO,
                        queued: 0,
                        in_flight: 0,
                        reconnects: 0,
                        replays: 0,
                        last_error: "the transport component failed".to_owned(),
                    });
                }
                // All that was in flight is answered.
                Some(Command::Close) => self.closed = true,
                None => commands_open = false,
            }
            if self.closed && self.untold.is_empty() {
                return Ok(());
            }
        }
    }
}

/// The timer of a connection. A deadline mostly moves into the future, so the timer is left to fire too early rather than set anew
/// each time.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready at this time, or before.
    fn poll(&mut self, at: tokio::time::Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.is_elapsed() || sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(context)
    }
}
