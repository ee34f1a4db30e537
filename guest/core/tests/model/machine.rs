//! The engine under test, and the faults that show that the promises bite.
//!
//! A fault is put between the engine and the world, so that the engine itself stays the one that ships.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcp_reconnect_core::{Engine, Event, ExchangeId, Failure, Input, Instant, Method, Options, Output, Request, State};

use crate::wire::Wire;

#[path = "../support/waits.rs"]
mod waits;

/// A fault between the engine and the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// `notifications/initialized` is never sent, and the engine believes that it was.
    ForgetInitialized,
    /// What the client set up is never restored, and the engine believes that it was.
    ForgetRestore,
    /// A lost POST is taken for one that was never sent.
    ReplayUnsafe,
    /// A new session's stream is asked for from where the old one's ended.
    OldEventId,
    /// `initialize` carries the session of old.
    OldSessionId,
    /// An answer to a question of an old session is posted into the new one.
    OldAnswer,
    /// An error is given twice.
    AnswerTwice,
    /// An error is never given.
    AnswerNever,
    /// Two POSTs change places.
    SwapPosts,
    /// A cancellation is not heard.
    IgnoreCancel,
    /// There is never a deadline.
    NoDeadline,
    /// The first refused connection is the last.
    GiveUp,
    /// The clock is not the one that was given.
    OwnClock,
}

/// What an [`Engine`] shows of itself, with a fault or without.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    engine: Engine,
    fault: Option<Fault>,
    /// What the fault needs to know.
    held: Option<(ExchangeId, Request)>,
    session: Option<String>,
    cursor: Option<String>,
    posts: BTreeSet<ExchangeId>,
    gave_up: bool,
}

/// A clock that nobody gave.
static OWN_CLOCK: AtomicU64 = AtomicU64::new(0);

impl Machine {
    pub fn new(options: Options, fault: Option<Fault>) -> Self {
        Self {
            engine: Engine::new(options, 7, Instant::ZERO).expect("the options are good"),
            fault,
            held: None,
            session: None,
            cursor: None,
            posts: BTreeSet::new(),
            gave_up: false,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        if self.fault == Some(Fault::NoDeadline) || self.gave_up {
            return None;
        }
        self.engine.deadline()
    }

    /// What is under way and not waited for, or for longer than an option allows. Nobody asks for rest in the model.
    pub fn waits_badly(&self, options: &Options, now: Instant, initialized: bool) -> Option<String> {
        if self.fault.is_some() { None } else { waits::problem(&self.engine, options, now, initialized, Instant::ZERO) }
    }

    pub fn is_ready(&self) -> bool {
        self.engine.status().state == State::Ready
    }

    pub fn queued(&self) -> u32 {
        self.engine.status().queued
    }

    /// Hands in an input and drains the outputs.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        if self.gave_up {
            return Vec::new();
        }
        let Some(fault) = self.fault else {
            return self.run(now, input);
        };
        let (now, input) = self.corrupt_input(fault, now, input);
        let mut outputs = Vec::new();
        if fault == Fault::OldAnswer
            && let Input::Message(text) = &input
            && text.contains("\"nonce\"")
        {
            // As if its question's id were still that of the new session.
            outputs.extend(self.post_answer(text));
        }
        let mut todo = self.run(now, input);
        if fault == Fault::SwapPosts {
            let posts: Vec<_> = (0..todo.len())
                .filter(|at| matches!(&todo[*at], Output::Start(_, request) if is_call(request)))
                .collect();
            if let [first, second, ..] = posts[..] {
                todo.swap(first, second);
            }
        }
        for output in todo {
            self.corrupt_output(fault, now, output, &mut outputs);
        }
        outputs
    }

    fn run(&mut self, now: Instant, input: Input) -> Vec<Output> {
        self.engine.handle(now, input);
        std::iter::from_fn(|| self.engine.poll_output()).collect()
    }

    fn corrupt_input(&mut self, fault: Fault, now: Instant, input: Input) -> (Instant, Input) {
        match (fault, input) {
            (Fault::ReplayUnsafe, Input::Failed { exchange, detail, .. }) => {
                (now, Input::Failed { exchange, failure: Failure::Connect, detail })
            }
            (Fault::GiveUp, input @ Input::Failed { .. }) => {
                self.gave_up = matches!(input, Input::Failed { failure: Failure::Connect, .. });
                (now, input)
            }
            (Fault::IgnoreCancel, Input::Message(text)) if text.contains("notifications/cancelled") => {
                (now, Input::Tick)
            }
            (Fault::OwnClock, input) => {
                (now + Duration::from_nanos(OWN_CLOCK.fetch_add(1, Ordering::Relaxed) % 2), input)
            }
            (_, input) => (now, input),
        }
    }

    fn corrupt_output(&mut self, fault: Fault, now: Instant, output: Output, outputs: &mut Vec<Output>) {
        match (fault, output) {
            (Fault::ForgetInitialized, Output::Start(exchange, request)) if is_initialized(&request) => {
                let accepted = Input::Response { exchange, status: 202, headers: Vec::new() };
                for output in self.run(now, accepted).into_iter().chain(self.run(now, Input::End(exchange))) {
                    self.corrupt_output(fault, now, output, outputs);
                }
            }
            (Fault::ForgetRestore, Output::Start(exchange, request))
                if Wire::read(&request).is_ok_and(|wire| wire.is_restore()) =>
            {
                let json: serde_json::Value = serde_json::from_str(body(&request)).expect("it was read");
                let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, json["id"]);
                let headers = vec![("content-type".into(), b"application/json".to_vec())];
                let done = [
                    Input::Response { exchange, status: 200, headers },
                    Input::Body { exchange, bytes: answer.into_bytes() },
                    Input::End(exchange),
                ];
                for input in done {
                    for output in self.run(now, input) {
                        self.corrupt_output(fault, now, output, outputs);
                    }
                }
            }
            (Fault::OldEventId, Output::Start(exchange, mut request)) => {
                let cursor = header(&request, "last-event-id");
                if cursor.is_some() {
                    self.cursor = cursor;
                } else if request.method == Method::Get
                    && let Some(cursor) = self.cursor.clone()
                {
                    request.headers.push(("last-event-id".into(), cursor));
                }
                outputs.push(Output::Start(exchange, request));
            }
            (Fault::OldSessionId, Output::Start(exchange, mut request)) => {
                let session = header(&request, "mcp-session-id");
                if session.is_some() {
                    self.session = session;
                } else if let Some(session) = self.session.clone() {
                    request.headers.push(("mcp-session-id".into(), session));
                }
                outputs.push(Output::Start(exchange, request));
            }
            (Fault::OldAnswer, Output::Start(exchange, request)) => {
                if request.method == Method::Post && header(&request, "mcp-session-id").is_some() {
                    self.held = Some((exchange, request.clone()));
                }
                outputs.push(Output::Start(exchange, request));
            }
            (Fault::AnswerTwice, Output::Event(Event::Message(text))) if is_error(&text) => {
                outputs.push(Output::Event(Event::Message(text.clone())));
                outputs.push(Output::Event(Event::Message(text)));
            }
            (Fault::AnswerNever, Output::Event(Event::Message(text))) if is_error(&text) => {}
            (_, output) => outputs.push(output),
        }
    }

    /// A POST to the session of now, under a name that the engine does not use.
    fn post_answer(&mut self, text: &str) -> Option<Output> {
        let (_, like) = self.held.clone()?;
        let nonce = text.split("\"nonce\":").nth(1)?.split('}').next()?;
        let exchange = ExchangeId(1_000_000 + self.posts.len() as u64);
        self.posts.insert(exchange);
        Some(Output::Start(
            exchange,
            Request {
                method: Method::Post,
                body: format!(r#"{{"jsonrpc":"2.0","id":0,"result":{{"nonce":{nonce}}}}}"#).into_bytes(),
                ..like
            },
        ))
    }
}

pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
}

fn body(request: &Request) -> &str {
    std::str::from_utf8(&request.body).expect("JSON is UTF-8")
}

fn is_initialized(request: &Request) -> bool {
    body(request).contains("notifications/initialized")
}

fn is_call(request: &Request) -> bool {
    let body = body(request);
    body.contains("tools/call") || body.contains("resources/read")
}

fn is_error(text: &str) -> bool {
    text.contains("\"error\":")
}
