//! What a server does with a message: it counts executions, and takes its time.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Channel, Job, Run, Work, tag_of};
use crate::support::MILLISECOND;
use crate::support::net::Down;
use crate::support::world::{Happening, World};

impl World {
    /// Counts an execution.
    pub(super) fn run(&mut self, message: &Value, sid: &str) {
        if let Some(tag) = tag_of(message) {
            let method = message["method"].as_str().unwrap_or("").to_string();
            self.note(|| format!("server    runs {method} of tag {tag}"));
            self.log(tag, |tag| crate::support::history::Entry::Ran { tag });
            self.server.runs.push(Run { at: self.now, tag, method, session: sid.to_string() });
        }
    }

    pub(super) fn perform(&mut self, sid: &str, channel: Channel, method: &str, message: &Value) {
        let params = &message["params"];
        let tag = tag_of(message).unwrap_or(0);
        let id = message["id"].clone();
        let number = self.server.number();
        let session = self.server.sessions.entry(sid.to_string()).or_default();
        let result = match method {
            "initialize" => {
                let knobs = &self.server.knobs;
                json!({"protocolVersion":knobs.version,"capabilities":
                       serde_json::from_str::<Value>(knobs.capabilities).expect("capabilities are JSON"),
                       "serverInfo":{"name":knobs.name,"version":"1"}})
            }
            "ping" => json!({}),
            "logging/setLevel" => {
                session.level = params["level"].as_str().map(str::to_string);
                json!({"tag":tag})
            }
            "resources/subscribe" => {
                session.subscriptions.insert(params["uri"].as_str().unwrap_or("").to_string());
                json!({"tag":tag})
            }
            "resources/unsubscribe" => {
                session.subscriptions.remove(params["uri"].as_str().unwrap_or(""));
                json!({"tag":tag})
            }
            "tools/list"
                if params["cursor"]
                    .as_str()
                    .is_some_and(|cursor| cursor.contains('/') && !cursor.starts_with(&format!("{sid}/"))) =>
            {
                if !self.server.knobs.stateless {
                    self.violate(format!("the cursor {} was sent in the session {sid}", params["cursor"]));
                }
                json!({"tag":tag,"tools":[]})
            }
            "tools/list" => json!({"tag":tag,"nextCursor":format!("{sid}/2"),"tools":[{"name":"echo","inputSchema":{}},
                {"name":"read","annotations":{"readOnlyHint":true},"inputSchema":{}}]}),
            "tools/call" => {
                let (name, arguments) = (params["name"].as_str().unwrap_or(""), params["arguments"].clone());
                let time = Duration::from_millis(arguments["ms"].as_u64().unwrap_or(0));
                let kind = match name {
                    "complain" => {
                        let error = json!({"code":-32600,"message":"Session not found: open a browser session first"});
                        return self.answer_request(sid, &channel, &id, "error", error);
                    }
                    "slow" => Work::Slow,
                    "ask" => Work::Ask,
                    "block" => {
                        self.server.busy_until = self.now + time;
                        Work::Answer(json!({"content":[],"tag":tag}))
                    }
                    "big" => {
                        let size = arguments["size"].as_u64().unwrap_or(0) as usize;
                        return self.answer_request(
                            sid,
                            &channel,
                            &id,
                            "result",
                            json!({"content":[],"text":"x".repeat(size),"tag":tag}),
                        );
                    }
                    _ => {
                        return self.answer_request(sid, &channel, &id, "result", json!({"content":[],"tag":tag}));
                    }
                };
                let token = params["_meta"]["progressToken"].clone();
                let step = Duration::from_millis(arguments["step"].as_u64().unwrap_or(0));
                let least = Duration::from_nanos(1);
                let job = Job {
                    session: sid.to_string(),
                    channel: channel.clone(),
                    id,
                    tag,
                    token: Some(token).filter(|token| !token.is_null()),
                    end: self.now + time,
                    step: if step.is_zero() { time.max(least) } else { step },
                    cancelled: false,
                    kind,
                };
                if job.kind == Work::Ask {
                    session.questions += 1;
                    let question = session.questions - 1;
                    session.asked.insert(question, number);
                    let ask = json!({"jsonrpc":"2.0","id":question,"method":"elicitation/create",
                                     "params":{"nonce":number,"session":sid}});
                    self.tell(sid, &channel, &ask);
                } else {
                    let first = job.step.min(time.max(least));
                    self.after(first, Happening::Job(number));
                }
                self.server.jobs.insert(number, job);
                if self.server.knobs.polls
                    && let Channel::Events(key) = &channel
                {
                    self.poll_break(key);
                }
                return;
            }
            other if other.ends_with("/list") || other == "resources/read" => json!({"tag":tag}),
            other => {
                let error = json!({"code":-32601,"message":format!("no method {other}")});
                return self.answer_request(sid, &channel, &id, "error", error);
            }
        };
        self.answer_request(sid, &channel, &id, "result", result);
    }

    /// Ends the connection of a stream that goes on.
    pub(super) fn poll_break(&mut self, key: &str) {
        let conn = self.server.streams.get_mut(key).and_then(|stream| stream.conn.take());
        if let Some(conn) = conn {
            if let Some(retry) = self.server.knobs.retry {
                let eol = self.server.eol();
                let text = format!("retry: {retry}{eol}{eol}");
                self.write(conn, Down::Body(text.into_bytes()));
            }
            self.write(conn, Down::End);
        }
    }

    /// A job's next step.
    pub(in super::super) fn work(&mut self, number: u64) {
        if self.server.frozen {
            return self.server.stuck.push(Happening::Job(number));
        }
        let Some(job) = self.server.jobs.get(&number).cloned() else {
            return;
        };
        if self.now < job.end && !job.cancelled {
            if let Some(token) = &job.token {
                let progress = json!({"jsonrpc":"2.0","method":"notifications/progress","params":
                    {"progressToken":token,"progress":self.now.as_nanos() / 1_000_000,"tag":job.tag}});
                self.tell(&job.session, &job.channel, &progress);
                if self.server.knobs.polls
                    && let Channel::Events(key) = &job.channel
                {
                    self.poll_break(key);
                }
            }
            let next = (self.now + job.step).min(job.end);
            return self.at(next, Happening::Job(number));
        }
        self.server.jobs.remove(&number);
        if job.cancelled {
            return;
        }
        let result = match &job.kind {
            Work::Answer(result) => result.clone(),
            _ => json!({"content":[],"tag":job.tag}),
        };
        self.answer_request(&job.session, &job.channel, &job.id, "result", result);
    }

    /// Notifications and answers of the client.
    pub(super) fn take(&mut self, sid: &str, method: &str, message: &Value) {
        match method {
            "notifications/initialized" => {
                if let Some(session) = self.server.sessions.get_mut(sid) {
                    session.initialized = true;
                }
                self.server.current = sid.to_string();
                if self.server.knobs.pings {
                    let ping = json!({"jsonrpc":"2.0","id":"server-ping","method":"ping"});
                    self.tell(sid, &Channel::Session, &ping);
                }
            }
            "notifications/cancelled" => {
                let id = &message["params"]["requestId"];
                let job = self.server.jobs.values_mut().find(|job| job.session == sid && job.id == *id);
                let found = job.is_some();
                if let Some(job) = job {
                    job.cancelled = true;
                }
                self.server.cancels.push((id.to_string(), found));
            }
            "" => self.on_client_answer(sid, message),
            _ => {
                if let Some(tag) = tag_of(message) {
                    self.server.notified.push(tag);
                }
            }
        }
    }

    pub(super) fn on_client_answer(&mut self, sid: &str, message: &Value) {
        // Questions of the model's own have numbers.
        if !message["id"].is_u64() {
            return;
        }
        let Some(session) = self.server.sessions.get_mut(sid) else {
            return;
        };
        let number = message["id"].as_u64().unwrap_or(u64::MAX);
        match session.asked.remove(&number) {
            Some(job) => {
                let nonce = &message["result"]["nonce"];
                if *nonce != json!(job) {
                    self.violate(format!("the question {job} of {sid} got the answer {message}"));
                }
                if let Some(job) = self.server.jobs.get_mut(&job) {
                    job.kind = Work::Slow;
                    job.end = self.now;
                }
                self.after(MILLISECOND, Happening::Job(job));
            }
            // A copy of an answer may come late; one that was never asked for must not come.
            None if number >= session.questions => {
                self.violate(format!("{sid} never asked what is answered: {message}"));
            }
            None => {}
        }
    }
}
