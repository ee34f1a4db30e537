//! The Markdown documents of the repository: their headings, links, code and tables.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

/// Folders that hold what was built or installed.
const NOT_OURS: [&str; 5] = [".git", "dist", "node_modules", "target", "corpus"];

/// A Markdown document, read once.
#[derive(Debug)]
pub struct Document {
    /// Where it is, from the top of the repository.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The anchors that a link may name.
    pub anchors: Vec<String>,
    /// The targets of its links and images.
    pub links: Vec<String>,
    /// Its code spans.
    pub spans: Vec<String>,
    /// Its code blocks: the language and the text.
    pub blocks: Vec<(String, String)>,
    /// Its text without code and markup.
    pub prose: String,
    /// Links that name a definition which is not there.
    pub undefined: Vec<String>,
}

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// A document by its path from the top.
pub fn document(path: &str) -> Document {
    Document::read(Path::new(path))
}

/// All documents of the repository.
pub fn documents() -> Vec<Document> {
    files(&|path| path.extension().is_some_and(|extension| extension == "md"))
        .iter()
        .map(|path| Document::read(path))
        .collect()
}

/// The repository's files for which `wanted` says so, from its top.
pub fn files(wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let entry = entry.expect("the folder can be read");
            let (path, kind) = (entry.path(), entry.file_type().expect("the file has a type"));
            if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            } else if kind.is_file() && wanted(&path) {
                found.push(path.strip_prefix(&root).expect("it is inside").to_owned());
            }
        }
    }
    found.sort();
    found
}

impl Document {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(path.to_owned(), text)
    }

    /// Reads a document as GitHub does.
    pub fn parse(path: PathBuf, text: String) -> Self {
        let mut document = Self {
            path,
            text,
            anchors: Vec::new(),
            links: Vec::new(),
            spans: Vec::new(),
            blocks: Vec::new(),
            prose: String::new(),
            undefined: Vec::new(),
        };
        let mut undefined = Vec::new();
        // `[text][name]` without a definition; a lone `[text]` is mostly no link.
        let mut missing = |link: pulldown_cmark::BrokenLink<'_>| {
            if matches!(link.link_type, LinkType::Reference | LinkType::Collapsed) {
                undefined.push(link.reference.to_string());
            }
            None
        };
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
        let mut heading: Option<String> = None;
        let mut block: Option<(String, String)> = None;
        let parser = Parser::new_with_broken_link_callback(&document.text, options, Some(&mut missing));
        for event in parser {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let same = |anchor: &&String| {
                        **anchor == slug || anchor.rsplit_once('-').is_some_and(|(base, _)| base == slug)
                    };
                    let number = document.anchors.iter().filter(same).count();
                    document.anchors.push(if number == 0 { slug } else { format!("{slug}-{number}") });
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.to_string());
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        pulldown_cmark::CodeBlockKind::Fenced(info) => info.to_string(),
                        pulldown_cmark::CodeBlockKind::Indented => String::new(),
                    };
                    block = Some((language, String::new()));
                }
                Event::End(TagEnd::CodeBlock) => document.blocks.extend(block.take()),
                Event::SoftBreak | Event::End(_) => document.prose.push(' '),
                Event::Text(text) => {
                    match &mut block {
                        Some((_, code)) => code.push_str(&text),
                        None => document.prose.push_str(&text),
                    }
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                    document.spans.push(code.to_string());
                }
                _ => {}
            }
        }
        document.undefined = undefined;
        document
    }

    /// The cells of a table's first column: of the table whose first heading is this one.
    pub fn first_column(&self, title: &str) -> Vec<String> {
        let head = format!("| {title} |");
        let lines = self.text.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
        let cells: Vec<_> = lines
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| line.strip_prefix("| ")?.split(" |").next().map(str::to_owned))
            .collect();
        assert!(!cells.is_empty(), "{} has no table '{title}'", self.path.display());
        cells
    }
}

/// The anchor that GitHub gives a heading: lower case, spaces are hyphens, other punctuation is left out.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# One, two\n\n## `-31001`: unknown\n\n## Same\n\n## Same\n\n## A/B & C_d\n";
    let document = Document::parse(PathBuf::from("x.md"), text.to_owned());
    assert_eq!(document.anchors, ["one-two", "-31001-unknown", "same", "same-1", "ab--c_d"]);
}
