//! A table for each figure: a row a competitor, a column a transport.

use std::fmt::Write;

use super::value;
use crate::competitor::{Competitor, NATIVE};
use crate::results::{Cell, Measure, Results};
use crate::transport::Transport;

const MEASURES: [Measure; 22] = [
    Measure::Start,
    Measure::ColdStart,
    Measure::Alone,
    Measure::AloneP10,
    Measure::AloneP99,
    Measure::Rate32,
    Measure::At32,
    Measure::At32P99,
    Measure::Cpu,
    Measure::Rate256,
    Measure::At256,
    Measure::At256P99,
    Measure::Notes,
    Measure::Megabyte,
    Measure::MegabytePeak,
    Measure::Fifty,
    Measure::FiftyPeak,
    Measure::Idle,
    Measure::After10k,
    Measure::AfterAll,
    Measure::Held,
    Measure::Next,
];

/// All tables.
pub fn all(competitors: &[Competitor], results: &Results) -> String {
    MEASURES.iter().map(|measure| table(*measure, competitors, results)).collect()
}

fn table(measure: Measure, competitors: &[Competitor], results: &Results) -> String {
    let transports: Vec<_> = Transport::ALL
        .into_iter()
        .filter(|transport| competitors.iter().any(|one| results.get(measure, *transport, one.name).is_some()))
        .collect();
    if transports.is_empty() {
        return String::new();
    }
    let mut text = format!("#### {}\n\n|", measure.title());
    for transport in &transports {
        let _ = write!(text, " | {}", transport.label());
    }
    let _ = writeln!(text, " |\n|---|{}", "---|".repeat(transports.len()));
    for competitor in competitors {
        let cells: Vec<_> =
            transports.iter().map(|transport| results.get(measure, *transport, competitor.name)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(text, "| {}", competitor.name);
        for (cell, transport) in cells.into_iter().zip(&transports) {
            let ours = results.median(measure, *transport, NATIVE).filter(|_| competitor.name != NATIVE);
            let _ = write!(text, " | {}", cell.map_or_else(String::new, |cell| show(cell, measure, ours)));
        }
        text.push_str(" |\n");
    }
    text.push('\n');
    text
}

fn show(cell: &Cell, measure: Measure, ours: Option<f64>) -> String {
    let Some(median) = cell.median() else {
        return cell.failure.as_deref().unwrap_or_default().replace(['|', '\n'], " ");
    };
    let mut text = value(median, measure.unit());
    if cell.samples.len() > 1 {
        let (least, greatest) = cell.range();
        let short = |number| value(number, measure.unit()).split([' ', '/']).next().unwrap_or_default().to_owned();
        let _ = write!(text, " ({} – {})", short(least), short(greatest));
    }
    if let Some(ours) = ours {
        let _ = write!(text, ", × {}", ratio(median / ours));
    }
    if let Some(note) = &cell.note {
        let _ = write!(text, ", {note}");
    }
    text
}

fn ratio(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}
