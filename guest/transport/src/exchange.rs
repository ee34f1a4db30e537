//! One HTTP exchange: a request made, its response read, both reported to the engine.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{pending, poll_fn};
use core::task::{Poll, Waker};

use futures_lite::future;
use mcp_reconnect_core::{ExchangeId, Failure, Input, Method, Request};

use crate::bindings::wasi::http::outgoing_handler::handle;
use crate::bindings::wasi::http::types::{
    self as http, ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use crate::bindings::wasi::io::streams::StreamError;
use crate::failure::{describe, failure};
use crate::reactor::Reactor;

/// The most that one read takes. A read costs more than the copy of its bytes on some hosts.
const READ_BYTES: u64 = 256 * 1024;

/// The most that the first read of a body takes. So much of each body is read before the engine has said whether it may go on.
const FIRST_READ_BYTES: u64 = 64 * 1024;

/// Reads in one turn of the reactor: few, so that one busy stream does not keep the others waiting.
const EAGER_READS: u32 = 2;

/// The host's timeouts, in nanoseconds: the engine has timers of its own, so these must never fire. The largest whole day
/// that fits the 31-bit millisecond timers of JavaScript hosts.
const HOST_TIMEOUT: u64 = 24 * 24 * 3600 * 1_000_000_000;

/// Room for all headers of a request: a host may trap beyond some limit of its own (Wasmtime: 128 KiB).
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// What exchanges have to tell the engine, in the order in which it happened.
pub type Reports = Rc<RefCell<VecDeque<(ExchangeId, Input)>>>;

/// Whether an exchange may read on.
#[derive(Default)]
pub struct Gate {
    paused: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Gate {
    /// Holds the exchange up before its next read.
    pub fn pause(&self) {
        self.paused.set(true);
    }

    /// Lets it read on.
    pub fn resume(&self) {
        self.paused.set(false);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits until the exchange may read.
    async fn open(&self) {
        poll_fn(|context| {
            if !self.paused.get() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Makes the request and reports all that becomes of it. Dropping the future cancels the exchange.
pub async fn run(id: ExchangeId, request: Request, reactor: Reactor, reports: Reports, gate: Rc<Gate>) {
    let report = |input| reports.borrow_mut().push_back((id, input));
    let outcome = async {
        let (response, body) = start(&request)?;
        // The response may come before the body is written, and may be all that tells why writing failed. So the
        // response alone decides when the exchange is over, and writing goes on beside it.
        let write = async {
            if write(body, &request.body, &reactor).await {
                report(Input::Sent(id));
            }
            pending().await
        };
        let read = read(id, response, &reactor, &gate, &report);
        future::or(write, read).await
    };
    match outcome.await {
        Ok(()) => report(Input::End(id)),
        Err((failure, detail)) => report(Input::Failed { exchange: id, failure, detail }),
    }
}

/// Why an exchange failed, for the engine and for people.
type Fault = (Failure, String);

/// Hands the request over to the host, before any byte of its body is written: the host sends while we write.
fn start(request: &Request) -> Result<(FutureIncomingResponse, Option<OutgoingBody>), Fault> {
    let outgoing = OutgoingRequest::new(fields(request)?);
    let method = match request.method {
        Method::Get => http::Method::Get,
        Method::Post => http::Method::Post,
        Method::Delete => http::Method::Delete,
    };
    let scheme = if request.https { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method).map_err(|()| unsendable("the host refuses the method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| unsendable("the host refuses the scheme"))?;
    outgoing.set_authority(Some(&request.authority)).map_err(|()| unsendable("the host refuses the authority"))?;
    outgoing.set_path_with_query(Some(&request.path)).map_err(|()| unsendable("the host refuses the path"))?;

    let body = match request.method {
        Method::Post => Some(outgoing.body().map_err(|()| unsendable("the host gives no request body"))?),
        Method::Get | Method::Delete => None,
    };
    let options = RequestOptions::new();
    // A host that supports no such option has no such timeout.
    let _ = options.set_connect_timeout(Some(HOST_TIMEOUT));
    let _ = options.set_first_byte_timeout(Some(HOST_TIMEOUT));
    let _ = options.set_between_bytes_timeout(Some(HOST_TIMEOUT));
    match handle(outgoing, Some(options)) {
        Ok(response) => Ok((response, body)),
        Err(code) => Err(fault(&code)),
    }
}

fn fields(request: &Request) -> Result<Fields, Fault> {
    let mut entries: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    if request.method == Method::Post {
        entries.push((String::from("content-length"), alloc::format!("{}", request.body.len()).into_bytes()));
    }
    if entries.iter().map(|(name, value)| name.len() + value.len() + 64).sum::<usize>() > MAX_HEADER_BYTES {
        return Err(unsendable("the request's headers are larger than 64 KiB"));
    }
    Fields::from_list(&entries).map_err(|error| match error {
        http::HeaderError::Forbidden => unsendable("the host forbids one of the request's headers"),
        http::HeaderError::InvalidSyntax | http::HeaderError::Immutable => {
            unsendable("the host does not accept one of the request's headers")
        }
    })
}

/// Writes the request's body; tells whether the host took all of it.
async fn write(body: Option<OutgoingBody>, bytes: &[u8], reactor: &Reactor) -> bool {
    let Some(body) = body else { return true };
    {
        let Ok(stream) = body.write() else { return false };
        // Most bodies fit at once, and then there is nothing to wait for.
        let mut writable = None;
        let mut rest = bytes;
        while !rest.is_empty() {
            match stream.check_write() {
                Ok(0) => writable.get_or_insert_with(|| reactor.watch(stream.subscribe())).ready().await,
                Ok(room) => {
                    let (now, later) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
                    if stream.write(now).is_err() {
                        return false;
                    }
                    rest = later;
                }
                Err(_) => return false,
            }
        }
    }
    OutgoingBody::finish(body, None).is_ok()
}

/// Reads the response and its body to the end.
async fn read(
    id: ExchangeId,
    future: FutureIncomingResponse,
    reactor: &Reactor,
    gate: &Gate,
    report: &impl Fn(Input),
) -> Result<(), Fault> {
    let response = response(future, reactor).await?;
    report(Input::Response { exchange: id, status: response.status(), headers: response.headers().entries() });

    // Declared in this order, so that they go in the other one: source, stream, body. A parent that goes first traps.
    let body = response.consume().map_err(|()| lost("the host gives no response body"))?;
    let stream = body.stream().map_err(|()| lost("the host gives no response stream"))?;
    let mut readable = None;
    // A small body mostly comes with its head, and its end with it: to read is then cheaper than to ask first.
    let mut reads = EAGER_READS;
    let mut most = FIRST_READ_BYTES;
    loop {
        if reads == 0 {
            gate.open().await;
            readable.get_or_insert_with(|| reactor.watch(stream.subscribe())).ready().await;
            // It may have been closed meanwhile.
            gate.open().await;
            reads = EAGER_READS;
        }
        match stream.read(most) {
            // Nothing yet. A host may say so after it said that there is something, too.
            Ok(bytes) if bytes.is_empty() => reads = 0,
            Ok(bytes) => {
                // After a whole first piece the engine has its say.
                reads = if bytes.len() as u64 == FIRST_READ_BYTES { 0 } else { reads - 1 };
                most = READ_BYTES;
                report(Input::Body { exchange: id, bytes });
            }
            Err(StreamError::Closed) => return Ok(()),
            // Not `http-error-code`: it traps on some hosts and says nothing on the others.
            Err(StreamError::LastOperationFailed(error)) => return Err(lost(&error.to_debug_string())),
        }
    }
}

async fn response(future: FutureIncomingResponse, reactor: &Reactor) -> Result<IncomingResponse, Fault> {
    let arrived = reactor.watch(future.subscribe());
    loop {
        arrived.ready().await;
        match future.get() {
            None => {}
            Some(Ok(Ok(response))) => return Ok(response),
            Some(Ok(Err(code))) => return Err(fault(&code)),
            Some(Err(())) => return Err(lost("the host gave the response away")),
        }
    }
}

fn fault(code: &ErrorCode) -> Fault {
    (failure(code), describe(code))
}

fn unsendable(detail: &str) -> Fault {
    (Failure::Unsendable, String::from(detail))
}

fn lost(detail: &str) -> Fault {
    // A host may append its backtrace; the first line is for people.
    let line = detail.lines().next().unwrap_or_default();
    let end = line.floor_char_boundary(200);
    (Failure::Lost, String::from(&line[..end]))
}
