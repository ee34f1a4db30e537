//! Every link inside the repository leads somewhere.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::documents::{Document, document, documents, files, root};

/// How documents that are read elsewhere (on npm, in an issue form) name files of the repository.
const REPOSITORY: &str = "https://github.com/mcp-reconnect/mcp-reconnect";

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let wrong: Vec<_> = documents.iter().flat_map(|document| problems(document, &documents)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The forms for issues are YAML, and refer to documents by their address.
#[test]
fn every_link_of_the_issue_forms_leads_somewhere() {
    let documents = documents();
    let forms = files(&|path| path.components().any(|part| part.as_os_str() == "ISSUE_TEMPLATE"));
    assert!(!forms.is_empty(), "there are no forms");
    for form in forms {
        let text = fs::read_to_string(root().join(&form)).expect("the form can be read");
        for rest in text.split(REPOSITORY).skip(1) {
            let end = rest.find(|c: char| c.is_whitespace() || ")\"'".contains(c)).unwrap_or(rest.len());
            let target = format!("{REPOSITORY}{}", &rest[..end]);
            assert_eq!(problem(&form, &target, &documents), None, "{}: {target}", form.display());
        }
    }
}

#[test]
fn the_readme_leads_to_every_document_in_one_click() {
    let readme = document("README.md");
    for path in files(&|path| path.extension().is_some_and(|extension| extension == "md")) {
        let at_the_top = path.components().count() == 1 && path != Path::new("README.md");
        if at_the_top || path.starts_with("docs") {
            let path = path.to_str().expect("the name is Unicode");
            let linked = readme.links.iter().any(|link| link.split('#').next() == Some(path));
            assert!(linked, "README.md does not lead to {path}");
        }
    }
}

/// The check finds what it is for.
#[test]
fn wrong_links_are_found() {
    let text =
        "[a](README.md) [b](no.md) [c](README.md#no) [d](#here) [e](#there) [f][g] [h](../../outside)\n\n# Here\n";
    let wrong = Document::parse(PathBuf::from("x.md"), text.to_owned());
    let found = problems(&wrong, &documents());
    let expected = ["no.md", "README.md#no", "#there", "../../outside", "[g]"];
    assert!(found.len() == expected.len(), "{found:?}");
    for (problem, part) in found.iter().zip(expected) {
        assert!(problem.contains(part), "{problem}: {part}");
    }
}

fn problems(document: &Document, documents: &[Document]) -> Vec<String> {
    let own = std::slice::from_ref(document);
    let leads = document.links.iter().filter_map(|link| {
        // Its own anchors first: it need not be a file.
        let all = if link.starts_with('#') { own } else { documents };
        let problem = problem(&document.path, link, all)?;
        Some(format!("{}: {link}: {problem}", document.path.display()))
    });
    let undefined = document.undefined.iter();
    let undefined = undefined.map(|name| format!("{}: [{name}] is not defined", document.path.display()));
    leads.chain(undefined).collect()
}

/// What is wrong with a link, if it is one inside the repository.
fn problem(from: &Path, link: &str, documents: &[Document]) -> Option<String> {
    let inside = ["/blob/main/", "/tree/main/"];
    let (base, link) = match link.strip_prefix(REPOSITORY) {
        Some(rest) => (Path::new(""), inside.iter().find_map(|start| rest.strip_prefix(start)).unwrap_or_default()),
        None if link.contains("://") || link.starts_with("mailto:") => return None,
        None => (from.parent().unwrap_or(Path::new("")), link),
    };
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() { from.to_owned() } else { normal(&base.join(path))? };
    if let Some(anchor) = anchor {
        let there = documents.iter().find(|document| document.path == path);
        return match there {
            None => Some("an anchor in what is no document".into()),
            Some(document) if document.anchors.iter().any(|known| known == anchor) => None,
            Some(document) => Some(format!("no such anchor; there are {}", document.anchors.join(", "))),
        };
    }
    let there = path == from || root().join(&path).exists();
    (!there).then(|| "no such file".into())
}

/// The path without `.` and `..`; a path that leaves the repository is kept, and does not exist.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.pop() => {}
            Component::ParentDir => return Some(PathBuf::from("outside of the repository")),
            part => normal.push(part),
        }
    }
    Some(normal)
}
