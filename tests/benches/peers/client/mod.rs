//! The load generator: the same calls through a bridge's pipes or straight to the server.

mod direct;
mod pipes;

use std::time::{Duration, Instant};

pub use direct::Direct;
pub use pipes::Pipes;

/// How long an answer may take before the measurement is given up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Why a figure could not be measured, in a few words for the table.
pub type Failure = String;

/// How many calls to make.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many are under way at the same time; each answer leads to the next call.
    pub in_flight: usize,
    /// No new calls after this time,
    pub time: Duration,
    /// or after so many.
    pub calls: usize,
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// How long each call took.
    pub latencies: Vec<Duration>,
    /// From the first call to the last answer.
    pub time: Duration,
}

/// A call with notifications before its answer.
#[derive(Debug)]
pub struct Notes {
    /// How many arrived.
    pub arrived: usize,
    /// From the call to the last of them.
    pub time: Duration,
}

/// Which calls are under way, and when they began.
#[derive(Debug)]
struct Underway {
    first: u64,
    begun: Vec<Option<Instant>>,
    open: usize,
    began: Instant,
    tally: Tally,
}

impl Underway {
    /// Ids count on from `first`.
    fn new(first: u64) -> Self {
        Self { first, begun: Vec::new(), open: 0, began: Instant::now(), tally: Tally::default() }
    }

    /// Whether another call is to be made.
    fn wants_more(&self, load: &Load) -> bool {
        self.open < load.in_flight && self.begun.len() < load.calls && self.began.elapsed() < load.time
    }

    /// The id of another call, which begins now.
    fn begin(&mut self) -> u64 {
        self.begun.push(Some(Instant::now()));
        self.open += 1;
        self.first + self.begun.len() as u64 - 1
    }

    /// The call has been answered. Each is so once.
    fn end(&mut self, id: u64) -> Result<(), Failure> {
        let begun = id.checked_sub(self.first).and_then(|index| self.begun.get_mut(index as usize)?.take());
        let begun = begun.ok_or_else(|| format!("an answer to no call: {id}"))?;
        self.tally.latencies.push(begun.elapsed());
        self.tally.time = self.began.elapsed();
        self.open -= 1;
        Ok(())
    }
}
