//! Components made of components.

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};

use crate::Error;

/// Satisfies the imports of the component `socket` by the exports of the component `plug`, as `wac plug` does. What is left
/// of the imports of both is imported by the result.
///
/// # Errors
///
/// One of them is no component, or `plug` exports nothing that `socket` imports.
pub fn plug(socket: &[u8], plug: &[u8]) -> Result<Vec<u8>, Error> {
    let error = |error: &dyn std::fmt::Display| Error::new(format!("the components cannot be composed: {error:#}"));
    let mut graph = CompositionGraph::new();
    let mut register = |name, bytes: &[u8]| {
        let package =
            Package::from_bytes(name, None, bytes.to_vec(), graph.types_mut()).map_err(|cause| error(&cause))?;
        graph.register_package(package).map_err(|cause| error(&cause))
    };
    let socket = register("mcp-reconnect:socket", socket)?;
    let plug = register("mcp-reconnect:plug", plug)?;
    wac_graph::plug(&mut graph, vec![plug], socket).map_err(|cause| error(&cause))?;
    graph.encode(EncodeOptions::default()).map_err(|cause| error(&cause))
}
