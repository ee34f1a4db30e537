//! What is said to the linker of all components, whoever builds them.

use std::env;

/// The stack in bytes. It is enough for the deepest JSON by every way in, see tests/misuse, since nothing in the engine
/// recurses, however deep the JSON. It stands first in memory, so that an overflow would be a trap and overwrite nothing.
const STACK: u32 = 64 * 1024;

fn main() {
    println!("cargo::rerun-if-changed=../common/build.rs");
    if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK}");
    }
}
