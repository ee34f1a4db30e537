//! `WWW-Authenticate` (RFC 9110, section 11.6.1), as far as it is about `Bearer` (RFC 6750, RFC 9728 section 5.1).

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// More of a header is not looked at, in bytes.
const MAX_BYTES: usize = 8192;

/// What a server says of the token that it wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Challenge {
    /// `resource_metadata`: where the resource's metadata is (RFC 9728).
    pub resource_metadata: Option<String>,
    /// `scope`: what the token must allow, split at blanks.
    pub scopes: Vec<String>,
    /// `error`, as `invalid_token` or `insufficient_scope` (RFC 6750, section 3.1).
    pub error: Option<String>,
}

impl Challenge {
    /// Reads the `Bearer` challenge of a header's value, which may hold several challenges, separated by commas; the
    /// first of several `Bearer` ones. `None`: there is none, or the value is not well-formed before it.
    pub fn parse(header: &str) -> Option<Self> {
        let mut rest = Scanner(header.get(..MAX_BYTES.min(header.len()))?);
        let mut found: Option<Self> = None;
        let mut is_bearer = false;
        loop {
            rest.skip_separators();
            let Some(word) = rest.token() else { return found };
            rest.skip_blanks();
            match rest.parameter() {
                // A word without a value is the next scheme.
                None => {
                    if found.is_some() {
                        return found;
                    }
                    is_bearer = word.eq_ignore_ascii_case("bearer");
                    if is_bearer {
                        found = Some(Self::default());
                    }
                    rest.skip_token68();
                }
                Some(value) => {
                    if let (true, Some(challenge)) = (is_bearer, &mut found) {
                        challenge.set(word, &value);
                    }
                }
            }
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        // The first one counts: what comes later may be what somebody added.
        if name.eq_ignore_ascii_case("resource_metadata") {
            self.resource_metadata.get_or_insert_with(|| value.to_owned());
        } else if name.eq_ignore_ascii_case("error") {
            self.error.get_or_insert_with(|| value.to_owned());
        } else if name.eq_ignore_ascii_case("scope") && self.scopes.is_empty() {
            self.scopes = super::scope::split(value);
        }
    }
}

/// What is left of a header.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn skip_separators(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
    }

    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// `=value`, of which the name is read. `None`: there is no value.
    fn parameter(&mut self) -> Option<String> {
        let rest = self.0.strip_prefix('=')?.trim_start_matches([' ', '\t']);
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut characters = quoted.char_indices();
            while let Some((at, c)) = characters.next() {
                match c {
                    '"' => {
                        self.0 = &quoted[at + 1..];
                        return Some(value);
                    }
                    '\\' => value.extend(characters.next().map(|(_, c)| c)),
                    c => value.push(c),
                }
            }
            // It does not end: nothing can follow.
            self.0 = "";
            return Some(value);
        }
        let end = rest.find([',', ' ', '\t']).unwrap_or(rest.len());
        let (value, rest) = rest.split_at(end);
        self.0 = rest;
        Some(value.to_owned())
    }

    /// What some schemes have in place of parameters, as `Basic dGVzdA==`.
    fn skip_token68(&mut self) {
        let end = self.0.find([',', ' ', '\t']).unwrap_or(self.0.len());
        let word = &self.0[..end];
        let name_end = word.find('=').unwrap_or(word.len());
        let is_parameter = name_end < word.len() && !word[name_end..].trim_start_matches('=').is_empty();
        let alone = self.0[end..].trim_start_matches([' ', '\t']);
        let assigned = alone.starts_with('=');
        if !is_parameter && !assigned && (alone.is_empty() || alone.starts_with(',')) {
            self.0 = &self.0[end..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(metadata: &str, scope: &str, error: &str) -> Option<Challenge> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Challenge {
            resource_metadata: text(metadata),
            scopes: scope.split(' ').filter(|s| !s.is_empty()).map(Into::into).collect(),
            error: text(error),
        })
    }

    #[test]
    fn headers_as_servers_write_them() {
        for (header, read) in [
            ("", None),
            ("Basic realm=\"x\"", None),
            ("Basic dGVzdA==", None),
            ("Negotiate", None),
            ("Bearer", challenge("", "", "")),
            ("bearer error=invalid_token", challenge("", "", "invalid_token")),
            (
                r#"Bearer error="invalid_token", error_description="a \"b\", c", resource_metadata="http://h/x""#,
                challenge("http://h/x", "", "invalid_token"),
            ),
            (r#"Bearer realm="a, Bearer error=x", scope="a  b""#, challenge("", "a b", "")),
            (r#"Basic realm="x", Bearer scope = "a b" , error=e"#, challenge("", "a b", "e")),
            (r#"Negotiate a==, Bearer resource_metadata=http://h/x"#, challenge("http://h/x", "", "")),
            (r#"Bearer scope="a", DPoP scope="b", error="e""#, challenge("", "a", "")),
            (r#"DPoP algs="ES256", Bearer scope="b""#, challenge("", "b", "")),
            (r#"Bearer scope="a", scope="b""#, challenge("", "a", "")),
            (r#"Bearer scope="never ends"#, challenge("", "never ends", "")),
            ("Bearer ,,, scope=\"a\"", challenge("", "a", "")),
            ("\"quoted\" Bearer", None),
            // In place of parameters there may be characters that no name has.
            (r#"Negotiate a/b==, Bearer scope="a""#, challenge("", "a", "")),
            (r#"Negotiate a/b, Bearer scope="a""#, challenge("", "a", "")),
            (r#"Negotiate a/b== , Bearer scope="a""#, challenge("", "a", "")),
            (r#"Basic realm = "a/b", Bearer scope="a""#, challenge("", "a", "")),
            (r#"Basic realm="a/b", Bearer scope="a""#, challenge("", "a", "")),
            ("Basic Bearer", None),
            ("Negotiate a/b", None),
        ] {
            assert_eq!(Challenge::parse(header), read, "{header}");
        }
    }

    #[test]
    fn a_scope_that_is_no_scope_is_left_out() {
        let read = Challenge::parse("Bearer scope=\"a\u{7f} b\\\\ c\"").unwrap();
        assert_eq!(read.scopes, ["c"]);
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for text in ["=", "a=", "a==b", "Bearer =", ",", "Bearer a=\"\\", "Bearer a b c d=e", "ä", "Bearer ä=1"] {
            let _ = Challenge::parse(text);
        }
        let _ = Challenge::parse(&"Bearer a=\"".repeat(10_000));
    }
}
