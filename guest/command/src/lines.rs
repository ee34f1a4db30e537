//! Cuts a byte stream into lines, in bounded memory.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use mcp_reconnect_core::scan::{Scanned, Scanner};

/// A line that is not empty.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The line without its end (LF or CRLF).
    Text(String),
    /// The line was over the limit and was not kept, only looked through.
    TooLong(Scanned),
}

/// Takes bytes in pieces of any size and gives lines.
pub struct Splitter {
    limit: usize,
    /// The beginning of a line whose end is still to come: at most the limit, and one byte for a CR.
    partial: Vec<u8>,
    /// Reads the rest of a line that is over the limit.
    scanner: Option<Scanner>,
}

impl Splitter {
    /// A splitter for lines of at most `limit` bytes, their end not counted.
    pub fn new(limit: usize) -> Self {
        Self { limit, partial: Vec::new(), scanner: None }
    }

    /// Takes the next bytes and appends the lines that they complete.
    pub fn feed(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.take(&rest[..end]);
            lines.extend(self.line());
            rest = &rest[end + 1..];
        }
        self.take(rest);
    }

    /// The last line, if the stream ended without a line end.
    pub fn finish(mut self) -> Option<Line> {
        self.line()
    }

    /// Adds bytes to the current line.
    fn take(&mut self, bytes: &[u8]) {
        if let Some(scanner) = &mut self.scanner {
            scanner.feed(bytes);
        } else if bytes.len() <= self.limit.saturating_add(1) - self.partial.len() {
            self.partial.extend_from_slice(bytes);
        } else {
            let mut scanner = Scanner::new();
            scanner.feed(&mem::take(&mut self.partial));
            scanner.feed(bytes);
            self.scanner = Some(scanner);
        }
    }

    /// Ends the current line; `None` if it was empty.
    fn line(&mut self) -> Option<Line> {
        let mut line = mem::take(&mut self.partial);
        if let Some(scanner) = self.scanner.take() {
            return Some(Line::TooLong(scanner.finish()));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > self.limit {
            let mut scanner = Scanner::new();
            scanner.feed(&line);
            return Some(Line::TooLong(scanner.finish()));
        }
        (!line.trim_ascii().is_empty()).then(|| Line::Text(text(line)))
    }
}

/// A line as text. What is not UTF-8 must be refused and not be mended: a message with replacement characters in a string
/// would be a valid one that the client never sent. A replacement character at its start
/// makes it no JSON at all; the engine answers it under its id, where that can be read.
fn text(line: Vec<u8>) -> String {
    String::from_utf8(line).unwrap_or_else(|error| format!("\u{FFFD}{}", String::from_utf8_lossy(error.as_bytes())))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// The lines of a stream, cut into pieces of each size from one byte to all.
    fn lines(limit: usize, stream: &[u8]) -> Vec<Line> {
        let whole = lines_in_pieces(limit, stream, stream.len().max(1));
        for size in 1..stream.len() {
            assert_eq!(lines_in_pieces(limit, stream, size), whole, "in pieces of {size}");
        }
        whole
    }

    fn lines_in_pieces(limit: usize, stream: &[u8], size: usize) -> Vec<Line> {
        let mut splitter = Splitter::new(limit);
        let mut lines = Vec::new();
        for piece in stream.chunks(size) {
            splitter.feed(piece, &mut lines);
            assert!(splitter.partial.len() <= limit + 1);
        }
        lines.extend(splitter.finish());
        lines
    }

    fn texts(stream: &[u8]) -> Vec<String> {
        lines(100, stream)
            .into_iter()
            .map(|line| match line {
                Line::Text(text) => text,
                Line::TooLong(scanned) => panic!("{scanned:?}"),
            })
            .collect()
    }

    #[test]
    fn line_ends() {
        assert_eq!(texts(b"a\nbc\r\nd"), ["a", "bc", "d"]);
        assert_eq!(texts(b"a\rb\n"), ["a\rb"]);
        assert_eq!(texts(b"a\r\r\n"), ["a\r"]);
        assert_eq!(texts("ä\u{2028}ö\n".as_bytes()), ["ä\u{2028}ö"]);
    }

    #[test]
    fn empty_lines_are_no_lines() {
        assert!(texts(b"").is_empty());
        assert!(texts(b"\n\r\n \t\n\n").is_empty());
    }

    #[test]
    fn what_is_not_utf8_does_not_become_json() {
        for stream in [&b"{\"id\":1,\"method\":\"\xff\"}\n"[..], b"\xc3\n", b"{}\xe2\x82\n"] {
            let [line] = texts(stream).try_into().unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_line_at_the_limit_is_kept() {
        assert_eq!(
            lines(4, b"1234\r\n1234\n1234"),
            vec![Line::Text("1234".into()), Line::Text("1234".into()), Line::Text("1234".into())]
        );
    }

    #[test]
    fn a_line_over_the_limit_is_looked_through() {
        let stream = b"{\"id\":7,\"method\":\"m\",\"params\":[1,2,3]}\n{}\n{\"result\":0,\"id\":\"x\"}";
        let found = lines(5, stream);
        let [Line::TooLong(first), Line::Text(second), Line::TooLong(third)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((first.id.as_deref(), first.method.as_deref(), first.is_response), (Some("7"), Some("m"), false));
        assert_eq!(second, "{}");
        assert_eq!((third.id.as_deref(), third.is_response), (Some("\"x\""), true));
    }

    #[test]
    fn one_byte_over_the_limit_is_over() {
        assert!(matches!(lines(4, b"12345\n")[..], [Line::TooLong(_)]));
        assert!(matches!(lines(4, b"12345\r\n")[..], [Line::TooLong(_)]));
        assert!(matches!(lines(4, b"12345")[..], [Line::TooLong(_)]));
    }
}
