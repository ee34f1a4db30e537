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

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A parsed file.
pub struct Config<'a> {
    /// Without the byte order mark.
    text: &'a str,
    mark: &'a str,
    servers: Vec<Server<'a>>,
    /// Of a file in TOML.
    tables: Option<codex::Found<'a>>,
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
        if place.file.extension().is_some_and(|extension| extension == "toml") {
            return Ok(Self { text, mark, servers: Vec::new(), tables: Some(codex::find(text)?) });
        }
        let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
            .map_err(|error| format!("it is not valid JSON: {error}; nothing was changed"))?;
        let Some(Value::Object(root)) = parsed.value else {
            return Err("it holds no JSON object, so it is no client's configuration; nothing was changed".into());
        };
        let mut config = Self { text, mark, servers: Vec::new(), tables: None };
        let mut found = false;
        let homes = if place.projects.is_empty() { vec![root] } else { project(root, &place.projects)? };
        for home in homes {
            found |= config.collect(home);
        }
        if !found {
            return Err(
                "it has none of \"mcpServers\", \"servers\", \"context_servers\" and \"mcp\" with an entry for each server; nothing \
                 was changed"
                    .into(),
            );
        }
        Ok(config)
    }

    /// Finds the servers in an object; whether there is a place for them.
    fn collect(&mut self, home: Object<'a>) -> bool {
        let mut found = false;
        for property in home.properties {
            let dialect = match property.name.as_str() {
                "mcpServers" => Dialect::McpServers,
                "servers" => Dialect::VsCode,
                "context_servers" => Dialect::Zed,
                "mcp" => match property.value {
                    // VS Code's settings.json.
                    Value::Object(inner) if inner.get_object("servers").is_some() => {
                        found |= self.collect(inner);
                        continue;
                    }
                    _ => Dialect::OpenCode,
                },
                _ => continue,
            };
            let Value::Object(servers) = property.value else { continue };
            found = true;
            for server in servers.properties {
                self.add(server, dialect);
            }
        }
        found
    }

    fn add(&mut self, server: ObjectProp<'a>, dialect: Dialect) {
        let style = Style::at(self.text, server.range.start);
        let name = server.name.into_string();
        if let Value::Object(object) = server.value {
            let range = object.start()..object.end();
            self.servers.push(Server { name, entry: Entry::new(self.text, object, dialect), range, style });
        }
    }

    /// The edits that make remote servers go through the bridge.
    pub fn wrap(&self, command: &[String], only: &[String]) -> Vec<Done> {
        match &self.tables {
            Some(found) => each_table(found, only, |server| codex::wrap(server, command)),
            None => self.each(only, |server| entry::wrap(&server.entry, &server.name, command, &server.style)),
        }
    }

    /// The edits that undo it.
    pub fn unwrap(&self, only: &[String]) -> Vec<Done> {
        match &self.tables {
            Some(found) => each_table(found, only, codex::unwrap),
            None => self.each(only, |server| entry::unwrap(&server.entry, &server.style)),
        }
    }

    fn each(&self, only: &[String], edit: impl Fn(&Server<'_>) -> Verdict) -> Vec<Done> {
        let chosen = self.servers.iter().filter(|server| only.is_empty() || only.contains(&server.name));
        chosen
            .map(|server| Done { name: server.name.clone(), change: edit(server).into(), range: server.range.clone() })
            .collect()
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

/// The edits of a file in TOML.
fn each_table(found: &codex::Found<'_>, only: &[String], edit: impl Fn(&codex::Server<'_>) -> Verdict) -> Vec<Done> {
    let chosen = |name: &String| only.is_empty() || only.contains(name);
    let servers = found.servers.iter().filter(|server| chosen(&server.name)).map(|server| Done {
        name: server.name.clone(),
        change: edit(server).into(),
        range: server.range.clone(),
    });
    let others = found.others.iter().filter(|(name, _)| chosen(name)).map(|(name, why)| Done {
        name: name.clone(),
        change: Change::Skipped(why.clone()),
        range: 0..0,
    });
    servers.chain(others).collect()
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
