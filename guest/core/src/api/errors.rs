//! The JSON-RPC errors that the engine gives itself. Their codes stand outside −32000…−32099, which belong to servers,
//! and outside the codes of JSON-RPC 2.0 § 5.1, so that a client can tell them from a server's.

use alloc::format;
use alloc::string::String;

use crate::wire::json::quote;
use crate::wire::scan::Scanned;

/// JSON-RPC 2.0 § 5.1: the text is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// JSON-RPC 2.0 § 5.1: the JSON is no JSON-RPC message.
pub const INVALID_REQUEST: i64 = -32600;
/// JSON-RPC 2.0 § 5.1: the method is not known.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC 2.0 § 5.1: the params do not fit, such as a pagination cursor of a session that is over (MCP, "Pagination").
pub const INVALID_PARAMS: i64 = -32602;

/// The request was sent, the connection broke, and whether it ran cannot be known. `data` holds `method`, `accepted`
/// (whether the server had acknowledged it) and `sessionChanged`.
pub const OUTCOME_UNKNOWN: i64 = -31001;
/// The request was not sent: the server did not come back in time, or too many attempts failed. It did not run.
pub const UNAVAILABLE: i64 = -31002;
/// The request was sent and not answered in time; the server was told to cancel it.
pub const TIMED_OUT: i64 = -31003;
/// The server wants other credentials (`data`: `status`, `challenge`). The request did not run.
pub const UNAUTHORIZED: i64 = -31004;
/// A message, event or body is over its limit (`data.limit` in bytes).
pub const TOO_LARGE: i64 = -31005;
/// Too many messages are held or in flight. The request was not sent.
pub const QUEUE_FULL: i64 = -31006;
/// The server, or something before it, answered with an HTTP error or with what is not MCP (`data.status`).
pub const HTTP_ERROR: i64 = -31007;
/// The request lost its session twice: sessions do not stick, as behind a load balancer without affinity.
pub const SESSION_UNSTABLE: i64 = -31008;
/// The connection was closed before the answer came.
pub const CLOSED: i64 = -31009;

/// An error response as text. `data`, if any, is JSON text.
pub(crate) fn response(id: &str, code: i64, message: &str, data: Option<&str>) -> String {
    let message = quote(message);
    match data {
        Some(data) => {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message},"data":{data}}}}}"#)
        }
        None => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#),
    }
}

/// The answer to a message of the client that was over `limit` bytes and therefore only scanned; `None` if it was a
/// notification or a response, which nobody answers.
pub fn oversized_message(scanned: &Scanned, limit: usize) -> Option<String> {
    if scanned.is_response || (scanned.id.is_none() && scanned.method.is_some()) {
        return None;
    }
    let message = format!(
        "This message of {} bytes was not sent: the limit is {limit} bytes (option max-message-bytes).",
        scanned.bytes
    );
    Some(response(
        scanned.id.as_deref().unwrap_or("null"),
        TOO_LARGE,
        &message,
        Some(&format!(r#"{{"limit":{limit}}}"#)),
    ))
}
