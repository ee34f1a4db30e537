//! What a scripted server is like, and what its hooks see.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fault::{Fault, Scripted};
use super::http::{Next, Reply, Request};

/// What a hook decided.
pub enum Outcome {
    /// Do as a good server does.
    Good(Reply),
    /// The hook has answered, or keeps the connection.
    Done(Next),
}

/// Sees every request first.
pub type Hook = dyn Fn(&Call<'_>, Reply) -> Outcome + Send + Sync;

/// One HTTP request, understood.
pub struct Call<'a> {
    /// The request.
    pub http: &'a Request,
    /// `GET`, `DELETE`, the JSON-RPC method, or `answer` for an answer of the client.
    pub kind: &'a str,
    /// How many of this kind came before, on all sessions.
    pub before: usize,
    /// The message; null for GET and DELETE.
    pub message: &'a Value,
    /// The session that the request names.
    pub session: Option<&'a str>,
    /// Whether the server knows that session.
    pub known: bool,
    /// The server.
    pub server: &'a Arc<Scripted>,
}

impl Call<'_> {
    /// Sends `result` as the answer, the way the transport does it.
    pub fn result(&self, reply: Reply, result: Value) -> Next {
        self.respond(reply, &self.response(result))
    }

    /// The message that answers the call with `result`.
    pub fn response(&self, result: Value) -> Value {
        json!({"jsonrpc": "2.0", "id": self.message["id"], "result": result})
    }

    /// The message that answers the call with an error.
    pub fn error(&self, code: i64, text: &str) -> Value {
        json!({"jsonrpc": "2.0", "id": self.message["id"], "error": {"code": code, "message": text}})
    }

    /// Sends `message` as the answer, the way the transport does it.
    pub fn respond(&self, reply: Reply, message: &Value) -> Next {
        let script = self.server.script();
        if script.sse {
            let next = reply.text(202, "text/plain", "Accepted");
            self.server.push_to(self.session.unwrap_or_default(), message);
            next
        } else if script.events {
            let stream = reply.events(&[]);
            stream.event(message);
            stream.end();
            None
        } else {
            reply.json(200, message)
        }
    }

    /// The `mark` of a `tools/call`.
    pub fn mark(&self) -> &str {
        self.message["params"]["arguments"]["mark"].as_str().unwrap_or_default()
    }
}

/// A request as the server wrote it down.
#[derive(Clone, Debug)]
pub struct Record {
    /// The HTTP request.
    pub http: Request,
    /// As [`Call::kind`].
    pub kind: String,
    /// As [`Call::message`].
    pub message: Value,
    /// As [`Call::session`].
    pub session: Option<String>,
}

/// What the server is like, to be changed before it is started.
pub struct Script {
    pub(super) sse: bool,
    pub(super) events: bool,
    pub(super) stateless: bool,
    pub(super) stream: bool,
    pub(super) endpoint: String,
    pub(super) authorization: Option<String>,
    pub(super) capabilities: Value,
    pub(super) hook: Box<Hook>,
    pub(super) gone: Box<Hook>,
}

impl Script {
    /// A Streamable HTTP server with sessions, JSON answers and a GET stream; a lost session is a 404.
    pub fn http() -> Self {
        let gone = |call: &Call<'_>, reply: Reply| {
            Outcome::Done(reply.json(404, &json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32001, "message": "Session not found"}, "kind": call.kind})))
        };
        Self {
            sse: false,
            events: false,
            stateless: false,
            stream: true,
            endpoint: "/message?session=".to_owned(),
            authorization: None,
            capabilities: json!({"tools": {}, "resources": {"subscribe": true}, "prompts": {}, "logging": {}}),
            hook: Box::new(|_, reply| Outcome::Good(reply)),
            gone: Box::new(gone),
        }
    }

    /// An HTTP+SSE server; a lost session is a 404.
    pub fn sse() -> Self {
        let gone = |_: &Call<'_>, reply: Reply| Outcome::Done(reply.text(404, "text/plain", "Could not find session"));
        Self { sse: true, gone: Box::new(gone), ..Self::http() }
    }

    /// Streamable HTTP, answers as event streams.
    pub fn events(mut self) -> Self {
        self.events = true;
        self
    }

    /// Streamable HTTP without session ids and without a GET stream.
    pub fn stateless(mut self) -> Self {
        self.stateless = true;
        self.stream = false;
        self
    }

    /// No GET stream: 405.
    pub fn without_stream(mut self) -> Self {
        self.stream = false;
        self
    }

    /// HTTP+SSE: the beginning of the endpoint's URI, to which the session's id is added; `{port}` is the server's port.
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.endpoint = endpoint.to_owned();
        self
    }

    /// Every request must carry this `Authorization`.
    pub fn authorization(mut self, value: &str) -> Self {
        self.authorization = Some(value.to_owned());
        self
    }

    /// Other capabilities.
    pub fn capabilities(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// A hook that sees every request first.
    pub fn on(mut self, hook: impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static) -> Self {
        self.hook = Box::new(hook);
        self
    }

    /// How a request to an unknown session is answered.
    pub fn gone(mut self, gone: impl Fn(&Call<'_>, Reply) -> Outcome + Send + Sync + 'static) -> Self {
        self.gone = Box::new(gone);
        self
    }

    /// Starts it.
    pub fn start(self) -> Fault {
        let mut fault = self.reserve();
        fault.up();
        fault
    }

    /// Reserves its port; connections are refused until [`Fault::up`].
    pub fn reserve(self) -> Fault {
        Fault::reserve(self)
    }
}
