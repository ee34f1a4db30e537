//! The copy of the crate with the mutants in it, and the programs that its tests are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::instrument::{at_fault, instrument};
use crate::{Mutant, files};

/// What the mutants ask whether it is their turn.
const ASKED: &str = include_str!("asked.rs.in");

/// Tests that read the sources, and would read the copy's; and those that take minutes.
const LEFT_OUT: [&str; 4] = ["structure", "text", "model", "herd"];

pub struct Built {
    /// The mutants that are in it, with the number that their site is known by.
    pub numbers: BTreeMap<usize, usize>,
    /// The test programs by name.
    pub programs: Vec<(String, PathBuf)>,
}

pub fn build(core: &Path, folder: &Path, mutants: &[Mutant]) -> Built {
    let copy = folder.join("guest/core");
    scaffold(core, folder);
    let mut left_out = BTreeSet::new();
    let numbers = loop {
        let mut numbers = BTreeMap::new();
        let mut places = BTreeMap::new();
        for file in files(&core.join("src")) {
            let name = file.strip_prefix(core).expect("it is below").to_string_lossy().into_owned();
            let here = (0..mutants.len()).filter(|at| mutants[*at].file == name && !left_out.contains(at));
            let here: Vec<(usize, &Mutant)> = here.map(|at| (at, &mutants[at])).collect();
            let made = instrument(&fs::read_to_string(&file).expect("UTF-8"), &here);
            for (site, number) in made.sites {
                numbers.insert(number, site);
            }
            let mut text = made.text;
            if name == "src/lib.rs" {
                // So that what is put in may use the standard library.
                text = text.replace("#![no_std]", "");
                text.push_str("\n#[doc(hidden)]\npub mod mutants;\n");
            }
            write_if_changed(&copy.join(&name), &text);
            places.insert(name, made.places);
        }
        write_if_changed(&copy.join("src/mutants.rs"), ASKED);
        let faults = faults(folder, &places);
        if faults.is_empty() {
            break numbers;
        }
        println!("{} do not compile", faults.len());
        left_out.extend(faults);
    };
    Built { numbers, programs: programs(folder) }
}

/// A workspace with nothing but the crate in it.
fn scaffold(core: &Path, folder: &Path) {
    let root = core.ancestors().nth(2).expect("two folders up");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace's manifest");
    let mut manifest: toml_edit::DocumentMut = manifest.parse().expect("TOML");
    manifest["workspace"]["members"] = toml_edit::value(toml_edit::Array::from_iter(["guest/core"]));
    manifest["workspace"]["default-members"] = manifest["workspace"]["members"].clone();
    manifest["profile"]["dev"]["debug"] = toml_edit::value(false);
    fs::create_dir_all(folder.join("guest/core")).expect("a folder that can be written");
    // (The profiles name packages that are not in the copy.)
    for profile in ["guest", "release", "dist", "bench"] {
        manifest["profile"].as_table_mut().expect("a table").remove(profile);
    }
    write_if_changed(&folder.join("Cargo.toml"), &manifest.to_string());
    fs::copy(root.join("rust-toolchain.toml"), folder.join("rust-toolchain.toml")).expect("it can be copied");
    if !folder.join("Cargo.lock").exists() {
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).expect("it can be copied");
    }
    for part in ["tests", "examples", "fuzz/targets", "fuzz/seeds"] {
        for file in files(&core.join(part)) {
            let to = folder.join("guest/core").join(file.strip_prefix(core).expect("it is below"));
            let bytes = fs::read(&file).expect("it can be read");
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("a folder that can be written");
                fs::write(&to, bytes).expect("a file that can be written");
            }
        }
    }
    for file in ["Cargo.toml", "README.md"] {
        fs::copy(core.join(file), folder.join("guest/core").join(file)).expect("it can be copied");
    }
}

/// What has not changed is not compiled again.
fn write_if_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder that can be written");
        fs::write(path, text).expect("a file that can be written");
    }
}

fn cargo(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new("cargo");
    command.args(arguments).args(["--message-format", "json"]).current_dir(folder);
    command.env("CARGO_TARGET_DIR", folder.join("target")).env("RUSTFLAGS", "--cap-lints allow");
    let output = command.output().expect("cargo");
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The mutants that do not compile.
fn faults(folder: &Path, places: &BTreeMap<String, Vec<(usize, Range<usize>)>>) -> BTreeSet<usize> {
    let mut faults = BTreeSet::new();
    let mut elsewhere = Vec::new();
    for message in cargo(folder, &["check", "-p", "mcp-reconnect-core", "--lib"]) {
        let message = &message["message"];
        if message["level"] != "error" {
            continue;
        }
        let spans = message["spans"].as_array().into_iter().flatten().filter(|span| span["is_primary"] == true);
        for span in spans {
            let name = span["file_name"].as_str().unwrap_or_default();
            let name = name.strip_prefix("guest/core/").unwrap_or(name);
            let byte = |name: &str| span[name].as_u64().unwrap_or_default() as usize;
            let found = places.get(name).map(|places| at_fault(places, &(byte("byte_start")..byte("byte_end"))));
            match found.filter(|found| !found.is_empty()) {
                Some(found) => faults.extend(found),
                None => elsewhere.push(message["rendered"].to_string()),
            }
        }
    }
    assert!(!faults.is_empty() || elsewhere.is_empty(), "no mutant is at fault: {}", elsewhere.join("\n"));
    faults
}

fn programs(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut programs = Vec::new();
    let mut errors = String::new();
    for message in cargo(folder, &["test", "-p", "mcp-reconnect-core", "--no-run", "--lib", "--tests"]) {
        if message["message"]["level"] == "error" {
            errors.push_str(message["message"]["rendered"].as_str().unwrap_or_default());
        }
        let name = message["target"]["name"].as_str().unwrap_or_default();
        if let Some(path) = message["executable"].as_str()
            && !LEFT_OUT.contains(&name)
        {
            programs.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    assert!(errors.is_empty() && !programs.is_empty(), "{errors}");
    programs
}
