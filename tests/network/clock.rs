//! The wall clock is set while the bridge runs.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::bridge::Bridge;
use super::support::clock::Clock;
use super::support::command;
use super::support::script::Script;
use super::{begin, must_run_once};

const INTERVAL: Duration = Duration::from_millis(500);

/// What the bridge's own clock says, in hours since 1970: by the newest line of its log, which is JSON.
fn hours(bridge: &Bridge) -> i64 {
    let text = bridge.stderr();
    let line: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    let time = line["timestamp"].as_str().expect("a timestamp");
    chrono::DateTime::parse_from_rfc3339(time).expect("a time").timestamp() / 3600
}

/// Forward and back by hours, with a call under way: the session stays, nothing is lost, and heartbeats come as before, no more of them
/// and no fewer.
#[test]
fn a_wall_clock_that_jumps() {
    let (mut server, clock) = (Script::http().start(), Clock::install());
    let mut command = command();
    command.arg(server.url()).args(["--heartbeat", "500ms", "--log", "trace,json"]);
    let mut bridge = Bridge::command(clock.give(&mut command));
    bridge.initialize(serde_json::json!({}));
    let call = begin(&mut bridge, "before");
    must_run_once(&server, &bridge, &call, "before");
    server.wait_for("ping", 2);
    let start = hours(&bridge);
    for (offset, name) in [(7, "forward"), (-30, "back"), (0, "right again")] {
        clock.set(offset);
        let (set, pings) = (Instant::now(), server.records_of("ping").len());
        let call = begin(&mut bridge, name);
        must_run_once(&server, &bridge, &call, name);
        server.wait_for("ping", pings + 4);
        let (took, now) = (set.elapsed(), server.records_of("ping").len());
        let most = took.as_millis() / INTERVAL.as_millis() + 2;
        assert!((now - pings) as u128 <= most, "{name}: {} heartbeats in {took:?}", now - pings);
        // What it logs shows that its clock did jump; an outage makes it log.
        let mark = bridge.log_mark();
        server.down();
        bridge.wait_for_log(mark, &["trying again"]);
        let (is, hours) = (hours(&bridge), start + offset);
        // An hour may have passed meanwhile.
        assert!((hours..=hours + 1).contains(&is), "{name}: {is} and not {hours}");
        let held = begin(&mut bridge, &format!("held, {name}"));
        server.up();
        must_run_once(&server, &bridge, &held, &format!("held, {name}"));
    }
    assert_eq!(server.records_of("initialize").len(), 4, "a session was given up: {}", bridge.stderr());
    bridge.finish();
}
