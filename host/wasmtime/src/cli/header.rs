//! Many headers at once, as `--header-file` holds and `--header-command` prints them.

pub use mcp_reconnect_command::header::{Header, from_environment, parse};
use mcp_reconnect_command::header::{clean, is_name};
use serde_json::{Map, Value};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::expand::{VarError, expand};

    fn all(text: &str) -> Result<Vec<Header>, String> {
        let token = |name: &str| if name == "TOKEN" { Ok("s3cret".into()) } else { Err(VarError::NotPresent) };
        parse_all(text, |value| expand(value, token))
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
