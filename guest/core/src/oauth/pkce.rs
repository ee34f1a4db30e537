//! Random values and the proof key (RFC 7636), from a seed of the host's.

use alloc::string::String;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// A generator of values that nobody can guess who does not know the seed: SHA-256 over the seed and a counter.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 256 bits in base64url, 43 characters: what RFC 7636, section 4.1, asks of a verifier.
    pub fn text(&mut self) -> String {
        self.counter += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.counter.to_be_bytes());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

/// The challenge `S256` of a verifier.
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// `text` in base64, as `Authorization: Basic` wants it.
pub(crate) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// The bytes of a part of a JSON Web Token.
pub(crate) fn decode(text: &str) -> Option<alloc::vec::Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// A name for a text that tells nothing of it: the first 128 bits of its SHA-256, in hexadecimal.
pub(crate) fn name_of(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(16).fold(String::new(), |name, byte| alloc::format!("{name}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn each_value_is_another() {
        let mut random = Random::new([7; 32]);
        let (one, two) = (random.text(), random.text());
        assert_ne!(one, two);
        assert_eq!(
            (one.len(), Random::new([7; 32]).text() == one, Random::new([8; 32]).text() == one),
            (43, true, false)
        );
    }
}
