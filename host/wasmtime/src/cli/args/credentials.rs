//! Options about the headers that say who the client is.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use mcp_reconnect::Options;

use crate::cli::expand::VarError;
use crate::cli::header_sources::HeaderSources;
use crate::cli::{duration, header};

use super::connection::HEADING;

/// How long a file may take to be read, and a command to end.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a rejected request waits for a sign-in: clients that probe a server give up after 10 s.
const SIGN_IN_WAIT: Duration = Duration::from_secs(8);
/// What the bridge itself may need beside that.
const MARGIN: Duration = Duration::from_secs(1);

/// The headers.
#[derive(Args, Debug)]
pub struct CredentialArgs {
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
    /// A file of such lines, read anew for each session
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    header_file: Option<PathBuf>,
    /// A command that prints them, run for each session
    #[arg(long, value_name = "COMMAND", help_heading = HEADING, value_parser = NonEmptyStringValueParser::new())]
    header_command: Option<String>,
    /// How long either may take [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = HEADING, hide_short_help = true, value_parser = duration::parse)]
    header_timeout: Option<Duration>,
}

impl CredentialArgs {
    /// Where the headers come from. `server_url` is told to the command. An error says what is wrong and how to mend it, and
    /// holds no secret.
    pub fn sources(
        &self,
        server_url: String,
        lookup: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<HeaderSources, String> {
        let given = self.headers.iter().map(|text| header::parse(text, &lookup));
        let given = given.chain(self.header_env.iter().map(|text| header::from_environment(text, &lookup)));
        let fixed = given.collect::<Result<_, _>>()?;
        let timeout = self.header_timeout.unwrap_or(TIMEOUT);
        Ok(HeaderSources::new(fixed, self.header_file.clone(), self.header_command.clone(), server_url, timeout))
    }

    /// Has the transport ask for headers where there are sources that can give fresh ones.
    ///
    /// With `oauth` there are tokens too, and a rejected request may wait for a sign-in; `wait` is the user's wish for how long.
    pub fn apply(options: Options, sources: &HeaderSources, oauth: bool, wait: Option<Duration>) -> Options {
        let sources_take = sources.patience().map(|patience| patience + MARGIN);
        let patience = match (sources_take, oauth) {
            (Some(patience), true) => Some(patience + SIGN_IN_WAIT),
            (None, true) => Some(SIGN_IN_WAIT),
            (patience, false) => patience,
        };
        let options = options.headers(sources.headers());
        match patience {
            Some(patience) => {
                let options = options.credentials_timeout(Some(wait.unwrap_or(patience)));
                // A token that has ended meanwhile is replaced when it is rejected.
                if sources_take.is_some() { options.connect_headers_timeout(Some(patience)) } else { options }
            }
            None => options,
        }
    }
}
