//! The official SDKs' clients drive the bridge through a `kill -9` of a real server, and notice nothing but a delay.

mod support;

use serde_json::Value;
use support::client::Client;
use support::servers::{Kind, Server};

/// A client program, the server that it meets, and what is sure to be among the server's tools.
fn survives(start: fn(&[&str]) -> Client, kind: Kind) {
    let mut server = Server::started(kind);
    let url = server.url();
    let mut client = start(&[&url, "--log", "debug"]);
    assert!(!client.connected().is_empty());
    let tools = client.tools();
    assert!(tools.as_array().is_some_and(|tools| tools.contains(&Value::from("echo"))), "{tools}");
    assert!(echo(&mut client, kind, "before").contains("before"));

    // One call runs when the server dies, and one is made while it is down.
    let running = client.begin_call(&kind.unsafe_call("in-flight-mark"));
    server.wait_for_mark("in-flight-mark", 1);
    let mark = client.mark();
    let news = client.log_mark();
    server.kill();
    client.wait_for_log(news, &["broke off", "a request failed", "trying again"]);
    let held = client.begin_call(&kind.echo("while down"));
    if !kind.has_event_ids() {
        client.end(running);
    }
    assert!(!client.has_ended(held));
    server.start();
    let lost = client.end(running);
    let code = lost["code"].as_i64().unwrap_or_else(|| panic!("a call of unknown outcome is an error: {lost}"));
    assert!(!(-32099..=-32000).contains(&code), "{lost}");
    let answer = client.end(held);
    assert!(answer["text"].as_str().is_some_and(|text| text.contains("while down")), "{answer}");
    client.changed(mark);

    // Its next call finds nothing amiss, also after a restart that it slept through.
    assert!(echo(&mut client, kind, "after").contains("after"));
    server.restart();
    assert!(echo(&mut client, kind, "after the second").contains("after the second"));
    assert_eq!(server.count("in-flight-mark"), 1, "a call ran twice");
    client.finish();
}

fn echo(client: &mut Client, kind: Kind, text: &str) -> String {
    let answer = client.call(&kind.echo(text));
    answer.as_str().unwrap_or_default().to_owned()
}

#[test]
fn typescript_with_a_typescript_server_over_streamable_http() {
    survives(Client::typescript, Kind::EverythingHttp);
}

#[test]
fn typescript_with_a_python_server_over_http_sse() {
    survives(Client::typescript, Kind::PythonSse);
}

#[test]
fn python_with_a_python_server_over_streamable_http() {
    survives(Client::python_legacy, Kind::PythonHttp);
}

#[test]
fn python_with_a_typescript_server_over_http_sse() {
    survives(Client::python_legacy, Kind::EverythingSse);
}

#[test]
fn modern_python_with_a_typescript_server_over_streamable_http() {
    survives(Client::python_modern, Kind::EverythingHttp);
}

#[test]
fn modern_python_with_a_python_server_over_http_sse() {
    survives(Client::python_modern, Kind::PythonSse);
}
