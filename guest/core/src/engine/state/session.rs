//! What is known about the client and about the session: `initialize` as it was asked and answered, and what the server
//! said of itself.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::state::progress_tokens::TaskPart;
use crate::engine::state::requests::RequestKey;
use crate::engine::state::translation::{OwnListen, Translation};
use crate::wire::json::{object, present, splice};
use crate::wire::spelling::canonical_value;
use crate::wire::url::Url;
use crate::{ExchangeId, Instant, SessionInfo, Transport};

/// The client's side of the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// Its last `initialize`.
    pub initialize: Option<Initialize>,
    /// What it was told in answer.
    pub answered: Option<Answered>,
    /// It sent `notifications/initialized`, or what implies it.
    pub initialized: bool,
    /// The lists changed and it has not been told.
    pub lists_changed: bool,
    /// It was told by a provisional result that there are tools, prompts and resources.
    pub promised: bool,
    /// The protocol version that it was told. Sessions that it does not hear of may speak another one for a while.
    pub negotiated: Option<String>,
}

/// A captured `initialize` request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Initialize {
    pub text: String,
    pub id_at: Range<usize>,
    /// Where the value of `params.protocolVersion` stands.
    pub version_at: Option<Range<usize>>,
}

impl Initialize {
    /// The version it asks for, or empty.
    pub fn version(&self) -> String {
        self.version_at.clone().and_then(|at| serde_json::from_str(&self.text[at]).ok()).unwrap_or_default()
    }

    /// The message to send: with the engine's id, and the version that was negotiated with the client.
    pub fn to_wire(&self, id: u64, version: Option<&str>) -> String {
        let mut edits: Vec<(Range<usize>, String)> = Vec::from([(self.id_at.clone(), id.to_string())]);
        if let (Some(at), Some(version)) = (self.version_at.clone(), version) {
            edits.push((at, crate::wire::json::quote(version)));
        }
        edit(&self.text, edits)
    }
}

/// What the client was told about the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Answered {
    pub server: Server,
    /// The engine made it up, because the server was not there.
    pub provisional: bool,
}

/// What an initialize result says, in the parts that are compared and used. JSON values are kept in one spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub version: String,
    pub name: String,
    pub release: String,
    pub capabilities: String,
    pub info: String,
    pub instructions: String,
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    pub logging: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawResult<'a> {
    protocol_version: String,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default)]
    server_info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    instructions: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct RawCapabilities<'a> {
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    resources: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logging: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct RawInfo {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

/// Why an initialize result is none. Its `Display` is for people.
#[derive(Debug)]
pub(crate) enum ResultError {
    NotAnObject,
    Form(serde_json::Error),
    Version,
}

impl fmt::Display for ResultError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => to.write_str("the initialize result is not an object"),
            Self::Form(error) => write!(to, "the initialize result is not one: {error}"),
            Self::Version => to.write_str("the initialize result names a protocol version that is not one"),
        }
    }
}

impl Server {
    /// Reads an initialize result.
    pub fn parse(result: &str) -> Result<Self, ResultError> {
        if !result.trim_start().starts_with('{') {
            return Err(ResultError::NotAnObject);
        }
        let raw: RawResult = serde_json::from_str(result).map_err(ResultError::Form)?;
        let text = |value: Option<&RawValue>| value.map_or_else(String::new, |value| canonical_value(value.get()));
        let can: RawCapabilities = raw.capabilities.and_then(|value| object(value.get())).unwrap_or_default();
        let info: RawInfo = raw.server_info.and_then(|value| object(value.get())).unwrap_or_default();
        // The version goes into a header of every request that follows.
        if !crate::wire::http::header_value_ok(&raw.protocol_version) || raw.protocol_version.len() > 64 {
            return Err(ResultError::Version);
        }
        Ok(Self {
            version: raw.protocol_version,
            name: info.name,
            release: info.version,
            tools: can.tools.is_some(),
            prompts: can.prompts.is_some(),
            resources: can.resources.is_some(),
            logging: can.logging.is_some(),
            capabilities: text(raw.capabilities),
            info: text(raw.server_info),
            instructions: text(raw.instructions),
        })
    }

    /// The method of a list that the server declared, to see whether it answers.
    pub fn list_method(&self) -> Option<&'static str> {
        if self.tools {
            Some("tools/list")
        } else if self.prompts {
            Some("prompts/list")
        } else if self.resources {
            Some("resources/list")
        } else {
            None
        }
    }

    /// The notifications that tell a client to list again.
    pub fn list_changes(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.tools, "notifications/tools/list_changed"),
            (self.prompts, "notifications/prompts/list_changed"),
            (self.resources, "notifications/resources/list_changed"),
        ]
        .into_iter()
        .filter_map(|(declared, method)| declared.then_some(method))
    }
}

/// An initialize response with `listChanged: true` in each capability declared that has lists: clients ignore
/// `list_changed` unless it was declared, and after a restart the engine sends it.
pub(crate) fn declare_list_changed(response: &str, result: &RawValue) -> String {
    let mut edits = Vec::new();
    let capabilities = object::<RawResult>(result.get()).and_then(|raw| raw.capabilities);
    let declared = capabilities.and_then(|raw| object::<RawCapabilities>(raw.get()));
    for capability in declared.iter().flat_map(|raw| [raw.tools, raw.prompts, raw.resources]).flatten() {
        #[derive(Deserialize)]
        struct Capability<'a> {
            #[serde(borrow, default, rename = "listChanged", deserialize_with = "present")]
            list_changed: Option<&'a RawValue>,
        }
        let raw = capability.get();
        let start = raw.as_ptr() as usize - response.as_ptr() as usize;
        match serde_json::from_str::<Capability>(raw) {
            Ok(Capability { list_changed: Some(value) }) => {
                let at = value.get().as_ptr() as usize - response.as_ptr() as usize;
                edits.push((at..at + value.get().len(), String::from("true")));
            }
            Ok(Capability { list_changed: None }) if raw.starts_with('{') => {
                let empty = raw[1..raw.len() - 1].trim().is_empty();
                let end = start + raw.len() - 1;
                edits.push((
                    end..end,
                    String::from(if empty { r#""listChanged":true"# } else { r#","listChanged":true"# }),
                ));
            }
            _ => {}
        }
    }
    edit(response, edits)
}

/// Applies edits that do not overlap.
pub(crate) fn edit(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(at, _)| core::cmp::Reverse(at.start));
    let mut text = String::from(text);
    for (at, with) in edits {
        text = splice(&text, at, &with);
    }
    text
}

/// A session with the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub epoch: u64,
    pub transport: Transport,
    /// `Mcp-Session-Id`.
    pub id: Option<String>,
    /// HTTP+SSE: where to POST.
    pub endpoint: Option<Url>,
    pub server: Server,
    pub since: Instant,
    /// The server says something else of itself than in the session before.
    pub server_changed: bool,
    /// The server has taken `notifications/initialized`.
    pub initialized: bool,
    /// A request of the client was answered in it.
    pub progress: bool,
    pub standalone: Standalone,
    /// The server speaks a version without sessions: this one is the client's only.
    pub translation: Option<Translation>,
    /// A stream of notifications of the engine's own takes the place of the standalone one.
    pub own_listen: Option<OwnListen>,
    /// An answer was looked into, and the session was found to live.
    pub verified: bool,
    /// It refuses pings and answers lists.
    pub refuses_pings: bool,
    /// Words of the server that proved to be about something else than the session, and when.
    known_answer: Option<(String, Instant)>,
}

/// For so long the same words of the server are not verified again.
const KNOWN_ANSWER: Duration = Duration::from_secs(10);
/// So much of them is compared, in bytes.
const MAX_KNOWN_ANSWER: usize = 256;

impl Session {
    pub fn new(epoch: u64, transport: Transport, server: Server, since: Instant) -> Self {
        Self {
            epoch,
            transport,
            id: None,
            endpoint: None,
            server,
            since,
            server_changed: false,
            initialized: false,
            progress: false,
            standalone: Standalone::default(),
            translation: None,
            own_listen: None,
            verified: false,
            refuses_pings: false,
            known_answer: None,
        }
    }

    /// These words were answered while the session lived.
    pub fn know_answer(&mut self, said: &str, now: Instant) {
        self.known_answer = Some((said[..said.floor_char_boundary(MAX_KNOWN_ANSWER)].to_string(), now));
    }

    /// Whether they were, a moment ago.
    pub fn is_known_answer(&self, said: &str, now: Instant) -> bool {
        self.known_answer.as_ref().is_some_and(|(known, at)| {
            now < *at + KNOWN_ANSWER && said[..said.floor_char_boundary(MAX_KNOWN_ANSWER)] == *known
        })
    }

    pub fn info(&self) -> SessionInfo {
        SessionInfo {
            epoch: self.epoch,
            transport: self.transport,
            protocol_version: self.server.version.clone(),
            server_name: self.server.name.clone(),
            server_version: self.server.release.clone(),
            has_session_id: self.id.is_some(),
        }
    }
}

/// The standalone GET stream of Streamable HTTP. It is optional: its loss is not the session's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Standalone {
    pub exchange: Option<ExchangeId>,
    /// There was one in this session.
    pub opened: bool,
    /// When the one that is open was opened.
    pub opened_at: Option<Instant>,
    /// The server has none.
    pub absent: bool,
    /// It was refused for the credentials: other ones are another chance.
    pub denied: bool,
    pub cursor: Option<String>,
    pub retry: Option<Duration>,
    /// Openings in a row that failed.
    pub failures: u32,
}

/// What the server said of its tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ToolHints {
    /// Whether a tool may be called twice, by its name.
    pub tools: BTreeMap<String, bool>,
}

/// The most tools whose annotations are kept.
const MAX_TOOLS: usize = 10_000;

impl ToolHints {
    /// Learns from the result of a `tools/list`.
    pub fn learn_tools(&mut self, result: &str) {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            tools: Vec<Tool>,
        }
        #[derive(Deserialize)]
        struct Tool {
            name: String,
            #[serde(default)]
            annotations: Option<Annotations>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Annotations {
            #[serde(default)]
            read_only_hint: Option<bool>,
            #[serde(default)]
            idempotent_hint: Option<bool>,
        }
        let Some(list) = object::<List>(result) else { return };
        for tool in list.tools {
            let safe = tool
                .annotations
                .is_some_and(|hints| hints.read_only_hint == Some(true) || hints.idempotent_hint == Some(true));
            if self.tools.len() < MAX_TOOLS || self.tools.contains_key(&tool.name) {
                self.tools.insert(tool.name, safe);
            }
        }
    }
}

/// A request of the server that the client has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServerRequest {
    pub epoch: u64,
    /// Its id as the server spelt it.
    pub id: String,
    /// The token under which the client may report progress, in one spelling.
    pub progress_token: Option<String>,
    /// What it has to do with tasks.
    pub task: TaskPart,
    /// It came in the result of this request, under this name; its answer goes out with the request.
    pub input: Option<(RequestKey, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(response: &str) -> String {
        #[derive(Deserialize)]
        struct Response<'a> {
            #[serde(borrow)]
            result: &'a RawValue,
        }
        let raw: Response = serde_json::from_str(response).unwrap();
        declare_list_changed(response, raw.result)
    }

    #[test]
    fn list_changed_is_declared_where_there_are_lists_and_nowhere_else() {
        for (from, to) in [
            (r#"{"tools":{}}"#, r#"{"tools":{"listChanged":true}}"#),
            (r#"{"tools":{"listChanged":null}}"#, r#"{"tools":{"listChanged":true}}"#),
            (r#"{"tools":{"listChanged":false}}"#, r#"{"tools":{"listChanged":true}}"#),
            (
                r#"{"resources":{"subscribe":true}, "tools": { }}"#,
                r#"{"resources":{"subscribe":true,"listChanged":true}, "tools": { "listChanged":true}}"#,
            ),
            (r#"{"logging":{},"x":{"tools":{}}}"#, r#"{"logging":{},"x":{"tools":{}}}"#),
            (r#"{"prompts":true}"#, r#"{"prompts":true}"#),
            (r#"{"tools":[]}"#, r#"{"tools":[]}"#),
        ] {
            let response = |capabilities: &str| {
                alloc::format!(
                    r#"{{"result":{{"protocolVersion":"2025-06-18","capabilities":{capabilities}}},"id":1}}"#
                )
            };
            assert_eq!(declared(&response(from)), response(to));
        }
    }

    #[test]
    fn initialize_asks_again_for_what_was_negotiated() {
        let text = r#"{"id":"a","params":{"protocolVersion":"2025-11-25"},"method":"initialize"}"#;
        let at = |part: &str| text.find(part).map(|start| start..start + part.len()).unwrap();
        let initialize = Initialize { text: text.into(), id_at: at("\"a\""), version_at: Some(at("\"2025-11-25\"")) };
        assert_eq!(initialize.version(), "2025-11-25");
        assert_eq!(
            initialize.to_wire(7, Some("2025-06-18")),
            r#"{"id":7,"params":{"protocolVersion":"2025-06-18"},"method":"initialize"}"#
        );
    }

    #[test]
    fn a_version_that_would_break_a_header_is_refused() {
        assert!(Server::parse(r#"{"protocolVersion":"2025\r\nx: y"}"#).is_err());
        assert!(Server::parse(r#"{"capabilities":{}}"#).is_err());
        assert!(Server::parse(r#"{"protocolVersion":"2025-06-18"}"#).is_ok());
        for (length, taken) in [(64, true), (65, false), (66, false)] {
            let result = alloc::format!(r#"{{"protocolVersion":"{}"}}"#, "2".repeat(length));
            assert_eq!(Server::parse(&result).is_ok(), taken, "{length}");
        }
    }

    #[test]
    fn so_many_tools_are_remembered_and_no_more() {
        let list = |range: Range<usize>, hints: &str| {
            let tools: Vec<_> =
                range.map(|tool| alloc::format!(r#"{{"name":"{tool}","annotations":{{{hints}}}}}"#)).collect();
            alloc::format!(r#"{{"tools":[{}]}}"#, tools.join(","))
        };
        let mut known = ToolHints::default();
        known.learn_tools(&list(0..10_001, ""));
        assert_eq!(known.tools.len(), 10_000);
        // What is known is still kept up to date.
        known.learn_tools(&list(0..1, r#""readOnlyHint":true"#));
        assert_eq!((known.tools.len(), known.tools["0"]), (10_000, true));
    }

    #[test]
    fn annotations_are_learned() {
        let mut known = ToolHints::default();
        known.learn_tools(
            r#"{"tools":[{"name":"a","annotations":{"readOnlyHint":true}},{"name":"b"},
                {"name":"c","annotations":{"readOnlyHint":false,"idempotentHint":true}}]}"#,
        );
        assert_eq!(
            known.tools.into_iter().collect::<Vec<_>>(),
            [("a".into(), true), ("b".into(), false), ("c".into(), true)]
        );
    }

    #[test]
    fn an_answer_is_known_for_a_while_and_by_its_beginning() {
        let mut session = Session::new(1, Transport::StreamableHttp, Server::default(), Instant::ZERO);
        assert!(!session.is_known_answer("gone", Instant::ZERO));
        session.know_answer("gone", Instant::ZERO);
        let end = Instant::ZERO + KNOWN_ANSWER;
        let last = Instant::ZERO + (KNOWN_ANSWER - core::time::Duration::from_nanos(1));
        for (said, at, known) in [
            ("gone", Instant::ZERO, true),
            ("gone", last, true),
            ("gone", end, false),
            ("other", last, false),
            ("other", end, false),
        ] {
            assert_eq!(session.is_known_answer(said, at), known, "{said} {at:?}");
        }
    }
}
