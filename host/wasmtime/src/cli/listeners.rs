//! Who hears what happens to the connection: the person at stderr, the hook, `mcp-reconnect status`, and whoever has fresh credentials.

use mcp_reconnect::oauth::Secret;
use mcp_reconnect::{Event, Sender};
use tokio::time::Instant;

use super::credentials::Credentials;
use super::environment;
use super::event_log::EventLog;
use super::header_sources::HeaderSources;
use super::hook_event::Origin;
use super::hooks::{HookOptions, Hooks};
use super::oauth::Tokens;
use super::running::{Activity, Running};

/// All of them.
pub struct Listeners {
    event_log: EventLog,
    hooks: Option<Hooks>,
    credentials: Option<Credentials>,
    running: Running,
}

impl Listeners {
    /// Begins to listen. With `tokens` comes the one that is in use already. `server_url` is told to the hook, so it holds no
    /// secret. Call inside the runtime.
    pub fn start(
        hook: Option<HookOptions>,
        server_url: String,
        sources: HeaderSources,
        tokens: Option<(Tokens, Option<Secret>)>,
        running: Running,
        sender: &Sender,
    ) -> Self {
        Self {
            event_log: EventLog::new(match tokens {
                Some(_) => format!("{} or the sign-in", sources.names()),
                None => sources.names(),
            }),
            hooks: hook.map(|hook| {
                let origin = Origin::new(server_url, hook.name.clone(), environment::lookup);
                Hooks::start(hook, origin)
            }),
            credentials: (tokens.is_some() || sources.patience().is_some())
                .then(|| Credentials::start(sources, tokens, sender.clone())),
            running,
        }
    }

    /// Tells all of them of an event. Never waits.
    pub fn tell(&mut self, event: &Event) {
        self.event_log.tell(event);
        self.running.tell(event);
        if let Some(credentials) = &mut self.credentials {
            credentials.tell(event);
        }
        if let Some(hooks) = &mut self.hooks {
            hooks.tell(event);
        }
    }

    /// What is to be told of messages.
    pub fn activity(&self) -> Activity {
        self.running.activity()
    }

    /// Lets the hook hear what it has not heard yet, until the deadline.
    pub async fn finish(self, deadline: Instant) {
        let hooks = async {
            if let Some(hooks) = self.hooks {
                hooks.finish(deadline).await;
            }
        };
        tokio::join!(hooks, self.running.finish(deadline));
    }
}
