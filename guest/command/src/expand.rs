//! `${VAR}` and `${VAR:-default}` in option values, so that no secret need be in a process list.

use alloc::format;
use alloc::string::String;

/// Why a variable of the environment gives no text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VarError {
    /// It is not set.
    NotPresent,
    /// Its value is not valid UTF-8.
    NotUnicode,
}

/// Replaces each `${VAR}` by the variable's value, and each `${VAR:-default}` by the default where the variable is unset
/// or empty, as a shell does. What comes out is not expanded again. Errors name variables, never values.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        expanded.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let end = inside.find('}').ok_or("has a '${' without its '}'")?;
        let (name, default) = match inside[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inside[..end], None),
        };
        if !is_name(name) {
            return Err("has a '${…}' that holds no variable's name; write ${VAR} or ${VAR:-default}".into());
        }
        match (lookup(name), default) {
            (Ok(value), None) => expanded.push_str(&value),
            (Ok(value), Some(_)) if !value.is_empty() => expanded.push_str(&value),
            (Ok(_) | Err(VarError::NotPresent), Some(default)) => expanded.push_str(default),
            (Err(VarError::NotPresent), None) => {
                return Err(format!(
                    "needs the environment variable {name}, which is not set; set it, or write ${{{name}:-default}}"
                ));
            }
            (Err(VarError::NotUnicode), _) => {
                return Err(format!("needs the environment variable {name}, which is not valid UTF-8"));
            }
        }
        rest = &inside[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Whether this can be the name of an environment variable.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Result<String, VarError> {
        match name {
            "TOKEN" => Ok("s3cret".into()),
            "_A1" => Ok("one".into()),
            "EMPTY" => Ok(String::new()),
            "NESTED" => Ok("${TOKEN}".into()),
            "BROKEN" => Err(VarError::NotUnicode),
            _ => Err(VarError::NotPresent),
        }
    }

    #[test]
    fn expands() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("Bearer ${TOKEN}", "Bearer s3cret"),
            ("${TOKEN}${_A1}", "s3cretone"),
            ("a${TOKEN}b${_A1}c", "as3cretbonec"),
            ("${MISSING:-none}", "none"),
            ("${MISSING:-}", ""),
            ("${TOKEN:-none}", "s3cret"),
            ("${EMPTY}", ""),
            ("${EMPTY:-none}", "none"),
            ("${NESTED}", "${TOKEN}"),
            ("${MISSING:-a:-b}", "a:-b"),
            ("$TOKEN $ {TOKEN} 5$", "$TOKEN $ {TOKEN} 5$"),
            ("ä${TOKEN}ö", "äs3cretö"),
        ] {
            assert_eq!(expand(text, lookup).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses() {
        for text in ["${MISSING}", "${", "x ${TOKEN", "${}", "${1A}", "${A B}", "${A-b}", "${BROKEN}", "${BROKEN:-x}"] {
            assert!(expand(text, lookup).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_variable_and_no_value() {
        let error = expand("${TOKEN} ${MISSING}", lookup).unwrap_err();
        assert!(error.contains("MISSING") && !error.contains("s3cret"), "{error}");
    }
}
