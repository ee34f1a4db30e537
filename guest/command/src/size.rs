//! Sizes as people write them: `65536`, `64K`, `16MiB`. The units are powers of 1024.

use alloc::string::String;

/// Parses a number of bytes that must not be zero.
pub fn parse(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err("write a size such as 65536, 64K or 16M".into()),
    };
    // Not a usize, which is small where this becomes WebAssembly.
    let number: u64 = text[..digits].parse().map_err(|_| "write a size such as 65536, 64K or 16M")?;
    match number.checked_mul(1 << shift).map(usize::try_from) {
        Some(Ok(0)) => Err("must be more than zero".into()),
        Some(Ok(bytes)) => Ok(bytes),
        _ => Err("is more than this machine can address".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, expected) in [
            ("1", 1),
            ("65536", 65536),
            ("64K", 65536),
            ("64kb", 65536),
            ("16MiB", 16 << 20),
            ("1G", 1 << 30),
            ("7b", 7),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_size() {
        for text in ["", "0", "0M", "M", "-1", "1.5M", "1 M", "1T", "99999999999999999999", "99999999999999999G"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
