//! `docs/cli.md`: the tables of options are made from what the command says of itself.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::documents::{document, documents, root};
use crate::{COMMANDS, output};

/// The command that writes the tables.
const COMMAND: &str = "just docs-cli";
const PAGE: &str = "docs/cli.md";
const BEGIN: &str = "<!-- options:begin -->\n";
const END: &str = "<!-- options:end -->\n";

#[test]
fn the_tables_of_options_are_up_to_date() {
    let page = document(PAGE).text;
    let (before, rest) = page.split_once(BEGIN).expect("the page has the marker of the beginning");
    let (_, after) = rest.split_once(END).expect("the page has the marker of the end");
    let made = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("CLI_DOCS").is_some_and(|what| what == "write") {
        fs::write(root().join(PAGE), &made).expect("the page can be written");
    } else {
        assert!(page == made, "{PAGE} is not what the command says; make it anew: {COMMAND}");
    }
}

#[test]
fn every_option_is_in_the_tables() {
    let tables = tables();
    let names = option_names();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let ends = ["`", " <"].map(|end| format!("{name}{end}"));
        assert!(ends.iter().any(|end| tables.contains(end)), "{name} is missing");
    }
}

/// An option that a document names exists. What begins with another command's name is that command's.
#[test]
fn documents_name_options_that_exist() {
    let known = option_names();
    let mut seen = 0;
    // The benchmarks name options of the compilers and profilers.
    let ours =
        |path: &Path| path.components().count() == 1 || path.starts_with("docs") && !path.ends_with("benchmarks.md");
    for document in documents().iter().filter(|document| ours(&document.path)) {
        for span in document.spans.iter().filter(|span| span.starts_with("--")) {
            let end = span.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(span.len());
            assert!(known.contains(&span[..end]), "{}: `{span}` is no option", document.path.display());
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen} options are named");
}

/// A default that a document names is the option's: as "`--hold-timeout` (3 minutes)", and in the table of waits.
#[test]
fn documents_name_the_defaults() {
    let defaults = options(&output(&["--help"]));
    let default = |name: &str| {
        let option = defaults.iter().find(|option| option.long.as_deref() == Some(name));
        option.and_then(|option| option.default.clone()).unwrap_or_else(|| panic!("{name} has no default"))
    };
    let mut seen = 0;
    for document in documents() {
        for part in document.text.split("`--").skip(1) {
            let Some((name, rest)) = part.split_once("` (") else { continue };
            if !name.contains('`') && rest.starts_with(|c: char| c.is_ascii_digit()) {
                let told = durations(rest.split(')').next().unwrap_or_default());
                assert_eq!(told, [default(&format!("--{name}"))], "{}: --{name}", document.path.display());
                seen += 1;
            }
        }
    }
    let page = document("docs/architecture.md").text;
    let (_, waits) = page.split_once("| wait | ends after | option |").expect("there is a table of waits");
    for row in waits.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let names = cells[2].split('`').filter(|part| part.starts_with("--"));
        for (name, told) in names.zip(durations(cells[1])) {
            assert_eq!(told, default(name), "docs/architecture.md: {row}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} defaults are named");
}

/// The durations in a text, as the help writes them: `3 minutes` is `3m`.
fn durations(text: &str) -> Vec<String> {
    let words: Vec<_> = text.split([' ', ',', ';', '+']).filter(|word| !word.is_empty()).collect();
    let number = |pair: &&[&str]| pair[0].parse::<f64>().is_ok();
    words.windows(2).filter(number).map(|pair| format!("{}{}", pair[0], &pair[1][..1])).collect()
}

/// The long names of all options of all commands, with their dashes.
fn option_names() -> BTreeSet<String> {
    let help = COMMANDS.iter().map(|command| output(&[command, "--help"])).chain([output(&["--help"])]);
    let options: Vec<_> = help.flat_map(|help| options(&help)).collect();
    options.into_iter().filter_map(|option| option.long).collect()
}

fn tables() -> String {
    let mut page = String::new();
    let bridge = options(&output(&["--help"]));
    table(&mut page, "mcp-reconnect URL", &bridge);
    for command in COMMANDS {
        let of_the_bridge = |option: &&Opt| bridge.iter().any(|other| other.names == option.names && other == *option);
        let all = options(&output(&[command, "--help"]));
        let shared = all.iter().filter(|option| of_the_bridge(option) && option.section != "Options").count();
        let help = |option: &Opt| option.long.as_deref() == Some("--help");
        let own: Vec<_> = all.iter().filter(|option| !of_the_bridge(option) && !help(option)).cloned().collect();
        if !own.is_empty() {
            table(&mut page, &format!("mcp-reconnect {command}"), &own);
        }
        if shared > 0 {
            let _ = writeln!(page, "And the {shared} options under *Connection* and *TLS and proxies* above.\n");
        }
    }
    page
}

fn table(page: &mut String, title: &str, options: &[Opt]) {
    let _ = writeln!(page, "### `{title}`\n");
    for section in options.chunk_by(|a, b| a.section == b.section) {
        let name = if section[0].section == "Options" { "" } else { &section[0].section };
        if !name.is_empty() {
            let _ = writeln!(page, "*{name}*\n");
        }
        let _ = writeln!(page, "| option | default | meaning |\n|---|---|---|");
        for Opt { names, default, meaning, .. } in section {
            let default = default.as_ref().map_or_else(String::new, |default| format!("`{default}`"));
            let _ = writeln!(page, "| `{names}` | {default} | {} |", meaning.replace('|', "\\|"));
        }
        page.push('\n');
    }
}

/// An option as the help shows it.
#[derive(Clone, Debug, PartialEq)]
struct Opt {
    section: String,
    names: String,
    long: Option<String>,
    default: Option<String>,
    meaning: String,
}

/// Reads the long help: sections that end in a colon, options with six spaces or less before them, their text with ten.
fn options(help: &str) -> Vec<Opt> {
    let mut section = String::new();
    let mut found: Vec<Opt> = Vec::new();
    for line in help.lines() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if text.is_empty() {
            // Between paragraphs and options.
        } else if indent == 0 {
            // Other sections hold no options.
            section = text.strip_suffix(':').unwrap_or_default().to_owned();
        } else if text.starts_with('-') && indent <= 6 {
            let long = text.split(' ').find(|word| word.starts_with("--")).map(str::to_owned);
            let (names, default, meaning) = (text.to_owned(), None, String::new());
            found.push(Opt { section: section.clone(), names, long, default, meaning });
        } else if let Some(option) = found.last_mut().filter(|option| option.section == section) {
            let (text, default) = match text.split_once("[default: ") {
                Some((text, default)) => (text.trim(), default.strip_suffix(']')),
                None => (text, None),
            };
            option.default = option.default.take().or(default.map(str::to_owned));
            if !text.is_empty() {
                let (end, text) = match text.strip_prefix("- ") {
                    _ if option.meaning.is_empty() => ("", text),
                    Some(value) if option.meaning.ends_with(':') => (" ", value),
                    Some(value) => (", ", value),
                    None if option.meaning.ends_with('.') => (" ", text),
                    None => (". ", text),
                };
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                option.meaning = format!("{}{end}{text}", option.meaning);
            }
        }
    }
    found
}
