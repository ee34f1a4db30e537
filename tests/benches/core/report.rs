//! What is printed and stored: the part of `docs/benchmarks.md` between two markers.

use std::fs;
use std::process::Command;

const BEGIN: &str = "<!-- core:begin -->";
const END: &str = "<!-- core:end -->";

/// A figure and its aim.
pub struct Verdict(String);

impl Verdict {
    pub fn at_most(what: &str, unit: &str, figure: f64, aim: f64) -> Self {
        Self::new(what, unit, figure, "≤", aim, figure <= aim, figure - aim)
    }

    pub fn at_least(what: &str, unit: &str, figure: f64, aim: f64) -> Self {
        Self::new(what, unit, figure, "≥", aim, figure >= aim, aim - figure)
    }

    fn new(what: &str, unit: &str, figure: f64, relation: &str, aim: f64, met: bool, by: f64) -> Self {
        let verdict = if met { "met".to_owned() } else { format!("**missed** by {by:.2}") };
        Self(format!("| {what} | {figure:.2} | {relation} {aim} {unit} | {verdict} |\n"))
    }
}

/// As a table.
pub fn verdicts(verdicts: &[Verdict]) -> String {
    let rows: String = verdicts.iter().map(|verdict| verdict.0.as_str()).collect();
    format!("| figure | measured | aim | |\n|---|---|---|---|\n{rows}")
}

/// Prints the sections and stores them.
pub fn publish(sections: &[String]) {
    let text = format!("## The core alone\n\n{}\n\n{}", machine(), sections.join("\n"));
    println!("{text}");
    let path = crate::tests_folder().join("../docs/benchmarks.md");
    let old = fs::read_to_string(&path)
        .unwrap_or_else(|_| format!("# Benchmarks\n\n<!-- peers:begin -->\n<!-- peers:end -->\n\n{BEGIN}\n{END}\n"));
    let (before, rest) = old.split_once(BEGIN).expect("docs/benchmarks.md has the marker core:begin");
    let (_, after) = rest.split_once(END).expect("docs/benchmarks.md has the marker core:end");
    fs::write(&path, format!("{before}{BEGIN}\n{text}\n{END}{after}")).expect("docs/benchmarks.md can be written");
}

/// Where and with what it was measured.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Written by `cargo bench --bench core` on {}: {} ({cores} cores), Linux {}, {}, Wasmtime 48, release profile. Those \
         that are compared took turns within one run; a figure is the median of the rounds ± half the distance of the quartiles, \
         and one with more than {:.0} % is called noisy.",
        said("date", &["-u", "+%Y-%m-%d"]),
        model.trim_start_matches([' ', '\t', ':']),
        said("uname", &["-r"]),
        said("rustc", &["--version"]),
        crate::stats::NOISY * 100.0,
    )
}

/// What a command prints.
fn said(program: &str, arguments: &[&str]) -> String {
    Command::new(program).args(arguments).output().map_or_else(
        |_| format!("unknown {program}"),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
