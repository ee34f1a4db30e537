//! What becomes of a state when the world stays in one mood from there on.
//!
//! "Eventually" is checked from every state that is reached: let nothing go wrong any more, and everything must be
//! answered and a last call must succeed; let everything go wrong in one way for ever, and everything must be answered
//! still. What follows is a function of the state, so that what was once found good need not be followed again.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::time::Duration;

use mcp_reconnect_core::{Instant, errors};
use stateright::Model;

use crate::action::Action;
use crate::audit::{Init, Listen, Promise};
use crate::wire::{Call, Said, Stage, Wire};
use crate::world::{Budget, State, World};

/// How the world treats the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mood {
    /// Anything may happen: the exploration.
    Any,
    /// Nothing goes wrong any more.
    Kind,
    /// The sessions below this number are never answered; otherwise nothing goes wrong.
    Zombie(u8),
    /// Nothing comes any more.
    Silent,
    /// No connection can be made.
    Refusing,
    /// Every connection breaks.
    Breaking,
    /// Every request is answered 503 by a proxy that has no server.
    Busy,
    /// Every request is answered 404.
    Lost,
    /// Every request is answered 401.
    Unauthorized,
    /// The engine's own pings and lists come to nothing; otherwise nothing goes wrong.
    Own(OwnFate),
}

/// What becomes of the engine's own requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnFate {
    /// Nothing comes.
    Silent,
    /// The connection breaks.
    Breaking,
    /// A proxy answers 503: it has no server.
    Busy,
    /// 404.
    Lost,
    /// 401.
    Unauthorized,
}

impl Mood {
    /// Whether the client's requests are answered by whoever knows their session.
    fn is_well(self) -> bool {
        matches!(self, Self::Kind | Self::Zombie(_) | Self::Own(_))
    }
}

/// The moods in which everything works again.
const WELL: [Mood; 7] = [
    Mood::Kind,
    Mood::Zombie(0),
    Mood::Own(OwnFate::Silent),
    Mood::Own(OwnFate::Breaking),
    Mood::Own(OwnFate::Busy),
    Mood::Own(OwnFate::Lost),
    Mood::Own(OwnFate::Unauthorized),
];
/// The moods in which everything is answered all the same.
const ILL: [Mood; 6] = [Mood::Silent, Mood::Refusing, Mood::Breaking, Mood::Busy, Mood::Lost, Mood::Unauthorized];

/// What was found out about states.
#[derive(Default)]
pub struct Known(Mutex<HashSet<u64>>);

/// More steps than any way back takes.
const STEPS: usize = 4000;
/// One state in so many is followed through every mood.
const SAMPLE: u64 = 16;
/// The same for the moods that differ in the engine's own pings and lists only: there are many of them, and they take long.
const OWN_SAMPLE: u64 = 64;
/// Calls that are made to see whether one succeeds: more than one only where the first may have to fail.
const TRIES: u8 = 12;
/// In a well world the session has what the client set up no later than this.
const RESTORING: Duration = Duration::from_secs(120);
/// In a kind world nothing that was held fails later than this for not having been sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to do next.
enum Step {
    Do(Action),
    Done,
    Failed(&'static str),
}

/// An action with what it does it to, for people.
struct Told<'a> {
    action: Action,
    wires: &'a BTreeMap<u64, Wire>,
}

impl std::fmt::Debug for Told<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(to, "{:?}", self.action)?;
        match self.action.exchange().and_then(|id| self.wires.get(&id)) {
            Some(wire) => write!(to, " {:?} {:?}", wire.said, wire.pieces.front()),
            None => Ok(()),
        }
    }
}

/// A hash for states that were made here and mean no harm: multiply and rotate, eight bytes at a time.
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 29;
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = Quick(1);
    state.hash(&mut hasher);
    hasher.finish()
}

impl World {
    /// Promise 5: once nothing goes wrong any more, everything is answered and works again.
    pub fn recovers(&self, state: &State) -> bool {
        // In a version without sessions nothing is known without `server/discover`, so that it cannot come to nothing for ever.
        let counts = |mood: &Mood| !(self.style.is_modern() && matches!(mood, Mood::Own(_)));
        WELL.iter().filter(|mood| counts(mood)).all(|mood| self.follows(state, *mood))
    }

    /// Promises 1 and 6: whatever goes wrong for ever, everything is answered.
    pub fn is_answered(&self, state: &State) -> bool {
        ILL.iter().all(|mood| self.follows(state, *mood))
    }

    /// The kind and the silent world are tried from every state, the others from one in [`SAMPLE`] or [`OWN_SAMPLE`], or more of
    /// them where the world asks for it: their findings are seldom those of one state alone.
    fn follows(&self, state: &State, mood: Mood) -> bool {
        let one_in = match mood {
            Mood::Kind | Mood::Silent => 1,
            Mood::Own(_) => OWN_SAMPLE,
            _ => SAMPLE,
        };
        let skipped = !fingerprint(state).is_multiple_of((one_in / self.density).max(1));
        skipped || self.follow(state, mood, &self.known, None)
    }

    /// What happened on the way to a state, and what things were.
    pub fn tell(&self, actions: &[Action]) -> String {
        let mut state = self.init_states().remove(0);
        let mut log = String::new();
        for action in actions {
            let told = Told { action: *action, wires: &state.wires };
            let _ = writeln!(log, "  {:>9.3} s {told:?}", (state.now - Instant::ZERO).as_secs_f64());
            self.apply(&mut state, *action);
        }
        log
    }

    /// What was done where a state came to a bad end.
    pub fn explain(&self, state: &State) -> String {
        let waits = state.machine.waits_badly(&self.options(), state.now, state.audit.initialized);
        let mut log = waits.map(|problem| format!("{problem}\n")).unwrap_or_default();
        for mood in WELL.into_iter().chain(ILL) {
            let mut steps = String::new();
            if !self.follow(state, mood, &Known::default(), Some(&mut steps)) {
                let _ = write!(log, "if the world stays {mood:?}:\n{steps}");
            }
        }
        log
    }

    fn follow(&self, state: &State, mood: Mood, known: &Known, mut log: Option<&mut String>) -> bool {
        if state.audit.broken.is_some() {
            return true;
        }
        let mut state = state.clone();
        state.left = Budget::default();
        state.since = state.now;
        state.tries = 0;
        state.mood = match mood {
            Mood::Zombie(_) => Mood::Zombie(state.shared.next_session),
            mood => mood,
        };
        let mut passed = Vec::new();
        for _ in 0..STEPS {
            if state.mood == Mood::Silent {
                state.wires.clear();
            }
            let mut note = |what: &dyn std::fmt::Debug| {
                if let Some(log) = &mut log {
                    let _ = writeln!(log, "  {:>9.3} s {what:?}", (state.now - Instant::ZERO).as_secs_f64());
                }
            };
            if let Some(broken) = &state.audit.broken {
                note(broken);
                return false;
            }
            let print = fingerprint(&state);
            if known.0.lock().unwrap().contains(&print) {
                break;
            }
            passed.push(print);
            match self.next(&state) {
                Step::Do(action) => {
                    note(&Told { action, wires: &state.wires });
                    self.apply(&mut state, action);
                    self.judge(&mut state);
                }
                Step::Done => break,
                Step::Failed(why) => {
                    note(&why);
                    return false;
                }
            }
        }
        let finished = passed.len() < STEPS;
        if finished {
            known.0.lock().unwrap().extend(passed);
        }
        finished
    }

    /// In a kind world nothing fails for not having been sent.
    fn judge(&self, state: &mut State) {
        if state.mood != Mood::Kind || self.balanced || state.audit.closing || state.now < state.since + PATIENCE {
            return;
        }
        if state.audit.rejected {
            return;
        }
        let unsent = state.audit.calls.values().any(|asked| asked.failed(errors::UNAVAILABLE, state.now));
        if unsent || state.audit.init == Init::Refused {
            state.audit.broke(Promise::AnotherAttempt, "a request was never sent though nothing went wrong");
        }
    }

    fn next(&self, state: &State) -> Step {
        let audit = &state.audit;
        if audit.closed {
            return Step::Done;
        }
        if let Some(action) = self.next_of_network(state) {
            return Step::Do(action);
        }
        let time = match state.machine.deadline() {
            Some(_) => Step::Do(Action::Tick),
            None => Step::Failed("nothing is waited for"),
        };
        let kind = state.mood.is_well();
        match audit.init {
            _ if audit.closing => return time,
            Init::Answered if !audit.initialized => return Step::Do(Action::Initialized),
            Init::Unsent | Init::Refused if kind => return Step::Do(Action::Initialize),
            _ => {}
        }
        if kind && !state.is_listening() {
            return time;
        }
        let last = audit.call(Call::Last);
        if audit.someone_waits() || last.failed(errors::UNAUTHORIZED, state.now) {
            return time;
        }
        // Behind a balancer sessions may not stick; then the last call fails and says so.
        if !kind || last.succeeded || (last.place > 0 && self.balanced) {
            self.judge_settings(state, time)
        } else if last.place == 0 || state.may_try_again() {
            Step::Do(Action::Request(Call::Last))
        } else {
            Step::Failed("the last call failed")
        }
    }

    /// When the world has been well for a while, the session has what the client was told that it set up, and nothing else.
    fn judge_settings(&self, state: &State, time: Step) -> Step {
        let counts =
            matches!(state.mood, Mood::Kind | Mood::Zombie(_)) && !self.balanced && !self.style.is_sessionless();
        if !counts || state.has_what_was_set_up() {
            return Step::Done;
        }
        if state.now < state.since + RESTORING { time } else { Step::Failed("a setting of the client is not restored") }
    }

    fn next_of_network(&self, state: &State) -> Option<Action> {
        let kind = state.mood.is_well();
        if let Some(down) = state.servers.iter().position(|server| !server.up)
            && kind
        {
            return Some(Action::Start(down));
        }
        state.wires.iter().find_map(|(id, wire)| self.next_of_wire(state, *id, wire))
    }

    fn next_of_wire(&self, state: &State, id: u64, wire: &Wire) -> Option<Action> {
        let going = matches!(wire.stage, Stage::Going { .. });
        match state.mood {
            Mood::Any | Mood::Silent => None,
            Mood::Own(fate) if matches!(wire.said, Said::Own { .. }) => match fate {
                OwnFate::Silent => None,
                OwnFate::Busy if going => Some(Action::Unavailable(id)),
                OwnFate::Lost if going => Some(Action::NotFound(id)),
                OwnFate::Unauthorized if going => Some(Action::Unauthorized(id)),
                _ => Some(Action::Break(id)),
            },
            Mood::Zombie(below) if wire.session.is_some_and(|session| session < below) => None,
            Mood::Zombie(_) | Mood::Kind | Mood::Own(_) => match wire.stage {
                Stage::Going { .. } => Some(Action::Arrive(id, id as usize % self.servers)),
                Stage::At { .. } if !wire.pieces.is_empty() => Some(Action::Deliver(id)),
                // A stream that the server has lost sight of is found out by no one but the network.
                Stage::At { .. } => wire.doomed.then_some(Action::Break(id)),
            },
            // What the engine hears no more of is of no interest here.
            _ if wire.orphan => None,
            Mood::Refusing if going => Some(Action::Refuse(id)),
            Mood::Busy if going => Some(Action::Unavailable(id)),
            Mood::Lost if going => Some(Action::NotFound(id)),
            Mood::Unauthorized if going => Some(Action::Unauthorized(id)),
            Mood::Refusing | Mood::Breaking | Mood::Busy | Mood::Lost | Mood::Unauthorized => Some(Action::Break(id)),
        }
    }

    /// Lets everything that is on the way arrive.
    pub fn settle(&self, state: &mut State) {
        loop {
            let next = state.wires.iter().find_map(|(id, wire)| match wire.stage {
                Stage::Going { .. } => Some(Action::Arrive(*id, 0)),
                Stage::At { .. } if !wire.pieces.is_empty() => Some(Action::Deliver(*id)),
                Stage::At { .. } => None,
            });
            match next {
                Some(action) => self.apply(state, action),
                None => return,
            }
        }
    }
}

impl State {
    /// Whether the client's stream of notifications, if it wants one, is open at a server that is there.
    fn is_listening(&self) -> bool {
        let wanted = matches!(self.audit.listen, Listen::Open | Listen::Acknowledged);
        let open = |wire: &Wire| wire.is_listen() && wire.open && !wire.doomed && !wire.orphan;
        !wanted || self.audit.listen == Listen::Acknowledged && self.wires.values().any(open)
    }

    /// Whether the newest session has what the client was told that it set up, and nothing that it took back.
    fn has_what_was_set_up(&self) -> bool {
        let (newest, audit) = (self.audit.newest(), &self.audit);
        let Some(session) = self.servers.iter().find_map(|server| server.sessions.get(&newest)) else { return false };
        let as_wanted = |call, has| audit.wants(call).is_none_or(|wanted| wanted == has);
        as_wanted(Call::Subscribe, session.subscribed) && as_wanted(Call::SetLevel, session.level)
    }

    /// Where the last call may have to fail at first: a session that nobody has found dead yet, or credentials that are
    /// asked for again only now and then.
    fn may_try_again(&self) -> bool {
        let code = self.audit.call(Call::Last).code;
        let excused = match self.mood {
            Mood::Zombie(_) | Mood::Own(_) => true,
            _ => code == errors::UNAUTHORIZED,
        };
        excused && self.tries < TRIES
    }
}
