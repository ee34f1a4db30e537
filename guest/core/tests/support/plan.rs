//! Random runs: what a seed stands for, how it is run, and how a failing one is made shorter.

use mcp_reconnect_core::{Input, Instant, Options, TransportChoice};
use std::time::Duration;

use super::client::{Answer, call_params};
use super::net::Fate;
use super::random::Random;
use super::server::{Accent, Get, Knobs, Lost, Offer, Reply, Resume, json_body, status};
use super::world::{Fault, Happening, World};
use super::{MILLISECOND, SECOND, URL};

/// Something that the client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Call(&'static str, u64, u64),
    Ask(&'static str, &'static str),
    Notify(&'static str),
    /// Cancels its newest request.
    CancelLast,
    Ping,
    InitializeAgain,
    Reconnect,
    Probe,
    Headers,
    /// The next request of this kind is refused with a status.
    Refuse(&'static str, u16, u32),
    /// The next request of this kind is asked to come again in so many seconds.
    Rest(&'static str, u16, u64),
    /// The next request of this kind is redirected.
    Redirect(&'static str),
    /// The requests of this kind that come next, or all of them, meet with something else than an answer.
    Trick(&'static str, u32, Trick),
    /// A request of the client is cancelled: one of the last so many.
    Cancel(usize),
    /// A list from where the last one ended.
    ListOn,
    /// Two messages in one batch.
    Batch,
    /// Two requests under one id, and one token.
    Twins,
    /// This text.
    Say(&'static str),
    /// So many subscriptions at once.
    SubscribeMany(u64),
    /// The server says this so many times on the session's stream, in one piece or as a batch.
    Flood(usize, bool),
    Close,
}

impl Act {
    /// Whether it goes through the driver, and does not happen to the server.
    pub fn is_of_client(&self) -> bool {
        !matches!(self, Self::Refuse(..) | Self::Rest(..) | Self::Redirect(_) | Self::Trick(..) | Self::Flood(..))
    }
}

/// Something else than an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    Status(u16),
    /// This status, and rest for so many seconds.
    Rest(u16, u64),
    Redirect,
    Fate(Fate),
    /// A stream with a notification, after an event id or none, and then an end, a reset, or silence.
    Stream {
        id: bool,
        note: bool,
        then: Then,
    },
    /// It runs, and this status without a body is all that comes.
    RunThen(u16),
    /// 200 and a JSON body that is no answer.
    Unusable,
}

/// How a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    End,
    Cut,
    Silence,
}

/// All requests of a kind.
const ALWAYS: u32 = u32::MAX;

/// A run: everything that will happen, and the seed of everything that is left to chance.
#[derive(Clone, Debug)]
pub struct Plan {
    pub generation: u32,
    pub seed: u64,
    pub knobs: Knobs,
    pub options: Options,
    pub jitter: Duration,
    pub shred: bool,
    pub odd_ids: bool,
    pub stubborn: bool,
    pub refreshes: bool,
    pub thinks: Duration,
    pub down_at_start: bool,
    pub acts: Vec<(Instant, Act)>,
    pub faults: Vec<(Instant, Fault)>,
}

/// What came of a run.
pub struct Outcome {
    pub violations: Vec<String>,
    pub story: String,
    pub fingerprint: u64,
    /// Requests that the client made, and how many of them got a result.
    pub asked: usize,
    pub results: usize,
    pub unknown: usize,
    pub sessions: u64,
    pub replays: u64,
}

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(30);
/// After that every request has its answer within so long: a request that was sent just before may still run for its
/// run timeout, be replayed, and run again, but no longer than its limit; before that it may have been held.
const RECOVERY: Duration = Duration::from_secs(180);

/// What sets something up that a new session must get back, and how long that may take once the world is kind.
const SETS_UP: [&str; 3] = ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"];
const CONVERGENCE: Duration = Duration::from_secs(120);

impl Plan {
    /// The run that a seed stands for, in the newest generation.
    pub fn of(seed: u64) -> Self {
        let mut plan = Self::first(seed);
        plan.widen(&mut Random::new(!seed));
        plan
    }

    /// The run that a seed stands for, in this generation: seeds that were noted keep their meaning.
    pub fn of_generation(generation: u32, seed: u64) -> Self {
        if generation == 1 { Self::first(seed) } else { Self::of(seed) }
    }

    /// The first generation.
    fn first(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut knobs = some_knobs(&mut random);
        // Not drawn, so that older seeds run as they did.
        knobs.affinity = seed.is_multiple_of(5);
        let mut options = Options::new(URL);
        options.hold_timeout = random.pick(&[30, 60]) * SECOND;
        options.run_timeout = 40 * SECOND;
        options.run_limit = 100 * SECOND;
        options.response_timeout = random.pick(&[5, 30]) * SECOND;
        options.heartbeat_interval = random.pick(&[5, 15, 30]) * SECOND;
        options.heartbeat_timeout = random.pick(&[2, 10]) * SECOND;
        options.heartbeat_strict = random.percent(20);
        options.trust_annotations = random.percent(30);
        options.start_timeout = random.pick(&[0, 2, 20]) * SECOND;
        options.transport = match (random.percent(60), knobs.offer) {
            (true, _) => TransportChoice::Auto,
            (false, Offer::Http) => TransportChoice::StreamableHttp,
            (false, Offer::Sse) => TransportChoice::HttpSse,
        };
        if random.percent(10) {
            options.max_queue_messages = 4;
        }
        if random.percent(20) {
            options.max_event_bytes = 1000;
            options.max_body_bytes = 1000;
        }
        options.can_refresh_credentials = random.percent(40);
        let refreshes = options.can_refresh_credentials && random.percent(70);
        if seed.is_multiple_of(4) {
            options.connect_headers_timeout = 2 * SECOND;
        }
        let acts = (0..random.within(2, 9)).map(|_| (random.instant(TROUBLE), some_act(&mut random))).collect();
        let mut plan = Self {
            generation: 1,
            seed,
            options,
            jitter: random.pick(&[0, 5, 50]) * MILLISECOND,
            shred: random.percent(20),
            odd_ids: random.percent(30),
            stubborn: random.percent(30),
            refreshes,
            thinks: random.pick(&[1, 300, 5000]) * MILLISECOND,
            down_at_start: random.percent(15),
            acts,
            faults: Vec::new(),
            knobs,
        };
        for _ in 0..random.within(0, 4) {
            plan.add_fault(&mut random);
        }
        plan
    }

    /// What the second generation adds to the first.
    fn widen(&mut self, random: &mut Random) {
        self.generation = 2;
        let spelling = |knobs: &mut Knobs, random: &mut Random| {
            if random.percent(30) {
                knobs.accent = random.pick(&ACCENTS);
            }
            if random.percent(30) {
                knobs.lost = random.pick(&LOST);
            }
            knobs.json_status = random.pick(&[200, 200, 200, 202]);
            knobs.in_body = knobs.offer == Offer::Sse && random.percent(10);
        };
        spelling(&mut self.knobs, random);
        for (_, fault) in &mut self.faults {
            if let Fault::Become(knobs) = fault {
                spelling(knobs, random);
            }
        }
        if random.percent(15) {
            // A world in which nothing goes wrong but what the server does by habit.
            self.faults.clear();
            self.acts.retain(|(_, act)| !matches!(act, Act::Refuse(..) | Act::Rest(..) | Act::Redirect(_)));
        }
        let options = &mut self.options;
        if random.percent(8) {
            options.heartbeat_interval = Duration::ZERO;
        }
        if random.percent(8) {
            options.hold_timeout = 8 * SECOND;
            options.heartbeat_timeout = 10 * SECOND;
        }
        if random.percent(8) {
            options.max_attempts = random.within(1, 5) as u32;
        }
        if random.percent(5) && self.knobs.event_ids {
            self.knobs.retry = Some(35_000);
        }
        for _ in 0..random.within(0, 5) {
            self.acts.push((random.instant(TROUBLE), another_act(random)));
        }
        if random.percent(10) {
            self.faults.push((random.instant(TROUBLE), Fault::Nap(Duration::from_secs(random.within(1, 20)))));
        }
        if random.percent(5) {
            self.acts.push((random.instant(TROUBLE), Act::Close));
        }
    }

    fn add_fault(&mut self, random: &mut Random) {
        let at = random.instant(TROUBLE);
        let later = at + random.pick(&[20, 500, 3000, 12_000]) * MILLISECOND;
        if random.percent(10) {
            // An update: the process that comes back is another one.
            let mut knobs = some_knobs(random);
            if self.options.transport != TransportChoice::Auto {
                while knobs.offer != self.knobs.offer {
                    knobs = some_knobs(random);
                }
            }
            knobs.name = "updated";
            knobs.affinity = self.knobs.affinity;
            self.faults.push((at, Fault::Kill));
            self.faults.push((later, Fault::Become(Box::new(knobs))));
            self.faults.push((later, Fault::Start));
            return;
        }
        let pair = match random.within(0, 9) {
            0..=2 => (Fault::Kill, Some(Fault::Start)),
            3 => (Fault::Vanish, Some(Fault::Start)),
            4 => (Fault::Stop, Some(Fault::Start)),
            5 => (Fault::Freeze, Some(Fault::Thaw)),
            6 => (Fault::BlackHole, Some(Fault::Heal)),
            7 => (Fault::ResetAll, None),
            8 => (Fault::Forget, None),
            _ => (Fault::Weather(random.pick(&[5, 20, 60])), Some(Fault::Weather(0))),
        };
        self.faults.push((at, pair.0));
        if let Some(end) = pair.1 {
            self.faults.push((later, end));
        }
    }

    /// Runs it.
    pub fn run(&self, traced: bool) -> Outcome {
        let mut world = World::with(self.knobs.clone(), self.options.clone(), self.seed);
        if !traced {
            world = world.untraced();
        }
        world.net.jitter = self.jitter;
        world.net.shred = self.shred;
        world.net.counts_haste = true;
        world.client.odd_ids = self.odd_ids;
        world.client.stubborn = self.stubborn;
        world.client.refreshes = self.refreshes;
        world.client.thinks = self.thinks;
        world.client.tries_again = true;
        world.client.trusts = self.options.trust_annotations;
        world.server.up = !self.down_at_start;
        for (at, fault) in &self.faults {
            world.at(*at, Happening::Fault(fault.clone()));
        }
        for (at, act) in &self.acts {
            world.at(*at, Happening::Act(act.clone()));
        }
        world.initialize();
        world.run_to((Instant::ZERO + TROUBLE + 13 * SECOND).max(self.end_of_naps()));
        world.note(|| String::from("======= no more cause"));
        // The transport is detected again at most once a minute.
        world.watch.kind_since = Some(world.now + if self.moves() { 60 * SECOND } else { Duration::ZERO });
        world.server.rules.retain(|(_, times, _)| *times == ALWAYS);
        world.net.fates.clear();
        for cure in [Fault::Weather(0), Fault::Heal, Fault::Thaw, Fault::Start] {
            world.now(cure);
        }
        // Promises 1 and 6: everything gets its answer.
        world.run_until(RECOVERY, |world| world.closed || world.unanswered().is_empty() && world.is_initialized());
        let twins = world.client.twins();
        for tag in world.unanswered() {
            // Of two requests with one id the engine may have cancelled the other one.
            let id = world.client.asked[&tag].id.clone();
            if twins.contains(&tag)
                && world.client.asked.values().any(|asked| asked.id == id && asked.cancelled.is_some())
            {
                continue;
            }
            let method = world.client.asked[&tag].method.clone();
            world.violate(format!("tag {tag} ({method}) was never answered"));
        }
        if world.watch.closing {
            if !world.run_until(SECOND, |world| world.closed) {
                world.violate("it was closed, and does not end");
            }
            world.check_runs();
            world.check_facts();
            world.check_delivered();
            world.check_history();
            return world.outcome();
        }
        // Promise 5: whatever happened, it works again.
        world.run_for(self.rest());
        if self.options.heartbeat_interval.is_zero() {
            // Nobody but the client finds out what was lost in silence.
            for _ in 0..2 {
                let asked = world.ask("resources/read", r#"{"tag":$TAG}"#);
                world.run_until(RECOVERY, |world| world.answer(asked).is_some());
            }
        }
        let calm_since = world.now;
        for safe in [true, false] {
            if self.options.heartbeat_interval.is_zero() && self.loses_in_silence() {
                break;
            }
            // The first may find out that the session is dead; it is safe to repeat. The second must find all well.
            let proof = if safe { world.ask("resources/read", r#"{"tag":$TAG}"#) } else { world.call("echo", 0) };
            world.run_until(60 * SECOND, |world| world.answer(proof).is_some());
            // Where credentials can be had, a ping that is rejected has others asked for first; what waits for them is told.
            let waited = safe && self.rejects_pings() && world.error(proof) == Some(super::errors::UNAUTHORIZED);
            if !world.has_result(proof) && !waited {
                let answer = format!("{:?}", world.answer(proof));
                world.violate(format!("the server is well, and a request gets {answer}"));
            }
        }
        world.run_for(12 * SECOND);
        world.check_runs();
        world.check_facts();
        world.check_delivered();
        world.check_history();
        world.check_rest();
        let refuses = |part: &str| world.server.rules.iter().any(|(of, ..)| of.contains(part));
        if refuses("own ") || refuses("notifications/") {
            // Whatever is refused for ever is not repeated for ever.
            for _ in 0..60 {
                world.run_for(60 * SECOND);
                world.notify("notifications/custom");
            }
        }
        world.check_churn(calm_since);
        let refuses = |part: &str| world.server.rules.iter().any(|(of, ..)| of.contains(part));
        let blind = self.options.heartbeat_interval.is_zero() && self.loses_in_silence();
        if refuses("own ") || blind {
            // What is refused for good need not be there, and what nobody looks at may be gone.
        } else if world.client.asked.values().any(|asked| SETS_UP.contains(&asked.method.as_str())) {
            world.run_for(CONVERGENCE);
            world.check_converged();
        }
        world.outcome()
    }

    /// When the driver has taken note of everything that happened while it slept.
    fn end_of_naps(&self) -> Instant {
        let ends = self.faults.iter().filter_map(|(at, fault)| match fault {
            Fault::Nap(time) => Some(*at + *time),
            _ => None,
        });
        ends.max().unwrap_or_default() + Duration::from_nanos(2)
    }

    /// Pings are rejected for ever, and the host has other credentials to give.
    fn rejects_pings(&self) -> bool {
        let rejects = |act: &Act| matches!(act, Act::Trick("own \"ping\"", ALWAYS, Trick::Status(401)));
        self.options.can_refresh_credentials && self.acts.iter().any(|(_, act)| rejects(act))
    }

    /// The server comes back with the other transport.
    fn moves(&self) -> bool {
        self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Become(knobs) if knobs.offer != self.knobs.offer))
    }

    /// How long nothing is asked before the proof that all is well.
    fn rest(&self) -> Duration {
        let tricked = self.acts.iter().any(|(_, act)| matches!(act, Act::Trick(part, ..) if part.starts_with("own ")));
        let faulty = self.faults.iter().any(|(_, fault)| !matches!(fault, Fault::Nap(_)));
        let slow = self.generation > 1 && (faulty || tricked);
        self.rest_of_the_first().max(if slow { 75 * SECOND } else { Duration::ZERO })
    }

    /// Something that is lost may give no sign.
    fn loses_in_silence(&self) -> bool {
        let silent = self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Weather(_) | Fault::Vanish));
        let drops = |knobs: &Knobs| matches!(knobs.lost, Lost::Never | Lost::Dropped202);
        let updates = self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Become(knobs) if drops(knobs)));
        silent || drops(&self.knobs) || updates
    }

    fn rest_of_the_first(&self) -> Duration {
        let silent = self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Weather(_) | Fault::Vanish));
        let rejected = self
            .acts
            .iter()
            .any(|(_, act)| matches!(act, Act::Refuse(_, 401 | 403, _) | Act::Trick(_, _, Trick::Status(401))));
        let drops = |knobs: &Knobs| matches!(knobs.lost, Lost::Never | Lost::Dropped202);
        let updates = self.faults.iter().filter_map(|(_, fault)| match fault {
            Fault::Become(knobs) => Some(knobs.as_ref()),
            _ => None,
        });
        // A request without a session that is refused proves no loss: it is the answer, and a ping then finds out.
        let nameless =
            updates.clone().next().is_some() && (self.knobs.stateless || updates.clone().any(|knobs| knobs.stateless));
        if self.moves() {
            // The transport is detected again at most once a minute, at an attempt that is up to 30 s away.
            120 * SECOND
        } else if nameless || silent || drops(&self.knobs) || updates.into_iter().any(drops) {
            // A server that drops what it does not know, and a stream that is half open, look busy as long as anything
            // is in flight. Only a ping that goes unanswered in an idle moment tells (or the host's TCP keep-alive,
            // which this network does not have).
            75 * SECOND
        } else if rejected {
            // After a rejection the server is asked again after ten seconds at the earliest.
            45 * SECOND
        } else {
            Duration::ZERO
        }
    }

    /// The shortest plan that still fails in the same way, found by leaving things out.
    pub fn shrink(&self) -> Self {
        let Some(kind) = self.run(false).violations.first().map(|violation| kind_of(violation)) else {
            return self.clone();
        };
        let fails = |plan: &Self| plan.run(false).violations.iter().any(|violation| kind_of(violation) == kind);
        let mut best = self.clone();
        while let Some(shorter) = best.simpler().into_iter().find(|plan| fails(plan)) {
            best = shorter;
        }
        best
    }

    /// Plans with one thing less.
    fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..self.acts.len() {
            let mut plan = self.clone();
            plan.acts.remove(at);
            all.push(plan);
        }
        for at in 0..self.faults.len() {
            let mut plan = self.clone();
            plan.faults.remove(at);
            all.push(plan);
        }
        let plain = if self.knobs.offer == Offer::Http { Knobs::http() } else { Knobs::sse() };
        let defaults = Options::new(URL);
        let simplify: [fn(&mut Self, &Knobs, &Options); 20] = [
            |plan, _, _| plan.jitter = Duration::ZERO,
            |plan, _, _| plan.shred = false,
            |plan, _, _| plan.odd_ids = false,
            |plan, _, _| plan.stubborn = false,
            |plan, _, _| plan.down_at_start = false,
            |plan, _, _| plan.thinks = MILLISECOND,
            |plan, plain, _| plan.knobs.lost = plain.lost,
            |plan, plain, _| (plan.knobs.json, plan.knobs.get) = (plain.json, plain.get),
            |plan, plain, _| (plan.knobs.polls, plan.knobs.prime) = (plain.polls, plain.prime),
            |plan, plain, _| (plan.knobs.retry, plan.knobs.version) = (plain.retry, plain.version),
            |plan, plain, _| (plan.knobs.chatty, plan.knobs.pings) = (plain.chatty, plain.pings),
            |plan, plain, _| (plan.knobs.stutters, plan.knobs.crlf) = (plain.stutters, plain.crlf),
            |plan, plain, _| (plan.knobs.strict, plan.knobs.answer_first) = (plain.strict, plain.answer_first),
            |plan, _, options| plan.options.max_queue_messages = options.max_queue_messages,
            |plan, _, options| plan.options.heartbeat_strict = options.heartbeat_strict,
            |plan, plain, _| plan.knobs.accent = plain.accent,
            |plan, plain, _| (plan.knobs.json_status, plan.knobs.in_body) = (plain.json_status, plain.in_body),
            |plan, _, options| plan.options.max_attempts = options.max_attempts,
            |plan, _, options| plan.options.connect_headers_timeout = options.connect_headers_timeout,
            |plan, _, options| plan.options.start_timeout = options.start_timeout,
        ];
        for simplify in simplify {
            let mut plan = self.clone();
            simplify(&mut plan, &plain, &defaults);
            if format!("{plan:?}") != format!("{self:?}") {
                all.push(plan);
            }
        }
        all
    }

    /// The plan for people.
    pub fn describe(&self) -> String {
        let mut text =
            format!("seed {} of generation {}\n{:?}\n{:?}\n", self.seed, self.generation, self.knobs, self.options);
        let mut all: Vec<_> = self
            .acts
            .iter()
            .map(|(at, act)| (*at, format!("{act:?}")))
            .chain(self.faults.iter().map(|(at, fault)| (*at, format!("======= {fault:?}"))))
            .collect();
        all.sort();
        for (at, what) in all {
            text += &format!("{:>8} ms  {what}\n", at.as_nanos() / 1_000_000);
        }
        text
    }
}

/// What is wrong, without what differs from run to run.
pub fn kind_of(violation: &str) -> String {
    violation.chars().filter(|c| !c.is_ascii_digit()).take(80).collect()
}

impl World {
    /// Something else than an answer comes.
    fn trick(&mut self, part: &str, times: u32, trick: Trick) {
        let note =
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\"}}\n\n";
        let reply = match trick {
            Trick::Status(code) => status(code),
            Trick::Rest(code, seconds) => {
                Reply::Status(code, vec![("retry-after", seconds.to_string())], String::new())
            }
            Trick::Redirect => Reply::Status(307, vec![("location", String::from("/mcp?moved"))], String::new()),
            Trick::Fate(fate) => {
                for _ in 0..times.min(20) {
                    self.fate(part, fate);
                }
                return;
            }
            Trick::Stream { id, note: says, then } => {
                let mut events = Vec::new();
                if id {
                    events.push(String::from("id: $SID/99/0\ndata:\n\n"));
                }
                if says {
                    events.push(String::from(note));
                }
                match then {
                    Then::End => Reply::Events(events, true),
                    Then::Silence => Reply::Events(events, false),
                    Then::Cut => Reply::EventsThenCut(events),
                }
            }
            Trick::RunThen(code) => Reply::RunThen(code, Vec::new(), String::new()),
            Trick::Unusable => json_body(r#"{"jsonrpc":"2.0","id":$ID,"result":7}"#),
        };
        self.rules(part, times, reply);
    }

    /// The server pings many times in one piece.
    fn flood(&mut self, count: usize, batch: bool) {
        let sid = self.server.current.clone();
        let Some(stream) = self.server.sessions.get(&sid).and_then(|session| session.stream) else { return };
        let ping = |number: usize| format!(r#"{{"jsonrpc":"2.0","id":"flood-{number}","method":"ping"}}"#);
        let pings = (0..count).map(ping);
        let text = if batch {
            format!("data: [{}]\n\n", pings.collect::<Vec<_>>().join(","))
        } else {
            pings.map(|ping| format!("data: {ping}\n\n")).collect()
        };
        self.watch.flood += count;
        self.write(stream, super::net::Down::Body(text.into_bytes()));
    }

    pub(super) fn act(&mut self, act: Act) {
        if self.closed {
            return;
        }
        match act {
            Act::Call(tool, ms, step) => {
                self.ask("tools/call", &call_params(tool, ms, step));
            }
            Act::Ask(method, params) => {
                self.ask(method, params);
            }
            Act::Notify(method) => {
                self.notify(method);
            }
            Act::CancelLast => {
                let last = self
                    .client
                    .asked
                    .iter()
                    .next_back()
                    .filter(|(_, asked)| asked.method != "initialize")
                    .map(|(tag, _)| *tag);
                if let Some(tag) = last {
                    self.cancel(tag);
                }
            }
            Act::Ping => {
                self.ask("ping", "{}");
            }
            Act::InitializeAgain => {
                self.initialize();
            }
            Act::Reconnect => self.host(Input::Reconnect),
            Act::Probe => self.host(Input::Probe),
            Act::Headers => {
                self.host(Input::SetHeaders(vec![(String::from("authorization"), String::from("Bearer other"))]))
            }
            Act::Refuse(part, code, times) => self.rules(part, times, status(code)),
            Act::Rest(part, code, seconds) => {
                let headers = vec![("retry-after", seconds.to_string())];
                self.rule(part, Reply::Status(code, headers, String::new()));
            }
            Act::Trick(part, times, trick) => self.trick(part, times, trick),
            Act::Cancel(back) => {
                let open: Vec<_> = self.unanswered();
                let tag = open.iter().rev().nth(back % open.len().max(1)).copied();
                if let Some(tag) = tag.filter(|tag| self.client.asked[tag].method != "initialize") {
                    self.cancel(tag);
                }
            }
            Act::ListOn => {
                let cursor = self.client.cursor.clone();
                let cursor = cursor.map_or(String::new(), |cursor| format!(r#","cursor":"{cursor}""#));
                self.ask("tools/list", &format!(r#"{{"tag":$TAG{cursor}}}"#));
            }
            Act::Batch => {
                let (_, one) = self.request("tools/call", &call_params("echo", 0, 0));
                let (_, other) = self.request("resources/read", r#"{"tag":$TAG,"uri":"x:1"}"#);
                self.say(&format!("[{one},{other}]"));
            }
            Act::Twins => {
                for token in [r#""caf\u00e9""#, r#""café""#] {
                    let params = format!(
                        r#"{{"name":"slow","arguments":{{"tag":$TAG,"ms":900,"step":200}},"_meta":{{"progressToken":{token}}}}}"#
                    );
                    self.ask_as(r#""twin""#, "tools/call", &params);
                }
            }
            Act::Say(text) => self.say(text),
            Act::SubscribeMany(count) => {
                for number in 0..count {
                    self.ask("resources/subscribe", &format!(r#"{{"tag":$TAG,"uri":"many:{number}"}}"#));
                }
            }
            Act::Flood(count, batch) => self.flood(count, batch),
            Act::Close => self.host(Input::Close),
            Act::Redirect(part) => {
                let headers = vec![("location", String::from("/mcp?moved"))];
                self.rule(part, Reply::Status(307, headers, String::new()));
            }
        }
    }

    fn outcome(self) -> Outcome {
        let answers = || self.client.asked.values().filter_map(|asked| asked.answers.first().map(|(_, answer)| answer));
        let status = self.engine.status();
        Outcome {
            story: self.story(),
            fingerprint: self.fingerprint(),
            asked: self.client.asked.len(),
            results: answers().filter(|answer| matches!(answer, Answer::Result(_))).count(),
            unknown: answers().filter(|answer| answer.code() == Some(super::errors::OUTCOME_UNKNOWN)).count(),
            sessions: status.reconnects + 1,
            replays: status.replays,
            violations: self.violations,
        }
    }
}

fn some_knobs(random: &mut Random) -> Knobs {
    let mut knobs = if random.percent(60) {
        let mut knobs = Knobs::http();
        knobs.lost = random.pick(&[
            Lost::Code404,
            Lost::ServerError404,
            Lost::Plain404,
            Lost::NoValid400,
            Lost::NotInitialized400,
            Lost::Ok200,
            Lost::Unknown200,
            Lost::Dropped202,
            Lost::Never,
        ]);
        knobs.stateless = random.percent(10);
        knobs.durable = random.percent(15);
        knobs.json = random.percent(20);
        knobs.event_ids = !knobs.json && random.percent(60);
        knobs.prime = random.percent(50);
        knobs.polls = knobs.event_ids && random.percent(30);
        knobs.retry = random.pick(&[None, Some(0), Some(200), Some(2000)]);
        knobs.resume = if knobs.event_ids {
            random.pick(&[
                Resume::Replay,
                Resume::Replay,
                Resume::Replay,
                Resume::Inclusive,
                Resume::Status(500),
                Resume::Status(400),
                Resume::InstantEnd,
                Resume::Silent,
            ])
        } else {
            Resume::Status(405)
        };
        knobs.get = random.pick(&[Get::Stream, Get::Stream, Get::Status(405), Get::Status(404), Get::Status(400)]);
        knobs.version = random.pick(&["2025-11-25", "2025-06-18", "2025-03-26"]);
        knobs
    } else {
        let mut knobs = Knobs::sse();
        knobs.lost = random.pick(&[
            Lost::CouldNotFind404,
            Lost::Empty404,
            Lost::Different400,
            Lost::NoActive503,
            Lost::NoActive400,
            Lost::Never,
            Lost::Dropped202,
        ]);
        knobs.answer_first = random.percent(30);
        knobs.wrong_transport = random.pick(&[400, 404, 405]);
        knobs.retry = random.pick(&[None, None, Some(1000)]);
        knobs
    };
    knobs.strict = random.percent(50);
    knobs.chatty = random.percent(40);
    knobs.stutters = random.percent(15);
    knobs.pings = random.percent(20);
    knobs.crlf = random.percent(20);
    knobs
}

const ACCENTS: [Accent; 9] = [
    Accent::Mark,
    Accent::NullError,
    Accent::Decimal,
    Accent::Exponent,
    Accent::Text,
    Accent::Twice,
    Accent::Garbled,
    Accent::Unfinished,
    Accent::Batch,
];

/// Spellings of a lost session that no table has to know.
const LOST: [Lost; 10] = [
    Lost::Plain(401, "Unauthorized: Session not found"),
    Lost::Token401,
    Lost::Plain(409, ""),
    Lost::Plain(410, ""),
    Lost::Plain(422, ""),
    Lost::Plain(500, ""),
    Lost::Plain(503, ""),
    Lost::Error200(-32002, "Server not initialized"),
    Lost::Error200(-32603, "Session terminated"),
    Lost::Plain(400, "No transport found for sessionId"),
];

/// What the second generation adds to what a client does, and to what happens to its requests and to the engine's own.
fn another_act(random: &mut Random) -> Act {
    const URIS: [(&str, &str); 3] = [
        (r#"{"tag":$TAG,"uri":"x:1"}"#, r#"{"tag":$TAG,"uri":"x:2"}"#),
        (r#"{"tag":$TAG,"uri":"x:2"}"#, r#"{"tag":$TAG,"uri":"x:3"}"#),
        (r#"{"tag":$TAG,"uri":"x:/1"}"#, r#"{"tag":$TAG,"uri":"x:\/1"}"#),
    ];
    match random.within(0, 29) {
        0..=3 => Act::Ask("resources/subscribe", random.pick(&URIS).0),
        4 | 5 => Act::Ask("resources/unsubscribe", random.pick(&URIS).1),
        6 => Act::Ask("logging/setLevel", r#"{"tag":$TAG,"level":"error"}"#),
        7 | 8 => Act::Cancel(random.within(0, 5) as usize),
        9 | 10 => Act::ListOn,
        11 => Act::Batch,
        12 => Act::Twins,
        13 => Act::Say(random.pick(&[
            "[]",
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"tools/list\"}",
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#,
            r#"{"jsonrpc":"2.0","id":77,"result":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"nobody"}}"#,
        ])),
        14 => Act::SubscribeMany(random.pick(&[5, 20, 150])),
        15 => Act::Flood(random.pick(&[3, 30, 500]), random.percent(50)),
        16..=18 => Act::Call("complain", random.within(0, 9), 0),
        19 => Act::Trick("tools/call", random.within(1, 8) as u32, Trick::Redirect),
        20 => Act::Trick("tools/call", 1, Trick::RunThen(random.pick(&[200, 202, 204]))),
        21 => Act::Trick(
            "notifications/initialized",
            random.within(1, 8) as u32,
            Trick::Status(random.pick(&[400, 404, 500])),
        ),
        22 => Act::Trick("\"method\":\"initialize\"", random.within(1, 6) as u32, Trick::Unusable),
        _ => {
            let part = random.pick(&[
                "own \"ping\"",
                "own \"ping\"",
                "own \"ping\"",
                "own tools/list",
                "own resources/subscribe",
                "own logging/setLevel",
                "notifications/custom",
            ]);
            Act::Trick(part, random.pick(&[1, 2, 5, ALWAYS]), some_trick(random))
        }
    }
}

fn some_trick(random: &mut Random) -> Trick {
    match random.within(0, 9) {
        0..=3 => Trick::Status(random.pick(&[400, 401, 404, 405, 410, 429, 500, 502, 503])),
        4 => Trick::Rest(random.pick(&[429, 503]), random.within(1, 4)),
        5 => Trick::Redirect,
        6 => Trick::Fate(random.pick(&[
            Fate::Refused,
            Fate::ResetAfter,
            Fate::Swallowed,
            Fate::CutAfter(1),
            Fate::MuteAfter(1),
        ])),
        _ => Trick::Stream {
            id: random.percent(50),
            note: random.percent(50),
            then: random.pick(&[Then::End, Then::Cut, Then::Silence]),
        },
    }
}

fn some_act(random: &mut Random) -> Act {
    match random.within(0, 43) {
        0..=9 => Act::Call("echo", 0, 0),
        10..=15 => Act::Call("slow", random.pick(&[50, 800, 5000, 15_000]), random.pick(&[0, 20, 400])),
        16..=18 => Act::Call("ask", 0, 0),
        19 => Act::Call("block", random.pick(&[500, 8000]), 0),
        20 => Act::Call("read", 0, 0),
        21..=23 => Act::Ask("tools/list", r#"{"tag":$TAG}"#),
        24 | 25 => Act::Ask("resources/read", r#"{"tag":$TAG,"uri":"x:1"}"#),
        26 => Act::Ask("logging/setLevel", r#"{"tag":$TAG,"level":"debug"}"#),
        27 => Act::Ask("resources/subscribe", r#"{"tag":$TAG,"uri":"x:1"}"#),
        28 => Act::Ask("custom/act", r#"{"tag":$TAG}"#),
        29 | 30 => Act::Notify("notifications/custom"),
        31 => Act::Notify("notifications/roots/list_changed"),
        32 | 33 => Act::CancelLast,
        34 => Act::Ping,
        35 => Act::InitializeAgain,
        36 => Act::Reconnect,
        37 => Act::Probe,
        38 => Act::Headers,
        39 => Act::Rest(random.pick(&["tools/call", "ping", "initialize", "POST", "GET"]), 503, random.within(1, 4)),
        40 => Act::Rest(random.pick(&["tools/call", "notifications/", "POST"]), 429, random.within(1, 4)),
        41 => Act::Redirect(random.pick(&["POST /mcp", "GET /mcp", "tools/call"])),
        42 => Act::Ask("tools/call", r#"{"name":"big","arguments":{"tag":$TAG,"size":5000}}"#),
        _ => Act::Refuse(
            random.pick(&["tools/call", "ping", "initialize", "POST", "GET"]),
            random.pick(&[400, 401, 404, 429, 500, 502, 503]),
            random.within(1, 4) as u32,
        ),
    }
}
