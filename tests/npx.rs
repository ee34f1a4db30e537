//! The npm package's command under the tests of the native one: credentials, hooks, TLS, proxies, large
//! answers, deploys behind nginx and HAProxy, MCP 2026-07-28. Here `support::COMMAND` is that command; the servers are the same.

#![allow(clippy::duplicate_mod, reason = "each of them brings what the tests share")]

#[path = "credentials.rs"]
mod credentials;
#[path = "deploy.rs"]
mod deploy;
#[path = "hooks.rs"]
mod hooks;
#[path = "npx/http2.rs"]
mod http2;
#[path = "large.rs"]
mod large;
#[path = "modern.rs"]
mod modern;
#[path = "network.rs"]
mod network;
#[path = "proxy.rs"]
mod proxy;
#[path = "stdio.rs"]
mod stdio;
#[path = "tls.rs"]
mod tls;
