//! Bytes as text, for messages: most are ASCII, and long.

use alloc::string::{FromUtf8Error, String};
use alloc::vec::Vec;

/// As [`String::from_utf8`]. That bytes are ASCII is found out several times as fast as that they are UTF-8.
pub(crate) fn from_utf8(bytes: Vec<u8>) -> Result<String, FromUtf8Error> {
    if bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Ok(unsafe { String::from_utf8_unchecked(bytes) });
    }
    String::from_utf8(bytes)
}

/// What is not UTF-8 becomes U+FFFD.
pub(crate) fn from_utf8_lossy(bytes: Vec<u8>) -> String {
    from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_the_standard_library_says() {
        for bytes in
            [&b""[..], b"ascii", "z\u{fc}rich \u{1f30d}".as_bytes(), b"caf\xe9", b"\xed\xa0\x80", b"cut \xf0\x9f"]
        {
            assert_eq!(from_utf8(bytes.to_vec()).ok(), String::from_utf8(bytes.to_vec()).ok());
            assert_eq!(from_utf8_lossy(bytes.to_vec()), String::from_utf8_lossy(bytes));
        }
    }
}
