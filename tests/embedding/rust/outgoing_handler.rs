//! `wasi:http/outgoing-handler` as Wasmtime has it, but for one thing: Wasmtime 48 keeps the options that a request was given,
//! one more for each request, for as long as the store lives. Here they are deleted.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Host as _, RequestOptions};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};

type Given = (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>);
type Answer = (Result<Resource<HostFutureIncomingResponse>, ErrorCode>,);

/// Puts it in the place of Wasmtime's. The options go unread: they are timeouts, and the component has its own.
pub fn replace_in_linker<T: WasiHttpView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let handle = |mut store: StoreContextMut<'_, T>, (request, options): Given| -> wasmtime::Result<Answer> {
        let mut http = store.data_mut().http();
        if let Some(options) = options {
            http.table.delete(options)?;
        }
        match http.handle(request, None) {
            Ok(response) => Ok((Ok(response),)),
            Err(error) => Ok((Err(http.convert_error_code(error)?),)),
        }
    };
    linker.instance("wasi:http/outgoing-handler@0.2.0")?.func_wrap("handle", handle)
}
