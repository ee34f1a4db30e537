//! Text that no log may show.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A token, a code, a client's secret, or text that holds one. Its `Debug` form shows nothing of it.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "empty" } else { "secret" })
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let difference = one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && core::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(alloc::format!("{:?}", Secret("s3cret".into())), "secret");
    }

    #[test]
    fn equality() {
        for (one, other, equal) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "b", false),
            ("a", "ab", false),
            ("ab", "a", false),
            ("ab", "ba", false),
            ("aa", "bb", false),
            ("", "a", false),
        ] {
            assert_eq!(same(one, other), equal, "{one} {other}");
        }
    }
}
