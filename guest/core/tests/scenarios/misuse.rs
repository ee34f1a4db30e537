//! A driver that reports what cannot be: it is passed over.

use crate::support::*;
use mcp_reconnect_core::Engine;

/// Everything that can be said of an exchange.
fn reports(exchange: ExchangeId) -> Vec<Input> {
    let headers = vec![("content-type".to_owned(), b"text/event-stream".to_vec())];
    vec![
        Input::Sent(exchange),
        Input::Response { exchange, status: 200, headers },
        Input::Response { exchange, status: 404, headers: Vec::new() },
        Input::Response { exchange, status: 0, headers: Vec::new() },
        Input::Body { exchange, bytes: b"data: {}\n\n".to_vec() },
        Input::Body { exchange, bytes: Vec::new() },
        Input::End(exchange),
        Input::Failed { exchange, failure: Failure::Lost, detail: String::new() },
        Input::Failed { exchange, failure: Failure::Dns, detail: "x".repeat(1 << 20) },
    ]
}

fn outputs(engine: &mut Engine) -> Vec<Output> {
    std::iter::from_fn(|| engine.poll_output()).collect()
}

#[test]
fn reports_about_exchanges_that_never_were_change_nothing() {
    let mut world = World::new(Knobs::http());
    let idle = world.engine.clone();
    world.open();
    let ready = world.engine.clone();
    world.call("slow", 60_000);
    let busy = world.engine.clone();
    world.now(Fault::Kill);
    let waiting = world.engine.clone();
    for mut engine in [idle, ready, busy, waiting] {
        assert_eq!(outputs(&mut engine), []);
        let (status, deadline) = (engine.status(), engine.deadline());
        for exchange in [0, 1000, u64::MAX].map(ExchangeId) {
            for report in reports(exchange) {
                engine.handle(world.now, report);
            }
        }
        assert_eq!(outputs(&mut engine), []);
        assert_eq!((engine.status(), engine.deadline()), (status, deadline));
    }
}

/// In any order and twice, for each exchange there is: the engine goes on, and the client gets its one answer.
#[test]
fn reports_without_order_end_an_exchange_at_most_once() {
    for rotation in 0..9 {
        let mut world = World::new(Knobs::http());
        world.open();
        let call = world.call("slow", 1000);
        let exchanges: Vec<_> = world.net.started.iter().map(|one| one.id).collect();
        for exchange in exchanges {
            let mut reports = reports(exchange);
            reports.rotate_left(rotation);
            for report in reports.clone().into_iter().chain(reports) {
                world.input(report);
            }
        }
        world.wait(call, 300 * SECOND);
        let again = world.call("echo", 0);
        world.wait(again, 300 * SECOND);
        world.verify();
    }
}

#[test]
fn after_the_end_nothing_comes_of_anything() {
    let mut world = World::new(Knobs::http());
    world.open();
    let exchanges: Vec<_> = world.net.started.iter().map(|one| one.id).collect();
    world.host(Input::Close);
    world.run_for(2 * SECOND);
    assert!(world.closed);
    let mut engine = world.engine.clone();
    let all = exchanges.into_iter().flat_map(reports).chain([
        Input::Message(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.into()),
        Input::Tick,
        Input::SetHeaders(vec![("x".into(), "y".into())]),
        Input::Reconnect,
        Input::Probe,
        Input::Close,
    ]);
    for input in all {
        engine.handle(Instant::MAX, input);
        assert_eq!(outputs(&mut engine), []);
        assert_eq!((engine.deadline(), engine.status().state), (None, State::Closed));
    }
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut world = World::new(Knobs::http());
    world.open();
    let (mut steady, mut back) = (world.engine.clone(), world.engine.clone());
    for step in 0..100 {
        let now = world.now + 1000 * MILLISECOND;
        let past = [now, Instant::ZERO, world.now, now - Duration::from_nanos(step)][step as usize % 4];
        steady.handle(now, Input::Probe);
        back.handle(now, Input::Tick);
        back.handle(past, Input::Probe);
        steady.handle(now, Input::Tick);
        assert_eq!(outputs(&mut steady), outputs(&mut back));
        assert_eq!(steady.deadline(), back.deadline());
    }
}
