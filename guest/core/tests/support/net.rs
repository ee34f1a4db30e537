//! The network: every exchange is a connection of its own, with a fate.

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_reconnect_core::{ExchangeId, Failure, Input, Instant, Method, Request, SECOND};

use super::MILLISECOND;
use super::server::Accent;
use super::world::{Happening, World};

/// How an exchange fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As it should.
    Well,
    /// Nobody accepts the connection.
    Refused,
    /// The name is not found.
    NoName,
    /// The TLS handshake fails.
    BadCertificate,
    /// Reset before the request arrives, which the engine cannot know.
    ResetBefore,
    /// Reset after the request has arrived.
    ResetAfter,
    /// So many parts of the response arrive, then it is reset.
    CutAfter(u32),
    /// So many parts of the response arrive, then nothing does and nobody says so.
    MuteAfter(u32),
    /// The request never arrives and nobody says so.
    Swallowed,
    /// The driver cannot send it.
    Unsendable,
    /// The request takes so much longer to arrive.
    Slow(Duration),
}

/// A part of a response.
#[derive(Clone, Debug)]
pub enum Down {
    Head(u16, Vec<(String, String)>),
    Body(Vec<u8>),
    End,
    Fail(Failure),
}

/// A connection and the request on it.
#[derive(Clone, Debug)]
pub struct Conn {
    pub request: Request,
    /// The engine listens.
    client: bool,
    /// The server can write.
    pub server: bool,
    /// The request has arrived.
    pub arrived: bool,
    fate: Fate,
    /// What the engine has got of the body and is not yet a whole event.
    got: Vec<u8>,
    /// It is an event stream.
    events: bool,
    parts: u32,
    /// When the last part arrives: parts do not overtake each other.
    last: Instant,
}

/// An HTTP request that the engine started, for tests to look at.
#[derive(Clone, Debug)]
pub struct Started {
    pub at: Instant,
    pub id: ExchangeId,
    pub request: Request,
}

impl Started {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn body(&self) -> &str {
        std::str::from_utf8(&self.request.body).expect("bodies are UTF-8")
    }

    pub fn is_post_of(&self, method: &str) -> bool {
        self.request.method == Method::Post && self.body().contains(&format!("\"method\":\"{method}\""))
    }
}

#[derive(Default)]
pub struct Net {
    pub conns: BTreeMap<ExchangeId, Conn>,
    /// Everything the engine ever started.
    pub started: Vec<Started>,
    pub black_hole: bool,
    stuck: Vec<Happening>,
    /// The chance of a bad fate, in percent.
    pub weather: u64,
    /// Fates of the exchanges to come, by a part of their request line or body.
    pub fates: Vec<(String, Fate)>,
    /// Extra time that each request takes to arrive.
    pub jitter: Duration,
    /// Responses are cut into pieces at random places.
    pub shred: bool,
    /// Exchanges that were cancelled by the engine.
    pub cancelled: Vec<(Instant, ExchangeId)>,
    /// Many exchanges in a short time are a fault.
    pub counts_haste: bool,
    /// When bodies ended as they should.
    pub ended: Vec<Instant>,
}

impl World {
    /// Bytes of a body reach the engine.
    fn note_bytes(&mut self, id: ExchangeId, bytes: &[u8]) {
        let Some(conn) = self.net.conns.get_mut(&id) else { return };
        conn.got.extend_from_slice(bytes);
        let whole = conn.events && (conn.got.ends_with(b"\n\n") || conn.got.ends_with(b"\r\n\r\n"));
        if whole {
            let got = std::mem::take(&mut conn.got);
            self.note_delivered(id, &got);
        }
    }

    /// A body reaches its end. An event stream's last event may lack its blank line.
    fn note_end(&mut self, id: ExchangeId) {
        let got = self.net.conns.get_mut(&id).map(|conn| std::mem::take(&mut conn.got)).unwrap_or_default();
        self.note_refusal(id, &got);
        self.note_delivered(id, &got);
        self.note_over(id);
    }

    /// The next exchange whose request line or body holds `part` has this fate.
    pub fn fate(&mut self, part: &str, fate: Fate) {
        self.net.fates.push((part.to_string(), fate));
    }

    /// Everything that was started and holds `part` in its request line or body.
    pub fn started(&self, part: &str) -> Vec<&super::net::Started> {
        self.net.started.iter().filter(|started| line(&started.request).contains(part)).collect()
    }

    pub(super) fn connect(&mut self, id: ExchangeId, request: Request) {
        self.check_request(id, &request);
        let line = line(&request);
        self.note(|| {
            let session = request
                .headers
                .iter()
                .find(|(name, _)| name == "mcp-session-id")
                .map_or(String::new(), |(_, id)| format!(" [{id}]"));
            let cursor = request
                .headers
                .iter()
                .find(|(name, _)| name == "last-event-id")
                .map_or(String::new(), |(_, id)| format!(" after {id}"));
            format!("engine  → #{}{session}{cursor} {line}", id.0)
        });
        // The shortest delays allow some 40 attempts in a second, of up to three exchanges each.
        // What the client asks for, and answers to what the server asks, comes on top.
        let most = 150 + 3 * self.client.asked.len() + self.watch.flood;
        let hasty = self.net.started.len().checked_sub(most).map(|at| self.net.started[at].at);
        if hasty.is_some_and(|at| at + SECOND > self.now) && self.net.counts_haste {
            self.violate(format!("the engine spins: {most} exchanges within a second"));
        }
        self.net.started.push(Started { at: self.now, id, request: request.clone() });
        let planned = self.net.fates.iter().position(|(part, _)| is_about(&line, part));
        let fate = match planned {
            Some(at) => self.net.fates.remove(at).1,
            None if self.net.weather > 0 && self.random.percent(self.net.weather) => self.bad_fate(),
            None => Fate::Well,
        };
        if fate != Fate::Well {
            self.note(|| format!("          #{} will be {fate:?}", id.0));
        }
        let there = MILLISECOND + self.random.time(Duration::ZERO, self.net.jitter);
        self.net.conns.insert(
            id,
            Conn {
                request,
                client: true,
                server: true,
                arrived: false,
                fate,
                got: Vec::new(),
                events: false,
                parts: 0,
                last: self.now,
            },
        );
        let fail = |failure| Happening::Down(id, Down::Fail(failure));
        match fate {
            _ if self.net.black_hole => {
                self.after(10 * SECOND, fail(Failure::Connect));
                self.net.conns.get_mut(&id).expect("just inserted").server = false;
            }
            Fate::Refused => self.after(there, fail(Failure::Connect)),
            Fate::NoName => self.after(there, fail(Failure::Dns)),
            Fate::BadCertificate => self.after(there, fail(Failure::Tls)),
            Fate::Unsendable => self.after(Duration::ZERO, fail(Failure::Unsendable)),
            Fate::ResetBefore => self.after(there, fail(Failure::Lost)),
            Fate::Swallowed => self.after(there / 2, Happening::Sent(id)),
            _ if !self.server.up => self.after(there, fail(Failure::Connect)),
            Fate::Slow(more) => {
                self.after(there / 2, Happening::Sent(id));
                self.after(there + more, Happening::Arrive(id));
            }
            Fate::Well | Fate::ResetAfter | Fate::CutAfter(_) | Fate::MuteAfter(_) => {
                self.after(there / 2, Happening::Sent(id));
                self.after(there, Happening::Arrive(id));
            }
        }
    }

    fn bad_fate(&mut self) -> Fate {
        match self.random.within(0, 7) {
            0 => Fate::Refused,
            1 => Fate::ResetBefore,
            2 | 3 => Fate::ResetAfter,
            4 | 5 => Fate::CutAfter(self.random.within(0, 4) as u32),
            6 => Fate::MuteAfter(self.random.within(0, 4) as u32),
            _ => Fate::Swallowed,
        }
    }

    pub(super) fn sent(&mut self, id: ExchangeId) {
        if self.net.conns.get(&id).is_some_and(|conn| conn.client) {
            self.input(Input::Sent(id));
        }
    }

    pub(super) fn arrive(&mut self, id: ExchangeId) {
        if self.net.black_hole {
            return self.net.stuck.push(Happening::Arrive(id));
        }
        let up = self.server.up;
        let Some(conn) = self.net.conns.get_mut(&id) else {
            return;
        };
        if !conn.server || !up {
            return self.break_off(id);
        }
        // A process that is busy or stopped has the connection all the same.
        conn.arrived = true;
        let fate = conn.fate;
        if self.server.frozen {
            return self.server.stuck.push(Happening::Arrive(id));
        }
        if self.server.busy_until > self.now {
            return self.at(self.server.busy_until, Happening::Arrive(id));
        }
        if fate == Fate::ResetAfter {
            self.serve(id);
            // What the server wrote meanwhile is lost.
            self.break_off(id);
            return;
        }
        self.serve(id);
    }

    pub(super) fn down(&mut self, id: ExchangeId, down: Down) {
        if self.net.black_hole && !matches!(down, Down::Fail(Failure::Connect)) {
            return self.net.stuck.push(Happening::Down(id, down));
        }
        let Some(conn) = self.net.conns.get(&id) else {
            return;
        };
        if !conn.client {
            return;
        }
        let input = match down {
            Down::Head(status, headers) => {
                self.note(|| format!("server  → #{} {status}", id.0));
                let rest = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
                self.note_head(id, status, rest);
                let events = headers.iter().any(|(_, value)| value.starts_with("text/event-stream"));
                if let Some(conn) = self.net.conns.get_mut(&id) {
                    conn.events = events;
                }
                self.note_refused_session(id, status);
                if let Some((_, sid)) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("mcp-session-id")) {
                    let sid = sid.clone();
                    self.note_session(id, &sid);
                }
                Input::Response {
                    exchange: id,
                    status,
                    headers: headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
                }
            }
            Down::Body(bytes) => {
                self.note(|| {
                    let text = String::from_utf8_lossy(&bytes).replace('\n', "⏎");
                    let short: String = text.chars().take(200).collect();
                    format!("server  → #{} {short}", id.0)
                });
                self.note_bytes(id, &bytes);
                Input::Body { exchange: id, bytes }
            }
            Down::End => {
                self.note(|| format!("server  → #{} ends", id.0));
                self.net.ended.push(self.now);
                self.note_end(id);
                self.net.conns.remove(&id);
                Input::End(id)
            }
            Down::Fail(failure) => {
                self.note(|| format!("network → #{} fails: {failure:?}", id.0));
                self.note_failure(id, failure);
                self.net.conns.remove(&id);
                self.after(MILLISECOND, Happening::Gone(id));
                Input::Failed { exchange: id, failure, detail: String::from("by the model") }
            }
        };
        self.input(input);
    }

    /// The engine wants no more of it.
    pub(super) fn hang_up(&mut self, id: ExchangeId) {
        self.note(|| format!("engine  → #{} cancelled", id.0));
        self.net.cancelled.push((self.now, id));
        if let Some(conn) = self.net.conns.remove(&id)
            && conn.server
        {
            self.after(MILLISECOND, Happening::Gone(id));
        }
    }

    /// The server writes a part of a response; false if the connection is gone.
    pub(super) fn write(&mut self, id: ExchangeId, down: Down) -> bool {
        let now = self.now;
        let down = match down {
            Down::Body(mut bytes) if self.server.knobs.accent == Accent::Garbled => {
                bytes.iter_mut().filter(|byte| **byte == 0x7f).for_each(|byte| *byte = 0xff);
                Down::Body(bytes)
            }
            down => down,
        };
        let pieces = match down {
            Down::Body(bytes) if self.net.shred && bytes.len() > 2 => {
                let at = self.random.within(1, bytes.len() as u64 - 1) as usize;
                let (first, rest) = bytes.split_at(at);
                vec![Down::Body(first.to_vec()), Down::Body(rest.to_vec())]
            }
            down => vec![down],
        };
        let Some(conn) = self.net.conns.get_mut(&id) else {
            return false;
        };
        if !conn.server {
            return false;
        }
        conn.parts += 1;
        match conn.fate {
            Fate::ResetAfter => return true,
            Fate::CutAfter(parts) if conn.parts > parts => {
                self.break_off(id);
                return true;
            }
            Fate::MuteAfter(parts) if conn.parts > parts => return true,
            _ => {}
        }
        let at = conn.last.max(now + MILLISECOND);
        conn.last = at;
        if matches!(down_last(&pieces), Down::End) {
            conn.server = false;
        }
        for piece in pieces {
            self.at(at, Happening::Down(id, piece));
        }
        true
    }

    /// Resets one connection.
    pub(super) fn break_off(&mut self, id: ExchangeId) {
        let now = self.now;
        let Some(conn) = self.net.conns.get_mut(&id) else {
            return;
        };
        conn.server = false;
        let at = conn.last.max(now + MILLISECOND);
        conn.last = at;
        self.at(at, Happening::Down(id, Down::Fail(Failure::Lost)));
    }

    /// Resets every connection: those that the server had, or all of them.
    pub(super) fn net_reset(&mut self, by_server: bool) {
        let ids: Vec<_> = self
            .net
            .conns
            .iter()
            .filter(|(_, conn)| conn.server && (conn.arrived || !by_server))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.break_off(id);
        }
    }

    /// The server's host is gone: connections stay half open.
    pub(super) fn net_abandon(&mut self) {
        for conn in self.net.conns.values_mut() {
            conn.server = false;
        }
    }

    pub(super) fn heal(&mut self) {
        self.net.black_hole = false;
        for what in std::mem::take(&mut self.net.stuck) {
            self.after(MILLISECOND, what);
        }
    }

    /// The server ends a response by hand.
    pub fn end_exchange(&mut self, id: ExchangeId) {
        self.write(id, Down::End);
        self.gone(id);
    }

    /// The server writes to a response by hand.
    pub fn body(&mut self, id: ExchangeId, text: &str) {
        self.write(id, Down::Body(text.as_bytes().to_vec()));
        self.run_for(2 * MILLISECOND);
    }

    /// The same with bytes that need not be text.
    pub fn body_bytes(&mut self, id: ExchangeId, bytes: &[u8]) {
        self.write(id, Down::Body(bytes.to_vec()));
        self.run_for(2 * MILLISECOND);
    }

    /// The server begins a response by hand.
    pub fn head(&mut self, id: ExchangeId, status: u16) {
        self.write(id, Down::Head(status, Vec::new()));
    }

    /// The server answers an exchange by hand.
    pub fn respond(&mut self, id: ExchangeId, status: u16, body: &str) {
        self.write(id, Down::Head(status, Vec::new()));
        self.write(id, Down::Body(body.as_bytes().to_vec()));
        self.write(id, Down::End);
    }

    /// When responses ended in order.
    pub fn ended(&self) -> Vec<Instant> {
        self.net.ended.clone()
    }

    /// One connection is reset by something in between.
    pub fn reset_exchange(&mut self, id: ExchangeId) {
        self.break_off(id);
    }

    /// Whether the engine still listens to a GET, though it may be half open.
    pub fn listens(&self) -> bool {
        self.net.conns.values().any(|conn| conn.client && conn.request.method == Method::Get)
    }

    /// Exchanges that the engine still listens to.
    pub fn open_exchanges(&self) -> usize {
        self.net.conns.values().filter(|conn| conn.client).count()
    }
}

fn down_last(pieces: &[Down]) -> &Down {
    pieces.last().expect("there is at least one piece")
}

/// Whether a request is meant by `part`: it holds it; after `own `, it is moreover not the client's.
pub fn is_about(line: &str, part: &str) -> bool {
    match part.strip_prefix("own ") {
        Some(part) => line.contains(part) && !line.contains(r#""tag":"#),
        None => line.contains(part),
    }
}

/// The request line and body, for matching and for people.
pub fn line(request: &Request) -> String {
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    };
    format!("{method} {} {}", request.path, String::from_utf8_lossy(&request.body))
}
