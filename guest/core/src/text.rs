//! Text for people that may hold what a stranger wrote: made visible, and without what is known to be secret.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// Characters that are not seen, or change how others are seen: controls (C0, C1), line and paragraph separators, marks of
/// direction, fillers, what has no width. A terminal may obey them, and a person is deceived by them.
const INVISIBLE: [(char, char); 18] = [
    ('\0', '\u{1F}'),
    ('\u{7F}', '\u{9F}'),
    ('\u{AD}', '\u{AD}'),
    ('\u{61C}', '\u{61C}'),
    ('\u{115F}', '\u{1160}'),
    ('\u{180B}', '\u{180F}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{2028}', '\u{202E}'),
    ('\u{2060}', '\u{206F}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{FE00}', '\u{FE0F}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFA0}', '\u{FFA0}'),
    ('\u{FFF9}', '\u{FFFB}'),
    ('\u{13430}', '\u{1343F}'),
    ('\u{1BCA0}', '\u{1BCA3}'),
    ('\u{1D173}', '\u{1D17A}'),
    ('\u{E0000}', '\u{E0FFF}'),
];

/// Whether a character is one that nobody sees.
pub fn is_invisible(c: char) -> bool {
    // Most text is ASCII.
    if c.is_ascii() {
        c.is_ascii_control()
    } else {
        INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c))
    }
}

/// Text on one line: at most so many characters and then `…`, and U+FFFD for each that nobody sees.
pub struct Visible<'a>(pub &'a str, pub usize);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, c) in self.0.chars().enumerate() {
            if index == self.1 {
                return to.write_str("…");
            }
            to.write_char(if is_invisible(c) { '\u{FFFD}' } else { c })?;
        }
        Ok(())
    }
}

/// [`Visible`] as a string.
pub fn visible(text: &str, most: usize) -> String {
    Visible(text, most).to_string()
}

/// The shortest text that is taken for a secret: a shorter one stands by chance in many others.
const SHORTEST: usize = 6;
/// How many secrets are remembered, the last ones.
const MOST: usize = 64;

/// What must not be shown, and is known: session ids, the queries of URLs, the values of headers.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secrets(VecDeque<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// Remembers one.
    pub fn learn(&mut self, secret: &str) {
        if secret.len() < SHORTEST || self.0.iter().any(|known| known == secret) {
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(secret.to_string());
    }

    /// A header's value, and what follows the scheme in it: `Bearer …`.
    pub fn learn_header(&mut self, value: &str) {
        self.learn(value);
        if let Some((_, credentials)) = value.split_once(' ') {
            self.learn(credentials.trim());
        }
    }

    /// The query in a path or URL, and the values in it.
    pub fn learn_query(&mut self, url: &str) {
        let Some((_, query)) = url.split_once('?') else { return };
        self.learn(query);
        for pair in query.split('&') {
            self.learn(pair.split_once('=').map_or(pair, |(_, value)| value));
        }
    }

    /// The text with `***` in the place of each.
    pub fn blank(&self, text: String) -> String {
        let mut found: Vec<&String> = self.0.iter().filter(|secret| text.contains(secret.as_str())).collect();
        if found.is_empty() {
            return text;
        }
        // One may be a part of another.
        found.sort_by_key(|secret| core::cmp::Reverse(secret.len()));
        found.into_iter().fold(text, |text, secret| text.replace(secret.as_str(), "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_shown() {
        for c in [
            '\u{1b}',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(visible(&alloc::format!("a{c}b"), 10), "a\u{fffd}b", "{c:?}");
        }
        let seen = "Zürich 東京 🌍 ~ \u{a0}";
        assert_eq!(visible(seen, 100), seen);
    }

    #[test]
    fn a_line_is_bounded() {
        assert_eq!(visible("äää", 3), "äää");
        assert_eq!(visible("ääää", 3), "äää…");
    }

    #[test]
    fn known_secrets_are_blanked() {
        let mut secrets = Secrets::default();
        secrets.learn("session-12345");
        secrets.learn_header("Bearer s3cret-token");
        secrets.learn_header("1");
        secrets.learn_query("/mcp?token=abcdefgh&x=1");
        for (from, to) in [
            ("no session-12345 here", "no *** here"),
            ("got Bearer s3cret-token", "got ***"),
            ("got s3cret-token: 1", "got ***: 1"),
            ("at /mcp?token=abcdefgh&x=1", "at /mcp?***"),
            ("the token abcdefgh", "the token ***"),
        ] {
            assert_eq!(secrets.blank(from.into()), to);
        }
        assert_eq!(alloc::format!("{secrets:?}"), "5 secrets");
        // What is short may be in any text.
        secrets.learn("tools");
        secrets.learn("secret");
        assert_eq!(secrets.blank("tools of secret".into()), "tools of ***");
    }

    #[test]
    fn the_last_ones_are_remembered() {
        let mut secrets = Secrets::default();
        for number in 0..100 {
            secrets.learn(&alloc::format!("session-{number:03}"));
        }
        assert_eq!(secrets.blank("session-000 session-099".into()), "session-000 ***");
    }
}
