//! Rules that only one odd message, or one of several things at once, shows.

use std::collections::BTreeSet;
use std::time::Duration;

use mcp_reconnect_core::{Event, Failure, Input, Instant, Options, SECOND, State, errors};
use serde_json::{Value, json};

use crate::rig::*;
use crate::translated::{call, initialize, refuse, server, session};

/// The code of the error that the client was told as the answer to this request.
fn code(rig: &Rig, id: &Value) -> Option<i64> {
    rig.told.iter().find(|message| &message["id"] == id)?["error"]["code"].as_i64()
}

fn connected(rig: &Rig) -> usize {
    rig.events.iter().filter(|event| matches!(event, Event::Connected(_))).count()
}

fn disconnected(rig: &Rig) -> usize {
    rig.events.iter().filter(|event| matches!(event, Event::Disconnected { .. })).count()
}

/// A session of a version with sessions, beside which the same client uses one without.
fn with_session(options: Options) -> Rig {
    let mut rig = Rig::with(options);
    rig.say(json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}}));
    let info = json!({"name": "s", "version": "1"});
    rig.result("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}));
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    while let Some(exchange) = rig.open.keys().next().copied() {
        // The notification, and the standalone stream, which this server does not have.
        let notifies = body(&rig.open[&exchange])["method"].is_string();
        rig.answer(exchange, if notifies { 202 } else { 405 }, "text/plain", "");
    }
    rig.told.clear();
    rig
}

#[test]
fn only_a_result_with_its_type_shows_that_the_server_speaks_the_version() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/list", json!({}));
    rig.result("tools/list", json!({"tools": []}));
    assert_eq!((rig.engine.status().session, connected(&rig)), (None, 0));
    rig.ask(json!(2), "tools/list", json!({}));
    rig.result("tools/list", json!({"resultType": "complete", "tools": []}));
    assert_eq!(connected(&rig), 1);
    let session = rig.engine.status().session.expect("there is contact");
    // Nothing is known of the server, which is the first one all the same.
    assert_eq!((session.epoch, session.server_name.as_str()), (1, ""));
}

#[test]
fn only_an_error_of_the_version_shows_that_the_server_speaks_it() {
    for (error, shows) in [(-32602, false), (-32601, false), (-32021, true)] {
        let mut rig = Rig::new();
        rig.ask(json!(1), "tools/call", json!({"name": "t"}));
        rig.error("tools/call", 200, error, json!(null));
        assert_eq!((code(&rig, &json!(1)), connected(&rig) == 1), (Some(error), shows), "{error}");
    }
}

/// What looks like the result of a discover means nothing in the result of another request.
#[test]
fn only_a_discover_is_read_as_one() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.result("tools/call", json!({"supportedVersions": [VERSION], "capabilities": {}}));
    assert_eq!(connected(&rig), 0);
    // And a discover that names no version without sessions is one of a server without them.
    rig.ask(json!(2), "server/discover", json!({}));
    rig.result(
        "server/discover",
        json!({"resultType": "complete", "supportedVersions": ["2025-11-25"], "capabilities": {}}),
    );
    assert_eq!((code(&rig, &json!(2)), connected(&rig)), (Some(errors::METHOD_NOT_FOUND), 0));
    let text = rig.told.last().unwrap()["error"]["message"].to_string();
    assert!(text.contains("speaks only versions with a session"), "{text}");
}

#[test]
fn a_server_that_refused_as_one_with_sessions_is_remembered_as_one() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/list", json!({}));
    let (exchange, _) = rig.last();
    rig.answer(exchange, 400, "text/plain", "no session");
    assert_eq!(code(&rig, &json!(1)), Some(-32022));
    rig.ask(json!(2), "server/discover", json!({}));
    rig.pass(9 * SECOND);
    let text = rig.told.last().unwrap()["error"]["message"].to_string();
    assert!(text.contains("speaks only versions with a session"), "{text}");
}

#[test]
fn an_answer_under_the_id_of_nothing_is_dropped() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let (exchange, wire) = rig.last();
    rig.head(exchange, 200, "text/event-stream");
    for id in [json!(9999), json!("9999"), json!(null)] {
        rig.event(exchange, &json!({"jsonrpc": "2.0", "id": id, "result": {"resultType": "complete"}}));
    }
    assert!(rig.told.is_empty() && rig.open.contains_key(&exchange), "{:?}", rig.told);
    rig.event(exchange, &json!({"jsonrpc": "2.0", "id": wire, "result": {"resultType": "complete"}}));
    assert_eq!(rig.told.len(), 1);
}

/// A tool with an argument that this header repeats.
fn tool(name: &str, header: &str) -> Value {
    json!({"name": name,
        "inputSchema": {"type": "object", "properties": {"r": {"type": "string", "x-mcp-header": header}}}})
}

fn list(rig: &mut Rig, params: Value, result: Value) {
    rig.ask(json!("list"), "tools/list", params);
    rig.result("tools/list", result);
}

/// The header that repeats the argument of a call of this tool.
fn repeated(rig: &mut Rig, name: &str) -> Option<String> {
    rig.ask(json!("call"), "tools/call", json!({"name": name, "arguments": {"r": "eu"}}));
    let (exchange, _) = rig.find("tools/call");
    let value = header(&rig.open[&exchange], "mcp-param-region").map(str::to_string);
    rig.result("tools/call", json!({"resultType": "complete"}));
    value
}

#[test]
fn the_first_page_of_tools_replaces_those_of_before_and_others_add_to_it() {
    let mut rig = Rig::new();
    list(&mut rig, json!({}), json!({"tools": [tool("a", "Region")], "nextCursor": "2"}));
    list(&mut rig, json!({"cursor": "2"}), json!({"tools": [tool("b", "Region")]}));
    assert_eq!(repeated(&mut rig, "a").as_deref(), Some("eu"));
    assert_eq!(repeated(&mut rig, "b").as_deref(), Some("eu"));
    list(&mut rig, json!({}), json!({"tools": [tool("b", "Region")]}));
    assert_eq!(repeated(&mut rig, "a"), None);
    assert_eq!(repeated(&mut rig, "b").as_deref(), Some("eu"));
}

#[test]
fn tools_are_read_again_from_their_first_page_and_not_without_end() {
    let mut rig = Rig::new();
    list(&mut rig, json!({}), json!({"tools": [tool("old", "Region")]}));
    rig.ask(json!(1), "tools/call", json!({"name": "t", "arguments": {"r": "eu"}}));
    rig.error("tools/call", 400, -32020, json!(null));
    let mut pages = 0;
    while rig.is_open("tools/list") {
        let (exchange, _) = rig.find("tools/list");
        assert_eq!(body(&rig.open[&exchange])["params"]["cursor"].is_string(), pages > 0);
        let tools = if pages == 0 { json!([tool("t", "Region")]) } else { json!([]) };
        pages += 1;
        assert!(pages < 50);
        rig.result("tools/list", json!({"tools": tools, "nextCursor": "more"}));
    }
    assert_eq!(pages, 32);
    let (exchange, _) = rig.find("tools/call");
    assert_eq!(header(&rig.open[&exchange], "mcp-param-region"), Some("eu"));
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert_eq!(repeated(&mut rig, "old"), None, "the server does not list it any more");
}

#[test]
fn an_error_answers_the_engines_own_question_too() {
    // After a loss, a call that must not run twice waits for the answer.
    for (error, log) in [(-32021, false), (-32601, true)] {
        let mut rig = Rig::new();
        rig.discovered();
        rig.ask(json!(1), "tools/call", json!({"name": "t"}));
        rig.lose_all(Failure::Lost);
        rig.ask(json!(2), "tools/call", json!({"name": "t"}));
        assert!(!rig.is_open("tools/call"));
        rig.error("server/discover", 200, error, json!(null));
        assert!(rig.is_open("tools/call"), "{error}");
        assert_eq!(rig.logged("does not speak a version without sessions"), log, "{error}");
    }
}

#[test]
fn a_close_and_a_full_queue_refuse_a_request_once() {
    let mut rig = Rig::with(Options::new(URL).with(|o| o.max_queue_messages = 1));
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    assert_eq!((code(&rig, &json!(2)), rig.started.len()), (Some(errors::QUEUE_FULL), 1));
    rig.input(Input::Close);
    rig.told.clear();
    rig.ask(json!(3), "tools/list", json!({}));
    assert_eq!((code(&rig, &json!(3)), rig.told.len(), rig.started.len()), (Some(errors::CLOSED), 1, 1));
}

#[test]
fn that_the_client_connects_is_said_once() {
    let mut rig = Rig::new();
    for id in 1..4 {
        rig.ask(json!(id), "tools/list", json!({}));
    }
    let connecting = |rig: &Rig| rig.events.iter().filter(|event| matches!(event, Event::Connecting)).count();
    assert_eq!(connecting(&rig), 1);
    // With a session it was said of that.
    let mut rig = with_session(Options::new(URL));
    let before = connecting(&rig);
    rig.ask(json!(1), "tools/list", json!({}));
    rig.result("tools/list", json!({"resultType": "complete", "tools": []}));
    assert_eq!((connecting(&rig), connected(&rig)), (before, 1), "events are of the session");
}

#[test]
fn a_discover_waits_for_the_start_timeout_where_that_is_shorter() {
    for (start, answered) in [(3, 3), (0, 8), (60, 8)] {
        let mut rig = Rig::with(Options::new(URL).with(|o| o.start_timeout = start * SECOND));
        rig.ask(json!(1), "server/discover", json!({}));
        rig.pass(answered * SECOND - Duration::from_nanos(1));
        assert!(rig.told.is_empty(), "{start}");
        rig.pass(Duration::from_nanos(2));
        assert_eq!(code(&rig, &json!(1)), Some(errors::METHOD_NOT_FOUND), "{start}");
    }
}

/// A call of this tool breaks off. True: it is sent again.
fn is_sent_again(rig: &mut Rig, mut params: Value, name: &str) -> bool {
    params["name"] = json!(name);
    rig.ask(json!("call"), "tools/call", params);
    let (exchange, _) = rig.find("tools/call");
    rig.fail(exchange, Failure::Lost);
    let unknown = code(rig, &json!("call")) == Some(errors::OUTCOME_UNKNOWN);
    if !unknown {
        rig.until_asked();
        rig.result("server/discover", discover_result());
        rig.result("tools/call", json!({"resultType": "complete"}));
    }
    // A call that ran on leaves a doubt behind.
    rig.input(Input::Probe);
    if rig.is_open("server/discover") {
        rig.result("server/discover", discover_result());
    }
    rig.told.clear();
    !unknown
}

#[test]
fn only_what_a_list_of_tools_marks_runs_twice_and_only_where_that_is_trusted() {
    let marked = json!([{"name": "reads", "annotations": {"readOnlyHint": true}, "inputSchema": {}},
        {"name": "writes", "annotations": {"readOnlyHint": false}, "inputSchema": {}}]);
    for trust_annotations in [true, false] {
        let mut rig = Rig::with(Options::new(URL).with(|o| o.trust_annotations = trust_annotations));
        rig.discovered();
        // What is not a list of tools marks nothing.
        rig.ask(json!(1), "prompts/list", json!({}));
        rig.result("prompts/list", json!({"resultType": "complete", "prompts": [], "tools": marked}));
        assert!(!is_sent_again(&mut rig, json!({}), "reads"));
        list(&mut rig, json!({}), json!({"resultType": "complete", "tools": marked}));
        assert_eq!(is_sent_again(&mut rig, json!({}), "reads"), trust_annotations);
        assert!(!is_sent_again(&mut rig, json!({}), "writes"));
        assert!(!is_sent_again(&mut rig, json!({}), "unheard"));
        // A state of the server may be good for one time only.
        assert!(!is_sent_again(&mut rig, json!({"requestState": "s"}), "reads"));
        assert!(!is_sent_again(&mut rig, json!({"inputResponses": {}}), "reads"));
    }
}

/// The engine's own question goes unanswered for its time.
fn unanswered(rig: &mut Rig) {
    for _ in 0..1200 {
        if rig.is_open("server/discover") {
            return rig.pass(6 * SECOND);
        }
        rig.pass(SECOND / 10);
    }
    panic!("it is not asked for: {:?}", rig.methods());
}

#[test]
fn an_unanswered_question_is_only_a_suspicion_while_a_call_may_be_why() {
    let suspected = |rig: &Rig| rig.events.iter().any(|event| matches!(event, Event::Suspect { .. }));
    let options = || Options::new(URL).with(|o| o.heartbeat_timeout = 5 * SECOND);
    let strict = || options().with(|o| o.heartbeat_strict = true);
    for (options, suspects) in [(options(), true), (strict(), false)] {
        let mut rig = Rig::with(options);
        rig.discovered();
        rig.ask(json!(1), "tools/call", json!({"name": "t"}));
        unanswered(&mut rig);
        assert_eq!((suspected(&rig), disconnected(&rig) == 0), (suspects, suspects));
    }
    // A stream of notifications keeps no server busy.
    let mut rig = Rig::with(options());
    rig.discovered();
    rig.listening(json!(1));
    unanswered(&mut rig);
    assert_eq!((suspected(&rig), disconnected(&rig)), (false, 1));
    // Where a call waits for the answer itself, the server is tried anew.
    let mut rig = Rig::with(options());
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    let (first, _) = rig.find("tools/call");
    rig.fail(first, Failure::Lost);
    rig.ask(json!(3), "tools/call", json!({"name": "t"}));
    unanswered(&mut rig);
    assert_eq!((suspected(&rig), disconnected(&rig)), (false, 1));
}

#[test]
fn events_are_of_the_session_where_there_is_one() {
    let mut rig = with_session(Options::new(URL));
    rig.discovered();
    assert_eq!(connected(&rig), 1);
    rig.ask(json!(1), "tools/list", json!({}));
    let (exchange, _) = rig.find("tools/list");
    let before = rig.events.len();
    rig.fail(exchange, Failure::Connect);
    rig.until_asked();
    rig.result("server/discover", discover_result());
    rig.result("tools/list", json!({"resultType": "complete", "tools": []}));
    let told = &rig.events[before..];
    assert!(
        !told.iter().any(|event| matches!(event, Event::Disconnected { .. } | Event::Reconnected { .. })),
        "{told:?}"
    );
}

#[test]
fn reconnects_are_counted() {
    let mut rig = Rig::new();
    rig.discovered();
    for count in 1..4 {
        rig.ask(json!(count), "tools/list", json!({}));
        rig.lose_all(Failure::Connect);
        rig.until_asked();
        rig.result("server/discover", discover_result());
        rig.result("tools/list", json!({"resultType": "complete", "tools": []}));
        assert_eq!(rig.engine.status().reconnects, count);
    }
}

#[test]
fn a_call_of_the_session_is_no_reason_to_ask_the_other_lane() {
    let mut rig = with_session(Options::new(URL));
    rig.discovered();
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t"}}));
    let before = rig.methods().iter().filter(|method| *method == "server/discover").count();
    rig.pass(300 * SECOND);
    assert_eq!(rig.methods().iter().filter(|method| *method == "server/discover").count(), before);
}

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

#[test]
fn a_mark_of_another_stream_passes_as_it_is() {
    let mut rig = Rig::new();
    let listen = rig.listening(json!("L"));
    rig.told.clear();
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed",
        "params": {"_meta": {SUBSCRIPTION: 9999}}});
    rig.event(listen, &changed);
    assert_eq!(rig.take(), [changed]);
}

/// Ends what the engine opens with this failure, for so long.
fn fail_for(rig: &mut Rig, failure: Failure, time: Duration) {
    let end = rig.now + time;
    while rig.now < end {
        rig.lose_all(failure);
        rig.pass(SECOND / 2);
    }
}

#[test]
fn a_stream_waits_for_the_server_without_end_once_it_is_acknowledged_and_not_before() {
    for failure in [Failure::Lost, Failure::Connect] {
        let mut rig = Rig::new();
        rig.discovered();
        rig.listening(json!("told"));
        rig.ask(json!("new"), "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
        rig.told.clear();
        fail_for(&mut rig, failure, 100 * SECOND);
        assert!(rig.told.is_empty(), "{failure:?} {:?}", rig.told);
        fail_for(&mut rig, failure, 300 * SECOND);
        assert!(code(&rig, &json!("new")).is_some(), "{failure:?}");
        assert_eq!(rig.told.len(), 1, "{failure:?} {:?}", rig.told);
    }
}

#[test]
fn while_the_server_takes_no_connections_nothing_but_a_question_is_sent() {
    let mut rig = Rig::new();
    rig.discovered();
    let listen = rig.listening(json!(1));
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    let before = rig.started.len();
    rig.fail(listen, Failure::Lost);
    fail_for(&mut rig, Failure::Connect, 60 * SECOND);
    assert!(rig.methods()[before..].iter().all(|method| method == "server/discover"), "{:?}", rig.methods());
}

#[test]
fn only_a_lost_stream_is_opened_again() {
    let mut rig = Rig::new();
    rig.discovered();
    let lost = rig.listening(json!("a"));
    let (kept, _) = {
        rig.ask(json!("b"), "subscriptions/listen", json!({"notifications": {"promptsListChanged": true}}));
        let exchange = *rig.open.keys().next_back().unwrap();
        let wire = body(&rig.open[&exchange])["id"].clone();
        rig.head(exchange, 200, "text/event-stream");
        rig.event(exchange, &acknowledgement(&wire, json!({"promptsListChanged": true})));
        (exchange, wire)
    };
    let before = rig.started.len();
    rig.fail(lost, Failure::Lost);
    rig.until_asked();
    rig.result("server/discover", discover_result());
    rig.pass(SECOND);
    let opened: Vec<_> =
        rig.methods()[before..].iter().filter(|method| *method == "subscriptions/listen").cloned().collect();
    assert_eq!(opened.len(), 1, "{:?}", rig.methods());
    assert!(rig.open.contains_key(&kept));
}

#[test]
fn the_first_stream_that_does_not_last_is_opened_again_within_the_base_of_the_backoff() {
    for seed in 0..8 {
        let options = Options::new(URL).with(|o| o.backoff_base = SECOND / 4);
        let mut rig = Rig::with(options.clone());
        rig.engine = mcp_reconnect_core::Engine::new(options, seed, Instant::ZERO).unwrap();
        rig.discovered();
        let listen = rig.listening(json!(1));
        rig.end(listen);
        assert!(!rig.is_open("subscriptions/listen"));
        rig.pass(SECOND / 4);
        assert!(rig.is_open("subscriptions/listen"), "{seed}");
    }
}

const HTML: &str = "<html>not found";

#[test]
fn a_path_that_is_not_found_is_tried_three_times_more() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    let mut sent = 0;
    while rig.told.is_empty() {
        sent += 1;
        assert!(sent < 20);
        let (exchange, _) = rig.find("tools/call");
        rig.answer(exchange, 404, "text/html", HTML);
        if sent == 4 {
            break;
        }
        if rig.told.is_empty() {
            rig.until_asked();
            rig.result("server/discover", discover_result());
        }
    }
    assert_eq!((sent, code(&rig, &json!(1))), (4, Some(errors::HTTP_ERROR)));
    assert!(!rig.logged("does not speak a version without sessions"));
}

/// A call waits, and the engine's own question is refused so.
fn question_refused(status: u16, kind: &str, text: &str) -> Rig {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.lose_all(Failure::Lost);
    rig.ask(json!(2), "tools/call", json!({"name": "t"}));
    let (own, _) = rig.find("server/discover");
    rig.answer(own, status, kind, text);
    rig
}

#[test]
fn a_question_that_is_not_found_says_nothing_of_versions_and_one_that_is_refused_does() {
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found"}}"#;
    for (status, kind, text, legacy) in [
        (404, "text/html", HTML, false),
        (410, "text/html", HTML, false),
        (404, "application/json", error, true),
        (400, "application/json", error, true),
        (400, "text/html", HTML, true),
    ] {
        let rig = question_refused(status, kind, text);
        assert_eq!(rig.logged("does not speak a version without sessions"), legacy, "{status} {text}");
        assert_eq!(rig.is_open("tools/call"), legacy, "it waits for the server: {status} {text}");
    }
}

/// A server that was never heard to speak these versions, and is not found: no MCP server is there.
#[test]
fn a_question_that_is_not_found_is_an_answer_where_nothing_is_known() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.lose_all(Failure::Connect);
    rig.until_asked();
    let (own, _) = rig.find("server/discover");
    rig.answer(own, 404, "text/html", HTML);
    assert!(rig.is_open("tools/call"));
}

#[test]
fn whether_the_server_took_a_call_that_has_no_answer_is_said() {
    let mut rig = Rig::new();
    rig.discovered();
    for (id, kind) in [(1, Some("text/event-stream")), (2, Some("application/json")), (3, None)] {
        rig.ask(json!(id), "tools/call", json!({"name": "t"}));
        if rig.is_open("server/discover") {
            rig.result("server/discover", discover_result());
        }
        let (exchange, _) = rig.find("tools/call");
        if let Some(kind) = kind {
            rig.head(exchange, 200, kind);
        }
        rig.fail(exchange, Failure::Lost);
        let error = rig.take()[0]["error"].clone();
        assert_eq!(
            (&error["code"], &error["data"]["accepted"]),
            (&json!(errors::OUTCOME_UNKNOWN), &json!(kind.is_some()))
        );
    }
}

#[test]
fn which_refusals_of_an_initialize_lead_to_a_discover() {
    let this = json!({"supported": [VERSION]});
    for (status, error, data, asked) in [
        (200, -32601, json!(null), true),
        (406, -32022, this.clone(), true),
        (406, -32000, json!(null), false),
        (500, -32603, json!(null), false),
        (500, -32022, this, false),
    ] {
        let mut rig = Rig::new();
        initialize(&mut rig);
        rig.error("initialize", status, error, data);
        assert_eq!(rig.is_open("server/discover"), asked, "{status} {error}");
    }
}

#[test]
fn a_version_that_is_refused_and_supported_is_asked_for_twice_and_not_more() {
    let mut rig = Rig::new();
    initialize(&mut rig);
    rig.error("initialize", 400, -32600, json!(null));
    for asked in [true, false] {
        rig.error("server/discover", 400, -32022, json!({"supported": [VERSION]}));
        assert_eq!(rig.is_open("server/discover"), asked);
    }
}

/// A result that asks for this many things, the first under a name of so many bytes.
fn asks_for(questions: usize, name: usize) -> Value {
    let question = json!({"method": "elicitation/create", "params": {}});
    let name = |number: usize| if number == 0 { "n".repeat(name) } else { number.to_string() };
    let requests: serde_json::Map<_, _> = (0..questions).map(|number| (name(number), question.clone())).collect();
    json!({"resultType": "input_required", "inputRequests": requests})
}

#[test]
fn a_server_asks_for_64_things_at_once_and_with_names_of_1024_bytes_at_most() {
    for (questions, name, asked) in [(64, 1024, true), (65, 1, false), (1, 1025, false)] {
        let (mut rig, _) = session();
        call(&mut rig, json!(1));
        rig.result("tools/call", asks_for(questions, name));
        let told = rig.take();
        if asked {
            assert_eq!(told.iter().filter(|message| message["method"] == "elicitation/create").count(), questions);
            let ids: BTreeSet<String> = told.iter().map(|message| message["id"].to_string()).collect();
            assert_eq!(ids.len(), questions, "each question has an id of its own");
        } else {
            assert_eq!(
                (told.len(), &told[0]["id"], &told[0]["error"]["code"]),
                (1, &json!(1), &json!(errors::HTTP_ERROR))
            );
        }
    }
}

#[test]
fn words_in_a_result_ask_for_nothing() {
    let (mut rig, _) = session();
    call(&mut rig, json!(1));
    let result = json!({"resultType": "complete", "content": [{"type": "text", "text": "input_required"}]});
    rig.result("tools/call", result.clone());
    assert_eq!(rig.take(), [json!({"jsonrpc": "2.0", "id": 1, "result": result})]);
}

#[test]
fn what_a_stream_does_not_tell_of_is_said() {
    for (told, said) in [
        (json!({"toolsListChanged": true, "resourcesListChanged": true}), false),
        (json!({"toolsListChanged": true}), true),
    ] {
        let mut rig = Rig::new();
        initialize(&mut rig);
        refuse(&mut rig);
        rig.result("server/discover", server());
        rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        rig.acknowledge(told);
        assert_eq!(rig.logged("does not tell of everything"), said);
    }
}

#[test]
fn a_stream_is_asked_for_what_the_server_declares() {
    for (capabilities, notifications) in [
        (json!({"tools": {"listChanged": true}}), json!({"toolsListChanged": true})),
        (json!({"prompts": {"listChanged": true}}), json!({"promptsListChanged": true})),
        (json!({"resources": {"listChanged": true}}), json!({"resourcesListChanged": true})),
    ] {
        let mut rig = Rig::new();
        initialize(&mut rig);
        refuse(&mut rig);
        let mut result = server();
        result["capabilities"] = capabilities;
        rig.result("server/discover", result);
        rig.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        let (listen, _) = rig.find("subscriptions/listen");
        assert_eq!(body(&rig.open[&listen])["params"]["notifications"], notifications);
    }
}

#[test]
fn a_subscription_waits_for_the_acknowledgement_of_a_stream_that_has_its_uri() {
    let (mut rig, _) = session();
    for id in [1, 2] {
        rig.say(json!({"jsonrpc": "2.0", "id": id, "method": "resources/subscribe", "params": {"uri": "x:1"}}));
        assert!(rig.told.is_empty(), "{:?}", rig.told);
    }
    // Other requests go on, and what the stream brings for subscriptions is not their answer.
    call(&mut rig, json!(3));
    rig.acknowledge(json!({"toolsListChanged": true, "resourceSubscriptions": ["x:1"]}));
    let ids: Vec<_> = rig.take().iter().map(|message| message["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2)]);
    // One that is cancelled waits no more.
    rig.say(json!({"jsonrpc": "2.0", "id": 4, "method": "resources/subscribe", "params": {"uri": "x:2"}}));
    let before = rig.engine.status().in_flight;
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4}}));
    assert_eq!(rig.engine.status().in_flight, before - 1);
    rig.acknowledge(json!({"toolsListChanged": true, "resourceSubscriptions": ["x:1", "x:2"]}));
    assert!(rig.told.is_empty(), "{:?}", rig.told);
}

#[test]
fn what_is_no_message_on_a_stream_is_said() {
    let (mut rig, listen) = session();
    rig.bytes(listen, "data: []\n\n");
    assert!(rig.told.is_empty() && rig.logged("it is not JSON-RPC"));
}

#[test]
fn tools_that_cannot_be_used_are_left_out_of_a_list_and_of_nothing_else() {
    let (mut rig, _) = session();
    let tools = json!({"resultType": "complete", "tools": [tool("good", "R"), tool("bad", "a b")]});
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    rig.result("tools/list", tools.clone());
    assert_eq!(rig.take()[0]["result"]["tools"].as_array().map(Vec::len), Some(1));
    call(&mut rig, json!(2));
    rig.result("tools/call", tools.clone());
    assert_eq!(rig.take()[0]["result"], tools);
}

#[test]
fn only_a_version_that_is_refused_and_supported_is_tried_once_more() {
    for (error, supported) in [(-32022, "2031-01-01"), (-32602, VERSION)] {
        let (mut rig, _) = session();
        call(&mut rig, json!(1));
        rig.error("tools/call", 200, error, json!({"supported": [supported]}));
        assert_eq!(code(&rig, &json!(1)), Some(error));
    }
    // And headers are those of calls.
    let (mut rig, _) = session();
    rig.say(json!({"jsonrpc": "2.0", "id": 1, "method": "prompts/list"}));
    rig.error("prompts/list", 200, -32020, json!(null));
    assert_eq!(code(&rig, &json!(1)), Some(-32020));
}

#[test]
fn the_stream_of_a_translated_session_is_let_go_when_the_server_takes_no_connections() {
    let (mut rig, listen) = session();
    let (exchange, ..) = call(&mut rig, json!(1));
    rig.fail(exchange, Failure::Connect);
    assert!(rig.cancelled.contains(&listen));
}

/// What a session finds out counts for the versions without one.
#[test]
fn a_server_that_is_found_again_for_a_session_is_asked_at_once_for_the_other_requests() {
    let mut rig = with_session(Options::new(URL));
    rig.discovered();
    rig.ask(json!(1), "tools/list", json!({}));
    rig.say(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    fail_for(&mut rig, Failure::Connect, 20 * SECOND);
    while !rig.is_open("initialize") {
        if rig.is_open("server/discover") {
            let (own, _) = rig.find("server/discover");
            rig.fail(own, Failure::Connect);
        }
        rig.pass(SECOND / 100);
    }
    let info = json!({"name": "s", "version": "1"});
    if rig.is_open("server/discover") {
        let (own, _) = rig.find("server/discover");
        rig.fail(own, Failure::Connect);
    }
    rig.result("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}));
    let (exchange, _) = rig.find("notifications/initialized");
    rig.answer(exchange, 202, "text/plain", "");
    rig.pass(Duration::from_nanos(1));
    assert!(rig.is_open("server/discover"), "{:?}", rig.methods());
}

#[test]
fn the_status_is_that_of_the_session_where_the_client_asked_for_one() {
    let mut rig = Rig::new();
    rig.discovered();
    assert_eq!(rig.engine.status().state, State::Ready);
    initialize(&mut rig);
    assert_eq!(rig.engine.status().state, State::Connecting);
    rig.error("initialize", 200, -32602, json!(null));
    assert_eq!(code(&rig, &json!("i")), Some(-32602));
    // There is none after all.
    assert_eq!(rig.engine.status().state, State::Ready);
}

#[test]
fn a_stream_that_could_not_be_opened_is_lost() {
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let (listen, _) = rig.find("subscriptions/listen");
    rig.fail(listen, Failure::Lost);
    assert!(rig.logged("a stream of notifications was lost"));
}

#[test]
fn a_call_of_the_session_does_not_excuse_the_silence_of_the_other_lane() {
    let mut rig = with_session(Options::new(URL).with(|o| o.heartbeat_timeout = 5 * SECOND));
    rig.discovered();
    let listen = rig.listening(json!(1));
    rig.say(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "t"}}));
    unanswered(&mut rig);
    assert!(rig.cancelled.contains(&listen));
}

#[test]
fn a_close_waits_for_what_the_server_may_answer_and_for_nothing_else() {
    let closed = |rig: &Rig| rig.events.contains(&Event::Closed);
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.input(Input::Close);
    assert!(!closed(&rig));
    rig.result("tools/call", json!({"resultType": "complete"}));
    assert!(rig.take()[0]["result"].is_object() && closed(&rig));
    // The server is away.
    let mut rig = Rig::new();
    rig.discovered();
    rig.ask(json!(1), "tools/call", json!({"name": "t"}));
    rig.lose_all(Failure::Connect);
    rig.input(Input::Close);
    assert!(closed(&rig) && rig.told.len() == 1, "{:?}", rig.told);
}

#[test]
fn what_the_client_says_beside_requests_belongs_to_its_session() {
    let mut rig = with_session(Options::new(URL));
    rig.discovered();
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/x"}));
    let (exchange, _) = rig.find("notifications/x");
    assert_eq!(header(&rig.open[&exchange], "mcp-protocol-version"), Some("2025-11-25"));
    rig.say(json!({"jsonrpc": "2.0", "id": 99, "result": {}}));
    assert!(rig.logged("that no session asks any more") && !rig.logged("versions without sessions know none"));
    // And to nothing before there is either.
    let mut rig = Rig::new();
    rig.say(json!({"jsonrpc": "2.0", "method": "notifications/x"}));
    assert!(rig.logged("notifications/x before initialize"));
    rig.say(json!({"jsonrpc": "2.0", "id": 99, "result": {}}));
    assert!(rig.logged("that no session asks any more") && rig.started.is_empty());
}

#[test]
fn whether_the_server_was_told_of_a_call_that_took_too_long_is_said() {
    for reached in [true, false] {
        let mut rig = with_session(Options::new(URL).with(|o| o.run_timeout = 10 * SECOND));
        let (exchange, ..) = call(&mut rig, json!(1));
        rig.head(exchange, 200, "text/event-stream");
        if !reached {
            rig.say(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
            let (list, _) = rig.find("tools/list");
            rig.answer(list, 503, "text/plain", "upstream connect error");
        }
        while rig.open.contains_key(&exchange) && rig.now < Instant::ZERO + 20 * SECOND {
            for other in rig.open.keys().copied().collect::<Vec<_>>() {
                if other != exchange && !reached {
                    rig.answer(other, 503, "text/plain", "upstream connect error");
                } else if other != exchange && rig.is_open("ping") {
                    rig.result("ping", json!({}));
                }
            }
            rig.pass(SECOND / 10);
        }
        let error = rig.told.iter().find(|message| message["id"] == 1).expect("it is answered")["error"].clone();
        assert_eq!(error["code"], errors::TIMED_OUT, "{error}");
        let told = rig.is_open("notifications/cancelled");
        assert_eq!(told, reached);
        assert_eq!(error["message"].to_string().contains("the server was told to cancel it"), told, "{error}");
    }
}

/// Whether a discover ran does not matter, and clients wait for it for a short time only.
#[test]
fn a_discover_that_is_lost_counts_as_not_sent() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "server/discover", json!({}));
    for _ in 0..4 {
        rig.until_asked();
        let (exchange, _) = rig.find("server/discover");
        rig.fail(exchange, Failure::Lost);
        assert_eq!((rig.engine.status().replays, rig.told.len()), (0, 0));
    }
}

#[test]
fn what_a_server_notifies_of_is_not_taken_for_progress() {
    let mut rig = Rig::new();
    rig.ask(json!(1), "tools/list", json!({"_meta": {"progressToken": "p"}}));
    let message = |method: &str, progress: u32| json!({"jsonrpc": "2.0", "method": method, "params": {"progressToken": "p", "progress": progress}});
    for (progress, passes) in [(5, true), (4, false)] {
        let (exchange, _) = rig.find("tools/list");
        rig.head(exchange, 200, "text/event-stream");
        rig.event(exchange, &message("notifications/progress", progress));
        assert_eq!(rig.take().len(), usize::from(passes));
        rig.event(exchange, &message("notifications/x", progress));
        assert_eq!(rig.take().len(), 1);
        if passes {
            rig.fail(exchange, Failure::Lost);
            rig.result("server/discover", discover_result());
        }
    }
}
