//! exec → `initialize` answered.

use std::fs;

use rustix::fs::sync;

use super::{Bench, ms};
use crate::results::Measure;
use crate::transport::Transport;

/// What the kernel takes as the wish to drop the file cache; only root may write it.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

pub fn measure(bench: &mut Bench) {
    for transport in [Transport::Json, Transport::Sse] {
        for round in 0..bench.scale.starts {
            for index in bench.turns(round) {
                one(bench, index, transport, Measure::Start);
            }
        }
    }
    for round in 0..bench.scale.cold_starts {
        for index in bench.turns(round) {
            sync();
            if fs::write(DROP_CACHES, "3").is_err() {
                eprintln!("    the file cache cannot be dropped (root may): no cold starts");
                return;
            }
            one(bench, index, Transport::Json, Measure::ColdStart);
        }
    }
}

fn one(bench: &mut Bench, index: usize, transport: Transport, measure: Measure) {
    let competitor = &bench.competitors[index];
    if competitor.is_direct() {
        return;
    }
    match bench.start(index, transport) {
        Ok((_, time)) => bench.results.add(measure, transport, competitor.name, ms(time)),
        Err(why) => bench.results.fail(measure, transport, competitor.name, why),
    }
}
