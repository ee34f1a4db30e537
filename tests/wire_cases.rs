//! The answers of `tests/cases/wire.json`, byte for byte, under each host: they must not differ.

mod support;

use serde::Deserialize;
use serde_json::json;
use support::bridge::Bridge;
use support::script::{Outcome, Script};
use support::{is_component, tests_folder};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    response: String,
    /// The code of the error. None: the call has its result.
    error: Option<i64>,
    #[serde(default)]
    says: String,
    /// What the npm package makes of it, where Node's parser leaves no choice, and its transport, where the runtime's `fetch` leaves none:
    /// `host/node/test/wire.test.mjs` looks.
    #[serde(default, rename = "node")]
    _node: Option<Expected>,
    #[serde(default, rename = "fetch")]
    _fetch: Option<Expected>,
    /// What the component makes of it in stock Wasmtime, whose HTTP client is not ours.
    wasmtime: Option<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    error: Option<i64>,
    #[serde(default)]
    says: String,
}

/// How such a list begins, and the text of one of this length.
type List = (&'static str, fn(usize) -> String);

/// `{len}` and `{hex}` are the length of `{body}`; `{x*N}` is N times x; `{headers*N}` and `{hints*N}` are N headers and responses of
/// status 103. A character is a byte.
fn filled(pattern: &str, body: &str) -> Vec<u8> {
    let mut text = pattern.replace("{len}", &body.len().to_string()).replace("{hex}", &format!("{:x}", body.len()));
    text = text.replace("{body}", body);
    let lists: [List; 3] = [
        ("{x*", |count| "x".repeat(count)),
        ("{headers*", |count| (0..count).map(|number| format!("x-{number}: y\r\n")).collect()),
        ("{hints*", |count| "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n".repeat(count)),
    ];
    for (begin, list) in lists {
        while let Some((before, rest)) = text.split_once(begin) {
            let (count, after) = rest.split_once('}').expect("a closing brace");
            text = format!("{before}{}{after}", list(count.parse().expect("a number")));
        }
    }
    text.chars().map(|c| u8::try_from(c).expect("a byte")).collect()
}

#[test]
fn answers_are_read_alike() {
    let cases = std::fs::read_to_string(tests_folder().join("cases/wire.json")).expect("it is readable");
    let cases: Vec<Case> = serde_json::from_str(&cases).expect("they are cases");
    let mut wrong = Vec::new();
    for Case { name, response, error, says, wasmtime, .. } in cases {
        let Expected { error, says } = wasmtime.filter(|_| is_component()).unwrap_or(Expected { error, says });
        let server = Script::http()
            .without_stream()
            .on(move |call, reply| match call.kind {
                "tools/call" => {
                    let body = call.response(json!({"content": []})).to_string();
                    Outcome::Done(reply.raw(&filled(&response, &body)))
                }
                _ => Outcome::Good(reply),
            })
            .start();
        let mut bridge = Bridge::connected(&[&server.url()]);
        let call = bridge.request("tools/call", json!({"name": "wire"}));
        let answer = bridge.answer(&call);
        bridge.finish();
        let (code, text) = (answer["error"]["code"].as_i64(), answer.to_string());
        // A stock runtime has words of its own, and says most of them to nobody.
        if code != error || !is_component() && !text.contains(&says) {
            wrong.push(format!("{name}: {text:.500}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
