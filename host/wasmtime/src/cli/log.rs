//! Diagnostics on stderr: one line each, `mcp-reconnect: what happened`. MCP clients put their own time before each line,
//! so a time is added only where somebody searches a fault (`debug` and `trace`).
//!
//! Lines are written by a thread of their own. A client that keeps the pipe and never reads it must not stop the bridge:
//! past [`QUEUE`] waiting lines, further ones are dropped and counted.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use mcp_reconnect_command::log_line;
use mcp_reconnect_command::visible::Visible;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Lines that may wait.
const QUEUE: usize = 1024;
/// How long the end of the process waits for lines that wait.
const FLUSH: Duration = Duration::from_millis(100);

/// Each line is a JSON object.
static JSON: AtomicBool = AtomicBool::new(false);

static STDERR: OnceLock<Stderr> = OnceLock::new();

/// Begins to log what `level` lets through. Only this project's own lines are let through, at any level: lower layers
/// would show headers, and with them secrets.
pub fn init(level: LevelFilter) {
    let stderr = STDERR.get_or_init(Stderr::start).clone();
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Line { start: Instant::now(), times: level >= LevelFilter::DEBUG })
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(stderr);
    let own = Targets::new().with_target("mcp_reconnect", level);
    // Fails only if a subscriber is already set; then that one logs.
    let _ = tracing_subscriber::registry().with(own).with(lines).try_init();
}

/// Writes a line whatever the level.
pub fn line(text: &str) {
    let line = match (is_json(), text.strip_prefix("error: ")) {
        (false, _) => format!("mcp-reconnect: {}\n", Visible(text)),
        (true, Some(problem)) => json_line("error", problem),
        (true, None) => json_line("info", text),
    };
    STDERR.get_or_init(Stderr::start).enqueue(line.into_bytes());
}

/// From now on each line is a JSON object.
pub fn as_json() {
    JSON.store(true, Ordering::Relaxed);
}

fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

fn json_line(level: &str, text: &str) -> String {
    let now = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Millis, true);
    log_line::json(Some(&now), level, text)
}

/// Waits a moment for what is still to be written. Call at the end of the process.
pub fn flush() {
    if let Some(stderr) = STDERR.get() {
        let (done, wait) = sync_channel(1);
        if stderr.queue.try_send(Entry::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH);
        }
    }
}

enum Entry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

#[derive(Clone)]
struct Stderr {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Stderr {
    fn start() -> Self {
        let (queue, entries) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        // Without the thread every line is dropped, which harms nobody's messages.
        let _ = std::thread::Builder::new().name("stderr".into()).spawn(move || write(&entries, &counter));
        Self { queue, dropped }
    }

    fn enqueue(&self, line: Vec<u8>) {
        if self.queue.try_send(Entry::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(entries: &Receiver<Entry>, dropped: &AtomicU64) {
    let mut stderr = std::io::stderr();
    for entry in entries {
        // A closed stderr is nobody's loss.
        match entry {
            Entry::Line(line) => drop(stderr.write_all(&line)),
            Entry::Flush(done) => drop(done.send(())),
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = format!("{lost} lines of this log were dropped: nobody read them in time");
            let _ = match is_json() {
                true => stderr.write_all(json_line("warn", &told).as_bytes()),
                false => writeln!(stderr, "mcp-reconnect: {told}"),
            };
        }
    }
}

/// tracing-subscriber hands over a whole line in one call.
impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.enqueue(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A level as `--log` has it.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The form of a line.
struct Line {
    start: Instant,
    times: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if is_json() {
            let mut text = String::new();
            context.field_format().format_fields(Writer::new(&mut text), event)?;
            return to.write_str(&json_line(level_name(*event.metadata().level()), &text));
        }
        to.write_str("mcp-reconnect: ")?;
        if self.times {
            write!(to, "[{:10.3}] ", self.start.elapsed().as_secs_f64())?;
        }
        to.write_str(match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            Level::INFO => "",
            Level::DEBUG => "debug: ",
            Level::TRACE => "trace: ",
        })?;
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        writeln!(to, "{}", Visible(&text))
    }
}
