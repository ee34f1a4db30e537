//! One server's entry: from the remote form to the bridge and back.
//!
//! The entry as it was is kept in the entry's own `env`, under [`WRAPPED`], because that is the one place in which every client
//! tolerates what it does not know. Its header values are not in there: they are in the `env` variables from which the bridge
//! takes them, and come back from there, so that what was changed meanwhile (a new token) is not lost.

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use mcp_reconnect_core::http::{header_name_ok, set_by_transport};
use mcp_reconnect_core::url::Url;

use super::config::Dialect;
use super::style::{Style, quote};

/// The variable that holds the entry as it was.
pub const WRAPPED: &str = "MCP_RECONNECT_WRAPPED";
/// The variable for a URL that may hold a secret.
pub(super) const URL: &str = "MCP_RECONNECT_URL";
/// The beginning of all of them.
pub(super) const VARIABLE: &str = "MCP_RECONNECT_";
/// The beginning of the variables for headers.
const HEADER: &str = "MCP_RECONNECT_HEADER_";
/// Variables that begin so and are options of the bridge: `MCP_RECONNECT_HEADER_COMMAND` is run.
const RESERVED: [&str; 4] = [
    "MCP_RECONNECT_HEADER_COMMAND",
    "MCP_RECONNECT_HEADER_ENV",
    "MCP_RECONNECT_HEADER_FILE",
    "MCP_RECONNECT_HEADER_TIMEOUT",
];
/// What stands for a secret that is shown.
const BLOTTED: &str = "\"***\"";
/// Members that say what a server is, of which the bridge's form has its own.
const REMOTE: [&str; 8] = ["type", "transport", "url", "serverUrl", "httpUrl", "headers", "headersHelper", "oauth"];
const BRIDGE: [&str; 5] = ["type", "command", "args", "env", "environment"];
/// What clients replace in texts, and how it is stored so that they do not: in a JSON text both spellings mean the same.
const EXPANDED: [(&str, &str); 3] = [("${", "$\\u007b"), ("{env:", "\\u007benv:"), ("{file:", "\\u007bfile:")];

/// A server's entry.
pub struct Entry<'a> {
    text: &'a str,
    object: Object<'a>,
    dialect: Dialect,
}

/// What is to be done with an entry.
pub enum Verdict {
    /// It becomes `new`; without secrets it was `before` and becomes `after`.
    Changed {
        new: String,
        before: String,
        after: String,
    },
    Already,
    Skipped(String),
    Local,
}

/// A value that goes through the environment.
pub(super) struct Carried<'a> {
    variable: String,
    value: &'a str,
    /// Where it stands in the file.
    start: usize,
    end: usize,
}

impl<'a> Entry<'a> {
    /// An object in the text.
    pub fn new(text: &'a str, object: Object<'a>, dialect: Dialect) -> Self {
        Self { text, object, dialect }
    }

    fn string(&self, name: &str) -> Option<&str> {
        self.object.get_string(name).map(|value| &*value.value)
    }

    fn raw(&self) -> &'a str {
        &self.text[self.object.start()..self.object.end()]
    }

    /// The members but those named, as they are written.
    fn others(&self, but: &[&str]) -> Vec<(String, String)> {
        let other = self.object.properties.iter().filter(|property| !but.contains(&property.name.as_str()));
        other.map(|property| (property.name.as_str().to_owned(), property.value.text(self.text).to_owned())).collect()
    }

    /// It with the carried values replaced.
    fn with(&self, carried: &[Carried<'_>], by: impl Fn(&Carried<'_>) -> String) -> String {
        let mut sorted: Vec<_> = carried.iter().collect();
        sorted.sort_by_key(|carried| carried.start);
        let (mut text, mut at) = (String::new(), self.object.start());
        for value in sorted {
            text.push_str(&self.text[at..value.start]);
            text.push_str(&by(value));
            at = value.end;
        }
        text.push_str(&self.text[at..self.object.end()]);
        text
    }

    /// The variables of a local server.
    fn variables(&self) -> Option<&Object<'a>> {
        self.object.get_object(env_member(self.dialect))
    }

    fn env(&self, name: &str) -> Option<&str> {
        self.variables()?.get_string(name).map(|value| &*value.value)
    }

    /// The arguments of a local server; one that is no text is none.
    fn arguments(&self) -> Option<Vec<Option<String>>> {
        let text =
            |value: &Value<'_>| if let Value::StringLit(text) = value { Some(text.value.to_string()) } else { None };
        let (member, skipped) = if self.dialect == Dialect::OpenCode { ("command", 1) } else { ("args", 0) };
        let all = self.object.get_array(member)?;
        Some(all.elements.iter().skip(skipped).map(text).collect())
    }
}

/// Where a local server's variables are.
fn env_member(dialect: Dialect) -> &'static str {
    if dialect == Dialect::OpenCode { "environment" } else { "env" }
}

/// Makes a remote server go through the bridge, which `command` starts: a program, and arguments that go before the bridge's.
pub fn wrap(entry: &Entry<'_>, name: &str, command: &[String], style: &Style) -> Verdict {
    if entry.env(WRAPPED).is_some() {
        return Verdict::Already;
    }
    if entry.object.get("command").is_some() || entry.string("type") == Some("stdio") {
        return Verdict::Local;
    }
    match bridge(entry, name) {
        Err(reason) => Verdict::Skipped(reason),
        Ok((args, mut env, carried)) => {
            let stored = entry.with(&carried, |carried| quote(&reference(&carried.variable)));
            let before = command.get(1..).unwrap_or_default();
            env.push((WRAPPED.to_owned(), conceal(&prefixed(before, &stored))));
            let args = [before, &args].concat();
            let others = entry.others(&REMOTE);
            let write = |shown: bool| {
                let value = |name: &str, value: &str| match name {
                    WRAPPED => quote(value),
                    _ if shown => BLOTTED.to_owned(),
                    _ => quote(value),
                };
                let env: Vec<_> = env.iter().map(|(name, text)| (name.clone(), value(name, text))).collect();
                let mut members = Vec::new();
                if entry.object.get("type").is_some() {
                    let local = if entry.dialect == Dialect::OpenCode { "local" } else { "stdio" };
                    members.push(("type".to_owned(), quote(local)));
                }
                let program = command.first().map_or("", String::as_str);
                if entry.dialect == Dialect::OpenCode {
                    let words = [&[program.to_owned()][..], &args].concat();
                    members.push(("command".to_owned(), style.array(1, &words)));
                } else {
                    members.push(("command".to_owned(), quote(program)));
                    members.push(("args".to_owned(), style.array(1, &args)));
                }
                members.push((env_member(entry.dialect).to_owned(), style.object(1, &env)));
                members.extend(others.iter().cloned());
                style.object(0, &members)
            };
            Verdict::Changed {
                new: write(false),
                before: entry.with(&carried, |_| BLOTTED.to_owned()),
                after: write(true),
            }
        }
    }
}

/// Arguments and environment of the bridge, and what of the entry is in the latter.
pub(super) type Bridge<'a> = (Vec<String>, Vec<(String, String)>, Vec<Carried<'a>>);

/// How the bridge is to be started for this server. An error says why it cannot be.
pub(super) fn bridge<'a>(entry: &'a Entry<'_>, name: &str) -> Result<Bridge<'a>, String> {
    if entry.object.get("auth").is_some() {
        return Err("it has \"auth\" settings: the client logs in, which the bridge cannot do for it".into());
    }
    for local in ["env", "environment", "args"] {
        if entry.object.get(local).is_some() {
            return Err(format!("a remote server with \"{local}\" is not understood"));
        }
    }
    let member = ["url", "serverUrl", "httpUrl"].into_iter().find(|name| entry.object.get(name).is_some());
    let member = member.ok_or("it has neither a command nor a URL")?;
    let url = entry.object.get_string(member).ok_or_else(|| format!("its {member} is not a text"))?;
    let mut args = Vec::new();
    let kind = entry.string("type").or_else(|| entry.string("transport"));
    let transport = match (kind, member) {
        // VS Code takes HTTP+SSE under this name too.
        (Some("http"), _) if entry.dialect == Dialect::VsCode => None,
        (Some("remote"), _) if entry.dialect == Dialect::OpenCode => None,
        (Some("http" | "streamable-http" | "streamableHttp" | "streamable_http"), _) | (None, "httpUrl") => {
            Some("http")
        }
        (Some("sse"), _) => Some("sse"),
        (None, _) => None,
        (Some(other), _) => return Err(format!("its type \"{other}\" is none that the bridge speaks")),
    };
    if let Some(transport) = transport {
        args.extend(["--transport".to_owned(), transport.to_owned()]);
    }
    let mut env: Vec<(String, String)> = Vec::new();
    let mut carried = Vec::new();
    if let Some(headers) = entry.object.get("headers") {
        let Value::Object(headers) = &headers.value else { return Err("its headers are not an object".into()) };
        for header in &headers.properties {
            let header_name = header.name.as_str();
            let Value::StringLit(value) = &header.value else {
                return Err(format!("its header \"{header_name}\" has a value that is not a text"));
            };
            if !header_name_ok(header_name) {
                return Err("one of its headers has a name that is none".into());
            }
            // The bridge sets it by itself, and refuses another.
            if set_by_transport(header_name) {
                continue;
            }
            let variable = variable_for(header_name, &env);
            args.extend(["--header-env".to_owned(), format!("{header_name}={variable}")]);
            env.push((variable.clone(), value.value.to_string()));
            carried.push(Carried { variable, value: &value.value, start: value.range.start, end: value.range.end });
        }
    }
    args.extend(oauth(entry)?);
    if let Some(helper) = entry.object.get("headersHelper") {
        let Value::StringLit(helper) = &helper.value else { return Err("its headersHelper is not a text".into()) };
        // In an argument the client would expand it, and the value would be in the process list.
        if is_expanded(&helper.value) {
            return Err("its headersHelper holds ${…}, which the client would expand in an argument; write $VAR".into());
        }
        args.extend(["--header-command".to_owned(), helper.value.to_string()]);
        // What Claude Code tells such a command.
        env.push(("CLAUDE_CODE_MCP_SERVER_NAME".to_owned(), name.to_owned()));
        env.push(("CLAUDE_CODE_MCP_SERVER_URL".to_owned(), url.value.to_string()));
    }
    let expanded = is_expanded(&url.value);
    if !expanded {
        Url::parse(&url.value).map_err(|problem| format!("its URL is not usable: {problem}"))?;
    }
    if expanded || url.value.contains('?') {
        args.extend(["--url-env".to_owned(), URL.to_owned()]);
        env.push((URL.to_owned(), url.value.to_string()));
        carried.push(Carried {
            variable: URL.to_owned(),
            value: &url.value,
            start: url.range.start,
            end: url.range.end,
        });
    } else {
        args.push(url.value.to_string());
    }
    Ok((args, env, carried))
}

/// The options for the `oauth` settings of Claude Code. What the client has got by its own sign-in stays with it: the bridge
/// signs in by itself.
fn oauth(entry: &Entry<'_>) -> Result<Vec<String>, String> {
    let Some(settings) = entry.object.get("oauth") else { return Ok(Vec::new()) };
    let unknown = |what: &str| {
        format!(
            "its \"oauth\" has {what}, which the bridge cannot take over; to sign in through it: mcp-reconnect login URL"
        )
    };
    let settings = match &settings.value {
        Value::Object(settings) => settings,
        // Of opencode: no sign-in.
        Value::BooleanLit(wanted) if !wanted.value => return Ok(vec!["--oauth".to_owned(), "off".to_owned()]),
        _ => return Err(unknown("a value that is not an object")),
    };
    let mut args = Vec::new();
    for setting in &settings.properties {
        let name = setting.name.as_str();
        let mut give = |option: &str, value: &str| args.extend([option.to_owned(), value.to_owned()]);
        match (name, &setting.value) {
            ("clientId", Value::StringLit(id)) => give("--oauth-client-id", &id.value),
            ("authServerMetadataUrl", Value::StringLit(url)) => give("--oauth-metadata-url", &url.value),
            ("scopes" | "scope", Value::StringLit(scopes)) => give("--oauth-scope", &scopes.value),
            ("callbackPort", Value::NumberLit(port)) if port.value.parse::<u16>().is_ok() => {
                give("--oauth-port", port.value);
                // That client registers `http://localhost:PORT/callback`.
                give("--oauth-redirect-host", "localhost");
            }
            (name, _) => return Err(unknown(&format!("\"{name}\""))),
        }
    }
    // In an argument the client would expand it.
    if args.iter().any(|word| is_expanded(word)) {
        return Err(unknown("a value that the client expands"));
    }
    Ok(args)
}

/// A variable for a header that is not taken yet.
fn variable_for(header: &str, taken: &[(String, String)]) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name = format!("{HEADER}{}", header.chars().map(upper).collect::<String>());
    let is_free = |name: &String| !RESERVED.contains(&&**name) && !taken.iter().any(|(other, _)| other == name);
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name)
}

/// What stands in the stored entry for a value that is in this variable.
fn reference(variable: &str) -> String {
    format!("@{variable}")
}

/// Whether a client replaces something in the text.
fn is_expanded(text: &str) -> bool {
    EXPANDED.iter().any(|(written, _)| text.contains(written))
}

/// Keeps clients from expanding what is stored.
fn conceal(stored: &str) -> String {
    EXPANDED.iter().fold(stored.to_owned(), |text, (written, concealed)| text.replace(written, concealed))
}

fn reveal(stored: &str) -> String {
    EXPANDED.iter().fold(stored.to_owned(), |text, (written, concealed)| text.replace(concealed, written))
}

/// What is stored: the arguments that go before the bridge's on a line of their own, if there are some, and the entry.
pub(super) fn prefixed(before: &[String], entry: &str) -> String {
    // A list of texts has always a JSON form.
    if before.is_empty() { entry.to_owned() } else { format!("{}\n{entry}", serde_json::json!(before)) }
}

/// The two parts of it. An entry in TOML begins with a bracket too, but is no list.
pub(super) fn parts(stored: &str) -> (Vec<String>, &str) {
    let list = stored.split_once('\n').and_then(|(first, rest)| Some((serde_json::from_str(first).ok()?, rest)));
    list.unwrap_or((Vec::new(), stored))
}

/// Gives a server its own entry back.
pub fn unwrap(entry: &Entry<'_>, style: &Style) -> Verdict {
    let Some(stored) = entry.env(WRAPPED) else {
        return if entry.object.get("command").is_some() { Verdict::Local } else { Verdict::Already };
    };
    match restore(entry, &reveal(stored), style) {
        Ok((new, after)) => Verdict::Changed { new, before: blotted(entry), after },
        Err(problem) => Verdict::Skipped(problem),
    }
}

/// The entry without the values of its variables.
fn blotted(entry: &Entry<'_>) -> String {
    let Some(env) = entry.variables() else { return entry.raw().to_owned() };
    let mut carried = Vec::new();
    for property in &env.properties {
        if let Value::StringLit(value) = &property.value
            && property.name.as_str() != WRAPPED
        {
            let (start, end) = (value.range.start, value.range.end);
            carried.push(Carried { variable: String::new(), value: &value.value, start, end });
        }
    }
    entry.with(&carried, |_| BLOTTED.to_owned())
}

/// The original entry, and the same without secrets.
fn restore(entry: &Entry<'_>, stored: &str, style: &Style) -> Result<(String, String), String> {
    let damaged = || format!("what was stored in its {WRAPPED} is damaged; take the entry from the backup");
    let (before, stored) = parts(stored);
    let parsed = parse_to_ast(stored, &CollectOptions::default(), &ParseOptions::default()).map_err(|_| damaged())?;
    let Some(Value::Object(object)) = parsed.value else { return Err(damaged()) };
    let original = Entry::new(stored, object, entry.dialect);
    let mut carried = Vec::new();
    for (start, end, text) in texts(&original.object) {
        let Some(variable) = text.strip_prefix('@').filter(|name| *name == URL || name.starts_with(HEADER)) else {
            continue;
        };
        let value = entry.env(variable).ok_or_else(|| {
            format!("its env has no {variable} any more, where a value was kept; take the entry from the backup")
        })?;
        carried.push(Carried { variable: variable.to_owned(), value, start, end });
    }
    // Members that are neither the one's nor the other's are the user's, and may have changed.
    let (now, then) = (entry.others(&BRIDGE), original.others(&REMOTE));
    if let Some((name, _)) = now.iter().find(|(name, _)| REMOTE.contains(&name.as_str())) {
        return Err(format!("it has a \"{name}\" beside its command; remove one of them"));
    }
    if !is_untouched(entry, &before, &original.with(&carried, |carried| quote(carried.value))) {
        return Err(
            "its args or the names in its env are not as wrap wrote them, and would be lost; change them back, or \
                    take the entry from the backup"
                .into(),
        );
    }
    let write = |shown: bool| -> String {
        let value = |carried: &Carried<'_>| if shown { BLOTTED.to_owned() } else { quote(carried.value) };
        let whole = original.with(&carried, value);
        if now == then {
            return whole;
        }
        rebuilt(&whole, &now, &then, style).unwrap_or(whole)
    };
    Ok((write(false), write(true)))
}

/// Whether the arguments, and the variables but for their values, are those that lead to the original.
fn is_untouched(entry: &Entry<'_>, before: &[String], whole: &str) -> bool {
    let Ok(parsed) = parse_to_ast(whole, &CollectOptions::default(), &ParseOptions::default()) else { return false };
    let Some(Value::Object(object)) = parsed.value else { return false };
    let original = Entry::new(whole, object, entry.dialect);
    let Ok((args, env, _)) = bridge(&original, "") else { return false };
    let wanted_args: Vec<_> = before.iter().chain(&args).map(|arg| Some(arg.clone())).collect();
    let wanted_env: Vec<_> = env.iter().map(|(name, _)| name.as_str()).chain([WRAPPED]).collect();
    let names = |env: &Object<'_>| env.properties.iter().map(|one| one.name.as_str().to_owned()).collect::<Vec<_>>();
    entry.arguments().is_some_and(|args| args == wanted_args)
        && entry.variables().is_some_and(|env| names(env) == wanted_env)
}

/// The original with the user's members as they are now.
fn rebuilt(whole: &str, now: &[(String, String)], then: &[(String, String)], style: &Style) -> Option<String> {
    let parsed = parse_to_ast(whole, &CollectOptions::default(), &ParseOptions::default()).ok()?;
    let object = parsed.value?.as_object()?.clone();
    let mut members = Vec::new();
    for (name, value) in Entry::new(whole, object, Dialect::McpServers).others(&[]) {
        let current = now.iter().find(|(other, _)| *other == name);
        match (current, REMOTE.contains(&name.as_str())) {
            (_, true) => members.push((name, value)),
            (Some((_, value)), false) => members.push((name, value.clone())),
            (None, false) => {}
        }
    }
    members.extend(now.iter().filter(|(name, _)| !then.iter().any(|(other, _)| other == name)).cloned());
    Some(style.object(0, &members))
}

/// The texts that may stand for carried values: the URL's and the headers'.
fn texts<'b>(object: &'b Object<'_>) -> Vec<(usize, usize, &'b str)> {
    let mut texts = Vec::new();
    for property in &object.properties {
        match &property.value {
            Value::StringLit(value) => texts.push((value.range.start, value.range.end, &*value.value)),
            Value::Object(headers) if property.name.as_str() == "headers" => {
                for header in &headers.properties {
                    if let Value::StringLit(value) = &header.value {
                        texts.push((value.range.start, value.range.end, &*value.value));
                    }
                }
            }
            _ => {}
        }
    }
    texts
}
