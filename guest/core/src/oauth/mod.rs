//! OAuth 2.1 as MCP wants it ("Authorization"): every decision, and no I/O, like the engine beside it.
//!
//! An [`Oauth`] gets one access token for one MCP server, again and again. A host owns the network, the browser, the clock,
//! the store and the lock, and runs this loop:
//!
//! 1. [`Oauth::handle`] an [`Input`] together with the time on a clock that does not go back, and the seconds since 1970;
//! 2. drain [`Oauth::poll_output`] and do what each [`Output`] says, until there is none;
//! 3. wait for the next input, but no longer than until [`Oauth::deadline`].
//!
//! A run begins with [`Input::Acquire`], which never needs a person, or with [`Input::SignIn`], which does, and ends with
//! [`Output::Done`]. An engine that reported [`crate::Event::HeadersNeeded`] is given the token with
//! [`crate::Input::SetHeaders`].
//!
//! Three rules come from servers that restart and forget:
//!
//! - a client id from dynamic registration (RFC 7591) is used for refreshing only. Each sign-in registers anew, so that
//!   nobody is led to a page that says that the client is not known;
//! - a refresh token is used under the lock, after the record was read again: many processes make one refresh;
//! - nothing is thrown away because a server is away. Only its own words (`invalid_grant`, `invalid_client`) do that.

mod answer;
mod api;
mod challenge;
mod flow;
mod locations;
mod metadata;
mod pkce;
mod record;
mod scope;
mod secret;
mod text;

pub use api::{
    Client, Config, ConfigError, Description, Event, Failure, FailureKind, Grant, Input, Method, Output, Page,
    RedirectHost, Request, RequestId, Resource, Response, Token,
};
pub use challenge::Challenge;
pub use flow::Oauth;
pub use locations::{AddressError, host, is_loopback, is_private};
pub use secret::Secret;

/// The path of the redirect URI.
pub const CALLBACK_PATH: &str = "/callback";
