//! The seeds of the fuzz targets, replayed on a stable compiler, and each of them changed a little in many ways.

#[path = "../fuzz/targets/diagnosis.rs"]
mod diagnosis;
#[path = "../fuzz/targets/engine.rs"]
mod engine;
#[path = "../fuzz/targets/envelope.rs"]
mod envelope;
#[allow(dead_code)]
#[path = "support/random.rs"]
mod random;
#[path = "../fuzz/targets/scan.rs"]
mod scan;
#[path = "../fuzz/targets/sse.rs"]
mod sse;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use random::Random;

/// How many changed copies of each seed are run; `FUZZ_COPIES` in the environment says otherwise.
const CHANGED: u64 = 100;

/// Runs every seed of a target, and changed copies of it. What fails is named with its bytes.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("the target has seeds").map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{target} has {} seeds", files.len());
    let copies = std::env::var("FUZZ_COPIES").ok().and_then(|copies| copies.parse().ok()).unwrap_or(CHANGED);
    for file in files {
        let seed = fs::read(&file).unwrap();
        let mut random = Random::new(seed.len() as u64);
        for copy in 0..=copies {
            let input = if copy == 0 { seed.clone() } else { changed(&seed, &mut random) };
            if catch_unwind(AssertUnwindSafe(|| run(&input))).is_err() {
                panic!("{target} fails with {} (copy {copy}): {input:?}", file.display());
            }
        }
    }
}

/// A seed with a few bytes replaced, removed, doubled or put elsewhere.
fn changed(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..random.within(1, 6) {
        let length = input.len() as u64;
        let at = random.within(0, length) as usize;
        match random.within(0, 4) {
            0 => input.insert(at, random.next() as u8),
            _ if length == 0 => {}
            1 => input[at.min(length as usize - 1)] = random.next() as u8,
            2 => drop(input.remove(at.min(length as usize - 1))),
            3 => input[at.min(length as usize - 1)] ^= 1 << random.within(0, 7),
            _ => {
                let from = random.within(0, length - 1) as usize;
                let piece = input[from..(from + 16).min(length as usize)].to_vec();
                input.splice(at..at, piece);
            }
        }
    }
    input
}

#[test]
fn engine_seeds() {
    replay("engine", engine::run);
}

#[test]
fn envelope_seeds() {
    replay("envelope", |input| envelope::run(&String::from_utf8_lossy(input)));
}

#[test]
fn scanner_seeds() {
    replay("scan", scan::run);
}

#[test]
fn sse_seeds() {
    replay("sse", sse::run);
}

#[test]
fn diagnosis_seeds() {
    replay("diagnosis", diagnosis::run);
}
