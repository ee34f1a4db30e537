//! Durations as people write them: `30s`, `1m30s`, `500ms`, `1.5h`, and a bare number of seconds.

use alloc::string::String;
use core::time::Duration;

/// The longest duration that is accepted: a year, far beyond what anybody means.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Parses a duration that must not be zero.
pub fn parse(text: &str) -> Result<Duration, String> {
    match parse_or_off(text)? {
        Some(duration) => Ok(duration),
        None => Err("must be more than zero, as in 30s, 5m or 1h".into()),
    }
}

/// Parses a duration; `off` and zero give `None`.
pub fn parse_or_off(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let duration = sum(text).ok_or("write a duration such as 500ms, 30s, 5m or 1h")?;
    if duration > LONGEST {
        return Err("is longer than a year".into());
    }
    Ok((!duration.is_zero()).then_some(duration))
}

/// Adds up a sequence of numbers with units; `None` if it is not one, or the sum has no end.
fn sum(text: &str) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return number(text, 1.0);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() || total.is_zero() && text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit_and_rest = &rest[digits..];
        let unit_length = unit_and_rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit_and_rest.len());
        let seconds = match &unit_and_rest[..unit_length] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        total = total.checked_add(number(&rest[..digits], seconds)?)?;
        rest = &unit_and_rest[unit_length..];
    }
    Some(total)
}

fn number(digits: &str, unit_in_seconds: f64) -> Option<Duration> {
    let value: f64 = digits.parse().ok()?;
    // Whole nanoseconds, rounded: 0.1 has no exact binary form.
    let duration = Duration::try_from_secs_f64(value * unit_in_seconds).ok()?;
    Some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, expected) in [
            ("500ms", Duration::from_millis(500)),
            ("30s", Duration::from_secs(30)),
            ("30", Duration::from_secs(30)),
            ("0.5", Duration::from_millis(500)),
            ("5m", Duration::from_secs(300)),
            ("5min", Duration::from_secs(300)),
            ("1m30s", Duration::from_secs(90)),
            ("1.5h", Duration::from_secs(5400)),
            ("2d", Duration::from_secs(172_800)),
            ("1h1m1s1ms", Duration::from_millis(3_661_001)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn off_and_zero_are_off() {
        for text in ["off", "0", "0s", "0ms", "0.0"] {
            assert_eq!(parse_or_off(text), Ok(None), "{text}");
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for text in
            ["", " ", "s", "ms", "30 s", "-1s", "+1s", "1x", "1.2.3s", "1e3s", "nan", "inf", "s30", "1s2", ".", "OFF"]
        {
            assert!(parse_or_off(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_too_long() {
        for text in ["366d", "9999999999999999999999d", "300d300d"] {
            assert!(parse_or_off(text).is_err(), "{text}");
        }
    }
}
