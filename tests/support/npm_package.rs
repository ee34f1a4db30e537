//! The npm package: built from the sources in the build folder, as it is published.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{install, tests_folder};

/// What the npm package is made of. It is built in the build folder, where its `node_modules` are.
const PACKAGE: [&str; 8] =
    ["README.md", "cli", "package-lock.json", "package.json", "scripts", "src", "test", "tsconfig.json"];

/// Names the test program for which the package is built already, where a program runs itself again.
pub const BUILT_FOR: &str = "MCP_RECONNECT_TEST_BUILT_FOR";

/// The folder of the npm package, built as it is published.
pub fn build() -> PathBuf {
    let folder = install::node_package();
    let guard = File::create(folder.join("build.lock")).expect("the build folder is writable");
    guard.lock().expect("file locks work in the build folder");
    // Once for each test program.
    let (stamp, program) =
        (folder.join("built-for"), std::env::var(BUILT_FOR).unwrap_or_else(|_| std::process::id().to_string()));
    if fs::read_to_string(&stamp).is_ok_and(|built| built == program) {
        return folder;
    }
    for name in PACKAGE {
        let _ = fs::remove_dir_all(folder.join(name));
        copy(&tests_folder().join("../host/node").join(name), &folder.join(name));
    }
    install::run(&mut npm(&folder, &["run", "build"]), "see the messages below");
    fs::write(&stamp, program).expect("the build folder is writable");
    folder
}

/// A run of npm in the package's folder.
pub fn npm(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(folder).env("MCP_RECONNECT_WORKSPACE", tests_folder().join(".."));
    command
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
