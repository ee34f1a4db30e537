//! What arrives: told apart by transport and session, and let in or refused.

use mcp_reconnect_core::{ExchangeId, Method, Request};
use serde_json::{Value, json};

use super::knobs::{Get, Lost, Offer, Resume};
use super::{Channel, Session, Stream, head};
use crate::support::net::Down;
use crate::support::world::World;

/// What applications say that sounds like a lost session: status, code, text.
const COMPLAINTS: [(u16, i64, &str); 10] = [
    (200, -32600, "Session not found: open a browser session first"),
    (200, -32600, "Session not found"),
    (200, -32600, "database not initialized"),
    (200, -32600, "unknown transport type: bus"),
    (200, -32001, "Session not found"),
    (400, -32602, "missing required argument session_id"),
    (404, -32601, "no such thing"),
    (404, -32001, "the issue was not found"),
    (500, -32603, "the tool broke"),
    (503, -32000, "the database is busy"),
];

/// What a `tools/call` of the tool that complains gets.
fn complaint_of(message: &Value) -> Option<(u16, i64, &'static str)> {
    let params = &message["params"];
    let asked = (params["name"] == "complain").then(|| params["arguments"]["ms"].as_u64()).flatten()?;
    Some(COMPLAINTS[asked as usize % COMPLAINTS.len()])
}

impl World {
    /// A request has arrived.
    pub(in super::super) fn serve(&mut self, id: ExchangeId) {
        let Some(conn) = self.net.conns.get(&id) else {
            return;
        };
        let request = conn.request.clone();
        let line = crate::support::net::line(&request);
        let header =
            |name: &str| request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        let sid = match self.server.knobs.offer {
            Offer::Http => header("mcp-session-id").unwrap_or_default(),
            Offer::Sse => request.path.split_once("sid=").map_or(String::new(), |(_, sid)| sid.to_string()),
        };
        self.server.arrivals.push((self.now, sid.clone(), line.clone()));
        if let Some(at) = self.server.rules.iter().position(|(part, _, _)| crate::support::net::is_about(&line, part)) {
            let reply = self.server.rules[at].2.clone();
            if self.server.rules[at].1 != u32::MAX {
                self.server.rules[at].1 -= 1;
            }
            if self.server.rules[at].1 == 0 {
                self.server.rules.remove(at);
            }
            return self.scripted(id, &sid, &request.body, reply);
        }
        if self.server.knobs.affinity && self.server.alive(&sid) && node(&request) != Some(sid.as_str()) {
            self.note(|| String::from("balancer: to the wrong node"));
            return self.refuse_lost(id, &serde_json::from_slice(&request.body).unwrap_or(Value::Null));
        }
        if self.server.knobs.offer == Offer::Http && request.path.starts_with("/messages") {
            return self.answer_plain(id, 404, "no such path");
        }
        match (request.method, self.server.knobs.offer) {
            (Method::Get, Offer::Http) => self.serve_get(id, &sid, header("last-event-id")),
            (Method::Get, Offer::Sse) => self.serve_sse(id),
            (Method::Delete, _) => {
                if self.server.alive(&sid) {
                    self.end_server_session(&sid);
                    self.answer_plain(id, 204, "");
                } else {
                    self.refuse_lost(id, &Value::Null);
                }
            }
            (Method::Post, offer) => {
                let message: Value = serde_json::from_slice(&request.body).expect("the engine sends JSON");
                if offer == Offer::Sse && !request.path.starts_with("/messages") {
                    return self.answer_plain(id, self.server.knobs.wrong_transport, "no such way");
                }
                self.serve_post(id, sid, message);
            }
        }
    }

    pub(super) fn end_server_session(&mut self, sid: &str) {
        let stream = self.server.sessions.get_mut(sid).and_then(|session| {
            session.alive = false;
            session.stream.take()
        });
        if let Some(stream) = stream {
            self.write(stream, Down::End);
        }
        let over: Vec<_> = self
            .server
            .streams
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{sid}/")))
            .map(|(key, stream)| (key.clone(), stream.conn))
            .collect();
        for (key, conn) in over {
            if let Some(conn) = conn {
                self.write(conn, Down::End);
            }
            self.server.streams.remove(&key);
        }
    }

    pub(super) fn answer_plain(&mut self, id: ExchangeId, status: u16, body: &str) {
        self.write(id, head(status, "text/plain"));
        if !body.is_empty() {
            self.write(id, Down::Body(body.as_bytes().to_vec()));
        }
        self.write(id, Down::End);
    }

    pub(super) fn answer_json(&mut self, id: ExchangeId, status: u16, body: &Value) {
        self.write(id, head(status, "application/json"));
        self.write(id, Down::Body(body.to_string().into_bytes()));
        self.write(id, Down::End);
    }

    pub(super) fn refuse_lost(&mut self, id: ExchangeId, request: &Value) {
        let error = |code: i64, message: &str, id: Option<Value>| {
            let mut body = json!({"jsonrpc":"2.0","error":{"code":code,"message":message}});
            if let Some(id) = id {
                body["id"] = id;
            }
            body
        };
        match self.server.knobs.lost {
            Lost::Code404 => {
                let body = error(-32001, "Session not found", Some(Value::Null));
                self.answer_json(id, 404, &body);
            }
            Lost::ServerError404 => {
                let body = error(-32600, "Session not found", Some(json!("server-error")));
                self.answer_json(id, 404, &body);
            }
            Lost::Plain404 => self.answer_plain(id, 404, "session not found"),
            Lost::NoValid400 => {
                let text = "Bad Request: No valid session ID provided";
                self.answer_json(id, 400, &error(-32000, text, None));
            }
            Lost::NotInitialized400 => {
                let text = "Bad Request: Server not initialized";
                self.answer_json(id, 400, &error(-32000, text, Some(Value::Null)));
            }
            Lost::Plain(status, text) => self.answer_plain(id, status, text),
            Lost::Ok200 | Lost::Unknown200 | Lost::Error200(..) if request["id"].is_null() => {
                self.answer_plain(id, 202, "");
            }
            Lost::Ok200 => {
                let body = error(-32600, "Session not found", Some(request["id"].clone()));
                self.answer_json(id, 200, &body);
            }
            Lost::Error200(code, message) => {
                let body = error(code, message, Some(request["id"].clone()));
                self.answer_json(id, 200, &body);
            }
            Lost::Unknown200 => {
                let body = error(-32004, "Unknown session", Some(request["id"].clone()));
                self.answer_json(id, 200, &body);
            }
            Lost::CouldNotFind404 => self.answer_plain(id, 404, "Could not find session"),
            Lost::Empty404 => self.answer_plain(id, 404, ""),
            Lost::Different400 => {
                let text = "Bad Request: Session exists but uses a different transport protocol";
                self.answer_json(id, 400, &error(-32000, text, Some(Value::Null)));
            }
            Lost::NoActive503 => {
                self.write(id, head(503, "text/html"));
                let page = "<html><body>No active SSE connection for session</body></html>";
                self.write(id, Down::Body(page.into()));
                self.write(id, Down::End);
            }
            Lost::NoActive400 => self.answer_plain(id, 400, "No active transport"),
            Lost::Token401 => {
                let challenge = String::from(r#"Bearer error="invalid_token""#);
                self.write(id, Down::Head(401, vec![(String::from("www-authenticate"), challenge)]));
                self.write(id, Down::End);
            }
            Lost::Never => {}
            Lost::Dropped202 => self.answer_plain(id, 202, ""),
        }
    }

    /// What makes a client come back to the node that has the session.
    pub(super) fn set_node(&self, sid: &str) -> Option<(String, String)> {
        self.server
            .knobs
            .affinity
            .then(|| (String::from("Set-Cookie"), format!("node={sid}; Path=/; Max-Age=86400; HttpOnly")))
    }

    /// HTTP+SSE: a stream is a session.
    pub(super) fn serve_sse(&mut self, id: ExchangeId) {
        let number = self.server.number();
        let sid = format!("e{}-{number}", self.server.generation);
        self.server.sessions.insert(sid.clone(), Session { alive: true, stream: Some(id), ..Session::default() });
        self.watch.begun.push(self.now);
        let mut headers = vec![(String::from("content-type"), String::from("text/event-stream; charset=utf-8"))];
        headers.extend(self.set_node(&sid));
        self.write(id, Down::Head(200, headers));
        let endpoint =
            self.server.event(Some("endpoint"), None, self.server.knobs.retry, &format!("/messages?sid={sid}"));
        self.write(id, endpoint);
        if self.server.knobs.chatty {
            self.chat(&sid);
        }
    }

    pub(super) fn serve_get(&mut self, id: ExchangeId, sid: &str, cursor: Option<String>) {
        if !self.server.knobs.stateless && sid.is_empty() {
            // Someone who knows nothing of sessions, such as a client of HTTP+SSE.
            return self.answer_plain(id, 400, "Bad Request: Missing session ID");
        }
        if !self.server.knobs.stateless && !self.server.alive(sid) {
            return self.refuse_lost(id, &Value::Null);
        }
        if let Some(cursor) = cursor.filter(|cursor| !cursor.contains("/standalone/")) {
            return self.resume_stream(id, sid, &cursor);
        }
        match self.server.knobs.get {
            Get::Status(status) => self.answer_plain(id, status, "no stream here"),
            Get::Stream if self.server.knobs.stateless => self.answer_plain(id, 405, ""),
            Get::Stream => {
                let session = self.server.sessions.get_mut(sid).expect("it is alive");
                if session.stream.is_some() {
                    return self.answer_plain(id, 409, "another stream is open");
                }
                session.stream = Some(id);
                self.write(id, head(200, "text/event-stream"));
                if self.server.knobs.chatty {
                    self.chat(sid);
                }
            }
        }
    }

    pub(super) fn resume_stream(&mut self, id: ExchangeId, sid: &str, cursor: &str) {
        let (key, number) = cursor.rsplit_once('/').unwrap_or(("", ""));
        if !self.server.knobs.stateless && !key.starts_with(&format!("{sid}/")) {
            self.violate(format!("the event id {cursor} was sent in the session {sid}"));
        }
        match self.server.knobs.resume {
            Resume::Status(status) => self.answer_plain(id, status, "cannot resume"),
            Resume::InstantEnd => {
                self.write(id, head(200, "text/event-stream"));
                self.write(id, Down::End);
            }
            Resume::Silent => {
                self.write(id, head(200, "text/event-stream"));
            }
            mode => {
                let number: usize = number.parse().unwrap_or(0);
                self.write(id, head(200, "text/event-stream"));
                let Some(stream) = self.server.streams.get_mut(key) else {
                    // An unknown id: open and silent, as TypeScript servers do.
                    return;
                };
                let from = if mode == Resume::Inclusive { number } else { number + 1 };
                let rest: Vec<_> = stream.events.iter().cloned().enumerate().skip(from).collect();
                let done = stream.done;
                stream.conn = Some(id);
                for (at, data) in rest {
                    let event = self.server.event(None, Some(&format!("{key}/{at}")), None, &data);
                    self.write(id, event);
                }
                if done {
                    self.write(id, Down::End);
                }
            }
        }
    }

    pub(super) fn serve_post(&mut self, id: ExchangeId, sid: String, message: Value) {
        let method = message["method"].as_str().unwrap_or("").to_string();
        let stateless = self.server.knobs.stateless;
        let http = self.server.knobs.offer == Offer::Http;
        if method == "initialize" && http {
            if !sid.is_empty() {
                self.violate("initialize carries a session id");
                return self.refuse_lost(id, &message);
            }
            let number = self.server.number();
            let sid = format!("h{}-{number}", self.server.generation);
            self.server.sessions.insert(sid.clone(), Session { alive: true, ..Session::default() });
            self.watch.begun.push(self.now);
            self.server.latest = sid.clone();
            return self.serve_message(id, sid, method, message);
        }
        if stateless && http {
            // It knows no session; for the checks everything belongs to the one that began last.
            let sid = self.server.latest.clone();
            return self.serve_message(id, sid, method, message);
        }
        if !self.server.alive(&sid) {
            return self.refuse_lost(id, &message);
        }
        self.serve_message(id, sid, method, message);
    }

    pub(super) fn serve_message(&mut self, id: ExchangeId, sid: String, method: String, message: Value) {
        self.check_message(&sid, &method, &message);
        let http = self.server.knobs.offer == Offer::Http;
        if message["id"].is_null() || method.is_empty() {
            self.answer_plain(id, 202, "");
            return self.take(&sid, &method, &message);
        }
        let initialized = self.server.sessions.get(&sid).is_some_and(|session| session.initialized);
        if let Some(complaint) = complaint_of(&message).filter(|_| http || self.server.knobs.in_body) {
            self.run(&message, &sid);
            let body = json!({"jsonrpc":"2.0","id":message["id"],"error":{"code":complaint.1,"message":complaint.2}});
            return self.answer_json(id, complaint.0, &body);
        }
        if !http && self.server.knobs.in_body && matches!(method.as_str(), "tools/call" | "resources/read") {
            self.run(&message, &sid);
            let body =
                json!({"jsonrpc":"2.0","id":message["id"],"result":{"content":[],"tag":super::tag_of(&message)}});
            return self.answer_json(id, 200, &body);
        }
        let channel = match (http, self.server.knobs.json && method != "tools/call") {
            (false, _) => Channel::Session,
            (true, true) => Channel::Json(id),
            (true, false) => {
                let mut headers = vec![(String::from("content-type"), String::from("text/event-stream"))];
                if method == "initialize" && !self.server.knobs.stateless {
                    headers.push((String::from("Mcp-Session-Id"), sid.clone()));
                    headers.extend(self.set_node(&sid));
                }
                self.write(id, Down::Head(200, headers));
                let session = self.server.sessions.entry(sid.clone()).or_default();
                session.streams += 1;
                let key = format!("{sid}/{}", session.streams);
                self.server.streams.insert(key.clone(), Stream { conn: Some(id), ..Stream::default() });
                if self.server.knobs.prime && self.server.knobs.event_ids {
                    self.write_stream(&key, "");
                }
                Channel::Events(key)
            }
        };
        if channel == Channel::Session && !self.server.knobs.answer_first {
            self.answer_plain(id, 202, "Accepted");
        }
        // Without sessions it cannot know.
        let strict = self.server.knobs.strict && !self.server.knobs.stateless;
        if strict && !initialized && method != "initialize" && method != "ping" {
            let error = json!({"code":-32602,"message":"Invalid request parameters"});
            self.answer_request(&sid, &channel, &message["id"], "error", error);
        } else {
            self.run(&message, &sid);
            self.perform(&sid, channel.clone(), &method, &message);
        }
        if channel == Channel::Session && self.server.knobs.answer_first {
            self.answer_plain(id, 202, "Accepted");
        }
    }
}

/// The node that a request asks for.
fn node(request: &Request) -> Option<&str> {
    let (_, cookies) = request.headers.iter().find(|(name, _)| name == "cookie")?;
    cookies.split("; ").find_map(|pair| pair.strip_prefix("node="))
}
