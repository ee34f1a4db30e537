//! The WIT package: that it encodes and is documented, that `docs/wit.md` tells the same, and that nothing in it changes
//! without a new version.

#[path = "wit/compatibility.rs"]
mod compatibility;
#[path = "wit/documentation.rs"]
mod documentation;
#[path = "wit/items.rs"]
mod items;
#[path = "wit/package.rs"]
mod package;

use std::path::{Path, PathBuf};

use wit_parser::{PackageId, Resolve, SourceMap, UnresolvedPackageGroup};

/// A file's name and its text.
type File = (String, String);

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The WIT files of a folder, without those below it.
fn files(folder: &Path) -> Vec<File> {
    let entries = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<File> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wit"))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).expect("the file can be read")))
        .collect();
    files.sort();
    files
}

/// The package made of these files, with `wit/deps`, the way `wkg build` resolves it.
fn resolve(files: &[File]) -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    // Each after what it uses.
    for name in ["io", "clocks", "random", "http"] {
        let group = UnresolvedPackageGroup::parse_dir(workspace().join("wit/deps").join(name)).expect(name);
        resolve.push_group(group).expect(name);
    }
    let mut sources = SourceMap::new();
    for (name, text) in files {
        sources.push_str(name, text);
    }
    let group = sources.parse().unwrap_or_else(|(sources, error)| panic!("{}", error.render(&sources)));
    let package = resolve.push_group(group).unwrap_or_else(|error| panic!("{error:?}"));
    (resolve, package)
}

/// The package as it is.
fn current() -> (Resolve, PackageId) {
    resolve(&files(&workspace().join("wit")))
}
