//! URLs of metadata and of endpoints: where they may lead, and where the well-known ones are.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::url::{Url, UrlError};

/// The path of a URL, without the query.
pub(crate) fn path(url: &Url) -> &str {
    url.path_and_query().split('?').next().unwrap_or_default()
}

/// Scheme, host and port, as text.
pub(crate) fn origin(url: &Url) -> String {
    format!("{}://{}", if url.https() { "https" } else { "http" }, url.authority())
}

/// The host without the port; an IPv6 address without brackets.
pub fn host(url: &Url) -> &str {
    let authority = url.authority();
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Whether the URL leads to this very machine, by its name.
pub fn is_loopback(url: &Url) -> bool {
    url.is_loopback()
}

/// Whether an address belongs to this machine or to a network that is not the public one: loopback, private, link-local
/// and the like (RFC 6890). A server that others chose must not lead a client there.
pub fn is_private(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    };
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && b & 0xC0 == 64)
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && b & 0xFE == 18)
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let embedded = match address.segments() {
        // NAT64 and 6to4 lead to the IPv4 address in them.
        [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => Some((high, low)),
        [0x2002, high, low, ..] => Some((high, low)),
        // So do the first 2³² addresses, by an old agreement. The first two are "unspecified" and loopback.
        [0, 0, 0, 0, 0, 0, high, low] => Some((high, low)),
        _ => None,
    };
    let embedded = embedded.map(|(high, low)| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    address.is_multicast()
        || first & 0xFE00 == 0xFC00
        || first & 0xFFC0 == 0xFE80
        || (first == 0x64 && second == 0xFF9B && address.segments()[2] == 1)
        || embedded.is_some_and(is_private_v4)
}

/// Why a URL that a server or a user named is not asked. Its `Display` is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressError {
    /// It cannot be used.
    Url(UrlError),
    /// It is neither `https` nor on this machine with the MCP server.
    NotHttps,
    /// It leads into a private network, where the MCP server is not.
    Private,
}

impl fmt::Display for AddressError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(problem) => problem.fmt(to),
            Self::NotHttps => to.write_str("it is not https"),
            Self::Private => to.write_str("it leads into a private network, where the MCP server is not"),
        }
    }
}

impl core::error::Error for AddressError {}

/// Reads a URL that a server named, and finds out whether it may be used: `https`; or the origin of the MCP server, which
/// the user chose; or plain `http` on this machine, when the MCP server is there too. Never an address of a private
/// network, unless the MCP server itself has such a one; what a name leads to is for the host to look at.
pub(crate) fn allowed(text: &str, server: &Url) -> Result<Url, AddressError> {
    let url = Url::parse(text).map_err(AddressError::Url)?;
    if url.same_origin(server) {
        return Ok(url);
    }
    let is_local = is_loopback(&url) && is_loopback(server);
    if !(url.https() || is_local) {
        return Err(AddressError::NotHttps);
    }
    let is_private_host = |url: &Url| is_loopback(url) || host(url).parse().is_ok_and(is_private);
    if is_private_host(&url) && !is_private_host(server) {
        return Err(AddressError::Private);
    }
    Ok(url)
}

/// Where the metadata of a protected resource may be (RFC 9728, section 3.1; MCP authorization, "Protected Resource Metadata
/// Discovery Requirements").
pub(crate) fn resource_metadata(server: &Url) -> Vec<String> {
    let origin = origin(server);
    let own = path(server).trim_end_matches('/');
    let mut all = Vec::new();
    if !own.is_empty() {
        all.push(format!("{origin}/.well-known/oauth-protected-resource{own}"));
    }
    all.push(format!("{origin}/.well-known/oauth-protected-resource"));
    all
}

/// Where the metadata of an authorization server may be (RFC 8414, section 3.1; OpenID Connect Discovery 1.0, section 4; the
/// order is MCP's).
pub(crate) fn server_metadata(issuer: &Url) -> Vec<String> {
    let origin = origin(issuer);
    let own = path(issuer).trim_end_matches('/');
    if own.is_empty() {
        return ["oauth-authorization-server", "openid-configuration"]
            .map(|name| format!("{origin}/.well-known/{name}"))
            .to_vec();
    }
    [
        format!("{origin}/.well-known/oauth-authorization-server{own}"),
        format!("{origin}/.well-known/openid-configuration{own}"),
        format!("{origin}{own}/.well-known/openid-configuration"),
    ]
    .to_vec()
}

/// Whether a resource (RFC 9728, section 3.3) covers the MCP server: the same origin, and the same path or one above it.
pub(crate) fn covers(resource: &str, server: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let (above, own) = (path(&resource).trim_end_matches('/'), path(server).trim_end_matches('/'));
    let below = own.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    resource.same_origin(server) && below && !resource.path_and_query().contains('?')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// SSRF: a URL that a server names may not lead into a network that its own URL is not in.
    #[test]
    fn where_a_server_may_lead_its_client() {
        for (text, server, good) in [
            ("https://as.example/x", "https://mcp.example/mcp", true),
            ("http://as.example/x", "https://mcp.example/mcp", false),
            ("http://as.example/x", "http://mcp.example/mcp", false),
            ("http://mcp.example/x", "http://mcp.example/mcp", true),
            ("http://mcp.example/x", "https://mcp.example/mcp", false),
            ("http://mcp.example:81/x", "http://mcp.example/mcp", false),
            ("https://127.0.0.1/x", "https://mcp.example/mcp", false),
            ("https://localhost/x", "https://mcp.example/mcp", false),
            ("https://localhost./x", "https://mcp.example/mcp", false),
            ("https://a.localhost/x", "https://mcp.example/mcp", false),
            ("https://169.254.169.254/latest", "https://mcp.example/mcp", false),
            ("https://10.0.0.1/x", "https://mcp.example/mcp", false),
            ("https://192.168.0.1/x", "https://mcp.example/mcp", false),
            ("https://[::1]/x", "https://mcp.example/mcp", false),
            ("https://[fe80::1]/x", "https://mcp.example/mcp", false),
            ("https://[fd00::1]/x", "https://mcp.example/mcp", false),
            ("https://[::ffff:10.0.0.1]/x", "https://mcp.example/mcp", false),
            ("https://[64:ff9b::a00:1]/x", "https://mcp.example/mcp", false),
            ("https://[2002:a00:1::]/x", "https://mcp.example/mcp", false),
            ("https://100.64.0.1/x", "https://mcp.example/mcp", false),
            ("https://0.0.0.0/x", "https://mcp.example/mcp", false),
            ("https://93.184.216.34/x", "https://mcp.example/mcp", true),
            ("https://[2606:2800::1]/x", "https://mcp.example/mcp", true),
            ("http://127.0.0.1:9/x", "http://127.0.0.1:8/mcp", true),
            ("http://localhost:9/x", "http://127.0.0.1:8/mcp", true),
            ("http://10.0.0.1:9/x", "http://127.0.0.1:8/mcp", false),
            ("https://10.0.0.1:9/x", "https://10.0.0.2/mcp", true),
            ("http://127.0.0.1:9/x", "http://10.0.0.2/mcp", false),
            ("javascript:alert(1)", "https://mcp.example/mcp", false),
            ("file:///etc/passwd", "https://mcp.example/mcp", false),
            ("https://user@as.example/", "https://mcp.example/mcp", false),
            ("", "https://mcp.example/mcp", false),
        ] {
            assert_eq!(allowed(text, &url(server)).is_ok(), good, "{text} named by {server}");
        }
    }

    /// The blocks of RFC 6890 that are not the public network, by their first and last address and those beside them.
    #[test]
    fn private_networks_end_where_they_do() {
        for (address, private) in [
            ("0.0.0.0", true),
            ("0.255.255.255", true),
            ("1.0.0.0", false),
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("101.64.0.0", false),
            ("126.255.255.255", false),
            ("127.0.0.0", true),
            ("169.253.255.255", false),
            ("169.254.0.0", true),
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("191.255.255.255", false),
            ("192.0.0.0", true),
            ("192.0.0.255", true),
            ("192.0.1.0", false),
            ("192.168.255.255", true),
            ("197.18.0.0", false),
            ("198.17.255.255", false),
            ("198.18.0.0", true),
            ("198.19.255.255", true),
            ("198.20.0.0", false),
            ("223.255.255.255", false),
            ("224.0.0.0", true),
            ("239.255.255.255", true),
            ("240.0.0.0", true),
            ("255.255.255.255", true),
            ("::", true),
            ("::1", true),
            ("::127.0.0.1", true),
            ("::10.0.0.1", true),
            ("::8.8.8.8", false),
            ("::ffff:127.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::127.0.0.1", true),
            ("64:ff9b::8.8.8.8", false),
            ("64:ff9b::8.0.0.127", false),
            ("64:ff9b:1::1", true),
            ("64:ff9b:2::1", false),
            ("64:ff9c:1::1", false),
            ("65:ff9b:1::1", false),
            ("2002:7f00:1::", true),
            ("2002:a00:1::", true),
            ("2002:c0a8:1::", true),
            ("2002:c000:1::", true),
            ("2002:808:808::", false),
            ("fbff::1", false),
            ("fc00::1", true),
            ("fdff::1", true),
            ("fe00::1", false),
            ("fe7f::1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("ff02::1", true),
            ("2606:2800::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }

    #[test]
    fn well_known_places() {
        assert_eq!(
            resource_metadata(&url("https://h:8/a/mcp?x=1")),
            [
                "https://h:8/.well-known/oauth-protected-resource/a/mcp",
                "https://h:8/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(resource_metadata(&url("https://h/")), ["https://h/.well-known/oauth-protected-resource"]);
        assert_eq!(
            server_metadata(&url("https://h/t/1/")),
            [
                "https://h/.well-known/oauth-authorization-server/t/1",
                "https://h/.well-known/openid-configuration/t/1",
                "https://h/t/1/.well-known/openid-configuration"
            ]
        );
        assert_eq!(server_metadata(&url("https://h")).len(), 2);
    }

    #[test]
    fn the_resource_is_the_server_or_above_it() {
        for (resource, server, good) in [
            ("https://h/mcp", "https://h/mcp", true),
            ("https://h/mcp/", "https://h/mcp", true),
            ("https://h", "https://h/mcp", true),
            ("https://H:443/", "https://h/mcp?key=1", true),
            ("https://h/m", "https://h/mcp", false),
            ("https://h/mcp/a", "https://h/mcp", false),
            ("http://h/mcp", "https://h/mcp", false),
            ("https://h:8/mcp", "https://h/mcp", false),
            ("https://evil/mcp", "https://h/mcp", false),
            ("https://h/mcp?x", "https://h/mcp", false),
            ("urn:x", "https://h/mcp", false),
        ] {
            assert_eq!(covers(resource, &url(server)), good, "{resource} {server}");
        }
    }
}
