//! The servers of Codex: `~/.codex/config.toml`, a table `[mcp_servers.NAME]` each. `toml_edit` says where everything stands; what
//! changes is replaced in the text, so that every other byte stays.

use std::ops::Range;

use jsonc_parser::ast::Value as Json;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use toml_edit::{Document, Item, Table, TableLike};

use super::config::Dialect;
use super::entry::{self, Entry, Verdict, WRAPPED};
use super::style::quote;

/// Members of a remote server, of which the bridge's form has its own.
const REMOTE: [&str; 4] = ["url", "bearer_token_env_var", "http_headers", "env_http_headers"];

/// What stands for a secret that is shown.
const HIDDEN: &str = "***";

/// One server's table with the tables below it.
pub struct Server<'a> {
    pub name: String,
    pub range: Range<usize>,
    /// From its header to the end of its last member.
    text: &'a str,
    line_end: &'static str,
}

/// What is found in a file: servers, and names of those in a form that is not understood.
pub struct Found<'a> {
    pub servers: Vec<Server<'a>>,
    pub others: Vec<(String, String)>,
}

/// Finds the servers.
pub fn find(text: &str) -> Result<Found<'_>, String> {
    let document = Document::parse(text).map_err(|error| {
        let problem = error.message().lines().next().unwrap_or_default().to_owned();
        format!("it is not valid TOML: {problem}; nothing was changed")
    })?;
    let servers = document.get("mcp_servers").and_then(Item::as_table_like);
    let servers = servers.ok_or("it has no \"mcp_servers\"; nothing was changed")?;
    let mut headers = Vec::new();
    collect(document.as_table(), &mut Vec::new(), &mut headers);
    headers.sort_by_key(|(at, _)| *at);
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut found = Found { servers: Vec::new(), others: Vec::new() };
    for (name, item) in servers.iter() {
        let path = ["mcp_servers", name];
        let own = |(_, other): &&(usize, Vec<String>)| other.iter().zip(path).all(|(a, b)| a == b) && other.len() >= 2;
        let start = headers.iter().position(|(_, other)| *other == path);
        let (Some(first), Some(_)) = (start, item.as_table().filter(|table| !table.is_dotted())) else {
            let why = format!("it is not written as a table of its own; write it under [mcp_servers.{name}]");
            found.others.push((name.to_owned(), why));
            continue;
        };
        let count = headers[first..].iter().take_while(own).count();
        if headers.iter().filter(own).count() != count {
            let why = "its tables do not follow each other; put them together".to_owned();
            found.others.push((name.to_owned(), why));
            continue;
        }
        let start = headers[first].0;
        let end = headers.get(first + count).map_or(text.len(), |(at, _)| *at);
        let range = start..start + members(&text[start..end]);
        found.servers.push(Server { name: name.to_owned(), text: &text[range.clone()], range, line_end });
    }
    Ok(found)
}

/// Where each table's header stands, with the table's path.
fn collect(table: &Table, path: &mut Vec<String>, headers: &mut Vec<(usize, Vec<String>)>) {
    for (name, item) in table.iter() {
        path.push(name.to_owned());
        let below: Vec<&Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter().collect(),
            _ => Vec::new(),
        };
        for table in below {
            if let Some(span) = table.span().filter(|_| !table.is_implicit() && !table.is_dotted()) {
                headers.push((span.start, path.clone()));
            }
            collect(table, path, headers);
        }
        path.pop();
    }
}

/// The length of the text without the blank lines and comments at its end, which belong to what follows.
fn members(text: &str) -> usize {
    let mut end = text.len();
    for line in text.split_inclusive('\n').rev() {
        if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            return end - (line.len() - line.trim_end().len());
        }
        end -= line.len();
    }
    end
}

/// Makes a server go through the bridge.
pub fn wrap(server: &Server<'_>, command: &[String]) -> Verdict {
    let Some((_, table)) = parsed(server.text, &server.name) else { return unread() };
    if variable(&table, WRAPPED).is_some() {
        return Verdict::Already;
    }
    if table.contains_key("command") {
        return Verdict::Local;
    }
    match (wrapped(server, command, false), wrapped(server, command, true)) {
        (Ok(new), Ok(after)) => Verdict::Changed { new, before: blotted(server, &table), after },
        (Err(reason), _) | (_, Err(reason)) => Verdict::Skipped(reason),
    }
}

/// Gives a server its own table back.
pub fn unwrap(server: &Server<'_>) -> Verdict {
    let Some((_, table)) = parsed(server.text, &server.name) else { return unread() };
    let Some(stored) = variable(&table, WRAPPED) else {
        return if table.contains_key("command") { Verdict::Local } else { Verdict::Already };
    };
    match restored(server, &table, &stored) {
        Ok((new, after)) => Verdict::Changed { new, before: blotted(server, &table), after },
        Err(reason) => Verdict::Skipped(reason),
    }
}

fn unread() -> Verdict {
    Verdict::Skipped("it cannot be read apart from the rest of the file".into())
}

/// The table of a server, with where everything stands in its own text.
fn parsed<'t>(text: &'t str, name: &str) -> Option<(Document<&'t str>, Table)> {
    let document = Document::parse(text).ok()?;
    let table = document.get("mcp_servers")?.get(name)?.as_table()?.clone();
    Some((document, table))
}

fn variable(table: &Table, name: &str) -> Option<String> {
    table.get("env")?.as_table_like()?.get(name)?.as_str().map(str::to_owned)
}

/// A text that goes through the environment: name of the header, or none for the URL; value; where it stands.
type Text = (Option<String>, String, Range<usize>);

/// The texts of a server that go through the environment.
fn texts(table: &Table) -> Result<Vec<Text>, String> {
    let url = table.get("url").ok_or("it has neither a command nor a URL")?;
    let text = |item: &Item, what: &str| match (item.as_str(), item.span()) {
        (Some(text), Some(span)) => Ok((text.to_owned(), span)),
        _ => Err(format!("{what} is not a text")),
    };
    let (value, span) = text(url, "its url")?;
    let mut texts = vec![(None, value, span)];
    for (name, item) in pairs(table, "http_headers")? {
        let (value, span) = text(item, "one of its http_headers")?;
        texts.push((Some(name), value, span));
    }
    Ok(texts)
}

fn pairs<'t>(table: &'t Table, member: &str) -> Result<Vec<(String, &'t Item)>, String> {
    let Some(item) = table.get(member) else { return Ok(Vec::new()) };
    let inner: &dyn TableLike = item.as_table_like().ok_or_else(|| format!("its {member} is not a table"))?;
    Ok(inner.iter().map(|(name, item)| (name.to_owned(), item)).collect())
}

/// The table of the bridge; `shown`: without what may be secret.
fn wrapped(server: &Server<'_>, command: &[String], shown: bool) -> Result<String, String> {
    let (_, table) = parsed(server.text, &server.name).ok_or("it cannot be read apart from the rest of the file")?;
    let texts = texts(&table)?;
    // What the bridge is to be told is decided where it is for the other clients.
    let headers: serde_json::Map<_, _> =
        texts.iter().filter_map(|(name, value, _)| Some((name.clone()?, value.as_str().into()))).collect();
    let json = serde_json::json!({"url": texts[0].1, "headers": headers}).to_string();
    let read = parse_to_ast(&json, &CollectOptions::default(), &ParseOptions::default());
    let Ok(Some(Json::Object(object))) = read.map(|read| read.value) else { return Err("it cannot be read".into()) };
    let entry = Entry::new(&json, object, Dialect::McpServers);
    let (of_the_bridge, variables, _) = entry::bridge(&entry, &server.name)?;

    let mut args = command.get(1..).unwrap_or_default().to_vec();
    let mut passed = Vec::new();
    if let Some(item) = table.get("bearer_token_env_var") {
        let name = item.as_str().ok_or("its bearer_token_env_var is not a text")?;
        args.extend(["--header".to_owned(), format!("Authorization: Bearer ${{{name}}}")]);
        passed.push(name.to_owned());
    }
    for (header, item) in pairs(&table, "env_http_headers")? {
        let name = item.as_str().ok_or("one of its env_http_headers is not a text")?;
        args.extend(["--header-env".to_owned(), format!("{header}={name}")]);
        passed.push(name.to_owned());
    }
    args.extend(of_the_bridge);

    let mut lines = vec![
        server.text.lines().next().unwrap_or_default().to_owned(),
        format!("command = {}", quote(command.first().map_or("", String::as_str))),
        format!("args = {}", list(&args)),
    ];
    if !passed.is_empty() {
        lines.push(format!("env_vars = {}", list(&passed)));
    }
    for (name, item) in table.iter().filter(|(name, _)| !REMOTE.contains(name)) {
        let span = item.span().filter(|_| item.is_value() && !["env", "args", "env_vars"].contains(&name));
        let start = table.key(name).and_then(|key| key.span()).map(|span| span.start);
        let (Some(start), Some(span)) = (start, span) else {
            return Err(format!("its \"{name}\" is not understood"));
        };
        lines.push(server.text[start..span.end].to_owned());
    }
    lines.push(String::new());
    lines.push(format!("[mcp_servers.{}.env]", quote(&server.name)));
    // The names of variables that stand for values, by which they are found again.
    let name_of = |header: &Option<String>| {
        let wanted = header.as_ref().map(|header| format!("{header}="));
        let option = |word: &String| match &wanted {
            Some(start) => word.strip_prefix(start.as_str()).map(str::to_owned),
            None => (word == entry::URL).then(|| word.clone()),
        };
        args.iter().filter_map(option).find(|name| variables.iter().any(|(other, _)| other == name))
    };
    let stored = replaced(server.text, &texts, |header, _| name_of(header).map(|name| format!("@{name}")));
    for (name, value) in &variables {
        let value = quote(if shown { HIDDEN } else { value });
        lines.push(format!("{name} = {value}"));
    }
    let before = command.get(1..).unwrap_or_default();
    lines.push(format!("{WRAPPED} = {}", quote(&entry::prefixed(before, &stored))));
    Ok(lines.join(server.line_end))
}

/// The table as it was, and the same without what may be secret.
fn restored(server: &Server<'_>, table: &Table, stored: &str) -> Result<(String, String), String> {
    let damaged = || format!("what was stored in its {WRAPPED} is damaged; take the server from the backup");
    let (before, stored) = entry::parts(stored);
    let (_, original) = parsed(stored, &server.name).ok_or_else(damaged)?;
    let texts = texts(&original).map_err(|_| damaged())?;
    let carried =
        |text: &str| text.strip_prefix('@').filter(|name| name.starts_with(entry::VARIABLE)).map(str::to_owned);
    for (_, text, _) in &texts {
        if let Some(name) = carried(text).filter(|name| variable(table, name).is_none()) {
            return Err(format!(
                "its env has no {name} any more, where a value was kept; take the server from the backup"
            ));
        }
    }
    let write = |shown: bool| {
        replaced(stored, &texts, |_, text| {
            let value = variable(table, &carried(text)?)?;
            Some(if shown { HIDDEN.to_owned() } else { value })
        })
    };
    let whole = write(false);
    let program = table.get("command").and_then(Item::as_str).unwrap_or_default();
    let command = [&[program.to_owned()][..], &before].concat();
    let again = Server { name: server.name.clone(), range: 0..whole.len(), text: &whole, line_end: server.line_end };
    if wrapped(&again, &command, false).as_deref() != Ok(server.text) {
        return Err(
            "it is not as wrap wrote it, and what was changed would be lost; change it back but for the values in \
                    its env, or take the server from the backup"
                .into(),
        );
    }
    Ok((whole, write(true)))
}

/// The text with some of the values replaced.
fn replaced(
    text: &str,
    texts: &[(Option<String>, String, Range<usize>)],
    by: impl Fn(&Option<String>, &str) -> Option<String>,
) -> String {
    let mut sorted: Vec<_> = texts.iter().collect();
    sorted.sort_by_key(|(_, _, span)| span.start);
    let (mut new, mut at) = (String::new(), 0);
    for (header, value, span) in sorted {
        if let Some(other) = by(header, value) {
            new.push_str(&text[at..span.start]);
            new.push_str(&in_quotes_of(&text[span.clone()], &other));
            at = span.end;
        }
    }
    new.push_str(&text[at..]);
    new
}

/// A text in quotation marks, in those of what it takes the place of where these can hold it.
fn in_quotes_of(old: &str, text: &str) -> String {
    let literal = old.starts_with('\'') && !old.starts_with("\'\'\'");
    // TOML 1.0, "literal-char".
    let plain = text.chars().all(|c| matches!(c, '\t' | ' '..='&' | '('..='~' | '\u{80}'..));
    if literal && plain { format!("'{text}'") } else { quote(text) }
}

/// The table for people: values of headers and variables are blotted out.
fn blotted(server: &Server<'_>, table: &Table) -> String {
    let mut secrets: Vec<(Option<String>, String, Range<usize>)> = Vec::new();
    for member in ["http_headers", "env"] {
        for (name, item) in pairs(table, member).unwrap_or_default() {
            if let Some(span) = item.span().filter(|_| name != WRAPPED) {
                secrets.push((Some(name), String::new(), span));
            }
        }
    }
    if let Some(url) = table.get("url").filter(|url| url.as_str().is_some_and(|url| url.contains(['?', '@']))) {
        secrets.extend(url.span().map(|span| (None, String::new(), span)));
    }
    replaced(server.text, &secrets, |_, _| Some(HIDDEN.to_owned()))
}

/// A list of texts: JSON's form is TOML's too.
fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", "))
}
