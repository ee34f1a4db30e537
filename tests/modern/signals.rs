//! Signals to a bridge whose client listens.

use rustix::process::Signal;

use super::scripted::{self, good};
use super::support::bridge::Bridge;
use super::support::{PATIENCE, poll};
use super::waits::the_client_ends;
use super::{acknowledged, barrier, bridge, listen};

/// The user wants to begin anew.
#[test]
fn sighup_opens_the_subscriptions_again() {
    let server = scripted::server(good);
    let mut bridge = bridge(&server.url(), &[]);
    bridge.request_as("5", "subscriptions/listen", listen(&[]));
    acknowledged(&bridge, "5");
    let (_, first) = server.stream(0);
    bridge.process().signal(Signal::HUP);
    let (_, _second) = server.stream(1);
    poll("the old stream is closed", PATIENCE, || first.is_abandoned().then_some(()));
    bridge.wait_for_method(0, "notifications/tools/list_changed");
    barrier(&mut bridge, "after");
    bridge.cancel("5");
    bridge.finish();
}

#[test]
fn sigterm() {
    the_client_ends(Bridge::terminate);
}
