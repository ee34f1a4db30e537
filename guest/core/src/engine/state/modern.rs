//! What is remembered of the versions without sessions (MCP 2026-07-28): the server's era, the way to it, the requests that
//! wait, and which arguments of its tools are repeated in headers.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::engine::flow::reconnect::Down;
use crate::engine::state::connection::Challenge;
use crate::engine::state::requests::RequestKey;
use crate::policy::session_loss::Refusal;
use crate::wire::modern::{Discovered, Filter, HeaderParam, Meta, ToolsPage};
use crate::{ExchangeId, Nanos, SessionInfo};

/// The lane of the versions without sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Modern {
    pub era: Era,
    pub link: Link,
    /// Requests that wait to be sent, in their order.
    pub queue: VecDeque<RequestKey>,
    /// Of the client's last request.
    pub meta: Option<Meta>,
    /// What the server said of itself last.
    pub server: Option<Discovered>,
    /// The contact with the server, for events and status. There is none before it has shown its era.
    pub info: Option<SessionInfo>,
    pub since: Nanos,
    /// How many times the server was away, or became another one.
    pub generation: u64,
    pub down: Option<Down>,
    /// Attempts since the server was last reached.
    pub attempts: u32,
    pub last_attempt: Nanos,
    /// How often in a row something answered in the server's place, with the server in reach between.
    pub turned_away: u32,
    /// The engine's own `server/discover` that is under way.
    pub discover: Option<ExchangeId>,
    /// Something broke since the server was last heard: a request that must not run twice waits for a discover.
    pub suspect: bool,
    /// The server that came back is another one, which was not told yet.
    pub changed: bool,
    pub tools: HeaderTools,
}

/// Which versions the server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Era {
    #[default]
    Unknown,
    /// One without sessions, beside which there may be others.
    Modern,
    /// Only such with sessions.
    Legacy,
}

/// Whether requests can be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    /// As far as is known.
    #[default]
    Up,
    /// A `server/discover` finds out.
    Checking,
    /// The next attempt has its time.
    Waiting,
    /// The host was asked for headers, before the first request or after the server was away.
    Headers,
    /// The server wants other credentials.
    Credentials(Challenge),
}

/// What a request of these versions has beside other requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ModernPart {
    pub version: String,
    /// The value of `Mcp-Name`.
    pub name: Option<String>,
    /// It opens a stream of notifications.
    pub listen: Option<Listen>,
    /// Its headers were built anew once, after the server said that they do not fit.
    pub rebuilt: bool,
    /// What it was refused with, while a `server/discover` finds out whether the server still speaks these versions.
    pub unverified: Option<Refusal>,
}

/// A stream of notifications (`subscriptions/listen`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Listen {
    /// What the client was told that the server tells.
    pub told: Option<Filter>,
    /// The server has acknowledged the stream that is open.
    pub acknowledged: bool,
    /// When that stream was opened.
    pub opened_at: Nanos,
    /// Streams in a row that did not last.
    pub failures: u32,
}

/// The tools with arguments that headers repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct HeaderTools {
    tools: BTreeMap<String, Vec<HeaderParam>>,
    /// What they take, in bytes.
    bytes: usize,
}

/// The most such tools that are remembered.
const MAX_TOOLS: usize = 1024;
/// The most that is remembered of them all, in bytes.
const MAX_BYTES: usize = 1 << 20;

impl HeaderTools {
    /// Takes a page of `tools/list`; the first one begins anew. False: there are more such tools than are remembered.
    pub fn learn(&mut self, page: ToolsPage, first: bool) -> bool {
        if first {
            *self = Self::default();
        }
        let mut all = true;
        for (name, params) in page.with_params {
            let size = name.len() + params.iter().map(HeaderParam::size).sum::<usize>();
            if self.bytes + size > MAX_BYTES || self.tools.len() >= MAX_TOOLS && !self.tools.contains_key(&name) {
                all = false;
                continue;
            }
            self.bytes += size;
            self.tools.insert(name, params);
        }
        all
    }

    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    pub fn of(&self, tool: &str) -> &[HeaderParam] {
        self.tools.get(tool).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::wire::modern::tools_page;

    /// A page with tools of these names, each with one such argument.
    fn page(names: &[String]) -> ToolsPage {
        let tools = names.iter().map(|name| {
            alloc::format!(
                r#"{{"name":"{name}","inputSchema":{{"properties":{{"p":{{"type":"string","x-mcp-header":"P"}}}}}}}}"#
            )
        });
        tools_page(&alloc::format!(r#"{{"tools":[{}]}}"#, tools.collect::<Vec<_>>().join(",")))
    }

    #[test]
    fn tools_with_headers_are_bounded_in_number_and_bytes() {
        let names: Vec<String> = (0..MAX_TOOLS).map(|number| number.to_string()).collect();
        let mut tools = HeaderTools::default();
        assert!(tools.learn(page(&names), true) && tools.tools.len() == MAX_TOOLS);
        assert!(!tools.learn(page(&["one more".to_string()]), false), "and that is told");
        assert!(tools.learn(page(&["0".to_string()]), false), "one that is known is renewed");
        assert!(tools.learn(page(&["one more".to_string()]), true) && tools.tools.len() == 1);
        // The names of a tool, its property and its header count; these fill it to the last byte.
        let long = |name: &str, bytes: usize| alloc::format!("{name}{}", "x".repeat(bytes - name.len() - 2));
        let mut tools = HeaderTools::default();
        assert!(tools.learn(page(&[long("a", MAX_BYTES / 2), long("b", MAX_BYTES / 2)]), true));
        assert_eq!(tools.bytes, MAX_BYTES);
        assert!(!tools.learn(page(&["c".to_string()]), false));
        assert!(!tools.learn(page(&[long("a", MAX_BYTES + 1)]), true) && tools.is_empty());
    }
}
