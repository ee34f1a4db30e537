//! What the client has set up at the server: its subscriptions and its log level, in every session that follows.

use std::collections::{BTreeMap, BTreeSet};

use mcp_reconnect_core::Instant;
use serde_json::Value;

use crate::support::client::Answer;
use crate::support::world::World;

/// What the client wants of one thing, told by its requests and their answers.
#[derive(Clone, Debug, Default)]
struct Wish {
    /// The last request that succeeded said so.
    wanted: Option<String>,
    /// The server may have another wish: a request failed, was cancelled, or ran beside another one.
    unsure: bool,
    /// The last of its requests has no answer before this.
    busy_until: Instant,
}

impl World {
    /// Once the world has been kind for a while, the server has exactly what the client asked for.
    pub fn check_converged(&mut self) {
        // Without sessions a server has nothing to restore them in; and a client that is not answered has no session.
        if self.server.knobs.stateless
            || !self.is_initialized()
            || self.watch.restore_refused && self.watch.restore_given_up
        {
            return;
        }
        let sid = self.server.current.clone();
        let Some(session) = self.server.sessions.get(&sid).filter(|session| session.alive) else {
            return self.violate("the world is kind, and the engine has no session that lives");
        };
        let (subscriptions, level) = (session.subscriptions.clone(), session.level.clone());
        let mut wishes = self.wishes();
        let level_wish = wishes.remove("").unwrap_or_default();
        if !level_wish.unsure && level != level_wish.wanted && level_wish.wanted.is_some() {
            self.violate(format!("the log level of {sid} is {level:?}, the client set {:?}", level_wish.wanted));
        }
        let uris: BTreeSet<_> = subscriptions.iter().chain(wishes.keys()).cloned().collect();
        for uri in uris {
            let wish = wishes.get(&uri).cloned().unwrap_or_default();
            let (has, wants) = (subscriptions.contains(&uri), wish.wanted.is_some());
            if has != wants && !wish.unsure {
                let what = if wants { "is not subscribed to" } else { "is still subscribed to" };
                self.violate(format!("{uri} {what} in {sid}, against what the client was told"));
            }
        }
    }

    /// What the client wants of each URI, and under the empty name of the log level.
    fn wishes(&self) -> BTreeMap<String, Wish> {
        let mut wishes: BTreeMap<String, Wish> = BTreeMap::new();
        // A new `initialize` begins anew; what was asked before it and done after it is anybody's guess.
        let newest = self.client.asked.iter().rev().find(|(_, asked)| asked.method == "initialize");
        let (newest, begun) = newest.map_or((0, Instant::ZERO), |(tag, asked)| (*tag, asked.at));
        for (tag, asked) in &self.client.asked {
            let Some((about, value)) = about(&asked.method, &asked.params) else { continue };
            let answered = asked.answers.first();
            let ended = answered.map_or(Instant::MAX, |(at, _)| *at);
            if ended < begun {
                continue;
            }
            let wish = wishes.entry(about).or_default();
            let sure = matches!(answered, Some((_, Answer::Result(_)))) && *tag > newest;
            wish.unsure = !sure || wish.busy_until >= asked.at;
            wish.busy_until = wish.busy_until.max(ended);
            if sure {
                wish.wanted = value;
            }
        }
        wishes
    }
}

/// What a request is about, and what it wants of it.
fn about(method: &str, params: &str) -> Option<(String, Option<String>)> {
    if !matches!(method, "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe") {
        return None;
    }
    let params: Value = serde_json::from_str(params).ok()?;
    let uri = || params["uri"].as_str().map(str::to_string);
    match method {
        "logging/setLevel" => Some((String::new(), params["level"].as_str().map(str::to_string))),
        "resources/subscribe" => uri().map(|uri| (uri.clone(), Some(uri))),
        "resources/unsubscribe" => uri().map(|uri| (uri, None)),
        _ => None,
    }
}
