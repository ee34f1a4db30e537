//! The README is short, its figures are measured, its recording shows what the demo does today. What documents name of the
//! repository is there, and they use the words of the field.

use std::collections::BTreeSet;
use std::fs;

use crate::documents::{document, documents, root};
use crate::output;

#[test]
fn the_readme_is_short() {
    let lines = document("README.md").text.lines().count();
    assert!(lines <= 180, "{lines} lines: what is more belongs into docs/");
}

/// Every figure of the comparison is one of `docs/benchmarks.md`, and every version too.
#[test]
fn the_figures_of_the_comparison_are_measured() {
    let readme = document("README.md").text;
    let measured = document("docs/benchmarks.md").text;
    let (_, section) = readme.split_once("## How it compares").expect("the README compares");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = section.lines().filter(|line| line.starts_with("| "));
    let head = rows.next().expect("there is a table");
    let mut seen = 0;
    for (row, line) in std::iter::once(head).chain(rows).enumerate() {
        for cell in line.trim_matches('|').split(" | ").map(str::trim).skip(1).filter(|cell| !cell.is_empty()) {
            // In the head, the last word is a version or one of our own builds.
            let figure = if row == 0 { cell.rsplit(' ').next().unwrap_or_default() } else { cell };
            assert!(measured.contains(figure), "'{figure}' is not in docs/benchmarks.md: {line}");
            seen += 1;
        }
        if let Some((_, direct)) = line.split_once("(direct: ") {
            let direct = direct.split(')').next().unwrap_or_default();
            assert!(measured.contains(direct), "'{direct}' is not in docs/benchmarks.md: {line}");
        }
    }
    assert!(seen > 40, "{seen} figures");
    let (_, date) = section.split_once("Measured on ").expect("the README says when");
    assert!(measured.contains(&date[.."2026-11-25".len()]), "the run is another one");
}

/// The demo's judgement is the same text each time, but for its numbers.
#[test]
fn the_recording_shows_the_demo() {
    let picture = fs::read_to_string(root().join("docs/demo.svg")).expect("the picture is there");
    let texts = picture.split("</text>").filter_map(|part| part.rsplit('>').next());
    let shown: BTreeSet<_> = texts.map(|text| without_numbers(&text.replace("&amp;", "&"))).collect();
    let told = output(&["demo"]);
    let kept = told.lines().filter_map(|line| line.trim().strip_prefix("ok ")).map(str::trim);
    let kept: Vec<_> = kept.collect();
    assert!(kept.len() >= 8, "{told}");
    for line in kept {
        assert!(
            shown.contains(&without_numbers(line)),
            "docs/demo.svg does not show '{line}'; record it: just docs-demo"
        );
    }
}

/// The text with each number, and the unit after it, as one mark.
fn without_numbers(text: &str) -> String {
    let words = text.split(' ').filter(|word| !["ms", "s"].contains(word));
    let words = words.map(|word| if word.starts_with(|c: char| c.is_ascii_digit()) { "0" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// A code span that looks like a path of the repository is one.
#[test]
fn documents_name_files_that_exist() {
    let tops = ["docs/", "guest/", "host/", "tests/", "wit/", ".github/", ".ci/"];
    let mut seen = 0;
    for document in documents() {
        for span in document.spans.iter().filter(|span| tops.iter().any(|top| span.starts_with(top))) {
            let is_path = span.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
            // A folder's own documents may mean its own files.
            let here = document.path.parent().is_some_and(|folder| root().join(folder).join(span).exists());
            if is_path {
                assert!(here || root().join(span).exists(), "{}: `{span}` is not there", document.path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen} paths are named");
}

/// A recipe of the justfile, or a test target, that a document names exists.
#[test]
fn documents_name_commands_that_exist() {
    let recipes = fs::read_to_string(root().join("justfile")).expect("the justfile is there");
    let manifest = fs::read_to_string(root().join("host/wasmtime/Cargo.toml")).expect("the manifest is there");
    let is_recipe = |name: &str| {
        recipes.lines().any(|line| {
            line.split([' ', ':']).next() == Some(name) && line.contains(':') && !line.starts_with([' ', '#'])
        })
    };
    let is_target = |name: &str| {
        let core = root().join("guest/core/tests");
        let core = core.join(name).join("main.rs").exists() || core.join(format!("{name}.rs")).exists();
        core || manifest.contains(&format!("name = \"{name}\"\n"))
    };
    for document in documents() {
        let lines = document.blocks.iter().flat_map(|(_, text)| text.lines());
        for command in document.spans.iter().map(String::as_str).chain(lines) {
            let words: Vec<_> = command.split_whitespace().collect();
            let path = document.path.display();
            if let ["just", name, ..] = words[..] {
                assert!(is_recipe(name), "{path}: the justfile has no '{name}'");
            }
            for pair in words.windows(2).filter(|pair| pair[0] == "--test" && words[0] == "cargo") {
                assert!(pair[1] == "NAME" || is_target(pair[1]), "{path}: there is no test '{}'", pair[1]);
            }
        }
    }
    // The tables of the verification name targets alone.
    for row in document("docs/verification.md").text.lines().filter(|line| line.starts_with("| ")) {
        let last = row.trim_end_matches(" |").rsplit("| ").next().unwrap_or_default();
        for name in last.split(", ").filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`')) {
            assert!(name == "NAME" || name.contains(' ') || is_target(name), "docs/verification.md: '{name}'");
        }
    }
}

/// Keep a Changelog: versions, newest first, with a date, and the known kinds of change.
#[test]
fn the_changelog_has_its_form() {
    let text = document("CHANGELOG.md").text;
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    let mut versions = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let (name, date) = heading.split_once(" - ").unwrap_or((heading, ""));
            let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            let name = name.unwrap_or_else(|| panic!("{line}: a version stands in brackets"));
            assert!(text.contains(&format!("\n[{name}]: https://")), "{line}: its link is missing");
            if name != "Unreleased" {
                assert!(date.len() == 10 && date.split('-').count() == 3, "{line}: a date is missing");
                versions.push(semver::Version::parse(name).unwrap_or_else(|error| panic!("{line}: {error}")));
            }
        }
        if let Some(kind) = line.strip_prefix("### ") {
            assert!(kinds.contains(&kind), "{line}: there are {kinds:?}");
        }
    }
    assert!(versions.is_sorted_by(|a, b| a > b), "the newest is first: {versions:?}");
}

/// Words of this project's own, and those of the field that say the same.
const PRIVATE_WORDS: [(&str, &str); 9] = [
    ("the program", "the client, or the application"),
    ("wants other credentials", "requires authentication"),
    ("how grave", "severity"),
    ("stands twice", "is a duplicate"),
    ("for good reason", "the reason itself"),
    ("goodbye", "the end of the session, DELETE"),
    ("sign of life", "silence, or a message"),
    ("lives through", "survives"),
    ("for ever", "without an end"),
];

/// Documents are written in the words of the field. What is made from code, and what quotes it, is changed there.
#[test]
fn documents_have_no_private_vocabulary() {
    for document in documents() {
        let made =
            ["docs/wit.md", "docs/cli.md", "docs/benchmarks.md"].iter().any(|made| document.path.ends_with(made));
        let ours = document.path.starts_with("docs") || document.path.components().count() == 1;
        if ours && !made {
            let prose = document.prose.to_lowercase();
            for (private, better) in PRIVATE_WORDS {
                assert!(!prose.contains(private), "{}: '{private}'; write {better}", document.path.display());
            }
        }
    }
}
