//! Instructions per call, counted by callgrind: the same on every run, whatever else the machine does.

use std::io::ErrorKind;
use std::process::Command;

use crate::native::Native;
use crate::script::{Answer, Driver, Texts};

/// The sizes of messages, and the number of calls of the shorter of two runs.
const SIZES: [(&str, usize, usize); 3] = [("1 KB", 1 << 10, 500), ("64 KB", 64 << 10, 20), ("1 MB", 1 << 20, 4)];

/// Measures; gives the part of the report.
pub fn measure() -> String {
    let title = "### Instructions";
    let mut rows = String::new();
    for answer in [Answer::Json, Answer::Sse] {
        for (name, size, calls) in SIZES {
            let (Some(once), Some(twice)) = (count(answer, size, calls), count(answer, size, 2 * calls)) else {
                let missing = "valgrind is missing, so instructions were not counted: `apt-get install valgrind`";
                eprintln!("{missing}");
                return format!("{title}\n\n**Left out: {missing}.**\n");
            };
            let per_call = (twice - once) / calls as u64;
            let per_byte = per_call as f64 / (2 * size) as f64;
            rows += &format!("| {name}, {} | {per_call} | {per_byte:.2} |\n", answer.name());
        }
    }
    format!(
        "{title}\n\nOf the native engine, by callgrind: a run of N calls and one of 2 N, the difference divided by N. Repeatable to the \
         last digits on one machine and compiler.\n\n| message, answer | instructions a call | per byte in and out |\n|---|---|---|\n{rows}"
    )
}

/// The instructions of a child of this program that makes so many calls. None: there is no valgrind.
fn count(answer: Answer, size: usize, calls: usize) -> Option<u64> {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["calls", answer.name(), &size.to_string(), &calls.to_string()])
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        output => output.expect("valgrind runs"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    let collected =
        stderr.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim().parse());
    match collected {
        Some(Ok(count)) if output.status.success() => Some(count),
        _ => panic!("valgrind failed ({}):\n{stderr}", output.status),
    }
}

/// The child: `calls ANSWER SIZE COUNT`.
pub fn child(arguments: &[String]) {
    let [answer, size, count] = arguments else { panic!("calls ANSWER SIZE COUNT") };
    let answer = if answer == Answer::Json.name() { Answer::Json } else { Answer::Sse };
    let mut texts = Texts::new(size.parse().expect("a size"), answer);
    let mut driver = Driver::ready(Native::new());
    for _ in 0..count.parse().expect("a count") {
        driver.call(answer, &mut texts);
    }
}
