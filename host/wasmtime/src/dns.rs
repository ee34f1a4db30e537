//! Name lookup by the system, with errors that can be told from others, and the addresses that take its place.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;
use url::Url;

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

/// The system's resolver. It is asked for each connection: a server may come back with another address.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    /// The names that are not looked up, in lower case.
    pub addresses: Arc<Vec<(String, Vec<SocketAddr>)>>,
    /// A name that leads into a private network is refused.
    pub public_only: bool,
    /// What is known of the way to the server.
    pub family: Arc<Family>,
}

/// The family of addresses, IPv4 or IPv6, over which the server answered last. Where the other one leads nowhere, a connection that is
/// refused by the server itself would count as failed only when the other has come to nothing too, after the whole time that
/// connecting may take: so the other family is left out most of the time.
#[derive(Debug, Default)]
pub(crate) struct Family(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    good: Option<IpAddr>,
    /// Lookups since it answered.
    lookups: u32,
}

/// So many lookups in a row leave the other family out; the next one does not: the server may be there only.
const SAME_FAMILY: u32 = 15;

impl Family {
    /// The server answered from this address.
    pub(crate) fn answered(&self, from: IpAddr) {
        *self.known() = Known { good: Some(from), lookups: 0 };
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of a name's addresses that are worth a try.
    fn choose(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut known = self.known();
        let good = known.good.filter(|good| addresses.iter().any(|address| address.ip() == *good));
        known.lookups += 1;
        match good {
            Some(_) if known.lookups > SAME_FAMILY => known.lookups = 0,
            Some(good) => addresses.retain(|address| address.is_ipv4() == good.is_ipv4()),
            None => {}
        }
        addresses
    }
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

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { addresses, public_only, family } = self.clone();
        Box::pin(async move {
            let given = addresses.iter().find(|(given, _)| given.eq_ignore_ascii_case(name.as_str()));
            if let Some((_, addresses)) = given {
                return Ok(addresses.clone().into_iter());
            }
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
            Ok(family.choose(addresses).into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_that_answered_is_tried_alone_most_of_the_time() {
        let all: Vec<SocketAddr> =
            ["[2001:db8::9]:1", "192.0.2.1:1", "192.0.2.2:1"].map(|address| address.parse().unwrap()).into();
        let family = Family::default();
        assert_eq!(family.choose(all.clone()), all);
        family.answered(all[2].ip());
        for round in 0..3 {
            for lookup in 0..SAME_FAMILY {
                assert_eq!(family.choose(all.clone()), all[1..], "{round} {lookup}");
            }
            assert_eq!(family.choose(all.clone()), all, "{round}");
        }
        // A name that leads elsewhere by now.
        assert_eq!(family.choose(all[..2].to_vec()), all[..2]);
    }
}
