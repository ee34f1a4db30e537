//! What is being done, a line a step, on stderr.

use std::io::IsTerminal;
use std::time::Instant;

use crate::cli::log;

/// The steps, shown where a person watches.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    begun: Instant,
    step: &'static str,
}

impl Progress {
    /// Shows steps if stderr is a terminal, or `always`.
    pub fn new(always: bool) -> Self {
        Self { shown: always || std::io::stderr().is_terminal(), begun: Instant::now(), step: "start" }
    }

    /// This is done now.
    pub fn step(&mut self, name: &'static str) {
        let is_new = std::mem::replace(&mut self.step, name) != name;
        if is_new && self.shown {
            log::line(&format!("[{:6.3}] {name}", self.begun.elapsed().as_secs_f64()));
        }
    }
}
