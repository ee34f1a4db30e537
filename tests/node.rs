//! The npm package: built as it is published, and tested by its own tests (`npm test` in `host/node`).

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{COMMAND, install, tests_folder};

/// What the package is made of. It is built in the build folder, where its `node_modules` are.
const SOURCES: [&str; 8] =
    ["README.md", "cli", "package-lock.json", "package.json", "scripts", "src", "test", "tsconfig.json"];

#[test]
fn the_npm_package_is_built_and_passes_its_tests() {
    let workspace = tests_folder().parent().expect("the workspace").to_path_buf();
    let folder = install::node_package();
    for name in SOURCES {
        let _ = fs::remove_dir_all(folder.join(name));
        copy(&workspace.join("host/node").join(name), &folder.join(name));
    }
    npm(&folder, &workspace, &["run", "build"]);
    npm(&folder, &workspace, &["test"]);
}

fn npm(folder: &Path, workspace: &Path, arguments: &[&str]) {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(folder).env("MCP_RECONNECT_WORKSPACE", workspace);
    command.env("MCP_RECONNECT_TEST_PYTHON", install::python()).env("MCP_RECONNECT_TEST_COMMAND", COMMAND);
    install::run(&mut command, "see the messages below");
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("the build folder is writable");
        for entry in fs::read_dir(from).expect("the sources are readable") {
            let entry = entry.expect("the sources are readable");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}
