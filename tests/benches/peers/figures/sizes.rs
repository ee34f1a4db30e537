//! Large results: the time that they take, and the memory.

use std::time::Duration;

use super::{Bench, Client, ms};
use crate::client::Failure;
use crate::messages::Tool;
use crate::process;
use crate::results::{Measure, median};
use crate::transport::Transport;

/// The bytes of a megabyte here.
const MEGABYTE: usize = 1_000_000;

/// The larger of the two results.
pub const FIFTY_MEGABYTES: usize = 50 * MEGABYTE;

/// A result: its size, how often it is asked for in each round, its time and its peak.
type Size = (usize, usize, Measure, Measure);

const SIZES: [Size; 2] =
    [(MEGABYTE, 5, Measure::Megabyte, Measure::MegabytePeak), (FIFTY_MEGABYTES, 1, Measure::Fifty, Measure::FiftyPeak)];

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(bench: &mut Bench) {
    for transport in [Transport::Json, Transport::Sse] {
        for size in SIZES {
            // The server makes its texts once; the first direct call waits for it.
            for index in bench.turns(0) {
                if bench.competitors[index].is_direct() {
                    let _ = bench.start(index, transport).and_then(|(mut client, _)| times(&mut client, size));
                }
            }
            for index in bench.rounds() {
                one(bench, index, transport, size);
            }
        }
    }
}

fn one(bench: &mut Bench, index: usize, transport: Transport, size: Size) {
    let (_, _, time, peak) = size;
    let name = bench.competitors[index].name;
    if bench.results.get(time, transport, name).is_some_and(|cell| cell.failure.is_some()) {
        return;
    }
    // A process of its own each time: its peak is that of this result.
    let sample = bench.start(index, transport).and_then(|(mut client, _)| {
        let times = times(&mut client, size)?;
        Ok((times, client.process().map(process::peak)))
    });
    match sample {
        Ok((sample, most)) => {
            bench.results.add(time, transport, name, sample);
            if let Some(most) = most {
                bench.results.add(peak, transport, name, most / 1e6);
            }
        }
        Err(why) => {
            bench.results.fail(time, transport, name, why.clone());
            bench.results.fail(peak, transport, name, why);
        }
    }
}

/// The median time of this size. A small call goes before: connections are there.
fn times(client: &mut Client, (bytes, count, ..): Size) -> Result<f64, Failure> {
    client.call(Tool::Echo, PATIENCE)?;
    let times: Result<Vec<f64>, Failure> =
        (0..count).map(|_| client.call(Tool::Big(bytes), PATIENCE).map(ms)).collect();
    Ok(median(&times?).expect("one at least"))
}
