//! The engine as a Rust library.

use mcp_reconnect_core::{Engine as Core, Event, ExchangeId, Input, Instant, Options, Output};

use crate::script::{Engine, Step, Want};

pub const URL: &str = "http://127.0.0.1:9000/mcp";

pub struct Native(Core);

impl Native {
    pub fn new() -> Self {
        Self(Core::new(Options::new(URL), 7, Instant::ZERO).expect("the options are good"))
    }
}

impl Engine for Native {
    fn handle(&mut self, now: u64, step: Step<'_>) {
        let input = match step {
            Step::Message(text) => Input::Message(text.to_owned()),
            Step::Sent(exchange) => Input::Sent(ExchangeId(exchange)),
            Step::Response(exchange, status, "") => {
                Input::Response { exchange: ExchangeId(exchange), status, headers: Vec::new() }
            }
            Step::Response(exchange, status, kind) => Input::Response {
                exchange: ExchangeId(exchange),
                status,
                headers: vec![("content-type".to_owned(), kind.as_bytes().to_vec())],
            },
            Step::Body(exchange, bytes) => Input::Body { exchange: ExchangeId(exchange), bytes: bytes.to_vec() },
            Step::End(exchange) => Input::End(ExchangeId(exchange)),
        };
        self.0.handle(Instant::from_nanos(now), input);
    }

    fn outputs(&mut self) -> Vec<Want> {
        let mut wants = Vec::new();
        while let Some(output) = self.0.poll_output() {
            match output {
                Output::Start(exchange, request) => wants.push(Want::Start(exchange.0, request.body)),
                Output::Event(Event::Message(text)) => wants.push(Want::Message(text)),
                Output::Cancel(_) | Output::Event(_) | Output::Pause(_) | Output::Resume(_) => {}
            }
        }
        wants
    }

    fn deadline(&mut self) -> Option<u64> {
        self.0.deadline().map(Instant::as_nanos)
    }
}
