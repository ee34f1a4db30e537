//! A parser for server-sent events, as the WHATWG HTML standard defines them, with a bound on memory.
//!
//! One deviation: empty data is never an event. MCP uses an id with empty data to say where a stream can be resumed: that
//! is [`Item::Id`]. Empty data without an id means nothing to JSON-RPC and is dropped.

use alloc::string::String;
use alloc::vec::Vec;

use memchr::memchr2;

use crate::wire::buffer::append;
use crate::wire::scan::{Scanned, Scanner};
use crate::wire::utf8::from_utf8_lossy;

/// A server-sent event. Bytes that are not UTF-8 have become U+FFFD, which may make it larger than it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SseEvent {
    /// The `event` field. Empty for `message`, which is also what an event without the field is.
    pub name: String,
    /// The `data` fields, joined with LF. Never empty.
    pub data: String,
    /// The `id` field, if this event had one. An empty one means that the stream cannot be resumed any more.
    pub id: Option<String>,
}

/// What a [`Parser`] finds in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// An event.
    Event(SseEvent),
    /// An id without data: the stream can be resumed after this point.
    Id(String),
    /// The server's wish for the delay before a reconnect, in milliseconds.
    Retry(u64),
    /// The end of an event that was too large to keep.
    Oversized {
        /// What could be seen of its data.
        scanned: Scanned,
        /// Its `id` field, if it had one that is no longer than 1 KiB.
        id: Option<String>,
    },
}

/// Turns the bytes of a response's body into [`Item`]s.
///
/// Feed it the body in pieces of any size. What it holds at the end of the body is an incomplete event, which counts
/// for nothing by the standard: drop the parser, or see what it is with [`Parser::finish`]. Whatever arrives, it keeps no more than `max_event_bytes` of it (in buffers of at most
/// twice that) and a small constant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parser {
    max_event_bytes: usize,
    /// How many bytes of a byte order mark were seen at the start of the stream; `None` once past it.
    bom: Option<u8>,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    line: Line,
    name: Vec<u8>,
    /// The name is [`MESSAGE`], and `name` is empty: most events have it, and need no buffer for it.
    is_message: bool,
    data: Vec<u8>,
    has_data: bool,
    id: Option<Vec<u8>>,
    /// The value of the `id` line being read. Empty between lines.
    id_line: Vec<u8>,
    /// That value is longer than what may be kept of it. Never true between lines.
    id_too_long: bool,
    /// Takes the data in place of `data` once the event is too large.
    oversized: Option<Scanner>,
}

/// How far into a line the parser is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Line {
    /// In the field's name, of which so much was read.
    Name { bytes: [u8; MAX_NAME], len: usize },
    /// After the colon: a space that follows is not part of the value.
    Space(Field),
    /// In the value.
    Value(Field),
    /// In a line that counts for nothing: a comment or an unknown field.
    Ignored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Field {
    Data,
    Event,
    Id,
    Retry(Retry),
}

/// The value of a `retry` field, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Retry {
    Empty,
    Number(u64),
    Invalid,
}

/// The longest name of a field: `event` and `retry`.
const MAX_NAME: usize = 5;

/// The longest id kept of an event that is too large, in bytes.
const MAX_OVERSIZED_ID: usize = 1024;

/// The name that an event has by default.
const MESSAGE: &[u8] = b"message";

const BOM: &[u8] = b"\xEF\xBB\xBF";
const NEW_LINE: Line = Line::Name { bytes: [0; MAX_NAME], len: 0 };

impl Parser {
    /// A parser at the start of a stream. An event's data, name and id together may have `max_event_bytes`.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            bom: Some(0),
            after_cr: false,
            line: NEW_LINE,
            name: Vec::new(),
            is_message: false,
            data: Vec::new(),
            has_data: false,
            id: None,
            id_line: Vec::new(),
            id_too_long: false,
            oversized: None,
        }
    }

    /// The bytes of the incomplete event that it holds.
    pub fn held(&self) -> usize {
        self.data.len() + self.name.len() + self.id_line.len() + self.id.as_ref().map_or(0, Vec::len)
    }

    /// The memory that it holds them in.
    pub fn reserved(&self) -> usize {
        self.data.capacity()
            + self.name.capacity()
            + self.id_line.capacity()
            + self.id.as_ref().map_or(0, Vec::capacity)
    }

    /// Reads the next bytes of the stream and appends what they complete to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Item>) {
        let mut rest = bytes;
        while let Some(seen) = self.bom {
            let seen = usize::from(seen);
            let Some(&byte) = rest.first() else { return };
            if byte != BOM[seen] {
                self.bom = None;
                self.line_bytes(&BOM[..seen]);
            } else {
                rest = &rest[1..];
                self.bom = (seen + 1 < BOM.len()).then_some(seen as u8 + 1);
            }
        }
        while !rest.is_empty() {
            if core::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            if let Some(after) = self.usual_line(rest, out) {
                rest = after;
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.line_bytes(rest);
                return;
            };
            self.line_bytes(&rest[..end]);
            self.end_line(out);
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
        }
    }

    /// What would be the next event if the body had gone on with the blank line that ends it.
    pub fn finish(mut self) -> Option<Item> {
        let mut out = Vec::new();
        if self.line != NEW_LINE {
            self.end_line(&mut out);
        }
        self.end_event(&mut out);
        out.into_iter().find(|item| matches!(item, Item::Event(_) | Item::Oversized { .. }))
    }

    /// Reads one of the three lines that most streams are made of, if `bytes` begin with one; gives what comes after it. All
    /// others go part by part, with the same result.
    fn usual_line<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<Item>) -> Option<&'a [u8]> {
        if !matches!(self.line, Line::Name { len: 0, .. }) {
            return None;
        }
        if let Some(after) = bytes.strip_prefix(b"\n") {
            self.end_event(out);
            return Some(after);
        }
        if let Some(after) = bytes.strip_prefix(b"event: message\n") {
            self.begin(Field::Event);
            self.is_message = self.fits(MESSAGE.len());
            return Some(after);
        }
        let value = bytes.strip_prefix(b"data: ")?;
        let end = memchr2(b'\n', b'\r', value)?;
        self.begin(Field::Data);
        self.data_bytes(&value[..end]);
        self.after_cr = value[end] == b'\r';
        Some(&value[end + 1..])
    }

    /// Reads bytes of one line.
    fn line_bytes(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if let Line::Name { bytes: mut name, mut len } = self.line {
            loop {
                let Some((&byte, after)) = rest.split_first() else {
                    self.line = Line::Name { bytes: name, len };
                    return;
                };
                rest = after;
                if byte == b':' {
                    let Some(field) = Field::of(&name[..len]) else {
                        self.line = Line::Ignored;
                        return;
                    };
                    self.line = Line::Space(field);
                    self.begin(field);
                    break;
                }
                if len == MAX_NAME {
                    self.line = Line::Ignored;
                    return;
                }
                name[len] = byte;
                len += 1;
            }
        }
        if let (Line::Space(field), Some(first)) = (self.line, rest.first()) {
            self.line = Line::Value(field);
            if *first == b' ' {
                rest = &rest[1..];
            }
        }
        if let Line::Value(field) = self.line {
            self.value(field, rest);
        }
    }

    /// The name of a line's field was read.
    fn begin(&mut self, field: Field) {
        match field {
            Field::Data if self.has_data => self.data_bytes(b"\n"),
            Field::Data => self.has_data = true,
            // Not `clear`: the old value may have been large, and an empty buffer counts for nothing in `fits`.
            Field::Event => {
                self.name = Vec::new();
                self.is_message = false;
            }
            Field::Id | Field::Retry(_) => {}
        }
    }

    /// Reads bytes of a field's value.
    fn value(&mut self, field: Field, bytes: &[u8]) {
        match field {
            Field::Data => self.data_bytes(bytes),
            Field::Event => {
                if self.fits(bytes.len()) {
                    append(&mut self.name, bytes, self.max_event_bytes);
                }
            }
            Field::Id => {
                if self.fits(bytes.len()) {
                    append(&mut self.id_line, bytes, self.max_event_bytes);
                } else if !self.id_too_long && bytes.len() <= MAX_OVERSIZED_ID.saturating_sub(self.id_line.len()) {
                    append(&mut self.id_line, bytes, MAX_OVERSIZED_ID);
                } else {
                    self.id_line = Vec::new();
                    self.id_too_long = true;
                }
            }
            Field::Retry(retry) => self.line = Line::Value(Field::Retry(retry.and(bytes))),
        }
    }

    fn data_bytes(&mut self, bytes: &[u8]) {
        if self.fits(bytes.len()) {
            if self.data.is_empty() {
                // Most data has one line, which most often came in one piece: no more room than that.
                self.data = bytes.to_vec();
            } else {
                append(&mut self.data, bytes, self.max_event_bytes);
            }
        } else if let Some(scanner) = &mut self.oversized {
            scanner.feed(bytes);
        }
    }

    /// Whether so many more bytes of this event may be kept. If not, the event is too large, now and until it ends.
    fn fits(&mut self, more: usize) -> bool {
        if self.oversized.is_some() {
            return false;
        }
        let name = if self.is_message { MESSAGE.len() } else { self.name.len() };
        let kept = self.data.len() + name + self.id_line.len() + self.id.as_ref().map_or(0, Vec::len);
        if more <= self.max_event_bytes.saturating_sub(kept) {
            return true;
        }
        let mut scanner = Scanner::new();
        scanner.feed(&core::mem::take(&mut self.data));
        self.oversized = Some(scanner);
        self.name = Vec::new();
        self.is_message = false;
        self.id = self.id.take().filter(|id| id.len() <= MAX_OVERSIZED_ID);
        false
    }

    fn end_line(&mut self, out: &mut Vec<Item>) {
        match core::mem::replace(&mut self.line, NEW_LINE) {
            Line::Name { len: 0, .. } => self.end_event(out),
            // A field without colon has an empty value.
            Line::Name { bytes, len } => {
                if let Some(field) = Field::of(&bytes[..len]) {
                    self.begin(field);
                    self.end_field(field, out);
                }
            }
            Line::Space(field) | Line::Value(field) => self.end_field(field, out),
            Line::Ignored => {}
        }
    }

    fn end_field(&mut self, field: Field, out: &mut Vec<Item>) {
        match field {
            Field::Id if core::mem::take(&mut self.id_too_long) => self.id = None,
            Field::Id if self.id_line.contains(&0) => self.id_line = Vec::new(),
            Field::Id => self.id = Some(core::mem::take(&mut self.id_line)),
            Field::Retry(Retry::Number(milliseconds)) => out.push(Item::Retry(milliseconds)),
            Field::Event if self.name == MESSAGE => {
                self.name = Vec::new();
                self.is_message = true;
            }
            Field::Retry(Retry::Empty | Retry::Invalid) | Field::Data | Field::Event => {}
        }
    }

    fn end_event(&mut self, out: &mut Vec<Item>) {
        let name = core::mem::take(&mut self.name);
        self.is_message = false;
        let data = core::mem::take(&mut self.data);
        let id = self.id.take().map(from_utf8_lossy);
        self.has_data = false;
        if let Some(scanner) = self.oversized.take() {
            out.push(Item::Oversized { scanned: scanner.finish(), id });
        } else if !data.is_empty() {
            out.push(Item::Event(SseEvent { name: from_utf8_lossy(name), data: from_utf8_lossy(data), id }));
        } else if let Some(id) = id {
            out.push(Item::Id(id));
        }
    }
}

impl Field {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"data" => Some(Self::Data),
            b"event" => Some(Self::Event),
            b"id" => Some(Self::Id),
            b"retry" => Some(Self::Retry(Retry::Empty)),
            _ => None,
        }
    }
}

impl Retry {
    fn and(self, digits: &[u8]) -> Self {
        digits.iter().fold(self, |retry, digit| {
            let number = match retry {
                Self::Invalid => return Self::Invalid,
                Self::Empty => 0,
                Self::Number(number) => number,
            };
            match digit {
                b'0'..=b'9' => Self::Number(number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
                _ => Self::Invalid,
            }
        })
    }
}
