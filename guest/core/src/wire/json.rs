//! JSON-RPC 2.0 envelopes: parsed once, borrowed, and changed only where a change is permitted.
//!
//! A message passes through as the text it came as. The only edits are splices at spans found here: the top-level `id`,
//! `params.requestId`, and the capabilities and version of `initialize`.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A message's envelope. The spans are byte ranges of the text it was parsed from.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub kind: Kind<'a>,
    pub params: Params<'a>,
    /// Of `result` and `error` a response has one: a `null` beside the other counts for nothing.
    pub result: Option<&'a RawValue>,
    pub error: Option<&'a RawValue>,
    /// There is such a `null`.
    has_null_twin: bool,
}

impl Envelope<'_> {
    /// The text of a response without a `null` in place of the member that it does not have: many clients and servers refuse
    /// a response that has both. `None`: there is none, and the text can pass as it is.
    pub fn without_null_twin(&self) -> Option<String> {
        let Kind::Response { id } = &self.kind else { return None };
        let (name, value) = match (self.result, self.error) {
            _ if !self.has_null_twin => return None,
            (Some(result), _) => ("result", result.get()),
            (None, error) => ("error", error?.get()),
        };
        let id = id.as_ref().map_or("null", |id| id.raw);
        Some(alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"{name}":{value}}}"#))
    }
}

/// What sort of message it is (JSON-RPC 2.0 §§ 4, 5).
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Request { id: Span<'a>, method: Cow<'a, str> },
    Notification { method: Cow<'a, str> },
    Response { id: Option<Span<'a>> },
}

/// A JSON value in a message: its text and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub raw: &'a str,
    pub start: usize,
}

impl<'a> Span<'a> {
    fn of(value: &'a RawValue, text: &str) -> Self {
        let raw = value.get();
        Self { raw, start: raw.as_ptr() as usize - text.as_ptr() as usize }
    }

    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }
}

/// Why a text is no message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not JSON: `-32700`.
    Json(String),
    /// JSON, but no JSON-RPC message: `-32600`, and the id if one can be told.
    Envelope { id: Option<String>, problem: &'static str },
    /// A batch of more messages than [`MAX_BATCH`].
    Batch,
}

/// The most messages in a batch. Each one may cost a line of log or an error, which is a hundred times the two bytes
/// that a worthless one takes.
pub(crate) const MAX_BATCH: usize = 10_000;

/// One message, or a batch of them (2025-03-26).
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made, and never kept")]
pub(crate) enum Parsed<'a> {
    One(Envelope<'a>),
    Batch(Vec<&'a str>),
}

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Params<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// The items of an array; none where there are too many.
#[derive(Deserialize)]
#[serde(transparent)]
struct Items<'a>(#[serde(borrow, deserialize_with = "items")] Option<Vec<&'a str>>);

fn items<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vec<&'de str>>, D::Error> {
    struct ItemsVisitor;

    impl<'de> Visitor<'de> for ItemsVisitor {
        type Value = Option<Vec<&'de str>>;

        fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
            to.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while items.len() < MAX_BATCH {
                match from.next_element::<&RawValue>()? {
                    Some(item) => items.push(item.get()),
                    None => return Ok(Some(items)),
                }
            }
            let mut more = false;
            while from.next_element::<IgnoredAny>()?.is_some() {
                more = true;
            }
            Ok((!more).then_some(items))
        }
    }

    from.deserialize_seq(ItemsVisitor)
}

/// The members of an object that are of interest. serde takes a list for one too, by the places of its items.
pub(crate) fn object<'a, T: Deserialize<'a>>(raw: &'a str) -> Option<T> {
    if raw.trim_ascii_start().starts_with('{') { serde_json::from_str(raw).ok() } else { None }
}

/// The members of these names in an object, raw, without those that are `null`. `None`: it is no object. One visitor serves all
/// names: each derived one would be kilobytes of WebAssembly.
pub(crate) fn members<'a, const N: usize>(raw: &'a str, names: [&str; N]) -> Option<[Option<&'a RawValue>; N]> {
    let mut found = [None; N];
    find_members(raw, &names, &mut found)?;
    Some(found)
}

/// The one member of this name, if it is there and not `null`.
pub(crate) fn member<'a>(raw: &'a str, name: &str) -> Option<&'a RawValue> {
    let [found] = members(raw, [name])?;
    found
}

fn find_members<'a>(raw: &'a str, names: &[&str], found: &mut [Option<&'a RawValue>]) -> Option<()> {
    struct Find<'n, 'f, 'a>(&'n [&'n str], &'f mut [Option<&'a RawValue>]);

    impl<'a> Visitor<'a> for Find<'_, '_, 'a> {
        type Value = ();

        fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
            to.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(name) = map.next_key::<Cow<str>>()? {
                let value: &RawValue = map.next_value()?;
                if let Some(at) = self.0.iter().position(|wanted| **wanted == *name) {
                    self.1[at] = Some(value).filter(|value| value.get() != "null");
                }
            }
            Ok(())
        }
    }

    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(raw), Find(names, found)).ok()
}

/// Keeps `null` apart from an absent member.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Parses `text`.
pub(crate) fn parse(text: &str) -> Result<Parsed<'_>, Malformed> {
    if text.trim_ascii_start().starts_with('[') {
        let Items(items) = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        return match items {
            Some(items) => Ok(Parsed::Batch(items)),
            None => Err(Malformed::Batch),
        };
    }
    let raw: RawEnvelope = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(error) => return Err(misshapen(text, &error)),
    };
    let id = raw.id.map(|id| Span::of(id, text));
    let fail = |problem| {
        let id = id.filter(|id| is_id(id.raw)).map(|id| String::from(id.raw));
        Err(Malformed::Envelope { id, problem })
    };
    if raw.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        return fail("the member jsonrpc is not \"2.0\"");
    }
    let is_null = |value: Option<&RawValue>| value.is_some_and(|value| value.get() == "null");
    let (mut result, mut error) = (raw.result, raw.error);
    let has_null_twin = result.is_some() && error.is_some() && (is_null(result) || is_null(error));
    if has_null_twin && is_null(error) {
        error = None;
    } else if has_null_twin {
        result = None;
    }
    let kind = match (raw.method, id) {
        (Some(method), Some(id)) if is_id(id.raw) => Kind::Request { id, method },
        (Some(_), Some(_)) => return fail("the id of a request must be a string or a number"),
        (Some(method), None) => Kind::Notification { method },
        (None, id) if result.is_some() != error.is_some() => Kind::Response { id: id.filter(|id| is_id(id.raw)) },
        (None, _) => return fail("it has neither a method nor one of result and error"),
    };
    Ok(Parsed::One(Envelope { kind, params: raw.params, result, error, has_null_twin }))
}

fn is_id(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

fn not_json(error: &serde_json::Error) -> Malformed {
    Malformed::Json(alloc::format!("{error}"))
}

/// What does not fit the envelope: no JSON, or JSON with a member of the wrong type, a duplicate member, not an object.
/// Syntax beyond the place of the misfit is still to be judged.
fn misshapen(text: &str, error: &serde_json::Error) -> Malformed {
    if let Err(syntax) = serde_json::from_str::<IgnoredAny>(text) {
        return not_json(&syntax);
    }
    let problem = if !text.trim_ascii_start().starts_with('{') {
        "it is not an object"
    } else if alloc::format!("{error}").starts_with("duplicate") {
        "a member stands twice"
    } else {
        "a member has the wrong type"
    };
    Malformed::Envelope { id: None, problem }
}

/// The members of `params` that the engine acts on, each as its raw text. Whatever else `params` is, is ignored.
#[derive(Debug, Default)]
pub(crate) struct Params<'a> {
    pub meta: Option<&'a RawValue>,
    pub name: Option<&'a RawValue>,
    pub uri: Option<&'a RawValue>,
    pub level: Option<&'a RawValue>,
    pub request_id: Option<&'a RawValue>,
    pub progress_token: Option<&'a RawValue>,
    pub protocol_version: Option<&'a RawValue>,
    pub cursor: Option<&'a RawValue>,
    pub task: Option<&'a RawValue>,
    pub task_id: Option<&'a RawValue>,
    pub arguments: Option<&'a RawValue>,
    pub notifications: Option<&'a RawValue>,
    pub progress: Option<&'a RawValue>,
    pub input_responses: Option<&'a RawValue>,
    pub request_state: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    /// `_meta.progressToken`, as raw text.
    pub fn own_progress_token(&self) -> Option<&'a str> {
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(borrow, rename = "progressToken")]
            token: Option<&'a RawValue>,
        }
        object::<Meta>(self.meta?.get())?.token.map(RawValue::get)
    }

    /// `progress`, if it is a number.
    pub fn progress(&self) -> Option<f64> {
        serde_json::from_str(self.progress?.get()).ok()
    }

    /// Where a value of these params stands in the message.
    pub fn span(value: &'a RawValue, text: &str) -> Span<'a> {
        Span::of(value, text)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Member {
    #[serde(rename = "_meta")]
    Meta,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "uri")]
    Uri,
    #[serde(rename = "level")]
    Level,
    #[serde(rename = "requestId")]
    RequestId,
    #[serde(rename = "progressToken")]
    ProgressToken,
    #[serde(rename = "protocolVersion")]
    ProtocolVersion,
    #[serde(rename = "cursor")]
    Cursor,
    #[serde(rename = "task")]
    Task,
    #[serde(rename = "taskId")]
    TaskId,
    #[serde(rename = "arguments")]
    Arguments,
    #[serde(rename = "notifications")]
    Notifications,
    #[serde(rename = "progress")]
    Progress,
    #[serde(rename = "inputResponses")]
    InputResponses,
    #[serde(rename = "requestState")]
    RequestState,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Params<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params<'de>;

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut params = Params::default();
        while let Some(member) = map.next_key::<Member>()? {
            let slot = match member {
                Member::Meta => &mut params.meta,
                Member::Name => &mut params.name,
                Member::Uri => &mut params.uri,
                Member::Level => &mut params.level,
                Member::RequestId => &mut params.request_id,
                Member::ProgressToken => &mut params.progress_token,
                Member::ProtocolVersion => &mut params.protocol_version,
                Member::Cursor => &mut params.cursor,
                Member::Task => &mut params.task,
                Member::TaskId => &mut params.task_id,
                Member::Arguments => &mut params.arguments,
                Member::Notifications => &mut params.notifications,
                Member::Progress => &mut params.progress,
                Member::InputResponses => &mut params.input_responses,
                Member::RequestState => &mut params.request_state,
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *slot = Some(map.next_value()?);
        }
        Ok(params)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Params::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Params::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Params::default())
    }
}

/// The cursor of the next page in a list result, as raw text (MCP, "Pagination").
pub(crate) fn next_cursor(result: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow, rename = "nextCursor")]
        next: Option<&'a RawValue>,
    }
    object::<List>(result)?.next.map(RawValue::get)
}

/// The decoded text of a raw JSON string.
pub(crate) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Without the byte order mark that some software puts before a text (RFC 8259, section 8.1: it may be ignored).
pub(crate) fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{FEFF}').unwrap_or(text)
}

/// `text` as a JSON string, quotes included.
pub(crate) fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| String::from("\"\""))
}

/// `text` with `with` in place of `range`.
pub(crate) fn splice(text: &str, range: Range<usize>, with: &str) -> String {
    let mut spliced = String::with_capacity(text.len() - range.len() + with.len());
    spliced.push_str(&text[..range.start]);
    spliced.push_str(with);
    spliced.push_str(&text[range.end..]);
    spliced
}

/// A valid JSON text on one line. Outside strings a line break is white space; inside it cannot stand.
pub(crate) fn one_line(text: String) -> String {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return text;
    }
    text.replace(['\n', '\r'], " ")
}

/// The code and message of a JSON-RPC error object.
pub(crate) fn error_of(error: &RawValue) -> (i64, String) {
    #[derive(Deserialize)]
    struct Error {
        #[serde(default)]
        code: i64,
        #[serde(default)]
        message: String,
    }
    object::<Error>(error.get()).map_or((0, String::new()), |error| (error.code, error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Envelope<'_> {
        match parse(text) {
            Ok(Parsed::One(envelope)) => envelope,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn members_are_those_of_an_object() {
        let text = r#"{"a":1,"b":null,"\u0063":[2],"a":3}"#;
        let found = members(text, ["a", "b", "c", "d"]).unwrap();
        assert_eq!(found.map(|value| value.map(RawValue::get)), [Some("3"), None, Some("[2]"), None]);
        assert_eq!(member(text, "c").map(RawValue::get), Some("[2]"));
        for none in ["[1]", "7", "null", "", "{", r#"{"a":}"#] {
            assert!(members(none, ["a"]).is_none(), "{none}");
        }
    }

    #[test]
    fn ids_keep_their_spelling_and_place() {
        for id in ["1", "-7", "1.0", "9007199254740993", "\"a\"", "\"esc\\u0061ped\"", "1e3"] {
            let text =
                alloc::format!("{{\"params\":{{\"id\":5}}, \"id\" : {id} ,\"method\":\"m\",\"jsonrpc\":\"2.0\"}}");
            let Kind::Request { id: span, method } = one(&text).kind else { panic!() };
            assert_eq!((span.raw, &*method), (id, "m"));
            assert_eq!(&text[span.range()], id);
        }
    }

    #[test]
    fn misfits_are_told_apart() {
        let problem = |text| parse(text).unwrap_err();
        assert!(matches!(problem("{"), Malformed::Json(_)));
        assert!(matches!(problem("{\"id\":1,\"id\":2,}"), Malformed::Json(_)));
        assert!(matches!(problem("nonsense"), Malformed::Json(_)));
        for text in ["1", "\"x\"", "{}", r#"{"jsonrpc":"2.0","id":1}"#, r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#] {
            assert!(matches!(problem(text), Malformed::Envelope { .. }), "{text}");
        }
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#,
        ] {
            assert!(matches!(problem(text), Malformed::Envelope { .. }), "{text}");
        }
        assert_eq!(
            problem(r#"{"id":4,"method":"m"}"#),
            Malformed::Envelope { id: Some("4".into()), problem: "the member jsonrpc is not \"2.0\"" }
        );
    }

    #[test]
    fn a_misfit_is_named() {
        for (text, named) in [
            ("17", "it is not an object"),
            ("\"x\"", "it is not an object"),
            (r#" {"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#, "a member stands twice"),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "a member has the wrong type"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "it has neither a method nor one of result and error"),
        ] {
            let Err(Malformed::Envelope { problem, .. }) = parse(text) else { panic!("{text}") };
            assert_eq!(problem, named, "{text}");
        }
    }

    #[test]
    fn a_null_beside_the_other_member_counts_for_nothing() {
        for (members, tidy) in [
            (r#""result":{},"error":null"#, Some(r#""result":{}"#)),
            (r#""error":{"code":1},"result":null"#, Some(r#""error":{"code":1}"#)),
            (r#""result":null,"error":null"#, Some(r#""result":null"#)),
            (r#""result":null"#, None),
            (r#""error":null"#, None),
        ] {
            let text = |members| alloc::format!(r#"{{"jsonrpc":"2.0","id":7,{members}}}"#);
            assert_eq!(one(&text(members)).without_null_twin(), tidy.map(text), "{members}");
        }
        assert!(parse(r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#).is_err());
    }

    #[test]
    fn params_of_any_shape_pass() {
        for params in ["null", "true", "-1", "1", "1.5", "\"s\"", "[1,[2]]", "{}", r#"{"x":{"name":1}}"#] {
            let text = alloc::format!(r#"{{"jsonrpc":"2.0","method":"m","params":{params}}}"#);
            assert!(one(&text).params.name.is_none());
        }
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":"t"},"name":"n"}}"#;
        let envelope = one(text);
        assert_eq!(envelope.params.own_progress_token(), Some("\"t\""));
        assert_eq!(envelope.params.name.and_then(string).as_deref(), Some("n"));
    }

    #[test]
    fn a_message_becomes_one_line() {
        assert_eq!(one_line("{\r\n \"a\":1}".into()), "{   \"a\":1}");
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let mut text = String::from(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"#);
        text.extend(core::iter::repeat_n('[', 200_000));
        text.extend(core::iter::repeat_n(']', 200_000));
        text.push_str("}}");
        assert!(parse(&text).is_ok());
    }

    #[test]
    fn a_batch_is_bounded() {
        let batch = |count| alloc::format!("[{}]", alloc::vec!["1"; count].join(","));
        assert!(matches!(parse(&batch(MAX_BATCH)), Ok(Parsed::Batch(items)) if items.len() == MAX_BATCH));
        assert!(matches!(parse(&batch(MAX_BATCH + 1)), Err(Malformed::Batch)));
        assert!(matches!(parse(&batch(MAX_BATCH + 1)[..2 * MAX_BATCH + 2]), Err(Malformed::Json(_))));
    }
}
