//! The transport component: the machine code made by `build.rs`, and one instance of it per connection.

use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceAny, ResourceTable};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::{DynPollable, subscribe};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::engine_config::host_config;
use crate::http::HttpClient;
use crate::options::{Options, Settings, TransportChoice};
use crate::wake::Wake;
use crate::watchdog::{self, Watchdog};
use crate::{Event, OpenError, SetHeadersError, Status};

pub(crate) mod bindings {
    #![allow(missing_docs, reason = "generated from documented WIT")]
    // `wasmtime::component::bindgen!`, see build.rs.
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub(crate) use bindings::exports::mcp_reconnect::transport::types::SignIn;
pub(crate) use bindings::exports::mcp_reconnect::transport::{client as wit, types};
use bindings::{Transport, TransportPre};

/// The component as WebAssembly, for other runtimes and for those who want to see what it imports.
pub fn component_wasm() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/transport.wasm"))
}

/// The events that one `receive` gives at most; the others stay in the component.
const MAX_EVENTS: u32 = 64;

/// Room for headers in one field map of the component, which keeps to 64 KiB itself.
const FIELD_BYTES: usize = 1 << 20;

/// One connection inside the component.
pub(crate) struct Instance {
    store: Store<Host>,
    transport: Transport,
    connection: ResourceAny,
    /// The interrupt of `receive`. Owned by the store's table, lent to every call.
    until: u32,
    watchdog: Watchdog,
}

/// What became of a message that the component was given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was taken.
    Yes,
    /// [`Instance::receive`] has to be called first.
    NotYet,
    /// The connection is closing or closed.
    No,
}

/// What the component's imports work on.
struct Host {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    client: HttpClient,
    limits: StoreLimits,
}

impl Instance {
    /// Opens a connection, or goes on with that of an instance that failed: `recovery` is what [`mcp_reconnect_core::Recovery`] has
    /// kept. Does no network I/O.
    pub(crate) async fn open(
        options: &Options,
        client: &HttpClient,
        wake: &Wake,
        recovery: Option<&str>,
    ) -> Result<Self, OpenError> {
        let started = Self::start(options, client.clone(), wake.clone(), recovery).await;
        started.map_err(component_error)?.map_err(open_error)
    }

    async fn start(
        options: &Options,
        client: HttpClient,
        wake: Wake,
        recovery: Option<&str>,
    ) -> wasmtime::Result<Result<Self, wit::OpenError>> {
        let pre = prepared()?;
        let memory = memory(&options.settings);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELD_BYTES);
        let host = Host {
            table: ResourceTable::new(),
            // Nothing inherited: no files, no environment, no standard streams, no sockets.
            wasi: WasiCtx::builder().build(),
            http,
            client,
            limits: StoreLimitsBuilder::new().memory_size(memory).build(),
        };
        let mut store = Store::new(pre.engine(), host);
        store.limiter(|host| &mut host.limits);
        // What one call may copy out of the component: no more than it can hold.
        store.set_hostcall_fuel(memory);
        let watchdog = Watchdog::default();
        watchdog.watch(&mut store);
        let transport = pre.instantiate_async(&mut store).await?;
        let table = &mut store.data_mut().table;
        let wake = table.push(wake)?;
        let until = subscribe(table, wake)?.rep();
        let options = fill_options(&mut store, &transport, options, recovery).await?;
        let connection = transport.mcp_reconnect_transport_client().connection();
        let opened = connection.call_open(&mut store, options).await?;
        Ok(opened.map(|connection| Self { store, transport, connection, until, watchdog }))
    }

    /// Gives the component a message of the client.
    pub(crate) async fn send(&mut self, message: &str) -> wasmtime::Result<Taken> {
        let connection = self.transport.mcp_reconnect_transport_client().connection();
        match self.watchdog.call(connection.call_send(&mut self.store, self.connection, message)).await? {
            Ok(()) => Ok(Taken::Yes),
            Err(wit::SendError::Full(_)) => Ok(Taken::NotYet),
            Err(wit::SendError::Closed(_)) => Ok(Taken::No),
            Err(wit::SendError::Other(text)) => Err(wasmtime::Error::msg(text)),
        }
    }

    /// Lets the component work until there are events or the interrupt is set. `None` after the last event.
    pub(crate) async fn receive(&mut self) -> wasmtime::Result<Option<Vec<Event>>> {
        let connection = self.transport.mcp_reconnect_transport_client().connection();
        let until: Resource<DynPollable> = Resource::new_borrow(self.until);
        let call = connection.call_receive(&mut self.store, self.connection, MAX_EVENTS, Some(until));
        let result = self.watchdog.call(call).await?;
        match result {
            Ok(events) => Ok(Some(events.into_iter().map(Event::from).collect())),
            Err(wit::ReceiveError::Closed(_)) => Ok(None),
            Err(wit::ReceiveError::Other(text)) => Err(wasmtime::Error::msg(text)),
        }
    }

    /// Replaces the headers.
    #[allow(clippy::ptr_arg, reason = "the generated call takes no slice")]
    pub(crate) async fn set_headers(
        &mut self,
        headers: &Vec<(String, String)>,
    ) -> wasmtime::Result<Result<(), SetHeadersError>> {
        let connection = self.transport.mcp_reconnect_transport_client().connection();
        let call = connection.call_set_headers(&mut self.store, self.connection, headers);
        let result = self.watchdog.call(call).await?;
        Ok(result.map_err(|error| match error {
            wit::HeadersError::InvalidHeader(text) | wit::HeadersError::Other(text) => {
                SetHeadersError::InvalidHeader(text)
            }
        }))
    }

    /// Says what a person can do to give credentials.
    pub(crate) async fn set_sign_in(&mut self, sign_in: Option<SignIn>) -> wasmtime::Result<()> {
        let connection = self.transport.mcp_reconnect_transport_client().connection();
        connection.call_set_sign_in(&mut self.store, self.connection, sign_in.as_ref()).await
    }

    /// Begins a new session.
    pub(crate) async fn reconnect(&mut self) -> wasmtime::Result<()> {
        let connection = self.transport.mcp_reconnect_transport_client().connection();
        self.watchdog.call(connection.call_reconnect(&mut self.store, self.connection)).await
    }

    /// Has the component find out whether the connection is alive.
    pub(crate) async fn probe(&mut self) -> wasmtime::Result<()> {
        let connection = self.transport.mcp_reconnect_transport_client().connection();
        self.watchdog.call(connection.call_probe(&mut self.store, self.connection)).await
    }

    /// A snapshot.
    pub(crate) async fn status(&mut self) -> wasmtime::Result<Status> {
        let connection = self.transport.mcp_reconnect_transport_client().connection();
        Ok(self.watchdog.call(connection.call_status(&mut self.store, self.connection)).await?.into())
    }

    /// Begins to close.
    pub(crate) async fn close(&mut self) -> wasmtime::Result<()> {
        let connection = self.transport.mcp_reconnect_transport_client().connection();
        self.watchdog.call(connection.call_close(&mut self.store, self.connection)).await
    }
}

/// The component, loaded and linked once per process.
fn prepared() -> wasmtime::Result<&'static TransportPre<Host>> {
    static PREPARED: OnceLock<Result<TransportPre<Host>, String>> = OnceLock::new();
    let prepared = PREPARED.get_or_init(|| prepare().map_err(|error| format!("{error:?}")));
    prepared.as_ref().map_err(wasmtime::Error::msg)
}

fn prepare() -> wasmtime::Result<TransportPre<Host>> {
    let engine = Engine::new(&host_config())?;
    watchdog::start(&engine)?;
    let machine_code = machine_code();
    // SAFETY: the bytes are those that `build.rs` got from `Engine::precompile_component`; Wasmtime itself checks that
    // its version, the settings and the machine agree.
    let component = unsafe { Component::deserialize(&engine, machine_code)? };
    let mut linker = Linker::<Host>::new(&engine);
    // These and nothing else, so that a component that asked for more would not start.
    wasmtime_wasi::p2::bindings::io::error::add_to_linker::<Host, HasSelf<ResourceTable>>(&mut linker, Host::table)?;
    wasmtime_wasi::p2::bindings::io::poll::add_to_linker::<Host, HasSelf<ResourceTable>>(&mut linker, Host::table)?;
    wasmtime_wasi::p2::bindings::io::streams::add_to_linker::<Host, HasSelf<ResourceTable>>(&mut linker, Host::table)?;
    wasmtime_wasi::p2::bindings::clocks::monotonic_clock::add_to_linker::<Host, WasiClocks>(&mut linker, Host::clocks)?;
    wasmtime_wasi::p2::bindings::random::random::add_to_linker::<Host, WasiRandom>(&mut linker, |host| {
        host.wasi.random()
    })?;
    let options = wasmtime_wasi_http::p2::bindings::LinkOptions::default();
    wasmtime_wasi_http::p2::bindings::http::types::add_to_linker::<Host, WasiHttp>(
        &mut linker,
        &options.into(),
        Host::http,
    )?;
    crate::outgoing_handler::add_to_linker(&mut linker)?;
    TransportPre::new(linker.instantiate_pre(&component)?)
}

fn machine_code() -> &'static [u8] {
    // The one that fails on demand, see `tests/recovery.rs`.
    #[cfg(feature = "test-component")]
    if std::env::var_os("MCP_RECONNECT_TEST_FAULTS").is_some() {
        return include_bytes!(concat!(env!("OUT_DIR"), "/faulty.cwasm"));
    }
    include_bytes!(concat!(env!("OUT_DIR"), "/host.cwasm"))
}

impl Host {
    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
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

/// The memory that the component may have, in bytes. It bounds itself by its options, as wit/world.wit says; this stops it should
/// it fail to, somewhat above.
fn memory(set: &Settings) -> usize {
    const MIB: u64 = 1 << 20;
    let (messages, queue) = set.max_queue.unwrap_or((1024, 128 * MIB));
    let event = set.max_event_bytes.unwrap_or(16 * MIB);
    let body = set.max_body_bytes.unwrap_or(64 * MIB);
    let bytes = set
        .max_total_body_bytes
        .unwrap_or(128 * MIB)
        .max(body)
        .max(event)
        .saturating_add(event)
        .saturating_add(queue)
        .saturating_add(set.max_message_bytes.unwrap_or(64 * MIB))
        .saturating_mul(3)
        .saturating_add(u64::from(messages) * 64 * 1024)
        .saturating_add(64 * MIB)
        .min(4096 * MIB);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

async fn fill_options(
    store: &mut Store<Host>,
    transport: &Transport,
    options: &Options,
    recovery: Option<&str>,
) -> wasmtime::Result<ResourceAny> {
    let guest = transport.mcp_reconnect_transport_types().options();
    let resource = guest.call_constructor(&mut *store, &options.url).await?;
    if !options.headers.is_empty() {
        guest.call_set_headers(&mut *store, resource, &options.headers).await?;
    }
    if let Some(state) = recovery {
        guest.call_set_recovery(&mut *store, resource, state).await?;
    }
    let set = options.settings.clone();
    if let Some(choice) = set.transport {
        let choice = match choice {
            TransportChoice::Auto => types::TransportChoice::Auto,
            TransportChoice::StreamableHttp => types::TransportChoice::StreamableHttp,
            TransportChoice::HttpSse => types::TransportChoice::HttpSse,
        };
        guest.call_set_transport(&mut *store, resource, choice).await?;
    }
    if let Some(notify) = set.notify_client {
        guest.call_set_notify_client(&mut *store, resource, notify).await?;
    }
    if let Some(first) = set.discover_first {
        guest.call_set_discover_first(&mut *store, resource, first).await?;
    }
    if let Some(trust) = set.trust_annotations {
        guest.call_set_trust_annotations(&mut *store, resource, trust).await?;
    }
    if let Some(timeout) = set.credentials_timeout {
        guest.call_set_credentials_timeout(&mut *store, resource, nanos(timeout)).await?;
    }
    if let Some(timeout) = set.connect_headers_timeout {
        guest.call_set_connect_headers_timeout(&mut *store, resource, nanos(timeout)).await?;
    }
    if let Some(interval) = set.heartbeat_interval {
        guest.call_set_heartbeat_interval(&mut *store, resource, nanos(interval)).await?;
    }
    if let Some(interval) = set.listen_check_interval {
        guest.call_set_listen_check_interval(&mut *store, resource, nanos(interval)).await?;
    }
    if let Some(timeout) = set.heartbeat_timeout {
        guest.call_set_heartbeat_timeout(&mut *store, resource, nanos(timeout)).await?;
    }
    if let Some(strict) = set.heartbeat_strict {
        guest.call_set_heartbeat_strict(&mut *store, resource, strict).await?;
    }
    if let Some(timeout) = set.hold_timeout {
        guest.call_set_hold_timeout(&mut *store, resource, nanos(timeout)).await?;
    }
    if let Some(timeout) = set.run_timeout {
        guest.call_set_run_timeout(&mut *store, resource, nanos(timeout)).await?;
    }
    if let Some(timeout) = set.old_session_timeout {
        guest.call_set_old_session_timeout(&mut *store, resource, nanos(timeout)).await?;
    }
    if let Some(limit) = set.run_limit {
        guest.call_set_run_limit(&mut *store, resource, nanos(limit)).await?;
    }
    if let Some(timeout) = set.response_timeout {
        guest.call_set_response_timeout(&mut *store, resource, nanos(timeout)).await?;
    }
    if let Some((base, cap)) = set.backoff {
        guest.call_set_backoff(&mut *store, resource, nanos(base), nanos(cap)).await?;
    }
    if let Some(attempts) = set.max_attempts {
        guest.call_set_max_attempts(&mut *store, resource, attempts).await?;
    }
    if let Some(timeout) = set.start_timeout {
        guest.call_set_start_timeout(&mut *store, resource, nanos(timeout)).await?;
    }
    if let Some((messages, bytes)) = set.max_queue {
        guest.call_set_max_queue(&mut *store, resource, messages, bytes).await?;
    }
    if let Some(bytes) = set.max_message_bytes {
        guest.call_set_max_message_bytes(&mut *store, resource, bytes).await?;
    }
    if let Some(bytes) = set.max_event_bytes {
        guest.call_set_max_event_bytes(&mut *store, resource, bytes).await?;
    }
    if let Some(bytes) = set.max_body_bytes {
        guest.call_set_max_body_bytes(&mut *store, resource, bytes).await?;
    }
    if let Some(bytes) = set.max_total_body_bytes {
        guest.call_set_max_total_body_bytes(&mut *store, resource, bytes).await?;
    }
    Ok(resource)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn component_error(error: wasmtime::Error) -> OpenError {
    OpenError::Component(format!("{error:#}"))
}

fn open_error(error: types::OpenError) -> OpenError {
    match error {
        types::OpenError::InvalidUrl(text) => OpenError::InvalidUrl(text),
        types::OpenError::InvalidHeader(text) => OpenError::InvalidHeader(text),
        types::OpenError::Other(text) => OpenError::InvalidOption(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",
        "capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;

    /// Nobody listens there: a request after the other, and each is over at once.
    #[tokio::test(flavor = "current_thread")]
    async fn a_request_that_is_over_leaves_nothing_with_the_host() {
        let address =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
        let options =
            Options::new(format!("http://{address}/mcp")).backoff(Duration::from_millis(1), Duration::from_millis(1));
        let client = HttpClient::new(&options.http, &options.url).expect("good options");
        let mut instance = Instance::open(&options, &client, &Wake::default(), None).await.expect("it opens");
        let before = instance.store.data_mut().table.iter_mut().count();
        assert!(instance.send(INITIALIZE).await.expect("no trap") == Taken::Yes);
        // They are told once in a second.
        let mut requests = 0;
        while requests < 5 {
            for event in instance.receive().await.expect("no trap").expect("it is open") {
                if let Event::Reconnecting { attempt, .. } = event {
                    requests = attempt;
                }
            }
        }
        instance.connection.resource_drop_async(&mut instance.store).await.expect("no trap");
        assert_eq!(instance.store.data_mut().table.iter_mut().count(), before);
    }
}
