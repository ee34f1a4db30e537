//! What is shown while it happens: one line for each thing, with its time.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Lines of text: for files, pipes and `NO_COLOR`.
    Plain,
    /// Colours and box characters.
    Terminal,
}

/// What the colours mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// All is well.
    Good,
    /// Something waits.
    Waiting,
    /// Something is gone, or failed.
    Bad,
    /// The bridge speaks.
    Bridge,
    /// Of less interest.
    Faint,
    /// A heading.
    Strong,
}

impl Style {
    /// The text in a colour, where there are colours.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Good => "32",
            Colour::Waiting => "33",
            Colour::Bad => "31",
            Colour::Bridge => "36",
            Colour::Faint => "2",
            Colour::Strong => "1",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Terminal => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Who a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The MCP server process.
    Server,
    /// The bridge process.
    Bridge,
    /// The MCP client in this process.
    Client,
}

/// The clock of the demo, and where it is shown.
#[derive(Debug)]
pub struct Timeline {
    start: Instant,
    style: Style,
    /// The characters that the text of a line may have, so that it stays one line on a terminal.
    room: usize,
}

/// Where the terminal does not tell its width.
const USUAL_COLUMNS: usize = 100;
/// The characters of a line before its text.
const MARGIN: usize = 19;

impl Timeline {
    /// Begins now, on stdout.
    pub fn stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colours = std::io::stdout().is_terminal() && !unwanted;
        let (style, room) = match colours {
            true => (Style::Terminal, columns().saturating_sub(MARGIN).max(40)),
            false => (Style::Plain, usize::MAX),
        };
        Self { start: Instant::now(), style, room }
    }

    /// How it is drawn.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Shows that something happened now.
    pub fn line(&self, who: Who, colour: Colour, text: &str) {
        let (name, name_colour) = match who {
            Who::Server => ("server", colour),
            Who::Bridge => ("bridge", Colour::Bridge),
            Who::Client => ("client", Colour::Strong),
        };
        let time = self.style.paint(Colour::Faint, &format!("{:7.3} s", self.now().as_secs_f64()));
        let name = self.style.paint(name_colour, name);
        let text = self.style.paint(colour, &cut(text, self.room));
        self.print(&format!("{time}  {name}  {text}\n"));
    }

    /// Shows text as it is.
    pub fn print(&self, text: &str) {
        // Nobody looks any more when stdout is closed; the verdict is in the exit code.
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// The text, with its end cut off if it is longer than `room` characters.
fn cut(text: &str, room: usize) -> Cow<'_, str> {
    match text.char_indices().nth(room) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let kept: String = text.chars().take(room.saturating_sub(1)).collect();
            Cow::Owned(kept + "…")
        }
    }
}

/// The width of the terminal.
#[cfg(unix)]
fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(USUAL_COLUMNS, |size| match size.ws_col {
        0 => USUAL_COLUMNS,
        columns => columns.into(),
    })
}

/// The width of the terminal.
#[cfg(not(unix))]
fn columns() -> usize {
    USUAL_COLUMNS
}

/// A duration as people read it.
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.01 {
        format!("{:.1} ms", seconds * 1000.0)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn plain_text_has_no_colours() {
        assert_eq!(Style::Plain.paint(Colour::Bad, "x"), "x");
        assert_eq!(Style::Terminal.paint(Colour::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
