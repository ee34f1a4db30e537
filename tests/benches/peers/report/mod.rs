//! What is made of the results: this benchmark's part of `docs/benchmarks.md`, and the plot.

mod aims;
pub mod machine;
mod plot;
mod tables;

use std::fmt::Write;

pub use plot::plot;

use crate::competitor::{Competitor, DIRECT};
use crate::results::{Measure, Results, Unit};
use crate::transport::Transport;

/// A run whose direct calls differ by more than this part of their median, from round to round, was too noisy to trust.
const NOISY: f64 = 0.25;

/// The part of the document.
pub fn markdown(competitors: &[Competitor], results: &Results, minutes: f64, missing: &[String]) -> String {
    let mut text = String::from("## Beside the peers\n\n");
    let _ = writeln!(text, "{}; {minutes:.0} minutes.\n", machine::describe());
    let _ = writeln!(text, "![Each competitor's median on a logarithmic scale](benchmarks.svg)\n");
    for one in missing {
        let _ = writeln!(text, "**Not measured: {one}**\n");
    }
    text.push_str(METHOD);
    noise(&mut text, results);
    text.push_str("\n### The aims\n\n");
    text.push_str(&aims::table(competitors, results));
    text.push_str("\n### All figures\n\n");
    text.push_str(&tables::all(competitors, results));
    text.push_str("### Who was measured\n\n| | version | as |\n|---|---|---|\n");
    for competitor in competitors {
        let _ = writeln!(text, "| {} | {} | `{}` |", competitor.name, competitor.version, competitor.shown);
    }
    text
}

const METHOD: &str = "Each figure is measured in rounds over all competitors, beginning with another one each time. A value is the median of the rounds,
in brackets the least and the greatest; × is the ratio to our native command. The server is a Rust program in a process of its own,
the load generator another; every result is checked to be that of its call. All share the cores with the bridge. Node programs are
started by `node`, not by `npx`, which costs theirs and ours the same.
";

/// Says how steady the direct call was, which has nothing to do with any bridge.
fn noise(text: &mut String, results: &Results) {
    let mut noisy = Vec::new();
    for transport in Transport::ALL {
        for (measure, what) in
            [(Measure::Alone, "alone"), (Measure::At32, "32 in flight"), (Measure::At256, "256 in flight")]
        {
            let Some(cell) = results.get(measure, transport, DIRECT) else { continue };
            if cell.spread() > NOISY {
                noisy.push(format!("{}, {what}: {:.0} %", transport.label(), cell.spread() * 100.0));
            }
        }
    }
    if noisy.is_empty() {
        let _ =
            writeln!(text, "\nThe direct call's median differed by less than {:.0} % between rounds.", NOISY * 100.0);
        return;
    }
    let _ = writeln!(
        text,
        "\n**Noisy:** the direct call's median differed between rounds by more than {:.0} % of itself ({}). Ratios to the direct call
of these rows are not to be trusted. Alone it has two modes: fast where the scheduler keeps client and server on one core, slow
where another core has to wake; both are shown, as its 10th percentile and its median.",
        NOISY * 100.0,
        noisy.join("; ")
    );
}

/// A value in its unit, as short as it can be.
pub fn value(value: f64, unit: Unit) -> String {
    let number = match value.abs() {
        100.0.. => thousands(value),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    match unit {
        Unit::Milliseconds => format!("{number} ms"),
        Unit::PerSecond => format!("{number}/s"),
        Unit::Megabytes => format!("{number} MB"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
