//! Text for a terminal or a log.

use core::fmt;

use mcp_reconnect_core::text;

/// The longest line, in characters.
const LONGEST: usize = 2000;

/// Text that may come from a server: bounded, and with nothing in it that a terminal would obey.
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::Visible(self.0, LONGEST).fmt(to)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn nothing_in_a_line_moves_the_cursor_or_ends_the_line() {
        assert_eq!(Visible("a\x1b[2J\nb\u{9b}c\u{202e}").to_string(), "a\u{FFFD}[2J\u{FFFD}b\u{FFFD}c\u{FFFD}");
    }
}
