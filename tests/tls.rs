//! TLS with real servers: private authorities, wrong certificates, client certificates, HTTP/2, restarts. The certificates
//! are made by the tests; the TLS is that of Node.js.

pub mod support;

use std::process::Command;

use serde_json::json;
use support::bridge::Bridge;
use support::http::Server as Http;
use support::process::Process;
use support::servers::{Kind, Server};
use support::tls::{Authority, CertificateFolder, Certified, Front, Pem, Purpose, self_signed};
use support::{COMMAND, PATIENCE};

const UNAVAILABLE: i64 = -31002;
const HTTP_ERROR: i64 = -31007;

fn url(front: &Front, kind: Kind) -> String {
    format!("https://127.0.0.1:{}/{}", front.port(), if kind.is_sse() { "sse" } else { "mcp" })
}

fn must_echo(bridge: &mut Bridge, kind: Kind, words: &str) {
    let said = bridge.tool(kind.echo(words));
    assert!(said.contains(words), "{said:?}");
}

/// A session through a TLS server works, by HTTP/2, and lives through a restart of everything on the other side.
fn a_restart(kind: Kind, variables: &[(&str, &str)]) {
    let authority = Authority::new("a private authority");
    let certified = authority.certify(&["127.0.0.1"], Purpose::Server);
    let mut server = Server::started(kind);
    let mut front = Front::start(&certified, server.port(), variables);
    let mut bridge = Bridge::connected(&[&url(&front, kind), "--ca-cert", authority.file.path(), "-H", "X-Test: yes"]);
    must_echo(&mut bridge, kind, "before");
    let mark = bridge.log_mark();
    front.down();
    server.kill();
    bridge.wait_for_log(mark, &["disconnected", "trying again"]);
    let held = bridge.request("tools/call", kind.echo("held"));
    server.start();
    front.up();
    assert!(support::bridge::text(&bridge.result(&held)).contains("held"));
    must_echo(&mut bridge, kind, "after");
    // Node's own client speaks no HTTP/2.
    let is_http_1 = variables.iter().any(|(name, _)| *name == "HTTP_1");
    let version = if !is_http_1 && !support::IS_NPX { "2.0 " } else { "1.1 " };
    let requests = front.requests();
    assert!(requests.len() > 4, "{requests:?}");
    assert!(requests.iter().all(|line| line.starts_with(version) && line.ends_with(" yes")), "{requests:?}");
    bridge.finish();
}

#[test]
fn a_restart_over_http_2() {
    a_restart(Kind::EverythingHttp, &[]);
}

#[test]
fn a_restart_over_http_2_with_sse() {
    a_restart(Kind::PythonSse, &[]);
}

#[test]
fn a_restart_over_http_1() {
    a_restart(Kind::EverythingHttp, &[("HTTP_1", "1")]);
}

#[test]
fn a_restart_over_http_1_with_sse() {
    a_restart(Kind::EverythingSse, &[("HTTP_1", "1")]);
}

/// A server that speaks HTTP/2 only: to the native command that is as good; the npm package, which speaks HTTP/1.1, says what is wrong
/// and what to do.
#[test]
fn a_server_that_speaks_http_2_only() {
    if !support::IS_NPX {
        return a_restart(Kind::EverythingHttp, &[("HTTP_2", "1")]);
    }
    let authority = Authority::new("a private authority");
    let front = Front::start(&authority.certify(&["127.0.0.1"], Purpose::Server), 9, &[("HTTP_2", "1")]);
    let arguments = [&url(&front, Kind::EverythingHttp), "--ca-cert", authority.file.path()];
    refused(Bridge::start(&arguments), &["speaks HTTP/2 only", "offer HTTP/1.1"]);
}

/// The same without TLS, where nobody can agree on a version.
#[test]
fn a_server_that_speaks_http_2_only_and_no_tls() {
    let front = Front::start(&Authority::new("nobody").certify(&["127.0.0.1"], Purpose::Server), 9, &[("PLAIN", "1")]);
    let url = format!("http://127.0.0.1:{}/mcp", front.port());
    if support::IS_NPX {
        refused(Bridge::start(&[&url]), &["speaks HTTP/2 only", "offer HTTP/1.1"]);
    } else {
        failed(&[&url], "or it speaks HTTP/2 only");
    }
}

/// `SSL_CERT_FILE` and `SSL_CERT_DIR` take the place of the system's authorities.
#[test]
fn authorities_from_the_environment() {
    let kind = Kind::RustHttp;
    let authority = Authority::new("of the environment");
    let front_certificate = authority.certify(&["127.0.0.1"], Purpose::Server);
    let server = Server::started(kind);
    let front = Front::start(&front_certificate, server.port(), &[]);
    let folder = CertificateFolder::with(&authority.file);
    for (name, value) in [("SSL_CERT_FILE", authority.file.path()), ("SSL_CERT_DIR", folder.path().to_str().unwrap())] {
        let mut command = Command::new(COMMAND);
        command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").env(name, value).arg(url(&front, kind));
        let mut bridge = Bridge::command(&mut command);
        bridge.initialize(json!({}));
        must_echo(&mut bridge, kind, name);
        bridge.finish();
    }
    // A file that is not there is no reason to trust anybody, and is said.
    let mut command = Command::new(COMMAND);
    command.env("SSL_CERT_FILE", "/nowhere/at/all").env_remove("SSL_CERT_DIR").arg(url(&front, kind));
    refused(Bridge::command(&mut command), &["no certificate authority", "SSL_CERT_FILE"]);
}

/// `initialize` fails at once with these words.
fn refused(mut bridge: Bridge, words: &[&str]) {
    let id = bridge.begin_initialize(json!({}));
    let error = bridge.error(&id);
    let message = error["message"].as_str().expect("a message").to_owned();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert_eq!(error["code"], HTTP_ERROR, "{error}");
    bridge.finish();
}

/// `initialize` fails for these reasons, after the time that they were given to pass.
fn failed(arguments: &[&str], words: &str) {
    let mut bridge = Bridge::start(&[arguments, &["--start-timeout", "off", "--hold-timeout", "1s"]].concat());
    let id = bridge.begin_initialize(json!({}));
    let error = bridge.error(&id);
    assert_eq!(error["code"], UNAVAILABLE, "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error}");
    bridge.finish();
}

/// A certificate that is not accepted: what is wrong with it, and what to do.
#[test]
fn wrong_certificates() {
    let authority = Authority::new("right");
    let stranger = Authority::new("wrong");
    let cases: [(Certified, &[&str]); 5] = [
        (stranger.certify(&["127.0.0.1"], Purpose::Server), &["issuer", "not trusted", "--ca-cert"]),
        (authority.certify(&["127.0.0.1"], Purpose::Expired), &["expired at 2021-02-03"]),
        (authority.certify(&["127.0.0.1"], Purpose::Future), &["not valid before 2098-07-06", "clock"]),
        (
            authority.certify(&["jarvis.internal", "10.0.0.7"], Purpose::Server),
            &["not for 127.0.0.1", "jarvis.internal", "10.0.0.7"],
        ),
        (self_signed(&["127.0.0.1"]), &["its own authority", "--ca-cert"]),
    ];
    for (certified, words) in &cases {
        let front = Front::start(certified, 1, &[]);
        let url = url(&front, Kind::EverythingHttp);
        refused(Bridge::start(&[&url, "--ca-cert", authority.file.path()]), words);
        assert!(front.requests().is_empty(), "a request was sent all the same");
    }
}

/// A server that speaks what nobody should any more.
#[test]
fn old_versions() {
    let authority = Authority::new("right");
    let certified = authority.certify(&["127.0.0.1"], Purpose::Server);
    for version in ["TLSv1", "TLSv1.1"] {
        let front = Front::start(&certified, 1, &[("MAX_VERSION", version)]);
        let url = url(&front, Kind::EverythingHttp);
        refused(
            Bridge::start(&[&url, "--ca-cert", authority.file.path()]),
            &["the server speaks TLS older than 1.2 only"],
        );
        assert!(front.requests().is_empty(), "a request was sent all the same");
    }
}

/// The certificate goes wrong while a session lives: the call that waits is told why, and goes on when it is mended.
#[test]
fn a_certificate_that_expires_under_a_session() {
    let kind = Kind::RustHttp;
    let authority = Authority::new("right");
    let good = authority.certify(&["127.0.0.1"], Purpose::Server);
    let expired = authority.certify(&["127.0.0.1"], Purpose::Expired);
    let server = Server::started(kind);
    let mut front = Front::start(&good, server.port(), &[]);
    let good_text = (good.certificate.text(), good.key.text());
    let url = url(&front, kind);
    let mut bridge = Bridge::connected(&[&url, "--ca-cert", authority.file.path(), "--hold-timeout", "2s"]);
    must_echo(&mut bridge, kind, "before");
    let replace = |certificate: &str, key: &str| {
        std::fs::write(good.certificate.path(), certificate).unwrap();
        std::fs::write(good.key.path(), key).unwrap();
    };
    let mark = bridge.log_mark();
    front.down();
    bridge.wait_for_log(mark, &["disconnected", "trying again"]);
    replace(&expired.certificate.text(), &expired.key.text());
    front.up();
    let call = bridge.request("tools/call", kind.echo("never"));
    bridge.wait_for_log(mark, &["the server's certificate expired at 2021-02-03 00:00 UTC"]);
    let error = bridge.error(&call);
    assert_eq!(error["code"], UNAVAILABLE, "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("expired at 2021-02-03")), "{error}");
    front.down();
    replace(&good_text.0, &good_text.1);
    front.up();
    must_echo(&mut bridge, kind, "after");
    assert_eq!(server.count("never"), 0);
    bridge.finish();
}

/// A self-signed certificate that the user names is trusted, for its own names.
#[test]
fn a_self_signed_certificate_that_is_named() {
    let kind = Kind::RustHttp;
    let server = Server::started(kind);
    let own = self_signed(&["127.0.0.1"]);
    let front = Front::start(&own, server.port(), &[]);
    let mut bridge = Bridge::connected(&[&url(&front, kind), "--ca-cert", own.certificate.path()]);
    must_echo(&mut bridge, kind, "hello");
    bridge.finish();
    let other = self_signed(&["jarvis.internal"]);
    let front = Front::start(&other, server.port(), &[]);
    let bridge = Bridge::start(&[&url(&front, kind), "--ca-cert", other.certificate.path()]);
    refused(bridge, &["not for 127.0.0.1", "jarvis.internal"]);
}

/// A server that demands a certificate: without one, with a stranger's, with the right one; in TLS 1.3, where the refusal
/// comes after the request was sent, and in 1.2.
fn a_demanded_certificate(variables: &[(&str, &str)]) {
    let kind = Kind::RustHttp;
    let authority = Authority::new("right");
    let stranger = Authority::new("wrong");
    let certified = authority.certify(&["127.0.0.1"], Purpose::Server);
    let server = Server::started(kind);
    let mut all = vec![("CLIENT_CA", authority.file.path())];
    all.extend_from_slice(variables);
    let front = Front::start(&certified, server.port(), &all);
    let url = url(&front, kind);
    let common = [url.as_str(), "--ca-cert", authority.file.path()];
    refused(Bridge::start(&common), &["demands a client certificate", "--client-cert"]);

    let wrong = stranger.certify(&[], Purpose::Client);
    let options = ["--client-cert", wrong.certificate.path(), "--client-key", wrong.key.path()];
    // Node.js closes the connection without a word then, so the bridge can only say what may be wrong.
    failed(&[&common[..], &options].concat(), "asks for a client certificate and may not accept this one");
    assert!(front.requests().is_empty(), "{:?}", front.requests());

    let right = authority.certify(&[], Purpose::Client);
    let options = ["--client-cert", right.certificate.path(), "--client-key", right.key.path()];
    let mut bridge = Bridge::connected(&[&common[..], &options].concat());
    must_echo(&mut bridge, kind, "two files");
    bridge.finish();
    let both = Pem::new(&(right.certificate.text() + &right.key.text()));
    let mut bridge = Bridge::connected(&[&common[..], &["--client-cert", both.path()]].concat());
    must_echo(&mut bridge, kind, "one file");
    bridge.finish();
}

#[test]
fn a_demanded_certificate_over_http_2() {
    a_demanded_certificate(&[]);
}

#[test]
fn a_demanded_certificate_over_http_1() {
    a_demanded_certificate(&[("HTTP_1", "1")]);
}

#[test]
fn a_demanded_certificate_in_tls_1_2() {
    a_demanded_certificate(&[("MAX_VERSION", "TLSv1.2")]);
}

/// The wrong scheme in the URL, in both directions.
#[test]
fn the_wrong_scheme() {
    let server = Server::started(Kind::RustHttp);
    refused(Bridge::start(&[&server.url().replace("http:", "https:")]), &["does not speak TLS", "http://"]);
    let words = "perhaps its URL begins with https://";
    // A TLS server that closes, and one that sends an alert.
    let certified = self_signed(&["127.0.0.1"]);
    let front = Front::start(&certified, server.port(), &[]);
    failed(&[&url(&front, Kind::RustHttp).replace("https:", "http:")], words);
    let alert = Http::start(|_, reply| reply.raw(b"\x15\x03\x01\x00\x02\x02\x16"));
    failed(&[&format!("http://127.0.0.1:{}/mcp", alert.port())], words);
}

/// Files that are no certificates or keys: one line, exit code 2.
#[test]
fn wrong_files() {
    let authority = Authority::new("right");
    let (one, two) = (authority.certify(&[], Purpose::Client), authority.certify(&[], Purpose::Client));
    let text = Pem::new("not a certificate\n");
    let broken = Pem::new("-----BEGIN CERTIFICATE-----\nAAAA\n");
    let encrypted = Pem::new("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let old =
        Pem::new("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n");
    let certificate = one.certificate.path();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--ca-cert", "/nowhere/ca.pem"], &["--ca-cert /nowhere/ca.pem", "cannot be read"]),
        (&["--ca-cert", text.path()], &["--ca-cert", text.path(), "no certificate"]),
        (&["--ca-cert", broken.path()], &["--ca-cert", "PEM"]),
        (&["--ca-cert", "/dev/zero"], &["--ca-cert", "too large"]),
        (&["--client-cert", certificate], &["--client-cert", "no private key"]),
        (&["--client-cert", certificate, "--client-key", text.path()], &["no private key"]),
        (&["--client-cert", certificate, "--client-key", two.key.path()], &["does not belong"]),
        (&["--client-cert", certificate, "--client-key", encrypted.path()], &["encrypted", "openssl pkey"]),
        (&["--client-cert", certificate, "--client-key", old.path()], &["encrypted", "openssl pkey"]),
        (&["--client-key", one.key.path()], &["--client-key", "--client-cert"]),
    ];
    for (arguments, words) in cases {
        let mut command = Process::run(COMMAND, &[*arguments, &["https://example.test/mcp"]].concat());
        let (status, _) = command.wait(PATIENCE).unwrap_or_else(|| panic!("{arguments:?} does not end"));
        let said = command.stderr.text();
        assert_eq!(status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        for word in *words {
            assert!(said.contains(word), "{arguments:?}: {word:?} is not in {said}");
        }
    }
}
