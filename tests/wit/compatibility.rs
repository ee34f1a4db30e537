//! What was released stays as it is: `tests/wit/released` holds the package as it was in each release, taken by
//! `just wit-release`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use semver::Version;

use crate::items::{Item, items};
use crate::{File, current, files, resolve, workspace};

const ADVICE: &str = "Give the package a new version (in wit/*.wit, and as `@since` of what is new): a compatible one, 0.1.1 \
after 0.1.0, if only interfaces, types and functions were added; otherwise an incompatible one, 0.2.0. While the version \
of wit/ is not released, `just wit-release` takes the copy anew.";

/// What is wrong with calling `new` a later state of `old`.
fn complaints(old: &[File], new: &[File]) -> Vec<String> {
    let (old, new) = (package(old), package(new));
    if new.version < old.version {
        return vec![format!("the version went back from {} to {}", old.version, new.version)];
    }
    if !compatible(&old.version, &new.version) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (name, was) in &old.items {
        match new.items.get(name) {
            None => complaints.push(format!("{} {name}: removed", was.kind)),
            Some(is) => complaints.extend(changes(name, was, is)),
        }
    }
    for (name, is) in new.items.iter().filter(|(name, _)| !old.items.contains_key(*name)) {
        let since = is.since.as_deref().and_then(|since| Version::parse(since).ok());
        if new.version == old.version {
            complaints.push(format!("{} {name}: added, and the version is still {}", is.kind, new.version));
        } else if since.is_none_or(|since| since <= old.version) {
            complaints.push(format!("{} {name}: added, without an `@since` after {}", is.kind, old.version));
        }
    }
    complaints
}

fn changes(name: &str, was: &Item, is: &Item) -> Vec<String> {
    let kind = was.kind;
    if kind != is.kind {
        return vec![format!("{kind} {name}: is now a {}", is.kind)];
    }
    let mut changes = Vec::new();
    if was.since != is.since {
        let show = |since: &Option<String>| since.clone().unwrap_or_else(|| "none".to_owned());
        changes.push(format!("{kind} {name}: its `@since` changed from {} to {}", show(&was.since), show(&is.since)));
    }
    if matches!(kind, "record" | "variant" | "enum" | "flags") {
        let part = if kind == "record" { "the field" } else { "the case" };
        for gone in was.parts.iter().filter(|part| !is.parts.contains(part)) {
            changes.push(format!("{kind} {name}: {part} `{gone}` is gone"));
        }
        for added in is.parts.iter().filter(|part| !was.parts.contains(part)) {
            changes.push(format!("{kind} {name}: {part} `{added}` is new"));
        }
        if changes.is_empty() && was.parts != is.parts {
            changes.push(format!("{kind} {name}: the order changed"));
        }
    } else if was.parts != is.parts {
        changes.push(format!("{kind} {name}: changed from `{}` to `{}`", was.parts.join(" "), is.parts.join(" ")));
    }
    changes
}

/// Whether programs may take the one for the other, by semver: below 1.0 the second number is what counts.
fn compatible(old: &Version, new: &Version) -> bool {
    old.major == new.major && (old.major > 0 || old.minor == new.minor)
}

struct Package {
    version: Version,
    items: BTreeMap<String, Item>,
}

fn package(files: &[File]) -> Package {
    let (resolve, id) = resolve(files);
    let version = resolve.packages[id].name.version.clone().expect("the package has a version");
    Package { version, items: items(&resolve, id) }
}

/// The folders of the releases, oldest first.
fn releases() -> Vec<(Version, PathBuf)> {
    let folder = workspace().join("tests/wit/released");
    let mut releases: Vec<_> = folder
        .read_dir()
        .expect("tests/wit/released is a folder")
        .map(|entry| entry.expect("it can be read").path())
        .map(|path| (Version::parse(&path.file_name().unwrap().to_string_lossy()).expect("a version"), path))
        .collect();
    releases.sort();
    releases
}

#[test]
fn nothing_changes_without_a_new_version() {
    let releases = releases();
    let (version, folder) = releases.last().expect("there is a release to compare with");
    assert_eq!(package(&files(folder)).version, *version, "{} holds another version", folder.display());
    let complaints = complaints(&files(folder), &files(&workspace().join("wit")));
    assert!(complaints.is_empty(), "wit/ and {version} differ:\n  {}\n{ADVICE}", complaints.join("\n  "));
}

/// The package's version is the one that the crates have.
#[test]
fn the_version_is_that_of_the_workspace() {
    let (resolve, id) = current();
    assert_eq!(resolve.packages[id].name.version.as_ref().unwrap().to_string(), env!("CARGO_PKG_VERSION"));
}

/// The current files with some text replaced, which must be there.
fn mutated(changes: &[(&str, &str)]) -> Vec<File> {
    let mut files = files(&workspace().join("wit"));
    for (from, to) in changes {
        let mut found = false;
        for (_, text) in &mut files {
            found |= text.contains(from);
            *text = text.replace(from, to);
        }
        assert!(found, "no file holds {from:?}");
    }
    files
}

/// What is said of the current files after these changes.
fn said(changes: &[(&str, &str)]) -> Vec<String> {
    complaints(&mutated(&[]), &mutated(changes))
}

const NEXT: (&str, &str) = ("package mcp-reconnect:transport@0.1.0", "package mcp-reconnect:transport@0.1.1");
const BREAKING: (&str, &str) = ("package mcp-reconnect:transport@0.1.0", "package mcp-reconnect:transport@0.2.0");
const ADDED: (&str, &str) =
    ("    probe: func();", "    probe: func();\n    /// New.\n    @since(version = 0.1.1)\n    extra: func();");

#[test]
fn what_is_the_same_is_compatible() {
    assert_eq!(said(&[]), [""; 0]);
    assert_eq!(said(&[NEXT]), [""; 0]);
    assert_eq!(said(&[("/// A snapshot.", "/// What it is doing.")]), [""; 0]);
}

#[test]
fn what_changed_is_named() {
    for (from, to, expected) in [
        ("    @since(version = 0.1.0)\n    probe: func();", "", "func client/connection.probe: removed"),
        (
            "    probe: func();",
            "    probe: func() -> bool;",
            "func client/connection.probe: changed from `probe: func()` to `probe: func() -> bool`",
        ),
        (
            "send: func(message: string)",
            "send: func(text: string)",
            "func client/connection.send: changed from `send: func(message: string) -> result<_, send-error>` to \
             `send: func(text: string) -> result<_, send-error>`",
        ),
        ("    full(string),", "", "variant client/send-error: the case `full(string)` is gone"),
        (
            "    full(string),",
            "    full(string),\n    odd(u64),",
            "variant client/send-error: the case `odd(u64)` is new",
        ),
        ("    number: u32,", "    number: u32,\n    of: u32,", "record types/attempt: the field `of: u32` is new"),
        ("type exchange-id = u64;", "type exchange-id = u32;", "type sans-io/exchange-id: changed from `u64` to `u32`"),
        ("    idle,", "    idle,\n    asleep,", "enum types/state: the case `asleep` is new"),
        ("  @since(version = 0.1.0)\n  export client;", "", "export world transport: export client: removed"),
        (
            "  @since(version = 0.1.0)\n  import wasi:random/random@0.2.0;",
            "",
            "import world transport: import wasi:random/random@0.2.0: removed",
        ),
    ] {
        for version in [("", ""), NEXT] {
            let said = if version.0.is_empty() { said(&[(from, to)]) } else { said(&[version, (from, to)]) };
            assert_eq!(said, [expected], "{from} → {to}");
        }
        assert_eq!(said(&[BREAKING, (from, to)]), [""; 0]);
    }
}

#[test]
fn the_order_of_cases_counts() {
    let swapped = [
        ("    idle,", "    @,"),
        ("    connecting,\n    /// A session", "    idle,\n    /// A session"),
        ("    @,", "    connecting,"),
    ];
    assert_eq!(said(&swapped), ["enum types/state: the order changed"]);
}

#[test]
fn what_was_added_needs_a_version_and_says_so() {
    assert_eq!(said(&[NEXT, ADDED]), [""; 0]);
    let added = ADDED.1.replace("0.1.1", "0.1.0");
    let unversioned = (ADDED.0, added.as_str());
    assert_eq!(said(&[unversioned]), ["func client/connection.extra: added, and the version is still 0.1.0"]);
    assert_eq!(said(&[NEXT, unversioned]), ["func client/connection.extra: added, without an `@since` after 0.1.0"]);
    let (older, newer) = (mutated(&[]), mutated(&[NEXT]));
    assert_eq!(complaints(&newer, &older), ["the version went back from 0.1.1 to 0.1.0"]);
}
