//! An attempt to make a session: how far it has come, and what is known of the session that it makes.

use alloc::string::String;

use crate::policy::session_loss::Refusal;
use crate::wire::url::Url;
use crate::{ExchangeId, Transport};

/// An attempt to make a session.
///
/// Invariants: the `endpoint` event is awaited on HTTP+SSE only, and only a session of Streamable HTTP has an id; the number of the
/// session stays as it was begun with; `server/discover`, once it was refused, is not sent again in the same attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handshake {
    transport: Transport,
    step: Step,
    /// The id of `initialize` on the wire.
    wire_id: u64,
    /// The exchange of the step.
    exchange: Option<ExchangeId>,
    /// HTTP+SSE: the stream, and where it says to POST.
    stream: Option<ExchangeId>,
    endpoint: Option<Url>,
    session_id: Option<String>,
    /// The number of the session that is being made.
    epoch: u64,
    /// What the other transport, or `initialize`, was refused with, if that was tried first.
    refused: Option<Refusal>,
    /// The version without sessions that `server/discover` was sent in, in the place of `initialize`.
    version: Option<String>,
    /// That was sent once more.
    asked_again: bool,
    /// That was refused.
    discover_refused: bool,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The DELETE of the old session.
    Delete,
    /// HTTP+SSE: the `endpoint` event is awaited.
    Endpoint,
    /// The initialize result is awaited.
    Initialize,
    /// The server is to take `notifications/initialized`.
    Initialized,
}

impl Handshake {
    fn at(step: Step, transport: Transport, epoch: u64) -> Self {
        Self {
            transport,
            step,
            wire_id: 0,
            exchange: None,
            stream: None,
            endpoint: None,
            session_id: None,
            epoch,
            refused: None,
            version: None,
            asked_again: false,
            discover_refused: false,
        }
    }

    /// The first step of one that makes the session of this number; `refused`: what the other transport answered.
    pub fn begin(transport: Transport, epoch: u64, refused: Option<Refusal>) -> Self {
        let step = match transport {
            Transport::StreamableHttp => Step::Initialize,
            Transport::HttpSse => Step::Endpoint,
        };
        Self { refused, ..Self::at(step, transport, epoch) }
    }

    /// One that waits for the end of the session before it, and has no number yet.
    pub fn after_delete() -> Self {
        Self::at(Step::Delete, Transport::StreamableHttp, 0)
    }

    /// The last step alone, of a session that waited for its client.
    pub fn last_step(transport: Transport, epoch: u64) -> Self {
        Self::at(Step::Initialized, transport, epoch)
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    pub fn step(&self) -> Step {
        self.step
    }

    pub fn wire_id(&self) -> u64 {
        self.wire_id
    }

    pub fn exchange(&self) -> Option<ExchangeId> {
        self.exchange
    }

    pub fn endpoint(&self) -> Option<&Url> {
        self.endpoint.as_ref()
    }

    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// 0 while the session before it is being ended.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn refused(&self) -> Option<&Refusal> {
        self.refused.as_ref()
    }

    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub fn was_asked_again(&self) -> bool {
        self.asked_again
    }

    pub fn is_discover_refused(&self) -> bool {
        self.discover_refused
    }

    /// Whether the `endpoint` event is awaited, on this stream.
    pub fn awaits_endpoint_on(&self, stream: ExchangeId) -> bool {
        self.step == Step::Endpoint && self.stream == Some(stream)
    }

    pub fn stream_is(&mut self, stream: ExchangeId) {
        debug_assert_eq!(self.step, Step::Endpoint);
        self.stream = Some(stream);
    }

    pub fn endpoint_is(&mut self, endpoint: Url) {
        debug_assert_eq!(self.step, Step::Endpoint);
        self.endpoint = Some(endpoint);
    }

    /// `initialize`, or what takes its place, was posted.
    pub fn posted(&mut self, wire_id: u64, exchange: ExchangeId) {
        self.wire_id = wire_id;
        self.exchange = Some(exchange);
        self.step = Step::Initialize;
    }

    pub fn session_id_is(&mut self, id: String) {
        debug_assert_eq!(self.transport, Transport::StreamableHttp);
        self.session_id = Some(id);
    }

    /// The session is given up: its id, where there is one that the server may still hold.
    pub fn take_session_id(&mut self) -> Option<String> {
        self.session_id.take()
    }

    /// `initialize` was refused with this, and `server/discover` takes its place.
    pub fn refused_with(&mut self, refusal: Refusal) {
        self.refused = Some(refusal);
    }

    /// `server/discover` of this version takes the place of `initialize`.
    pub fn discovers(&mut self, version: String, wire_id: u64) {
        debug_assert!(!self.discover_refused);
        self.version = Some(version);
        self.wire_id = wire_id;
    }

    /// `server/discover` is sent once more.
    pub fn asks_again(&mut self) {
        self.asked_again = true;
    }

    /// `server/discover` was refused: it is the turn of `initialize`, unless that was refused before, which is given back. A
    /// session that came with the refusal is none.
    pub fn discover_was_refused(&mut self) -> Option<Refusal> {
        self.session_id = None;
        self.version = None;
        self.discover_refused = true;
        self.refused.take()
    }

    /// The result has come, and the server is to take `notifications/initialized`.
    pub fn awaits_initialized(&mut self) {
        self.step = Step::Initialized;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCHANGE: ExchangeId = ExchangeId(7);

    #[test]
    fn the_first_step_is_that_of_the_transport() {
        let sse = Handshake::begin(Transport::HttpSse, 3, None);
        assert_eq!((sse.step(), sse.epoch()), (Step::Endpoint, 3));
        assert!(!sse.awaits_endpoint_on(EXCHANGE));
        let http = Handshake::begin(Transport::StreamableHttp, 3, None);
        assert_eq!((http.step(), http.transport()), (Step::Initialize, Transport::StreamableHttp));
        assert_eq!(Handshake::after_delete().epoch(), 0);
    }

    #[test]
    fn the_endpoint_counts_on_the_stream_of_the_handshake_and_before_initialize() {
        let mut handshake = Handshake::begin(Transport::HttpSse, 1, None);
        handshake.stream_is(EXCHANGE);
        assert!(handshake.awaits_endpoint_on(EXCHANGE));
        assert!(!handshake.awaits_endpoint_on(ExchangeId(8)));
        handshake.posted(5, ExchangeId(9));
        assert!(!handshake.awaits_endpoint_on(EXCHANGE));
        assert_eq!((handshake.wire_id(), handshake.exchange()), (5, Some(ExchangeId(9))));
    }

    #[test]
    fn a_discover_that_was_refused_gives_back_what_came_before() {
        let refusal = Refusal { status: 400, challenge: String::new(), retry_after: None, body: String::new() };
        let mut handshake = Handshake::begin(Transport::StreamableHttp, 1, None);
        handshake.session_id_is("s".into());
        handshake.refused_with(refusal.clone());
        handshake.discovers("2026-07-28".into(), 2);
        assert_eq!((handshake.version(), handshake.session_id()), (Some("2026-07-28"), Some("s")));
        assert_eq!(handshake.discover_was_refused(), Some(refusal));
        assert_eq!((handshake.version(), handshake.session_id(), handshake.refused()), (None, None, None));
        assert!(handshake.is_discover_refused());
    }
}
