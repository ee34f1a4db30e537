//! The picture: time runs to the right, each row is one thing.

use std::fmt::Write;
use std::time::Duration;

use super::client::{Answer, Call};
use super::story::Told;
use super::timeline::{Colour, Style};

/// Columns of names, and of time.
const NAMES: usize = 21;
const COLUMNS: usize = 56;

/// Draws what happened.
pub fn draw(told: &Told, style: Style) -> String {
    let scale = Scale { end: told.end };
    let mut text = String::new();
    let mut row = |name: &str, cells: Vec<Cell>| {
        let _ = writeln!(text, "  {name:NAMES$}{}", paint(&cells, style));
    };

    row("", scale.seconds());
    let mut server = Row::default();
    server.fill(0, scale.column(told.killed), '█', Colour::Good);
    server.fill(scale.column(told.killed), scale.column(told.back), '┄', Colour::Bad);
    server.fill(scale.column(told.back), COLUMNS, '█', Colour::Good);
    server.set(scale.column(told.killed), '╳', Colour::Bad);
    row("server", server.0);

    let mut steady = Row::default();
    for call in told.before.iter().chain(&told.after) {
        steady.set(scale.column(call.asked), '●', colour(call));
    }
    row("calls", steady.0);
    for (call, about) in [(&told.deploy, "unsafe"), (&told.report, "read-only")] {
        let mut cells = Row::default();
        let (asked, killed) = (scale.column(call.asked), scale.column(told.killed));
        let answered = scale.column(call.answered);
        cells.fill(asked, answered.min(killed), '━', Colour::Good);
        cells.fill(killed, answered.min(scale.column(told.back)), '┄', Colour::Waiting);
        cells.fill(scale.column(told.back), answered, '━', Colour::Good);
        cells.set(answered, mark(call), colour(call));
        row(&format!("#{} {} ({about})", call.number, call.tool), cells.0);
    }
    for call in &told.during {
        let mut cells = Row::default();
        cells.fill(scale.column(call.asked), scale.column(call.answered), '┄', Colour::Waiting);
        cells.set(scale.column(call.answered), mark(call), colour(call));
        row(&format!("#{} {} (held)", call.number, call.tool), cells.0);
    }
    let legend = "█ up   ━ running   ┄ waiting   ● answered   ◆ answered 'outcome unknown'   ╳ killed or failed";
    let _ = writeln!(text, "\n  {}", style.paint(Colour::Faint, legend));
    text
}

struct Scale {
    end: Duration,
}

impl Scale {
    fn column(&self, time: Duration) -> usize {
        let part = time.as_secs_f64() / self.end.as_secs_f64().max(f64::EPSILON);
        // Within the row, whatever the clock said.
        ((part * COLUMNS as f64) as usize).min(COLUMNS - 1)
    }

    /// The row of seconds.
    fn seconds(&self) -> Vec<Cell> {
        let mut row = Row::default();
        for second in 0..=self.end.as_secs() {
            for (offset, c) in format!("{second} s").chars().enumerate() {
                let column = self.column(Duration::from_secs(second)) + offset;
                if column < COLUMNS {
                    row.set(column, c, Colour::Faint);
                }
            }
        }
        row.0
    }
}

type Cell = (char, Colour);

struct Row(Vec<Cell>);

impl Default for Row {
    fn default() -> Self {
        Self(vec![(' ', Colour::Faint); COLUMNS])
    }
}

impl Row {
    fn set(&mut self, column: usize, c: char, colour: Colour) {
        self.0[column] = (c, colour);
    }

    /// Fills from one column up to, and without, another.
    fn fill(&mut self, from: usize, to: usize, c: char, colour: Colour) {
        for column in from..to.max(from) {
            self.set(column, c, colour);
        }
    }
}

/// The cells as text, with one colour change for each run of a colour.
fn paint(cells: &[Cell], style: Style) -> String {
    cells
        .chunk_by(|a, b| a.1 == b.1)
        .map(|run| style.paint(run[0].1, &run.iter().map(|cell| cell.0).collect::<String>()))
        .collect()
}

fn mark(call: &Call) -> char {
    match call.answer {
        Answer::Result(_) => '●',
        Answer::OutcomeUnknown(_) => '◆',
        Answer::Failed(_) => '╳',
    }
}

fn colour(call: &Call) -> Colour {
    match call.answer {
        Answer::Result(_) => Colour::Good,
        Answer::OutcomeUnknown(_) => Colour::Waiting,
        Answer::Failed(_) => Colour::Bad,
    }
}
