//! `docs/wit.md`, made from the documentation in `wit/`.

use std::fmt::Write;

use wit_parser::{PackageId, Resolve, TypeDefKind, WorldItem};

use crate::items::{Item, function_name, items, unversioned};
use crate::package::{blocks, errors};
use crate::{current, workspace};

/// The command that writes the file.
const COMMAND: &str = "just docs-wit";

#[test]
fn it_is_up_to_date() {
    let (resolve, package) = current();
    let path = workspace().join("docs/wit.md");
    let made = page(&resolve, package);
    if std::env::var_os("WIT_DOCS").is_some_and(|what| what == "write") {
        std::fs::write(&path, &made).expect("docs/wit.md can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "docs/wit.md is not what wit/ says; make it anew: {COMMAND}");
}

#[test]
fn it_tells_of_every_item() {
    let (resolve, package) = current();
    let page = page(&resolve, package);
    for (name, item) in items(&resolve, package) {
        let short = match name.split_once(": ") {
            Some((_, of_a_world)) => of_a_world,
            None => name.rsplit(['/', ' ']).next().unwrap_or(&name),
        };
        assert!(page.contains(&format!("`{short}`")) || item.kind == "use", "{name}");
        for line in item.docs.iter().flat_map(|docs| docs.lines()) {
            assert!(page.contains(line.trim()), "{name}: {line}");
        }
    }
}

fn page(resolve: &Resolve, package: PackageId) -> String {
    let of = &resolve.packages[package];
    let items = items(resolve, package);
    let mut page = format!("# {}\n\n", of.name);
    let _ = writeln!(page, "Made from `wit/` by `{COMMAND}`; to be changed there.\n");
    paragraphs(&mut page, of.docs.contents.as_deref());
    let _ = writeln!(page, "## Worlds\n");
    for (name, id) in &of.worlds {
        let world = &resolve.worlds[*id];
        let _ = writeln!(page, "### world `{name}`\n");
        paragraphs(&mut page, world.docs.contents.as_deref());
        for (word, list) in [("import", &world.imports), ("export", &world.exports)] {
            for key in list.iter().filter(|(_, item)| matches!(item, WorldItem::Interface { .. })).map(|(key, _)| key) {
                let name = unversioned(resolve, package, &resolve.name_world_key(key));
                let _ = writeln!(page, "- `{word} {name}`");
            }
        }
        page.push('\n');
    }
    for (name, id) in &of.interfaces {
        let interface = &resolve.interfaces[*id];
        let _ = writeln!(page, "## interface `{name}`\n");
        paragraphs(&mut page, interface.docs.contents.as_deref());
        glance(&mut page, resolve, name, *id);
        for (short, id) in &interface.types {
            let item = &items[&format!("{name}/{short}")];
            if item.kind == "use" {
                continue;
            }
            declaration(&mut page, short, item);
            for (method, item) in items.iter().filter_map(|(key, item)| {
                Some((key.strip_prefix(&format!("{name}/"))?, item))
                    .filter(|(key, _)| key.starts_with(&format!("{short}.")))
            }) {
                let _ = writeln!(page, "#### `{method}`\n\n```wit\n{};\n```\n", item.parts.join(""));
                paragraphs(&mut page, item.docs.as_deref());
            }
            if let TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_) = &resolve.types[*id].kind {
                members(&mut page, &resolve.types[*id].kind, &item.parts);
            }
        }
    }
    page.trim_end().to_owned() + "\n"
}

/// All functions of an interface, whether they block and how they fail.
fn glance(page: &mut String, resolve: &Resolve, interface: &str, id: wit_parser::InterfaceId) {
    let functions = &resolve.interfaces[id].functions;
    if functions.is_empty() {
        return;
    }
    let package = resolve.interfaces[id].package.expect("it belongs to a package");
    let items = items(resolve, package);
    let _ = writeln!(page, "| function | blocks | errors |\n|---|---|---|");
    for function in functions.values() {
        let name = function_name(resolve, function);
        let docs = |name: &str| items[name].docs.clone().unwrap_or_default();
        let blocks = match blocks(&format!("{interface}/{name}"), docs) {
            Some(true) => "yes",
            Some(false) => "never",
            None => "?",
        };
        let mut errors: Vec<String> =
            errors(resolve, function.result).into_iter().map(|error| format!("`{error}`")).collect();
        if !errors.is_empty() {
            errors.push("`other`".to_owned());
        }
        let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
        let _ = writeln!(page, "| `{name}` | {blocks} | {errors} |");
    }
    page.push('\n');
}

fn declaration(page: &mut String, name: &str, item: &Item) {
    let _ = match item.kind {
        "type" => writeln!(page, "### type `{name}`\n\n```wit\ntype {name} = {};\n```\n", item.parts.join("")),
        kind => writeln!(page, "### {kind} `{name}`\n"),
    };
    paragraphs(page, item.docs.as_deref());
}

/// Fields and cases, each with what it means.
fn members(page: &mut String, kind: &TypeDefKind, parts: &[String]) {
    let docs: Vec<Option<&String>> = match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| field.docs.contents.as_ref()).collect(),
        TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| case.docs.contents.as_ref()).collect(),
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.docs.contents.as_ref()).collect(),
        _ => Vec::new(),
    };
    for (part, docs) in parts.iter().zip(docs) {
        let docs = docs.map(|docs| docs.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default();
        let _ = writeln!(page, "- `{part}`: {docs}");
    }
    page.push('\n');
}

fn paragraphs(page: &mut String, docs: Option<&str>) {
    if let Some(docs) = docs {
        let _ = writeln!(page, "{}\n", docs.trim_end());
    }
}
