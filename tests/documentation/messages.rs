//! What documents quote of the program is what the program says.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::documents::{document, documents, files, root};
use crate::output;
use crate::support::port::Port;
use crate::support::process::Process;
use crate::support::{COMMAND, PATIENCE};

/// A block of this language quotes messages, one a line. `…` stands for what is different each time.
const QUOTE: &str = "message";

#[test]
fn quoted_messages_are_in_the_code() {
    let said = said();
    let quotes = documents().into_iter().flat_map(|document| {
        let blocks = document.blocks.into_iter().filter(|(language, _)| language == QUOTE);
        let lines: Vec<_> = blocks.flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.into_iter().map(move |line| (document.path.clone(), line))
    });
    let troubleshooting = document("docs/troubleshooting.md");
    let cells = troubleshooting.first_column("message").into_iter();
    let cells = cells.map(|cell| (troubleshooting.path.clone(), cell.replace('`', "")));
    let mut seen = 0;
    for (path, quote) in quotes.chain(cells) {
        for part in quote.split('…').map(|part| part.trim_matches([' ', '.', ':'])).filter(|part| part.len() > 2) {
            assert!(said.contains(part), "{}: no source says '{part}' (of '{quote}')", path.display());
        }
        seen += 1;
    }
    assert!(seen > 20, "{seen} messages are quoted");
}

/// The sources that speak to people and clients, with strings that go over several lines made one.
fn said() -> String {
    let speak = ["guest/core/src", "guest/command/src", "guest/bridge/src", "guest/transport/src", "host/wasmtime/src"];
    let wanted = |path: &std::path::Path| {
        let path = path.strip_prefix(root()).unwrap_or(path);
        path.extension().is_some_and(|extension| extension == "rs") && speak.iter().any(|top| path.starts_with(top))
    };
    let texts = files(&wanted).into_iter().map(|path| {
        let text = fs::read_to_string(root().join(path)).expect("the source can be read");
        let mut joined = String::new();
        for part in text.split("\\\n") {
            let part = if joined.is_empty() { part } else { part.trim_start() };
            joined.push_str(part);
        }
        joined.replace("\\\"", "\"")
    });
    texts.collect()
}

#[test]
fn every_error_code_has_a_section() {
    let errors = files(&|path| path.ends_with("errors.rs") && path.starts_with(root().join("guest/core/src")));
    let source = errors.iter().map(|path| fs::read_to_string(root().join(path)).expect("the file can be read"));
    let source: String = source.collect();
    let codes: BTreeSet<_> = source
        .lines()
        .filter(|line| line.starts_with("pub const "))
        .filter_map(|line| line.split_once(" = ")?.1.strip_suffix(';'))
        .filter(|code| code.starts_with("-310"))
        .collect();
    assert!(codes.len() >= 9, "{codes:?}");
    let page = document("docs/errors.md");
    let sections = page.text.lines().filter_map(|line| line.strip_prefix("### `")?.split('`').next());
    assert_eq!(sections.collect::<BTreeSet<_>>(), codes, "docs/errors.md has a section for each");
    let overview = page.first_column("code");
    let overview: BTreeSet<_> = overview.iter().filter_map(|cell| cell.split('`').nth(1)).collect();
    assert_eq!(overview, codes, "the table of docs/errors.md has them all");
}

#[test]
fn every_hook_event_is_in_the_table() {
    let mut process = Process::run(COMMAND, &["--on-event", "x", "--event", "pigeon", "http://127.0.0.1:9/"]);
    process.wait(PATIENCE).expect("it ends");
    let refusal = process.stderr.text();
    let (_, rest) = refusal.split_once("[possible values: ").expect("the refusal names the events");
    let names: BTreeSet<_> = rest.split(']').next().unwrap_or_default().split(", ").collect();
    assert!(names.len() >= 8, "{names:?}");
    let table = document("docs/hooks.md").first_column("`hook_event_name`");
    assert_eq!(table.iter().map(|cell| cell.trim_matches('`')).collect::<BTreeSet<_>>(), names);
}

#[test]
fn every_key_of_a_check_is_in_the_table() {
    // Nothing listens there, so that the report is short, and has all its keys.
    let port = Port::reserve();
    let mut process = Process::run(COMMAND, &["check", "--json", &format!("http://127.0.0.1:{}/mcp", port.number())]);
    process.wait(PATIENCE).expect("it ends");
    let report: Value = serde_json::from_str(&process.stdout.text()).expect("it is JSON");
    let keys: BTreeSet<_> = report.as_object().expect("it is an object").keys().map(String::as_str).collect();
    let table = document("docs/check.md").first_column("key");
    let told: Vec<_> = table.iter().flat_map(|cell| cell.split(", ")).map(|key| key.trim_matches('`')).collect();
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), keys);
}

#[test]
fn the_help_and_the_page_have_the_same_exit_codes() {
    let page = document("docs/cli.md");
    let told: BTreeSet<_> = page.first_column("exit code").into_iter().collect();
    let help = output(&["-h"]);
    let line = help.lines().find(|line| line.starts_with("Exit codes:")).expect("the help has them");
    let words = line.split([' ', ',', ':']);
    let codes: BTreeSet<_> = words.filter(|word| word.parse::<u8>().is_ok()).map(str::to_owned).collect();
    assert!(codes.is_subset(&told) && codes.len() == 3, "{codes:?} {told:?}");
}
