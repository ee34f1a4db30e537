//! The parser for server-sent events: any stream, any limit, any chunking.
//!
//! The first byte of the input chooses the limit, the second the size of the pieces; the rest is the stream.

use mcp_reconnect_core::sse::{Item, Parser};

/// One run.
pub fn run(input: &[u8]) {
    let [limit, size, stream @ ..] = input else {
        return;
    };
    let limit = if *limit == u8::MAX { usize::MAX } else { usize::from(*limit) * 8 };
    let whole = parse(limit, [stream].into_iter());
    assert_eq!(parse(limit, stream.chunks(usize::from(*size) + 1)), whole);
    for item in &whole {
        check(item, limit);
    }
}

fn parse<'a>(limit: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Item> {
    let mut parser = Parser::new(limit);
    let mut items = Vec::new();
    for piece in pieces {
        parser.feed(piece, &mut items);
    }
    items
}

/// What holds for every item, whatever the stream.
fn check(item: &Item, limit: usize) {
    let id = match item {
        Item::Event(event) => {
            assert!(!event.data.is_empty());
            assert!(!event.data.contains('\r'));
            assert!(!event.name.contains(['\r', '\n']));
            // A byte that is not UTF-8 becomes one character of three.
            let length = event.data.len() + event.name.len() + event.id.as_ref().map_or(0, String::len);
            assert!(length <= limit.saturating_mul(3));
            event.id.as_deref()
        }
        Item::Id(id) => Some(id.as_str()),
        Item::Oversized { id, .. } => id.as_deref(),
        Item::Retry(_) => None,
    };
    assert!(!id.unwrap_or_default().contains(['\r', '\n', '\0']));
}
