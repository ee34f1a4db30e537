//! Random runs of the engine against a model server and a hostile network, under a virtual clock.
//!
//! `simulate --seeds 100000` runs so many seeds on all cores and stops at the first that fails, whose story it prints, made
//! shorter. `simulate --seed 7 --trace` tells the story of one, up to the first
//! violation (`--whole`: to its end). `simulate --seeds 500 --fingerprint` also gives a number for all that the engine did in them:
//! a change that is to change nothing leaves it as it is. `simulate --herd docs/herd.svg` plots how ten thousand
//! engines come back to one server.

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use support::SECOND;
use support::herd::{Herd, svg};
use support::plan::{Outcome, Plan};

const USAGE: &str = "usage: simulate [--seeds COUNT] [--from SEED] [--keep-going] [--fingerprint] [--generation 1]
       simulate --seed SEED [--trace] [--shrink] [--whole] [--generation 1]
       simulate --herd FILE.svg";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut generation, mut count, mut from, mut seed) = (2, 20_000, 0, None);
    let (mut trace, mut shrink, mut keep_going, mut whole, mut fingerprint) = (false, false, false, false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--trace" => trace = true,
            "--shrink" => shrink = true,
            "--keep-going" => keep_going = true,
            "--fingerprint" => fingerprint = true,
            "--whole" => whole = true,
            "--herd" => match arguments.next() {
                Some(file) => return herd(&file),
                None => return usage(),
            },
            "--seed" => match arguments.next().and_then(|text| text.parse().ok()) {
                Some(number) => seed = Some(number),
                None => return usage(),
            },
            "--generation" => match arguments.next().and_then(|text| text.parse().ok()) {
                Some(number) => generation = number,
                None => return usage(),
            },
            "--seeds" => match arguments.next().and_then(|text| text.parse().ok()) {
                Some(number) => count = number,
                None => return usage(),
            },
            "--from" => match arguments.next().and_then(|text| text.parse().ok()) {
                Some(number) => from = number,
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    match seed {
        Some(seed) => one(generation, seed, trace, shrink, whole),
        None => many(generation, from, count, keep_going, fingerprint),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn one(generation: u32, seed: u64, trace: bool, shrink: bool, whole: bool) -> ExitCode {
    let mut plan = Plan::of_generation(generation, seed);
    if shrink {
        plan = plan.shrink();
    }
    let outcome = plan.run(true);
    println!("{}", plan.describe());
    if trace {
        // What follows on the first violation is seldom of interest.
        let end =
            outcome.story.find("!!!").filter(|_| !whole).map(|at| at + outcome.story[at..].find('\n').unwrap_or(0));
        println!("{}", &outcome.story[..end.unwrap_or(outcome.story.len())]);
    }
    judge(&outcome)
}

fn herd(file: &str) -> ExitCode {
    const ENGINES: usize = 10_000;
    let away = 5 * SECOND;
    let (engine, doubling) = (Herd::run(ENGINES, away), Herd::doubling(ENGINES, away));
    for herd in [&engine, &doubling] {
        println!("{:.1} % at most in 100 ms, all back after {:.1} s", herd.peak() * 100.0, herd.last().as_secs_f64());
    }
    match std::fs::write(file, svg(&engine, &doubling)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{file} could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn judge(outcome: &Outcome) -> ExitCode {
    for violation in &outcome.violations {
        println!("!!! {violation}");
    }
    if outcome.violations.is_empty() {
        println!("nothing is wrong");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn many(generation: u32, from: u64, count: u64, keep_going: bool, fingerprint: bool) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let totals: [AtomicU64; 6] = Default::default();
    let failed = std::sync::Mutex::new(Vec::new());
    // Runs end in any order, so that the sum of them counts.
    let prints = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    let outcome = Plan::of_generation(generation, seed).run(false);
                    prints.fetch_add(outcome.fingerprint.rotate_left(seed as u32 % 64), Ordering::Relaxed);
                    for (total, add) in totals.iter().zip([
                        1,
                        outcome.asked as u64,
                        outcome.results as u64,
                        outcome.unknown as u64,
                        outcome.sessions,
                        outcome.replays,
                    ]) {
                        total.fetch_add(add, Ordering::Relaxed);
                    }
                    if let Some(first) = outcome.violations.first() {
                        failed.lock().unwrap().push((seed, first.clone()));
                        stop.store(!keep_going, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let [runs, asked, results, unknown, sessions, replays] = totals.map(|total| total.load(Ordering::Relaxed));
    println!(
        "{runs} runs in {:.1} s: {asked} requests, {results} results, {unknown} of unknown outcome, {sessions} sessions, \
         {replays} replays",
        began.elapsed().as_secs_f64()
    );
    if fingerprint {
        println!("fingerprint {:016x}", prints.into_inner());
    }
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    for (seed, what) in &failed {
        println!("seed {seed}: {what}");
    }
    match failed.first() {
        Some((seed, _)) if !keep_going => one(generation, *seed, true, true, false),
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}
