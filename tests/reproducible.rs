//! The components come out the same, byte for byte, from another folder with another `CARGO_HOME`, and those that the package
//! carries are those that its sources give.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use mcp_reconnect_guests::{CARRIED, Guest, build, is_carried, target_dir, workspace};

/// What is made by tools, and no part of a clone.
const MADE: [&str; 4] = ["corpus", "dist", "node_modules", "target"];

#[test]
fn the_components_are_reproducible() {
    let ours: Vec<_> = Guest::ALL.map(|guest| built(&workspace(), &target_dir(), guest)).into();

    let of = |wanted| &ours[Guest::ALL.into_iter().position(|guest| guest == wanted).expect("one of all")];
    let transport = of(Guest::Transport);
    assert!(mcp_reconnect::component_wasm() == transport, "the library has another component than its sources give");
    let package = workspace().join("host/wasmtime");
    if is_carried(&workspace(), &package).expect("the sources are readable") {
        for guest in [Guest::Transport, Guest::Engine] {
            let carried = fs::read(package.join(CARRIED).join(guest.file_name())).expect("it is in the repository");
            assert!(carried == *of(guest), "the package carries another {guest:?} than its sources give");
        }
    } else {
        println!("the carried components are older than their sources; `just carry` renews them");
    }

    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reproducible-{}", std::process::id()));
    let clone = scratch.join("a clone in another place");
    for part in ["guest", "host", "tests", "wit"] {
        copy(&workspace().join(part), &clone.join(part));
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(workspace().join(file), clone.join(file)).expect("a copy");
    }
    // What is downloaded is there already, under other paths.
    let home = scratch.join("another cargo home");
    fs::create_dir_all(&home).expect("a folder");
    for entry in fs::read_dir(cargo_home()).expect("cargo has a home") {
        let entry = entry.expect("an entry");
        symlink(entry.path(), home.join(entry.file_name())).expect("a link");
    }
    // SAFETY: this is the only test of this program, so no other thread reads or changes the environment.
    unsafe { env::set_var("CARGO_HOME", &home) };

    for (guest, ours) in Guest::ALL.into_iter().zip(ours) {
        let theirs = built(&clone, &clone.join("target"), guest);
        assert!(!contains(&theirs, scratch.to_str().expect("UTF-8")), "{guest:?} names the folder it was built in");
        assert!(ours == theirs, "{guest:?} differs: {} and {} bytes", ours.len(), theirs.len());
    }
    fs::remove_dir_all(&scratch).expect("it is ours");
}

fn built(workspace: &Path, target_dir: &Path, guest: Guest) -> Vec<u8> {
    fs::read(build(workspace, target_dir, guest).expect("it builds")).expect("cargo has built it")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            if !MADE.iter().any(|made| entry.file_name() == *made) {
                copy(&source, &target);
            }
        } else {
            fs::copy(&source, &target).expect("a copy");
        }
    }
}

fn cargo_home() -> PathBuf {
    let default = || PathBuf::from(env::var_os("HOME").expect("a home")).join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(default, PathBuf::from)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
