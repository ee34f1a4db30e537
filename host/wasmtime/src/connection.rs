//! The two halves of a connection, and the task between them and the component.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::component::{Instance, Taken};
use crate::options::Options;
use crate::wake::Wake;
use crate::{Event, Level, OpenError, SendError, SetHeadersError, Status};

/// How many messages of the program, events for it, or orders may wait between two tasks. Each channel stops its writer
/// beyond that; nothing is dropped.
const CHANNEL: usize = 16;

/// Opens a connection. Checks the options and does no network I/O: the first contact is made when the program sends
/// `initialize`. Must be called inside a tokio runtime with I/O and time enabled.
///
/// # Errors
///
/// See [`OpenError`]. A server that is down is not an error.
pub async fn connect(options: Options) -> Result<(Sender, Receiver), OpenError> {
    let wake = Wake::default();
    let instance = Instance::open(options, wake.clone()).await?;
    let failure = Arc::new(OnceLock::new());
    let (messages, messages_out) = mpsc::channel(CHANNEL);
    let (orders, orders_out) = mpsc::channel(CHANNEL);
    let (events_in, events) = mpsc::channel(CHANNEL);
    let driver = Driver {
        instance,
        wake: wake.clone(),
        messages: messages_out,
        orders: orders_out,
        events: events_in,
        held: None,
        closing: false,
        failure: Arc::clone(&failure),
    };
    tokio::spawn(driver.run());
    Ok((Sender { messages, orders, wake, failure }, Receiver { events }))
}

/// The half that takes messages and orders. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Sender {
    messages: mpsc::Sender<String>,
    orders: mpsc::Sender<Order>,
    wake: Wake,
    /// Why the component failed, once it did.
    failure: Arc<OnceLock<String>>,
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
    /// Waits while the connection is busy, which it also is while the program does not take its events: call
    /// [`Receiver::receive`] in another task, or at least not after an unbounded number of sends.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after [`Sender::close`], or when the receiver is gone.
    pub async fn send(&self, message: impl Into<String>) -> Result<(), SendError> {
        self.messages.send(message.into()).await.map_err(|_| self.closed())?;
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
        self.order(Order::SetHeaders(headers, reply)).await?;
        result.await.map_err(|_| self.closed())?
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
        self.order(Order::SetSignIn(sign_in)).await
    }

    /// Begins a new session now. What is in flight is treated like after any other loss of the session.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the connection is closed.
    pub async fn reconnect(&self) -> Result<(), SendError> {
        self.order(Order::Reconnect).await
    }

    /// Tells that the connection may be dead, because the machine slept or its network changed: finds out now instead of at
    /// the next heartbeat.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the connection is closed.
    pub async fn probe(&self) -> Result<(), SendError> {
        self.order(Order::Probe).await
    }

    /// What the connection is doing.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the connection is closed.
    pub async fn status(&self) -> Result<Status, SendError> {
        let (reply, status) = oneshot::channel();
        self.order(Order::Status(reply)).await?;
        status.await.map_err(|_| self.closed())
    }

    /// Says goodbye after the messages sent so far: answers what is in flight, ends the session on the server. Returns at
    /// once; [`Receiver::receive`] gives what there is to say, and then `None`, within about a second. Does nothing
    /// where the connection is closed already.
    pub async fn close(&self) {
        // A closed connection is what was asked for.
        let _ = self.order(Order::Close).await;
    }

    async fn order(&self, order: Order) -> Result<(), SendError> {
        self.orders.send(order).await.map_err(|_| self.closed())?;
        self.wake.set();
        Ok(())
    }

    fn closed(&self) -> SendError {
        self.failure.get().map_or(SendError::Closed, |text| SendError::Component(text.clone()))
    }
}

impl Receiver {
    /// Waits for the next event. `None` after the last one: the connection is closed. Cancelling it loses nothing.
    pub async fn receive(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// What a program wants beside sending. Orders overtake messages, so that they work while a connection is held up.
enum Order {
    SetHeaders(Vec<(String, String)>, oneshot::Sender<Result<(), SetHeadersError>>),
    SetSignIn(Option<(String, Option<String>)>),
    Reconnect,
    Probe,
    Status(oneshot::Sender<Status>),
    Close,
}

/// The task that owns the component.
struct Driver {
    instance: Instance,
    wake: Wake,
    messages: mpsc::Receiver<String>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
    /// A message that the component takes only after its events.
    held: Option<String>,
    /// The connection is to be closed after the messages sent so far.
    closing: bool,
    failure: Arc<OnceLock<String>>,
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
        let Err(Stop::Failed(error)) = self.work().await else { return };
        // The backtrace is for the log, the cause for everyone.
        tracing::error!("the transport component failed: {error:?}");
        let Self { instance, messages, orders, events, failure, .. } = self;
        let text = error.root_cause().to_string();
        // Before the channels close, so that who finds them closed finds the reason.
        let _ = failure.set(text.clone());
        drop((instance, messages, orders));
        let text = format!("the transport component failed, a defect of mcp-reconnect; please report it: {text}");
        let _ = events.send(Event::Diagnostic { level: Level::Error, text }).await;
    }

    async fn work(&mut self) -> Result<(), Stop> {
        loop {
            self.wake.clear();
            self.take_orders().await?;
            self.take_messages().await?;
            let events = tokio::select! {
                events = self.instance.receive() => events?,
                // Dropping the component in the middle of its work closes its sockets.
                () = self.events.closed() => return Err(Stop::Ended),
            };
            for event in events.ok_or(Stop::Ended)? {
                self.deliver(event).await?;
            }
        }
    }

    async fn take_orders(&mut self) -> Result<(), Stop> {
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order).await?;
        }
        Ok(())
    }

    /// Gives the component what the program has sent, and then its goodbye.
    async fn take_messages(&mut self) -> Result<(), Stop> {
        while let Some(message) = self.held.take().or_else(|| self.messages.try_recv().ok()) {
            match self.instance.send(&message).await? {
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
            self.instance.close().await?;
        }
        Ok(())
    }

    /// Hands an event to the program. Meanwhile the component stands still and takes no messages, but orders are obeyed.
    async fn deliver(&mut self, event: Event) -> Result<(), Stop> {
        let event = match self.events.try_send(event) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Stop::Ended),
            Err(TrySendError::Full(event)) => event,
        };
        let events = self.events.clone();
        let mut orders_open = true;
        let permit = loop {
            let order = tokio::select! {
                biased;
                permit = events.reserve() => break permit.map_err(|_| Stop::Ended)?,
                order = self.orders.recv(), if orders_open => order,
            };
            match order {
                Some(order) => self.obey(order).await?,
                None => orders_open = false,
            }
        };
        permit.send(event);
        Ok(())
    }

    async fn obey(&mut self, order: Order) -> Result<(), Stop> {
        match order {
            Order::SetHeaders(headers, reply) => {
                // Who asked may have gone; the headers hold all the same.
                let _ = reply.send(self.instance.set_headers(headers).await?);
            }
            Order::SetSignIn(sign_in) => {
                let sign_in = sign_in.map(|(command, url)| crate::component::SignIn { command, url });
                self.instance.set_sign_in(sign_in).await?;
            }
            Order::Reconnect => self.instance.reconnect().await?,
            Order::Probe => self.instance.probe().await?,
            Order::Status(reply) => {
                let _ = reply.send(self.instance.status().await?);
            }
            Order::Close => {
                self.messages.close();
                self.closing = true;
                self.take_messages().await?;
            }
        }
        Ok(())
    }
}
