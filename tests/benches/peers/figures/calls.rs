//! Calls, alone and many at a time: how long they take, how many there are in a second, what they cost.

use super::{Bench, Client, ms};
use crate::client::{Failure, Load};
use crate::process;
use crate::results::{Measure, quantile};
use crate::transport::Transport;

/// A load and its figures: the median, the 99th percentile and, except alone, the rate.
type Row = (usize, Measure, Measure, Option<Measure>);

const ROWS: [Row; 3] = [
    (1, Measure::Alone, Measure::AloneP99, None),
    (32, Measure::At32, Measure::At32P99, Some(Measure::Rate32)),
    (256, Measure::At256, Measure::At256P99, Some(Measure::Rate256)),
];

pub fn measure(bench: &mut Bench) {
    for transport in Transport::ALL {
        let mut clients = bench.start_all(transport);
        for client in clients.iter_mut().flatten() {
            // Whatever compiles while it runs has done so. A failure shows up again below.
            let _ = client.load(&Load { in_flight: 32, time: bench.scale.window, calls: usize::MAX });
        }
        for row in ROWS {
            for index in bench.rounds() {
                one(bench, &mut clients[index], index, transport, row);
            }
        }
    }
}

fn one(bench: &mut Bench, client: &mut Result<Client, Failure>, index: usize, transport: Transport, row: Row) {
    let name = bench.competitors[index].name;
    let (in_flight, middle, late, rate) = row;
    let load = Load { in_flight, time: bench.scale.window, calls: usize::MAX };
    // As many as will be under way, not measured: connections are made here, and nothing of the last load is left.
    let ready = Load { in_flight, time: bench.scale.window, calls: 2 * in_flight };
    if let Ok(client) = client {
        let _ = client.load(&ready);
    }
    let process = client.as_ref().ok().and_then(Client::process);
    let before = process.map(process::cpu);
    let tally = match client {
        Ok(client) => client.load(&load),
        Err(why) => Err(why.clone()),
    };
    let results = &mut bench.results;
    match tally {
        Ok(tally) => {
            let latencies: Vec<f64> = tally.latencies.iter().copied().map(ms).collect();
            let calls = latencies.len() as f64;
            results.add(middle, transport, name, quantile(&latencies, 0.5).unwrap_or(f64::NAN));
            results.add(late, transport, name, quantile(&latencies, 0.99).unwrap_or(f64::NAN));
            if in_flight == 1 {
                results.add(Measure::AloneP10, transport, name, quantile(&latencies, 0.1).unwrap_or(f64::NAN));
            }
            if let Some(rate) = rate {
                results.add(rate, transport, name, calls / tally.time.as_secs_f64());
            }
            if let (32, Some(process), Some(before)) = (in_flight, process, before) {
                results.add(Measure::Cpu, transport, name, ms(process::cpu(process) - before) / calls * 1e3);
            }
        }
        Err(why) => {
            results.fail(middle, transport, name, why.clone());
            results.fail(late, transport, name, why.clone());
            if let Some(rate) = rate {
                results.fail(rate, transport, name, why.clone());
            }
            // Answers to its calls may still come: the next load needs another one.
            *client = bench.start(index, transport).map(|(client, _)| client);
        }
    }
}
