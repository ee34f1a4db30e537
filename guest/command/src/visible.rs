//! Text for a terminal or a log.

use core::fmt::{self, Write as _};

/// The longest line, in characters.
const LONGEST: usize = 2000;

/// Text that may come from a server: bounded, and with nothing in it that a terminal would obey.
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, c) in self.0.chars().enumerate() {
            if index == LONGEST {
                return f.write_str("…");
            }
            f.write_char(if c.is_control() { '\u{FFFD}' } else { c })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn nothing_in_a_line_moves_the_cursor_or_ends_the_line() {
        assert_eq!(Visible("a\x1b[2J\nb\u{9b}c").to_string(), "a\u{FFFD}[2J\u{FFFD}b\u{FFFD}c");
    }

    #[test]
    fn a_line_is_bounded() {
        assert_eq!(Visible(&"ä".repeat(LONGEST)).to_string().chars().count(), LONGEST);
        assert!(Visible(&"ä".repeat(LONGEST + 1)).to_string().ends_with("ä…"));
    }
}
