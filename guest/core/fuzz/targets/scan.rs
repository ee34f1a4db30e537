//! The scanner for messages that are too large to keep: any bytes in any pieces, and agreement with serde_json.
//!
//! The first byte of the input chooses the size of the pieces; the rest is the text.

use mcp_reconnect_core::scan::{Scanned, Scanner};
use serde_json::Value;

/// One run.
pub fn run(input: &[u8]) {
    let [size, text @ ..] = input else { return };
    let whole = scan([text].into_iter());
    assert_eq!(scan(text.chunks(usize::from(*size) + 1)), whole);
    assert_eq!(whole.bytes, text.len() as u64);
    if let Ok(value) = serde_json::from_slice::<Value>(text) {
        compare(&whole, &value, text.len());
    }
}

fn scan<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Scanned {
    let mut scanner = Scanner::new();
    for piece in pieces {
        scanner.feed(piece);
    }
    scanner.finish()
}

fn compare(scanned: &Scanned, value: &Value, length: usize) {
    assert_eq!(scanned.batch.is_some(), value.is_array());
    let id = value.get("id").filter(|id| id.is_number() || id.is_string());
    match &scanned.id {
        Some(raw) => assert_eq!(serde_json::from_str::<Value>(raw).ok().as_ref(), id),
        None => assert!(id.is_none() || length > 256),
    }
    let method = value.get("method").and_then(Value::as_str);
    match &scanned.method {
        Some(name) => assert_eq!(Some(name.as_str()), method),
        None => assert!(method.is_none() || length > 256),
    }
    assert_eq!(scanned.is_response, value.get("result").is_some() || value.get("error").is_some());
}
