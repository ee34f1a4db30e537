//! What the system says of a process.

use std::fs;
use std::time::Duration;

/// Its resident memory, in bytes.
pub fn resident(process: u32) -> f64 {
    status(process, "VmRSS:")
}

/// The most that it ever had, in bytes.
pub fn peak(process: u32) -> f64 {
    status(process, "VmHWM:")
}

/// The processor time that all its threads have used.
pub fn cpu(process: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name, which may hold anything: user and system time are the 12th and 13th field.
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

fn status(process: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().map_or(f64::NAN, |kib| kib * 1024.0)
}
