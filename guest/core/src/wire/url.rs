//! The URLs of an MCP server: `http` or `https`, a host, perhaps a port, a path and a query.
//!
//! The syntax is RFC 3986's, by the `iri-string` crate, without the repairs that browsers make: where two readers of a
//! URL could disagree about its host, it is refused.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use iri_string::types::{UriAbsoluteStr, UriReferenceStr, UriStr};

/// The longest URL that is taken, in bytes.
const MAX_BYTES: usize = 8192;

/// Why a text is no URL that can be used. Its `Display` is for people, and repeats nothing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no text.
    Empty,
    /// It has this many bytes, more than are taken.
    TooLong(usize),
    /// It holds a user name or password.
    UserInfo,
    /// White space or an invisible character at this byte.
    WhiteSpace(usize),
    /// A backslash at this byte.
    Backslash(usize),
    /// Another character that a URL cannot hold, and its byte.
    Character(char, usize),
    /// It is not well-formed (RFC 3986).
    Syntax,
    /// The scheme is neither `http` nor `https`.
    Scheme,
    /// There is no host, and no `//` before where it would be.
    NoHost,
    /// The host is empty.
    EmptyHost,
    /// The host is an IPv6 address that is not valid.
    Ipv6,
    /// The host holds a character that no name in ASCII has.
    HostCharacter,
    /// The port is no number from 1 to 65535.
    Port,
}

impl fmt::Display for UrlError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Empty => "the URL is empty",
            Self::TooLong(bytes) => return write!(to, "the URL is {bytes} bytes long, the limit is {MAX_BYTES}"),
            Self::UserInfo => {
                "a URL must not hold a user name or password: remove the part before `@` \
                and use an `Authorization` header instead"
            }
            Self::WhiteSpace(at) => {
                return write!(to, "white space or an invisible character (byte {at}) is not allowed in a URL");
            }
            Self::Backslash(at) => return write!(to, "a backslash (byte {at}) is not allowed in a URL"),
            Self::Character(c, at) => {
                return write!(
                    to,
                    "the character `{c}` (byte {at}) is not allowed in a URL: percent-encode it, \
                    or spell the host in ASCII"
                );
            }
            Self::Syntax => "it is not a well-formed URL (RFC 3986)",
            Self::Scheme => "the scheme must be `http` or `https`",
            Self::NoHost => "there is no host: the URL must begin with `http://` or `https://` and a host",
            Self::EmptyHost => "the host is empty",
            Self::Ipv6 => "the IPv6 address is not valid",
            Self::HostCharacter => {
                "the host may hold letters, digits, `-`, `.` and `_` only \
                (spell an international name in its ASCII form)"
            }
            Self::Port => "the port must be a number from 1 to 65535",
        };
        to.write_str(text)
    }
}

impl core::error::Error for UrlError {}

/// An absolute `http` or `https` URL without user info and fragment.
///
/// Scheme, host and port are in normal form (lower case, no default port), so that equal origins are equal text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    https: bool,
    authority: String,
    path_and_query: String,
}

impl Url {
    /// Reads an absolute URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        check_text(text)?;
        let uri = UriStr::new(text).map_err(|_| syntax_error(text))?;
        Self::from_uri(uri)
    }

    /// Reads a URL relative to this one. The result may have any origin: see [`Url::same_origin`].
    pub fn resolve(&self, reference: &str) -> Result<Self, UrlError> {
        check_text(reference)?;
        let reference = UriReferenceStr::new(reference).map_err(|_| syntax_error(reference))?;
        let base = self.to_string();
        let base = UriAbsoluteStr::new(&base).map_err(|_| UrlError::Syntax)?;
        let resolved = reference.resolve_against(base).to_string();
        check_text(&resolved)?;
        let uri = UriStr::new(&resolved).map_err(|_| syntax_error(&resolved))?;
        Self::from_uri(uri)
    }

    /// The same for a reference that a server gives as people write it: spaces and letters beyond ASCII are escaped (RFC 3987,
    /// section 3.1).
    pub(crate) fn resolve_iri(&self, reference: &str) -> Result<Self, UrlError> {
        if reference.is_ascii() && !reference.contains(' ') {
            return self.resolve(reference);
        }
        let mut escaped = String::with_capacity(reference.len());
        for c in reference.chars() {
            if c == ' ' || !c.is_ascii() && !crate::text::is_invisible(c) {
                let mut bytes = [0; 4];
                escaped.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
            } else {
                escaped.push(c);
            }
        }
        self.resolve(&escaped)
    }

    /// Whether scheme, host and port (given or implied) are the same.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.https == other.https && self.authority == other.authority
    }

    /// Whether the scheme is `https`.
    pub fn https(&self) -> bool {
        self.https
    }

    /// The host, in lower case, and the port unless it is the scheme's default.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether the host is this machine by its name or address (RFC 6761 section 6.3): no look-up is made.
    pub fn is_loopback(&self) -> bool {
        let end = self.authority.rfind(':').filter(|_| !self.authority.ends_with(']'));
        let host = &self.authority[..end.unwrap_or(self.authority.len())];
        let name = host.strip_suffix('.').unwrap_or(host);
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }

    /// The path and the query, beginning with `/`. It may begin with `//`: append it to scheme and authority, and
    /// never resolve it against another URL.
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    fn from_uri(uri: &UriStr) -> Result<Self, UrlError> {
        let https = if uri.scheme_str().eq_ignore_ascii_case("https") {
            true
        } else if uri.scheme_str().eq_ignore_ascii_case("http") {
            false
        } else {
            return Err(UrlError::Scheme);
        };
        let Some(authority) = uri.authority_components() else {
            return Err(UrlError::NoHost);
        };
        if authority.userinfo().is_some() {
            return Err(UrlError::UserInfo);
        }
        let mut normal = host(authority.host())?;
        if let Some(port) = port(authority.port(), https)? {
            normal.push_str(&format!(":{port}"));
        }
        let mut path_and_query = uri.path_str().to_owned();
        if path_and_query.is_empty() {
            path_and_query.push('/');
        }
        if let Some(query) = uri.query_str() {
            path_and_query.push('?');
            path_and_query.push_str(query);
        }
        Ok(Self { https, authority: normal, path_and_query })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path_and_query)
    }
}

/// What can be said before the syntax is read. User info is found here, so that whatever else is wrong with it cannot be
/// the reason that is given.
fn check_text(text: &str) -> Result<(), UrlError> {
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(UrlError::TooLong(text.len()));
    }
    // The authority is what follows `//`, be it at the start or after a scheme.
    let (before, after) = text.split_once("//").unwrap_or_default();
    let authority = after.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let has_authority = !before.contains(['/', '?', '#']) && (before.is_empty() || before.ends_with(':'));
    if has_authority && authority.contains('@') { Err(UrlError::UserInfo) } else { Ok(()) }
}

/// Why a text is no URL. An offending character is named only where it cannot be part of a password.
fn syntax_error(text: &str) -> UrlError {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    match text.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((at, c)) if crate::text::is_invisible(c) || c.is_whitespace() => UrlError::WhiteSpace(at),
        Some((at, '\\')) => UrlError::Backslash(at),
        Some((at, c)) if !text.contains('@') => UrlError::Character(c, at),
        _ => UrlError::Syntax,
    }
}

/// The host in normal form.
fn host(text: &str) -> Result<String, UrlError> {
    if text.is_empty() {
        return Err(UrlError::EmptyHost);
    }
    if let Some(literal) = text.strip_prefix('[') {
        let address = literal.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return address.map(|address| format!("[{address}]")).ok_or(UrlError::Ipv6);
    }
    // RFC 3986 allows more, but no name service does, and readers differ in what they make of it (`%2e`, say).
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
        return Err(UrlError::HostCharacter);
    }
    Ok(text.to_ascii_lowercase())
}

/// The port, unless it is the default one.
fn port(text: Option<&str>, https: bool) -> Result<Option<u16>, UrlError> {
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok((port != if https { 443 } else { 80 }).then_some(port)),
        _ => Err(UrlError::Port),
    }
}
