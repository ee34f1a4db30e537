//! Which server, over which transport, by which way and as whom: what everything that connects is told.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mcp_reconnect::oauth::Session;
use mcp_reconnect::{HttpOptions, Options, TransportChoice};
use mcp_reconnect_command::{hint, variable};

use super::credentials::CredentialArgs;
use super::file::OFF;
use super::net::NetArgs;
use super::oauth::OauthArgs;
use crate::cli::environment;
use crate::cli::expand::VarError;
use crate::cli::header_sources::HeaderSources;
use crate::cli::suggestion;

/// Under what the help shows these options.
pub(super) const HEADING: &str = "Connection";

/// How to reach the server.
#[derive(Args, Debug)]
pub struct ConnectionArgs {
    /// The server's MCP endpoint or SSE URL, http or https
    // Several are taken so that one too many can be named.
    #[arg(value_name = "URL", hide_short_help = true)]
    urls: Vec<String>,
    /// Take the URL from this environment variable
    ///
    /// For a URL that holds a secret: the process list shows the variable's name only.
    #[arg(long, value_name = "VAR", help_heading = HEADING)]
    url_env: Option<String>,
    /// http (Streamable HTTP), sse (HTTP+SSE) or auto
    #[arg(long, value_enum, default_value_t = TransportArg::Auto, value_name = "NAME", hide_possible_values = true)]
    #[arg(help_heading = HEADING)]
    transport: TransportArg,
    /// A file of options in TOML, or off [default: config.toml in the user's folder]
    ///
    /// Its keys are the long options; a table below servers, by URL or name, is for one server. The command line and the
    /// environment go before it. The default is ~/.config/mcp-reconnect/config.toml (or below $XDG_CONFIG_HOME; on macOS in
    /// ~/Library/Application Support, on Windows in %APPDATA%).
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    config: Option<PathBuf>,
    /// Who the client is.
    #[command(flatten)]
    credentials: CredentialArgs,
    /// How tokens are got.
    #[command(flatten)]
    oauth: OauthArgs,
    /// The way there.
    #[command(flatten)]
    net: NetArgs,
    /// The process's environment, but for tests.
    #[arg(skip)]
    environment: Environment,
}

/// Looks variables up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Environment(pub fn(&str) -> Result<String, VarError>);

impl Default for Environment {
    fn default() -> Self {
        Self(environment::lookup)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TransportArg {
    Auto,
    Http,
    Sse,
}

impl ConnectionArgs {
    /// The server's URL. This error and the others say what is wrong and how to mend it, and hold no secret.
    pub fn url(&self) -> Result<String, String> {
        match (&self.urls[..], &self.url_env) {
            ([word, ..], _) if !word.contains("://") && suggestion::subcommand(word).is_some() => {
                Err(suggestion::subcommand(word).unwrap_or_default())
            }
            ([url], None) => match hint::missing_scheme(url) {
                Some(problem) => Err(problem),
                None => Ok(url.clone()),
            },
            ([], Some(name)) => (self.environment.0)(name)
                .map_err(|_| format!("--url-env needs the environment variable {name}, which is not set")),
            ([], None) => match (self.environment.0)(variable::URL) {
                Ok(url) if !url.is_empty() => Ok(url),
                _ => Err("the server's URL is missing; write mcp-reconnect https://HOST/PATH".into()),
            },
            ([_], Some(_)) => Err("there are two URLs, one of them from --url-env; give one".into()),
            // A word that is no URL is perhaps a token.
            ([_, second, ..], _) => Err(match shown_url(second) {
                shown if shown.is_empty() => {
                    "there are more words than one URL; is a --header without quotes? write --header 'Name: value'"
                        .into()
                }
                shown => format!("'{shown}' is one URL too many; give each server a bridge of its own"),
            }),
        }
    }

    /// The transport's options as far as they say how to connect, but for the headers.
    pub fn options(&self, url: &str) -> Result<Options, String> {
        Ok(Options::new(url).http(self.http()?).transport(match self.transport {
            TransportArg::Auto => TransportChoice::Auto,
            TransportArg::Http => TransportChoice::StreamableHttp,
            TransportArg::Sse => TransportChoice::HttpSse,
        }))
    }

    /// The way to the server.
    pub fn http(&self) -> Result<HttpOptions, String> {
        self.net.options(self.environment.0)
    }

    /// Where the headers come from.
    pub fn sources(&self, url: &str) -> Result<HeaderSources, String> {
        self.credentials.sources(shown_url(url), self.environment.0)
    }

    /// What gets tokens for this server; `None`: nothing does.
    pub fn oauth(&self, url: &str) -> Result<Option<Session>, String> {
        self.oauth.session(url, self.http()?, self.environment.0)
    }

    /// The options about OAuth, to change them.
    pub fn oauth_args(&mut self) -> &mut OauthArgs {
        &mut self.oauth
    }

    /// The arguments of a `login` that signs in to the same server in the same way, without those about the network that a
    /// person need not repeat where `brief`. No secret is among them: a URL's query is left out for a person, and where the
    /// URL comes from the environment it is left there.
    pub fn login_arguments(&self, brief: bool) -> Vec<OsString> {
        let mut all = self.oauth.to_arguments();
        if let Some(config) = &self.config {
            let config = if config.as_os_str() == OFF {
                config.clone()
            } else {
                std::path::absolute(config).unwrap_or(config.clone())
            };
            all.extend(["--config".into(), config.into()]);
        }
        if !brief {
            all.extend(self.net.to_arguments());
        }
        match (&self.url_env, self.urls.first()) {
            (Some(name), _) => all.push(format!("--url-env={name}").into()),
            (None, Some(url)) if brief => all.push(shown_url(url).into()),
            (None, Some(url)) => all.push(url.into()),
            (None, None) => {}
        }
        all
    }

    /// Sees the environment as a test has it.
    #[cfg(test)]
    pub(super) fn with_environment(mut self, lookup: fn(&str) -> Result<String, VarError>) -> Self {
        self.environment = Environment(lookup);
        self
    }
}

/// The server's URL without what may be secret in it: the query. Empty where it is not one.
pub fn shown_url(url: &str) -> String {
    let Ok(url) = mcp_reconnect_core::url::Url::parse(url) else { return String::new() };
    let path = url.path_and_query().split('?').next().unwrap_or_default();
    format!("{}://{}{path}", if url.https() { "https" } else { "http" }, url.authority())
}
