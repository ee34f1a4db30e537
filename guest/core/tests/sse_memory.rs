//! The parser for server-sent events takes bounded memory, whatever arrives.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mcp_reconnect_core::scan::Scanned;
use mcp_reconnect_core::sse::{Item, Parser};

/// Counts the bytes that each thread holds, and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

impl Counting {
    fn add(bytes: usize) {
        HELD.set(HELD.get().wrapping_add(bytes));
        PEAK.set(PEAK.get().max(HELD.get()));
    }

    fn remove(bytes: usize) {
        HELD.set(HELD.get().wrapping_sub(bytes));
    }
}

// SAFETY: every call is passed to the system's allocator as it is; the counters are plain thread-local integers without
// destructors, so touching them neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::remove(layout.size());
        // SAFETY: the caller keeps `dealloc`'s contract, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that this thread held while `work` ran, beyond what it held before.
fn peak(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

#[test]
fn memory_is_bounded_whatever_arrives() {
    // No power of two, so that a buffer which only ever doubles is caught.
    const LIMIT: usize = 72 << 10;
    const ROUNDS: usize = 2000;
    let filler = [b'x'; 4096];
    let escapes = "\\\"".repeat(2048);
    let nested = "[{\"a\":".repeat(700);
    let empty_lines = "data\n".repeat(800);
    let names = format!("event: {}\n", "n".repeat(4000));
    let ids = format!("id: {}\n", "i".repeat(4000));
    let streams: [(&str, &[u8], &[u8]); 12] = [
        ("a line of data", b"data: ", &filler),
        ("a JSON string", b"data: {\"id\":\"", escapes.as_bytes()),
        ("a method", b"data: {\"method\":\"", &filler),
        ("a key", b"data: {\"", &filler),
        ("nested JSON", b"data: {\"x\":", nested.as_bytes()),
        ("empty lines of data", b"", empty_lines.as_bytes()),
        ("a comment", b":", &filler),
        ("the name of a field", b"", &filler),
        ("an unknown field", b"x: ", &filler),
        ("the name of an event", b"event: ", &filler),
        ("an id", b"id: ", &filler),
        ("digits of retry", b"retry: ", &[b'1'; 4096]),
    ];
    for (what, first, then) in streams {
        let most = peak(|| {
            let mut parser = Parser::new(LIMIT);
            let mut items = Vec::new();
            parser.feed(first, &mut items);
            for _ in 0..ROUNDS {
                parser.feed(then, &mut items);
            }
            assert_eq!(items, [], "{what}");
        });
        assert!(most <= 2 * LIMIT + 4096, "{what}: {most} bytes were held");
    }
    // Buffers that are filled and given up one after another.
    let most = peak(|| {
        let mut parser = Parser::new(LIMIT);
        let mut items = Vec::new();
        for _ in 0..ROUNDS {
            parser.feed(names.as_bytes(), &mut items);
            parser.feed(ids.as_bytes(), &mut items);
            parser.feed(b"data: ", &mut items);
            parser.feed(&filler, &mut items);
            parser.feed(b"\n", &mut items);
        }
        assert_eq!(items, []);
    });
    assert!(most <= 3 * LIMIT, "{most} bytes were held");
}

#[test]
fn an_oversized_event_takes_constant_memory() {
    let most = peak(|| {
        let mut parser = Parser::new(1024);
        let mut items = Vec::new();
        parser.feed(b"data: {\"id\":1,\"result\":\"", &mut items);
        let filler = [b'x'; 1024];
        for _ in 0..(64 << 10) {
            parser.feed(&filler, &mut items);
        }
        parser.feed(b"\"}\n\n", &mut items);
        let scanned =
            Scanned { id: Some("1".into()), method: None, is_response: true, batch: None, bytes: 20 + (64 << 20) };
        assert_eq!(items, [Item::Oversized { scanned, id: None }]);
    });
    assert!(most < 8192, "{most} bytes were held");
}
