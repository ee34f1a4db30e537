//! Text that came from a server and is shown to people.

use alloc::string::String;

/// The longest such text, in characters.
const LONGEST: usize = 200;

/// The text on one line, bounded, without what a terminal would obey or what turns the direction of writing.
pub(crate) fn clean(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    let mut clean: String = text.chars().take(LONGEST).map(|c| if harmful(c) { '\u{FFFD}' } else { c }).collect();
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
