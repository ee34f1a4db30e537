//! The interface `diagnosis`: a check of a server, in terms of WIT.

use alloc::string::{String, ToString};
use core::cell::RefCell;
use core::time::Duration;

use mcp_reconnect_core::diagnosis::check::{Check, Config, Happening, Outcome, Session, Step, Tls, Via};
use mcp_reconnect_core::{Instant, Method, Transport};

use crate::bindings::exports::mcp_reconnect::transport::diagnosis as wit;
use crate::bindings::exports::mcp_reconnect::transport::sans_io::Method as WitMethod;
use crate::bindings::exports::mcp_reconnect::transport::types::Transport as WitTransport;

/// The resource `check`.
pub struct CheckResource(RefCell<Check>);

impl wit::GuestCheck for CheckResource {
    fn begin(
        url: String,
        headers: wit::Headers,
        limit: wit::Duration,
        now: wit::Instant,
    ) -> Result<wit::Check, String> {
        let mut config = Config::new(url);
        config.headers = headers;
        config.limit = Duration::from_nanos(limit);
        let check = Check::new(config, Instant::from_nanos(now)).map_err(|problem| problem.to_string())?;
        Ok(wit::Check::new(Self(RefCell::new(check))))
    }

    fn step(&self) -> wit::Step {
        step(self.0.borrow_mut().step())
    }

    fn answer(&self, now: wit::Instant, outcome: wit::Outcome) {
        self.0.borrow_mut().answer(Instant::from_nanos(now), self::outcome(outcome));
    }

    fn interrupt(&self, now: wit::Instant) {
        self.0.borrow_mut().interrupt(Instant::from_nanos(now));
    }

    fn progress(&self) -> String {
        self.0.borrow().progress().to_string()
    }

    fn text(&self) -> String {
        self.0.borrow().text().unwrap_or_default()
    }

    fn json(&self) -> String {
        self.0.borrow().json().unwrap_or_default()
    }

    fn exit_code(&self) -> u8 {
        self.0.borrow().exit_code().unwrap_or_default()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn step(step: Step) -> wit::Step {
    match step {
        Step::Send(message) => wit::Step::Send(message),
        Step::Receive(limit) => wit::Step::Receive(nanos(limit)),
        Step::Request { request, via, is_stream, limit } => wit::Step::Request(wit::Probe {
            method: match request.method {
                Method::Get => WitMethod::Get,
                Method::Post => WitMethod::Post,
                Method::Delete => WitMethod::Delete,
            },
            https: request.https,
            authority: request.authority,
            path: request.path,
            headers: request.headers,
            body: request.body,
            via: match via {
                Via::Shared => wit::Via::Shared,
                Via::Dedicated => wit::Via::Dedicated,
                Via::Undecoded => wit::Via::Undecoded,
            },
            is_stream,
            limit: nanos(limit),
        }),
        Step::Read { of_stream, limit } => wit::Step::Read(wit::Read { of_stream, limit: nanos(limit) }),
        Step::EndStream => wit::Step::EndStream,
        Step::Tls(limit) => wit::Step::LookAtTls(nanos(limit)),
        Step::Close => wit::Step::Close,
        Step::AwaitClosed(limit) => wit::Step::AwaitClosed(nanos(limit)),
        Step::Done => wit::Step::Done,
    }
}

fn outcome(outcome: wit::Outcome) -> Outcome {
    match outcome {
        wit::Outcome::Done => Outcome::Done,
        wit::Outcome::Failed(problem) | wit::Outcome::Other(problem) => Outcome::Failed(problem),
        wit::Outcome::Late => Outcome::Late,
        wit::Outcome::EventMessage(text) => Outcome::Event(Happening::Message(text)),
        wit::Outcome::EventConnected(session) => Outcome::Event(Happening::Connected(Session {
            transport: match session.transport {
                WitTransport::HttpSse => Transport::HttpSse,
                WitTransport::StreamableHttp | WitTransport::Other => Transport::StreamableHttp,
            },
            protocol_version: session.protocol_version,
            has_session_id: session.has_session_id,
        })),
        wit::Outcome::EventDisconnected(reason) => Outcome::Event(Happening::Disconnected(reason)),
        wit::Outcome::EventReconnecting(reason) => Outcome::Event(Happening::Reconnecting(reason)),
        wit::Outcome::EventCredentialsNeeded(wit::Demand { status, www_authenticate }) => {
            Outcome::Event(Happening::CredentialsNeeded { status, challenge: www_authenticate })
        }
        wit::Outcome::EventOther => Outcome::Event(Happening::Other),
        wit::Outcome::EventClosed => Outcome::Event(Happening::Closed),
        wit::Outcome::Head(wit::Head { status, headers, version }) => Outcome::Head { status, headers, version },
        wit::Outcome::Bytes(bytes) => Outcome::Bytes(bytes),
        wit::Outcome::End => Outcome::End,
        wit::Outcome::Tls(tls) => Outcome::Tls(tls.map(|tls| Tls {
            version: tls.version,
            alpn: tls.alpn,
            cipher_suite: tls.cipher_suite,
            subject: tls.subject,
            issuer: tls.issuer,
            not_after: tls.not_after,
            days_left: tls.days_left,
        })),
    }
}
