//! The tests of MCP 2026-07-28 on the component: all but those of clients that start it, and of what a component has no part in:
//! signals, hooks, and commands for headers.

#[path = "../modern/common.rs"]
mod common;
#[path = "../modern/eras.rs"]
mod eras;
#[path = "../modern/hostile.rs"]
mod hostile;
#[path = "../modern/requests.rs"]
mod requests;
#[path = "../modern/scripted.rs"]
mod scripted;
#[expect(dead_code, reason = "the tests that need the rest are the command's")]
#[path = "../modern/servers.rs"]
mod servers;
#[path = "../modern/streams.rs"]
mod streams;
#[path = "../modern/subscriptions.rs"]
mod subscriptions;
#[path = "../support/mod.rs"]
mod support;
#[path = "../modern/translated.rs"]
mod translated;
#[path = "../modern/waits.rs"]
mod waits;

use common::*;
