//! What was measured, and what numbers say together.

use std::collections::BTreeMap;

use crate::client::Failure;
use crate::transport::Transport;

/// A figure of one competitor on one transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    Start,
    ColdStart,
    Alone,
    AloneP10,
    AloneP99,
    Rate32,
    At32,
    At32P99,
    Cpu,
    Rate256,
    At256,
    At256P99,
    Notes,
    Megabyte,
    MegabytePeak,
    Fifty,
    FiftyPeak,
    Idle,
    After10k,
    AfterAll,
    Held,
    Next,
}

/// In what a figure is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    PerSecond,
    Megabytes,
}

impl Measure {
    /// The title of its table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Start => "exec → `initialize` answered, files in the cache",
            Self::ColdStart => "exec → `initialize` answered, file cache dropped before",
            Self::Alone => "A call of 1 KB each way, alone: median",
            Self::AloneP10 => "A call alone: 10th percentile",
            Self::AloneP99 => "A call alone: p99",
            Self::Rate32 => "Calls per second, 32 in flight",
            Self::At32 => "A call among 32 in flight: median",
            Self::At32P99 => "A call among 32 in flight: p99",
            Self::Cpu => "Processor time of the bridge for 1,000 calls, 32 in flight",
            Self::Rate256 => "Calls per second, 256 in flight",
            Self::At256 => "A call among 256 in flight: median",
            Self::At256P99 => "A call among 256 in flight: p99",
            Self::Notes => "Log messages (`notifications/message`) per second, server → client",
            Self::Megabyte => "A result of 1 MB: time",
            Self::MegabytePeak => "A result of 1 MB: peak memory of the bridge",
            Self::Fifty => "A result of 50 MB: time",
            Self::FiftyPeak => "A result of 50 MB: peak memory of the bridge",
            Self::Idle => "Resident memory, idle",
            Self::After10k => "Resident memory after 10,000 calls",
            Self::AfterAll => "Resident memory after 100,000 calls",
            Self::Held => "Server listens again → a call that was made while it was down is answered",
            Self::Next => "Server listens again → a call made from then on is answered",
        }
    }

    /// Its unit.
    pub fn unit(self) -> Unit {
        match self {
            Self::Rate32 | Self::Rate256 | Self::Notes => Unit::PerSecond,
            Self::MegabytePeak | Self::FiftyPeak | Self::Idle | Self::After10k | Self::AfterAll => Unit::Megabytes,
            _ => Unit::Milliseconds,
        }
    }

    /// Whether less is better.
    pub fn is_less_better(self) -> bool {
        self.unit() != Unit::PerSecond
    }
}

/// The samples of a figure, one a round.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// In the figure's unit.
    pub samples: Vec<f64>,
    /// Why there are no (more) samples.
    pub failure: Option<Failure>,
    /// What has to be said of them.
    pub note: Option<String>,
}

impl Cell {
    /// Their median, if it could be measured.
    pub fn median(&self) -> Option<f64> {
        if self.failure.is_some() { None } else { median(&self.samples) }
    }

    /// The smallest and the greatest.
    pub fn range(&self) -> (f64, f64) {
        let least = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        (least, self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    /// How far they are apart, in parts of the median.
    pub fn spread(&self) -> f64 {
        let (least, greatest) = self.range();
        median(&self.samples).map_or(0.0, |median| (greatest - least) / median)
    }
}

/// All figures.
#[derive(Debug, Default)]
pub struct Results(BTreeMap<(Measure, &'static str, &'static str), Cell>);

impl Results {
    /// Notes a sample.
    pub fn add(&mut self, measure: Measure, transport: Transport, name: &'static str, value: f64) {
        self.cell(measure, transport, name).samples.push(value);
    }

    /// Notes that it failed. The first reason stays.
    pub fn fail(&mut self, measure: Measure, transport: Transport, name: &'static str, why: Failure) {
        eprintln!("    {name}, {}: {:?} failed: {why}", transport.label(), measure);
        self.cell(measure, transport, name).failure.get_or_insert(why);
    }

    /// Notes what has to be said.
    pub fn note(&mut self, measure: Measure, transport: Transport, name: &'static str, note: String) {
        self.cell(measure, transport, name).note = Some(note);
    }

    /// A figure, if it was tried.
    pub fn get(&self, measure: Measure, transport: Transport, name: &str) -> Option<&Cell> {
        self.0.iter().find(|((m, t, n), _)| (*m, *t, *n) == (measure, transport.label(), name)).map(|(_, cell)| cell)
    }

    /// Its median, if there is one.
    pub fn median(&self, measure: Measure, transport: Transport, name: &str) -> Option<f64> {
        self.get(measure, transport, name)?.median()
    }

    fn cell(&mut self, measure: Measure, transport: Transport, name: &'static str) -> &mut Cell {
        self.0.entry((measure, transport.label(), name)).or_default()
    }
}

/// The middle of them.
pub fn median(samples: &[f64]) -> Option<f64> {
    quantile(samples, 0.5)
}

/// The value below which this part of them lies.
pub fn quantile(samples: &[f64], part: f64) -> Option<f64> {
    let mut samples = samples.to_vec();
    samples.sort_by(f64::total_cmp);
    samples.get((samples.len().checked_sub(1)? as f64 * part).round() as usize).copied()
}
