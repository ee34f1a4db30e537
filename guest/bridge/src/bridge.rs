//! stdin and stdout on one side, the transport on the other.
//!
//! There is one place to wait: `receive`, which drives the connection, and which one pollable of ours may interrupt. That is stdin,
//! or stdout while the client is behind with reading: then no more is read from it.

use mcp_reconnect_command::event_log::Level;
use mcp_reconnect_command::lines::Line;

use crate::args::{self, Bridge, Command};
use crate::bindings::mcp_reconnect::transport::client::{Connection, OpenError, ReceiveError, SendError};
use crate::bindings::mcp_reconnect::transport::types::Event;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::poll::poll;
use crate::event_log::EventLog;
use crate::input::Input;
use crate::log::Log;
use crate::output::{Closed, Output};

/// The end takes no longer than this, whatever the server and the client do. The transport's own goodbye is shorter.
const GOODBYE_NANOS: u64 = 900_000_000;

/// Does what the command line says. An error becomes the exit code 1; what it is stands on stderr.
pub fn run() -> Result<(), ()> {
    match args::read() {
        Ok(Command::Print(text)) => print(&text),
        Ok(Command::Bridge(bridge)) => bridge.run(),
        Err(problem) => wrong_usage(&problem),
    }
}

fn print(text: &str) -> Result<(), ()> {
    let mut output = Output::new();
    output.push(text.trim_end());
    output.write_all().map_err(|Closed| ())
}

/// Says in one line on stderr what is wrong with the command line.
fn wrong_usage(problem: &str) -> Result<(), ()> {
    Log::new(None, false).line(&alloc::format!("{problem} (see mcp-reconnect --help)"));
    Err(())
}

impl Bridge {
    /// Bridges until the client closes stdin or stdout.
    fn run(self) -> Result<(), ()> {
        let connection = match Connection::open(self.options) {
            Ok(connection) => connection,
            Err(OpenError::InvalidUrl(problem)) => {
                return wrong_usage(&alloc::format!(
                    "the URL is not usable: {problem}; write http://HOST/PATH or https://HOST/PATH"
                ));
            }
            Err(OpenError::InvalidHeader(problem)) => {
                return wrong_usage(&alloc::format!("a header is not usable: {problem}"));
            }
            Err(OpenError::Other(problem)) => {
                return wrong_usage(&alloc::format!("an option is not usable: {problem}"));
            }
        };
        let mut sides = Sides {
            connection,
            input: Input::new(self.max_message_bytes),
            output: Output::new(),
            log: Log::new(self.log, self.json),
            event_log: EventLog::new(self.credentials),
            max_message_bytes: self.max_message_bytes,
        };
        match sides.bridge() {
            Ok(End::Stdin) => sides.say_goodbye(true),
            Ok(End::Stdout) => sides.say_goodbye(false),
            Err(ReceiveError::Closed(why) | ReceiveError::Other(why)) => {
                sides.log.at(Level::Error, &why);
                return Err(());
            }
        }
        Ok(())
    }
}

/// What ends a bridge.
enum End {
    /// The client closed stdin.
    Stdin,
    /// The client closed stdout.
    Stdout,
}

struct Sides {
    connection: Connection,
    input: Input,
    output: Output,
    log: Log,
    event_log: EventLog,
    max_message_bytes: usize,
}

impl Sides {
    fn bridge(&mut self) -> Result<End, ReceiveError> {
        loop {
            if self.output.write().is_err() {
                return Ok(End::Stdout);
            }
            if self.output.is_full() {
                // The connection waits too, or what it receives would have to be kept.
                poll(&[self.output.writable()]);
                continue;
            }
            self.take_lines();
            if self.input.is_at_end() {
                return Ok(End::Stdin);
            }
            let until = if self.output.is_waiting() { self.output.writable() } else { self.input.readable() };
            let events = self.connection.receive(0, Some(until))?;
            self.give(events, true);
        }
    }

    /// Passes the client's messages on, as far as they are there.
    fn take_lines(&mut self) {
        for line in self.input.lines(&mut self.log) {
            match line {
                Line::Text(message) => self.send(&message),
                Line::TooLong(scanned) => {
                    let bytes = scanned.bytes;
                    self.log
                        .warn(format_args!("a message of {bytes} bytes from the client is over --max-message-bytes"));
                    if let Some(answer) = mcp_reconnect_core::oversized_message(&scanned, self.max_message_bytes) {
                        self.output.push(&answer);
                    }
                }
            }
        }
    }

    fn send(&mut self, message: &str) {
        // Full: the answers that wait go first. Otherwise refused only where the connection is closed, which the next
        // `receive` tells.
        while let Err(SendError::Full(_)) = self.connection.send(message) {
            let Ok(events) = self.connection.receive(0, None) else { return };
            self.give(events, true);
        }
    }

    fn give(&mut self, events: alloc::vec::Vec<Event>, stdout_is_open: bool) {
        for event in events {
            match event {
                Event::Message(message) if stdout_is_open => self.output.push(&message),
                event => self.event_log.tell(&event, &mut self.log),
            }
        }
    }

    /// Ends the session, and writes what there is to write.
    fn say_goodbye(&mut self, mut stdout_is_open: bool) {
        let deadline = monotonic_clock::subscribe_duration(GOODBYE_NANOS);
        self.connection.close();
        // An empty list: the deadline. An error: all was said.
        while let Ok(events) = self.connection.receive(0, Some(&deadline))
            && !events.is_empty()
        {
            self.give(events, stdout_is_open);
            stdout_is_open = stdout_is_open && self.output.write().is_ok();
        }
        while stdout_is_open && self.output.write().is_ok() && self.output.is_waiting() {
            poll(&[&deadline, self.output.writable()]);
            if deadline.ready() {
                return;
            }
        }
    }
}
