//! Random runs of the engine against a model server and a hostile network. A failing seed is told with the command that
//! runs it again; `cargo run -p mcp-reconnect-core --example simulate -- --seeds N` runs more.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use support::plan::Plan;

/// The generations of plans, and how many seeds of each are run.
const RUNS: [(u32, u64); 2] = [(1, 8_000), (2, 4_000)];

/// Runs `check` on every seed, on all cores, and gives the smallest one that fails.
fn all(seeds: u64, check: impl Fn(u64) -> bool + Sync) -> Option<u64> {
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.min(failed.load(Ordering::Relaxed)) {
                        break;
                    }
                    if !check(seed) {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Some(failed.into_inner()).filter(|seed| *seed != u64::MAX)
}

#[test]
fn every_promise_holds_in_every_run() {
    for (generation, seeds) in RUNS {
        let clean = |seed| Plan::of_generation(generation, seed).run(false).violations.is_empty();
        if let Some(seed) = all(seeds, clean) {
            let plan = Plan::of_generation(generation, seed).shrink();
            let outcome = plan.run(true);
            panic!(
                "{}\n{}\n\n{}\n\nrun it again: cargo run -p mcp-reconnect-core --example simulate -- --generation {generation} --seed {seed} --shrink --trace",
                plan.describe(),
                outcome.story,
                outcome.violations.join("\n"),
            );
        }
    }
}

/// Every seed that ever failed, with its generation and what it found.
const FOUND: &str = include_str!("seeds.txt");

#[test]
fn what_was_found_once_stays_mended() {
    let seeds: Vec<(u32, u64, &str)> = FOUND
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut number =
                || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a generation and a seed");
            (number() as u32, number(), words.next().unwrap_or(""))
        })
        .collect();
    let failed = std::sync::Mutex::new(Vec::new());
    all(seeds.len() as u64, |at| {
        let (generation, seed, found) = seeds[at as usize];
        if let Some(first) = Plan::of_generation(generation, seed).run(false).violations.first() {
            failed.lock().unwrap().push(format!("{generation} {seed} ({found}): {first}"));
        }
        true
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    assert!(
        failed.is_empty(),
        "{} of {} fail:\n{}\nrun one again: cargo run -p mcp-reconnect-core --example simulate -- --generation G --seed SEED --shrink --trace",
        failed.len(),
        seeds.len(),
        failed.join("\n")
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let differs = all(500, |seed| {
        let (plan, again) = (Plan::of(seed), Plan::of(seed));
        let (first, second) = (plan.run(false), again.run(true));
        first.fingerprint == second.fingerprint && first.violations == second.violations
    });
    assert_eq!(differs, None, "this seed runs differently the second time");
}

#[test]
fn another_seed_gives_another_run() {
    let prints: std::collections::BTreeSet<_> = (0..50).map(|seed| Plan::of(seed).run(false).fingerprint).collect();
    assert!(prints.len() > 45);
}
