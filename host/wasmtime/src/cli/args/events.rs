//! Options about who hears what happens to the connection.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::duration;
use crate::cli::hook_event::HookName;
use crate::cli::hooks::HookOptions;

/// How long a hook may run.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The hook, and the client's log.
#[derive(Args, Debug)]
pub struct EventArgs {
    /// A command to run for each event, JSON on its stdin
    #[arg(long, value_name = "COMMAND", value_parser = NonEmptyStringValueParser::new())]
    on_event: Option<String>,
    /// Only for such an event, as McpServerDisconnected
    #[arg(
        long = "event",
        value_name = "NAME",
        value_enum,
        ignore_case = true,
        hide_possible_values = true,
        requires = "on_event"
    )]
    events: Vec<HookName>,
    /// Also for each further attempt of an outage, at most once a second
    #[arg(long, requires = "on_event", hide_short_help = true)]
    all_attempts: bool,
    /// Your name for the server, for the command, status and a file of options
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true)]
    name: Option<String>,
    /// How long the command may run [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "on_event", hide_short_help = true)]
    event_timeout: Option<Duration>,
    /// Tell the client too, with notifications/message
    #[arg(long)]
    pub notify_client: bool,
}

impl EventArgs {
    /// The user's name for the server, or empty.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

    /// The hook, if there is one.
    pub fn hook(&self) -> Option<HookOptions> {
        let command = self.on_event.clone()?;
        Some(HookOptions {
            command,
            names: self.events.clone(),
            all_attempts: self.all_attempts,
            timeout: self.event_timeout.unwrap_or(TIMEOUT),
            name: self.name(),
        })
    }
}
