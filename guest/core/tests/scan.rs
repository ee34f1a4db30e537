//! The scanner for messages that are too large to keep: a table of cases, agreement with serde_json, any chunking.

use mcp_reconnect_core::scan::{Scanned, ScannedBatch, Scanner};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn scan(chunks: &[&[u8]]) -> Scanned {
    let mut scanner = Scanner::new();
    for chunk in chunks {
        scanner.feed(chunk);
    }
    scanner.finish()
}

/// The text; its `id` as written, its `method`, and whether it is a response.
type Case = (&'static str, Option<&'static str>, Option<&'static str>, bool);

const CASES: &[Case] = &[
    ("", None, None, false),
    (" \t\r\n", None, None, false),
    ("{}", None, None, false),
    (r#"{"id":1}"#, Some("1"), None, false),
    ("\r\n\t { \"id\" \n: \t1 \r, \"method\" : \"a\" } \n", Some("1"), Some("a"), false),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"id":2,"method":"x","result":1}}"#,
        Some("1"),
        Some("tools/call"),
        false,
    ),
    (
        r#"{"method":"tools/call","params":[{"id":2},{"method":"x"}],"id":"abc"}"#,
        Some("\"abc\""),
        Some("tools/call"),
        false,
    ),
    // Responses.
    (r#"{"id":1,"result":{"id":2}}"#, Some("1"), None, true),
    (r#"{"error":{"code":-1,"message":"}"},"id":1}"#, Some("1"), None, true),
    (r#"{"result":null}"#, None, None, true),
    (r#"{"results":1,"errors":2,"resul":3,"Error":4}"#, None, None, false),
    (r#"{"x":"result","result ":1}"#, None, None, false),
    // Ids are kept as they are written.
    (r#"{"id":-1.50e+10}"#, Some("-1.50e+10"), None, false),
    (r#"{"id":1e999}"#, Some("1e999"), None, false),
    (r#"{"id":9007199254740993}"#, Some("9007199254740993"), None, false),
    (r#"{"id":"\u0061\"\\\n"}"#, Some(r#""\u0061\"\\\n""#), None, false),
    (r#"{"id":"日本"}"#, Some("\"日本\""), None, false),
    (r#"{"id":""}"#, Some("\"\""), None, false),
    // What is no id.
    (r#"{"id":null}"#, None, None, false),
    (r#"{"id":true}"#, None, None, false),
    (r#"{"id":[1]}"#, None, None, false),
    (r#"{"id":{"id":1}}"#, None, None, false),
    (r#"{"id":01}"#, None, None, false),
    (r#"{"id":1.}"#, None, None, false),
    (r#"{"id":NaN}"#, None, None, false),
    (r#"{"id":"\x"}"#, None, None, false),
    ("{\"id\":\"a\nb\"}", None, None, false),
    // A method is decoded.
    (r#"{"method":"tools\/c\u0061ll"}"#, None, Some("tools/call"), false),
    (r#"{"method":""}"#, None, Some(""), false),
    (r#"{"method":1}"#, None, None, false),
    (r#"{"method":["x"]}"#, None, None, false),
    (r#"{"method":"\ud800"}"#, None, None, false),
    // Brackets, quotes and backslashes in strings.
    (r#"{"a":"}{][\"\\","b":{"c":"}\\","d":["]"]},"id":1}"#, Some("1"), None, false),
    (r#"{"a\"":1,"id\\":2,"\"id":3,"id":4}"#, Some("4"), None, false),
    (r#"{"\u0069d":1}"#, Some("1"), None, false),
    (
        r#"{"\u006d\u0065\u0074\u0068\u006f\u0064":"m","\u0072esult":1,"idd":3,"\ud800":4,"methods":5}"#,
        None,
        Some("m"),
        true,
    ),
    ("\u{FEFF}{\"id\":1}", Some("1"), None, false),
    (r#"{"a":[[[[{"b":[]}]]]],"id":1}"#, Some("1"), None, false),
    // The last of equal keys counts.
    (r#"{"id":1,"id":2}"#, Some("2"), None, false),
    (r#"{"id":1,"id":null}"#, None, None, false),
    (r#"{"id":1,"id":[]}"#, None, None, false),
    (r#"{"method":"a","method":"b"}"#, None, Some("b"), false),
    // Not an object.
    (r#""{\"id\":1}""#, None, None, false),
    ("1", None, None, false),
    (r#"x{"id":1}"#, None, None, false),
    (r#"{"id":1}{"id":2,"result":1}"#, Some("1"), None, false),
    (r#"{"a":1}],"id":1"#, None, None, false),
    // Truncated or malformed: what was complete counts.
    (r#"{"id":1,"method":"a","par"#, Some("1"), Some("a"), false),
    (r#"{"id":1,"result":{"#, Some("1"), None, true),
    (r#"{"id":1"#, None, None, false),
    (r#"{"id":"a"#, None, None, false),
    (r#"{"id""#, None, None, false),
    (r#"{"id":1 2,"method":"a"}"#, Some("1"), None, false),
    (r#"{"id",1,"method":"a"}"#, None, None, false),
    (r#"{"id":,"method":"a"}"#, None, None, false),
    (r#"{"a":},"id":1}"#, None, None, false),
    (r#"{id:1,"method":"a"}"#, None, None, false),
    (r#"{"id":1;"method":"a"}"#, None, None, false),
];

#[test]
fn the_table_holds_in_one_piece_and_byte_by_byte_and_in_any_two_pieces() {
    for &(text, id, method, is_response) in CASES {
        let expected = Scanned {
            id: id.map(Into::into),
            method: method.map(Into::into),
            is_response,
            batch: None,
            bytes: text.len() as u64,
        };
        let bytes = text.as_bytes();
        assert_eq!(scan(&[bytes]), expected, "{text}, in one piece");
        assert_eq!(scan(&bytes.chunks(1).collect::<Vec<_>>()), expected, "{text}, byte by byte");
        for split in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(split);
            assert_eq!(scan(&[head, b"", tail]), expected, "{text}, split at {split}");
        }
    }
}

#[test]
fn ids_and_methods_of_256_bytes_are_kept_and_longer_ones_are_absent() {
    let (longest, too_long) = ("x".repeat(254), "x".repeat(255));
    let number = "1".repeat(256);
    for size in [1, 100, usize::MAX] {
        let scan = |text: &str| scan(&text.as_bytes().chunks(size).collect::<Vec<_>>());
        let kept = scan(&format!(r#"{{"id":"{longest}","method":"{longest}","a":1}}"#));
        assert_eq!((kept.id, kept.method), (Some(format!("\"{longest}\"")), Some(longest.clone())));
        let absent = scan(&format!(r#"{{"id":"{too_long}","method":"{too_long}","result":1}}"#));
        assert_eq!((absent.id, absent.method, absent.is_response), (None, None, true));
        assert_eq!(scan(&format!(r#"{{"id":{number}}}"#)).id, Some(number.clone()));
        assert_eq!(scan(&format!(r#"{{"id":{number}1}}"#)).id, None);
        assert_eq!(scan(&format!(r#"{{"id":1,"id":{number}1}}"#)).id, None);
        let after = scan(&format!(r#"{{"{too_long}":1,"id":{number}1,"id":2,"method":"a"}}"#));
        assert_eq!((after.id.as_deref(), after.method.as_deref()), (Some("2"), Some("a")));
    }
}

#[test]
fn bytes_that_are_not_utf8_make_an_id_absent_and_nothing_else() {
    let scanned = scan(&[b"{\"\xFF\":\"\xFF\",\"id\":\"\xFF\",\"method\":\"a\"}"]);
    assert_eq!((scanned.id, scanned.method.as_deref()), (None, Some("a")));
}

#[test]
fn nesting_has_no_limit() {
    let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(scan(&[format!(r#"{{"a":{open}{close},"id":1}}"#).as_bytes()]).id.as_deref(), Some("1"));
}

#[test]
fn of_a_batch_64_responses_are_kept_and_that_there_are_more_is_told() {
    for (count, more) in [(0, false), (64, false), (65, true), (10_000, true)] {
        let items: Vec<_> = (0..count).map(|id| format!(r#"{{"id":{id},"result":{{}}}}"#)).collect();
        let batch = scan(&[format!("[{}]", items.join(" ,")).as_bytes()]).batch.expect("it is a batch");
        let kept: Vec<_> = (0..count.min(64)).map(|id| id.to_string()).collect();
        assert_eq!((batch.responses, batch.more), (kept, more), "{count}");
    }
    for (text, responses, more) in [
        (r#"[{"id":1,"result":{}},{"id":2,"result":"cut o"#, vec!["1", "2"], false),
        (r#"[1,"x",[{"id":3,"result":1}],null,{"id":4,"error":{}}]"#, vec!["4"], false),
        (r#"[{"id":1,"method":"m"},{"result":1}]"#, vec![], true),
        (r#" [ ] {"id":1,"result":1}"#, vec![], false),
        (r#"[{"id":5,"result":{}}]]{"id":6,"result":{}}"#, vec!["5"], false),
    ] {
        let batch = scan(&[text.as_bytes()]).batch.expect("it is a batch");
        assert_eq!((batch.responses, batch.more), (responses.into_iter().map(String::from).collect(), more), "{text}");
    }
}

#[test]
fn a_message_that_was_only_scanned_is_answered_if_somebody_waits_for_that() {
    for (text, id) in [
        (r#"{"id":7,"method":"tools/call"}"#, Some("7")),
        (r#"{"id":"a"}"#, Some("\"a\"")),
        (r#"{"params":{}}"#, Some("null")),
        (r#"{"method":"notifications/x"}"#, None),
        (r#"{"id":7,"result":{}}"#, None),
        (r#"{"id":7,"method":"x","error":{}}"#, None),
        (r#"{"result":{}}"#, None),
    ] {
        let answer = mcp_reconnect_core::oversized_message(&scan(&[text.as_bytes()]), 10);
        assert_eq!(answer.is_some(), id.is_some(), "{text}");
        let expected = |id: &str| answer.clone().is_some_and(|answer| answer.contains(&format!("\"id\":{id},")));
        assert!(id.is_none_or(expected), "{text}: {answer:?}");
    }
}

/// Every sequence of so many of these pieces.
fn sequences(pieces: &[&[u8]], length: usize, mut each: impl FnMut(&[u8])) {
    for number in 0..pieces.len().pow(length as u32) {
        let (mut text, mut rest) = (Vec::new(), number);
        for _ in 0..length {
            text.extend_from_slice(pieces[rest % pieces.len()]);
            rest /= pieces.len();
        }
        each(&text);
    }
}

/// The same in one piece and in any two; what serde_json takes for an object is read as serde_json does.
fn agrees(text: &[u8]) {
    let whole = scan(&[text]);
    for split in 1..text.len() {
        let (head, tail) = text.split_at(split);
        assert_eq!(scan(&[head, tail]), whole, "{:?} split at {split}", String::from_utf8_lossy(text));
    }
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(text) else { return };
    let shown = String::from_utf8_lossy(text);
    let id = object.get("id").filter(|id| id.is_number() || id.is_string()).map(ToString::to_string);
    assert_eq!(whole.id, id, "{shown}");
    assert_eq!(whole.method.as_deref(), object.get("method").and_then(Value::as_str), "{shown}");
    assert_eq!(whole.is_response, object.contains_key("result") || object.contains_key("error"), "{shown}");
    assert_eq!(whole.batch, None, "{shown}");
}

#[test]
fn every_short_text_of_the_bytes_that_matter_is_read_the_same_in_any_two_pieces() {
    let bytes: [&[u8]; 11] = [b"{", b"}", b"[", b"]", b"\"", b"\\", b":", b",", b"1", b" ", b"\xEF"];
    for length in 0..=5 {
        sequences(&bytes, length, agrees);
    }
}

#[test]
fn every_short_sequence_of_the_pieces_of_a_message_is_read_the_same_in_any_two_pieces() {
    let pieces: [&[u8]; 12] = [
        b"{",
        b"}",
        b"[",
        b",",
        b"\"id\":",
        b"\"method\":",
        b"\"result\":",
        b"\"\\u0069d\":",
        b"1",
        b"\"a\"",
        b"null",
        b"{}",
    ];
    for length in 0..=4 {
        sequences(&pieces, length, agrees);
        // Most of what is read as an object is one with its brackets.
        sequences(&pieces, length, |inside| agrees(&[b"{", inside, b"}"].concat()));
    }
}

/// Any JSON, with the keys of interest more often than chance would have it.
fn any_json() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            object(inner).prop_map(Value::Object),
        ]
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        text().prop_map(Value::String),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::sample::select(vec!["\"", "\\", "}", "]", "{\"id\":1}", "日本"]).prop_map(Into::into)
    ]
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof![
        2 => prop::sample::select(vec!["id", "method", "result", "error", "params", "i", "ids"]).prop_map(Into::into),
        1 => text(),
    ];
    prop::collection::btree_map(key, value, 0..6).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_agrees_with_serde_json(object in object(any_json()), pretty: bool, size in 1usize..50) {
        let id = object.get("id").filter(|id| id.is_number() || id.is_string()).map(ToString::to_string);
        let method = object.get("method").filter(|method| method.to_string().len() <= 256).and_then(Value::as_str);
        let is_response = object.contains_key("result") || object.contains_key("error");
        let value = Value::Object(object.clone());
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let expected = Scanned {
            id: id.filter(|id| id.len() <= 256),
            method: method.map(Into::into),
            is_response,
            batch: None,
            bytes: text.len() as u64,
        };
        prop_assert_eq!(&scan(&[text.as_bytes()]), &expected);
        prop_assert_eq!(&scan(&text.as_bytes().chunks(size).collect::<Vec<_>>()), &expected);
    }

    #[test]
    fn it_agrees_with_serde_json_on_batches(
        items in prop::collection::vec(prop_oneof![any_json(), object(any_json()).prop_map(Value::Object)], 0..8),
        pretty: bool,
        size in 1usize..50,
    ) {
        let mut batch = ScannedBatch::default();
        for item in &items {
            if item.get("result").is_none() && item.get("error").is_none() {
                continue;
            }
            let id = item.get("id").filter(|id| id.is_number() || id.is_string()).map(ToString::to_string);
            match id.filter(|id| id.len() <= 256) {
                Some(id) => batch.responses.push(id),
                None => batch.more = true,
            }
        }
        let value = Value::Array(items);
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let expected = Scanned { batch: Some(batch), bytes: text.len() as u64, ..Scanned::default() };
        prop_assert_eq!(&scan(&[text.as_bytes()]), &expected);
        prop_assert_eq!(&scan(&text.as_bytes().chunks(size).collect::<Vec<_>>()), &expected);
    }

    #[test]
    fn whatever_is_no_object_and_no_batch_has_nothing(value in scalar()) {
        let text = value.to_string();
        let nothing = Scanned { bytes: text.len() as u64, ..Scanned::default() };
        prop_assert_eq!(scan(&[text.as_bytes()]), nothing);
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same(pieces in prop::collection::vec(prop_oneof![
        prop::sample::select(vec!["{", "}", "[", "]", "\"", "\\", ":", ",", " ", "\"id\":", "\"method\":", "1", "\"a\"", "\"result\""])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ], 0..40)) {
        let whole = pieces.concat();
        let expected = scan(&[&whole]);
        prop_assert_eq!(&scan(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>()), &expected);
        prop_assert_eq!(&scan(&whole.chunks(1).collect::<Vec<_>>()), &expected);
        if let Some(id) = expected.id {
            let id: Value = serde_json::from_str(&id).unwrap_or(Value::Null);
            prop_assert!(id.is_number() || id.is_string());
        }
    }
}
