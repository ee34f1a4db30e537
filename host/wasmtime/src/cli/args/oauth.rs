//! Options about OAuth: whether, as which client, for what.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mcp_reconnect::HttpOptions;
use mcp_reconnect::oauth::{Client, Config, FileStore, Grant, RedirectHost, Resource, Secret, Session};

use crate::cli::duration;
use crate::cli::expand::VarError;

const HEADING: &str = "OAuth";

/// No file with a secret is larger, in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// How a token is got.
#[derive(Args, Clone, Debug)]
pub struct OauthArgs {
    /// Nobody sees a browser of this machine.
    #[arg(skip)]
    prefers_device: bool,
    /// OAuth where the server wants it: auto, on or off
    ///
    /// auto: where the server or its authorization server has metadata, and no --header sets Authorization. on: also where
    /// there is no metadata at all. off: never.
    // Among the others of its kind, so that the short help needs no heading for it alone.
    #[arg(long, value_enum, default_value_t = OauthMode::Auto, value_name = "MODE", hide_possible_values = true)]
    #[arg(help_heading = super::connection::HEADING)]
    oauth: OauthMode,
    /// The client's id, where the authorization server registers none by itself
    #[arg(long, value_name = "ID", help_heading = HEADING, hide_short_help = true)]
    oauth_client_id: Option<String>,
    /// Take the client's secret from this environment variable
    #[arg(long, value_name = "VAR", help_heading = HEADING, hide_short_help = true)]
    #[arg(requires = "oauth_client_id", conflicts_with = "oauth_client_secret_file")]
    oauth_client_secret_env: Option<String>,
    /// Take it from this file
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true, requires = "oauth_client_id")]
    oauth_client_secret_file: Option<PathBuf>,
    /// A client ID metadata document, where the authorization server takes such
    #[arg(long, value_name = "URL", help_heading = HEADING, hide_short_help = true)]
    oauth_client_metadata_url: Option<String>,
    /// Who is let in: a person (code, device) or the client itself (client-credentials)
    #[arg(long, value_enum, default_value_t = GrantArg::Code, value_name = "GRANT", hide_possible_values = true)]
    #[arg(help_heading = HEADING, hide_short_help = true)]
    oauth_grant: GrantArg,
    /// Ask for this scope instead of what the server says; repeatable
    #[arg(long, value_name = "SCOPE", help_heading = HEADING, hide_short_help = true)]
    oauth_scope: Vec<String>,
    /// The resource to name (RFC 8707), or off
    #[arg(long, value_name = "URL", help_heading = HEADING, hide_short_help = true)]
    oauth_resource: Option<String>,
    /// The authorization server's metadata, instead of discovery
    #[arg(long, value_name = "URL", help_heading = HEADING, hide_short_help = true)]
    oauth_metadata_url: Option<String>,
    /// NAME=VALUE for the authorization request; repeatable
    #[arg(long, value_name = "NAME=VALUE", help_heading = HEADING, hide_short_help = true)]
    oauth_param: Vec<String>,
    /// The port that the browser comes back to [default: a free one]
    #[arg(long, value_name = "PORT", help_heading = HEADING, hide_short_help = true)]
    oauth_port: Option<u16>,
    /// The host that it comes back to: 127.0.0.1 or localhost
    #[arg(long, value_enum, default_value_t = HostArg::Address, value_name = "HOST", hide_possible_values = true)]
    #[arg(help_heading = HEADING, hide_short_help = true)]
    oauth_redirect_host: HostArg,
    /// How long a person has for a sign-in [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = HEADING, hide_short_help = true)]
    oauth_timeout: Option<Duration>,
    /// The least time between two browsers that nobody asked for [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = HEADING, hide_short_help = true)]
    oauth_tab_interval: Option<Duration>,
    /// Keeps several credentials for one server apart
    #[arg(long, value_name = "NAME", help_heading = HEADING, hide_short_help = true)]
    oauth_profile: Option<String>,
    /// Where credentials are kept
    #[arg(long, value_name = "FOLDER", help_heading = HEADING, hide_short_help = true)]
    oauth_store: Option<PathBuf>,
}

/// Whether OAuth is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OauthMode {
    Auto,
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GrantArg {
    Code,
    Device,
    ClientCredentials,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HostArg {
    #[value(name = "127.0.0.1")]
    Address,
    Localhost,
}

impl OauthArgs {
    /// What gets tokens for this server; `None`: nothing does. An error says what is wrong and how to mend it, and holds no
    /// secret.
    pub fn session(
        &self,
        url: &str,
        http: HttpOptions,
        lookup: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<Option<Session>, String> {
        if self.oauth == OauthMode::Off {
            return Ok(None);
        }
        let store = match (&self.oauth_store, FileStore::of_user()) {
            (Some(folder), _) => FileStore::new(folder),
            (None, Some(store)) => store,
            // Nobody asked for it, and without a home there is no other place.
            (None, None) if self.oauth == OauthMode::Auto => return Ok(None),
            (None, None) => {
                return Err("there is no place for credentials: set HOME, or give --oauth-store FOLDER".into());
            }
        };
        let config = self.config(url, lookup)?;
        // What is wrong with the URL is said by whoever connects.
        match Session::new(config, http, store) {
            Ok(session) => Ok(Some(session.port(self.oauth_port.unwrap_or_default()))),
            Err(_) if mcp_reconnect_core::url::Url::parse(url).is_err() => Ok(None),
            Err(problem) => Err(format!("OAuth cannot be used so: {problem}")),
        }
    }

    fn config(&self, url: &str, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<Config, String> {
        let mut config = Config::new(url);
        config.prefers_device = self.prefers_device;
        config.grant = match self.oauth_grant {
            GrantArg::Code => Grant::AuthorizationCode,
            GrantArg::Device => Grant::Device,
            GrantArg::ClientCredentials => Grant::ClientCredentials,
        };
        config.client = self.client(lookup)?;
        config.client_metadata_url.clone_from(&self.oauth_client_metadata_url);
        config.scopes = self.oauth_scope.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
        config.resource = match self.oauth_resource.as_deref() {
            None => Resource::Discovered,
            Some("off") => Resource::Omitted,
            Some(resource) => Resource::Fixed(resource.to_owned()),
        };
        config.server_metadata_url.clone_from(&self.oauth_metadata_url);
        for parameter in &self.oauth_param {
            let (name, value) = parameter.split_once('=').ok_or("--oauth-param must be NAME=VALUE")?;
            config.parameters.push((name.to_owned(), value.to_owned()));
        }
        if self.oauth_redirect_host == HostArg::Localhost {
            config.redirect_host = RedirectHost::Localhost;
        }
        config.without_metadata = self.oauth == OauthMode::On;
        if let Some(timeout) = self.oauth_timeout {
            config.sign_in_timeout = timeout;
        }
        if let Some(interval) = self.oauth_tab_interval {
            config.tab_interval = interval.as_secs();
        }
        config.profile = self.oauth_profile.clone().unwrap_or_default();
        Ok(config)
    }

    fn client(&self, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<Option<Client>, String> {
        let Some(id) = self.oauth_client_id.clone() else { return Ok(None) };
        let secret = if let Some(name) = &self.oauth_client_secret_env {
            let missing =
                |_| format!("--oauth-client-secret-env needs the environment variable {name}, which is not set");
            Some(lookup(name).map_err(missing)?)
        } else if let Some(path) = &self.oauth_client_secret_file {
            use std::io::Read;
            let mut text = String::new();
            let read = std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text));
            read.map_err(|error| format!("--oauth-client-secret-file {} cannot be read: {error}", path.display()))?;
            Some(text.trim().to_owned())
        } else {
            None
        };
        if secret.as_ref().is_some_and(String::is_empty) {
            return Err("the client's secret is empty".into());
        }
        Ok(Some(Client { id, secret: secret.map(Secret) }))
    }

    /// Nobody sees a browser: a code for another device is asked for, where there are such.
    pub fn prefer_device(&mut self) {
        self.prefers_device = true;
    }

    /// A code is entered on another device.
    pub fn use_device(&mut self) {
        self.oauth_grant = GrantArg::Device;
    }

    /// `login` is for those who have switched it off for the bridge too.
    pub fn enable(&mut self) {
        if self.oauth == OauthMode::Off {
            self.oauth = OauthMode::Auto;
        }
    }

    /// The same options for another process. No secret is among them.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut give = |name: &str, value: OsString| {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            all.push(word);
        };
        let named = |value: &dyn std::fmt::Debug| OsString::from(format!("{value:?}").to_lowercase());
        if self.oauth != OauthMode::Auto {
            give("oauth", named(&self.oauth));
        }
        match self.oauth_grant {
            GrantArg::Code => {}
            GrantArg::Device => give("oauth-grant", "device".into()),
            GrantArg::ClientCredentials => give("oauth-grant", "client-credentials".into()),
        }
        if self.oauth_redirect_host == HostArg::Localhost {
            give("oauth-redirect-host", "localhost".into());
        }
        for (name, value) in [
            ("oauth-client-id", &self.oauth_client_id),
            ("oauth-client-secret-env", &self.oauth_client_secret_env),
            ("oauth-client-metadata-url", &self.oauth_client_metadata_url),
            ("oauth-resource", &self.oauth_resource),
            ("oauth-metadata-url", &self.oauth_metadata_url),
            ("oauth-profile", &self.oauth_profile),
        ] {
            if let Some(value) = value {
                give(name, value.into());
            }
        }
        for (name, path) in
            [("oauth-client-secret-file", &self.oauth_client_secret_file), ("oauth-store", &self.oauth_store)]
        {
            if let Some(path) = path {
                give(name, std::path::absolute(path).unwrap_or_else(|_| path.clone()).into());
            }
        }
        for (name, values) in [("oauth-scope", &self.oauth_scope), ("oauth-param", &self.oauth_param)] {
            for value in values {
                give(name, value.into());
            }
        }
        if let Some(port) = self.oauth_port {
            give("oauth-port", port.to_string().into());
        }
        for (name, time) in [("oauth-timeout", self.oauth_timeout), ("oauth-tab-interval", self.oauth_tab_interval)] {
            if let Some(time) = time {
                give(name, format!("{}ms", time.as_millis()).into());
            }
        }
        all
    }
}
