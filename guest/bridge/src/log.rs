//! Diagnostics on stderr: one line each, `mcp-reconnect: what happened`, with a time where somebody searches a fault (`debug`
//! and `trace`). A client that keeps stderr and never reads it must not stop the bridge: what does not fit is dropped
//! and counted.

use alloc::format;
use core::fmt::Arguments;

use mcp_reconnect_command::event_log::Level;
use mcp_reconnect_command::log_line;
use mcp_reconnect_command::visible::Visible;

use crate::bindings::wasi::cli::stderr::get_stderr;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::streams::OutputStream;

/// Standard error.
pub struct Log {
    stream: OutputStream,
    /// The finest level that is shown; none: nothing is.
    level: Option<Level>,
    /// Each line is a JSON object.
    json: bool,
    start: u64,
    dropped: u64,
}

impl Log {
    /// Shows this level and what is graver.
    pub fn new(level: Option<Level>, json: bool) -> Self {
        Self { stream: get_stderr(), level, json, start: monotonic_clock::now(), dropped: 0 }
    }

    /// Writes a line whatever the level.
    pub fn line(&mut self, text: &str) {
        self.write(&format!("mcp-reconnect: {}\n", Visible(text)));
    }

    /// Writes a line of a level, if it is shown.
    pub fn at(&mut self, level: Level, text: &str) {
        let Some(shown) = self.level.filter(|shown| level <= *shown) else { return };
        let grave = match level {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info => "",
            Level::Debug => "debug: ",
        };
        if self.json {
            let name = ["error", "warn", "info", "debug"][level as usize];
            return self.write(&log_line::json(None, name, text));
        }
        let text = Visible(text);
        if shown >= Level::Debug {
            let millis = (monotonic_clock::now() - self.start) / 1_000_000;
            self.write(&format!("mcp-reconnect: [{:6}.{:03}] {grave}{text}\n", millis / 1000, millis % 1000));
        } else {
            self.write(&format!("mcp-reconnect: {grave}{text}\n"));
        }
    }

    /// Warns.
    pub fn warn(&mut self, text: Arguments<'_>) {
        self.at(Level::Warn, &format!("{text}"));
    }

    fn write(&mut self, line: &str) {
        if self.dropped > 0 {
            let dropped = self.dropped;
            let told = format!("{dropped} lines of this log were dropped: nobody read them in time");
            let told = if self.json { log_line::json(None, "warn", &told) } else { format!("mcp-reconnect: {told}\n") };
            if self.fits(&told) {
                self.dropped = 0;
            }
        }
        if self.dropped > 0 || !self.fits(line) {
            self.dropped += 1;
        }
    }

    /// Writes a line if there is room for it. A closed stderr is nobody's loss.
    fn fits(&self, line: &str) -> bool {
        self.stream.check_write().is_ok_and(|room| room >= line.len() as u64)
            && self.stream.write(line.as_bytes()).is_ok()
            && self.stream.flush().is_ok()
    }
}
