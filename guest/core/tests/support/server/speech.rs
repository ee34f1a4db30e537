//! What a server says: answers, notifications and questions, each on its channel.

use serde_json::{Value, json};

use super::{Accent, Channel};
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
        let answer = self.accented(answer);
        // What is unfinished cannot be followed by anything.
        let stutters = self.server.knobs.stutters && self.server.knobs.accent != Accent::Unfinished;
        let times = if stutters { 2 } else { 1 };
        match channel {
            Channel::Json(conn) => {
                let mut headers = vec![(String::from("content-type"), String::from("application/json"))];
                if answer.contains(r#""protocolVersion":"#) && !self.server.knobs.stateless {
                    headers.push((String::from("mcp-session-id"), sid.to_string()));
                    headers.extend(self.set_node(sid));
                }
                self.write(*conn, Down::Head(self.server.knobs.json_status, headers));
                let mark = if self.server.knobs.accent == Accent::Mark { "\u{feff}" } else { "" };
                self.write(*conn, Down::Body(format!("{mark}{answer}").into_bytes()));
                self.write(*conn, Down::End);
            }
            Channel::Events(key) => {
                for _ in 0..times {
                    self.write_stream(key, &answer);
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
                    self.tell_text(sid, channel, &answer);
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

    /// An answer as this server spells it.
    fn accented(&self, answer: Value) -> String {
        let id = answer["id"].to_string();
        let spelt = |id: String| {
            let mut text = answer.to_string();
            if let Some(at) = text.find(&format!(r#""id":{}"#, answer["id"])) {
                text.replace_range(at + 5..at + 5 + answer["id"].to_string().len(), &id);
            }
            text
        };
        let is_result = answer.get("result").is_some();
        match self.server.knobs.accent {
            Accent::Plain | Accent::Mark | Accent::Unfinished => answer.to_string(),
            Accent::NullError if is_result => format!(r#"{{"error":null,{}"#, &answer.to_string()[1..]),
            Accent::NullError => answer.to_string(),
            Accent::Decimal => spelt(format!("{id}.0")),
            Accent::Exponent => spelt(format!("{id}e0")),
            Accent::Text => spelt(format!("\"{id}\"")),
            Accent::Twice => {
                answer.to_string().replacen(r#""result":{"#, r#""result":{"twice":1,"twice":2,"#, 1).replace(",}", "}")
            }
            // The network turns the control character into a byte that is no UTF-8.
            Accent::Garbled if is_result => answer
                .to_string()
                .replacen(r#""result":{"#, "\"result\":{\"garbled\":\"\u{7f}\",", 1)
                .replace(",}", "}"),
            Accent::Garbled => answer.to_string(),
            Accent::Batch => format!("[{answer}]"),
        }
    }

    pub(super) fn tell(&mut self, sid: &str, channel: &Channel, message: &Value) {
        self.tell_text(sid, channel, &message.to_string());
    }

    fn tell_text(&mut self, sid: &str, channel: &Channel, message: &str) {
        match channel {
            Channel::Events(key) => self.write_stream(&key.clone(), message),
            Channel::Session | Channel::Json(_) => {
                let stream = self.server.sessions.get(sid).and_then(|session| session.stream);
                if let Some(stream) = stream {
                    let event = self.server.event(None, None, None, message);
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
