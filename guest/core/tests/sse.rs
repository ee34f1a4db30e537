//! The parser for server-sent events: a table of cases, a simple model of the standard, any chunking.

use mcp_reconnect_core::scan::Scanned;
use mcp_reconnect_core::sse::{Item, Parser, SseEvent};
use proptest::prelude::*;

const NO_LIMIT: usize = usize::MAX;

fn parse(max: usize, chunks: &[&[u8]]) -> Vec<Item> {
    let mut parser = Parser::new(max);
    let mut items = Vec::new();
    for chunk in chunks {
        parser.feed(chunk, &mut items);
    }
    items
}

fn event(name: &str, data: &str, id: Option<&str>) -> Item {
    Item::Event(SseEvent { name: name.into(), data: data.into(), id: id.map(Into::into) })
}

fn data(data: &str) -> Item {
    event("", data, None)
}

fn id(id: &str) -> Item {
    Item::Id(id.into())
}

/// What is tested, the stream, and what is in it.
#[rustfmt::skip] // One case a line.
fn cases() -> Vec<(&'static str, &'static [u8], Vec<Item>)> {
    vec![
        ("nothing", b"", vec![]),
        ("one line of data", b"data: a\n\n", vec![data("a")]),
        ("lines of data are joined", b"data: a\ndata: b\ndata:c\n\n", vec![data("a\nb\nc")]),
        ("lines of data need not be neighbours", b"data: a\nid: 1\ndata: b\n\n", vec![event("", "a\nb", Some("1"))]),
        ("CR ends a line", b"data: a\rdata: b\r\r", vec![data("a\nb")]),
        ("CRLF ends a line", b"data: a\r\ndata: b\r\n\r\n", vec![data("a\nb")]),
        ("line ends may be mixed", b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\n", vec![data("a\nb\nc"), data("d")]),
        ("LF CR is two line ends", b"data: a\n\rdata: b\n\r", vec![data("a"), data("b")]),
        ("CR CR LF is two line ends", b"data: a\r\r\ndata: b\r\r\n", vec![data("a"), data("b")]),
        ("more empty lines mean nothing", b"\n\r\n\r\rdata: a\n\n\n\n\ndata: b\n\n", vec![data("a"), data("b")]),
        ("the last CR ends the event at once", b"data: a\n\r", vec![data("a")]),
        ("an incomplete event is discarded", b"data: a\n\ndata: b\n", vec![data("a")]),
        ("an incomplete line is discarded", b"id: 1\n\nid: 2\ndata: b", vec![id("1")]),
        ("comments", b": hello\ndata: a\n:\n:data: b\n\n", vec![data("a")]),
        ("nothing but comments", b":\n\n: keep-alive\n\n", vec![]),
        ("one space is dropped", b"data:a\n\ndata: a\n\ndata:  a\n\n", vec![data("a"), data("a"), data(" a")]),
        ("a tab is not dropped", b"data:\ta\n\n", vec![data("\ta")]),
        ("space at the end is kept", b"data: a \n\n", vec![data("a ")]),
        ("space before the colon makes another field", b"data : a\n\ndata: b\n\n", vec![data("b")]),
        ("space before the name makes another field", b" data: a\n\ndata: b\n\n", vec![data("b")]),
        ("only the first colon counts", b"data: a: b\n\ndata::\n\n", vec![data("a: b"), data(":")]),
        ("names are case-sensitive", b"Data: a\nDATA: b\ndata: c\n\n", vec![data("c")]),
        ("a longer or shorter name is another field", b"datas: a\ndat: b\nretrying: 1\ni: 3\ndata: c\n\n", vec![data("c")]),
        ("unknown fields", b"test: x\nx\nlong-unknown-field\ndata: a\n\n", vec![data("a")]),
        ("data without a colon is an empty line of it", b"data\ndata\n\n", vec![data("\n")]),
        ("empty lines of data count", b"data: a\ndata:\ndata\ndata: \n\n", vec![data("a\n\n\n")]),
        ("empty data is no event", b"data\n\ndata:\n\ndata: \n\n", vec![]),
        ("empty data with a name is no event", b"event: x\ndata:\n\ndata: a\n\n", vec![data("a")]),
        ("a name without data is no event and does not last", b"event: x\n\ndata: a\n\n", vec![data("a")]),
        ("a name", b"event: endpoint\ndata: /m?s=1\n\n", vec![event("endpoint", "/m?s=1", None)]),
        ("a name lasts for one event", b"event: x\ndata: a\n\ndata: b\n\n", vec![event("x", "a", None), data("b")]),
        ("the last name counts", b"event: longer\nevent: y\ndata: a\n\n", vec![event("y", "a", None)]),
        ("a name may be taken back", b"event: x\nevent\ndata: a\n\n", vec![data("a")]),
        ("a name may come after the data", b"data: a\nevent: x\n\n", vec![event("x", "a", None)]),
        ("an id", b"id: 1\ndata: a\n\ndata: b\n\n", vec![event("", "a", Some("1")), data("b")]),
        ("an id without data primes the cursor", b"id: 1\n\n", vec![id("1")]),
        ("an id with empty data primes the cursor", b"id: 1\ndata: \n\n", vec![id("1")]),
        ("an id with a name and empty data, too", b"event: message\nid: 1\ndata\n\n", vec![id("1")]),
        ("an empty id takes the cursor back", b"id: 1\n\nid\n\nid:\ndata: a\n\n", vec![id("1"), id(""), event("", "a", Some(""))]),
        ("the last id counts", b"id: longer\nid: 2\ndata: a\n\n", vec![event("", "a", Some("2"))]),
        ("one space is dropped before an id", b"id:  1 \n\n", vec![id(" 1 ")]),
        ("an id with NUL is ignored", b"id: 1\0\ndata: a\n\nid:\0\n\n", vec![data("a")]),
        ("an id with NUL leaves the one before", b"id: 1\nid: \x002\n\n", vec![id("1")]),
        ("NUL elsewhere is kept", b"event: \0\ndata: \0\n\n", vec![event("\0", "\0", None)]),
        ("retry", b"retry: 1500\n\n", vec![Item::Retry(1500)]),
        ("retry holds from its line on", b"data: a\nretry: 10\nretry:020\n", vec![Item::Retry(10), Item::Retry(20)]),
        ("retry zero", b"retry:0\n", vec![Item::Retry(0)]),
        ("retry must be digits", b"retry: 1s\nretry: -1\nretry: +1\nretry: 1.5\nretry: 1 \nretry:  1\nretry: 0x1\n", vec![]),
        ("retry must be something", b"retry\nretry:\nretry: \n", vec![]),
        ("retry must be ASCII digits", "retry: \u{661}\nretry: \u{ff11}\n".as_bytes(), vec![]),
        ("retry saturates", b"retry: 18446744073709551616\nretry: 99999999999999999999999\n", vec![Item::Retry(u64::MAX); 2]),
        ("retry at its largest", b"retry: 18446744073709551615\n", vec![Item::Retry(u64::MAX)]),
        ("a byte order mark", b"\xEF\xBB\xBFdata: a\n\n", vec![data("a")]),
        ("a byte order mark before a comment", b"\xEF\xBB\xBF:\ndata: a\n\n", vec![data("a")]),
        ("only one byte order mark", b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n", vec![]),
        ("a byte order mark later is part of the line", b"\n\xEF\xBB\xBFdata: a\n\ndata: \xEF\xBB\xBFb\n\n", vec![data("\u{feff}b")]),
        ("part of a byte order mark", b"\xEF\xBBdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("part of a byte order mark before a line end", b"\xEF\xBB\ndata: b\n\n", vec![data("b")]),
        ("a byte order mark alone", b"\xEF\xBB\xBF", vec![]),
        ("UTF-8", "event: é\nid: ü\ndata: 日本 🎉\n\n".as_bytes(), vec![event("é", "日本 🎉", Some("ü"))]),
        ("what is not UTF-8 is replaced", b"event: \xFF\nid: \xC3\ndata: a\xF0\x9F\x8Eb\xC0\n\n", vec![event("\u{fffd}", "a\u{fffd}b\u{fffd}", Some("\u{fffd}"))]),
        ("other line separators do not end a line", "data: a\u{85}b\u{2028}c\x0b\x0cd\n\n".as_bytes(), vec![data("a\u{85}b\u{2028}c\x0b\x0cd")]),
    ]
}

#[test]
fn the_table_holds() {
    for (what, stream, expected) in cases() {
        assert_eq!(parse(NO_LIMIT, &[stream]), expected, "{what}, in one piece");
        assert_eq!(model(NO_LIMIT, stream), expected, "{what}, by the model");
    }
}

#[test]
fn the_table_holds_byte_by_byte_and_in_any_two_pieces() {
    for (what, stream, expected) in cases() {
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(parse(NO_LIMIT, &bytes), expected, "{what}, byte by byte");
        for split in 0..=stream.len() {
            let (head, tail) = stream.split_at(split);
            assert_eq!(parse(NO_LIMIT, &[head, b"", tail]), expected, "{what}, split at {split}");
        }
    }
}

#[test]
fn a_lone_cr_dispatches_at_once_and_swallows_a_later_lf() {
    let mut parser = Parser::new(NO_LIMIT);
    let mut items = Vec::new();
    parser.feed(b"data: a\r", &mut items);
    assert_eq!(items, []);
    parser.feed(b"\r", &mut items);
    assert_eq!(items, [data("a")]);
    parser.feed(b"\n", &mut items);
    parser.feed(b"data: b\n\n", &mut items);
    assert_eq!(items, [data("a"), data("b")]);
}

fn oversized(scanned: Scanned, id: Option<&str>) -> Item {
    Item::Oversized { scanned, id: id.map(Into::into) }
}

fn scanned(id: Option<&str>, method: Option<&str>, is_response: bool, bytes: u64) -> Scanned {
    Scanned { id: id.map(Into::into), method: method.map(Into::into), is_response, batch: None, bytes }
}

#[test]
fn the_limit_counts_data_name_and_id() {
    let fits: [&[u8]; 6] = [
        b"data: 12345678\n\n",
        b"event: 1234\ndata: 5678\n\n",
        b"id: 1\nevent: 2\ndata: 345\ndata: 78\n\n",
        b"event: 12345678\nevent: 1\ndata: 2345678\n\n",
        b"id: 1234\nid: 5678\ndata:1234\n\n",
        b": a long comment\nunknown: and a long field\nretry: 1234567890\nlongest-name-of-a-field\ndata: 12345678\n\n",
    ];
    for stream in fits {
        let items = parse(8, &[stream]);
        assert!(matches!(items.last(), Some(Item::Event(_))), "{stream:?} gave {items:?}");
    }
    let too_large: [&[u8]; 6] = [
        b"data: 123456789\n\n",
        b"event: 12345\ndata: 5678\n\n",
        b"id: 1\nevent: 2\ndata: 345\ndata: 789\n\n",
        b"event: 123456789\nevent: 1\ndata: 2\n\n",
        b"id: 1234\nid: 56789\ndata: 1\n\n",
        b"data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n\n",
    ];
    for stream in too_large {
        let items = parse(8, &[stream]);
        assert!(matches!(items[..], [Item::Oversized { .. }]), "{stream:?} gave {items:?}");
    }
}

#[test]
fn an_oversized_event_is_scanned_and_the_next_one_is_whole() {
    let stream = concat!(
        "event: message\nid: e7\n",
        "data: {\"jsonrpc\":\"2.0\",\n",
        "data: \"id\":7,\"result\":{\"text\":\"01234567890123456789\"}}\n\n",
        "data: {}\n\n",
    )
    .as_bytes();
    let expected = [oversized(scanned(Some("7"), None, true, 66), Some("e7")), data("{}")];
    assert_eq!(parse(32, &[stream]), expected);
    assert_eq!(parse(32, &stream.chunks(1).collect::<Vec<_>>()), expected);
}

#[test]
fn the_id_of_an_oversized_event_is_kept_unless_it_is_too_long() {
    let too_long = "9".repeat(1025);
    let longest = "9".repeat(1024);
    for (ids, expected) in [
        (vec![], None),
        (vec!["1"], Some("1")),
        (vec!["1", "2"], Some("2")),
        (vec![""], Some("")),
        (vec!["1", "2\0"], Some("1")),
        (vec![&*longest], Some(&*longest)),
        (vec![&*too_long], None),
        (vec!["1", &too_long], None),
        (vec![&too_long, "1"], Some("1")),
        (vec![&too_long, "\0"], None),
    ] {
        let large = "x".repeat(5000);
        let ids: String = ids.iter().map(|id| format!("id: {id}\n")).collect();
        for stream in [format!("{ids}data: {large}\n\n"), format!("data: {large}\n{ids}\n")] {
            for size in [1, 7, usize::MAX] {
                let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
                let items = parse(4000, &chunks);
                assert_eq!(
                    items,
                    [oversized(scanned(None, None, false, 5000), expected)],
                    "{ids:.20}, pieces of {size}"
                );
            }
        }
    }
}

#[test]
fn what_is_held_of_an_event_is_held_in_memory_that_is_reserved() {
    let long = "x".repeat(500);
    for stream in [format!("data: {long}"), format!("event: {long}\n"), format!("id: {long}\n"), format!("id: {long}")]
    {
        let mut parser = Parser::new(NO_LIMIT);
        assert_eq!((parser.held(), parser.reserved()), (0, 0));
        parser.feed(stream.as_bytes(), &mut Vec::new());
        assert!((500..=510).contains(&parser.held()), "{:.10} holds {}", stream, parser.held());
        assert!((parser.held()..2000).contains(&parser.reserved()), "{:.10} reserves {}", stream, parser.reserved());
    }
}

#[test]
fn what_is_left_at_the_end_of_a_stream_is_the_event_that_a_blank_line_would_end() {
    for (stream, left) in [
        ("data: a", Some(data("a"))),
        ("data: a\n", Some(data("a"))),
        ("data: a\r", Some(data("a"))),
        ("id: 1\nevent: e\ndata: a\ndata: b", Some(event("e", "a\nb", Some("1")))),
        ("data: a\nid: 1", Some(event("", "a", Some("1")))),
        ("data: a\nevent: e", Some(event("e", "a", None))),
        ("data: a\ndata", Some(data("a\n"))),
        ("data: a\n\n", None),
        ("id: 1", None),
        ("data", None),
        (": comment", None),
        ("", None),
    ] {
        let mut parser = Parser::new(NO_LIMIT);
        parser.feed(stream.as_bytes(), &mut Vec::new());
        assert_eq!(parser.finish(), left, "{stream:?}");
    }
}

/// A second implementation, as plain as can be: whole stream, whole lines, no regard for memory.
fn model(max: usize, stream: &[u8]) -> Vec<Item> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        match stream[at] {
            b'\r' | b'\n' => {
                if stream[at..].starts_with(b"\r\n") {
                    at += 1;
                }
                lines.push(std::mem::take(&mut line));
            }
            byte => line.push(byte),
        }
        at += 1;
    }
    let mut items = Vec::new();
    let (mut name, mut all_data, mut id): (Vec<u8>, Vec<Vec<u8>>, Option<Vec<u8>>) = Default::default();
    let mut too_large = false;
    for line in lines {
        if line.is_empty() {
            let data = std::mem::take(&mut all_data).join(&b'\n');
            let name = text(&std::mem::take(&mut name));
            let id = id.take();
            if std::mem::take(&mut too_large) {
                let id = id.filter(|id| id.len() <= 1024).map(|id| text(&id));
                items.push(Item::Oversized { scanned: scan(&data), id });
            } else if !data.is_empty() {
                items.push(Item::Event(SseEvent { name, data: text(&data), id: id.map(|id| text(&id)) }));
            } else if let Some(id) = id {
                items.push(Item::Id(text(&id)));
            }
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = colon.map_or((&line[..], &b""[..]), |colon| (&line[..colon], &line[colon + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let id_len = id.as_ref().map_or(0, Vec::len);
        match field {
            b"data" => all_data.push(value.to_vec()),
            b"event" => name = value.to_vec(),
            b"id" => {
                let kept = all_data.join(&b'\n').len() + name.len() + id_len + value.len();
                too_large |= kept > max;
                if !value.contains(&0) || (value.len() > 1024 && too_large) {
                    id = Some(value.to_vec());
                }
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                items.push(Item::Retry(text(value).parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
        too_large |= all_data.join(&b'\n').len() + name.len() + id.as_ref().map_or(0, Vec::len) > max;
    }
    items
}

fn scan(text: &[u8]) -> Scanned {
    let mut scanner = mcp_reconnect_core::scan::Scanner::new();
    scanner.feed(text);
    scanner.finish()
}

#[test]
fn every_short_sequence_of_the_pieces_of_a_stream_is_read_as_the_model_does_in_any_two_pieces() {
    let pieces: [&[u8]; 12] =
        [b"\n", b"\r", b":", b" ", b"data", b"id", b"event", b"retry", b"1", b"\0", b"\xEF\xBB\xBF", b"data: a\n"];
    for length in 0..=4u32 {
        for number in 0..pieces.len().pow(length) {
            let (mut stream, mut rest) = (Vec::new(), number);
            for _ in 0..length {
                stream.extend_from_slice(pieces[rest % pieces.len()]);
                rest /= pieces.len();
            }
            // What is not ended says nothing: each once as it is, and once as an event.
            for stream in [stream.clone(), [&stream[..], b"\n\n"].concat()] {
                for max in [NO_LIMIT, 0, 2] {
                    let whole = model(max, &stream);
                    assert_eq!(parse(max, &[&stream]), whole, "{stream:?}, limit {max}");
                    for split in 1..stream.len() {
                        let (head, tail) = stream.split_at(split);
                        assert_eq!(parse(max, &[head, tail]), whole, "{stream:?} split at {split}, limit {max}");
                    }
                }
            }
        }
    }
}

/// Bytes that look like server-sent events more often than chance would have it.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n"]).prop_map(|text| text.as_bytes().to_vec()),
        6 => prop::sample::select(vec!["data", "event", "id", "retry", ":", ": ", "data: ", "id: "])
            .prop_map(|text| text.as_bytes().to_vec()),
        3 => prop::sample::select(vec![&b" "[..], b"\0", b"\xEF\xBB\xBF", b"\xEF", b"\xBB", b"\xF0\x9F", "日本".as_bytes()])
            .prop_map(<[u8]>::to_vec),
        2 => prop::sample::select(vec!["{\"id\":1,", "\"method\":\"ping\"", "\"result\":{}", "}", "[", "12", "99999999999999999999"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => (0usize..3000).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![Just(NO_LIMIT), 0usize..40, 1000usize..1100]
}

/// Cuts a stream at the given points.
fn cut(stream: &[u8], mut cuts: Vec<prop::sample::Index>) -> Vec<&[u8]> {
    let mut points: Vec<usize> = cuts.drain(..).map(|cut| cut.index(stream.len() + 1)).collect();
    points.sort_unstable();
    let mut start = 0;
    let mut chunks = Vec::new();
    for point in points.into_iter().chain([stream.len()]) {
        chunks.push(&stream[start..point]);
        start = point;
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_parser_agrees_with_the_model(stream in stream(), max in limit()) {
        prop_assert_eq!(parse(max, &[&stream]), model(max, &stream));
    }

    #[test]
    fn any_chunking_gives_the_same_items(
        stream in stream(),
        max in limit(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let whole = parse(max, &[&stream]);
        prop_assert_eq!(&parse(max, &cut(&stream, cuts)), &whole);
        prop_assert_eq!(&parse(max, &stream.chunks(1).collect::<Vec<_>>()), &whole);
    }

    #[test]
    fn no_field_of_an_event_holds_a_line_end_of_another_line(stream in stream()) {
        for item in parse(NO_LIMIT, &[&stream]) {
            let (name, id) = match item {
                Item::Event(event) => (event.name, event.id.unwrap_or_default()),
                Item::Id(id) => (String::new(), id),
                Item::Retry(_) | Item::Oversized { .. } => continue,
            };
            prop_assert!(!name.contains(['\r', '\n']));
            prop_assert!(!id.contains(['\r', '\n', '\0']));
        }
    }
}
