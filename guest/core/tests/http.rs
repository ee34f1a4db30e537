//! The small facts of HTTP: tables, and properties that keep hostile bytes out of headers.

use std::time::Duration;

use mcp_reconnect_core::SECOND;
use mcp_reconnect_core::http::{content_length, header_name_ok, header_value_ok, media_type, retry_after, session_id};
use proptest::prelude::*;

#[test]
fn header_names() {
    for name in ["a", "Authorization", "X-Api-Key", "mcp-session-id", "0", "!#$%&'*+-.^_`|~"] {
        assert!(header_name_ok(name), "{name:?}");
    }
    for name in [
        "", " ", "a b", "a:", ":a", "a\r\nb", "a\0", "a\t", "é", "a(b)", "a/b", "a,b", "\"a\"", "a=b", "a@b", "{a}",
        "\x7f",
    ] {
        assert!(!header_name_ok(name), "{name:?}");
    }
}

#[test]
fn header_values() {
    for value in ["", "Bearer abc.def-123_~+/=", "a\tb c", "\"quoted\\\"\"", "{}[]()<>@,;:?!"] {
        assert!(header_value_ok(value), "{value:?}");
    }
    for value in ["a\r\nb: c", "\r", "\n", "a\0", "\x1b[0m", "\x7f", "é", "\u{a0}", "\u{2028}", "\x0b"] {
        assert!(!header_value_ok(value), "{value:?}");
    }
}

#[test]
fn session_ids() {
    for id in [&b"a"[..], b"1868a90c-4a3f", b"!~", b"eyJ.x.y==", &[b'x'; 1024]] {
        assert_eq!(session_id(id).as_deref().map(str::as_bytes), Some(id));
    }
    for id in [&b""[..], b" ", b"a b", b" a", b"a ", b"a\r\n", b"a\0", b"\x7f", b"\x80", "é".as_bytes(), &[b'x'; 1025]]
    {
        assert_eq!(session_id(id), None, "{id:?}");
    }
}

#[test]
fn media_types() {
    let longest = format!("{}/{}", "a".repeat(127), "b".repeat(127));
    for (value, expected) in [
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream; charset=UTF-8", "text/event-stream"),
        ("text/event-stream;charset=utf-8", "text/event-stream"),
        (" \tapplication/json\t ;x", "application/json"),
        ("application/json;", "application/json"),
        ("application/problem+json", "application/problem+json"),
        (&longest, &longest),
        (&format!("{longest}c"), ""),
        ("", ""),
        (";", ""),
        ("json", ""),
        ("/", ""),
        ("text/", ""),
        ("/html", ""),
        ("text/html/x", ""),
        ("text /html", ""),
        ("text/ html", ""),
        ("text/html, application/json", ""),
        ("application/json\r\nx", ""),
        ("application/json\0", ""),
        ("té/xt", ""),
    ] {
        assert_eq!(media_type(value.as_bytes()), expected, "{value:?}");
    }
    assert_eq!(media_type(b"text/\xff"), "");
    assert_eq!(media_type(b"text/html;\xff"), "text/html");
}

#[test]
fn content_lengths() {
    for (value, expected) in [
        ("0", Some(0)),
        ("52428800", Some(52_428_800)),
        (" 7 ", Some(7)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("5, 5", None),
        ("99999999999999999999999", Some(usize::MAX)),
    ] {
        assert_eq!(content_length(value.as_bytes()), expected, "{value:?}");
    }
    assert_eq!(content_length(b"\xff"), None);
}

#[test]
fn retry_after_in_seconds() {
    for (value, seconds) in [
        ("0", Some(0)),
        ("1", Some(1)),
        ("007", Some(7)),
        (" \t120 ", Some(120)),
        ("300", Some(300)),
        ("301", Some(300)),
        ("18446744073709551615", Some(300)),
        ("99999999999999999999999999", Some(300)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1s", None),
        ("1 2", None),
        ("1,2", None),
        ("\u{661}", None),
        ("soon", None),
    ] {
        assert_eq!(retry_after(value.as_bytes(), None), seconds.map(Duration::from_secs), "{value:?}");
        let date = Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]);
        assert_eq!(retry_after(value.as_bytes(), date), seconds.map(Duration::from_secs), "{value:?} with Date");
    }
    assert_eq!(retry_after(b"\xff", None), None);
}

/// `Retry-After`, `Date`, the delay in seconds.
const DATES: &[(&str, &str, Option<u64>)] = &[
    // The three formats, in every combination.
    ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:30 GMT", Some(7)),
    ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:30 GMT", Some(7)),
    ("Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:30 GMT", Some(7)),
    ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:30 1994", Some(7)),
    ("Sun Nov 16 08:49:37 1994", "Sun Nov 16 08:49:30 1994", Some(7)),
    ("Friday, 06-Nov-26 08:49:37 GMT", "Friday, 06-Nov-26 08:49:30 GMT", Some(7)),
    ("Fri, 06 Nov 2026 08:49:37 GMT", "Friday, 06-Nov-26 08:49:30 GMT", Some(7)),
    // Spaces around it.
    ("  Sun, 06 Nov 1994 08:49:37 GMT\t", " Sun, 06 Nov 1994 08:49:30 GMT ", Some(7)),
    // Across minute, hour, day, month, year, leap day, century.
    ("Sun, 06 Nov 1994 08:50:01 GMT", "Sun, 06 Nov 1994 08:49:59 GMT", Some(2)),
    ("Sun, 06 Nov 1994 09:00:01 GMT", "Sun, 06 Nov 1994 08:59:59 GMT", Some(2)),
    ("Mon, 07 Nov 1994 00:00:01 GMT", "Sun, 06 Nov 1994 23:59:59 GMT", Some(2)),
    ("Thu, 01 Dec 1994 00:00:01 GMT", "Wed, 30 Nov 1994 23:59:59 GMT", Some(2)),
    ("Sun, 01 Jan 1995 00:00:01 GMT", "Sat, 31 Dec 1994 23:59:59 GMT", Some(2)),
    ("Thu, 29 Feb 2024 00:00:01 GMT", "Wed, 28 Feb 2024 23:59:59 GMT", Some(2)),
    ("Fri, 01 Mar 2024 00:00:01 GMT", "Thu, 29 Feb 2024 23:59:59 GMT", Some(2)),
    ("Sat, 01 Mar 2025 00:00:01 GMT", "Fri, 28 Feb 2025 23:59:59 GMT", Some(2)),
    ("Wed, 01 Mar 2000 00:00:01 GMT", "Tue, 29 Feb 2000 23:59:59 GMT", Some(2)),
    ("Mon, 01 Mar 2100 00:00:01 GMT", "Sun, 28 Feb 2100 23:59:59 GMT", Some(2)),
    ("Sat, 01 Jan 2101 00:00:01 GMT", "Fri, 31 Dec 2100 23:59:59 GMT", Some(2)),
    ("Mon, 01 Jan 2001 00:00:01 GMT", "Sun, 31 Dec 2000 23:59:59 GMT", Some(2)),
    ("Wed, 01 Jan 2025 00:00:01 GMT", "Tue, 31 Dec 2024 23:59:59 GMT", Some(2)),
    ("Sat, 01 Jan 2000 00:00:01 GMT", "Friday, 31-Dec-99 23:59:59 GMT", Some(0)),
    // A leap second.
    ("Sat, 31 Dec 2016 23:59:60 GMT", "Sat, 31 Dec 2016 23:59:58 GMT", Some(2)),
    // Years of two digits: at most 50 years ahead.
    ("Monday, 01-Jan-00 00:00:01 GMT", "Thu, 31 Dec 2099 23:59:59 GMT", Some(2)),
    ("Saturday, 01-Jan-00 00:00:01 GMT", "Fri, 31 Dec 1999 23:59:59 GMT", Some(2)),
    ("Wednesday, 01-Jan-76 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT", Some(300)),
    ("Saturday, 01-Jan-77 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT", Some(0)),
    // Past, present, far.
    ("Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
    ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
    ("Sun, 06 Nov 1994 08:54:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", Some(300)),
    ("Sun, 06 Nov 1994 08:54:38 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", Some(300)),
    ("Fri, 31 Dec 9999 23:59:59 GMT", "Wed, 01 Jan 1000 00:00:00 GMT", Some(300)),
    // No date.
    ("Sun, 06 Nov 1994 08:49:37 GMT", "", None),
    ("Sun, 06 Nov 1994 08:49:37 GMT", "now", None),
    ("Sun, 06 Nov 1994 08:49:37 GMT", "784111777", None),
    ("Sun, 06 Nov 1994 08:49:37", NOW, None),
    ("Sun, 06 Nov 1994 08:49:37 UTC", NOW, None),
    ("Sun, 06 Nov 1994 08:49:37 +0000", NOW, None),
    ("Sun, 06 Nov 1994 08:49:37 GMT x", NOW, None),
    ("Sun, 06 Nov 1994 08:49 GMT", NOW, None),
    ("Sun, 06 Nov 1994 08:49:37:00 GMT", NOW, None),
    ("Sun, 06 Nov 1994 8:49:37 GMT", NOW, None),
    ("Sun, 06 Nov 1994 24:00:00 GMT", NOW, None),
    ("Sun, 06 Nov 1994 23:60:00 GMT", NOW, None),
    ("Sun, 06 Nov 1994 23:59:61 GMT", NOW, None),
    ("Sun, 6 Nov 1994 08:49:37 GMT", NOW, None),
    ("Sun, 00 Nov 1994 08:49:37 GMT", NOW, None),
    ("Sun, 31 Nov 1994 08:49:37 GMT", NOW, None),
    ("Sun, 30 Feb 2024 08:49:37 GMT", NOW, None),
    ("Sun, -6 Nov 1994 08:49:37 GMT", NOW, None),
    ("Sun, 06 nov 1994 08:49:37 GMT", NOW, None),
    ("Sun, 06 11 1994 08:49:37 GMT", NOW, None),
    ("Sun, 06 Nov 94 08:49:37 GMT", NOW, None),
    ("Sun, 06 Nov 0094 08:49:37 GMT", NOW, None),
    ("Sun, 06 Nov 12026 08:49:37 GMT", NOW, None),
    ("Son, 06 Nov 1994 08:49:37 GMT", NOW, None),
    ("Sunday, 06 Nov 1994 08:49:37 GMT", NOW, None),
    ("Sun 06 Nov 1994 08:49:37 GMT", NOW, None),
    ("06 Nov 1994 08:49:37 GMT", NOW, None),
    ("Sun, 06-Nov-94 08:49:37 GMT", NOW, None),
    ("Sunday, 06-Nov-1994 08:49:37 GMT", NOW, None),
    ("Sunday, 06-Nov 08:49:37 GMT", NOW, None),
    ("Sun Nov 6 08:49:37 1994", NOW, None),
    ("Sun Nov  16 08:49:37 1994", NOW, None),
    ("Sun Nov 06 08:49:37 94", NOW, None),
    ("Son Nov  6 08:49:37 1994", NOW, None),
    ("Son Nov 16 08:49:37 1994", NOW, None),
    ("1994-11-06T08:49:37Z", NOW, None),
];

const NOW: &str = "Sun, 06 Nov 1994 08:49:30 GMT";

#[test]
fn retry_after_as_a_date() {
    for &(value, date, seconds) in DATES {
        assert_eq!(
            retry_after(value.as_bytes(), Some(date.as_bytes())),
            seconds.map(Duration::from_secs),
            "Retry-After: {value}, Date: {date}"
        );
        if !value.trim().is_empty() {
            assert_eq!(retry_after(value.as_bytes(), None), None, "Retry-After: {value} without Date");
        }
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The first of January, so many days later, as year, month and day: a second implementation, which counts.
fn civil(first_year: u64, mut days: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = first_year;
    while days >= if is_leap(year) { 366 } else { 365 } {
        days -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let mut month = 0;
    loop {
        let length = match month {
            1 if is_leap(year) => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
        month += 1;
    }
}

fn format(first_year: u64, seconds: u64) -> String {
    let (year, month, day) = civil(first_year, seconds / 86400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("Mon, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", MONTHS[month])
}

/// From each day to the next one, in every format, and so from the first to the last.
#[test]
fn every_day_from_1970_to_2100_follows_the_one_before() {
    const NAMES: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let formats = |days: u64, time: &str| {
        let (name, (year, month, day)) = (NAMES[days as usize % 7], civil(1970, days));
        let (short, month) = (&name[..3], MONTHS[month]);
        [
            format!("{short}, {day:02} {month} {year} {time} GMT"),
            format!("{name}, {day:02}-{month}-{:02} {time} GMT", year % 100),
            format!("{short} {month} {day:2} {time} {year}"),
        ]
    };
    let mut days = 0;
    while civil(1970, days).0 <= 2100 {
        let (dates, values) = (formats(days, "23:58:30"), formats(days + 1, "00:01:40"));
        // A year of two digits in both is taken for one of this century.
        let this_century = (2000..2100).contains(&civil(1970, days).0);
        for (at, date) in dates.iter().enumerate() {
            for value in values.iter().filter(|_| at != 1 || this_century) {
                let told = retry_after(value.as_bytes(), Some(date.as_bytes()));
                assert_eq!(told, Some(190 * SECOND), "{date} to {value}");
            }
        }
        days += 1;
    }
    assert_eq!(days, 131 * 365 + 32, "with the leap days of 1972 to 2096");
}

/// Text with control characters more often than chance would have it.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        (0u8..=0x7f).prop_map(|byte| char::from(byte).to_string()),
        "[ -~]{0,8}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A character that may split or end a header, or that readers of headers disagree about.
fn dangerous(c: char) -> bool {
    (c.is_control() && c != '\t') || !c.is_ascii()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_dangerous_passes_as_a_header(text in hostile()) {
        prop_assert_eq!(header_value_ok(&text), !text.contains(dangerous));
        if header_name_ok(&text) {
            prop_assert!(!text.is_empty() && !text.contains(|c| dangerous(c) || c == ' ' || c == '\t' || c == ':'));
        }
        if let Some(id) = session_id(text.as_bytes()) {
            prop_assert!(header_value_ok(&id) && !id.contains([' ', '\t']) && id == text);
        }
        let media_type = media_type(text.as_bytes());
        prop_assert!(header_value_ok(&media_type) && media_type.len() <= 255);
    }

    #[test]
    fn dates_are_as_far_apart_as_a_second_implementation_says(
        day in prop_oneof![0u64..200_000, (0u64..540).prop_map(|year| year * 36525 / 100)],
        second in prop_oneof![0u64..86400, 86100u64..86400],
        delay in 0u64..=301,
    ) {
        let (from, to) = (day * 86400 + second, day * 86400 + second + delay);
        let (date, value) = (format(1600, from), format(1600, to));
        let told = retry_after(value.as_bytes(), Some(date.as_bytes()));
        prop_assert_eq!(told, Some(Duration::from_secs(delay.min(300))), "{} to {}", date, value);
    }

    #[test]
    fn a_control_character_anywhere_is_found(
        head in "[a-z]{0,8}",
        bad in prop::sample::select(vec!['\r', '\n', '\0']),
        tail in "[a-z]{0,8}",
    ) {
        let text = format!("{head}{bad}{tail}");
        prop_assert!(!header_name_ok(&text));
        prop_assert!(!header_value_ok(&text));
        prop_assert_eq!(session_id(text.as_bytes()), None);
    }

    #[test]
    fn any_bytes_are_survived(
        value in prop::collection::vec(any::<u8>(), 0..64),
        date in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
    ) {
        prop_assert!(retry_after(&value, date.as_deref()).unwrap_or_default() <= 300 * SECOND);
        prop_assert!(media_type(&value).len() <= 255);
        prop_assert!(session_id(&value).is_none_or(|id| id.as_bytes() == value));
    }

    #[test]
    fn dates_that_look_right_are_survived(
        (day, month, year) in (0u64..40, prop_oneof![Just("Feb".to_owned()), "[JFMASOND][a-z]{2}"], 0u64..10000),
        (hour, minute, second) in (0u64..30, 0u64..70, 0u64..70),
    ) {
        let long = format!("Sun, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
        let short = format!("Sunday, {day:02}-{month}-{:02} {hour:02}:{minute:02}:{second:02} GMT", year % 100);
        for value in [&long, &short] {
            for date in [&long, &short] {
                prop_assert!(retry_after(value.as_bytes(), Some(date.as_bytes())).unwrap_or_default() <= 300 * SECOND);
            }
        }
    }
}
