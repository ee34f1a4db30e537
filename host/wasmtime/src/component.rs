//! The engine component: the machine code made by `build.rs`, and one instance of it per connection. It imports nothing, so that no
//! call into it waits; sockets, clock and seed are the host's.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};

use crate::engine_config::host_config;
use crate::options::{Options, Settings, TransportChoice};
use crate::watchdog;
use crate::{OpenError, SetHeadersError, Status};

pub(crate) mod bindings {
    #![allow(missing_docs, reason = "generated from documented WIT")]
    // `wasmtime::component::bindgen!`, see build.rs.
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub(crate) use bindings::exports::mcp_reconnect::transport::{sans_io as wit, types};

/// The component `transport` as WebAssembly, for other runtimes and for those who want to see what it imports. It has the same engine
/// as this host, and makes its requests by `wasi:http`.
pub fn component_wasm() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/transport.wasm"))
}

/// One engine inside its component.
pub(crate) struct Instance {
    store: Store<Host>,
    component: bindings::Engine,
    engine: ResourceAny,
    /// The origin of the engine's clock.
    started: Instant,
}

/// What belongs to the component.
struct Host {
    limits: StoreLimits,
}

impl Instance {
    /// Makes an engine, or one that goes on with the connection of an instance that failed: `recovery` is what
    /// [`mcp_reconnect_core::Recovery`] has kept.
    pub(crate) fn open(options: &Options, recovery: Option<&str>) -> Result<Self, OpenError> {
        Self::start(options, recovery).map_err(component_error)?.map_err(open_error)
    }

    fn start(options: &Options, recovery: Option<&str>) -> wasmtime::Result<Result<Self, types::OpenError>> {
        let prepared = prepared()?;
        let memory = memory(&options.settings);
        let limits = StoreLimitsBuilder::new().memory_size(memory).build();
        let mut store = Store::new(prepared.engine(), Host { limits });
        store.limiter(|host| &mut host.limits);
        // What one call may copy out of the component: no more than it can hold.
        store.set_hostcall_fuel(memory);
        watchdog::watch(&mut store);
        watchdog::begin_call(&mut store);
        let component = prepared.instantiate(&mut store)?;
        let options = fill_options(&mut store, &component, options, recovery)?;
        let seed = getrandom::u64().map_err(|error| wasmtime::Error::msg(format!("no random numbers: {error}")))?;
        let engine = component.mcp_reconnect_transport_sans_io().engine();
        let opened = engine.call_open(&mut store, options, seed, 0)?;
        Ok(opened.map(|engine| Self { store, component, engine, started: Instant::now() }))
    }

    /// The time on the engine's clock.
    pub(crate) fn now(&self) -> wit::Instant {
        nanos(self.started.elapsed())
    }

    /// When a time of the engine's clock is.
    pub(crate) fn instant(&self, at: wit::Instant) -> Option<Instant> {
        self.started.checked_add(Duration::from_nanos(at))
    }

    /// Gives the engine an input. `Err` inside: it refuses that, and nothing has changed.
    pub(crate) fn handle(&mut self, input: wit::Input<'_>) -> wasmtime::Result<Result<(), wit::InputError>> {
        let now = self.now();
        watchdog::begin_call(&mut self.store);
        let engine = self.component.mcp_reconnect_transport_sans_io().engine();
        engine.call_handle(&mut self.store, self.engine, now, input)
    }

    /// All that the engine wants done, in order.
    pub(crate) fn outputs(&mut self) -> wasmtime::Result<Vec<wit::Output>> {
        watchdog::begin_call(&mut self.store);
        let engine = self.component.mcp_reconnect_transport_sans_io().engine();
        engine.call_poll_outputs(&mut self.store, self.engine, 0)
    }

    /// When it wants to be called at the latest. To be asked when there are no outputs.
    pub(crate) fn deadline(&mut self) -> wasmtime::Result<Option<wit::Instant>> {
        watchdog::begin_call(&mut self.store);
        let engine = self.component.mcp_reconnect_transport_sans_io().engine();
        engine.call_deadline(&mut self.store, self.engine)
    }

    /// A snapshot.
    pub(crate) fn status(&mut self) -> wasmtime::Result<Status> {
        let now = self.now();
        watchdog::begin_call(&mut self.store);
        let engine = self.component.mcp_reconnect_transport_sans_io().engine();
        Ok(engine.call_status(&mut self.store, self.engine, now)?.into())
    }
}

/// Why the engine refuses headers.
pub(crate) fn headers_error(error: wit::InputError) -> SetHeadersError {
    let (wit::InputError::Closed(text) | wit::InputError::InvalidHeader(text) | wit::InputError::Other(text)) = error;
    SetHeadersError::InvalidHeader(text)
}

/// The component, loaded once per process.
fn prepared() -> wasmtime::Result<&'static bindings::EnginePre<Host>> {
    static PREPARED: OnceLock<Result<bindings::EnginePre<Host>, String>> = OnceLock::new();
    let prepared = PREPARED.get_or_init(|| prepare().map_err(|error| format!("{error:?}")));
    prepared.as_ref().map_err(wasmtime::Error::msg)
}

fn prepare() -> wasmtime::Result<bindings::EnginePre<Host>> {
    let engine = Engine::new(&host_config())?;
    watchdog::start(&engine)?;
    let machine_code = machine_code();
    // SAFETY: the bytes are those that `build.rs` got from `Engine::precompile_component`; Wasmtime itself checks that
    // its version, the settings and the machine agree.
    let component = unsafe { Component::deserialize(&engine, machine_code)? };
    // Empty, so that a component that asked for anything would not start.
    bindings::EnginePre::new(Linker::<Host>::new(&engine).instantiate_pre(&component)?)
}

fn machine_code() -> &'static [u8] {
    // The one that fails on demand, see `tests/recovery.rs`.
    #[cfg(feature = "test-component")]
    if std::env::var_os("MCP_RECONNECT_TEST_FAULTS").is_some() {
        return include_bytes!(concat!(env!("OUT_DIR"), "/faulty.cwasm"));
    }
    include_bytes!(concat!(env!("OUT_DIR"), "/host.cwasm"))
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

fn fill_options(
    store: &mut Store<Host>,
    component: &bindings::Engine,
    options: &Options,
    recovery: Option<&str>,
) -> wasmtime::Result<ResourceAny> {
    let guest = component.mcp_reconnect_transport_types().options();
    let resource = guest.call_constructor(&mut *store, &options.url)?;
    if !options.headers.is_empty() {
        guest.call_set_headers(&mut *store, resource, &options.headers)?;
    }
    if let Some(state) = recovery {
        guest.call_set_recovery(&mut *store, resource, state)?;
    }
    let set = options.settings.clone();
    if let Some(choice) = set.transport {
        let choice = match choice {
            TransportChoice::Auto => types::TransportChoice::Auto,
            TransportChoice::StreamableHttp => types::TransportChoice::StreamableHttp,
            TransportChoice::HttpSse => types::TransportChoice::HttpSse,
        };
        guest.call_set_transport(&mut *store, resource, choice)?;
    }
    if let Some(notify) = set.notify_client {
        guest.call_set_notify_client(&mut *store, resource, notify)?;
    }
    if let Some(first) = set.discover_first {
        guest.call_set_discover_first(&mut *store, resource, first)?;
    }
    if let Some(trust) = set.trust_annotations {
        guest.call_set_trust_annotations(&mut *store, resource, trust)?;
    }
    if let Some(timeout) = set.credentials_timeout {
        guest.call_set_credentials_timeout(&mut *store, resource, nanos(timeout))?;
    }
    if let Some(timeout) = set.connect_headers_timeout {
        guest.call_set_connect_headers_timeout(&mut *store, resource, nanos(timeout))?;
    }
    if let Some(interval) = set.heartbeat_interval {
        guest.call_set_heartbeat_interval(&mut *store, resource, nanos(interval))?;
    }
    if let Some(interval) = set.listen_check_interval {
        guest.call_set_listen_check_interval(&mut *store, resource, nanos(interval))?;
    }
    if let Some(timeout) = set.heartbeat_timeout {
        guest.call_set_heartbeat_timeout(&mut *store, resource, nanos(timeout))?;
    }
    if let Some(strict) = set.heartbeat_strict {
        guest.call_set_heartbeat_strict(&mut *store, resource, strict)?;
    }
    if let Some(timeout) = set.hold_timeout {
        guest.call_set_hold_timeout(&mut *store, resource, nanos(timeout))?;
    }
    if let Some(timeout) = set.run_timeout {
        guest.call_set_run_timeout(&mut *store, resource, nanos(timeout))?;
    }
    if let Some(timeout) = set.old_session_timeout {
        guest.call_set_old_session_timeout(&mut *store, resource, nanos(timeout))?;
    }
    if let Some(limit) = set.run_limit {
        guest.call_set_run_limit(&mut *store, resource, nanos(limit))?;
    }
    if let Some(timeout) = set.response_timeout {
        guest.call_set_response_timeout(&mut *store, resource, nanos(timeout))?;
    }
    if let Some((base, cap)) = set.backoff {
        guest.call_set_backoff(&mut *store, resource, nanos(base), nanos(cap))?;
    }
    if let Some(attempts) = set.max_attempts {
        guest.call_set_max_attempts(&mut *store, resource, attempts)?;
    }
    if let Some(timeout) = set.start_timeout {
        guest.call_set_start_timeout(&mut *store, resource, nanos(timeout))?;
    }
    if let Some((messages, bytes)) = set.max_queue {
        guest.call_set_max_queue(&mut *store, resource, messages, bytes)?;
    }
    if let Some(bytes) = set.max_message_bytes {
        guest.call_set_max_message_bytes(&mut *store, resource, bytes)?;
    }
    if let Some(bytes) = set.max_event_bytes {
        guest.call_set_max_event_bytes(&mut *store, resource, bytes)?;
    }
    if let Some(bytes) = set.max_body_bytes {
        guest.call_set_max_body_bytes(&mut *store, resource, bytes)?;
    }
    if let Some(bytes) = set.max_total_body_bytes {
        guest.call_set_max_total_body_bytes(&mut *store, resource, bytes)?;
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
