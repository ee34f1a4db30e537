//! The vocabulary between [`crate::oauth::Oauth`] and its host.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::locations::AddressError;
use super::pkce;
use super::record::Record;
use super::secret::Secret;
use super::text::clean;
use crate::SECOND;
use crate::url::{Url, UrlError};

/// What can be set for one MCP server. [`Config::new`] gives the defaults named at each field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Config {
    /// The MCP server.
    pub server_url: String,
    /// How a token is got. Default: a person signs in with a browser.
    pub grant: Grant,
    /// No person sees a browser of this machine: where the authorization server gives codes for other devices to this client, a
    /// code is asked for, though [`Config::grant`] does not say so. Default: no.
    pub prefers_device: bool,
    /// The client, where the authorization server knows it already. Default: it registers itself (RFC 7591).
    pub client: Option<Client>,
    /// The URL of a client ID metadata document, used as client id where the authorization server takes such
    /// (draft-ietf-oauth-client-id-metadata-document). Default: none.
    pub client_metadata_url: Option<String>,
    /// The scopes to ask for. Default, empty: those of the server's challenge, else those of its metadata, else none.
    pub scopes: Vec<String>,
    /// The `resource` to name (RFC 8707). Default: the one of the server's metadata.
    pub resource: Resource,
    /// The metadata of the authorization server, in place of what discovery would find. Default: none.
    pub server_metadata_url: Option<String>,
    /// More parameters for the authorization endpoint. Default: none.
    pub parameters: Vec<(String, String)>,
    /// The host in the redirect URI. Default: 127.0.0.1, as RFC 8252, section 7.3, prefers.
    pub redirect_host: RedirectHost,
    /// Use `/authorize`, `/token` and `/register` of a server that has no metadata at all (MCP 2025-03-26). Default: no.
    pub without_metadata: bool,
    /// How long a person has for a sign-in. Default: 5 minutes.
    pub sign_in_timeout: Duration,
    /// How long after a browser was opened without a person's command no other one is opened so, in seconds. Default: 300.
    pub tab_interval: u64,
    /// Keeps several credentials for one server apart. Default: empty.
    pub profile: String,
}

/// Why a configuration was refused. Its `Display` is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigError {
    /// [`Config::server_url`].
    ServerUrl(UrlError),
    /// [`Grant::ClientCredentials`] without a client and its secret.
    NoClientSecret,
    /// [`Config::client_metadata_url`] is no URL.
    ClientMetadataUrl(UrlError),
    /// [`Config::client_metadata_url`] is not `https`, or has no path.
    ClientMetadataForm,
    /// [`Config::server_metadata_url`].
    ServerMetadataUrl(AddressError),
    /// [`Config::resource`] is no absolute URI without a fragment.
    Resource,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerUrl(problem) => problem.fmt(to),
            Self::NoClientSecret => to.write_str("the grant `client credentials` needs a client id and its secret"),
            Self::ClientMetadataUrl(problem) => write!(to, "the client metadata URL is not usable: {problem}"),
            Self::ClientMetadataForm => to.write_str("the client metadata URL must be https and have a path"),
            Self::ServerMetadataUrl(problem) => {
                write!(to, "the URL of the authorization server's metadata is not usable: {problem}")
            }
            Self::Resource => to.write_str("the resource must be an absolute URI without a fragment (RFC 8707)"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// How a token is got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grant {
    /// A person signs in with a browser of this machine (RFC 6749, section 4.1, with RFC 7636 and RFC 8252).
    #[default]
    AuthorizationCode,
    /// A person signs in with a browser of any machine and enters a code (RFC 8628).
    Device,
    /// The client itself is the one who is let in (RFC 6749, section 4.4).
    ClientCredentials,
}

/// A client that the authorization server knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret, if it has one. It is never stored.
    pub secret: Option<Secret>,
}

/// The `resource` parameter (RFC 8707).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// That of the server's metadata; without such, the server's URL.
    #[default]
    Discovered,
    /// This one.
    Fixed(String),
    /// None: for authorization servers that refuse the parameter.
    Omitted,
}

/// The host of the redirect URI; the port is the listener's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectHost {
    /// `127.0.0.1`.
    #[default]
    Address,
    /// `localhost`.
    Localhost,
}

impl Config {
    /// The defaults, for a server at this URL.
    pub fn new(server_url: impl Into<String>) -> Self {
        Self {
            server_url: server_url.into(),
            grant: Grant::default(),
            prefers_device: false,
            client: None,
            client_metadata_url: None,
            scopes: Vec::new(),
            resource: Resource::default(),
            server_metadata_url: None,
            parameters: Vec::new(),
            redirect_host: RedirectHost::default(),
            without_metadata: false,
            sign_in_timeout: 300 * SECOND,
            tab_interval: 300,
            profile: String::new(),
        }
    }

    /// The same, changed: `Config::new(url).with(|config| config.grant = Grant::Device)`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The name under which a host keeps this credential: 32 hexadecimal digits, the same for the same server, resource, client
    /// and profile. The authorization server stands in the record, which is dropped when it changes.
    pub fn key(&self) -> String {
        let server = Url::parse(&self.server_url).map_or_else(
            |_| self.server_url.clone(),
            |url| format!("{}{}", super::locations::origin(&url), super::locations::path(&url)),
        );
        let resource = match &self.resource {
            Resource::Discovered => "",
            Resource::Fixed(resource) => resource,
            Resource::Omitted => "none",
        };
        let client = self.client.as_ref().map_or("", |client| &client.id);
        let document = self.client_metadata_url.as_deref().unwrap_or_default();
        let grant = if self.grant == Grant::ClientCredentials { "client" } else { "person" };
        pkce::name_of(&[&server, resource, client, document, grant, &self.profile].join("\n"))
    }
}

/// Names one HTTP request of one [`crate::oauth::Oauth`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The method of a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// An HTTP request to make: without the headers of the user, without cookies, without following redirects. A host that can
/// see the address that a name leads to refuses a private one ([`crate::oauth::is_private`]), unless the MCP server has
/// such a one too.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// The name under which the host reports what becomes of it.
    pub id: RequestId,
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// The headers, one of which may hold a client's secret.
    pub headers: Vec<(String, Secret)>,
    /// The body; empty for GET.
    pub body: Secret,
    /// The most bytes of the answer that are taken; of a longer one the host reports that it failed for good.
    pub max_body: usize,
    /// How long it may take in all.
    pub timeout: Duration,
}

impl fmt::Debug for Request {
    /// Leaves out the query, which may hold a key of the user's, the headers and the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("Request").field("id", &self.id).field("method", &self.method).field("url", &url).finish()
    }
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, names in any case. Those needed are `WWW-Authenticate`, `Retry-After` and `Date`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a host tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// A token is needed; nobody is to be troubled for it. With the status, 401 or 403, and the `WWW-Authenticate` that the
    /// last token (or having none) was answered with, or none where no request was rejected yet. Begins a run.
    Acquire {
        /// Status and challenge.
        rejected: Option<(u16, String)>,
    },
    /// A person may be asked to sign in. Begins a run.
    SignIn {
        /// A person gave the command. Otherwise a token that another process has got meanwhile is enough, and a browser is
        /// opened only if none was lately.
        by_person: bool,
    },
    /// [`Output::Load`]: the stored text, or that there is none.
    Loaded(Option<Secret>),
    /// [`Output::Lock`]: the lock is held, and the text that was stored then.
    Locked(Option<Secret>),
    /// The store cannot be read, written or locked: why, for people.
    StoreFailed(String),
    /// [`Output::Listen`]: the listener has this port.
    Listening(u16),
    /// There can be no listener: why, for people.
    ListenFailed(String),
    /// A browser came to the redirect URI with this query, or a person has pasted it.
    Callback(Secret),
    /// A response, complete.
    Response(RequestId, Response),
    /// A request came to nothing.
    Failed {
        /// Which.
        request: RequestId,
        /// Why, for people. No secrets.
        detail: String,
        /// Whether trying again cannot help: the address is not allowed, or the answer was over the limit.
        for_good: bool,
    },
    /// Nothing but time passes.
    Tick,
}

/// What a host is to do, all of it: another one would be a breaking change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Read what is stored: [`Input::Loaded`].
    Load,
    /// Take the lock that all processes share for this credential, then read what is stored: [`Input::Locked`].
    Lock,
    /// Replace what is stored, in one step. The lock is held.
    Store(Secret),
    /// Let the lock go.
    Unlock,
    /// Make this request: [`Input::Response`] or [`Input::Failed`].
    Send(Request),
    /// Listen for a browser on the loopback interface: [`Input::Listening`]. Only a GET of [`crate::oauth::CALLBACK_PATH`] with a loopback
    /// host is for [`Input::Callback`].
    Listen,
    /// Answer the browser whose query was the last [`Input::Callback`].
    Answer(Page),
    /// Listen no longer.
    StopListening,
    /// Have a person open this URL, `http` or `https`, in a browser.
    Authorize(String),
    /// Have a person enter a code (RFC 8628).
    UserCode {
        /// Where.
        url: String,
        /// The code.
        code: String,
        /// For how long, in seconds.
        expires_in: u64,
    },
    /// Tell whoever listens.
    Event(Event),
    /// The run is over.
    Done(Result<Token, Failure>),
}

/// What the browser is shown. The page is the host's, and the same for everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Page {
    /// The sign-in goes on in this program: 200.
    Received,
    /// Not what was waited for: 400. The wait goes on.
    NotExpected,
    /// The sign-in has failed: 400.
    Refused,
}

/// A token to use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Token {
    /// For `Authorization: Bearer`.
    pub access: Secret,
    /// When to ask for another, in seconds since 1970; none where a rejection will tell.
    pub refresh_at: Option<u64>,
    /// When it ends, in seconds since 1970, if that is known.
    pub expires_at: Option<u64>,
    /// Whether the one before it could not be replaced, because the authorization server is away: ask again later.
    pub stale: bool,
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The authorization server no longer knows the client that had registered itself.
    ClientForgotten,
    /// The authorization server no longer takes the refresh token: why, for people.
    TokensForgotten(String),
    /// The MCP server names another authorization server: the old one and the new one. Client and tokens are dropped.
    IssuerChanged(String, String),
    /// What is stored cannot be used: why. It is treated as if nothing were stored.
    RecordUnusable(String),
    /// A request is made again: why.
    Retrying(String),
    /// A new token came from a refresh.
    Refreshed,
    /// A person has signed in.
    SignedIn,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientForgotten => {
                f.write_str("the authorization server has forgotten this client (a restart?): a new sign-in is needed")
            }
            Self::TokensForgotten(why) => {
                write!(f, "the authorization server no longer takes the refresh token ({why}): a new sign-in is needed")
            }
            Self::IssuerChanged(old, new) => write!(
                f,
                "the server names another authorization server: {}, before: {}; what was got from the old one is dropped",
                clean(new),
                clean(old)
            ),
            Self::RecordUnusable(why) => write!(f, "the stored credential is not used: {why}"),
            Self::Retrying(why) => write!(f, "an OAuth request is made again: {why}"),
            Self::Refreshed => f.write_str("the access token was refreshed"),
            Self::SignedIn => f.write_str("signed in"),
        }
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of reason.
    pub kind: FailureKind,
    /// The reason in a sentence, for people. No secrets; what a server said is cleaned.
    pub text: String,
}

impl Failure {
    /// A failure that a host found, with the reason for people.
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// Nothing is stored, and the server has not asked for anything yet.
    NoToken,
    /// The server does not speak OAuth: the rejection is a matter of the user's own headers.
    NotOauth,
    /// A person has to sign in.
    SignInNeeded,
    /// The same, and a browser was opened for it too short a time ago.
    TooSoon,
    /// The token is good and does not allow this; more scopes would not help.
    Forbidden,
    /// The person refused, or the authorization server did.
    Denied,
    /// Nobody has signed in in time.
    TimedOut,
    /// A server is away. Everything is kept; try again later.
    Unreachable,
    /// What a server says contradicts itself or the rules, so that nothing is sent to it.
    Untrusted,
    /// The authorization server cannot do what is needed, or the options are missing something.
    Unsupported,
    /// The configured client is not accepted.
    ClientRefused,
    /// New tokens are rejected again and again.
    Rejected,
    /// The store cannot be used.
    Store,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A stored credential, for people: no token, no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Description {
    /// The authorization server.
    pub issuer: String,
    /// The client's id there.
    pub client_id: String,
    /// Whether the client registered itself.
    pub registered: bool,
    /// Whether there is an access token.
    pub has_token: bool,
    /// Who signed in, as the authorization server names them, if it does.
    pub who: Option<String>,
    /// What the token allows.
    pub scopes: Vec<String>,
    /// When the token ends, in seconds since 1970.
    pub expires_at: Option<u64>,
    /// When to replace it, in seconds since 1970.
    pub refresh_at: Option<u64>,
    /// Whether it can be refreshed.
    pub refreshable: bool,
    /// The URL of the sign-in that waits for a person, and the code to enter there.
    pub pending: Option<(String, Option<String>)>,
    /// Why the last sign-in failed.
    pub failed: Option<String>,
}

impl Description {
    /// Describes a stored text; `None` where it cannot be read.
    pub fn of(text: &Secret) -> Option<Self> {
        let record = Record::parse(Some(&text.0)).ok()?;
        let tokens = record.tokens.as_ref();
        let client = record.client.as_ref();
        let sign_in = record.sign_in.as_ref();
        Some(Self {
            client_id: client.map(|client| clean(&client.id)).unwrap_or_default(),
            registered: client.is_some_and(|client| client.registered),
            has_token: tokens.is_some(),
            who: tokens.and_then(|tokens| tokens.who.clone()),
            scopes: tokens.map(|tokens| tokens.scopes.clone()).unwrap_or_default(),
            expires_at: tokens.and_then(|tokens| tokens.expires_at()),
            refresh_at: tokens.and_then(|tokens| tokens.refresh_at()),
            refreshable: tokens.is_some_and(|tokens| tokens.refresh.is_some()),
            pending: sign_in
                .filter(|sign_in| !sign_in.url.is_empty())
                .map(|sign_in| (sign_in.url.clone(), sign_in.code.clone())),
            failed: sign_in.and_then(|sign_in| sign_in.failed.clone()),
            issuer: clean(&record.issuer),
        })
    }
}
