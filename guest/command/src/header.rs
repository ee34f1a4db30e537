//! Headers as a user writes them: `--header 'Name: value'`, as curl takes it, and `--header-env Name=VAR`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use crate::expand::{VarError, expand, is_name as is_variable};

/// A name and a value.
pub type Header = (String, String);

/// Splits a header and expands the variables in its value. An error says which header by its name, and never its value.
pub fn parse(text: &str, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<Header, String> {
    // Without a colon the whole text may be a secret that lost its name: it is not repeated.
    let (name, value) = text.split_once(':').ok_or("a --header has no colon; write --header 'Name: value'")?;
    let name = name.trim();
    if !is_name(name) {
        return Err("a --header has no valid name before its colon; write --header 'Name: value'".into());
    }
    let value = expand(value, lookup).and_then(clean).map_err(|problem| format!("--header '{name}' {problem}"))?;
    Ok((name.to_owned(), value))
}

/// Reads `Name=VAR`: the header's value is what the environment variable holds. An error never repeats a value.
pub fn from_environment(text: &str, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<Header, String> {
    // Without a variable's name the whole text may be a secret.
    let (name, variable) = text.split_once('=').ok_or("a --header-env has no '='; write --header-env 'Name=VAR'")?;
    let (name, variable) = (name.trim(), variable.trim());
    if !is_name(name) {
        return Err("a --header-env has no valid name before its '='; write --header-env 'Name=VAR'".into());
    }
    if !is_variable(variable) {
        return Err(format!("--header-env '{name}' names no environment variable; write --header-env '{name}=VAR'"));
    }
    let value = lookup(variable).map_err(|_| {
        format!("--header-env '{name}' needs the environment variable {variable}, which is not set, or not valid UTF-8")
    })?;
    let value = clean(value).map_err(|problem| format!("--header-env '{name}' {problem}"))?;
    Ok((name.to_owned(), value))
}

/// A value without the space around it. An error says what is wrong with it.
pub fn clean(value: impl AsRef<str>) -> Result<String, String> {
    let value = value.as_ref().trim();
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err("has a line break or another control character in its value; remove it".into());
    }
    Ok(value.to_owned())
}

/// Whether this can be the name of a header, RFC 9110 § 5.6.2.
pub fn is_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Result<String, VarError> {
        match name {
            "TOKEN" => Ok("s3cret".into()),
            "FILE" => Ok("s3cret\n".into()),
            "TWO" => Ok("a\r\nX-Injected: b".into()),
            _ => Err(VarError::NotPresent),
        }
    }

    #[test]
    fn headers() {
        for (text, name, value) in [
            ("Authorization: Bearer ${TOKEN}", "Authorization", "Bearer s3cret"),
            ("X-Key:${TOKEN}", "X-Key", "s3cret"),
            ("X-Time:  12:30 ", "X-Time", "12:30"),
            ("X-Empty:", "X-Empty", ""),
            ("X-File: ${FILE}", "X-File", "s3cret"),
        ] {
            assert_eq!(parse(text, lookup), Ok((name.into(), value.into())), "{text}");
        }
    }

    #[test]
    fn from_the_environment_as_it_is() {
        let lookup = |name: &str| match name {
            "NESTED" => Ok("Bearer ${TOKEN}\n".into()),
            other => lookup(other),
        };
        assert_eq!(from_environment("X-Key=TOKEN", lookup), Ok(("X-Key".into(), "s3cret".into())));
        assert_eq!(from_environment("X-Key=NESTED", lookup), Ok(("X-Key".into(), "Bearer ${TOKEN}".into())));
        for text in ["s3cret", "=TOKEN", "X Y=TOKEN", "X-Key=", "X-Key=s3cret!", "X-Key=MISSING", "X-Key=TWO"] {
            let error = from_environment(text, lookup).unwrap_err();
            assert!(!error.contains("s3cret") && !error.contains("Injected"), "{text}: {error}");
        }
    }

    #[test]
    fn refused_without_repeating_a_value() {
        for text in [
            "s3cret",
            "",
            ": s3cret",
            "X Y: s3cret",
            "Ä: s3cret",
            "X: ${TWO}",
            "X: s3cret ${MISSING}",
            "X: s3cret\u{0}",
            "X: ${s3cret",
        ] {
            let error = parse(text, lookup).unwrap_err();
            assert!(!error.contains("s3cret") && !error.contains("Injected"), "{text}: {error}");
            assert!(!error.contains('\n'), "{text}: {error}");
        }
    }
}
