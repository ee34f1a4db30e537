//! Model checking: the engine that ships, in a small world that may do anything to it.
//!
//! Every test explores all interleavings within the bounds that it states (see `world::Budget`), prints how many states
//! that were, and asserts a floor so that an exploration that has become trivial is noticed. `MODEL=large` raises the
//! bounds. The second half puts faults between the engine and the world and demands that the right promise breaks.

mod audit;
mod completion;
mod machine;
mod server;
mod wire;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use machine::Fault;
use server::Style;
use wire::Call;
use world::{Budget, World};

const BOTH: &[Call] = &[Call::Safe, Call::Unsafe];
const UNSAFE: &[Call] = &[Call::Unsafe];

fn world(style: Style, calls: &'static [Call], budget: Budget) -> World {
    World { style, servers: 1, balanced: false, ready: true, calls, budget, fault: None, known: Default::default() }
}

/// Explores a world and demands every promise of it.
fn check(name: &str, world: World, floor: usize) {
    let began = Instant::now();
    let checker = world.checker().threads(2).spawn_bfs().join();
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
                "{name}: \"{}\" is broken: {:?} {:?}\nafter {actions:#?}\n{}\n{:#?}",
                property.name,
                last.audit.broken,
                last.shared,
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

/// The bounds of a test, and larger ones under `MODEL=large`.
fn bounds(usual: Budget, large: Budget) -> Budget {
    if std::env::var("MODEL").is_ok_and(|size| size == "large") { large } else { usual }
}

const NONE: Budget =
    Budget { kills: 0, faults: 0, ticks: 0, dozes: 0, cancels: 0, asks: 0, notifies: 0, demands: 0, closes: 0 };

#[test]
fn json_restart() {
    let usual = Budget { kills: 1, faults: 1, ticks: 1, cancels: 1, ..NONE };
    check("json", world(Style::Json, UNSAFE, usual), 1);
}

#[test]
fn json_two_calls() {
    let usual = Budget { faults: 1, ticks: 1, dozes: 1, cancels: 1, notifies: 1, ..NONE };
    check("json two", world(Style::Json, BOTH, usual), 1);
}

#[test]
fn events() {
    let usual = Budget { kills: 1, faults: 1, ticks: 1, asks: 1, ..NONE };
    check("events", world(Style::Events, UNSAFE, usual), 1);
}

#[test]
fn sse() {
    let usual = Budget { kills: 1, faults: 1, ticks: 1, cancels: 1, ..NONE };
    check("sse", world(Style::Sse, UNSAFE, usual), 1);
}

#[test]
fn stateless() {
    let usual = Budget { kills: 1, faults: 1, ticks: 1, ..NONE };
    check("stateless", world(Style::Stateless, BOTH, usual), 1);
}

#[test]
fn balanced() {
    let usual = Budget { ticks: 2, dozes: 1, ..NONE };
    let world = World { servers: 2, balanced: true, ..world(Style::Json, UNSAFE, usual) };
    check("balanced", world, 1);
}

#[test]
fn from_the_first_byte() {
    let usual = Budget { kills: 1, faults: 1, ticks: 1, dozes: 1, ..NONE };
    let world = World { ready: false, ..world(Style::Json, UNSAFE, usual) };
    check("first", world, 1);
}

#[test]
fn closing() {
    let usual = Budget { faults: 1, ticks: 1, kills: 1, closes: 1, ..NONE };
    check("closing", world(Style::Json, UNSAFE, usual), 1);
}

#[test]
fn demands() {
    let usual = Budget { faults: 1, ticks: 1, demands: 1, asks: 1, ..NONE };
    check("demands", world(Style::Events, UNSAFE, usual), 1);
}

/// Puts a fault between the engine and the world and demands that this promise breaks.
fn bites(fault: Fault, promise: &'static str, world: World) {
    let world = World { fault: Some(fault), ..world };
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
    let world = world(Style::Events, UNSAFE, Budget { asks: 1, ..SMALL });
    bites(Fault::OldEventId, "3: clean sessions", world);
}

#[test]
fn an_old_session_id_is_noticed() {
    let world = world(Style::Json, UNSAFE, SMALL);
    bites(Fault::OldSessionId, "3: clean sessions", world);
}

#[test]
fn an_answer_to_an_old_question_is_noticed() {
    let world = world(Style::Events, UNSAFE, Budget { asks: 1, ..SMALL });
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
fn giving_up_is_noticed() {
    bites(Fault::GiveUp, "5: always another attempt", world(Style::Json, UNSAFE, SMALL));
}

#[test]
fn a_clock_of_its_own_is_noticed() {
    bites(Fault::OwnClock, "9: determinism", world(Style::Json, UNSAFE, SMALL));
}
