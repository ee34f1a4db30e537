//! A survey of a server that answers anything: no answer makes it panic, and what it sends next goes to the same origin, with
//! headers that hold no line break.
//!
//! The first byte of the input chooses the transport and whether the body comes in pieces, the second the status, the third
//! the content type; then a session id, a location and the body, each up to the next zero byte.

use mcp_reconnect_core::diagnosis::{Answer, Survey, initialize};
use mcp_reconnect_core::{Request, Transport};

/// One run.
pub fn run(input: &[u8]) {
    let [choice, status, kind, rest @ ..] = input else { return };
    let transport = if choice & 1 == 0 { Transport::StreamableHttp } else { Transport::HttpSse };
    let status = [200, 202, 204, 307, 308, 400, 401, 404, 405, 429, 500, 503][usize::from(*status) % 12];
    let kind = ["application/json", "text/event-stream", "text/html", ""][usize::from(*kind) % 4];
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (session, location, body) = (part(), part(), part());
    let headers = [
        (String::from("Content-Type"), kind.as_bytes().to_vec()),
        (String::from("Mcp-Session-Id"), session.to_vec()),
        (String::from("Location"), location.to_vec()),
        (String::from("WWW-Authenticate"), location.to_vec()),
        (String::from("Set-Cookie"), session.to_vec()),
    ];
    let mut answer = Answer::new(status, &headers);
    for piece in body.chunks(if choice & 2 == 0 { body.len().max(1) } else { 3 }) {
        answer.feed(piece);
    }
    answer.end();
    let mut survey = Survey::new("http://127.0.0.1:1/mcp", Vec::new(), transport, "2025-11-25").unwrap();
    check(&survey.open(&initialize("fuzz", "1")));
    survey.redirected(&answer);
    let opened = survey.opened(&answer).is_ok();
    survey.learn_cookies(&answer);
    let requests = [
        survey.initialize("{}"),
        Some(survey.initialized()),
        Some(survey.ping()),
        survey.ping_dead_session(),
        survey.event_stream(),
        survey.resume(&answer),
        survey.delete(),
        Some(survey.list("tools/list")),
    ];
    for request in requests.iter().flatten() {
        check(request);
    }
    assert!(!survey.has_session_id() || opened || transport == Transport::HttpSse);
    survey.judge_dead_session(Some(&answer)).name();
    survey.judge_resume(&answer).name();
    survey.is_lost(&answer);
    assert!(!answer.describe().contains(['\n', '\r']), "{:?}", answer.describe());
    answer.body_kind().name();
}

fn check(request: &Request) {
    assert!(!request.https && request.authority == "127.0.0.1:1", "another origin: {request:?}");
    let text = request.path.bytes().chain(request.headers.iter().flat_map(|(_, value)| value.bytes()));
    assert!(text.into_iter().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t'), "injected: {request:?}");
}
