//! Session ids that no server gave, of the form of those that it did.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::wire::url::Url;

/// How many characters of a session's id a made-up one differs in.
const MADE_UP: usize = 8;

/// An id of the same form as `id` that is another one. Its last letters and digits differ, so that what is fixed in the
/// form (the version in a UUID) stays.
pub(super) fn fake_id(id: &str) -> String {
    let mut changed = 0;
    let mut reversed: Vec<char> = Vec::new();
    for c in id.chars().rev() {
        let other = if changed < MADE_UP { turned(c) } else { c };
        changed += usize::from(other != c);
        reversed.push(other);
    }
    if changed == 0 {
        reversed.insert(0, '0');
    }
    reversed.into_iter().rev().collect()
}

/// Another character of the same sort: a digit, a hexadecimal letter, another letter.
fn turned(c: char) -> char {
    let turn = |first: u8, count: u8, by: u8| char::from(first + (c as u8 - first + by) % count);
    match c {
        '0'..='9' => turn(b'0', 10, 5),
        'a'..='f' => turn(b'a', 6, 3),
        'A'..='F' => turn(b'A', 6, 3),
        'g'..='z' => turn(b'g', 20, 10),
        'G'..='Z' => turn(b'G', 20, 10),
        _ => c,
    }
}

/// The endpoint with a made-up session, or none where it names no session that can be told.
pub(super) fn fake_endpoint(endpoint: &Url) -> Option<String> {
    let whole = endpoint.path_and_query();
    let Some((path, query)) = whole.split_once('?') else {
        let (folder, last) = whole.rsplit_once('/')?;
        // A name that people gave has no digits.
        let is_id = last.len() >= MADE_UP && last.bytes().any(|byte| byte.is_ascii_digit());
        return is_id.then(|| alloc::format!("{folder}/{}", fake_id(last)));
    };
    let parts: Vec<&str> = query.split('&').collect();
    let value = |part: &str| part.split_once('=').map_or(0, |(_, value)| value.len());
    let names_session =
        |part: &&&str| part.split('=').next().is_some_and(|name| name.to_ascii_lowercase().contains("session"));
    let chosen = parts.iter().find(names_session).or_else(|| parts.iter().max_by_key(|part| value(part)))?;
    let parts: Vec<String> = parts
        .iter()
        .map(|part| match part.split_once('=') {
            Some((name, value)) if part == chosen => alloc::format!("{name}={}", fake_id(value)),
            _ => (*part).to_string(),
        })
        .collect();
    Some(alloc::format!("{path}?{}", parts.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fake_id_has_the_form_of_a_real_one() {
        for id in ["6f1c0a52-9d1b-4b41-8a54-0f4a2f5e7c11", "0F4A2F5E7C11", "abcXYZ_-9", "7", "~~~"] {
            let other = fake_id(id);
            assert_ne!(id, other);
            let sort = |c: char| (c.is_ascii_digit(), c.is_ascii_hexdigit(), c.is_ascii_uppercase(), c == '-');
            assert!(id.chars().zip(other.chars()).all(|(a, b)| sort(a) == sort(b)), "{id} {other}");
        }
        for (id, other) in [
            ("0123456789", "0178901234"),
            ("abcdef", "defabc"),
            ("ABCDEF", "DEFABC"),
            ("ghyz", "qrop"),
            ("GHYZ", "QROP"),
            ("~~~", "~~~0"),
        ] {
            assert_eq!(fake_id(id), other);
        }
        assert!(fake_id("6f1c0a52-9d1b-4b41-8a54-0f4a2f5e7c11").starts_with("6f1c0a52-9d1b-4b41-8a54-0f4a"));
    }

    #[test]
    fn a_fake_endpoint_differs_in_its_session_only() {
        let endpoint = |path: &str| fake_endpoint(&Url::parse(&alloc::format!("http://h{path}")).unwrap());
        assert_eq!(endpoint("/message?sessionId=12345678&t=sse").as_deref(), Some("/message?sessionId=67890123&t=sse"));
        assert_eq!(endpoint("/m?x=1&token=12345678").as_deref(), Some("/m?x=1&token=67890123"));
        assert_eq!(endpoint("/messages/12345678").as_deref(), Some("/messages/67890123"));
        for names_nothing in ["/m", "/messages", "/1234567", "/in/v2"] {
            assert_eq!(endpoint(names_nothing), None, "{names_nothing}");
        }
    }
}
