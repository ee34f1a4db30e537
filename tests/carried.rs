//! A package on its own takes the components that it carries, and only those.

use std::fs;
use std::path::{Path, PathBuf};

use mcp_reconnect_guests::{CARRIED, Guest, SUMS, component, sums_line, target_dir, wit, workspace, workspace_of};

/// A package as it is unpacked from a registry, with a component of these bytes and these sums.
fn package(name: &str, component: &[u8], sums: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("carried-{name}/registry/mcp-reconnect-0.1.0"));
    let folder = package.join(CARRIED);
    fs::create_dir_all(&folder).expect("the build folder is writable");
    fs::write(folder.join(Guest::Transport.file_name()), component).expect("the build folder is writable");
    fs::write(folder.join(SUMS), sums).expect("the build folder is writable");
    package
}

#[test]
fn the_carried_component_is_taken_if_its_hash_is_the_stated_one() {
    let package = package("good", b"component", &sums_line("transport.wasm", b"component"));
    assert_eq!(workspace_of(&package), None);
    assert_eq!(component(&package, &target_dir(), Guest::Transport).as_deref(), Ok(&b"component"[..]));
    assert_eq!(wit(&package), package.join("carried/wit"));
}

#[test]
fn another_one_is_refused() {
    for (name, sums) in [
        ("changed", sums_line("transport.wasm", b"component")),
        ("other-name", sums_line("engine.wasm", b"changed")),
        ("no-sums", String::new()),
    ] {
        let refused = component(&package(name, b"changed", &sums), &target_dir(), Guest::Transport).expect_err(name);
        assert!(refused.to_string().contains("get the package again"), "{refused}");
    }
}

#[test]
fn a_package_that_carries_nothing_says_which_file_is_missing() {
    let package = package("empty", b"", "");
    fs::remove_file(package.join("carried/transport.wasm")).expect("it was written");
    let refused = component(&package, &target_dir(), Guest::Transport).expect_err("it is missing");
    assert!(refused.to_string().contains("transport.wasm"), "{refused}");
}

#[test]
fn a_member_of_the_workspace_knows_it() {
    assert_eq!(workspace_of(&workspace().join("host/wasmtime")), Some(workspace()));
    assert_eq!(wit(&workspace().join("host/wasmtime")), workspace().join("wit"));
}
