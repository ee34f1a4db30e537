//! Name lookup by the system, with errors that can be told from others.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct Resolver;

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
        Box::pin(async move {
            let lookup = tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs());
            let addresses: Vec<SocketAddr> = match lookup.await {
                Ok(Ok(addresses)) => addresses.collect(),
                Ok(Err(error)) => return Err(LookupError(error).into()),
                Err(error) => return Err(LookupError(io::Error::other(error)).into()),
            };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
