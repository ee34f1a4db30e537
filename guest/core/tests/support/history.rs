//! A checker of histories, written from the replay table of the protocol and without a look at the engine: what was asked,
//! sent, executed and answered, in order, is run through one small automaton for each request. It needs nothing of the
//! simulation; a log of a real server's executions is judged by it too.

use std::collections::BTreeMap;

/// One line of a history. Requests are named by a number of the test's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The client asks. Safe: it may be executed twice.
    Asked { tag: u64, safe: bool },
    /// The client wants no answer any more.
    Cancelled { tag: u64 },
    /// The request goes out.
    Sent { tag: u64 },
    /// The last sending provably did not get to where it is executed: it was not sent, or rejected before.
    Rejected { tag: u64 },
    /// What the last sending came to may be anything.
    Doubtful { tag: u64 },
    /// The server answers with an error of its own.
    ServerError { tag: u64 },
    /// The server executes it.
    Ran { tag: u64 },
    /// A new session stands.
    NewSession,
    /// The client gets its answer.
    Answered { tag: u64, verdict: Verdict },
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server's result.
    Result,
    /// It did not run.
    DidNotRun,
    /// It may have run.
    Unknown,
    /// Anything else: an error of the server, a limit, a refusal.
    Other,
}

/// What is known of the last sending of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    NeverSent,
    /// It is out, or may have arrived.
    MayHaveRun,
    /// The server answered with an error: a lost session, if a new one stands since.
    Complained,
    DidNotRun,
}

/// The automaton of one request.
#[derive(Clone, Debug, Default)]
struct Request {
    safe: bool,
    fate: Fate,
    sendings: u32,
    /// A new session stands since the last one.
    outlived: bool,
    /// Sendings after one that may have run.
    repeated: u32,
    /// One of its sendings may have run.
    doubtful: bool,
    runs: u32,
    cancelled: bool,
    answered: Option<Verdict>,
}

/// What is wrong with a history. `whole`: it has ended, and every request should have its answer; `wire`: sendings were logged
/// too, and not only executions.
pub fn judge(history: &[Entry], whole: bool, wire: bool) -> Vec<String> {
    let mut requests: BTreeMap<u64, Request> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in history {
        match entry {
            Entry::Asked { tag, safe } => {
                requests.insert(*tag, Request { safe: *safe, ..Request::default() });
            }
            Entry::NewSession => {
                for request in requests.values_mut() {
                    request.outlived = true;
                    if request.fate == Fate::Complained {
                        request.fate = Fate::DidNotRun;
                    }
                }
            }
            Entry::Cancelled { tag }
            | Entry::Sent { tag }
            | Entry::Rejected { tag }
            | Entry::Doubtful { tag }
            | Entry::ServerError { tag }
            | Entry::Ran { tag }
            | Entry::Answered { tag, .. } => match requests.get_mut(tag) {
                Some(request) => wrong.extend(request.step(entry, wire).map(|what| format!("tag {tag}: {what}"))),
                None => wrong.push(format!("tag {tag} was never asked: {entry:?}")),
            },
        }
    }
    for (tag, request) in &requests {
        if whole && request.answered.is_none() && !request.cancelled {
            wrong.push(format!("tag {tag}: it never got an answer"));
        }
    }
    wrong
}

impl Request {
    fn step(&mut self, entry: &Entry, wire: bool) -> Option<String> {
        match entry {
            Entry::Cancelled { .. } => {
                self.cancelled = true;
                None
            }
            Entry::Sent { .. } => self.send(),
            Entry::Rejected { .. } => {
                self.fate = Fate::DidNotRun;
                None
            }
            Entry::Doubtful { .. } => {
                self.fate = Fate::MayHaveRun;
                None
            }
            Entry::ServerError { .. } => {
                // What is said of a session that is gone already.
                self.fate = if self.outlived { Fate::DidNotRun } else { Fate::Complained };
                None
            }
            Entry::Ran { .. } => self.run(),
            Entry::Answered { verdict, .. } => self.answer(*verdict, wire),
            Entry::Asked { .. } | Entry::NewSession => None,
        }
    }

    fn send(&mut self) -> Option<String> {
        let before = self.fate;
        self.fate = Fate::MayHaveRun;
        self.sendings += 1;
        self.outlived = false;
        if self.answered.is_some() {
            return Some(String::from("it was sent after its answer"));
        }
        if self.cancelled && self.sendings > 1 {
            return Some(String::from("it was sent again after it was cancelled"));
        }
        if before != Fate::MayHaveRun {
            // An error that was not followed by a new session was its answer.
            return (before == Fate::Complained)
                .then(|| String::from("it was sent again, and the server had answered it"));
        }
        self.doubtful = true;
        self.repeated += 1;
        match (self.safe, self.repeated) {
            (false, _) => Some(String::from("it was sent again although it may have run")),
            (true, 2..) => Some(String::from("it was sent a third time although its outcome was unknown twice")),
            _ => None,
        }
    }

    fn run(&mut self) -> Option<String> {
        self.runs += 1;
        if self.answered == Some(Verdict::DidNotRun) {
            return Some(String::from("it ran after the client was told that it did not"));
        }
        let most = if self.safe { 2 } else { 1 };
        (self.runs > most).then(|| format!("it ran {} times", self.runs))
    }

    fn answer(&mut self, verdict: Verdict, wire: bool) -> Option<String> {
        if self.answered.replace(verdict).is_some() {
            return Some(String::from("it was answered twice"));
        }
        if self.cancelled {
            return Some(String::from("it was answered after it was cancelled"));
        }
        let may_have_run = self.doubtful || self.fate == Fate::MayHaveRun;
        match verdict {
            Verdict::Result if self.runs == 0 => Some(String::from("it has a result and never ran")),
            Verdict::DidNotRun if self.runs > 0 => {
                Some(String::from("it ran, and the client was told that it did not"))
            }
            Verdict::DidNotRun if wire && may_have_run => {
                Some(String::from("it may have run, and the client was told that it did not"))
            }
            Verdict::Unknown if wire && !may_have_run => {
                Some(String::from("it provably did not run, and the client was told that nobody knows"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Entry = Entry::Asked { tag: 1, safe: false };
    const SENT: Entry = Entry::Sent { tag: 1 };
    const RAN: Entry = Entry::Ran { tag: 1 };
    const REJECTED: Entry = Entry::Rejected { tag: 1 };
    const DOUBTFUL: Entry = Entry::Doubtful { tag: 1 };
    const COMPLAINED: Entry = Entry::ServerError { tag: 1 };

    fn answered(verdict: Verdict) -> Entry {
        Entry::Answered { tag: 1, verdict }
    }

    #[test]
    fn what_the_table_allows_passes() {
        for history in [
            vec![ASKED, SENT, RAN, answered(Verdict::Result)],
            vec![ASKED, SENT, REJECTED, SENT, RAN, answered(Verdict::Result)],
            vec![ASKED, SENT, COMPLAINED, Entry::NewSession, SENT, RAN, answered(Verdict::Result)],
            vec![ASKED, SENT, Entry::NewSession, COMPLAINED, SENT, RAN, answered(Verdict::Result)],
            vec![ASKED, SENT, RAN, DOUBTFUL, answered(Verdict::Unknown)],
            vec![ASKED, answered(Verdict::DidNotRun)],
            vec![ASKED, SENT, REJECTED, answered(Verdict::DidNotRun)],
            vec![ASKED, SENT, Entry::Cancelled { tag: 1 }, RAN],
            vec![Entry::Asked { tag: 1, safe: true }, SENT, RAN, DOUBTFUL, SENT, RAN, answered(Verdict::Result)],
        ] {
            assert_eq!(judge(&history, true, true), Vec::<String>::new(), "{history:?}");
        }
    }

    #[test]
    fn the_checker_bites() {
        for (history, what) in [
            (vec![ASKED, SENT, DOUBTFUL, SENT], "may have run"),
            (vec![ASKED, SENT, SENT], "may have run"),
            (vec![ASKED, SENT, COMPLAINED, SENT], "had answered it"),
            (vec![ASKED, SENT, RAN, RAN], "ran 2 times"),
            (vec![ASKED, SENT, RAN, REJECTED, answered(Verdict::DidNotRun)], "it ran"),
            (vec![ASKED, SENT, DOUBTFUL, answered(Verdict::DidNotRun)], "may have run"),
            (vec![ASKED, SENT, REJECTED, answered(Verdict::DidNotRun), RAN], "ran after"),
            (vec![ASKED, SENT, REJECTED, answered(Verdict::Unknown)], "provably"),
            (vec![ASKED, SENT, RAN, answered(Verdict::Result), answered(Verdict::Result)], "twice"),
            (vec![ASKED, SENT, answered(Verdict::Result)], "never ran"),
            (vec![ASKED, SENT, Entry::Cancelled { tag: 1 }, REJECTED, SENT], "cancelled"),
            (vec![ASKED, SENT, Entry::Cancelled { tag: 1 }, answered(Verdict::Other)], "cancelled"),
            (vec![ASKED, SENT], "never got"),
            (vec![RAN], "never asked"),
        ] {
            let wrong = judge(&history, true, true);
            assert!(wrong.iter().any(|wrong| wrong.contains(what)), "{history:?}: {wrong:?}");
        }
    }
}
