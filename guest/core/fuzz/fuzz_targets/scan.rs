//! See the target.
#![no_main]

#[path = "../targets/scan.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::run(input));
