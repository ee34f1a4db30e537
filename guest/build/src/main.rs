//! Builds the components and writes them to `target/components`, with their hashes: all of them, or the named ones alone.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use mcp_reconnect_guests::{Guest, SUMS, build, build_faulty, carry, sha256, sums_line, target_dir, workspace};

const USAGE: &str = "usage: mcp-reconnect-guests [transport.wasm | engine.wasm | bridge.wasm | mcp-reconnect.wasm]...
       mcp-reconnect-guests carry";

/// `guest/engine` that fails on demand, for the tests of the npm package; no part of a release.
const FAULTY: &str = "engine-faults.wasm";
/// `guest/bridge` with `guest/transport` plugged into it.
const COMMAND: &str = "mcp-reconnect.wasm";

fn main() -> ExitCode {
    let names: Vec<_> = env::args().skip(1).collect();
    let done = match &names[..] {
        [name] if name == "carry" => {
            carry(&workspace(), &workspace().join("host/wasmtime"), &target_dir()).map_err(Into::into)
        }
        names => write(&workspace().join("target/components"), names),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp-reconnect-guests: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Writes the components, and prints sizes and hashes. Those of a release, that is all, with a file as `sha256sum --check`
/// reads it.
fn write(folder: &Path, names: &[String]) -> Result<()> {
    let all: Vec<_> = Guest::ALL.iter().map(|guest| guest.file_name()).chain([COMMAND]).collect();
    if let Some(unknown) = names.iter().find(|name| *name != FAULTY && !all.contains(&name.as_str())) {
        return Err(format!("there is no component {unknown}\n{USAGE}").into());
    }
    fs::create_dir_all(folder)?;
    // What it says of the others is no longer known to be true.
    let sums_file = folder.join(SUMS);
    if sums_file.exists() {
        fs::remove_file(&sums_file)?;
    }
    let mut sums = String::new();
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", folder.display())?;
    let wanted = |name: &&str| names.iter().any(|wanted| wanted == name);
    for name in
        all.into_iter().filter(|name| names.is_empty() || wanted(name)).chain([FAULTY].into_iter().filter(wanted))
    {
        let bytes = component(name)?;
        fs::write(folder.join(name), &bytes)?;
        writeln!(stdout, "  {name:<20} {:>7} bytes  sha256 {}", bytes.len(), sha256(&bytes))?;
        sums += &sums_line(name, &bytes);
    }
    if names.is_empty() {
        fs::write(sums_file, sums)?;
    }
    Ok(())
}

fn component(name: &str) -> Result<Vec<u8>> {
    if name == FAULTY {
        return Ok(fs::read(build_faulty(&workspace(), &target_dir(), Guest::Engine)?)?);
    }
    match Guest::ALL.into_iter().find(|guest| guest.file_name() == name) {
        Some(guest) => Ok(fs::read(build(&workspace(), &target_dir(), guest)?)?),
        None => command(),
    }
}

#[cfg(feature = "compose")]
fn command() -> Result<Vec<u8>> {
    Ok(mcp_reconnect_guests::build_command(&workspace(), &target_dir())?)
}

#[cfg(not(feature = "compose"))]
fn command() -> Result<Vec<u8>> {
    Err(format!("{COMMAND} is composed of others, for which the feature `compose` is needed").into())
}
