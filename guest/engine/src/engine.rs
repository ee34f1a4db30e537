//! The resource `engine`.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;

use mcp_reconnect_core as engine;
use mcp_reconnect_core::{ExchangeId, Input, Instant};

use crate::bindings::exports::mcp_reconnect::transport::sans_io as wit;
use crate::types::{self, OptionsResource};

/// What implements it.
pub struct EngineResource(RefCell<engine::Engine>);

impl wit::GuestEngine for EngineResource {
    fn open(options: wit::Options, seed: u64, now: wit::Instant) -> Result<wit::Engine, wit::OpenError> {
        let engine = engine::Engine::new(OptionsResource::take(options), seed, Instant::from_nanos(now))
            .map_err(types::open_error)?;
        Ok(wit::Engine::new(Self(RefCell::new(engine))))
    }

    fn handle(&self, now: wit::Instant, input: wit::Input) -> Result<(), wit::InputError> {
        #[cfg(feature = "faults")]
        match &input {
            wit::Input::Message(text) => crate::faults::on_message(text),
            wit::Input::Response(_) | wit::Input::Failed(_) => crate::faults::on_network(),
            _ => {}
        }
        let mut engine = self.0.borrow_mut();
        let input = match input {
            wit::Input::Message(_) if engine.is_closed() => {
                return Err(wit::InputError::Closed("the connection is closed".to_string()));
            }
            wit::Input::Message(text) => Input::Message(text),
            wit::Input::Tick => Input::Tick,
            wit::Input::SetHeaders(headers) => {
                engine::Engine::check_headers(&headers).map_err(invalid_header)?;
                Input::SetHeaders(headers)
            }
            wit::Input::SignIn(sign_in) => {
                Input::SignIn(sign_in.map(|wit::SignIn { command, url }| engine::SignIn { command, url }))
            }
            wit::Input::Reconnect => Input::Reconnect,
            wit::Input::Probe => Input::Probe,
            wit::Input::Close => Input::Close,
            wit::Input::Sent(exchange) => Input::Sent(ExchangeId(exchange)),
            wit::Input::Response(wit::Response { exchange, status, headers }) => {
                Input::Response { exchange: ExchangeId(exchange), status, headers }
            }
            wit::Input::Body(wit::Body { exchange, bytes }) => Input::Body { exchange: ExchangeId(exchange), bytes },
            wit::Input::End(exchange) => Input::End(ExchangeId(exchange)),
            wit::Input::Failed(wit::Failed { exchange, failure, detail }) => {
                Input::Failed { exchange: ExchangeId(exchange), failure: self::failure(failure), detail }
            }
            wit::Input::Other(_) => return Err(wit::InputError::Other("an unknown input".to_string())),
        };
        engine.handle(Instant::from_nanos(now), input);
        Ok(())
    }

    fn poll_outputs(&self, max: u32) -> Vec<wit::Output> {
        let mut engine = self.0.borrow_mut();
        let mut outputs = Vec::new();
        while max == 0 || outputs.len() < max as usize {
            let Some(output) = engine.poll_output() else { break };
            outputs.push(self::output(output));
        }
        outputs
    }

    fn deadline(&self) -> Option<wit::Instant> {
        self.0.borrow().deadline().map(Instant::as_nanos)
    }

    fn status(&self, now: wit::Instant) -> wit::Status {
        types::status(self.0.borrow().status(), Instant::from_nanos(now))
    }
}

fn invalid_header(error: engine::HeaderError) -> wit::InputError {
    wit::InputError::InvalidHeader(error.to_string())
}

fn failure(failure: wit::Failure) -> engine::Failure {
    match failure {
        wit::Failure::Dns => engine::Failure::Dns,
        wit::Failure::Connect => engine::Failure::Connect,
        wit::Failure::Tls => engine::Failure::Tls,
        wit::Failure::Lost => engine::Failure::Lost,
        wit::Failure::Unsendable => engine::Failure::Unsendable,
    }
}

fn output(output: engine::Output) -> wit::Output {
    match output {
        engine::Output::Start(exchange, request) => wit::Output::Start(wit::Request {
            exchange: exchange.0,
            method: match request.method {
                engine::Method::Get => wit::Method::Get,
                engine::Method::Post => wit::Method::Post,
                engine::Method::Delete => wit::Method::Delete,
            },
            https: request.https,
            authority: request.authority,
            path: request.path,
            headers: request.headers,
            body: request.body,
        }),
        engine::Output::Cancel(exchange) => wit::Output::Cancel(exchange.0),
        engine::Output::Pause(exchange) => wit::Output::Pause(exchange.0),
        engine::Output::Resume(exchange) => wit::Output::Resume(exchange.0),
        engine::Output::Event(event) => match types::event(event) {
            Some(event) => wit::Output::Event(event),
            None => wit::Output::Closed("closed by the client".to_string()),
        },
    }
}
