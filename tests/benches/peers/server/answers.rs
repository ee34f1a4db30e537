//! What the server knows of MCP: enough for `initialize`, a list and three tools.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The bytes of text that a plain call carries each way, so that a message is about 1 KB.
pub const PADDING: usize = 900;

/// The versions of MCP that it speaks; the first is what others get.
const VERSIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

/// The bytes of text in a notification of the tool `notify`.
const NOTE: usize = 100;

const TOOLS: &str = r#"{"tools":[
{"name":"echo","description":"Text for a number","inputSchema":{"type":"object","properties":{"number":{"type":"integer"},"padding":{"type":"string"}}}},
{"name":"big","description":"Much text","inputSchema":{"type":"object","properties":{"number":{"type":"integer"},"bytes":{"type":"integer"}}}},
{"name":"notify","description":"Many notifications, then text","inputSchema":{"type":"object","properties":{"number":{"type":"integer"},"count":{"type":"integer"}}}}]}"#;

/// A message of the client.
#[derive(Deserialize)]
pub struct Message<'a> {
    /// Its id as it stands there; a notification has none.
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    /// A client's answer has none.
    #[serde(borrow)]
    pub method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    arguments: Arguments,
}

#[derive(Deserialize)]
struct Arguments {
    number: u64,
    #[serde(default)]
    bytes: usize,
    #[serde(default)]
    count: usize,
}

#[derive(Deserialize)]
struct Initialize<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    protocol_version: Cow<'a, str>,
}

/// What is sent back for a request.
pub struct Reply {
    /// How many notifications come first.
    pub notes: usize,
    /// The answer's JSON, in pieces.
    pub pieces: Vec<Bytes>,
}

impl Message<'_> {
    /// The answer, if it is a request.
    pub fn reply(&self, texts: &Texts) -> Option<Reply> {
        let id = self.id?.get();
        let method = self.method.as_deref()?;
        let mut notes = 0;
        let result = match method {
            "initialize" => {
                let asked = parameters::<Initialize<'_>>(self.params);
                let asked = asked.as_ref().map(|asked| asked.protocol_version.as_ref());
                let version = asked.filter(|version| VERSIONS.contains(version)).unwrap_or(VERSIONS[0]);
                format!(
                    r#"{{"protocolVersion":"{version}","capabilities":{{"tools":{{"listChanged":true}},"logging":{{}}}},"serverInfo":{{"name":"bench","version":"1"}}}}"#
                )
            }
            "server/discover" => {
                r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"bench","version":"1"}}}"#.to_owned()
            }
            "ping" | "logging/setLevel" => "{}".to_owned(),
            "tools/list" => TOOLS.replace('\n', ""),
            "tools/call" => {
                let Some(Call { name, arguments }) = parameters(self.params) else {
                    return Some(error(id, -32602, "Invalid arguments"));
                };
                let bytes = match name.as_ref() {
                    "big" => arguments.bytes,
                    _ => PADDING,
                };
                notes = if name == "notify" { arguments.count } else { 0 };
                let head = format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{} "#,
                    arguments.number
                );
                let pieces = vec![head.into(), texts.of(bytes), Bytes::from_static(br#""}],"isError":false}}"#)];
                return Some(Reply { notes, pieces });
            }
            _ => return Some(error(id, -32601, "Method not found")),
        };
        Some(Reply { notes, pieces: vec![format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into()] })
    }
}

fn parameters<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(params?.get()).ok()
}

fn error(id: &str, code: i32, message: &str) -> Reply {
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#);
    Reply { notes: 0, pieces: vec![text.into()] }
}

/// The notification of this number.
pub fn note(number: usize) -> String {
    let text = "z".repeat(NOTE);
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","logger":"bench","data":"note {number} {text}"}}}}"#
    )
}

/// Texts of any length as they stand in JSON, each made once, so that making them is not measured.
#[derive(Default)]
pub struct Texts(Mutex<HashMap<usize, Bytes>>);

impl Texts {
    fn of(&self, bytes: usize) -> Bytes {
        self.0.lock().expect("no panic").entry(bytes).or_insert_with(|| text(bytes)).clone()
    }
}

/// Lines of 80 characters with an escaped line feed each, like a file that a tool has read.
fn text(bytes: usize) -> Bytes {
    let line = "The quick brown fox jumps over the lazy dog; 0123456789 and so on, to the end.\\n";
    line.bytes().cycle().take(bytes - bytes % line.len()).chain(std::iter::repeat_n(b'y', bytes % line.len())).collect()
}
