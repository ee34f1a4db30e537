//! Scopes (RFC 6749, section 3.3): sets of words.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// The most scopes of one set, and the longest one in bytes; what is more is left out.
const MAX_SCOPES: usize = 200;
const MAX_BYTES: usize = 500;

/// The scopes of a text in order, each once. What is none is left out.
pub(crate) fn split(text: &str) -> Vec<String> {
    union(&[], text.split(' '))
}

/// The scopes of both, each once.
pub(crate) fn union<'a>(one: &[String], other: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut all = one.to_vec();
    for scope in other {
        if all.len() < MAX_SCOPES && is_scope(scope) && !all.iter().any(|had| had == scope) {
            all.push(scope.to_owned());
        }
    }
    all
}

/// Whether `all` holds each of `some`.
pub(crate) fn holds(all: &[String], some: &[String]) -> bool {
    some.iter().all(|scope| all.contains(scope))
}

fn is_scope(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        assert_eq!(split(" a b  a \"x\" "), ["a", "b"]);
        assert_eq!(union(&["a".into()], ["b", "a"]), ["a", "b"]);
        assert!(holds(&split("a b"), &split("b")) && !holds(&split("a"), &split("a b")) && holds(&[], &[]));
        let many: Vec<String> = (0..1000).map(|n| alloc::format!("s{n}")).collect();
        assert_eq!(split(&many.join(" ")).len(), MAX_SCOPES);
        assert!(split(&"x".repeat(501)).is_empty());
    }
}
