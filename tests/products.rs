//! Product servers as they are started without an account, killed and restarted under the built command: mcp-grafana, Playwright
//! MCP, context7, and supergateway as a gateway. Most keep no sessions and offer no stream, so that nothing but a call tells
//! the bridge that they were away.

mod support;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::bridge::{Bridge, text};
use support::port::Port;
use support::process::Process;
use support::servers::STARTUP;
use support::{PATIENCE, install, poll, scratch_file, tests_folder};

#[derive(Clone, Copy, Debug)]
enum Product {
    GrafanaHttp,
    GrafanaSse,
    Playwright,
    Context7,
    /// A gateway before a stdio server, HTTP+SSE.
    SupergatewaySse,
    /// The same, Streamable HTTP without sessions: each request starts a server of its own.
    Supergateway,
    /// The same with sessions.
    SupergatewayStateful,
}

/// Makes a test of each case for each product.
macro_rules! matrix {
    ($($product:ident: $kind:ident),* $(,)?) => {
        $(mod $product {
            use super::*;
            const PRODUCT: Product = Product::$kind;
            #[test] fn calls_after_and_during_restarts() { super::calls_after_and_during_restarts(PRODUCT); }
            #[test] fn a_restart_without_a_pause() { super::a_restart_without_a_pause(PRODUCT); }
            #[test] fn a_list_in_flight_is_answered() { super::a_list_in_flight_is_answered(PRODUCT); }
            #[test] fn down_at_launch() { super::down_at_launch(PRODUCT); }
        })*
    };
}

matrix! {
    grafana_http: GrafanaHttp,
    grafana_sse: GrafanaSse,
    context7: Context7,
    playwright: Playwright,
    supergateway_sse: SupergatewaySse,
    supergateway: Supergateway,
    supergateway_stateful: SupergatewayStateful,
}

fn node() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| install::node_modules_of("products", &tests_folder().join("servers/products")))
}

fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        install::virtual_environment_of("products-python", &tests_folder().join("servers/products/requirements.txt"))
    })
}

/// A product's server on a port that stays its own. Dropping it kills it.
struct Server {
    product: Product,
    port: Port,
    journal: PathBuf,
    process: Option<Process>,
}

impl Server {
    fn reserved(product: Product) -> Self {
        Self { product, port: Port::reserve(), journal: scratch_file("journal"), process: None }
    }

    fn started(product: Product) -> Self {
        let mut server = Self::reserved(product);
        server.start();
        server
    }

    fn url(&self) -> String {
        let path = if matches!(self.product, Product::GrafanaSse | Product::SupergatewaySse) { "sse" } else { "mcp" };
        format!("http://127.0.0.1:{}/{path}", self.port.number())
    }

    fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let process = self.process.insert(Process::start(&mut self.command()));
        let port = self.port.number();
        poll(&format!("{:?} accepts connections", self.product), STARTUP, || {
            if let Some(status) = process.exited() {
                process.stderr.ended(PATIENCE);
                panic!("it ended at its start ({status}):\n{}{}", process.stdout.text(), process.stderr.text());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM; one that does not end by it is killed, as a supervisor does.
    fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::TERM);
        if process.wait(Duration::from_secs(3)).is_none() {
            process.kill();
        }
    }

    fn command(&self) -> Command {
        let port = self.port.number().to_string();
        let script = |path: &str| {
            let mut command = Command::new("node");
            command.arg("--import").arg(tests_folder().join("servers/node/preload.mjs"));
            command.arg(node().join("node_modules").join(path)).env("TEST_JOURNAL", &self.journal);
            command
        };
        let grafana = |transport: &str| {
            let program = python().parent().expect("a folder").join("mcp-grafana");
            let mut command = Command::new(program);
            let address = format!("127.0.0.1:{port}");
            command.args(["-t", transport, "-address", &address, "--allowed-hosts", "*"]);
            command
        };
        let gateway = |arguments: &[&str]| {
            let everything = install::node().join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
            let mut command = script("supergateway/dist/index.js");
            command.args(["--port", &port, "--logLevel", "none", "--stdio"]);
            command.arg(format!("node {} stdio", everything.display())).args(arguments);
            command
        };
        match self.product {
            Product::GrafanaHttp => grafana("streamable-http"),
            Product::GrafanaSse => grafana("sse"),
            Product::Playwright => {
                let mut command = script("@playwright/mcp/cli.js");
                command.args(["--headless", "--host", "127.0.0.1", "--allowed-hosts", "*", "--port", &port]);
                command
            }
            Product::Context7 => {
                let mut command = script("@upstash/context7-mcp/dist/index.js");
                command.args(["--transport", "http", "--port", &port]);
                command
            }
            Product::SupergatewaySse => gateway(&[]),
            Product::Supergateway => gateway(&["--outputTransport", "streamableHttp"]),
            Product::SupergatewayStateful => gateway(&["--outputTransport", "streamableHttp", "--stateful"]),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let (true, Some(process)) = (std::thread::panicking(), &self.process) {
            eprintln!("--- {:?}:\n{}{}", self.product, process.stdout.text(), process.stderr.text());
        }
        let _ = std::fs::remove_file(&self.journal);
    }
}

fn connected(server: &Server) -> Bridge {
    let mut bridge = Bridge::connected(&[&server.url(), "--log", "debug"]);
    must_list(&mut bridge);
    bridge
}

/// What every product can do without an account.
fn must_list(bridge: &mut Bridge) {
    let list = bridge.call("tools/list", json!({}));
    must_hold_tools(&list);
}

fn must_hold_tools(list: &Value) {
    assert!(list["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "no tools: {list}");
}

/// Killed, and asked to end: a call afterwards, and one while it is away.
fn calls_after_and_during_restarts(product: Product) {
    let mut server = Server::started(product);
    let mut bridge = connected(&server);
    for round in 0..2 {
        let end = if round == 0 { Server::kill } else { Server::stop };
        end(&mut server);
        server.start();
        must_list(&mut bridge);

        end(&mut server);
        let held: Vec<_> = (0..3).map(|_| bridge.request("tools/list", json!({}))).collect();
        server.start();
        for list in held {
            must_hold_tools(&bridge.result(&list));
        }
    }
    bridge.finish();
}

/// The new process is there within some 50 ms; whoever asks meanwhile is answered.
fn a_restart_without_a_pause(product: Product) {
    let mut server = Server::started(product);
    let mut bridge = connected(&server);
    server.kill();
    let process = Process::start(&mut server.command());
    server.process = Some(process);
    let lists: Vec<_> = (0..5).map(|_| bridge.request("tools/list", json!({}))).collect();
    for list in lists {
        must_hold_tools(&bridge.result(&list));
    }
    bridge.finish();
}

/// The server is stopped, so that it cannot answer before it is killed.
fn a_list_in_flight_is_answered(product: Product) {
    let mut server = Server::started(product);
    let mut bridge = connected(&server);
    server.process.as_ref().expect("it runs").signal(Signal::STOP);
    let list = bridge.request("tools/list", json!({}));
    server.kill();
    server.start();
    must_hold_tools(&bridge.result(&list));
    bridge.finish();
}

fn down_at_launch(product: Product) {
    let mut server = Server::reserved(product);
    let mut bridge = Bridge::start(&[&server.url(), "--log", "debug"]);
    let mark = bridge.log_mark();
    let id = bridge.begin_initialize(json!({}));
    bridge.wait_for_log(mark, &["trying again"]);
    server.start();
    bridge.result(&id);
    bridge.notify("notifications/initialized", json!({}));
    must_list(&mut bridge);
    bridge.finish();
}

/// A call that must not run twice, behind the gateway.
#[test]
fn a_call_in_flight_through_a_gateway_runs_once() {
    for product in [Product::SupergatewaySse, Product::Supergateway, Product::SupergatewayStateful] {
        let mut server = Server::started(product);
        let mut bridge = connected(&server);
        let slow = json!({"duration": 600, "steps": 1, "mark": "in-flight"});
        let call = bridge.request("tools/call", json!({"name": "trigger-long-running-operation", "arguments": slow}));
        let sent = || std::fs::read_to_string(&server.journal).unwrap_or_default().matches("in-flight").count();
        poll("the call is at the gateway", PATIENCE, || (sent() > 0).then_some(()));
        server.kill();
        server.start();
        assert_eq!(bridge.error(&call)["code"], -31001, "{product:?}");
        let said = text(&bridge.call("tools/call", json!({"name": "echo", "arguments": {"message": "after"}})));
        assert!(said.contains("after"), "{product:?}: {said}");
        let sent = std::fs::read_to_string(&server.journal).unwrap_or_default().matches("in-flight").count();
        assert_eq!(sent, 1, "{product:?}: the call was sent again");
        bridge.finish();
    }
}
