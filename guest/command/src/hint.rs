//! What to say of what people type out of habit.

use alloc::format;
use alloc::string::String;

use mcp_reconnect_core::url::Url;

/// What to do in place of an option that other programs have, written as it was typed.
pub fn foreign_option(option: &str) -> Option<&'static str> {
    Some(match option {
        "-k" | "--insecure" => {
            "certificates are always checked; to trust one of your own: --ca-cert FILE (its authority's, as PEM)"
        }
        "--allow-http" => "http:// URLs are taken as they are; leave it out",
        "-v" | "--verbose" | "--debug" => "for more on stderr: --log debug",
        _ => return None,
    })
}

/// What to say of a URL that begins with its host; `None` if that is not what is wrong with it. No secret is in it.
pub fn missing_scheme(text: &str) -> Option<String> {
    let lower = text.get(..6).unwrap_or(text).to_ascii_lowercase();
    if text.starts_with('-') || text.contains("://") || lower.starts_with("http:") || lower.starts_with("https:") {
        return None;
    }
    let rest = text.trim_start_matches('/');
    let scheme = if Url::parse(&format!("http://{rest}")).ok()?.is_loopback() { "http" } else { "https" };
    let url = Url::parse(&format!("{scheme}://{rest}")).ok()?;
    let (path, more) = match url.path_and_query().split_once('?') {
        Some((path, _)) => (path, "?…"),
        None => (url.path_and_query(), ""),
    };
    Some(format!("the scheme is missing; write {scheme}://{}{path}{more}", url.authority()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_without_a_scheme() {
        for (text, url) in [
            ("example.test/mcp", Some("https://example.test/mcp")),
            ("//example.test/mcp", Some("https://example.test/mcp")),
            ("jarvis:8080/sse?key=s3cret", Some("https://jarvis:8080/sse?…")),
            ("localhost:3000/mcp", Some("http://localhost:3000/mcp")),
            ("127.0.0.1:80/mcp", Some("http://127.0.0.1/mcp")),
            ("[::1]:3000", Some("http://[::1]:3000/")),
            ("", None),
            ("http://h/", None),
            ("https:h", None),
            ("ftp://h/", None),
            ("user:s3cret@h/", None),
            ("a b", None),
            ("--header", None),
        ] {
            let said = missing_scheme(text);
            let expected = url.map(|url| format!("the scheme is missing; write {url}"));
            assert_eq!(said, expected, "{text}");
        }
    }
}
