//! The clock, the agenda, and the driver's loop around the engine.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use mcp_reconnect_core::{Engine, Event, ExchangeId, Input, Instant, Options, Output, SECOND};

use super::check::Watch;
use super::client::Client;
use super::net::{Down, Net};
use super::random::Random;
use super::server::{Knobs, Server};
use super::{MILLISECOND, URL};

/// An engine and everything around it.
pub struct World {
    pub now: Instant,
    pub engine: Engine,
    pub options: Options,
    pub server: Server,
    pub net: Net,
    pub client: Client,
    pub random: Random,
    /// What the checks remember.
    pub watch: Watch,
    /// Everything that should never be true and was.
    pub violations: Vec<String>,
    /// Every event of the engine's but messages, with its time.
    pub events: Vec<(Instant, Event)>,
    trace: Option<Vec<String>>,
    agenda: BTreeMap<(Instant, u64), (Instant, Happening)>,
    /// The driver does nothing before this.
    pub asleep_until: Instant,
    /// When what happens now was there to be taken note of.
    pub due: Instant,
    happenings: u64,
    idle_ticks: u32,
    outputs: DefaultHasher,
    pub closed: bool,
}

/// Something that happens at its time.
#[derive(Clone, Debug)]
pub enum Happening {
    /// The client says this.
    Say(String),
    /// The client answers the question of this id.
    Reply(String, String),
    /// The client cancels a request.
    CancelRequest(super::Tag),
    /// The client tries `initialize` again.
    Initialize,
    /// The request of an exchange was written.
    Sent(ExchangeId),
    /// The request of an exchange reaches the server.
    Arrive(ExchangeId),
    /// A part of a response reaches the engine.
    Down(ExchangeId, Down),
    /// The server notices that an exchange's connection is gone.
    Gone(ExchangeId),
    /// A job of the server does its next step.
    Job(u64),
    /// Something outside happens.
    Fault(Fault),
    /// The client does something of its plan.
    Act(super::plan::Act),
}

/// What may happen to the server and the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9: connections are reset, sessions forgotten.
    Kill,
    /// The host vanishes: nobody resets anything.
    Vanish,
    /// An orderly stop: streams end.
    Stop,
    /// The server process starts (again).
    Start,
    /// The process forgets its sessions without closing anything.
    Forget,
    /// SIGSTOP and SIGCONT.
    Freeze,
    Thaw,
    /// Packets vanish from now on; then they flow again.
    BlackHole,
    Heal,
    /// Everything open is reset by something in between.
    ResetAll,
    /// The chance, in percent, that an exchange meets with a bad fate.
    Weather(u64),
    /// The server's behaviour changes.
    Become(Box<Knobs>),
    /// The driver does nothing for so long; what happens meanwhile waits for it.
    Nap(Duration),
}

impl Happening {
    /// Whether it is the driver that takes note of it.
    fn is_for_driver(&self) -> bool {
        match self {
            Self::Arrive(_) | Self::Gone(_) | Self::Job(_) | Self::Fault(_) => false,
            Self::Act(act) => act.is_of_client(),
            _ => true,
        }
    }
}

impl World {
    /// A server with these knobs, and an engine with default options.
    pub fn new(knobs: Knobs) -> Self {
        Self::with(knobs, Options::new(URL), 1)
    }

    pub fn with(knobs: Knobs, options: Options, seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            engine: Engine::new(options.clone(), seed, Instant::ZERO).expect("options are valid"),
            options,
            server: Server::new(knobs),
            net: Net::default(),
            client: Client::default(),
            random: Random::new(seed),
            watch: Watch::default(),
            violations: Vec::new(),
            events: Vec::new(),
            trace: Some(Vec::new()),
            agenda: BTreeMap::new(),
            asleep_until: Instant::ZERO,
            due: Instant::ZERO,
            happenings: 0,
            idle_ticks: 0,
            outputs: DefaultHasher::new(),
            closed: false,
        }
    }

    /// Runs without keeping a trace, for speed.
    pub fn untraced(mut self) -> Self {
        self.trace = None;
        self
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let micros = self.now.as_nanos() / 1000;
            let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
            trace.push(format!("{seconds:>5}.{micros:06}  {}", what()));
        }
    }

    pub fn violate(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(|| format!("!!! {what}"));
        self.violations.push(what);
    }

    /// The story of the run.
    pub fn story(&self) -> String {
        self.trace.as_ref().map_or_else(String::new, |lines| lines.join("\n"))
    }

    /// A number that two runs share only if the engine did the same in both.
    pub fn fingerprint(&self) -> u64 {
        self.outputs.finish()
    }

    pub fn at(&mut self, when: Instant, what: Happening) {
        self.happenings += 1;
        let when = when.max(self.now);
        self.agenda.insert((when, self.happenings), (when, what));
    }

    pub fn after(&mut self, delay: Duration, what: Happening) {
        self.at(self.now + delay, what);
    }

    /// Goes on until this point in time.
    pub fn run_to(&mut self, end: Instant) {
        while self.step(end) {}
        self.now = self.now.max(end);
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time);
    }

    /// Goes on until the condition holds; false if it does not within `limit`.
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step(end) {
                self.now = self.now.max(end);
                return condition(self);
            }
        }
    }

    fn step(&mut self, end: Instant) -> bool {
        let due = self.agenda.first_key_value().map(|((at, _), _)| *at);
        // A driver that is late for a timer takes note of it when it is back.
        let deadline = self.engine.deadline().map(|at| at.max(self.asleep_until));
        let next = match (due, deadline) {
            (Some(due), Some(deadline)) => due.min(deadline),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return false,
        };
        if next > end || self.violations.len() > 20 {
            return false;
        }
        if next > self.now {
            self.idle_ticks = 0;
            self.now = next;
        }
        if due == Some(next) {
            if let Some((_, (due, what))) = self.agenda.pop_first() {
                if self.now < self.asleep_until && what.is_for_driver() {
                    self.happenings += 1;
                    self.agenda.insert((self.asleep_until, self.happenings), (due, what));
                } else {
                    self.due = due;
                    self.happen(what);
                }
            }
        } else {
            self.idle_ticks += 1;
            if self.idle_ticks > 1000 {
                self.violate("the engine spins: its deadline does not move");
                self.violations.resize(21, String::from("…"));
            }
            self.input(Input::Tick);
        }
        true
    }

    fn happen(&mut self, what: Happening) {
        let by_client = matches!(
            what,
            Happening::Say(_) | Happening::Reply(..) | Happening::CancelRequest(_) | Happening::Initialize
        );
        if self.closed && by_client {
            return;
        }
        match what {
            Happening::Say(text) => self.say(&text),
            Happening::Reply(id, text) => {
                if self.client.stubborn || !self.client.dropped.contains(&id) {
                    self.note(|| format!("client → {text}"));
                    self.input(Input::Message(text));
                }
            }
            Happening::CancelRequest(tag) => self.cancel(tag),
            Happening::Initialize => {
                self.initialize();
            }
            Happening::Sent(id) => self.sent(id),
            Happening::Arrive(id) => self.arrive(id),
            Happening::Down(id, down) => self.down(id, down),
            Happening::Gone(id) => self.gone(id),
            Happening::Job(job) => self.work(job),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Act(act) => self.act(act),
        }
    }

    /// The host wants something.
    pub fn host(&mut self, input: Input) {
        self.note(|| format!("host    → {input:?}"));
        self.input(input);
    }

    /// Hands one input to the engine and does what it wants, as a driver does.
    pub fn input(&mut self, input: Input) {
        self.note_input(&input);
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            if self.closed {
                self.violate(format!("output after Closed: {output:?}"));
            }
            output.hash(&mut self.outputs);
            match output {
                Output::Start(id, request) => self.connect(id, request),
                Output::Cancel(id) => self.hang_up(id),
                // Bodies are small here: see `tests/bodies.rs`.
                Output::Pause(id) | Output::Resume(id) => self.violate(format!("{id:?} waits for small bodies")),
                Output::Event(Event::Message(text)) => self.hear(text),
                Output::Event(event) => {
                    self.note(|| format!("event   ← {}", Shown(&event)));
                    self.closed |= event == Event::Closed;
                    self.on_event(&event);
                    self.events.push((self.now, event));
                }
            }
        }
        self.check_alive();
    }

    fn fault(&mut self, fault: Fault) {
        self.note(|| format!("======= {}", ShownFault(&fault)));
        match fault {
            Fault::Kill => {
                self.stop_server();
                self.net_reset(true);
            }
            Fault::Vanish => {
                self.stop_server();
                self.net_abandon();
            }
            Fault::Stop => {
                self.end_streams();
                self.stop_server();
                self.net_reset(true);
            }
            Fault::Start => self.start_server(),
            Fault::Forget => self.forget_sessions(),
            Fault::Freeze => self.server.frozen = true,
            Fault::Thaw => self.thaw(),
            Fault::BlackHole => self.net.black_hole = true,
            Fault::Heal => self.heal(),
            Fault::ResetAll => self.net_reset(false),
            Fault::Weather(chance) => self.net.weather = chance,
            Fault::Become(knobs) => self.server.knobs = *knobs,
            Fault::Nap(time) => self.asleep_until = self.now + time,
        }
    }

    /// Does this at once.
    pub fn now(&mut self, fault: Fault) {
        self.fault(fault);
    }

    /// Restarts the server: away for so long.
    pub fn restart(&mut self, away: Duration) {
        self.fault(Fault::Kill);
        self.after(away, Happening::Fault(Fault::Start));
    }

    /// Makes a first session: `initialize`, its answer, `initialized`, and some rest.
    pub fn open(&mut self) {
        self.initialize();
        let ready = self
            .run_until(60 * SECOND, |world| world.events.iter().any(|(_, event)| matches!(event, Event::Connected(_))));
        assert!(ready, "no session came about\n{}", self.story());
        self.run_for(500 * MILLISECOND);
    }

    /// Fails with the story if anything happened that must not.
    pub fn verify(&self) {
        assert!(self.violations.is_empty(), "{}\n\n{}", self.violations.join("\n"), self.story());
    }

    /// How many events were of this kind.
    pub fn count(&self, kind: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| kind(event)).count()
    }
}

/// An event without its length.
struct Shown<'a>(&'a Event);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Event::Diagnostic { level, text } => write!(to, "{level:?}: {text}"),
            Event::Reconnecting { attempt, delay, reason } => {
                write!(to, "Reconnecting, attempt {attempt} in {} ms: {reason}", delay.as_millis())
            }
            event => write!(to, "{event:?}"),
        }
    }
}

struct ShownFault<'a>(&'a Fault);

impl fmt::Display for ShownFault<'_> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{:?}", self.0)
    }
}
