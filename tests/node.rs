//! The npm package: built as it is published, and tested by its own tests (`npm test` in `host/node`).

mod support;

use support::install;

#[test]
fn the_npm_package_is_built_and_passes_its_tests() {
    install::npm(&install::npm_package(), &["test"]);
}
