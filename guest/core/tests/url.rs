//! URLs of servers: what is taken, what is refused, and that no reference passes for the same origin when it is not.

use mcp_reconnect_core::url::Url;
use proptest::prelude::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn urls_that_are_taken() {
    for (text, https, authority, path_and_query) in [
        ("http://localhost", false, "localhost", "/"),
        ("https://mcp.example.com/mcp", true, "mcp.example.com", "/mcp"),
        ("HTTPS://MCP.Example.COM/Mcp", true, "mcp.example.com", "/Mcp"),
        ("http://127.0.0.1:3000/sse", false, "127.0.0.1:3000", "/sse"),
        ("http://my_server.internal:8080", false, "my_server.internal:8080", "/"),
        ("http://example.com.", false, "example.com.", "/"),
        ("http://h:80/", false, "h", "/"),
        ("https://h:443/", true, "h", "/"),
        ("https://h:80/", true, "h:80", "/"),
        ("http://h:443/", false, "h:443", "/"),
        ("http://h:/x", false, "h", "/x"),
        ("http://h:00080/", false, "h", "/"),
        ("http://h:1/", false, "h:1", "/"),
        ("http://h:65535/", false, "h:65535", "/"),
        ("http://h?x=1", false, "h", "/?x=1"),
        ("http://h/?", false, "h", "/?"),
        ("http://h/a/b?c=d&e=f?g", false, "h", "/a/b?c=d&e=f?g"),
        ("http://h/a#fragment", false, "h", "/a"),
        ("http://h#fragment", false, "h", "/"),
        ("http://h/a?b#c?d", false, "h", "/a?b"),
        ("http://h//x", false, "h", "//x"),
        ("http://h/@x", false, "h", "/@x"),
        ("http://h/a:b@c?d@e", false, "h", "/a:b@c?d@e"),
        ("http://h?@", false, "h", "/?@"),
        ("http://h/%0d%0a%00", false, "h", "/%0d%0a%00"),
        ("http://[::1]:8080/mcp", false, "[::1]:8080", "/mcp"),
        ("http://[0:0:0:0:0:0:0:1]/", false, "[::1]", "/"),
        ("https://[2001:DB8::1]:443", true, "[2001:db8::1]", "/"),
    ] {
        let url = url(text);
        assert_eq!((url.https(), url.authority(), url.path_and_query()), (https, authority, path_and_query), "{text}");
    }
}

/// The text, and a part of the error.
const REFUSED: &[(&str, &str)] = &[
    ("", "empty"),
    ("localhost", "well-formed"),
    ("localhost:3000/mcp", "scheme"),
    ("/mcp", "well-formed"),
    ("//host/mcp", "well-formed"),
    ("ftp://host/", "scheme"),
    ("ws://host/", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("httpx://host/", "scheme"),
    ("http:", "no host"),
    ("http:host", "no host"),
    ("https:evil", "no host"),
    ("http:/host/", "no host"),
    ("http://", "host is empty"),
    ("http:///path", "host is empty"),
    ("http://:80/", "host is empty"),
    ("http://?x", "host is empty"),
    ("http://user@host/", "user name or password"),
    ("http://user:pass@host/", "user name or password"),
    ("http://@host/", "user name or password"),
    ("http://:@host/", "user name or password"),
    ("http://host@evil/", "user name or password"),
    ("http://host:80@evil/", "user name or password"),
    ("http://us er:pa^ss@host/", "user name or password"),
    ("http://a@b@c/", "user name or password"),
    ("http://host:0/", "port"),
    ("http://host:65536/", "port"),
    ("http://host:99999999999/", "port"),
    ("http://host:-1/", "well-formed"),
    ("http://host:8o/", "well-formed"),
    ("http://host:80:81/", "well-formed"),
    ("http://ho st/", "white space"),
    (" http://host/", "white space"),
    ("http://host/ ", "white space"),
    ("http://host/a b", "white space"),
    ("http://host/\r\nx", "invisible character"),
    ("http://host/\n", "invisible character"),
    ("http://host/\0", "invisible character"),
    ("http://host/\t", "invisible character"),
    ("http://host/\x7f", "invisible character"),
    ("http://host/\u{a0}", "white space"),
    ("http:\\\\host\\", "backslash"),
    ("http://host\\@evil/", "backslash"),
    ("http://host/\\x", "backslash"),
    ("http://bücher.example/", "`ü`"),
    ("http://host/é", "`é`"),
    ("http://host/a|b", "`|`"),
    ("http://host/{x}", "`{`"),
    ("http://host/<x>", "`<`"),
    ("http://host/a^b?c@d", "well-formed"),
    ("http://host/%", "well-formed"),
    ("http://host/%zz", "well-formed"),
    ("http://host/[x]", "well-formed"),
    ("http://%65vil.example/", "host may hold"),
    ("http://host;x/", "host may hold"),
    ("http://a,b/", "host may hold"),
    ("http://*.example/", "host may hold"),
    ("http://[::1/", "well-formed"),
    ("http://::1/", "well-formed"),
    ("http://[::g]/", "well-formed"),
    ("http://[::1]x/", "well-formed"),
    ("http://[v1.x]/", "IPv6"),
    ("http://[fe80::1%25eth0]/", "well-formed"),
    ("http://[]/", "well-formed"),
];

#[test]
fn urls_that_are_refused() {
    for (text, part) in REFUSED {
        match Url::parse(text) {
            Ok(url) => panic!("{text:?} was taken as {url}"),
            Err(error) => assert!(error.to_string().contains(part), "{text:?}: {error}"),
        }
    }
}

#[test]
fn a_url_has_a_bounded_length() {
    let text = |length: usize| format!("http://h/{}", "x".repeat(length - 9));
    assert_eq!(url(&text(8192)).path_and_query().len(), 8184);
    assert_eq!(Url::parse(&text(8193)).unwrap_err().to_string(), "the URL is 8193 bytes long, the limit is 8192");
    assert!(url("http://h/").resolve(&"x".repeat(8193)).is_err());
    assert!(url(&text(8192)).resolve("?y").is_err());
}

#[test]
fn no_error_repeats_user_info() {
    for text in [
        "http://alice:s3cret@host/",
        "http://alice:s3cret@ho st/",
        "http://alice:s3 cret@host/",
        "http://alice:s3cret|@host/",
        "http://alice:s3cret",
        "http://alice:s3/cret|@host/",
        "http://alice:s3cret/^@host",
        "ftp://alice:s3cret@host/",
        "//alice:s3cret@host/",
        "alice:s3cret@host",
        "https:alice:s3cret@host",
        "http:/alice:s3cret@host",
    ] {
        let errors = [Url::parse(text).err(), url("http://h/").resolve(text).err()];
        for error in errors.into_iter().flatten() {
            for secret in ["alice", "s3", "cret", "|", "^"] {
                assert!(!error.to_string().contains(secret), "{text}: {error}");
            }
        }
        assert!(Url::parse(text).is_err(), "{text}");
    }
}

#[test]
fn display_can_be_parsed_again() {
    for text in ["http://H:80", "https://[::1]:8443/a?b#c", "http://h//x", "http://h?"] {
        let url = url(text);
        assert_eq!(Url::parse(&url.to_string()), Ok(url), "{text}");
    }
    assert_eq!(url("HTTP://H:80?x#y").to_string(), "http://h/?x");
}

#[test]
fn origins() {
    for (a, b) in [
        ("http://h/", "http://h/x?y"),
        ("http://H/", "HTTP://h:80/"),
        ("https://h", "https://h:443"),
        ("http://[::1]:1/", "http://[0::1]:1/"),
    ] {
        assert!(url(a).same_origin(&url(b)) && url(b).same_origin(&url(a)), "{a} and {b}");
    }
    for (a, b) in [
        ("http://h/", "https://h/"),
        ("http://h:443/", "https://h/"),
        ("http://h/", "http://h:8080/"),
        ("http://h/", "http://h.example/"),
        ("http://h.example/", "http://example/"),
        ("http://h/", "http://h./"),
        ("http://localhost/", "http://127.0.0.1/"),
        ("http://127.0.0.1/", "http://0x7f.1/"),
        ("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/"),
    ] {
        assert!(!url(a).same_origin(&url(b)) && !url(b).same_origin(&url(a)), "{a} and {b}");
    }
}

#[test]
fn references_are_resolved() {
    let base = url("https://mcp.example:8443/a/sse?token=x");
    for (reference, expected) in [
        ("/messages?session_id=1", "/messages?session_id=1"),
        ("messages/?session_id=1", "/a/messages/?session_id=1"),
        ("?s=1", "/a/sse?s=1"),
        ("../m", "/m"),
        ("../../../m", "/m"),
        ("./m", "/a/m"),
        ("/x/../y/./z", "/y/z"),
        (".", "/a/"),
        ("/m#x", "/m"),
        ("#x", "/a/sse?token=x"),
        ("https://mcp.example:8443/m", "/m"),
        ("HTTPS://MCP.EXAMPLE:8443/m", "/m"),
        ("//mcp.example:8443/m", "/m"),
        ("/..//evil.example/x", "//evil.example/x"),
        ("/m?url=http://evil@example/", "/m?url=http://evil@example/"),
        ("m@evil.example", "/a/m@evil.example"),
        ("/m//x@evil.example/", "/m//x@evil.example/"),
    ] {
        let resolved = base.resolve(reference).unwrap_or_else(|error| panic!("{reference}: {error}"));
        assert!(resolved.same_origin(&base), "{reference}");
        assert_eq!(resolved.authority(), "mcp.example:8443", "{reference}");
        assert_eq!(resolved.path_and_query(), expected, "{reference}");
    }
    assert_eq!(url("http://h").resolve("m").map(|url| url.to_string()), Ok("http://h/m".into()));
}

#[test]
fn references_elsewhere_have_another_origin_or_are_refused() {
    let base = url("http://host/sse");
    for reference in [
        "//evil.example/x",
        "http://evil.example/x",
        "https://host/x",
        "//host:81/x",
        "http://host.evil.example/x",
        "http://hos%74/",
        "https:evil",
        "http:evil",
        "http:/evil",
        "http:///evil",
        "///evil",
        "//",
        "\\\\evil",
        "/\\evil",
        "\\/evil",
        "http:\\\\evil",
        "http://host@evil/",
        "//host@evil/",
        "//host:80@evil/",
        "http://host\\@evil/",
        "http://host\u{ff0f}evil/",
        "javascript:x",
        "data:text/plain,x",
        " //evil",
        "\t//evil",
        "/\t/evil",
        "/m\r\nx: y",
        "",
    ] {
        if let Ok(resolved) = base.resolve(reference) {
            assert!(!resolved.same_origin(&base), "{reference:?} became {resolved}");
        }
    }
}

/// What a plain reader takes the origin of an absolute URL to be: the scheme, and what is between `//` and the next `/`,
/// `?` or `#`.
fn plain_origin(text: &str) -> (&str, &str) {
    let (scheme, rest) = text.split_once("://").expect("an absolute URL");
    (scheme, rest.split(['/', '?', '#']).next().unwrap_or_default())
}

fn reference() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "/", "//", "\\", ":", "@", "?", "#", ".", "..", "[", "]", "[::1]", "%2f", "%40", "http:", "https:", "http://", "https://",
            "host", "evil", "host:8080", ":80", ":8080", ":443", "x", "", " ", "\t", "\r\n", "\0", "HOST", ";", "&", "=",
        ])
        .prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
        1 => "[ -~]{0,4}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_resolved_is_what_a_plain_reader_sees(reference in reference(), base in prop::sample::select(vec![
        "http://host", "http://host:8080/a/b?c", "https://host/", "http://[::1]:8080/sse",
    ])) {
        let base = url(base);
        let Ok(resolved) = base.resolve(&reference) else { return Ok(()) };
        let text = resolved.to_string();
        let scheme = if resolved.https() { "https" } else { "http" };
        prop_assert_eq!(plain_origin(&text), (scheme, resolved.authority()));
        prop_assert_eq!(plain_origin(&text) == plain_origin(&base.to_string()), resolved.same_origin(&base));
        prop_assert!(resolved.path_and_query().starts_with('/'));
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#<>\"{}|^`".contains(&byte)), "{}", text);
        prop_assert!(!resolved.authority().contains(['@', '%', '/', '?']));
        prop_assert_eq!(Url::parse(&text), Ok(resolved.clone()));
        // Only a reference with a host of its own can lead elsewhere.
        if !resolved.same_origin(&base) {
            prop_assert!(reference.contains("//"), "{}", reference);
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        if let Ok(url) = Url::parse(&text) {
            prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
        }
        let _ = url("http://h/").resolve(&text);
    }

    #[test]
    fn no_control_character_or_space_passes(
        head in "/[a-z]{0,4}",
        bad in prop::sample::select(vec!['\r', '\n', '\0', '\t', ' ', '\x7f']),
        tail in "[a-z]{0,4}",
    ) {
        let path = format!("{head}{bad}{tail}");
        prop_assert!(url("http://h/").resolve(&path).is_err());
        let absolute = format!("http://h{path}");
        prop_assert!(Url::parse(&absolute).is_err());
    }
}

#[test]
fn this_machine_by_name_and_by_address() {
    for (host, loopback) in [
        ("localhost", true),
        ("LOCALHOST:9000", true),
        ("localhost.", true),
        ("mcp.localhost:80", true),
        ("127.0.0.1:9000", true),
        ("127.8.8.8", true),
        ("[::1]:9000", true),
        ("[::1]", true),
        ("[::ffff:127.0.0.1]", true),
        ("notlocalhost", false),
        ("localhost.test", false),
        ("127.0.0.1.test", false),
        ("128.0.0.1", false),
        ("10.0.0.7:9000", false),
        ("[::2]:1", false),
        ("jarvis.internal", false),
    ] {
        let url = Url::parse(&format!("http://{host}/mcp")).expect("a URL");
        assert_eq!(url.is_loopback(), loopback, "{host}");
    }
}
