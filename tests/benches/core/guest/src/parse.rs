//! What the module exports.

use alloc::vec::Vec;

use mcp_reconnect_core::sse::{Item, Parser};

/// Room for a stream of so many bytes, for the caller to fill. Never given back.
#[unsafe(no_mangle)]
extern "C" fn room(len: usize) -> *mut u8 {
    Vec::leak(alloc::vec![0; len]).as_mut_ptr()
}

/// Parses the stream, in pieces of `chunk` bytes; gives the number of its events.
///
/// # Safety
///
/// `stream` and `len` are those of [`room`].
#[unsafe(no_mangle)]
unsafe extern "C" fn parse(stream: *const u8, len: usize, chunk: usize) -> usize {
    // SAFETY: see this function's contract; `room` has initialised the bytes.
    let stream = unsafe { core::slice::from_raw_parts(stream, len) };
    let mut parser = Parser::new(16 << 20);
    let mut items = Vec::new();
    let mut events = 0;
    for piece in stream.chunks(chunk) {
        parser.feed(piece, &mut items);
        events += items.drain(..).filter(|item| matches!(item, Item::Event(_))).count();
    }
    events
}
