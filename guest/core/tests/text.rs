//! One function makes foreign text visible, on each side: nobody else picks characters by hand.

use std::fs;
use std::path::{Path, PathBuf};

/// The sources of all hosts and guests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the sources are readable").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(&*name, "node_modules" | "target" | "tests" | "test" | "fuzz" | "examples")
                && !name.starts_with("build-")
                && !name.starts_with("dist")
            {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") || name.ends_with(".ts") {
            found.push(path);
        }
    }
}

#[test]
fn nobody_else_decides_what_is_invisible() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders up");
    let mut found = Vec::new();
    sources(&workspace.join("guest"), &mut found);
    for part in ["wasmtime/src", "node/src", "node/cli"] {
        sources(&workspace.join("host").join(part), &mut found);
    }
    assert!(found.len() > 100, "{} files", found.len());
    for path in found {
        if path.ends_with("core/src/text.rs") || path.ends_with("cli/visible.ts") || path.ends_with("wire/text.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("UTF-8");
        // (To refuse a header that holds one is another matter.)
        for by_hand in ["is_control", "\\p{C", "\\u202e"] {
            assert!(!text.contains(by_hand), "{}: {by_hand}; use text::visible", path.display());
        }
    }
}
