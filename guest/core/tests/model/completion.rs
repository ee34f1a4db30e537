//! What becomes of a state when the world turns kind, and when it falls silent.
//!
//! "Eventually" is checked from every state that is reached: let nothing go wrong any more, and everything must be
//! answered and a last call must succeed; let nothing come any more, and everything must be answered still. Both are
//! functions of the state, so that what was once found good need not be followed again.

use std::collections::HashSet;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;

use crate::audit::Init;
use crate::server::Style;
use crate::wire::{Call, Said, Stage};
use crate::world::{Action, Budget, State, World};

/// What was found out about states.
#[derive(Default)]
pub struct Known {
    kind: Mutex<HashSet<u64>>,
    silent: Mutex<HashSet<u64>>,
}

/// More steps than any way back takes.
const STEPS: usize = 3000;

/// What to do next.
enum Step {
    Do(Action),
    Done,
    Failed(&'static str),
}

/// A hash for states that were made here and mean no harm: multiply and rotate, eight bytes at a time.
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
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
        self.follow(state, &self.known.kind, Self::next_kind, false, None)
    }

    /// Promises 1 and 6: if nothing comes any more, everything is answered still.
    pub fn is_answered_in_silence(&self, state: &State) -> bool {
        self.follow(state, &self.known.silent, Self::next_silent, true, None)
    }

    /// What was done in a completion that came to a bad end.
    pub fn explain(&self, state: &State) -> String {
        let mut log = String::new();
        let none = Mutex::default();
        for (name, next, silent) in [
            ("when nothing goes wrong any more", Self::next_kind as fn(&Self, &State) -> Step, false),
            ("when nothing comes any more", Self::next_silent, true),
        ] {
            let mut steps = String::new();
            if !self.follow(state, &none, next, silent, Some(&mut steps)) {
                let _ = write!(log, "{name}:\n{steps}");
            }
        }
        log
    }

    fn follow(
        &self,
        state: &State,
        known: &Mutex<HashSet<u64>>,
        next: fn(&Self, &State) -> Step,
        silent: bool,
        mut log: Option<&mut String>,
    ) -> bool {
        if state.audit.broken.is_some() {
            return true;
        }
        let mut state = state.clone();
        state.left = Budget::default();
        state.completing = true;
        let mut passed = Vec::new();
        for _ in 0..STEPS {
            if silent {
                state.wires.clear();
            }
            let mut note = |what: &dyn std::fmt::Debug| {
                if let Some(log) = &mut log {
                    let _ = writeln!(log, "  {:>9.3} s {what:?}", state.now as f64 / 1e9);
                }
            };
            if let Some(broken) = &state.audit.broken {
                note(broken);
                return false;
            }
            let print = fingerprint(&state);
            if known.lock().unwrap().contains(&print) {
                break;
            }
            passed.push(print);
            match next(self, &state) {
                Step::Do(action) => {
                    note(&action);
                    self.apply(&mut state, action);
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
            known.lock().unwrap().extend(passed);
        }
        finished
    }

    fn next_kind(&self, state: &State) -> Step {
        let audit = &state.audit;
        if audit.closed {
            return Step::Done;
        }
        if let Some(down) = state.servers.iter().position(|server| !server.up) {
            return Step::Do(Action::Start(down));
        }
        for (id, wire) in &state.wires {
            match wire.stage {
                Stage::Going { .. } => {
                    let number = *id as usize % self.servers;
                    return Step::Do(Action::Arrive(*id, number));
                }
                Stage::At { .. } if !wire.pieces.is_empty() => {
                    return Step::Do(Action::Deliver(*id));
                }
                Stage::At { .. } if wire.doomed => return Step::Do(Action::Break(*id)),
                // A stream that the server has lost sight of is found out by no one but the network.
                Stage::At { .. } => {}
            }
        }
        let tick = || match state.machine.deadline() {
            Some(_) => Step::Do(Action::Tick),
            None => Step::Failed("nothing is waited for"),
        };
        if audit.closing {
            return tick();
        }
        let last = audit.call(Call::Last);
        match audit.init {
            Init::Unsent | Init::Refused => Step::Do(Action::Initialize),
            Init::Answered if !audit.initialized => Step::Do(Action::Initialized),
            Init::Open => tick(),
            _ if last.succeeded => Step::Done,
            _ if audit.someone_waits() => tick(),
            _ if last.place == 0 => Step::Do(Action::Request(Call::Last)),
            // Sessions that do not stick are no use, but say so.
            _ if self.balanced => Step::Done,
            _ => Step::Failed("the last call failed"),
        }
    }

    fn next_silent(&self, state: &State) -> Step {
        let audit = &state.audit;
        let waits = audit.someone_waits() || (audit.closing && !audit.closed);
        match (waits, state.machine.deadline()) {
            (false, _) => Step::Done,
            (true, Some(_)) => Step::Do(Action::Tick),
            (true, None) => Step::Failed("nothing is waited for"),
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
