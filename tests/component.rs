//! The components that ship import exactly what they need, and export exactly their interface.

use std::collections::BTreeSet;
use std::path::Path;

use mcp_reconnect_guests::{Guest, build, target_dir, workspace};
use wasmparser::{Operator, Parser, Payload, ValType};

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

/// What the transport imports.
const TRANSPORT: [&str; 7] = [
    "wasi:clocks/monotonic-clock",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
];

/// What the command imports beside it.
const CLI: [&str; 4] = ["wasi:cli/environment", "wasi:cli/stderr", "wasi:cli/stdin", "wasi:cli/stdout"];

/// Compares the imports and prints them.
fn must_import<'a>(what: &str, component: &[u8], expected: impl IntoIterator<Item = &'a str>) {
    let (imports, _) = names(component);
    println!("{what}: {} bytes, imports {imports:#?}", component.len());
    assert_eq!(imports, expected.into_iter().map(str::to_owned).collect(), "{what}");
}

/// One of the components that build.rs makes for the tests.
fn built(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("OUT_DIR")).join(name)).expect("build.rs has made it")
}

/// No files, no environment, no standard streams, no sockets.
#[test]
fn imports_are_these() {
    must_import("transport", mcp_reconnect::component_wasm(), TRANSPORT);
}

/// The bridge alone: the WIT package, standard streams, arguments, environment, and a clock. No network.
#[test]
fn the_bridge_imports_the_package_and_the_command_line() {
    let own = ["mcp-reconnect:transport/client", "mcp-reconnect:transport/types"];
    let shared = ["wasi:clocks/monotonic-clock", "wasi:io/error", "wasi:io/poll", "wasi:io/streams"];
    must_import("bridge", &built("bridge.wasm"), own.into_iter().chain(CLI).chain(shared));
}

/// The command that a stock runtime runs: the transport's imports and those of a command line. No files, no sockets.
#[test]
fn the_command_imports_both() {
    let command = built("mcp-reconnect.wasm");
    must_import("mcp-reconnect", &command, TRANSPORT.into_iter().chain(CLI));
    let exports: Vec<_> = names(&command).1.into_iter().collect();
    assert_eq!(exports, ["wasi:cli/run@0.2.0"]);
}

#[test]
fn the_client_is_exported() {
    let expected = ["mcp-reconnect:transport/client@0.1.0", "mcp-reconnect:transport/types@0.1.0"];
    assert_eq!(names(mcp_reconnect::component_wasm()).1, expected.map(str::to_owned).into());
}

/// What every host and every download pays. Raise it knowingly.
#[test]
fn they_are_small() {
    for (name, size, limit) in [
        ("transport", mcp_reconnect::component_wasm().len(), 1024 << 10),
        // With the check of a server.
        ("engine", engine().len(), 1152 << 10),
        ("bridge", built("bridge.wasm").len(), 256 << 10),
        ("mcp-reconnect", built("mcp-reconnect.wasm").len(), 1216 << 10),
    ] {
        assert!(size < limit, "the component {name} has grown to {size} bytes");
    }
}

/// What guest/common/build.rs says: 64 KiB, and it stands first in memory, so that an overflow is a trap.
#[test]
fn their_stacks_are_small_and_stand_first() {
    let transport = mcp_reconnect::component_wasm().to_vec();
    for (name, component) in [("transport", transport), ("engine", engine()), ("bridge", built("bridge.wasm"))] {
        assert_eq!(stack(&component), 64 * 1024, "{name}");
    }
}

/// Where the stack begins, downwards: the first global of the first module, which the linker calls `__stack_pointer`.
fn stack(component: &[u8]) -> i32 {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::GlobalSection(globals) = payload.expect("the component is well-formed") {
            let first = globals.into_iter().next().expect("it has a stack").expect("a global");
            assert!(first.ty.mutable && first.ty.content_type == ValType::I32);
            match first.init_expr.get_operators_reader().read().expect("an initial value") {
                Operator::I32Const { value } => return value,
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("no module with a stack")
}

fn engine() -> Vec<u8> {
    let path = build(&workspace(), &target_dir(), Guest::Engine).expect("the engine builds");
    std::fs::read(path).expect("cargo has built it")
}

/// It loads wherever a component does.
#[test]
fn the_engine_imports_nothing() {
    must_import("engine", &engine(), []);
    let (_, exports) = names(&engine());
    let expected = ["diagnosis", "sans-io", "types"].map(|name| format!("mcp-reconnect:transport/{name}@0.1.0"));
    assert_eq!(exports, expected.into());
}
