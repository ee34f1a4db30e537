//! Whether a server speaks the versions without sessions (2026-07-28 and later), read from its answer to a request of these
//! versions (MCP 2026-07-28, "Versioning"; "Transports", "Backward compatibility"). Credentials, a server that is busy and one
//! that is away are no answer to this question.

use alloc::string::String;
use alloc::vec::Vec;

use crate::policy::proxy;
use crate::policy::session_loss::Refusal;
use crate::wire::{json, modern};

/// The version that was asked for is not served; `data.supported` says which are.
pub(crate) const UNSUPPORTED_VERSION: i64 = -32022;
/// A header is missing, or differs from the message.
pub(crate) const HEADER_MISMATCH: i64 = -32020;
/// The request needs a capability that the client does not have.
const MISSING_CAPABILITY: i64 = -32021;

/// What an answer says of the server's era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It speaks a version without sessions.
    Modern,
    /// It does not, or is no MCP server.
    Legacy,
    /// Nothing.
    None,
}

/// The verdict of a result of `server/discover`.
pub(crate) fn of_result(result: &str) -> Verdict {
    match modern::discovered(result) {
        Some(server) if !server.versions.is_empty() => Verdict::Modern,
        _ => Verdict::Legacy,
    }
}

/// The verdict of a JSON-RPC error.
pub(crate) fn of_error(code: i64, error: &str) -> Verdict {
    match code {
        UNSUPPORTED_VERSION if supported(error).is_empty() => Verdict::Legacy,
        UNSUPPORTED_VERSION | HEADER_MISMATCH | MISSING_CAPABILITY => Verdict::Modern,
        _ => Verdict::Legacy,
    }
}

/// The verdict of a response that is no success, or not of a type that means anything.
pub(crate) fn of_refusal(refusal: &Refusal) -> Verdict {
    if proxy::nobody_took_it(refusal, true) {
        return Verdict::None;
    }
    match (refusal.status, refusal.error()) {
        (401 | 403 | 408 | 421 | 425 | 429 | 500.., _) => Verdict::None,
        (_, Some(error)) => of_error(error.code, &error.raw),
        (_, None) => Verdict::Legacy,
    }
}

/// The versions without sessions among those that an error of [`UNSUPPORTED_VERSION`] says are supported.
pub(crate) fn supported(error: &str) -> Vec<String> {
    let versions = json::member(error, "data").and_then(|data| json::member(data.get(), "supported"));
    let versions = versions.and_then(|versions| serde_json::from_str::<Vec<String>>(versions.get()).ok());
    versions.into_iter().flatten().filter(|version| modern::is_modern(version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let refusal =
            |status, body: &str| Refusal { status, challenge: String::new(), retry_after: None, body: body.into() };
        let error = |code: i64, data: &str| {
            alloc::format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"m","data":{data}}}}}"#)
        };
        for (status, body, verdict) in [
            (400, error(-32022, r#"{"supported":["2026-07-28"],"requested":"2027-01-01"}"#), Verdict::Modern),
            (400, error(-32022, r#"{"supported":["2025-11-25"]}"#), Verdict::Legacy),
            (400, error(-32022, "null"), Verdict::Legacy),
            (400, error(-32020, "null"), Verdict::Modern),
            (400, error(-32021, "null"), Verdict::Modern),
            (404, error(-32601, "null"), Verdict::Legacy),
            (400, error(-32000, "null"), Verdict::Legacy),
            (400, String::from("<html>bad request"), Verdict::Legacy),
            (404, String::from("Cannot POST /"), Verdict::Legacy),
            (405, String::new(), Verdict::Legacy),
            (200, String::from("<html>maintenance"), Verdict::None),
            (302, String::new(), Verdict::None),
            (401, error(-32022, "null"), Verdict::None),
            (403, String::new(), Verdict::None),
            (429, String::new(), Verdict::None),
            (500, error(-32601, "null"), Verdict::None),
            (503, String::new(), Verdict::None),
        ] {
            assert_eq!(of_refusal(&refusal(status, &body)), verdict, "{status} {body}");
        }
        for (result, verdict) in [
            (r#"{"supportedVersions":["2026-07-28"]}"#, Verdict::Modern),
            (r#"{"supportedVersions":["2025-11-25"]}"#, Verdict::Legacy),
            (r#"{"protocolVersion":"2025-11-25"}"#, Verdict::Legacy),
            ("{}", Verdict::Legacy),
        ] {
            assert_eq!(of_result(result), verdict, "{result}");
        }
    }
}
