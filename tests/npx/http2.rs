//! The npm package's transport, with `fetch`, and servers that speak HTTP/2.

use std::process::Command;

use serde_json::Value;

use super::tls::support::process::Process;
use super::tls::support::servers::{Kind, Server};
use super::tls::support::tls::{Authority, Front, Purpose};
use super::tls::support::{PATIENCE, install, npm_package, tests_folder};

/// What a client on the transport comes to at this URL.
fn connect(url: &str, authority: &Authority) -> Value {
    let mut command = Command::new("node");
    command.arg(tests_folder().join("clients/npm_transport.mjs")).arg(url).env("PACKAGE", npm_package::build());
    command.env("SDK_FOLDER", install::node().join("node_modules/@modelcontextprotocol/sdk"));
    let mut client = Process::start(command.env("NODE_EXTRA_CA_CERTS", authority.file.path()));
    client.wait(PATIENCE).expect("it ends");
    serde_json::from_str(&client.stdout.text()).unwrap_or_else(|_| panic!("{}", client.stderr.text()))
}

#[test]
fn the_transport_and_a_server_that_speaks_both() {
    let (authority, server) = (Authority::new("of Node"), Server::started(Kind::EverythingHttp));
    let front = Front::start(&authority.certify(&["127.0.0.1"], Purpose::Server), server.port(), &[]);
    let result = connect(&format!("https://127.0.0.1:{}/mcp", front.port()), &authority);
    assert!(result["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "{result}");
    let requests = front.requests();
    assert!(!requests.is_empty() && requests.iter().all(|line| line.starts_with("1.1 ")), "{requests:?}");
}

#[test]
fn the_transport_and_a_server_that_speaks_http_2_only() {
    let authority = Authority::new("of Node");
    let certified = authority.certify(&["127.0.0.1"], Purpose::Server);
    for (scheme, variable) in [("https", "HTTP_2"), ("http", "PLAIN")] {
        let front = Front::start(&certified, 9, &[(variable, "1")]);
        let result = connect(&format!("{scheme}://127.0.0.1:{}/mcp", front.port()), &authority);
        let error = result["error"].as_str().unwrap_or_default();
        assert!(error.contains("speaks HTTP/2 only") && error.contains("offer HTTP/1.1"), "{scheme}: {result}");
    }
}
