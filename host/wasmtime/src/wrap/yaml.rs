//! The servers of Goose (`~/.config/goose/config.yaml`, a mapping `extensions`) and of Continue (`config.yaml` and
//! `.continue/mcpServers/*.yaml`, a list `mcpServers`). What changes is replaced in the text, so that every other byte stays.
//!
//! `saphyr-parser` says where everything stands, and shows anchors and aliases as what they are; libraries that give a document's
//! values have resolved these.

use std::collections::HashSet;
use std::ops::Range;

use jsonc_parser::ast::Value as Json;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use saphyr_parser::{Event, Parser, ScalarStyle};

use super::config::Dialect;
use super::entry::{self, Entry, Verdict, WRAPPED};
use super::style::quote;

/// What stands for a secret that is shown.
const HIDDEN: &str = "\"***\"";
/// No file of a client has more levels.
const MAX_DEPTH: usize = 64;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Goose,
    Continue,
}

impl Client {
    fn url(self) -> &'static str {
        if self == Self::Goose { "uri" } else { "url" }
    }

    fn program(self) -> &'static str {
        if self == Self::Goose { "cmd" } else { "command" }
    }

    fn env(self) -> &'static str {
        if self == Self::Goose { "envs" } else { "env" }
    }

    /// Members of a remote server, of which the bridge's form has its own.
    fn remote(self) -> &'static [&'static str] {
        match self {
            Self::Goose => &["type", "uri", "headers", "envs"],
            Self::Continue => &["type", "url", "requestOptions"],
        }
    }

    /// Members that a remote server does not have, or that say something which the bridge cannot be told.
    fn foreign(self) -> &'static [&'static str] {
        match self {
            Self::Goose => &["cmd", "args", "socket"],
            Self::Continue => &["args", "env", "apiKey"],
        }
    }
}

/// A part of a document.
#[derive(Debug)]
struct Node {
    range: Range<usize>,
    kind: Kind,
    /// It has an anchor or a tag, or is an alias.
    special: bool,
    /// It stands between braces or brackets.
    in_flow: bool,
}

#[derive(Debug)]
enum Kind {
    /// A scalar; whether it is written in the line and not as a block.
    Text(String, bool),
    Map(Vec<(Node, Node)>),
    List(Vec<Node>),
    Alias,
}

impl Node {
    fn text(&self) -> Option<&str> {
        if let Kind::Text(text, _) = &self.kind { Some(text) } else { None }
    }

    fn map(&self) -> Option<&[(Self, Self)]> {
        if let Kind::Map(members) = &self.kind { Some(members) } else { None }
    }

    fn get(&self, name: &str) -> Option<&Self> {
        self.map()?.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }

    fn is_null(&self) -> bool {
        matches!(self.text(), Some("" | "~" | "null"))
    }

    fn children(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match &self.kind {
            Kind::Map(members) => Box::new(members.iter().flat_map(|(key, value)| [key, value])),
            Kind::List(items) => Box::new(items.iter()),
            Kind::Text(..) | Kind::Alias => Box::new(std::iter::empty()),
        }
    }

    fn is_special(&self) -> bool {
        self.special || self.children().any(Self::is_special)
    }

    /// The first key that a mapping in it has twice.
    fn duplicate(&self) -> Option<&str> {
        let mut seen = HashSet::new();
        let mut keys = self.map().unwrap_or_default().iter().filter_map(|(key, _)| key.text());
        keys.find(|key| !seen.insert(*key)).or_else(|| self.children().find_map(Self::duplicate))
    }

    /// Whether both say the same, however they are written; what is stored for the way back aside.
    fn says(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Text(one, _), Kind::Text(two, _)) => one == two || (self.is_null() && other.is_null()),
            (Kind::List(one), Kind::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.says(two))
            }
            (Kind::Map(one), Kind::Map(two)) => {
                let has = |key: &Self, value: &Self| {
                    let same = key.text().and_then(|key| other.get(key));
                    same.is_some_and(|same| key.text() == Some(WRAPPED) || value.says(same))
                };
                one.len() == two.len() && one.iter().all(|(key, value)| has(key, value))
            }
            _ => false,
        }
    }
}

/// What is being read.
struct Open {
    start: usize,
    special: bool,
    is_flow: bool,
    parts: Vec<Node>,
}

/// Reads a document.
fn parse(text: &str) -> Result<Node, String> {
    // The parser counts characters.
    let at: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let at = |character: usize| at.get(character).copied().unwrap_or(text.len());
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let marker = error.marker();
            format!("{} (line {}, column {})", error.info(), marker.line(), marker.col() + 1)
        })?;
        let range = at(span.start.index())..at(span.end.index());
        let in_flow = open.last().is_some_and(|open| open.is_flow);
        let done = match event {
            Event::Scalar(value, style, anchor, tag) => {
                let in_line = !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                // What a block's last line ends with is no part of it here, and where nothing is written the colon ends it.
                let colon = text[range.start..].find(':').filter(|at| text[range.start..][..*at].trim().is_empty());
                let range = match colon.filter(|_| range.is_empty()) {
                    Some(colon) => range.start + colon + 1..range.start + colon + 1,
                    None => range.start..range.start + length(&text[range.clone()], style),
                };
                let kind = Kind::Text(value.into_owned(), in_line);
                Node { range, kind, special: anchor != 0 || tag.is_some(), in_flow }
            }
            Event::Alias(_) => Node { range, kind: Kind::Alias, special: true, in_flow },
            Event::MappingStart(anchor, tag) | Event::SequenceStart(anchor, tag) if open.len() < MAX_DEPTH => {
                let is_flow = in_flow || text[range.clone()].starts_with(['{', '[']);
                let special = anchor != 0 || tag.is_some();
                open.push(Open { start: range.start, special, is_flow, parts: Vec::new() });
                continue;
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                return Err(format!("it has more than {MAX_DEPTH} levels"));
            }
            event @ (Event::MappingEnd | Event::SequenceEnd) => {
                let Some(Open { start, special, parts, .. }) = open.pop() else { continue };
                // A block ends with its last part.
                let end = if span.is_empty() { parts.last().map_or(start, |last| last.range.end) } else { range.end };
                let kind = if matches!(event, Event::MappingEnd) { Kind::Map(pairs(parts)) } else { Kind::List(parts) };
                Node { range: start..end, kind, special, in_flow: open.last().is_some_and(|open| open.is_flow) }
            }
            _ => continue,
        };
        match open.last_mut() {
            Some(parent) => parent.parts.push(done),
            None if root.is_some() => return Err("it holds several documents".into()),
            None => root = Some(done),
        }
    }
    root.ok_or_else(|| "it is empty".into())
}

/// How long a scalar is of which the parser shows this: its quotes may have white space and a comment behind them.
fn length(shown: &str, style: ScalarStyle) -> usize {
    let quote = match style {
        ScalarStyle::SingleQuoted => '\'',
        ScalarStyle::DoubleQuoted => '"',
        _ => return shown.trim_end().len(),
    };
    let mut rest = shown.char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        if c == '\\' && quote == '"' {
            rest.next();
        } else if c == quote && (quote == '"' || rest.next_if(|(_, next)| *next == quote).is_none()) {
            return at + 1;
        }
    }
    shown.len()
}

/// Keys and values, which come one after the other.
fn pairs(parts: Vec<Node>) -> Vec<(Node, Node)> {
    let mut parts = parts.into_iter();
    let mut pairs = Vec::new();
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// One server's mapping.
pub struct Server<'a> {
    pub name: String,
    pub range: Range<usize>,
    text: &'a str,
    client: Client,
    /// The spaces before its members.
    column: usize,
    line_end: &'static str,
}

/// What is found in a file: servers, and names of those in a form that is not understood.
pub struct Found<'a> {
    pub servers: Vec<Server<'a>>,
    pub others: Vec<(String, String)>,
}

/// Finds the servers.
pub fn find(text: &str) -> Result<Found<'_>, String> {
    let root = parse(text).map_err(|problem| format!("it is not valid YAML: {problem}; nothing was changed"))?;
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut found = Found { servers: Vec::new(), others: Vec::new() };
    let mut add = |name: &str, node: &Node, client: Client| {
        let refused = if node.is_special() {
            Some("it has an anchor, an alias or a tag; write it out".to_owned())
        } else {
            node.duplicate().map(|key| format!("it has \"{key}\" twice"))
        };
        if let Some(why) = refused {
            return found.others.push((name.to_owned(), why));
        }
        let line = text[..node.range.start].rfind('\n').map_or(0, |end| end + 1);
        found.servers.push(Server {
            name: name.to_owned(),
            range: node.range.clone(),
            text: &text[node.range.clone()],
            client,
            column: text[line..node.range.start].chars().count(),
            line_end,
        });
    };
    match (root.get("extensions").map(|node| &node.kind), root.get("mcpServers").map(|node| &node.kind)) {
        (Some(Kind::Map(servers)), _) => {
            for (name, node) in servers.iter().filter(|(_, node)| node.map().is_some()) {
                add(name.text().unwrap_or_default(), node, Client::Goose);
            }
        }
        (_, Some(Kind::List(servers))) => {
            for node in servers.iter().filter(|node| node.map().is_some()) {
                add(node.get("name").and_then(Node::text).unwrap_or_default(), node, Client::Continue);
            }
        }
        _ => {
            return Err(
                "it has neither Goose's \"extensions\" nor Continue's list \"mcpServers\"; nothing was changed".into(),
            );
        }
    }
    // Which of two is meant nobody knows.
    let twice = |name: &String| found.servers.iter().filter(|other| other.name == *name).count() > 1;
    let (bad, good) = found.servers.iter().map(|server| server.name.clone()).partition::<Vec<_>, _>(twice);
    found.servers.retain(|server| good.contains(&server.name));
    let bad: HashSet<_> = bad.into_iter().collect();
    found.others.extend(bad.into_iter().map(|name| (name, "there are two of this name".to_owned())));
    Ok(found)
}

/// Makes a server go through the bridge.
pub fn wrap(server: &Server<'_>, command: &[String]) -> Verdict {
    let Ok(node) = entry_of(server.text, server.column) else { return unread() };
    if variable(server, &node, WRAPPED).is_some() {
        return Verdict::Already;
    }
    if is_local(server.client, &node) {
        return Verdict::Local;
    }
    let new = match wrapped(server, command, false) {
        Ok(new) => new,
        Err(reason) => return Verdict::Skipped(reason),
    };
    // Whatever is written in it must come back as it is.
    let after = Server { text: &new, name: server.name.clone(), range: 0..new.len(), ..*server };
    let back = entry_of(&new, server.column)
        .and_then(|node| restored(&after, &node, &variable(&after, &node, WRAPPED).unwrap_or_default()));
    match (back, wrapped(server, command, true)) {
        (Ok((back, _)), Ok(shown)) if back == server.text => {
            Verdict::Changed { new, before: blotted(server, &node), after: shown }
        }
        _ => Verdict::Skipped(
            "it is written in a way that could not be given back as it is; write it more plainly".into(),
        ),
    }
}

/// Gives a server its own mapping back.
pub fn unwrap(server: &Server<'_>) -> Verdict {
    let Ok(node) = entry_of(server.text, server.column) else { return unread() };
    let Some(stored) = variable(server, &node, WRAPPED) else {
        return if is_local(server.client, &node) { Verdict::Local } else { Verdict::Already };
    };
    match restored(server, &node, &stored) {
        Ok((new, after)) => Verdict::Changed { new, before: blotted(server, &node), after },
        Err(reason) => Verdict::Skipped(reason),
    }
}

fn unread() -> Verdict {
    Verdict::Skipped("it cannot be read apart from the rest of the file".into())
}

/// A server's mapping by itself, which stands at this column.
fn entry_of(text: &str, column: usize) -> Result<Node, String> {
    fn shift(node: &mut Node, by: usize) {
        node.range = node.range.start.saturating_sub(by)..node.range.end.saturating_sub(by);
        match &mut node.kind {
            Kind::Map(members) => members.iter_mut().for_each(|(key, value)| {
                shift(key, by);
                shift(value, by);
            }),
            Kind::List(items) => items.iter_mut().for_each(|item| shift(item, by)),
            Kind::Text(..) | Kind::Alias => {}
        }
    }
    let mut node = parse(&format!("{}{text}", " ".repeat(column)))?;
    shift(&mut node, column);
    if node.map().is_none() { Err("it is no mapping".into()) } else { Ok(node) }
}

/// Whether it is one that the client starts itself, or has inside.
fn is_local(client: Client, node: &Node) -> bool {
    let kind = node.get("type").and_then(Node::text);
    let remote = ["sse", "streamable_http", "streamable-http"];
    node.get(client.program()).is_some() || kind.is_some_and(|kind| !remote.contains(&kind) && client == Client::Goose)
}

fn variable(server: &Server<'_>, node: &Node, name: &str) -> Option<String> {
    node.get(server.client.env())?.get(name)?.text().map(str::to_owned)
}

/// A text that may be secret and is not stored: what it is, the text, where it stands, and whether between braces.
type Text = (What, String, Range<usize>, bool);

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Url,
    Header(String),
    /// A variable of Goose's, which a local server has too.
    Env(String),
}

/// What is stored in the place of such a variable's value.
const SAME: &str = "MCP_RECONNECT_SAME";

/// The texts of a server that go through the environment.
fn texts(client: Client, node: &Node) -> Result<Vec<Text>, String> {
    let text = |node: &Node, what: &str| match &node.kind {
        Kind::Text(text, true) if !node.is_null() => Ok((text.clone(), node.range.clone(), node.in_flow)),
        Kind::Text(_, false) => Err(format!("{what} is written over several lines")),
        _ => Err(format!("{what} is not a text")),
    };
    let url = node.get(client.url()).ok_or("it has neither a command nor a URL")?;
    let (value, range, in_flow) = text(url, &format!("its {}", client.url()))?;
    let mut texts = vec![(What::Url, value, range, in_flow)];
    let headers = match client {
        Client::Goose => node.get("headers"),
        Client::Continue => match node.get("requestOptions").filter(|options| !options.is_null()) {
            Some(options) => {
                let members = options.map().ok_or("its requestOptions are not a mapping")?;
                if let Some((key, _)) = members.iter().find(|(key, _)| key.text() != Some("headers")) {
                    let name = key.text().unwrap_or_default();
                    return Err(format!(
                        "its requestOptions have \"{name}\", for which the bridge has options of its own"
                    ));
                }
                options.get("headers")
            }
            None => None,
        },
    };
    if let Some(headers) = headers.filter(|headers| !headers.is_null()) {
        for (name, node) in headers.map().ok_or("its headers are not a mapping")? {
            let (value, range, in_flow) = text(node, "one of its headers")?;
            texts.push((What::Header(name.text().unwrap_or_default().to_owned()), value, range, in_flow));
        }
    }
    if let Some(env) = node.get(client.env()).filter(|env| !env.is_null()) {
        for (name, node) in env.map().ok_or_else(|| format!("its {} are not a mapping", client.env()))? {
            let (value, range, in_flow) = text(node, &format!("one of its {}", client.env()))?;
            texts.push((What::Env(name.text().unwrap_or_default().to_owned()), value, range, in_flow));
        }
    }
    Ok(texts)
}

/// A header of Goose whose value holds variables, as the bridge expands them; `None`: it holds none.
fn with_variables(name: &str, value: &str) -> Option<Result<String, String>> {
    if !value.contains('$') {
        return None;
    }
    let (mut written, mut literal, mut rest) = (String::new(), String::new(), value);
    while let Some((before, after)) = rest.split_once('$') {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (variable, after) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            Some((variable, after)) => (variable.trim(), after),
            None => after.split_at(after.find(|c| !is_part(c)).unwrap_or(after.len())),
        };
        if variable.is_empty() || !variable.chars().all(is_part) {
            return Some(Err(format!("its header \"{name}\" has a '$' that is no variable")));
        }
        literal.push_str(before);
        written.push_str(&format!("{before}${{{variable}}}"));
        rest = after;
    }
    // It would be in the process list.
    literal.push_str(rest);
    if !["", "bearer", "basic", "token"].contains(&&*literal.trim().to_ascii_lowercase()) {
        return Some(Err(format!("its header \"{name}\" holds more than variables; put all of it into one")));
    }
    Some(Ok(format!("{name}: {written}{rest}")))
}

/// The mapping of the bridge; `shown`: without what may be secret.
fn wrapped(server: &Server<'_>, command: &[String], shown: bool) -> Result<String, String> {
    let client = server.client;
    let node = entry_of(server.text, server.column)?;
    if let Some(name) = client.foreign().iter().find(|name| node.get(name).is_some_and(|node| !node.is_null())) {
        return Err(format!("a remote server with \"{name}\" is not understood"));
    }
    let texts = texts(client, &node)?;
    let mut args = command.get(1..).unwrap_or_default().to_vec();
    // What the bridge is to be told is decided where it is for the other clients.
    let mut headers = serde_json::Map::new();
    for (what, value, ..) in &texts {
        match what {
            What::Url if client == Client::Goose && value.contains('$') => {
                return Err("its uri holds a variable; write it out".into());
            }
            What::Url | What::Env(_) => {}
            What::Header(name) => match with_variables(name, value).filter(|_| client == Client::Goose) {
                Some(header) => args.extend(["--header".to_owned(), header?]),
                None => drop(headers.insert(name.clone(), value.as_str().into())),
            },
        }
    }
    let mut json = serde_json::json!({"url": texts[0].1, "headers": headers});
    if let Some(kind) = node.get("type").filter(|kind| !kind.is_null()) {
        json["type"] = kind.text().ok_or("its type is not a text")?.into();
    }
    let json = json.to_string();
    let read = parse_to_ast(&json, &CollectOptions::default(), &ParseOptions::default());
    let Ok(Some(Json::Object(object))) = read.map(|read| read.value) else { return Err("it cannot be read".into()) };
    let entry = Entry::new(&json, object, Dialect::McpServers);
    let (of_the_bridge, variables, _) = entry::bridge(&entry, &server.name)?;
    args.extend(of_the_bridge);

    // The names of variables that stand for values, by which they are found again.
    let name_of = |what: &What| {
        let option = |word: &String| match what {
            What::Url => (word == entry::URL).then(|| word.clone()),
            What::Header(name) => word.strip_prefix(name.as_str())?.strip_prefix('=').map(str::to_owned),
            What::Env(_) => None,
        };
        match what {
            What::Env(_) => Some(SAME.to_owned()),
            _ => args.iter().filter_map(option).find(|name| variables.iter().any(|(other, _)| other == name)),
        }
    };
    let stored = replaced(server.text, &texts, |what, _| name_of(what));
    let before = command.get(1..).unwrap_or_default();

    let mut env: Vec<(String, String)> = Vec::new();
    // Goose's `envs` are for its `headers`; a local server gets them.
    for (key, value) in node.get(client.env()).and_then(Node::map).unwrap_or_default() {
        let value = if shown { HIDDEN } else { &server.text[value.range.clone()] };
        env.push((server.text[key.range.clone()].to_owned(), value.to_owned()));
    }
    for (name, value) in &variables {
        env.push((name.clone(), if shown { HIDDEN.to_owned() } else { quote(value) }));
    }
    env.push((WRAPPED.to_owned(), quote(&concealed(&entry::prefixed(before, &stored)))));

    let mut members = Vec::new();
    if client == Client::Goose || node.get("type").is_some() {
        members.push("type: stdio".to_owned());
    }
    members.push(format!("{}: {}", client.program(), quote(command.first().map_or("", String::as_str))));
    let args: Vec<_> = args.iter().map(|arg| quote(arg)).collect();
    members.push(format!("args: [{}]", args.join(", ")));
    let env: Vec<_> = env.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let is_flow = server.text.starts_with('{');
    let new_line = format!("{}{}", server.line_end, " ".repeat(server.column));
    if is_flow {
        members.push(format!("{}: {{{}}}", client.env(), env.join(", ")));
        let others = node.map().unwrap_or_default().iter().filter(|(key, _)| !is_remote(client, key));
        let others = others.map(|(key, value)| server.text[key.range.start..value.range.end].to_owned());
        members.extend(others.collect::<Vec<_>>());
        return Ok(format!("{{{}}}", members.join(", ")));
    }
    let env: Vec<_> = env.iter().map(|pair| format!("{new_line}  {pair}")).collect();
    members.push(format!("{}:{}", client.env(), env.concat()));
    Ok(in_place(server, &node, &members.join(&new_line), &new_line))
}

fn is_remote(client: Client, key: &Node) -> bool {
    key.text().is_some_and(|name| client.remote().contains(&name))
}

/// The mapping with `new` in the place of the first member of the remote form, and without the others. What stands between the
/// members that stay, comments too, stays as well.
fn in_place(server: &Server<'_>, node: &Node, new: &str, new_line: &str) -> String {
    let text = server.text;
    let members = node.map().unwrap_or_default();
    let (mut written, mut is_written) = (String::new(), false);
    for (number, (key, value)) in members.iter().enumerate() {
        let end = value.range.end;
        let between = &text[end..members.get(number + 1).map_or(end, |(next, _)| next.range.start)];
        if !is_remote(server.client, key) {
            written.push_str(&text[key.range.start..end]);
            written.push_str(between);
            continue;
        }
        if !is_written {
            written.push_str(new);
            written.push_str(if between.is_empty() { "" } else { new_line });
            is_written = true;
        }
        // A comment in the line is about what goes, lines of comments are about what comes.
        let lines = between.split_once('\n').map_or("", |(_, lines)| lines);
        written.push_str(lines.trim_start_matches(' '));
    }
    written.trim_end().to_owned()
}

/// What is stored in a variable: in a form in which no client finds anything to expand.
fn concealed(stored: &str) -> String {
    quote(stored).replace("${", "$\\u007b").replace("{{", "\\u007b\\u007b")
}

/// The mapping as it was, and the same without what may be secret.
fn restored(server: &Server<'_>, node: &Node, stored: &str) -> Result<(String, String), String> {
    let damaged = || format!("what was stored in its {WRAPPED} is damaged; take the server from the backup");
    let stored: String = serde_json::from_str(stored).map_err(|_| damaged())?;
    let (before, stored) = entry::parts(&stored);
    let stored = indented(stored, server.column, server.line_end);
    let original = entry_of(&stored, server.column).map_err(|_| damaged())?;
    let texts = texts(server.client, &original).map_err(|_| damaged())?;
    let carried = |what: &What, text: &str| match what {
        What::Env(name) => (text == SAME).then(|| name.clone()),
        _ => text.starts_with(entry::VARIABLE).then(|| text.to_owned()),
    };
    for (what, text, ..) in &texts {
        if let Some(name) = carried(what, text).filter(|name| variable(server, node, name).is_none()) {
            return Err(format!(
                "its {} have no {name} any more, where a value was kept; take the server from the backup",
                server.client.env()
            ));
        }
    }
    let write = |shown: bool| {
        replaced(&stored, &texts, |what, text| {
            let value = variable(server, node, &carried(what, text)?)?;
            Some(if shown { "***".to_owned() } else { value })
        })
    };
    let whole = write(false);
    let program = node.get(server.client.program()).and_then(Node::text).unwrap_or_default();
    let command = [&[program.to_owned()][..], &before].concat();
    let again = Server { name: server.name.clone(), range: 0..whole.len(), text: &whole, ..*server };
    let is_same = wrapped(&again, &command, false)
        .and_then(|again| entry_of(&again, server.column))
        .is_ok_and(|again| again.says(node));
    if !is_same {
        return Err(
            "it is not as wrap wrote it, and what was changed would be lost; change it back but for the values in its \
             variables, or take the server from the backup"
                .into(),
        );
    }
    Ok((whole, write(true)))
}

/// A mapping with its lines at this column: a client that writes its file itself may have moved them.
fn indented(text: &str, column: usize, line_end: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let depth = |line: &&str| line.len() - line.trim_start_matches(' ').len();
    let was = lines.iter().skip(1).filter(|line| !line.trim().is_empty()).map(depth).min().unwrap_or(column);
    if was == column || text.starts_with('{') {
        return text.to_owned();
    }
    let moved = lines.iter().enumerate().map(|(number, line)| match line.get(was..) {
        Some(rest) if number > 0 => format!("{}{rest}", " ".repeat(column)),
        _ => (*line).to_owned(),
    });
    moved.collect::<Vec<_>>().join(line_end)
}

/// The text with some of the values replaced.
fn replaced(text: &str, texts: &[Text], by: impl Fn(&What, &str) -> Option<String>) -> String {
    let mut sorted: Vec<_> = texts.iter().collect();
    sorted.sort_by_key(|(_, _, range, _)| range.start);
    let (mut new, mut at) = (String::new(), 0);
    for (what, value, range, in_flow) in sorted {
        if let Some(other) = by(what, value) {
            new.push_str(&text[at..range.start]);
            new.push_str(&in_quotes_of(&text[range.clone()], &other, *in_flow));
            at = range.end;
        }
    }
    new.push_str(&text[at..]);
    new
}

/// A text in the quotes of what it takes the place of, or without where that had none, as far as it can be written so.
fn in_quotes_of(old: &str, text: &str, in_flow: bool) -> String {
    let is_so = |written: &str| {
        let alone = parse(&if in_flow { format!("{{a: {written}}}") } else { format!("a: {written}") });
        alone.is_ok_and(|node| node.get("a").is_some_and(|node| node.text() == Some(text) && !node.special))
    };
    let written = match old.chars().next() {
        Some('"') => return quote(text),
        Some('\'') => format!("'{}'", text.replace('\'', "''")),
        _ => text.to_owned(),
    };
    if !text.contains(['\n', '\r']) && is_so(&written) { written } else { quote(text) }
}

/// The mapping for people: values of headers and variables are blotted out.
fn blotted(server: &Server<'_>, node: &Node) -> String {
    let mut secrets: Vec<Text> = Vec::new();
    let mut hide = |range: &Range<usize>| secrets.push((What::Url, String::new(), range.clone(), true));
    let headers = [node.get("headers"), node.get("requestOptions").and_then(|options| options.get("headers"))];
    for map in headers.into_iter().chain([node.get(server.client.env())]).flatten() {
        for (key, value) in map.map().unwrap_or_default() {
            if key.text() != Some(WRAPPED) {
                hide(&value.range);
            }
        }
    }
    if let Some(url) =
        node.get(server.client.url()).filter(|url| url.text().is_some_and(|url| url.contains(['?', '@'])))
    {
        hide(&url.range);
    }
    replaced(server.text, &secrets, |_, _| Some("***".to_owned()))
}
