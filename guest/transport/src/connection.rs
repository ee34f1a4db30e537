//! The resource `connection`: an engine, its exchanges, and the loop that lets them work.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use mcp_reconnect_core::{Engine, ExchangeId, Input, Instant, Output, SignIn};

use crate::bindings::exports::mcp_reconnect::transport::client as wit;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::poll::Pollable;
use crate::bindings::wasi::random::random;
use crate::event_queue::EventQueue;
use crate::exchange::{self, Gate, Reports};
use crate::reactor::{Reactor, Task};
use crate::types::{self, OptionsResource};

/// The resource `connection`.
pub struct ConnectionResource {
    driver: RefCell<Driver>,
    reactor: Reactor,
    /// Whether a `receive` is under way. On a host that suspends the component meanwhile, a second call can come in.
    receiving: Cell<bool>,
}

impl wit::GuestConnection for ConnectionResource {
    fn open(options: wit::Options) -> Result<wit::Connection, wit::OpenError> {
        let options = OptionsResource::take(options);
        let event_queue = EventQueue::new(options.max_queue_messages, options.max_queue_bytes);
        let engine = Engine::new(options, random::get_random_u64(), now()).map_err(types::open_error)?;
        let reactor = Reactor::default();
        let mut driver = Driver::new(engine, reactor.clone(), event_queue);
        // One that takes the place of another has something to do.
        driver.handle(Input::Tick);
        Ok(wit::Connection::new(Self { driver: RefCell::new(driver), reactor, receiving: Cell::new(false) }))
    }

    fn send(&self, message: String) -> Result<(), wit::SendError> {
        let mut driver = self.driver.borrow_mut();
        if driver.closed || driver.engine.is_closed() {
            return Err(wit::SendError::Closed("the connection is closed".to_string()));
        }
        driver.send(message)
    }

    fn receive(&self, max: u32, until: Option<&Pollable>) -> Result<Vec<wit::Event>, wit::ReceiveError> {
        if self.receiving.replace(true) {
            return Err(wit::ReceiveError::Other("another receive is under way".to_string()));
        }
        let result = self.receive_events(max, until);
        self.receiving.set(false);
        result
    }

    fn set_headers(&self, headers: wit::Headers) -> Result<(), wit::HeadersError> {
        Engine::check_headers(&headers).map_err(|error| wit::HeadersError::InvalidHeader(error.to_string()))?;
        self.driver.borrow_mut().handle(Input::SetHeaders(headers));
        Ok(())
    }

    fn set_sign_in(&self, sign_in: Option<wit::SignIn>) {
        let sign_in = sign_in.map(|wit::SignIn { command, url }| SignIn { command, url });
        self.driver.borrow_mut().handle(Input::SignIn(sign_in));
    }

    fn reconnect(&self) {
        self.driver.borrow_mut().handle(Input::Reconnect);
    }

    fn probe(&self) {
        self.driver.borrow_mut().handle(Input::Probe);
    }

    fn status(&self) -> wit::Status {
        types::status(self.driver.borrow().engine.status(), now())
    }

    fn close(&self) {
        self.driver.borrow_mut().handle(Input::Close);
    }
}

impl ConnectionResource {
    fn receive_events(&self, max: u32, until: Option<&Pollable>) -> Result<Vec<wit::Event>, wit::ReceiveError> {
        let mut interrupted = false;
        loop {
            let timer = {
                let mut driver = self.driver.borrow_mut();
                driver.advance();
                if !driver.event_queue.is_empty() {
                    return Ok(driver.event_queue.take(max));
                }
                if driver.closed {
                    return Err(wit::ReceiveError::Closed("the connection is closed".to_string()));
                }
                if interrupted {
                    return Ok(Vec::new());
                }
                driver.timer()
            };
            // No borrow of the driver is held here: another call may come in while this one is suspended.
            let Some(ready) = self.reactor.wait([until, timer.as_deref()]) else {
                let text = "there is nothing to wait for: send a message first, or hand in a pollable";
                return Err(wit::ReceiveError::Other(text.to_string()));
            };
            [interrupted, _] = ready;
            self.driver.borrow_mut().run_tasks();
        }
    }
}

/// An engine and what it needs to act.
struct Driver {
    engine: Engine,
    reactor: Reactor,
    exchanges: BTreeMap<ExchangeId, (Task, Rc<Gate>)>,
    reports: Reports,
    /// Events that the caller has not taken. While there are any, nothing is read.
    event_queue: EventQueue,
    /// Whether the last event was given.
    closed: bool,
    /// The pollable of the last deadline waited for. An engine's deadline mostly moves into the future, so a timer is
    /// left to fire too early rather than made anew each turn.
    timer: Option<(Instant, Rc<Pollable>)>,
}

impl Driver {
    fn new(engine: Engine, reactor: Reactor, event_queue: EventQueue) -> Self {
        Self {
            engine,
            reactor,
            exchanges: BTreeMap::new(),
            reports: Reports::default(),
            event_queue,
            closed: false,
            timer: None,
        }
    }

    /// Gives the engine a message of the caller, unless its answers have to be received first.
    fn send(&mut self, message: String) -> Result<(), wit::SendError> {
        if let Some(count) = self.event_queue.full() {
            let text = format!("{count} answers wait: receive them before another message");
            return Err(wit::SendError::Full(text));
        }
        let before = self.event_queue.len();
        self.handle(Input::Message(message));
        self.event_queue.count_from(before);
        Ok(())
    }

    /// Gives the engine an input and keeps what it wants. The I/O of it is begun by [`Self::run_tasks`].
    fn handle(&mut self, input: Input) {
        if self.closed {
            return;
        }
        #[cfg(feature = "faults")]
        match &input {
            Input::Message(text) => crate::faults::on_message(text),
            Input::Response { .. } | Input::Failed { .. } => crate::faults::on_network(),
            _ => {}
        }
        self.engine.handle(now(), input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Start(id, request) => {
                    let gate = Rc::<Gate>::default();
                    let (reactor, reports) = (self.reactor.clone(), Rc::clone(&self.reports));
                    let future = exchange::run(id, request, reactor, reports, Rc::clone(&gate));
                    self.exchanges.insert(id, (Task::new(future), gate));
                }
                Output::Cancel(id) => {
                    self.exchanges.remove(&id);
                    self.reports.borrow_mut().retain(|(of, _)| *of != id);
                }
                Output::Pause(id) => {
                    if let Some((_, gate)) = self.exchanges.get(&id) {
                        gate.pause();
                    }
                }
                Output::Resume(id) => {
                    if let Some((_, gate)) = self.exchanges.get(&id) {
                        gate.resume();
                    }
                }
                Output::Event(event) => match types::event(event) {
                    Some(event) => self.event_queue.push(event),
                    None => {
                        self.closed = true;
                        self.exchanges.clear();
                        self.reports.borrow_mut().clear();
                        self.timer = None;
                        return;
                    }
                },
            }
        }
    }

    /// Does what can be done without waiting: what came from the network, due timers, new exchanges. In this order, so that an
    /// answer that waited for a driver that comes late is not overtaken by its own timeout.
    fn advance(&mut self) {
        self.run_tasks();
        if !self.closed && self.engine.deadline().is_some_and(|deadline| deadline <= now()) {
            self.handle(Input::Tick);
        }
        self.run_tasks();
    }

    /// Runs the tasks that were woken, and those that they lead to, and tells the engine what each reports, before the next
    /// one reads. Stops where there is enough for the caller to take; the others run the next time.
    fn run_tasks(&mut self) {
        loop {
            // In the order of the exchanges' ids, which is that of the engine's `Start`s.
            let woken: Vec<_> =
                self.exchanges.iter().filter(|(_, (task, _))| task.is_woken()).map(|(id, _)| *id).collect();
            if woken.is_empty() {
                return;
            }
            for id in woken {
                if self.event_queue.is_plenty() {
                    return;
                }
                if self.exchanges.get_mut(&id).is_some_and(|(task, _)| task.run()) {
                    self.exchanges.remove(&id);
                }
                loop {
                    // One at a time: what the engine makes of a report may cancel the exchange of the next.
                    let Some((_, input)) = self.reports.borrow_mut().pop_front() else { break };
                    self.handle(input);
                }
            }
        }
    }

    /// The timer for the engine's deadline, if there is one.
    fn timer(&mut self) -> Option<Rc<Pollable>> {
        let deadline = self.engine.deadline()?;
        if !self.timer.as_ref().is_some_and(|(instant, _)| *instant <= deadline && *instant > now()) {
            self.timer = Some((deadline, Rc::new(monotonic_clock::subscribe_instant(deadline.as_nanos()))));
        }
        self.timer.as_ref().map(|(_, pollable)| Rc::clone(pollable))
    }
}

/// The time of the runtime's clock.
fn now() -> Instant {
    Instant::from_nanos(monotonic_clock::now())
}
