//! Judges what happened against what is promised.

use std::fmt::Write;
use std::time::Duration;

use super::chart;
use super::client::{Answer, Call};
use super::story::Told;
use super::timeline::{Colour, Style, short};

/// The last call of an outage is answered this soon after the server is back, or something is slow.
const PROMPT: Duration = Duration::from_secs(5);

/// The judgement.
pub struct Verdict {
    told: Told,
    promises: Vec<Promise>,
}

struct Promise {
    text: String,
    kept: bool,
}

impl Told {
    /// Judges.
    pub fn verdict(self) -> Verdict {
        let mut promises = Vec::new();
        let mut promise = |kept: bool, text: String| promises.push(Promise { text, kept });
        let tally = self.tally;

        promise(
            tally.unanswered == 0 && tally.surplus == 0 && tally.requests == tally.answers,
            format!(
                "every request got exactly one answer: {} requests, {} answers, {} unanswered, {} too many",
                tally.requests, tally.answers, tally.unanswered, tally.surplus
            ),
        );
        let ordinary = [&self.before[..], &self.during, &self.after].concat();
        let failed = ordinary.iter().filter(|call| !matches!(call.answer, Answer::Result(_))).count();
        let times: Vec<_> = ordinary.iter().map(|call| self.runs(call)).collect();
        let twice = times.iter().filter(|&&runs| runs > 1).count();
        promise(
            failed == 0 && times.iter().all(|&runs| runs == 1),
            format!("{} ordinary calls ran once each: {failed} failed, {twice} ran twice", ordinary.len()),
        );
        let deploys = self.runs(&self.deploy);
        promise(
            matches!(self.deploy.answer, Answer::OutcomeUnknown(_)) && deploys == 1,
            format!(
                "#{} {}, in flight at the kill and unsafe to repeat, got the error 'outcome unknown' and ran {}",
                self.deploy.number,
                self.deploy.tool,
                count(deploys)
            ),
        );
        let reports = self.runs(&self.report);
        promise(
            matches!(self.report.answer, Answer::Result(_)) && reports == 2,
            format!(
                "#{} {}, in flight at the kill and read-only, was sent again and answered (it ran {})",
                self.report.number,
                self.report.tool,
                count(reports)
            ),
        );
        let waits = self.during.iter().map(|call| call.answered.saturating_sub(self.back));
        let (first, last) = (waits.clone().min().unwrap_or_default(), waits.max().unwrap_or_default());
        let held = self.during.iter().all(|call| call.answered >= self.back);
        promise(
            held && last < PROMPT,
            format!(
                "{} calls made while the server was down were held; answered {} to {} after it was back",
                self.during.len(),
                short(first),
                short(last)
            ),
        );
        let sessions = self.journals.iter().map(|journal| journal.iter().filter(|line| *line == "session").count());
        let sessions: Vec<_> = sessions.collect();
        promise(
            sessions == [1, 1],
            format!("each server process saw one session: the first {}, the second {}", sessions[0], sessions[1]),
        );
        promise(self.list_changed, "the client was told that the list of tools may have changed".into());
        promise(
            self.bridge_ended_well,
            "the bridge lived through it, and ended with exit code 0 when the client left".into(),
        );
        Verdict { told: self, promises }
    }

    /// How often the servers began to run this call.
    fn runs(&self, call: &Call) -> usize {
        let report = call.report();
        self.journals.iter().flatten().filter(|line| **line == report).count()
    }

    fn calls(&self) -> impl Iterator<Item = &Call> + Clone {
        let slow = [&self.deploy, &self.report];
        self.before.iter().chain(slow).chain(&self.during).chain(&self.after)
    }
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn holds(&self) -> bool {
        self.promises.iter().all(|promise| promise.kept)
    }

    /// The verdict for people, with the picture where it can be drawn.
    pub fn text(&self, style: Style) -> String {
        let mut text = String::from("\n");
        if style == Style::Terminal {
            text.push_str(&chart::draw(&self.told, style));
            text.push('\n');
        }
        for promise in &self.promises {
            let (mark, colour) = match (promise.kept, style) {
                (true, Style::Terminal) => ("✓", Colour::Good),
                (true, Style::Plain) => ("ok    ", Colour::Good),
                (false, Style::Terminal) => ("✗", Colour::Bad),
                (false, Style::Plain) => ("FAILED", Colour::Bad),
            };
            let _ = writeln!(text, "  {} {}", style.paint(colour, mark), promise.text);
        }
        let told = &self.told;
        let calls = told.calls().count();
        let longest = told.calls().map(Call::took).max().unwrap_or_default();
        let summary = format!(
            "{calls} calls, {} of {} promises kept, server away for {}, longest delay of a call {}, {} in all",
            self.promises.iter().filter(|promise| promise.kept).count(),
            self.promises.len(),
            short(told.back - told.killed),
            short(longest),
            short(told.end)
        );
        let _ = writeln!(text, "\n  {}", style.paint(if self.holds() { Colour::Good } else { Colour::Bad }, &summary));
        text
    }
}

fn count(times: usize) -> String {
    match times {
        0 => "never".into(),
        1 => "once".into(),
        2 => "twice".into(),
        more => format!("{more} times"),
    }
}
