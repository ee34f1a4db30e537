//! Headers as a user writes them: `--header 'Name: value'`, as curl takes it, and many at once, as `--header-file` holds and
//! `--header-command` prints them.

use std::env::VarError;

use serde_json::{Map, Value};

use super::expand::{expand, is_name as is_variable};

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

/// Reads many headers: a JSON object whose values are strings, or lines `Name: value`, where blank lines and those that
/// begin with `#` mean nothing. Each value goes through `finish`. An error names a line or a header, and never a value.
pub fn parse_all(text: &str, finish: impl Fn(&str) -> Result<String, String>) -> Result<Vec<Header>, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let raw = if text.starts_with('{') { from_json(text)? } else { from_lines(text)? };
    let mut headers = Vec::with_capacity(raw.len());
    for (name, value) in raw {
        let value = finish(&value).and_then(clean).map_err(|problem| format!("the header '{name}' {problem}"))?;
        headers.push((name, value));
    }
    mcp_reconnect_core::Engine::check_headers(&headers).map_err(|error| error.to_string())?;
    if headers.is_empty() {
        return Err("it holds no header; write 'Name: value' lines or a JSON object".into());
    }
    Ok(headers)
}

fn from_json(text: &str) -> Result<Vec<Header>, String> {
    // serde_json's message repeats no text of a syntax error.
    let object: Map<String, Value> = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let header = |(name, value): (String, Value)| match value {
        _ if !is_name(&name) => Err("a member's name is no header name".to_owned()),
        Value::String(value) => Ok((name, value)),
        _ => Err(format!("the header '{name}' has a value that is not a string")),
    };
    object.into_iter().map(header).collect()
}

fn from_lines(text: &str) -> Result<Vec<Header>, String> {
    let mut headers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || format!("line {} is not 'Name: value'", index + 1);
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name = name.trim();
        if !is_name(name) {
            return Err(wrong());
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    Ok(headers)
}

/// A value without the space around it.
fn clean(value: impl AsRef<str>) -> Result<String, String> {
    let value = value.as_ref().trim();
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err("has a line break or another control character in its value; remove it".into());
    }
    Ok(value.to_owned())
}

/// RFC 9110 § 5.6.2.
fn is_name(name: &str) -> bool {
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

    fn all(text: &str) -> Result<Vec<Header>, String> {
        parse_all(text, |value| expand(value, lookup))
    }

    #[test]
    fn many_headers() {
        let two: Vec<Header> = vec![("Authorization".into(), "Bearer s3cret".into()), ("X-B".into(), "2: 3".into())];
        for text in [
            "Authorization: Bearer ${TOKEN}\nX-B:2: 3",
            "\u{feff}# a comment\r\n\r\n  Authorization : Bearer ${TOKEN} \r\nX-B: 2: 3\r\n",
            r#" { "Authorization": "Bearer ${TOKEN}", "X-B": "2: 3" } "#,
        ] {
            assert_eq!(all(text), Ok(two.clone()), "{text}");
        }
        // What a command prints is not expanded.
        assert_eq!(parse_all("A: ${TOKEN}", |value| Ok(value.into())), Ok(vec![("A".into(), "${TOKEN}".into())]));
    }

    #[test]
    fn many_are_refused_without_repeating_a_value() {
        for text in [
            "",
            "\n# nothing\n",
            "{}",
            "s3cret",
            "A: 1\ns3cret",
            "bad s3cret: 1",
            r#"{"A": "s3cret""#,
            r#"{"A": s3cret}"#,
            r#"{"A": ["s3cret"]}"#,
            r#"{"A": 1}"#,
            r#"{"s3cret ": "1"}"#,
            r#"{"A": "s3cret\nX: 1"}"#,
            "[\"A: s3cret\"]",
            "A: s3cret ${MISSING}",
            "Mcp-Session-Id: s3cret",
            "A: s3cret\u{e9}",
        ] {
            let error = all(text).unwrap_err();
            assert!(!error.contains("s3cret") && !error.contains('\n'), "{text}: {error}");
        }
    }
}
