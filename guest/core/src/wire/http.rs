//! Small facts of HTTP (RFC 9110): what may be in a header, and how some headers are read.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::Method;

/// The longest session id that is taken, in bytes.
const MAX_SESSION_ID: usize = 1024;

/// The longest media type that is taken, in bytes: two names of 127 (RFC 6838, section 4.2) and a slash.
const MAX_MEDIA_TYPE: usize = 255;

/// So much of the names of codings is shown, in characters.
const MAX_CODING: usize = 64;

/// The longest delay that a `Retry-After` is obeyed for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Whether this can be a header's name: a token (RFC 9110, section 5.6.2).
pub fn header_name_ok(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token)
}

/// The headers that a request has whatever it is for (MCP 2025-11-25, "Transports").
pub(crate) fn standard_headers(method: Method) -> &'static [(&'static str, &'static str)] {
    // Streams that are compressed are held back by what compresses them.
    const IDENTITY: (&str, &str) = ("accept-encoding", "identity");
    match method {
        Method::Post => {
            &[IDENTITY, ("accept", "application/json, text/event-stream"), ("content-type", "application/json")]
        }
        Method::Get => &[IDENTITY, ("accept", "text/event-stream")],
        Method::Delete => &[IDENTITY],
    }
}

/// Whether the transport sets the header of this name itself, so that nobody else may.
pub fn set_by_transport(name: &str) -> bool {
    const OWN: [&str; 13] = [
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "te",
        "transfer-encoding",
    ];
    const OWN_PREFIX: &str = "mcp-param-";
    let has_prefix = name.get(..OWN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX));
    has_prefix || OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Whether this can be a header's value: visible ASCII, space and tab.
///
/// Text beyond ASCII is refused though RFC 9110 tolerates it: platforms disagree about how it is sent.
pub fn header_value_ok(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// The session id in an `Mcp-Session-Id` header, if it is one: 1 to 1024 bytes of visible ASCII.
pub fn session_id(value: &[u8]) -> Option<String> {
    let valid = (1..=MAX_SESSION_ID).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    if valid { core::str::from_utf8(value).ok().map(ToOwned::to_owned) } else { None }
}

/// The media type in a `Content-Type` header, in lower case and without parameters. Empty if it is not one.
pub fn media_type(value: &[u8]) -> String {
    let essence = trim(value.split(|byte| *byte == b';').next().unwrap_or_default());
    let Some(slash) = essence.iter().position(|byte| *byte == b'/') else {
        return String::new();
    };
    let (kind, subtype) = (&essence[..slash], &essence[slash + 1..]);
    let is_name = |name: &[u8]| !name.is_empty() && name.iter().copied().all(is_token);
    if essence.len() > MAX_MEDIA_TYPE || !is_name(kind) || !is_name(subtype) {
        return String::new();
    }
    essence.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// The codings in a `Content-Encoding` header (RFC 9110, section 8.4), for people and without `identity`: empty if the
/// content is as it is.
pub fn content_coding(value: &[u8]) -> String {
    let value = core::str::from_utf8(value).unwrap_or("unreadable");
    let codings =
        value.split(',').map(str::trim).filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    let codings = codings.map(|coding| if header_name_ok(coding) { coding } else { "unreadable" });
    codings.collect::<Vec<_>>().join(", ").chars().take(MAX_CODING).collect()
}

/// `Content-Length` in bytes (RFC 9110, 8.6). `None` where it is no number; the host sees to it that no more comes.
pub fn content_length(value: &[u8]) -> Option<usize> {
    let length = number(core::str::from_utf8(trim(value)).ok()?)?;
    Some(usize::try_from(length).unwrap_or(usize::MAX))
}

/// How long a `Retry-After` header asks to wait, at most 5 minutes. A date counts from the response's `Date`; without
/// one it says nothing, because the clocks of client and server need not agree.
pub fn retry_after(value: &[u8], date: Option<&[u8]>) -> Option<Duration> {
    let value = core::str::from_utf8(trim(value)).ok()?;
    let seconds = match number(value) {
        Some(seconds) => seconds,
        None => {
            let then = HttpDate::parse(value)?;
            let now = HttpDate::parse(core::str::from_utf8(trim(date?)).ok()?)?;
            // A `Date` with two digits for the year is of this century.
            let this_year = if now.year < 100 { 2000 + now.year } else { now.year };
            then.seconds(this_year).saturating_sub(now.seconds(this_year))
        }
    };
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

const DAY_NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub(crate) const MONTH_NAMES: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH_DAYS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A date and time in one of the three formats of RFC 9110, section 5.6.7.
pub(crate) struct HttpDate {
    /// Below 100 where only two digits were given.
    pub year: u64,
    /// From 0.
    pub month: usize,
    pub day: u64,
    /// Since midnight.
    pub second: u64,
}

impl HttpDate {
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').take(7).collect();
        let (day, month, year, time) = match words[..] {
            // Sun, 06 Nov 1994 08:49:37 GMT
            [name, day, month, year, time, "GMT"] if is_day(name.strip_suffix(',')?, 3) => {
                (digits(day, 2)?, month, full_year(year)?, time)
            }
            // Sunday, 06-Nov-94 08:49:37 GMT
            [name, date, time, "GMT"] if is_day(name.strip_suffix(',')?, usize::MAX) => {
                let mut parts = date.splitn(3, '-');
                (digits(parts.next()?, 2)?, parts.next()?, digits(parts.next()?, 2)?, time)
            }
            // Sun Nov  6 08:49:37 1994
            [name, month, "", day, time, year] if is_day(name, 3) => (digits(day, 1)?, month, full_year(year)?, time),
            [name, month, day, time, year] if is_day(name, 3) => (digits(day, 2)?, month, full_year(year)?, time),
            _ => return None,
        };
        let month = MONTH_NAMES.iter().position(|name| *name == month)?;
        let mut parts = time.splitn(3, ':');
        let (hour, minute, second) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
        // A leap second is written as 60. A 29 February is taken in any year: a day's error does no harm here.
        let valid =
            hour < 24 && minute < 60 && second <= 60 && (1..=MONTH_DAYS[month] + u64::from(month == 1)).contains(&day);
        valid.then_some(Self { year, month, day, second: hour * 3600 + minute * 60 + second })
    }

    /// Seconds since a fixed day. A year of two digits is the latest one that is no more than 50 years after
    /// `this_year`.
    pub fn seconds(&self, this_year: u64) -> u64 {
        let latest = this_year + 50;
        let year = if self.year < 100 { latest - (latest - self.year) % 100 } else { self.year };
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let before = year.saturating_sub(1);
        let days = before * 365 + before / 4 - before / 100
            + before / 400
            + MONTH_DAYS[..self.month].iter().sum::<u64>()
            + u64::from(leap && self.month > 1)
            + self.day;
        days * 86400 + self.second
    }
}

/// Whether this is the name of a day of the week, cut off after `length` letters.
fn is_day(name: &str, length: usize) -> bool {
    DAY_NAMES.iter().any(|full| full[..length.min(full.len())] == *name)
}

/// A year of four digits.
fn full_year(text: &str) -> Option<u64> {
    digits(text, 4).filter(|year| *year >= 1000)
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<u64> {
    (text.len() == count).then(|| number(text)).flatten()
}

/// A number without sign; one that is too large is the largest.
fn number(text: &str) -> Option<u64> {
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The value without the spaces and tabs around it.
fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
