//! The result for people.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::report::{Count, Report, Verdict};
use crate::Transport;

/// The width of the left column.
const LEFT: usize = 14;
/// The longest text of the server that is shown, in characters.
const LONGEST: usize = 300;

/// The result, a line a fact.
pub(super) fn of(report: &Report) -> String {
    let mut text = format!("{}\n\n", clean(&report.url));
    for (name, value) in facts(report) {
        let _ = writeln!(text, "  {name:LEFT$} {}", clean(&value));
    }
    for problem in &report.problems {
        let _ = writeln!(text, "  {:LEFT$} {}", "problem", clean(problem));
    }
    for note in &report.notes {
        let _ = writeln!(text, "  {:LEFT$} {}", "note", clean(note));
    }
    let verdict = match report.verdict() {
        Verdict::Ok => "All is well.",
        Verdict::Degraded => "It works, with a problem.",
        Verdict::Unreachable => "The server cannot be reached.",
        Verdict::Unauthorized => match sign_in(report) {
            Some(command) => &format!("The server wants a sign-in: {command}"),
            None => "The server wants other credentials: give them with --header 'Authorization: Bearer …'.",
        },
        Verdict::Broken => "It is an MCP server, and no session can be made with it.",
        Verdict::NotMcp => "There is no MCP server at this URL.",
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}

/// The command that signs in, where the server wants a token of the kind that this gives.
fn sign_in(report: &Report) -> Option<&str> {
    let challenge = &report.credentials.as_ref()?.challenge;
    let is_bearer = crate::oauth::Challenge::parse(challenge).is_some();
    Some(report.sign_in.as_ref()?.command.as_str()).filter(|_| is_bearer)
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut fact = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    fact("server", report.server.as_ref().map(|server| format!("{} {}", server.name, server.version)));
    fact(
        "transport",
        report.transport.map(|transport| {
            let over = report.http_version.as_deref().map_or_else(String::new, |version| format!(" ({version})"));
            let transport = match transport {
                Transport::StreamableHttp => "Streamable HTTP",
                Transport::HttpSse => "HTTP+SSE",
            };
            format!("{transport}, MCP {}{over}", report.protocol_version.as_deref().unwrap_or_default())
        }),
    );
    let stateless = report.versions_without_sessions.as_deref().filter(|versions| !versions.is_empty());
    fact("no sessions", stateless.map(|versions| format!("MCP {}", versions.join(", "))));
    fact(
        "TLS",
        report
            .tls
            .as_ref()
            .map(|tls| format!("{}, {}, {}", tls.version, tls.alpn.as_deref().unwrap_or("no ALPN"), tls.cipher_suite)),
    );
    fact(
        "certificate",
        report.tls.as_ref().and_then(|tls| {
            let (subject, issuer, until) = (tls.subject.as_ref()?, tls.issuer.as_ref()?, tls.not_after.as_ref()?);
            Some(format!("{subject}, by {issuer}, until {until} ({} days)", tls.days_left?))
        }),
    );
    let capabilities = report.capabilities.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>().join(", "));
    fact("capabilities", capabilities);
    fact("tools", report.tools.as_ref().map(count));
    fact("prompts", report.prompts.as_ref().map(count));
    fact(
        "resources",
        report.resources.as_ref().map(|resources| {
            let templates = report
                .resource_templates
                .as_ref()
                .map_or_else(String::new, |all| format!(", templates: {}", count(all)));
            format!("{}{templates}", count(resources))
        }),
    );
    fact(
        "ping",
        report.ping.as_ref().map(|ping| {
            format!("{:.1} ms (median of {}, {:.1} to {:.1})", ping.median_ms, ping.count, ping.min_ms, ping.max_ms)
        }),
    );
    fact("session id", report.session_id.map(|has| (if has { "yes" } else { "no" }).to_owned()));
    fact("cookies", report.cookies.as_ref().filter(|names| !names.is_empty()).map(|names| names.join(", ")));
    fact(
        "dead session",
        report.dead_session.as_ref().map(|dead| {
            let says = dead.says.as_deref().unwrap_or("no answer");
            match dead.verdict {
                "recognised" => format!("recognised ({says}): a new session is made and the request sent again"),
                "verified" => format!("looked into ({says}): a new session is made where the old one is gone"),
                "ignored" => format!("not looked at ({says})"),
                "silent" => format!("silence ({says})"),
                verdict => format!("{verdict} ({says})"),
            }
        }),
    );
    fact(
        "event stream",
        report.event_stream.as_ref().map(|stream| match stream.offered {
            true => "yes".to_owned(),
            false => format!("no (HTTP {})", stream.status),
        }),
    );
    fact(
        "resumable",
        report.resumable.as_ref().map(|resumable| {
            match (resumable.event_ids, resumable.result) {
                (_, Some("replayed")) => "yes: an answer was given again after Last-Event-ID",
                (_, Some("accepted")) => "yes: a GET with Last-Event-ID is accepted",
                (true, _) => "no: a GET with Last-Event-ID is refused",
                (false, _) => "no: its events carry no ids; an answer that is cut off has an unknown outcome",
            }
            .to_owned()
        }),
    );
    fact(
        "goodbye",
        report.goodbye.as_ref().map(|goodbye| match goodbye.accepted {
            true => format!("taken (HTTP {})", goodbye.status),
            false => format!("refused (HTTP {})", goodbye.status),
        }),
    );
    fact(
        "credentials",
        report.credentials.as_ref().map(|wanted| match wanted.challenge.as_str() {
            "" => format!("HTTP {}, without a challenge", wanted.status),
            challenge => format!("HTTP {}: {challenge}", wanted.status),
        }),
    );
    let stored = report.sign_in.as_ref().filter(|found| found.signed_in || found.problem.is_some());
    fact(
        "sign-in",
        stored.map(|found| match &found.problem {
            Some(problem) => format!("no token: {problem}"),
            None => format!("yes{}", found.summary),
        }),
    );
    facts
}

fn count(count: &Count) -> String {
    format!("{}{}", if count.complete { "" } else { "at least " }, count.count)
}

/// Text that may come from a server: bounded, on one line, and with nothing in it that a terminal would obey.
fn clean(text: &str) -> String {
    crate::text::visible(text, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_server_reaches_the_terminal_as_an_order() {
        let mut report = Report::new("http://h/mcp".to_owned());
        report.note("a\x1b[2Jb\nc".to_owned());
        let text = of(&report);
        assert!(text.contains("a\u{FFFD}[2Jb\u{FFFD}c"), "{text}");
    }
}
