//! What the engine costs by itself: `cargo bench --bench core`. Prints a report and stores it in `docs/benchmarks.md`.
//!
//! `cargo bench --bench core -- sse` measures one section (`sandbox`, `sse`, `instructions`, `library`, `idle`) and stores
//! nothing.

#[path = "../../../host/wasmtime/src/engine_config.rs"]
mod engine_config;
mod idle;
#[path = "../../support/install.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod install;
mod instructions;
mod library;
mod native;
mod node;
#[path = "../../support/npm_package.rs"]
mod npm_package;
mod report;
mod sandbox;
mod script;
mod server;
mod sse;
mod stats;
mod wasm;

use std::path::PathBuf;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        // Children of this program.
        Some(("calls", rest)) => instructions::child(rest),
        Some(("library", rest)) if !rest.is_empty() => library::child(rest),
        Some(("serve", _)) => server::child(),
        Some((section, [])) => println!("{}", measure(section)),
        Some(_) => panic!("at most one section"),
        None => {
            let sections = ["sandbox", "sse", "instructions", "library", "idle"].map(measure);
            report::publish(&sections);
        }
    }
}

fn measure(section: &str) -> String {
    match section {
        "sandbox" => sandbox::measure(),
        "sse" => sse::measure(&mut node::Node::start()),
        "instructions" => instructions::measure(),
        "library" => library::measure(),
        "idle" => idle::measure(),
        _ => panic!("there is no section {section}"),
    }
}

/// The folder `tests/` of the repository.
fn tests_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("tests/ is in the repository")
}
