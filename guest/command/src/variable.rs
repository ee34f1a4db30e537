//! Options from the environment: each has a variable, `--hold-timeout` is `MCP_RECONNECT_HOLD_TIMEOUT`. What the command line says
//! goes before. An empty variable is none.

use alloc::format;
use alloc::string::String;

/// The server's URL, where the command line has none.
pub const URL: &str = "MCP_RECONNECT_URL";

/// The variable of an option, which is named without its dashes.
pub fn name(option: &str) -> String {
    format!("MCP_RECONNECT_{}", option.replace('-', "_").to_ascii_uppercase())
}

/// Whether a switch is on. An error says what to write.
pub fn switch(text: &str) -> Result<bool, &'static str> {
    match &*text.to_ascii_lowercase() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("write 1 or 0"),
    }
}

/// The values of an option that may be repeated: one a line.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn names_and_values() {
        assert_eq!(name("old-session-timeout"), "MCP_RECONNECT_OLD_SESSION_TIMEOUT");
        assert_eq!((switch("1"), switch("FALSE"), switch("maybe")), (Ok(true), Ok(false), Err("write 1 or 0")));
        assert_eq!(lines("A: 1\r\n\nB: 2\n").collect::<Vec<_>>(), ["A: 1", "B: 2"]);
    }
}
