//! The components that the package `mcp-reconnect` carries: for those who have the package and no workspace, and so that the first
//! build from a clone need not build it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Guest, build};

/// The folder in a package for what it carries of the workspace: components, [`SUMS`], and `wit`.
pub const CARRIED: &str = "carried";
/// The hashes of the components, in the format of `sha256sum`.
pub const SUMS: &str = "SHA256SUMS";
/// The [`fingerprint`] of the sources that the components were built from.
const SOURCES_SUM: &str = "SOURCES";

/// The components that a package carries.
const GUESTS: [Guest; 2] = [Guest::Transport, Guest::Engine];

/// What they are built from, relative to the workspace.
pub const SOURCES: [&str; 12] = [
    "Cargo.lock",
    "Cargo.toml",
    "guest/build/src/cargo.rs",
    "guest/common",
    "guest/core/Cargo.toml",
    "guest/core/src",
    "guest/engine/Cargo.toml",
    "guest/engine/src",
    "guest/transport/Cargo.toml",
    "guest/transport/src",
    "rust-toolchain.toml",
    "wit",
];

/// What of the WIT package the host's bindings are made from.
const WIT: [&str; 2] = ["engine.wit", "types.wit"];

/// A component for a build script. If the package in the folder `package` is a member of the workspace with the components'
/// sources, and they are not those that the carried components were built from, it is built in `target_dir`. Else it is the carried
/// one, whose hash is checked.
///
/// # Errors
///
/// As for [`build`]; or the package carries no component, or another than its [`SUMS`] says.
pub fn component(package: &Path, target_dir: &Path, guest: Guest) -> Result<Vec<u8>, Error> {
    match workspace_of(package) {
        Some(workspace) if !is_carried(&workspace, package)? => read(&build(&workspace, target_dir, guest)?),
        _ => carried(package, guest),
    }
}

/// Whether the package carries the components that are built from the workspace's sources as they are.
///
/// # Errors
///
/// A source cannot be read.
pub fn is_carried(workspace: &Path, package: &Path) -> Result<bool, Error> {
    let Ok(stated) = fs::read_to_string(package.join(CARRIED).join(SOURCES_SUM)) else { return Ok(false) };
    Ok(stated.trim_end() == fingerprint(workspace)?)
}

/// One hash over [`SOURCES`], names and contents.
fn fingerprint(workspace: &Path) -> Result<String, Error> {
    let mut sums = String::new();
    for source in SOURCES {
        sum(workspace, source, &mut sums)?;
    }
    Ok(sha256(sums.as_bytes()))
}

fn sum(workspace: &Path, name: &str, sums: &mut String) -> Result<(), Error> {
    let path = workspace.join(name);
    if !path.is_dir() {
        sums.push_str(&sums_line(name, &read(&path)?));
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).map_err(|error| Error::file("read", &path, &error))? {
        let entry = entry.map_err(|error| Error::file("read", &path, &error))?;
        names.push(format!("{name}/{}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    names.iter().try_for_each(|name| sum(workspace, name, sums))
}

/// The folder with the WIT package that the components of [`component`] implement.
pub fn wit(package: &Path) -> PathBuf {
    workspace_of(package).map_or_else(|| package.join(CARRIED).join("wit"), |workspace| workspace.join("wit"))
}

/// The workspace with the components' sources that the package is a member of. None if it was unpacked from a registry.
pub fn workspace_of(package: &Path) -> Option<PathBuf> {
    let workspace = package.ancestors().nth(2)?;
    workspace.join("guest/transport/Cargo.toml").is_file().then(|| workspace.to_owned())
}

/// Puts into the folder `package` what its build needs without the workspace: the components with their hashes and that of their
/// sources, and the WIT package.
///
/// # Errors
///
/// As for [`build`]; or a file cannot be read or written.
pub fn carry(workspace: &Path, package: &Path, target_dir: &Path) -> Result<(), Error> {
    let folder = package.join(CARRIED);
    let mut components = Vec::new();
    for guest in GUESTS {
        components.push((guest.file_name(), read(&build(workspace, target_dir, guest)?)?));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| Error::file("remove", &folder, &error))?;
    }
    for part in WIT {
        copy(&workspace.join("wit").join(part), &folder.join("wit").join(part))?;
    }
    let mut sums = String::new();
    for (name, component) in components {
        write(&folder.join(name), &component)?;
        sums.push_str(&sums_line(name, &component));
    }
    write(&folder.join(SOURCES_SUM), format!("{}\n", fingerprint(workspace)?).as_bytes())?;
    write(&folder.join(SUMS), sums.as_bytes())
}

/// A line of a file [`SUMS`].
pub fn sums_line(name: &str, bytes: &[u8]) -> String {
    format!("{}  {name}\n", sha256(bytes))
}

/// The hash in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn carried(package: &Path, guest: Guest) -> Result<Vec<u8>, Error> {
    let path = package.join(CARRIED).join(guest.file_name());
    let component = read(&path)?;
    let sums = String::from_utf8(read(&package.join(CARRIED).join(SUMS))?)
        .map_err(|_| Error::new(format!("{CARRIED}/{SUMS} is not text")))?;
    if sums.lines().any(|line| format!("{line}\n") == sums_line(guest.file_name(), &component)) {
        return Ok(component);
    }
    let (path, hash) = (path.display(), sha256(&component));
    Err(Error::new(format!(
        "{path} has the SHA-256 {hash}, which {CARRIED}/{SUMS} does not say: get the package again"
    )))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if !from.is_dir() {
        return write(to, &read(from)?);
    }
    for entry in fs::read_dir(from).map_err(|error| Error::file("read", from, &error))? {
        let entry = entry.map_err(|error| Error::file("read", from, &error))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::file("read", path, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).and_then(|()| fs::write(path, bytes)).map_err(|error| Error::file("write", path, &error))
}
