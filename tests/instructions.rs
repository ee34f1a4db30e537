//! What a call costs the engine, in instructions that callgrind counts: the same on every run, whatever else the machine does. A
//! change that makes the engine slower fails here, and one that makes it faster lowers the table. `cargo bench --bench core`
//! measures the rest.

#[path = "benches/core/native.rs"]
mod native;
#[path = "benches/core/script.rs"]
mod script;
mod support;

use std::process::Command;

use native::Native;
use script::{Answer, Driver, Texts};
use support::install;

/// What the child of this test makes: an answer's form, the size of both messages, how many calls.
const CALLS: &str = "MCP_RECONNECT_TEST_CALLS";

/// A call of this size each way, and its instructions in the profile of tests.
const TABLE: [(Answer, usize, u64); 4] = [
    (Answer::Json, 1 << 10, 65_600),
    (Answer::Sse, 1 << 10, 76_500),
    (Answer::Json, 64 << 10, 1_727_000),
    (Answer::Sse, 64 << 10, 2_327_000),
];

/// By how much a count may differ, in per cent: the C library copies memory in other ways on other processors.
const TOLERANCE: u64 = 8;

#[test]
fn a_call_takes_no_more_instructions_than_it_did() {
    if let Ok(calls) = std::env::var(CALLS) {
        return make(&calls);
    }
    let valgrind = install::debian("valgrind", "valgrind");
    let mut wrong = Vec::new();
    for (answer, size, expected) in TABLE {
        let calls = if size > 1 << 10 { 10 } else { 200 };
        let count = |calls| count(&valgrind, answer, size, calls);
        let measured = (count(2 * calls) - count(calls)) / calls;
        let (least, most) = (expected - expected * TOLERANCE / 100, expected + expected * TOLERANCE / 100);
        println!("{} of {size} bytes: {measured}, expected {expected}", answer.name());
        if !(least..=most).contains(&measured) {
            wrong.push((answer.name(), size, measured, expected));
        }
    }
    assert!(wrong.is_empty(), "(answer, bytes, instructions, expected): {wrong:?}");
}

/// The instructions of a child of this test that makes so many calls.
fn count(valgrind: &str, answer: Answer, size: usize, calls: u64) -> u64 {
    let output = Command::new(valgrind)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("this test has a path"))
        .args(["--exact", "a_call_takes_no_more_instructions_than_it_did"])
        .env(CALLS, format!("{} {size} {calls}", answer.name()))
        .output()
        .expect("valgrind runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let collected = stderr.lines().find_map(|line| line.split_once("Collected :"));
    let collected = collected.and_then(|(_, count)| count.trim().parse().ok()).filter(|_| output.status.success());
    collected.unwrap_or_else(|| panic!("valgrind failed ({}):\n{stderr}", output.status))
}

fn make(calls: &str) {
    let [answer, size, count] = calls.split(' ').collect::<Vec<_>>()[..] else { panic!("ANSWER SIZE COUNT") };
    let answer = if answer == Answer::Json.name() { Answer::Json } else { Answer::Sse };
    let mut texts = Texts::new(size.parse().expect("a size"), answer);
    let mut driver = Driver::ready(Native::new());
    for _ in 0..count.parse().expect("a count") {
        driver.call(answer, &mut texts);
    }
}
