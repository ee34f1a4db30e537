//! What proxies, tunnels and platforms answer in the place of a server that they cannot reach, or are told to hide.
//!
//! A table of texts and codes that are written before anybody was asked. What a proxy also writes after it has passed a
//! request on (502, 504, Cloudflare's 520, 522 and 524) proves nothing and is not here. 503 is a matter of its own: the bodies
//! that mean the same stand beside the rule for `Retry-After`, in `session_loss`.

use super::session_loss::Refusal;

/// How the description of a redirect begins that stays inside the origin and does not end: it is the server's own.
pub(crate) const REDIRECTED_TOO_OFTEN: &str = "it redirects too often";

/// Whether something other than the server answered a message in a session that was good, so that nobody took the message.
///
/// A 404 speaks of the session where there is an id to speak of. Without one, a server that was there a moment ago and is
/// found no more is being replaced; a JSON-RPC error is the server's own word in any case.
pub(crate) fn nobody_took_it(refusal: &Refusal, had_session: bool) -> bool {
    match refusal.status {
        200 => is_page(&refusal.body),
        300..=399 => !refusal.body.starts_with(REDIRECTED_TOO_OFTEN),
        404 => !had_session && refusal.error().is_none(),
        _ => has_no_server(refusal),
    }
}

/// Whether a proxy says that it has no server to pass a request on to, whatever there was before.
pub(crate) fn has_no_server(refusal: &Refusal) -> bool {
    let says = |known: &str| refusal.body.contains(known);
    match refusal.status {
        // Azure App Service, stopped.
        403 => says("web app is stopped") || says("web app you have attempted to reach is currently stopped"),
        // ngrok's agent could not connect.
        502 => says("ERR_NGROK_8012"),
        // Cloudflare: refused, unreachable, and two failures of the TLS handshake. 522 also means that a request was sent
        // and not acknowledged.
        521 | 523 | 525 | 526 => true,
        // Cloudflare: no tunnel is connected; the server's name is not found.
        530 => says("1033") || says("1016"),
        _ => false,
    }
}

/// Whether this is an HTML document. A fragment is not: servers print errors so, after they have run something.
pub(crate) fn is_page(body: &str) -> bool {
    let start = body.trim_start_matches('\u{feff}').trim_start();
    // What stands before the document's type, of whatever length, is comments.
    let start = match start.strip_prefix("<!--").and_then(|comment| comment.split_once("-->")) {
        Some((_, after)) => after.trim_start(),
        None => start,
    };
    ["<!doctype html", "<html"]
        .iter()
        .any(|known| start.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal { status, challenge: String::new(), retry_after: None, body: body.into() }
    }

    #[test]
    fn what_answers_in_the_place_of_a_server() {
        for (status, body) in [
            (200, "<!DOCTYPE html><title>Maintenance</title>"),
            (200, "\u{feff}\r\n <HTML lang=en>"),
            (200, "<!-- ours -->\n<!doctype HTML>"),
            (301, ""),
            (302, "it redirects"),
            (307, ""),
            (403, "<h1>Error 403 - This web app is stopped.</h1>"),
            (403, "The web app you have attempted to reach is currently stopped and does not accept any requests."),
            (502, "ERR_NGROK_8012"),
            (521, "error code: 521"),
            (523, ""),
            (525, ""),
            (526, ""),
            (530, "error code: 1033"),
            (530, "<title>Cloudflare Tunnel error | 1033</title>"),
            (530, "error code: 1016"),
        ] {
            assert!(nobody_took_it(&refusal(status, body), true), "{status} {body}");
            assert!(nobody_took_it(&refusal(status, body), false), "{status} {body}");
        }
    }

    #[test]
    fn what_may_have_been_passed_on_or_is_the_servers_own() {
        for (status, body) in [
            (200, ""),
            (200, "ok"),
            (200, "<br />\n<b>Fatal error</b>: in tool.php"),
            (200, "<!-- <html>"),
            (200, "<htm"),
            (201, "<html>"),
            (400, "<html>"),
            (401, ""),
            (403, ""),
            (403, "<html>denied"),
            (405, ""),
            (500, "<html>"),
            (502, "<html><center><h1>502 Bad Gateway</h1></center>"),
            (503, ""),
            (503, "upstream connect error or disconnect/reset before headers. reset reason: connection termination"),
            (503, "<title>503 Backend fetch failed</title> Guru Meditation"),
            (503, "<title>Application Error</title> herokucdn"),
            (504, ""),
            (520, "error code: 520"),
            (522, "error code: 522"),
            (524, "error code: 524"),
            (530, "site is frozen"),
        ] {
            assert!(!nobody_took_it(&refusal(status, body), true), "{status} {body}");
            assert!(!nobody_took_it(&refusal(status, body), false), "{status} {body}");
        }
    }

    #[test]
    fn not_found_is_about_the_session_if_there_is_an_id() {
        for (body, in_place) in [
            ("", true),
            ("Cannot POST /mcp", true),
            ("<html>404</html>", true),
            (r#"{"error":"not found"}"#, true),
            (r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"Method not found"}}"#, false),
        ] {
            assert_eq!(nobody_took_it(&refusal(404, body), false), in_place, "{body}");
            assert!(!nobody_took_it(&refusal(404, body), true), "{body}");
        }
    }
}
