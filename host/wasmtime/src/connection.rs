//! The two halves of a connection, and the task between them and the component.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mcp_reconnect_core::Recovery;
use tokio::sync::{mpsc, oneshot};

use crate::component::{Instance, Taken};
use crate::http::HttpClient;
use crate::options::Options;
use crate::wake::Wake;
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

/// Opens a connection. Checks the options and does no network I/O: the first contact is made when the client sends
/// `initialize`. Must be called inside a tokio runtime with I/O and time enabled.
///
/// # Errors
///
/// See [`OpenError`]. A server that is down is not an error.
pub async fn connect(options: Options) -> Result<(Sender, Receiver), OpenError> {
    let wake = Wake::default();
    let client = HttpClient::new(&options.http, &options.url)?;
    let instance = Instance::open(&options, &client, &wake, None).await?;
    let (messages, messages_out) = mpsc::channel(CHANNEL);
    let (commands, commands_out) = mpsc::channel(CHANNEL);
    let (events_in, events) = mpsc::channel(CHANNEL);
    let driver = Driver {
        options,
        client,
        instance,
        started: Instant::now(),
        failures: 0,
        recovery: Recovery::new(),
        wake: wake.clone(),
        messages: messages_out,
        commands: commands_out,
        events: events_in,
        untold: VecDeque::new(),
        held: None,
        closing: false,
        closed: false,
    };
    tokio::spawn(driver.run());
    Ok((Sender { messages, commands, wake }, Receiver { events }))
}

/// The half that takes messages and commands. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Sender {
    messages: mpsc::Sender<String>,
    commands: mpsc::Sender<Command>,
    wake: Wake,
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
        self.messages.send(message.into()).await.map_err(|_| SendError::Closed)?;
        self.wake.set();
        Ok(())
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
        self.commands.send(command).await.map_err(|_| SendError::Closed)?;
        self.wake.set();
        Ok(())
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

/// The task that owns the component.
struct Driver {
    /// With the headers that were set last.
    options: Options,
    client: HttpClient,
    instance: Instance,
    /// When it was started, and how many before it have failed soon after their start.
    started: Instant,
    failures: u32,
    /// What outlives the instance.
    recovery: Recovery,
    wake: Wake,
    messages: mpsc::Receiver<String>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events that the component has given and the client has not got.
    untold: VecDeque<Event>,
    /// A message that the component takes only after its events.
    held: Option<String>,
    /// The connection is to be closed after the messages sent so far.
    closing: bool,
    /// It was told to close.
    closed: bool,
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
        loop {
            while let Some(event) = self.untold.pop_front() {
                self.deliver(event).await?;
            }
            self.wake.clear();
            self.take_orders().await?;
            self.take_messages().await?;
            let events = tokio::select! {
                events = self.instance.receive() => events?,
                // Dropping the component in the middle of its work closes its sockets.
                () = self.events.closed() => return Err(Stop::Ended),
            };
            for event in events.ok_or(Stop::Ended)? {
                match &event {
                    Event::Message(text) => self.recovery.to_client(text),
                    Event::Connected(session) | Event::Reconnected { session, .. } => {
                        self.recovery.on_session(session.epoch);
                    }
                    _ => {}
                }
                self.untold.push_back(event);
            }
        }
    }

    async fn take_orders(&mut self) -> Result<(), Stop> {
        while let Ok(command) = self.commands.try_recv() {
            self.run_command(command).await?;
        }
        Ok(())
    }

    /// Gives the component what the client has sent, and closes it when that is wanted.
    async fn take_messages(&mut self) -> Result<(), Stop> {
        while let Some(message) = self.held.take().or_else(|| self.messages.try_recv().ok()) {
            let taken = self.instance.send(&message).await;
            // Also of one that it has failed over, which must not reach the next.
            if !matches!(taken, Ok(Taken::NotYet | Taken::No)) {
                self.recovery.from_client(&message, self.client.posts());
            }
            match taken? {
                Taken::Yes => {}
                Taken::NotYet => {
                    self.held = Some(message);
                    return Ok(());
                }
                // Closing: no more is taken, and those who send from now on are told.
                Taken::No => self.messages.close(),
            }
        }
        if std::mem::take(&mut self.closing) {
            self.closed = true;
            self.instance.close().await?;
        }
        Ok(())
    }

    /// Hands an event to the client. Meanwhile the component stands still and takes no messages, but commands are carried out.
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
                Some(command) => self.run_command(command).await,
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

    async fn run_command(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::SetHeaders(headers, reply) => {
                let set = self.instance.set_headers(&headers).await?;
                if set.is_ok() {
                    self.options.headers = headers;
                }
                // Who asked may have gone; the headers hold all the same.
                let _ = reply.send(set);
            }
            Command::SetSignIn(sign_in) => {
                let sign_in = sign_in.map(|(command, url)| crate::component::SignIn { command, url });
                self.instance.set_sign_in(sign_in).await?;
            }
            Command::Reconnect => self.instance.reconnect().await?,
            Command::Probe => self.instance.probe().await?,
            Command::Status(reply) => {
                let _ = reply.send(self.instance.status().await?);
            }
            Command::Close => {
                self.messages.close();
                self.closing = true;
                self.take_messages().await?;
            }
        }
        Ok(())
    }

    /// The component failed, which is a defect: answers what it had in flight, and goes on with another instance.
    async fn recover(&mut self, error: &wasmtime::Error) -> Result<(), Stop> {
        // The backtrace is for the log, the cause for everyone.
        tracing::error!("the transport component failed: {error:?}");
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
            match Instance::open(&self.options, &self.client, &self.wake, state.as_deref()).await {
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
        let lost = self.recovery.fail(self.client.posts());
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
