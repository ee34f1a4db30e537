//! HTTP/2 towards the client: connections that the proxy ends with GOAWAY.

use super::nginx::Nginx;
use super::support::servers::{Kind, Server};
use super::support::tls::{Authority, Purpose};
use super::support::{IS_NPX, is_component};
use super::{STREAMING, address, begin, must_answer, must_have_run_once, must_run_once, pass_to, sessions, working};

#[test]
fn goaway_loses_nothing() {
    if is_component() {
        // It has no certificates of its own to trust.
        return;
    }
    let server = Server::started(Kind::RustHttp);
    let authority = Authority::new("the deploy's");
    let certified = authority.certify(&["127.0.0.1"], Purpose::Server);
    let block = |requests: u32| {
        pass_to(&address(&server), &format!("{STREAMING}\n      keepalive_requests {requests};")).replace(
            "listen {listen};",
            &format!(
                "listen {{listen}} ssl http2;\n    ssl_certificate {};\n    ssl_certificate_key {};",
                certified.certificate.path(),
                certified.key.path()
            ),
        )
    };
    // A connection is over after three requests.
    let mut nginx = Nginx::start(&block(3));
    let url = nginx.url().replace("http:", "https:");
    let mut bridge = working(&url, &["--ca-cert", authority.file.path()]);
    for n in 0..20 {
        must_run_once(&mut bridge, &[&server], &format!("one-{n}"));
    }
    let calls: Vec<_> = (0..20).map(|n| begin(&mut bridge, &format!("many-{n}"), 50)).collect();
    for (n, call) in calls.iter().enumerate() {
        must_answer(&bridge, call, &format!("many-{n}"));
        must_have_run_once(&[&server], &format!("many-{n}"));
    }
    if IS_NPX {
        // It speaks HTTP/1.1, where a reload closes idle connections without a word.
        return bridge.finish();
    }
    // A reload says GOAWAY to all of them.
    let running = begin(&mut bridge, "over-the-reload", 1500);
    server.wait_for_mark("over-the-reload", 1);
    nginx.reload(&block(1000));
    for n in 0..10 {
        must_run_once(&mut bridge, &[&server], &format!("after-{n}"));
    }
    must_answer(&bridge, &running, "over-the-reload");
    must_have_run_once(&[&server], "over-the-reload");
    assert_eq!(sessions(&[&server]), 1, "the session was given up\n{}", bridge.stderr());
    bridge.finish();
}
