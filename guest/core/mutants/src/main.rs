//! Mutation tests of `guest/core`. cargo-mutants names the mutants and builds once for each, which takes a day; this
//! compiles all of them into one build, each behind a comparison with a number from the environment.
//!
//! `mcp-reconnect-core-mutants FOLDER [PREFIX …]` makes a copy of the crate in the folder, compiles it, finds out which
//! test reaches which mutant, and runs every mutant with the tests that reach it, the quickest first. What became of
//! each is kept in `FOLDER/outcomes`; a second run tries only what was not caught. With prefixes, only the mutants in
//! files that begin with one of them (`src/wire`), in this order.

mod build;
mod instrument;
mod run;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// A mutant as cargo-mutants lists it.
pub struct Mutant {
    /// Below the crate.
    pub file: String,
    /// What is replaced, from 1: lines and columns of its first character and of the one after its last.
    pub from: (usize, usize),
    pub to: (usize, usize),
    pub genre: String,
    pub replacement: String,
    /// For people, and to recognise it in the next run.
    pub name: String,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (folder, prefixes) = arguments.split_first().expect("usage: mcp-reconnect-core-mutants FOLDER [PREFIX …]");
    fs::create_dir_all(folder).expect("a folder that can be written");
    let folder = &fs::canonicalize(folder).expect("a folder");
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is below the crate").to_path_buf();
    let mutants = list(&core);
    let numbers =
        (0..mutants.len()).filter(|number| prefixes.is_empty() || place(&mutants[*number], prefixes).is_some());
    let mut numbers: Vec<usize> = numbers.collect();
    // In no order of their own, so that what a run has done when it is stopped is a sample.
    numbers.sort_by_key(|number| (place(&mutants[*number], prefixes), (*number as u32).wrapping_mul(0x9E37_79B1)));
    let built = build::build(&core, folder, &mutants);
    let without = mutants.len() - built.numbers.len();
    println!("{} mutants, {without} of them not in this form", mutants.len());
    numbers.retain(|number| built.numbers.contains_key(number));
    run::run(folder, &mutants, &built, &numbers);
}

fn place(mutant: &Mutant, prefixes: &[String]) -> Option<usize> {
    prefixes.iter().position(|prefix| mutant.file.starts_with(prefix))
}

/// Asks cargo-mutants for all mutants.
fn list(core: &Path) -> Vec<Mutant> {
    let arguments = ["mutants", "--list", "--json", "-p", "mcp-reconnect-core"];
    let listed = Command::new("cargo").args(arguments).current_dir(core).output().expect("cargo-mutants is installed");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("cargo-mutants writes JSON");
    let position = |at: &Value| (at["line"].as_u64().unwrap() as usize, at["column"].as_u64().unwrap() as usize);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut mutants = Vec::new();
    for mutant in listed {
        let file = text(&mutant["file"]);
        let file = file.strip_prefix("guest/core/").unwrap_or(&file).to_owned();
        let (from, to) = (position(&mutant["span"]["start"]), position(&mutant["span"]["end"]));
        let (genre, replacement) = (text(&mutant["genre"]), text(&mutant["replacement"]));
        let name = text(&mutant["name"]);
        mutants.push(Mutant { file, from, to, genre, replacement, name });
    }
    mutants
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder that can be read").flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}
