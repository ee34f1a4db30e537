//! What a message of MCP 2026-07-28 and later says about itself, and the headers that repeat it ("Transports", "Streamable
//! HTTP"): a request of these versions needs no session, because each carries its version and capabilities in `params._meta`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::wire::http::header_name_ok;
use crate::wire::json::{self, Params};
use crate::wire::spelling;

/// The first version without sessions.
pub(crate) const FIRST: &str = "2026-07-28";
/// The versions with sessions, for a client that has to be told which there are.
pub(crate) const WITH_SESSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The keys of `_meta` (and the prefix of them) that this era is made of.
pub(crate) const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";
pub(crate) const LOG_LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";
pub(crate) const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// The headers that every request and notification has.
pub(crate) fn headers(version: &str, method: &str) -> Vec<(String, String)> {
    Vec::from([
        ("mcp-protocol-version".to_string(), version.to_string()),
        ("mcp-method".to_string(), header_value(method)),
    ])
}

/// The text of a request of the engine's own. `members` are those of its params beside `_meta`, as JSON with a comma after each;
/// `meta` those of `_meta`.
pub(crate) fn request(id: u64, method: &str, members: &str, meta: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{members}"_meta":{{{meta}}}}}}}"#)
}

/// Whether this is a version of the protocol: a date.
pub(crate) fn is_version(text: &str) -> bool {
    let digits = |from: usize, to: usize| text.as_bytes()[from..to].iter().all(u8::is_ascii_digit);
    text.len() == 10 && text.is_ascii() && digits(0, 4) && digits(5, 7) && digits(8, 10) && {
        let bytes = text.as_bytes();
        bytes[4] == b'-' && bytes[7] == b'-'
    }
}

/// Whether this version has no sessions. Dates are in the order of their text.
pub(crate) fn is_modern(version: &str) -> bool {
    is_version(version) && version >= FIRST
}

/// What `params._meta` of a request says of its era.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing, or a version with sessions.
    Nothing,
    /// A version without sessions.
    Modern(Meta),
    /// Something that is no version.
    NoVersion(String),
}

/// The part of a modern request's `_meta` that is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Meta {
    pub version: String,
    /// `clientInfo`, raw.
    pub client: Option<String>,
}

/// Reads the era of a request.
pub(crate) fn said(params: &Params) -> Said {
    let found = params.meta.and_then(|meta| json::members(meta.get(), [VERSION_KEY, CLIENT_KEY]));
    let Some([Some(version), client]) = found else { return Said::Nothing };
    match json::string(version) {
        Some(version) if is_modern(&version) => {
            Said::Modern(Meta { version, client: client.map(|client| client.get().to_string()) })
        }
        Some(version) if is_version(&version) => Said::Nothing,
        _ => Said::NoVersion(crate::text::visible(version.get(), 40)),
    }
}

/// `value` as a header can carry it: as it is where that survives, else in base64. What looks like base64 of this kind is
/// encoded too, or it would be decoded.
pub(crate) fn header_value(value: &str) -> String {
    const OPEN: &str = "=?base64?";
    let survives = value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim() == value;
    let ambiguous = value.starts_with(OPEN) && value.ends_with("?=");
    if survives && !ambiguous { value.to_string() } else { format!("{OPEN}{}?=", STANDARD.encode(value)) }
}

/// Whether requests of this method have the header `Mcp-Name`.
pub(crate) fn has_name(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read" | "tasks/get" | "tasks/update" | "tasks/cancel")
}

/// The value of `Mcp-Name`, where the method has one.
pub(crate) fn name_header(method: &str, params: &Params) -> Option<String> {
    let value = match method {
        "tools/call" | "prompts/get" => params.name,
        "resources/read" => params.uri,
        _ if has_name(method) => params.task_id,
        _ => None,
    };
    Some(header_value(&json::string(value?)?))
}

/// An argument of a tool that a header repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeaderParam {
    /// The names of the properties that lead to it.
    path: Vec<String>,
    /// What follows `Mcp-Param-` in the header's name.
    name: String,
}

impl HeaderParam {
    /// What it takes to remember it, in bytes.
    pub fn size(&self) -> usize {
        self.name.len() + self.path.iter().map(String::len).sum::<usize>()
    }
}

/// The annotation in an input schema that asks for such a header.
const ANNOTATION: &str = "x-mcp-header";
/// The most of them that a tool can have: servers take about a hundred headers.
const MAX_PARAMS: usize = 64;
/// The deepest schema that is read, in schemas inside each other.
const MAX_DEPTH: usize = 64;

/// Why a tool cannot be used for its input schema; at the property with this path. Its `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SchemaError {
    /// An annotation stands where no property is reached by `properties` alone.
    Place,
    NotAString(String),
    Name(String),
    Type(String),
    Twice(String),
    TooMany,
    TooDeep,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place => write!(to, "{ANNOTATION} stands where no property is reached by \"properties\" alone"),
            Self::NotAString(at) => write!(to, "{ANNOTATION} of {at} is no string"),
            Self::Name(at) => write!(to, "{ANNOTATION} of {at} is no name for a header"),
            Self::Type(at) => write!(to, "{ANNOTATION} stands on {at}, which is no string, integer or boolean"),
            Self::Twice(at) => write!(to, "{ANNOTATION} of {at} names a header that another property has"),
            Self::TooMany => write!(to, "it has {ANNOTATION} on more than {MAX_PARAMS} properties"),
            Self::TooDeep => write!(to, "its input schema is more than {MAX_DEPTH} schemas deep"),
        }
    }
}

/// The arguments of a tool with this input schema that headers repeat, or why the tool cannot be used: annotations stand only on
/// properties that are reached by `properties` alone, hold a string, integer or boolean, and name a header once.
pub(crate) fn header_params(schema: &Value) -> Result<Vec<HeaderParam>, SchemaError> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    visit(schema, Some(Vec::new()), 0, &mut |path: Option<&[String]>, schema, annotation| {
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Err(SchemaError::Place);
        };
        let at = path.join(".");
        let Some(name) = annotation.as_str() else { return Err(SchemaError::NotAString(at)) };
        if !header_name_ok(name) {
            return Err(SchemaError::Name(at));
        }
        if !matches!(schema.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err(SchemaError::Type(at));
        }
        if names.len() >= MAX_PARAMS {
            return Err(SchemaError::TooMany);
        }
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(SchemaError::Twice(at));
        }
        found.push(HeaderParam { path: path.to_vec(), name: name.to_string() });
        Ok(())
    })?;
    Ok(found)
}

/// What is done with an annotation: the properties that lead to its schema, the schema, and the annotation.
type Visit<'a> = dyn FnMut(Option<&[String]>, &Value, &Value) -> Result<(), SchemaError> + 'a;

/// Visits every annotation in a schema. `path` is none where something else than `properties` leads to it.
fn visit(schema: &Value, path: Option<Vec<String>>, depth: usize, each: &mut Visit) -> Result<(), SchemaError> {
    let Value::Object(members) = schema else { return Ok(()) };
    if depth > MAX_DEPTH {
        return Err(SchemaError::TooDeep);
    }
    if let Some(annotation) = members.get(ANNOTATION) {
        each(path.as_deref(), schema, annotation)?;
    }
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    let path = path.clone().map(|mut path| {
                        path.push(name.clone());
                        path
                    });
                    visit(property, path, depth + 1, each)?;
                }
            }
            ("patternProperties" | "dependentSchemas" | "$defs" | "definitions", Value::Object(schemas)) => {
                for schema in schemas.values() {
                    visit(schema, None, depth + 1, each)?;
                }
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                for schema in schemas {
                    visit(schema, None, depth + 1, each)?;
                }
            }
            (
                "items"
                | "contains"
                | "unevaluatedItems"
                | "additionalProperties"
                | "propertyNames"
                | "unevaluatedProperties"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contentSchema",
                schema,
            ) => visit(schema, None, depth + 1, each)?,
            _ => {}
        }
    }
    Ok(())
}

/// The headers that repeat these arguments, where they are there and are no `null`.
pub(crate) fn param_headers(params: &[HeaderParam], arguments: &str) -> Vec<(String, String)> {
    let Ok(arguments) = serde_json::from_str::<Value>(arguments) else { return Vec::new() };
    let value = |param: &HeaderParam| {
        let found = param.path.iter().try_fold(&arguments, |value, name| value.get(name))?;
        let text = match found {
            Value::String(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => spelling::canonical(&number.to_string()),
            _ => return None,
        };
        Some((format!("mcp-param-{}", param.name), header_value(&text)))
    };
    params.iter().filter_map(value).collect()
}

/// What a page of `tools/list` says about headers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ToolsPage {
    /// The tools that have such arguments.
    pub with_params: BTreeMap<String, Vec<HeaderParam>>,
    /// The result without the tools that cannot be used, if there are any: each with the reason.
    pub edited: Option<String>,
    pub removed: Vec<(String, String)>,
}

/// Reads a page of `tools/list`. Nothing is parsed where no annotation can be.
pub(crate) fn tools_page(result: &str) -> ToolsPage {
    let mut page = ToolsPage::default();
    // Its name could be written with escapes.
    if memchr::memmem::find(result.as_bytes(), ANNOTATION.as_bytes()).is_none() && !result.contains("\\u") {
        return page;
    }
    let Some(list) = json::member(result, "tools") else { return page };
    let Ok(tools) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else { return page };
    let mut kept = Vec::with_capacity(tools.len());
    for raw in tools {
        let Some([name, schema]) = json::members(raw.get(), ["name", "inputSchema"]) else {
            kept.push(raw.get());
            continue;
        };
        let name = name.and_then(json::string).unwrap_or_default();
        let schema = schema.and_then(|schema| serde_json::from_str(schema.get()).ok()).unwrap_or(Value::Null);
        match header_params(&schema) {
            Ok(params) => {
                kept.push(raw.get());
                if !params.is_empty() {
                    page.with_params.insert(name, params);
                }
            }
            Err(reason) => page.removed.push((name, reason.to_string())),
        }
    }
    if !page.removed.is_empty() {
        let start = list.get().as_ptr() as usize - result.as_ptr() as usize;
        page.edited = Some(json::splice(result, start..start + list.get().len(), &format!("[{}]", kept.join(","))));
    }
    page
}

/// The result of `server/discover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Discovered {
    /// The versions without sessions that the server supports.
    pub versions: Vec<String>,
    /// `capabilities`, raw.
    pub capabilities: String,
    /// `serverInfo`, raw, or empty.
    pub info: String,
    /// `instructions`, raw, if there are any.
    pub instructions: Option<String>,
}

impl Discovered {
    /// Whether it is the same server, as far as it says.
    pub fn is_like(&self, other: &Self) -> bool {
        let text = |server: &Self| {
            let instructions = server.instructions.as_deref().map(spelling::canonical_value);
            (spelling::canonical_value(&server.capabilities), spelling::canonical_value(&server.info), instructions)
        };
        text(self) == text(other)
    }
}

/// Reads the result of `server/discover`. `None`: it is none.
pub(crate) fn discovered(result: &str) -> Option<Discovered> {
    let [versions, capabilities, instructions, info, meta] =
        json::members(result, ["supportedVersions", "capabilities", "instructions", "serverInfo", "_meta"])?;
    let versions: Vec<String> = serde_json::from_str(versions?.get()).ok()?;
    let own_info = meta.and_then(|meta| json::member(meta.get(), "io.modelcontextprotocol/serverInfo"));
    let text = |value: Option<&RawValue>| value.map(|value| value.get().to_string());
    Some(Discovered {
        versions: versions.into_iter().filter(|version| is_modern(version)).collect(),
        capabilities: text(capabilities).unwrap_or_else(|| "{}".to_string()),
        info: text(own_info.or(info)).unwrap_or_default(),
        instructions: text(instructions),
    })
}

/// What a client wants to hear in `subscriptions/listen`, or the server agreed to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    /// URIs, raw.
    pub uris: BTreeSet<String>,
}

impl Filter {
    /// Reads the member `notifications` of the params of a listen or of its acknowledgement.
    pub fn parse(notifications: &str) -> Self {
        let names = ["toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions"];
        let [tools, prompts, resources, uris] = json::members(notifications, names).unwrap_or_default();
        let wanted = |value: Option<&RawValue>| value.is_some_and(|value| value.get() == "true");
        let uris = uris.and_then(|uris| serde_json::from_str::<Vec<&RawValue>>(uris.get()).ok());
        Self {
            tools: wanted(tools),
            prompts: wanted(prompts),
            resources: wanted(resources),
            uris: uris.into_iter().flatten().map(|uri| uri.get().to_string()).collect(),
        }
    }

    /// The same as JSON.
    pub fn text(&self) -> String {
        let mut members = Vec::new();
        for (wanted, name) in self.lists() {
            if wanted {
                members.push(format!("\"{name}ListChanged\":true"));
            }
        }
        if !self.uris.is_empty() {
            let uris: Vec<_> = self.uris.iter().map(String::as_str).collect();
            members.push(format!("\"resourceSubscriptions\":[{}]", uris.join(",")));
        }
        format!("{{{}}}", members.join(","))
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The lists, each with whether changes of it are told.
    fn lists(&self) -> [(bool, &'static str); 3] {
        [(self.tools, "tools"), (self.prompts, "prompts"), (self.resources, "resources")]
    }

    /// The notifications that say that everything in it may have changed. `meta` is the member `_meta` of each, or empty.
    pub fn all_changed(&self, meta: &str) -> Vec<String> {
        let params = |member: &str| match (member, meta) {
            ("", "") => String::new(),
            ("", meta) => format!(r#","params":{{"_meta":{meta}}}"#),
            (member, "") => format!(r#","params":{{{member}}}"#),
            (member, meta) => format!(r#","params":{{{member},"_meta":{meta}}}"#),
        };
        let lists = self.lists().into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| {
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/{name}/list_changed"{}}}"#, params(""))
        });
        let updates = self.uris.iter().map(|uri| {
            let member = format!(r#""uri":{uri}"#);
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated"{}}}"#, params(&member))
        });
        lists.chain(updates).collect()
    }

    /// What is in both.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            tools: self.tools && other.tools,
            prompts: self.prompts && other.prompts,
            resources: self.resources && other.resources,
            uris: self.uris.intersection(&other.uris).cloned().collect(),
        }
    }

    /// What is in this one and not in the other, for people.
    pub fn missing_in(&self, other: &Self) -> Vec<String> {
        let lists = self.lists().into_iter().zip(other.lists()).filter(|((ours, _), (theirs, _))| *ours && !theirs);
        let uris = self.uris.iter().filter(|uri| !other.uris.contains(*uri)).map(|uri| crate::text::visible(uri, 100));
        lists.map(|((_, name), _)| format!("changes of {name}")).chain(uris).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_dates_and_dates_are_in_order() {
        for (text, version, modern) in [
            ("2026-07-28", true, true),
            ("2027-01-01", true, true),
            ("2026-07-27", true, false),
            ("2025-11-25", true, false),
            ("2026-7-28", false, false),
            ("DRAFT-2026", false, false),
            ("2026/07/28", false, false),
            ("2026-07/28", false, false),
            ("2026/07-28", false, false),
            ("２０２６", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_version(text), is_modern(text)), (version, modern), "{text}");
        }
    }

    #[test]
    fn values_that_do_not_survive_in_a_header_are_encoded() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("a b", "a b"),
            ("", ""),
            (" a", "=?base64?IGE=?="),
            ("a ", "=?base64?YSA=?="),
            ("\ta", "=?base64?CWE=?="),
            ("é", "=?base64?w6k=?="),
            ("a\r\nb", "=?base64?YQ0KYg==?="),
            ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
            ("=?base64?YQ==", "=?base64?YQ=="),
        ] {
            assert_eq!(header_value(value), header, "{value:?}");
        }
    }

    #[test]
    fn the_name_is_that_of_the_methods_that_have_one() {
        let params: Params = serde_json::from_str(r#"{"name":"n","uri":"u:v","taskId":"t","arguments":{}}"#).unwrap();
        for (method, name) in [
            ("tools/call", Some("n")),
            ("prompts/get", Some("n")),
            ("resources/read", Some("u:v")),
            ("tasks/get", Some("t")),
            ("tasks/update", Some("t")),
            ("tasks/cancel", Some("t")),
            ("tasks/list", None),
            ("tools/list", None),
            ("resources/subscribe", None),
        ] {
            assert_eq!(name_header(method, &params).as_deref(), name, "{method}");
            assert_eq!(has_name(method), name.is_some(), "{method}");
        }
    }

    fn schema(text: &str) -> Result<Vec<String>, SchemaError> {
        let params = header_params(&serde_json::from_str(text).unwrap())?;
        Ok(params.into_iter().map(|param| format!("{}:{}", param.path.join("."), param.name)).collect())
    }

    #[test]
    fn annotations_stand_where_they_may() {
        let on = |property: &str| schema(&format!(r#"{{"type":"object","properties":{{"p":{property}}}}}"#));
        assert_eq!(on(r#"{"type":"string","x-mcp-header":"Region"}"#), Ok(Vec::from(["p:Region".to_string()])));
        assert_eq!(
            on(r#"{"type":"object","properties":{"q":{"type":"integer","x-mcp-header":"N"}}}"#),
            Ok(Vec::from(["p.q:N".to_string()]))
        );
        assert_eq!(on(r#"{"type":"string","default":{"x-mcp-header":"no schema"}}"#), Ok(Vec::new()));
        for (property, reason) in [
            (r#"{"type":"string","x-mcp-header":""}"#, "no name"),
            (r#"{"type":"string","x-mcp-header":"a b"}"#, "no name"),
            (r#"{"type":"string","x-mcp-header":"a:b"}"#, "no name"),
            (r#"{"type":"string","x-mcp-header":"é"}"#, "no name"),
            (r#"{"type":"string","x-mcp-header":7}"#, "no string"),
            (r#"{"type":"number","x-mcp-header":"A"}"#, "no string, integer"),
            (r#"{"type":"object","x-mcp-header":"A"}"#, "no string, integer"),
            (r#"{"type":["string","null"],"x-mcp-header":"A"}"#, "no string, integer"),
            (r#"{"x-mcp-header":"A"}"#, "no string, integer"),
            (r#"{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#, "alone"),
            (r#"{"anyOf":[{"type":"string","x-mcp-header":"A"}]}"#, "alone"),
        ] {
            let told = on(property).unwrap_err().to_string();
            assert!(told.contains(reason), "{property}: {told}");
        }
        let twice =
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#;
        assert!(schema(twice).unwrap_err().to_string().contains("another property"));
        assert!(schema(r#"{"type":"string","x-mcp-header":"A"}"#).unwrap_err().to_string().contains("alone"));
        let many: Vec<_> = (0..65).map(|n| format!(r#""p{n}":{{"type":"string","x-mcp-header":"P{n}"}}"#)).collect();
        assert!(
            schema(&format!(r#"{{"properties":{{{}}}}}"#, many.join(",")))
                .unwrap_err()
                .to_string()
                .contains("more than 64")
        );
        for (open, close) in [
            (r#"{"properties":{"p":"#, "}}"),
            (r#"{"patternProperties":{"p":"#, "}}"),
            (r#"{"$defs":{"p":"#, "}}"),
            (r#"{"allOf":["#, "]}"),
            (r#"{"items":"#, "}"),
        ] {
            let deep = |above| {
                let (before, after) = (r#"{"items":"#.repeat(above), "}".repeat(above));
                schema(&format!("{before}{open}{{}}{close}{after}"))
            };
            assert_eq!(deep(MAX_DEPTH - 1), Ok(Vec::new()), "{open}");
            assert!(deep(MAX_DEPTH).unwrap_err().to_string().contains("deep"), "{open}");
        }
        let pattern = r#"{"patternProperties":{"p":{"type":"string","x-mcp-header":"A"}}}"#;
        assert!(schema(pattern).unwrap_err().to_string().contains("alone"));
    }

    #[test]
    fn headers_repeat_what_is_there() {
        let schema = r#"{"properties":{"s":{"type":"string","x-mcp-header":"S"},"n":{"type":"integer","x-mcp-header":"N"},
            "b":{"type":"boolean","x-mcp-header":"B"},"z":{"type":"string","x-mcp-header":"Z"},
            "o":{"type":"object","properties":{"i":{"type":"string","x-mcp-header":"I"}}}}}"#;
        let params = header_params(&serde_json::from_str(schema).unwrap()).unwrap();
        let mut headers = param_headers(&params, r#"{"s":"é","n":5.0,"b":false,"z":null,"o":{"i":"x"}}"#);
        headers.sort();
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(
            headers,
            [
                pair("mcp-param-B", "false"),
                pair("mcp-param-I", "x"),
                pair("mcp-param-N", "5"),
                pair("mcp-param-S", "=?base64?w6k=?="),
            ]
        );
        assert_eq!(param_headers(&params, "[]"), []);
    }

    #[test]
    fn tools_that_cannot_be_used_are_taken_out_and_the_rest_stays_as_it_came() {
        let good = r#"{ "name":"good", "inputSchema":{"properties":{"p":{"type":"string","x-mcp-header":"P"}}}}"#;
        let plain = r#"{"name":"plain","inputSchema":{}}"#;
        let bad = r#"{"name":"bad","inputSchema":{"properties":{"p":{"type":"string","x-mcp-header":""}}}}"#;
        let page = tools_page(&format!(r#"{{"x":1,"tools":[{good},{bad},{plain}],"nextCursor":"c"}}"#));
        assert_eq!(page.edited, Some(format!(r#"{{"x":1,"tools":[{good},{plain}],"nextCursor":"c"}}"#)));
        assert_eq!(page.removed[0].0, "bad");
        assert_eq!(page.with_params.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(tools_page(&format!(r#"{{"tools":[{plain}]}}"#)), ToolsPage::default());
        let escaped = good.replace("x-mcp-header", r"x-mcp-h\u0065ader");
        assert_eq!(tools_page(&format!(r#"{{"tools":[{escaped}]}}"#)).with_params, page.with_params);
        assert_eq!(page.with_params["good"][0].size(), 2, "the name of the property and of the header");
    }

    #[test]
    fn filters_are_read_and_written() {
        let text = r#"{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["a","b"]}"#;
        let filter = Filter::parse(text);
        assert_eq!(filter.text(), text);
        assert!(Filter::parse(r#"{"toolsListChanged":false}"#).is_empty() && Filter::parse("7").is_empty());
        assert_eq!(filter.all_changed("").len(), 4);
        assert_eq!(
            filter.all_changed(r#"{"i":1}"#)[2],
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a","_meta":{"i":1}}}"#
        );
        let each = ["tools", "prompts", "resources"].map(|of| Filter::parse(&format!(r#"{{"{of}ListChanged":true}}"#)));
        for (at, one) in each.iter().enumerate() {
            for (other_at, other) in each.iter().enumerate() {
                assert_eq!(one.and(other).is_empty(), at != other_at);
            }
        }
        assert_eq!(filter.missing_in(&Filter::parse(r#"{"toolsListChanged":true}"#)).len(), 3);
    }
}
