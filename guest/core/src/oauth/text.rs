//! Text that came from a server and is shown to people.

use alloc::string::String;

/// The longest such text, in characters.
const LONGEST: usize = 200;

/// The text on one line, bounded, without what a terminal would obey or what turns the direction of writing.
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| if crate::text::is_invisible(c) { '\u{FFFD}' } else { c };
    let mut clean: String = text.chars().take(LONGEST).map(shown).collect();
    if text.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_server_reaches_a_terminal_as_an_order() {
        assert_eq!(clean("a\x1b[2Jb\r\nc\u{202E}d\u{9b}"), "a\u{FFFD}[2Jb\u{FFFD}\u{FFFD}c\u{FFFD}d\u{FFFD}");
        assert_eq!(clean(&"ä".repeat(500)).chars().count(), 201);
    }
}
