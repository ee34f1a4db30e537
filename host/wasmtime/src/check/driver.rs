//! Carries out the steps of a check: over the library as any client does, and by single requests.

use std::future::Future;
use std::time::{Duration, Instant};

use mcp_reconnect::probe::{Probe, Response};
use mcp_reconnect::{Event, HttpOptions, OpenError, Options, Receiver, Sender, Transport};
use mcp_reconnect_core::diagnosis::check::{Happening, Outcome, Session, Step, Via};
use mcp_reconnect_core::{self as core, Method, Request};

use super::certificate;

/// What a check needs.
pub struct Driver {
    url: String,
    http: HttpOptions,
    begun: Instant,
    sender: Sender,
    receiver: Receiver,
    shared: Probe,
    /// The response of the last request, and the one that is the stream.
    last: Option<Response>,
    stream: Option<Response>,
}

impl Driver {
    /// Makes no contact yet.
    pub async fn open(url: &str, http: HttpOptions, options: Options, limit: Duration) -> Result<Self, OpenError> {
        let options =
            options.heartbeat(None).start_timeout(None).hold_timeout(limit).run_timeout(limit).response_timeout(limit);
        let (sender, receiver) = mcp_reconnect::connect(options).await?;
        let (url, shared, begun) = (url.to_owned(), Probe::new(&http, url)?, Instant::now());
        Ok(Self { url, http, begun, sender, receiver, shared, last: None, stream: None })
    }

    /// The time, as the check counts it.
    pub fn now(&self) -> core::Instant {
        core::Instant::from_nanos(u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Does it, within the time that it has.
    pub async fn carry_out(&mut self, step: Step) -> Outcome {
        match step {
            Step::Send(message) => match self.sender.send(message).await {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::Failed(error.to_string()),
            },
            Step::Receive(limit) => within(limit, self.receive()).await,
            Step::Request { request, via, is_stream, limit } => {
                self.last = None;
                let response = async { self.request(request, via).await.map_err(Outcome::Failed) };
                match within(limit, response).await {
                    Ok(response) => {
                        let head = Outcome::Head {
                            status: response.status,
                            headers: response.headers.clone(),
                            version: response.version.clone(),
                        };
                        *(if is_stream { &mut self.stream } else { &mut self.last }) = Some(response);
                        head
                    }
                    Err(outcome) => outcome,
                }
            }
            Step::Read { of_stream, limit } => {
                let Some(response) = (if of_stream { &mut self.stream } else { &mut self.last }) else {
                    return Outcome::End;
                };
                let read = async {
                    match response.chunk().await {
                        Ok(Some(bytes)) => Outcome::Bytes(bytes),
                        Ok(None) => Outcome::End,
                        Err(problem) => Outcome::Failed(problem),
                    }
                };
                within(limit, read).await
            }
            Step::EndStream => {
                self.stream = None;
                Outcome::Done
            }
            Step::Tls(limit) => match certificate::look(&self.http, &self.url, limit).await {
                Ok(tls) => Outcome::Tls(tls),
                Err(problem) => Outcome::Failed(problem),
            },
            Step::Close => {
                self.sender.close().await;
                Outcome::Done
            }
            Step::AwaitClosed(limit) => {
                let closed = async {
                    while self.receiver.receive().await.is_some() {}
                    Outcome::Done
                };
                within(limit, closed).await
            }
            Step::Done => Outcome::Done,
        }
    }

    async fn receive(&mut self) -> Outcome {
        Outcome::Event(match self.receiver.receive().await {
            None => Happening::Closed,
            Some(Event::Message(text)) => Happening::Message(text),
            Some(Event::Connected(session)) => Happening::Connected(Session {
                transport: match session.transport {
                    Transport::HttpSse => core::Transport::HttpSse,
                    // The component that this program carries knows no third one.
                    _ => core::Transport::StreamableHttp,
                },
                protocol_version: session.protocol_version,
                has_session_id: session.has_session_id,
            }),
            Some(Event::Disconnected { reason, .. }) => Happening::Disconnected(reason),
            Some(Event::Reconnecting { reason, .. }) => Happening::Reconnecting(reason),
            Some(Event::CredentialsNeeded { status, challenge }) => Happening::CredentialsNeeded { status, challenge },
            Some(_) => Happening::Other,
        })
    }

    async fn request(&self, request: Request, via: Via) -> Result<Response, String> {
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        };
        let scheme = if request.https { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", request.authority, request.path);
        let probe = match via {
            Via::Shared => self.shared.clone(),
            Via::Dedicated => Probe::new(&self.http, &self.url).map_err(|error| error.to_string())?,
            Via::Undecoded => Probe::undecoded(&self.http, &self.url).map_err(|error| error.to_string())?,
        };
        probe.request(method, &url, &request.headers, request.body).await
    }
}

/// What is late has an outcome too.
trait MaybeLate {
    fn late() -> Self;
}

impl MaybeLate for Outcome {
    fn late() -> Self {
        Self::Late
    }
}

impl<T> MaybeLate for Result<T, Outcome> {
    fn late() -> Self {
        Err(Outcome::Late)
    }
}

async fn within<T: MaybeLate>(limit: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| T::late())
}
