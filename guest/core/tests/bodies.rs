//! The bound on all bodies together: what is read at once, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mcp_reconnect_core::{Engine, Event, ExchangeId, Input, Instant, Options, Output, SECOND, errors};

const MIB: usize = 1 << 20;
/// What a driver reads at once.
const CHUNK: usize = 64 << 10;

/// How an answer is sent.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// JSON, its length declared.
    Sized,
    /// JSON of unknown length.
    Chunked,
    /// One server-sent event.
    Event,
}

/// A server's answer under way.
struct Body {
    bytes: Vec<u8>,
    sent: usize,
    paused: bool,
}

/// A driver that reads a chunk of each body in turn, and obeys.
struct Driver {
    engine: Engine,
    now: Instant,
    form: Form,
    size: usize,
    bodies: BTreeMap<ExchangeId, Body>,
    /// Bodies that bring nothing.
    silent: BTreeSet<ExchangeId>,
    obeys: bool,
    answered: usize,
    too_large: usize,
    /// The most bytes of bodies that were not at their end, at once.
    peak: usize,
    pauses: usize,
}

impl Driver {
    fn new(options: Options, form: Form, size: usize) -> Self {
        let mut driver = Self {
            engine: Engine::new(options, 1, Instant::ZERO).expect("good options"),
            now: Instant::ZERO,
            form,
            size,
            bodies: BTreeMap::new(),
            silent: BTreeSet::new(),
            obeys: true,
            answered: 0,
            too_large: 0,
            peak: 0,
            pauses: 0,
        };
        driver.input(Input::Message(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#.into(),
        ));
        driver.input(Input::Message(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.into()));
        driver
    }

    fn call(&mut self, id: usize) {
        self.input(Input::Message(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x"}}}}"#
        )));
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Start(id, request) => {
                    let body = String::from_utf8(request.body).expect("text");
                    self.respond(id, &body);
                }
                Output::Cancel(id) => drop(self.bodies.remove(&id)),
                Output::Pause(id) => {
                    self.pauses += 1;
                    let body = self.bodies.get_mut(&id).expect("it is being read");
                    assert!(!std::mem::replace(&mut body.paused, true), "paused twice");
                }
                Output::Resume(id) => {
                    if let Some(body) = self.bodies.get_mut(&id) {
                        assert!(std::mem::replace(&mut body.paused, false), "resumed without a pause");
                    }
                }
                Output::Event(Event::Message(text)) => {
                    if text.contains("\"error\"") {
                        assert!(
                            text.contains(&errors::TOO_LARGE.to_string()) && text.contains("max-total-body-bytes"),
                            "{text:.300}"
                        );
                        self.too_large += 1;
                    } else {
                        self.answered += 1;
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    fn respond(&mut self, exchange: ExchangeId, request: &str) {
        let head = |status, headers: &[(&str, String)]| Input::Response {
            exchange,
            status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect(),
        };
        let json = ("content-type", "application/json".to_owned());
        let wire: String = request
            .split_once("\"id\":")
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
            .unwrap_or_default();
        if request.contains("initialize\"") {
            self.input(head(200, &[json]));
            let result =
                r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;
            let bytes = format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{result}}}"#).into_bytes();
            self.input(Input::Body { exchange, bytes });
            self.input(Input::End(exchange));
        } else if wire.is_empty() {
            self.input(head(if request.is_empty() { 405 } else { 202 }, &[]));
            self.input(Input::End(exchange));
        } else {
            let mut text = format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{{"pad":"{}"}}}}"#, "x".repeat(self.size));
            if self.form == Form::Event {
                text = format!("data: {text}\n\n");
            }
            self.input(match self.form {
                Form::Sized => head(200, &[json, ("content-length", text.len().to_string())]),
                Form::Chunked => head(200, &[json]),
                Form::Event => head(200, &[("content-type", "text/event-stream".to_owned())]),
            });
            self.bodies.insert(exchange, Body { bytes: text.into_bytes(), sent: 0, paused: false });
        }
    }

    /// Reads a chunk of each body that may be read. False: there is none.
    fn turn(&mut self) -> bool {
        let ids: Vec<_> = self.bodies.keys().copied().collect();
        let mut read = false;
        for id in ids {
            let Some(body) = self.bodies.get_mut(&id) else { continue };
            if (self.obeys && body.paused) || self.silent.contains(&id) {
                continue;
            }
            read = true;
            let end = (body.sent + CHUNK).min(body.bytes.len());
            let bytes = body.bytes[body.sent..end].to_vec();
            body.sent = end;
            let over = end == body.bytes.len();
            self.peak = self.peak.max(self.bodies.values().map(|body| body.sent).sum());
            self.input(Input::Body { exchange: id, bytes });
            if over && self.bodies.remove(&id).is_some() {
                self.input(Input::End(id));
            }
        }
        read
    }

    fn run(&mut self) {
        while self.turn() {}
    }
}

fn options(total: usize) -> Options {
    Options::new("http://127.0.0.1:1/mcp").with(|o| {
        o.max_body_bytes = 8 * MIB;
        o.max_event_bytes = 8 * MIB;
        o.max_total_body_bytes = total;
        o.heartbeat_interval = Duration::ZERO;
    })
}

#[test]
fn large_bodies_wait_for_one_another_and_all_come() {
    for form in [Form::Sized, Form::Chunked, Form::Event] {
        for total in [8, 16, 24] {
            let mut driver = Driver::new(options(total * MIB), form, 6 * MIB);
            driver.answered = 0;
            for id in 1..=20 {
                driver.call(id);
            }
            driver.run();
            assert_eq!((driver.answered, driver.too_large), (20, 0));
            assert!(driver.peak <= total * MIB + 20 * CHUNK, "{} bytes at once", driver.peak);
            assert!(driver.pauses > 0);
            assert_eq!(driver.engine.deadline(), None, "nothing is waited for any more");
        }
    }
}

#[test]
fn what_fits_is_read_side_by_side() {
    let mut driver = Driver::new(options(128 * MIB), Form::Sized, 5 * MIB);
    for id in 1..=20 {
        driver.call(id);
    }
    driver.run();
    assert_eq!((driver.answered, driver.pauses), (21, 0));
}

/// Small answers do not wait for large ones, or a ping would count as unanswered.
#[test]
fn a_small_body_never_waits() {
    let mut driver = Driver::new(options(8 * MIB), Form::Chunked, 6 * MIB);
    for id in 1..=10 {
        driver.call(id);
    }
    for _ in 0..4 {
        driver.turn();
    }
    driver.size = 1000;
    driver.call(11);
    let before = driver.answered;
    driver.turn();
    assert_eq!(driver.answered, before + 1);
    driver.run();
    assert_eq!((driver.answered, driver.too_large), (12, 0));
}

/// A body that brings nothing holds up the others for a while only; when that is of no help, the largest is given up.
#[test]
fn a_body_that_stalls_does_not_hold_up_the_others_for_ever() {
    let mut driver = Driver::new(options(16 * MIB), Form::Chunked, 6 * MIB);
    for id in 1..=6 {
        driver.call(id);
    }
    while driver.pauses == 0 {
        driver.turn();
    }
    // All that may be read stop in the middle, one after the other.
    for _ in 0..6 {
        driver.silent.extend(driver.bodies.iter().filter(|(_, body)| !body.paused).map(|(id, _)| *id));
        assert!(!driver.turn());
        if driver.bodies.values().all(|body| !body.paused) {
            break;
        }
        let deadline = driver.engine.deadline().expect("bodies wait");
        assert!(deadline <= driver.now + 11 * SECOND);
        driver.now = deadline;
        driver.input(Input::Tick);
        driver.turn();
    }
    let rest: Vec<_> = driver.silent.iter().copied().collect();
    driver.silent.clear();
    driver.run();
    assert!(!rest.is_empty());
    assert_eq!(driver.answered + driver.too_large, 7, "each has its answer");
}

/// A driver that does not know how to wait: the sum is held all the same.
#[test]
fn past_the_bound_the_largest_is_given_up() {
    let mut driver = Driver::new(options(16 * MIB), Form::Chunked, 6 * MIB);
    driver.obeys = false;
    for id in 1..=6 {
        driver.call(id);
    }
    driver.run();
    assert!(driver.too_large > 0 && driver.answered > 1);
    assert_eq!(driver.answered + driver.too_large, 7);
    assert!(driver.peak <= 16 * MIB + 7 * CHUNK, "{} bytes at once", driver.peak);
}

/// However slow a body is that the others wait for: while it brings something it is read alone, and ten seconds without anything
/// let one more be read beside it.
#[test]
fn the_others_wait_for_a_slow_body_and_not_for_a_silent_one() {
    let mut driver = Driver::new(options(16 * MIB), Form::Chunked, 6 * MIB);
    for id in 1..=6 {
        driver.call(id);
    }
    while driver.pauses == 0 {
        driver.turn();
    }
    let reading = |driver: &Driver| driver.bodies.values().filter(|body| !body.paused).count();
    let before = reading(&driver);
    assert!(before < 6);
    for _ in 0..5 {
        driver.now += 9 * SECOND;
        driver.input(Input::Tick);
        assert!(driver.turn());
        assert_eq!(reading(&driver), before);
    }
    for seconds in 1..=25 {
        driver.now += SECOND;
        driver.input(Input::Tick);
        assert_eq!(reading(&driver), before + seconds / 10, "after {seconds} s");
    }
    driver.run();
    assert_eq!(driver.answered + driver.too_large, 7, "each has its answer");
}
