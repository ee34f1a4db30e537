//! What a client of the bridge said and heard, and what a real server ran, judged by the automaton that judges the simulation
//! (`guest/core/tests/support/history.rs`), which was written without a look at the engine.

use std::collections::HashMap;

use serde_json::Value;

#[path = "../../guest/core/tests/support/history.rs"]
#[allow(dead_code, reason = "what is sent is not logged here, only what is run")]
mod automaton;

pub use automaton::{Entry, Verdict};

use super::support::bridge::Conversation;

/// A history without what the server ran, which logs that without times: [`History::judge`] is told.
#[derive(Clone, Default)]
pub struct History {
    entries: Vec<Entry>,
}

impl History {
    /// The client asks.
    pub fn asked(&mut self, tag: u64, safe: bool) {
        self.entries.push(Entry::Asked { tag, safe });
    }

    /// The client wants no answer any more.
    pub fn cancelled(&mut self, tag: u64) {
        self.entries.push(Entry::Cancelled { tag });
    }

    /// The client has an answer.
    pub fn answered(&mut self, tag: u64, answer: &Value) {
        self.entries.push(Entry::Answered { tag, verdict: verdict(answer) });
    }

    /// What is wrong with it. `runs` says how often a request was run, and is `None` where nobody knows: then it may be as the answer
    /// says. All runs are put before the answer. What is wrong with one that comes after it is wrong with it there too: there was
    /// another one, or the client was told that there was none.
    pub fn judge(&self, runs: impl Fn(u64) -> Option<usize>) -> Vec<String> {
        let mut whole = Vec::new();
        let has_result = |wanted: u64| {
            self.entries
                .iter()
                .any(|entry| matches!(entry, Entry::Answered { tag, verdict: Verdict::Result } if *tag == wanted))
        };
        for entry in &self.entries {
            whole.push(entry.clone());
            if let Entry::Asked { tag, .. } = entry {
                let times = runs(*tag).unwrap_or_else(|| usize::from(has_result(*tag)));
                whole.extend(std::iter::repeat_n(Entry::Ran { tag: *tag }, times));
            }
        }
        automaton::judge(&whole, true, false)
    }
}

/// What an answer says of its request.
fn verdict(answer: &Value) -> Verdict {
    const UNKNOWN: [i64; 2] = [-31001, -31003];
    let error = &answer["error"];
    match error["code"].as_i64() {
        None if error.is_null() => Verdict::Result,
        Some(code) if UNKNOWN.contains(&code) => Verdict::Unknown,
        // Whatever the code, this is what the client reads.
        _ if error["message"].as_str().is_some_and(|text| text.contains("did not run")) => Verdict::DidNotRun,
        _ => Verdict::Other,
    }
}

/// Judges a conversation with a server that ran these `calls`, each with a tool's name and arguments. `repeatable`: tools whose
/// calls may be run twice, since the user said so.
pub fn judge(conversation: &Conversation, calls: &[(String, Value)], repeatable: &[&str]) -> Vec<String> {
    let mut history = History::default();
    // By its tag: the tool and its arguments. By its id: the tags, as a client may use one twice, in order.
    let mut tools: HashMap<u64, (String, Value)> = HashMap::new();
    let mut tags: HashMap<String, Vec<u64>> = HashMap::new();
    let mut next = 0;
    for (is_sent, message) in conversation.messages() {
        let id = message["id"].to_string();
        match (is_sent, message["method"].as_str()) {
            (true, Some("notifications/cancelled")) => {
                let of = message["params"]["requestId"].to_string();
                if let Some(tag) = tags.get(&of).and_then(|tags| tags.last()) {
                    history.cancelled(*tag);
                }
            }
            (true, Some(method)) if !message["id"].is_null() => {
                next += 1;
                let name = message["params"]["name"].as_str().unwrap_or_default();
                history.asked(next, method != "tools/call" || repeatable.contains(&name));
                if method == "tools/call" {
                    tools.insert(next, (name.to_owned(), message["params"]["arguments"].clone()));
                }
                tags.entry(id).or_default().push(next);
            }
            (false, None) if !message["id"].is_null() => {
                // An answer to nothing is judged as one to a request that was never asked.
                let of = tags.get_mut(&id);
                let tag = of.map_or(u64::MAX, |tags| if tags.len() > 1 { tags.remove(0) } else { tags[0] });
                history.answered(tag, &message);
            }
            _ => {}
        }
    }
    // Calls that are alike are told apart by nobody: each has its share.
    let mut runs: HashMap<u64, usize> = tools.keys().map(|tag| (*tag, 0)).collect();
    for call in calls {
        let alike = tools.iter().filter(|(_, tool)| *tool == call).map(|(tag, _)| *tag);
        match alike.min_by_key(|tag| (runs[tag], *tag)) {
            Some(tag) => *runs.get_mut(&tag).expect("each has an entry") += 1,
            None => return vec![format!("the server ran what nobody asked: {call:?}")],
        }
    }
    history.judge(|tag| runs.get(&tag).copied())
}
