//! One small story per rule of the protocol, told with the real engine in a simulated world. One file per topic.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod backoff;
mod breaks;
mod cancelling;
mod closing;
mod consequences;
mod cookies;
mod credentials;
mod deadlines;
mod details;
mod detection;
mod epochs;
mod heartbeat;
mod idle;
mod late;
mod left_to_client;
mod limits;
mod lost;
mod messages;
mod misuse;
mod notices;
mod outcomes;
mod own_requests;
mod proxies;
mod recovering;
mod redirects;
mod replay;
mod restore;
mod resume;
mod seldom;
mod settings;
mod spellings;
mod standalone;
mod start;
mod status;
mod takeover;
mod tasks;
mod told;
mod unasked;
mod verifying;
mod waiting;
