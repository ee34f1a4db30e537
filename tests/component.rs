//! The component that ships imports exactly what it needs, and exports exactly the client.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

/// The names at the outermost level of the component, without their versions.
fn names() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    // Depth 1 is the component itself; what it is composed of lies deeper.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(mcp_reconnect::component_wasm()) {
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
    assert_eq!(names().0, expected.map(str::to_owned).into());
}

#[test]
fn the_client_is_exported() {
    let expected = ["mcp-reconnect:transport/client@0.1.0", "mcp-reconnect:transport/types@0.1.0"];
    assert_eq!(names().1, expected.map(str::to_owned).into());
}

/// What every host and every download pays. Raise it knowingly.
#[test]
fn it_is_small() {
    let size = mcp_reconnect::component_wasm().len();
    assert!(size < 512 * 1024, "the component has grown to {size} bytes");
}
