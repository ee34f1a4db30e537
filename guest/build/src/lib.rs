//! How the components of mcp-reconnect are built: the one place that knows, for `host/wasmtime/build.rs`, the npm package,
//! the tests, and the command `cargo run -p mcp-reconnect-guests`, which writes all of them to `target/components`.
//!
//! ```no_run
//! use mcp_reconnect_guests::{Guest, build, target_dir, workspace};
//!
//! let component = std::fs::read(build(&workspace(), &target_dir(), Guest::Transport)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A component is built by a cargo of its own, from the workspace's lock file, untouched by what the environment says about
//! the build for this machine: the same sources give the same bytes, whoever builds them.
//!
//! The package `mcp-reconnect` carries its components, so that whoever installs it from crates.io or builds it from a clone for the
//! first time needs no WebAssembly target: [`component`] gives a build script that, or one built from sources that have changed
//! since. `cargo run -p mcp-reconnect-guests -- carry` renews it.

mod cargo;
mod carried;
#[cfg(feature = "compose")]
mod compose;

use std::error;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

pub use carried::{CARRIED, SOURCES, SUMS, carry, component, is_carried, sha256, sums_line, wit, workspace_of};
#[cfg(feature = "compose")]
pub use compose::plug;

/// A component of this repository.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Guest {
    /// `guest/transport`: exports `client`, imports `wasi:http`.
    Transport,
    /// `guest/engine`: exports `sans-io`, imports nothing.
    Engine,
    /// `guest/bridge`: a `wasi:cli` command that imports `client`.
    Bridge,
}

impl Guest {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Transport, Self::Engine, Self::Bridge];

    /// Its package.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Transport => "mcp-reconnect-transport",
            Self::Engine => "mcp-reconnect-engine",
            Self::Bridge => "mcp-reconnect-bridge",
        }
    }

    /// The name that its file has in a release.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Transport => "transport.wasm",
            Self::Engine => "engine.wasm",
            Self::Bridge => "bridge.wasm",
        }
    }
}

/// Builds a component in `target_dir`, which must not be the one of a cargo that waits for this call; gives its path.
///
/// # Errors
///
/// The target `wasm32-wasip2` is missing and cannot be added, or the component does not build; the compiler's messages
/// have then been written to stderr.
pub fn build(workspace: &Path, target_dir: &Path, guest: Guest) -> Result<PathBuf, Error> {
    build_package(workspace, target_dir, guest.package())
}

/// Builds a component that fails on demand, for tests of hosts: see `guest/common/faults.rs`. In a folder of its own, since the
/// file has the name of the good one.
///
/// # Errors
///
/// As for [`build`].
pub fn build_faulty(workspace: &Path, target_dir: &Path, guest: Guest) -> Result<PathBuf, Error> {
    cargo::ensure_target(workspace)?;
    cargo::build(workspace, &target_dir.join("faults"), guest.package(), &["faults"])
}

/// The same for any package of the workspace that is a component: a `cdylib`, or a program of the package's name.
///
/// # Errors
///
/// As for [`build`].
pub fn build_package(workspace: &Path, target_dir: &Path, package: &str) -> Result<PathBuf, Error> {
    cargo::ensure_target(workspace)?;
    cargo::build(workspace, target_dir, package, &[])
}

/// Builds the command `mcp-reconnect.wasm`: `guest/bridge` with `guest/transport` plugged into it.
///
/// # Errors
///
/// As for [`build`] and [`plug`].
#[cfg(feature = "compose")]
pub fn build_command(workspace: &Path, target_dir: &Path) -> Result<Vec<u8>, Error> {
    let read = |guest| {
        let path = build(workspace, target_dir, guest)?;
        std::fs::read(&path).map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))
    };
    plug(&read(Guest::Bridge)?, &read(Guest::Transport)?)
}

/// The folder of the workspace that this crate belongs to.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("the package is two folders below its workspace").to_owned()
}

/// Where build scripts, the tests and the command build components: apart from the rest of `target`, so that a build inside a build
/// waits for no lock, and shared by all of them, so that each component is compiled once.
pub fn target_dir() -> PathBuf {
    workspace().join("target/guests")
}

/// Why a component could not be built or composed, in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error(String);

impl Error {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(format!("cannot {what} {}: {error}", path.display()))
    }
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl error::Error for Error {}
