//! Builds the components and writes them to `target/components`, with their hashes.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use mcp_reconnect_guests::{Guest, build, build_command, target_dir, workspace};
use sha2::{Digest, Sha256};

fn main() -> ExitCode {
    let folder = workspace().join("target/components");
    match components().and_then(|components| write(&folder, &components)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp-reconnect-guests: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The components of a release: file names and contents.
fn components() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let (workspace, target_dir) = (workspace(), target_dir());
    let mut components = Vec::new();
    for guest in Guest::ALL {
        components.push((guest.file_name(), fs::read(build(&workspace, &target_dir, guest)?)?));
    }
    components.push(("mcp-reconnect.wasm", build_command(&workspace, &target_dir)?));
    Ok(components)
}

/// Writes them with a file `SHA256SUMS`, as `sha256sum --check` reads it, and prints sizes and hashes.
fn write(folder: &Path, components: &[(&str, Vec<u8>)]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut sums = String::new();
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", folder.display())?;
    for (name, bytes) in components {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(folder.join(name), bytes)?;
        writeln!(stdout, "  {name:<20} {:>7} bytes  sha256 {hash}", bytes.len())?;
        sums += &format!("{hash}  {name}\n");
    }
    fs::write(folder.join("SHA256SUMS"), sums)?;
    Ok(())
}
