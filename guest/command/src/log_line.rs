//! A line of the log as JSON.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::visible::Visible;

/// One object on one line. `level` is a plain word; `timestamp` is RFC 3339, where there is a clock.
pub fn json(timestamp: Option<&str>, level: &str, text: &str) -> String {
    let mut line = String::from("{");
    if let Some(timestamp) = timestamp {
        let _ = write!(line, "\"timestamp\":\"{timestamp}\",");
    }
    let _ = write!(line, "\"level\":\"{level}\",\"message\":\"");
    // Controls are not in it any more.
    for c in format!("{}", Visible(text)).chars() {
        if matches!(c, '"' | '\\') {
            line.push('\\');
        }
        line.push(c);
    }
    line.push_str("\"}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_text_it_is_one_object_on_one_line() {
        assert_eq!(json(None, "info", "a \"b\"\n\\"), "{\"level\":\"info\",\"message\":\"a \\\"b\\\"\u{FFFD}\\\\\"}\n");
        assert_eq!(json(Some("T"), "warn", ""), "{\"timestamp\":\"T\",\"level\":\"warn\",\"message\":\"\"}\n");
    }
}
