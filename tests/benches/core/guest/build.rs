//! A plain module is wanted, and this target's linker makes components.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo::rustc-link-arg-cdylib=--skip-wit-component");
    }
}
