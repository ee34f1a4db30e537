//! A benchmark's own part of `docs/benchmarks.md`, between two markers.

use std::fs;
use std::path::Path;

/// Replaces what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`; all else stays.
pub fn replace(file: &Path, name: &str, part: &str) {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{} lacks {begin}", file.display()));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{} lacks {end}", file.display()));
    let text = format!("{before}{begin}\n\n{}\n\n{end}{after}", part.trim());
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
