//! Which server, over which transport, with which headers: what everything that connects is told.

use std::env::VarError;

use clap::{Args, ValueEnum};
use mcp_reconnect::{Options, TransportChoice};

use super::{header, suggestion};

const HEADING: &str = "Connection";

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
    /// 'Name: value' for every request; ${VAR} is expanded
    ///
    /// Sent to the URL's origin and to no other. Repeatable. ${VAR} and ${VAR:-default} in the value come from the environment, so
    /// that no secret need be in the process list.
    #[arg(short = 'H', long = "header", value_name = "HEADER", help_heading = HEADING)]
    headers: Vec<String>,
    /// 'Name=VAR': a header with the value of this variable
    ///
    /// Like --header, but the value is taken from the environment as it is. For clients that expand ${VAR} in the arguments
    /// themselves, and so would put the value into the process list. Repeatable.
    #[arg(long = "header-env", value_name = "NAME=VAR", help_heading = HEADING)]
    header_env: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TransportArg {
    Auto,
    Http,
    Sse,
}

impl ConnectionArgs {
    /// The transport's options as far as they say how to connect. An error says what is wrong and how to mend it, and holds
    /// no secret.
    pub fn options(&self, lookup: &dyn Fn(&str) -> Result<String, VarError>) -> Result<Options, String> {
        Ok(Options::new(self.url(lookup)?).headers(self.headers(lookup)?).transport(match self.transport {
            TransportArg::Auto => TransportChoice::Auto,
            TransportArg::Http => TransportChoice::StreamableHttp,
            TransportArg::Sse => TransportChoice::HttpSse,
        }))
    }

    /// The server's URL.
    pub fn url(&self, lookup: &dyn Fn(&str) -> Result<String, VarError>) -> Result<String, String> {
        match (&self.urls[..], &self.url_env) {
            ([word, ..], _) if !word.contains("://") && suggestion::subcommand(word).is_some() => {
                Err(suggestion::subcommand(word).unwrap_or_default())
            }
            ([url], None) => Ok(url.clone()),
            ([], Some(name)) => {
                lookup(name).map_err(|_| format!("--url-env needs the environment variable {name}, which is not set"))
            }
            ([], None) => Err("the server's URL is missing; write mcp-reconnect https://HOST/PATH".into()),
            ([_], Some(_)) => Err("there are two URLs, one of them from --url-env; give one".into()),
            ([_, second, ..], _) => {
                Err(format!("'{second}' is one URL too many; give each server a bridge of its own"))
            }
        }
    }

    /// The headers for the server, with their values.
    pub fn headers(&self, lookup: &dyn Fn(&str) -> Result<String, VarError>) -> Result<Vec<(String, String)>, String> {
        let given = self.headers.iter().map(|text| header::parse(text, lookup));
        given.chain(self.header_env.iter().map(|text| header::from_environment(text, lookup))).collect()
    }
}
