//! What the versions without sessions (MCP 2026-07-28) cost beside those with: the native command between the same load generator
//! and the same server, which speaks both. Both are measured in each round, one right after the other.

use std::fmt::Write;
use std::time::Duration;

use crate::client::{Direct, Failure, Load, Pipes, Tally};
use crate::competitor::{Competitor, NATIVE};
use crate::messages::Era;
use crate::process;
use crate::report::{machine, value};
use crate::results::{Unit, median, quantile};
use crate::server::Server;
use crate::support::port::Port;
use crate::transport::Transport;

/// Who is measured, in the order of the columns.
const COLUMNS: [(bool, Era); 4] =
    [(false, Era::Sessions), (false, Era::Stateless), (true, Era::Sessions), (true, Era::Stateless)];

const FIGURES: [(&str, Unit); 5] = [
    ("a call alone: median", Unit::Milliseconds),
    ("a call alone: 10th percentile", Unit::Milliseconds),
    ("calls per second, 32 in flight", Unit::PerSecond),
    ("a call among 32: median", Unit::Milliseconds),
    ("processor time of the bridge for 1,000 calls, 32 in flight", Unit::Milliseconds),
];

/// The samples of each figure, one a round, of one column.
type Samples = [Vec<f64>; FIGURES.len()];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    rounds: usize,
    window: Duration,
}

impl Scale {
    /// What the document is made of.
    pub const FULL: Self = Self { rounds: 9, window: Duration::from_millis(1200) };

    /// Whether all works.
    pub const QUICK: Self = Self { rounds: 1, window: Duration::from_millis(300) };
}

enum Client {
    Direct(Direct),
    Bridge(Pipes),
}

impl Client {
    fn start(command: &Competitor, column: (bool, Era), transport: Transport, port: u16) -> Result<Self, Failure> {
        let (is_bridge, era) = column;
        if is_bridge {
            return Ok(Self::Bridge(Pipes::start_in(era, &mut command.command(transport, port))?.0));
        }
        Ok(Self::Direct(Direct::start_in(era, transport, port)?.0))
    }

    fn load(&mut self, load: &Load) -> Result<Tally, Failure> {
        match self {
            Self::Direct(direct) => direct.load(load),
            Self::Bridge(pipes) => pipes.load(load),
        }
    }

    fn measure(&mut self, scale: Scale, samples: &mut Samples) -> Result<(), Failure> {
        let load = |in_flight, calls| Load { in_flight, time: scale.window, calls };
        let ms = |tally: &Tally| tally.latencies.iter().map(|time| time.as_secs_f64() * 1e3).collect::<Vec<_>>();
        let alone = ms(&self.load(&load(1, usize::MAX))?);
        samples[0].extend(quantile(&alone, 0.5));
        samples[1].extend(quantile(&alone, 0.1));
        // Connections are made here, which is not measured.
        self.load(&load(32, 64))?;
        let process = match self {
            Self::Direct(_) => None,
            Self::Bridge(pipes) => Some(pipes.process()),
        };
        let before = process.map(process::cpu);
        let tally = self.load(&load(32, usize::MAX))?;
        let many = ms(&tally);
        samples[2].push(many.len() as f64 / tally.time.as_secs_f64());
        samples[3].extend(quantile(&many, 0.5));
        if let (Some(process), Some(before)) = (process, before) {
            let used = (process::cpu(process) - before).as_secs_f64() * 1e3;
            samples[4].push(used / many.len() as f64 * 1e3);
        }
        Ok(())
    }
}

/// Measures, and gives this part of the document.
pub fn measure(command: &Competitor, scale: Scale) -> Result<String, Failure> {
    assert_eq!(command.name, NATIVE, "it is about the native command");
    let port = Port::reserve();
    let _server = Server::start(&port);
    let mut text = format!("{HEAD}\n{}; {} rounds.\n", machine::describe(), scale.rounds);
    for transport in [Transport::Json, Transport::Events] {
        let mut clients = Vec::new();
        for column in COLUMNS {
            let mut client = Client::start(command, column, transport, port.number())?;
            client.load(&Load { in_flight: 32, time: scale.window, calls: usize::MAX })?;
            clients.push(client);
        }
        let mut samples: [Samples; COLUMNS.len()] = Default::default();
        for round in 0..scale.rounds {
            for turn in 0..COLUMNS.len() {
                // The two of a kind follow each other, each first in turn.
                let column = (turn ^ (round & 1)) + if round & 2 == 0 { 0 } else { 2 };
                let column = column % COLUMNS.len();
                clients[column].measure(scale, &mut samples[column])?;
            }
        }
        table(&mut text, transport, &samples);
    }
    Ok(text)
}

const HEAD: &str = "## With and without sessions

Written by `cargo bench --bench peers -- --eras`: the native command between one load generator and one server that speaks both,
with a client of 2025-06-18, which has a session, and one of 2026-07-28, whose requests pass through. A request of the latter has
181 bytes of `_meta` more and three headers. A value is the median of the rounds; × is the median of the ratios within the rounds
(in brackets the least and the greatest), and *added* what the bridge adds to the direct calls of the same versions.
";

fn table(text: &mut String, transport: Transport, samples: &[Samples; COLUMNS.len()]) {
    let _ = writeln!(text, "\n### {}\n", transport.label());
    text.push_str("| | direct, sessions | direct, 2026-07-28 | bridge, sessions | bridge, 2026-07-28 | × ");
    text.push_str("| added, sessions | added, 2026-07-28 |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for (index, (name, unit)) in FIGURES.into_iter().enumerate() {
        let middle = |column: usize| median(&samples[column][index]);
        let shown = |column: usize| middle(column).map_or_else(String::new, |number| value(number, unit));
        let pairs = samples[2][index].iter().zip(&samples[3][index]);
        let ratios: Vec<f64> = pairs.map(|(sessions, stateless)| stateless / sessions).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ratio = median(&ratios).unwrap_or(f64::NAN);
        let added = |direct: usize, bridge: usize| match (unit, middle(direct), middle(bridge)) {
            (Unit::Milliseconds, Some(direct), Some(bridge)) => value(bridge - direct, unit),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {ratio:.2} ({least:.2} – {greatest:.2}) | {} | {} |",
            shown(0),
            shown(1),
            shown(2),
            shown(3),
            added(0, 2),
            added(1, 3),
        );
    }
}
