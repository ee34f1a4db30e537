//! The connection as a transport of the official Rust SDK, [`rmcp`](::rmcp): a client of that SDK then lives through its
//! server's restarts. Needs the feature `rmcp`.
//!
//! ```no_run
//! use mcp_reconnect::{Options, rmcp::ReconnectingTransport};
//! use rmcp::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Was: let transport = StreamableHttpClientTransport::from_uri("https://jarvis.internal/mcp");
//! let transport = ReconnectingTransport::connect(Options::new("https://jarvis.internal/mcp")).await?;
//! let client = ().serve(transport).await?;
//! println!("{} tools", client.peer().list_all_tools().await?.len());
//! client.cancel().await?;
//! # Ok(())
//! # }
//! ```

use std::error::Error;
use std::fmt;

use ::rmcp::RoleClient;
use ::rmcp::model::{ErrorData, JsonRpcMessage, RequestId};
use ::rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use ::rmcp::transport::Transport;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::oneshot;

use crate::{Event, OpenError, Options, Receiver, SendError, Sender};

/// A transport for a client of the official Rust SDK, HTTP+SSE included. Its service ends when the program ends it, not
/// because a server went away.
pub struct ReconnectingTransport {
    sender: Sender,
    receiver: Receiver,
    turns: Turns,
    on_event: Box<dyn FnMut(&Event) + Send>,
}

impl ReconnectingTransport {
    /// Opens a connection, as [`crate::connect`] does. The first contact with the server is made by the SDK's `serve`.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A server that is down is not an error.
    pub async fn connect(options: Options) -> Result<Self, OpenError> {
        crate::connect(options).await.map(Self::from)
    }

    /// Shows every lifecycle event (all but [`Event::Message`]) to `observe`, which must not block.
    #[must_use]
    pub fn on_event(mut self, observe: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Box::new(observe);
        self
    }

    /// Controls the connection while the SDK owns the transport: status, fresh headers, a new session. Messages are the
    /// SDK's to send.
    pub fn control(&self) -> Sender {
        self.sender.clone()
    }
}

impl From<(Sender, Receiver)> for ReconnectingTransport {
    fn from((sender, receiver): (Sender, Receiver)) -> Self {
        Self { sender, receiver, turns: Turns::default(), on_event: Box::new(|_| ()) }
    }
}

impl fmt::Debug for ReconnectingTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReconnectingTransport").finish_non_exhaustive()
    }
}

impl Transport<RoleClient> for ReconnectingTransport {
    type Error = TransportError;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), TransportError>> + Send + 'static {
        let text = serde_json::to_string(&message);
        let sender = self.sender.clone();
        let mut turn = self.turns.take();
        async move {
            turn.comes().await;
            sender.send(text.map_err(TransportError::Unsendable)?).await.map_err(TransportError::Connection)
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            match self.receiver.receive().await? {
                Event::Message(text) => {
                    if let Some(message) = read(&text) {
                        return Some(message);
                    }
                }
                event => (self.on_event)(&event),
            }
        }
    }

    /// Says goodbye to the server; about a second at most.
    async fn close(&mut self) -> Result<(), TransportError> {
        self.sender.close().await;
        while let Some(event) = self.receiver.receive().await {
            if !matches!(event, Event::Message(_)) {
                (self.on_event)(&event);
            }
        }
        Ok(())
    }
}

/// Keeps the order of sends that the SDK begins in order, but runs side by side.
#[derive(Default)]
struct Turns {
    last: Option<oneshot::Receiver<()>>,
}

impl Turns {
    fn take(&mut self) -> Turn {
        let (over, next) = oneshot::channel();
        Turn { before: self.last.replace(next), _over: over }
    }
}

/// A place in the order. Dropping it, done or given up, makes room for the next.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _over: oneshot::Sender<()>,
}

impl Turn {
    async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: it ends when the place before is dropped.
            let _ = before.await;
        }
    }
}

/// Reads a message. What the SDK cannot read is an error for the request that it answers; a message that answers none is
/// told in the log.
fn read(text: &str) -> Option<RxJsonRpcMessage<RoleClient>> {
    let error = match serde_json::from_str(text) {
        Ok(message) => return Some(message),
        Err(error) => error,
    };
    /// As much of an answer as says whose it is.
    #[derive(Deserialize)]
    struct Answer {
        id: RequestId,
        method: Option<IgnoredAny>,
    }
    match serde_json::from_str(text) {
        Ok(Answer { id, method: None }) => {
            let text = format!("the server's answer is not what this version of rmcp expects: {error}");
            Some(JsonRpcMessage::error(ErrorData::internal_error(text, None), Some(id)))
        }
        _ => {
            tracing::warn!("dropped a message of the server that this version of rmcp cannot read: {error}");
            None
        }
    }
}

/// Why a message of the SDK was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// The connection takes no messages any more.
    Connection(SendError),
    /// The message cannot be written as JSON.
    Unsendable(serde_json::Error),
}

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(formatter),
            Self::Unsendable(error) => write!(formatter, "the message cannot be written as JSON: {error}"),
        }
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Unsendable(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn sends_keep_their_order_whichever_runs_first() {
        let mut turns = Turns::default();
        let (mut first, mut second, mut third) = (turns.take(), turns.take(), turns.take());
        let context = &mut Context::from_waker(Waker::noop());
        assert_eq!(pin!(third.comes()).poll(context), Poll::Pending);
        let mut second_comes = pin!(second.comes());
        assert_eq!(second_comes.as_mut().poll(context), Poll::Pending);
        assert_eq!(pin!(first.comes()).poll(context), Poll::Ready(()));
        drop(first);
        assert_eq!(second_comes.as_mut().poll(context), Poll::Ready(()));
    }

    #[test]
    fn an_answer_is_read() {
        let read = read(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        assert!(matches!(read, Some(JsonRpcMessage::Response(answer)) if answer.id == RequestId::Number(7)));
    }

    #[test]
    fn an_answer_that_the_sdk_cannot_read_is_an_error_for_its_request() {
        let read = read(r#"{"jsonrpc":"2.0","id":"a","error":{"code":"no number","message":"x"}}"#);
        let Some(JsonRpcMessage::Error(error)) = read else { panic!("{read:?}") };
        assert_eq!(error.id, Some(RequestId::String("a".into())));
        assert!(error.error.message.contains("not what this version of rmcp expects"), "{}", error.error.message);
    }

    #[test]
    fn what_answers_nothing_is_dropped() {
        assert!(read(r#"{"jsonrpc":"2.0","method":7}"#).is_none());
    }
}
