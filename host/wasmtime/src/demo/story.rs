//! What happens in the demo, and what is written down of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rmcp::model::JsonObject;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Transport;
use super::children::{self, Server};
use super::client::{Call, Client, report};
use super::timeline::{Colour, Timeline, Who, short};
use super::wiretap::Tally;

/// The pace of the calls.
const PACE: Duration = Duration::from_millis(250);
/// Calls before the slow ones, beside them, and after the outage.
const BEFORE: usize = 5;
const BESIDE: usize = 2;
const AFTER: usize = 5;
/// Calls while the server is down, one each [`PACE`]: an outage of 1.5 s.
const DURING: usize = 6;
/// The slow call that may be sent again takes this long, the one that may not never ends before the kill.
const REPORT: Duration = Duration::from_secs(2);
const DEPLOY: Duration = Duration::from_secs(60);
/// How long the client waits to be told that the list of tools may have changed.
const NEWS: Duration = Duration::from_secs(2);

/// What happened.
pub struct Told {
    /// The calls of the steady pace that were made before the kill.
    pub before: Vec<Call>,
    /// The calls that were in flight at the kill: one that is not safe to repeat, and one that is.
    pub deploy: Call,
    /// See [`Told::deploy`].
    pub report: Call,
    /// The calls that were made while the server was down.
    pub during: Vec<Call>,
    /// The calls that were made after it came back.
    pub after: Vec<Call>,
    /// When the server was killed.
    pub killed: Duration,
    /// When its successor listened.
    pub back: Duration,
    /// When it was over.
    pub end: Duration,
    /// What the first and the second server process reported.
    pub journals: [Vec<String>; 2],
    /// What went over the pipes between the client and the bridge.
    pub tally: Tally,
    /// Whether the client was told that the list of tools may have changed.
    pub list_changed: bool,
    /// Whether the bridge lived to the end and ended well when its stdin was closed.
    pub bridge_ended_well: bool,
}

/// Plays it. Dropping the future ends all child processes.
pub async fn tell(transport: Transport, timeline: &Arc<Timeline>) -> anyhow::Result<Told> {
    heading(transport, timeline);
    let port = children::free_port()?;
    let mut server = Server::start(transport, port).await?;
    let url = transport.url(port);
    timeline.line(Who::Server, Colour::Good, &format!("up at {url}, process {}", server.pid()));

    let mut bridge = children::bridge(&url)?;
    let stderr = bridge.stderr.take().context("the bridge has no stderr")?;
    tokio::spawn(show(stderr, timeline.clone()));
    let mut client = Client::connect(&mut bridge, timeline.clone()).await?;

    let mut before = steady(&mut client, BEFORE).await;

    let mut slow = JoinSet::new();
    let deploy = json!({ "ms": DEPLOY.as_millis(), "version": "2.0" });
    let deploying = slow_call(&mut slow, &mut client, "deploy", deploy);
    let reporting = slow_call(&mut slow, &mut client, "sleep", json!({ "ms": REPORT.as_millis() }));
    server.reports(&deploying).await?;
    server.reports(&reporting).await?;
    before.extend(steady(&mut client, BESIDE).await);

    let killed = timeline.now();
    timeline.line(Who::Server, Colour::Bad, &format!("kill -9 {}: two calls are in flight", server.pid()));
    let first_journal = server.kill().await?;

    let mut held = JoinSet::new();
    for _ in 0..DURING {
        // At the pace, and so not in the very instant of the kill: a call that is written to a dying connection is of
        // unknown outcome, which is told by the slow ones already.
        tokio::time::sleep(PACE).await;
        held.spawn(append(&mut client));
    }

    let server = Server::start(transport, port).await?;
    let back = timeline.now();
    let outage = short(back - killed);
    timeline.line(Who::Server, Colour::Good, &format!("back after {outage}, process {}", server.pid()));

    let mut during = held.join_all().await;
    during.sort_by_key(|call| call.number);
    let after = steady(&mut client, AFTER).await;
    let mut slow = slow.join_all().await;
    slow.sort_by_key(|call| call.number);
    let [deploy, report] = <[Call; 2]>::try_from(slow).map_err(|_| anyhow::anyhow!("a slow call was lost"))?;
    let list_changed = client.list_changed(NEWS).await;
    let end = timeline.now();
    let tap = client.tap().clone();
    client.close().await;
    let bridge_ended_well = children::ended_well(&mut bridge).await;
    let journals = [first_journal, server.kill().await?];
    Ok(Told {
        before,
        deploy,
        report,
        during,
        after,
        killed,
        back,
        end,
        journals,
        tally: tap.tally(),
        list_changed,
        bridge_ended_well,
    })
}

fn heading(transport: Transport, timeline: &Timeline) {
    let style = timeline.style();
    let picture = format!("MCP client ── stdio ── mcp-reconnect ── {} ── MCP server", transport.title());
    timeline.print(&format!(
        "\n  {}\n  {}\n\n",
        style.paint(Colour::Strong, "What an MCP client notices when its server is killed and comes back"),
        style.paint(Colour::Faint, &picture)
    ));
}

/// Calls at the pace, each answered before the next.
async fn steady(client: &mut Client, count: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut pace = tokio::time::interval_at(Instant::now() + PACE, PACE);
    for _ in 0..count {
        pace.tick().await;
        calls.push(append(client).await);
    }
    calls
}

/// The call of the steady pace: one that must never run twice.
fn append(client: &mut Client) -> impl Future<Output = Call> + Send + use<> {
    let line = format!("line {}", client.next_number());
    client.call("append", arguments(json!({ "line": line })))
}

/// Begins a slow call; returns how the server reports it.
fn slow_call(calls: &mut JoinSet<Call>, client: &mut Client, tool: &'static str, values: Value) -> String {
    let line = report(tool, &values.to_string());
    calls.spawn(client.call(tool, arguments(values)));
    line
}

fn arguments(values: Value) -> JsonObject {
    match values {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

/// Shows what the bridge says on stderr.
async fn show(stderr: impl AsyncRead + Unpin, timeline: Arc<Timeline>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        timeline.line(Who::Bridge, Colour::Bridge, line.trim_start_matches("mcp-reconnect: "));
    }
}
