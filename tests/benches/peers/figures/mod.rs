//! The figures: each measures all competitors in turn, round after round, so that what changes on the machine meanwhile
//! changes for all.

mod calls;
mod memory;
mod notes;
mod recovery;
mod sizes;
mod start;

use std::time::Duration;

use crate::client::{Direct, Failure, Load, Notes, Pipes, Tally};
use crate::competitor::Competitor;
use crate::messages::Tool;
use crate::results::Results;
use crate::server::Server;
use crate::support::port::Port;
use crate::transport::Transport;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Starts of each competitor.
    pub starts: usize,
    /// Starts with a cold file cache.
    pub cold_starts: usize,
    /// Rounds of all other figures.
    pub rounds: usize,
    /// How long a load lasts in each round.
    pub window: Duration,
    /// Notifications in each round.
    pub notes: usize,
    /// The calls after which the memory is looked at, and the time after which the peers', or ours, is in any case.
    pub calls: usize,
    pub peers_calls_time: Duration,
    pub our_calls_time: Duration,
    /// How long the server is away, and how long a recovery is waited for.
    pub down: Duration,
    pub recovery: Duration,
}

impl Scale {
    /// What the document is made of.
    pub const FULL: Self = Self {
        starts: 9,
        cold_starts: 3,
        rounds: 3,
        window: Duration::from_millis(1200),
        notes: 5_000,
        calls: 100_000,
        peers_calls_time: Duration::from_secs(12),
        our_calls_time: Duration::from_secs(60),
        down: Duration::from_millis(1500),
        recovery: Duration::from_secs(10),
    };

    /// Whether all works, in a minute or two.
    pub const QUICK: Self = Self {
        starts: 2,
        cold_starts: 0,
        rounds: 1,
        window: Duration::from_millis(300),
        notes: 500,
        calls: 2_000,
        peers_calls_time: Duration::from_secs(1),
        our_calls_time: Duration::from_secs(1),
        down: Duration::from_millis(500),
        recovery: Duration::from_secs(3),
    };
}

/// What is measured with.
pub struct Bench {
    pub competitors: Vec<Competitor>,
    pub scale: Scale,
    pub port: Port,
    pub server: Option<Server>,
    pub results: Results,
}

pub use sizes::FIFTY_MEGABYTES;

/// A figure, and the name that `--figure` takes.
pub type Figure = (&'static str, fn(&mut Bench));

/// All figures, in the order in which they are measured.
pub const FIGURES: [Figure; 6] = [
    ("start", start::measure),
    ("calls", calls::measure),
    ("notifications", notes::measure),
    ("sizes", sizes::measure),
    ("recovery", recovery::measure),
    ("memory", memory::measure),
];

impl Bench {
    /// Prepares the measuring: a server listens.
    pub fn new(competitors: Vec<Competitor>, scale: Scale) -> Self {
        let port = Port::reserve();
        let server = Some(Server::start(&port));
        Self { competitors, scale, port, server, results: Results::default() }
    }

    /// The competitors in the order of this round: each is the first in turn.
    fn turns(&self, round: usize) -> Vec<usize> {
        let count = self.competitors.len();
        (0..count).map(|turn| (turn + round) % count).collect()
    }

    /// The rounds, each with its competitors.
    fn rounds(&self) -> Vec<usize> {
        (0..self.scale.rounds).flat_map(|round| self.turns(round)).collect()
    }

    fn start(&self, index: usize, transport: Transport) -> Result<(Client, Duration), Failure> {
        let competitor = &self.competitors[index];
        let port = self.port.number();
        if competitor.is_direct() {
            return Direct::start(transport, port).map(|(direct, time)| (Client::Direct(direct), time));
        }
        Pipes::start(&mut competitor.command(transport, port)).map(|(pipes, time)| (Client::Bridge(pipes), time))
    }

    /// A client for each competitor; why there is none is kept in its place.
    fn start_all(&self, transport: Transport) -> Vec<Result<Client, Failure>> {
        (0..self.competitors.len()).map(|index| self.start(index, transport).map(|(client, _)| client)).collect()
    }
}

/// A session that calls can be made in.
pub enum Client {
    Direct(Direct),
    Bridge(Pipes),
}

impl Client {
    fn load(&mut self, load: &Load) -> Result<Tally, Failure> {
        match self {
            Self::Direct(direct) => direct.load(load),
            Self::Bridge(pipes) => pipes.load(load),
        }
    }

    fn call(&mut self, tool: Tool, patience: Duration) -> Result<Duration, Failure> {
        match self {
            Self::Direct(direct) => direct.call(tool),
            Self::Bridge(pipes) => pipes.call(tool, patience),
        }
    }

    fn notes(&mut self, count: usize) -> Result<Notes, Failure> {
        match self {
            Self::Direct(direct) => direct.notes(count),
            Self::Bridge(pipes) => pipes.notes(count),
        }
    }

    /// The bridge's process, if there is a bridge.
    fn process(&self) -> Option<u32> {
        match self {
            Self::Direct(_) => None,
            Self::Bridge(pipes) => Some(pipes.process()),
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
