//! MCP 2026-07-28 on real software: the official SDKs' servers and clients of both eras, killed, restarted and replaced under
//! the built command; and a scripted modern server for what no real one does.

mod support;

#[path = "modern/common.rs"]
mod common;
#[path = "modern/credentials.rs"]
mod credentials;
#[path = "modern/eras.rs"]
mod eras;
#[path = "modern/hooks.rs"]
mod hooks;
#[path = "modern/hostile.rs"]
mod hostile;
#[path = "modern/matrix.rs"]
mod matrix;
#[path = "modern/requests.rs"]
mod requests;
#[path = "modern/scripted.rs"]
mod scripted;
#[path = "modern/servers.rs"]
mod servers;
#[path = "modern/signals.rs"]
mod signals;
#[path = "modern/streams.rs"]
mod streams;
#[path = "modern/subscriptions.rs"]
mod subscriptions;
#[path = "modern/translated.rs"]
mod translated;
#[path = "modern/waits.rs"]
mod waits;

use common::*;
