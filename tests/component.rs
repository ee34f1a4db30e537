//! The components that ship import exactly what they need, and export exactly their interface.

use std::collections::BTreeSet;

use mcp_reconnect_guests::{Guest, build, target_dir, workspace};
use wasmparser::{Parser, Payload};

/// The names at the outermost level of a component; those of imports without their versions.
fn names(component: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    // Depth 1 is the component itself; what it is composed of lies deeper.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.expect("the component is well-formed") {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                imports.extend(section.into_iter().map(|import| unversioned(import.expect("an import").name.name)));
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                exports.extend(section.into_iter().map(|export| export.expect("an export").name.name.to_owned()));
            }
            _ => {}
        }
    }
    (imports, exports)
}

fn unversioned(name: &str) -> String {
    name.split('@').next().unwrap_or(name).to_owned()
}

/// No files, no environment, no standard streams, no sockets.
#[test]
fn imports_are_these() {
    let expected = [
        "wasi:clocks/monotonic-clock",
        "wasi:http/outgoing-handler",
        "wasi:http/types",
        "wasi:io/error",
        "wasi:io/poll",
        "wasi:io/streams",
        "wasi:random/random",
    ];
    assert_eq!(names(mcp_reconnect::component_wasm()).0, expected.map(str::to_owned).into());
}

#[test]
fn the_client_is_exported() {
    let expected = ["mcp-reconnect:transport/client@0.1.0", "mcp-reconnect:transport/types@0.1.0"];
    assert_eq!(names(mcp_reconnect::component_wasm()).1, expected.map(str::to_owned).into());
}

/// What every host and every download pays. Raise it knowingly.
#[test]
fn it_is_small() {
    let size = mcp_reconnect::component_wasm().len();
    assert!(size < 512 * 1024, "the component has grown to {size} bytes");
}

fn engine() -> Vec<u8> {
    let path = build(&workspace(), &target_dir(), Guest::Engine).expect("the engine builds");
    std::fs::read(path).expect("cargo has built it")
}

/// It loads wherever a component does.
#[test]
fn the_engine_imports_nothing() {
    let (imports, exports) = names(&engine());
    assert_eq!(imports, BTreeSet::new());
    let expected = ["mcp-reconnect:transport/sans-io@0.1.0", "mcp-reconnect:transport/types@0.1.0"];
    assert_eq!(exports, expected.map(str::to_owned).into());
}
