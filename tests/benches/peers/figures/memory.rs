//! Resident memory: idle, and after many calls.

use std::time::{Duration, Instant};

use super::{Bench, Client};
use crate::client::{Failure, Load};
use crate::process;
use crate::results::Measure;
use crate::transport::Transport;

/// A part of the calls, after which the memory is looked at too: it is to stay flat.
const PART: usize = 10;

pub fn measure(bench: &mut Bench) {
    for transport in [Transport::Json, Transport::Sse] {
        for index in bench.turns(0) {
            if !bench.competitors[index].is_direct() {
                one(bench, index, transport);
            }
        }
    }
}

fn one(bench: &mut Bench, index: usize, transport: Transport) {
    let competitor = &bench.competitors[index];
    let (name, scale) = (competitor.name, bench.scale);
    let time = if competitor.ours { scale.our_calls_time } else { scale.peers_calls_time };
    let mut client = match bench.start(index, transport) {
        Ok((client, _)) => client,
        Err(why) => return bench.results.fail(Measure::AfterAll, transport, name, why),
    };
    let process = client.process().expect("a bridge");
    settle(process);
    bench.results.add(Measure::Idle, transport, name, process::resident(process) / 1e6);
    let began = Instant::now();
    let parts = [(Measure::After10k, scale.calls / PART), (Measure::AfterAll, scale.calls - scale.calls / PART)];
    let mut made = 0;
    for (measure, calls) in parts {
        match calls_for(&mut client, calls, time.saturating_sub(began.elapsed())) {
            Ok(count) => {
                made += count;
                bench.results.add(measure, transport, name, process::resident(process) / 1e6);
                if count < calls {
                    bench.results.note(measure, transport, name, format!("after {made} calls in {} s", time.as_secs()));
                }
            }
            Err(why) => return bench.results.fail(measure, transport, name, why),
        }
    }
}

fn calls_for(client: &mut Client, calls: usize, time: Duration) -> Result<usize, Failure> {
    client.load(&Load { in_flight: 32, time, calls }).map(|tally| tally.latencies.len())
}

/// Waits until the process does nothing more of its start, for three seconds at most.
fn settle(process: u32) {
    let began = Instant::now();
    let mut before = process::cpu(process);
    while began.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(200));
        let now = process::cpu(process);
        if now == before {
            return;
        }
        before = now;
    }
}
