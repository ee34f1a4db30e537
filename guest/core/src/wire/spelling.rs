//! JSON values that mean the same: numbers are written in many ways, strings escaped in many, members ordered in any.

use alloc::string::String;

use crate::wire::json::quote;

/// A raw id or token in one spelling, for comparisons: strings may be escaped in many ways, and numbers written in many.
pub(crate) fn canonical(raw: &str) -> String {
    if let Some(number) = Decimal::parse(raw) {
        return number.spelt();
    }
    if raw.contains('\\')
        && let Ok(text) = serde_json::from_str::<String>(raw)
    {
        return quote(&text);
    }
    String::from(raw)
}

/// An id that the engine gave out: a whole number. Some peers parse ids as doubles and print `5` as `5.0` or `5e0`, others keep
/// them as strings.
pub(crate) fn integer(raw: &str) -> Option<u64> {
    if let Some(inner) = raw.strip_prefix('"') {
        let inner = inner.strip_suffix('"')?;
        // Of strings only the plain spelling, or `"05"` would be an id that was never given.
        let plain = inner == "0" || !inner.starts_with('0') && inner.bytes().all(|byte| byte.is_ascii_digit());
        return if plain { inner.parse().ok() } else { None };
    }
    let number = Decimal::parse(raw)?;
    let zeros = usize::try_from(number.exponent).ok().filter(|zeros| *zeros < 20)?;
    if number.negative && !number.digits.is_empty() {
        return None;
    }
    let mut digits = number.digits;
    digits.extend(core::iter::repeat_n('0', zeros));
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}

/// A JSON number (RFC 8259, section 6) by its exact value: `digits` times ten to the `exponent`.
struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for 0.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None`: it is no number, or one whose exponent is beyond all use.
    fn parse(raw: &str) -> Option<Self> {
        let (negative, rest) = raw.strip_prefix('-').map_or((false, raw), |rest| (true, rest));
        let (mantissa, power) = match rest.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) || mantissa.ends_with('.') {
            return None;
        }
        let all = alloc::format!("{whole}{fraction}");
        let kept = all.trim_end_matches('0');
        let dropped = all.len() - kept.len();
        let digits = String::from(kept.trim_start_matches('0'));
        let exponent = if digits.is_empty() { 0 } else { i64::from(power) - fraction.len() as i64 + dropped as i64 };
        Some(Self { negative, digits, exponent })
    }

    /// A whole number that is not long as such, all others with an exponent.
    fn spelt(&self) -> String {
        let sign = if self.negative && !self.digits.is_empty() { "-" } else { "" };
        match (self.digits.as_str(), self.exponent) {
            ("", _) => String::from("0"),
            (digits, zeros @ 0..=20) => alloc::format!("{sign}{digits}{:0<1$}", "", zeros as usize),
            (digits, exponent) => alloc::format!("{sign}{digits}e{exponent}"),
        }
    }
}

/// A JSON value in one spelling: the order of members, white space, escapes, and how numbers are written count for nothing. As
/// it came where it is nested too deeply to be read.
pub(crate) fn canonical_value(raw: &str) -> String {
    fn write(value: &serde_json::Value, to: &mut String) {
        use serde_json::Value;
        match value {
            Value::Number(number) => to.push_str(&canonical(&alloc::format!("{number}"))),
            Value::Array(items) => {
                to.push('[');
                for item in items {
                    write(item, to);
                    to.push(',');
                }
                to.push(']');
            }
            // In the order of the names.
            Value::Object(members) => {
                to.push('{');
                for (name, value) in members {
                    to.push_str(&quote(name));
                    to.push(':');
                    write(value, to);
                    to.push(',');
                }
                to.push('}');
            }
            Value::String(text) => to.push_str(&quote(text)),
            Value::Null | Value::Bool(_) => to.push_str(&alloc::format!("{value}")),
        }
    }
    let Ok(value) = serde_json::from_str::<serde_json::Value>(raw) else { return String::from(raw) };
    let mut text = String::new();
    write(&value, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_our_own_are_whole_numbers() {
        for (raw, id) in [
            ("5", Some(5)),
            ("5.0", Some(5)),
            ("5.00", Some(5)),
            ("5.", None),
            ("5.5", None),
            ("5.05", None),
            ("5e0", Some(5)),
            ("5E+00", Some(5)),
            ("50e-1", Some(5)),
            ("0.5e1", Some(5)),
            ("5e1", Some(50)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0.0e7", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1e19", Some(10_000_000_000_000_000_000)),
            ("1e20", None),
            ("1e400000000", None),
            ("1e99999999999999999999", None),
            ("5e-1", None),
            ("-5", None),
            ("\"5\"", Some(5)),
            ("\"0\"", Some(0)),
            ("\"05\"", None),
            ("\"5.0\"", None),
            ("\"+5\"", None),
            ("\"\"", None),
            ("\"", None),
            ("", None),
            ("-", None),
            ("null", None),
        ] {
            assert_eq!(integer(raw), id, "{raw}");
        }
    }

    #[test]
    fn ids_are_compared_by_what_they_mean() {
        for (raw, one_spelling) in [
            ("1", "1"),
            ("\"a\"", "\"a\""),
            ("\"\\u0061\"", "\"a\""),
            ("\"\\/\"", "\"/\""),
            ("\"\\n\"", "\"\\n\""),
            ("\"caf\\u00e9\"", "\"caf\u{e9}\""),
            ("\"5\"", "\"5\""),
            ("5.0", "5"),
            ("5e0", "5"),
            ("50e-1", "5"),
            ("5e1", "50"),
            ("-5.0", "-5"),
            ("-0", "0"),
            ("1.50", "15e-1"),
            ("0.015e2", "15e-1"),
            ("9007199254740993.0", "9007199254740993"),
            ("1e300", "1e300"),
            ("10e299", "1e300"),
            ("\"\\ud800\"", "\"\\ud800\""),
        ] {
            assert_eq!(canonical(raw), one_spelling);
        }
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        for (one, other, same) in [
            (r#"{"a":1,"b":[1.0,{"c":"\u00e9"}]}"#, r#"{ "b" : [1,{"c":"é"}], "a":1e0 }"#, true),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, false),
            (r#"{"a":null}"#, "{}", false),
            (r#"{"a":"1"}"#, r#"{"a":1}"#, false),
            ("", "", true),
        ] {
            assert_eq!(canonical_value(one) == canonical_value(other), same, "{one} {other}");
        }
        let deep = alloc::format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(canonical_value(&deep), deep);
    }
}
