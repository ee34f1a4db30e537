//! A wall clock that the test sets while a program runs: libfaketime, which is there or installed from Debian. The clock of the
//! machine, and the one that timers go by, are left alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{install, scratch_file};

/// The clock of the programs that are given it.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// One that is right. The library that it needs is installed.
    pub fn install() -> Self {
        let clock =
            Self { library: install::debian_library("libfaketime.so.1", "libfaketime"), file: scratch_file("clock") };
        clock.set(0);
        clock
    }

    /// From now on it is off by so many hours.
    pub fn set(&self, hours: i64) {
        // In one step: it may be read at any time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{hours:+}h\n")).expect("the build folder is writable");
        std::fs::rename(&new, &self.file).expect("the build folder is writable");
    }

    /// The command is to go by it.
    pub fn give<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", self.path());
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1")
    }

    fn path(&self) -> &Path {
        &self.file
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
