//! `subscriptions/listen` of real servers, which end and come back: the client is told once what may have changed, and the
//! servers are let go.

use std::time::Duration;

use serde_json::{Value, json};

use super::servers::{Kind, Server};
use super::support::bridge::{Bridge, text};
use super::{SUBSCRIPTION, acknowledged, bridge, listen, modern, told, tool};

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// How long a server may take to end: the bridge looks after it each second, and the rest is what a busy machine takes.
const LEAVE: Duration = Duration::from_secs(3);

/// Makes a test of each case for each kind of server.
macro_rules! matrix {
    ($($kind:ident: $server:ident),* $(,)?) => {
        $(mod $kind {
            use super::*;
            const KIND: Kind = Kind::$server;
            #[test] fn a_restart_is_told_once() { super::a_restart_is_told_once(KIND); }
            #[test] fn a_cancelled_subscription_stays_cancelled() { super::a_cancelled_subscription_stays_cancelled(KIND); }
            #[test] fn a_server_that_ends_is_let_go() { super::a_server_that_ends_is_let_go(KIND); }
        })*
    };
}

matrix! {
    python: Python,
    typescript: TypeScript,
    typescript_only: TypeScriptOnly,
}

/// What came for a subscription after a mark, up to a change of `uri` that the server makes now.
fn told_until_now(bridge: &mut Bridge, mark: usize, id: &str, uri: &str) -> Vec<String> {
    let from = bridge.mark();
    let touched = bridge.call("tools/call", tool("touch", json!({"uri": uri})));
    assert_eq!(text(&touched), "touched");
    let id_value: Value = serde_json::from_str(id).unwrap();
    bridge.wait_after(from, "the server's own change", |message| {
        message["method"] == UPDATED && message["params"]["_meta"][SUBSCRIPTION] == id_value
    });
    let mut told = told(bridge, mark, id);
    assert_eq!(told.pop().as_deref(), Some(UPDATED));
    told.sort();
    told
}

/// Waits until the restart was told.
fn wait_for_news(bridge: &Bridge, mark: usize, id: &str) {
    let id: Value = serde_json::from_str(id).unwrap();
    for method in [TOOLS, UPDATED] {
        bridge.wait_after(mark, &format!("{method} for {id}"), |message| {
            message["method"] == method && message["params"]["_meta"][SUBSCRIPTION] == id
        });
    }
}

/// Two subscriptions with ids of two types; killed twice.
fn a_restart_is_told_once(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note", "memo://other"]));
    bridge.request_as("70", "subscriptions/listen", listen(&["memo://note"]));
    let first = acknowledged(&bridge, r#""listen-1""#);
    assert_eq!(first["params"]["notifications"]["resourceSubscriptions"], json!(["memo://note", "memo://other"]));
    acknowledged(&bridge, "70");
    for _ in 0..2 {
        let mark = bridge.mark();
        server.restart();
        wait_for_news(&bridge, mark, r#""listen-1""#);
        wait_for_news(&bridge, mark, "70");
        let both = told_until_now(&mut bridge, mark, r#""listen-1""#, "memo://other");
        assert_eq!(both, [UPDATED, UPDATED, TOOLS], "once for each resource and once for the tools");
        let one = told_until_now(&mut bridge, mark, "70", "memo://note");
        assert_eq!(one, [UPDATED, TOOLS], "once for the resource and once for the tools");
    }
    bridge.cancel(r#""listen-1""#);
    bridge.cancel("70");
    bridge.finish();
}

fn a_cancelled_subscription_stays_cancelled(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as(r#""gone""#, "subscriptions/listen", listen(&["memo://note"]));
    bridge.request_as(r#""kept""#, "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, r#""gone""#);
    acknowledged(&bridge, r#""kept""#);
    bridge.cancel(r#""gone""#);
    let mark = bridge.mark();
    server.restart();
    wait_for_news(&bridge, mark, r#""kept""#);
    told_until_now(&mut bridge, mark, r#""kept""#, "memo://note");
    assert!(told(&bridge, mark, r#""gone""#).is_empty(), "a cancelled subscription was told of a restart");
    bridge.cancel(r#""kept""#);
    bridge.finish();
}

/// Nobody makes a call, and the server's silence says nothing.
fn a_server_that_ends_is_let_go(kind: Kind) {
    let mut server = Server::started(kind);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, r#""listen-1""#);
    let mark = bridge.mark();
    server.ask_to_end();
    let took = server.ended();
    assert!(took < LEAVE, "the server took {took:?} to end");
    server.start();
    wait_for_news(&bridge, mark, r#""listen-1""#);
    bridge.cancel(r#""listen-1""#);
    bridge.finish();
}

/// The call that runs at a server that ends is answered by it: only the subscriptions are let go.
#[test]
fn a_call_outlives_the_subscriptions_of_a_server_that_ends() {
    let mut server = Server::started(Kind::Python);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note"]));
    acknowledged(&bridge, r#""listen-1""#);
    let until = super::support::scratch_file("until");
    let arguments = json!({"steps": 0, "until": until});
    let call = bridge.request(
        "tools/call",
        super::with_meta(
            json!({"name": "progress", "arguments": {"steps": 1, "until": arguments["until"]}}),
            json!({"progressToken": "p"}),
        ),
    );
    bridge.wait_for_method(0, "notifications/progress");
    server.ask_to_end();
    // This one is refused, which tells the bridge.
    let mark = bridge.mark();
    let held = bridge.request("tools/call", tool("echo", json!({"text": "held"})));
    bridge.wait_for_log(0, &["refuse", "trying again", "broke off", "closed"]);
    std::fs::write(&until, "").expect("the scratch folder is writable");
    assert_eq!(text(&bridge.result(&call)), "steps: 1");
    let took = server.ended();
    assert!(took < LEAVE, "the server took {took:?} to end");
    server.start();
    assert_eq!(text(&bridge.result(&held)), "Echo: held");
    wait_for_news(&bridge, mark, r#""listen-1""#);
    bridge.cancel(r#""listen-1""#);
    bridge.finish();
}

/// The server is not there yet.
#[test]
fn a_subscription_waits_for_its_server() {
    let mut server = Server::reserved(Kind::Python);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note"]));
    bridge.wait_for_log(0, &["trying again"]);
    server.start();
    acknowledged(&bridge, r#""listen-1""#);
    let mark = bridge.mark();
    assert!(told_until_now(&mut bridge, mark, r#""listen-1""#, "memo://note").is_empty(), "nothing has changed yet");
    bridge.cancel(r#""listen-1""#);
    bridge.finish();
}

/// fastmcp knows no subscriptions, and says so; nothing is invented in their place.
#[test]
fn a_server_without_subscriptions() {
    let mut server = Server::started(Kind::FastMcp);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.call("server/discover", modern(json!({})));
    bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note"]));
    assert_eq!(bridge.error(r#""listen-1""#)["code"], -32601);
    server.restart();
    let after = bridge.call("tools/call", tool("echo", json!({"text": "after"})));
    assert_eq!(text(&after), "Echo: after");
    assert!(bridge.messages_of(TOOLS).is_empty(), "nobody listens");
    bridge.finish();
}
