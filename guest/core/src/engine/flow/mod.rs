//! What happens: one file for each kind of event.

pub(crate) mod bodies;
pub(crate) mod client_message;
pub(crate) mod close;
pub(crate) mod credentials;
pub(crate) mod events;
pub(crate) mod handshake;
pub(crate) mod heartbeat;
mod hold;
pub(crate) mod modern;
pub(crate) mod notice;
pub(crate) mod outcome;
pub(crate) mod own_answers;
pub(crate) mod own_requests;
pub(crate) mod reconnect;
pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod restore;
pub(crate) mod resume;
pub(crate) mod secrets;
pub(crate) mod server_message;
pub(crate) mod settle;
pub(crate) mod standalone;
pub(crate) mod takeover;
pub(crate) mod translate;
pub(crate) mod unready;
pub(crate) mod verify;
