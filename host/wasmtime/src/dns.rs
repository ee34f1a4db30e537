//! Name lookup by the system, with errors that can be told from others, and the addresses that take its place.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::OpenError;
use crate::http_options::Addresses;
use crate::proxy::Proxy;

/// The names, in lower case, that are not looked up, with their addresses. An entry for a host and port to which no
/// connection will be made is a mistake of its user.
pub(crate) fn overrides(
    entries: &[Addresses],
    url: &Url,
    proxy: Option<&Proxy>,
) -> Result<Vec<(String, Vec<SocketAddr>)>, OpenError> {
    let server = (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or_default());
    let mut places = vec![server];
    places.extend(proxy.and_then(Proxy::host_and_port));
    let mut found = Vec::new();
    for Addresses { host, port, addresses } in entries {
        let mut used = false;
        for (name, _) in
            places.iter().filter(|(name, at)| at == port && (host == "*" || host.eq_ignore_ascii_case(name)))
        {
            // The port of the URL holds, whatever is given here.
            found.push((name.clone(), addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect()));
            used = true;
        }
        if !used {
            let (name, at) = &places[0];
            return Err(OpenError::InvalidOption(format!(
                "an address is given for {host}:{port}, but the server's URL leads to {name}:{at}"
            )));
        }
    }
    Ok(found)
}

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// A name that leads into a private network is refused.
    pub public_only: bool,
}

/// A name leads to an address that is not looked at.
#[cfg(feature = "oauth")]
#[derive(Debug)]
struct PrivateAddress;

#[cfg(feature = "oauth")]
impl fmt::Display for PrivateAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name leads to an address in a private network")
    }
}

#[cfg(feature = "oauth")]
impl Error for PrivateAddress {}

/// Whether a request failed because of a name that leads into a private network.
#[cfg(feature = "oauth")]
pub(crate) fn is_private_address(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<PrivateAddress>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A name that was not found, or could not be looked up.
#[derive(Debug)]
pub(crate) struct LookupError(io::Error);

impl fmt::Display for LookupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Error for LookupError {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let public_only = self.public_only;
        Box::pin(async move {
            let lookup = tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs());
            let addresses: Vec<SocketAddr> = match lookup.await {
                Ok(Ok(addresses)) => addresses.collect(),
                Ok(Err(error)) => return Err(LookupError(error).into()),
                Err(error) => return Err(LookupError(io::Error::other(error)).into()),
            };
            #[cfg(feature = "oauth")]
            if public_only && addresses.iter().any(|address| mcp_reconnect_core::oauth::is_private(address.ip())) {
                return Err(PrivateAddress.into());
            }
            #[cfg(not(feature = "oauth"))]
            let _ = public_only;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
