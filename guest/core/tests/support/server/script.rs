//! Scripted replies, in place of the model's own.

use mcp_reconnect_core::ExchangeId;
use serde_json::Value;

use super::head;
use crate::support::net::Down;
use crate::support::world::World;

/// A scripted reply, in place of the model's own.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The request is not looked at.
    Status(u16, Vec<(&'static str, String)>, String),
    /// It runs, and this is the answer.
    RunThen(u16, Vec<(&'static str, String)>, String),
    /// It is not looked at, and never answered.
    Hang,
    /// It runs, and is never answered.
    RunThenHang,
    /// A head, these events, and the end of the stream if so wished. `$ID` is the request's id on the wire.
    Events(Vec<String>, bool),
    /// The same after it ran.
    RunThenEvents(Vec<String>, bool),
    /// A head and these events; then the connection is reset.
    EventsThenCut(Vec<String>),
}

pub fn status(status: u16) -> Reply {
    Reply::Status(status, Vec::new(), String::new())
}

pub fn status_text(status: u16, body: &str) -> Reply {
    Reply::Status(status, vec![("content-type", String::from("text/plain"))], body.to_string())
}

pub fn json_body(body: &str) -> Reply {
    Reply::Status(200, vec![("content-type", String::from("application/json"))], body.to_string())
}

impl World {
    /// Scripts a reply to the next request whose line or body holds `part`.
    pub fn rule(&mut self, part: &str, reply: Reply) {
        self.rules(part, 1, reply);
    }

    pub fn rules(&mut self, part: &str, times: u32, reply: Reply) {
        self.server.rules.push((part.to_string(), times, reply));
    }

    pub(super) fn scripted(&mut self, id: ExchangeId, sid: &str, body: &[u8], reply: Reply) {
        let message: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if matches!(reply, Reply::RunThen(..) | Reply::RunThenHang | Reply::RunThenEvents(..)) {
            self.run(&message, sid);
        }
        let text = |text: String| text.replace("$ID", &message["id"].to_string()).replace("$SID", sid);
        match reply {
            Reply::Status(status, headers, body) | Reply::RunThen(status, headers, body) => {
                let body = text(body);
                let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
                self.write(id, Down::Head(status, headers));
                if !body.is_empty() {
                    self.write(id, Down::Body(body.into_bytes()));
                }
                self.write(id, Down::End);
            }
            Reply::Hang | Reply::RunThenHang => {}
            Reply::EventsThenCut(events) => {
                self.write(id, head(200, "text/event-stream"));
                for event in events {
                    self.write(id, Down::Body(text(event).into_bytes()));
                }
                self.break_off(id);
            }
            Reply::Events(events, end) | Reply::RunThenEvents(events, end) => {
                self.write(id, head(200, "text/event-stream"));
                for event in events {
                    self.write(id, Down::Body(text(event).into_bytes()));
                }
                if end {
                    self.write(id, Down::End);
                }
            }
        }
    }
}
