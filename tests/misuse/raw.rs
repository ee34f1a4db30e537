//! The component `guest/transport` in Wasmtime with nothing around it, so that a test can call what it likes.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use wasmtime::component::{Component, Linker, Resource, ResourceAny, ResourceTable};
use wasmtime::{Engine, Result, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::support::PATIENCE;

#[path = "../../host/wasmtime/src/engine_config.rs"]
pub mod engine_config;
#[path = "../embedding/rust/outgoing_handler.rs"]
mod outgoing_handler;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package mcp-reconnect:misuse;
            world transport {
                import wasi:io/poll@0.2.0;
                export mcp-reconnect:transport/types@0.1.0;
                export mcp-reconnect:transport/client@0.1.0;
            }
        ",
        world: "mcp-reconnect:misuse/transport",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "wasi:io": wasmtime_wasi::p2::bindings::io },
    });
}

pub use bindings::exports::mcp_reconnect::transport::client::{HeadersError, ReceiveError, SendError};
pub use bindings::exports::mcp_reconnect::transport::types::{Event, GuestOptions, OpenError, State, Status};

/// When the `until` of a `receive` becomes ready.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// It is so already.
    Ready,
    /// After this time.
    After(Duration),
    /// Never.
    Never,
}

/// One instance of the component.
pub struct Raw {
    pub store: Store<Host>,
    /// Is told when a `receive` begins to wait for its `until`.
    pub waits: Arc<Notify>,
    transport: bindings::Transport,
}

/// What its imports work on.
pub struct Host {
    pub table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    client: Client,
    limits: StoreLimits,
}

impl Raw {
    /// An instance with memory as it likes.
    pub async fn new() -> Self {
        Self::with_memory(1 << 30).await
    }

    /// An instance whose memory may grow to so many bytes.
    pub async fn with_memory(bytes: usize) -> Self {
        let engine = Engine::new(&engine_config::engine_config()).expect("the settings are good");
        // SAFETY: made by this package's build script with the same settings and version.
        let component =
            unsafe { Component::deserialize(&engine, include_bytes!(concat!(env!("OUT_DIR"), "/transport.cwasm"))) };
        let mut linker = Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("nothing is there twice");
        let http_options = wasmtime_wasi_http::p2::bindings::LinkOptions::default();
        wasmtime_wasi_http::p2::bindings::http::types::add_to_linker::<Host, WasiHttp>(
            &mut linker,
            &http_options.into(),
            Host::http,
        )
        .expect("nothing is there twice");
        // The host's own: Wasmtime's leaves something in the table for each request.
        outgoing_handler::replace_in_linker(&mut linker).expect("it is linked once");
        let host = Host {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            client: Client::new(),
            limits: StoreLimitsBuilder::new().memory_size(bytes).build(),
        };
        let mut store = Store::new(&engine, host);
        store.limiter(|host| &mut host.limits);
        let component = component.expect("the component loads");
        let transport = bindings::Transport::instantiate_async(&mut store, &component, &linker).await;
        Self { store, waits: Arc::default(), transport: transport.expect("it starts") }
    }

    /// The functions of the resource `options`, and the store that they want.
    pub fn options_api(&mut self) -> (GuestOptions<'_>, &mut Store<Host>) {
        (self.transport.mcp_reconnect_transport_types().options(), &mut self.store)
    }

    /// The default options.
    pub async fn options(&mut self, url: &str) -> ResourceAny {
        let api = self.transport.mcp_reconnect_transport_types().options();
        api.call_constructor(&mut self.store, url).await.expect("no trap")
    }

    pub async fn open(&mut self, options: ResourceAny) -> Result<Result<ResourceAny, OpenError>> {
        let api = self.transport.mcp_reconnect_transport_client().connection();
        api.call_open(&mut self.store, options).await
    }

    /// A connection with default options.
    pub async fn connect(&mut self, url: &str) -> ResourceAny {
        let options = self.options(url).await;
        self.open(options).await.expect("no trap").expect("the options are good")
    }

    pub async fn send(&mut self, connection: ResourceAny, message: &str) -> Result<Result<(), SendError>> {
        let api = self.transport.mcp_reconnect_transport_client().connection();
        api.call_send(&mut self.store, connection, message).await
    }

    /// `until` lives for this call only.
    pub async fn receive(
        &mut self,
        connection: ResourceAny,
        max: u32,
        until: Option<Until>,
    ) -> Result<Result<Vec<Event>, ReceiveError>> {
        let table = &mut self.store.data_mut().table;
        let until = until.map(|until| table.push(Alarm::of(until, &self.waits))).transpose()?;
        let alarm = until.as_ref().map(Resource::rep);
        let pollable = until.map(|until| subscribe(table, until)).transpose()?;
        let lent = pollable.as_ref().map(|pollable| Resource::<DynPollable>::new_borrow(pollable.rep()));
        let api = self.transport.mcp_reconnect_transport_client().connection();
        let result = api.call_receive(&mut self.store, connection, max, lent).await;
        let table = &mut self.store.data_mut().table;
        if let Some(pollable) = pollable {
            // The alarm goes with it.
            table.delete(pollable)?;
            if let Some(alarm) = alarm {
                let _ = table.delete(Resource::<Alarm>::new_own(alarm));
            }
        }
        result
    }

    pub async fn set_headers(
        &mut self,
        connection: ResourceAny,
        headers: &[(String, String)],
    ) -> Result<Result<(), HeadersError>> {
        let api = self.transport.mcp_reconnect_transport_client().connection();
        api.call_set_headers(&mut self.store, connection, &headers.to_vec()).await
    }

    pub async fn reconnect(&mut self, connection: ResourceAny) -> Result<()> {
        let api = self.transport.mcp_reconnect_transport_client().connection();
        api.call_reconnect(&mut self.store, connection).await
    }

    pub async fn probe(&mut self, connection: ResourceAny) -> Result<()> {
        let api = self.transport.mcp_reconnect_transport_client().connection();
        api.call_probe(&mut self.store, connection).await
    }

    pub async fn status(&mut self, connection: ResourceAny) -> Result<Status> {
        let api = self.transport.mcp_reconnect_transport_client().connection();
        api.call_status(&mut self.store, connection).await
    }

    pub async fn close(&mut self, connection: ResourceAny) -> Result<()> {
        let api = self.transport.mcp_reconnect_transport_client().connection();
        api.call_close(&mut self.store, connection).await
    }

    /// Gives the connection up.
    pub async fn drop(&mut self, connection: ResourceAny) -> Result<()> {
        connection.resource_drop_async(&mut self.store).await
    }

    /// Sends `initialize` and `initialized`; 1 is the id.
    pub async fn initialize(&mut self, connection: ResourceAny) {
        self.say(connection, &initialize()).await;
        let answer = self.answer(connection, 1).await;
        assert!(answer["result"].is_object(), "{answer}");
        self.say(connection, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    }

    /// Sends a message, which must be taken.
    pub async fn say(&mut self, connection: ResourceAny, message: &Value) {
        self.send(connection, &message.to_string()).await.expect("no trap").expect("it is taken");
    }

    /// Makes a call and waits for its result.
    pub async fn call(&mut self, connection: ResourceAny, id: u64) -> Value {
        self.say(connection, &tool_call(id)).await;
        self.answer(connection, id).await
    }

    /// Works until the answer with this id comes.
    pub async fn answer(&mut self, connection: ResourceAny, id: u64) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let events = self.receive(connection, 0, Some(Until::After(PATIENCE))).await.expect("no trap");
            let mut answers = messages(&events.expect("the connection is open"));
            if let Some(answer) = answers.find(|message| message["id"] == id && message.get("method").is_none()) {
                return answer;
            }
            assert!(std::time::Instant::now() < deadline, "waited in vain for the answer to {id}");
        }
    }

    /// Works until an event of this kind comes.
    pub async fn event(&mut self, connection: ResourceAny, wanted: impl Fn(&Event) -> bool) -> Event {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let events = self.receive(connection, 1, Some(Until::After(PATIENCE))).await.expect("no trap");
            if let Some(event) = events.expect("the connection is open").into_iter().find(|event| wanted(event)) {
                return event;
            }
            assert!(std::time::Instant::now() < deadline, "waited in vain for an event");
        }
    }
}

/// The messages among events.
pub fn messages(events: &[Event]) -> impl Iterator<Item = Value> + use<> {
    let texts = events.iter().filter_map(|event| match event {
        Event::Message(text) => Some(serde_json::from_str(text).expect("messages are JSON")),
        _ => None,
    });
    texts.collect::<Vec<_>>().into_iter()
}

/// A good `initialize`, with the id 1.
pub fn initialize() -> Value {
    let info = json!({"name": "misuse", "version": "1"});
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
}

/// A call of the scripted server's tool.
pub fn tool_call(id: u64) -> Value {
    let arguments = json!({"mark": format!("call-{id}")});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "mark", "arguments": arguments}})
}

struct Alarm {
    at: Option<Instant>,
    waits: Arc<Notify>,
}

impl Alarm {
    fn of(until: Until, waits: &Arc<Notify>) -> Self {
        let at = match until {
            Until::Ready => Some(Instant::now()),
            Until::After(time) => Some(Instant::now() + time),
            Until::Never => None,
        };
        Self { at, waits: Arc::clone(waits) }
    }
}

#[async_trait::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        self.waits.notify_one();
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => pending().await,
        }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.client }
    }
}

/// A plain HTTP client.
struct Client(reqwest::Client);

impl Client {
    fn new() -> Self {
        // It wants one, though no test here speaks TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
        Self(client.expect("the client can be made"))
    }
}

type Background = Box<dyn Future<Output = std::result::Result<(), Error>> + Send>;
type Answer = std::result::Result<(http::Response<WasiBody>, Background), Error>;

impl WasiHttpHooks for Client {
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Background,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let client = self.0.clone();
        Box::new(async move {
            let (parts, body) = request.into_parts();
            let url = parts.uri.to_string().parse().map_err(|_| Error::HttpRequestUriInvalid)?;
            let mut outgoing = reqwest::Request::new(parts.method, url);
            *outgoing.headers_mut() = parts.headers;
            let body = body.collect().await?.to_bytes();
            if !body.is_empty() {
                *outgoing.body_mut() = Some(body.into());
            }
            let response = client.execute(outgoing).await.map_err(|error| {
                if error.is_connect() { Error::ConnectionRefused } else { Error::HttpProtocolError }
            })?;
            let response = http::Response::<reqwest::Body>::from(response)
                .map(|body| body.map_err(|_| Error::HttpProtocolError).boxed_unsync());
            Ok((response, Box::new(async { Ok(()) }) as Background))
        })
    }
}
