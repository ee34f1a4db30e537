//! The SSE parser in bytes per second, beside others.

use std::convert::Infallible;
use std::time::Instant;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_lite::{StreamExt, future, stream};
use mcp_reconnect_core::sse::{Item, Parser};
use sse_stream::SseByteStream;

use crate::node::Node;
use crate::report::{self, Verdict};
use crate::script::payload;
use crate::stats::Sample;
use crate::wasm;

/// The bytes of a read from the network.
const CHUNK: usize = 16 << 10;
/// The bytes of a stream: a few milliseconds of work.
const STREAM: usize = 4 << 20;
const ROUNDS: usize = 21;
const WARM_UP: usize = 3;

/// Bytes per second on events of 1 KB.
const AIM: f64 = 1e9;

/// Measures; gives the part of the report.
pub fn measure(node: &mut Node) -> String {
    let npm = format!("npm eventsource-parser {}", node.parser_version);
    let names = [
        "ours, native",
        "sse-stream 0.3",
        "eventsource-stream 0.2",
        "ours, WebAssembly under Wasmtime",
        "ours, WebAssembly under Node",
        npm.as_str(),
    ];
    let mut columns = Vec::new();
    for (name, size) in [("100 B", 100), ("1 KB", 1 << 10), ("1 MB", 1 << 20)] {
        columns.push((name, in_turn(node, name, size)));
    }
    let mut rows = String::new();
    for (at, name) in names.iter().enumerate() {
        let cells: Vec<_> = columns.iter().map(|(_, samples)| samples[at].show(1e6, 0)).collect();
        rows += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    let mut verdicts =
        vec![Verdict::at_least("native, events of 1 KB", "GB/s", columns[1].1[0].median() / 1e9, AIM / 1e9)];
    for (size, samples) in &columns {
        for peer in [1, 2] {
            let ratio = samples[0].median() / samples[peer].median();
            verdicts.push(Verdict::at_least(
                &format!("native over {}, events of {size}", names[peer]),
                "times",
                ratio,
                1.0,
            ));
        }
    }
    format!(
        "### The SSE parser\n\n\
         Events `event: message`, `data: …` with their data in one line, in pieces of {} KiB; MB (10⁶ bytes) per second. Each takes \
         bytes and gives events with text; under Wasmtime and Node ours counts its events inside, and eventsource-parser, which \
         takes text, has its bytes decoded first.\n\n\
         | parser | {} |\n|---|---|---|---|\n{rows}\n{}",
        CHUNK >> 10,
        columns.iter().map(|(name, _)| format!("events of {name}")).collect::<Vec<_>>().join(" | "),
        report::verdicts(&verdicts),
    )
}

/// A stream of events of about `size` bytes, and how many there are.
fn events(size: usize) -> (Vec<u8>, usize) {
    let head = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":\"";
    let text = payload(size.saturating_sub(head.len()));
    let event = format!("{head}{text}\"}}\n\n");
    let count = (STREAM / event.len()).max(1);
    (event.repeat(count).into_bytes(), count)
}

/// Bytes per second of each parser, in the order of the table.
fn in_turn(node: &mut Node, name: &str, size: usize) -> [Sample; 6] {
    eprintln!("SSE parsers: events of {name}");
    let (stream, count) = events(size);
    let pieces: Vec<_> = Bytes::from(stream.clone()).chunks(CHUNK).map(Bytes::copy_from_slice).collect();
    let mut ours_in_wasm = wasm::Parser::new(&stream);
    node.prepare_stream(name, &stream);
    let mut samples = <[Sample; 6]>::default();
    for round in 0..ROUNDS + WARM_UP {
        let mut figures = Vec::new();
        for parse in [ours, sse_stream, eventsource_stream] {
            figures.push(timed(|| parse(&pieces)));
        }
        figures.push(timed(|| ours_in_wasm.parse(CHUNK)));
        figures.push(node.parse(name, "wasm", CHUNK, 1));
        figures.push(node.parse(name, "npm", CHUNK, 1));
        for (sample, (nanoseconds, events)) in samples.iter_mut().zip(figures) {
            assert_eq!(events, count, "all find the same events");
            if round >= WARM_UP {
                sample.push(stream.len() as f64 / nanoseconds * 1e9);
            }
        }
    }
    samples
}

fn timed(work: impl FnOnce() -> usize) -> (f64, usize) {
    let began = Instant::now();
    let events = work();
    (began.elapsed().as_nanos() as f64, events)
}

fn ours(pieces: &[Bytes]) -> usize {
    let mut parser = Parser::new(16 << 20);
    let mut items = Vec::new();
    let mut events = 0;
    for piece in pieces {
        parser.feed(piece, &mut items);
        events += items.drain(..).filter(|item| matches!(item, Item::Event(_))).count();
    }
    events
}

fn sse_stream(pieces: &[Bytes]) -> usize {
    let pieces = stream::iter(pieces.iter().cloned().map(Ok::<_, Infallible>));
    future::block_on(
        SseByteStream::new(pieces).filter(|event| event.as_ref().is_ok_and(|event| event.data.is_some())).count(),
    )
}

fn eventsource_stream(pieces: &[Bytes]) -> usize {
    let pieces = stream::iter(pieces.iter().cloned().map(Ok::<_, Infallible>));
    future::block_on(
        pieces.eventsource().filter(|event| event.as_ref().is_ok_and(|event| !event.data.is_empty())).count(),
    )
}
