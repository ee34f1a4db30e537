//! How requests reach the network, as a program chooses it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::{OpenError, tls};

/// How requests reach the network.
///
/// ```
/// let http = mcp_reconnect::HttpOptions::default()
///     .proxy("http://me:secret@proxy.internal:3128")
///     .proxy_bypass("localhost,.internal");
/// assert!(!format!("{http:?}").contains("secret"));
/// ```
#[derive(Clone, Default)]
pub struct HttpOptions {
    pub(crate) proxy: ProxyChoice,
    pub(crate) proxy_bypass: Option<String>,
    pub(crate) ca_certificates: Vec<Vec<u8>>,
    pub(crate) client_certificate: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) addresses: Vec<Addresses>,
    pub(crate) connect_timeout: Option<Duration>,
}

/// Where the proxy comes from.
#[derive(Clone, Default)]
pub(crate) enum ProxyChoice {
    #[default]
    Environment,
    None,
    Url(String),
}

/// Addresses to use in place of a name lookup.
#[derive(Clone)]
pub(crate) struct Addresses {
    pub host: String,
    pub port: u16,
    pub addresses: Vec<IpAddr>,
}

impl HttpOptions {
    /// The proxy for all requests, as a URL (`http`, `https`, `socks5`, `socks5h`), with user name and password in it where
    /// the proxy wants them. Default: what the environment says (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, upper or lower
    /// case), and none for this machine itself.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = ProxyChoice::Url(url.into());
        self
    }

    /// No proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxyChoice::None;
        self
    }

    /// Hosts that are reached without the proxy: names (with all below them), addresses, networks (`10.0.0.0/8`), separated by
    /// commas, or `*` for all. Default: `NO_PROXY` of the environment.
    pub fn proxy_bypass(mut self, hosts: impl Into<String>) -> Self {
        self.proxy_bypass = Some(hosts.into());
        self
    }

    /// Trusts these certificate authorities too, in PEM. A certificate that a server has signed itself may be among them:
    /// then that server is trusted with that certificate. Default: the authorities of the system (on Linux those of
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`, where set).
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates.push(pem.into());
        self
    }

    /// The certificate to show to a server that asks for one, with the certificates that lead to its authority, and its
    /// private key, both in PEM. Both may be the same text. Default: none.
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Connects to these addresses, in this order, where `host` and `port` are wanted (of the server or of the proxy),
    /// instead of looking the name up. The host `*` is any.
    pub fn addresses(mut self, host: impl Into<String>, port: u16, addresses: impl Into<Vec<IpAddr>>) -> Self {
        self.addresses.push(Addresses { host: host.into(), port, addresses: addresses.into() });
        self
    }

    /// How long a connection may take to be made: name lookup, TCP, proxy and TLS. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Finds out whether the certificates and keys can be used. [`crate::connect`] does that too.
    ///
    /// # Errors
    ///
    /// [`OpenError::InvalidOption`]: what is wrong, and how to mend it.
    pub fn check_certificates(&self) -> Result<(), OpenError> {
        tls::Setup::new(self).map(drop)
    }
}

impl fmt::Debug for HttpOptions {
    /// Leaves out the proxy's URL, which may hold a password, and keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = match self.proxy {
            ProxyChoice::Environment => "environment",
            ProxyChoice::None => "none",
            ProxyChoice::Url(_) => "set",
        };
        let addresses: Vec<_> =
            self.addresses.iter().map(|entry| (&entry.host, entry.port, &entry.addresses)).collect();
        formatter
            .debug_struct("HttpOptions")
            .field("proxy", &proxy)
            .field("proxy_bypass", &self.proxy_bypass)
            .field("ca_certificates", &self.ca_certificates.len())
            .field("client_certificate", &self.client_certificate.is_some())
            .field("addresses", &addresses)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}
