//! See the target.
#![no_main]

#[path = "../targets/envelope.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &str| target::run(input));
