//! The first call after ten minutes in which nothing was asked, in virtual time: what goes over the network before the call
//! does, and for how many round trips it waits.

use std::time::Duration;

use mcp_reconnect_core::{Engine, Event, ExchangeId, Input, Instant, Options, Output, Request, SECOND};

use crate::native::URL;
use crate::script;

const IDLE: Duration = Duration::from_secs(600);
/// Of the virtual network. Small against every timer.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// What happened in the ten minutes.
#[derive(Clone, Copy, Default)]
struct Story {
    /// No heartbeats are sent.
    no_heartbeat: bool,
    /// The host was stopped: nothing was called in between, not even for deadlines.
    stopped: bool,
    /// The host has noticed that it slept.
    probe: bool,
    /// The server was restarted.
    restarted: bool,
    /// The call is one that may be repeated, `tools/list`.
    safe: bool,
}

/// Measures; gives the part of the report.
pub fn measure() -> String {
    let plain = Story::default();
    let stories = [
        ("heartbeats every 30 s, as is the default", plain),
        ("the same, the server restarted in between", Story { restarted: true, ..plain }),
        ("without heartbeats: a call that must not run twice", Story { no_heartbeat: true, ..plain }),
        ("without heartbeats: a call that may, `tools/list`", Story { no_heartbeat: true, safe: true, ..plain }),
        ("without heartbeats, the server restarted", Story { no_heartbeat: true, restarted: true, ..plain }),
        ("the process was stopped (SIGSTOP, a paused machine)", Story { stopped: true, ..plain }),
        ("the machine slept and the host has noticed", Story { stopped: true, probe: true, ..plain }),
        ("the same, and the server restarted", Story { stopped: true, probe: true, restarted: true, ..plain }),
    ];
    let rows: String = stories
        .map(|(name, story)| {
            let (before, delay) = run(story);
            format!("| {name} | {before} | {delay} |\n")
        })
        .concat();
    format!(
        "### The first call after ten minutes\n\nIn virtual time, over Streamable HTTP: the requests that go out between the program's \
         message and its POST, and the round trips that the POST waits for them. Nothing is measured here, so nothing is noisy.\n\n\
         | in the ten minutes | requests before the call's POST | round trips until it |\n|---|---|---|\n{rows}"
    )
}

/// The requests before the call's POST, and its delay in round trips.
fn run(story: Story) -> (usize, u64) {
    let mut options = Options::new(URL);
    if story.no_heartbeat {
        options.heartbeat_interval = Duration::ZERO;
    }
    let mut world = World {
        engine: Engine::new(options, 7, Instant::ZERO).expect("the options are good"),
        now: Instant::ZERO,
        flights: Vec::new(),
        server: 1,
    };
    world.input(Input::Message(script::INITIALIZE.to_owned()));
    world.run_until(Instant::ZERO + SECOND);
    world.input(Input::Message(script::INITIALIZED.to_owned()));
    world.input(Input::Message(call(1, story.safe)));
    world.run_until(Instant::ZERO + 2 * SECOND);
    if story.restarted {
        world.server += 1;
    }
    if story.stopped {
        world.now += IDLE;
    } else {
        world.run_until(Instant::ZERO + 2 * SECOND + IDLE);
    }
    if story.probe {
        world.input(Input::Probe);
    }
    let asked = world.now;
    let mut started = world.input(Input::Message(call(2, story.safe)));
    let is_call = |request: &Request| text(&request.body).contains("\"marker\":2");
    loop {
        if let Some(before) = started.iter().position(is_call) {
            return (before, round_trips(world.now - asked));
        }
        assert!(world.now < asked + 60 * SECOND, "the call goes out");
        started.extend(world.next(Instant::MAX));
    }
}

/// Begun ones count.
fn round_trips(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(ROUND_TRIP.as_nanos())).expect("they are few")
}

fn call(marker: u64, safe: bool) -> String {
    let method = if safe { "tools/list" } else { "tools/call" };
    format!(r#"{{"jsonrpc":"2.0","id":{marker},"method":"{method}","params":{{"name":"write","marker":{marker}}}}}"#)
}

/// An engine and a server that answers one round trip later.
struct World {
    engine: Engine,
    now: Instant,
    /// Requests under way, and when they are answered.
    flights: Vec<(Instant, ExchangeId, Request)>,
    /// Counts restarts; sessions of an earlier server are unknown.
    server: u64,
}

impl World {
    /// Gives the requests that it leads to.
    fn input(&mut self, input: Input) -> Vec<Request> {
        self.engine.handle(self.now, input);
        let mut started = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Start(exchange, request) => {
                    started.push(request.clone());
                    self.flights.push((self.now + ROUND_TRIP, exchange, request));
                }
                Output::Cancel(cancelled) => self.flights.retain(|(_, exchange, _)| *exchange != cancelled),
                Output::Event(Event::Message(text)) => assert!(!text.contains("\"error\""), "{text}"),
                Output::Event(_) | Output::Pause(_) | Output::Resume(_) => {}
            }
        }
        started
    }

    fn run_until(&mut self, end: Instant) {
        while self.now < end {
            self.next(end);
        }
    }

    /// The next thing that happens, or the end.
    fn next(&mut self, end: Instant) -> Vec<Request> {
        let flight = self.flights.iter().map(|(at, ..)| *at).min().unwrap_or(Instant::MAX);
        let deadline = self.engine.deadline().unwrap_or(Instant::MAX).max(self.now);
        if end <= flight.min(deadline) {
            self.now = end;
            return Vec::new();
        }
        if deadline < flight {
            self.now = deadline;
            return self.input(Input::Tick);
        }
        self.now = flight.max(self.now);
        let at = self.flights.iter().position(|(at, ..)| *at == flight).expect("one is the earliest");
        let (_, exchange, request) = self.flights.remove(at);
        self.answer(exchange, &request)
    }

    fn answer(&mut self, exchange: ExchangeId, request: &Request) -> Vec<Request> {
        let body = text(&request.body);
        let session = format!("session-{}", self.server);
        let theirs = request.headers.iter().find(|(name, _)| name == "mcp-session-id").map(|(_, value)| value.as_str());
        let (status, answer) = match () {
            () if theirs.is_some_and(|id| id != session) => (404, "session not found".to_owned()),
            () if body.is_empty() => (405, String::new()),
            () if !body.contains("\"id\":") => (202, String::new()),
            () => {
                let id = script::wire_id(&request.body);
                let rest = if body.contains("\"initialize\"") {
                    script::INITIALIZE_RESULT
                } else {
                    r#","result":{"tools":[]}}"#
                };
                (200, format!(r#"{{"jsonrpc":"2.0","id":{id}{rest}"#))
            }
        };
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let kind = if status == 200 { "application/json" } else { "text/plain" };
        let headers = vec![header("content-type", kind), header("mcp-session-id", &session)];
        let mut started = self.input(Input::Response { exchange, status, headers });
        started.extend(self.input(Input::Body { exchange, bytes: answer.into_bytes() }));
        started.extend(self.input(Input::End(exchange)));
        started
    }
}

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).expect("JSON")
}
