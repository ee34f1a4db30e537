//! Cookies of one origin (RFC 6265), as load balancers use them to bring a session back to the server that has it.
//!
//! Our own because the crates that know `Set-Cookie` need a wall clock, a public suffix list or `std`; none of these is
//! wanted where a cookie is never sent to any origin but the one that set it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::http::{HttpDate, MONTH_NAMES, header_name_ok, header_value_ok};
use super::url::Url;
use crate::Instant;

/// The most cookies that are kept (RFC 6265, section 6.1, asks browsers for 50).
const MAX_COOKIES: usize = 50;
/// The most bytes of names and values in all: one header, which servers commonly bound to 8 KiB.
const MAX_BYTES: usize = 4096;
/// The longest `Set-Cookie` that is read.
const MAX_LINE: usize = 8192;
/// No lifetime is longer: 400 days, as in browsers.
const MAX_AGE: u64 = 400 * 24 * 3600;
/// Without a clock a date says only whether it is one of those that servers delete cookies with, such as 1970.
const LONG_PAST: u64 = 2000;

/// The cookies of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Jar(Vec<Cookie>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Cookie {
    name: String,
    value: String,
    path: String,
    secure: bool,
    /// `None`: as long as the session.
    expires: Option<Instant>,
}

/// Why a `Set-Cookie` was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has no name, holds what may not be in a header, or is for another host.
    Unusable,
    /// There are too many, or they are too long.
    TooMany,
}

impl Jar {
    /// Takes the value of a `Set-Cookie` of a response from `url`, whose `Date` was `date` (RFC 6265, section 5.3).
    pub fn set(&mut self, line: &[u8], url: &Url, date: Option<&[u8]>, now: Instant) -> Result<(), Refused> {
        let line = core::str::from_utf8(line).ok().filter(|line| line.len() <= MAX_LINE).ok_or(Refused::Unusable)?;
        let mut parts = line.split(';');
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).ok_or(Refused::Unusable)?;
        let (name, value) = (name.trim(), value.trim());
        if !header_name_ok(name) || !header_value_ok(value) || value.contains('\t') {
            return Err(Refused::Unusable);
        }
        let mut cookie = Cookie {
            name: name.to_string(),
            value: value.to_string(),
            path: default_path(url).to_string(),
            secure: false,
            expires: None,
        };
        let (mut max_age, mut expires) = (None, None);
        for part in parts {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            let (attribute, value) = (attribute.trim(), value.trim());
            let is = |known: &str| attribute.eq_ignore_ascii_case(known);
            if is("secure") {
                cookie.secure = true;
            } else if is("path") {
                cookie.path = if value.starts_with('/') { value } else { default_path(url) }.to_string();
            } else if is("domain") && !domain_matches(url, value) {
                return Err(Refused::Unusable);
            } else if is("max-age") {
                max_age = lifetime(value).or(max_age);
            } else if is("expires") {
                expires = left_until(value, date).or(expires);
            }
        }
        // `Max-Age` has precedence (RFC 6265, section 5.3).
        let left = max_age.or(expires);
        cookie.expires = left.map(|seconds| now + Duration::from_secs(seconds));
        self.0.retain(|other| other.expires.is_none_or(|at| at > now));
        let place = self.0.iter().position(|other| other.name == cookie.name && other.path == cookie.path);
        if left == Some(0) {
            place.map(|place| self.0.remove(place));
            return Ok(());
        }
        let others: usize = self.0.iter().map(Cookie::bytes).sum::<usize>() - place.map_or(0, |at| self.0[at].bytes());
        if (place.is_none() && self.0.len() >= MAX_COOKIES) || others + cookie.bytes() > MAX_BYTES {
            return Err(Refused::TooMany);
        }
        match place {
            Some(place) => self.0[place] = cookie,
            None => self.0.push(cookie),
        }
        Ok(())
    }

    /// The value of the `Cookie` header of a request to `url` (RFC 6265, section 5.4). The names in `own`, the header that
    /// the user set, are left out.
    pub fn header(&self, url: &Url, own: &str, now: Instant) -> Option<String> {
        let owned =
            |name: &str| own.split(';').any(|pair| pair.split('=').next().is_some_and(|own| own.trim() == name));
        let mut sent: Vec<_> = self
            .0
            .iter()
            .filter(|cookie| cookie.expires.is_none_or(|at| at > now))
            .filter(|cookie| (url.https() || !cookie.secure) && path_matches(path(url), &cookie.path))
            .filter(|cookie| !owned(&cookie.name))
            .collect();
        // The longer the path the earlier; otherwise as they came.
        sent.sort_by_key(|cookie| core::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> = sent.iter().map(|cookie| alloc::format!("{}={}", cookie.name, cookie.value)).collect();
        if pairs.is_empty() { None } else { Some(pairs.join("; ")) }
    }
}

impl Cookie {
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + self.path.len()
    }
}

fn path(url: &Url) -> &str {
    url.path_and_query().split('?').next().unwrap_or("/")
}

/// RFC 6265, section 5.1.4: up to the last slash.
fn default_path(url: &Url) -> &str {
    let path = path(url);
    match path.rfind('/') {
        Some(at) if at > 0 => &path[..at],
        _ => "/",
    }
}

/// RFC 6265, section 5.1.4.
fn path_matches(path: &str, of: &str) -> bool {
    path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || of.ends_with('/') || rest.starts_with('/'))
}

/// Whether a host may set a cookie for this domain (RFC 6265, section 5.1.3). It is sent to the host alone in any case.
fn domain_matches(url: &Url, domain: &str) -> bool {
    let authority = url.authority();
    let host = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => &authority[..colon],
        _ => authority,
    };
    let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
    let is_name = host.bytes().any(|byte| byte.is_ascii_alphabetic()) && !host.starts_with('[');
    domain.is_empty()
        || host == domain
        || is_name && host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

/// `Max-Age` in seconds; one that is not positive deletes. `None` where it is no number.
fn lifetime(value: &str) -> Option<u64> {
    let (digits, negative) = value.strip_prefix('-').map_or((value, false), |digits| (digits, true));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse().unwrap_or(u64::MAX).min(MAX_AGE);
    Some(if negative { 0 } else { seconds })
}

/// `Expires` in seconds from the response's own `Date`, because the clocks of client and server need not agree. Without a
/// `Date` only a date of long ago says something.
fn left_until(value: &str, date: Option<&[u8]>) -> Option<u64> {
    let then = cookie_date(value)?;
    match date.and_then(|date| HttpDate::parse(core::str::from_utf8(date).ok()?.trim())) {
        Some(date) => Some(then.seconds(then.year).saturating_sub(date.seconds(date.year)).min(MAX_AGE)),
        None => (then.year < LONG_PAST).then_some(0),
    }
}

/// A date as servers write it in cookies, with more spellings than elsewhere in HTTP (RFC 6265, section 5.1.1).
fn cookie_date(value: &str) -> Option<HttpDate> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let number = |token: &str| token.bytes().all(|byte| byte.is_ascii_digit()).then(|| token.parse::<u64>().ok())?;
    for token in value.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|token| !token.is_empty()) {
        if time.is_none() && token.contains(':') {
            let mut parts = token.splitn(3, ':');
            let (hour, minute, second) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            time = Some(hour * 3600 + minute * 60 + second);
        } else if day.is_none() && token.len() <= 2 && number(token).is_some() {
            day = number(token);
        } else if month.is_none()
            && let Some(at) =
                MONTH_NAMES.iter().position(|name| token.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(name)))
        {
            month = Some(at);
        } else if year.is_none() && (2..=4).contains(&token.len()) && number(token).is_some() {
            year = number(token).map(|year| match year {
                0..=69 => 2000 + year,
                70..=99 => 1900 + year,
                _ => year,
            });
        }
    }
    let date = HttpDate { year: year?, month: month?, day: day?, second: time? };
    ((1..=31).contains(&date.day) && date.year >= 1601).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;
    use crate::api::time::tests::at;

    const DATE: &[u8] = b"Thu, 26 Nov 2026 12:00:00 GMT";

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn here() -> Url {
        url("https://app.example.test:8443/api/mcp?x=/y")
    }

    /// What is sent to `to` after these lines came from [`here`].
    fn sent(lines: &[&str], to: &str) -> Option<String> {
        let mut jar = Jar::default();
        for line in lines {
            let _ = jar.set(line.as_bytes(), &here(), Some(DATE), at(0));
        }
        jar.header(&url(to), "", at(1))
    }

    #[test]
    fn real_affinity_cookies_come_back() {
        for (line, pair) in [
            ("AWSALB=x/y+z==; Expires=Thu, 03 Dec 2026 12:00:00 GMT; Path=/", "AWSALB=x/y+z=="),
            ("ARRAffinity=0f1e2d;Path=/;HttpOnly;Secure;Domain=app.example.test", "ARRAffinity=0f1e2d"),
            ("SERVERID=s1; path=/", "SERVERID=s1"),
            (
                "route=1700000000.1.2.3|abc; Expires=Sat, 28-Nov-26 12:00:00 GMT; Max-Age=172800; Path=/; HttpOnly",
                "route=1700000000.1.2.3|abc",
            ),
            ("GCLB=\"CPqx\"; path=/; HttpOnly; expires=Fri, 27-Nov-2026 12:00:00 GMT", "GCLB=\"CPqx\""),
            ("a=", "a="),
            (" a = b c ; Domain=.EXAMPLE.test", "a=b c"),
            ("a=b; Domain=", "a=b"),
        ] {
            assert_eq!(sent(&[line], "https://app.example.test:8443/api/mcp").as_deref(), Some(pair), "{line}");
        }
    }

    #[test]
    fn what_is_no_cookie_or_of_another_host_is_not_taken() {
        let long = alloc::format!("a={}", "b".repeat(MAX_LINE));
        for line in [
            "",
            "a",
            "=b",
            "a b=c",
            "a\u{e9}=b",
            "a=\u{e9}",
            "a=b\r\nx: y",
            "a=b\0",
            "a=b\tc",
            "\u{1b}=b",
            "a=b; Domain=example.org",
            "a=b; Domain=other.example.test",
            "a=b; Domain=ample.test",
            &long,
        ] {
            assert_eq!(Jar::default().set(line.as_bytes(), &here(), None, at(0)), Err(Refused::Unusable), "{line:?}");
        }
        assert_eq!(Jar::default().set(b"a=\xff", &here(), None, at(0)), Err(Refused::Unusable));
        // An address has no parent domain.
        for (from, domain, taken) in [
            ("http://127.0.0.1:80/", "0.0.1", false),
            ("http://127.0.0.1:9/", "127.0.0.1", true),
            ("http://[::1]:9/", "[::1]", true),
            ("http://[::1]/", "1]", false),
            ("http://[::1]/", "[::1]", true),
        ] {
            let line = alloc::format!("a=b; Domain={domain}");
            assert_eq!(Jar::default().set(line.as_bytes(), &url(from), None, at(0)).is_ok(), taken, "{from} {domain}");
        }
    }

    #[test]
    fn paths() {
        for (line, to, is_sent) in [
            ("a=b", "/api/messages?s=1", true),
            ("a=b", "/apis", false),
            ("a=b", "/", false),
            ("a=b; Path=/", "/", true),
            ("a=b; Path=/api/", "/api/mcp", true),
            ("a=b; Path=/api/", "/api", false),
            ("a=b; Path=/api", "/api?x", true),
            ("a=b; Path=nonsense", "/api/x", true),
            ("a=b; Path=/other; Path=/", "/x", true),
        ] {
            let to = alloc::format!("https://app.example.test:8443{to}");
            assert_eq!(sent(&[line], &to).is_some(), is_sent, "{line} {to}");
        }
        let lines = ["a=1; Path=/", "b=2; Path=/api/mcp", "c=3; Path=/", "b=4; Path=/api/mcp"];
        assert_eq!(sent(&lines, "https://app.example.test:8443/api/mcp").as_deref(), Some("b=4; a=1; c=3"));
    }

    #[test]
    fn secure_is_for_https() {
        let mut jar = Jar::default();
        jar.set(b"a=b; SECURE", &url("http://h.test/"), None, at(0)).unwrap();
        assert_eq!(jar.header(&url("http://h.test/"), "", at(0)), None);
        assert_eq!(jar.header(&url("https://h.test/"), "", at(0)).as_deref(), Some("a=b"));
    }

    #[test]
    fn lifetimes() {
        for (attributes, seconds) in [
            ("", None),
            ("Max-Age=0", Some(0)),
            ("Max-Age=-5", Some(0)),
            ("Max-Age=7", Some(7)),
            ("Max-Age=99999999999999999999", Some(MAX_AGE)),
            ("Max-Age=soon", None),
            ("Max-Age=", None),
            ("Expires=Thu, 26 Nov 2026 12:00:07 GMT", Some(7)),
            ("Expires=Thu, 26-Nov-26 12:00:07 GMT", Some(7)),
            ("Expires=Thu Nov 26 12:00:07 2026", Some(7)),
            ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Expires=Thu, 01-Jan-70 00:00:01 GMT", Some(0)),
            ("Expires=0", None),
            ("Expires=-1", None),
            ("Expires=Thu, 26 Nov 2026 24:00:07 GMT", None),
            ("Expires=Thu, 26 Nov 1026 12:00:07 GMT", None),
            ("Expires=Thu, 32 Nov 2026 12:00:07 GMT", None),
            ("Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT", Some(9)),
            ("Expires=Thu, 26 Nov 2026 12:00:07 GMT; Max-Age=0", Some(0)),
        ] {
            let mut jar = Jar::default();
            jar.set(b"a=old", &here(), None, at(0)).unwrap();
            jar.set(alloc::format!("a=b; {attributes}").as_bytes(), &here(), Some(DATE), at(0) + 5 * SECOND).unwrap();
            let after = |seconds| jar.header(&here(), "", at(0) + Duration::from_secs(5 + seconds));
            match seconds {
                None => assert_eq!(after(MAX_AGE * 2).as_deref(), Some("a=b"), "{attributes}"),
                Some(0) => assert_eq!(after(0), None, "{attributes}"),
                Some(seconds) => {
                    assert_eq!(after(seconds - 1).as_deref(), Some("a=b"), "{attributes}");
                    assert_eq!(after(seconds), None, "{attributes}");
                }
            }
        }
        // Without a `Date`, only what is long past says something.
        for (expires, gone) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", true),
            ("Fri, 31 Dec 1999 23:59:59 GMT", true),
            ("Sat, 01 Jan 2000 00:00:00 GMT", false),
            ("Thu, 26 Nov 2020 12:00:00 GMT", false),
        ] {
            let mut jar = Jar::default();
            jar.set(alloc::format!("a=b; Expires={expires}").as_bytes(), &here(), None, at(0)).unwrap();
            assert_eq!(jar.header(&here(), "", at(0)).is_none(), gone, "{expires}");
        }
    }

    #[test]
    fn dates_in_every_spelling() {
        const NOON: u64 = 12 * 3600;
        for (text, date) in [
            ("Thu, 26 Nov 2026 12:34:56 GMT", Some((2026, 10, 26, NOON + 34 * 60 + 56))),
            ("00:00:00 1 jan 1601", Some((1601, 0, 1, 0))),
            ("23:59:59 31-DECEMBER-9999", Some((9999, 11, 31, 24 * 3600 - 1))),
            // The first of each kind counts.
            ("1 2 Nov 34 56 12:00:00 13:00:00 Dec", Some((2034, 10, 1, NOON))),
            ("1 Nov 69 12:00:00", Some((2069, 10, 1, NOON))),
            ("1 Nov 70 12:00:00", Some((1970, 10, 1, NOON))),
            ("1 Nov 99 12:00:00", Some((1999, 10, 1, NOON))),
            // A number of five digits is no year.
            ("1 Nov 20261 2026 12:00:00", Some((2026, 10, 1, NOON))),
            ("24:00:00 1 Jan 2026", None),
            ("12:60:00 1 Jan 2026", None),
            ("12:00:60 1 Jan 2026", None),
            ("12:00 1 Jan 2026", None),
            ("12:00:00 0 Jan 2026", None),
            ("12:00:00 32 Jan 2026", None),
            ("12:00:00 1 Jan 1600", None),
            ("12:00:00 1 Jan 100", None),
            ("12:00:00 1 Jan", None),
            ("12:00:00 1 2026", None),
            ("12:00:00 Jan 2026", None),
            ("1 Jan 2026", None),
        ] {
            let read = cookie_date(text).map(|date| (date.year, date.month, date.day, date.second));
            assert_eq!(read, date, "{text}");
        }
    }

    #[test]
    fn the_users_own_win_by_name() {
        let mut jar = Jar::default();
        for line in ["a=1", "b=2", "ab=3"] {
            jar.set(line.as_bytes(), &here(), None, at(0)).unwrap();
        }
        assert_eq!(jar.header(&here(), "login=x; a=9", at(0)).as_deref(), Some("b=2; ab=3"));
        assert_eq!(jar.header(&here(), "a=9;b=1; ab", at(0)), None);
    }

    #[test]
    fn so_many_and_no_more() {
        let mut jar = Jar::default();
        for number in 0..MAX_COOKIES {
            jar.set(alloc::format!("c{number}=x").as_bytes(), &here(), None, at(0)).unwrap();
        }
        assert_eq!(jar.set(b"more=x", &here(), None, at(0)), Err(Refused::TooMany));
        // One that is there is renewed, deleted, or expires, and makes room.
        jar.set(b"c0=y; Max-Age=1", &here(), None, at(0)).unwrap();
        jar.set(b"more=x", &here(), None, at(0) + SECOND).unwrap();
        jar.set(b"c1=; Max-Age=0", &here(), None, at(0) + SECOND).unwrap();
        assert_eq!(jar.0.len(), MAX_COOKIES - 1);

        let mut jar = Jar::default();
        let line = alloc::format!("a={}; Path=/", "x".repeat(MAX_BYTES - 2));
        jar.set(line.as_bytes(), &here(), None, at(0)).unwrap();
        jar.set(line.as_bytes(), &here(), None, at(0)).unwrap();
        assert_eq!(jar.set(b"b=; Path=/", &here(), None, at(0)), Err(Refused::TooMany));
        // All of them together fill it to the last byte.
        let mut jar = Jar::default();
        for name in ["a", "b"] {
            let line = alloc::format!("{name}={}; Path=/", "x".repeat(MAX_BYTES / 2 - 2));
            jar.set(line.as_bytes(), &here(), None, at(0)).unwrap();
        }
        assert_eq!(jar.set(b"c=; Path=/", &here(), None, at(0)), Err(Refused::TooMany));
        assert_eq!(jar.set(alloc::format!("{line}{line}").as_bytes(), &here(), None, at(0)), Err(Refused::Unusable));
    }
}
