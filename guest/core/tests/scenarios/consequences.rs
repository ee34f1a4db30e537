//! What the engine does next when a ping of its own or a message of the client is not answered as it should be: a table of the
//! answers that servers and proxies give, with what is sent in the ten seconds after the first of them.

use crate::support::server::{json_body, status, status_text};
use crate::support::*;

/// What is sent, by its method and `-` for what has none, from the first ping on.
fn sent(own: &dyn Fn() -> Reply, parts: &[&str], knobs: Knobs, times: u32) -> String {
    let mut options = Options::new(URL);
    options.backoff_base = 2 * SECOND;
    let mut world = World::with(Knobs { get: Get::Status(405), ..knobs }, options, 1);
    world.open();
    for part in parts {
        world.rules(part, times, own());
    }
    world.run_until(60 * SECOND, |world| !world.started("\"ping\"").is_empty());
    let before = world.net.started.len() - 1;
    world.run_for(10 * SECOND);
    methods(&world, before)
}

fn methods(world: &World, from: usize) -> String {
    let method = |started: &crate::support::net::Started| {
        let message: serde_json::Value = serde_json::from_str(started.body()).unwrap_or_default();
        message["method"].as_str().map_or("-", |method| method.rsplit('/').next().unwrap_or(method)).to_string()
    };
    world.net.started[from..].iter().map(method).collect::<Vec<_>>().join(" ")
}

fn error(code: i64, text: &str) -> Reply {
    json_body(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"{text}"}}}}"#))
}

fn found_nothing_under_its_id() -> Reply {
    let body = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"no"}}"#;
    Reply::Status(404, vec![("content-type", "application/json".into())], body.into())
}

/// Once, or every time; to pings, or to pings and lists.
struct Row {
    answer: &'static str,
    reply: fn() -> Reply,
    pings: [&'static str; 2],
    both: [&'static str; 2],
}

// A server that answers is alive; a list tells what the words leave open; what a list leaves open too, an `initialize` decides,
// and the old session is deleted (`-`) when the new one stands.
const ALIVE: [&str; 2] = ["ping"; 2];
const LIST: [&str; 2] = ["ping list"; 2];
const DECIDED: [&str; 2] =
    ["ping list initialize - initialized ping -", "ping list initialize - initialized ping - list"];
const AT_ONCE: [&str; 2] = ["ping initialize - initialized ping -", "ping initialize - initialized ping - list"];
const GONE: [&str; 2] = ["ping initialize initialized ping -", "ping initialize initialized ping - list"];

const ROWS: [Row; 14] = [
    Row { answer: "no such method", reply: || error(-32601, "no"), pings: ALIVE, both: ALIVE },
    Row { answer: "uninitialised", reply: || error(-32602, "Invalid request parameters"), pings: ALIVE, both: ALIVE },
    Row { answer: "404 with its id", reply: found_nothing_under_its_id, pings: ALIVE, both: ALIVE },
    Row { answer: "429", reply: || status(429), pings: ALIVE, both: ALIVE },
    Row { answer: "lost, by an error", reply: || error(-32001, "Session not found"), pings: LIST, both: DECIDED },
    Row { answer: "400", reply: || status_text(400, "bad"), pings: LIST, both: DECIDED },
    Row {
        answer: "lost, by 400",
        reply: || status_text(400, "No valid session ID provided"),
        pings: LIST,
        both: DECIDED,
    },
    Row { answer: "410", reply: || status(410), pings: LIST, both: DECIDED },
    Row { answer: "401", reply: || status(401), pings: AT_ONCE, both: AT_ONCE },
    Row { answer: "403", reply: || status(403), pings: AT_ONCE, both: AT_ONCE },
    // There is no session any more that could be deleted.
    Row { answer: "404", reply: || status(404), pings: GONE, both: GONE },
    Row {
        answer: "500",
        reply: || status(500),
        pings: ["ping ping", "ping ping list"],
        both: ["ping ping", "ping ping list initialize - initialized ping - list"],
    },
    // Nobody stands behind the proxy: it is asked again, at its time.
    Row {
        answer: "503 of a proxy",
        reply: || status_text(503, "no healthy upstream"),
        pings: ["ping ping", "ping ping ping"],
        both: ["ping ping", "ping ping ping"],
    },
    Row {
        answer: "503 for 3 s",
        reply: || Reply::Status(503, vec![("Retry-After", "3".into())], String::new()),
        pings: ["ping ping", "ping ping ping list"],
        both: ["ping ping", "ping ping ping list initialize - initialized ping - list"],
    },
];

#[test]
fn each_answer_to_a_ping_has_its_consequence() {
    for Row { answer, reply, pings, both } in &ROWS {
        for (at, times) in [1, 50].into_iter().enumerate() {
            let own = |parts| sent(reply, parts, Knobs::http(), times);
            assert_eq!(own(&["\"ping\""]), pings[at], "pings are answered {answer}, {times} times");
            assert_eq!(
                own(&["\"ping\"", "tools/list"]),
                both[at],
                "pings and lists are answered {answer}, {times} times"
            );
        }
    }
}

/// Without a session id a 404 says nothing of a session, and after a 5xx there may be none.
#[test]
fn without_a_session_id_some_answers_say_something_else() {
    for (code, sequence) in [
        (404, "ping list"),
        (410, "ping list"),
        (429, "ping"),
        (500, "ping initialize initialized ping -"),
        (401, "ping initialize initialized ping -"),
    ] {
        let told = sent(&|| status(code), &["\"ping\""], Knobs { stateless: true, ..Knobs::http() }, 1);
        assert!(told.starts_with(sequence), "{code}: {told}");
    }
}

/// The same for messages of the client: what is sent after one that was answered so once, and with which error a call and a read
/// end that are answered so every time. None: they wait.
#[test]
fn each_answer_to_a_message_of_the_client_has_its_consequence() {
    const WAITS: Option<i64> = None;
    let rejected = |code: i64| [format!("call list: {code}"), format!("read list: {code}"), "custom".to_string()];
    let own = |code: i64| [format!("call: {code}"), format!("read: {code}"), "custom".to_string()];
    let again = || ["call ping call: done", "read ping read: done", "custom ping custom"].map(String::from);
    let (refused, unauthorized) = (errors::HTTP_ERROR, errors::UNAUTHORIZED);
    for (answer, once, always) in [
        ("no such method", own(-32601), Some(-32601)),
        ("uninitialised", rejected(-32602), Some(-32602)),
        ("404 with its id", own(-32601), Some(-32601)),
        ("429", again(), WAITS),
        ("lost, by an error", rejected(-32001), Some(-32001)),
        ("400", rejected(refused), Some(refused)),
        ("lost, by 400", rejected(refused), Some(refused)),
        ("410", rejected(refused), Some(refused)),
        ("401", rejected(unauthorized), Some(unauthorized)),
        ("403", rejected(unauthorized), Some(unauthorized)),
        (
            "404",
            [
                "call initialize initialized - call: done",
                "read initialize initialized - read: done",
                // Some servers refuse all notifications so.
                "custom list custom",
            ]
            .map(String::from),
            Some(errors::SESSION_UNSTABLE),
        ),
        // It may have run.
        (
            "500",
            [format!("call ping: {}", errors::OUTCOME_UNKNOWN), "read ping read: done".into(), "custom ping".into()],
            Some(errors::OUTCOME_UNKNOWN),
        ),
        ("503 of a proxy", again(), Some(refused)),
        ("503 for 3 s", again(), WAITS),
    ] {
        let row = ROWS.iter().find(|row| row.answer == answer).expect("it is in the table");
        for (method, expected) in ["tools/call", "resources/read", "notifications/custom"].into_iter().zip(once) {
            assert_eq!(after(&row.reply, method, Knobs::http(), 1).0, expected, "{method} was answered {answer}");
        }
        for method in ["tools/call", "resources/read"] {
            assert_eq!(after(&row.reply, method, Knobs::http(), 50).1, always, "{method} is always answered {answer}");
        }
    }
}

/// What is sent in ten seconds after a message of the client was answered so, with what the client has then, and its error.
fn after(reply: &dyn Fn() -> Reply, method: &str, knobs: Knobs, times: u32) -> (String, Option<i64>) {
    let mut options = Options::new(URL);
    options.backoff_base = 2 * SECOND;
    let mut world = World::with(Knobs { get: Get::Status(405), ..knobs }, options, 1);
    world.open();
    world.rules(method, times, reply());
    let before = world.net.started.len();
    let asked = match method {
        "tools/call" => world.call("echo", 0),
        "resources/read" => world.ask(method, r#"{"tag":$TAG}"#),
        _ => world.notify(method),
    };
    world.run_for(10 * SECOND);
    let sent = methods(&world, before);
    let answer = if world.client.asked.contains_key(&asked) { world.answer(asked) } else { None };
    match answer {
        Some(Answer::Result(_)) => (format!("{sent}: done"), None),
        Some(Answer::Error(code, _)) => (format!("{sent}: {code}"), Some(*code)),
        None => (sent, None),
    }
}
