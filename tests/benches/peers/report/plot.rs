//! The plot: a panel a figure, a row a competitor, a mark a transport. Logarithmic, so marks and no bars, whose lengths would
//! say nothing.

use std::fmt::Write;

use super::value;
use crate::competitor::Competitor;
use crate::results::{Measure, Results};
use crate::transport::Transport;

const PANELS: [(Measure, &str); 6] = [
    (Measure::Start, "exec → initialize answered (less is better)"),
    (Measure::Alone, "one call alone, median (less is better)"),
    (Measure::Rate32, "calls per second, 32 in flight (more is better)"),
    (Measure::Fifty, "a result of 50 MB (less is better)"),
    (Measure::AfterAll, "resident memory after many calls (less is better)"),
    (Measure::Held, "server back → held call answered (less is better)"),
];

const COLUMNS: usize = 2;
const LABELS: f64 = 140.0;
const WIDTH: f64 = 300.0;
const ROW: f64 = 22.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 34.0;
const MARGIN: f64 = 20.0;
const LEGEND: f64 = 36.0;

/// An SVG.
pub fn plot(competitors: &[Competitor], results: &Results) -> String {
    let panel_height = TOP + ROW * competitors.len() as f64 + BOTTOM;
    let panel_width = LABELS + WIDTH + 3.0 * MARGIN;
    let (width, height) = (panel_width * COLUMNS as f64, LEGEND + panel_height * PANELS.len().div_ceil(COLUMNS) as f64);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="#222">
<rect width="{width}" height="{height}" fill="#fff"/>
"##
    );
    for (index, transport) in Transport::ALL.into_iter().enumerate() {
        let x = MARGIN + 160.0 * index as f64;
        mark(&mut svg, transport, x + 6.0, 20.0);
        let _ = writeln!(svg, r#"<text x="{}" y="24">{}</text>"#, x + 16.0, transport.label());
    }
    let _ = writeln!(
        svg,
        r##"<text x="{}" y="24" fill="#666">median; line: least to greatest round; logarithmic scales</text>"##,
        MARGIN + 480.0
    );
    for (index, (measure, title)) in PANELS.into_iter().enumerate() {
        let x = panel_width * (index % COLUMNS) as f64;
        let y = LEGEND + panel_height * (index / COLUMNS) as f64;
        let _ = writeln!(svg, r#"<g transform="translate({x},{y})">"#);
        panel(&mut svg, measure, title, competitors, results);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, measure: Measure, title: &str, competitors: &[Competitor], results: &Results) {
    let _ = writeln!(svg, r#"<text x="{MARGIN}" y="24" font-size="13" font-weight="bold">{title}</text>"#);
    let cells =
        competitors.iter().flat_map(|one| Transport::ALL.map(|transport| results.get(measure, transport, one.name)));
    let values: Vec<f64> =
        cells.flatten().filter(|cell| cell.median().is_some()).flat_map(|cell| cell.samples.clone()).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !least.is_finite() || least <= 0.0 {
        let _ = writeln!(svg, r##"<text x="{MARGIN}" y="{TOP}" fill="#666">not measured</text>"##);
        return;
    }
    let (from, to) = (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0));
    let left = MARGIN + LABELS;
    let at = |number: f64| left + (number.log10() - from) / (to - from) * WIDTH;
    let bottom = TOP + ROW * competitors.len() as f64;
    for power in from as i32..=to as i32 {
        let x = at(10f64.powi(power));
        let _ = writeln!(svg, r##"<line x1="{x}" x2="{x}" y1="{}" y2="{bottom}" stroke="#ddd"/>"##, TOP - 8.0);
        let label = value(10f64.powi(power), measure.unit());
        let label = label.replace(".00 ", " ").replace(".0 ", " ").replace(".00/", "/").replace(".0/", "/");
        let _ = writeln!(
            svg,
            r##"<text x="{x}" y="{}" text-anchor="middle" font-size="11" fill="#666">{label}</text>"##,
            bottom + 16.0
        );
    }
    for (row, competitor) in competitors.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5) - 4.0;
        let weight = if competitor.ours { "bold" } else { "normal" };
        let _ = writeln!(
            svg,
            r#"<text x="{}" y="{}" text-anchor="end" font-weight="{weight}">{}</text>"#,
            left - 10.0,
            y + 4.0,
            competitor.name
        );
        let cells = Transport::ALL.map(|transport| (transport, results.get(measure, transport, competitor.name)));
        let tried: Vec<_> = cells.into_iter().filter_map(|(transport, cell)| Some((transport, cell?))).collect();
        if let (true, Some((_, cell))) = (tried.iter().all(|(_, cell)| cell.median().is_none()), tried.first()) {
            let why: String = cell.failure.as_deref().unwrap_or_default().chars().take(44).collect();
            let why = why.replace('&', "&amp;").replace('<', "&lt;");
            let _ =
                writeln!(svg, r##"<text x="{}" y="{}" font-size="11" fill="#a33">{why}</text>"##, left + 4.0, y + 4.0);
        }
        for (transport, cell) in tried {
            let Some(median) = cell.median() else { continue };
            let (least, most) = cell.range();
            let y = y + 5.0 * (transport as usize as f64 - 1.0);
            let _ = writeln!(
                svg,
                r##"<line x1="{}" x2="{}" y1="{y}" y2="{y}" stroke="{}" stroke-width="1.5"/>"##,
                at(least),
                at(most),
                colour(transport)
            );
            mark(svg, transport, at(median), y);
        }
    }
}

/// A mark of its own form and colour for each transport.
fn mark(svg: &mut String, transport: Transport, x: f64, y: f64) {
    let fill = colour(transport);
    let _ = match transport {
        Transport::Json => writeln!(svg, r#"<circle cx="{x}" cy="{y}" r="4" fill="{fill}"/>"#),
        Transport::Events => {
            writeln!(svg, r#"<rect x="{}" y="{}" width="7" height="7" fill="{fill}"/>"#, x - 3.5, y - 3.5)
        }
        Transport::Sse => {
            writeln!(svg, r#"<path d="M{x} {} l4.5 8 h-9 z" fill="{fill}"/>"#, y - 4.5)
        }
    };
}

fn colour(transport: Transport) -> &'static str {
    match transport {
        Transport::Json => "#0072b2",
        Transport::Events => "#e69f00",
        Transport::Sse => "#009e73",
    }
}
