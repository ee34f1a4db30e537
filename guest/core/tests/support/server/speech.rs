//! What a server says: answers, notifications and questions, each on its channel.

use serde_json::{Value, json};

use super::Channel;
use crate::support::net::Down;
use crate::support::world::World;

impl World {
    pub(super) fn answer_request(&mut self, sid: &str, channel: &Channel, id: &Value, kind: &str, of: Value) {
        if self.server.knobs.chatty {
            let text = json!({"jsonrpc":"2.0","method":"notifications/message","params":
                              {"level":"info","session":sid}});
            if !matches!(channel, Channel::Json(_)) {
                self.tell(sid, channel, &text);
            }
        }
        let mut answer = json!({"jsonrpc":"2.0","id":id});
        answer[kind] = of;
        let times = if self.server.knobs.stutters { 2 } else { 1 };
        match channel {
            Channel::Json(conn) => {
                let mut headers = vec![(String::from("content-type"), String::from("application/json"))];
                if answer["result"]["protocolVersion"].is_string() && !self.server.knobs.stateless {
                    headers.push((String::from("mcp-session-id"), sid.to_string()));
                }
                self.write(*conn, Down::Head(200, headers));
                self.write(*conn, Down::Body(answer.to_string().into_bytes()));
                self.write(*conn, Down::End);
            }
            Channel::Events(key) => {
                for _ in 0..times {
                    self.write_stream(key, &answer.to_string());
                }
                if let Some(stream) = self.server.streams.get_mut(key) {
                    stream.done = true;
                    if let Some(conn) = stream.conn {
                        self.write(conn, Down::End);
                    }
                }
            }
            Channel::Session => {
                for _ in 0..times {
                    self.tell(sid, channel, &answer);
                }
            }
        }
    }

    /// A log notification on the session's own stream.
    pub(super) fn chat(&mut self, sid: &str) {
        let text = json!({"jsonrpc":"2.0","method":"notifications/message","params":
                          {"level":"info","session":sid}});
        self.tell(sid, &Channel::Session, &text);
    }

    /// The server says something on the stream of the current session.
    pub fn server_says(&mut self, text: &str) {
        let sid = self.server.current.clone();
        let message: Value = serde_json::from_str(text).expect("the test says JSON");
        if let (Some(id), Some(session)) = (message["id"].as_u64(), self.server.sessions.get_mut(&sid)) {
            session.questions = session.questions.max(id + 1);
        }
        self.tell(&sid, &Channel::Session, &message);
    }

    pub(super) fn tell(&mut self, sid: &str, channel: &Channel, message: &Value) {
        match channel {
            Channel::Events(key) => self.write_stream(&key.clone(), &message.to_string()),
            Channel::Session | Channel::Json(_) => {
                let stream = self.server.sessions.get(sid).and_then(|session| session.stream);
                if let Some(stream) = stream {
                    let event = self.server.event(None, None, None, &message.to_string());
                    self.write(stream, event);
                }
            }
        }
    }

    pub(super) fn write_stream(&mut self, key: &str, data: &str) {
        let with_ids = self.server.knobs.event_ids;
        let retry = self.server.knobs.retry;
        let Some(stream) = self.server.streams.get_mut(key) else {
            return;
        };
        stream.events.push(data.to_string());
        let (conn, number) = (stream.conn, stream.events.len() - 1);
        let id = with_ids.then(|| format!("{key}/{number}"));
        let retry = retry.filter(|_| number == 0);
        if let Some(conn) = conn {
            let event = self.server.event(None, id.as_deref(), retry, data);
            if !self.write(conn, event)
                && let Some(stream) = self.server.streams.get_mut(key)
            {
                stream.conn = None;
            }
        }
    }
}
