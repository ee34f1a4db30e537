//! The npm package: built as it is published, and tested by its own tests (`npm test` in `host/node`).

mod support;

use support::{NATIVE, install, npm_package};

#[test]
fn the_npm_package_is_built_and_passes_its_tests() {
    let mut tests = npm_package::npm(&npm_package::build(), &["test"]);
    tests.env("MCP_RECONNECT_TEST_PYTHON", install::python()).env("MCP_RECONNECT_TEST_COMMAND", NATIVE);
    tests.env("MCP_RECONNECT_TEST_MODERN", install::node_modern().join("node_modules"));
    install::run(&mut tests, "see the messages below");
}
