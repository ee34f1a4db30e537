//! A scanner that finds the envelope of a JSON-RPC message too large to keep.
//!
//! It reads one JSON text in pieces of any size, keeps a few hundred bytes however long the text is, and reports the
//! top-level `id` and `method` and whether there is a `result` or an `error`. Of a batch it reports the ids of the responses.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::value::RawValue;

/// The longest `id` or `method` that is kept, in bytes of JSON text, quotes included.
const MAX_VALUE: usize = 256;

/// The longest key that is of interest: `method` and `result`, with every letter escaped in six bytes.
const MAX_KEY: usize = 36;

/// The most responses of a batch whose ids are kept.
const MAX_RESPONSES: usize = 64;

/// Reads one JSON text, a piece at a time, in constant memory.
///
/// It does not validate: of a malformed or truncated text it reports what it had found until then. Of a key that
/// occurs twice the last one counts, as in serde_json's maps. A byte order mark before the text is skipped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scanner {
    at: At,
    /// The brackets open around the current byte, while below the top level.
    depth: u64,
    key: Key,
    /// The bytes of the key or value being read, as far as they are of interest.
    taken: Vec<u8>,
    /// How many bytes `taken` may hold. Where there are more of them it holds none, and this is 0.
    room: usize,
    id: Option<Vec<u8>>,
    method: Option<Vec<u8>>,
    is_response: bool,
    /// The text is an array, and this is what its items were.
    batch: Option<ScannedBatch>,
    /// In such an array: outside its objects.
    between_items: bool,
    bytes: u64,
}

/// Where in the text the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// Before the text's first byte that is not white space.
    Start,
    /// In an array: before an item, or before the end.
    Item,
    /// Before a key, or before the end of the object.
    Key,
    /// Inside a key.
    InKey { escaped: bool },
    /// Before the colon.
    Colon,
    /// Before a value.
    Value,
    /// Inside a top-level string.
    InString { escaped: bool },
    /// Inside a top-level number or literal.
    InScalar,
    /// Inside an array or object that is a top-level value, outside strings.
    Nested,
    /// Inside a string of such an array or object.
    NestedString { escaped: bool },
    /// After a value.
    Comma,
    /// Nothing that follows is of interest: the text has ended, or it is neither an object nor an array.
    Done,
}

/// The top-level keys of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Id,
    Method,
    Other,
}

/// What a [`Scanner`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scanned {
    /// The `id` as it is written, a number or a string. `None` where there is none, where it is anything else, or
    /// where it is longer than 256 bytes.
    pub id: Option<String>,
    /// The `method`, decoded. `None` where there is none, where it is no string, or where it is written in more than
    /// 256 bytes.
    pub method: Option<String>,
    /// Whether there is a `result` or an `error`.
    pub is_response: bool,
    /// What is in it, if it is a batch; all of the above is then empty.
    pub batch: Option<ScannedBatch>,
    /// The bytes read.
    pub bytes: u64,
}

/// What a [`Scanner`] found in a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScannedBatch {
    /// The ids of its responses as they are written, at most 64 of them.
    pub responses: Vec<String>,
    /// It holds other responses too: more, or some without an id that can be read.
    pub more: bool,
}

impl Scanner {
    /// A scanner before the first byte of a text.
    pub fn new() -> Self {
        Self {
            at: At::Start,
            depth: 0,
            key: Key::Other,
            taken: Vec::new(),
            room: 0,
            id: None,
            method: None,
            is_response: false,
            batch: None,
            between_items: false,
            bytes: 0,
        }
    }

    /// Reads the next bytes of the text.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.at {
                At::InKey { escaped } => self.string(rest, escaped, |escaped| At::InKey { escaped }),
                At::InString { escaped } => self.string(rest, escaped, |escaped| At::InString { escaped }),
                At::NestedString { escaped } => self.string(rest, escaped, |escaped| At::NestedString { escaped }),
                At::Nested => self.nested(rest),
                At::Done => return,
                _ => self.structure(rest),
            };
        }
    }

    /// What was found, at the end of the text.
    pub fn finish(mut self) -> Scanned {
        if self.batch.is_some() {
            self.item_ends();
            return Scanned { batch: self.batch, bytes: self.bytes, ..Scanned::default() };
        }
        Scanned {
            id: self.id.and_then(checked_id),
            method: self
                .method
                .and_then(|raw| checked(raw, |first| first == b'"'))
                .and_then(|text| serde_json::from_str(&text).ok()),
            is_response: self.is_response,
            batch: None,
            bytes: self.bytes,
        }
    }

    /// An object of a batch has ended, or the text has in the middle of one.
    fn item_ends(&mut self) {
        let (id, is_response) = (self.id.take(), core::mem::take(&mut self.is_response));
        self.method = None;
        self.between_items = true;
        let Some(batch) = self.batch.as_mut().filter(|_| is_response) else { return };
        match id.and_then(checked_id) {
            Some(id) if batch.responses.len() < MAX_RESPONSES => batch.responses.push(id),
            _ => batch.more = true,
        }
    }

    /// Reads inside a string up to its closing quote, a backslash or the end of the piece; returns what is left.
    fn string<'a>(&mut self, rest: &'a [u8], escaped: bool, inside: fn(bool) -> At) -> &'a [u8] {
        if escaped {
            self.take(&rest[..1]);
            self.at = inside(false);
            return &rest[1..];
        }
        let Some(end) = memchr::memchr2(b'"', b'\\', rest) else {
            self.take(rest);
            return &[];
        };
        self.take(&rest[..=end]);
        if rest[end] == b'\\' {
            self.at = inside(true);
        } else {
            match self.at {
                At::InKey { .. } => self.key_ends(),
                At::InString { .. } => self.value_ends(),
                _ => self.at = At::Nested,
            }
        }
        &rest[end + 1..]
    }

    /// Reads up to and including the next bracket or quote below the top level; returns what is left.
    fn nested<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let is_structure = |byte: &u8| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']');
        let Some(at) = rest.iter().position(is_structure) else {
            return &[];
        };
        match rest[at] {
            b'"' => self.at = At::NestedString { escaped: false },
            b'{' | b'[' => self.depth += 1,
            _ => {
                self.depth -= 1;
                if self.depth == 1 {
                    self.at = At::Comma;
                }
            }
        }
        &rest[at + 1..]
    }

    /// Reads one byte at the top level, outside strings; returns what is left.
    fn structure<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let byte = rest[0];
        let white = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match (self.at, byte) {
            (At::InScalar, b',' | b'}' | b']') => {
                // The comma or bracket is read again, as what it is.
                self.value_ends();
                return rest;
            }
            (At::InScalar, _) if white => self.value_ends(),
            (At::InScalar, _) => self.take(&rest[..1]),
            _ if white => {}
            // A byte order mark.
            (At::Start, 0xEF | 0xBB | 0xBF) => {}
            (At::Start | At::Item, b'{') => {
                self.between_items = false;
                self.at = At::Key;
            }
            (At::Start, b'[') => {
                self.batch = Some(ScannedBatch::default());
                self.between_items = true;
                self.at = At::Item;
            }
            (At::Item, _) => {
                self.key = Key::Other;
                self.value_begins(byte);
            }
            (At::Comma, b',') if self.between_items => self.at = At::Item,
            (At::Key | At::Comma, b'}') if self.batch.is_some() && !self.between_items => {
                self.item_ends();
                self.at = At::Comma;
            }
            (At::Key, b'"') => {
                self.taken.clear();
                self.room = MAX_KEY + 1;
                self.at = At::InKey { escaped: false };
            }
            (At::Colon, b':') => self.at = At::Value,
            (At::Value, _) => self.value_begins(byte),
            (At::Comma, b',') => self.at = At::Key,
            _ => self.at = At::Done,
        }
        &rest[1..]
    }

    /// Keeps bytes of a key or value, if it is of interest and not too long.
    fn take(&mut self, bytes: &[u8]) {
        if bytes.len() > self.room - self.taken.len() {
            self.taken.clear();
            self.room = 0;
        } else {
            self.taken.extend_from_slice(bytes);
        }
    }

    /// The closing quote of a top-level key was read (and taken).
    fn key_ends(&mut self) {
        self.key = match decoded_key(&self.taken).as_slice() {
            b"id" => Key::Id,
            b"method" => Key::Method,
            b"result" | b"error" => {
                self.is_response = true;
                Key::Other
            }
            _ => Key::Other,
        };
        self.at = At::Colon;
    }

    fn value_begins(&mut self, first: u8) {
        self.taken.clear();
        self.room = if self.key == Key::Other { 0 } else { MAX_VALUE };
        match first {
            b'{' | b'[' => {
                self.value_found();
                self.depth = 2;
                self.at = At::Nested;
            }
            b'"' => {
                self.take(b"\"");
                self.at = At::InString { escaped: false };
            }
            b',' | b'}' | b']' | b':' => self.at = At::Done,
            _ => {
                self.take(&[first]);
                self.at = At::InScalar;
            }
        }
    }

    fn value_ends(&mut self) {
        self.value_found();
        self.at = At::Comma;
    }

    /// Files what was taken of a top-level value; nothing taken means that it is of no use.
    fn value_found(&mut self) {
        let found = match self.key {
            Key::Id => &mut self.id,
            Key::Method => &mut self.method,
            Key::Other => return,
        };
        *found = (!self.taken.is_empty()).then(|| core::mem::take(&mut self.taken));
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

/// A key that was taken with its closing quote.
fn decoded_key(taken: &[u8]) -> Vec<u8> {
    if taken.contains(&b'\\') {
        let quoted = [b"\"", taken].concat();
        return serde_json::from_slice::<String>(&quoted).map(String::into_bytes).unwrap_or_default();
    }
    taken.strip_suffix(b"\"").unwrap_or_default().to_vec()
}

/// The raw bytes of an id as text, if they are one.
fn checked_id(raw: Vec<u8>) -> Option<String> {
    checked(raw, |first| first == b'"' || first == b'-' || first.is_ascii_digit())
}

/// The raw bytes as text, if they are well-formed JSON and begin as wanted.
fn checked(raw: Vec<u8>, wanted: fn(u8) -> bool) -> Option<String> {
    let text = String::from_utf8(raw).ok()?;
    let well_formed = wanted(*text.as_bytes().first()?) && serde_json::from_str::<&RawValue>(&text).is_ok();
    well_formed.then_some(text)
}
