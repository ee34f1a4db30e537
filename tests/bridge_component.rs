//! The component `mcp-reconnect.wasm` in stock runtimes. In the Rust crate of Wasmtime (`bridge_component/runtime.rs`) it is
//! tested with what the native command is tested with: the table of command lines, the restarts of real servers, deploys
//! behind proxies, the faults of scripted ones, MCP 2026-07-28. Under jco, and under the command `wasmtime` where there is one, a restart is lived through.

#![allow(clippy::duplicate_mod, reason = "each of the test programs below brings `support` along")]

#[path = "bridge_component/bounds.rs"]
mod bounds;
#[path = "command_cases.rs"]
mod command_cases;
#[path = "deploy.rs"]
mod deploy;
#[path = "faults.rs"]
mod faults;
#[path = "bridge_component/host.rs"]
mod host;
#[path = "bridge_component/http2.rs"]
mod http2;
#[path = "large.rs"]
mod large;
#[path = "bridge_component/modern.rs"]
mod modern;
#[path = "restart.rs"]
mod restart;
#[path = "stdio.rs"]
mod stdio;
#[path = "wire_cases.rs"]
mod wire_cases;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use self::restart::support::bridge::{Bridge, text};
use self::restart::support::servers::{Kind, Server};
use self::restart::support::{install, tests_folder};

/// Made by build.rs.
const COMPONENT: &str = concat!(env!("OUT_DIR"), "/mcp-reconnect.wasm");

/// A real server is killed while a call runs and comes back; `runtime` makes the command that runs the component.
fn lives_through_a_restart(kind: Kind, runtime: impl Fn() -> Command) {
    let mut server = Server::started(kind);
    let mut command = runtime();
    command.args(["--header", "Authorization: Bearer ${TOKEN}", &server.url()]).env("TOKEN", "s3cret");
    let mut bridge = Bridge::command(&mut command);
    bridge.initialize(json!({}));
    assert!(bridge.tool(kind.echo("before")).contains("before"));

    let running = bridge.request("tools/call", kind.unsafe_call("running"));
    server.wait_for_mark("running", 1);
    let mark = bridge.log_mark();
    server.kill();
    bridge.wait_for_log(mark, &["trying again"]);
    let held = bridge.request("tools/call", kind.echo("held"));
    server.start();

    assert!(text(&bridge.result(&held)).contains("held"));
    assert_eq!(bridge.error(&running)["code"], -31001);
    assert!(bridge.tool(kind.echo("after")).contains("after"));
    assert_eq!(server.count("running"), 1, "the call was sent twice");
    bridge.finish();
}

/// `wasmtime run -S http mcp-reconnect.wasm URL`, where `wasmtime` is installed. Elsewhere the crate has to do.
fn wasmtime() -> Option<Command> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let installed = || Command::new("wasmtime").arg("--version").output().is_ok_and(|output| output.status.success());
    if !INSTALLED.get_or_init(installed) {
        eprintln!("no `wasmtime` on the PATH: tested with its crate only (`cargo install wasmtime-cli` for both)");
        return None;
    }
    let mut command = Command::new("wasmtime");
    command.args(["run", "-S", "http", "--env", "TOKEN", COMPONENT]);
    Some(command)
}

#[test]
fn under_the_command_wasmtime_http() {
    if wasmtime().is_some() {
        lives_through_a_restart(Kind::PythonHttp, || wasmtime().expect("it is installed"));
    }
}

#[test]
fn under_the_command_wasmtime_sse() {
    if wasmtime().is_some() {
        lives_through_a_restart(Kind::PythonSse, || wasmtime().expect("it is installed"));
    }
}

/// `jco run mcp-reconnect.wasm`.
fn jco() -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let install = || install::node_modules_of("jco", &tests_folder().join("bridge_component/jco"));
    let jco = FOLDER.get_or_init(install).join("node_modules/@bytecodealliance/jco/dist/jco.js");
    let mut command = Command::new("node");
    // jco makes a folder for each run, which it does not always remove.
    command.arg(jco).args(["run", COMPONENT]).env("TMPDIR", env!("CARGO_TARGET_TMPDIR"));
    command
}

#[test]
fn under_jco_http() {
    lives_through_a_restart(Kind::PythonHttp, jco);
}

#[test]
fn under_jco_sse() {
    lives_through_a_restart(Kind::PythonSse, jco);
}
