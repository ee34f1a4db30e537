//! On what it was measured.

use std::fs;
use std::process::Command;

/// Date, machine and versions in one sentence.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("\t: unknown processor");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory =
        memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1048576.0;
    format!(
        "{}: {cores} cores ({}), {memory:.0} GiB, Linux {}; {}, Node.js {}, {}",
        said("date", &["-u", "+%Y-%m-%d"]),
        model.trim_start_matches(['\t', ' ', ':']),
        said("uname", &["-r"]),
        said("rustc", &["--version"]),
        said("node", &["--version"]),
        said("python3", &["--version"]),
    )
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
