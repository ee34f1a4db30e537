//! The project's aims for these figures, and whether they are met.

use super::value;
use crate::competitor::{Competitor, DIRECT, NATIVE, Runtime};
use crate::figures::FIFTY_MEGABYTES;
use crate::results::{Measure, Results, Unit};
use crate::transport::Transport;

/// The rows on which ours are compared with the peers of their runtime.
const COMPARED: [Measure; 9] = [
    Measure::Start,
    Measure::Alone,
    Measure::Rate32,
    Measure::Rate256,
    Measure::Notes,
    Measure::Fifty,
    Measure::FiftyPeak,
    Measure::AfterAll,
    Measure::Held,
];

/// A table of the aims; each verdict is that of its worst transport.
pub fn table(competitors: &[Competitor], results: &Results) -> String {
    let aims = Aims { competitors, results };
    let mut rows =
        vec![aims.start(), aims.added(), aims.rate(), aims.memory(), aims.large_time(), aims.large_peak(), aims.held()];
    for competitor in competitors.iter().filter(|competitor| competitor.ours && competitor.name != NATIVE) {
        rows.push(aims.ahead(competitor));
    }
    let rows: String =
        rows.iter().map(|(aim, measured, verdict)| format!("| {aim} | {measured} | {verdict} |\n")).collect();
    format!("| aim, for the native command if it names none | measured | |\n|---|---|---|\n{rows}")
}

type Row = (String, String, String);

struct Aims<'a> {
    competitors: &'a [Competitor],
    results: &'a Results,
}

impl Aims<'_> {
    fn start(&self) -> Row {
        let (text, parts) = self.each(|transport| {
            let ours = self.results.median(Measure::Start, transport, NATIVE)?;
            let (peer, best) = self.best_peer(Measure::Start, transport, None)?;
            let text = format!("{}, the fastest peer ({peer}) {}", ms(ours), ms(best));
            Some((text, vec![ours / 30.0, ours / (best / 2.0)]))
        });
        ("exec → `initialize` ≤ 30 ms and ≤ half of the fastest peer".to_owned(), text, verdict(&parts))
    }

    /// The direct call has two modes, and which one its median is in is chance: the aim is met only over both.
    fn added(&self) -> Row {
        let (text, parts) = self.each(|transport| {
            let ours = self.results.median(Measure::Alone, transport, NATIVE)?;
            let slow = self.results.median(Measure::Alone, transport, DIRECT)?;
            let fast = self.results.median(Measure::AloneP10, transport, DIRECT)?;
            let text = format!("{} over its median, {} over its 10th percentile", ms(ours - slow), ms(ours - fast));
            Some((text, vec![(ours - slow) / 0.2, (ours - fast) / 0.2]))
        });
        let some = parts.iter().any(|part| *part <= 1.0) && parts.iter().any(|part| *part > 1.0);
        let verdict = match verdict(&parts) {
            missed if some => format!("not decided, since the direct call has two modes; {missed} over the strictest"),
            verdict => verdict,
        };
        ("added to the direct call, median ≤ 0.2 ms".to_owned(), text, verdict)
    }

    fn rate(&self) -> Row {
        let (text, parts) = self.each(|transport| {
            let ours = self.results.median(Measure::Rate32, transport, NATIVE)?;
            let (peer, best) = self.best_peer(Measure::Rate32, transport, None)?;
            let text = format!("{}, × {:.1} of the fastest peer ({peer})", value(ours, Unit::PerSecond), ours / best);
            Some((text, vec![5_000.0 / ours, 5.0 * best / ours]))
        });
        ("calls per second, 32 in flight, ≥ 5 × the fastest peer and ≥ 5,000".to_owned(), text, verdict(&parts))
    }

    fn memory(&self) -> Row {
        let (text, parts) = self.each(|transport| {
            let cell = self.results.get(Measure::AfterAll, transport, NATIVE)?;
            let (after, early) = (cell.median()?, self.results.median(Measure::After10k, transport, NATIVE)?);
            let note = cell.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            let megabytes = |number| value(number, Unit::Megabytes);
            let text = format!("{}{note}, after 10,000 calls {}", megabytes(after), megabytes(early));
            Some((text, vec![after / 20.0, after / (early * 1.05)]))
        });
        (
            "resident after 100,000 calls ≤ 20 MB and flat (≤ 5 % above that after 10,000)".to_owned(),
            text,
            verdict(&parts),
        )
    }

    fn large_time(&self) -> Row {
        let (text, parts) = self.each(|transport| {
            let ours = self.results.median(Measure::Fifty, transport, NATIVE)?;
            let direct = self.results.median(Measure::Fifty, transport, DIRECT)?;
            let text = format!("{}, × {:.1} of the direct {}", ms(ours), ours / direct, ms(direct));
            Some((text, vec![ours / (2.0 * direct)]))
        });
        ("a result of 50 MB in ≤ 2 × the direct transfer".to_owned(), text, verdict(&parts))
    }

    fn large_peak(&self) -> Row {
        let (text, parts) = self.each(|transport| {
            let ratio = self.results.median(Measure::FiftyPeak, transport, NATIVE)? * 1e6 / FIFTY_MEGABYTES as f64;
            Some((format!("× {ratio:.2}"), vec![ratio / 3.0]))
        });
        ("a result of 50 MB: peak ≤ 3 × the message".to_owned(), text, verdict(&parts))
    }

    fn held(&self) -> Row {
        let (text, parts) = self.each(|transport| {
            let cell = self.results.get(Measure::Held, transport, NATIVE)?;
            let median = cell.median()?;
            Some((format!("{}, worst {}", ms(median), ms(cell.range().1)), vec![median / 50.0]))
        });
        ("a held call is answered ≤ 50 ms after the server listens".to_owned(), text, verdict(&parts))
    }

    /// Whether one of ours is ahead of every peer of its runtime, or of all where nobody else runs on its.
    fn ahead(&self, ours: &Competitor) -> Row {
        let alone = !self.competitors.iter().any(|one| !one.ours && one.runtime == ours.runtime);
        let runtime = (!alone).then_some(ours.runtime);
        let (mut behind, mut compared) = (Vec::new(), 0);
        for (measure, transport) in
            COMPARED.into_iter().flat_map(|one| Transport::ALL.map(|transport| (one, transport)))
        {
            let Some((peer, best)) = self.best_peer(measure, transport, runtime) else { continue };
            if self.results.get(measure, transport, ours.name).is_none() {
                continue;
            }
            compared += 1;
            let is_ahead = self
                .results
                .median(measure, transport, ours.name)
                .is_some_and(|value| if measure.is_less_better() { value < best } else { value > best });
            if !is_ahead {
                behind.push(format!("{} ({}): {peer} is ahead", measure.title(), transport.label()));
            }
        }
        let whom = if alone { "every peer (none runs on its runtime)" } else { "every peer of its runtime" };
        let verdict = match (compared, behind.len()) {
            (0, _) => "not measured".to_owned(),
            (_, 0) => "met".to_owned(),
            (all, some) => format!("**missed** on {some} of {all} rows"),
        };
        (format!("{} ahead of {whom}", ours.name), behind.join("; "), verdict)
    }

    /// The best peer, of one runtime or of all. One that fails is none.
    fn best_peer(
        &self,
        measure: Measure,
        transport: Transport,
        runtime: Option<Runtime>,
    ) -> Option<(&'static str, f64)> {
        let peers = self.competitors.iter().filter(|one| !one.ours && !one.is_direct());
        let values = peers
            .filter(|one| runtime.is_none_or(|runtime| one.runtime == runtime))
            .filter_map(|one| Some((one.name, self.results.median(measure, transport, one.name)?)));
        values.min_by(|(_, a), (_, b)| if measure.is_less_better() { a.total_cmp(b) } else { b.total_cmp(a) })
    }

    /// What each transport says, and how each value stands to its aim: up to 1 it is met.
    fn each(&self, one: impl Fn(Transport) -> Option<(String, Vec<f64>)>) -> (String, Vec<f64>) {
        let (mut texts, mut parts) = (Vec::new(), Vec::new());
        for transport in Transport::ALL {
            if let Some((text, part)) = one(transport) {
                texts.push(format!("{}: {text}", transport.label()));
                parts.extend(part);
            }
        }
        (texts.join("<br>"), parts)
    }
}

fn verdict(parts: &[f64]) -> String {
    match parts.iter().copied().max_by(f64::total_cmp) {
        None => "not measured".to_owned(),
        Some(worst) if worst <= 1.0 => "met".to_owned(),
        Some(worst) => format!("**missed** by {:.0} %", (worst - 1.0) * 100.0),
    }
}

fn ms(time: f64) -> String {
    value(time, Unit::Milliseconds)
}
