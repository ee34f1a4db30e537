//! Which proxy leads to the server: the one that the program chose, else the environment's.

use std::env;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use crate::OpenError;
use crate::http_options::{HttpOptions, ProxyChoice};

/// The proxy to a server.
#[derive(Clone)]
pub(crate) struct Proxy {
    found: Intercept,
    /// Its host and port, for people.
    pub place: String,
    /// Whether a user name goes to it.
    pub has_credentials: bool,
}

impl Proxy {
    /// The proxy to the server at `url`, or none. (All requests of a connection go to one origin.)
    pub(crate) fn find(options: &HttpOptions, url: &Url) -> Result<Option<Self>, OpenError> {
        Self::find_with(options, url, &|name| env::var(name).ok())
    }

    fn find_with(
        options: &HttpOptions,
        url: &Url,
        variable: &impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, OpenError> {
        let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
        let (source, secret_url) = match &options.proxy {
            ProxyChoice::None => return Ok(None),
            ProxyChoice::Url(url) => ("the proxy", url.clone()),
            // Nobody's proxy has a server of this machine behind it.
            ProxyChoice::Environment if is_loopback(url) => return Ok(None),
            // A CGI program: its callers choose this variable.
            ProxyChoice::Environment if variable("REQUEST_METHOD").is_some() => return Ok(None),
            ProxyChoice::Environment => {
                let own = match url.scheme() {
                    "https" => ["HTTPS_PROXY", "https_proxy"],
                    _ => ["HTTP_PROXY", "http_proxy"],
                };
                let set = first(own).filter(|(_, value)| !value.is_empty());
                match set.or_else(|| first(["ALL_PROXY", "all_proxy"])).filter(|(_, value)| !value.is_empty()) {
                    Some(set) => set,
                    None => return Ok(Self::of_system(url)),
                }
            }
        };
        let bypass = match &options.proxy_bypass {
            Some(hosts) => hosts.clone(),
            None => first(["NO_PROXY", "no_proxy"]).map_or_else(String::new, |(_, value)| value),
        };
        let intercept = |bypass: &str| intercept(&secret_url, bypass, url);
        // Not repeated: it may hold a password.
        let wrong = || {
            OpenError::InvalidOption(format!(
                "{source} is no proxy's URL; write http://HOST:PORT, https://HOST:PORT or socks5h://HOST:PORT"
            ))
        };
        let found = intercept("").ok_or_else(wrong)?;
        let supported = matches!(found.uri().scheme_str(), Some("http" | "https" | "socks5" | "socks5h"));
        if !supported || Url::parse(&found.uri().to_string()).is_err() {
            return Err(wrong());
        }
        Ok(intercept(&bypass).map(Self::new))
    }

    /// What the system's settings say, where the system has such.
    #[cfg(any(target_os = "macos", windows))]
    fn of_system(url: &Url) -> Option<Self> {
        Matcher::from_system().intercept(&url.as_str().parse().ok()?).map(Self::new)
    }

    #[cfg(not(any(target_os = "macos", windows)))]
    fn of_system(_url: &Url) -> Option<Self> {
        None
    }

    fn new(found: Intercept) -> Self {
        // What the matcher leaves of a password with an '@' in it is not the host's.
        let place =
            |authority: &http::uri::Authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned();
        let place = found.uri().authority().map_or_else(String::new, place);
        let has_credentials = found.basic_auth().is_some() || found.raw_auth().is_some();
        Self { found, place, has_credentials }
    }

    /// Its URL, without user name and password.
    pub(crate) fn url(&self) -> Uri {
        self.found.uri().clone()
    }

    /// Whether it speaks SOCKS, and not HTTP.
    pub(crate) fn is_socks(&self) -> bool {
        self.scheme().starts_with("socks")
    }

    /// Whether names are looked up here, and not by it.
    pub(crate) fn resolves_names_here(&self) -> bool {
        self.scheme() == "socks5"
    }

    /// User name and password for SOCKS.
    pub(crate) fn user_and_password(&self) -> Option<(String, String)> {
        self.found.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    /// The value of `Proxy-Authorization`.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        self.found.basic_auth().cloned()
    }

    fn scheme(&self) -> &str {
        self.found.uri().scheme_str().unwrap_or_default()
    }

    /// Its host's name and its port, to be found by [`HttpOptions::addresses`].
    pub(crate) fn host_and_port(&self) -> Option<(String, u16)> {
        let authority: http::uri::Authority = self.place.parse().ok()?;
        let default = match self.scheme() {
            "https" => 443,
            "http" => 80,
            _ => 1080,
        };
        Some((authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(default)))
    }
}

/// The proxy that this URL means for requests to `server`.
fn intercept(proxy: &str, bypass: &str, server: &Url) -> Option<Intercept> {
    if bypass.split(',').any(|host| host.trim() == "*") {
        return None;
    }
    let matcher = Matcher::builder().all(proxy).no(bypass).build();
    matcher.intercept(&server.as_str().parse().ok()?)
}

/// Whether the URL names this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(options: &HttpOptions, url: &str, variables: &[(&str, &str)]) -> Result<Option<String>, OpenError> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let found = Proxy::find_with(options, &Url::parse(url).expect("a URL"), &variable)?;
        Ok(found.map(|proxy| proxy.place))
    }

    #[test]
    fn this_machine_is_never_proxied_by_the_environment() {
        let variables = [("ALL_PROXY", "http://p:1")];
        for url in ["http://localhost:1/x", "https://a.localhost/", "http://127.3.2.1/", "http://[::1]:80/mcp"] {
            assert_eq!(find(&HttpOptions::default(), url, &variables), Ok(None), "{url}");
            let chosen = HttpOptions::default().proxy("http://q:2");
            assert_eq!(find(&chosen, url, &variables), Ok(Some("q:2".into())), "{url}");
        }
        for url in ["http://localhost.example/", "http://10.0.0.1/", "http://[2001:db8::1]/"] {
            assert_eq!(find(&HttpOptions::default(), url, &variables), Ok(Some("p:1".into())), "{url}");
        }
    }

    #[test]
    fn the_environment() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
        let cases: &[Case<'_>] = &[
            ("https://h/", &[("HTTPS_PROXY", "http://p:1")], Some("p:1")),
            ("https://h/", &[("https_proxy", "p:1")], Some("p:1")),
            ("https://h/", &[("HTTP_PROXY", "http://p:1")], None),
            ("http://h/", &[("HTTP_PROXY", "http://p:1"), ("ALL_PROXY", "http://q:2")], Some("p:1")),
            ("http://h/", &[("http_proxy", "http://p:1")], Some("p:1")),
            ("http://h/", &[("all_proxy", "socks5h://q:2")], Some("q:2")),
            ("http://h/", &[("HTTP_PROXY", "")], None),
            ("http://h/", &[("HTTP_PROXY", "http://p:1"), ("REQUEST_METHOD", "GET")], None),
            ("http://h/", &[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "h")], None),
            ("http://a.h/", &[("HTTP_PROXY", "http://p:1"), ("no_proxy", "x, .h")], None),
            ("http://ah/", &[("HTTP_PROXY", "http://p:1"), ("no_proxy", "h")], Some("p:1")),
            ("http://10.1.2.3/", &[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "10.0.0.0/8")], None),
            ("http://h/", &[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "*")], None),
        ];
        for (url, variables, expected) in cases {
            let found = find(&HttpOptions::default(), url, variables);
            assert_eq!(found, Ok(expected.map(str::to_owned)), "{url} {variables:?}");
        }
    }

    #[test]
    fn options_precede_the_environment() {
        let variables = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "h")];
        assert_eq!(find(&HttpOptions::default().no_proxy(), "https://i/", &variables), Ok(None));
        let chosen = HttpOptions::default().proxy("http://q:2");
        assert_eq!(find(&chosen, "https://i/", &variables), Ok(Some("q:2".into())));
        assert_eq!(find(&chosen, "https://h/", &variables), Ok(None));
        assert_eq!(find(&chosen.proxy_bypass("i"), "https://h/", &variables), Ok(Some("q:2".into())));
        assert_eq!(find(&HttpOptions::default().proxy_bypass(""), "https://h/", &variables), Ok(Some("p:1".into())));
    }

    #[test]
    fn what_is_no_proxy_is_refused_and_not_repeated() {
        for proxy in ["::", "ftp://s3cret@h", "http://", "socks4://s3cret@h:1", "http://s3cret h"] {
            for (options, variables) in
                [(HttpOptions::default().proxy(proxy), vec![]), (HttpOptions::default(), vec![("HTTPS_PROXY", proxy)])]
            {
                let error = find(&options, "https://h/", &variables).expect_err(proxy).to_string();
                assert!(!error.contains("s3cret"), "{error}");
            }
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let options = HttpOptions::default().proxy("http://me:s3cret@proxy.internal:3128");
        let proxy = Proxy::find_with(&options, &Url::parse("https://h/").expect("a URL"), &|_| None);
        let proxy = proxy.expect("valid").expect("a proxy");
        assert!(proxy.has_credentials && proxy.place == "proxy.internal:3128", "{}", proxy.place);
        assert_eq!(proxy.host_and_port(), Some(("proxy.internal".into(), 3128)));
    }
}
