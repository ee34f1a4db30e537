//! A configuration file: where its servers are, and the edits to them.

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use similar::TextDiff;

use super::codex;
use super::entry::{self, Entry, Verdict};
use super::place::Place;
use super::style::Style;
use super::yaml;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A parsed file.
pub struct Config<'a> {
    /// Without the byte order mark.
    text: &'a str,
    mark: &'a str,
    servers: Servers<'a>,
}

/// The servers of a file, by its language.
enum Servers<'a> {
    Json(Vec<Server<'a>>),
    Toml(codex::Found<'a>),
    Yaml(yaml::Found<'a>),
}

struct Server<'a> {
    name: String,
    entry: Entry<'a>,
    range: Range<usize>,
    style: Style,
}

/// Where clients differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `mcpServers`: `http` is Streamable HTTP and nothing else.
    McpServers,
    /// `servers` of VS Code: `http` may turn out to be HTTP+SSE.
    VsCode,
    /// `context_servers` of Zed.
    Zed,
    /// `mcp` of opencode: a local server's command and arguments are one list.
    OpenCode,
}

/// What became of a server.
pub struct Done {
    pub name: String,
    pub change: Change,
    range: Range<usize>,
}

/// What became of an entry.
pub enum Change {
    /// It is another one now.
    Edited(Edit),
    /// It was as it should be.
    Already,
    /// It cannot be changed, and why.
    Skipped(String),
    /// It is none that this is about.
    Local,
}

impl From<Verdict> for Change {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Changed { new, before, after } => Self::Edited(Edit { new, shown: (before, after) }),
            Verdict::Already => Self::Already,
            Verdict::Skipped(reason) => Self::Skipped(reason),
            Verdict::Local => Self::Local,
        }
    }
}

/// An entry before and after.
pub struct Edit {
    new: String,
    /// The same without secrets.
    shown: (String, String),
}

impl Edit {
    /// The difference for people. Secrets are blotted out.
    pub fn diff(&self) -> String {
        let diff = TextDiff::from_lines(&self.shown.0, &self.shown.1);
        diff.unified_diff().context_radius(100).missing_newline_hint(false).to_string()
    }
}

impl<'a> Config<'a> {
    /// Reads JSON, with the comments and trailing commas that VS Code and others allow.
    pub fn parse(text: &'a str, place: &Place) -> Result<Self, String> {
        let options = ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let (mark, text) =
            text.split_at(if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 });
        match place.file.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => return Ok(Self { text, mark, servers: Servers::Toml(codex::find(text)?) }),
            Some("yaml" | "yml") => return Ok(Self { text, mark, servers: Servers::Yaml(yaml::find(text)?) }),
            _ => {}
        }
        let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
            .map_err(|error| format!("it is not valid JSON: {error}; nothing was changed"))?;
        let Some(Value::Object(root)) = parsed.value else {
            return Err("it holds no JSON object, so it is no client's configuration; nothing was changed".into());
        };
        let mut servers = Vec::new();
        let mut found = false;
        let homes = if place.projects.is_empty() { vec![root] } else { project(root, &place.projects)? };
        for home in homes {
            found |= collect(text, home, &mut servers);
        }
        if !found {
            return Err(
                "it has none of \"mcpServers\", \"servers\", \"context_servers\" and \"mcp\" with an entry for each server; nothing \
                 was changed"
                    .into(),
            );
        }
        Ok(Self { text, mark, servers: Servers::Json(servers) })
    }

    /// The edits that make remote servers go through the bridge.
    pub fn wrap(&self, command: &[String], only: &[String]) -> Vec<Done> {
        self.each(
            only,
            |server| entry::wrap(&server.entry, &server.name, command, &server.style),
            |server| codex::wrap(server, command),
            |server| yaml::wrap(server, command),
        )
    }

    /// The edits that undo it.
    pub fn unwrap(&self, only: &[String]) -> Vec<Done> {
        self.each(only, |server| entry::unwrap(&server.entry, &server.style), codex::unwrap, yaml::unwrap)
    }

    fn each(
        &self,
        only: &[String],
        json: impl Fn(&Server<'_>) -> Verdict,
        toml: impl Fn(&codex::Server<'_>) -> Verdict,
        yaml: impl Fn(&yaml::Server<'_>) -> Verdict,
    ) -> Vec<Done> {
        let is_chosen = |name: &String| only.is_empty() || only.contains(name);
        let done = |name: &String, range: &Range<usize>, verdict: &dyn Fn() -> Verdict| {
            is_chosen(name).then(|| Done { name: name.clone(), change: verdict().into(), range: range.clone() })
        };
        let skipped = |(name, why): &(String, String)| done(name, &(0..0), &|| Verdict::Skipped(why.clone()));
        match &self.servers {
            Servers::Json(all) => all.iter().filter_map(|one| done(&one.name, &one.range, &|| json(one))).collect(),
            Servers::Toml(found) => {
                let servers = found.servers.iter().filter_map(|one| done(&one.name, &one.range, &|| toml(one)));
                servers.chain(found.others.iter().filter_map(skipped)).collect()
            }
            Servers::Yaml(found) => {
                let servers = found.servers.iter().filter_map(|one| done(&one.name, &one.range, &|| yaml(one)));
                servers.chain(found.others.iter().filter_map(skipped)).collect()
            }
        }
    }

    /// The file with the edits made.
    pub fn with(&self, done: &[Done]) -> String {
        let mut edits: Vec<_> = done
            .iter()
            .filter_map(|done| match &done.change {
                Change::Edited(edit) => Some((&done.range, &edit.new)),
                _ => None,
            })
            .collect();
        edits.sort_by_key(|(range, _)| range.start);
        let mut text = self.mark.to_owned();
        let mut at = 0;
        for (range, new) in edits {
            text.push_str(&self.text[at..range.start]);
            text.push_str(new);
            at = range.end;
        }
        text.push_str(&self.text[at..]);
        text
    }
}

/// Finds the servers in an object; whether there is a place for them.
fn collect<'a>(text: &'a str, home: Object<'a>, all: &mut Vec<Server<'a>>) -> bool {
    let mut found = false;
    for property in home.properties {
        let dialect = match property.name.as_str() {
            "mcpServers" => Dialect::McpServers,
            "servers" => Dialect::VsCode,
            "context_servers" => Dialect::Zed,
            "mcp" => match property.value {
                // VS Code's settings.json.
                Value::Object(inner) if inner.get_object("servers").is_some() => {
                    found |= collect(text, inner, all);
                    continue;
                }
                _ => Dialect::OpenCode,
            },
            _ => continue,
        };
        let Value::Object(servers) = property.value else { continue };
        found = true;
        all.extend(servers.properties.into_iter().filter_map(|server| self::server(text, server, dialect)));
    }
    found
}

fn server<'a>(text: &'a str, server: ObjectProp<'a>, dialect: Dialect) -> Option<Server<'a>> {
    let style = Style::at(text, server.range.start);
    let name = server.name.into_string();
    let Value::Object(object) = server.value else { return None };
    let range = object.start()..object.end();
    Some(Server { name, entry: Entry::new(text, object, dialect), range, style })
}

/// The entry of the nearest of these folders under `projects`.
fn project<'a>(mut root: Object<'a>, folders: &[String]) -> Result<Vec<Object<'a>>, String> {
    let mut projects = root.take_object("projects").ok_or("it has no \"projects\"; nothing was changed")?;
    let home = folders.iter().find_map(|folder| projects.take_object(folder));
    let here = folders.first().map_or("", String::as_str);
    Ok(vec![home.ok_or_else(|| {
        format!(
            "it has no servers of the project {here} (or of a folder above it) under \"projects\"; nothing was changed"
        )
    })?])
}
