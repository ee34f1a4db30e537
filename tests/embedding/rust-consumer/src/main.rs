//! Calls a tool for each line of standard input, whatever happens to the server. A line holds the parameters of a
//! `tools/call`. Messages go to standard output, what happens to the connection to standard error.

use mcp_reconnect::transport::client::Connection;
use mcp_reconnect::transport::types::{Event, Options};
use serde_json::Value;
use wasi::cli::{environment::get_arguments, stdin::get_stdin};

wit_bindgen::generate!({ path: ["../../../wit", "../wit"], world: "example:consumer/imports", generate_all });

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",
    "capabilities":{},"clientInfo":{"name":"rust-example","version":"0.1.0"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn main() {
    let url = get_arguments().into_iter().nth(1).expect("the URL is the only argument");
    let connection = Connection::open(Options::new(&url)).expect("the URL is good");
    connection.send(INITIALIZE).expect("the connection is open");

    let stdin = get_stdin();
    let readable = stdin.subscribe();
    // What may interrupt the wait for events. Nothing else does, and nothing moves outside of `receive`.
    let mut until = Some(&readable);
    let (mut input, mut calls) = (Vec::new(), 0);
    // The error is the end: the connection is closed, and has said all that it had to say.
    while let Ok(events) = connection.receive(0, until) {
        for event in events {
            match event {
                Event::Message(text) => {
                    println!("{text}");
                    if serde_json::from_str::<Value>(&text).is_ok_and(|it| it["id"] == 0 && it["error"].is_null()) {
                        connection.send(INITIALIZED).expect("the connection is open");
                    }
                }
                other => eprintln!("{other:?}"),
            }
        }
        if until.is_some_and(|stdin| stdin.ready()) {
            match stdin.read(64 * 1024) {
                Ok(bytes) => input.extend(bytes),
                Err(_) => {
                    until = None;
                    connection.close();
                }
            }
        }
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            calls += 1;
            let line: Vec<u8> = input.drain(..=end).collect();
            let params = String::from_utf8_lossy(&line);
            let call = format!(r#"{{"jsonrpc":"2.0","id":{calls},"method":"tools/call","params":{params}}}"#);
            connection.send(&call).expect("the connection is open");
        }
    }
}
