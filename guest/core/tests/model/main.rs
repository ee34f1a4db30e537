//! Model checking: the engine that ships, in a small world that may do anything to it.
//!
//! Every test explores all interleavings within the bounds that it states (see `world::Budget`), prints how many states
//! that were, and asserts a floor so that an exploration that has become trivial is noticed. `MODEL=large` raises the
//! bounds. The second half puts faults between the engine and the world and demands that the right promise breaks.

mod action;
mod audit;
mod completion;
mod machine;
mod server;
mod wire;
mod world;

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use mcp_reconnect_core::SECOND;

use machine::Fault;
use server::Style;
use wire::Call;
use world::{Budget, World};

const BOTH: &[Call] = &[Call::Safe, Call::Unsafe];
const NO_CALL: &[Call] = &[];
const UNSAFE: &[Call] = &[Call::Unsafe];

fn world(style: Style, calls: &'static [Call], budget: Budget) -> World {
    World {
        style,
        servers: 1,
        balanced: false,
        ready: true,
        calls,
        budget,
        start_timeout: Duration::ZERO,
        can_refresh: false,
        density: if large() { 8 } else { 1 },
        fault: None,
        only: None,
        known: Default::default(),
    }
}

/// Explores a world and demands every promise of it.
fn check(name: &str, world: World, floor: usize) {
    let began = Instant::now();
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "model: {name}: {} states, {} transitions, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
    );
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        if property.expectation.discovery_is_failure()
            && let Some(path) = found
        {
            let last = path.last_state().clone();
            let actions = path.into_actions();
            panic!(
                "{name}: \"{}\" is broken: {:?} {:?}\nafter\n{}{}\n{:?}",
                property.name,
                last.audit.broken,
                last.shared,
                checker.model().tell(&actions),
                checker.model().explain(&last),
                last.audit,
            );
        }
        assert!(
            property.expectation.discovery_is_failure() || checker.discovery(property.name).is_some(),
            "{name}: never reached: {}",
            property.name
        );
    }
    assert!(checker.unique_state_count() >= floor, "{name}: only {} states", checker.unique_state_count());
}

/// The bounds of a test, and larger ones under `MODEL=large`. Worlds that are large already keep theirs.
fn bounds(usual: Budget, larger: Budget) -> Budget {
    if large() { larger } else { usual }
}

fn large() -> bool {
    std::env::var("MODEL").is_ok_and(|size| size == "large")
}

const NONE: Budget = Budget {
    kills: 0,
    faults: 0,
    ticks: 0,
    dozes: 0,
    cancels: 0,
    asks: 0,
    pings: 0,
    notifies: 0,
    demands: 0,
    closes: 0,
    listens: 0,
};

#[test]
fn a_call_across_a_restart() {
    let budget = Budget { kills: 1, faults: 1, ticks: 1, cancels: 1, ..NONE };
    check("call, JSON", world(Style::Json, UNSAFE, budget), 20_000);
}

#[test]
fn a_call_across_a_restart_told_by_an_error() {
    let budget = Budget { kills: 1, faults: 1, ticks: 1, ..NONE };
    check("call, JSON, errors", world(Style::Loose, UNSAFE, budget), 3_000);
}

#[test]
fn a_call_whose_stream_breaks() {
    let budget = Budget { kills: 1, faults: 1, ticks: 1, ..NONE };
    check("call, events", world(Style::Events, UNSAFE, budget), 10_000);
}

#[test]
fn a_call_over_http_sse() {
    let budget = Budget { kills: 1, faults: 1, ticks: 1, cancels: 1, ..NONE };
    check("call, HTTP+SSE", world(Style::Sse, UNSAFE, budget), 50_000);
}

#[test]
fn a_call_without_sessions() {
    let usual = Budget { kills: 1, faults: 1, ticks: 1, cancels: 1, ..NONE };
    let larger = Budget { ticks: 2, ..usual };
    check("call, stateless", world(Style::Stateless, UNSAFE, bounds(usual, larger)), 6_000);
}

#[test]
fn two_calls() {
    let usual = Budget { faults: 1, ticks: 1, ..NONE };
    let larger = Budget { cancels: 1, ..usual };
    check("two calls, JSON", world(Style::Json, BOTH, bounds(usual, larger)), 5_000);
}

#[test]
fn a_call_and_a_notification() {
    let usual = Budget { faults: 1, ticks: 1, notifies: 1, ..NONE };
    let larger = Budget { cancels: 1, ..usual };
    check("call and notification, JSON", world(Style::Json, UNSAFE, bounds(usual, larger)), 2_500);
}

#[test]
fn two_calls_over_http_sse() {
    let budget = Budget { kills: 1, faults: 0, ticks: 1, ..NONE };
    check("two calls, HTTP+SSE", world(Style::Sse, BOTH, budget), 60_000);
}

#[test]
fn a_question_across_a_restart() {
    let usual = Budget { kills: 1, ticks: 1, asks: 1, ..NONE };
    let larger = Budget { faults: 1, asks: 2, ..usual };
    check("question, events", world(Style::Events, NO_CALL, bounds(usual, larger)), 500);
    check("question, HTTP+SSE", world(Style::Sse, NO_CALL, bounds(usual, larger)), 500);
}

#[test]
fn two_servers_behind_a_balancer() {
    let usual = Budget { ticks: 2, ..NONE };
    let larger = Budget { ticks: 3, cancels: 1, ..usual };
    let world = World { servers: 2, balanced: true, ..world(Style::Json, UNSAFE, bounds(usual, larger)) };
    check("balancer, JSON", world, 4_000);
}

#[test]
fn from_the_first_message() {
    for style in [Style::Json, Style::Sse] {
        let budget = Budget { kills: 1, faults: 1, ticks: 1, ..NONE };
        let world = World { ready: false, ..world(style, UNSAFE, budget) };
        check("from the first message", world, 12_000);
    }
}

#[test]
fn pings_and_questions_during_the_handshake() {
    for style in [Style::Sse, Style::Events] {
        let usual = Budget { faults: 1, ticks: 2, pings: 1, ..NONE };
        let larger = Budget { pings: 2, ..usual };
        let world = World { ready: false, ..world(style, NO_CALL, bounds(usual, larger)) };
        check("pings", world, 4_000);
    }
    let usual = Budget { faults: 1, ticks: 1, asks: 1, ..NONE };
    let larger = Budget { ticks: 2, asks: 2, ..usual };
    let world = World { ready: false, ..world(Style::Sse, NO_CALL, bounds(usual, larger)) };
    check("questions", world, 3_000);
}

#[test]
fn a_server_that_comes_late() {
    let budget = Budget { kills: 1, ticks: 2, ..NONE };
    let world = World { ready: false, start_timeout: SECOND, ..world(Style::Json, UNSAFE, budget) };
    check("provisional", world, 13_000);
}

#[test]
fn credentials_that_run_out() {
    let budget = Budget { faults: 1, ticks: 1, demands: 1, ..NONE };
    let world = World { can_refresh: true, ..world(Style::Json, UNSAFE, budget) };
    check("credentials", world, 15_000);
}

#[test]
fn long_sleeps() {
    let budget = Budget { kills: 1, dozes: 2, cancels: 1, ..NONE };
    check("sleeps, JSON", world(Style::Json, UNSAFE, budget), 7_000);
    check("sleeps, HTTP+SSE", world(Style::Sse, UNSAFE, budget), 20_000);
}

#[test]
fn what_the_client_set_up_across_a_restart() {
    const SETTINGS: &[Call] = &[Call::Subscribe, Call::SetLevel];
    const TAKEN_BACK: &[Call] = &[Call::Subscribe, Call::Unsubscribe];
    const SUBSCRIPTION: &[Call] = &[Call::Subscribe];
    let kill = Budget { kills: 1, ..NONE };
    let one = Budget { ticks: 1, ..kill };
    let faulty = Budget { faults: 1, ..one };
    check("two settings, JSON", world(Style::Json, SETTINGS, bounds(kill, one)), 1_000);
    check("a subscription taken back, JSON", world(Style::Json, TAKEN_BACK, bounds(one, faulty)), 1_000);
    let cancelled = Budget { cancels: 1, ..faulty };
    check("a subscription, JSON", world(Style::Json, SUBSCRIPTION, bounds(faulty, cancelled)), 1_000);
    check("a subscription, events", world(Style::Events, SUBSCRIPTION, bounds(one, faulty)), 1_000);
    check("a subscription, HTTP+SSE", world(Style::Sse, SUBSCRIPTION, bounds(one, faulty)), 1_000);
}

#[test]
fn new_sessions_on_demand() {
    let budget = Budget { ticks: 1, demands: 1, asks: 1, ..NONE };
    check("demands, events", world(Style::Events, UNSAFE, budget), 18_000);
}

#[test]
fn closing_at_any_moment() {
    let budget = Budget { faults: 1, ticks: 1, kills: 1, closes: 1, ..NONE };
    check("closing, JSON", world(Style::Json, UNSAFE, budget), 7_000);
    check("closing, HTTP+SSE", world(Style::Sse, UNSAFE, budget), 13_000);
}

#[test]
fn a_call_in_a_version_without_sessions() {
    let usual = Budget { kills: 1, faults: 1, ticks: 2, cancels: 1, ..NONE };
    let larger = Budget { ticks: 3, ..usual };
    let world = World { ready: false, ..world(Style::Modern, UNSAFE, bounds(usual, larger)) };
    check("call, 2026-07-28", world, 1_000);
    let usual = Budget { kills: 1, faults: 1, ticks: 1, ..NONE };
    let larger = Budget { cancels: 1, ..usual };
    let world = World { ready: false, ..self::world(Style::Modern, BOTH, bounds(usual, larger)) };
    check("two calls, 2026-07-28", world, 1_000);
}

#[test]
fn a_stream_of_notifications() {
    let usual = Budget { kills: 1, faults: 1, ticks: 1, listens: 1, ..NONE };
    let larger = Budget { ticks: 2, ..usual };
    let world = World { ready: false, ..world(Style::Modern, NO_CALL, bounds(usual, larger)) };
    check("listen, 2026-07-28", world, 1_000);
}

#[test]
fn a_call_that_is_translated() {
    let usual = Budget { kills: 1, faults: 1, ticks: 1, cancels: 1, ..NONE };
    let larger = Budget { ticks: 2, ..usual };
    check("call, translated", world(Style::Translated, UNSAFE, bounds(usual, larger)), 1_000);
    let usual = Budget { kills: 1, faults: 1, ticks: 1, ..NONE };
    let world = World { ready: false, ..world(Style::Translated, UNSAFE, usual) };
    check("from the first message, translated", world, 1_000);
}

/// Puts a fault between the engine and the world and demands that this promise breaks.
fn bites(fault: Fault, promise: &'static str, world: World) {
    let world = World { fault: Some(fault), only: Some(promise), ..world };
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyOf([promise].into())).spawn_bfs().join();
    let Some(path) = checker.discovery(promise) else {
        panic!("{fault:?} broke nothing of \"{promise}\" in {} states", checker.unique_state_count());
    };
    let last = path.last_state().clone();
    println!(
        "model: {fault:?} breaks \"{promise}\" ({}) after {:?}",
        last.audit.broken.map_or(String::new(), |(_, how)| how),
        path.into_actions()
    );
}

/// One call, one restart, one fault: enough for every fault that is put in.
const SMALL: Budget = Budget { kills: 1, faults: 1, ticks: 1, cancels: 1, ..NONE };

#[test]
fn a_forgotten_initialized_is_noticed() {
    let world = World { ready: false, ..world(Style::Json, UNSAFE, SMALL) };
    bites(Fault::ForgetInitialized, "3: clean sessions", world);
}

#[test]
fn an_unsafe_call_that_is_replayed_is_noticed() {
    let world = world(Style::Json, UNSAFE, SMALL);
    bites(Fault::ReplayUnsafe, "2: at most one execution", world);
}

#[test]
fn an_old_event_id_is_noticed() {
    let world = world(Style::Events, NO_CALL, Budget { asks: 1, cancels: 0, ..SMALL });
    bites(Fault::OldEventId, "3: clean sessions", world);
}

#[test]
fn an_old_session_id_is_noticed() {
    let world = world(Style::Json, UNSAFE, SMALL);
    bites(Fault::OldSessionId, "3: clean sessions", world);
}

#[test]
fn an_answer_to_an_old_question_is_noticed() {
    let world = world(Style::Events, NO_CALL, Budget { asks: 1, faults: 0, cancels: 0, ..SMALL });
    bites(Fault::OldAnswer, "3: clean sessions", world);
}

#[test]
fn a_second_answer_is_noticed() {
    bites(Fault::AnswerTwice, "1: exactly one answer", world(Style::Json, UNSAFE, SMALL));
}

#[test]
fn a_missing_answer_is_noticed() {
    bites(Fault::AnswerNever, "1: exactly one answer", world(Style::Json, UNSAFE, SMALL));
}

#[test]
fn an_ignored_cancellation_is_noticed() {
    bites(Fault::IgnoreCancel, "2: at most one execution", world(Style::Json, UNSAFE, SMALL));
    bites(Fault::IgnoreCancel, "1: exactly one answer", world(Style::Json, UNSAFE, SMALL));
}

#[test]
fn a_changed_order_is_noticed() {
    bites(Fault::SwapPosts, "4: order", world(Style::Json, BOTH, SMALL));
}

#[test]
fn a_missing_deadline_is_noticed() {
    bites(Fault::NoDeadline, "6: every wait has an end", world(Style::Json, UNSAFE, SMALL));
}

#[test]
fn a_forgotten_restore_is_noticed() {
    bites(Fault::ForgetRestore, "5: always another attempt", world(Style::Json, &[Call::Subscribe], SMALL));
}

#[test]
fn giving_up_is_noticed() {
    bites(Fault::GiveUp, "5: always another attempt", world(Style::Json, UNSAFE, SMALL));
}

#[test]
fn a_clock_of_its_own_is_noticed() {
    bites(Fault::OwnClock, "9: determinism", world(Style::Json, UNSAFE, SMALL));
}
