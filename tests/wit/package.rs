//! The package encodes as `wkg build` encodes it, and every item says since when it is there, what it does, whether it
//! blocks, and how it fails.

use wit_parser::{Resolve, Type, TypeDefKind, Variant};

use crate::items::{function_name, items};
use crate::{current, workspace};

#[test]
fn it_encodes_and_comes_back_the_same() {
    let (resolve, package) = current();
    let bytes = wit_component::encode(&resolve, package).expect("the package encodes");
    let decoded = wit_component::decode(&bytes).expect("and is one");
    let wit_component::DecodedWasm::WitPackage(again, id) = decoded else { panic!("no WIT package") };
    assert_eq!(again.packages[id].name.to_string(), format!("mcp-reconnect:transport@{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(items(&again, id), items(&resolve, package));
}

/// `wkg` reads this file from the folder it is called in.
#[test]
fn its_metadata_is_that_of_the_crates() {
    let text = std::fs::read_to_string(workspace().join("wit/wkg.toml")).expect("wit/wkg.toml is there");
    for (key, value) in [("licenses", env!("CARGO_PKG_LICENSE")), ("source", env!("CARGO_PKG_REPOSITORY"))] {
        assert!(text.contains(&format!("\n{key} = \"{value}\"\n")), "wit/wkg.toml: {key} is not {value}");
    }
    // Every dependency is taken from the copy beside it.
    let (resolve, _) = current();
    for (_, package) in resolve.packages.iter().filter(|(_, package)| package.name.namespace == "wasi") {
        let line = format!("\"wasi:{0}\" = {{ path = \"deps/{0}\" }}", package.name.name);
        assert!(text.contains(&line), "wit/wkg.toml lacks: {line}");
    }
}

#[test]
fn every_item_is_documented_and_says_since_when() {
    let (resolve, package) = current();
    let mut missing = Vec::new();
    for (name, item) in items(&resolve, package) {
        if item.since.is_none() {
            missing.push(format!("{name}: @since"));
        }
        if item.docs.is_none() && !matches!(item.kind, "use" | "import" | "export") {
            missing.push(format!("{name}: documentation"));
        }
        missing.extend(item.undocumented.iter().map(|part| format!("{name}, {part}: documentation")));
    }
    assert!(missing.is_empty(), "missing in wit/:\n  {}", missing.join("\n  "));
}

#[test]
fn every_function_says_whether_it_blocks_and_how_it_fails() {
    let (resolve, package) = current();
    let items = items(&resolve, package);
    let mut missing = Vec::new();
    for (interface, id) in &resolve.packages[package].interfaces {
        for function in resolve.interfaces[*id].functions.values() {
            let name = format!("{interface}/{}", function_name(&resolve, function));
            let docs = items[&name].docs.clone().unwrap_or_default();
            if blocks(&name, |name| items[name].docs.clone().unwrap_or_default()).is_none() {
                missing.push(format!("{name}: whether it blocks"));
            }
            for case in errors(&resolve, function.result) {
                if !docs.contains("Errors") || !docs.contains(&format!("`{case}`")) {
                    missing.push(format!("{name}: when it fails with `{case}`"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "the documentation in wit/ does not say:\n  {}", missing.join("\n  "));
}

/// Whether a function blocks, as its documentation or that of its resource says.
pub fn blocks(name: &str, docs: impl Fn(&str) -> String) -> Option<bool> {
    let own = docs(name).to_lowercase();
    if own.contains("never blocks") {
        return Some(false);
    }
    if own.contains("blocks;") {
        return Some(true);
    }
    let (resource, _) = name.rsplit_once('.')?;
    docs(resource).contains("No function of it blocks").then_some(false)
}

/// The cases of a function's error; `other` is what may come in a later version, and is named where it comes now.
pub fn errors(resolve: &Resolve, result: Option<Type>) -> Vec<String> {
    let Some(Type::Id(id)) = result else { return Vec::new() };
    let TypeDefKind::Result(result) = &resolve.types[id].kind else { return Vec::new() };
    let Some(Type::Id(error)) = result.err else { return Vec::new() };
    let names = variant(resolve, error).into_iter().flat_map(|variant| &variant.cases).map(|case| case.name.clone());
    names.filter(|name| name != "other").collect()
}

fn variant(resolve: &Resolve, id: wit_parser::TypeId) -> Option<&Variant> {
    match &resolve.types[id].kind {
        TypeDefKind::Variant(variant) => Some(variant),
        TypeDefKind::Type(Type::Id(id)) => variant(resolve, *id),
        _ => None,
    }
}

/// A variant can grow: it ends in a catch-all, and two of its cases carry the same type, because some languages (Python)
/// spell a variant in another way as soon as two of them do. So do enums of what the component says.
#[test]
fn variants_can_grow() {
    const ASKED: [&str; 3] = ["transport-choice", "method", "failure"];
    let (resolve, package) = current();
    for id in resolve.packages[package].interfaces.values() {
        for (name, id) in &resolve.interfaces[*id].types {
            match &resolve.types[*id].kind {
                TypeDefKind::Variant(variant) => {
                    let last = variant.cases.last().expect("a case");
                    assert_eq!((last.name.as_str(), last.ty), ("other", Some(Type::String)), "{name}");
                    let shared = variant.cases.iter().filter(|case| case.ty == last.ty).count();
                    assert!(shared >= 2, "{name}: no two cases carry the same type");
                }
                TypeDefKind::Enum(cases) if !ASKED.contains(&name.as_str()) => {
                    assert_eq!(cases.cases.last().expect("a case").name, "other", "{name}");
                }
                _ => {}
            }
        }
    }
}
